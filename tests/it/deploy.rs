//! The folder `deploy`: what kustomize makes of it is taken by a real API server, and gives the controller the rights it needs and no more.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_core::config::Config;
use tekseal_harness::{ApiServer, Registry, Request, Run, fixtures, kubectl, object_path};

/// Verb, group, resource, name: in the controller's own namespace.
const IN_ITS_OWN: &[[&str; 4]] = &[
    ["get", "", "configmaps", "chains-config"],
    ["list", "", "configmaps", "chains-config"],
    ["watch", "", "configmaps", "chains-config"],
    ["get", "", "configmaps", "tekseal-controller"],
    ["patch", "", "configmaps", "tekseal-controller"],
    ["create", "", "configmaps", ""],
    ["get", "", "secrets", "signing-secrets"],
    ["get", "coordination.k8s.io", "leases", "tekseal-controller"],
    [
        "update",
        "coordination.k8s.io",
        "leases",
        "tekseal-controller",
    ],
    ["create", "coordination.k8s.io", "leases", ""],
    ["create", "events.k8s.io", "events", ""],
    ["patch", "events.k8s.io", "events", "x"],
];

/// In each namespace whose runs are signed.
const BESIDE_RUNS: &[[&str; 4]] = &[
    ["get", "tekton.dev", "taskruns", "x"],
    ["list", "tekton.dev", "taskruns", ""],
    ["watch", "tekton.dev", "taskruns", ""],
    ["patch", "tekton.dev", "taskruns", "x"],
    ["get", "tekton.dev", "pipelineruns", "x"],
    ["list", "tekton.dev", "pipelineruns", ""],
    ["watch", "tekton.dev", "pipelineruns", ""],
    ["patch", "tekton.dev", "pipelineruns", "x"],
    ["get", "", "serviceaccounts", "x"],
    ["get", "", "secrets", "x"],
    ["create", "events.k8s.io", "events", ""],
    ["patch", "events.k8s.io", "events", "x"],
];

/// Of the whole cluster.
const EVERYWHERE: &[[&str; 4]] = &[["get", "", "namespaces", "x"]];

/// Of the whole cluster, where the configuration is a TektonConfig.
const TEKTON_CONFIG: &[[&str; 4]] = &[
    ["get", "operator.tekton.dev", "tektonconfigs", "config"],
    ["list", "operator.tekton.dev", "tektonconfigs", "config"],
    ["watch", "operator.tekton.dev", "tektonconfigs", "config"],
];

/// Nowhere, its own namespace included.
const NEVER: &[[&str; 4]] = &[
    ["list", "", "secrets", ""],
    ["watch", "", "secrets", ""],
    ["create", "", "secrets", ""],
    ["update", "", "secrets", "signing-secrets"],
    ["patch", "", "secrets", "signing-secrets"],
    ["delete", "", "secrets", "signing-secrets"],
    ["create", "", "pods", ""],
    ["get", "", "pods", "x"],
    ["create", "", "pods/exec", "x"],
    ["create", "", "serviceaccounts/token", "x"],
    ["list", "", "serviceaccounts", ""],
    ["impersonate", "", "serviceaccounts", "x"],
    ["create", "tekton.dev", "taskruns", ""],
    ["update", "tekton.dev", "taskruns", "x"],
    ["delete", "tekton.dev", "taskruns", "x"],
    ["deletecollection", "tekton.dev", "taskruns", ""],
    ["patch", "tekton.dev", "taskruns/status", "x"],
    ["update", "tekton.dev", "taskruns/finalizers", "x"],
    ["create", "tekton.dev", "pipelineruns", ""],
    ["delete", "tekton.dev", "pipelineruns", "x"],
    ["patch", "tekton.dev", "pipelineruns/status", "x"],
    ["get", "tekton.dev", "pipelines", "x"],
    ["list", "", "configmaps", ""],
    ["update", "", "configmaps", "chains-config"],
    ["patch", "", "configmaps", "chains-config"],
    ["delete", "", "configmaps", "tekseal-controller"],
    ["update", "coordination.k8s.io", "leases", "another"],
    [
        "delete",
        "coordination.k8s.io",
        "leases",
        "tekseal-controller",
    ],
    ["list", "", "namespaces", ""],
    ["patch", "", "namespaces", "x"],
    ["get", "", "nodes", "x"],
    ["patch", "operator.tekton.dev", "tektonconfigs", "config"],
    ["create", "rbac.authorization.k8s.io", "rolebindings", ""],
    ["escalate", "rbac.authorization.k8s.io", "clusterroles", "x"],
    ["*", "*", "*", ""],
];

