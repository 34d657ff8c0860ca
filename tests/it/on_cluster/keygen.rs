//! Key pairs that are made in a Secret, and rotated there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{Request, cosign};

use super::Yard;
use crate::workshop::{PASSWORD, Workshop};

impl Yard {
    /// What is under a key of a Secret.
    fn text(&self, secret: &str, key: &str) -> Option<String> {
        let secret = self.secret(secret)?;
        let text = secret["data"][key].as_str()?;
        Some(from_base64(text))
    }

    fn keygen(&self, args: &[&str]) -> tekseal_harness::Run {
        self.tool("tekseal-keygen").args(args)
    }
}

fn from_base64(text: &str) -> String {
    let decoded = tekseal_harness::Run::new("base64")
        .arg("-d")
        .stdin(text)
        .ok();
    decoded.stdout
}

#[test]
fn the_secret_is_what_cosign_would_have_made() {
    let Some(yard) = Yard::new() else { return };
    let Some(cosign) = cosign("2.6.5") else {
        return;
    };
    let ours = format!("k8s://{}/ours", yard.namespace);
    let said = yard.keygen(&[&ours]).ok().says("made key pair");
    assert_eq!(said.stdout, "");
    cosign
        .run("generate-key-pair")
        .arg(format!("k8s://{}/theirs", yard.namespace))
        .env("KUBECONFIG", yard.api.kubeconfig())
        .env("COSIGN_PASSWORD", PASSWORD)
        .folder(yard.api.folder())
        .ok();
    let shape = |name: &str| -> Value {
        let secret = yard.secret(name).expect("it was made");
        let data = secret["data"].as_object().expect("it has data");
        let keys: Vec<&String> = data.keys().collect();
        json!([
            secret["type"],
            secret["immutable"],
            keys,
            data["cosign.password"]
        ])
    };
    assert_eq!(shape("ours"), shape("theirs"));
    let public = fs::read_to_string(yard.path("cosign.pub")).expect("it was written");
    assert_eq!(yard.text("ours", "cosign.pub"), Some(public));
    // cosign opens it.
    let shown = cosign
        .run("public-key")
        .args(["--key", &ours])
        .env("KUBECONFIG", yard.api.kubeconfig())
        .ok();
    assert_eq!(yard.text("ours", "cosign.pub"), Some(shown.stdout));
}

#[test]
fn a_folder_is_signed_and_stored_with_a_key_of_the_cluster() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let key = format!("k8s://{}/signing", yard.namespace);
    yard.tool("tekseal-keygen").arg(&key).ok();
    yard.tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run())
        .args(["--out", "out"])
        .ok();
    yard.tool("tekseal-sign").args(["--key", &key, "out"]).ok();
    yard.tool("tekseal-upload")
        .args(["--key", &key, "out"])
        .ok();
    yard.tool("tekseal-verify")
        .args(["--key", &key, &shop.image])
        .ok();
    let Some(cosign) = cosign("2.6.5") else {
        return;
    };
    cosign
        .run("verify")
        .args(["--insecure-ignore-tlog=true", "--key", &key, &shop.image])
        .env("KUBECONFIG", yard.api.kubeconfig())
        .ok();
}

#[test]
fn nothing_is_overwritten_and_a_namespace_must_be_there() {
    let Some(yard) = Yard::new() else { return };
    let key = format!("k8s://{}/signing", yard.namespace);
    yard.keygen(&[&key]).ok();
    let before = yard.secret("signing");
    // The Secret is the reason, though cosign.pub is there too.
    yard.keygen(&[&key])
        .fails_with(2)
        .says("signing exists and is not overwritten")
        .says("--rotate");
    yard.keygen(&[&key, "--output-key-prefix", "second"])
        .fails_with(2)
        .says("exists and is not overwritten")
        .says("--rotate");
    assert!(!yard.path("second.pub").exists());
    let other = format!("k8s://{}/other", yard.namespace);
    yard.keygen(&[&other])
        .fails_with(2)
        .says("cosign.pub exists and is not overwritten");
    assert_eq!(yard.secret("other"), None);
    assert_eq!(yard.secret("signing"), before);
    yard.keygen(&[
        "k8s://no-such-namespace/signing",
        "--output-key-prefix",
        "second",
    ])
    .fails_with(2)
    .says("namespaces \"no-such-namespace\" not found")
    .says("hint: make the namespace first: kubectl create namespace no-such-namespace");
    for bad in ["signing", "k8s://signing", "k8s://a/b/c", "k8s://A/b"] {
        yard.keygen(&[bad])
            .fails_with(2)
            .says("is no Secret in a cluster");
    }
    yard.keygen(&["--rotate", "--output-key-prefix", "second"])
        .fails_with(2)
        .says("--rotate needs a Secret");
    let nobody = yard.kubeconfig_with("nobody", &json!([]));
    yard.keygen(&[&other, "--output-key-prefix", "second"])
        .env("KUBECONFIG", nobody)
        .fails_with(2)
        .says("403 Forbidden");
    assert!(!yard.path("second.pub").exists());
}

