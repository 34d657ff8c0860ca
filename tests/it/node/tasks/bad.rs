//! Bad input in real pods: each ends with a clear last line and the documented exit code, or is refused by Tekton with a reason.

use std::fs;

use serde_json::{Value, json};
use tekseal_harness::{PASSWORD, Registry, USER, object_path};

use super::{APP, Bench, Ended, GitServer, HOST, PATIENCE, project};

impl Bench {
    /// A build of the example application with these parameters and workspaces beside the usual ones.
    fn build(&self, params: &Value, workspaces: &[Value]) -> Ended<'_> {
        let (claim, _) = self.volume(Some(&project().join(APP)));
        let mut all =
            json!({"IMAGE": self.image("bad/app:1"), "INSECURE_REGISTRY": self.registry()});
        for (name, value) in params.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let mut bound = vec![Self::bound("source", &claim)];
        bound.extend_from_slice(workspaces);
        self.task("buildah-push", &all, &json!(bound))
    }
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn bad_parameters_are_told_before_anything_is_built() {
    let bench = Bench::shared();
    let platforms: Vec<String> = (0..14).map(|at| format!("linux/arch{at}")).collect();
    let long = bench.image(&format!("bad/{}:1", "long-name/".repeat(15) + "app"));
    for (params, texts) in [
        (
            json!({"IMAGE": bench.image("bad/App:1")}),
            &["App", "hint"] as &[&str],
        ),
        (json!({"IMAGE": "r.example.com/app@sha256:00"}), &["digest"]),
        (json!({"IMAGE": ""}), &["IMAGE"]),
        (
            json!({"DOCKERFILE": "absent"}),
            &["no Containerfile", "DOCKERFILE is relative"],
        ),
        (json!({"CONTEXT": "../.."}), &["CONTEXT", "outside"]),
        (
            json!({"PREFETCH_INPUT": "gomod"}),
            &["PREFETCH_INPUT is not supported", "hint"],
        ),
        (json!({"PRIVILEGED_NESTED": "true"}), &["PRIVILEGED_NESTED"]),
        (json!({"TLSVERIFY": "no"}), &["TLSVERIFY"]),
        (
            json!({"LABELS": ["a=1", ";", "--skip-push", "--build-arg"]}),
            &["single semicolon", "hint"],
        ),
        (
            json!({"IMAGE": long, "PLATFORMS": platforms}),
            &["the results take", "hint"],
        ),
    ] {
        bench.build(&params, &[]).fails("build-and-push", 2, texts);
    }
    let params = json!({"IMAGE": bench.image("bad/app:1"), "INSECURE_REGISTRY": bench.registry()});
    bench
        .task("buildah-push", &params, &json!([]))
        .refused("source");
    bench
        .build(
            &json!({"ADDITIONAL_BASE_IMAGES": ["r.example.com/base"]}),
            &[],
        )
        .refused("ADDITIONAL_BASE_IMAGES");
    let failing = tempfile::tempdir().expect("a temporary folder");
    fs::write(
        failing.path().join("Containerfile"),
        format!("FROM {}\nRUN exit 3\n", bench.node.shell_image(&[])),
    )
    .expect("it is writable");
    let (claim, _) = bench.volume(Some(failing.path()));
    bench
        .task(
            "buildah-push",
            &params,
            &json!([Bench::bound("source", &claim)]),
        )
        .fails("build-and-push", 1, &["exit 3"]);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_build_without_push_writes_its_results_empty() {
    let bench = Bench::shared();
    let ended = bench.build(&json!({"SKIP_PUSH": "true"}), &[]).ok();
    for name in ["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES"] {
        assert_eq!(ended.result(name), "", "{name}");
    }
}

/// Credentials for an address, as a Secret of this type and key holds them, bound as the workspace.
fn credentials(bench: &Bench, name: &str, key: &str, address: &str, password: &str) -> Value {
    let auths = json!({"auths": {address: {"username": USER, "password": password}}}).to_string();
    let kind = if key == ".dockerconfigjson" {
        "kubernetes.io/dockerconfigjson"
    } else {
        "Opaque"
    };
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": {"name": name, "namespace": bench.namespace}, "stringData": {key: auths},
    }));
    json!({"name": "dockerconfig", "secret": {"secretName": name}})
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn credentials_are_found_where_people_put_them_and_told_where_not() {
    let bench = Bench::shared();
    let registry = Registry::setup().with_basic_auth().with_host(HOST).start();
    let address = registry.address();
    let image = json!({"IMAGE": format!("{address}/team/app:1"), "INSECURE_REGISTRY": address});
    let team = format!("{address}/team");

    bench
        .build(&image, &[])
        .fails("build-and-push", 2, &["hint"]);
    let wrong = credentials(bench, "login-wrong", "config.json", address, "wrong");
    bench
        .build(&image, &[wrong])
        .fails("build-and-push", 2, &["hint"]);
    let empty = credentials(bench, "login-elsewhere", "auth.json", address, PASSWORD);
    bench.build(&image, &[empty]).fails(
        "build-and-push",
        2,
        &["neither config.json nor .dockerconfigjson"],
    );
    for (name, key, of) in [
        ("login-config", "config.json", address),
        ("login-typed", ".dockerconfigjson", address),
        ("login-team", ".dockerconfigjson", team.as_str()),
    ] {
        let login = credentials(bench, name, key, of, PASSWORD);
        bench.build(&image, &[login]).ok();
    }

    // As Tekton gives those of the ServiceAccount, to steps of different users: the first one's home is closed to the second.
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pusher", "namespace": bench.namespace},
        "secrets": [{"name": "login-typed"}],
    }));
    let digest = registry
        .manifest("team/app", "1")
        .expect("it was pushed")
        .digest;
    let image = format!("{address}/team/app@{digest}");
    let shell = bench.node.shell_image(&["id"]);
    let verify = json!({"IMAGE": image, "PUBLIC_KEY": "$(workspaces.keys.path)/cosign.pub", "INSECURE_REGISTRY": address});
    let verify: Vec<Value> = verify
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let ended = bench.run_to_end(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"generateName": "users-", "namespace": bench.namespace},
        "spec": {
            "serviceAccountName": "pusher",
            "workspaces": [{"name": "keys", "secret": {"secretName": "signing-public-key"}}],
            "taskSpec": {
                "workspaces": [{"name": "keys"}],
                "steps": [
                    {"name": "root", "image": shell, "command": ["/bin/sh", "-c", "id"], "env": [{"name": "HOME", "value": "/tekton/home"}]},
                    {"name": "verify", "ref": {"name": "verify-image"}, "params": verify},
                ],
            },
        },
    }));
    // The registry let it in: it says that there is no signature.
    ended.fails("verify", 1, &["no signature"]);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn what_is_missing_is_named_and_not_waited_for() {
    let bench = Bench::shared();
    let built = bench.built("bad/keyless");
    let run = bench.task_run(&built);
    let image = built.result("IMAGE_REF").to_owned();
    let insecure = bench.registry();
    let nothing = json!([]);
    let no_key = bench.task(
        "attest",
        &json!({"RUN": run, "KEY_SECRET": "absent", "INSECURE_REGISTRY": insecure}),
        &nothing,
    );
    no_key.fails("sign", 2, &["cosign.key"]);
    bench
        .verify(&image, &json!({"PUBLIC_KEY_SECRET": "absent"}))
        .fails("verify", 2, &["cosign.pub"]);
    let absent = format!("k8s://{}/taskrun/absent", bench.namespace);
    bench
        .task("attest", &json!({"RUN": absent}), &nothing)
        .fails("provenance", 1, &["absent"]);
    bench
        .task("attest", &json!({"RUN": "build"}), &nothing)
        .fails("provenance", 2, &["build is no run of a cluster", "k8s://"]);
    bench
        .task(
            "keygen",
            &json!({"SECRET": "never", "PASSWORD_SECRET": "absent"}),
            &nothing,
        )
        .fails("keygen", 2, &["password"]);
    bench
        .task("wait-for-signature", &json!({"TIMEOUT": "3s"}), &nothing)
        .fails("wait", 2, &["nothing is given"]);
    let (claim, _) = bench.volume(None);
    let payloads = json!([Bench::bound("payloads", &claim)]);
    bench
        .task("sign-image", &json!({}), &payloads)
        .fails("sign", 2, &["payloads.json"]);
    bench
        .task("upload", &json!({}), &payloads)
        .fails("upload", 2, &["signed.json"]);
    let index =
        json!({"IMAGE": bench.image("bad/index:1"), "IMAGES": [], "INSECURE_REGISTRY": insecure});
    bench
        .task("image-index", &index, &nothing)
        .fails("index", 2, &["IMAGES"]);
    let deploy = json!({"IMAGE": "", "INSECURE_REGISTRY": insecure});
    bench
        .task("deploy-placeholder", &deploy, &nothing)
        .fails("deploy", 2, &["image"]);
    let (claim, _) = bench.volume(None);
    let output = json!([Bench::bound("output", &claim)]);
    bench
        .task(
            "git-clone",
            &json!({"url": GitServer::shared().url, "revision": "absent"}),
            &output,
        )
        .fails("clone", 1, &["absent"]);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn without_the_role_the_right_is_named() {
    let bench = Bench::shared();
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": bench.namespace},
    }));
    let ended = bench.run_to_end(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"generateName": "attest-", "namespace": bench.namespace},
        "spec": {
            "serviceAccountName": "nobody", "taskRef": {"name": "attest"},
            "params": [{"name": "RUN", "value": format!("k8s://{}/taskrun/any", bench.namespace)}],
        },
    }));
    ended.fails("provenance", 2, &["403"]);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn of_a_build_that_was_tried_again_the_last_image_is_attested() {
    let bench = Bench::shared();
    let (claim, _) = bench.volume(Some(&project().join(APP)));
    let task = json!({"apiVersion": "tekton.dev/v1", "kind": "Task", "metadata": {"name": "buildah-push", "namespace": bench.namespace}});
    let mut spec = bench.node.get(&object_path(&task)).expect("it is there")["spec"].clone();
    // Fails after the push, the first time.
    let once = r#"cd "$1" && if [ -e once ]; then exit 0; fi; : >once; exit 1"#;
    let step = json!({
        "name": "once", "image": bench.node.shell_image(&[]), "command": ["/bin/sh"], "args": ["-c", once, "sh", "$(workspaces.source.path)"],
    });
    spec["steps"].as_array_mut().expect("a list").push(step);
    let ended = bench.run_to_end(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"generateName": "again-", "namespace": bench.namespace},
        "spec": {
            "retries": 1, "taskSpec": spec, "workspaces": [Bench::bound("source", &claim)],
            "params": [
                {"name": "IMAGE", "value": bench.image("again/app:1")},
                {"name": "INSECURE_REGISTRY", "value": bench.registry()},
            ],
        },
    }));
    let ended = ended.ok();
    assert_eq!(
        ended.run["status"]["retriesStatus"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let there = bench
        .node
        .registry()
        .manifest("again/app", "1")
        .expect("it was pushed")
        .digest;
    assert_eq!(ended.result("IMAGE_DIGEST"), there);
    bench
        .task(
            "attest",
            &json!({"RUN": bench.task_run(&ended), "INSECURE_REGISTRY": bench.registry()}),
            &json!([]),
        )
        .ok();
    bench.verify(ended.result("IMAGE_REF"), &json!({})).ok();
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_pipeline_that_is_cancelled_or_too_late_deploys_nothing() {
    let bench = Bench::shared();
    let params = json!({
        "GIT_URL": GitServer::shared().url, "IMAGE": bench.image("cancelled/app:1"), "INSECURE_REGISTRY": bench.registry(),
    });
    let order = ["clone", "build", "attest", "verify", "deploy"];
    for (at, task) in order[..4].iter().enumerate() {
        let run = bench.start_pipeline("ci-pipeline-signed", &params);
        let path = object_path(&run);
        bench.node.wait_within(PATIENCE, &path, |run| {
            let children = run["status"]["childReferences"].as_array();
            children
                .into_iter()
                .flatten()
                .any(|child| child["pipelineTaskName"] == *task)
        });
        bench
            .node
            .patch(&path, &json!({"spec": {"status": "Cancelled"}}));
        let ended = bench.ended(&run);
        let condition = &ended.run["status"]["conditions"][0];
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("Cancelled")),
            "{task}: {condition}"
        );
        // One task may have been begun meanwhile.
        let begun = order
            .iter()
            .skip(at + 2)
            .filter(|later| ended.ran(later))
            .count();
        assert_eq!(begun, 0, "{task}: it went on");
    }
    let mut late = bench.start_pipeline("ci-pipeline-signed", &params);
    late["metadata"] = json!({"generateName": "late-", "namespace": bench.namespace});
    late["spec"]["timeouts"] = json!({"pipeline": "4s"});
    late["status"] = Value::Null;
    let ended = bench.run_to_end(&late);
    let condition = &ended.run["status"]["conditions"][0];
    // Tekton gives a TaskRun what is left of its Pipeline's time: whichever is looked at first is too late.
    if condition["reason"] != "PipelineRunTimeout" {
        assert_eq!(condition["reason"], "Failed", "{condition}");
        let clone = ended.child("clone");
        let condition = &clone.run["status"]["conditions"][0];
        assert_eq!(condition["reason"], "TaskRunTimeout", "{condition}");
    }
    assert!(!ended.ran("deploy"), "it went on");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_private_authority_is_named_by_a_config_map() {
    let bench = Bench::shared();
    let registry = Registry::setup().with_tls().with_host(HOST).start();
    let ca = registry.certificates().expect("it has TLS").ca();
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "private-ca", "namespace": bench.namespace},
        "data": {"authority.crt": fs::read_to_string(ca).expect("it is there")},
    }));
    let image = format!("{}/team/app:1", registry.address());
    // The registry of the node's images is another one: nothing is insecure here.
    let named = |params: Value| {
        let mut params = params;
        params["INSECURE_REGISTRY"] = json!("");
        params["CA_TRUST_CONFIG_MAP_NAME"] = json!("private-ca");
        params["CA_TRUST_CONFIG_MAP_KEY"] = json!("authority.crt");
        params
    };
    bench
        .build(&json!({"IMAGE": image, "INSECURE_REGISTRY": ""}), &[])
        .fails("build-and-push", 2, &["certificate", "hint"]);
    let built = bench.build(&named(json!({"IMAGE": image})), &[]).ok();
    bench
        .task(
            "attest",
            &named(json!({"RUN": bench.task_run(&built)})),
            &json!([]),
        )
        .ok();
    let reference = built.result("IMAGE_REF");
    bench.verify(reference, &named(json!({}))).ok();
}
