//! `tekseal-explain` of runs in the cluster: what became of them by now, and what happens next.

use std::fs;

use serde_json::{Value, json};
use tekseal_core::marks::{Outcome, Record};
use tekseal_signing::Signer;

use super::Yard;
use crate::controller::serve_tekton_configs;
use crate::workshop::{Pipeline, plain_key, run_document};

const SIGNED: &str = "chains.tekton.dev/signed";
const RETRIES: &str = "chains.tekton.dev/retries";
const RECORD: &str = "tekseal.dev/record";
const REASON: &str = "tekseal.dev/reason";

impl Yard {
    /// What is explained, as text, with the namespace as the controller's.
    fn explain(&self, run: &str, args: &[&str]) -> String {
        let said = self
            .tool("tekseal-explain")
            .args([run, "--system-namespace", &self.namespace])
            .args(args)
            .ok();
        said.stdout
    }

    fn explain_json(&self, run: &str, args: &[&str]) -> Value {
        let said = self.explain(run, &[args, &["-o", "json"]].concat());
        serde_json::from_str(&said).expect("JSON")
    }

    /// What happens next, for people.
    fn next(&self, run: &str, args: &[&str]) -> String {
        let said = self.explain_json(run, args);
        let next = said["onCluster"]["next"].as_str();
        next.expect("a text").to_owned()
    }

    fn annotate(&self, kind: &str, name: &str, annotations: &Value) {
        let path = self.object("tekton.dev/v1", kind, name);
        self.api
            .patch(&path, &json!({"metadata": {"annotations": annotations}}));
    }

    fn configure(&self, data: &Value) {
        self.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "chains-config", "namespace": self.namespace},
            "data": data,
        }));
    }

    fn lead(&self, renewed: &str) {
        self.api.apply(&json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "tekseal-controller", "namespace": self.namespace},
            "spec": {"holderIdentity": "controller-0", "leaseDurationSeconds": 15, "renewTime": renewed},
        }));
    }
}

fn built() -> Value {
    json!([
        {"name": "IMAGE_URL", "value": "registry.example.com/team/app:1"},
        {"name": "IMAGE_DIGEST", "value": format!("sha256:{}", "a1".repeat(32))},
    ])
}

/// A record as a controller with the plain key of the fixtures writes it.
fn record(uid: &Value, outcome: Outcome) -> String {
    let pem = fs::read(plain_key().0).expect("it is there");
    let none = || Ok::<_, tekseal_signing::signer::Error>(Vec::new().into());
    let signer = Signer::from_pem(&pem, none).expect("it opens");
    let uid = uid.as_str().expect("a text");
    let (at, by) = ("2026-03-01T10:02:00Z", "tekseal-controller 0.1.0");
    let record = Record::new(uid, outcome, &[], at.to_owned(), by.to_owned());
    tekseal_harness::at_once(signer.sign_record(&record)).expect("it signs")
}

#[track_caller]
fn has(text: &str, wanted: &[&str]) {
    for one in wanted {
        assert!(text.contains(one), "{one:?} is missing in:\n{text}");
    }
}

