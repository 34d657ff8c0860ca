//! `tekseal-wait`: when it returns, with which exit code and results, and what it refuses to wait for.

mod tasks;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Client, Output, Run, Running};

use super::Yard;
use crate::workshop::{Pipeline, Workshop, plain_key, run_document};

const SIGNED: &str = "chains.tekton.dev/signed";
const REASON: &str = "tekseal.dev/reason";

impl Yard {
    /// `tekseal-wait` with a folder for results.
    fn wait(&self, args: &[&str]) -> Run {
        let results = self.path("results");
        fs::create_dir_all(&results).expect("the folder is ours");
        self.tool("tekseal-wait")
            .args(args)
            .arg("--results")
            .arg(results)
    }

    /// The results SIGNED and REASON.
    fn results(&self) -> (String, String) {
        let read = |name: &str| {
            let text = fs::read_to_string(self.path("results").join(name));
            text.expect("it was written")
        };
        (read("SIGNED"), read("REASON"))
    }

    fn has_no_results(&self) -> bool {
        let folder = fs::read_dir(self.path("results"));
        folder.expect("it is there").next().is_none()
    }

    fn mark(&self, kind: &str, name: &str, annotations: Value) {
        let path = self.object("tekton.dev/v1", kind, name);
        self.api
            .patch(&path, &json!({"metadata": {"annotations": annotations}}));
    }

    /// Starts, and waits until the program watches.
    fn start(&self, run: Run) -> Running {
        let audit = self.api.audit();
        let running = run.start();
        until("it watches", || {
            audit
                .requests()
                .iter()
                .any(|r| r.verb == "watch" && r.namespace == self.namespace)
        });
        running
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The results of a run that built the image of the workshop.
fn results_of(shop: &Workshop) -> Value {
    json!([
        {"name": "IMAGE_URL", "value": format!("{}/team/app:1", shop.registry.address())},
        {"name": "IMAGE_DIGEST", "value": shop.digest},
    ])
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn it_returns_when_the_run_is_signed_and_verifies_what_was_signed() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let mut document = run_document(results_of(&shop));
    document["status"]["conditions"][0]["status"] = json!("Unknown");
    let running = yard.put(document);
    let reference = yard.reference("taskrun", "build-1");
    let waiting = yard.start(yard.wait(&[&reference, "--key", path(&public)]));
    let mut done = running;
    done["status"]["conditions"][0]["status"] = json!("True");
    yard.api.put_status(&done);
    yard.mark(
        "TaskRun",
        "build-1",
        json!({"chains.tekton.dev/retries": "0"}),
    );
    shop.attest(&key);
    yard.mark("TaskRun", "build-1", json!({SIGNED: "true"}));
    let said = waiting.wait().ok();
    assert!(
        said.stdout.contains("verified signature image="),
        "{said:?}"
    );
    assert!(
        said.stdout.contains("verified attestation image="),
        "{said:?}"
    );
    assert_eq!(yard.results(), ("true".to_owned(), String::new()));

    // It is signed already: no waiting. Also as JSON, and through the desk program.
    let said = yard
        .wait(&[&reference, "--key", path(&public), "-o", "json"])
        .ok();
    assert_eq!(said.json()[0]["image"], shop.image);
    yard.tool("tekseal")
        .args(["wait", &reference, "--key", path(&public)])
        .ok();
    let other = shop.key_pair("other").1;
    yard.wait(&[&reference, "--key", path(&other)])
        .fails_with(1)
        .says("is marked as signed: image ")
        .says("no valid signature");
    let (signed, reason) = yard.results();
    assert_eq!(signed, "unverified");
    assert!(reason.contains("no valid signature"), "{reason}");
}

#[test]
fn a_mark_without_a_signature_is_not_believed_unless_it_is_said() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let (_, public) = plain_key();
    yard.task_run("forged", results_of(&shop));
    yard.mark("TaskRun", "forged", json!({SIGNED: "true"}));
    yard.task_run("plain", json!([]));
    yard.mark("TaskRun", "plain", json!({SIGNED: "true"}));
    let forged = yard.reference("taskrun", "forged");
    let plain = yard.reference("taskrun", "plain");
    yard.wait(&[&forged, "--key", path(&public)])
        .fails_with(1)
        .says("no signature found");
    yard.wait(&[&plain, "--key", path(&public)])
        .fails_with(1)
        .says("its results name no image to verify");
    yard.wait(&[&forged, &plain, "--insecure-skip-verify"]).ok();
    assert_eq!(yard.results().0, "true");
}

#[test]
fn a_run_that_was_given_up_tells_why() {
    let Some(yard) = Yard::new() else { return };
    let (_, public) = plain_key();
    let run = yard.task_run("bad", json!([]));
    yard.mark(
        "TaskRun",
        "bad",
        json!({SIGNED: "failed", REASON: "the registry says no\u{1b}[2J\nexit 0"}),
    );
    let event = |name: &str, by: &str, note: &str| {
        yard.api.create(&json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": yard.namespace},
            "involvedObject": {
                "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "bad",
                "namespace": yard.namespace, "uid": run["metadata"]["uid"],
            },
            "type": "Warning", "reason": "SigningFailed", "message": note,
            "reportingComponent": by, "source": {"component": by},
            "lastTimestamp": "2026-03-01T10:05:00Z",
        }));
    };
    event("one", "tekseal-controller", "denied by policy");
    event("two", "tekton", "something else");
    let reference = yard.reference("taskrun", "bad");
    let said = yard
        .wait(&[&reference, "--key", path(&public)])
        .fails_with(1)
        .says("was given up: the registry says no")
        .says("last Event SigningFailed: denied by policy")
        .says(&format!("hint: tekseal-resign {reference} starts over"));
    assert!(!said.stderr.contains(['\u{1b}']), "{said:?}");
    assert!(!said.stderr.contains("something else"), "{said:?}");
    let (signed, reason) = yard.results();
    assert_eq!(signed, "failed");
    assert!(!reason.contains(['\u{1b}', '\n']), "{reason:?}");

    yard.task_run("none", json!([]));
    yard.mark("TaskRun", "none", json!({SIGNED: "nothing"}));
    yard.wait(&[&yard.reference("taskrun", "none"), "--key", path(&public)])
        .fails_with(1)
        .says("nothing was signed: no reason is given");
    assert_eq!(yard.results().0, "nothing");
}

