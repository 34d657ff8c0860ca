//! Public keys at URLs, as cosign reads them: what comes with a success is the key.
//!
//! Whoever answers decides what verifies, so a key is asked for at its own origin alone. Plain http is what the reference itself says; that
//! anybody on the way may put another key there is warned of.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::anyhow;
use tekseal_remote::Rest;
use tekseal_remote::rest::{Answer, Failed, Options, Request, Url};

use crate::registry_args::told_to_wait;
use crate::{Failure, log};

/// A client for public keys and for what has them, which trusts these authorities beside the system's and tells people when it waits.
pub(crate) fn client(ca: &[PathBuf]) -> Rest {
    Rest::new(Options {
        ca: ca.to_vec(),
        notice: told_to_wait,
        ..Options::default()
    })
}

/// Reads at most so many bytes.
///
/// # Errors
/// Exit 2 for what is no URL, for a redirect to elsewhere and for a refusal, 3 for what may pass.
pub(crate) async fn read(text: &str, limit: u64, ca: &[PathBuf]) -> Result<Vec<u8>, Failure> {
    let url = parse(text)?;
    warn_of_plain_http(&url, "the public key");
    let answer = client(ca).send(&Request::public(url, limit)).await;
    let answer = answer.map_err(failed)?;
    match answer.is_success() {
        true => Ok(answer.body.to_vec()),
        false => Err(refused(&answer)),
    }
}

/// Reads the URL of something that is asked for.
pub(crate) fn parse(text: &str) -> Result<Url, Failure> {
    let no_url = || {
        let shown = text.split(['?', '#']).next().unwrap_or_default();
        Failure::misuse(anyhow!("{shown:?} is no URL of a server"))
    };
    let url = Url::parse(text).map_err(|_| no_url())?;
    let is_server = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    is_server.then_some(url).ok_or_else(no_url)
}

/// Nobody is on the way within one machine.
pub(crate) fn warn_of_plain_http(url: &Url, what: &str) {
    if url.scheme() == "http" && !is_this_machine(url) {
        tell_plain_http(what, url.host_str().unwrap_or_default());
    }
}

/// Warns of what goes to, or comes from, a host by plain http.
pub(crate) fn tell_plain_http(what: &str, host: &str) {
    log::warn(
        "plain http: anybody on the way may read and replace it",
        &[("what", &what), ("host", &host)],
    );
}

/// What a status that is no success means.
pub(crate) fn refused(answer: &Answer) -> Failure {
    let error = anyhow!("the server answers with status {}", answer.status);
    match answer.status {
        408 | 429 | 500 | 502..=599 => Failure::outside(error),
        _ => Failure::misuse(error),
    }
}

/// No complete answer.
pub(crate) fn failed(error: Failed) -> Failure {
    let (blame, hint) = (error.blame(), error.hint());
    Failure::blamed(blame, error).hints(hint)
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_token_is_not_shown() {
        let failure = parse("https://?hunter2").expect_err("there is no host");
        assert!(!failure.message().contains("hunter2"), "{failure:?}");
    }

    #[test]
    fn only_this_machine_is_not_on_the_way() {
        for (url, is_here) in [
            ("http://127.0.0.1:80/k", true),
            ("http://[::1]/k", true),
            ("http://a.localhost/k", true),
            ("http://keys.svc/k", false),
            ("http://10.0.0.1/k", false),
        ] {
            let url = parse(url).expect("a URL");
            assert_eq!(is_this_machine(&url), is_here, "{url}");
        }
    }
}
