//! The manifest of a bundle that refers to an image, and how an index describes it, in the bytes of cosign 3 but for the time.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/main/manifest.md>, «Guidelines for Artifact Usage», and
//! <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use tekseal_core::{Digest, gojson};

use super::index::Entry;
use super::item::Item;
use super::manifest::OCI_MANIFEST;

/// The configuration of what has none.
pub(super) const EMPTY: &[u8] = b"{}";
/// Its media type. Some registries say of a manifest that it is what its configuration is; readers look into it then.
pub(super) const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

/// A manifest that names an image as its subject.
#[derive(Clone, Debug)]
pub(super) struct ReferrerManifest {
    /// Exact bytes.
    pub(super) bytes: Bytes,
    /// Their digest.
    pub(super) digest: Digest,
    /// How an index describes it.
    pub(super) entry: Entry,
}

/// What a manifest refers to. Field order is the order of the bytes, here and below.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Subject {
    pub(super) media_type: String,
    pub(super) size: u64,
    pub(super) digest: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    size: u64,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
    annotations: &'a BTreeMap<String, String>,
    subject: &'a Subject,
    artifact_type: &'a str,
}

impl ReferrerManifest {
    /// The manifest of a bundle. The same bundle of the same image is always the same manifest.
    pub(super) fn of(bundle: &Item, subject: &Subject) -> Self {
        let artifact_type = bundle.media_type();
        let annotations = bundle.annotations();
        let (blob, empty) = (bundle.digest(), Digest::of(EMPTY));
        let written = Written {
            schema_version: 2,
            media_type: OCI_MANIFEST,
            config: Descriptor {
                media_type: EMPTY_CONFIG,
                size: EMPTY.len() as u64,
                digest: empty.as_str(),
                annotations: None,
                artifact_type: Some(artifact_type),
            },
            layers: [Descriptor {
                media_type: artifact_type,
                size: bundle.size(),
                digest: blob.as_str(),
                annotations: None,
                artifact_type: None,
            }],
            annotations,
            subject,
            artifact_type,
        };
        let bytes = gojson::to_vec(&written);
        let digest = Digest::of(&bytes);
        let entry = Entry::new(
            &digest,
            &Descriptor {
                media_type: OCI_MANIFEST,
                size: bytes.len() as u64,
                digest: digest.as_str(),
                annotations: Some(annotations),
                artifact_type: Some(artifact_type),
            },
        );
        Self {
            bytes: bytes.into(),
            digest,
            entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use serde_json::Value;
    use tekseal_core::Signed;

    use super::*;

    fn sample() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/cosign-samples/sign-v3-bundle-notlog")
    }

    #[test]
    fn the_manifest_is_cosigns_but_for_the_time() {
        let mut checked = 0;
        for file in fs::read_dir(sample().join("manifests")).expect("the sample is there") {
            let bytes = fs::read(file.expect("readable").path()).expect("readable");
            let theirs: Value = serde_json::from_slice(&bytes).expect("JSON");
            let Some(subject) = theirs.get("subject") else {
                continue;
            };
            let text = |of: &Value| of.as_str().expect("a text").to_owned();
            let subject = Subject {
                media_type: text(&subject["mediaType"]),
                size: subject["size"].as_u64().expect("a size"),
                digest: text(&subject["digest"]),
            };
            let blob = text(&theirs["layers"][0]["digest"]);
            let blob = sample().join("blobs").join(&blob["sha256:".len()..]);
            let bundle = fs::read(blob).expect("blobs are complete");
            let kind = text(&theirs["annotations"]["dev.sigstore.bundle.predicateType"]);
            let item = Item::Held(Signed::bundle_of_bytes(bundle, &kind));
            let ours = ReferrerManifest::of(&item, &subject);
            let created = text(&theirs["annotations"]["org.opencontainers.image.created"]);
            let created = format!(r#","org.opencontainers.image.created":"{created}""#);
            let theirs = String::from_utf8(bytes).expect("JSON");
            assert_eq!(
                String::from_utf8_lossy(&ours.bytes),
                theirs.replace(&created, "")
            );
            checked += 1;
        }
        assert_eq!(checked, 1);
    }
}
