//! What the configuration decides: children, keys, storages, who is asked, whose runs are signed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tekseal_core::marks::Record;
use tekseal_harness::{PASSWORD, Registry, Run, USER, fixtures, object_path};

use super::stand::{REASON, RECORD, SIGNED, Stand, annotation, results_at, serve_tekton_configs};

const OCI: &[(&str, &str)] = &[
    ("artifacts.taskrun.format", "slsa/v1"),
    ("artifacts.taskrun.storage", "oci"),
    ("artifacts.pipelinerun.format", "slsa/v2alpha4"),
    ("artifacts.pipelinerun.storage", "oci"),
    ("artifacts.pipelinerun.enable-deep-inspection", "true"),
];

/// A PipelineRun that goes on, with a child TaskRun for each name.
fn pipeline(stand: &Stand, children: &[&str]) -> (Value, Vec<Value>) {
    let run = stand.api.create(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "ci", "namespace": stand.builds},
        "spec": {"pipelineRef": {"name": "ci"}},
    }));
    let owner = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "ci",
        "uid": run["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true});
    let child = |name: &&str| {
        stand.api.create(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": format!("ci-{name}"), "namespace": stand.builds, "ownerReferences": [owner],
                "labels": {"tekton.dev/pipelineRun": "ci", "tekton.dev/pipelineTask": name}},
            "spec": {"taskRef": {"name": name}},
        }))
    };
    (run, children.iter().map(child).collect())
}

fn end_pipeline(stand: &Stand, run: &Value, children: &[&str]) -> Value {
    let references: Vec<_> = children
        .iter()
        .map(|name| json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": format!("ci-{name}"), "pipelineTaskName": name}))
        .collect();
    let tasks: Vec<_> = children
        .iter()
        .map(|name| json!({"name": name, "taskRef": {"name": name}}))
        .collect();
    let status = json!({"status": {
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed"}],
        "startTime": "2026-03-01T10:00:00Z", "completionTime": "2026-03-01T10:02:00Z",
        "childReferences": references, "pipelineSpec": {"tasks": tasks},
    }});
    stand
        .api
        .patch(&format!("{}/status", object_path(run)), &status)
}

#[test]
fn a_pipeline_run_is_signed_after_its_children_and_speaks_of_their_images() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let (run, children) = pipeline(&stand, &["clone", "build"]);
    let run = end_pipeline(&stand, &run, &["clone", "build"]);
    stand.complete(children[0].clone(), json!([]));
    stand.wait_marked(&children[0]);
    assert_eq!(
        annotation(&stand.wait(&run, |_| true), SIGNED),
        None,
        "a child goes on"
    );
    stand.complete(children[1].clone(), stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    // Only the PipelineRun's provenance is of this version, and only its child names the image.
    stand
        .verify(&stand.image())
        .args(["--type", "slsaprovenance1"])
        .ok();
}

#[test]
fn a_missing_child_fails_its_pipeline_run_or_is_told_as_the_rule_says() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let (run, children) = pipeline(&stand, &["build"]);
    stand.complete(children[0].clone(), stand.image_results());
    stand.wait_marked(&children[0]);
    let run = end_pipeline(&stand, &run, &["build", "gone"]);
    let failed = stand.wait_marked(&run);
    assert_eq!(annotation(&failed, SIGNED), Some("failed"));
    let reason = annotation(&failed, REASON).expect("it says why");
    assert!(reason.contains("ci-gone was not found"), "{reason}");

    stand.configure(&[OCI, &[("tekseal.missing-children", "attest")]].concat());
    let none = json!({SIGNED: null, RECORD: null, REASON: null});
    let path = object_path(&run);
    stand
        .api
        .patch(&path, &json!({"metadata": {"annotations": none}}));
    let signed = |run: &Value| annotation(run, SIGNED) == Some("true");
    let run = stand.wait(&run, signed);
    let reason = annotation(&run, REASON).expect("the gap is told");
    assert!(reason.contains("left out: TaskRun ci-gone"), "{reason}");
}

#[test]
fn a_deleted_child_stays_until_its_pipeline_run_is_attested() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let (run, children) = pipeline(&stand, &["build"]);
    let held = |run: &Value| run["metadata"]["finalizers"].is_array();
    let child = stand.wait(&children[0], held);
    stand.complete(child.clone(), stand.image_results());
    stand.wait_marked(&child);
    stand.api.delete(&object_path(&child));
    // What came later is done with, so the deletion was looked at while the PipelineRun goes on.
    let later = stand.completed("later", json!([]));
    stand.wait_marked(&later);
    assert!(
        stand.api.get(&object_path(&child)).is_some(),
        "it is needed"
    );
    let run = end_pipeline(&stand, &run, &["build"]);
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    stand.wait_gone(&child);
}

