//! `tekseal-verify` over what cosign 2 and 3 recorded: where signatures lie, what vouches for them, and what is refused once a single thing of it was
//! changed.
//!
//! The recordings are in `tests/fixtures/cosign-samples`: cosign, Rekor 1 and 2, Fulcio and a timestamp authority wrote them, so nothing here agrees
//! with itself. Nobody needs them to run: the trusted root of the recordings has all keys.

mod accepted;
mod hostile;
mod memory;
mod misuse;
mod places;
mod specimen;
mod tampered;

use std::path::{Path, PathBuf};

use tekseal_harness::{Output, Registry, Run, fixtures};

pub(crate) use memory::measured;

/// The image that all recordings are of.
const IMAGE: &str = "sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";
/// Who signed in the recordings without a key.
const IDENTITY: &str = "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/chains-set1";
/// Who vouched for that.
const ISSUER: &str = "http://127.0.0.1:3059";
/// Seconds within which a registry that answers 500 is asked again.
const PATIENCE: &str = "1";

/// The folder of the recordings.
fn samples() -> PathBuf {
    fixtures().join("cosign-samples")
}

/// One of the keys and trusted roots of the recordings, as an argument.
fn file(name: &str) -> String {
    samples().join("keys").join(name).display().to_string()
}

/// The trusted root of the recordings.
fn root() -> String {
    file("trusted_root.json")
}

/// Puts a recording into the registry, in a repository of its name, and gives the image.
fn replayed(registry: &Registry, case: &str) -> String {
    registry.replay(&samples().join(case), case);
    registry.reference(case, IMAGE)
}

/// `tekseal-verify` with these flags, without an image yet.
fn verify(flags: &[&str]) -> Run {
    Run::tool("tekseal-verify")
        .env("TEKSEAL_RETRY_FOR", PATIENCE)
        .args(flags)
}

/// The same with the key `a` of the recordings, for signatures alone.
fn by_key(flags: &[&str]) -> Run {
    let key = file("a.pub");
    verify(&["--key", &key, "--only", "signature"]).args(flags)
}

/// The line that says what is wrong.
fn error(output: &Output) -> &str {
    let mut lines = output.stderr.lines();
    lines
        .find(|line| line.contains(": error: "))
        .unwrap_or_default()
}

/// Whether a hint says this.
fn hints(output: &Output, wanted: &str) -> bool {
    let mut lines = output.stderr.lines();
    lines.any(|line| line.contains(": hint: ") && line.contains(wanted))
}

/// Ended with this status, said this, and printed nothing.
#[track_caller]
fn refused(run: Run, code: i32, wanted: &str) -> Output {
    let output = run.fails_with(code);
    assert!(error(&output).contains(wanted), "{wanted:?}\n{output:?}");
    assert_eq!(output.stdout, "", "nothing unverified is printed");
    output
}

/// A file of this content in the folder.
fn written(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("the folder is ours");
    path.display().to_string()
}
