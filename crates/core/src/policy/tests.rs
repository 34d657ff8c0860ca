//! Rules over statements as Chains writes them, and as somebody prepared them.

mod refused;
mod source;
mod success;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::cosign::SIGN_PREDICATE;
use crate::provenance::{PROVENANCE_V1, PROVENANCE_V02, Version};
use crate::statement::Statement;

const BUILDER: &str = "https://tekton.dev/chains/v2";
const REPOSITORY: &str = "https://git.example.com/acme/app";
const COMMIT: &str = "6b1f53303a732ccc8c6aae6640399827c15250e3";
/// `2026-03-01T10:05:00Z`
const FINISHED: i64 = 1_772_359_500;

fn v02() -> Value {
    json!({
        "builder": {"id": BUILDER},
        "buildType": "tekton.dev/v1/PipelineRun",
        "buildConfig": {"tasks": [{"name": "clone", "status": "Succeeded"}, {"name": "build", "status": "Succeeded"}]},
        "materials": [
            {"uri": "oci://registry.example.com/tools/build", "digest": {"sha256": "1d"}},
            {"uri": format!("git+{REPOSITORY}.git"), "digest": {"sha1": COMMIT}},
        ],
        "metadata": {"buildFinishedOn": "2026-03-01T10:05:00Z"},
    })
}

fn task_run(status: &str) -> String {
    let run = json!({"kind": "TaskRun", "status": {"conditions": [{"type": "Succeeded", "status": status}]}});
    STANDARD.encode(run.to_string())
}

fn v1() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://tekton.dev/chains/v2/slsa-tekton",
            "externalParameters": {"runSpec": {}},
            "resolvedDependencies": [
                {"uri": format!("git+{REPOSITORY}.git"), "digest": {"sha1": COMMIT}, "name": "inputs/result"},
                {"name": "pipelineTask", "content": task_run("True")},
            ],
        },
        "runDetails": {"builder": {"id": BUILDER}, "metadata": {"finishedOn": "2026-03-01T10:05:00Z"}},
    })
}

fn statement(predicate_type: &str, predicate: &Value) -> Statement {
    let text = json!({"_type": "t", "subject": [{"name": "a"}, {"name": "b"}], "predicateType": predicate_type, "predicate": predicate});
    Statement::parse(text.to_string().as_bytes()).expect("the test's statement")
}

/// All rules on provenance.
fn everything() -> Draft {
    Draft {
        builder_ids: vec![BUILDER.to_owned()],
        build_types: vec![
            "tekton.dev/v1/PipelineRun".to_owned(),
            "https://tekton.dev/chains/v2/slsa-tekton".to_owned(),
        ],
        source_repository: Some(REPOSITORY.to_owned()),
        source_ref: Some(COMMIT.to_owned()),
        require_success: true,
        max_age: Some(Duration::from_secs(3600)),
        ..Draft::default()
    }
}

fn rules(draft: Draft) -> Rules {
    Rules::new(draft).expect("the test's rules")
}

fn checks(draft: Draft, statements: &[Statement]) -> Vec<Check> {
    let rules = rules(draft);
    let judged: Vec<_> = statements
        .iter()
        .map(|statement| rules.judge(statement, FINISHED + 60))
        .collect();
    rules.conclude(&judged)
}

fn passes(draft: Draft, statements: &[Statement]) -> bool {
    checks(draft, statements).iter().all(|check| check.passed)
}

/// The names of the rules that do not hold.
fn failing(draft: Draft, statements: &[Statement]) -> Vec<&'static str> {
    let checks = checks(draft, statements).into_iter();
    checks
        .filter(|check| !check.passed)
        .map(|check| check.name)
        .collect()
}

/// The only rule of the draft, of one statement.
fn only(draft: Draft, predicate_type: &str, predicate: &Value) -> Check {
    let mut checks = checks(draft, &[statement(predicate_type, predicate)]);
    assert_eq!(checks.len(), 2, "{checks:?}");
    checks.remove(1)
}

fn with(predicate: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = predicate.clone();
    *changed.pointer_mut(pointer).expect(pointer) = value;
    changed
}

fn of_builder() -> Draft {
    Draft {
        builder_ids: vec![BUILDER.to_owned()],
        ..Draft::default()
    }
}

fn of_source() -> Draft {
    Draft {
        source_repository: Some(REPOSITORY.to_owned()),
        ..Draft::default()
    }
}

#[test]
fn what_chains_writes_satisfies_all_rules_and_tells_where() {
    for (predicate_type, predicate, places) in [
        (
            PROVENANCE_V02,
            v02(),
            [
                "predicateType",
                "predicate.builder.id",
                "predicate.buildType",
                "predicate.materials[1].uri",
                "predicate.materials[1].digest.sha1",
                "predicate.buildConfig.tasks[*].status",
                "predicate.metadata.buildFinishedOn",
            ],
        ),
        (
            PROVENANCE_V1,
            v1(),
            [
                "predicateType",
                "predicate.runDetails.builder.id",
                "predicate.buildDefinition.buildType",
                "predicate.buildDefinition.resolvedDependencies[0].uri",
                "predicate.buildDefinition.resolvedDependencies[0].digest.sha1",
                "predicate.buildDefinition.resolvedDependencies[*].content",
                "predicate.runDetails.metadata.finishedOn",
            ],
        ),
    ] {
        let checks = checks(everything(), &[statement(predicate_type, &predicate)]);
        let failing: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
        assert!(failing.is_empty(), "{failing:?}");
        let found: Vec<_> = checks.iter().map(|check| check.path.as_str()).collect();
        assert_eq!(found, places);
        assert_eq!(checks[6].found, "2026-03-01T10:05:00Z, 60 seconds ago");
        assert!(checks.iter().all(|check| check.statement == Some(0)));
    }
}

