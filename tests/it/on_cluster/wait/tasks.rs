//! `tekseal-wait` for the TaskRuns of a task of a PipelineRun, mostly from inside that PipelineRun.

use serde_json::json;

use super::super::Yard;
use super::super::tasks::{NAME, built};
use super::{SIGNED, kubeconfig, path};
use crate::workshop::{Workshop, plain_key};

#[test]
fn taskruns_that_are_still_to_come_are_waited_for() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let pipeline_run = yard.running_pipeline();
    // The own PipelineRun is no reason to refuse: TaskRuns are signed when they end.
    let wait = || {
        let own = [
            "--own-pipeline-run",
            NAME,
            "--own-task-run",
            "app-7xk2p-wait",
        ];
        yard.wait(&[&yard.task("build"), "--key", path(&public)])
            .args(own)
    };
    let waiting = yard.start(wait());
    // A change that says nothing of the task.
    let whole = yard.object("tekton.dev/v1", "PipelineRun", NAME);
    let change = json!({"metadata": {"annotations": {"example.com/a": "b"}}});
    yard.api.patch(&whole, &change);
    let names = ["app-7xk2p-build-0", "app-7xk2p-build-1"];
    let images = ["team/amd", "team/arm"];
    for (name, image) in names.iter().zip(images) {
        yard.task_run_of(&pipeline_run, name, built(&shop, image));
    }
    yard.refer_to(&names.map(|name| ("TaskRun", name)));
    yard.tool("tekseal-attest")
        .args(["--run", &yard.task("build"), "--key", path(&key)])
        .ok();
    yard.mark("TaskRun", names[0], json!({SIGNED: "true"}));
    yard.mark("TaskRun", names[1], json!({SIGNED: "true"}));
    let said = waiting.wait().ok();
    for image in images {
        let line = format!(
            "verified signature image={}/{image}@",
            shop.registry.address()
        );
        assert!(said.stdout.contains(&line), "{said:?}");
    }
    assert_eq!(yard.results(), ("true".to_owned(), String::new()));
    // All of them must be signed.
    yard.mark("TaskRun", names[1], json!({SIGNED: "failed"}));
    wait().fails_with(1).says("was given up");
    assert_eq!(yard.results().0, "failed");
}

#[test]
fn a_task_that_will_make_no_taskrun_is_not_waited_for_until_the_deadline() {
    let Some(yard) = Yard::new() else { return };
    yard.running_pipeline();
    let whole = yard.object("tekton.dev/v1", "PipelineRun", NAME);
    let status = |status: serde_json::Value| {
        yard.api
            .patch(&format!("{whole}/status"), &json!({"status": status}));
    };
    let build = yard.task("build");
    let wait = || yard.wait(&[&build, "--insecure-skip-verify"]);
    wait()
        .args(["--timeout", "1s"])
        .fails_with(1)
        .says("/app-7xk2p has no TaskRun in time");
    assert_eq!(yard.results().0, "timeout");
    yard.wait(&[&yard.task("buidl"), "--insecure-skip-verify"])
        .fails_with(1)
        .says("does not exist; there are the tasks clone, build");

    let skipped = json!([{"name": "build", "reason": "When Expressions evaluated to false"}]);
    let waiting = yard.start(wait());
    status(json!({"skippedTasks": skipped}));
    waiting.wait().fails_with(1).says("was skipped: When");
    assert_eq!(yard.results().0, "nothing");

    status(json!({"skippedTasks": null}));
    let waiting = yard.start(wait());
    status(
        json!({"conditions": [{"type": "Succeeded", "status": "False", "reason": "Cancelled"}]}),
    );
    waiting.wait().fails_with(1).says("never ran");
    assert_eq!(yard.results().0, "nothing");

    status(json!({"conditions": [{"type": "Succeeded", "status": "Unknown"}]}));
    let waiting = yard.start(wait());
    yard.api.delete(&whole);
    waiting
        .wait()
        .fails_with(1)
        .says("was deleted before its task build began");
    assert_eq!(yard.results().0, "failed");
    wait().fails_with(1).says("/app-7xk2p does not exist");
}

#[test]
fn a_taskrun_of_another_owner_is_not_the_one_that_is_waited_for() {
    let Some(yard) = Yard::new() else { return };
    yard.running_pipeline();
    yard.task_run("app-7xk2p-build", json!([]));
    yard.mark("TaskRun", "app-7xk2p-build", json!({SIGNED: "true"}));
    yard.refer_to(&[("TaskRun", "app-7xk2p-build")]);
    yard.wait(&[&yard.task("build"), "--insecure-skip-verify"])
        .fails_with(1)
        .says("is not the one that the PipelineRun made");
}

#[test]
fn the_own_task_is_not_waited_for() {
    let Some(yard) = Yard::new() else { return };
    yard.matrix(&[
        ("app-7xk2p-build-0", json!([])),
        ("app-7xk2p-build-1", json!([])),
    ]);
    let wait =
        |reference: &str| yard.wait(&[reference, "--insecure-skip-verify", "--timeout", "1s"]);
    let build = yard.task("build");
    let second = yard.reference("taskrun", "app-7xk2p-build-1");
    // By the name of the TaskRun, once it is known which ones the task made.
    for reference in [&build, &second] {
        wait(reference)
            .args(["--own-task-run", "app-7xk2p-build-1"])
            .fails_with(2)
            .says("this step is a part of TaskRun")
            .says("it would wait for ever");
        wait(reference)
            .args(["--own-task-run", "app-7xk2p-build-1"])
            .args(["--own-namespace", "elsewhere"])
            .fails_with(1);
    }
    // By the labels of the Pod, whatever the TaskRuns are called.
    yard.api.create(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "waiter", "namespace": yard.namespace,
            "labels": {"tekton.dev/pipelineRun": NAME, "tekton.dev/pipelineTask": "tell"},
        },
        "spec": {"containers": [{"name": "step", "image": "example.com/step"}]},
    }));
    let mut config = kubeconfig(yard.api.kubeconfig().as_path());
    config["contexts"][0]["context"]["namespace"] = json!(yard.namespace);
    std::fs::write(yard.path("in-pod"), config.to_string()).expect("the folder is ours");
    let in_pod = |reference: &str| {
        wait(reference)
            .env("KUBECONFIG", yard.path("in-pod"))
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("HOSTNAME", "waiter")
    };
    in_pod(&yard.task("tell"))
        .fails_with(2)
        .says("this step is a part of task tell of PipelineRun");
    in_pod(&build).fails_with(1).says("is not signed in time");
    in_pod(&yard.reference("pipelinerun", NAME))
        .fails_with(2)
        .says("this step is a part of PipelineRun");
}
