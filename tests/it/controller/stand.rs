//! What these tests begin with: a namespace for runs, one for the controller, a key, a registry with an image, and the controller itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Client, Proxy, Registry, Run, Running, object_path};
use tempfile::TempDir;

use crate::workshop::plain_key;

/// How long anything may take that is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const SIGNED: &str = "chains.tekton.dev/signed";
pub(super) const RECORD: &str = "tekseal.dev/record";
pub(super) const REASON: &str = "tekseal.dev/reason";

pub(super) const CONTROLLER: &str = "tekseal-controller";

/// TaskRuns signed as the guide has it, in the registry.
pub(super) const OCI: &[(&str, &str)] = &[
    ("artifacts.taskrun.format", "slsa/v1"),
    ("artifacts.taskrun.storage", "oci"),
];

/// Everything for a controller of its own on the API server of all tests.
pub(super) struct Stand {
    pub(super) api: &'static ApiServer,
    pub(super) registry: Registry,
    /// Namespace of the controller.
    pub(super) system: String,
    /// Namespace of the runs.
    pub(super) builds: String,
    /// Digest of the image `team/app`.
    pub(super) digest: String,
    folder: TempDir,
}

impl Stand {
    /// `None` where a peer is missing.
    pub(super) fn new() -> Option<Self> {
        let api = ApiServer::shared()?;
        let registry = Registry::start();
        let digest = registry.push_image("team/app", "1").digest;
        let stand = Self {
            api,
            registry,
            system: api.namespace(),
            builds: api.namespace(),
            digest,
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        fs::create_dir(stand.keys()).expect("the folder is ours");
        let (key, _) = plain_key();
        fs::copy(key, stand.keys().join("x509.pem")).expect("the fixture is there");
        Some(stand)
    }

    /// The folder in place of the mounted Secret.
    pub(super) fn keys(&self) -> PathBuf {
        self.folder.path().join("signing-secrets")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The public half of the key.
    pub(super) fn public_key(&self) -> PathBuf {
        plain_key().1
    }

    /// Sets the configuration; the registry is listed, for it is on loopback.
    pub(super) fn configure(&self, pairs: &[(&str, &str)]) {
        let mut data: BTreeMap<String, String> = BTreeMap::from([(
            "tekseal.registries".to_owned(),
            self.registry.address().to_owned(),
        )]);
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        data.extend(pairs.iter().map(owned));
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "chains-config", "namespace": self.system},
            "data": data,
        });
        let path = object_path(&map);
        match self.api.get(&path) {
            None => self.api.create(&map),
            Some(there) => {
                let mut map = map;
                map["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
                self.api.put(&map)
            }
        };
    }

    /// The command of the controller, for the runs of this stand.
    pub(super) fn command(&self) -> Run {
        self.command_for(&self.builds)
    }

    /// The same for the runs of these namespaces, separated by commas.
    pub(super) fn command_for(&self, namespaces: &str) -> Run {
        alone(self.with_needs(Run::tool(CONTROLLER), namespaces))
    }

    /// The controller, or another build of it, with what it needs for the runs of this stand.
    pub(super) fn watching(&self, controller: Run) -> Run {
        self.with_needs(controller, &self.builds)
    }

    fn with_needs(&self, controller: Run, namespaces: &str) -> Run {
        with_needs(controller, self.api, &self.system, namespaces, &self.keys())
    }

    /// Starts the controller.
    pub(super) fn start(&self) -> Running {
        self.command().start()
    }

    /// A TaskRun, completed a moment ago, with these results.
    pub(super) fn completed(&self, name: &str, results: Value) -> Value {
        self.complete(self.created(name), results)
    }

