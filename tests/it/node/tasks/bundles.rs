//! What `./release` publishes, in a namespace that has no Task and no Pipeline of its own: Tekton's resolver fetches them from the bundles.

use serde_json::{Value, json};

use super::{Bench, cosigns_accept};
use crate::images::foundry::{release, static_programs, table};

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_pipeline_of_a_released_bundle_is_resolved_and_signs() {
    let bench = Bench::new(&json!({}));
    bench
        .kubectl()
        .args(["delete", "tasks,pipelines,stepactions", "--all"])
        .ok();
    let programs = static_programs().expect("TEKSEAL_BIN_DIR is set where there is a node");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let build = bench.node.build_image();
    std::fs::write(folder.path().join("config.json"), "{}").expect("it is writable");
    let released = release(&bench.image("release"), &programs, folder.path())
        .env("DOCKER_CONFIG", folder.path())
        .args(["--insecure-registry", bench.registry()])
        .args(["--builder-image", &build, "--git-image", &build])
        .ok();
    let table = table(&released);
    let reference = |name: &str| {
        let found = table.iter().find(|(one, _)| one == name);
        found
            .unwrap_or_else(|| panic!("{name} is not in {table:?}"))
            .1
            .clone()
    };

    let (claim, _) = bench.volume(None);
    let params = bench.of_git("bundle/app:1", &json!({}));
    let run = bench
        .run_to_end(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": {"generateName": "bundle-", "namespace": bench.namespace},
            "spec": {
                "pipelineRef": resolved(&reference("pipelines"), "pipeline", "ci-pipeline-signed"),
                "params": super::listed(&params), "workspaces": [Bench::bound("source", &claim)],
                "taskRunTemplate": {"podTemplate": {"securityContext": {"fsGroup": 65532}}},
            },
        }))
        .ok();
    let image = format!(
        "{}@{}",
        bench.image("bundle/app"),
        run.result("IMAGE_DIGEST")
    );
    cosigns_accept(&image);
    // The Tasks are those of the bundle, by digest, and their images those of the release.
    let built = run.child("build");
    let source = &built.run["status"]["provenance"]["refSource"];
    let tasks = reference("tasks");
    let (_, digest) = tasks.split_once("@sha256:").expect("by digest");
    assert_eq!(source["digest"]["sha256"], digest, "{source}");
    let steps = built.run["status"]["taskSpec"]["steps"]
        .as_array()
        .expect("steps");
    assert_eq!(steps[0]["image"], reference("buildah-push"));

    // A StepAction.
    let verify = json!({"IMAGE": image, "PUBLIC_KEY": "$(workspaces.keys.path)/cosign.pub", "INSECURE_REGISTRY": bench.registry()});
    let mut step = resolved(&reference("step-actions"), "stepaction", "verify-image");
    step = json!({"name": "verify", "ref": step, "params": super::listed(&verify)});
    let verified = bench
        .run_to_end(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"generateName": "bundle-", "namespace": bench.namespace},
            "spec": {
                "workspaces": [{"name": "keys", "secret": {"secretName": "signing-public-key"}}],
                "taskSpec": {"workspaces": [{"name": "keys"}], "steps": [step]},
            },
        }))
        .ok();
    assert_eq!(verified.exit_code("verify"), Some(0));
}

/// A reference to a resource in a bundle.
fn resolved(bundle: &str, kind: &str, name: &str) -> Value {
    json!({
        "resolver": "bundles",
        "params": super::listed(&json!({"bundle": bundle, "kind": kind, "name": name})),
    })
}