#[test]
fn a_run_that_waits_for_its_signature_is_told_with_all_that_matters() {
    let Some(yard) = Yard::new() else { return };
    let namespace = &yard.namespace;
    let mut document = run_document(built());
    document["metadata"]["name"] = json!("build");
    document["spec"]["serviceAccountName"] = json!("builder");
    let run = yard.put(document);
    yard.annotate(
        "TaskRun",
        "build",
        &json!({RETRIES: "1", REASON: "the registry says no\u{1b}[2J\nsigned"}),
    );
    yard.configure(
        &json!({"artifacts.taskrun.format": "slsa/v2alpha4", "artifacts.taskrun.storage": "oci"}),
    );
    yard.lead("2099-01-01T00:00:00.000000Z");
    let login =
        json!({"auths": {"registry.example.com/team": {"auth": "dTpodW50ZXIy"}}}).to_string();
    for (name, kind, data) in [
        (
            "registry",
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": login}),
        ),
        (
            "other",
            "kubernetes.io/dockerconfigjson",
            json!({".dockerconfigjson": "{\"auths\":{\"elsewhere.example.com\":{\"auth\":\"dTpw\"}}}"}),
        ),
        ("opaque", "Opaque", json!({"a": "b"})),
    ] {
        yard.api.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind, "stringData": data,
            "metadata": {"name": name, "namespace": namespace},
        }));
    }
    yard.api.create(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "builder", "namespace": namespace},
        "secrets": [{"name": "registry"}, {"name": "opaque"}, {"name": "other"}, {"name": "gone"}],
        "imagePullSecrets": [{"name": "pull"}],
    }));
    yard.api.create(&json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": "one", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "build",
            "namespace": namespace, "uid": run["metadata"]["uid"],
        },
        "type": "Warning", "reason": "SigningFailed", "message": "401 from the\u{202e}registry", "count": 3,
        "reportingComponent": "tekseal-controller", "lastTimestamp": "2026-03-01T10:05:00Z",
    }));
    let reference = yard.reference("taskrun", "build");
    let said = yard.explain(&reference, &[]);
    has(
        &said,
        &[
            &format!("TaskRun {namespace}/build: completed, succeeded\n"),
            "the run says chains.tekton.dev/retries: \"1\"",
            "  reason on the run: the registry says no [2J signed\n",
            "  next: it is tried again: 2 attempts failed\n",
            "provenance of the TaskRun as slsa/v2alpha4",
            "place registry registry.example.com/team/app:sha256-",
            "in the cluster\n",
            &format!("  configuration: ConfigMap {namespace}/chains-config\n"),
            &format!(
                "  controller: Lease {namespace}/tekseal-controller is held by controller-0\n"
            ),
            "  ServiceAccount builder\n",
            "    Secret registry: for registry.example.com/team/app\n",
            "    Secret other: has nothing for these images\n",
            "  Event 2026-03-01T10:05:00Z SigningFailed (3 times) by tekseal-controller: 401 from the registry\n",
            &format!("  not read: cannot read Secret {namespace}/gone"),
        ],
    );
    assert!(!said.contains(['\u{1b}', '\u{202e}', '\r']), "{said:?}");
    assert!(
        !said.contains("hunter2") && !said.contains("dTpodW50ZXIy"),
        "{said}"
    );
    let said = yard.explain_json(&reference, &[]);
    let cluster = &said["onCluster"];
    assert_eq!(
        cluster["registrySecrets"],
        json!([
            {"name": "registry", "repositories": ["registry.example.com/team/app"]},
            {"name": "other", "repositories": []},
        ])
    );
    assert_eq!(cluster["events"][0]["count"], 3);
    assert_eq!(cluster["serviceAccount"], "builder");
    // A configuration of one's own goes before the cluster's.
    let config = yard.path("config.json");
    fs::write(&config, "{}").expect("the folder is ours");
    let said = yard.explain_json(&reference, &["--config", "config.json"]);
    assert_eq!(said["onCluster"]["configuration"], "as given with --config");
}

#[test]
fn the_configuration_may_be_a_tekton_config() {
    let Some(yard) = Yard::new() else { return };
    let collection = serve_tekton_configs(yard.api);
    let mut document = run_document(built());
    document["metadata"]["name"] = json!("build");
    yard.put(document);
    let run = format!("k8s://{}/taskrun/build", yard.namespace);
    let name = format!("config-{}", yard.namespace);
    let from = ["--config-from", &format!("tektonconfig/{name}")];
    let absent = yard.explain(&run, &from);
    has(
        &absent,
        &[&format!(
            "  configuration: there is no TektonConfig {name}: tekseal's controller goes on with the last good one"
        )],
    );
    yard.api.create(&json!({
        "apiVersion": "operator.tekton.dev/v1alpha1", "kind": "TektonConfig", "metadata": {"name": name},
        "spec": {"chain": {"artifacts.taskrun.format": "slsa/v2alpha4", "generateSigningSecret": true}},
    }));
    assert!(yard.api.get(&format!("{collection}/{name}")).is_some());
    has(
        &yard.explain(&run, &from),
        &[&format!("TektonConfig {name}"), "slsa/v2alpha4"],
    );
}

