//! Keys in Vault, held against a server that speaks its API and lies in every way. That a real Vault does speak so is held in `tests/it/custody`.

mod answers;
mod entering;
mod server;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_core::Digest;
use tekseal_core::digest::hex;
use tekseal_custody::{Context, Error, Settings, VaultSettings};
use tekseal_harness::at_once;
use tekseal_remote::rest::Options;
use tekseal_signing::Signer;
use tekseal_signing::key_ref::{KeyRef, KmsRef};

use crate::server::{Reply, Seen, Server};

/// The token of all tests.
const TOKEN: &str = "hvs.secret-token";

/// A key in this process.
fn signer(seed: u8) -> Signer {
    Signer::generate(&mut |bytes| {
        bytes.fill(seed);
        Ok(())
    })
    .unwrap_or_else(|e| panic!("a good scalar: {e}"))
}

fn key() -> KmsRef {
    let KeyRef::Kms(key) = KeyRef::parse("hashivault://k").expect("it is well formed") else {
        panic!("it is the key of a service");
    };
    key
}

/// What Vault says of `k` with these versions.
fn described(versions: &[&Signer]) -> Value {
    let keys: serde_json::Map<String, Value> = (1..)
        .zip(versions)
        .map(|(number, signer): (u64, _)| {
            let public = signer.public_key().to_pem();
            (
                number.to_string(),
                json!({"name": "P-256", "public_key": public, "creation_time": "2026-01-01T00:00:00Z"}),
            )
        })
        .collect();
    json!({"data": {
        "name": "k", "type": "ecdsa-p256", "derived": false, "latest_version": versions.len(), "keys": keys,
        "supports_signing": true,
    }})
}

/// What Vault says when it signs what it was sent, by its newest version and with this key.
fn signed(seen: &Seen, version: u64, signer: &Signer) -> Value {
    let input = seen.json()["input"].as_str().expect("a text").to_owned();
    let digest = STANDARD.decode(input).expect("base64");
    let digest: Digest = format!("sha256:{}", hex(&digest))
        .parse()
        .expect("the digest of a message");
    let signature = at_once(signer.sign_digest(&digest)).expect("the key is here");
    json!({"data": {"signature": format!("vault:v{version}:{}", STANDARD.encode(signature)), "key_version": version}})
}

/// A Vault with one version of `k`, which answers to a signature as told.
fn vault(sign: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |seen| match seen.path.as_str() {
        "/v1/transit/keys/k" => Reply::json(200, &described(&[&signer(1)])),
        _ => sign(seen),
    })
}

/// A Vault that says this of `k`.
fn describing(status: u16, body: impl Into<Vec<u8>>) -> Server {
    let body = body.into();
    Server::start(move |_| Reply::text(status, body.clone()))
}

fn refusal(status: u16, reason: &str) -> Reply {
    Reply::json(status, &json!({"errors": [reason]}))
}

/// No patience, so that failures are quick.
fn options() -> Options {
    Options {
        tries: 1,
        timeout: Duration::from_secs(20),
        ..Options::default()
    }
}

/// With these variables and settings, and no other.
fn context_of(variables: &[(&str, &str)], vault: VaultSettings) -> Context {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect();
    let settings = Settings {
        options: options(),
        vault,
        ..Settings::default()
    };
    Context::with_variables(settings, Arc::new(move |name| variables.get(name).cloned()))
}

fn context(server: &Server, more: &[(&str, &str)]) -> Context {
    let mut variables = vec![("VAULT_ADDR", server.url.as_str()), ("VAULT_TOKEN", TOKEN)];
    variables.extend_from_slice(more);
    context_of(&variables, VaultSettings::default())
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

fn open(context: &Context) -> Result<Signer, Error> {
    wait(tekseal_custody::open(&key(), context))
}

fn opening(context: &Context) -> Error {
    match open(context) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// The error and its causes, as programs print them. No token is in it.
fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    assert!(!text.contains(TOKEN), "{text}");
    assert!(text.len() < 1000, "{text}");
    text
}
