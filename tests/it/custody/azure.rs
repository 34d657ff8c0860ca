//! Azure Key Vault, as its documentation has it: what is signed there is like what is signed here.

use std::path::Path;

use tekseal_harness::{AzureVault, KeyKind, Run, cosign};

use crate::workshop::Workshop;

/// A command that knows who asks the vault, and the authority of its certificate.
fn at(run: Run, vault: &AzureVault) -> Run {
    let run = run.env("SSL_CERT_FILE", vault.ca());
    let variables = vault.workload_identity();
    variables
        .into_iter()
        .fold(run, |run, (name, value)| run.env(name, value))
}

#[test]
fn cosign_verifies_what_was_signed_with_a_key_of_azure() {
    let vault = AzureVault::start();
    for (name, kind, digest) in [
        ("p256", KeyKind::P256, "sha256"),
        ("rsa", KeyKind::Rsa(4096), "sha256"),
        ("p384", KeyKind::P384, "sha384"),
        ("p521", KeyKind::P521, "sha512"),
    ] {
        let shop = Workshop::new();
        let (_, public) = vault.add_version_in_hsm(name, kind);
        let public = shop.file("key.pub", public);
        let reference = format!("azurekms://{}/{name}", vault.address());
        vault.forget();
        let attest = shop.attest_command(&shop.run(), Path::new(&reference));
        at(attest, &vault).ok();
        assert_eq!(vault.count("GET", ""), 1, "{name}");
        assert_eq!(vault.count("POST", "/sign"), 2, "{name}");
        assert_eq!(vault.count("POST", "/token"), 1, "{name}");
        let flags = ["--signature-digest-algorithm", digest];
        for version in ["2.6.5", "3.1.3"] {
            let Some(cosign) = cosign(version) else {
                continue;
            };
            cosign.verify(&public, &shop.image, &flags).ok();
            if digest == "sha256" {
                cosign
                    .verify_attestation(&public, "slsaprovenance", &shop.image, &[])
                    .ok();
            }
        }
        shop.verify(&public).args(flags).ok();
        at(shop.verify(Path::new(&reference)), &vault)
            .args(flags)
            .ok();
    }
}

#[test]
fn a_key_that_azure_does_not_let_sign_publishes_nothing() {
    let vault = AzureVault::start();
    let shop = Workshop::new();
    vault.add_version("k", KeyKind::P256);
    let reference = format!("azurekms://{}/k", vault.address());
    let attest = || {
        at(
            shop.attest_command(&shop.run(), Path::new(&reference)),
            &vault,
        )
    };
    vault.alter("/sign", |answer| {
        answer["value"] = "A".repeat(86).into();
    });
    let said = attest().fails_with(3).stderr;
    assert!(said.contains("is none of its public key"), "{said}");

    vault.forget();
    vault.disable("k");
    let said = attest().fails_with(2).stderr;
    assert!(said.contains("disabled"), "{said}");
    let said = attest().env("AZURE_TENANT_ID", "").fails_with(2).stderr;
    assert!(said.contains("AZURE_TENANT_ID must be set too"), "{said}");
    assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
}
