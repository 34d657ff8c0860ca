//! A place to release into, and manifests of which a test knows all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tekseal_harness::{Output, Registry, Request, Run, kubectl};
use tempfile::TempDir;

pub(super) const VERSION: &str = "9.8.7-test";

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A registry, a throw-away key, and the script that releases into both.
pub(super) struct Foundry {
    pub(super) registry: Registry,
    pub(super) folder: TempDir,
    kubectl: PathBuf,
}

impl Foundry {
    /// `None`, with the reason printed, where kubectl is missing.
    pub(super) fn new() -> Option<Self> {
        let kubectl = kubectl()?;
        let foundry = Self {
            registry: Registry::start(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            kubectl,
        };
        let logins = foundry.path("no-logins");
        fs::create_dir(&logins).expect("the folder is ours");
        fs::write(logins.join("config.json"), "{}").expect("the folder is ours");
        Some(foundry)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn prefix(&self) -> String {
        format!("{}/tekseal", self.registry.address())
    }

    /// [`release`] into this registry, and into the folder `out`.
    pub(super) fn release(&self, out: &str, programs: &Path) -> Run {
        self.release_with(out, programs, &crate::workshop::plain_key())
    }

    /// The same with a private and a public key of one's own.
    pub(super) fn release_with(
        &self,
        out: &str,
        programs: &Path,
        keys: &(PathBuf, PathBuf),
    ) -> Run {
        // kubectl is not always where the others are.
        let path = std::env::var("PATH").expect("there is a PATH");
        let kubectl = self.kubectl.parent().expect("a program is in a folder");
        release_with(&self.prefix(), programs, &self.path(out), keys)
            .env("PATH", format!("{}:{path}", kubectl.display()))
            .env("DOCKER_CONFIG", self.path("no-logins"))
    }

    /// Whether nothing was ever pushed.
    pub(super) fn is_untouched(&self) -> bool {
        let answer = self.registry.send(&Request::new("GET", "/v2/_catalog"));
        answer.status == 200 && answer.text().trim() == r#"{"repositories":[]}"#
    }

    /// The manifest of `name` in the registry.
    pub(super) fn manifest(&self, name: &str, reference: &str) -> Value {
        let manifest = self
            .registry
            .manifest(&format!("tekseal/{name}"), reference);
        manifest
            .unwrap_or_else(|| panic!("{name}@{reference} is not there"))
            .json()
    }

    pub(super) fn blob(&self, name: &str, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().expect("a digest");
        self.registry
            .blob(&format!("tekseal/{name}"), digest)
            .expect("a blob of a manifest is there")
    }

    pub(super) fn verify(&self, types: &[&str], image: &str) -> Run {
        let (_, public) = crate::workshop::plain_key();
        let types = types.iter().flat_map(|name| ["--type", name]);
        Run::tool("tekseal-verify")
            .arg("--key")
            .arg(public)
            .args(types)
            .arg(image)
    }
}

/// `./release` to `host/path`, with programs that were built before and no builder image yet.
pub(crate) fn release(prefix: &str, programs: &Path, out: &Path) -> Run {
    release_with(prefix, programs, out, &crate::workshop::plain_key())
}

fn release_with(
    prefix: &str,
    programs: &Path,
    out: &Path,
    (key, public): &(PathBuf, PathBuf),
) -> Run {
    let run = Run::new(root().join("release"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("TEKSEAL_RETRY_FOR", "5")
        // A variable that is a flag of a program must not reach it.
        .env("TEKSEAL_FORMAT", "in-toto")
        // Nor may another repository name the commit.
        .env("GIT_DIR", "/nonexistent")
        .env("GIT_WORK_TREE", "/nonexistent")
        .timeout(Duration::from_secs(600))
        .args(["--registry", prefix, "--version", VERSION, "--allow-dirty"])
        .args(["--source-url", "https://git.example.com/tekseal"])
        .arg("--key")
        .arg(key)
        .arg("--public-key")
        .arg(public)
        .arg("--bin-dir")
        .arg(programs)
        .arg("--out")
        .arg(out);
    // cargo and rustup keep in the home folder what they need to start.
    [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "RUSTUP_TOOLCHAIN",
        "CARGO_TARGET_DIR",
    ]
    .into_iter()
    .filter_map(|name| Some((name, std::env::var_os(name)?)))
    .fold(run, |run, (name, value)| run.env(name, value))
}

/// Programs as `./build` makes them. Those of a development build are no content for an image: a hundred times larger, and not static.
pub(crate) fn static_programs() -> Option<PathBuf> {
    let found = std::env::var_os("TEKSEAL_BIN_DIR").map(PathBuf::from);
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "TEKSEAL_BIN_DIR is not set"
        );
        println!("skipped: run ./build and set TEKSEAL_BIN_DIR to out/bin");
    }
    found
}

/// Manifests of which the test knows all, and the controller's own.
pub(super) fn manifests(folder: &Path) -> PathBuf {
    let files = [
        (
            "tasks/kustomization.yaml",
            "resources: [attest.yaml, build.yaml, action.yaml]\n",
        ),
        ("pipelines/kustomization.yaml", "resources: [ci.yaml]\n"),
        (
            "tasks/attest.yaml",
            "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: attest, labels: {app.kubernetes.io/version: \"0\"}}\n\
             spec: {steps: [{name: attest, image: tekseal-attest}]}\n",
        ),
        (
            "tasks/build.yaml",
            "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: build}\nspec:\n  \
             params: [{name: BUILDER_IMAGE, default: some/builder:1}, {name: GIT_IMAGE, default: some/git:1}]\n  steps:\n    \
             - {name: copy, image: \"registry.example.com/tekseal/buildah-push:0.1.0\"}\n    - {name: build, image: $(params.BUILDER_IMAGE)}\n",
        ),
        (
            "tasks/action.yaml",
            "apiVersion: tekton.dev/v1beta1\nkind: StepAction\nmetadata: {name: attest}\nspec: {image: tekseal-attest}\n",
        ),
        (
            "pipelines/ci.yaml",
            "apiVersion: tekton.dev/v1\nkind: Pipeline\nmetadata: {name: ci}\n\
             spec: {tasks: [{name: a, taskRef: {name: attest}}, {name: b, taskRef: {name: of-others}}]}\n",
        ),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is ours");
        fs::write(path, text).expect("the folder is ours");
    }
    let deploy = folder.join("deploy/base");
    fs::create_dir_all(&deploy).expect("the folder is ours");
    for entry in fs::read_dir(root().join("deploy/base")).expect("deploy is there") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), deploy.join(entry.file_name())).expect("the folder is ours");
    }
    folder.to_owned()
}

/// Names of the programs that are released.
pub(super) fn programs() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--no-deps",
        ])
        .current_dir(root())
        .output()
        .expect("cargo is there, it runs this test");
    let metadata: Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let ours = packages.iter().filter(|package| {
        package["name"] == "tekseal-steps" || package["name"] == "tekseal-controller"
    });
    ours.flat_map(|package| package["targets"].as_array().expect("a list"))
        .filter(|target| target["kind"] == json!(["bin"]))
        // The desk program has all tools in one, for people.
        .filter_map(|target| {
            target["name"]
                .as_str()?
                .strip_prefix("tekseal-")
                .map(str::to_owned)
        })
        .collect()
}

/// Name and reference of each line of the table.
pub(crate) fn table(output: &Output) -> Vec<(String, String)> {
    let lines = output.stdout.lines().skip(1);
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .map(|words| {
            (
                words[0].to_owned(),
                words.last().expect("a reference").to_string(),
            )
        })
        .collect()
}
