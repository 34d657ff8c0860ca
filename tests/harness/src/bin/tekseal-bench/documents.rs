//! Documents of runs to be formatted, of the size and shape that a cluster has: everything in them is invented.

use serde_json::{Value, json};

/// Steps of a TaskRun.
const STEPS: [&str; 5] = ["clone", "restore-cache", "build", "test", "push"];

/// The document of a PipelineRun and those of its children.
pub(crate) struct PipelineDocuments {
    pub(crate) run: Vec<u8>,
    /// Name and document.
    pub(crate) children: Vec<(String, Vec<u8>)>,
}

/// A TaskRun of five steps that built one image and read one repository, as the API server hands it out.
pub(crate) fn task_run() -> Vec<u8> {
    task_run_of("build-app-7c9f4", "build", 0)
        .to_string()
        .into_bytes()
}

/// A PipelineRun of so many tasks, each after the one before it and with a parameter from it.
pub(crate) fn pipeline_run(children: usize) -> PipelineDocuments {
    let child = |at: usize| (format!("release-x2k7p-task-{at}"), format!("task-{at}"));
    let references: Vec<Value> = (0..children)
        .map(|at| {
            let (name, task) = child(at);
            json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name, "pipelineTaskName": task})
        })
        .collect();
    let tasks: Vec<Value> = (0..children)
        .map(|at| {
            let mut task = json!({
                "name": child(at).1,
                "taskRef": {"resolver": "git", "params": [
                    {"name": "url", "value": "https://git.example.com/platform/tasks.git"},
                    {"name": "revision", "value": "main"},
                    {"name": "pathInRepo", "value": format!("tasks/task-{at}/task.yaml")},
                ]},
                "params": [{"name": "revision", "value": "$(params.revision)"}],
                "timeout": "1h0m0s",
            });
            if at > 0 {
                task["runAfter"] = json!([child(at - 1).1]);
                task["params"] = json!([{"name": "source-image", "value": format!("$(tasks.{}.results.IMAGE_DIGEST)", child(at - 1).1)}]);
            }
            task
        })
        .collect();
    let run = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": metadata("release-x2k7p", "release", 500_000),
        "spec": {
            "pipelineRef": {"name": "release"},
            "params": [
                {"name": "CHAINS-GIT_URL", "value": "https://git.example.com/shop/app.git"},
                {"name": "CHAINS-GIT_COMMIT", "value": digits(3, 40)},
                {"name": "revision", "value": "main"},
            ],
            "taskRunTemplate": {"serviceAccountName": "pipeline"},
            "timeouts": {"pipeline": "2h0m0s"},
        },
        "status": {
            "conditions": [condition()],
            "startTime": "2026-03-01T09:59:00Z",
            "completionTime": "2026-03-01T10:45:00Z",
            "childReferences": references,
            "pipelineSpec": {
                "params": [{"name": "revision", "type": "string", "default": "main"}],
                "tasks": tasks,
            },
            "provenance": provenance("pipelines/release.yaml"),
            "results": [
                {"name": "IMAGE_URL", "value": "registry.example.com/shop/app:1.4.2"},
                {"name": "IMAGE_DIGEST", "value": format!("sha256:{}", digits(4, 64))},
            ],
        },
    });
    let children = (0..children)
        .map(|at| {
            let (name, task) = child(at);
            let document = task_run_of(&name, &task, at).to_string().into_bytes();
            (name, document)
        })
        .collect();
    PipelineDocuments {
        run: run.to_string().into_bytes(),
        children,
    }
}