    /// A TaskRun that was made and goes on.
    pub(super) fn created(&self, name: &str) -> Value {
        self.api.create(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "namespace": self.builds},
            "spec": {"serviceAccountName": "default", "taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]}},
        }))
    }

    /// Ends a TaskRun now.
    pub(super) fn complete(&self, run: Value, results: Value) -> Value {
        self.complete_at(run, results, &now())
    }

    /// Ends a TaskRun at this time.
    pub(super) fn complete_at(&self, run: Value, results: Value, time: &str) -> Value {
        let status = json!({
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}],
            "podName": "pod", "startTime": time, "completionTime": time,
            "steps": [{"name": "build", "container": "step-build",
                "imageID": "example.com/build@sha256:1d1a4de6c7c00389f96e6d7522c667e979e17fc040d0eb50f40993d7f913c227"}],
            "taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]},
            "results": results,
        });
        // The controller may add its finalizer at the same time.
        let path = format!("{}/status", object_path(&run));
        self.api.patch(&path, &json!({ "status": status }))
    }

    /// Results that name the image of the registry.
    pub(super) fn image_results(&self) -> Value {
        self.results_of("team/app", &self.digest)
    }

    /// Results that name an image.
    pub(super) fn results_of(&self, repository: &str, digest: &str) -> Value {
        results_at(self.registry.address(), repository, digest)
    }

    /// A proxy before the registry, listed beside it, with [`OCI`] as the configuration; and results that name the image through it.
    pub(super) fn behind_proxy(&self) -> (Proxy, Value) {
        let proxy = Proxy::start(self.registry.address());
        let listed = format!("{},{}", self.registry.address(), proxy.address());
        self.configure(&[OCI, &[("tekseal.registries", &listed)]].concat());
        let results = results_at(proxy.address(), "team/app", &self.digest);
        (proxy, results)
    }

    /// The image as `registry/repository@digest`.
    pub(super) fn image(&self) -> String {
        self.registry.reference("team/app", &self.digest)
    }

    /// Waits until the object is as wanted, and gives it.
    #[track_caller]
    pub(super) fn wait(&self, object: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(PATIENCE, object, wanted)
    }

    /// Waits so long until the object is as wanted, and gives it.
    #[track_caller]
    pub(super) fn wait_within(
        &self,
        limit: Duration,
        object: &Value,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.api.wait_within(limit, &object_path(object), wanted)
    }

    /// Waits until the object is gone.
    #[track_caller]
    pub(super) fn wait_gone(&self, object: &Value) {
        let path = object_path(object);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.api.get(&path).is_some() {
            assert!(Instant::now() < deadline, "{path} was not let go");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the run carries a mark, and gives the run.
    #[track_caller]
    pub(super) fn wait_marked(&self, run: &Value) -> Value {
        self.wait(run, |run| annotation(run, SIGNED).is_some())
    }

    /// All Events about runs.
    pub(super) fn events(&self) -> Vec<Value> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.builds);
        let list = self.api.get(&path).expect("Events can be listed");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// The TaskRuns that carry a mark.
    pub(super) fn marked(&self) -> Vec<Value> {
        let path = format!("/apis/tekton.dev/v1/namespaces/{}/taskruns", self.builds);
        let list = self.api.get(&path).expect("TaskRuns can be listed");
        let mut runs = list["items"].as_array().cloned().unwrap_or_default();
        runs.retain(|run| annotation(run, SIGNED).is_some());
        runs
    }

    /// No mark of ours was taken for somebody else's.
    #[track_caller]
    pub(super) fn nothing_is_called_forged(&self) {
        let mut events = self.events();
        events.retain(|event| event["reason"] == "ForgedMark");
        assert!(events.is_empty(), "{events:#?}");
    }

    /// Waits for an Event about an object, and gives its note.
    #[track_caller]
    pub(super) fn wait_event(&self, object: &Value, reason: &str) -> String {
        let uid = &object["metadata"]["uid"];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut of_object = self.events();
            of_object.retain(|event| event["regarding"]["uid"] == *uid);
            if let Some(found) = of_object.iter().find(|event| event["reason"] == reason) {
                return found["note"].as_str().unwrap_or_default().to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "no {reason} among {of_object:#?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Verifies the image by our verifier.
    pub(super) fn verify(&self, image: &str) -> Run {
        Run::tool("tekseal-verify")
            .arg("--key")
            .arg(self.public_key())
            .arg(image)
    }
}

/// A controller with what it needs for the runs of these namespaces, separated by commas.
pub(super) fn with_needs(
    controller: Run,
    api: &ApiServer,
    system: &str,
    namespaces: &str,
    keys: &Path,
) -> Run {
    controller
        .arg("--kubeconfig")
        .arg(api.kubeconfig())
        .args(["--system-namespace", system, "--namespace", namespaces])
        .arg("--signing-secrets")
        .arg(keys)
        .timeout(Duration::from_secs(600))
}

/// The only one, at a free port.
pub(super) fn alone(controller: Run) -> Run {
    controller.args(["--listen", "127.0.0.1:0", "--leader-elect=false"])
}

/// Results that name an image of the registry at an address.
pub(super) fn results_at(address: &str, repository: &str, digest: &str) -> Value {
    json!([
        {"name": "IMAGE_URL", "type": "string", "value": format!("{address}/{repository}")},
        {"name": "IMAGE_DIGEST", "type": "string", "value": digest},
    ])
}

/// Has the API server serve TektonConfigs, and gives the path of their collection.
pub(crate) fn serve_tekton_configs(api: &Client) -> &'static str {
    api.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tektonconfigs.operator.tekton.dev"},
        "spec": {
            "group": "operator.tekton.dev", "scope": "Cluster",
            "names": {"kind": "TektonConfig", "plural": "tektonconfigs", "singular": "tektonconfig"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    }));
    let collection = "/apis/operator.tekton.dev/v1alpha1/tektonconfigs";
    let deadline = Instant::now() + Duration::from_secs(30);
    while api.get(collection).is_none() {
        assert!(Instant::now() < deadline, "the kind is not served");
        std::thread::sleep(Duration::from_millis(50));
    }
    collection
}

pub(super) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["annotations"][key].as_str()
}

/// Layers under a tag beside an image.
pub(super) fn layers(registry: &Registry, repository: &str, digest: &str, suffix: &str) -> usize {
    let tag = format!("{}.{suffix}", digest.replace(':', "-"));
    let manifest = registry.manifest(repository, &tag);
    manifest.map_or(0, |manifest| {
        manifest.json()["layers"].as_array().map_or(0, Vec::len)
    })
}

/// The run is marked as signed, and its image has one signature and one attestation.
#[track_caller]
pub(super) fn is_signed_once(run: &Value, registry: &Registry, repository: &str, digest: &str) {
    assert_eq!(
        annotation(run, SIGNED),
        Some("true"),
        "{:#}",
        run["metadata"]
    );
    for suffix in ["sig", "att"] {
        let found = layers(registry, repository, digest, suffix);
        assert_eq!(found, 1, "{repository} {suffix}");
    }
    assert_eq!(annotation(run, REASON), None);
}

/// Now, as Kubernetes writes it, a second ahead: completions must not lie before the controller's first start, which has whole seconds.
pub(super) fn now() -> String {
    time("+1 second")
}

/// A time that `date` understands, as Kubernetes writes it.
pub(super) fn time(text: &str) -> String {
    date(&["-d", text, "+%Y-%m-%dT%H:%M:%SZ"])
}

pub(super) fn date(args: &[&str]) -> String {
    let out = Run::new("date").arg("-u").args(args).ok();
    out.stdout.trim().to_owned()
}

/// A file in the folder of a key, written as a mounted Secret is: whole or not at all.
pub(super) fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content).expect("the folder is ours");
    fs::rename(&fresh, path).expect("the folder is ours");
}
