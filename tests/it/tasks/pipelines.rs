//! The Pipelines: what they hand to Tasks is what these take, nothing is deployed that was not verified, nothing is skipped in silence.

use serde_json::Value;
use tekseal_harness::{ApiServer, kubectl};

use super::pinned::taken;
use super::{Definition, catalogue, list, objects, project, text};

/// The tasks of a Pipeline, those of `finally` last.
fn tasks(pipeline: &Definition) -> Vec<&Value> {
    pipeline
        .list("tasks")
        .iter()
        .chain(pipeline.list("finally"))
        .collect()
}

fn one<'a>(pipeline: &'a Definition, name: &str) -> Option<&'a Value> {
    pipeline
        .list("tasks")
        .iter()
        .find(|task| task["name"] == name)
}

/// Names of the parameters that a task of a Pipeline gives, those of a matrix too.
fn given(task: &Value) -> Vec<&str> {
    let matrix = list(&task["matrix"]["include"]).iter();
    let params = matrix.take(1).flat_map(|include| list(&include["params"]));
    let params = params.chain(list(&task["matrix"]["params"]));
    params
        .chain(list(&task["params"]))
        .map(|param| text(&param["name"]))
        .collect()
}

#[test]
fn what_a_pipeline_gives_is_what_its_tasks_take() {
    let Some(all) = catalogue() else { return };
    for pipeline in &all.pipelines {
        let declared = pipeline.names("workspaces");
        for task in tasks(pipeline) {
            let place = format!("{}: {}", pipeline.file, task["name"]);
            let definition = all.task(text(&task["taskRef"]["name"]));
            let given = given(task);
            let known = definition.names("params");
            // Tekton passes over parameters that a Task does not declare.
            for name in &given {
                assert!(
                    known.contains(name),
                    "{place}: there is no parameter {name}"
                );
            }
            for param in definition.list("params") {
                let name = text(&param["name"]);
                let is_there = !param["default"].is_null() || given.contains(&name);
                assert!(is_there, "{place}: {name} is not given");
            }
            for workspace in list(&task["workspaces"]) {
                let (name, from) = (text(&workspace["name"]), text(&workspace["workspace"]));
                assert!(
                    definition.names("workspaces").contains(&name),
                    "{place}: {name}"
                );
                assert!(declared.contains(&from), "{place}: {from}");
            }
            for workspace in definition.list("workspaces") {
                let is_bound = list(&task["workspaces"])
                    .iter()
                    .any(|bound| bound["name"] == workspace["name"]);
                assert!(
                    is_bound || workspace["optional"] == true,
                    "{place}: {}",
                    workspace["name"]
                );
            }
        }
        for result in pipeline.list("results") {
            let reference = text(&result["value"]);
            let inner = reference
                .strip_prefix("$(tasks.")
                .and_then(|rest| rest.strip_suffix(')'));
            let (task, name) = inner
                .and_then(|inner| inner.split_once(".results."))
                .expect("a result of a task");
            let task =
                one(pipeline, task).unwrap_or_else(|| panic!("{}: {reference}", pipeline.file));
            let definition = all.task(text(&task["taskRef"]["name"]));
            assert!(
                definition.names("results").contains(&name),
                "{}: {reference}",
                pipeline.file
            );
        }
    }
}

#[test]
fn nothing_is_deployed_that_was_not_verified() {
    let Some(all) = catalogue() else { return };
    let mut deploying = 0;
    for pipeline in &all.pipelines {
        let Some(deploy) = one(pipeline, "deploy") else {
            continue;
        };
        deploying += 1;
        let file = &pipeline.file;
        assert_eq!(deploy["runAfter"], serde_json::json!(["verify"]), "{file}");
        let verify = one(pipeline, "verify").expect("what is deployed is verified");
        let of = |task: &Value, name: &str| {
            let params = list(&task["params"]);
            let found = params.iter().find(|param| param["name"] == name);
            text(&found.unwrap_or_else(|| panic!("{file}: no {name}"))["value"]).to_owned()
        };
        assert!(
            of(verify, "IMAGE").ends_with(".results.IMAGE_REF)"),
            "{file}"
        );
        // Whoever writes the results of a build could name two images there, one of which is verified.
        assert_eq!(
            of(deploy, "IMAGE"),
            "$(tasks.verify.results.IMAGE_REF)",
            "{file}"
        );
        assert_eq!(of(verify, "TYPE"), "$(params.TYPE)", "{file}");
        // What a `when` skips ends well, and so does what comes after it by runAfter alone.
        for name in [
            "attest",
            "wait",
            "verify",
            "deploy",
            "attest-images",
            "attest-index",
        ] {
            for field in ["when", "onError"] {
                assert!(
                    one(pipeline, name).is_none_or(|task| task[field].is_null()),
                    "{file}: {name} has {field}"
                );
            }
        }
    }
    assert_eq!(deploying, 3);
}

