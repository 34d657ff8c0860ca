//! The runs that are signed: an invented build of two steps, about 3 KB of JSON once completed.

use serde_json::{Value, json};

const BUILDER: &str = "registry.example.com/tools/build@sha256:1d1a4de6c7c00389f96e6d7522c667e979e17fc040d0eb50f40993d7f913c227";
const PUSHER: &str = "registry.example.com/tools/push@sha256:5c2d1e0f9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d";
const COMMIT: &str = "9a3f1c5de8b7460f92d4a1e6c3b5d8f7a0e2c4b6";

/// A run as a user makes it.
pub(super) fn created(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "tekton-pipelines", "tekton.dev/memberOf": "tasks"},
        },
        "spec": {
            "params": [
                {"name": "url", "value": "https://git.example.com/team/app"},
                {"name": "revision", "value": COMMIT},
            ],
            "serviceAccountName": "default",
            "taskSpec": task_spec(),
            "timeout": "1h0m0s",
        },
    })
}

/// A run that is done with: completed, signed by whoever was in charge, and held by its finalizer.
pub(super) fn held(namespace: &str, name: &str) -> Value {
    let mut run = created(namespace, name);
    run["metadata"]["annotations"] =
        json!({super::SIGNED: "true", "chains.tekton.dev/transparency": ""});
    run["metadata"]["finalizers"] = json!(["chains.tekton.dev/taskrun"]);
    run
}

/// What Tekton writes into it when it has succeeded at `time` and pushed this image.
pub(super) fn status(url: &str, digest: &str, time: &str) -> Value {
    let step = |name: &str, image: &str, hash: char| {
        json!({
            "name": name,
            "container": format!("step-{name}"),
            "imageID": image,
            "terminated": {
                "containerID": format!("containerd://{}", hash.to_string().repeat(64)),
                "exitCode": 0,
                "finishedAt": time,
                "reason": "Completed",
                "startedAt": time,
            },
        })
    };
    json!({
        "completionTime": time,
        "conditions": [{
            "lastTransitionTime": time,
            "message": "All Steps have completed executing",
            "reason": "Succeeded",
            "status": "True",
            "type": "Succeeded",
        }],
        "podName": "build-pod",
        "provenance": {"featureFlags": {"enableAPIFields": "beta", "resultExtractionMethod": "termination-message"}},
        "results": [
            {"name": "IMAGE_URL", "type": "string", "value": url},
            {"name": "IMAGE_DIGEST", "type": "string", "value": digest},
        ],
        "startTime": time,
        "steps": [step("build", BUILDER, 'a'), step("push", PUSHER, 'b')],
        "taskSpec": task_spec(),
    })
}

fn task_spec() -> Value {
    json!({
        "params": [
            {"name": "url", "type": "string", "description": "Repository of the sources"},
            {"name": "revision", "type": "string", "description": "Commit of the sources"},
        ],
        "results": [
            {"name": "IMAGE_URL", "type": "string", "description": "Where the image is"},
            {"name": "IMAGE_DIGEST", "type": "string", "description": "Digest of its manifest"},
        ],
        "steps": [
            {
                "name": "build",
                "image": BUILDER,
                "computeResources": {"requests": {"cpu": "500m", "memory": "256Mi"}},
                "script": "#!/bin/sh\nset -eu\ngit clone \"$(params.url)\" source\ngit -C source checkout \"$(params.revision)\"\nmake -C source image\n",
            },
            {
                "name": "push",
                "image": PUSHER,
                "computeResources": {},
                "command": ["/bin/push"],
                "args": ["--digest-file", "$(results.IMAGE_DIGEST.path)", "--name-file", "$(results.IMAGE_URL.path)"],
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_run_has_about_three_kilobytes() {
        let mut run = created("builds", "run-0001");
        run["status"] = status(
            "127.0.0.1:5000/bench/app",
            &format!("sha256:{}", "c".repeat(64)),
            "2026-01-31T12:00:00Z",
        );
        let size = run.to_string().len();
        assert!((2700..3800).contains(&size), "{size}");
    }
}
