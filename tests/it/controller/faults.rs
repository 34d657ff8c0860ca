//! What goes wrong on the way: each run ends signed exactly once, or failed with its reason.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Registry, Request, Run, lasting_port, object_path, request};

use super::replicas::Replica;
use super::stand::{
    CONTROLLER, OCI, PATIENCE, REASON, RECORD, SIGNED, Stand, annotation, is_signed_once, layers,
    replace, results_at, time, with_needs,
};
use crate::workshop::plain_key;

fn switch() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

#[test]
fn a_controller_killed_at_any_moment_goes_on_where_it_was() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let runs: Vec<_> = (0..12)
        .map(|i| {
            let repository = format!("team/app-{i}");
            let digest = stand.registry.push_image(&repository, "1").digest;
            let results = stand.results_of(&repository, &digest);
            let run = stand.completed(&format!("build-{i}"), results);
            (run, repository, digest)
        })
        .collect();
    // Start-up, listing, key, first uploads, manifests, marks: the moments differ from machine to machine, so there are many.
    for milliseconds in [20, 60, 90, 120, 150, 180, 210, 250, 300, 360] {
        let controller = stand.start();
        std::thread::sleep(Duration::from_millis(milliseconds));
        controller.signal("KILL");
        let _ = controller.wait();
    }
    let _controller = stand.start();
    for (run, repository, digest) in &runs {
        let run = stand.wait_marked(run);
        is_signed_once(&run, &stand.registry, repository, digest);
    }
}

#[test]
fn a_registry_that_fails_is_waited_for() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_ill = switch();
    let ill = Arc::clone(&is_ill);
    proxy
        .when(move |seen| seen.is("PUT", "/manifests/") && ill.load(Ordering::Relaxed))
        .answer(503, &[], b"");
    let _controller = stand.start();
    let run = stand.completed("build", results);
    let told = |run: &Value| annotation(run, REASON).is_some_and(|reason| reason.contains("503"));
    let waiting = stand.wait(&run, told);
    assert_eq!(annotation(&waiting, SIGNED), None);
    assert_eq!(annotation(&waiting, "chains.tekton.dev/retries"), Some("0"));
    let ours = json!(["chains.tekton.dev/taskrun"]);
    assert_eq!(waiting["metadata"]["finalizers"], ours, "it is not lost");
    stand.wait_event(&run, "SigningDelayed");
    stand.api.delete(&object_path(&run));
    let deleted = |run: &Value| run["metadata"]["deletionTimestamp"].is_string();
    stand.wait(&run, deleted);
    is_ill.store(false, Ordering::Relaxed);
    stand.wait_gone(&run);
    for suffix in ["sig", "att"] {
        let found = layers(&stand.registry, "team/app", &stand.digest, suffix);
        assert_eq!(found, 1, "{suffix}");
    }
}

#[test]
fn a_run_that_is_gone_before_it_is_signed_is_told() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let held = proxy
        .on("PUT", "/manifests/")
        .hold(tekseal_harness::Moment::BeforeForwarding);
    let run = stand.completed("build", results);
    let replica = Replica::leading(&stand, Run::tool(CONTROLLER));
    held.wait_until_held();
    stand.api.delete(&object_path(&run));
    stand.wait_gone(&run);
    held.release();
    let namespace = &stand.builds;
    let metric =
        format!(r#"tekseal_runs_failed_total{{reason="gone_unsigned",namespace="{namespace}"}} 1"#);
    let (_, said) = replica.until(&metric).end("TERM");
    assert!(
        said.contains("run is gone before it was signed and marked"),
        "{said}"
    );
}