#[test]
fn whoever_may_only_create_secrets_can_make_a_pair() {
    let Some(yard) = Yard::new() else { return };
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]);
    let kubeconfig = yard.kubeconfig_with("maker", &rules);
    let key = format!("k8s://{}/signing", yard.namespace);
    let make = |prefix: &str| {
        yard.keygen(&[&key, "--output-key-prefix", prefix])
            .env("KUBECONFIG", &kubeconfig)
    };
    make("a").ok();
    make("b")
        .fails_with(2)
        .says("exists and is not overwritten");
}

#[test]
fn rotation_makes_a_new_key_and_keeps_the_public_ones() {
    let Some(yard) = Yard::new() else { return };
    let shop = Workshop::new();
    let key = format!("k8s://{}/signing", yard.namespace);
    yard.keygen(&[&key]).ok();
    let run = shop.run();
    let attest = || {
        yard.tool("tekseal-attest")
            .arg("--run")
            .arg(&run)
            .args(["--key", &key])
            .ok()
    };
    attest();
    let first = yard.secret("signing").expect("it was made");
    let first_public = yard.text("signing", "cosign.pub").expect("it was made");
    yard.keygen(&[&key, "--rotate"])
        .env("COSIGN_PASSWORD", "another")
        .ok()
        .says("rotated key pair")
        .says("replaced the file of the earlier public key file=cosign.pub")
        .says("kept public key of the earlier pair under=cosign.pub.1");
    let second = yard.secret("signing").expect("it was made again");
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!(
        (&second["immutable"], &second["type"]),
        (&json!(true), &json!("Opaque"))
    );
    assert_ne!(first["data"]["cosign.key"], second["data"]["cosign.key"]);
    assert_eq!(first["data"]["cosign.pub"], second["data"]["cosign.pub.1"]);
    assert_eq!(
        yard.text("signing", "cosign.password").as_deref(),
        Some("another")
    );
    let second_public = fs::read_to_string(yard.path("cosign.pub")).expect("it was replaced");
    assert_eq!(yard.text("signing", "cosign.pub"), Some(second_public));

    // What was signed before needs the earlier key, which is in the Secret.
    let verify = |key: &str| {
        yard.tool("tekseal-verify")
            .args(["--key", key, &shop.image])
    };
    verify(&key).fails_with(1).says("cosign.pub.1");
    fs::write(yard.path("first.pub"), &first_public).expect("the folder is ours");
    verify("first.pub").ok();
    attest();
    verify(&key).ok();

    yard.keygen(&[&key, "--rotate"]).ok();
    let third = yard.secret("signing").expect("it was made again");
    assert_eq!(second["data"]["cosign.pub"], third["data"]["cosign.pub.1"]);
    assert_eq!(first["data"]["cosign.pub"], third["data"]["cosign.pub.2"]);
    let Some(cosign) = cosign("2.6.5") else {
        return;
    };
    let shown = cosign
        .run("public-key")
        .args(["--key", &key])
        .env("KUBECONFIG", yard.api.kubeconfig())
        .ok();
    assert_eq!(yard.text("signing", "cosign.pub"), Some(shown.stdout));
}

#[test]
fn a_rotation_that_is_not_allowed_changes_nothing() {
    let Some(yard) = Yard::new() else { return };
    let key = format!("k8s://{}/signing", yard.namespace);
    let rotate = || yard.keygen(&[&key, "--rotate"]);
    rotate()
        .fails_with(2)
        .says("cannot read Secret")
        .says("makes one");
    yard.keygen(&[&key]).ok();
    let before = yard.secret("signing");
    let may = |verbs: Value| {
        let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]);
        yard.kubeconfig_with(&format!("may-{}", rules.to_string().len()), &rules)
    };
    for verbs in [json!(["get", "delete"]), json!(["get", "create"])] {
        rotate()
            .env("KUBECONFIG", may(verbs))
            .fails_with(2)
            .says("not rotated")
            .says("is as it was")
            .says("403 Forbidden");
    }
    // Where the last resort would be is known before.
    let rescue = yard.path(&format!("{}.signing.secret.json", yard.namespace));
    fs::write(&rescue, "{}").expect("the folder is ours");
    rotate()
        .fails_with(2)
        .says("is left of an earlier rotation");
    fs::remove_file(&rescue).expect("it is ours");
    // A public key of somebody else is not overwritten.
    fs::write(yard.path("cosign.pub"), "another").expect("the folder is ours");
    rotate()
        .fails_with(2)
        .says("cosign.pub exists and is not overwritten");
    assert_eq!(yard.secret("signing"), before);
}

