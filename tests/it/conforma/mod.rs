//! What Conforma reads of Tekton's provenance stands in ours: in the bytes that Chains made, which ours equal (`golden`), and in what our programs
//! make of example runs. Where Chains' own bytes lack a field, that is told here, and in `docs/slsa.md`.

mod rules;
mod statement;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tekseal_harness::{Run, fixtures};

use self::rules::{Of, RULES};
use self::statement::{Version, readable};
use crate::workshop::Pipeline;

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V02,
    /// v1, build type `…/slsa`.
    Slsa,
    /// v1, build type `…/slsa-tekton`.
    SlsaTekton,
}

/// What is lacking: in which case of the corpus, or in all statements; in which bytes; of which rules; and why.
const LACKS: &[(&str, Kind, &[&str], &str)] = &[
    (
        "",
        Kind::Slsa,
        &["tasks", "build task", "image of a task", "git source"],
        "the build type slsa, Chains' default, embeds no TaskRuns, so there are no tasks to judge",
    ),
    (
        "",
        Kind::SlsaTekton,
        &["scripted build"],
        "an embedded TaskRun has its steps under status, where the rule as it is written does not look",
    ),
    (
        "pr-no-pipelinespec",
        Kind::V02,
        &["tasks", "build task", "image of a task"],
        "the run says no specification, by which Chains finds the tasks",
    ),
    (
        "pr-merge-digests",
        Kind::V02,
        &["image of a task"],
        "artifacts of several digests are one subject",
    ),
    (
        "tr-artifact-outputs-dirty-digest",
        Kind::V02,
        &["subject"],
        "Chains checks a digest that is cleaned, and writes it as the run has it",
    ),
    (
        "tr-artifact-outputs-dirty-digest",
        Kind::Slsa,
        &["subject"],
        "as of v0.2",
    ),
    (
        "tr-artifact-uri-digests",
        Kind::V02,
        &["subject"],
        "Chains checks a digest that is cleaned, and writes it as the run has it",
    ),
    (
        "tr-artifact-uri-digests",
        Kind::Slsa,
        &["subject"],
        "as of v0.2",
    ),
];

/// The commit of the tasks in [`whole_run`].
const COMMIT: &str = "9a4f0c2d6e2b4f8d9b1a7c3e5f60718293a4b5c6";

fn kind_of(statement: &Value) -> Kind {
    match Version::of(statement) {
        Version::V02 => Kind::V02,
        Version::V1 => {
            let build_type = statement.pointer("/predicate/buildDefinition/buildType");
            match build_type.and_then(Value::as_str) {
                Some("https://tekton.dev/chains/v2/slsa") => Kind::Slsa,
                Some("https://tekton.dev/chains/v2/slsa-tekton") => Kind::SlsaTekton,
                other => panic!("{other:?} is no build type of ours"),
            }
        }
    }
}

/// The rules that refuse a statement, with what they say.
fn refusals(statement: &Value, of: Of) -> Vec<(&'static str, String)> {
    let version = Version::of(statement);
    let of = match statement::is_pipelinerun(statement, version) {
        true => of,
        false => Of::Every,
    };
    RULES
        .iter()
        .filter(|rule| rule.is_for(version, of))
        .filter_map(|rule| Some((rule.name, (rule.check)(statement).err()?)))
        .collect()
}

/// The statement has every field but those that are listed, and lacks each of these. Gives the entries of the list that it met.
#[track_caller]
fn has_all_but_listed(case: &str, statement: &Value, of: Of) -> BTreeSet<usize> {
    let kind = kind_of(statement);
    let is_pipelinerun = statement::is_pipelinerun(statement, Version::of(statement));
    let listed = LACKS
        .iter()
        .enumerate()
        .filter(|(_, (of_case, of_kind, ..))| {
            *of_kind == kind && (*of_case == case || (of_case.is_empty() && is_pipelinerun))
        });
    let listed: Vec<_> = listed.collect();
    let refused = refusals(statement, of);
    let found: BTreeSet<_> = refused.iter().map(|(name, _)| *name).collect();
    let asked = |name: &&str| {
        let mut rules = RULES.iter().filter(|rule| rule.name == *name);
        rules.any(|rule| rule.is_for(Version::of(statement), of))
    };
    let wanted: BTreeSet<_> = listed
        .iter()
        .flat_map(|(_, (_, _, names, _))| names.iter().copied())
        .filter(asked)
        .collect();
    assert_eq!(found, wanted, "{case} {kind:?}: {refused:#?}");
    listed.iter().map(|(at, _)| *at).collect()
}

