//! Namespaces that enforce a Pod Security Standard: `restricted` takes everything but the build, `baseline` the build too.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{APP, Bench, Ended, GitServer, project};

/// What the strictest standard asks of a container.
fn confined() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

impl Bench {
    /// A finished TaskRun that says it built an image.
    fn claimed(&self, url: &str, digest: &str) -> Ended<'_> {
        let write = |name: &str, file: &str, text: &str| {
            json!({
                "name": name, "image": self.node.shell_image(&[]), "command": ["/bin/sh"], "securityContext": confined(),
                "args": ["-c", r#"printf %s "$1" >"$2""#, "sh", text, file],
            })
        };
        self.run_to_end(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"generateName": "claim-", "namespace": self.namespace},
            "spec": {"taskSpec": {
                "results": [{"name": "IMAGE_URL"}, {"name": "IMAGE_DIGEST"}],
                "steps": [write("url", "$(results.IMAGE_URL.path)", url), write("digest", "$(results.IMAGE_DIGEST.path)", digest)],
            }},
        }))
    }
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn everything_but_the_build_runs_where_the_strictest_standard_is_enforced() {
    let bench = Bench::new(&json!({"pod-security.kubernetes.io/enforce": "restricted"}));
    let flags = "/api/v1/namespaces/tekton-pipelines/configmaps/feature-flags";
    bench
        .node
        .patch(flags, &json!({"data": {"set-security-context": "true"}}));
    let digest = bench
        .node
        .registry()
        .push_image("restricted/app", "1")
        .digest;
    // Tekton's controller learns of the setting a moment after it is stored; its own containers are refused before.
    let deadline = Instant::now() + Duration::from_secs(60);
    let claim = loop {
        let claim = bench.claimed(&bench.image("restricted/app:1"), &digest);
        if claim.run["status"]["conditions"][0]["status"] == "True" || Instant::now() > deadline {
            break claim.ok();
        }
    };
    let image = format!("{}@{digest}", bench.image("restricted/app"));
    let insecure = bench.registry();
    let nothing = json!([]);
    let run = bench.task_run(&claim);
    bench
        .task(
            "attest",
            &json!({"RUN": run, "INSECURE_REGISTRY": insecure}),
            &nothing,
        )
        .ok();
    bench.verify(&image, &json!({})).ok();
    bench
        .task(
            "wait-for-signature",
            &json!({"IMAGE": image, "INSECURE_REGISTRY": insecure}),
            &nothing,
        )
        .ok();
    bench
        .task("explain-signing", &json!({"RUN": run}), &nothing)
        .ok();
    let index = json!({"IMAGE": bench.image("restricted/app:index"), "IMAGES": [image], "INSECURE_REGISTRY": insecure});
    bench.task("image-index", &index, &nothing).ok();
    bench
        .task(
            "deploy-placeholder",
            &json!({"IMAGE": image, "INSECURE_REGISTRY": insecure}),
            &nothing,
        )
        .ok();
    let (claim, _) = bench.volume(None);
    bench
        .task(
            "git-clone",
            &json!({"url": GitServer::shared().url}),
            &json!([Bench::bound("output", &claim)]),
        )
        .ok();
    let build = json!({"IMAGE": bench.image("restricted/built:1"), "INSECURE_REGISTRY": insecure});
    bench
        .task(
            "buildah-push",
            &build,
            &json!([Bench::bound("source", &claim)]),
        )
        .refused("violates PodSecurity");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn the_build_runs_where_the_standard_baseline_is_enforced() {
    let bench = Bench::new(&json!({"pod-security.kubernetes.io/enforce": "baseline"}));
    let (claim, _) = bench.volume(Some(&project().join(APP)));
    let build =
        json!({"IMAGE": bench.image("baseline/app:1"), "INSECURE_REGISTRY": bench.registry()});
    bench
        .task(
            "buildah-push",
            &build,
            &json!([Bench::bound("source", &claim)]),
        )
        .ok();
}
