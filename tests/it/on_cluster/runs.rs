//! Runs that are read from the cluster, and what is said when they cannot be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use tekseal_harness::{Certificates, Run};

use super::Yard;
use crate::workshop::{Pipeline, Workshop, plain_key};

fn images(address: &str, digest: &str) -> Value {
    json!([
        {"name": "IMAGE_URL", "value": format!("{address}/team/app:1")},
        {"name": "IMAGE_DIGEST", "value": digest},
    ])
}

fn nowhere() -> Value {
    images(
        "registry.example.com",
        &format!("sha256:{}", "a1".repeat(32)),
    )
}

#[test]
fn a_run_of_the_cluster_gives_the_payloads_of_its_document() {
    let Some(yard) = Yard::new() else { return };
    let run = yard.task_run("build", nowhere());
    let document = yard.path("run.json");
    fs::write(&document, run.to_string()).expect("the folder is ours");
    let payloads = |run: &str, out: &str| {
        yard.tool("tekseal-provenance")
            .args(["--run", run, "--format", "slsa/v2alpha4", "--out", out])
            .ok();
        let index = fs::read_to_string(yard.path(out).join("payloads.json"));
        index.expect("it was written")
    };
    let wanted = payloads(&document.display().to_string(), "file");
    for kind in ["taskrun", "TaskRun", "taskruns", "tr"] {
        assert_eq!(payloads(&yard.reference(kind, "build"), kind), wanted);
    }
}

#[test]
fn a_pipelinerun_is_read_with_its_children_also_those_without_the_label() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let digest = shop.registry.push_image("demo/app", "1.0").digest;
    let pipeline = Pipeline::of(shop.registry.address(), &digest);
    let name = yard.pipeline_run(&pipeline);
    let reference = yard.reference("pipelinerun", &name);
    // A child whose label is gone is found by its name.
    let path = yard.object("tekton.dev/v1", "TaskRun", "app-7xk2p-clone");
    let unlabel = json!({"metadata": {"labels": {"tekton.dev/pipelineRun": null}}});
    yard.api.patch(&path, &unlabel);
    let (key, public) = plain_key();
    let audit = yard.api.audit();
    yard.tool("tekseal-attest")
        .args(["--run", &reference, "--key"])
        .arg(&key)
        .arg("--config")
        .arg(pipeline.path("chains-config.json"))
        .ok();
    let mut asked: Vec<String> = audit
        .requests()
        .into_iter()
        .filter(|request| request.namespace == yard.namespace)
        .map(|request| format!("{} {} {}", request.verb, request.resource, request.name))
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            "get pipelineruns app-7xk2p",
            "get taskruns app-7xk2p-clone",
            "list taskruns "
        ]
    );
    yard.tool("tekseal-verify")
        .args([
            "--only",
            "attestation",
            "--type",
            "slsaprovenance1",
            "--key",
        ])
        .arg(&public)
        .arg(shop.registry.reference("demo/app", &digest))
        .ok();
}

#[test]
fn a_child_that_is_gone_is_missing_unless_its_document_is_given() {
    let Some(yard) = Yard::new() else { return };
    let pipeline = Pipeline::nowhere();
    let name = yard.pipeline_run(&pipeline);
    let reference = yard.reference("pipelinerun", &name);
    let path = yard.object("tekton.dev/v1", "TaskRun", "app-7xk2p-clone");
    let gone = yard.api.get(&path).expect("it is there");
    yard.api.delete(&path);
    let provenance = || {
        yard.tool("tekseal-provenance")
            .args(["--run", &reference, "--out", "out"])
    };
    provenance()
        .fails_with(1)
        .says("lacks children: TaskRun app-7xk2p-clone was not found")
        .says("hint: a child that is gone from the cluster can be given as a document with --children");
    provenance()
        .arg("--allow-missing-children")
        .ok()
        .says("child left out");
    let document = yard.path("clone.json");
    fs::write(&document, gone.to_string()).expect("the folder is ours");
    let said = provenance().arg("--children").arg(&document).ok();
    assert!(!said.stderr.contains("child left out"), "{said:?}");
}