#[test]
fn the_deadline_ends_it_and_says_how_far_the_run_is() {
    let Some(yard) = Yard::new() else { return };
    let mut running = run_document(json!([]));
    running["status"]["conditions"][0]["status"] = json!("Unknown");
    running["metadata"]["name"] = json!("running");
    yard.put(running);
    yard.task_run("ended", json!([]));
    yard.task_run("tried", json!([]));
    yard.mark(
        "TaskRun",
        "tried",
        json!({"chains.tekton.dev/retries": "2"}),
    );
    yard.task_run("odd", json!([]));
    yard.mark(
        "TaskRun",
        "odd",
        json!({SIGNED: "perhaps", REASON: "waits"}),
    );
    for (name, state) in [
        ("running", "is not signed in time: it has not ended"),
        ("ended", "it has ended, and nobody has signed it"),
        ("tried", "it has ended, and 3 attempts failed"),
        ("odd", "it has ended, but: waits"),
    ] {
        let reference = yard.reference("taskrun", name);
        yard.wait(&[&reference, "--insecure-skip-verify", "--timeout", "1s"])
            .fails_with(1)
            .says(state)
            .says(&format!("hint: tekseal-explain {reference}"));
        assert_eq!(yard.results().0, "timeout");
    }
}

#[test]
fn a_run_that_is_deleted_or_replaced_will_not_be_signed() {
    let Some(yard) = Yard::new() else { return };
    let reference = yard.reference("taskrun", "gone");
    let path = yard.object("tekton.dev/v1", "TaskRun", "gone");
    yard.task_run("gone", json!([]));
    let waiting = yard.start(yard.wait(&[&reference, "--insecure-skip-verify"]));
    yard.api.delete(&path);
    // Another one under its name is another run.
    yard.task_run("gone", json!([]));
    yard.mark("TaskRun", "gone", json!({SIGNED: "true"}));
    waiting
        .wait()
        .fails_with(1)
        .says("was deleted before it was signed");
    assert_eq!(yard.results().0, "failed");
    yard.wait(&[
        &yard.reference("taskrun", "absent"),
        "--insecure-skip-verify",
    ])
    .fails_with(1)
    .says("does not exist");
}

