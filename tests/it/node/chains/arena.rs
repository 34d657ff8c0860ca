//! An API server and a registry of their own, where Chains' controller and ours sign the same runs, one after the other.
//!
//! No Tekton runs beside it, which would begin to execute what is only said to be over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tekseal_harness::{ApiServer, Chains, Daemon, Node, Registry, Run, Running, object_path};

use crate::workshop::plain_key;

/// Chains' own YAML has this namespace; ours is told the same one.
const SYSTEM: &str = Chains::NAMESPACE;
const PREFIX: &str = "chains.tekton.dev/";
const PATIENCE: Duration = Duration::from_secs(60);

/// What a controller left: annotation `payload-KEY` of a run, or tag and number of a layer, and the payload.
pub(super) type Payloads = BTreeMap<(String, String), Vec<u8>>;

/// Whose controller signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Chains,
    Ours,
}

pub(super) struct Arena {
    pub(super) api: ApiServer,
    pub(super) registry: Registry,
    chains: Chains,
}

/// A controller that runs until this value is dropped.
enum Controller {
    Chains(Daemon),
    Ours(#[expect(dead_code, reason = "it ends with the value")] Running),
}

impl Arena {
    /// Panics where a peer is missing.
    pub(super) fn new() -> Self {
        let folder = Node::here().chains();
        let chains = Chains::in_folder(&folder);
        let chains = chains.unwrap_or_else(|| {
            panic!("{} is missing: run tests/peers --node", folder.display());
        });
        // Without a route to anywhere it does not find an address of its own.
        let (address, _) = Node::here()
            .address()
            .split_once(':')
            .expect("it has a port");
        let api = ApiServer::setup()
            .without_audit()
            .flag(&format!("--advertise-address={address}"))
            .start();
        let arena = Self {
            api: api.expect("tests/peers --cluster installs an API server"),
            registry: Registry::start(),
            chains,
        };
        fs::copy(plain_key().0, arena.keys().join("x509.pem")).expect("the fixture is there");
        arena.namespace(SYSTEM);
        arena.chains.create_settings(&arena.api);
        arena
    }

    /// Makes a namespace with the ServiceAccount that runs have.
    pub(super) fn namespace(&self, name: &str) {
        self.api
            .create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        for account in ["default", "pipeline"] {
            self.api.apply(&json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": name},
            }));
        }
    }

    /// Makes a run and, before it is over, its children, and gives all as the server has them, the run last.
    pub(super) fn put(&self, run: &Value, children: &[Value]) -> Vec<Value> {
        let with_status = |mut made: Value, document: &Value| {
            made["status"] = document["status"].clone();
            self.api.put_status(&made)
        };
        let made = self.api.create(run);
        // Chains looks again at a PipelineRun when a TaskRun that it owns has changed.
        let owner = json!([{
            "apiVersion": made["apiVersion"], "kind": made["kind"], "controller": true,
            "name": made["metadata"]["name"], "uid": made["metadata"]["uid"],
        }]);
        let mut family = Vec::new();
        for child in children {
            let mut child = child.clone();
            child["metadata"]["ownerReferences"] = owner.clone();
            family.push(with_status(self.api.create(&child), &child));
        }
        family.push(with_status(made, run));
        family
    }

    /// Has one of the controllers sign everything with this configuration, and takes its traces off the runs again.
    pub(super) fn sign(&self, who: Who, config: &[(&str, &str)], kinds: &[&str]) -> Signed {
        self.configure(config);
        let mut controller = self.start(who);
        let deadline = Instant::now() + PATIENCE;
        let runs = loop {
            let runs: Vec<_> = kinds.iter().flat_map(|kind| self.list(kind)).collect();
            let waiting: Vec<_> = runs.iter().filter(|run| mark(run).is_none()).collect();
            if waiting.is_empty() {
                break runs;
            }
            assert!(
                Instant::now() < deadline && !controller.has_ended(),
                "{who:?} left these without a mark: {:#?}\n{}",
                waiting.iter().map(|run| name(run)).collect::<Vec<_>>(),
                controller.story()
            );
            std::thread::sleep(Duration::from_millis(200));
        };
        drop(controller);
        let signed = Signed::of(&runs);
        for kind in ["taskruns", "pipelineruns"] {
            for run in self.list(kind) {
                self.clean(&run);
            }
        }
        signed
    }

    /// The payloads beside the images of this repository, by tag and number of the layer; they are removed.
    pub(super) fn take_layers(&self, repository: &str) -> Payloads {
        let mut taken = Payloads::new();
        for tag in self.registry.tags(repository) {
            if !tag.ends_with(".sig") && !tag.ends_with(".att") {
                continue;
            }
            let manifest = self
                .registry
                .manifest(repository, &tag)
                .expect("it has this tag");
            let mut payloads: Vec<_> = manifest.json()["layers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|layer| {
                    let digest = layer["digest"].as_str().expect("a layer has a digest");
                    let blob = self
                        .registry
                        .blob(repository, digest)
                        .expect("it was stored");
                    match tag.ends_with(".att") {
                        true => enveloped(&blob),
                        false => blob,
                    }
                })
                .collect();
            // Who comes first to an image of several runs is chance.
            payloads.sort();
            for (at, payload) in payloads.into_iter().enumerate() {
                taken.insert((tag.clone(), at.to_string()), payload);
            }
            self.registry.delete_manifest(repository, &manifest.digest);
        }
        taken
    }

    fn configure(&self, config: &[(&str, &str)]) {
        let mut data: Map<String, Value> = config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        data.insert("transparency.enabled".to_owned(), json!("false"));
        // Chains signs images unseen and runs whoever manages them, and asks every registry; it does not know these keys.
        data.insert("tekseal.absent-images".to_owned(), json!("insecure-sign"));
        data.insert("filter.managed-by".to_owned(), json!("custom"));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config", "namespace": SYSTEM}, "data": data});
        let path = object_path(&map);
        if self.api.get(&path).is_some() {
            self.api.delete(&path);
        }
        self.api.create(&map);
    }

    fn start(&self, who: Who) -> Controller {
        let kubeconfig = self.api.kubeconfig().display().to_string();
        if who == Who::Ours {
            let command = Run::tool("tekseal-controller")
                .args(["--kubeconfig", &kubeconfig, "--system-namespace", SYSTEM])
                .arg("--signing-secrets")
                .arg(self.keys())
                .args(["--listen", "127.0.0.1:0", "--leader-elect=false"])
                .timeout(Duration::from_secs(600));
            return Controller::Ours(command.start());
        }
        // A killed one would hold them for a minute.
        self.api.delete(&format!(
            "/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
        ));
        // The node's Tekton has the usual ports.
        let variables = ["METRICS_PROMETHEUS_PORT=19092", "PROBES_PORT=18082"];
        let flags = [
            "-threads-per-controller=8",
            "-kube-api-qps=500",
            "-kube-api-burst=1000",
        ];
        Controller::Chains(self.chains.start(&self.api, &variables, &flags))
    }

    fn list(&self, resource: &str) -> Vec<Value> {
        let list = self.api.get(&format!("/apis/tekton.dev/v1/{resource}"));
        let mut list = list.expect("the type is served");
        let kind = list["kind"].as_str().expect("a list has a kind");
        let kind = kind.trim_end_matches("List").to_owned();
        let items = list["items"].as_array_mut().map(std::mem::take);
        let mut items = items.expect("a list has items");
        for item in &mut items {
            item["kind"] = json!(kind);
            item["apiVersion"] = json!("tekton.dev/v1");
        }
        items
    }

    /// Removes what a controller wrote on a run; what a user had written stays.
    fn clean(&self, run: &Value) {
        let annotations = run["metadata"]["annotations"].as_object();
        let traces: Map<String, Value> = annotations
            .into_iter()
            .flatten()
            .filter(|(key, _)| is_trace(key))
            .map(|(key, _)| (key.clone(), Value::Null))
            .collect();
        let changes = json!({"metadata": {"annotations": traces, "finalizers": null}});
        self.api.patch(&object_path(run), &changes);
    }

    /// The folder in place of the mounted Secret.
    fn keys(&self) -> PathBuf {
        Chains::keys(&self.api)
    }
}

