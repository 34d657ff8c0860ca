//! The Tasks, StepActions and Pipelines of the folders, in real pods: what kustomize makes of them, with images of this machine's programs.

mod actions;
mod alone;
mod bad;
mod build;
mod bundles;
mod pipelines;
mod restricted;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{Node, Run, Running, cosign, kubectl, object_path};

use super::{copy, result, static_program};
use crate::tasks::{catalogue, project, rendered};
use crate::workshop::plain_key;

/// Where pods reach this machine.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 2);
/// A build pulls an image of 200 MB at first.
const PATIENCE: Duration = Duration::from_secs(420);
/// A folder of the example application, relative to the project.
const APP: &str = "examples/app";

/// A namespace with the Tasks and Pipelines, whose ServiceAccount may read runs, and with a key pair.
pub(super) struct Bench {
    node: &'static Node,
    namespace: String,
}

/// A completed TaskRun or PipelineRun.
pub(super) struct Ended<'a> {
    bench: &'a Bench,
    run: Value,
}

/// `git daemon` with one repository.
pub(super) struct GitServer {
    _running: Running,
    url: String,
    commit: String,
}

/// References of the programs' images by their placeholder, and of the one with buildah and git; pushed once.
fn images(node: &Node) -> &'static BTreeMap<String, String> {
    static IMAGES: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let all = catalogue().expect("a node has kubectl");
        let mut images = BTreeMap::new();
        for one in all.with_steps() {
            for step in one.steps() {
                let name = step.program();
                if step.image == name && !images.contains_key(name) {
                    let repository = name.replacen('-', "/", 1);
                    let path = format!("/usr/bin/{name}");
                    let image = node.image(&repository, &[(&path, &static_program(name))]);
                    images.insert(name.to_owned(), image);
                }
            }
        }
        images.insert("build".to_owned(), node.build_image());
        images
    })
}

/// What `kubectl kustomize tasks` gives where the kustomization names these images, as people edit it.
fn tasks_with(images: &BTreeMap<String, String>) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy(&project().join("tasks"), folder.path());
    let file = folder.path().join("kustomization.yaml");
    let mut text = fs::read_to_string(&file).expect("it is there");
    for (name, image) in images {
        let (repository, digest) = image.split_once('@').expect("by digest");
        let short = name.trim_start_matches("tekseal-");
        let before = format!(
            "newName: registry.example.com/tekseal/{short}\n    newTag: {}",
            env!("CARGO_PKG_VERSION")
        );
        let after = format!("newName: {repository}\n    digest: {digest}");
        assert!(
            name == "build" || text.contains(&before),
            "{name} is not in the kustomization"
        );
        text = text.replace(&before, &after);
    }
    for (name, of) in [("BUILDER_IMAGE", "builder"), ("GIT_IMAGE", "git")] {
        let before = format!(
            "{name}=registry.example.com/tekseal/{of}:{}",
            env!("CARGO_PKG_VERSION")
        );
        assert!(text.contains(&before), "{name} is not in the kustomization");
        text = text.replace(&before, &format!("{name}={}", images["build"]));
    }
    fs::write(&file, text).expect("it is writable");
    let kubectl = kubectl().expect("a node has kubectl");
    let made = rendered(&kubectl, folder.path());
    assert!(
        !made.contains("registry.example.com"),
        "an image is not pinned:\n{made}"
    );
    made
}

