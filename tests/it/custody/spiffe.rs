//! With the real SPIRE and the real Vault: a process without any secret uses a key as who its agent says that it is.

use std::path::Path;

use tekseal_harness::{Run, Spire, Vault};

use crate::workshop::Workshop;

/// A Vault with the key `workload`, which the workload `signer` of a SPIRE may use.
struct Stand {
    vault: Vault,
    spire: Spire,
    shop: Workshop,
}

impl Stand {
    fn new() -> Option<Self> {
        let (vault, spire) = (Vault::start()?, Spire::start("")?);
        vault.make_key("workload", "ecdsa-p256");
        vault.make_policy("workload");
        let signer = format!("spiffe://{}/signer", Spire::TRUST_DOMAIN);
        vault.let_in_by(&spire.keys_pem(), "signer", &signer, "workload", 0);
        Some(Self {
            vault,
            spire,
            shop: Workshop::new(),
        })
    }

    fn entering(&self, run: Run, audience: &str) -> Run {
        run.env("VAULT_ADDR", self.vault.url())
            .env("SPIFFE_ENDPOINT_SOCKET", self.spire.address())
            .env("TEKSEAL_VAULT_SPIFFE_AUDIENCE", audience)
    }

    fn attesting(&self, audience: &str) -> Run {
        let run = self
            .shop
            .attest_command(&self.shop.run(), Path::new("hashivault://workload"));
        self.entering(run, audience)
    }

    fn refused(&self, run: Run, wanted: &str) {
        let said = run.fails_with(2);
        assert!(said.stderr.contains(wanted), "{said:?}");
        assert!(!said.stderr.contains("eyJ"), "{said:?}");
        assert!(self.shop.layers("sig").is_empty() && self.shop.layers("att").is_empty());
    }
}

#[test]
#[ignore = "needs Vault and SPIRE: ./test --sigstore"]
fn vault_lets_a_workload_sign_and_nobody_else() {
    let Some(stand) = Stand::new() else { return };
    stand.refused(
        stand.attesting("vault"),
        "has no identity for this process: PermissionDenied: no identity issued",
    );
    stand.spire.name("signer");
    // The role is Vault's default, or named.
    stand.attesting("vault").ok();
    let public = stand.entering(Run::tool("tekseal-keys"), "vault");
    let public = public.args(["public", "hashivault://workload"]).ok().stdout;
    let public = stand.shop.file("vault.pub", public);
    stand.shop.verify(&public).ok();
    let named = stand.entering(
        stand.shop.verify(Path::new("hashivault://workload")),
        "vault",
    );
    named.env("TEKSEAL_VAULT_ROLE", "signer").ok();
}

#[test]
#[ignore = "needs Vault and SPIRE: ./test --sigstore"]
fn another_audience_role_or_workload_is_not_let_in() {
    let Some(stand) = Stand::new() else { return };
    stand.spire.name("signer");
    stand.refused(
        stand.attesting("others"),
        "refused to log in at auth/jwt/login",
    );
    stand.refused(
        stand.attesting("vault").env("TEKSEAL_VAULT_ROLE", "nobody"),
        "role \"nobody\" could not be found",
    );
    stand.refused(
        stand
            .attesting("vault")
            .env("SPIFFE_ENDPOINT_SOCKET", "unix:///nowhere/agent.sock"),
        "cannot connect to the SPIFFE agent at /nowhere/agent.sock",
    );
    let other = Stand::new().expect("the first was there");
    other.spire.name("another");
    other.refused(
        other.attesting("vault"),
        "refused to log in at auth/jwt/login",
    );
}
