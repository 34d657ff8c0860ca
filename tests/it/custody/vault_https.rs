//! A real Vault whose certificate is by a private authority: known by what its own client reads, by our flags, and to the controller's inventory.

use std::fs;
use std::path::Path;

use tekseal_harness::{Certificates, Run, Vault, cosign};

use crate::workshop::Workshop;

const KEY: &str = "hashivault://private";

/// One with the key, and a token that may sign with it.
fn vault() -> Option<(Vault, String)> {
    let vault = Vault::start_with_https("127.0.0.1")?;
    vault.make_key("private", "ecdsa-p256");
    vault.make_policy("private");
    let token = vault.token(&["private"], "1h");
    Some((vault, token))
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_private_authority_is_given_as_vaults_own_client_reads_it() {
    let Some((vault, token)) = vault() else {
        return;
    };
    let ca = vault.ca().display().to_string();
    let text = fs::read_to_string(vault.ca()).expect("it is there");
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(vault.ca(), folder.path().join("ca.crt")).expect("the folder is ours");
    let in_folder = folder.path().display().to_string();
    let other = Certificates::make();
    let other = other.ca().display().to_string();
    let ask = |url: &str, variables: &[(&str, &str)]| {
        let run = Run::tool("tekseal-keys")
            .args(["public", KEY])
            .env("VAULT_ADDR", url)
            .env("VAULT_TOKEN", &token);
        variables
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
    };
    let (url, named) = (vault.https_url(), vault.named_url());
    for variable in [
        ("VAULT_CACERT", ca.as_str()),
        ("VAULT_CAPATH", &in_folder),
        ("VAULT_CACERT_BYTES", &text),
        ("BAO_CACERT", &ca),
        ("BAO_CACERT_BYTES", &text),
        ("SSL_CERT_FILE", &ca),
        ("TEKSEAL_CA", &ca),
    ] {
        ask(&url, &[variable]).ok();
    }
    let refused = |url: &str, variables: &[(&str, &str)], wanted: &str| {
        let said = ask(url, variables).fails_with(2).says(wanted);
        assert!(!said.stderr.contains(&token), "{said:?}");
    };
    refused(&url, &[], "certificate");
    refused(&url, &[("VAULT_CACERT", &other)], "certificate");
    refused(&url, &[("VAULT_CACERT", "/absent")], "cannot read /absent");
    refused(
        &url,
        &[("VAULT_CACERT_BYTES", "hunter2")],
        "VAULT_CACERT_BYTES cannot be used: it has no certificate in it",
    );
    // Where the certificate is for another name than the address has.
    let known = ("VAULT_CACERT", ca.as_str());
    refused(&named, &[known], "certificate");
    ask(&named, &[known, ("VAULT_TLS_SERVER_NAME", Vault::NAME)]).ok();
    ask(&named, &[known, ("BAO_TLS_SERVER_NAME", Vault::NAME)]).ok();
    let wrong = ("VAULT_TLS_SERVER_NAME", "other.test");
    refused(&named, &[known, wrong], "certificate");
    refused(
        &named,
        &[("VAULT_TLS_SERVER_NAME", Vault::NAME)],
        "certificate",
    );
    refused(
        &named,
        &[known, ("VAULT_TLS_SERVER_NAME", "no name")],
        "VAULT_TLS_SERVER_NAME cannot be used",
    );
    // Unverified only by our own name for it.
    let skip = ("VAULT_SKIP_VERIFY", "true");
    let insecure = "TEKSEAL_INSECURE_VAULT_SKIP_VERIFY";
    refused(&url, &[skip], insecure);
    refused(&url, &[skip, (insecure, "false")], "certificate");
    refused(&url, &[(insecure, "perhaps")], "wanted true or false");
    let said = ask(&named, &[(insecure, "true")]).ok();
    assert!(said.stderr.contains(insecure), "it is told: {said:?}");
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn each_program_that_asks_a_service_can_be_told_its_authority() {
    let Some((vault, token)) = vault() else {
        return;
    };
    let shop = Workshop::new();
    let entering = |run: Run| {
        run.env("VAULT_ADDR", vault.https_url())
            .env("VAULT_TOKEN", &token)
    };
    let of_registry = |run: Run| entering(run).arg("--registry-ca").arg(vault.ca());
    let run = shop.run();
    // With an authority a registry on loopback is asked by https first, and by http where it has none.
    of_registry(shop.attest_command(&run, Path::new(KEY))).ok();
    of_registry(shop.verify(Path::new(KEY))).ok();
    entering(Run::tool("tekseal-explain"))
        .arg(&run)
        .args(["--key", KEY, "--ca"])
        .arg(vault.ca())
        .ok();
    entering(Run::tool("tekseal-explain"))
        .arg(&run)
        .args(["--key", KEY])
        .fails_with(2)
        .says("certificate");
    let keygen = || {
        Run::tool("tekseal-keygen")
            .args(["--kms", "hashivault://made", "--output-key-prefix"])
            .arg(shop.path("made"))
            .env("VAULT_ADDR", vault.https_url())
            .env("VAULT_TOKEN", vault.root())
    };
    keygen().fails_with(2).says("certificate");
    keygen().arg("--ca").arg(vault.ca()).ok();
    keygen().arg("--rotate").arg("--ca").arg(vault.ca()).ok();
    let Some(cosign) = cosign("3.1.3") else {
        return;
    };
    // What cosign reads is what ours reads.
    let cosign = cosign
        .env("VAULT_ADDR", vault.https_url())
        .env("VAULT_TOKEN", vault.root())
        .env("VAULT_CACERT", vault.ca());
    cosign.verify(Path::new(KEY), &shop.image, &[]).ok();
    entering(shop.verify(Path::new(KEY)))
        .env("VAULT_CACERT", vault.ca())
        .ok();
}
