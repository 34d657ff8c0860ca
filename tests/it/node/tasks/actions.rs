//! Every StepAction in a Task that somebody else might write.

use serde_json::{Value, json};

use super::Bench;

/// A step that uses a StepAction.
fn step(name: &str, action: &str, params: &Value) -> Value {
    let params = params.as_object().into_iter().flatten();
    let params: Vec<Value> = params
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({"name": name, "ref": {"name": action}, "params": params, "computeResources": {"requests": {"memory": "16Mi"}}})
}

impl Bench {
    fn task_of(&self, spec: &Value) -> super::Ended<'_> {
        self.run_to_end(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"generateName": "actions-", "namespace": self.namespace},
            "spec": {
                "taskSpec": spec,
                "workspaces": [{"name": "work", "emptyDir": {}}, {"name": "keys", "secret": {"secretName": "signing-public-key"}}],
            },
        }))
    }
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_task_is_put_together_of_step_actions() {
    let bench = Bench::shared();
    let built = bench.built("actions/app");
    let image = built.result("IMAGE_REF");
    let run = bench.task_run(&built);
    let (work, key) = (
        "$(workspaces.work.path)",
        "$(workspaces.keys.path)/cosign.pub",
    );
    let registry = bench.registry();
    let steps = [
        step("explain", "explain-signing", &json!({"RUN": run})),
        step(
            "provenance",
            "provenance",
            &json!({"RUN": run, "PAYLOADS": work}),
        ),
        step(
            "sign",
            "sign-image",
            &json!({"PAYLOADS": work, "KEY_VOLUME": "key"}),
        ),
        step(
            "upload",
            "upload",
            &json!({"PAYLOADS": work, "PUBLIC_KEY": key, "INSECURE_REGISTRY": registry}),
        ),
        step(
            "predicate",
            "attest-predicate",
            &json!({
                "IMAGE": image, "SOURCE": work, "PREDICATE": "payloads.json", "TYPE": "custom",
                "KEY_VOLUME": "key", "INSECURE_REGISTRY": registry,
            }),
        ),
        step(
            "verify",
            "verify-image",
            &json!({"IMAGE": image, "PUBLIC_KEY": key, "TYPE": "slsaprovenance", "INSECURE_REGISTRY": registry}),
        ),
        step(
            "check",
            "policy-check",
            &json!({"IMAGE": image, "PUBLIC_KEY": key, "BUILDER_ID": "urn:tekseal:step:v1", "INSECURE_REGISTRY": registry}),
        ),
        step(
            "wait",
            "wait-for-signature",
            &json!({"IMAGE": image, "PUBLIC_KEY": key, "TIMEOUT": "1m", "INSECURE_REGISTRY": registry}),
        ),
    ];
    let done = bench
        .task_of(&json!({
            "workspaces": [{"name": "work"}, {"name": "keys"}],
            "volumes": [{"name": "key", "secret": {"secretName": "signing-secrets"}}],
            "results": [
                {"name": "SIGNATURES", "value": "$(steps.upload.results.SIGNATURES)"},
                {"name": "ATTESTATIONS", "value": "$(steps.upload.results.ATTESTATIONS)"},
                {"name": "PREDICATES", "value": "$(steps.predicate.results.ATTESTATIONS)"},
                {"name": "VERIFIED", "value": "$(steps.verify.results.VERIFIED)"},
                {"name": "CHECKED", "value": "$(steps.check.results.VERIFIED)"},
                {"name": "TEST_OUTPUT", "value": "$(steps.verify.results.TEST_OUTPUT)"},
                {"name": "SIGNED", "value": "$(steps.wait.results.SIGNED)"},
            ],
            "steps": steps,
        }))
        .ok();
    assert_eq!(
        (done.result("VERIFIED"), done.result("SIGNED")),
        ("true", "true")
    );
    assert_eq!(done.result("CHECKED"), "true");
    for name in ["SIGNATURES", "PREDICATES"] {
        assert!(done.result(name).contains("actions/app@sha256:"));
    }
    assert!(done.result("TEST_OUTPUT").contains("SUCCESS"));
    assert!(done.log("explain").contains("IMAGE_URL"));
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn an_index_and_a_key_are_made_by_step_actions() {
    let bench = Bench::shared();
    let image = bench.built("actions/one").result("IMAGE_REF").to_owned();
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "action-password", "namespace": bench.namespace},
        "stringData": {"password": "swordfish"},
    }));
    let index = json!({"IMAGE": bench.image("actions/one:index"), "IMAGES": [image], "INSECURE_REGISTRY": bench.registry()});
    let done = bench
        .task_of(&json!({
            "workspaces": [{"name": "work"}, {"name": "keys"}],
            "volumes": [],
            "results": [
                {"name": "IMAGE_DIGEST", "value": "$(steps.index.results.IMAGE_DIGEST)"},
                {"name": "IMAGES", "value": "$(steps.index.results.IMAGES)"},
            ],
            "steps": [step("index", "image-index", &index)],
        }))
        .ok();
    let there = bench
        .node
        .registry()
        .manifest("actions/one", "index")
        .expect("it was pushed");
    assert_eq!(there.digest, done.result("IMAGE_DIGEST"));
    assert_eq!(done.result("IMAGES").split(',').count(), 2);

    let done = bench.run_to_end(&json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"generateName": "actions-", "namespace": bench.namespace},
        "spec": {
            "taskSpec": {
                "workspaces": [{"name": "password"}],
                "results": [{"name": "PUBLIC_KEY", "value": "$(steps.keygen.results.PUBLIC_KEY)"}],
                "steps": [step("keygen", "keygen", &json!({"SECRET": "pair-of-action", "PASSWORD_FILE": "$(workspaces.password.path)/password"}))],
            },
            "workspaces": [{"name": "password", "secret": {"secretName": "action-password"}}],
        },
    }));
    assert!(done.ok().result("PUBLIC_KEY").contains("BEGIN PUBLIC KEY"));
}
