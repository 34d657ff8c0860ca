//! Bundles in files: verified for an image whose registry nobody can reach.

use std::fs;
use std::path::PathBuf;

use tekseal_harness::{Run, fixtures};

/// Nobody listens there.
const REPOSITORY: &str = "127.0.0.1:1/team/app";

fn samples() -> PathBuf {
    fixtures().join("cosign-samples")
}

/// The file with the only bundle of a sample.
fn bundle(case: &str) -> PathBuf {
    let blobs = fs::read_dir(samples().join(case).join("blobs")).expect("a sample");
    let mut bundles = blobs
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let content = fs::read(path).expect("it is there");
            String::from_utf8_lossy(&content).contains("application/vnd.dev.sigstore.bundle")
                && !String::from_utf8_lossy(&content).contains("schemaVersion")
        });
    let found = bundles.next().expect("a bundle");
    assert!(bundles.next().is_none(), "{case} has one bundle");
    found
}

fn verify(case: &str) -> Run {
    let digest = fs::read_to_string(samples().join("image-digest.txt")).expect("it is there");
    Run::tool("tekseal-verify")
        .arg("--bundle")
        .arg(bundle(case))
        .arg(format!("{REPOSITORY}@{}", digest.trim()))
}

fn key(name: &str) -> PathBuf {
    samples().join("keys").join(name)
}

#[test]
fn a_signature_is_verified_with_key_log_and_timestamp_and_no_registry() {
    let said = verify("sign-v3-bundle-rekor2-tsa")
        .args([
            "--only",
            "signature",
            "--output",
            "json",
            "--use-signed-timestamps",
        ])
        .arg("--key")
        .arg(key("a.pub"))
        .arg("--trusted-root")
        .arg(key("trusted_root.json"))
        .ok();
    let reports: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    let signature = &reports[0]["signatures"][0];
    assert_eq!(signature["logEntries"][0]["kind"], "hashedrekord 0.0.2");
    assert_eq!(signature["timestamps"].as_array().map(Vec::len), Some(1));
    assert!(signature["file"].is_string() && signature["tag"].is_null());
    assert_eq!(reports[0]["checked"]["transparencyLog"], true);
    assert_eq!(reports[0]["checked"]["timestamp"], true);
}

#[test]
fn an_attestation_is_no_signature_and_another_key_or_image_is_refused() {
    let attestation = |only: &str, public: &str| {
        verify("attest-v3-bundle-rekor1")
            .args(["--only", only, "--key"])
            .arg(key(public))
    };
    attestation("attestation", "a.pub").ok();
    let said = attestation("signature", "a.pub").fails_with(1);
    assert!(
        said.stderr.contains("an attestation is no signature"),
        "{said:?}"
    );
    let said = attestation("attestation", "b.pub").fails_with(1);
    assert!(said.stderr.contains("no matching signatures"), "{said:?}");
    let said = Run::tool("tekseal-verify")
        .args(["--only", "attestation", "--key"])
        .arg(key("a.pub"))
        .arg("--bundle")
        .arg(bundle("attest-v3-bundle-rekor1"))
        .arg(format!("{REPOSITORY}@sha256:{}", "0".repeat(64)))
        .fails_with(1);
    assert!(
        said.stderr.contains("no matching subject digest found"),
        "{said:?}"
    );
}

#[test]
fn a_tag_cannot_be_resolved_without_a_registry_and_a_file_must_be_a_bundle() {
    let with = |file: PathBuf, image: &str| {
        Run::tool("tekseal-verify")
            .arg("--key")
            .arg(key("a.pub"))
            .arg("--bundle")
            .arg(file)
            .arg(image)
    };
    let said = with(bundle("sign-v3-bundle-notlog"), &format!("{REPOSITORY}:1")).fails_with(2);
    assert!(said.stderr.contains("give it by digest"), "{said:?}");
    let image = format!("{REPOSITORY}@sha256:{}", "0".repeat(64));
    let said = with(key("a.pub"), &image).fails_with(1);
    assert!(said.stderr.contains("not a Sigstore bundle"), "{said:?}");
    with(key("absent.json"), &image).fails_with(2);
}