impl Controller {
    fn has_ended(&mut self) -> bool {
        match self {
            Self::Chains(daemon) => daemon.has_ended(),
            Self::Ours(_) => false,
        }
    }

    fn story(&self) -> String {
        match self {
            Self::Chains(daemon) => daemon.story(),
            Self::Ours(_) => String::new(),
        }
    }
}

/// What a controller wrote on the runs.
pub(super) struct Signed {
    /// Runs marked as signed; with ours also those of which nothing is to be signed.
    pub(super) attested: BTreeSet<String>,
    /// Runs that failed.
    pub(super) failed: BTreeSet<String>,
    pub(super) payloads: Payloads,
}

impl Signed {
    fn of(runs: &[Value]) -> Self {
        let (mut attested, mut failed) = (BTreeSet::new(), BTreeSet::new());
        let mut payloads = Payloads::new();
        for run in runs {
            match mark(run) {
                Some("failed") => failed.insert(name(run)),
                _ => attested.insert(name(run)),
            };
            for (key, value) in run["metadata"]["annotations"]
                .as_object()
                .into_iter()
                .flatten()
            {
                let Some(key) = key.strip_prefix("chains.tekton.dev/payload-") else {
                    continue;
                };
                let payload = STANDARD.decode(value.as_str().expect("a text"));
                payloads.insert((name(run), key.to_owned()), payload.expect("base64"));
            }
        }
        Self {
            attested,
            failed,
            payloads,
        }
    }
}

/// How a run is called here.
pub(super) fn name(run: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &run["metadata"];
    format!(
        "{} {}/{}",
        text(&run["kind"]),
        text(&meta["namespace"]),
        text(&meta["name"])
    )
}

/// Whether a controller has written this annotation.
pub(super) fn is_trace(key: &str) -> bool {
    if key.starts_with("tekseal.dev/") {
        return true;
    }
    key.strip_prefix(PREFIX).is_some_and(|key| {
        let of_storage = ["payload-", "signature-", "cert-", "chain-"];
        matches!(key, "signed" | "retries" | "transparency")
            || of_storage.iter().any(|start| key.starts_with(start))
    })
}

fn mark(run: &Value) -> Option<&str> {
    let mark = run["metadata"]["annotations"]["chains.tekton.dev/signed"].as_str();
    mark.filter(|mark| ["true", "failed", "nothing"].contains(mark))
}

/// The payload in a DSSE envelope.
fn enveloped(envelope: &[u8]) -> Vec<u8> {
    let envelope: Value = serde_json::from_slice(envelope).expect("an envelope is JSON");
    let payload = STANDARD.decode(envelope["payload"].as_str().expect("a text"));
    payload.expect("base64")
}