#[test]
fn what_a_private_authority_and_another_namespace_need_can_be_given() {
    let Some(all) = catalogue() else { return };
    let (mut cloning, mut explaining) = (0, 0);
    for pipeline in &all.pipelines {
        let file = &pipeline.file;
        for task in tasks(pipeline) {
            let of = text(&task["taskRef"]["name"]);
            if of == "git-clone" {
                cloning += 1;
                for name in ["basic-auth", "ssl-ca-directory"] {
                    let bound = serde_json::json!({"name": name, "workspace": name});
                    assert!(list(&task["workspaces"]).contains(&bound), "{file}: {name}");
                    let own = pipeline.list("workspaces").iter();
                    let mut own = own.filter(|one| one["name"] == name);
                    let is_optional = own.next().is_some_and(|one| one["optional"] == true);
                    assert!(is_optional, "{file}: {name}");
                }
            }
            if of == "explain-signing" {
                explaining += 1;
                for name in ["SYSTEM_NAMESPACE", "CONFIG_FROM"] {
                    let value = format!("$(params.{name})");
                    let handed = serde_json::json!({"name": name, "value": value});
                    assert!(list(&task["params"]).contains(&handed), "{file}: {name}");
                    // What the Task says where nothing is given.
                    let default = |of: &Definition| {
                        let mut params = of.list("params").iter();
                        let param = params.find(|param| param["name"] == name);
                        param.map(|param| param["default"].clone())
                    };
                    assert_eq!(default(pipeline), default(all.task(of)), "{file}: {name}");
                }
            }
        }
    }
    assert_eq!((cloning, explaining), (3, 1));
}

#[test]
fn finally_tasks_use_no_results_and_no_pipeline_waits_for_itself() {
    let Some(all) = catalogue() else { return };
    for pipeline in &all.pipelines {
        for task in pipeline.list("finally") {
            let written = task.to_string();
            // Where a result is missing, the task is skipped and the run ends well.
            assert!(
                !written.contains(".results."),
                "{}: {written}",
                pipeline.file
            );
        }
        for task in tasks(pipeline) {
            for param in list(&task["params"])
                .iter()
                .filter(|param| param["name"] == "RUN")
            {
                let own = "k8s://$(context.pipelineRun.namespace)/pipelinerun/$(context.pipelineRun.name)/";
                let of = text(&param["value"])
                    .strip_prefix(own)
                    .expect("a task of this very run");
                let is_earlier = one(pipeline, of).is_some() && task["name"] != of;
                assert!(is_earlier, "{}: {}", pipeline.file, param["value"]);
            }
        }
    }
}

#[test]
fn the_guides_pipeline_has_the_guides_names() {
    let Some(all) = catalogue() else { return };
    let pipeline = all
        .pipelines
        .iter()
        .find(|pipeline| pipeline.name() == "ci-pipeline");
    let pipeline = pipeline.expect("it is there");
    assert_eq!(pipeline.names("results"), ["IMAGE_URL", "IMAGE_DIGEST"]);
    for name in ["IMAGE_URL", "IMAGE_DIGEST"] {
        let result = pipeline
            .list("results")
            .iter()
            .find(|result| result["name"] == name);
        assert_eq!(
            result.expect("it is there")["value"],
            format!("$(tasks.build.results.{name})")
        );
    }
    let build = one(pipeline, "build").expect("it is there");
    assert_eq!(build["taskRef"]["name"], "buildah-push");
    assert!(pipeline.names("params").contains(&"IMAGE"));
    assert!(pipeline.names("workspaces").contains(&"source"));
}

