//! The Pipelines from a git repository to the digest that would be deployed, and where they stop.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tekseal_harness::{Run, Running, object_path};
use tempfile::TempDir;

use super::{APP, Bench, GitServer, cosigns_accept, project};
use crate::workshop::plain_key;

/// Our controller for one namespace.
struct Controller {
    _running: Running,
    _keys: TempDir,
}

impl Controller {
    fn start(bench: &Bench) -> Self {
        let keys = tempfile::tempdir().expect("a temporary folder");
        fs::copy(plain_key().0, keys.path().join("x509.pem")).expect("the fixture is there");
        let system = bench.node.namespace();
        bench.node.create(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config", "namespace": system},
            "data": {
                "artifacts.taskrun.storage": "oci", "artifacts.pipelinerun.storage": "oci", "artifacts.oci.storage": "oci",
                "tekseal.registries": bench.registry(),
            },
        }));
        let running = Run::tool("tekseal-controller")
            .arg("--kubeconfig")
            .arg(bench.node.kubeconfig())
            .args([
                "--system-namespace",
                &system,
                "--namespace",
                &bench.namespace,
            ])
            .args(["--insecure-registry", bench.registry()])
            .arg("--signing-secrets")
            .arg(keys.path())
            .args(["--listen", "127.0.0.1:0"])
            .timeout(Duration::from_secs(1200))
            .start();
        Self {
            _running: running,
            _keys: keys,
        }
    }
}

impl Bench {
    pub(super) fn of_git(&self, image: &str, more: &Value) -> Value {
        let server = GitServer::shared();
        let mut params = json!({"GIT_URL": server.url, "IMAGE": self.image(image), "INSECURE_REGISTRY": self.registry()});
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        params
    }
}

