//! Plugins as cosign starts them: one that does as it should, and one that does everything that it should not.
//!
//! They are the scripts of `tests/plugins`, which need openssl and jq.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tekseal_core::{Blame, Digest};
use tekseal_custody::{Context, Error, Settings, create, open, public_key, rotate};
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, KeyRef, Signer};
use tempfile::TempDir;

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins")
}

/// What is said by the plugins of all tests.
static SAID: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

fn context_with(path: impl Into<OsString>, timeout: Duration) -> Context {
    let path = path.into();
    let settings = Settings {
        plugin_timeout: Some(timeout),
        plugin_notice: Some(|program, text| {
            let mut said = SAID.lock().expect("nobody panics with it");
            said.push((program.to_owned(), text.to_owned()));
        }),
        ..Settings::default()
    };
    let variables = move |name: &str| (name == "PATH").then(|| path.clone());
    Context::with_variables(settings, Arc::new(variables))
}

/// With the plugins, and time enough for any machine.
fn context() -> Context {
    context_with(plugins(), Duration::from_secs(50))
}

fn kms(reference: &str) -> KmsRef {
    match KeyRef::parse(reference) {
        Ok(KeyRef::Kms(key)) => key,
        other => panic!("{reference} is {other:?}"),
    }
}

/// A folder with a key that openssl made, and another one.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().expect("a temporary folder"));
        for name in ["key", "key.other"] {
            let made = Command::new("openssl")
                .args([
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                    "-out",
                ])
                .arg(keys.path(name))
                .output()
                .expect("openssl is there");
            assert!(made.status.success(), "{made:?}");
        }
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn evil(&self, method: &str, evil: &str) -> KmsRef {
        kms(&format!(
            "evil://{method},{evil},{}",
            self.path("key").display()
        ))
    }
}