#[test]
fn all_runs_must_be_signed() {
    let Some(yard) = Yard::new() else { return };
    for name in ["one", "two"] {
        yard.task_run(name, json!([]));
    }
    let (one, two) = (
        yard.reference("taskrun", "one"),
        yard.reference("taskrun", "two"),
    );
    yard.mark("TaskRun", "two", json!({SIGNED: "true"}));
    let waiting = yard.start(yard.wait(&[&one, &two, "--insecure-skip-verify"]));
    yard.mark("TaskRun", "one", json!({SIGNED: "true"}));
    waiting.wait().ok();
    yard.mark("TaskRun", "two", json!({SIGNED: "failed"}));
    yard.wait(&[&one, &two, "--insecure-skip-verify"])
        .fails_with(1);
    assert_eq!(yard.results().0, "failed");
}

#[test]
fn of_a_pipelinerun_the_attestations_are_verified() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let digest = shop.registry.push_image("demo/app", "1.0").digest;
    let pipeline = Pipeline::of(shop.registry.address(), &digest);
    let name = yard.pipeline_run(&pipeline);
    let reference = yard.reference("pipelinerun", &name);
    let (key, public) = plain_key();
    yard.tool("tekseal-attest")
        .args(["--run", &reference, "--key", path(&key), "--config"])
        .arg(pipeline.path("chains-config.json"))
        .ok();
    yard.mark("PipelineRun", &name, json!({SIGNED: "true"}));
    let said = yard.wait(&[&reference, "--key", path(&public)]).ok();
    assert!(said.stdout.contains("verified attestation"), "{said:?}");
    assert!(!said.stdout.contains("verified signature"), "{said:?}");
    yard.wait(&[&reference, "--key", path(&public), "--only", "signature"])
        .fails_with(1)
        .says("no signature found");
}

#[test]
fn the_pipelinerun_that_waits_is_not_waited_for() {
    let Some(yard) = Yard::new() else { return };
    let name = yard.pipeline_run(&Pipeline::nowhere());
    let reference = yard.reference("pipelinerun", &name);
    let refused = |run: Run| {
        run.fails_with(2)
            .says("this step is a part of PipelineRun")
            .says("it would wait for ever")
    };
    let wait = || yard.wait(&[&reference, "--insecure-skip-verify", "--timeout", "1s"]);
    refused(wait().args(["--own-pipeline-run", &name]));
    refused(wait().env("TEKSEAL_PIPELINE_RUN", &name));
    refused(wait().args([
        "--own-pipeline-run",
        &name,
        "--own-namespace",
        &yard.namespace,
    ]));
    assert!(yard.has_no_results());
    wait()
        .args(["--own-pipeline-run", &name, "--own-namespace", "elsewhere"])
        .fails_with(1)
        .says("is not signed in time");

    // By the labels of the Pod that it is in.
    yard.api.create(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "waiter", "namespace": yard.namespace,
            "labels": {"tekton.dev/pipelineRun": name, "tekton.dev/taskRun": "app-7xk2p-clone"},
        },
        "spec": {"containers": [{"name": "step", "image": "example.com/step"}]},
    }));
    let mut config = kubeconfig(yard.api.kubeconfig().as_path());
    config["contexts"][0]["context"]["namespace"] = json!(yard.namespace);
    fs::write(yard.path("in-pod"), config.to_string()).expect("the folder is ours");
    let in_pod = |run: &str| {
        yard.wait(&[run, "--insecure-skip-verify", "--timeout", "1s"])
            .env("KUBECONFIG", yard.path("in-pod"))
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("HOSTNAME", "waiter")
    };
    refused(in_pod(&reference));
    in_pod(&yard.reference("taskrun", "app-7xk2p-clone"))
        .fails_with(2)
        .says("this step is a part of TaskRun");
    in_pod(&yard.reference("taskrun", "app-7xk2p-build"))
        .fails_with(1)
        .says("is not signed in time");
}

