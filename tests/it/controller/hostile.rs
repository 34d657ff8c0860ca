//! What tenants may store in their runs, and what it must not do to the controller: use up its memory, or end its watch for everybody.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Registry, Request, Run, Running, object_path};

use super::stand::{
    CONTROLLER, OCI, PATIENCE, REASON, SIGNED, Stand, alone, annotation, now, results_at,
    with_needs,
};
use crate::workshop::plain_key;

/// What it may hold at the most beside its own code. That of a development build has some 20 MiB, of the shipped program 9, so with this it is well within
/// 64 MiB; the Deployment lets it have half as much again, for the kernel's buffers.
pub(super) const LIMIT_MIB: f64 = 45.0;

/// The most memory that a program had, in MiB, without the pages of its own file: how many those are is a matter of the build.
pub(super) fn peak_mib(program: &Running) -> f64 {
    let file = format!("/proc/{}/status", program.id());
    let text = fs::read_to_string(&file).expect("the program runs");
    let mib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        let kib: f64 = kib
            .and_then(|word| word.parse().ok())
            .expect("the kernel tells it");
        kib / 1024.0
    };
    mib("VmHWM:") - mib("RssFile:")
}

/// A completed TaskRun of about 1.2 MB.
fn large(stand: &Stand, name: &str, results: Value, description: &str) -> Value {
    let run = stand.completed(name, results);
    let path = format!("{}/status", object_path(&run));
    let status = json!({"taskSpec": {"description": description}});
    stand.api.patch(&path, &json!({ "status": status }))
}

/// Waits until all of them are signed.
#[track_caller]
pub(super) fn are_signed(stand: &Stand, runs: &[Value]) {
    for run in runs {
        // How long it takes on a busy machine is not what these tests are about.
        let is_marked = |run: &Value| annotation(run, SIGNED).is_some();
        let run = stand.wait_within(PATIENCE * 3, run, is_marked);
        let reason = annotation(&run, REASON);
        assert_eq!(annotation(&run, SIGNED), Some("true"), "{reason:?}");
    }
}

/// A PipelineRun, completed a moment ago, that names these TaskRuns as its children.
fn pipeline_run(stand: &Stand, name: &str, children: &[String]) -> Value {
    let run = stand.api.create(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": name, "namespace": stand.builds},
        "spec": {"pipelineSpec": {"tasks": [{"name": "build", "taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]}}]}},
    }));
    let references: Vec<Value> = children
        .iter()
        .map(|name| json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name, "pipelineTaskName": name}))
        .collect();
    let status = json!({
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}],
        "startTime": now(), "completionTime": now(), "childReferences": references,
    });
    let path = format!("{}/status", object_path(&run));
    stand.api.patch(&path, &json!({ "status": status }))
}

#[test]
fn large_runs_that_are_listed_at_a_start_are_signed_within_the_memory_limit() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let description = "x".repeat(1_200_000);
    let runs: Vec<Value> = (0..60)
        .map(|i| {
            large(
                &stand,
                &format!("build-{i}"),
                stand.image_results(),
                &description,
            )
        })
        .collect();
    let controller = stand.start();
    are_signed(&stand, &runs);
    let peak = peak_mib(&controller);
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