/// A push to the main branch, as Pipelines-as-Code knows it: the variables of its documentation that the example may use.
/// <https://pipelinesascode.com/docs/guide/authoringprs/#dynamic-variables>
const VARIABLES: &[(&str, &str)] = &[
    ("event_type", "push"),
    ("git_auth_secret", "pac-gitauth-xkxkx"),
    ("repo_name", "app"),
    ("repo_owner", "team"),
    ("repo_url", "https://git.example.com/team/app"),
    ("revision", "0123456789abcdef0123456789abcdef01234567"),
    ("sender", "johndoe"),
    ("source_branch", "main"),
    ("source_url", "https://git.example.com/team/app"),
    ("target_branch", "main"),
    ("target_namespace", "team"),
];

/// Whether a value looks like one.
type Check = fn(&str) -> bool;

/// Annotations of its documentation that decide when a PipelineRun is made and how long it is kept, with what a value looks like.
const ANNOTATIONS: &[(&str, Check)] = &[
    ("on-event", is_bracketed),
    ("on-target-branch", is_bracketed),
    ("max-keep-runs", |value| value.parse::<u32>().is_ok()),
];

fn is_bracketed(value: &str) -> bool {
    value.starts_with('[') && value.ends_with(']') && value.len() > 2
}

/// Puts values in the place of `{{ name }}`, as Pipelines-as-Code does in the text before it reads the YAML; what it does not know stays.
fn substituted(text: &str) -> String {
    let mut made = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        made.push_str(before);
        let (name, after) = after.split_once("}}").expect("it ends");
        let known = VARIABLES.iter().find(|(known, _)| *known == name.trim());
        let unknown = format!("{{{{{name}}}}}");
        made.push_str(known.map_or(&unknown, |(_, value)| value));
        rest = after;
    }
    made + rest
}

#[test]
fn what_pipelines_as_code_would_make_is_a_run_of_a_pipeline_that_is_here() {
    let (Some(all), Some(kubectl)) = (catalogue(), kubectl()) else {
        return;
    };
    let example = project().join("pipelines/pac/push.yaml");
    let example = std::fs::read_to_string(example).expect("it is there");
    let yaml = substituted(&example);
    assert!(example.contains("{{") && !yaml.contains("{{"), "{yaml}");
    let made = objects(&kubectl, &yaml);
    let [run] = &made[..] else {
        panic!("one PipelineRun is wanted: {made:?}")
    };
    let annotations = run["metadata"]["annotations"].as_object();
    for (name, value) in annotations.expect("without them nothing starts it") {
        let name = name.strip_prefix("pipelinesascode.tekton.dev/");
        let known = ANNOTATIONS.iter().find(|(known, _)| Some(*known) == name);
        let (_, is_good) = known.unwrap_or_else(|| panic!("{name:?} is not known"));
        assert!(is_good(text(value)), "{name:?}: {value}");
    }
    // Without a resolver Pipelines-as-Code would look for the Pipeline in the repository.
    let reference = &run["spec"]["pipelineRef"];
    assert_eq!(reference["resolver"], "cluster");
    let of = |name: &str| {
        let params = list(&reference["params"]).iter();
        let mut params = params.filter(|param| param["name"] == name);
        params.next().map(|param| text(&param["value"]).to_owned())
    };
    assert_eq!(of("kind").as_deref(), Some("pipeline"));
    assert_eq!(of("namespace").as_deref(), Some("team"));
    let name = of("name").expect("the Pipeline is named");
    let pipeline = all.pipelines.iter().find(|one| one.name() == name);
    let pipeline = pipeline.unwrap_or_else(|| panic!("there is no Pipeline {name}"));
    let given = |field: &str| -> Vec<&str> {
        let all = list(&run["spec"][field]).iter();
        all.map(|one| text(&one["name"])).collect()
    };
    for (field, is_spared) in [("params", "default"), ("workspaces", "optional")] {
        let (given, known) = (given(field), pipeline.names(field));
        for name in &given {
            assert!(known.contains(name), "{field}: {name}");
        }
        for one in pipeline.list(field) {
            let name = text(&one["name"]);
            let is_needed = one[is_spared].is_null();
            assert!(!is_needed || given.contains(&name), "{field}: {name}");
        }
    }
    let Some(api) = ApiServer::shared() else {
        return;
    };
    taken(api, &api.namespace(), run);
}