#[test]
fn what_lacks_a_field_satisfies_no_rule_on_it() {
    let all = [
        "builder",
        "build-type",
        "source-repository",
        "source-ref",
        "succeeded",
        "age",
    ];
    let nulls = json!({"builder": null, "buildType": null, "materials": null, "metadata": null, "buildConfig": null});
    let empty = json!({"builder": {"id": ""}, "buildType": "", "materials": [{"uri": ""}], "metadata": {"buildFinishedOn": ""},
        "buildConfig": {"tasks": []}});
    for predicate in [json!({}), nulls, empty] {
        let one = [statement(PROVENANCE_V02, &predicate)];
        assert_eq!(failing(everything(), &one), all, "{predicate}");
    }
    assert_eq!(
        failing(everything(), &[statement(PROVENANCE_V1, &json!({}))]),
        all
    );
}

#[test]
fn a_predicate_of_another_shape_satisfies_no_rule() {
    let shapes = [
        json!([]),
        json!("text"),
        json!({"builder": "b"}),
        with(&v02(), "/builder/id", json!(1)),
        with(&v02(), "/materials", json!({})),
    ];
    for predicate in shapes {
        let one = [statement(PROVENANCE_V02, &predicate)];
        assert_eq!(failing(everything(), &one).len(), 6, "{predicate}");
    }
    let text = format!(r#"{{"_type":"t","predicateType":"{PROVENANCE_V1}"}}"#);
    let bare = Statement::parse(text.as_bytes()).expect("a statement");
    assert_eq!(failing(everything(), &[bare]).len(), 6);
}

#[test]
fn nothing_and_statements_of_other_types_are_no_provenance() {
    let names = |checks: Vec<Check>| checks.into_iter().map(|c| c.found).collect::<Vec<_>>();
    assert_eq!(
        names(checks(of_builder(), &[])),
        ["nothing", "no provenance"]
    );
    let other = statement("https://example.com/provenance", &v02());
    assert_eq!(
        names(checks(of_builder(), &[other.clone(), other.clone()])),
        ["only https://example.com/provenance", "no provenance"]
    );
    let many: Vec<_> = (0..5)
        .map(|at| statement(&format!("https://example.com/{at}\u{430}"), &v02()))
        .collect();
    let told = &names(checks(of_builder(), &many))[0];
    assert!(
        told.ends_with("https://example.com/2\\u{430} and 2 more"),
        "{told}"
    );
    assert_eq!(
        failing(of_builder(), std::slice::from_ref(&other)),
        ["provenance", "builder"]
    );
    // Beside provenance they do no harm.
    assert!(passes(
        of_builder(),
        &[other, statement(PROVENANCE_V02, &v02())]
    ));
}

#[test]
fn the_provenance_that_is_asked_for_is_the_only_one_that_counts() {
    let v1_alone = || Draft {
        provenance: Some(Version::V1),
        ..of_builder()
    };
    let evil = with(&v02(), "/builder/id", json!("https://evil.example.com"));
    let evil = statement(PROVENANCE_V02, &evil);
    let good = statement(PROVENANCE_V1, &v1());
    assert!(passes(v1_alone(), &[evil.clone(), good.clone()]));
    assert!(!passes(of_builder(), &[evil.clone(), good]));
    assert_eq!(failing(v1_alone(), &[evil]), ["provenance", "builder"]);
}

#[test]
fn another_builder_is_another_however_alike_it_looks() {
    for (evil, told) in [
        (
            "https://tekton.dev/chains/v2\0",
            "https://tekton.dev/chains/v2\\u{0}",
        ),
        (
            "https://tekton.dev/chains/v2/",
            "https://tekton.dev/chains/v2/",
        ),
        (
            "https://Tekton.dev/chains/v2",
            "https://Tekton.dev/chains/v2",
        ),
        (
            "HTTPS://tekton.dev/chains/v2",
            "HTTPS://tekton.dev/chains/v2",
        ),
        (
            "https://t\u{435}kton.dev/chains/v2",
            "https://t\\u{435}kton.dev/chains/v2",
        ),
        (
            " https://tekton.dev/chains/v2",
            " https://tekton.dev/chains/v2",
        ),
        (
            "https://tekton.dev/chains/v2\n",
            "https://tekton.dev/chains/v2\\u{a}",
        ),
        (
            "https://tekton.dev/chains/v2\u{200b}",
            "https://tekton.dev/chains/v2\\u{200b}",
        ),
        (
            "https://tekton.dev/chains/v2\\u{0}",
            "https://tekton.dev/chains/v2\\\\u{0}",
        ),
    ] {
        let check = only(
            of_builder(),
            PROVENANCE_V02,
            &with(&v02(), "/builder/id", json!(evil)),
        );
        assert!(!check.passed, "{evil:?}");
        assert_eq!(check.found, told);
    }
    let long = with(&v02(), "/builder/id", json!("x".repeat(1 << 20)));
    let found = only(of_builder(), PROVENANCE_V02, &long).found;
    assert_eq!(found.len(), 259);
}

#[test]
fn members_that_look_like_the_builder_are_not_read() {
    let mut predicate = v02();
    predicate["builder"] = json!({"ID": BUILDER, "id": "https://evil.example.com"});
    predicate["Builder"] = json!({"id": BUILDER});
    assert!(!only(of_builder(), PROVENANCE_V02, &predicate).passed);
    // That of the other version is none either.
    let mut predicate = v1();
    predicate["builder"] = json!({"id": BUILDER});
    predicate["runDetails"]["builder"]["id"] = json!("https://evil.example.com");
    assert!(!only(of_builder(), PROVENANCE_V1, &predicate).passed);
}

#[test]
fn a_build_is_too_old_or_of_the_future() {
    let check = |finished: &str| {
        let draft = Draft {
            max_age: Some(Duration::from_secs(3600)),
            ..Draft::default()
        };
        only(
            draft,
            PROVENANCE_V02,
            &with(&v02(), "/metadata/buildFinishedOn", json!(finished)),
        )
    };
    for (finished, passed, found) in [
        (
            "2026-03-01T10:05:00Z",
            true,
            "2026-03-01T10:05:00Z, 60 seconds ago",
        ),
        (
            "2026-03-01T09:06:00Z",
            true,
            "2026-03-01T09:06:00Z, 60 minutes ago",
        ),
        (
            "2026-03-01T09:05:59Z",
            false,
            "2026-03-01T09:05:59Z, 60 minutes ago",
        ),
        (
            "2026-02-01T09:05:00Z",
            false,
            "2026-02-01T09:05:00Z, 28 days ago",
        ),
        (
            "2026-03-01T10:10:00Z",
            true,
            "2026-03-01T10:10:00Z, 0 seconds ago",
        ),
        (
            "2026-03-01T10:12:00Z",
            false,
            "2026-03-01T10:12:00Z, 6 minutes in the future",
        ),
        (
            "9999-12-31T23:59:59Z",
            false,
            "9999-12-31T23:59:59Z, 2912383 days in the future",
        ),
        ("yesterday", false, "no time: yesterday"),
        ("", false, "nothing"),
    ] {
        let check = check(finished);
        assert_eq!(
            (check.passed, check.found.as_str()),
            (passed, found),
            "{finished}"
        );
    }
}

#[test]
fn of_several_statements_all_must_hold_or_any_one_for_all_rules() {
    let foreign = "https://evil.example.com";
    let good = statement(PROVENANCE_V02, &v02());
    let evil = statement(PROVENANCE_V02, &with(&v02(), "/builder/id", json!(foreign)));
    let failed = with(&v02(), "/buildConfig/tasks/0/status", json!("Failed"));
    let failed = statement(PROVENANCE_V02, &failed);
    let both = [good.clone(), evil.clone()];
    let any = || Draft {
        quantifier: Quantifier::Any,
        ..everything()
    };
    assert_eq!(failing(everything(), &both), ["builder"]);
    let all = checks(everything(), &both);
    assert_eq!(
        (all[1].found.as_str(), all[1].statement),
        (foreign, Some(1))
    );
    assert_eq!((all[1].statements, all[1].failing), (2, 1));

    let told = checks(any(), &[evil.clone(), good]);
    assert!(told.iter().all(|check| check.passed), "{told:?}");
    assert_eq!(told[1].statement, Some(1));
    // Each rule is satisfied by some statement, and no statement satisfies all.
    assert_eq!(failing(any(), &[evil, failed]), ["builder"]);
    assert_eq!(failing(any(), &[]).len(), 7);
}

#[test]
fn each_predicate_type_must_be_attested() {
    let types = |types: &[&str]| Draft {
        predicate_types: types.iter().map(|&text| text.to_owned()).collect(),
        ..Draft::default()
    };
    let spdx = statement("https://spdx.dev/Document", &json!({}));
    let one = std::slice::from_ref(&spdx);
    assert!(passes(types(&["https://spdx.dev/Document"]), one));
    assert!(!passes(types(&["https://spdx.dev/document"]), one));
    let told = checks(types(&["https://spdx.dev/Document", PROVENANCE_V1]), one);
    let told: Vec<_> = told
        .iter()
        .map(|c| (c.name, c.passed, c.wanted.as_str(), c.found.as_str()))
        .collect();
    let document = "https://spdx.dev/Document";
    let wanted = [
        (
            "type",
            false,
            PROVENANCE_V1,
            "only https://spdx.dev/Document",
        ),
        ("type", true, document, document),
    ];
    assert_eq!(told, wanted);
}