#[test]
fn keys_are_read_from_secrets_and_namespaces_have_their_own() {
    let Some(stand) = Stand::new() else { return };
    let secret = |namespace: &str, file: &str| {
        let pem =
            fs::read_to_string(fixtures().join("keys").join(file)).expect("the fixture is there");
        stand.api.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing", "namespace": namespace},
            "stringData": {"cosign.key": pem},
        }));
    };
    let prefix = stand.path("pair");
    Run::tool("tekseal-keygen")
        .arg("--output-key-prefix")
        .arg(&prefix)
        .env("COSIGN_PASSWORD", "")
        .ok();
    secret(&stand.system, "plain.pem");
    let own = fs::read_to_string(prefix.with_extension("key")).expect("it was made");
    stand.api.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", "namespace": stand.builds},
        "stringData": {"cosign.key": own, "cosign.password": ""},
    }));
    fs::remove_file(stand.keys().join("x509.pem")).expect("it is there");
    let platform = format!("k8s://{}/signing", stand.system);
    let rule = format!("{}: k8s://{}/own", stand.builds, stand.builds);
    stand.configure(&[OCI, &[("signers.cosign.key", &platform)]].concat());
    let _controller = stand.start();
    let run = stand.completed("platform", stand.image_results());
    let platform_run = stand.wait_marked(&run);
    stand.verify(&stand.image()).ok();

    stand.configure(
        &[
            OCI,
            &[
                ("signers.cosign.key", platform.as_str()),
                ("tekseal.keys", &rule),
            ],
        ]
        .concat(),
    );
    let digest = stand.registry.push_image("team/own", "1").digest;
    let image = stand.registry.reference("team/own", &digest);
    let signed = (0..20).find_map(|i| {
        let run = stand.completed(&format!("own-{i}"), stand.results_of("team/own", &digest));
        let run = stand.wait_marked(&run);
        let with_own_key = Run::tool("tekseal-verify")
            .arg("--key")
            .arg(prefix.with_extension("pub"))
            .arg(&image)
            .run();
        (with_own_key.code() == Some(0)).then_some(run)
    });
    let signed = signed.expect("the namespace's own key signs");
    // The platform's key vouches for it, and names it.
    let of_key = |public: &Path| {
        let told = Run::tool("tekseal-keys").args(["public", "--output", "json"]);
        let told = told.arg(public).ok().json();
        told["id"].as_str().expect("a text").to_owned()
    };
    let own = of_key(&prefix.with_extension("pub"));
    let record = |run: &Value| {
        let record = annotation(run, RECORD).expect("it is recorded");
        Record::parse(record).expect("it is one")
    };
    let of_signed = record(&signed);
    assert_ne!(of_signed.keyid, own);
    assert_eq!(of_signed.record.keys, [own]);
    let of_platform = record(&platform_run);
    assert_eq!(of_platform.keyid, of_signed.keyid);
    assert_eq!(of_platform.record.keys, Vec::<String>::new());
}

#[test]
fn the_storage_tekton_and_pointers_above_its_limit() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[
        ("artifacts.taskrun.storage", "tekton,oci"),
        ("artifacts.oci.storage", "oci"),
    ]);
    let _controller = stand.start();
    let mut results = stand.image_results();
    // Their values stand in no payload of this format: it is the subjects that make it large.
    for i in 0..300 {
        let value = format!("{}/team/app", stand.registry.address());
        results.as_array_mut().expect("a list").extend([
            json!({"name": format!("a{i}-ARTIFACT_URI"), "type": "string", "value": format!("pkg:generic/{}/{value}/{i}", "x".repeat(500))}),
            json!({"name": format!("a{i}-ARTIFACT_DIGEST"), "type": "string", "value": stand.digest}),
        ]);
    }
    let run = stand.completed("large", results);
    let run = stand.wait_marked(&run);
    assert_eq!(
        annotation(&run, SIGNED),
        Some("true"),
        "{:?}",
        annotation(&run, REASON)
    );
    let uid = run["metadata"]["uid"].as_str().expect("it has one");
    assert_eq!(
        annotation(&run, &format!("chains.tekton.dev/payload-taskrun-{uid}")),
        None
    );
    let pointer =
        annotation(&run, &format!("tekseal.dev/pointer-taskrun-{uid}")).expect("a pointer");
    assert!(pointer.contains(".att"), "{pointer}");
}

