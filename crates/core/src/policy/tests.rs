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
fn a_repository_is_one_with_and_without_git_and_nothing_else_is() {
    let of = |uri: &str| {
        let materials = json!([{"uri": uri, "digest": {"sha1": COMMIT}}]);
        only(
            of_source(),
            PROVENANCE_V02,
            &with(&v02(), "/materials", materials),
        )
        .passed
    };
    for uri in rules(of_source()).source_uris() {
        assert!(of(&uri), "{uri}");
        assert!(same_repository(REPOSITORY, &uri), "{uri}");
        assert!(of(&format!("{uri}@refs/heads/main")), "{uri}");
    }
    for uri in [
        "https://evil.example.com/x?git+https://git.example.com/acme/app",
        "https://evil.example.com/x#https://git.example.com/acme/app",
        "https://git.example.com/acme/app@evil.example.com/x",
        "https://git.example.com@refs/acme/app",
        "https://git.example.com/acme/app/",
        "https://git.example.com/acme/app2",
        "https://git.example.com/acme/App",
        "https://git.example.com/acme/app.git.git",
        "git+git+https://git.example.com/acme/app",
        "https://git.example.com/acme/app?x@refs/heads/main",
        "https://git.example.com/acme/app\0",
        "http://git.example.com/acme/app",
        "https://user@git.example.com/acme/app",
        "https://git.example.com/acme/../evil/app",
        "git@git.example.com:acme/app",
        "",
    ] {
        assert!(!of(uri), "{uri}");
        assert!(!same_repository(REPOSITORY, uri), "{uri}");
    }
}

#[test]
fn where_the_source_is_another_the_answer_names_some() {
    let materials = |count: usize| -> Value {
        let git = (0..count).map(|at| json!({"uri": format!("git+https://evil.example.com/{at}")}));
        let image = json!({"uri": "oci://registry.example.com/tools"});
        git.chain([image]).collect()
    };
    let found = |count| {
        let predicate = with(&v02(), "/materials", materials(count));
        only(of_source(), PROVENANCE_V02, &predicate).found
    };
    assert_eq!(found(0), "no repository");
    assert_eq!(found(1), "git+https://evil.example.com/0");
    assert!(found(5).ends_with("git+https://evil.example.com/2 and 2 more"));
}

#[test]
fn a_ref_is_a_commit_or_a_full_name_and_all_materials_of_the_repository_have_it() {
    let of = |reference: &str, materials: Value| {
        let draft = Draft {
            source_ref: Some(reference.to_owned()),
            ..of_source()
        };
        let one = [statement(
            PROVENANCE_V02,
            &with(&v02(), "/materials", materials),
        )];
        passes(draft, &one)
    };
    let at = |uri: &str, digest: Value| json!({"uri": uri, "digest": digest});
    let other = "f".repeat(40);
    assert!(of(COMMIT, json!([at(REPOSITORY, json!({"sha1": COMMIT}))])));
    assert!(of(
        COMMIT,
        json!([at(REPOSITORY, json!({"gitCommit": COMMIT}))])
    ));
    let sha256 = "a".repeat(64);
    let both = json!({"sha1": COMMIT, "sha256": sha256});
    assert!(of(COMMIT, json!([at(REPOSITORY, both.clone())])));
    assert!(of(&sha256, json!([at(REPOSITORY, both)])));
    let main = format!("git+{REPOSITORY}.git@refs/heads/main");
    assert!(of("refs/heads/main", json!([at(&main, json!({}))])));

    assert!(!of("refs/heads/mai", json!([at(&main, json!({}))])));
    assert!(!of(
        "refs/heads/main",
        json!([at(REPOSITORY, json!({"sha1": COMMIT}))])
    ));
    assert!(!of(COMMIT, json!([at(REPOSITORY, json!({}))])));
    assert!(!of(COMMIT, json!([at(REPOSITORY, json!({"md5": COMMIT}))])));
    assert!(!of(
        COMMIT,
        json!([at(REPOSITORY, json!({"sha1": COMMIT.to_uppercase()}))])
    ));
    let two_names = json!({"sha1": COMMIT, "gitCommit": other});
    assert!(!of(COMMIT, json!([at(REPOSITORY, two_names)])));
    let elsewhere = at("https://evil.example.com/x", json!({"sha1": COMMIT}));
    assert!(!of(
        COMMIT,
        json!([elsewhere, at(REPOSITORY, json!({"sha1": other}))])
    ));
    let two = json!([
        at(REPOSITORY, json!({"sha1": COMMIT})),
        at(&main, json!({"sha1": other}))
    ]);
    assert!(!of(COMMIT, two));
}