#[test]
fn a_registry_that_is_gone_is_waited_for() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_gone = switch();
    let gone = Arc::clone(&is_gone);
    proxy.when(move |_| gone.load(Ordering::Relaxed)).refuse();
    let _controller = stand.start();
    let run = stand.completed("build", results);
    let told = |run: &Value| annotation(run, REASON).is_some();
    let waiting = stand.wait(&run, told);
    assert_eq!(annotation(&waiting, SIGNED), None);
    is_gone.store(false, Ordering::Relaxed);
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
fn an_api_server_that_restarts_is_waited_for() {
    let Some(mut api) = ApiServer::start() else {
        return;
    };
    let registry = Registry::start();
    let digest = registry.push_image("team/app", "1").digest;
    let (system, builds) = (api.namespace(), api.namespace());
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(plain_key().0, folder.path().join("x509.pem")).expect("it is there");
    api.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "chains-config", "namespace": system},
        "data": {"artifacts.taskrun.storage": "oci", "tekseal.registries": registry.address()},
    }));
    let command = Run::tool(CONTROLLER);
    let command = with_needs(command, &api, &system, &builds, folder.path());
    let address = format!("127.0.0.1:{}", lasting_port());
    let controller = command
        .args(["--leader-elect=false", "--listen", &address])
        .timeout(Duration::from_secs(300))
        .start();
    let create = |api: &ApiServer, name: &str| {
        let mut run = api.create(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "namespace": builds},
            "spec": {"taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]}},
        }));
        run["status"] = json!({
            "conditions": [{"type": "Succeeded", "status": "True"}], "podName": "pod",
            "completionTime": "2026-03-01T10:01:00Z",
            "results": results_at(registry.address(), "team/app", &digest),
        });
        api.put_status(&run)
    };
    let run = create(&api, "before");
    api.wait_within(PATIENCE, &object_path(&run), |run| {
        annotation(run, SIGNED).is_some()
    });
    api.stop();
    std::thread::sleep(Duration::from_secs(2));
    api.restart();
    let run = create(&api, "after");
    let run = api.wait_within(PATIENCE, &object_path(&run), |run| {
        annotation(run, SIGNED).is_some()
    });
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    let figures = request(&address, &Request::new("GET", "/metrics"));
    let figures = figures.expect("it answers").text();
    let errors = figures
        .lines()
        .find_map(|line| line.strip_prefix("tekseal_watch_errors_total "));
    let errors: u32 = errors.and_then(|n| n.parse().ok()).expect("a number");
    assert!(errors >= 2, "both watches broke: {errors}");
    controller.signal("TERM");
    let said = controller.wait().stderr;
    assert!(said.contains("the watch of runs is broken"), "{said}");
    assert!(!said.contains("kube_client::client::builder"), "{said}");
}

#[test]
fn a_second_writer_on_the_run_is_no_hindrance() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let held = proxy
        .on("PUT", "/manifests/")
        .hold(tekseal_harness::Moment::BeforeForwarding);
    let _controller = stand.start();
    let run = stand.created("build");
    // With a finalizer to take off, the change is bound to the version that was read.
    let run = stand.wait(&run, |run| run["metadata"]["finalizers"].is_array());
    let run = stand.complete(run, results);
    held.wait_until_held();
    let path = object_path(&run);
    stand.api.patch(&path, &json!({"metadata": {"annotations": {"other.dev/a": "b"}, "finalizers": ["other.dev/keep", "chains.tekton.dev/taskrun"]}}));
    held.release();
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
    assert_eq!(annotation(&run, "other.dev/a"), Some("b"));
    assert_eq!(run["metadata"]["finalizers"], json!(["other.dev/keep"]));
}

