//! Azure Key Vault, as its documentation has it: who asks, what is signed, and what is made of answers that are wrong.
//!
//! The server is the harness's, so this proves shape: not that Azure agrees.

mod asking;
mod hostile;
mod making;
mod refused;
mod signing;

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tekseal_core::Blame;
use tekseal_custody::{Context, Error, Settings, open};
use tekseal_harness::{AzureVault, KeyKind};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::{KeyRef, KmsRef};
use tekseal_signing::{PublicKey, Signer};

fn parsed(text: &str) -> KmsRef {
    match KeyRef::parse(text) {
        Ok(KeyRef::Kms(key)) => key,
        other => panic!("it is one: {other:?}"),
    }
}

fn reference(vault: &AzureVault, rest: &str) -> KmsRef {
    parsed(&format!("azurekms://{}/{rest}", vault.address()))
}

/// A context with these variables alone, which knows the authority of the server.
fn context_of(vault: &AzureVault, variables: &[(&str, String)]) -> Context {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    let settings = Settings {
        options: Options {
            ca: vec![vault.ca()],
            timeout: Duration::from_millis(1500),
            tries: 2,
            ..Options::default()
        },
        ..Settings::default()
    };
    Context::with_variables(settings, Arc::new(move |name| variables.get(name).cloned()))
}

fn context(vault: &AzureVault) -> Context {
    context_of(vault, &vault.workload_identity())
}

/// A vault with a P-256 key of one version, and its public half.
fn with_key() -> (AzureVault, PublicKey) {
    let vault = AzureVault::start();
    let (_, public) = vault.add_version("k", KeyKind::P256);
    let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
    (vault, public)
}

async fn opened(vault: &AzureVault) -> Signer {
    let signer = open(&reference(vault, "k"), &context(vault)).await;
    signer.unwrap_or_else(|error| panic!("{}", said(&error)))
}

async fn refused(vault: &AzureVault, rest: &str) -> Error {
    let opened = open(&reference(vault, rest), &context(vault)).await;
    opened.err().expect("it cannot be opened")
}

/// All that an error says.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[track_caller]
fn assert_says(error: &Error, blame: Blame, parts: &[&str]) {
    let text = said(error);
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert_eq!(error.blame(), blame, "{text}");
}
