//! Rules against provenance that Tekton Chains wrote, and against predicates of any shape and size.
//!
//! `TEKSEAL_GOLDEN` may name a larger folder of golden cases, of the layout of `tests/fixtures/golden`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tekseal_core::policy::{Check, Draft, Rules};
use tekseal_core::provenance::{PROVENANCE_V1, PROVENANCE_V02};
use tekseal_core::{Provenance, Statement};
use tekseal_counting::{Counting, measured};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1024 * 1024;

/// `2026-03-02T00:00:00Z`, within a day of the golden runs.
const NOW: i64 = 1_772_409_600;

/// The payloads that Chains made, with the names of their case and their format.
fn payloads_of_chains() -> Vec<(String, String, Vec<u8>)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let more = env::var_os("TEKSEAL_GOLDEN").map(PathBuf::from);
    let mut found = Vec::new();
    for folder in [golden].into_iter().chain(more) {
        for case in fs::read_dir(&folder).expect("the golden cases are there") {
            let case = case.expect("a readable folder").path();
            for format in ["in-toto", "slsa-v2alpha3", "slsa-v2alpha4"] {
                let path = case.join(format!("expected/{format}.json"));
                if let Ok(bytes) = fs::read(&path) {
                    let name = case.file_name().unwrap_or_default();
                    let name = name.to_string_lossy().into_owned();
                    found.push((name, format.to_owned(), bytes));
                }
            }
        }
    }
    assert!(found.len() > 100, "{}", found.len());
    found
}

fn answers(draft: Draft, statement: &Statement) -> Vec<Check> {
    let rules = Rules::new(draft).expect("the test's rules");
    let judged = rules.judge(statement, NOW);
    rules.conclude(&[judged])
}

fn failing(draft: Draft, statement: &Statement) -> Vec<&'static str> {
    let answers = answers(draft, statement).into_iter();
    answers
        .filter(|check| !check.passed)
        .map(|check| check.name)
        .collect()
}

/// Every rule that needs no value of the statement.
fn everything() -> Draft {
    Draft {
        builder_ids: vec!["https://tekton.dev/chains/v2".to_owned()],
        build_types: vec!["tekton.dev/v1/PipelineRun".to_owned()],
        source_repository: Some("https://git.example.com/acme/app".to_owned()),
        source_ref: Some("6b1f53303a732ccc8c6aae6640399827c15250e3".to_owned()),
        require_success: true,
        max_age: Some(Duration::from_secs(86_400)),
        ..Draft::default()
    }
}

#[test]
fn what_chains_says_of_its_builds_satisfies_rules_that_ask_for_it() {
    for (case, format, bytes) in payloads_of_chains() {
        let statement = Statement::parse(&bytes).expect("Chains' own");
        let provenance = Provenance::of(&statement).expect("well formed");
        let provenance = provenance.expect("provenance");
        let (builder, kind) = (provenance.builder_id, provenance.build_type);
        let finished = provenance.finished_on;
        let finished = finished.filter(|time| time.starts_with("2026-03-01T"));
        let draft = Draft {
            builder_ids: builder.into_iter().filter(|id| !id.is_empty()).collect(),
            build_types: kind.into_iter().filter(|kind| !kind.is_empty()).collect(),
            max_age: finished.map(|_| Duration::from_secs(86_400)),
            ..Draft::default()
        };
        assert_eq!(
            failing(draft, &statement),
            Vec::<&str>::new(),
            "{case} {format}"
        );
    }
}

#[test]
fn the_repository_of_a_pipeline_is_found_in_both_versions() {
    let draft = || Draft {
        require_success: false,
        build_types: Vec::new(),
        ..everything()
    };
    let payloads = payloads_of_chains().into_iter();
    let of_case = payloads.filter(|(case, ..)| case == "pr-git-hints");
    let mut count = 0;
    for (_, format, bytes) in of_case {
        let statement = Statement::parse(&bytes).expect("Chains' own");
        assert_eq!(failing(draft(), &statement), Vec::<&str>::new(), "{format}");
        count += 1;
    }
    assert_eq!(count, 3);
}

/// As the statement itself says, read by other means.
fn says_success(statement: &Value) -> bool {
    let tasks = &statement["predicate"]["buildConfig"]["tasks"];
    let tasks = tasks.as_array().map_or(&[][..], Vec::as_slice);
    !tasks.is_empty() && tasks.iter().all(|task| task["status"] == "Succeeded")
}

#[test]
fn success_is_what_the_tasks_say_and_of_v1_what_the_build_type_holds() {
    let draft = || Draft {
        require_success: true,
        ..Draft::default()
    };
    let (mut succeeded, mut others) = (0, 0);
    for (case, format, bytes) in payloads_of_chains() {
        let statement = Statement::parse(&bytes).expect("Chains' own");
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        let passed = failing(draft(), &statement).is_empty();
        let build_type = &value["predicate"]["buildDefinition"]["buildType"];
        let is_told = match statement.predicate_type() {
            PROVENANCE_V02 => says_success(&value),
            _ => {
                build_type == "https://tekton.dev/chains/v2/slsa-tekton" && case.starts_with("pr-")
            }
        };
        assert_eq!(passed, is_told, "{case} {format}");
        match passed {
            true => succeeded += 1,
            false => others += 1,
        }
    }
    assert!(succeeded > 10 && others > 10, "{succeeded} {others}");
}

fn statement(predicate_type: &str, predicate: &str) -> Option<Statement> {
    let text =
        format!(r#"{{"_type":"t","predicateType":"{predicate_type}","predicate":{predicate}}}"#);
    Statement::parse(text.as_bytes()).ok()
}

#[test]
fn judging_takes_little_memory_however_many_tasks_there_are() {
    for item in [r#"{"status":"Succeeded"}"#, "{}", "[]"] {
        let items = vec![item; 8 * MIB / (item.len() + 1)].join(",");
        let predicate = format!(r#"{{"buildConfig":{{"tasks":[{items}]}}}}"#);
        let statement = statement(PROVENANCE_V02, &predicate).expect("a statement");
        let (_, used) = measured(|| answers(everything(), &statement));
        assert!(used.peak < MIB as u64, "{item}: {} bytes", used.peak);
    }
}

/// JSON of any shape, with the members that rules read.
fn any_predicate() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!("Succeeded")),
        Just(json!("git+https://git.example.com/acme/app.git")),
        Just(json!("2026-03-01T10:05:00Z")),
        Just(json!("https://tekton.dev/chains/v2/slsa-tekton")),
        Just(json!("pipelineTask")),
    ];
    let name = proptest::sample::select(vec![
        "builder",
        "id",
        "buildType",
        "buildConfig",
        "tasks",
        "status",
        "materials",
        "uri",
        "digest",
        "sha1",
        "metadata",
        "buildFinishedOn",
        "buildDefinition",
        "resolvedDependencies",
        "name",
        "content",
        "runDetails",
        "finishedOn",
    ]);
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_predicate_has_one_answer_for_each_rule_and_never_satisfies_all(predicate in any_predicate(), is_v1: bool) {
        let kind = if is_v1 { PROVENANCE_V1 } else { PROVENANCE_V02 };
        let statement = statement(kind, &predicate.to_string()).expect("no member stands there twice");
        let answers = answers(everything(), &statement);
        prop_assert_eq!(answers.len(), 7);
        let visible = |text: &str| text.chars().all(|c| (' '..='~').contains(&c));
        for check in &answers {
            prop_assert!(visible(&check.found) && visible(&check.path), "{:?}", check);
            prop_assert!(check.found.len() < 4096);
        }
        prop_assert!(answers.iter().any(|check| !check.passed));
    }
}