#[test]
fn a_wrong_password_is_waited_out() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let (key, password) = (
        stand.keys().join("cosign.key"),
        stand.keys().join("cosign.password"),
    );
    fs::remove_file(stand.keys().join("x509.pem")).expect("it is there");
    let prefix = stand.path("pair");
    Run::tool("tekseal-keygen")
        .arg("--output-key-prefix")
        .arg(&prefix)
        .env("COSIGN_PASSWORD", "right")
        .ok();
    fs::copy(prefix.with_extension("key"), &key).expect("it was made");
    fs::write(&password, "hunter-2-and-a-half").expect("the folder is ours");
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let told =
        |run: &Value| annotation(run, REASON).is_some_and(|reason| reason.contains("password"));
    let waiting = stand.wait(&run, told);
    assert_eq!(annotation(&waiting, SIGNED), None);
    assert!(
        !waiting.to_string().contains("hunter-2"),
        "a password must not be told"
    );
    replace(&password, "right");
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
fn a_broken_configuration_leaves_the_last_good_one() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let run = stand.completed("first", json!([]));
    stand.wait_marked(&run);
    stand.configure(&[("artifacts.taskrun.format", "slsa/v9")]);
    let run = stand.completed("second", stand.image_results());
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
    stand.configure(&[
        ("artifacts.taskrun.storage", "tekton"),
        ("artifacts.oci.storage", ""),
    ]);
    // Until the change has arrived the last good one holds.
    let stored = |run: &Value| {
        let uid = run["metadata"]["uid"].as_str().unwrap_or_default();
        let key = format!("chains.tekton.dev/payload-taskrun-{uid}");
        annotation(run, &key).is_some()
    };
    let changed = (0..20).any(|i| {
        let run = stand.completed(&format!("third-{i}"), json!([]));
        stored(&stand.wait_marked(&run))
    });
    assert!(changed, "the mended configuration was not followed");
}

#[test]
fn a_start_with_a_broken_configuration_leaves_finished_runs_as_they_are() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let controller = stand.start();
    let signed = stand.completed("signed", stand.image_results());
    let absent = format!("sha256:{}", "0".repeat(64));
    let failed = stand.completed("failed", stand.results_of("team/app", &absent));
    let finished = [signed, failed].map(|run| stand.wait_marked(&run));
    let reason = annotation(&finished[1], REASON).expect("it says why");
    assert!(reason.contains("is not in its registry"), "{reason}");
    controller.signal("TERM");
    let _ = controller.wait();

    stand.configure(&[("artifacts.taskrun.format", "slsa/v9")]);
    let waits = stand.completed("waits", stand.image_results());
    let _controller = stand.start();
    let told = |run: &Value| annotation(run, REASON).is_some_and(|text| text.contains("slsa/v9"));
    stand.wait(&waits, told);
    // What was there before it has been looked at by then.
    let later = stand.completed("later", stand.image_results());
    stand.wait(&later, told);
    stand.wait_event(&later, "SigningBlocked");
    for run in &finished {
        assert_eq!(&stand.wait(run, |_| true)["metadata"], &run["metadata"]);
    }
    stand.wait_event(&waits, "SigningBlocked");
    let mut events = stand.events();
    events.retain(|event| event["reason"] == "SigningBlocked");
    assert_eq!(events.len(), 2, "{events:#?}");
    stand.configure(OCI);
    for run in [waits, later] {
        let run = stand.wait_marked(&run);
        assert_eq!(annotation(&run, SIGNED), Some("true"));
    }
}

#[test]
fn a_run_deleted_while_it_is_signed_is_gone_only_when_it_is_signed() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let held = proxy
        .on("PUT", "/manifests/")
        .hold(tekseal_harness::Moment::BeforeForwarding);
    let _controller = stand.start();
    let run = stand.created("build");
    let run = stand.wait(&run, |run| run["metadata"]["finalizers"].is_array());
    let run = stand.complete(run, results);
    held.wait_until_held();
    stand.api.delete(&object_path(&run));
    assert!(
        stand.api.get(&object_path(&run)).is_some(),
        "our finalizer holds it"
    );
    held.release();
    stand.wait_gone(&run);
    for suffix in ["sig", "att"] {
        assert_eq!(
            layers(&stand.registry, "team/app", &stand.digest, suffix),
            1
        );
    }
}

#[test]
fn a_cluster_whose_clock_is_an_hour_off_gets_its_signatures() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    for (name, shift) in [("ahead", "+1 hour"), ("behind", "-1 hour")] {
        let time = time(shift);
        let repository = format!("team/{name}");
        let digest = stand.registry.push_image(&repository, "1").digest;
        let results = stand.results_of(&repository, &digest);
        let run = stand.complete_at(stand.created(name), results, &time);
        let run = stand.wait_marked(&run);
        is_signed_once(&run, &stand.registry, &repository, &digest);
        assert!(annotation(&run, RECORD).is_some());
    }
}