#[test]
fn large_payloads_of_many_runs_at_once_stay_within_the_memory_limit() {
    let Some(mut stand) = Stand::new() else {
        return;
    };
    stand.configure(OCI);
    // Several namespaces have more slots than one.
    let namespaces = [
        stand.builds.clone(),
        stand.api.namespace(),
        stand.api.namespace(),
    ];
    // Of every character the payload has five more bytes.
    let value = "\u{1}".repeat(180_000);
    let runs: Vec<Value> = (0..30)
        .map(|i| {
            stand.builds.clone_from(&namespaces[i % namespaces.len()]);
            let repository = format!("team/app-{i}");
            let digest = stand.registry.push_image(&repository, "1").digest;
            let run = stand.completed(
                &format!("build-{i}"),
                stand.results_of(&repository, &digest),
            );
            let params = json!([{"name": "message", "value": value}]);
            stand
                .api
                .patch(&object_path(&run), &json!({"spec": {"params": params}}))
        })
        .collect();
    let controller = stand.command_for(&namespaces.join(",")).start();
    are_signed(&stand, &runs);
    let peak = peak_mib(&controller);
    println!("{peak} MiB at the most");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

#[test]
fn large_children_of_many_pipelineruns_at_once_stay_within_the_memory_limit() {
    let Some(stand) = Stand::new() else { return };
    let pipelines = [
        ("artifacts.pipelinerun.format", "slsa/v1"),
        ("artifacts.pipelinerun.storage", "oci"),
    ];
    stand.configure(&[OCI, &pipelines].concat());
    let description = "x".repeat(1_200_000);
    let names: Vec<String> = (0..15).map(|i| format!("task-{i}")).collect();
    let children: Vec<Value> = names
        .iter()
        .map(|name| large(&stand, name, json!([]), &description))
        .collect();
    for (at, child) in children.iter().enumerate() {
        // One PipelineRun finds them by their label, the others by name, and some that carry a label belong to none.
        let label = format!("pipeline-{}", at % 2);
        let labels = json!({"tekton.dev/pipelineRun": label});
        stand.api.patch(
            &object_path(child),
            &json!({"metadata": {"labels": labels}}),
        );
    }
    let small: Vec<Value> = (0..8)
        .map(|i| pipeline_run(&stand, &format!("pipeline-{i}"), &names[..13]))
        .collect();
    let too_large = pipeline_run(&stand, "too-large", &names);
    let controller = stand.start();
    for run in &small {
        let run = stand.wait_marked(run);
        assert_ne!(
            annotation(&run, SIGNED),
            Some("failed"),
            "{:?}",
            annotation(&run, REASON)
        );
    }
    let failed = stand.wait_marked(&too_large);
    assert_eq!(annotation(&failed, SIGNED), Some("failed"));
    let reason = annotation(&failed, REASON).expect("it is told");
    assert!(
        reason.contains("more than 16384 KiB: keep large data out of"),
        "{reason}"
    );
    let peak = peak_mib(&controller);
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

#[test]
fn a_run_with_fields_of_odd_types_hides_no_other() {
    let Some(api) = ApiServer::start() else {
        return;
    };
    accept_anything(&api, "taskruns.tekton.dev");
    let (system, builds) = (api.namespace(), api.namespace());
    let registry = Registry::start();
    let digest = registry.push_image("team/app", "1").digest;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(plain_key().0, folder.path().join("x509.pem")).expect("it is there");
    api.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "chains-config", "namespace": system},
        "data": {"artifacts.taskrun.storage": "oci", "tekseal.registries": registry.address()},
    }));
    let create = |name: &str, spec: Value, status: Value| {
        api.create(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name, "namespace": builds},
            "spec": spec, "status": status,
        }))
    };
    let spec = json!({"taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]}});
    let good = |name: &str| {
        let status = json!({
            "conditions": [{"type": "Succeeded", "status": "True"}], "podName": "pod", "completionTime": now(),
            "results": results_at(registry.address(), "team/app", &digest),
        });
        create(name, spec.clone(), status)
    };
    let odd = |when: &str| {
        let conditions = json!([{"type": "Succeeded", "status": "True"}]);
        let odd = [
            (json!("x"), json!({"conditions": conditions})),
            (json!({"managedBy": 7}), json!({"conditions": conditions})),
            (json!([]), json!("x")),
            (
                spec.clone(),
                json!({"conditions": [null], "completionTime": 5}),
            ),
            (spec.clone(), json!({"conditions": {"type": "Succeeded"}})),
            (
                spec.clone(),
                json!({"conditions": [7, conditions[0]], "completionTime": {}}),
            ),
        ];
        let created = odd
            .into_iter()
            .enumerate()
            .map(|(at, (spec, status))| create(&format!("odd-{when}-{at}"), spec, status));
        created.collect::<Vec<_>>()
    };
    let mut odd_runs = odd("listed");
    let before = good("before");
    let command = Run::tool(CONTROLLER);
    let command = with_needs(command, &api, &system, &builds, folder.path());
    let _controller = alone(command).timeout(PATIENCE * 5).start();
    let is_marked = |run: &Value| annotation(run, SIGNED).is_some();
    let marked = |run: &Value| api.wait_within(PATIENCE, &object_path(run), is_marked);
    assert_eq!(annotation(&marked(&before), SIGNED), Some("true"));
    odd_runs.extend(odd("watched"));
    assert_eq!(annotation(&marked(&good("after")), SIGNED), Some("true"));
    // Those that have ended are seen themselves: what is odd about them is their own failure.
    for run in odd_runs
        .iter()
        .filter(|run| run["status"]["conditions"][0]["status"] == "True")
    {
        let run = marked(run);
        assert_eq!(annotation(&run, SIGNED), Some("failed"), "{run:#}");
    }
}

/// Has the API server store whatever somebody writes into objects of a kind, as definitions without a schema have it.
fn accept_anything(api: &ApiServer, name: &str) {
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
    let mut definition = api.get(&path).expect("it is installed");
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let versions = definition["spec"]["versions"].as_array_mut();
    for version in versions.into_iter().flatten() {
        version["schema"] = schema.clone();
        // With a path of its own, a status could not be created odd.
        version["subresources"] = Value::Null;
        version["selectableFields"] = Value::Null;
    }
    api.put(&definition);
    let probe = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": "probe", "namespace": api.namespace()}, "spec": 7, "status": {"a": "b"},
    });
    // The new schema is served a moment later.
    let deadline = Instant::now() + PATIENCE;
    let collection = object_path(&probe).replace("/probe", "");
    let request =
        Request::new("POST", &collection).body("application/json", probe.to_string().as_bytes());
    loop {
        let answer = api.send(&request).expect("the API server answers");
        if answer.status == 201 {
            return;
        }
        assert!(Instant::now() < deadline, "{}", answer.text());
        std::thread::sleep(Duration::from_millis(50));
    }
}