fn kubeconfig(path: &Path) -> Value {
    let bytes = fs::read(path).expect("it is there");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

#[test]
fn misuse_is_told_before_anything_is_asked() {
    let run = "k8s://a/taskrun/b";
    let image = format!("registry.example.com/team/a@sha256:{}", "a1".repeat(32));
    let (_, public) = plain_key();
    let public = path(&public);
    for (args, said) in [
        (&[][..], "nothing is given to wait for"),
        (&[run], "no key is given to verify with"),
        (
            &[run, "--image", &image, "--key", public],
            "runs and --image are both given",
        ),
        (
            &[run, "--key", public, "--insecure-skip-verify"],
            "forbids it",
        ),
        (
            &[run, "--key", public, "--timeout", "soon"],
            "is no duration",
        ),
        (&["a/b", "--key", public], "is no run in a cluster"),
        (
            &["--image", "registry.example.com/team/a:1", "--key", public],
            "give the image by digest",
        ),
        (&[run, "--key", "absent"], "reading key absent"),
    ] {
        Run::tool("tekseal-wait")
            .args(args)
            .fails_with(2)
            .says(said);
    }
}

#[test]
fn without_rights_or_a_server_it_does_not_wait() {
    let Some(yard) = Yard::new() else { return };
    yard.task_run("build", json!([]));
    let reference = yard.reference("taskrun", "build");
    let nobody = yard.kubeconfig_with("nobody", &json!([]));
    let wait = || yard.wait(&[&reference, "--insecure-skip-verify"]);
    wait()
        .env("KUBECONFIG", nobody)
        .fails_with(2)
        .says("403 Forbidden")
        .says("hint: give the user or ServiceAccount a Role");
    let mut down = kubeconfig(yard.api.kubeconfig().as_path());
    down["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    fs::write(yard.path("down"), down.to_string()).expect("the folder is ours");
    wait()
        .env("KUBECONFIG", yard.path("down"))
        .fails_with(3)
        .says("no complete answer from the API server");
    assert!(yard.has_no_results());
}

#[test]
fn a_server_that_is_started_again_is_waited_for() {
    let Some(mut api) = ApiServer::start() else {
        return;
    };
    let namespace = api.namespace();
    let mut document = run_document(json!([]));
    document["metadata"]["namespace"] = json!(namespace);
    document["metadata"]["name"] = json!("build");
    let metadata = document["metadata"].as_object_mut().expect("an object");
    metadata.remove("uid");
    document["status"]["podName"] = json!("pod");
    let made = api.create(&document);
    let path = tekseal_harness::object_path(&made);
    let audit = api.audit();
    let waiting = Run::tool("tekseal-wait")
        .arg(format!("k8s://{namespace}/taskrun/build"))
        .arg("--insecure-skip-verify")
        .env("KUBECONFIG", api.kubeconfig())
        .start();
    until("it watches", || {
        let requests = audit.requests();
        requests
            .iter()
            .any(|r| r.verb == "watch" && r.namespace == namespace)
    });
    drop(audit);
    api.restart();
    let client: &Client = &api;
    client.patch(
        &path,
        &json!({"metadata": {"annotations": {SIGNED: "true"}}}),
    );
    let said: Output = waiting.wait().ok();
    assert!(
        said.stderr
            .contains("the watch was interrupted, trying again"),
        "{said:?}"
    );
}

/// Bundles lie under no tag of cosign's: what refers to the image is looked at too.
#[test]
fn an_image_that_is_signed_by_bundles_alone_is_not_waited_for_in_vain() {
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let other = shop.key_pair("other").0;
    let bundle = |key: &Path| {
        let run = shop.attest_command(&shop.run(), key);
        run.args(["--layout", "bundle"]).ok();
    };
    let wait = |timeout: &str| {
        Run::tool("tekseal-wait")
            .args(["--image", &shop.image, "--timeout", timeout])
            .env("TEKSEAL_RETRY_FOR", "1")
    };
    let skip = || wait("1500ms").arg("--insecure-skip-verify");
    skip().fails_with(1).says("has no signature yet");
    bundle(&other);
    skip().ok();
    let by_key = |timeout: &str| wait(timeout).args(["--key", path(&public)]);
    by_key("1500ms")
        .fails_with(1)
        .says("not verified yet")
        .says("no valid signature");
    let waiting = by_key("50s").start();
    bundle(&key);
    let said = waiting.wait().ok();
    assert!(said.stdout.contains("verified signature"), "{said:?}");
    // No log was told, and a trusted root asks for one.
    let root = tekseal_harness::fixtures().join("cosign-samples/keys/trusted_root.json");
    let by_root = || by_key("1500ms").args(["--trusted-root", path(&root)]);
    by_root().fails_with(1).says("waited in vain");
    by_root().arg("--insecure-ignore-tlog").ok();
}

#[test]
fn what_is_trusted_to_wait_for_an_image_is_said_at_once() {
    let root = tekseal_harness::fixtures().join("cosign-samples/keys/trusted_root.json");
    let (_, public) = plain_key();
    let image = format!("registry.example.com/team/a@sha256:{}", "0".repeat(64));
    let (root, public, image) = (path(&root), path(&public), image.as_str());
    let identity = ["--certificate-identity", "a@example.com"];
    for (args, said) in [
        (
            vec!["--key", public, identity[0], identity[1]],
            "without --certificate-oidc-issuer",
        ),
        (
            vec![identity[0], identity[1], "--certificate-oidc-issuer", "b"],
            "needs --trusted-root",
        ),
        (
            vec!["--insecure-skip-verify", "--trusted-root", root],
            "forbids to verify",
        ),
        (
            vec!["--use-signed-timestamps", "--key", public],
            "needs --trusted-root",
        ),
    ] {
        let run = Run::tool("tekseal-wait").args(["--image", image]);
        run.args(args).fails_with(2).says(said);
    }
    let run = Run::tool("tekseal-wait").args(["k8s://ns/taskrun/a", "--offline"]);
    run.args(["--key", public])
        .fails_with(2)
        .says("runs lie in a cluster");
}

#[test]
fn an_image_is_asked_for_until_it_is_signed_with_the_key() {
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let other = shop.key_pair("other").0;
    let wait = |timeout: &str| {
        Run::tool("tekseal-wait")
            .args([
                "--image",
                &shop.image,
                "--key",
                path(&public),
                "--timeout",
                timeout,
            ])
            .env("TEKSEAL_RETRY_FOR", "1")
    };
    wait("1500ms").fails_with(1).says("has no signature yet");
    // A signature of another key is not the one that is waited for.
    shop.attest(&other);
    wait("1500ms")
        .fails_with(1)
        .says("not verified yet")
        .says("waited in vain: image ")
        .says("no valid signature");
    Run::tool("tekseal-wait")
        .args(["--image", &shop.image, "--insecure-skip-verify"])
        .ok();
    let waiting = wait("50s").start();
    shop.attest(&key);
    let said = waiting.wait().ok();
    assert!(said.stdout.contains("verified signature"), "{said:?}");
    let image = shop.image.replace(shop.registry.address(), "127.0.0.1:1");
    Run::tool("tekseal-wait")
        .args(["--image", &image, "--key", path(&public), "--timeout", "2s"])
        .env("TEKSEAL_RETRY_FOR", "1")
        .fails_with(3);
}