#[test]
fn what_happens_next_follows_from_marks_records_and_the_controller() {
    let Some(yard) = Yard::new() else { return };
    yard.configure(&json!({}));
    let run = yard.task_run("build", built());
    let uid = &run["metadata"]["uid"];
    let reference = yard.reference("taskrun", "build");
    let (_, public) = plain_key();
    let key = ["--key", public.to_str().expect("UTF-8")];
    let next = |args: &[&str]| yard.next(&reference, args);
    let lease = format!("there is no Lease {}/tekseal-controller", yard.namespace);
    assert_eq!(
        next(&[]),
        format!("it will be signed; but nothing of ours watches it: {lease} (Tekton Chains may)")
    );
    yard.lead("2026-01-01T00:00:00.000000Z");
    has(
        &next(&[]),
        &["controller-0 was not renewed since 2026-01-01T00:00:00Z"],
    );
    yard.lead("2099-01-01T00:00:00.000000Z");
    assert_eq!(next(&[]), "it will be signed");

    yard.annotate(
        "TaskRun",
        "build",
        &json!({SIGNED: "failed", RECORD: record(uid, Outcome::Failed)}),
    );
    let given_up = format!("nothing, it was given up: tekseal-resign {reference} starts over");
    assert_eq!(next(&[]), given_up);
    assert_eq!(next(&key), given_up);
    has(
        &yard.explain(&reference, &key),
        &[
            "record on the run: \"failed\" at 2026-03-01T10:02:00Z by tekseal-controller 0.1.0, 0 payloads, key SHA256:",
            "(verified)\n",
        ],
    );
    has(
        &yard.explain(&reference, &[]),
        &["(not verified: --key does)\n"],
    );

    // The mark says what the record does not; the record is of another run; of another key; none at all.
    let anew = "a controller with that key does not believe the mark and signs it anew";
    for annotations in [
        json!({SIGNED: "true"}),
        json!({SIGNED: "failed", RECORD: record(&json!("another"), Outcome::Failed)}),
        json!({SIGNED: "failed", RECORD: "{}"}),
    ] {
        yard.annotate("TaskRun", "build", &annotations);
        assert_eq!(next(&key), anew, "{annotations}");
        let said = yard.explain_json(&reference, &key);
        assert_eq!(said["record"]["verdict"], "forged");
    }
    yard.annotate(
        "TaskRun",
        "build",
        &json!({SIGNED: "true", RECORD: record(uid, Outcome::Signed)}),
    );
    assert_eq!(next(&key), "nothing, it is signed");
    yard.tool("tekseal-keygen")
        .args(["--output-key-prefix", "other"])
        .ok();
    has(
        &yard.explain(&reference, &["--key", "other.pub"]),
        &[
            "(not verified: signed by another key than the one that was given, perhaps the platform's)",
        ],
    );
    has(
        &next(&["--key", "other.pub"]),
        &["nothing, it is signed; whether a controller believes the mark is not known"],
    );
    // Whoever signed it: it is of another run, or says something else than the mark.
    for annotations in [
        json!({SIGNED: "true", RECORD: record(&json!("another"), Outcome::Signed)}),
        json!({SIGNED: "failed", RECORD: record(uid, Outcome::Signed)}),
    ] {
        yard.annotate("TaskRun", "build", &annotations);
        let said = yard.explain_json(&reference, &["--key", "other.pub"]);
        assert_eq!(said["record"]["verdict"], "forged", "{annotations}");
    }
    yard.annotate("TaskRun", "build", &json!({SIGNED: "true", RECORD: null}));
    has(
        &next(&key),
        &["nothing, it is signed; there is no record of ours"],
    );

    // The configuration of the cluster decides too.
    let mut failed = run_document(built());
    failed["status"]["conditions"][0]["status"] = json!("False");
    failed["metadata"]["name"] = json!("failed");
    yard.put(failed);
    yard.configure(&json!({"tekseal.unsuccessful-runs": "skip"}));
    let failed = yard.reference("taskrun", "failed");
    has(
        &yard.next(&failed, &[]),
        &["it did not succeed and is skipped"],
    );
    let said = yard.explain_json(&failed, &[]);
    assert_eq!(
        (&said["wouldSign"], &said["items"]),
        (&json!(false), &json!([]))
    );
    let why =
        "nothing would be signed: the run did not succeed, and tekseal.unsuccessful-runs is skip";
    assert_eq!(said["decision"], why);
    assert!(!said.to_string().contains("all the same"), "{said}");
    let mut managed = run_document(built());
    managed["metadata"]["name"] = json!("managed");
    managed["spec"]["managedBy"] = json!("example.com/queue");
    yard.put(managed);
    has(
        &yard.next(&yard.reference("taskrun", "managed"), &[]),
        &["it is left alone: example.com/queue manages it"],
    );
    yard.configure(&json!({"artifacts.taskrun.format": "slsa/v9"}));
    has(
        &yard.explain(&reference, &[]),
        &[
            "chains-config cannot be used: ",
            "slsa/v9",
            "by Chains' defaults key ",
            "by Chains' defaults place annotation ",
        ],
    );
}

