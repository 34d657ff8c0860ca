//! The TaskRuns of one task of a PipelineRun, `k8s://NAMESPACE/pipelinerun/NAME/TASK`: as a later task of the same Pipeline reads them.

use std::fs;

use serde_json::{Value, json};

use super::Yard;
use crate::workshop::{Pipeline, Workshop, plain_key, run_document};

/// Name of the PipelineRun.
pub(super) const NAME: &str = "app-7xk2p";

impl Yard {
    /// A PipelineRun that goes on: `clone` has ended, of `build` the status names nothing yet.
    pub(super) fn running_pipeline(&self) -> Value {
        let mut run = Pipeline::nowhere().json("pipelinerun.json");
        run["metadata"]["finalizers"] = json!([]);
        let status = run["status"].as_object_mut().expect("an object");
        status.remove("completionTime");
        status.remove("results");
        status["conditions"][0]["status"] = json!("Unknown");
        status["childReferences"]
            .as_array_mut()
            .expect("a list")
            .truncate(1);
        self.put(run)
    }

    /// A TaskRun of the PipelineRun, without the labels of Tekton.
    pub(super) fn task_run_of(&self, pipeline_run: &Value, name: &str, results: Value) {
        let mut run = run_document(results);
        run["metadata"]["name"] = json!(name);
        run["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "controller": true,
            "name": NAME, "uid": pipeline_run["metadata"]["uid"],
        }]);
        self.put(run);
    }

    /// Adds children of `build` to the status of the PipelineRun: kind and name of each.
    pub(super) fn refer_to(&self, children: &[(&str, &str)]) {
        let path = self.object("tekton.dev/v1", "PipelineRun", NAME);
        let mut run = self.api.get(&path).expect("it is there");
        let references = run["status"]["childReferences"].as_array_mut();
        references
            .expect("a list")
            .extend(children.iter().map(|(kind, name)| {
                json!({"apiVersion": "tekton.dev/v1", "kind": kind, "name": name, "pipelineTaskName": "build"})
            }));
        self.api.put_status(&run);
    }

    /// A running PipelineRun whose task `build` made these TaskRuns, with their results.
    pub(super) fn matrix(&self, task_runs: &[(&str, Value)]) -> Value {
        let run = self.running_pipeline();
        for (name, results) in task_runs {
            self.task_run_of(&run, name, results.clone());
        }
        let children: Vec<_> = task_runs
            .iter()
            .map(|(name, _)| ("TaskRun", *name))
            .collect();
        self.refer_to(&children);
        run
    }

    /// `k8s://NAMESPACE/pipelinerun/NAME/TASK`
    pub(super) fn task(&self, task: &str) -> String {
        self.reference("pipelinerun", &format!("{NAME}/{task}"))
    }

    fn index(&self, folder: &str) -> Vec<Value> {
        let bytes = fs::read(self.path(folder).join("payloads.json")).expect("it was written");
        serde_json::from_slice(&bytes).expect("a list")
    }
}

/// Results that name an image of the registry.
pub(super) fn built(shop: &Workshop, repository: &str) -> Value {
    let digest = shop.registry.push_image(repository, "1").digest;
    json!([
        {"name": "IMAGE_URL", "value": format!("{}/{repository}:1", shop.registry.address())},
        {"name": "IMAGE_DIGEST", "value": digest},
    ])
}

#[test]
fn a_task_is_attested_while_its_pipelinerun_goes_on_by_the_status_and_not_by_labels() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let pipeline_run = yard.matrix(&[("app-7xk2p-build", built(&shop, "team/app"))]);
    // Whoever may make TaskRuns can label one.
    yard.task_run_of(&pipeline_run, "forged", built(&shop, "team/forged"));
    let label = json!({"tekton.dev/pipelineRun": NAME, "tekton.dev/pipelineTask": "build"});
    yard.api.patch(
        &yard.object("tekton.dev/v1", "TaskRun", "forged"),
        &json!({"metadata": {"labels": label}}),
    );
    let provenance = |run: &str, out: &str| {
        yard.tool("tekseal-provenance")
            .args(["--run", run, "--format", "slsa/v2alpha4", "--out", out])
            .ok();
        yard.index(out)
    };
    let by_name = provenance(&yard.reference("taskrun", "app-7xk2p-build"), "name");
    let audit = yard.api.audit();
    assert_eq!(provenance(&yard.task("build"), "task"), by_name);
    assert_eq!(by_name.len(), 2);
    let asked = audit.requests();
    let asked = asked.iter().filter(|r| r.namespace == yard.namespace);
    let asked: Vec<String> = asked
        .map(|r| format!("{} {} {}", r.verb, r.resource, r.name))
        .collect();
    assert_eq!(
        asked,
        ["get pipelineruns app-7xk2p", "get taskruns app-7xk2p-build"]
    );
}

