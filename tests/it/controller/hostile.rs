//! What tenants may store in their runs, and what it must not do to the controller: use up its memory, or end its watch for everybody.

use std::fs;

use serde_json::{Value, json};
use tekseal_harness::{Request, Running, object_path};

use super::stand::{OCI, REASON, SIGNED, Stand, annotation, now};

/// What the Deployment lets the controller have.
const LIMIT_MIB: f64 = 64.0;

/// The most memory that the program ever had, in MiB.
fn peak_mib(program: &Running) -> f64 {
    let file = format!("/proc/{}/status", program.id());
    let text = fs::read_to_string(&file).expect("the program runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    let kib: f64 = kib
        .and_then(|word| word.parse().ok())
        .expect("it has a peak");
    kib / 1024.0
}

/// A completed TaskRun of about 1.2 MB.
fn large(stand: &Stand, name: &str, results: Value, description: &str) -> Value {
    let run = stand.completed(name, results);
    let path = format!("{}/status", object_path(&run));
    let status = json!({"taskSpec": {"description": description}});
    stand.api.patch(&path, &json!({ "status": status }))
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
    for run in &runs {
        let run = stand.wait_marked(run);
        assert_eq!(
            annotation(&run, SIGNED),
            Some("true"),
            "{:?}",
            annotation(&run, REASON)
        );
    }
    let peak = peak_mib(&controller);
    println!("peak {peak:.1} MiB");
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
    println!("peak {peak:.1} MiB");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}

#[test]
fn a_run_with_fields_of_odd_types_hides_no_other() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let mut let_in = Vec::new();
    for (at, status) in [
        json!({"conditions": [null]}),
        json!({"conditions": "Succeeded"}),
        json!({"completionTime": 5}),
        json!({"completionTime": "yesterday"}),
        json!({"conditions": [{"type": 7, "status": []}]}),
        json!("x"),
        Value::Null,
    ]
    .into_iter()
    .enumerate()
    {
        let run = stand.created(&format!("odd-{at}"));
        let path = format!("{}/status", object_path(&run));
        let body = json!({ "status": status }).to_string();
        let request =
            Request::new("PATCH", &path).body("application/merge-patch+json", body.as_bytes());
        let answer = stand.api.send(&request).expect("the API server answers");
        let_in.extend((answer.status == 200).then(|| status.to_string()));
    }
    println!("let in: {let_in:?}");
    let before = stand.completed("before", stand.image_results());
    let _controller = stand.start();
    stand.wait_marked(&before);
    let after = stand.completed("after", stand.image_results());
    let after = stand.wait_marked(&after);
    assert_eq!(annotation(&after, SIGNED), Some("true"));
}
