//! Keys in Secrets: ours and cosign's, read by both.

use serde_json::json;
use tekseal_harness::cosign;

use super::Yard;
use crate::workshop::{PASSWORD, Workshop};

#[test]
fn a_pair_that_cosign_made_signs_and_verifies() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            return;
        };
        let key = format!("k8s://{}/of-cosign-{}", yard.namespace, &version[..1]);
        cosign
            .run("generate-key-pair")
            .arg(&key)
            .env("KUBECONFIG", yard.api.kubeconfig())
            .env("COSIGN_PASSWORD", "theirs")
            .folder(yard.path(""))
            .ok();
        // The password is the one beside the key, whatever the environment says.
        yard.tool("tekseal-attest")
            .arg("--run")
            .arg(shop.run())
            .args(["--key", &key])
            .ok();
        yard.tool("tekseal-verify")
            .args(["--key", &key, &shop.image])
            .ok();
    }
}

#[test]
fn a_secret_without_the_key_is_misuse_and_shows_nothing_of_itself() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let namespace = &yard.namespace;
    let secret = |name: &str, data: serde_json::Value| {
        yard.api.create(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": data,
        }));
    };
    secret("empty", json!({}));
    secret(
        "bad",
        json!({"cosign.key": "hunter2", "cosign.pub": "hunter2"}),
    );
    let run = shop.run();
    let attest = |key: &str| {
        yard.tool("tekseal-attest")
            .arg("--run")
            .arg(&run)
            .args(["--key", key])
    };
    let verify = |key: &str| {
        yard.tool("tekseal-verify")
            .args(["--key", key, &shop.image])
    };
    let of = |name: &str| format!("k8s://{namespace}/{name}");
    attest(&of("empty")).fails_with(2).says("has no cosign.key");
    verify(&of("empty")).fails_with(2).says("has no cosign.pub");
    attest(&of("absent"))
        .fails_with(2)
        .says(&format!("cannot read Secret {namespace}/absent"))
        .says("k8s://NAMESPACE/SECRET makes one");
    for refused in [attest(&of("bad")), verify(&of("bad"))] {
        let said = refused.fails_with(2);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
    }
    for bad in ["k8s://a", "k8s://a/b/c", "k8s://a/../b", "k8s:///b"] {
        attest(bad)
            .fails_with(2)
            .says("names no Secret, wanted k8s://NAMESPACE/SECRET");
    }
    let kubeconfig = yard.kubeconfig_with("nobody", &json!([]));
    attest(&of("bad"))
        .env("KUBECONFIG", kubeconfig)
        .fails_with(2)
        .says("403 Forbidden")
        .says("hint: give the user or ServiceAccount a Role");
}

#[test]
fn a_wrong_password_beside_the_key_is_told_as_one() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let (key, _) = shop.key_pair("cosign");
    let pem = std::fs::read_to_string(key).expect("it was made");
    let secret = |name: &str, password: &str| {
        yard.api.create(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": yard.namespace},
            "stringData": {"cosign.key": pem, "cosign.password": password},
        }));
        format!("k8s://{}/{name}", yard.namespace)
    };
    let run = shop.run();
    let attest = |key: &str| {
        yard.tool("tekseal-attest")
            .arg("--run")
            .arg(&run)
            .args(["--key", key])
    };
    attest(&secret("good", PASSWORD)).ok();
    attest(&secret("wrong", "hunter2"))
        .fails_with(2)
        .says("opening the private key k8s://")
        .says("hint: the password counts to the last byte");
}
