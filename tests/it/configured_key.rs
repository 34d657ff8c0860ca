//! Steps that sign with what the configuration names, because no flag names anything.

use std::path::PathBuf;

use serde_json::{Value, json};
use tekseal_harness::Run;

use crate::workshop::{PASSWORD, Workshop};

fn attest(shop: &Workshop, config: &Value) -> Run {
    let config = shop.file("config.json", config.to_string());
    Run::tool("tekseal-attest")
        .arg("--run")
        .arg(shop.run())
        .arg("--config")
        .arg(config)
        .env("COSIGN_PASSWORD", PASSWORD)
}

fn keys(shop: &Workshop) -> [(PathBuf, PathBuf); 2] {
    ["configured", "given"].map(|name| shop.key_pair(name))
}

#[test]
fn the_key_that_the_configuration_names_signs_where_no_flag_names_one() {
    let shop = Workshop::new();
    let [(configured, configured_pub), (given, given_pub)] = keys(&shop);
    let config = json!({"signers.cosign.key": configured});
    attest(&shop, &config).ok();
    shop.verify(&configured_pub).ok();
    shop.verify(&given_pub).fails_with(1);
    attest(&shop, &config).arg("--key").arg(&given).ok();
    shop.verify(&given_pub).ok();
}

#[test]
fn tekseal_sign_takes_it_too() {
    let shop = Workshop::new();
    let [(configured, configured_pub), _] = keys(&shop);
    let config = json!({"signers.cosign.key": configured}).to_string();
    let payloads = shop.path("payloads");
    let provenance = Run::tool("tekseal-provenance").arg("--run").arg(shop.run());
    provenance.arg("--out").arg(&payloads).ok();
    Run::tool("tekseal-sign")
        .arg("--config")
        .arg(shop.file("config.json", config))
        .arg(&payloads)
        .env("COSIGN_PASSWORD", PASSWORD)
        .ok();
    Run::tool("tekseal-upload").arg(&payloads).ok();
    shop.verify(&configured_pub).ok();
}

#[test]
fn what_names_no_key_or_several_signs_nothing() {
    let shop = Workshop::new();
    let absent = shop.path("absent.key");
    let (_, public) = shop.key_pair("none");
    let kms = |kinds: &[&str]| {
        let mut config = json!({"signers.kms.kmsref": "hashivault://k", "signers.kms.auth.address": "http://127.0.0.1:1"});
        for kind in kinds {
            config[format!("artifacts.{kind}.signer")] = json!("kms");
        }
        config
    };
    for (config, code, wanted) in [
        (json!({}), 2, "nothing says what to sign with"),
        (kms(&[]), 2, "nothing says what to sign with"),
        (kms(&["oci"]), 2, "say with --key"),
        (
            json!({"signers.cosign.key": absent}),
            2,
            "signers.cosign.key of --config",
        ),
        // It is asked where the configuration says.
        (
            kms(&["oci", "taskrun", "pipelinerun"]),
            3,
            "signers.kms.kmsref of --config",
        ),
    ] {
        let said = attest(&shop, &config)
            .env("VAULT_TOKEN", "hvs.nothing")
            .env("TEKSEAL_RETRY_FOR", "1")
            .fails_with(code);
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert!(!said.stderr.contains("hvs.nothing"), "{said:?}");
        shop.verify(&public).fails_with(1);
    }
}