/// An API server of its own, to which `deploy` is applied by its real names.
struct Cluster {
    api: ApiServer,
    kubectl: PathBuf,
}

impl Cluster {
    fn new() -> Option<Self> {
        let kubectl = kubectl()?;
        Some(Self {
            api: ApiServer::start()?,
            kubectl,
        })
    }

    fn kubectl(&self) -> Run {
        Run::new(&self.kubectl).env("KUBECONFIG", self.api.kubeconfig())
    }

    /// Applies a folder of `deploy` and gives its objects, as the server has them.
    fn apply(&self, folder: &str) -> Vec<Value> {
        self.apply_overlay(&deploy().join(folder))
    }

    /// The same of an overlay elsewhere.
    fn apply_overlay(&self, folder: &Path) -> Vec<Value> {
        let text = render(&self.kubectl, folder);
        let applied = self
            .kubectl()
            .args([
                "apply",
                "--server-side",
                "--output",
                "json",
                "--filename",
                "-",
            ])
            .stdin(&text)
            .run()
            .ok();
        let list = applied.json();
        list["items"].as_array().expect("a list of objects").clone()
    }

    fn namespace(&self, name: &str, labels: &Value) {
        let metadata = json!({"name": name, "labels": labels});
        self.api
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }

    fn may(&self, system: &str, namespace: &str, what: &[&str; 4]) -> bool {
        let [verb, group, resource, name] = what;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = self.api.create(&json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{system}:tekseal-controller"),
                "groups": [
                    "system:serviceaccounts",
                    format!("system:serviceaccounts:{system}"),
                    "system:authenticated",
                ],
                "resourceAttributes": {
                    "verb": verb,
                    "group": group,
                    "resource": resource,
                    "subresource": subresource,
                    "name": name,
                    "namespace": namespace,
                },
            },
        }));
        review["status"]["allowed"] == true
    }

    /// The server learns of bindings a moment after they are stored.
    #[track_caller]
    fn may_all(&self, system: &str, namespace: &str, whats: &[[&str; 4]]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        for what in whats {
            while !self.may(system, namespace, what) {
                let is_late = Instant::now() >= deadline;
                assert!(!is_late, "{what:?} is refused in {namespace:?}");
            }
        }
    }

    #[track_caller]
    fn may_none(&self, system: &str, namespace: &str, whats: &[[&str; 4]]) {
        for what in whats {
            let may = self.may(system, namespace, what);
            assert!(!may, "{what:?} is allowed in {namespace:?}");
        }
    }

    /// Whether a Pod of this Deployment is taken where the strictest standard for Pods is enforced.
    fn is_restricted(&self, deployment: &Value) {
        let label = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        self.namespace("strict", &label);
        let account = json!({"name": "tekseal-controller", "namespace": "strict"});
        self.api
            .apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}));
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "controller", "namespace": "strict"},
            "spec": deployment["spec"]["template"]["spec"],
        });
        let body = pod.to_string();
        let request = Request::new("POST", "/api/v1/namespaces/strict/pods?dryRun=All")
            .body("application/json", body.as_bytes());
        let answer = self.api.send(&request).expect("the server answers");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn render(kubectl: &Path, folder: &Path) -> String {
    Run::new(kubectl)
        .arg("kustomize")
        .arg(folder)
        .run()
        .ok()
        .stdout
}

#[track_caller]
fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

