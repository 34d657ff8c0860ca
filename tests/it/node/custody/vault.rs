//! A key in the real Vault, which asks the cluster by whom the token is that the controller shows.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tekseal_harness::{Client, PodAccount, Vault, audited_requests};

use super::Installed;

const KEY: &str = "release";
const ROLE: &str = "tekseal-controller";
/// A key of a service is asked for anew after five minutes.
const NEXT_LOOK: Duration = Duration::from_secs(360);

/// Vault, and who asks the cluster for it.
struct Keeper {
    vault: Vault,
    reviewer: Client,
}

impl Keeper {
    fn new(installed: &Installed) -> Self {
        let node = installed.node;
        let vault =
            Vault::start_with_https(node.host()).expect("tests/peers --beside-node builds Vault");
        vault.make_key(KEY, "ecdsa-p256");
        vault.make_policy(KEY);
        // As Vault's documentation has it: an account that may ask whose a token is, and nothing else.
        let namespace = node.namespace();
        node.create(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "vault", "namespace": namespace},
        }));
        node.create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("vault-{namespace}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "vault", "namespace": namespace}],
        }));
        let reviewer = node.with_token(&node.token_for(&namespace, "vault"));
        Self { vault, reviewer }
    }

    /// Lets this ServiceAccount of the namespace in, with tokens for Vault alone.
    fn let_in(&self, namespace: &str, name: &str) {
        let account = PodAccount {
            namespace,
            name,
            audience: Some("vault"),
        };
        self.vault
            .let_in_service_account(&self.reviewer, ROLE, account, KEY);
    }
}

#[test]
#[ignore = "needs a Kubernetes node, and Vault: ./test --cluster"]
fn a_key_in_vault_signs_real_runs_and_the_pod_has_nothing_but_its_token() {
    let installed = Installed::prepare();
    let keeper = Keeper::new(&installed);
    let vault = &keeper.vault;
    let audit = vault.audited();
    let ca = fs::read_to_string(vault.ca()).expect("it was made");
    installed.node.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authorities", "namespace": installed.system},
        "data": {"vault.crt": ca},
    }));
    installed.apply(
        &["vault"],
        &["--registry-ca=/etc/authorities"],
        &[
            json!({"op": "add", "path": "/spec/template/spec/volumes/-",
                "value": {"name": "authorities", "configMap": {"name": "authorities"}}}),
            json!({"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts/-",
                "value": {"name": "authorities", "mountPath": "/etc/authorities", "readOnly": true}}),
        ],
    );
    let key = format!("hashivault://{KEY}");
    installed.configure(&[
        ("artifacts.taskrun.signer", "kms"),
        ("artifacts.pipelinerun.signer", "kms"),
        ("artifacts.oci.signer", "kms"),
        ("signers.kms.kmsref", &key),
        ("signers.kms.auth.address", &vault.https_url()),
        ("signers.kms.auth.oidc.path", "kubernetes"),
        ("signers.kms.auth.oidc.role", ROLE),
        (
            "signers.kms.auth.oidc.token-path",
            "/var/run/secrets/vault/token",
        ),
    ]);

    // There is no such role, then it is another account's.
    vault.set("sys/auth/kubernetes", &json!({"type": "kubernetes"}));
    let first = installed.built("vault/first");
    let refused = r#"Vault refused to log in at auth/kubernetes/login as "tekseal-controller""#;
    installed.waits(&first, refused);
    installed.is_not_ready();
    keeper.let_in(&installed.system, "default");
    installed.waits(&first, "status 403");
    let reads = || audited_requests(&audit, "read", &format!("transit/keys/{KEY}"));
    let signs = || audited_requests(&audit, "update", &format!("transit/sign/{KEY}/sha2-256"));
    assert_eq!((reads(), signs()), (0, 0));
    keeper.let_in(&installed.system, "tekseal-controller");
    installed.is_signed(&first);
    installed.is_rolled_out();

    let public = |version| {
        let path = installed
            .folder
            .path()
            .join(format!("cosign-{version}.pub"));
        fs::write(&path, vault.public_key(KEY, version)).expect("the folder is ours");
        path.to_str().expect("it is a text").to_owned()
    };
    assert_eq!(reads(), 1, "the public key is asked for once");
    assert_eq!(
        signs(),
        3,
        "an image, its provenance, and the record on the run"
    );
    installed.is_accepted(&first, &public(1), &[]);
    let as_root = [
        ("VAULT_ADDR", vault.url()),
        ("VAULT_TOKEN", vault.root().to_owned()),
    ];
    installed.is_accepted(&first, &key, &as_root);

    // Until it is looked for a new version, the one that was opened signs on.
    vault.set(&format!("transit/keys/{KEY}/rotate"), &json!({}));
    let second = installed.built("vault/second");
    installed.is_signed(&second);
    installed.is_accepted(&second, &public(1), &[]);
    let told = installed.wait_told("KeyChanged", NEXT_LOOK);
    assert!(
        told.contains("signs from now on what the signer kms does"),
        "{told}"
    );
    let third = installed.built("vault/third");
    installed.is_signed(&third);
    installed.is_accepted(&third, &public(2), &[]);
    installed.verify(&third, &public(1)).fails_with(1);
    installed.nothing_is_called_forged();
    assert_eq!(signs(), 9);
}
