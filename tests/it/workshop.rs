//! What most tests begin with: a registry with an image, a key pair, and the document of the run that built the image.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Registry, Run, fixtures};
use tempfile::TempDir;

/// The password of every key that the tests make.
pub(crate) const PASSWORD: &str = "correct horse";

/// A folder, a registry with one image in it, and a run that built it.
pub(crate) struct Workshop {
    pub(crate) registry: Registry,
    /// `127.0.0.1:…/team/app@sha256:…`
    pub(crate) image: String,
    /// Digest of the image.
    pub(crate) digest: String,
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self::with(Registry::start())
    }

    pub(crate) fn with(registry: Registry) -> Self {
        let digest = registry.push_image("team/app", "1").digest;
        let image = registry.reference("team/app", &digest);
        Self {
            registry,
            image,
            digest,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("the folder is ours");
        path
    }

    /// The run that built the image, seen at `address` (the registry's own, or a proxy's).
    pub(crate) fn run_at(&self, address: &str) -> PathBuf {
        let document = run_document(json!([
            {"name": "IMAGE_URL", "value": format!("{address}/team/app:1")},
            {"name": "IMAGE_DIGEST", "value": self.digest},
        ]));
        self.file("run.json", document.to_string())
    }

    /// The run that built the image.
    pub(crate) fn run(&self) -> PathBuf {
        self.run_at(self.registry.address())
    }

    /// A key pair made by our program: private and public file.
    pub(crate) fn key_pair(&self, name: &str) -> (PathBuf, PathBuf) {
        let prefix = self.path(name);
        Run::tool("tekseal-keygen")
            .arg("--output-key-prefix")
            .arg(&prefix)
            .env("COSIGN_PASSWORD", PASSWORD)
            .ok();
        (prefix.with_extension("key"), prefix.with_extension("pub"))
    }

    /// A plain PKCS#8 key and its public key, from the fixtures: no derivation, so tests are quick.
    pub(crate) fn plain_key(&self) -> (PathBuf, PathBuf) {
        plain_key()
    }

    /// Signs and stores everything of the run in one process.
    pub(crate) fn attest(&self, key: &Path) {
        self.attest_command(&self.run(), key).ok();
    }

    pub(crate) fn attest_command(&self, run: &Path, key: &Path) -> Run {
        Run::tool("tekseal-attest")
            .arg("--run")
            .arg(run)
            .arg("--key")
            .arg(key)
            .env("TEKSEAL_RETRY_FOR", "2")
            .env("COSIGN_PASSWORD", PASSWORD)
    }

    pub(crate) fn verify(&self, public_key: &Path) -> Run {
        Run::tool("tekseal-verify")
            .arg("--key")
            .arg(public_key)
            .env("TEKSEAL_RETRY_FOR", "2")
            .arg(&self.image)
    }

    /// The layers under a tag beside the image.
    pub(crate) fn layers(&self, suffix: &str) -> Vec<Value> {
        let tag = format!("{}.{suffix}", self.digest.replace(':', "-"));
        let manifest = self.registry.manifest("team/app", &tag);
        manifest.map_or_else(Vec::new, |m| {
            m.json()["layers"].as_array().cloned().unwrap_or_default()
        })
    }
}

/// A plain P-256 key in PKCS#8 with its public key: throw-away, made for the tests.
pub(crate) fn plain_key() -> (PathBuf, PathBuf) {
    let folder = fixtures().join("keys");
    (folder.join("plain.pem"), folder.join("plain.pub"))
}

/// A completed TaskRun with these results.
pub(crate) fn run_document(results: Value) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {"name": "build-1", "namespace": "team", "uid": "6b1f5d0e-0000-4000-8000-000000000001"},
        "spec": {"params": [{"name": "IMAGE", "value": "app"}]},
        "status": {
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}],
            "startTime": "2026-03-01T10:00:00Z",
            "completionTime": "2026-03-01T10:01:00Z",
            "steps": [{
                "name": "build",
                "imageID": "registry.example.com/tools/build@sha256:1d1a4de6c7c00389f96e6d7522c667e979e17fc040d0eb50f40993d7f913c227"
            }],
            "results": results,
            "taskSpec": {"steps": [{"name": "build", "command": ["/bin/build"], "args": ["--verbose"]}]}
        }
    })
}

/// A PipelineRun with two children, of the examples: one clones, the other builds an image of this digest.
pub(crate) struct Pipeline {
    folder: TempDir,
}

impl Pipeline {
    pub(crate) fn of(registry: &str, digest: &str) -> Self {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/pipeline");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("children")).expect("the folder is ours");
        for name in [
            "pipelinerun.json",
            "children/clone.json",
            "children/build.json",
            "chains-config.json",
        ] {
            let text = fs::read_to_string(examples.join(name)).expect("the examples are there");
            let text = text
                .replace("${REGISTRY}", registry)
                .replace("${DIGEST}", digest);
            fs::write(folder.path().join(name), text).expect("the folder is ours");
        }
        Self { folder }
    }

    /// An image that is nowhere, for tools that ask no registry.
    pub(crate) fn nowhere() -> Self {
        Self::of(
            "registry.example.com",
            &format!("sha256:{}", "a1".repeat(32)),
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        let bytes = fs::read(self.path(name)).expect("it is there");
        serde_json::from_slice(&bytes).expect("the examples are JSON")
    }

    /// Changes a document.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut document = self.json(name);
        change(&mut document);
        self.write(name, &document.to_string());
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }
}
