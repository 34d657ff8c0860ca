//! What must not pass for a refusal: that something was not reached, and that no rule was loaded.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tekseal_harness::{Verdict, lasting_port};

use super::gallery::Gallery;
use super::keyless::Mirrored;
use super::rendered::{Kind, Peers, Rendered};
use super::roles::Role;
use super::table::BUNDLE_SIGNATURE;

const KINDS: [Kind; 5] = [
    Kind::Kyverno,
    Kind::KyvernoImageValidating,
    Kind::PolicyController,
    Kind::Openshift,
    Kind::ContainersPolicy,
];

fn signature_policy(kind: Kind, images: &str) -> Rendered {
    let flags: &[&str] = match kind {
        Kind::KyvernoImageValidating => &["--provenance", "none", "--layout", "bundle"],
        _ => &["--provenance", "none"],
    };
    Rendered::make(kind, flags, images)
}

/// With what the test fails.
#[track_caller]
fn fails(judging: impl FnOnce() -> Verdict) -> String {
    let failed = match catch_unwind(AssertUnwindSafe(judging)) {
        Ok(verdict) => panic!("it is a verdict: {verdict:?}"),
        Err(failed) => failed,
    };
    let text = failed.downcast::<String>().map(|text| *text);
    text.expect("a panic with values has a String")
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_registry_that_is_down() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let address = format!("127.0.0.1:{}", lasting_port());
    let image = format!("{address}/policies/app@sha256:{}", "a1".repeat(32));
    for kind in KINDS {
        let policy = signature_policy(kind, &format!("{address}/policies/*"));
        let said = fails(|| policy.judge(&peers, &image));
        assert!(said.contains("connection refused"), "{kind:?}: {said}");
    }
}

/// An ImageValidatingPolicy says then that nobody has signed.
#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_mirror_of_trusted_roots_that_is_down() {
    let (Some((logged, sigstore)), Some(peers)) = (Gallery::logged(), Peers::find()) else {
        return;
    };
    let mirror = Mirrored::of(sigstore);
    let kind = Kind::KyvernoImageValidating;
    let flags = mirror.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let flags = [BUNDLE_SIGNATURE, &flags].concat();
    let policy = Rendered::make(kind, &flags, &Gallery::shared().pattern());
    let image = logged.image(Role::BundleLogged);
    drop(mirror);
    let said = fails(|| policy.judge(&peers, image));
    assert!(said.contains("is no verdict"), "{said}");
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_policy_about_other_images() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let image = Gallery::shared().image(Role::Unsigned);
    // Kyverno says that an image passes which an ImageValidatingPolicy does not match: the refusals of the table show that ours do.
    let kinds = KINDS.into_iter();
    for kind in kinds.filter(|kind| *kind != Kind::KyvernoImageValidating) {
        let policy = signature_policy(kind, "registry.example.com/team/*");
        let said = fails(|| policy.judge(&peers, image));
        assert!(said.contains("concerns the image"), "{kind:?}: {said}");
    }
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_policy_without_a_rule() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, "").expect("the folder is ours");
    let image = Gallery::shared().image(Role::Unsigned);
    let said = fails(|| peers.kyverno.judge(&policy, image));
    assert!(said.contains("loaded no rule"), "{said}");
    let policy = folder.path().join("policy.rego");
    fs::write(&policy, "package elsewhere\n").expect("the folder is ours");
    let said = fails(|| peers.opa.judge(&policy, "data.tekseal.allow", "{}"));
    assert!(said.contains("loaded no rule"), "{said}");
}