#[test]
fn a_matrix_is_attested_run_by_run() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let arm = built(&shop, "team/arm");
    yard.matrix(&[
        ("app-7xk2p-build-0", built(&shop, "team/amd")),
        ("app-7xk2p-build-1", arm.clone()),
        ("app-7xk2p-build-2", arm),
    ]);
    let run = yard.task("build");
    let formats = "in-toto,slsa/v2alpha4";
    yard.tool("tekseal-provenance")
        .args(["--run", &run, "--format", formats, "--out", "out"])
        .ok()
        .says("read run=k8s://")
        .says("the same bytes, and is written once run=")
        .says("app-7xk2p-build-2");
    let files: Vec<String> = yard
        .index("out")
        .iter()
        .map(|entry| entry["file"].as_str().expect("a name").to_owned())
        .filter(|file| file.starts_with("provenance"))
        .collect();
    assert_eq!(
        files,
        [
            "provenance-in-toto.json",
            "provenance-slsa-v2alpha4.json",
            "provenance-in-toto-2.json",
            "provenance-slsa-v2alpha4-2.json",
            // Nothing in v0.2 tells the third run, which built the same, from the second.
            "provenance-slsa-v2alpha4-3.json",
        ]
    );
    let (key, public) = plain_key();
    yard.tool("tekseal-sign")
        .args(["out", "--key"])
        .arg(&key)
        .ok();
    let results = yard.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    yard.tool("tekseal-upload")
        .arg("out")
        .arg("--results")
        .arg(&results)
        .ok();
    let layers = |repository: &str, kind: &str| {
        let results = built(&shop, repository);
        let digest = results[1]["value"].as_str().expect("a digest");
        yard.tool("tekseal-verify")
            .args([
                "--type",
                "slsaprovenance,slsaprovenance1",
                "--key",
                public.to_str().expect("UTF-8"),
                &shop.registry.reference(repository, digest),
            ])
            .ok();
        let tag = format!("{}.{kind}", digest.replace(':', "-"));
        let manifest = shop.registry.manifest(repository, &tag);
        let manifest = manifest.expect("it is there");
        let layers = manifest.json()["layers"].as_array().map(Vec::len);
        layers.expect("a list")
    };
    assert_eq!(
        (layers("team/amd", "att"), layers("team/amd", "sig")),
        (2, 1)
    );
    // Two TaskRuns made the same image: the image is signed once, and each TaskRun attested, though provenance v0.2 does not tell them apart:
    // they differ in nothing but name and uid, so what is equal is stored once.
    assert_eq!(
        (layers("team/arm", "att"), layers("team/arm", "sig")),
        (3, 1)
    );
    let told = fs::read_to_string(results.join("SIGNATURES")).expect("it was written");
    let told: Vec<&str> = told.split(',').collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("/team/amd@sha256:") && told[1].contains("/team/arm@sha256:"));
    // All of it again in one process: nothing is added.
    yard.tool("tekseal-attest")
        .args(["--run", &run, "--format", formats, "--key"])
        .arg(&key)
        .ok();
    assert_eq!(
        (layers("team/arm", "att"), layers("team/arm", "sig")),
        (3, 1)
    );
}

#[test]
fn one_taskrun_that_cannot_be_attested_refuses_all_of_its_task() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let pipeline_run = yard.matrix(&[("app-7xk2p-build-0", built(&shop, "team/app"))]);
    let mut running = run_document(json!([]));
    running["metadata"]["name"] = json!("app-7xk2p-build-1");
    running["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "controller": true,
        "name": NAME, "uid": pipeline_run["metadata"]["uid"],
    }]);
    running["status"]["conditions"][0]["status"] = json!("Unknown");
    yard.put(running);
    yard.refer_to(&[("TaskRun", "app-7xk2p-build-1")]);
    let refused = || {
        let tool = yard.tool("tekseal-provenance");
        let said = tool.args(["--run", &yard.task("build"), "--out", "out"]);
        let said = said.fails_with(1);
        assert!(!yard.path("out").exists(), "nothing is written");
        said
    };
    refused()
        .says("/app-7xk2p-build-1 is not completed")
        .says("hint: provenance is of finished runs: call again");
    let path = yard.object("tekton.dev/v1", "TaskRun", "app-7xk2p-build-1");
    yard.api.delete(&path);
    refused().says("/app-7xk2p-build-1").says("NotFound");
    // Another one under its name is not what the PipelineRun made.
    yard.task_run("app-7xk2p-build-1", built(&shop, "team/forged"));
    refused().says("/app-7xk2p-build-1 is not the one that the PipelineRun made");
    yard.api.delete(&path);
    let earlier = json!({"metadata": {"uid": "0b8f6f7e-52b5-4a0c-9a44-3d0c5f2f6f11"}});
    yard.task_run_of(&earlier, "app-7xk2p-build-1", built(&shop, "team/forged"));
    refused().says("/app-7xk2p-build-1 is not the one that the PipelineRun made");
}