#[test]
fn a_pipelinerun_tells_which_children_it_waits_for() {
    let Some(yard) = Yard::new() else { return };
    yard.lead("2099-01-01T00:00:00.000000Z");
    yard.configure(&json!({}));
    let name = yard.pipeline_run(&Pipeline::nowhere());
    let reference = yard.reference("pipelinerun", &name);
    assert_eq!(yard.next(&reference, &[]), "it will be signed");
    let path = yard.object("tekton.dev/v1", "TaskRun", "app-7xk2p-clone");
    yard.api.patch(
        &format!("{path}/status"),
        &json!({"status": {"completionTime": null}}),
    );
    assert_eq!(
        yard.next(&reference, &[]),
        "it waits for children: app-7xk2p-clone"
    );
    yard.api.delete(&path);
    has(
        &yard.next(&reference, &[]),
        &["it fails, because children are missing or no TaskRuns (app-7xk2p-clone)"],
    );
    let said = yard.explain(&reference, &[]);
    has(
        &said,
        &["a controller does without those that are gone where tekseal.missing-children is attest"],
    );
    assert!(!said.contains("--allow-missing-children"), "{said}");
    yard.configure(&json!({"tekseal.missing-children": "attest"}));
    let said = yard.explain_json(&reference, &[]);
    assert_eq!(
        said["onCluster"]["next"],
        "it will be signed without its children app-7xk2p-clone"
    );
    assert_eq!(said["wouldSign"], true);
}

#[test]
fn what_a_run_waits_for_its_key_and_its_deletion_are_told() {
    let Some(yard) = Yard::new() else { return };
    yard.lead("2099-01-01T00:00:00.000000Z");
    yard.configure(&json!({}));
    let namespace = &yard.namespace;
    let mut document = run_document(built());
    document["metadata"]["finalizers"] = json!(["chains.tekton.dev/taskrun"]);
    document["metadata"]["name"] = json!("build");
    yard.put(document);
    let reference = yard.reference("taskrun", "build");
    let problem = "there is no key at /etc/signing-secrets";
    yard.annotate(
        "TaskRun",
        "build",
        &json!({REASON: format!("not signed yet: {problem}"), RETRIES: "3"}),
    );
    assert_eq!(
        yard.next(&reference, &[]),
        format!("it is not signed before this is over: {problem}")
    );
    let delayed = "not signed yet, tried again later: 503";
    yard.annotate("TaskRun", "build", &json!({REASON: delayed}));
    assert_eq!(
        yard.next(&reference, &[]),
        "it is tried again: at least 4 attempts failed"
    );

    // The key of the namespace, by name and by its labels, which not everybody may read.
    let rules = format!("team=blue: k8s://blue/k\n{namespace}: k8s://{namespace}/own");
    yard.configure(&json!({"tekseal.keys": rules, "artifacts.taskrun.storage": "tekton"}));
    let own = format!("k8s://{namespace}/own (tekseal.keys)");
    let said = yard.explain_json(&reference, &[]);
    assert_eq!(said["items"][0]["key"], own);
    assert!(!said.to_string().contains("places are"), "{said}");
    has(
        &yard.explain(&reference, &[]),
        &[&format!("    key {own}\n")],
    );
    yard.api.patch(
        &format!("/api/v1/namespaces/{namespace}"),
        &json!({"metadata": {"labels": {"team": "blue"}}}),
    );
    let said = yard.explain_json(&reference, &[]);
    assert_eq!(said["items"][0]["key"], "k8s://blue/k (tekseal.keys)");
    let rules = json!([
        {"apiGroups": ["tekton.dev"], "resources": ["taskruns"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]);
    let kubeconfig = yard.kubeconfig_with("reader", &rules);
    let said = yard
        .tool("tekseal-explain")
        .args([&reference, "--system-namespace", namespace])
        .env("KUBECONFIG", kubeconfig)
        .ok();
    let unknown = format!(
        "    key k8s://blue/k if the namespace has the labels team=blue, which is not known here, else {own}\n"
    );
    let unread = format!("  not read: cannot read Namespace {namespace}: ");
    has(&said.stdout, &[&unknown, &unread]);

    yard.api
        .delete(&yard.object("tekton.dev/v1", "TaskRun", "build"));
    assert_eq!(
        yard.next(&reference, &[]),
        "it is being deleted, and held back for its signature, ten minutes at most; it is tried again: at least 4 attempts failed"
    );
    yard.api.patch(
        &yard.object("tekton.dev/v1", "TaskRun", "build"),
        &json!({"metadata": {"finalizers": null}}),
    );
}

#[test]
fn where_nothing_of_a_controller_is_found_the_flags_that_say_where_are_told() {
    let Some(yard) = Yard::new() else { return };
    yard.task_run("build", built());
    let reference = yard.reference("taskrun", "build");
    let hint = "--system-namespace openshift-pipelines --config-from tektonconfig/config";
    has(&yard.explain(&reference, &[]), &[hint]);
    yard.configure(&json!({}));
    let said = yard.explain(&reference, &[]);
    assert!(!said.contains(hint), "{said}");
}

#[test]
fn a_record_is_verified_with_the_keys_that_a_rotation_kept() {
    let Some(yard) = Yard::new() else { return };
    let key = format!("k8s://{}/signing", yard.namespace);
    let (private, public) = plain_key();
    let text = |path| fs::read_to_string(path).expect("it is there");
    yard.api.create(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "signing", "namespace": yard.namespace},
        "stringData": {"cosign.key": text(private), "cosign.pub": text(public), "cosign.password": ""},
    }));
    let run = yard.task_run("build", built());
    let record = record(&run["metadata"]["uid"], Outcome::Signed);
    yard.annotate("TaskRun", "build", &json!({SIGNED: "true", RECORD: record}));
    yard.tool("tekseal-keygen").args([&key, "--rotate"]).ok();
    let said = yard.explain_json(&yard.reference("taskrun", "build"), &["--key", &key]);
    assert_eq!(said["record"]["verdict"], "verified", "{said}");
}

