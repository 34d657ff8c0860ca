//! `tekseal-resign`: which annotations it takes off, and from which runs.

use serde_json::{Value, json};
use tekseal_harness::Run;

use super::Yard;
use crate::workshop::{Pipeline, run_document};

impl Yard {
    fn annotations(&self, kind: &str, name: &str) -> Value {
        let run = self.api.get(&self.object("tekton.dev/v1", kind, name));
        run.expect("it is there")["metadata"]["annotations"].clone()
    }

    fn set(&self, kind: &str, name: &str, annotations: &Value) {
        let path = self.object("tekton.dev/v1", kind, name);
        self.api
            .patch(&path, &json!({"metadata": {"annotations": annotations}}));
    }
}

#[test]
fn all_marks_go_with_one_patch_and_what_users_wrote_stays() {
    let Some(yard) = Yard::new() else { return };
    yard.task_run("build", json!([]));
    let kept = json!({
        "chains.tekton.dev/transparency-upload": "true",
        "chains.tekton.dev/mine": "x",
        "example.com/signed": "true",
    });
    let marks = json!({
        "chains.tekton.dev/signed": "failed",
        "chains.tekton.dev/retries": "3",
        "chains.tekton.dev/transparency": "https://rekor.example.com/1",
        "chains.tekton.dev/payload-taskrun-u": "e30=",
        "chains.tekton.dev/signature-taskrun-u": "e30=",
        "chains.tekton.dev/cert-taskrun-u": "",
        "chains.tekton.dev/chain-taskrun-u": "",
        "tekseal.dev/record": "{}",
        "tekseal.dev/reason": "\u{1b}[2J",
        "tekseal.dev/pointer-taskrun-u": "registry.example.com/a:b",
    });
    for annotations in [&kept, &marks] {
        yard.set("TaskRun", "build", annotations);
    }
    let reference = yard.reference("taskrun", "build");
    let audit = yard.api.audit();
    let said = yard.tool("tekseal-resign").arg(&reference).ok();
    assert_eq!(yard.annotations("TaskRun", "build"), kept);
    let mut wanted: Vec<String> = marks
        .as_object()
        .expect("an object")
        .keys()
        .map(|key| format!("removed {key} run={reference}"))
        .collect();
    wanted.sort();
    let mut told: Vec<&str> = said.stdout.lines().collect();
    told.sort_unstable();
    assert_eq!(told, wanted);
    let patches = audit.requests();
    let patches = patches
        .iter()
        .filter(|r| r.verb == "patch" && r.namespace == yard.namespace);
    assert_eq!(patches.count(), 1);

    // Again: nothing is left to do.
    let said = yard
        .tool("tekseal")
        .args(["resign", &reference])
        .ok()
        .says("there are no marks");
    assert_eq!(said.stdout, "");
}

#[test]
fn where_one_run_is_refused_none_is_changed() {
    let Some(yard) = Yard::new() else { return };
    let marks = json!({"chains.tekton.dev/signed": "true"});
    yard.task_run("build", json!([]));
    let mut running = run_document(json!([]));
    running["status"]["conditions"][0]["status"] = json!("Unknown");
    running["metadata"]["name"] = json!("running");
    yard.put(running);
    let pipeline_run = yard.pipeline_run(&Pipeline::nowhere());
    for (kind, name) in [
        ("TaskRun", "build"),
        ("TaskRun", "running"),
        ("PipelineRun", &pipeline_run),
    ] {
        yard.set(kind, name, &marks);
    }
    let build = yard.reference("taskrun", "build");
    let resign = |others: &[&str]| yard.tool("tekseal-resign").arg(&build).args(others);
    resign(&[&yard.reference("taskrun", "running")])
        .fails_with(1)
        .says("/running is not completed");
    resign(&[&yard.reference("taskrun", "absent")])
        .fails_with(1)
        .says("NotFound");
    resign(&["k8s://a/b"])
        .fails_with(2)
        .says("is no run in a cluster");
    assert_eq!(yard.annotations("TaskRun", "build"), marks);
    resign(&[&yard.reference("pipelinerun", &pipeline_run)]).ok();
    assert_eq!(yard.annotations("TaskRun", "build"), Value::Null);
    Run::tool("tekseal-resign").fails_with(2);
}
