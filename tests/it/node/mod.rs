//! With a whole Kubernetes node and Tekton, which `./test --cluster` starts: what only real pods show.

mod chains;
mod controller;
mod tasks;

use serde_json::{Value, json};
use tekseal_harness::{Node, object_path};

/// Runs a Task and gives the TaskRun when it has succeeded.
#[track_caller]
fn succeeded(node: &Node, namespace: &str, task: Value) -> Value {
    let run = node.create(&json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {"generateName": "build-", "namespace": namespace},
        "spec": {"taskSpec": task},
    }));
    let run = node.wait_for(&object_path(&run), |run| {
        let done = &run["status"]["conditions"][0]["status"];
        done == "True" || done == "False"
    });
    let condition = &run["status"]["conditions"][0];
    assert_eq!(condition["status"], "True", "{run:#}");
    run
}

/// The value of a result.
fn result<'a>(run: &'a Value, name: &str) -> Option<&'a str> {
    let results = run["status"]["results"].as_array();
    let found = results.into_iter().flatten().find(|r| r["name"] == name);
    found?["value"].as_str()
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_task_run_of_two_steps_reports_its_image() {
    let node = Node::here();
    let namespace = node.namespace();
    let image = node.registry().push_image("team/app", "1");
    let url = format!("{}/team/app:1", node.registry().address());
    let shell = node.shell_image(&[]);
    let step = |name: &str, file: &str, text: &str| {
        json!({
            "name": name,
            "image": shell,
            "command": ["/bin/sh"],
            "args": ["-c", r#"printf %s "$1" >"$2""#, "sh", text, file],
        })
    };
    let run = succeeded(
        node,
        &namespace,
        json!({
            "results": [{"name": "IMAGE_URL"}, {"name": "IMAGE_DIGEST"}],
            "steps": [
                step("build", "$(results.IMAGE_URL.path)", &url),
                step("push", "$(results.IMAGE_DIGEST.path)", &image.digest),
            ],
        }),
    );

    assert_eq!(result(&run, "IMAGE_URL"), Some(url.as_str()));
    assert_eq!(result(&run, "IMAGE_DIGEST"), Some(image.digest.as_str()));
    let (_, digest) = shell.split_once('@').expect("it has a digest");
    let steps = run["status"]["steps"].as_array().expect("it has steps");
    let is_ours = |step: &Value| {
        let id = step["imageID"].as_str();
        id.is_some_and(|id| id.ends_with(digest))
    };
    assert!(steps.len() == 2 && steps.iter().all(is_ours), "{steps:#?}");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_confined_step_reaches_the_registry_and_the_api_server() {
    let node = Node::here();
    let namespace = node.namespace();
    let registry = node.registry().address();
    let script = format!(
        "#!/bin/sh\nset -e\n\
         wget -q -O /dev/null http://{registry}/v2/\n\
         nc -w 5 \"$KUBERNETES_SERVICE_HOST\" \"$KUBERNETES_SERVICE_PORT\" </dev/null\n\
         cat /var/run/secrets/kubernetes.io/serviceaccount/namespace >$(results.NAMESPACE.path)\n\
         id -u >$(results.USER.path)\n"
    );
    let run = succeeded(
        node,
        &namespace,
        json!({
            "results": [{"name": "NAMESPACE"}, {"name": "USER"}],
            "stepTemplate": {"securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }},
            "steps": [{"name": "reach", "image": node.shell_image(&["wget", "nc", "cat", "id"]), "script": script}],
        }),
    );
    assert_eq!(result(&run, "NAMESPACE"), Some(namespace.as_str()));
    assert_eq!(result(&run, "USER").map(str::trim), Some("65532"));
}