#[test]
fn children_with_names_that_are_none_are_absent_and_lead_nowhere() {
    let Some(yard) = Yard::new() else { return };
    let pipeline = Pipeline::nowhere();
    pipeline.edit("pipelinerun.json", |run| {
        let references = run["status"]["childReferences"].as_array_mut();
        let names = ["../../secrets/a", "b?watch=1", "c\u{1b}[2J", "", "D"];
        references.expect("a list").extend(names.map(|name| {
            json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name, "pipelineTaskName": "x"})
        }));
    });
    let name = yard.pipeline_run(&pipeline);
    let audit = yard.api.audit();
    let said = yard
        .tool("tekseal-provenance")
        .args([
            "--run",
            &yard.reference("pipelinerun", &name),
            "--out",
            "out",
        ])
        .fails_with(1)
        .says("TaskRun ../../secrets/a was not found");
    assert!(!said.stderr.contains('\u{1b}'), "{said:?}");
    let asked = audit.requests();
    let asked = asked.iter().filter(|r| r.namespace == yard.namespace);
    let verbs: Vec<&str> = asked.map(|r| r.verb.as_str()).collect();
    assert_eq!(verbs, ["get", "list"]);
}

#[test]
fn what_cannot_be_read_says_what_and_who_must_act() {
    let Some(yard) = Yard::new() else { return };
    let provenance = |run: &str| {
        yard.tool("tekseal-provenance")
            .args(["--run", run, "--out", "out"])
    };
    let namespace = &yard.namespace;
    provenance(&yard.reference("taskrun", "absent"))
        .fails_with(1)
        .says(&format!("cannot read TaskRun {namespace}/absent"))
        .says("NotFound");
    let mut running = crate::workshop::run_document(nowhere());
    running["status"]["conditions"][0]["status"] = json!("Unknown");
    running["metadata"]["name"] = json!("running");
    yard.put(running);
    provenance(&yard.reference("taskrun", "running"))
        .fails_with(1)
        .says("is not completed")
        .says("hint: provenance is of finished runs: call again");
    for bad in [
        "k8s://a/taskrun",
        "k8s://a/pod/b",
        "k8s://a/taskrun/../b",
        "k8s://a/taskrun/b?watch=1",
        "k8s://a/taskrun/\u{1b}[2J",
    ] {
        let said = provenance(bad)
            .fails_with(2)
            .says("is no run in a cluster, wanted k8s://NAMESPACE/taskrun/NAME");
        assert!(!said.stderr.contains('\u{1b}'), "{said:?}");
    }
    // Without rights.
    let kubeconfig = yard.kubeconfig_with("nobody", &json!([]));
    provenance(&yard.reference("taskrun", "running"))
        .env("KUBECONFIG", kubeconfig)
        .fails_with(2)
        .says("403 Forbidden")
        .says("hint: give the user or ServiceAccount a Role");
    assert!(!yard.path("out").exists(), "nothing is written");
}

