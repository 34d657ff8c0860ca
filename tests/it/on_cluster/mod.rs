//! The programs beside a real API server: runs, keys and marks that they read and write there, with whose rights.

mod explain;
mod keygen;
mod keys;
mod resign;
mod roles;
mod runs;
mod tasks;
mod wait;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Request, Run, object_path};
use tempfile::TempDir;

use crate::workshop::{PASSWORD, Pipeline, run_document};

/// A namespace on the API server, and a folder.
pub(crate) struct Yard {
    pub(crate) api: &'static ApiServer,
    pub(crate) namespace: String,
    folder: TempDir,
}

impl Yard {
    /// `None`, with the reason printed, where there is no API server.
    pub(crate) fn new() -> Option<Self> {
        let api = ApiServer::shared()?;
        Some(Self {
            api,
            namespace: api.namespace(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program as the administrator, in the folder.
    pub(crate) fn tool(&self, name: &str) -> Run {
        Run::tool(name)
            .env("KUBECONFIG", self.api.kubeconfig())
            .env("COSIGN_PASSWORD", PASSWORD)
            .env("TEKSEAL_RETRY_FOR", "2")
            .folder(self.folder.path())
    }

    /// Puts a run into the namespace, with its status, and gives it as the server has it.
    pub(crate) fn put(&self, mut document: Value) -> Value {
        document["metadata"]["namespace"] = json!(self.namespace);
        for of_server in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
            if let Some(metadata) = document["metadata"].as_object_mut() {
                metadata.remove(of_server);
            }
        }
        let mut made = self.api.create(&document);
        made["status"] = document["status"].take();
        if made["kind"] == "TaskRun" && made["status"]["podName"].is_null() {
            // The definition of the type requires it.
            made["status"]["podName"] = json!("pod");
        }
        self.api.put_status(&made)
    }

    /// A completed TaskRun of this name with these results.
    pub(crate) fn task_run(&self, name: &str, results: Value) -> Value {
        let mut document = run_document(results);
        document["metadata"]["name"] = json!(name);
        self.put(document)
    }

    /// A PipelineRun and its two children; gives its name.
    pub(crate) fn pipeline_run(&self, pipeline: &Pipeline) -> String {
        let mut run = pipeline.json("pipelinerun.json");
        run["metadata"]["finalizers"] = json!([]);
        let made = self.put(run);
        for child in ["children/clone.json", "children/build.json"] {
            let mut child = pipeline.json(child);
            child["metadata"]["finalizers"] = json!([]);
            child["metadata"]["ownerReferences"][0]["uid"] = made["metadata"]["uid"].clone();
            self.put(child);
        }
        made["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned()
    }

    /// `k8s://NAMESPACE/KIND/NAME`
    pub(crate) fn reference(&self, kind: &str, name: &str) -> String {
        format!("k8s://{}/{kind}/{name}", self.namespace)
    }

    /// The path of an object in this namespace.
    pub(crate) fn object(&self, api_version: &str, kind: &str, name: &str) -> String {
        object_path(&json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
        }))
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Value> {
        self.api.get(&self.object("v1", "Secret", name))
    }

    /// A kubeconfig of a new ServiceAccount that may do this in the namespace and nothing else.
    pub(crate) fn kubeconfig_with(&self, account: &str, rules: &Value) -> PathBuf {
        let namespace = &self.namespace;
        let metadata = json!({"name": account, "namespace": namespace});
        self.api
            .apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        self.api.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": rules,
        }));
        self.api.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }));
        let token = self.api.token_for(namespace, account);
        self.await_binding(&token, rules);
        self.api.kubeconfig_for(&token)
    }

    /// Gives that ServiceAccount a ClusterRole in the whole cluster.
    pub(crate) fn bind_everywhere(&self, account: &str, role: &str, rules: &Value) {
        let namespace = &self.namespace;
        self.api.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{namespace}-{account}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }));
        self.await_binding(&self.api.token_for(namespace, account), rules);
    }

    /// The server learns of a binding a moment after it is stored.
    fn await_binding(&self, token: &str, rules: &Value) {
        let Some(rule) = rules.as_array().and_then(|rules| rules.last()) else {
            return;
        };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": self.namespace,
                "group": rule["apiGroups"][0],
                "resource": rule["resources"][0],
                "verb": rule["verbs"][0],
                "name": rule["resourceNames"][0],
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let body = review.to_string();
        let request = Request::new("POST", path).body("application/json", body.as_bytes());
        let client = self.api.with_token(token);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let answer = client.send(&request).expect("the server answers");
            let answer: Value = serde_json::from_str(&answer.text()).expect("JSON");
            if answer["status"]["allowed"] == true {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the role has no effect: {answer}"
            );
        }
    }
}
