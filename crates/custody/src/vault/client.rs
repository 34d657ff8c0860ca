//! Asks Vault: one request with a token, and what its refusals mean.

use std::time::Duration;

use serde::Deserialize;
use tekseal_remote::Rest;
use tekseal_remote::rest::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use tekseal_remote::rest::{Answer, Method, Request, Url};
use tekseal_signing::key_ref::VaultScheme;
use zeroize::Zeroizing;

use super::tokens::{Token, Tokens};
use super::{SERVICE, place};
use crate::{Context, Error};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// A proxy of Vault's, its agent, may insist on it: no browser can be made to send it.
const IS_REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// Reasons that stay, though Vault gives them with status 500: a version below the least that may sign or without its private part, and a message that is
/// larger than its listener takes (1 MiB unless it is told otherwise).
const LASTING: [&str; 2] = ["requested version for signing", "exceeds allowed length"];
/// No time for a wait is longer than this, whatever is asked for.
const LONGEST_WAIT: u64 = 3600;

/// Vault, as this process gets into it.
pub(super) struct Vault {
    rest: Rest,
    address: Url,
    /// The variable, and its value.
    namespace: Option<(String, String)>,
    tokens: Tokens,
}

/// One question.
pub(super) struct Ask<'a> {
    /// What is done, for people: `sign with version 1 of hashivault://k`.
    pub(super) action: String,
    pub(super) method: Method,
    /// Below `/v1/`.
    pub(super) path: &'a str,
    pub(super) body: Option<Vec<u8>>,
    /// How many bytes may come back.
    pub(super) limit: u64,
    /// Whether it may be asked a second time where no answer comes.
    pub(super) repeat: Repeat,
    /// What a policy must allow for it.
    pub(super) capability: &'static str,
}

/// Whether asking twice does the same as asking once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Harmless,
    Never,
}

/// How Vault refuses.
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<String>,
}

impl Vault {
    pub(super) fn new(scheme: VaultScheme, context: &Context) -> Result<Self, Error> {
        let address = place::address(scheme, context)?;
        context.tell_if_plain("the token of Vault", &address);
        Ok(Self {
            rest: place::rest(context, &address)?,
            address,
            namespace: place::variable(context, "NAMESPACE"),
            tokens: Tokens::find(context)?,
        })
    }

    /// The answer, whatever its status. Where a login gave the token and Vault no longer takes it, it logs in anew, once.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let token = self.tokens.current(self).await?;
        let answer = self.send(ask, Some(&token), None).await?;
        if answer.status != 403 {
            return Ok(answer);
        }
        match self.tokens.instead_of(&token, self).await? {
            Some(token) => {
                let answer = self.send(ask, Some(&token), None).await?;
                if answer.status == 403 {
                    self.tokens.note_refused().await;
                }
                Ok(answer)
            }
            None => Ok(answer),
        }
    }

    /// Sends it as it is. `secret` is in its body.
    pub(super) async fn send(
        &self,
        ask: &Ask<'_>,
        token: Option<&Token>,
        secret: Option<&Zeroizing<String>>,
    ) -> Result<Answer, Error> {
        let mut url = self.address.clone();
        let prefix = self.address.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/v1/{}", ask.path));
        let mut request =
            Request::new(ask.method.clone(), url, ask.limit).header(IS_REQUEST, "true");
        if let Some(token) = token {
            let sent = request.secret_header(TOKEN, token.text.as_bytes());
            request = sent.map_err(|_| Error::Setting {
                name: self.tokens.name().to_owned(),
                reason: "it is no token: it has a line break or another control character"
                    .to_owned(),
            })?;
        }
        if let Some((name, namespace)) = &self.namespace {
            let sent = request.secret_header(NAMESPACE, namespace.as_bytes());
            request = sent.map_err(|_| Error::Setting {
                name: name.clone(),
                reason: "it has a line break or another control character".to_owned(),
            })?;
        }
        if let Some(secret) = secret {
            request = request.hiding(secret);
        }
        if let Some(body) = &ask.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        if ask.repeat == Repeat::Never {
            request = request.tries(1);
        }
        let answer = self.rest.send(&request).await;
        answer.map_err(|source| Error::Request {
            action: ask.action.clone(),
            source: Box::new(source),
        })
    }
}

impl Ask<'_> {
    /// What it means that Vault did not do it.
    pub(super) fn refused(&self, answer: &Answer) -> Error {
        let mut detail = said(answer);
        if answer.status == 403 && !self.capability.is_empty() {
            detail.push_str(&format!(
                "; the token must be valid, and a policy of it must allow {} on {}",
                self.capability, self.path
            ));
        }
        Error::Refused {
            service: SERVICE,
            action: self.action.clone(),
            status: answer.status,
            may_pass: matches!(answer.status, 408 | 412 | 429 | 472 | 473 | 500 | 502..)
                && !LASTING.iter().any(|reason| detail.contains(reason)),
            detail,
            retry_after: retry_after(answer),
        }
    }

    /// Reads the body of a success.
    pub(super) fn read<T: for<'de> Deserialize<'de>>(
        &self,
        answer: &Answer,
        wanted: &'static str,
    ) -> Result<T, Error> {
        if !answer.is_success() {
            return Err(self.refused(answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.wrong("something that is not its JSON".to_owned(), wanted))
    }

    /// The answer is not what Vault's API has.
    pub(super) fn wrong(&self, found: String, wanted: &'static str) -> Error {
        Error::Answer {
            service: SERVICE,
            action: self.action.clone(),
            found,
            wanted,
        }
    }
}

/// Whether it says that there is no such thing, and not that there is no such engine.
pub(super) fn is_absent(answer: &Answer) -> bool {
    let refusal = serde_json::from_slice::<Refusal>(&answer.body);
    answer.status == 404 && refusal.is_ok_and(|refusal| refusal.errors.is_empty())
}

/// Its reasons, after a colon, in one line.
fn said(answer: &Answer) -> String {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(&answer.body) else {
        return String::new();
    };
    let words = refusal.errors.iter().take(3).map(|reason| {
        let words: Vec<_> = reason.split_whitespace().collect();
        words.join(" ")
    });
    let text = words.collect::<Vec<_>>().join("; ");
    match answer.told(&text) {
        told if told.is_empty() => told,
        told => format!(": {told}"),
    }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}
