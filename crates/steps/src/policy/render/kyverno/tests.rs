//! What Kyverno is given, and what it is not.

use tekseal_core::policy::Draft;

use super::super::samples::{self, HOSTILE, all_rules, any, rules};
use super::*;

fn rendered(policy: &Policy) -> String {
    render(policy).expect("Kyverno can hold it").document()
}

fn refused(policy: &Policy) -> String {
    render(policy)
        .expect_err("Kyverno cannot hold it")
        .to_string()
}

fn conditions_of(version: Version, change: impl FnOnce(&mut Draft)) -> String {
    let text = rendered(&samples::policy(Some(rules(version, change))));
    let (_, conditions) = text.split_once("conditions:\n").expect("it has some");
    conditions.to_owned()
}

#[test]
fn a_signature_alone_has_no_attestations() {
    let text = rendered(&samples::policy(None));
    assert!(!text.contains("attestations"), "{text}");
    assert!(text.contains("ignoreTlog: true") && text.contains("ignoreSCT: true"));
    assert!(text.contains("imageReferences:\n            - \"registry.example/team/*\"\n"));
    assert!(text.contains("type: Cosign\n"));
}

#[test]
fn the_attestors_of_the_image_are_repeated_for_each_attestation() {
    let change = |draft: &mut Draft| {
        all_rules(draft);
        draft.predicate_types = vec!["https://spdx.dev/Document".to_owned()];
    };
    let text = rendered(&samples::policy(Some(rules(Version::V1, change))));
    assert_eq!(text.matches("publicKeys: |\n").count(), 3, "{text}");
    assert_eq!(text.matches("ignoreTlog: true").count(), 3, "{text}");
    assert!(text.contains("type: https://spdx.dev/Document\n"), "{text}");
}

#[test]
fn the_members_are_those_of_the_version() {
    let v02 = conditions_of(Version::V02, all_rules);
    assert!(v02.contains("key: \"{{ builder.id }}\"\n"), "{v02}");
    assert!(v02.contains("key: \"{{ buildType }}\"\n"), "{v02}");
    assert!(
        v02.contains("\"{{ length(materials[?uri == 'git+https://git.example/team/app.git' || "),
        "{v02}"
    );
    let v1 = conditions_of(Version::V1, all_rules);
    assert!(
        v1.contains("key: \"{{ runDetails.builder.id }}\"\n"),
        "{v1}"
    );
    assert!(
        v1.contains("buildDefinition.resolvedDependencies[?uri == "),
        "{v1}"
    );
}

#[test]
fn one_of_several_is_asked_for_without_wildcards() {
    let text = conditions_of(Version::V02, |draft| {
        draft.builder_ids = vec!["urn:a".to_owned(), "urn:b".to_owned()];
    });
    assert!(text.trim_start().starts_with("- any:\n"), "{text}");
    assert_eq!(text.matches("operator: Equals").count(), 2, "{text}");
    assert!(!text.contains("AnyIn"), "{text}");
}

#[test]
fn a_run_that_succeeded_and_its_age_are_asked_for_where_provenance_tells() {
    let text = conditions_of(Version::V02, |draft| {
        draft.require_success = true;
        draft.max_age = Some(std::time::Duration::from_secs(3600));
    });
    assert!(
        text.contains("{{ length(buildConfig.tasks[?status == 'Succeeded']) }}"),
        "{text}"
    );
    assert!(
        text.contains("{{ time_since('', metadata.buildFinishedOn, '') }}"),
        "{text}"
    );
    assert!(
        text.contains("value: \"3600s\"\n") || text.contains("value: 3600s\n"),
        "{text}"
    );
    let policy = samples::policy(Some(rules(Version::V1, |draft| {
        draft.require_success = true
    })));
    assert!(refused(&policy).starts_with("kyverno cannot hold --succeeded"));
}

#[test]
fn a_log_and_certificates_are_those_that_are_given() {
    let text = rendered(&samples::logged(None));
    assert!(text.contains("url: https://rekor.example\n"), "{text}");
    assert!(
        text.contains("pubkey: |\n") && !text.contains("ignoreTlog"),
        "{text}"
    );
    let text = rendered(&samples::keyless(None));
    assert!(text.contains("subject: builder@team.example\n"), "{text}");
    assert!(
        text.contains("roots: |\n") && text.contains("ctlog:\n"),
        "{text}"
    );
    assert!(!text.contains("ignore"), "{text}");
    let mut public = samples::keyless(None);
    public.log = None;
    public.root.as_mut().expect("it has one").is_public = true;
    assert!(rendered(&public).contains("url: https://rekor.sigstore.dev\n"));
}

#[test]
fn what_it_cannot_hold_is_refused_by_name() {
    assert!(refused(&samples::policy(Some(rules(Version::V1, any)))).contains("any statement"));
    let mut policy = samples::policy(None);
    policy.images = vec![Pattern::parse("*.example.com").expect("a pattern")];
    assert!(refused(&policy).contains("domain"));
    let change = |draft: &mut Draft| {
        all_rules(draft);
        draft.provenance = None;
    };
    let policy = samples::policy(Some(rules(Version::V1, change)));
    assert!(refused(&policy).contains("which provenance"));
}

#[test]
fn a_hostile_value_is_one_scalar_or_refused() {
    let of = |change: &dyn Fn(&mut Draft)| {
        let policy = samples::policy(Some(rules(Version::V02, change)));
        render(&policy).map(|node| node.document().lines().count())
    };
    let of_builder = |id: &str| of(&|draft| draft.builder_ids = vec![id.to_owned()]);
    let of_source =
        |uri: &str| of(&|draft| draft.source_repository = Some(format!("https://h/{uri}")));
    for hostile in HOSTILE {
        match of_builder(hostile) {
            Ok(lines) => assert_eq!(Some(lines), of_builder("urn:x").ok(), "{hostile}"),
            Err(refusal) => assert!(refusal.to_string().contains("--builder-id")),
        }
        match of_source(hostile) {
            Ok(lines) => {
                assert_eq!(Some(lines), of_source("urn:x").ok(), "{hostile}");
                assert!(!hostile.contains(['\'', '\\', '`', '{', '}']), "{hostile}");
            }
            Err(refusal) => assert!(refusal.to_string().contains("--source-repository")),
        }
    }
    for hostile in ["urn:{{x}}", "urn:$(x)", "urn:a?"] {
        assert!(of_builder(hostile).is_err(), "{hostile}");
    }
}

#[test]
fn a_policy_that_only_reports_changes_nothing() {
    let mut policy = samples::policy(None);
    policy.action = Action::Audit;
    let text = rendered(&policy);
    assert!(
        text.contains("failureAction: Audit\n          mutateDigest: false\n"),
        "{text}"
    );
}
