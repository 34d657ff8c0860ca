//! The controller, and what waits for it and explains it, with runs of the real Tekton.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tekseal_harness::{Node, Run, Running, cosign, object_path};
use tempfile::TempDir;

use super::image_task;
use crate::controller::serve_tekton_configs;
use crate::workshop::plain_key;

const SIGNED: &str = "chains.tekton.dev/signed";

/// A controller of its own beside the node's Tekton.
struct Stand {
    node: &'static Node,
    builds: String,
    system: String,
    folder: TempDir,
}

impl Stand {
    fn new() -> Self {
        let node = Node::here();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, _) = plain_key();
        fs::copy(key, folder.path().join("x509.pem")).expect("the fixture is there");
        Self {
            node,
            builds: node.namespace(),
            system: node.namespace(),
            folder,
        }
    }

    /// Keys of the configuration that the node asks for: its registry speaks plain http, at an address that is not loopback.
    fn registries(&self) -> (&'static str, String) {
        (
            "tekseal.registries",
            self.node.registry().address().to_owned(),
        )
    }

    fn configure(&self, pairs: &[(&str, &str)]) {
        let (key, value) = self.registries();
        let mut data: BTreeMap<&str, &str> = pairs.iter().copied().collect();
        data.insert(key, &value);
        self.node.create(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "chains-config", "namespace": self.system},
            "data": data,
        }));
    }

    fn start(&self, extra: &[&str]) -> Running {
        Run::tool("tekseal-controller")
            .arg("--kubeconfig")
            .arg(self.node.kubeconfig())
            .args([
                "--system-namespace",
                &self.system,
                "--namespace",
                &self.builds,
            ])
            .args(["--insecure-registry", self.node.registry().address()])
            .arg("--signing-secrets")
            .arg(self.folder.path())
            .args(["--listen", "127.0.0.1:0"])
            .args(extra)
            .timeout(Duration::from_secs(600))
            .start()
    }

    fn tool(&self, name: &str) -> Run {
        Run::tool(name)
            .arg("--kubeconfig")
            .arg(self.node.kubeconfig())
    }

    fn public_key(&self) -> PathBuf {
        plain_key().1
    }

    fn wait_marked(&self, run: &Value) -> Value {
        self.node
            .wait_for(&object_path(run), |run| mark(run).is_some())
    }

    /// cosign 2 and 3 accept the image's signature and its provenance of this type.
    fn cosigns_accept(&self, image: &str, kind: &str) {
        for version in ["2.6.5", "3.1.3"] {
            let Some(cosign) = cosign(version) else {
                continue;
            };
            let insecure = ["--allow-insecure-registry"];
            cosign.verify(&self.public_key(), image, &insecure).ok();
            cosign
                .verify_attestation(&self.public_key(), kind, image, &insecure)
                .ok();
        }
    }
}

