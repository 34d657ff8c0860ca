//! Policies that only report: every image runs, and what is said of it is what would be the reason to refuse it.

use tekseal_harness::Verdict;

use super::gallery::Gallery;
use super::rendered::{Kind, Peers, Rendered};
use super::roles::Role::{self, *};
use super::table::{ANY_V1, BUNDLE_ANY_V1, NO_SIGNATURE, NOT_SATISFIED, V1};

fn rendered(kind: Kind, flags: &[&str]) -> Rendered {
    let flags = [flags, &["--action", "audit"]].concat();
    Rendered::make(kind, &flags, &Gallery::shared().pattern())
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_cluster_policy_warns() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let policy = rendered(Kind::Kyverno, V1);
    let gallery = Gallery::shared();
    let told = |role: Role| peers.kyverno.reported(&policy.file(), gallery.image(role));
    assert_eq!(told(AttV1), None);
    for (role, part) in [(Unsigned, NO_SIGNATURE), (AttV1Evil, NOT_SATISFIED)] {
        let reason = told(role).unwrap_or_else(|| panic!("{role:?}: nothing is reported"));
        assert!(reason.contains(part), "{role:?}: {reason}");
    }
}

/// Its CLI tells no difference between reporting and refusing; the policy does.
#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn an_image_validating_policy_audits() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let policy = rendered(Kind::KyvernoImageValidating, BUNDLE_ANY_V1);
    let spec = &peers.opa.yaml(&policy.file())["spec"];
    assert_eq!(spec["validationActions"], serde_json::json!(["Audit"]));
    assert_eq!(spec["validationConfigurations"]["mutateDigest"], false);
    let gallery = Gallery::shared();
    assert_eq!(
        policy.judge(&peers, gallery.image(BundleV1)),
        Verdict::Accepted
    );
    match policy.judge(&peers, gallery.image(BundleV1Evil)) {
        Verdict::Refused(reason) if reason.contains("built by another builder") => {}
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn the_policy_controller_warns() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let policy = rendered(Kind::PolicyController, ANY_V1);
    let gallery = Gallery::shared();
    let told = |role: Role| peers.tester.reported(&policy.file(), gallery.image(role));
    assert_eq!(told(AttV1), None);
    for (role, part) in [
        (Unsigned, NO_SIGNATURE),
        (AttV1Evil, "failed policy validation for provenance"),
    ] {
        let reason = told(role).unwrap_or_else(|| panic!("{role:?}: nothing is reported"));
        assert!(reason.contains(part), "{role:?}: {reason}");
    }
    // The same policy without it refuses both.
    let enforced = Rendered::make(Kind::PolicyController, ANY_V1, &gallery.pattern());
    for role in [Unsigned, AttV1Evil] {
        let verdict = enforced.judge(&peers, gallery.image(role));
        assert!(matches!(verdict, Verdict::Refused(_)), "{role:?}");
    }
}
