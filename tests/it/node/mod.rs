//! With a whole Kubernetes node and Tekton, which `./test --cluster` starts: what only real pods show.

mod chains;
mod controller;
mod custody;
mod tasks;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Node, object_path, program};

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

/// A Task that says it built an image of this repository; `digest` is in the registry.
fn image_task(node: &Node, repository: &str, digest: &str) -> Value {
    let url = format!("{}/{repository}:1", node.registry().address());
    let shell = node.shell_image(&[]);
    let write = |name: &str, file: &str, text: &str| {
        json!({"name": name, "image": shell, "command": ["/bin/sh"],
            "args": ["-c", r#"printf %s "$1" >"$2""#, "sh", text, file]})
    };
    json!({
        "results": [{"name": "IMAGE_URL"}, {"name": "IMAGE_DIGEST"}],
        "steps": [
            write("build", "$(results.IMAGE_URL.path)", &url),
            write("push", "$(results.IMAGE_DIGEST.path)", digest),
        ],
    })
}

/// A program under test that can be all of an image.
fn static_program(name: &str) -> PathBuf {
    let file = program(name);
    let bytes = fs::read(&file).expect("it is there");
    let is_static = !bytes.windows(9).any(|window| window == b"/ld-linux");
    assert!(
        is_static,
        "{} needs a loader, which is not in its image: ./build makes static programs, TEKSEAL_BIN_DIR names them",
        file.display()
    );
    file
}

/// Copies what is in a folder into another one.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("it is writable");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("it is writable");
        }
    }
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
    let task = image_task(node, "team/app", &image.digest);
    let run = succeeded(node, &namespace, task);

    assert_eq!(result(&run, "IMAGE_URL"), Some(url.as_str()));
    assert_eq!(result(&run, "IMAGE_DIGEST"), Some(image.digest.as_str()));
    let shell = node.shell_image(&[]);
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