fn pipeline_run(bench: &Bench, name: &str) -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name, "namespace": bench.namespace}})
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_pipeline_signs_by_itself_and_deploys_what_was_verified() {
    let bench = Bench::shared();
    let run = bench
        .pipeline(
            "ci-pipeline-signed",
            &bench.of_git("signed/app:1", &json!({})),
        )
        .ok();
    let digest = run.result("IMAGE_DIGEST");
    let server = GitServer::shared();
    assert_eq!(
        (
            run.result("CHAINS-GIT_URL"),
            run.result("CHAINS-GIT_COMMIT")
        ),
        (&server.url[..], &server.commit[..])
    );
    let deployed = run.child("deploy");
    let stated = format!("would deploy {}@{digest}", bench.image("signed/app"));
    let log = deployed.log("deploy");
    assert_eq!(log.lines().last(), Some(&*stated), "{log}");
    assert!(
        run.child("verify")
            .log("verify")
            .contains("verified attestation")
    );
    cosigns_accept(&format!("{}@{digest}", bench.image("signed/app")));
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_signature_of_another_key_stops_before_deploy() {
    let bench = Bench::shared();
    // What signs is not what is verified with.
    let made = Run::tool("tekseal-keygen").env("COSIGN_PASSWORD", "");
    let folder = tempfile::tempdir().expect("a temporary folder");
    made.folder(folder.path()).ok();
    bench.secret(
        "odd-pair",
        &[
            ("cosign.key", &plain_key().0),
            ("cosign.pub", &folder.path().join("cosign.pub")),
        ],
    );
    let run = bench.pipeline(
        "ci-pipeline-signed",
        &bench.of_git("tampered/app:1", &json!({"KEY_SECRET": "odd-pair"})),
    );
    run.child("attest").ok();
    run.child("verify").fails("verify", 1, &["hint"]);
    assert!(!run.ran("deploy"), "it was deployed");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_pipeline_waits_for_the_controller_and_deploys_what_it_signed() {
    let bench = Bench::new(&json!({}));
    let _controller = Controller::start(&bench);
    let run = bench
        .pipeline(
            "ci-pipeline-gated",
            &bench.of_git("gated/app:1", &json!({})),
        )
        .ok();
    assert_eq!(run.child("wait").result("SIGNED"), "true");
    let image = format!(
        "{}@{}",
        bench.image("gated/app"),
        run.result("IMAGE_DIGEST")
    );
    assert!(
        run.child("deploy")
            .log("deploy")
            .contains(&format!("{image} (image)"))
    );
    assert!(!run.ran("explain"), "there is nothing to explain");
    // The PipelineRun itself is signed after its end.
    let path = object_path(&pipeline_run(&bench, run.name()));
    let marked = bench.node.wait_for(&path, |run| {
        run["metadata"]["annotations"]["chains.tekton.dev/signed"].is_string()
    });
    assert_eq!(
        marked["metadata"]["annotations"]["chains.tekton.dev/signed"],
        "true"
    );
    cosigns_accept(&image);

    // The guide's pipeline, without a task that signs.
    let (claim, _) = bench.volume(Some(&project().join(APP)));
    let guide = bench.run_to_end(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"generateName": "guide-", "namespace": bench.namespace},
        "spec": {
            "pipelineRef": {"name": "ci-pipeline"},
            "params": [
                {"name": "IMAGE", "value": bench.image("guide/app:1")},
                {"name": "INSECURE_REGISTRY", "value": bench.registry()},
            ],
            "workspaces": [Bench::bound("source", &claim)],
        },
    }));
    let guide = guide.ok();
    let path = object_path(&pipeline_run(&bench, guide.name()));
    let marked = bench.node.wait_for(&path, |run| {
        run["metadata"]["annotations"]["chains.tekton.dev/signed"].is_string()
    });
    assert_eq!(
        marked["metadata"]["annotations"]["chains.tekton.dev/signed"],
        "true"
    );
    let repository = guide.result("IMAGE_URL").trim_end_matches(":1").to_owned();
    cosigns_accept(&format!("{repository}@{}", guide.result("IMAGE_DIGEST")));
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn without_a_signature_nothing_is_deployed_and_it_is_explained() {
    let bench = Bench::shared();
    let run = bench.pipeline(
        "ci-pipeline-gated",
        &bench.of_git("unsigned/app:1", &json!({"TIMEOUT": "3s"})),
    );
    let wait = run.child("wait").fails("wait", 1, &["error"]);
    assert_eq!(wait.result("SIGNED"), "timeout");
    assert!(!run.ran("verify") && !run.ran("deploy"), "it went on");
    let explained = run.child("explain").ok();
    assert!(
        explained.log("explain").contains("IMAGE_DIGEST"),
        "{}",
        explained.log("explain")
    );
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_forged_mark_and_a_copied_signature_stop_before_deploy() {
    let bench = Bench::shared();
    // A good signature, of another image.
    let other = bench.built("forged/other");
    let params = json!({"RUN": bench.task_run(&other), "INSECURE_REGISTRY": bench.registry()});
    bench.task("attest", &params, &json!([])).ok();
    let run = bench.start_pipeline(
        "ci-pipeline-gated",
        &bench.of_git("forged/app:1", &json!({"TIMEOUT": "2m"})),
    );
    let path = object_path(&run);
    let has_child = |run: &Value| {
        run["status"]["childReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|child| child["pipelineTaskName"] == "build")
    };
    let seen = bench.node.wait_within(super::PATIENCE, &path, has_child);
    let child = seen["status"]["childReferences"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|child| child["pipelineTaskName"] == "build");
    let child = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": child.expect("it was there")["name"], "namespace": bench.namespace},
    });
    let built = bench.ended(&child).ok();
    let registry = bench.node.registry();
    let tag = |digest: &str, kind: &str| format!("{}.{kind}", digest.replace(':', "-"));
    for kind in ["sig", "att"] {
        let stolen = registry
            .manifest("forged/other", &tag(other.result("IMAGE_DIGEST"), kind))
            .expect("it is signed");
        for layer in stolen.json()["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .chain([&stolen.json()["config"]])
        {
            let blob = registry
                .blob("forged/other", layer["digest"].as_str().expect("a digest"))
                .expect("it is there");
            registry.push_blob("forged/app", &blob);
        }
        registry.put_manifest(
            "forged/app",
            &tag(built.result("IMAGE_DIGEST"), kind),
            &stolen.media_type,
            &stolen.bytes,
        );
    }
    bench.node.patch(
        &object_path(&child),
        &json!({"metadata": {"annotations": {"chains.tekton.dev/signed": "true"}}}),
    );
    let run = bench.ended(&run);
    let wait = run.child("wait").fails("wait", 1, &["error"]);
    assert_eq!(wait.result("SIGNED"), "unverified");
    assert!(!run.ran("verify") && !run.ran("deploy"), "it went on");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn an_index_and_its_images_are_signed() {
    let bench = Bench::shared();
    let run = bench
        .pipeline(
            "ci-pipeline-multiarch",
            &bench.of_git("multi/app", &json!({"TAG": "1"})),
        )
        .ok();
    let images: Vec<&str> = run.result("IMAGES").split(',').collect();
    assert_eq!(images.len(), 3, "{images:?}");
    assert!(
        images[0].ends_with(run.result("IMAGE_DIGEST")),
        "{images:?}"
    );
    for image in images {
        cosigns_accept(image);
    }
    let deployed = run.child("deploy").log("deploy");
    assert!(
        deployed.contains(&format!(
            "{}@{} (index of ",
            bench.image("multi/app"),
            run.result("IMAGE_DIGEST")
        )),
        "{deployed}"
    );
    assert_eq!(run.children("build").len(), 2);
}
