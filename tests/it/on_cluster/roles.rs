//! The roles of `deploy/rbac-steps.yaml`: each program does its work with its own, and not another's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tekseal_harness::{Request, Run};

use super::Yard;
use super::tasks::NAME;
use crate::workshop::{PASSWORD, Pipeline, Workshop, plain_key};

/// Puts the roles into the cluster, as they are in the file, and gives their rules by name.
fn roles(yard: &Yard) -> &'static BTreeMap<String, Value> {
    static ROLES: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    ROLES.get_or_init(|| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/rbac-steps.yaml");
        let text = fs::read_to_string(file).expect("it is there");
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
        text.split("\n---\n")
            .map(|document| {
                // The server reads YAML; nothing else here does.
                let request =
                    Request::new("POST", path).body("application/yaml", document.as_bytes());
                let answer = yard.api.send(&request).expect("the server answers");
                assert_eq!(answer.status, 201, "{document}\n{}", answer.text());
                let made: Value = serde_json::from_str(&answer.text()).expect("JSON");
                let name = made["metadata"]["name"].as_str().expect("a name");
                (name.to_owned(), made["rules"].clone())
            })
            .collect()
    })
}

impl Yard {
    /// A kubeconfig of a ServiceAccount that has these roles in the namespace and nothing else.
    fn as_one_with(&self, names: &[&str]) -> PathBuf {
        let roles = roles(self);
        let of = |name: &&str| {
            let rules = roles.get(*name);
            rules.unwrap_or_else(|| panic!("there is no role {name}: {roles:?}"))
        };
        let rules: Vec<Value> = names
            .iter()
            .flat_map(|name| of(name).as_array().expect("a list").clone())
            .collect();
        self.kubeconfig_with(&names.join("-"), &json!(rules))
    }
}

fn built(shop: &Workshop) -> Value {
    json!([
        {"name": "IMAGE_URL", "value": format!("{}/team/app:1", shop.registry.address())},
        {"name": "IMAGE_DIGEST", "value": shop.digest},
    ])
}

/// The program with this kubeconfig in place of the administrator's.
fn tool(yard: &Yard, name: &str, kubeconfig: &Path) -> Run {
    yard.tool(name).env("KUBECONFIG", kubeconfig)
}

#[test]
fn runs_are_read_and_attested_with_the_role_for_it() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    yard.task_run("build", built(&shop));
    let name = yard.pipeline_run(&Pipeline::nowhere());
    let reader = yard.as_one_with(&["tekseal-read-runs"]);
    let build = yard.reference("taskrun", "build");
    tool(&yard, "tekseal-attest", &reader)
        .args(["--run", &build, "--key"])
        .arg(plain_key().0)
        .ok();
    tool(&yard, "tekseal-provenance", &reader)
        .args([
            "--run",
            &yard.reference("pipelinerun", &name),
            "--out",
            "out",
        ])
        .ok();
    // Reading gives no other right.
    tool(&yard, "tekseal-wait", &reader)
        .args([&build, "--insecure-skip-verify", "--timeout", "2s"])
        .fails_with(2)
        .says("403");
    yard.api.patch(
        &yard.object("tekton.dev/v1", "TaskRun", "build"),
        &json!({"metadata": {"annotations": {"chains.tekton.dev/signed": "true"}}}),
    );
    tool(&yard, "tekseal-resign", &reader)
        .arg(&build)
        .fails_with(2)
        .says("cannot change TaskRun")
        .says("403");
    tool(&yard, "tekseal-attest", &reader)
        .args([
            "--run",
            &build,
            "--key",
            &format!("k8s://{}/signing-secrets", yard.namespace),
        ])
        .fails_with(2)
        .says("403");
}

#[test]
fn a_later_task_attests_an_earlier_one_without_the_right_to_list() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    yard.matrix(&[("app-7xk2p-build", built(&shop))]);
    let step = yard.as_one_with(&["tekseal-read-task"]);
    let attest = |run: &str| {
        tool(&yard, "tekseal-attest", &step)
            .args(["--run", run, "--key"])
            .arg(plain_key().0)
    };
    attest(&yard.task("build")).ok();
    attest(&yard.reference("taskrun", "app-7xk2p-build")).ok();
    attest(&yard.reference("pipelinerun", NAME))
        .fails_with(2)
        .says("cannot list TaskRuns")
        .says("403");
}

