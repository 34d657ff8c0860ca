//! Certificates for whom identity tokens stand: from a server that speaks Fulcio's protocol, and that does not tell the truth where a test wants that.

mod agent;
mod fulcio;
mod holding;
mod spiffe;
mod tokens;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tekseal_core::TrustedRoot;
use tekseal_custody::keyless::Clock;
use tekseal_custody::token::Source;
use tekseal_custody::{Context, Fulcio, Keyless, Settings};
use tekseal_harness::{Certifier, service_account_claims, unsigned_token};
use tekseal_remote::rest::Options;
use tekseal_signing::Trust;

/// The name in certificates for the token of [`token`].
const NAME: &str = "https://kubernetes.io/namespaces/team/serviceaccounts/builder";

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("it is not 1970").as_secs()).expect("it fits")
}

fn token() -> String {
    unsigned_token(&service_account_claims("team", "builder"))
}

/// With these variables and no others, and a client that is not patient.
fn context(variables: &[(&str, &str)]) -> Context {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect();
    let options = Options {
        timeout: Duration::from_secs(2),
        tries: 2,
        ..Options::default()
    };
    let settings = Settings {
        options,
        ..Settings::default()
    };
    let variables = Arc::new(move |name: &str| variables.get(name).cloned());
    Context::with_variables(settings, variables)
}

/// What is trusted of a certifier.
fn trust(certifier: &Certifier) -> Option<Arc<Trust>> {
    let root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": [certifier.authority()],
    });
    let root = TrustedRoot::parse(root.to_string().as_bytes()).expect("good");
    Some(Arc::new(Trust::new(&root).expect("good")))
}

fn keyless(
    source: Source,
    url: &str,
    trust: Option<Arc<Trust>>,
    variables: &[(&str, &str)],
    clock: Clock,
) -> Keyless {
    let context = context(variables);
    let fulcio = Fulcio::new(url, &context, trust).expect("a good URL");
    Keyless::new(source, fulcio, context, clock)
}

/// With a token in a variable, at the server with this address.
fn asking(address: &str, trust: Option<Arc<Trust>>) -> Keyless {
    let source = Source::Variable("TOKEN".to_owned());
    let url = format!("http://{address}");
    keyless(source, &url, trust, &[("TOKEN", &token())], now)
}

/// The whole text of a failure, with its causes; no part of the token is in it.
async fn refused(keyless: &Keyless) -> String {
    let Err(error) = keyless.signer().await else {
        panic!("it was to be refused")
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(!text.contains("eyJ"), "{text}");
    text
}

fn write_token(path: &Path, claims: &Value) {
    std::fs::write(path, format!("{}\n", unsigned_token(claims))).expect("the folder is ours");
}