fn mark(run: &Value) -> Option<&str> {
    run["metadata"]["annotations"][SIGNED].as_str()
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_task_run_of_the_real_tekton_is_signed_and_waited_for() {
    let stand = Stand::new();
    stand.configure(&[
        ("artifacts.taskrun.format", "slsa/v1"),
        ("artifacts.taskrun.storage", "oci"),
    ]);
    let _controller = stand.start(&[]);
    let digest = stand.node.registry().push_image("team/real", "1").digest;
    let run = stand.node.create(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": "real", "namespace": stand.builds},
        "spec": {"taskSpec": image_task(stand.node, "team/real", &digest)},
    }));
    // Begins to wait before the first pod is there, and ends when the signature is.
    let waiting = stand
        .tool("tekseal-wait")
        .arg(format!("k8s://{}/taskrun/real", stand.builds))
        .arg("--key")
        .arg(stand.public_key())
        .args([
            "--timeout",
            "3m",
            "--insecure-registry",
            stand.node.registry().address(),
        ])
        .timeout(Duration::from_secs(240))
        .start();
    let run = stand.wait_marked(&run);
    assert_eq!(
        mark(&run),
        Some("true"),
        "{:#}",
        run["metadata"]["annotations"]
    );
    waiting.wait().ok();
    let image = stand.node.registry().reference("team/real", &digest);
    stand.cosigns_accept(&image, "slsaprovenance");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn the_guides_tekton_config_drives_a_pipeline_run_with_deep_inspection() {
    let stand = Stand::new();
    serve_tekton_configs(stand.node);
    let secret = fs::read_to_string(stand.folder.path().join("x509.pem")).expect("it is there");
    stand.node.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing-secrets", "namespace": stand.system},
        "stringData": {"cosign.key": secret},
    }));
    fs::remove_file(stand.folder.path().join("x509.pem")).expect("it is there");
    let (registries, listed) = stand.registries();
    let key = format!("k8s://{}/signing-secrets", stand.system);
    // The guide's own keys and values, but for the log, which this version does not have and refuses.
    stand.node.create(&json!({
        "apiVersion": "operator.tekton.dev/v1alpha1", "kind": "TektonConfig", "metadata": {"name": "config"},
        "spec": {"chain": {
            "artifacts.taskrun.format": "slsa/v1", "artifacts.taskrun.storage": "oci",
            "artifacts.pipelinerun.format": "slsa/v1", "artifacts.pipelinerun.storage": "oci",
            "artifacts.pipelinerun.enable-deep-inspection": "true",
            "artifacts.oci.format": "simplesigning", "artifacts.oci.storage": "oci",
            "transparency.enabled": "false", "transparency.url": "https://rekor.sigstore.dev",
            "signers.cosign.key": key, registries: listed,
        }},
    }));
    let _controller = stand.start(&["--config-from", "tektonconfig/config"]);
    let digest = stand
        .node
        .registry()
        .push_image("team/pipeline", "1")
        .digest;
    let run = stand.node.create(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "ci", "namespace": stand.builds},
        "spec": {"pipelineSpec": {"tasks": [{"name": "build", "taskSpec": image_task(stand.node, "team/pipeline", &digest)}]}},
    }));
    let run = stand.wait_marked(&run);
    assert_eq!(
        mark(&run),
        Some("true"),
        "{:#}",
        run["metadata"]["annotations"]
    );
    let image = stand.node.registry().reference("team/pipeline", &digest);
    stand.cosigns_accept(&image, "slsaprovenance");
    // The TaskRun's provenance and the PipelineRun's, which names the image by deep inspection alone.
    let tag = format!("{}.att", digest.replace(':', "-"));
    let manifest = stand
        .node
        .registry()
        .manifest("team/pipeline", &tag)
        .expect("it is there");
    assert_eq!(manifest.json()["layers"].as_array().map(Vec::len), Some(2));
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_run_without_hints_is_explained() {
    let stand = Stand::new();
    stand.configure(&[("artifacts.taskrun.storage", "oci")]);
    let _controller = stand.start(&[]);
    let shell = stand.node.shell_image(&[]);
    let run = stand.node.create(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": "plain", "namespace": stand.builds},
        "spec": {"taskSpec": {
            "results": [{"name": "IMAGE"}],
            "steps": [{"name": "a", "image": shell, "command": ["/bin/sh"], "args": ["-c", "printf x >$(results.IMAGE.path)"]}],
        }},
    }));
    let run = stand.wait_marked(&run);
    assert_eq!(mark(&run), Some("nothing"));
    let told = stand
        .tool("tekseal-explain")
        .arg(format!("k8s://{}/taskrun/plain", stand.builds))
        .args(["--system-namespace", &stand.system])
        .run();
    for text in ["IMAGE", "IMAGE_URL", "nothing"] {
        assert!(
            told.stdout.contains(text),
            "{text} is not in\n{}\n{}",
            told.stdout,
            told.stderr
        );
    }
}