#[test]
fn waiting_resigning_and_explaining_need_their_roles_alone() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let run = yard.task_run("build", built(&shop));
    shop.attest(&key);
    let build = yard.reference("taskrun", "build");
    let path = yard.object("tekton.dev/v1", "TaskRun", "build");
    let mark = |mark: &str| {
        let annotations = json!({"chains.tekton.dev/signed": mark});
        yard.api
            .patch(&path, &json!({"metadata": {"annotations": annotations}}));
    };
    mark("true");
    let waiter = yard.as_one_with(&["tekseal-wait"]);
    tool(&yard, "tekseal-wait", &waiter)
        .args([&build, "--key"])
        .arg(&public)
        .ok();
    yard.api.create(&json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": "one", "namespace": yard.namespace},
        "involvedObject": {
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "build",
            "namespace": yard.namespace, "uid": run["metadata"]["uid"],
        },
        "type": "Warning", "reason": "SigningFailed", "message": "no",
        "reportingComponent": "tekseal-controller", "lastTimestamp": "2026-03-01T10:05:00Z",
    }));
    mark("failed");
    tool(&yard, "tekseal-wait", &waiter)
        .args([&build, "--insecure-skip-verify"])
        .fails_with(1)
        .says("last Event SigningFailed: no");
    yard.running_pipeline();
    tool(&yard, "tekseal-wait", &waiter)
        .args([&yard.task("build"), "--insecure-skip-verify"])
        .args(["--timeout", "1s"])
        .fails_with(1)
        .says("has no TaskRun in time");
    let resigner = yard.as_one_with(&["tekseal-resign"]);
    tool(&yard, "tekseal-resign", &resigner).arg(&build).ok();

    let explain = |kubeconfig: &Path| {
        let said = tool(&yard, "tekseal-explain", kubeconfig)
            .args([&build, "--system-namespace", &yard.namespace, "-o", "json"])
            .ok();
        said.json()["onCluster"].clone()
    };
    yard.api.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "registry", "namespace": yard.namespace},
        "stringData": {".dockerconfigjson": "{\"auths\":{}}"},
    }));
    let account = yard.object("v1", "ServiceAccount", "default");
    yard.api
        .patch(&account, &json!({"secrets": [{"name": "registry"}]}));
    let said = explain(&yard.as_one_with(&["tekseal-explain"]));
    let unread: Vec<&str> = said["unread"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|text| text.as_str()?.split(':').next())
        .collect();
    let namespace = &yard.namespace;
    assert_eq!(
        unread,
        [
            format!("cannot read ConfigMap {namespace}/chains-config"),
            format!("cannot read Lease {namespace}/tekseal-controller"),
            format!("cannot read Secret {namespace}/registry"),
        ]
    );
    assert_eq!(said["registrySecrets"], json!([{"name": "registry"}]));
    let said = explain(&yard.as_one_with(&[
        "tekseal-explain",
        "tekseal-explain-secrets",
        "tekseal-explain-system",
    ]));
    assert_eq!(said["unread"], json!([]));
    assert_eq!(
        said["registrySecrets"],
        json!([{"name": "registry", "repositories": []}])
    );
    // What is of the controller needs no right on what is of the run.
    let said = explain(&yard.as_one_with(&["tekseal-read-runs", "tekseal-explain-system"]));
    let unread = said["unread"].to_string();
    assert!(unread.contains("ServiceAccount"), "{unread}");
    for of_controller in ["Lease", "ConfigMap"] {
        assert!(!unread.contains(of_controller), "{unread}");
    }
}

#[test]
fn keys_are_made_rotated_and_used_with_their_roles_alone() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let key = format!("k8s://{}/signing-secrets", yard.namespace);
    let keeper = yard.as_one_with(&["tekseal-keygen"]);
    let keygen = || tool(&yard, "tekseal-keygen", &keeper).env("COSIGN_PASSWORD", PASSWORD);
    keygen().arg(&key).ok();
    keygen().args([&key, "--rotate"]).ok();
    let other = format!("k8s://{}/other", yard.namespace);
    keygen().args([&other, "--output-key-prefix", "other"]).ok();
    keygen()
        .args([&other, "--rotate", "--output-key-prefix", "other"])
        .fails_with(2)
        .says("403");
    let signer = yard.as_one_with(&["tekseal-key"]);
    let run = shop.run();
    tool(&yard, "tekseal-attest", &signer)
        .arg("--run")
        .arg(run)
        .args(["--key", &key])
        .ok();
    tool(&yard, "tekseal-verify", &signer)
        .args(["--key", &key, &shop.image])
        .ok();
}

#[test]
fn keys_are_listed_with_their_roles_alone() {
    let Some(yard) = Yard::new() else { return };
    let namespace = &yard.namespace;
    let keeper = yard.tool("tekseal-keygen");
    keeper
        .arg(format!("k8s://{namespace}/signing-secrets"))
        .ok();
    yard.api.create(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "chains-config", "namespace": namespace},
        "data": {"tekseal.keys": format!("team-a: k8s://{namespace}/of-a-team")},
    }));
    let lister = yard.as_one_with(&["tekseal-keys"]);
    let list = |flags: &[&str]| {
        let list = tool(&yard, "tekseal-keys", &lister)
            .args(["list", "--system-namespace", namespace, "-o", "json"])
            .args(flags)
            .ok()
            .json();
        assert_eq!(list["keys"].as_array().map(Vec::len), Some(1), "{list:#}");
        assert_eq!(list["keys"][0]["warnings"], json!([]), "{list:#}");
        list
    };
    let found = list(&[]);
    let notes = found["notes"].to_string();
    assert!(
        notes.contains("last use by TaskRuns is not known"),
        "{notes}"
    );
    // Another Secret than that of the role is not read.
    let warnings = found["warnings"].to_string();
    assert!(
        warnings.contains("of-a-team") && warnings.contains("403"),
        "{warnings}"
    );
    let rules = &roles(&yard)["tekseal-keys-runs"];
    yard.bind_everywhere("tekseal-keys", "tekseal-keys-runs", rules);
    let notes = list(&[])["notes"].to_string();
    assert!(!notes.contains("is not known"), "{notes}");
    // To list gives no right to change anything.
    tool(&yard, "tekseal-keygen", &lister)
        .args([&format!("k8s://{namespace}/signing-secrets"), "--rotate"])
        .args(["--output-key-prefix", "refused"])
        .env("COSIGN_PASSWORD", PASSWORD)
        .fails_with(2)
        .says("403");
}