#[test]
fn the_controller_may_do_what_it_needs_and_no_more() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    for name in ["team-a", "team-b", "openshift-pipelines"] {
        cluster.namespace(name, &json!({}));
    }
    // The overlay with the fewest rights first: what is applied stays.
    let system = "tekton-chains";
    cluster.namespace(system, &json!({}));
    cluster.apply("overlays/namespaces");
    cluster.may_all(system, system, IN_ITS_OWN);
    cluster.may_all(system, "", EVERYWHERE);
    for namespace in ["team-a", "team-b"] {
        cluster.may_all(system, namespace, BESIDE_RUNS);
        cluster.may_none(system, namespace, NEVER);
    }
    for namespace in ["default", "", "kube-system"] {
        cluster.may_none(system, namespace, BESIDE_RUNS);
        cluster.may_none(system, namespace, NEVER);
    }
    cluster.may_none(system, system, &[["get", "", "secrets", "another"]]);

    let objects = cluster.apply("base");
    cluster.may_all(system, "default", BESIDE_RUNS);
    cluster.may_all(system, "", BESIDE_RUNS);
    cluster.may_none(system, "", TEKTON_CONFIG);
    for namespace in ["default", "", system] {
        cluster.may_none(system, namespace, NEVER);
    }
    cluster.is_restricted(one(&objects, "Deployment"));

    let system = "openshift-pipelines";
    let objects = cluster.apply("overlays/openshift");
    cluster.may_all(system, system, IN_ITS_OWN);
    cluster.may_all(system, "default", BESIDE_RUNS);
    cluster.may_all(system, "", EVERYWHERE);
    cluster.may_all(system, "", TEKTON_CONFIG);
    for namespace in ["default", "", system] {
        cluster.may_none(system, namespace, NEVER);
    }
    // Bindings of one name have one subject: the other installation lost them.
    cluster.may_none("tekton-chains", "default", BESIDE_RUNS);
    let deployment = one(&objects, "Deployment");
    let security = &deployment["spec"]["template"]["spec"]["securityContext"];
    assert_eq!(
        (&security["runAsUser"], &security["fsGroup"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        objects
            .iter()
            .all(|o| o["kind"] != "Namespace" && o["kind"] != "ConfigMap")
    );
    cluster.is_restricted(deployment);
}

#[test]
fn the_controller_signs_with_these_rights_alone() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let (api, system) = (&cluster.api, "tekton-chains");
    cluster.namespace(system, &json!({}));
    cluster.apply("base");
    cluster.may_all(system, system, IN_ITS_OWN);
    cluster.may_all(system, "default", BESIDE_RUNS);
    let registry = Registry::start();
    let digest = registry.push_image("team/app", "1").digest;
    let config = json!({"metadata": {"name": "chains-config", "namespace": system}, "apiVersion": "v1", "kind": "ConfigMap"});
    api.patch(
        &object_path(&config),
        &json!({"data": {
            "tekseal.registries": registry.address(),
            "artifacts.taskrun.storage": "tekton,oci",
            "tekseal.keys": "no=such-label: k8s://a/b",
        }}),
    );
    let builds = api.namespace();
    let keys = tempfile::tempdir().expect("a temporary folder");
    let key = fixtures().join("keys/plain.pem");
    fs::copy(key, keys.path().join("x509.pem")).expect("the fixture is there");
    let audit = api.audit();
    let controller = Run::tool("tekseal-controller")
        .arg("--kubeconfig")
        .arg(api.kubeconfig_for(&api.token_for(system, "tekseal-controller")))
        .arg("--signing-secrets")
        .arg(keys.path())
        .args(["--listen", "127.0.0.1:0"])
        .env("SYSTEM_NAMESPACE", system)
        .start();

    let run = api.create(&json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {"name": "build", "namespace": builds},
        "spec": {"serviceAccountName": "default", "taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]}},
    }));
    let path = object_path(&run);
    let status = json!({
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}],
        "podName": "pod",
        "startTime": "2999-01-01T00:00:00Z",
        "completionTime": "2999-01-01T00:00:00Z",
        "taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]},
        "results": [
            {"name": "IMAGE_URL", "type": "string", "value": format!("{}/team/app", registry.address())},
            {"name": "IMAGE_DIGEST", "type": "string", "value": digest},
        ],
    });
    api.patch(&format!("{path}/status"), &json!({ "status": status }));
    let deadline = Instant::now() + Duration::from_secs(60);
    let marked = loop {
        let found = api.get(&path).expect("nobody deletes it");
        let annotations = found["metadata"]["annotations"].clone();
        if annotations["chains.tekton.dev/signed"].is_string() {
            break annotations;
        }
        assert!(Instant::now() < deadline, "{annotations:#}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(marked["chains.tekton.dev/signed"], "true", "{marked:#}");
    controller.signal("TERM");
    let ended = controller.wait();
    let user = format!("system:serviceaccount:{system}:tekseal-controller");
    let asked = audit.requests();
    let of_controller: Vec<_> = asked.iter().filter(|r| r.user == user).collect();
    let refused: Vec<_> = of_controller.iter().filter(|r| r.status == 403).collect();
    assert!(refused.is_empty(), "{refused:#?}\n{}", ended.stderr);
    for resource in [
        "taskruns",
        "configmaps",
        "serviceaccounts",
        "namespaces",
        "leases",
    ] {
        let is_asked = of_controller.iter().any(|r| r.resource == resource);
        assert!(
            is_asked,
            "{resource} was not asked for: the rights were not tried"
        );
    }
}

#[test]
fn each_service_is_shown_a_token_for_it_alone() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).expect("the folder is ours");
    // kustomize follows no absolute path.
    std::os::unix::fs::symlink(
        deploy().canonicalize().expect("it is there"),
        folder.path().join("deploy"),
    )
    .expect("the folder is ours");
    let text = "resources: [../deploy/base]\ncomponents: [../deploy/components/vault]\n";
    fs::write(overlay.join("kustomization.yaml"), text).expect("the folder is ours");
    cluster.namespace("tekton-chains", &json!({}));
    let objects = cluster.apply_overlay(&overlay);
    let deployment = one(&objects, "Deployment");
    cluster.is_restricted(deployment);
    let pod = &deployment["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_array();
    let at = |volume: &Value| {
        let mut mounts = mounts.into_iter().flatten();
        let mount = mounts.find(|mount| mount["name"] == volume["name"]);
        mount.expect("each is mounted")["mountPath"].clone()
    };
    let volumes = pod["volumes"].as_array().expect("it has volumes");
    let tokens: Vec<[Value; 3]> = volumes
        .iter()
        .filter(|volume| volume["projected"].is_object())
        .map(|volume| {
            let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
            [at(volume), token["path"].clone(), token["audience"].clone()]
        })
        .collect();
    let wanted = [
        ["/var/run/sigstore/cosign", "oidc-token", "sigstore"],
        ["/var/run/secrets/vault", "token", "vault"],
    ];
    assert_eq!(tokens, wanted.map(|token| token.map(Value::from)));
}

#[test]
fn what_chains_has_is_left_to_it_on_the_way() {
    let Some(kubectl) = kubectl() else {
        return;
    };
    let text = render(&kubectl, &deploy().join("overlays/migrate-from-chains"));
    for kind in ["Namespace", "ConfigMap", "Secret"] {
        assert!(!text.contains(&format!("\nkind: {kind}\n")), "{kind}");
    }
    assert!(text.contains("\n  name: tekseal-controller\n"));
    assert!(
        !text.contains("name: tekton-chains-"),
        "a name of Chains' own"
    );
}

#[test]
fn arguments_in_the_deployment_are_those_of_the_program() {
    let Some(kubectl) = kubectl() else {
        return;
    };
    for (folder, args) in [
        ("overlays/openshift", ["--config-from=tektonconfig/config"]),
        ("overlays/namespaces", ["--namespace=team-a,team-b"]),
    ] {
        let text = render(&kubectl, &deploy().join(folder));
        for arg in args {
            assert!(
                text.contains(&format!("- {arg}\n")),
                "{folder}: {arg}\n{text}"
            );
        }
        Run::tool("tekseal-controller")
            .args(args)
            .arg("--version")
            .run()
            .ok();
    }
}

#[test]
fn the_example_configuration_shows_the_defaults() {
    let text = fs::read_to_string(deploy().join("base/config.yaml")).expect("it is there");
    let (_, block) = text.split_once("  _example: |\n").expect("the block");
    let mut map = BTreeMap::new();
    for line in block.lines().filter_map(|line| line.strip_prefix("    ")) {
        if line.is_empty() || line.starts_with(['#', ' ']) {
            continue;
        }
        let (key, value) = line.split_once(": ").expect("a key and a value");
        map.insert(key.to_owned(), value.trim_matches('"').to_owned());
    }
    // The one that shows rules has none by default.
    assert_eq!(map.remove("tekseal.keys").as_deref(), Some("|"));
    let shown = Config::from_map(&map).unwrap_or_else(|error| panic!("{error}"));
    let default = Config::from_map(&BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(shown.warnings(), []);
    assert_eq!(shown.taskrun(), default.taskrun());
    assert_eq!(shown.pipelinerun(), default.pipelinerun());
    assert_eq!(shown.oci(), default.oci());
    assert_eq!(shown.storages().oci, default.storages().oci);
    assert_eq!(shown.rules(), default.rules());
    assert_eq!(shown.build_type(), default.build_type());
    assert_eq!(shown.signers().cosign_key, default.signers().cosign_key);
    assert!(map.len() > 20, "{map:#?}");
}