#[test]
fn a_run_of_which_one_task_did_not_succeed_did_not() {
    let succeeded = || Draft {
        require_success: true,
        ..Draft::default()
    };
    let tasks = |tasks: Value| {
        let predicate = with(&v02(), "/buildConfig/tasks", tasks);
        only(succeeded(), PROVENANCE_V02, &predicate)
    };
    let good = json!({"status": "Succeeded"});
    assert_eq!(tasks(json!([good])).found, "1 of 1 tasks");
    for (list, found, path) in [
        (
            json!([good, {"status": "Failed"}]),
            "Failed",
            "predicate.buildConfig.tasks[1].status",
        ),
        (
            json!([good, {}]),
            "nothing",
            "predicate.buildConfig.tasks[1].status",
        ),
        (
            json!([{"status": "succeeded"}]),
            "succeeded",
            "predicate.buildConfig.tasks[0].status",
        ),
        (
            json!([]),
            "no task whose status is told",
            "predicate.buildConfig.tasks",
        ),
        (
            json!(null),
            "no task whose status is told",
            "predicate.buildConfig.tasks",
        ),
    ] {
        let check = tasks(list.clone());
        assert_eq!(
            (check.passed, check.found.as_str(), check.path.as_str()),
            (false, found, path),
            "{list}"
        );
    }
    for wrong in [
        json!({}),
        json!([["Succeeded"]]),
        json!([{"status": true}]),
        json!(["Succeeded"]),
    ] {
        assert!(!tasks(wrong.clone()).passed, "{wrong}");
    }
    // Of a TaskRun v0.2 tells the steps.
    let steps = with(&v02(), "/buildConfig", json!({"steps": [{}]}));
    assert!(!only(succeeded(), PROVENANCE_V02, &steps).passed);
}

