//! The keys: one table of names, how each value is read, and where it goes.
//!
//! The order is that of Chains' manual and parser, so the first problem of a map is the one that Chains would stop at.

use super::Config;
use super::rules;
use super::settings::Storage;
use super::values::{
    Choice as _, Objection, boolean, choice, choice_or_unset, encodings, format_list, free_set,
    list, only, optional, patterns, secret, storages, tag_identity, text, upload,
};

/// A key of the configuration.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Whether it decides which payloads are made, or their bytes. The others concern a signer, a storage or a controller.
    pub(super) shapes_payloads: bool,
    /// Reads the value into the configuration.
    pub(super) put: fn(&mut Config, &str) -> Result<(), Objection>,
}

const ANY: &[Storage] = Storage::ALL;

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    payload("artifacts.taskrun.format", |c, v| format_list(&mut c.taskrun.formats, v)),
    payload("artifacts.taskrun.storage", |c, v| storages(&mut c.taskrun.storages, ANY, v)),
    payload("artifacts.taskrun.signer", |c, v| choice(&mut c.taskrun.signer, v)),
    payload("artifacts.pipelinerun.format", |c, v| format_list(&mut c.pipelinerun.formats, v)),
    payload("artifacts.pipelinerun.storage", |c, v| storages(&mut c.pipelinerun.storages, Storage::OF_PIPELINERUNS, v)),
    payload("artifacts.pipelinerun.signer", |c, v| choice(&mut c.pipelinerun.signer, v)),
    payload("artifacts.pipelinerun.enable-deep-inspection", |c, v| boolean(&mut c.pipelinerun.deep_inspection, v)),
    other("artifacts.oci.format", |_, v| only("simplesigning", v)),
    payload("artifacts.oci.storage", |c, v| storages(&mut c.oci.storages, ANY, v)),
    payload("artifacts.oci.signer", |c, v| choice(&mut c.oci.signer, v)),
    other("storage.pubsub.provider", |c, v| choice_or_unset(&mut c.storages.pubsub.provider, v)),
    other("storage.pubsub.topic", |c, v| text(&mut c.storages.pubsub.topic, v)),
    other("storage.pubsub.kafka.bootstrap.servers", |c, v| text(&mut c.storages.pubsub.kafka_bootstrap_servers, v)),
    other("storage.gcs.bucket", |c, v| text(&mut c.storages.gcs_bucket, v)),
    other("storage.oci.repository", |c, v| text(&mut c.storages.oci.repository, v)),
    other("storage.oci.repository.insecure", |c, v| boolean(&mut c.storages.oci.insecure, v)),
    other("storage.oci.encoding-format", |c, v| encodings(&mut c.storages.oci.layout, v)),
    other("storage.docdb.url", |c, v| text(&mut c.storages.docdb.url, v)),
    other("storage.docdb.mongo-server-url", |c, v| secret(&mut c.storages.docdb.mongo_server_url, v)),
    other("storage.docdb.mongo-server-url-dir", |c, v| text(&mut c.storages.docdb.mongo_server_url_dir, v)),
    other("storage.docdb.mongo-server-url-path", |c, v| text(&mut c.storages.docdb.mongo_server_url_path, v)),
    other("storage.archivista.url", |c, v| text(&mut c.storages.archivista_url, v)),
    other("storage.grafeas.projectid", |c, v| text(&mut c.storages.grafeas.project_id, v)),
    other("storage.grafeas.noteid", |c, v| text(&mut c.storages.grafeas.note_id, v)),
    other("storage.grafeas.notehint", |c, v| text(&mut c.storages.grafeas.note_hint, v)),
    other("transparency.enabled", |c, v| upload(&mut c.transparency.upload, v)),
    other("transparency.url", |c, v| text(&mut c.transparency.url, v)),
    other("signers.kms.kmsref", |c, v| text(&mut c.signers.kms.key_ref, v)),
    other("signers.kms.auth.address", |c, v| text(&mut c.signers.kms.address, v)),
    other("signers.kms.auth.token", |c, v| secret(&mut c.signers.kms.token, v)),
    other("signers.kms.auth.token-path", |c, v| text(&mut c.signers.kms.token_path, v)),
    other("signers.kms.auth.oidc.path", |c, v| text(&mut c.signers.kms.oidc.path, v)),
    other("signers.kms.auth.oidc.role", |c, v| text(&mut c.signers.kms.oidc.role, v)),
    other("signers.kms.auth.oidc.token-path", |c, v| text(&mut c.signers.kms.oidc.token_path, v)),
    other("signers.kms.auth.spire.sock", |c, v| text(&mut c.signers.kms.spire.socket, v)),
    other("signers.kms.auth.spire.audience", |c, v| text(&mut c.signers.kms.spire.audience, v)),
    other("signers.x509.fulcio.enabled", |c, v| boolean(&mut c.signers.x509.fulcio_enabled, v)),
    other("signers.x509.fulcio.address", |c, v| text(&mut c.signers.x509.fulcio_address, v)),
    other("signers.x509.fulcio.issuer", |c, v| text(&mut c.signers.x509.fulcio_issuer, v)),
    other("signers.x509.fulcio.provider", |c, v| text(&mut c.signers.x509.fulcio_provider, v)),
    other("signers.x509.identity.token.file", |c, v| text(&mut c.signers.x509.identity_token_file, v)),
    other("signers.x509.tuf.mirror.url", |c, v| text(&mut c.signers.x509.tuf_mirror_url, v)),
    payload("builder.id", |c, v| optional(&mut c.builder_id, v)),
    payload("builddefinition.buildtype", |c, v| choice(&mut c.build_type, v)),
    other("filter.managed-by", |c, v| free_set(&mut c.managed_by, v)),
    // What follows is not in Chains, which ignores it in silence.
    other("signers.cosign.key", |c, v| text(&mut c.signers.cosign_key, v)),
    payload("tekseal.redact-params", |c, v| patterns(&mut c.redact_params, v)),
    payload("tekseal.tag-identity", |c, v| tag_identity(&mut c.tag_identity, v)),
    other("tekseal.missing-children", |c, v| choice(&mut c.rules.missing_children, v)),
    other("tekseal.unsuccessful-runs", |c, v| choice(&mut c.rules.unsuccessful_runs, v)),
    other("tekseal.absent-images", |c, v| choice(&mut c.rules.absent_images, v)),
    other("tekseal.registries", |c, v| rules::registries(&mut c.rules.registries, v)),
    other("tekseal.pull-secrets", |c, v| boolean(&mut c.rules.pull_secrets, v)),
    other("tekseal.retry-for", |c, v| rules::span(&mut c.rules.retry_for, v)),
    other("tekseal.tlog", |c, v| choice(&mut c.transparency.version, v)),
    other("tekseal.timestamp.urls", |c, v| list(&mut c.transparency.timestamp_urls, v)),
    other("tekseal.trusted-root", |c, v| text(&mut c.transparency.trusted_root, v)),
    other("tekseal.tuf-root", |c, v| text(&mut c.transparency.tuf_root, v)),
    other("tekseal.keys", |c, v| rules::keys(&mut c.rules.keys, v)),
];

const fn payload(name: &'static str, put: fn(&mut Config, &str) -> Result<(), Objection>) -> Key {
    Key {
        name,
        shapes_payloads: true,
        put,
    }
}

const fn other(name: &'static str, put: fn(&mut Config, &str) -> Result<(), Objection>) -> Key {
    Key {
        name,
        shapes_payloads: false,
        put,
    }
}

/// The longest text that is compared with the known keys: comparing takes time with the square of it.
const LONGEST_COMPARED: usize = 128;

/// The known key that `unknown` was probably meant to be.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    if unknown.len() > LONGEST_COMPARED {
        return None;
    }
    let unknown = unknown.to_lowercase();
    // A slip for each eight characters, and one more: enough for a slip in each word of a key.
    let most = 1 + unknown.len() / 8;
    KEYS.iter()
        .map(|key| (strsim::osa_distance(&unknown, key.name), key.name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