#[test]
fn whoever_may_only_read_runs_is_told_what_was_not_read() {
    let Some(yard) = Yard::new() else { return };
    yard.task_run("build", built());
    let rules = json!([{"apiGroups": ["tekton.dev"], "resources": ["taskruns"], "verbs": ["get"]}]);
    let kubeconfig = yard.kubeconfig_with("reader", &rules);
    let said = yard
        .tool("tekseal-explain")
        .arg(yard.reference("taskrun", "build"))
        .env("KUBECONFIG", &kubeconfig)
        .ok();
    has(
        &said.stdout,
        &[
            "2 payloads would be signed; by Chains' defaults, since the configuration is not known\n",
            "  configuration: not known, because ConfigMap tekton-chains/chains-config could not be read; Chains' defaults are explained\n",
            "next: it will be signed; that is by Chains' defaults, since the configuration is not known; whether a controller is there is not known\n",
            "    by Chains' defaults key ",
            "    by Chains' defaults place annotation ",
            "  controller: not known, because its Lease could not be read\n",
            "    not known which Secrets it has, nor whether registries are asked with credentials",
            "  Events: not known, because they could not be listed",
            "not read: cannot read ConfigMap tekton-chains/chains-config: the API server answered 403",
            "not read: cannot list Events of ConfigMap tekton-chains/chains-config",
            "not read: cannot list Events of TaskRun",
            "not read: cannot read Lease tekton-chains/tekseal-controller",
            "not read: cannot read ServiceAccount",
            "; ask for the rights of the ClusterRole tekseal-explain in the namespace of the run (deploy/rbac-steps.yaml)\n",
            "; ask for the rights of the ClusterRole tekseal-explain-system in the namespace of the controller (deploy/rbac-steps.yaml)\n",
        ],
    );
    for wrong in ["without credentials", "    key ", "    place "] {
        assert!(!said.stdout.contains(wrong), "{wrong}: {}", said.stdout);
    }
    let said = yard
        .tool("tekseal-explain")
        .args([&yard.reference("taskrun", "build"), "-o", "json"])
        .env("KUBECONFIG", &kubeconfig)
        .ok();
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let cluster = &said["onCluster"];
    assert_eq!(cluster["explained"], "defaults");
    for unknown in ["registrySecrets", "events"] {
        assert_eq!(cluster[unknown], Value::Null, "{unknown}");
    }
}

