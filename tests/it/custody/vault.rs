//! With a real Vault: the programs and both versions of cosign sign with the same keys, and verify what the other signed.

use std::path::{Path, PathBuf};

use serde_json::json;
use tekseal_harness::{Cosign, Layout, Run, Vault, audited_requests, cosign, fixtures};

use crate::workshop::Workshop;

/// What Vault calls the keys, and whether cosign verifies ours with the reference, for which it asks Vault. For RSA it does not say which padding its own
/// signatures have, and Vault takes it for another one; of an Ed25519 key it wants the signature of a digest, which nobody else does. With the public key it
/// verifies all of them.
const KINDS: [(&str, bool); 5] = [
    ("ecdsa-p256", true),
    ("ecdsa-p384", true),
    ("ecdsa-p521", true),
    ("rsa-3072", false),
    ("ed25519", false),
];
/// What the versions of cosign sign with so that its own public key verifies it. Version 3 gives a digest of another size to keys of the larger curves, and
/// stops there.
const SIGNING: [(&str, &[&str]); 2] = [
    (
        "2.6.5",
        &["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-3072"],
    ),
    ("3.1.3", &["ecdsa-p256", "rsa-3072"]),
];
const NEVER: &str = "http://127.0.0.1:1";

/// A key in Vault, with a token that may sign with it, verify with it and read it.
struct Key {
    vault: &'static Vault,
    reference: String,
    token: String,
}

impl Key {
    /// A new one of the Vault of all tests; `None`, with the reason printed, where that is missing.
    fn make(name: &str, kind: &str) -> Option<Self> {
        let vault = Vault::shared()?;
        vault.make_key(name, kind);
        let rules = format!(
            r#"path "transit/keys/{name}" {{ capabilities = ["read"] }}
               path "transit/sign/{name}/*" {{ capabilities = ["update"] }}
               path "transit/verify/{name}/*" {{ capabilities = ["update"] }}"#
        );
        let policy = format!("it-{name}");
        vault.set(
            &format!("sys/policies/acl/{policy}"),
            &json!({"policy": rules}),
        );
        Some(Self {
            vault,
            reference: format!("hashivault://{name}"),
            token: vault.token(&[&policy], "1h"),
        })
    }

    fn name(&self) -> &str {
        self.reference.trim_start_matches("hashivault://")
    }

    fn path(&self) -> &Path {
        Path::new(&self.reference)
    }

    /// The same command, which can get into Vault.
    fn entering(&self, run: Run) -> Run {
        run.env("VAULT_ADDR", self.vault.url())
            .env("VAULT_TOKEN", &self.token)
    }

    fn cosign(&self, version: &str) -> Option<Cosign> {
        let cosign = cosign(version)?;
        Some(
            cosign
                .env("VAULT_ADDR", self.vault.url())
                .env("VAULT_TOKEN", &self.token),
        )
    }

    /// The public key, as cosign reads it out of Vault.
    fn public(&self, cosign: &Cosign, shop: &Workshop) -> PathBuf {
        let said = cosign
            .run("public-key")
            .arg("--key")
            .arg(&self.reference)
            .ok();
        shop.file("vault.pub", said.stdout)
    }