#[test]
fn a_registry_is_shown_the_secrets_of_the_service_account() {
    let Some(stand) = Stand::new() else { return };
    let registry = Registry::setup().with_basic_auth().start();
    let digest = registry.push_image("team/app", "1").digest;
    let listed = format!("{},{}", stand.registry.address(), registry.address());
    stand.configure(&[OCI, &[("tekseal.registries", &listed)]].concat());
    let login = |user: &str, password: &str| {
        json!({"auths": {registry.address(): {"username": user, "password": password}}}).to_string()
    };
    // The first is refused; the second is tried after it.
    for (name, login) in [
        ("wrong", login("nobody", "nothing")),
        ("right", login(USER, PASSWORD)),
    ] {
        stand.api.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": name, "namespace": stand.builds},
            "stringData": {".dockerconfigjson": login},
        }));
    }
    let account = format!(
        "/api/v1/namespaces/{}/serviceaccounts/default",
        stand.builds
    );
    stand.api.patch(
        &account,
        &json!({"secrets": [{"name": "wrong"}, {"name": "right"}]}),
    );
    let _controller = stand.start();
    let run = stand.completed("build", results_at(registry.address(), "team/app", &digest));
    let run = stand.wait_marked(&run);
    assert_eq!(
        annotation(&run, SIGNED),
        Some("true"),
        "{:?}",
        annotation(&run, REASON)
    );
    assert_eq!(registry.tags("team/app").len(), 3);
}

#[test]
fn results_do_not_choose_where_the_controller_connects() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[OCI, &[("tekseal.registries", "registry.example.com")]].concat());
    let _controller = stand.start();
    let api = stand.api.url().replace("https://", "");
    for (name, registry) in [
        ("loopback", stand.registry.address()),
        ("metadata", "169.254.169.254"),
        ("api", &api),
    ] {
        let run = stand.completed(name, results_at(registry, "team/app", &stand.digest));
        let told = |run: &Value| annotation(run, REASON).is_some();
        let run = stand.wait(&run, told);
        assert_ne!(annotation(&run, SIGNED), Some("true"));
    }
    assert_eq!(stand.registry.tags("team/app"), ["1"]);
}

#[test]
fn runs_that_did_not_succeed_are_skipped_where_the_rule_says_so() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[OCI, &[("tekseal.unsuccessful-runs", "skip")]].concat());
    let _controller = stand.start();
    let run = stand.created("failed");
    let status = json!({"status": {
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed"}],
        "podName": "pod", "completionTime": "2026-03-01T10:02:00Z", "results": stand.image_results(),
    }});
    stand
        .api
        .patch(&format!("{}/status", object_path(&run)), &status);
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("nothing"));
    assert_eq!(stand.registry.tags("team/app"), ["1"]);
}

#[test]
fn a_tekton_config_is_followed_where_no_operator_copies_it() {
    let Some(stand) = Stand::new() else { return };
    let collection = serve_tekton_configs(stand.api);
    let name = format!("config-{}", stand.builds);
    let config = json!({
        "apiVersion": "operator.tekton.dev/v1alpha1", "kind": "TektonConfig", "metadata": {"name": name},
        "spec": {"chain": {
            "artifacts.taskrun.format": "slsa/v1", "artifacts.taskrun.storage": "oci",
            "artifacts.pipelinerun.format": "slsa/v1", "artifacts.pipelinerun.storage": "oci",
            "artifacts.pipelinerun.enable-deep-inspection": "true",
            "artifacts.oci.format": "simplesigning", "artifacts.oci.storage": "oci",
            "transparency.enabled": "false", "generateSigningSecret": true,
            "tekseal.registries": stand.registry.address(),
        }},
    });
    stand.api.create(&config);
    let _controller = stand
        .command()
        .args(["--config-from", &format!("tektonconfig/{name}")])
        .start();
    let run = stand.completed("build", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    stand.verify(&stand.image()).ok();
    // As the guide's `oc patch` does it.
    stand.api.patch(
        &format!("{collection}/{name}"),
        &json!({"spec": {"chain": {"artifacts.taskrun.storage": "tekton"}}}),
    );
    let changed = (0..20).any(|i| {
        let run = stand.completed(&format!("patched-{i}"), json!([]));
        let run = stand.wait_marked(&run);
        run["metadata"]["annotations"]
            .to_string()
            .contains("chains.tekton.dev/payload-taskrun-")
    });
    assert!(changed, "the patch was not followed");
}