impl Bench {
    /// The one that most tests share.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Bench> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(&json!({})))
    }

    /// One of its own, in a namespace with these labels.
    pub(super) fn new(labels: &Value) -> Self {
        let node = Node::here();
        let namespace = node.namespace();
        let bench = Self { node, namespace };
        bench.node.patch(
            &format!("/api/v1/namespaces/{}", bench.namespace),
            &json!({"metadata": {"labels": labels}}),
        );
        let kubectl = kubectl().expect("a node has kubectl");
        for yaml in [
            tasks_with(images(node)),
            rendered(&kubectl, &project().join("pipelines")),
        ] {
            let applied = bench
                .kubectl()
                .args(["apply", "--server-side", "--filename", "-"])
                .stdin(yaml)
                .run()
                .ok();
            assert!(applied.stdout.contains("tekton.dev"), "{}", applied.stdout);
        }
        for role in [
            "tekseal-read-task",
            "tekseal-read-runs",
            "tekseal-wait",
            "tekseal-explain",
            "tekseal-keygen",
        ] {
            let account = format!("{}:default", bench.namespace);
            bench
                .kubectl()
                .args([
                    "create",
                    "rolebinding",
                    role,
                    "--role",
                    role,
                    "--serviceaccount",
                    &account,
                ])
                .ok();
        }
        let (key, public) = plain_key();
        bench.secret(
            "signing-secrets",
            &[("cosign.key", &key), ("cosign.pub", &public)],
        );
        bench.secret("signing-public-key", &[("cosign.pub", &public)]);
        bench
    }

    /// kubectl as the administrator, in this namespace.
    fn kubectl(&self) -> Run {
        let kubectl = kubectl().expect("a node has kubectl");
        let run = Run::new(kubectl).env("KUBECONFIG", self.node.kubeconfig());
        run.arg("--namespace").arg(&self.namespace)
    }

    pub(super) fn secret(&self, name: &str, files: &[(&str, &Path)]) {
        let text = |path: &Path| fs::read_to_string(path).expect("it is there");
        let data: BTreeMap<&str, String> =
            files.iter().map(|(key, path)| (*key, text(path))).collect();
        self.node.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace}, "stringData": data,
        }));
    }

    /// `host:port` of the node's registry.
    pub(super) fn registry(&self) -> &str {
        self.node.registry().address()
    }

    /// An image in the node's registry.
    pub(super) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry())
    }

    /// A volume of a folder that everybody may write to, with a copy of a folder in it, bound to a claim that pods can use: its name.
    pub(super) fn volume(&self, with: Option<&Path>) -> (String, PathBuf) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "volume-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        // What is below goes with the node: these live as long as it.
        let path = self.node.logs().with_file_name("volumes").join(&name);
        fs::create_dir_all(&path).expect("the node's folder is writable");
        if let Some(with) = with {
            copy(with, &path);
        }
        for entry in walk(&path) {
            let mode = if entry.is_dir() { 0o777 } else { 0o666 };
            fs::set_permissions(&entry, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        self.node.create(&json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
                "hostPath": {"path": path}, "claimRef": {"namespace": self.namespace, "name": name},
            },
        }));
        let claim = self.node.create(&json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}},
        }));
        self.node.wait_for(&object_path(&claim), |claim| {
            claim["status"]["phase"] == "Bound"
        });
        (name, path)
    }

    /// A workspace of that claim.
    pub(super) fn bound(name: &str, claim: &str) -> Value {
        json!({"name": name, "persistentVolumeClaim": {"claimName": claim}})
    }

    /// Runs a Task with parameters (an object) and workspaces (a list) to its end.
    pub(super) fn task(&self, task: &str, params: &Value, workspaces: &Value) -> Ended<'_> {
        self.run_to_end(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"generateName": format!("{task}-"), "namespace": self.namespace},
            "spec": {"taskRef": {"name": task}, "params": listed(params), "workspaces": workspaces},
        }))
    }

    /// Starts a Pipeline on a repository, with a volume for its source.
    pub(super) fn start_pipeline(&self, pipeline: &str, params: &Value) -> Value {
        let (claim, _) = self.volume(None);
        self.node.create(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": {"generateName": format!("{pipeline}-"), "namespace": self.namespace},
            "spec": {
                "pipelineRef": {"name": pipeline}, "params": listed(params), "workspaces": [Self::bound("source", &claim)],
                "taskRunTemplate": {"podTemplate": {"securityContext": {"fsGroup": 65532}}},
            },
        }))
    }

    /// The same, to its end.
    pub(super) fn pipeline(&self, pipeline: &str, params: &Value) -> Ended<'_> {
        let run = self.start_pipeline(pipeline, params);
        self.ended(&run)
    }

    pub(super) fn run_to_end(&self, run: &Value) -> Ended<'_> {
        let run = self.node.create(run);
        self.ended(&run)
    }

    pub(super) fn ended(&self, run: &Value) -> Ended<'_> {
        let run = self.node.wait_within(PATIENCE, &object_path(run), |run| {
            let status = &run["status"]["conditions"][0]["status"];
            status == "True" || status == "False"
        });
        Ended { bench: self, run }
    }
}