#[test]
fn a_task_without_taskruns_is_refused_with_the_tasks_there_are() {
    let Some(yard) = Yard::new() else { return };
    yard.running_pipeline();
    let namespace = &yard.namespace;
    let tools = |reference: &str| {
        [
            yard.tool("tekseal-provenance")
                .args(["--run", reference, "--out", "out"]),
            yard.tool("tekseal-attest")
                .args(["--run", reference, "--key"])
                .arg(plain_key().0),
            yard.tool("tekseal-explain").arg(reference),
            yard.tool("tekseal-resign").arg(reference),
        ]
    };
    let refused = |task: &str, said: &str, hint: &str| {
        for tool in tools(&yard.task(task)) {
            tool.fails_with(1)
                .says(&format!(
                    "task {task} of PipelineRun {namespace}/app-7xk2p {said}"
                ))
                .says("there are the tasks clone, build")
                .says(&format!("hint: {hint}"));
        }
    };
    refused("buidl", "does not exist", "TASK is the name of the task");
    refused("build", "has no TaskRun yet", "let this step run after");
    let path = yard.object("tekton.dev/v1", "PipelineRun", NAME);
    yard.api.patch(
        &format!("{path}/status"),
        &json!({"status": {"skippedTasks": [{"name": "build", "reason": "When Expressions evaluated to false"}]}}),
    );
    refused(
        "build",
        "was skipped: When Expressions evaluated to false",
        "give what follows the same `when`",
    );
    yard.refer_to(&[("CustomRun", "app-7xk2p-build")]);
    refused(
        "build",
        "is run by the CustomRun app-7xk2p-build, which is no TaskRun",
        "only TaskRuns can be read",
    );
    for tool in tools(&yard.reference("pipelinerun", "absent/build")) {
        tool.fails_with(1)
            .says(&format!("PipelineRun {namespace}/absent does not exist"));
    }
    for tool in tools(&yard.reference("taskrun", "app-7xk2p-clone/build")) {
        tool.fails_with(2)
            .says("is no run in a cluster")
            .says("k8s://NAMESPACE/pipelinerun/NAME/TASK");
    }
}

#[test]
fn each_taskrun_of_a_task_is_explained_and_signed_again() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let names = ["app-7xk2p-build-0", "app-7xk2p-build-1"];
    yard.matrix(&names.map(|name| (name, built(&shop, "team/app"))));
    let explain = |args: &[&str]| {
        let tool = yard.tool("tekseal-explain").arg(yard.task("build"));
        tool.args(["--system-namespace", &yard.namespace])
            .args(args)
            .ok()
            .stdout
    };
    let said = explain(&[]);
    for name in names {
        let line = format!("TaskRun {}/{name}: completed, succeeded\n", yard.namespace);
        assert!(said.contains(&line), "{said}");
    }
    let said = explain(&["-o", "json"]);
    let told: Vec<Value> = serde_json::Deserializer::from_str(&said)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("one JSON document after the other");
    assert_eq!(
        told.iter().map(|one| &one["name"]).collect::<Vec<_>>(),
        names
    );

    let path = |name: &str| yard.object("tekton.dev/v1", "TaskRun", name);
    for name in names {
        let mark = json!({"metadata": {"annotations": {"chains.tekton.dev/signed": "failed"}}});
        yard.api.patch(&path(name), &mark);
    }
    let said = yard.tool("tekseal-resign").arg(yard.task("build")).ok();
    assert_eq!(said.stdout.lines().count(), 2, "{said:?}");
    for name in names {
        let run = yard.api.get(&path(name)).expect("it is there");
        let marks = &run["metadata"]["annotations"];
        assert!(marks["chains.tekton.dev/signed"].is_null(), "{marks}");
    }
}
