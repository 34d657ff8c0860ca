//! Tekton Bundles: Tasks, StepActions and Pipelines as images that Tekton's bundle resolver reads.
//!
//! Contract: <https://tekton.dev/docs/pipelines/tekton-bundle-contracts/>, version 0.1: a layer for each resource, at most 20 of them, each
//! with the name, kind and API version in annotations, and the resource as the one file of a tar. `tkn bundle push` annotates with the
//! version alone (`v1`), where the contract has the whole `tekton.dev/v1`; the resolver wants an annotation and does not read it.
//!
//! Pipelines in a bundle must not depend on what happens to be installed beside them: their references to Tasks of this release are
//! replaced by references to the bundle of Tasks, by digest, so that one digest says all of what a pipeline does.

use anyhow::anyhow;
use serde_json::{Value, json};
use tekseal_core::Digest;
use tekseal_steps::Failure;

use crate::args::Plan;
use crate::artifact::{self, Artifact, Entry};
use crate::manifests::Manifests;

/// The most resources that the contract allows in a bundle.
const MOST: usize = 20;
/// Bundles by their names: what kind of resource is in them.
const BUNDLES: [(&str, &str); 3] = [
    ("tasks", "Task"),
    ("step-actions", "StepAction"),
    ("pipelines", "Pipeline"),
];
const TASK: &str = "Task";

/// The bundles of everything that Tekton can resolve; none for a kind of which there is nothing.
///
/// # Errors
/// Exit 2 if a bundle would hold more than the contract allows, or a resource without a name.
pub(crate) fn all(plan: &Plan, made: &Manifests) -> Result<Vec<Artifact>, Failure> {
    let mut bundles = Vec::new();
    let mut tasks = None;
    for (name, kind) in BUNDLES {
        let mut resources: Vec<Value> = made
            .documents
            .iter()
            .filter(|document| is_of(document, kind))
            .cloned()
            .collect();
        if resources.is_empty() {
            continue;
        }
        if let Some(tasks) = &tasks {
            resources
                .iter_mut()
                .for_each(|resource| pin_tasks(resource, tasks));
        }
        let bundle = bundle(plan, name, resources)?;
        if kind == TASK {
            tasks = Some(TaskBundle::of(plan, name, bundle.digest(), &made.documents));
        }
        bundles.push(bundle);
    }
    Ok(bundles)
}

fn is_of(document: &Value, kind: &str) -> bool {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    document["kind"] == kind && version.starts_with("tekton.dev/")
}

fn bundle(plan: &Plan, name: &str, mut resources: Vec<Value>) -> Result<Artifact, Failure> {
    if resources.len() > MOST {
        return Err(Failure::misuse(anyhow!(
            "the bundle {name} would hold {} resources, and Tekton reads {MOST}",
            resources.len()
        ))
        .hint("split it by kind or by purpose in crates/release/src/bundle.rs"));
    }
    resources.sort_by(|one, other| name_of(one).cmp(name_of(other)));
    let entries = resources
        .iter()
        .map(|resource| {
            let name = name_of(resource);
            if name.is_empty() {
                return Err(Failure::misuse(anyhow!(
                    "a {} has no name",
                    resource["kind"]
                )));
            }
            let text = |member: &str| resource[member].as_str().unwrap_or_default().to_owned();
            Ok(Entry {
                name: name.to_owned(),
                bytes: resource.to_string().into_bytes(),
                annotations: vec![
                    ("dev.tekton.image.apiVersion", text("apiVersion")),
                    ("dev.tekton.image.kind", text("kind").to_lowercase()),
                    ("dev.tekton.image.name", name.to_owned()),
                ],
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    artifact::of_entries(plan, name, &entries)
}

fn name_of(resource: &Value) -> &str {
    resource["metadata"]["name"].as_str().unwrap_or_default()
}

/// The bundle of Tasks by digest, and what is in it.
struct TaskBundle {
    reference: String,
    names: Vec<String>,
}

impl TaskBundle {
    fn of(plan: &Plan, name: &str, digest: Digest, documents: &[Value]) -> Self {
        Self {
            reference: format!("{}@{digest}", plan.repository(name)),
            names: documents
                .iter()
                .filter(|document| is_of(document, TASK))
                .map(|task| name_of(task).to_owned())
                .collect(),
        }
    }
}

/// Has a Pipeline take its Tasks from the bundle; Tasks that are not of this release are left as they are.
fn pin_tasks(pipeline: &mut Value, tasks: &TaskBundle) {
    for list in ["tasks", "finally"] {
        let Some(list) = pipeline["spec"].get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        for task in list {
            let Some(reference) = task.get_mut("taskRef") else {
                continue;
            };
            let is_plain = reference.get("resolver").is_none()
                && reference.get("kind").is_none_or(|kind| kind == TASK);
            let name = reference["name"].as_str().unwrap_or_default().to_owned();
            if is_plain && tasks.names.contains(&name) {
                *reference = json!({
                    "resolver": "bundles",
                    "params": [
                        {"name": "bundle", "value": tasks.reference},
                        {"name": "name", "value": name},
                        {"name": "kind", "value": "task"},
                    ],
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::tests::plan;

    fn tasks(count: usize) -> Vec<Value> {
        let task = |at| json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": format!("task-{at}")}});
        (0..count).map(task).collect()
    }

    #[test]
    fn a_bundle_that_tekton_would_not_read_is_refused() {
        let one = bundle(&plan(), "tasks", tasks(MOST)).expect("as many as there may be");
        let mut other = tasks(MOST);
        other.reverse();
        let other = bundle(&plan(), "tasks", other).expect("as many as there may be");
        assert_eq!(one.digest(), other.digest());
        let failure = bundle(&plan(), "tasks", tasks(MOST + 1)).expect_err("one too many");
        assert!(failure.message().contains("21"), "{}", failure.message());
        let nameless = json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {}});
        bundle(&plan(), "tasks", vec![nameless]).expect_err("no name");
    }

    #[test]
    fn a_pipeline_takes_the_tasks_of_this_release_from_the_bundle() {
        let tasks = TaskBundle {
            reference: "r.example/tasks@sha256:00".to_owned(),
            names: vec!["attest".to_owned()],
        };
        let mut pipeline = json!({"spec": {
            "tasks": [
                {"name": "a", "taskRef": {"name": "attest"}},
                {"name": "b", "taskRef": {"name": "deploy"}},
                {"name": "c", "taskSpec": {}},
                {"name": "d", "taskRef": {"kind": "ClusterTask", "name": "attest"}},
                {"name": "e", "taskRef": {"resolver": "hub", "params": []}},
            ],
            "finally": [{"name": "f", "taskRef": {"kind": "Task", "name": "attest"}}],
        }});
        let before = pipeline.clone();
        pin_tasks(&mut pipeline, &tasks);
        for place in ["/spec/tasks/0/taskRef", "/spec/finally/0/taskRef"] {
            let reference = pipeline.pointer(place).expect("it is there");
            assert_eq!(reference["resolver"], "bundles");
            assert_eq!(reference["params"][0]["value"], "r.example/tasks@sha256:00");
            assert_eq!(reference["params"][1]["value"], "attest");
            assert!(reference.get("name").is_none(), "{reference}");
        }
        for at in 1..5 {
            assert_eq!(pipeline["spec"]["tasks"][at], before["spec"]["tasks"][at]);
        }
    }
}