/// The example's PipelineRun, with all that the rules for authors ask for: tasks of a commit, and a clone that says what it fetched.
fn whole_run() -> Pipeline {
    let pipeline = Pipeline::nowhere();
    let reference = |name: &str| {
        json!({"kind": "Task", "resolver": "git", "params": [
            {"name": "url", "value": "https://git.example.com/team/tasks.git"},
            {"name": "revision", "value": COMMIT},
            {"name": "pathInRepo", "value": format!("{name}.yaml")},
        ]})
    };
    pipeline.edit("pipelinerun.json", |run| {
        let tasks = run.pointer_mut("/status/pipelineSpec/tasks");
        for task in tasks.and_then(Value::as_array_mut).expect("a list") {
            let name = task["name"].as_str().expect("a name").to_owned();
            task["taskRef"] = reference(&name);
        }
    });
    for name in ["clone", "build"] {
        pipeline.edit(&format!("children/{name}.json"), |run| {
            run["spec"]["taskRef"] = reference(name);
            let results = run.pointer_mut("/status/results");
            let results = results.and_then(Value::as_array_mut).expect("a list");
            let value = |results: &[Value], name: &str| {
                let found = results.iter().find(|result| result["name"] == name);
                found.map(|result| result["value"].clone())
            };
            for (from, name) in [("CHAINS-GIT_URL", "url"), ("CHAINS-GIT_COMMIT", "commit")] {
                if let Some(value) = value(results.as_slice(), from) {
                    results.push(json!({"name": name, "type": "string", "value": value}));
                }
            }
        });
    }
    pipeline
}

/// The statements that `tekseal-provenance` makes of a run of the example, in all formats and both build types.
fn made(pipeline: &Pipeline, run: &str, flags: &[&str]) -> Vec<Value> {
    let mut made = Vec::new();
    for build_type in ["slsa", "slsa-tekton"] {
        let out = tempfile::tempdir().expect("a temporary folder");
        let mut program = Run::tool("tekseal-provenance")
            .arg("--run")
            .arg(pipeline.path(run))
            .args(["--format", "slsa/v1,slsa/v2alpha3,slsa/v2alpha4"])
            .args([
                "--build-type",
                &format!("https://tekton.dev/chains/v2/{build_type}"),
            ])
            .args(flags)
            .arg("--out")
            .arg(out.path());
        if run == "pipelinerun.json" {
            program = program.arg("--children").arg(pipeline.path("children"));
        }
        program.ok();
        made.extend(provenance_in(out.path()));
    }
    assert_eq!(made.len(), 6);
    made
}

fn provenance_in(folder: &Path) -> Vec<Value> {
    let files = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<_> = files
        .map(|file| file.expect("it can be read").path())
        .collect();
    paths.sort();
    let is_statement = |path: &&std::path::PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| {
            ["provenance-", "in-toto", "slsa-"]
                .iter()
                .any(|start| name.starts_with(start))
        })
    };
    paths
        .iter()
        .filter(is_statement)
        .map(|path| readable(&fs::read(path).expect("it can be read")))
        .collect()
}

/// What Chains' id for a builder needs.
fn as_chains(pipeline: &Pipeline) -> [String; 2] {
    let config = pipeline.path("chains-config.json");
    ["--config".to_owned(), config.display().to_string()]
}

fn of_whole_run() -> Vec<Value> {
    let pipeline = whole_run();
    let flags = as_chains(&pipeline);
    made(
        &pipeline,
        "pipelinerun.json",
        &flags.each_ref().map(String::as_str),
    )
}