/// The whole story, as people read it.
fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Waits until a process that a plugin started is gone, or dead with nobody to fetch it.
fn is_gone(pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).expect("the plugin wrote it");
    let stat = format!("/proc/{}/stat", pid.trim());
    let start = Instant::now();
    while let Ok(text) = fs::read_to_string(&stat) {
        let state = text
            .rsplit_once(") ")
            .map(|(_, rest)| rest.starts_with('Z'));
        if state == Some(true) {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it lives on: {text}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_key_is_made_opened_and_signs_whole_messages_and_digests() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("made");
    let key = kms(&format!("openssl://{}", file.display()));
    let missing = public_key(&key, &context())
        .await
        .expect_err("it is not made yet");
    assert!(
        missing.to_string().contains("there is no key at"),
        "{missing}"
    );

    let made = create(&key, KeyAlgorithm::P256, &context())
        .await
        .expect("it is made");
    let error = create(&key, KeyAlgorithm::P256, &context())
        .await
        .expect_err("there is one");
    assert!(
        error.to_string().contains("there is a key already"),
        "{error}"
    );
    let error = create(&key, KeyAlgorithm::Rsa(2048), &context())
        .await
        .expect_err("it cannot");
    assert!(
        error.to_string().contains(r#"it makes "ecdsa-p256""#),
        "{error}"
    );
    let error = rotate(&key, &context()).await.expect_err("it cannot");
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");

    let signer = open(&key, &context()).await.expect("it is there");
    assert_eq!(signer.public_key(), &made);
    assert_eq!(signer.reference(), Some(key.to_string().as_str()));
    // More than a pipe holds.
    let message = vec![7; 3 * 1024 * 1024];
    for message in [&b"a message"[..], &message] {
        let signature = signer.sign(message).await.expect("it signs");
        made.verify(HashAlgorithm::Sha256, message, &signature)
            .expect("it is of this key");
        let digest = Digest::of(message);
        let signature = signer.sign_digest(&digest).await.expect("it signs");
        made.verify(HashAlgorithm::Sha256, message, &signature)
            .expect("it is of this key");
    }
}

/// Nothing comes of it, in good time, and people read why.
async fn refused(evil: &str, method: &str, why: &[&str], blame: Blame) {
    let keys = Keys::new();
    let key = keys.evil(method, evil);
    let (story, found) = match open(&key, &context()).await {
        Err(error) => (story(&error), error.blame()),
        Ok(signer) => {
            assert_eq!(method, "signMessage", "{evil} was not refused");
            let error = signer.sign(b"a message").await.expect_err(evil);
            (story(&error), error.blame())
        }
    };
    for why in why {
        assert!(story.contains(why), "{evil}: {story:?} has no {why:?}");
    }
    assert_eq!(found, blame, "{evil}: {story}");
    assert!(!story.contains(|c: char| c.is_control()), "{story:?}");
    if keys.path("key.child").exists() {
        is_gone(&keys.path("key.child"));
    }
}

const BOTH: [&str; 2] = ["publicKey", "signMessage"];

#[tokio::test]
async fn a_plugin_that_floods_is_killed() {
    for method in BOTH {
        refused(
            "floods-stdout",
            method,
            &["was killed when it had written 65536 bytes to stdout"],
            Blame::Setting,
        )
        .await;
        refused(
            "floods-stderr",
            method,
            &["was killed when it had written 1048576 bytes to stderr"],
            Blame::Setting,
        )
        .await;
    }
}

#[tokio::test]
async fn a_plugin_that_says_nothing_or_something_else_is_named() {
    for method in BOTH {
        let program = "the plugin sigstore-kms-evil ";
        refused(
            "says-nothing",
            method,
            &[program, "ended well with no answer"],
            Blame::Setting,
        )
        .await;
        refused(
            "says-nothing-at-length",
            method,
            &[program, "an answer to something else"],
            Blame::Setting,
        )
        .await;
        refused(
            "answers-something-else",
            method,
            &[program, "an answer to something else"],
            Blame::Setting,
        )
        .await;
        refused(
            "writes-garbage",
            method,
            &[program, "not the JSON of the plugin protocol"],
            Blame::Setting,
        )
        .await;
        refused(
            "fails",
            method,
            &[
                program,
                "exit status 7 with no answer",
                "no [31mtoken there",
            ],
            Blame::Setting,
        )
        .await;
        refused(
            "refuses",
            method,
            &[program, "the token [2J is locked"],
            Blame::Setting,
        )
        .await;
        refused(
            "is-let-down",
            method,
            &[program, "the token was pulled out"],
            Blame::Outside,
        )
        .await;
        refused(
            "is-killed",
            method,
            &[program, "was ended by signal 9"],
            Blame::Outside,
        )
        .await;
    }
}

#[tokio::test]
async fn a_plugin_that_leaves_a_child_with_its_output_is_not_waited_for() {
    for method in BOTH {
        refused(
            "leaves-a-child",
            method,
            &["left a process behind"],
            Blame::Setting,
        )
        .await;
    }
}

#[tokio::test]
async fn a_plugin_that_signs_with_another_key_is_found_out() {
    refused(
        "signs-with-another-key",
        "signMessage",
        &["is none of its public key"],
        Blame::Outside,
    )
    .await;
}

#[tokio::test]
async fn a_plugin_that_does_not_listen_holds_up_nobody() {
    let keys = Keys::new();
    let signer = open(&keys.evil("signMessage", "is-deaf"), &context())
        .await
        .expect("it opens");
    let error = signer
        .sign(&vec![0; 4 * 1024 * 1024])
        .await
        .expect_err("it signs nothing");
    assert!(
        error.to_string().contains("is none of its public key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plugin_that_hangs_is_killed_with_what_it_started() {
    let keys = Keys::new();
    let quick = context_with(plugins(), Duration::from_millis(1500));
    let error = public_key(&keys.evil("publicKey", "hangs"), &quick)
        .await
        .expect_err("it hangs");
    assert_eq!(
        error.to_string(),
        "the plugin sigstore-kms-evil was asked to give the public key, and was killed after 1.5 s without an answer; it wrote \"waiting for a touch\""
    );
    assert_eq!(error.blame(), Blame::Outside);
    is_gone(&keys.path("key.child"));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_leaves_nothing() {
    let keys = Keys::new();
    let key = keys.evil("publicKey", "hangs");
    let context = context();
    let start = Instant::now();
    let started = async {
        while !keys.path("key.child").exists() {
            assert!(
                start.elapsed() < Duration::from_secs(40),
                "it does not start"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = public_key(&key, &context) => panic!("it does not hang: {ended:?}"),
        () = started => {}
    }
    is_gone(&keys.path("key.child"));
}

#[tokio::test]
async fn what_a_plugin_says_is_handed_on_once_and_in_one_line() {
    let keys = Keys::new();
    let signer = open(&keys.evil("signMessage", "talks"), &context())
        .await
        .expect("it opens");
    for message in [b"one", b"two"] {
        signer.sign(message).await.expect("it signs");
    }
    let said = SAID.lock().expect("nobody panics with it");
    let mine: Vec<_> = said
        .iter()
        .filter(|(_, text)| text.contains("please"))
        .collect();
    let wanted = (
        "sigstore-kms-evil".to_owned(),
        "touch the token, please".to_owned(),
    );
    assert_eq!(mine, [&wanted]);
}

#[tokio::test]
async fn a_secret_of_the_reference_is_not_shown_even_if_the_plugin_says_it() {
    let key = kms("evil://publicKey,refuses,/nowhere?pin-value=swordfish");
    let error = public_key(&key, &context()).await.expect_err("it refuses");
    assert!(
        error.to_string().contains("secret word: (not shown)"),
        "{error}"
    );
    assert!(!error.to_string().contains("swordfish"), "{error}");
}

#[tokio::test]
async fn a_plugin_that_is_not_there_is_named_with_what_path_means() {
    let open_with = async |path: &str, reference: &str| {
        let context = context_with(path, Duration::from_secs(50));
        let opened: Result<Signer, _> = open(&kms(reference), &context).await;
        let error = opened.err().expect("it is not there");
        assert_eq!(error.blame(), Blame::Setting);
        error.to_string()
    };
    let missing = open_with("/bin:/nowhere", "my-hsm://key").await;
    assert_eq!(
        missing,
        "the plugin sigstore-kms-my-hsm is in none of the 2 folders of PATH; keys of the form my-hsm:// are asked of a program of this name, in a folder that the variable PATH names; no program is needed for awskms, gcpkms, azurekms, hashivault, openbao"
    );
    let unset = open_with("", "my-hsm://key").await;
    assert!(unset.contains("PATH is not set"), "{unset}");
    let relative = open_with("tests/plugins", "openssl://key").await;
    assert!(
        relative.contains(r#"is not started from "tests/plugins", a relative folder in PATH"#),
        "{relative}"
    );
}