#[test]
fn v1_tells_success_in_the_runs_of_its_tasks() {
    let succeeded = || Draft {
        require_success: true,
        ..Draft::default()
    };
    let check = |contents: &[String]| {
        let list: Value = contents
            .iter()
            .map(|content| json!({"name": "pipelineTask", "content": content}))
            .collect();
        let predicate = with(&v1(), "/buildDefinition/resolvedDependencies", list);
        only(succeeded(), PROVENANCE_V1, &predicate)
    };
    let encoded = |run: &str| STANDARD.encode(run);
    assert_eq!(
        check(&[task_run("True"), task_run("True")]).found,
        "2 of 2 tasks"
    );
    let failed = check(&[task_run("True"), task_run("False")]);
    assert_eq!(
        (failed.passed, failed.found.as_str()),
        (false, "Succeeded=False")
    );
    assert_eq!(
        failed.path,
        "predicate.buildDefinition.resolvedDependencies[1].content"
    );
    let two = r#"{"status":{"conditions":[{"type":"Succeeded","status":"True"},{"type":"Succeeded","status":"False"}]}}"#;
    let twice =
        r#"{"status":{"conditions":[{"type":"Succeeded","status":"False","status":"True"}]}}"#;
    let deep = "[".repeat(100_000);
    for content in [
        String::new(),
        "not base64".to_owned(),
        encoded("{}"),
        encoded(r#"{"status":{"conditions":[]}}"#),
        encoded(two),
        encoded(twice),
        encoded(&deep),
    ] {
        let check = check(&[task_run("True"), content.clone()]);
        assert!(!check.passed, "{content:.60}");
    }
    assert!(!check(&[]).passed);
    let plain = with(
        &v1(),
        "/buildDefinition/buildType",
        json!("https://tekton.dev/chains/v2/slsa"),
    );
    let check = only(succeeded(), PROVENANCE_V1, &plain);
    assert_eq!(check.found, "a build type that does not tell");
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
            "9999-12-31T23:59:59Z, 2912437 days in the future",
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
        .map(|c| (c.name, c.passed, c.wanted.as_str()))
        .collect();
    let wanted = [
        ("type", false, PROVENANCE_V1),
        ("type", true, "https://spdx.dev/Document"),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn rules_that_contradict_each_other_or_never_hold_are_refused_by_name() {
    let list = |text: &str| vec![text.to_owned()];
    let text = |text: &str| Some(text.to_owned());
    #[rustfmt::skip]
    let cases = [
        (Draft { builder_ids: list(""), ..Draft::default() }, "the builder id is empty"),
        (Draft { builder_ids: list("https://x\0"), ..Draft::default() }, "a character that is not seen"),
        (Draft { builder_ids: list("https://x y"), ..Draft::default() }, "has a blank"),
        (Draft { builder_ids: list("https://x/*"), ..Draft::default() }, "has a wildcard"),
        (Draft { builder_ids: list(&"x".repeat(MOST_TEXT + 1)), ..Draft::default() }, "has more than 2048 bytes"),
        (Draft { build_types: vec!["t".to_owned(); MOST_VALUES + 1], ..Draft::default() }, "the build type has 101 values"),
        (Draft { predicate_types: list("provenance"), ..Draft::default() }, "is not a URI"),
        (Draft { predicate_types: list(SIGN_PREDICATE), ..Draft::default() }, "that of image signatures"),
        (Draft { source_repository: text(""), ..Draft::default() }, "the source repository is empty"),
        (Draft { source_repository: text("git+.git"), ..Draft::default() }, "the source repository is empty"),
        (Draft { source_repository: text("https://h/r@refs/heads/main"), ..Draft::default() }, "names a ref"),
        (Draft { source_ref: text("refs/heads/main"), ..Draft::default() }, "without a source repository"),
        (Draft { source_ref: text("main"), ..of_source() }, "neither a commit"),
        (Draft { source_ref: text("refs/"), ..of_source() }, "neither a commit"),
        (Draft { source_ref: text(&"A".repeat(40)), ..of_source() }, "neither a commit"),
        (Draft { source_ref: text(""), ..of_source() }, "the source ref is empty"),
        (Draft { max_age: Some(Duration::ZERO), ..Draft::default() }, "the age is zero"),
        (Draft { provenance: Some(Version::V1), build_types: list("tekton.dev/v1/TaskRun"), ..Draft::default() }, "provenance v1 is asked for"),
        (Draft { provenance: Some(Version::V02), build_types: list("https://tekton.dev/chains/v2/slsa"), ..Draft::default() }, "provenance v0.2 is asked for"),
        (Draft { require_success: true, build_types: list("tekton.dev/v1/TaskRun"), ..Draft::default() }, "does not say how a run ended"),
    ];
    for (draft, wanted) in cases {
        let told = Rules::new(draft).expect_err(wanted).to_string();
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    let mixed = Draft {
        provenance: Some(Version::V1),
        build_types: vec![
            "tekton.dev/v1/TaskRun".to_owned(),
            "https://example.com/t".to_owned(),
        ],
        ..Draft::default()
    };
    assert!(Rules::new(mixed).is_ok());
    let twice = Draft {
        builder_ids: vec![BUILDER.to_owned(); 2],
        ..Draft::default()
    };
    assert_eq!(rules(twice).builder_ids, [BUILDER]);
    assert!(rules(Draft::default()).is_empty());
}