#[test]
fn what_is_read_of_tekton_s_provenance_is_in_what_ours_make_of_a_pipelinerun() {
    let mut met = BTreeSet::new();
    for statement in of_whole_run() {
        met.extend(has_all_but_listed("example", &statement, Of::WholeRuns));
    }
    assert_eq!(met.len(), 2, "both build types of v1 lack something");
    // Each of the other versions has every field: nothing is listed for it.
    let complete = of_whole_run()
        .into_iter()
        .filter(|one| kind_of(one) == Kind::V02);
    assert_eq!(complete.count(), 2);
}

#[test]
fn what_the_schemas_want_is_in_what_ours_make_of_a_taskrun() {
    let pipeline = Pipeline::nowhere();
    let flags = as_chains(&pipeline);
    let flags = flags.each_ref().map(String::as_str);
    for statement in made(&pipeline, "children/build.json", &flags) {
        let met = has_all_but_listed("example", &statement, Of::WholeRuns);
        assert!(met.is_empty(), "{met:?}");
    }
}

#[test]
fn what_a_step_made_is_told_by_its_builder() {
    let pipeline = whole_run();
    for statement in made(&pipeline, "pipelinerun.json", &["--deep-inspection"]) {
        let refused = refusals(&statement, Of::WholeRuns);
        let builder = refused.iter().find(|(name, _)| *name == "builder");
        let (_, why) = builder.expect("only Chains' id is on the list");
        assert!(why.contains("urn:tekseal:step:v1"), "{why}");
    }
}

#[test]
fn every_rule_refuses_a_statement_without_its_field() {
    let statements = of_whole_run();
    let of = |kind| {
        let mut found = statements.iter().filter(move |one| kind_of(one) == kind);
        found.next().expect("it was made").clone()
    };
    let mut whole = of(Kind::SlsaTekton);
    // What no bytes of Chains' have, so that the rule is seen to take it where it is.
    let dependencies = whole.pointer_mut("/predicate/buildDefinition/resolvedDependencies");
    for one in dependencies.and_then(Value::as_array_mut).expect("a list") {
        if one["content"].is_object() {
            one["content"]["steps"] = one["content"]["status"]["steps"].clone();
        }
    }
    let mut spoilt = 0;
    for good in [of(Kind::V02), whole] {
        let refused = refusals(&good, Of::WholeRuns);
        assert!(refused.is_empty(), "it lacks nothing: {refused:#?}");
        for rule in RULES
            .iter()
            .filter(|rule| rule.version == Version::of(&good))
        {
            assert!(
                !rule.spoils.is_empty(),
                "{} has no negative case",
                rule.name
            );
            for (at, spoil) in rule.spoils.iter().enumerate() {
                let mut bad = good.clone();
                spoil.apply(&mut bad);
                let refused = (rule.check)(&bad);
                assert!(refused.is_err(), "{} takes it ({at})", rule.name);
                spoilt += 1;
            }
        }
    }
    assert!(spoilt >= 60, "{spoilt}");
}

#[test]
fn what_chains_own_bytes_lack_is_listed() {
    let mut met = BTreeSet::new();
    let (mut with_subject, mut without) = (0, 0);
    let cases = fs::read_dir(fixtures().join("golden")).expect("the corpus is there");
    for case in cases {
        let folder = case.expect("it can be read").path();
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let expected = folder.join("expected");
        if !expected.is_dir() {
            continue;
        }
        for statement in provenance_in(&expected) {
            // A statement of no artifact is beside no image, so Conforma does not come upon it.
            if statement["subject"].is_null() {
                without += 1;
                continue;
            }
            let name = name.as_deref().unwrap_or_default();
            met.extend(has_all_but_listed(name, &statement, Of::PipelineRuns));
            with_subject += 1;
        }
    }
    assert!(
        with_subject > 80 && without > 80,
        "{with_subject}, {without}"
    );
    assert_eq!(met.len(), LACKS.len(), "nothing is listed in vain: {met:?}");
}