#[test]
fn a_way_that_leads_nowhere_is_told_apart_from_a_server_that_is_down() {
    let Some(yard) = Yard::new() else { return };
    let run = yard.reference("taskrun", "build");
    let provenance = || {
        Run::tool("tekseal-provenance")
            .args(["--run", &run, "--out", "out"])
            .folder(yard.path(""))
    };
    provenance()
        .fails_with(2)
        .says("there is no way to the cluster")
        .says("hint: give a kubeconfig with --kubeconfig or KUBECONFIG");
    for bad in ["", "not: [a, kubeconfig", "{}"] {
        let file = yard.path("kubeconfig");
        fs::write(&file, bad).expect("the folder is ours");
        provenance()
            .arg("--kubeconfig")
            .arg(&file)
            .fails_with(2)
            .says("there is no way to the cluster in ")
            .says("kubeconfig");
    }
    provenance()
        .args(["--kubeconfig", "absent"])
        .fails_with(2)
        .says("there is no way to the cluster in absent");
    // A port at which nobody listens.
    let down = fs::read_to_string(yard.api.kubeconfig())
        .expect("it is there")
        .replace(yard.api.address(), "127.0.0.1:1");
    let file = yard.path("down");
    fs::write(&file, down).expect("the folder is ours");
    provenance()
        .arg("--kubeconfig")
        .arg(&file)
        .fails_with(3)
        .says("no complete answer from the API server");
    // A server that another authority vouches for.
    let theirs = Certificates::make();
    let ca = Run::new("base64").arg("-w0").arg(theirs.ca()).ok().stdout;
    let bytes = fs::read(yard.api.kubeconfig()).expect("it is there");
    let mut config: Value = serde_json::from_slice(&bytes).expect("JSON");
    config["clusters"][0]["cluster"]["certificate-authority-data"] = json!(ca);
    fs::write(&file, config.to_string()).expect("the folder is ours");
    provenance()
        .arg("--kubeconfig")
        .arg(&file)
        .fails_with(2)
        .says("invalid peer certificate")
        .says("hint: ");
    // A token that nobody knows.
    config["clusters"][0]["cluster"]["certificate-authority-data"] =
        json!(Run::new("base64").arg("-w0").arg(yard.api.ca()).ok().stdout);
    config["users"][0]["user"]["token"] = json!("hunter2");
    fs::write(&file, config.to_string()).expect("the folder is ours");
    let said = provenance()
        .arg("--kubeconfig")
        .arg(&file)
        .fails_with(2)
        .says("401 Unauthorized")
        .says("hint: the token or certificate is not accepted");
    assert!(!said.stderr.contains("hunter2"), "{said:?}");
}

/// As the command lines of clouds write it: YAML, and a program that says the token.
#[test]
fn a_program_says_the_token_and_a_certificate_may_have_another_name() {
    let Some(yard) = Yard::new() else { return };
    yard.task_run("build", nowhere());
    let bytes = fs::read(yard.api.kubeconfig()).expect("it is there");
    let config: Value = serde_json::from_slice(&bytes).expect("JSON");
    let token = config["users"][0]["user"]["token"]
        .as_str()
        .expect("the administrator has a token");
    fs::write(
        yard.path("ca.pem"),
        fs::read(yard.api.ca()).expect("it is there"),
    )
    .expect("the folder is ours");
    let script = format!(
        "#!/bin/sh\ncase $KUBERNETES_EXEC_INFO in *ExecCredential*) printf 'status:\\n  token: %s\\n' {token};; esac\n"
    );
    let plugin = yard.path("says-token");
    fs::write(&plugin, script).expect("the folder is ours");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o700)).expect("the file is ours");
    let address = yard.api.address();
    let (_, port) = address.rsplit_once(':').expect("an address has a port");
    let of = |name: &str, command: &str| {
        format!(
            r"apiVersion: v1
kind: Config
preferences: {{}}
current-context: here   # as it was written by hand
contexts:
- context:
    cluster: here
    user: program
  name: here
clusters:
- cluster:
    certificate-authority: ca.pem
    server: https://127.0.0.1:{port}
    tls-server-name: {name}
  name: here
users:
- name: program
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: {command}
      args: null
      interactiveMode: Never
      installHint: Install it
        as is written there
"
        )
    };
    let file = yard.path("kubeconfig.yaml");
    let provenance = |text: String| {
        fs::write(&file, text).expect("the folder is ours");
        Run::tool("tekseal-provenance")
            .args(["--run", &yard.reference("taskrun", "build"), "--out", "out"])
            .folder(yard.path(""))
            .env("KUBECONFIG", &file)
    };
    provenance(of("localhost", "./says-token")).ok();
    provenance(of("elsewhere.example", "./says-token"))
        .fails_with(2)
        .says("invalid peer certificate");
    let said = provenance(of("localhost", "./absent"))
        .fails_with(2)
        .says("there is no way to the cluster")
        .says("Install it as is written there");
    assert!(!said.stderr.contains(token), "{said:?}");
}