impl Yard {
    /// Makes the API server refuse Secrets of the namespace unless this holds, and waits until it does.
    fn admit_secrets_only_if(&self, expression: &str) {
        let name = format!("{}-secrets", self.namespace);
        self.api.apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                    "resourceRules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"],
                    }],
                },
                "validations": [
                    {"expression": "object.metadata.name != 'probe'"},
                    {"expression": expression, "message": "not in this namespace"},
                ],
            },
        }));
        self.api.apply(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }));
        let probe = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}})
            .to_string();
        let path = format!("/api/v1/namespaces/{}/secrets?dryRun=All", self.namespace);
        let request = Request::new("POST", &path).body("application/json", probe.as_bytes());
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.api.send(&request).expect("it answers").status < 300 {
            assert!(Instant::now() < deadline, "the policy has no effect");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_new_pair_that_is_refused_after_the_deletion_leaves_the_old_one() {
    let Some(yard) = Yard::new() else { return };
    let key = format!("k8s://{}/signing", yard.namespace);
    yard.keygen(&[&key]).ok();
    let before = yard.secret("signing").expect("it was made");
    yard.admit_secrets_only_if("request.dryRun == true || !('cosign.pub.1' in object.data)");
    yard.keygen(&[&key, "--rotate"])
        .fails_with(2)
        .says("the new pair was refused, putting back the old one")
        .says("not in this namespace")
        .says("is as it was");
    let after = yard.secret("signing").expect("it was put back");
    assert_ne!(
        before["metadata"]["uid"], after["metadata"]["uid"],
        "it was deleted"
    );
    for member in ["data", "type", "immutable"] {
        assert_eq!(before[member], after[member]);
    }
}

#[test]
fn a_cluster_that_takes_nothing_after_the_deletion_leaves_the_pair_in_a_file() {
    let Some(yard) = Yard::new() else { return };
    let key = format!("k8s://{}/signing", yard.namespace);
    yard.keygen(&[&key]).ok();
    let before = yard.text("signing", "cosign.pub");
    yard.admit_secrets_only_if("request.dryRun == true");
    let name = format!("{}.signing.secret.json", yard.namespace);
    yard.keygen(&[&key, "--rotate"])
        .fails_with(2)
        .says("takes neither the new pair nor the old one")
        .says(&format!(
            "hint: the new pair with its password is in {name} (mode 0600)"
        ))
        .says(&format!("kubectl create -f {name}"));
    assert_eq!(yard.secret("signing"), None);
    let path = yard.path(&name);
    let mode = fs::metadata(&path)
        .expect("it was written")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = fs::read(&path).expect("it was written");
    let saved: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    // The file is what the cluster takes as soon as it takes anything.
    let policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    yard.api
        .delete(&format!("{policy}/{}-secrets", yard.namespace));
    let deadline = Instant::now() + Duration::from_secs(30);
    let request = Request::new(
        "POST",
        &format!("/api/v1/namespaces/{}/secrets", yard.namespace),
    )
    .body("application/json", saved.to_string().as_bytes());
    while yard.api.send(&request).expect("it answers").status >= 300 {
        assert!(Instant::now() < deadline, "the Secret is not taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(yard.text("signing", "cosign.pub.1"), before);
    let shop = Workshop::new();
    yard.tool("tekseal-attest")
        .arg("--run")
        .arg(shop.run())
        .args(["--key", &key])
        .ok();
}

#[test]
fn a_secret_that_cannot_be_deleted_at_once_is_not_rotated() {
    let Some(yard) = Yard::new() else { return };
    let key = format!("k8s://{}/signing", yard.namespace);
    yard.keygen(&[&key]).ok();
    let finalizer = json!({"metadata": {"finalizers": ["example.com/slow"]}});
    let path = yard.object("v1", "Secret", "signing");
    yard.api.patch(&path, &finalizer);
    yard.keygen(&[&key, "--rotate"])
        .fails_with(2)
        .says("has the finalizer example.com/slow");
    let kept = yard.secret("signing").expect("it is there");
    assert_eq!(kept["metadata"]["deletionTimestamp"], Value::Null);
}
