//! The policy of the guide accepts nothing, whatever is done for its logs.

use std::fs;
use std::path::Path;

use tekseal_harness::{Kyverno, Run, Verdict};

use super::roles::{Gallery, Role, public_key};

/// The guide's text, indented as it was meant.
fn printed() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/policies/guide/as-printed.yaml");
    fs::read_to_string(path).expect("the guide's policy is there")
}

/// The same about our images, with our key; logs are asked for nothing.
fn about_ours() -> String {
    let key = fs::read_to_string(public_key()).expect("the fixtures are there");
    let mut text = String::new();
    let mut is_key = false;
    for line in printed().lines() {
        let indent = line.len() - line.trim_start().len();
        let mut say = |by: usize, what: &str| {
            text.push_str(&" ".repeat(indent + by));
            text.push_str(what);
            text.push('\n');
        };
        match line.trim() {
            "publicKeys: |-" => {
                say(0, "rekor: {ignoreTlog: true}");
                say(0, "ctlog: {ignoreSCT: true}");
                say(0, "publicKeys: |-");
                key.lines().for_each(|line| say(2, line));
            }
            "-----BEGIN PUBLIC KEY-----" => is_key = true,
            "-----END PUBLIC KEY-----" => is_key = false,
            _ if is_key => {}
            line => say(0, line),
        }
    }
    text.replace("quay.io/my-org/*", &Gallery::shared().pattern())
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn the_guides_policy_accepts_nothing() {
    let Some(kyverno) = Kyverno::find() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.yaml");
    fs::write(&file, about_ours()).expect("the folder is ours");
    // Its attestations have no key, so that Kyverno wants certificates for them: of this authority, in place of the public one's.
    Run::new("openssl")
        .folder(folder.path())
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(' '))
        .args("-keyout root.key -out root.pem -days 2 -subj /CN=root".split(' '))
        .ok();
    let kyverno = kyverno
        .env("SIGSTORE_ROOT_FILE", folder.path().join("root.pem"))
        .env("SIGSTORE_REKOR_PUBLIC_KEY", public_key())
        .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", public_key());
    for (role, part) in [
        (Role::Unsigned, "no signatures found"),
        (Role::AttV02, "not found for predicate type"),
        (Role::AttV1, "empty key"),
        (Role::BothTypes, "empty key"),
    ] {
        match kyverno.judge(&file, Gallery::shared().image(role)) {
            Verdict::Accepted => panic!("{role:?} is accepted"),
            Verdict::Refused(reason) => assert!(reason.contains(part), "{role:?}: {reason}"),
        }
    }
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn as_it_is_printed_kyverno_loads_no_rule_and_ends_with_0() {
    let Some(kyverno) = Kyverno::find() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.yaml");
    let text: String = printed()
        .lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    fs::write(&file, text).expect("the folder is ours");
    let said = kyverno
        .apply(&file, Gallery::shared().image(Role::Unsigned))
        .ok();
    assert!(said.stdout.contains("pass: 0, fail: 0"), "{said:?}");
}
