//! `tekseal-keys list` of a controller whose key a real Vault keeps: it is asked where the configuration says, and what only the Pod has is said to be so.

use serde_json::{Value, json};
use tekseal_harness::{Run, Vault, audited_requests};

use crate::on_cluster::Yard;

const NEVER: &str = "http://127.0.0.1:1";

/// A controller that signs everything with a key in Vault.
struct Stand {
    yard: Yard,
    vault: Vault,
    token: String,
}

impl Stand {
    fn new() -> Option<Self> {
        let yard = Yard::new()?;
        let vault = Vault::start_with_https("127.0.0.1")?;
        vault.make_key("listed", "ecdsa-p256");
        vault.make_policy("listed");
        let token = vault.token(&["listed"], "1h");
        Some(Self { yard, vault, token })
    }

    /// The list under a configuration with these keys beside, and where the desk has Vault nowhere.
    fn list(&self, pairs: &[(&str, &str)], more: impl Fn(Run) -> Run) -> Value {
        let mut data = json!({
            "artifacts.taskrun.signer": "kms", "artifacts.pipelinerun.signer": "none", "artifacts.oci.signer": "kms",
            "signers.kms.kmsref": "openbao://listed",
        });
        for (key, value) in pairs {
            data[*key] = json!(value);
        }
        self.yard.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "chains-config", "namespace": self.yard.namespace},
            "data": data,
        }));
        let list = self
            .yard
            .tool("tekseal-keys")
            .args(["list", "--system-namespace", &self.yard.namespace])
            .args(["--skip-runs", "--output", "json"])
            .env("VAULT_ADDR", NEVER)
            .env("HOME", "/absent");
        let said = more(list).ok();
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains(&self.token), "{all}");
        said.json()
    }
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn keys_of_a_service_are_looked_at_as_the_configuration_says() {
    let Some(stand) = Stand::new() else { return };
    let url = stand.vault.https_url();
    let address = ("signers.kms.auth.address", url.as_str());
    let token = ("signers.kms.auth.token", stand.token.as_str());
    let trusting = |run: Run| run.arg("--registry-ca").arg(stand.vault.ca());
    let listed = |found: &Value| {
        let key = &found["keys"][0];
        assert_eq!(key["places"][0]["source"], "openbao://listed", "{found:#}");
        let made = key["places"][0]["created"]
            .as_str()
            .expect("Vault knows it");
        assert!(made.starts_with("20") && made.ends_with('Z'), "{made}");
        let signs = key["signs"].to_string();
        for wanted in ["signs TaskRuns (signers.kms.kmsref)", "signs images"] {
            assert!(signs.contains(wanted), "{signs}");
        }
        assert_eq!(found["warnings"], json!([]), "{found:#}");
    };
    listed(&stand.list(&[address, token], trusting));
    // What is entered from here, where the configuration has no token.
    let own = |run: Run| {
        let run = trusting(run).env("VAULT_TOKEN", &stand.token);
        run.env("VAULT_ADDR", &url)
    };
    listed(&stand.list(&[address], own));
    let ways = [
        (
            vec![("signers.kms.auth.token-path", "/var/run/vault/token")],
            "the token in a file of its Pod (signers.kms.auth.token-path)",
        ),
        (
            vec![
                ("signers.kms.auth.oidc.path", "kubernetes"),
                ("signers.kms.auth.oidc.role", "signer"),
            ],
            "an identity token of its Pod (signers.kms.auth.oidc.role)",
        ),
        (
            vec![("signers.kms.auth.spire.sock", "/run/spire/agent.sock")],
            "a token of its SPIRE agent",
        ),
    ];
    let unlisted = |found: &Value, wanted: &str| {
        assert_eq!(found["keys"], json!([]), "{found:#}");
        let warnings = found["warnings"].to_string();
        let wanted = [
            "signs TaskRuns (signers.kms.kmsref)",
            "openbao://listed: not looked at: ",
            wanted,
        ];
        for wanted in wanted {
            assert!(warnings.contains(wanted), "{wanted:?} is not in {warnings}");
        }
    };
    for (pairs, wanted) in ways {
        let pairs = [&[address][..], &pairs].concat();
        unlisted(&stand.list(&pairs, trusting), wanted);
        listed(&stand.list(&pairs, own));
    }
    // The configuration does not say to whom a token of this desk goes.
    let elsewhere = |run: Run| trusting(run).env("VAULT_TOKEN", &stand.token);
    let audit = stand.vault.audited();
    unlisted(&stand.list(&[address], elsewhere), "VAULT_ADDR");
    assert_eq!(audited_requests(&audit, "read", "transit/keys/listed"), 0);
    listed(&stand.list(&[address], own));
    assert_eq!(audited_requests(&audit, "read", "transit/keys/listed"), 1);
    unlisted(&stand.list(&[address, token], |run| run), "certificate");
    let nowhere = ("signers.kms.auth.address", NEVER);
    unlisted(&stand.list(&[nowhere, token], trusting), NEVER);
}