impl Ended<'_> {
    pub(super) fn name(&self) -> &str {
        self.run["metadata"]["name"]
            .as_str()
            .expect("it has a name")
    }

    /// Panics with the story unless it succeeded.
    #[track_caller]
    pub(super) fn ok(self) -> Self {
        let is_ok = self.run["status"]["conditions"][0]["status"] == "True";
        assert!(is_ok, "{}", self.story());
        self
    }

    /// Panics with the story unless a step ended with this code, and the last lines of its log have these texts.
    #[track_caller]
    pub(super) fn fails(self, step: &str, code: i64, texts: &[&str]) -> Self {
        let condition = &self.run["status"]["conditions"][0];
        assert_eq!(condition["status"], "False", "{}", self.story());
        assert_eq!(self.exit_code(step), Some(code), "{}", self.story());
        let log = self.log(step);
        let last: Vec<&str> = log.lines().rev().take(4).collect();
        assert!(last.iter().any(|line| line.contains(": error: ")), "{log}");
        for text in texts {
            assert!(
                last.iter().any(|line| line.contains(text)),
                "no {text:?} at the end of\n{log}"
            );
        }
        self
    }

    /// Panics unless the run failed before any step, with this text in its status.
    #[track_caller]
    pub(super) fn refused(self, text: &str) -> Self {
        let condition = &self.run["status"]["conditions"][0];
        assert_eq!(condition["status"], "False", "{}", self.story());
        let message = condition["message"].as_str().unwrap_or_default();
        assert!(message.contains(text), "{condition:#}");
        self
    }

    pub(super) fn exit_code(&self, step: &str) -> Option<i64> {
        let steps = self.run["status"]["steps"].as_array();
        let found = steps.into_iter().flatten().find(|one| one["name"] == step);
        found?["terminated"]["exitCode"].as_i64()
    }

    /// What a step of a TaskRun wrote.
    pub(super) fn log(&self, step: &str) -> String {
        let pod = self.run["status"]["podName"].as_str().unwrap_or_default();
        let read = self
            .bench
            .kubectl()
            .args(["logs", pod, "--container", &format!("step-{step}")])
            .run();
        format!("{}{}", read.stdout, read.stderr)
    }

    /// The value of a result; a PipelineRun's has the same form.
    #[track_caller]
    pub(super) fn result(&self, name: &str) -> &str {
        let results = &self.run["status"]["results"];
        result(&self.run, name).unwrap_or_else(|| panic!("no result {name}: {results:#}"))
    }

    /// The TaskRuns of a task of this PipelineRun.
    pub(super) fn children(&self, task: &str) -> Vec<Ended<'_>> {
        let children = self.run["status"]["childReferences"].as_array();
        let of_task = children
            .into_iter()
            .flatten()
            .filter(|child| child["pipelineTaskName"] == task);
        let read = |child: &Value| {
            let path = object_path(&json!({
                "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
                "metadata": {"name": child["name"], "namespace": self.bench.namespace},
            }));
            Ended {
                bench: self.bench,
                run: self.bench.node.get(&path).expect("nobody deletes it"),
            }
        };
        of_task.map(read).collect()
    }

    /// The TaskRun of a task of this PipelineRun.
    #[track_caller]
    pub(super) fn child(&self, task: &str) -> Ended<'_> {
        let children = self.children(task).into_iter().next();
        children.unwrap_or_else(|| panic!("{task} did not run: {}", self.story()))
    }

    pub(super) fn ran(&self, task: &str) -> bool {
        !self.children(task).is_empty()
    }

    /// Everything that helps to understand what happened.
    fn story(&self) -> String {
        let mut story = format!("{} {}\n", self.name(), self.run["status"]["conditions"][0]);
        for step in self.run["status"]["steps"].as_array().into_iter().flatten() {
            let name = step["name"].as_str().unwrap_or_default();
            story += &format!(
                "--- {name} {}\n{}\n",
                step["terminated"]["exitCode"],
                self.log(name)
            );
        }
        let children = self.run["status"]["childReferences"].as_array();
        for child in children.into_iter().flatten() {
            let task = child["pipelineTaskName"].as_str().unwrap_or_default();
            for child in self.children(task) {
                story += &format!("=== {task}: {}", child.story());
            }
        }
        story
    }
}

/// Parameters as Tekton has them.
fn listed(params: &Value) -> Vec<Value> {
    let params = params.as_object().into_iter().flatten();
    params
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

/// The folder and everything in it.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut all = vec![folder.to_owned()];
    if folder.is_dir() {
        for entry in fs::read_dir(folder).expect("it is there") {
            all.extend(walk(&entry.expect("an entry").path()));
        }
    }
    all
}

/// cosign 2 and 3 accept the signature of an image and its provenance.
pub(super) fn cosigns_accept(image: &str) {
    let (_, public) = plain_key();
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        let insecure = ["--allow-insecure-registry"];
        cosign.verify(&public, image, &insecure).ok();
        cosign
            .verify_attestation(&public, "slsaprovenance", image, &insecure)
            .ok();
    }
}

impl GitServer {
    /// A server with one commit of a folder.
    pub(super) fn start(of: &Path) -> Self {
        let base = Node::here()
            .logs()
            .with_file_name(format!("git-{}", process::id()));
        let work = base.join("app");
        fs::create_dir_all(&work).expect("the node's folder is writable");
        copy(of, &work);
        let git = |words: &[&str]| {
            let run = Run::new("git").folder(&work).args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "-c",
                "init.defaultBranch=main",
            ]);
            run.args(words).ok().stdout
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "the application"]);
        let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
        let port = TcpListener::bind((HOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let running = Run::new("git")
            .args([
                "daemon",
                "--export-all",
                "--reuseaddr",
                &format!("--listen={HOST}"),
                &format!("--port={port}"),
            ])
            .arg(format!("--base-path={}", base.display()))
            // One of its own would stay: nobody drops the server that tests share.
            .env("HOME", &base)
            .timeout(Duration::from_secs(3600))
            .start();
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(e) = TcpStream::connect((HOST, port)) {
            assert!(
                e.kind() == ErrorKind::ConnectionRefused && Instant::now() < deadline,
                "git daemon: {e}"
            );
        }
        Self {
            _running: running,
            url: format!("git://{HOST}:{port}/app"),
            commit,
        }
    }

    /// The one of the example application, which tests share.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<GitServer> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&project().join(APP)))
    }
}
