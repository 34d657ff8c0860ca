//! Certificates of the real Fulcio, which asks the cluster whether the token of the controller's ServiceAccount is its own.

use serde_json::json;
use tekseal_harness::{ClusterIssuer, Node, Proxy, Sigstore};

use super::{CONTROLLER, Installed, annotation};
use crate::certified::Certified;

const TRANSPARENCY: &str = "chains.tekton.dev/transparency";
const CERTIFY: &str = "/api/v2/signingCert";
/// Where the Deployment mounts the token.
const TOKEN: &str = "/var/run/sigstore/cosign/oidc-token";
const AUDIENCE: &str =
    "/spec/template/spec/volumes/1/projected/sources/0/serviceAccountToken/audience";

/// A Sigstore whose Fulcio believes the node's ServiceAccounts: it reads the cluster's keys without a login.
fn sigstore(node: &Node) -> Sigstore {
    node.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "issuer-discovery-for-fulcio"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
    }));
    let cluster = ClusterIssuer {
        url: node.issuer(),
        ca: node.ca(),
    };
    Sigstore::start_for(cluster).expect("tests/peers --beside-node builds Sigstore")
}

#[test]
#[ignore = "needs a Kubernetes node, Fulcio, Rekor v1 and their database: ./test --cluster"]
fn the_name_of_the_service_account_signs_real_runs_without_any_key() {
    let installed = Installed::prepare();
    let sigstore = sigstore(installed.node);
    let host = installed.node.host();
    let fulcio = Proxy::start_at(host, sigstore.fulcio.address());
    let rekor = Proxy::start_at(host, sigstore.rekor.address());
    let rekor_url = format!("http://{}", rekor.address());
    let issuer = installed.node.issuer();
    let account = [installed.system.as_str(), CONTROLLER];
    let verifiers = Certified::by_account(&sigstore, issuer, account)
        .with_insecure_registry(installed.node.registry().address());
    let configure = |token: &str| {
        installed.configure(&[
            ("signers.x509.fulcio.enabled", "true"),
            (
                "signers.x509.fulcio.address",
                &format!("http://{}", fulcio.address()),
            ),
            ("signers.x509.fulcio.issuer", issuer),
            ("signers.x509.fulcio.provider", "filesystem"),
            ("signers.x509.identity.token.file", token),
            ("transparency.enabled", "true"),
            ("transparency.url", &rekor_url),
            ("tekseal.trusted-root", &verifiers.trusted_root()),
        ]);
    };

    let for_another =
        json!({"op": "replace", "path": AUDIENCE, "value": "https://another.example"});
    installed.apply(&[], &[], &[for_another]);
    configure("/var/run/nowhere/oidc-token");
    let first = installed.built("keyless/first");
    installed.waits(
        &first,
        "cannot read the identity token /var/run/nowhere/oidc-token",
    );
    configure(TOKEN);
    installed.waits(
        &first,
        "the identity token is for the audience [https://another.example], and must be for sigstore",
    );
    assert_eq!(fulcio.count() + rekor.count_of("POST", ""), 0);
    // As it is in `deploy`.
    installed.apply(&[], &[], &[]);
    installed.is_rolled_out();
    let run = installed.is_signed(&first);
    let address = annotation(&run, TRANSPARENCY).expect("the last entry is named");
    assert!(address.starts_with(&rekor_url), "{address}");
    verifiers.accept(&installed.reference(&first));
    verifiers.refuse_another(&installed.reference(&first));

    let second = installed.built("keyless/second");
    installed.is_signed(&second);
    verifiers.accept(&installed.reference(&second));
    assert_eq!(fulcio.count_of("POST", CERTIFY), 1);
    assert!(
        installed.log().contains(verifiers.identity()),
        "whom the certificate names is told: {}",
        installed.log()
    );
    installed.nothing_is_called_forged();
}
