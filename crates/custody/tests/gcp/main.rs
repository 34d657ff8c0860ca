//! Google Cloud KMS, as its documentation has it: who asks, what is signed, and what is made of answers that are wrong.
//!
//! The server is the harness's, so this proves shape: not that Google agrees.

mod asking;
mod hostile;
mod making;
mod refused;
mod signing;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tekseal_core::Blame;
use tekseal_custody::{Context, Error, Settings, open};
use tekseal_harness::GoogleKms;
use tekseal_remote::rest::Options;
use tekseal_signing::Signer;
use tekseal_signing::key_ref::{KeyRef, KmsRef};

const KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const P256: &str = "EC_SIGN_P256_SHA256";

fn reference(resource: &str) -> KmsRef {
    match KeyRef::parse(&format!("gcpkms://{resource}")) {
        Ok(KeyRef::Kms(key)) => key,
        other => panic!("it is one: {other:?}"),
    }
}

/// A context with these variables alone.
fn context_of(variables: &[(&str, &str)]) -> Context {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    let settings = Settings {
        options: Options {
            timeout: Duration::from_millis(1500),
            tries: 2,
            ..Options::default()
        },
        ..Settings::default()
    };
    Context::with_variables(settings, Arc::new(move |name| variables.get(name).cloned()))
}

/// A context that knows the server, and asks with the credentials in a file.
fn context(kms: &GoogleKms, file: &Path) -> Context {
    let (name, url) = kms.endpoint();
    let file = file.display().to_string();
    context_of(&[(name, &url), ("GOOGLE_APPLICATION_CREDENTIALS", &file)])
}

/// A server with a P-256 key of one version, and its public half.
fn with_key() -> (GoogleKms, String) {
    let kms = GoogleKms::start();
    kms.add_key(KEY, P256);
    let public = kms.add_version(KEY, "ENABLED");
    (kms, public)
}

async fn opened(kms: &GoogleKms) -> Signer {
    let signer = open(&reference(KEY), &context(kms, &kms.account_file())).await;
    signer.unwrap_or_else(|error| panic!("{}", said(&error)))
}

async fn refused(kms: &GoogleKms, resource: &str) -> Error {
    let opened = open(&reference(resource), &context(kms, &kms.account_file())).await;
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