    fn attest(&self, shop: &Workshop) -> Run {
        self.entering(shop.attest_command(&shop.run(), self.path()))
    }
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn cosign_verifies_what_ours_signed_with_a_key_of_each_kind() {
    for (kind, by_reference) in KINDS {
        let Some(key) = Key::make(&format!("ours-{kind}"), kind) else {
            return;
        };
        let shop = Workshop::new();
        key.attest(&shop).ok();
        for version in ["2.6.5", "3.1.3"] {
            let Some(cosign) = key.cosign(version) else {
                return;
            };
            let public = key.public(&cosign, &shop);
            cosign.verify(&public, &shop.image, &[]).ok();
            cosign
                .verify_attestation(&public, "slsaprovenance", &shop.image, &[])
                .ok();
            let said = cosign.verify(key.path(), &shop.image, &[]);
            assert_eq!(
                said.code() == Some(0),
                by_reference,
                "{kind} {version}: {}",
                said.stderr
            );
            // Ours reads the public key out of Vault, too.
            key.entering(shop.verify(key.path())).ok();
            shop.verify(&public).ok();
        }
    }
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn the_configuration_names_the_key_and_opens_vault() {
    let Some(key) = Key::make("configured", "ecdsa-p256") else {
        return;
    };
    let shop = Workshop::new();
    let mut config = json!({
        "artifacts.taskrun.signer": "kms", "artifacts.pipelinerun.signer": "kms", "artifacts.oci.signer": "kms",
        "signers.kms.kmsref": key.reference, "signers.kms.auth.address": key.vault.url(),
    });
    let attest = |config: &serde_json::Value| {
        let run = Run::tool("tekseal-attest").arg("--run").arg(shop.run());
        let run = run
            .arg("--config")
            .arg(shop.file("config.json", config.to_string()));
        run.env("HOME", "/absent")
    };
    attest(&config).env("VAULT_TOKEN", &key.token).ok();
    key.entering(shop.verify(key.path())).ok();
    let audit = key.vault.audited();
    config["signers.kms.auth.token"] = json!(key.token);
    let said = attest(&config).env("VAULT_TOKEN", "").ok();
    assert!(!said.stderr.contains(&key.token), "{said:?}");
    assert_eq!(
        audited_requests(&audit, "read", "transit/keys/configured"),
        1
    );
    // What the step is told itself goes first: the configuration may be of a controller, and speak of files that are there alone.
    config["signers.kms.auth.address"] = json!(NEVER);
    config["signers.kms.auth.token-path"] = json!("/absent/token");
    key.entering(attest(&config)).ok();
    let said = attest(&config).env("VAULT_TOKEN", "").fails_with(2);
    assert!(said.stderr.contains("/absent/token"), "{said:?}");
    assert!(audited_requests(&audit, "update", "transit/sign/configured/sha2-256") > 1);
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn cosign_verifies_the_bundles_that_ours_signed() {
    for (kind, by_reference) in KINDS {
        let Some(key) = Key::make(&format!("bundle-{kind}"), kind) else {
            return;
        };
        let shop = Workshop::new();
        key.attest(&shop).args(["--layout", "bundle"]).ok();
        let Some(cosign) = key.cosign("3.1.3") else {
            return;
        };
        let public = key.public(&cosign, &shop);
        let known = [Some(public.as_path()), by_reference.then(|| key.path())];
        for key in known.into_iter().flatten() {
            cosign.verify(key, &shop.image, &[]).ok();
            cosign
                .verify_attestation(key, "slsaprovenance", &shop.image, &[])
                .ok();
        }
        key.entering(shop.verify(key.path())).ok();
    }
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn ours_verifies_what_cosign_signed_with_the_same_key() {
    for (version, kinds) in SIGNING {
        let layouts = match version.starts_with('2') {
            true => vec![Layout::Tags],
            false => vec![Layout::Tags, Layout::Bundles],
        };
        for (layout, kind) in layouts
            .iter()
            .flat_map(|layout| kinds.iter().map(move |kind| (*layout, *kind)))
        {
            let name = format!("cosign-{version}-{layout:?}-{kind}");
            let Some(key) = Key::make(&name, kind) else {
                return;
            };
            let Some(cosign) = key.cosign(version) else {
                return;
            };
            signed_by_cosign(&key, &cosign, layout);
        }
    }
}

/// `openbao://` is the same key by the name that cosign has for OpenBao since 3.1, which speaks Vault's API.
#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn the_name_for_openbao_means_the_same_key() {
    let Some(mut key) = Key::make("openbao", "ecdsa-p256") else {
        return;
    };
    let public = key.entering(Run::tool("tekseal-keys").args(["public", &key.reference]));
    let public = public.ok().stdout;
    key.reference = "openbao://openbao".to_owned();
    let entering = |run: Run| {
        run.env("BAO_ADDR", key.vault.url())
            .env("BAO_TOKEN", &key.token)
    };
    let said = entering(Run::tool("tekseal-keys").args(["public", &key.reference])).ok();
    assert_eq!(said.stdout, public);
    let shop = Workshop::new();
    entering(shop.attest_command(&shop.run(), key.path())).ok();
    entering(shop.verify(key.path())).ok();
    let file = shop.file("bao.pub", public);
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            return;
        };
        let cosign = cosign
            .env("BAO_ADDR", key.vault.url())
            .env("BAO_TOKEN", &key.token);
        cosign.verify(&file, &shop.image, &[]).ok();
        // The older one takes the scheme for that of a plugin.
        let said = cosign.verify(key.path(), &shop.image, &[]);
        assert_eq!(said.code() == Some(0), version.starts_with('3'), "{said:?}");
        if version.starts_with('3') {
            let theirs = Workshop::new();
            cosign
                .sign(key.path(), "", &theirs.image, Layout::Bundles)
                .ok();
            entering(theirs.verify(key.path()))
                .args(["--only", "signature"])
                .ok();
        }
    }
    let root = key.vault.root();
    let made = |run: Run| run.env("BAO_ADDR", key.vault.url()).env("BAO_TOKEN", root);
    let keygen = || {
        made(Run::tool("tekseal-keygen").args(["--kms", "openbao://made-for-openbao"]))
            .arg("--output-key-prefix")
            .arg(shop.path("made"))
    };
    keygen().ok();
    keygen().arg("--rotate").ok();
    // Each error has the name that the user gave.
    entering(Run::tool("tekseal-keys").args(["public", "openbao://absent"]))
        .fails_with(2)
        .says("openbao://absent");
    Run::tool("tekseal-keys")
        .args(["public", "openbao://absent"])
        .fails_with(2)
        .says("openbao:// cannot be used: nothing says where Vault is");
}

fn signed_by_cosign(key: &Key, cosign: &Cosign, layout: Layout) {
    let predicate = fixtures().join("cosign-samples/inputs/predicate-slsa1.json");
    let shop = Workshop::new();
    cosign.sign(key.path(), "", &shop.image, layout).ok();
    let attested = cosign.attest(
        key.path(),
        "",
        "slsaprovenance1",
        &predicate,
        &shop.image,
        layout,
    );
    attested.ok();
    key.entering(shop.verify(key.path())).ok();
    shop.verify(&key.public(cosign, &shop)).ok();
    let Some(other) = Key::make(&format!("other-than-{}", key.name()), "ecdsa-p256") else {
        return;
    };
    other.entering(shop.verify(other.path())).fails_with(1);
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_key_that_cannot_be_used_leaves_nothing_beside_the_image() {
    let Some(key) = Key::make("unusable", "ecdsa-p256") else {
        return;
    };
    let shop = Workshop::new();
    let refused = |run: Run, status: i32, wanted: &str| {
        let said = run.fails_with(status).stderr;
        assert!(said.contains(wanted), "{said}");
        assert!(!said.contains(&key.token), "{said}");
        assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
    };
    let attest = |name: &str| key.entering(shop.attest_command(&shop.run(), Path::new(name)));
    refused(attest("hashivault://others"), 2, "permission denied");
    refused(
        attest("hashivault://unusable").env("VAULT_TOKEN", "hvs.wrong"),
        2,
        "permission denied",
    );
    refused(
        attest("hashivault://unusable").env("VAULT_ADDR", NEVER),
        3,
        "cannot read hashivault://unusable",
    );
    refused(
        attest("hashivault://unusable").env("VAULT_ADDR", ""),
        2,
        "set VAULT_ADDR, BAO_ADDR or signers.kms.auth.address",
    );
    refused(
        attest("hashivault://unusable").env("VAULT_TOKEN", ""),
        2,
        "no credentials for Vault",
    );
}
