//! `tekseal-verify` where nobody can be asked: images in folders, trusted roots of mirrors and of the program, and the proof that no packet is sent.

mod layouts;
mod mirror;
mod quiet;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Output, Run, digest, fixtures};
use tempfile::TempDir;

/// The image that all recordings are of.
const IMAGE: &str = "sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";
/// Who vouched for the identity in the recordings without a key.
const ISSUER: &str = "http://127.0.0.1:3059";

fn samples() -> PathBuf {
    fixtures().join("cosign-samples")
}

/// One of the keys and trusted roots of the recordings.
fn file(name: &str) -> String {
    samples().join("keys").join(name).display().to_string()
}

/// `tekseal-verify` with the key of the recordings and these flags.
fn verify(flags: &[&str]) -> Run {
    let key = file("a.pub");
    Run::tool("tekseal-verify")
        .env("TEKSEAL_RETRY_FOR", "1")
        .args(["--key", &key])
        .args(flags)
}

/// Ended with this status, said this, and printed nothing.
#[track_caller]
fn refused(run: Run, code: i32, wanted: &str) -> Output {
    let output = run.fails_with(code);
    assert!(output.stderr.contains(wanted), "{wanted:?}\n{output:?}");
    assert_eq!(output.stdout, "", "nothing unverified is printed");
    output
}

/// A recording as an OCI layout, as `skopeo copy` and `oras cp` write it: each tag is an entry with its name.
fn layout_of(case: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = folder.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("the folder is ours");
    let case = samples().join(case);
    for part in ["blobs", "manifests"] {
        for entry in fs::read_dir(case.join(part)).expect("a recording") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name");
            fs::copy(&path, blobs.join(name)).expect("the folder is ours");
        }
    }
    let tags = fs::read(case.join("tags.json")).expect("a recording");
    let tags: BTreeMap<String, String> = serde_json::from_slice(&tags).expect("a map");
    let entries = tags.iter().map(|(tag, digest)| {
        let manifest = fs::read(blobs.join(&digest[7..])).expect("it is there");
        let value: Value = serde_json::from_slice(&manifest).expect("JSON");
        json!({
            "mediaType": value["mediaType"], "digest": digest, "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        })
    });
    let index = json!({"schemaVersion": 2, "manifests": entries.collect::<Vec<_>>()});
    write(folder.path(), "index.json", index.to_string());
    write(
        folder.path(),
        "oci-layout",
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    folder
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("the folder is ours");
    path.display().to_string()
}

/// The same image in the folder, as an argument.
fn oci(folder: &TempDir, rest: &str) -> String {
    format!("oci:{}{rest}", folder.path().display())
}

/// The only bundle of a recording.
fn bundle(case: &str) -> PathBuf {
    let blobs = fs::read_dir(samples().join(case).join("blobs")).expect("a recording");
    let mut blobs = blobs.map(|entry| entry.expect("an entry").path());
    let is_bundle = |path: &PathBuf| {
        let content = fs::read_to_string(path).unwrap_or_default();
        content.contains("dev.sigstore.bundle") && !content.contains("schemaVersion")
    };
    blobs.find(is_bundle).expect("a bundle")
}

/// The name that a blob with this content has in a layout.
fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", &digest(bytes)[7..])
}
