//! The Tasks that sign and verify, each in a TaskRun of its own.

use serde_json::{Value, json};
use tekseal_harness::object_path;

use super::{APP, Bench, Ended, cosigns_accept, project};

impl Bench {
    /// A finished build of the example application, of this repository.
    pub(super) fn built(&self, repository: &str) -> Ended<'_> {
        let (claim, _) = self.volume(Some(&project().join(APP)));
        let params = json!({"IMAGE": self.image(&format!("{repository}:1")), "INSECURE_REGISTRY": self.registry()});
        self.task(
            "buildah-push",
            &params,
            &json!([Self::bound("source", &claim)]),
        )
        .ok()
    }

    /// A reference of a TaskRun.
    pub(super) fn task_run(&self, ended: &Ended<'_>) -> String {
        format!("k8s://{}/taskrun/{}", self.namespace, ended.name())
    }

    pub(super) fn verify(&self, image: &str, more: &Value) -> Ended<'_> {
        let mut params =
            json!({"IMAGE": image, "TYPE": "slsaprovenance", "INSECURE_REGISTRY": self.registry()});
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        self.task("verify-image", &params, &json!([]))
    }

    fn check(&self, image: &str, rules: &Value) -> Ended<'_> {
        let mut params = json!({"IMAGE": image, "INSECURE_REGISTRY": self.registry()});
        for (name, value) in rules.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        self.task("policy-check", &params, &json!([]))
    }
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_build_is_attested_in_one_pod_and_verified() {
    let bench = Bench::shared();
    let built = bench.built("tasks/attested");
    let image = built.result("IMAGE_REF");
    let unsigned = bench
        .verify(image, &json!({}))
        .fails("verify", 1, &["no signature"]);
    assert_eq!(unsigned.result("VERIFIED"), "false");
    let params = json!({"RUN": bench.task_run(&built), "INSECURE_REGISTRY": bench.registry()});
    let attested = bench.task("attest", &params, &json!([])).ok();
    for name in ["SIGNATURES", "ATTESTATIONS"] {
        assert!(
            attested
                .result(name)
                .starts_with(&bench.image("tasks/attested@sha256:")),
            "{}",
            attested.result(name)
        );
    }
    let verified = bench.verify(image, &json!({"IMAGES": [image]})).ok();
    assert_eq!(verified.result("VERIFIED"), "true");
    let summary: Value = serde_json::from_str(verified.result("TEST_OUTPUT")).expect("JSON");
    assert_eq!(
        (&summary["result"], &summary["successes"]),
        (&json!("SUCCESS"), &json!(2))
    );
    assert!(
        verified
            .log("verify")
            .contains("builder=urn:tekseal:step:v1")
    );
    cosigns_accept(image);
    // Somebody pushes something else to the tag: by tag it is another image, and by digest the same as before.
    let other = bench.node.registry().push_image("tasks/attested", "1");
    assert!(!image.ends_with(&other.digest));
    bench
        .verify(built.result("IMAGE_URL"), &json!({}))
        .fails("verify", 1, &["no signature"]);
    bench.verify(image, &json!({})).ok();
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn rules_on_provenance_are_a_gate() {
    let bench = Bench::shared();
    let built = bench.built("tasks/policy");
    let image = built.result("IMAGE_REF");
    let params = json!({"RUN": bench.task_run(&built), "INSECURE_REGISTRY": bench.registry()});
    bench.task("attest", &params, &json!([])).ok();
    let good = json!({"BUILDER_ID": "urn:tekseal:step:v1,urn:other", "TYPE": "slsaprovenance", "IMAGES": [image]});
    let passed = bench.check(image, &good).ok();
    assert_eq!(
        (passed.result("VERIFIED"), passed.result("IMAGE_REF")),
        ("true", image)
    );
    let summary: Value = serde_json::from_str(passed.result("TEST_OUTPUT")).expect("JSON");
    assert_eq!(
        (&summary["result"], &summary["successes"]),
        (&json!("SUCCESS"), &json!(2))
    );
    assert!(passed.log("check").contains("pass  builder "));
    let foreign = json!({"BUILDER_ID": "https://tekton.dev/chains/v2"});
    let refused = bench.check(image, &foreign);
    assert_eq!(refused.exit_code("check"), Some(1));
    // The lines of the checks, which are many, may come after the error.
    assert!(refused.log("check").contains("does not pass"));
    assert_eq!(
        (refused.result("VERIFIED"), refused.result("IMAGE_REF")),
        ("false", "")
    );
    assert!(refused.log("check").contains("FAIL  builder "));
    // What is left empty asks for nothing, and nothing at all is no gate.
    bench
        .check(image, &json!({}))
        .fails("check", 2, &["no rule is given"]);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn payloads_go_from_pod_to_pod() {
    let bench = Bench::shared();
    let built = bench.built("tasks/steps");
    let (claim, folder) = bench.volume(None);
    let payloads = json!([Bench::bound("payloads", &claim)]);
    bench
        .task(
            "provenance",
            &json!({"RUN": bench.task_run(&built), "FORMAT": "slsa/v1,slsa/v2alpha4"}),
            &payloads,
        )
        .ok();
    assert!(folder.join("payloads.json").is_file());
    bench.task("sign-image", &json!({}), &payloads).ok();
    let uploaded = bench
        .task(
            "upload",
            &json!({"INSECURE_REGISTRY": bench.registry()}),
            &payloads,
        )
        .ok();
    assert!(
        uploaded
            .result("SIGNATURES")
            .contains("tasks/steps@sha256:")
    );
    bench
        .verify(
            built.result("IMAGE_REF"),
            &json!({"TYPE": "slsaprovenance1"}),
        )
        .ok();
    cosigns_accept(built.result("IMAGE_REF"));
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_configuration_of_chains_is_a_workspace() {
    let bench = Bench::shared();
    let built = bench.built("tasks/configured");
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config", "namespace": bench.namespace},
        "data": {"builder.id": "https://builder.example.com/one"},
    }));
    let config = json!([{"name": "config", "configMap": {"name": "chains-config"}}]);
    let params = json!({"RUN": bench.task_run(&built), "INSECURE_REGISTRY": bench.registry()});
    bench.task("attest", &params, &config).ok();
    let verified = bench.verify(built.result("IMAGE_REF"), &json!({})).ok();
    assert!(
        verified
            .log("verify")
            .contains("builder=https://builder.example.com/one")
    );
    let explained = bench
        .task(
            "explain-signing",
            &json!({"RUN": bench.task_run(&built)}),
            &config,
        )
        .ok();
    let told = explained.log("explain");
    assert!(
        told.contains("IMAGE_URL") && told.contains("would be signed"),
        "{told}"
    );
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_key_pair_is_made_and_used() {
    let bench = Bench::shared();
    let built = bench.built("tasks/keys");
    bench.node.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keygen-password", "namespace": bench.namespace},
        "stringData": {"password": "swordfish"},
    }));
    let params = json!({"SECRET": "pair", "PASSWORD_SECRET": "keygen-password"});
    let made = bench.task("keygen", &params, &json!([])).ok();
    let public = made.result("PUBLIC_KEY");
    assert!(
        public.starts_with("-----BEGIN PUBLIC KEY-----\n")
            && public.ends_with("-----END PUBLIC KEY-----"),
        "{public:?}"
    );
    let secret = bench.node.get(&object_path(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pair", "namespace": bench.namespace},
    })));
    assert_eq!(secret.expect("it was made")["immutable"], true);
    // What is there is not touched.
    bench
        .task("keygen", &params, &json!([]))
        .fails("keygen", 2, &["pair"]);
    let params = json!({"RUN": bench.task_run(&built), "KEY_SECRET": "pair", "INSECURE_REGISTRY": bench.registry()});
    bench.task("attest", &params, &json!([])).ok();
    bench
        .verify(
            built.result("IMAGE_REF"),
            &json!({"PUBLIC_KEY_SECRET": "pair"}),
        )
        .ok();
    bench
        .verify(built.result("IMAGE_REF"), &json!({}))
        .fails("verify", 1, &["hint"]);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn an_sbom_that_the_build_made_is_attested() {
    let bench = Bench::shared();
    let (claim, folder) = bench.volume(Some(&project().join(APP)));
    let source = json!([Bench::bound("source", &claim)]);
    // A tool of the builder's image: what it writes is JSON, which the type takes as it is.
    let params = json!({
        "IMAGE": bench.image("tasks/sbom:1"), "INSECURE_REGISTRY": bench.registry(),
        "SBOM_TOOL": "cp {image}/index.json {output}", "SBOM_OUTPUT": "sbom.json",
    });
    let built = bench.task("buildah-push", &params, &source).ok();
    let image = built.result("IMAGE_REF");
    let attest = |predicate: &str| {
        let params = json!({
            "IMAGE": image, "PREDICATE": predicate, "TYPE": "https://example.com/sbom/v1", "INSECURE_REGISTRY": bench.registry(),
        });
        bench.task("attest-predicate", &params, &source)
    };
    attest("absent.json").fails("attest", 2, &["absent.json"]);
    for out in ["../../tekseal-key/cosign.key", "/tekseal-key/cosign.key"] {
        attest(out).fails("attest", 2, &["leads out of", "hint"]);
    }
    std::os::unix::fs::symlink("/tekseal-key/cosign.key", folder.join("link.json"))
        .expect("the volume is ours");
    attest("link.json").fails("attest", 2, &["leads out of"]);
    let attested = attest("sbom.json").ok();
    assert!(
        attested
            .result("ATTESTATIONS")
            .starts_with(&bench.image("tasks/sbom@sha256:"))
    );
    bench
        .verify(
            image,
            &json!({"TYPE": "https://example.com/sbom/v1", "ONLY": "attestation"}),
        )
        .ok();
}
