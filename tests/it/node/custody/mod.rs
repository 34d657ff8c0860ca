//! The controller in a Pod, as `deploy` installs it, with keys that others hold: by nothing but its configuration and the tokens of its ServiceAccount.

mod keyless;
mod vault;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tekseal_harness::{Node, Run, cosign, kubectl, object_path};
use tempfile::TempDir;

use super::{copy, image_task, static_program, succeeded};
use crate::tasks::{project, rendered};

const CONTROLLER: &str = "tekseal-controller";
const SIGNED: &str = "chains.tekton.dev/signed";
const REASON: &str = "tekseal.dev/reason";
const COSIGNS: [&str; 2] = ["2.6.5", "3.1.3"];
/// A run that waits for somebody is looked at again after a minute at the latest, and a token that a Pod lost comes with another Pod.
const PATIENCE: Duration = Duration::from_secs(180);

/// A controller in a namespace of its own, which signs the runs of another one.
struct Installed {
    node: &'static Node,
    system: String,
    builds: String,
    image: String,
    /// `deploy`, and the overlay beside it.
    folder: TempDir,
}

/// An image, and the run of the real Tekton that says it built it.
struct Built {
    run: Value,
    repository: String,
    digest: String,
}

impl Installed {
    /// Everything but the controller itself.
    fn prepare() -> Self {
        let node = Node::here();
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["deploy", "cluster"] {
            fs::create_dir(folder.path().join(name)).expect("the folder is ours");
        }
        copy(&project().join("deploy"), &folder.path().join("deploy"));
        Self {
            node,
            system: node.namespace(),
            builds: node.namespace(),
            image: node.program_image(CONTROLLER, &static_program(CONTROLLER)),
            folder,
        }
    }

