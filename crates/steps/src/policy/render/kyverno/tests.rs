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
    for query in [
        "builder.id == 'https://tekton.dev/chains/v2'",
        "buildType == 'tekton.dev/v1/PipelineRun'",
    ] {
        let whole = format!("key: \"{{{{ {query} }}}}\"\n");
        assert!(v02.contains(&whole), "{whole}\n{v02}");
    }
    assert_eq!(v02.matches("value: true\n").count(), 2, "{v02}");
    assert!(
        v02.contains("\"{{ length(materials[?uri == 'git+https://git.example/team/app.git' || "),
        "{v02}"
    );
    let v1 = conditions_of(Version::V1, all_rules);
    assert!(v1.contains("key: \"{{ runDetails.builder.id == '"), "{v1}");
    assert!(
        v1.contains("buildDefinition.resolvedDependencies[?uri == "),
        "{v1}"
    );
}

#[test]
fn one_of_several_is_asked_for_without_wildcards_and_variables() {
    let text = conditions_of(Version::V02, |draft| {
        draft.builder_ids = vec!["urn:a".to_owned(), "urn:b".to_owned()];
    });
    let wanted = "key: \"{{ builder.id == 'urn:a' || builder.id == 'urn:b' }}\"\n";
    assert!(text.contains(wanted), "{text}");
    // What a variable gives would be substituted again.
    assert!(!text.contains("{{ builder.id }}"), "{text}");
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
    for hostile in ["urn:{{x}}", "urn:$(x)", "urn:a'"] {
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

#[test]
fn among_bundles_a_signature_is_the_statement_that_is_one() {
    for rules in [None, Some(rules(Version::V1, all_rules))] {
        let has_rules = rules.is_some();
        let policy = Policy {
            layout: Layout::Bundle,
            ..samples::policy(rules)
        };
        let text = rendered(&policy);
        assert!(
            text.contains("- type: https://sigstore.dev/cosign/sign/v1\n"),
            "{text}"
        );
        let keys = if has_rules { 3 } else { 2 };
        assert_eq!(text.matches("publicKeys: |\n").count(), keys, "{text}");
    }
}

#[test]
fn logs_and_authorities_of_bundles_are_sigstores_or_nobodys() {
    let bundled = |policy: Policy| Policy {
        layout: Layout::Bundle,
        ..policy
    };
    for policy in [samples::logged(None), samples::keyless(None)] {
        let error = render(&bundled(policy)).expect_err("Kyverno does not read them");
        assert!(error.to_string().contains("of your own"), "{error}");
    }
    let mut public = bundled(samples::keyless(None));
    let root = public.root.as_mut().expect("it has one");
    root.is_public = true;
    rendered(&public);
}

#[test]
fn images_of_docker_hub_are_known_by_all_their_names() {
    let of = |text: &str| image_references(&Pattern::parse(text).expect(text));
    let nginx = of("docker.io/library/nginx").expect("one repository");
    for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        for name in ["library/nginx:*", "library/nginx@*", "nginx:*", "nginx@*"] {
            let wanted = format!("{host}/{name}");
            assert!(nginx.contains(&wanted), "{wanted}: {nginx:?}");
        }
    }
    let team = of("docker.io/team/*").expect("those of an owner");
    assert_eq!(
        team,
        [
            "docker.io/team/*",
            "index.docker.io/team/*",
            "registry-1.docker.io/team/*"
        ]
    );
    assert!(of("docker.io/*").is_ok() && of("docker.io/librarian/*").is_ok());
    assert!(of("quay.io/library/*").is_ok());
    for text in [
        "docker.io/library/*",
        "docker.io/library/ngi*",
        "index.docker.io/lib*",
        "docker.io/library*",
    ] {
        let refused = of(text).expect_err(text).to_string();
        assert!(refused.contains("without it too"), "{refused}");
    }
}