#[test]
fn a_configuration_that_the_controller_refuses_is_not_told_as_if_it_held() {
    let Some(yard) = Yard::new() else { return };
    let namespace = &yard.namespace;
    yard.lead("2099-01-01T00:00:00.000000Z");
    yard.task_run("build", built());
    let reference = yard.reference("taskrun", "build");
    let tell = |name: &str, kind: &str, reason: &str, at: &str, note: &str| {
        yard.api.create(&json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "name": "chains-config", "namespace": namespace},
            "type": kind, "reason": reason, "message": note, "count": 1,
            "reportingComponent": "tekseal-controller", "lastTimestamp": at,
        }));
    };
    tell(
        "old",
        "Warning",
        "BadConfiguration",
        "2026-03-01T09:00:00Z",
        "old",
    );
    tell(
        "good",
        "Normal",
        "GoodConfiguration",
        "2026-03-01T09:30:00Z",
        "good",
    );
    for (key, value) in [
        ("artifacts.oci.storage", "gcs"),
        ("tekseal.retry_for", "1h"),
        ("signers.cosign.key", "env://KEY"),
        ("tekseal.timestamp.urls", "http://tsa.example"),
    ] {
        yard.configure(&json!({(key): value}));
        let said = yard.explain(&reference, &[]);
        has(
            &said,
            &[
                &format!("  configuration: ConfigMap {namespace}/chains-config cannot be used: "),
                "; by a configuration that tekseal's controller does not use\n",
                "tekseal's controller goes on with the last good one that it has read",
                &format!(
                    "; that is by the last good configuration, and if the controller has none, not before ConfigMap {namespace}/chains-config is mended"
                ),
            ],
        );
        let configuration = said.lines().find(|line| line.contains("configuration: "));
        let names = match key {
            "signers.cosign.key" => "env://KEY",
            "tekseal.timestamp.urls" => "tekseal.trusted-root",
            key => key,
        };
        assert!(
            configuration.is_some_and(|line| line.contains(names)),
            "{said}"
        );
        assert!(
            !said.contains("BadConfiguration"),
            "it was good since: {said}"
        );
        yard.configure(&json!({}));
    }
    let said = yard.explain_json(&reference, &[]);
    assert_eq!(said["onCluster"]["explained"], "in-force", "{said}");
    assert_eq!(said["onCluster"]["configurationEvents"], json!([]));

    tell(
        "new",
        "Warning",
        "BadConfiguration",
        "2026-03-01T10:00:00Z",
        "the configuration\ncannot be used",
    );
    let event = "    Event 2026-03-01T10:00:00Z BadConfiguration by tekseal-controller: the configuration cannot be used\n";
    has(
        &yard.explain(&reference, &[]),
        &[
            event,
            "  the controller refused the configuration at 2026-03-01T10:00:00Z, and nothing is found wrong with it as it is now",
        ],
    );
    yard.configure(&json!({"artifacts.taskrun.format": "slsa/v9"}));
    let said = yard.explain(&reference, &[]);
    has(&said, &[event, "slsa/v9"]);
    assert!(!said.contains("nothing is found wrong"), "{said}");
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(
        at("cannot be used") < at("\nresults\n"),
        "it comes first: {said}"
    );
    let said = yard.explain_json(&reference, &[]);
    assert_eq!(said["onCluster"]["explained"], "defaults");
    assert_eq!(
        said["onCluster"]["configurationEvents"][0]["reason"],
        "BadConfiguration"
    );
}

#[test]
fn a_run_that_is_signed_is_not_told_as_if_it_were_still_to_be() {
    let Some(yard) = Yard::new() else { return };
    yard.configure(&json!({}));
    yard.lead("2099-01-01T00:00:00.000000Z");
    let name = yard.pipeline_run(&Pipeline::nowhere());
    let reference = yard.reference("pipelinerun", &name);
    let gap = "a PipelineRun's results give no image signatures";
    yard.annotate("PipelineRun", &name, &json!({REASON: gap}));
    has(
        &yard.explain(&reference, &[]),
        &[
            "\n  1 payload would be signed\n",
            &format!("  reason on the run: {gap}\n"),
        ],
    );
    yard.annotate("PipelineRun", &name, &json!({SIGNED: "true"}));
    has(
        &yard.explain(&reference, &[]),
        &[
            "\n  marked as signed; if it were signed anew: 1 payload would be signed\n",
            &format!("  left out when it was signed: {gap}\n"),
        ],
    );
    // A forged mark is none.
    let (_, public) = plain_key();
    let key = ["--key", public.to_str().expect("UTF-8")];
    yard.annotate("PipelineRun", &name, &json!({RECORD: "{}"}));
    has(
        &yard.explain(&reference, &key),
        &["\n  1 payload would be signed\n", "reason on the run: "],
    );
}
