//! The configurations that Tekton Chains parsed or refused, row by row of `tests/fixtures/golden/tables/config.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tekseal_core::Layout;
use tekseal_core::config::{Artifact, Choice, Config, Encoding, Problem, Reason, Upload};
use tekseal_core::format;
use tekseal_core::run::{CompletedRun, MissingChildren};

fn rows() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/golden/tables/config.json");
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).expect("the table is a list")
}

fn data(row: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(row["data"].clone()).expect("data is a map of texts")
}

/// A run of Tekton, for which the configuration alone decides the builder id.
const RUN: &[u8] = br#"{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{},
    "status":{"conditions":[{"type":"Succeeded","status":"True"}]}}"#;

/// The configuration as the table writes it.
fn as_chains(config: &Config) -> Value {
    let run =
        CompletedRun::from_json(RUN, &[], MissingChildren::Refuse).expect("the run is well formed");
    let x509 = &config.signers().x509;
    let kms = &config.signers().kms;
    let storages = config.storages();
    let transparency = config.transparency();
    json!({
        "artifacts": {
            "taskrun": artifact(config.taskrun(), None),
            "pipelinerun": artifact(config.pipelinerun(), None),
            "oci": artifact(config.oci(), Some("simplesigning")),
        },
        "buildType": config.build_type().name(),
        "builderID": config.builder_id(&run),
        "managedBy": config.managed_by(),
        "signers": {
            "X509": {
                "FulcioEnabled": x509.fulcio_enabled,
                "FulcioAddr": x509.fulcio_address,
                "FulcioOIDCIssuer": x509.fulcio_issuer,
                "FulcioProvider": x509.fulcio_provider,
                "IdentityTokenFile": x509.identity_token_file,
                "TUFMirrorURL": x509.tuf_mirror_url,
            },
            "KMS": {
                "KMSRef": kms.key_ref,
                "Auth": {
                    "Address": kms.address,
                    "Token": kms.token.reveal(),
                    "TokenPath": kms.token_path,
                    "OIDC": { "Path": kms.oidc.path, "Role": kms.oidc.role, "TokenPath": kms.oidc.token_path },
                    "Spire": { "Sock": kms.spire.socket, "Audience": kms.spire.audience },
                },
            },
        },
        "storage": {
            "GCS": { "Bucket": storages.gcs_bucket },
            "OCI": {
                "Repository": storages.oci.repository,
                "Insecure": storages.oci.insecure,
                "EncodingFormat": encoding(storages.oci.layout),
            },
            "Tekton": {},
            "DocDB": {
                "URL": storages.docdb.url,
                "MongoServerURL": storages.docdb.mongo_server_url.reveal(),
                "MongoServerURLDir": storages.docdb.mongo_server_url_dir,
                "MongoServerURLPath": storages.docdb.mongo_server_url_path,
            },
            "Grafeas": {
                "ProjectID": storages.grafeas.project_id,
                "NoteID": storages.grafeas.note_id,
                "NoteHint": storages.grafeas.note_hint,
            },
            "PubSub": {
                "Provider": storages.pubsub.provider.map_or("", Choice::name),
                "Topic": storages.pubsub.topic,
                "Kafka": { "BootstrapServers": storages.pubsub.kafka_bootstrap_servers },
            },
            "Archivista": { "url": storages.archivista_url },
        },
        "transparency": {
            "Enabled": transparency.upload != Upload::Off,
            "VerifyAnnotation": transparency.upload == Upload::Manual,
            "URL": transparency.url,
        },
    })
}

fn artifact(artifact: &Artifact, only_format: Option<&str>) -> Value {
    let formats: Vec<_> = artifact.formats.iter().map(|f| f.name()).collect();
    let storage: Vec<_> = artifact.storages.iter().map(|s| s.name()).collect();
    json!({
        "deepInspection": artifact.deep_inspection,
        "enabled": artifact.is_enabled(),
        "format": only_format.map_or_else(|| formats.join(","), str::to_owned),
        "signer": artifact.signer.name(),
        // Chains has no empty set here: it is the set of one empty text.
        "storage": if storage.is_empty() { vec![""] } else { storage },
    })
}

/// The value that `problem` objects to, and what it wants instead.
fn objection(problem: &Problem) -> (&str, Vec<&str>) {
    match &problem.reason {
        Reason::NotOneOf { value, allowed } => (value, allowed.clone()),
        Reason::Format(format::Error::Unknown(value)) => (
            value,
            vec!["in-toto", "slsa/v1", "slsa/v2alpha3", "slsa/v2alpha4"],
        ),
        other => panic!("Chains has no such problem: {other}"),
    }
}

#[test]
fn every_row_is_read_as_chains_reads_it() {
    let rows = rows();
    let (mut taken, mut refused) = (0, 0);
    for row in &rows {
        let data = data(row);
        let wanted = &row["expected"];
        if let Some(error) = wanted["error"].as_str() {
            let problems = Config::from_map(&data)
                .err()
                .unwrap_or_else(|| panic!("{data:?} was taken"))
                .problems;
            let (value, allowed) = objection(&problems[0]);
            let text = format!(
                "failed to parse data: invalid value \"{value}\" wanted one of [{}]",
                allowed.join(" ")
            );
            assert_eq!(text, error);
            let of_the_key = &data[problems[0].key];
            assert!(
                of_the_key.split(',').any(|piece| piece.trim() == value),
                "{error}: another key"
            );
            for word in allowed.iter().chain([&problems[0].key]) {
                assert!(problems[0].to_string().contains(word), "{}", problems[0]);
            }
            refused += 1;
            continue;
        }
        let config = Config::from_map(&data).unwrap_or_else(|e| panic!("{data:?}: {e}"));
        assert_eq!(&as_chains(&config), wanted, "{data:?}");
        taken += 1;
    }
    assert_eq!((taken, refused), (17, 10), "the table has changed");
}

/// Chains has no name for both at once.
fn encoding(layout: Layout) -> &'static str {
    match layout {
        Layout::Tags => Encoding::Dsse.name(),
        Layout::Bundle => Encoding::SigstoreBundle.name(),
        Layout::Both => "dsse,sigstore-bundle",
    }
}