    /// Applies an overlay as people write it: with these components of `deploy`, flags, and changes of the Deployment (RFC 6902).
    fn apply(&self, components: &[&str], flags: &[&str], changes: &[Value]) {
        let registry = self.node.registry().address();
        let mut args = vec![
            format!("--namespace={}", self.builds),
            format!("--insecure-registry={registry}"),
        ];
        args.extend(flags.iter().map(|&flag| flag.to_owned()));
        let mut of_deployment = vec![
            json!({"op": "add", "path": "/spec/template/spec/containers/0/args", "value": args}),
        ];
        of_deployment.extend_from_slice(changes);
        let mut patches = vec![json!({
            "target": {"kind": "Deployment", "name": CONTROLLER}, "patch": json!(of_deployment).to_string(),
        })];
        // A binding of one name has one subject, and another test has a controller too.
        for rights in ["runs", "credentials", "namespaces"] {
            let name = format!("{CONTROLLER}-{rights}");
            let fresh = format!("{name}-{}", self.system);
            patches.push(json!({
                "target": {"kind": "ClusterRoleBinding", "name": name}, "options": {"allowNameChange": true},
                "patch": json!([{"op": "replace", "path": "/metadata/name", "value": fresh}]).to_string(),
            }));
        }
        let components: Vec<String> = components
            .iter()
            .map(|name| format!("../deploy/components/{name}"))
            .collect();
        let (image, digest) = self.image.split_once('@').expect("by digest");
        let overlay = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
            "namespace": self.system, "resources": ["../deploy/base"], "components": components, "patches": patches,
            "images": [{"name": "registry.example.com/tekseal/controller", "newName": image, "digest": digest}],
        });
        let folder = self.folder.path().join("cluster");
        fs::write(folder.join("kustomization.yaml"), overlay.to_string())
            .expect("the folder is ours");
        let kubectl = kubectl().expect("a node has kubectl");
        self.kubectl()
            .args(["apply", "--server-side", "--filename", "-"])
            .stdin(rendered(&kubectl, &folder))
            .ok();
    }

    /// kubectl as the administrator, in the namespace of the controller.
    fn kubectl(&self) -> Run {
        let kubectl = kubectl().expect("a node has kubectl");
        let run = Run::new(kubectl).env("KUBECONFIG", self.node.kubeconfig());
        run.arg("--namespace").arg(&self.system)
    }

    /// Sets keys of the configuration, beside those that every test wants.
    fn configure(&self, pairs: &[(&str, &str)]) {
        let common = [
            ("tekseal.registries", self.node.registry().address()),
            ("artifacts.taskrun.format", "slsa/v1"),
            ("artifacts.taskrun.storage", "oci"),
            ("artifacts.pipelinerun.storage", "oci"),
        ];
        let pairs = common.iter().chain(pairs);
        let data: Map<String, Value> = pairs
            .map(|&(key, value)| (key.to_owned(), value.into()))
            .collect();
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config", "namespace": self.system},
        });
        self.node
            .patch(&object_path(&map), &json!({ "data": data }));
    }

    /// Waits until the newest Pod is ready and all others are gone.
    #[track_caller]
    fn is_rolled_out(&self) {
        let rolled = self
            .kubectl()
            .args(["rollout", "status", "--timeout=150s"])
            .arg(format!("deployment/{CONTROLLER}"))
            .timeout(PATIENCE)
            .run();
        assert_eq!(rolled.code(), Some(0), "{rolled:?}\n{}", self.log());
    }

    /// There is no Pod that is ready: the controller says that it cannot sign.
    #[track_caller]
    fn is_not_ready(&self) {
        let deployment = self.node.get(&object_path(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": CONTROLLER, "namespace": self.system},
        })));
        let status = &deployment.expect("it was applied")["status"];
        assert_eq!(status["readyReplicas"], Value::Null, "{status:#}");
    }

    /// What the controller said.
    fn log(&self) -> String {
        let told = self
            .kubectl()
            .args(["logs", "--prefix", "--tail=60", "--selector"])
            .arg(format!("app.kubernetes.io/name={CONTROLLER}"))
            .run();
        let pods = self.kubectl().args(["get", "pods"]).run();
        format!("{}{}{}", pods.stdout, told.stdout, told.stderr)
    }

    /// An image of this repository, and a run of the real Tekton that has succeeded.
    fn built(&self, repository: &str) -> Built {
        let digest = self.node.registry().push_image(repository, "1").digest;
        let task = image_task(self.node, repository, &digest);
        Built {
            run: succeeded(self.node, &self.builds, task),
            repository: repository.to_owned(),
            digest,
        }
    }

    /// `registry/repository@digest`
    fn reference(&self, built: &Built) -> String {
        let registry = self.node.registry();
        registry.reference(&built.repository, &built.digest)
    }

    /// Waits until the run is as wanted.
    #[track_caller]
    fn wait(&self, built: &Built, is_so: impl Fn(&Value) -> bool) -> Value {
        let path = object_path(&built.run);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let run = self.node.get(&path).expect("nobody deletes it");
            if is_so(&run) {
                return run;
            }
            assert!(
                Instant::now() < deadline,
                "{:#}\n{}",
                run["metadata"],
                self.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The run is not signed, nothing of it is in the registry, and run and `tekseal-explain` say why.
    #[track_caller]
    fn waits(&self, built: &Built, why: &str) {
        let is_told = |run: &Value| annotation(run, REASON).is_some_and(|told| told.contains(why));
        let run = self.wait(built, is_told);
        assert_eq!(annotation(&run, SIGNED), None);
        let tags = self.node.registry().tags(&built.repository);
        assert_eq!(tags, ["1"], "nothing is published");
        let name = run["metadata"]["name"].as_str().expect("it has a name");
        let told = Run::tool("tekseal-explain")
            .arg("--kubeconfig")
            .arg(self.node.kubeconfig())
            .args(["--system-namespace", &self.system])
            .arg(format!("k8s://{}/taskrun/{name}", self.builds))
            .run();
        assert!(told.stdout.contains(why), "{told:?}");
    }

    /// The run is signed, with a signature and an attestation of its image.
    #[track_caller]
    fn is_signed(&self, built: &Built) -> Value {
        let run = self.wait(built, |run| annotation(run, SIGNED).is_some());
        let annotations = &run["metadata"]["annotations"];
        assert_eq!(annotation(&run, SIGNED), Some("true"), "{annotations:#}");
        assert_eq!(annotation(&run, REASON), None);
        let tag = built.digest.replace(':', "-");
        let wanted = ["1", &format!("{tag}.att"), &format!("{tag}.sig")];
        assert_eq!(self.node.registry().tags(&built.repository), wanted);
        run
    }

    /// Ours, of an image, by a key.
    fn verify(&self, built: &Built, key: &str) -> Run {
        Run::tool("tekseal-verify")
            .args(["--key", key, "--type", "slsaprovenance02"])
            .args(["--insecure-registry", self.node.registry().address()])
            .arg(self.reference(built))
    }

    /// Both versions of cosign, and ours, accept signature and provenance by a key, as they are told where it is.
    #[track_caller]
    fn is_accepted(&self, built: &Built, key: &str, env: &[(&str, String)]) {
        let with_env = |run: Run| (env.iter()).fold(run, |run, (name, value)| run.env(name, value));
        with_env(self.verify(built, key)).ok();
        let image = self.reference(built);
        for version in COSIGNS {
            let mut cosign = cosign(version).expect("tests/peers --cosign builds both");
            for (name, value) in env {
                cosign = cosign.env(name, value);
            }
            let insecure = ["--allow-insecure-registry"];
            let key = PathBuf::from(key);
            cosign.verify(&key, &image, &insecure).ok();
            cosign
                .verify_attestation(&key, "slsaprovenance", &image, &insecure)
                .ok();
        }
    }

    /// Waits so long for an Event about the configuration, and gives its note.
    #[track_caller]
    fn wait_told(&self, reason: &str, limit: Duration) -> String {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.system);
        let deadline = Instant::now() + limit;
        loop {
            let list = self.node.get(&path).expect("Events can be listed");
            let events = list["items"].as_array().into_iter().flatten();
            let mut notes = events.filter(|event| event["reason"] == reason);
            if let Some(found) = notes.next() {
                return found["note"].as_str().unwrap_or_default().to_owned();
            }
            assert!(Instant::now() < deadline, "no {reason}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// No mark of the controller was taken for somebody else's.
    #[track_caller]
    fn nothing_is_called_forged(&self) {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.builds);
        let list = self.node.get(&path).expect("Events can be listed");
        let mut events = list["items"].as_array().cloned().unwrap_or_default();
        events.retain(|event| event["reason"] == "ForgedMark");
        assert!(events.is_empty(), "{events:#?}");
    }
}

fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["annotations"][key].as_str()
}