fn task_run_of(name: &str, task: &str, seed: usize) -> Value {
    let seed = seed * 100;
    let image = format!("registry.example.com/shop/{task}");
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": metadata(name, task, seed),
        "spec": {
            "params": [
                {"name": "url", "value": "https://git.example.com/shop/app.git"},
                {"name": "revision", "value": "main"},
                {"name": "image", "value": format!("{image}:1.4.2")},
                {"name": "build-args", "value": ["VERSION=1.4.2", "TARGET=release", "FEATURES=<default>&metrics"]},
                {"name": "labels", "value": {"org.opencontainers.image.title": task, "org.opencontainers.image.vendor": "Example"}},
            ],
            "serviceAccountName": "builder",
            "taskRef": {"kind": "Task", "name": task},
            "timeout": "1h0m0s",
            "podTemplate": {"nodeSelector": {"kubernetes.io/arch": "amd64"}, "securityContext": {"fsGroup": 65532}},
            "workspaces": [{"name": "source", "persistentVolumeClaim": {"claimName": "pvc-3f1c9b"}}],
        },
        "status": {
            "conditions": [condition()],
            "startTime": "2026-03-01T10:00:00Z",
            "completionTime": "2026-03-01T10:04:37Z",
            "podName": format!("{name}-pod"),
            "provenance": provenance(&format!("tasks/{task}/task.yaml")),
            "results": [
                {"name": "CHAINS-GIT_URL", "type": "string", "value": "https://git.example.com/shop/app.git"},
                {"name": "CHAINS-GIT_COMMIT", "type": "string", "value": digits(3, 40)},
                {"name": "IMAGE_URL", "type": "string", "value": format!("{image}:1.4.2")},
                {"name": "IMAGE_DIGEST", "type": "string", "value": format!("sha256:{}", digits(seed + 1, 64))},
                {"name": "sbom-ARTIFACT_OUTPUTS", "type": "object", "value": {
                    "uri": format!("https://files.example.com/{task}/sbom.json"),
                    "digest": format!("sha256:{}", digits(seed + 2, 64)),
                    "isBuildArtifact": "false",
                }},
                {"name": "coverage", "type": "string", "value": "87.4"},
            ],
            "steps": STEPS.iter().zip(0..).map(|(step, at)| json!({
                "container": format!("step-{step}"),
                "imageID": format!("registry.example.com/tools/{step}@sha256:{}", digits(at + 7, 64)),
                "name": step,
                "terminated": {
                    "containerID": format!("containerd://{}", digits(seed + at + 20, 64)),
                    "exitCode": 0,
                    "finishedAt": "2026-03-01T10:04:30Z",
                    "reason": "Completed",
                    "startedAt": "2026-03-01T10:00:12Z",
                },
                "terminationReason": "Completed",
            })).collect::<Vec<_>>(),
            "taskSpec": {
                "description": "Builds an image from a repository, tests it and pushes it.",
                "params": [
                    {"name": "url", "type": "string", "description": "Repository to build from"},
                    {"name": "revision", "type": "string", "default": "main"},
                    {"name": "image", "type": "string"},
                    {"name": "build-args", "type": "array", "default": []},
                    {"name": "labels", "type": "object", "properties": {"org.opencontainers.image.title": {"type": "string"}}, "default": {}},
                ],
                "results": [{"name": "IMAGE_URL", "type": "string"}, {"name": "IMAGE_DIGEST", "type": "string"}],
                "steps": STEPS.map(step),
                "volumes": [{"emptyDir": {}, "name": "cache"}],
                "workspaces": [{"name": "source", "mountPath": "/workspace/source"}],
            },
        },
    })
}

fn step(name: &str) -> Value {
    json!({
        "computeResources": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "250m", "memory": "512Mi"}},
        "env": [
            {"name": "HOME", "value": "/tekton/home"},
            {"name": "IMAGE", "value": "$(params.image)"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"key": "token", "name": "registry"}}},
        ],
        "image": format!("registry.example.com/tools/{name}:2.1"),
        "name": name,
        "script": format!(
            "#!/usr/bin/env bash\nset -euo pipefail\ncd \"$(workspaces.source.path)\"\n\
             echo \"{name} of $(params.url) at $(params.revision)\" >&2\n\
             for arg in \"$@\"; do\n  args+=(--build-arg \"$arg\")\ndone\n\
             if [[ -s cache.tar && $FAST == 1 ]]; then tar -xf cache.tar; fi\n\
             /usr/local/bin/{name} \"${{args[@]}}\" --image \"$IMAGE\" >log.txt 2>&1 || {{ cat log.txt; exit 1; }}\n"
        ),
        "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true},
        "volumeMounts": [{"mountPath": "/cache", "name": "cache"}],
    })
}

fn metadata(name: &str, task: &str, seed: usize) -> Value {
    json!({
        "annotations": {
            "pipeline.tekton.dev/release": "v1.15.0",
            "build.example.com/triggered-by": "push",
            "build.example.com/commit-message": "Fix the price of \"gift wrapping\" & the order of <items>",
        },
        "creationTimestamp": "2026-03-01T09:59:58Z",
        "generation": 1,
        "labels": {
            "app.kubernetes.io/managed-by": "tekton-pipelines",
            "tekton.dev/memberOf": "tasks",
            "tekton.dev/pipeline": "release",
            "tekton.dev/pipelineRun": "release-x2k7p",
            "tekton.dev/pipelineTask": task,
            "tekton.dev/task": task,
        },
        "managedFields": [{
            "apiVersion": "tekton.dev/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:status": {".": {}, "f:completionTime": {}, "f:conditions": {}, "f:podName": {}, "f:results": {}, "f:steps": {}}},
            "manager": "controller",
            "operation": "Update",
            "subresource": "status",
            "time": "2026-03-01T10:04:37Z",
        }],
        "name": name,
        "namespace": "shop-builds",
        "resourceVersion": "48151623",
        "uid": format!("{}-4b1d-4c7e-9d0a-{}", digits(seed + 5, 8), digits(seed + 6, 12)),
    })
}

fn condition() -> Value {
    json!({
        "lastTransitionTime": "2026-03-01T10:04:37Z",
        "message": "All Steps have completed executing",
        "reason": "Succeeded",
        "status": "True",
        "type": "Succeeded",
    })
}

fn provenance(path: &str) -> Value {
    json!({
        "featureFlags": {"enableProvenanceInStatus": true, "enableAPIFields": "stable", "runningInEnvWithInjectedSidecars": true, "resultExtractionMethod": "termination-message", "maxResultSize": 4096},
        "refSource": {
            "digest": {"sha1": digits(9, 40)},
            "entryPoint": path,
            "uri": "git+https://git.example.com/platform/tasks.git",
        },
    })
}

/// Hexadecimal digits that look as if they were a digest: the same for the same seed.
fn digits(seed: usize, count: usize) -> String {
    let mut state = seed as u64;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from_digit((state >> 60) as u32, 16).expect("four bits are one digit")
        })
        .collect()
}
