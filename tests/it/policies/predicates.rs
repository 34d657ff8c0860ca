//! Predicates of provenance that no run gives: written by hand, each good but for what its role says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::roles::{BUILDER, COMMIT, Role, SOURCE};

const V02: &str = "https://slsa.dev/provenance/v0.2";
const V1: &str = "https://slsa.dev/provenance/v1";

/// The predicate of a role and its type.
pub(super) fn written(role: Role) -> (&'static str, Value) {
    let task = |status: &str| json!({"name": "build", "status": status});
    let (done, failed) = ("Succeeded", "Failed");
    match role {
        Role::BuilderIsVariable => {
            let mut predicate = v02();
            predicate["builder"]["id"] = json!("{{ buildType }}");
            predicate["buildType"] = json!(BUILDER);
            (V02, predicate)
        }
        Role::NoBuilder => (V02, without(v02(), "builder")),
        Role::MaterialsObject => (V02, with(v02(), "materials", json!({"0": material()}))),
        Role::MaterialsMixed => (V02, with(v02(), "materials", json!(["text", material()]))),
        Role::Succeeded | Role::BundleSucceeded => {
            let tasks = json!({"tasks": [task(done), task(done)]});
            (V02, with(v02(), "buildConfig", tasks))
        }
        Role::OneFailed | Role::BundleOneFailed => {
            let tasks = json!({"tasks": [task(done), task(failed)]});
            (V02, with(v02(), "buildConfig", tasks))
        }
        Role::NoTasks => (V02, with(v02(), "buildConfig", json!({"tasks": []}))),
        Role::SucceededV1 => (V1, v1(&["True", "True"])),
        Role::OneFailedV1 => (V1, v1(&["True", "False"])),
        Role::NoTasksV1 => (V1, v1(&[])),
        _ => (V02, v02()),
    }
}

fn material() -> Value {
    json!({"uri": format!("git+{SOURCE}.git"), "digest": {"sha1": COMMIT}})
}

fn v02() -> Value {
    json!({
        "builder": {"id": BUILDER},
        "buildType": "tekton.dev/v1/PipelineRun",
        "materials": [material()],
    })
}

/// Of a PipelineRun whose TaskRuns ended with these conditions.
fn v1(ends: &[&str]) -> Value {
    let task = |end: &&str| {
        let run = json!({"status": {"conditions": [{"type": "Succeeded", "status": end}]}});
        json!({"name": "pipelineTask", "content": STANDARD.encode(run.to_string())})
    };
    let mut dependencies = vec![material()];
    dependencies.extend(ends.iter().map(task));
    json!({
        "buildDefinition": {
            "buildType": "https://tekton.dev/chains/v2/slsa-tekton",
            "externalParameters": {},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {"builder": {"id": BUILDER}},
    })
}

fn with(mut predicate: Value, member: &str, value: Value) -> Value {
    predicate[member] = value;
    predicate
}

fn without(mut predicate: Value, member: &str) -> Value {
    let members = predicate.as_object_mut().expect("a predicate is an object");
    members.remove(member);
    predicate
}
