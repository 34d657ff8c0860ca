//! Requests with a bearer token that is fetched when needed, kept while it lasts, and never shown.
//!
//! RFC 6750. How a token is come by is for each cloud to say ([`Credentials`]); here is when it is asked for again: shortly before its end, and once where
//! the service does not take one that has been in use.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tekseal_remote::Rest;
use tekseal_remote::rest::header::{AUTHORIZATION, CONTENT_TYPE};
use tekseal_remote::rest::{Answer, Method, Request, Url};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{Error, secret_file};

/// How somebody gets tokens.
pub(crate) trait Credentials: Send + Sync {
    /// The service that the tokens are for.
    const SERVICE: &'static str;

    /// A new token.
    fn grant(&self) -> impl Future<Output = Result<Granted, Error>> + Send;
}

/// A token and how long it lasts.
pub(crate) struct Granted {
    pub(crate) token: Zeroizing<String>,
    pub(crate) life: Duration,
}

/// A client that says who is asking.
pub(crate) struct Bearer<C> {
    rest: Rest,
    credentials: C,
    held: Mutex<Option<Held>>,
}

/// The value of the header, and until when it is used.
struct Held {
    header: Zeroizing<String>,
    until: Instant,
}

/// No token is used for longer.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(60);
/// What a file with a token or with credentials may have.
const FILE_LIMIT: usize = 256 * 1024;
/// What an answer with a token may have.
pub(crate) const TOKEN_LIMIT: u64 = 64 * 1024;

impl<C: Credentials> Bearer<C> {
    pub(crate) fn new(rest: Rest, credentials: C) -> Self {
        Self {
            rest,
            credentials,
            held: Mutex::new(None),
        }
    }

    /// Sends a request with a token; `action` is what it asks for, for errors.
    pub(crate) async fn send(&self, action: &str, request: &Request) -> Result<Answer, Error> {
        let (answer, is_fresh) = self.attempt(action, request).await?;
        if answer.status != 401 || is_fresh {
            return Ok(answer);
        }
        // Revoked, or of another time than its issuer says.
        *self.held.lock().await = None;
        let (answer, _) = self.attempt(action, request).await?;
        Ok(answer)
    }

    /// Also whether the token was fetched for this request.
    async fn attempt(&self, action: &str, request: &Request) -> Result<(Answer, bool), Error> {
        let (header, is_fresh) = self.header().await?;
        let request = request
            .clone()
            .secret_header(AUTHORIZATION, header.as_bytes())
            .map_err(|_| Error::Answer {
                service: C::SERVICE,
                action: "take a token".to_owned(),
                found: "one with characters that no token has".to_owned(),
                wanted: "a token",
            })?;
        let answer = self.rest.send(&request).await;
        let answer = answer.map_err(|source| failed(action, source))?;
        Ok((answer, is_fresh))
    }

    async fn header(&self) -> Result<(Zeroizing<String>, bool), Error> {
        // Whoever comes meanwhile waits for the same token.
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && Instant::now() < held.until
        {
            return Ok((held.header.clone(), false));
        }
        let Granted { token, life } = self.credentials.grant().await?;
        let life = life.min(LONGEST_LIFE);
        let header = Zeroizing::new(format!("Bearer {}", *token));
        *held = Some(Held {
            header: header.clone(),
            until: Instant::now() + life.saturating_sub(MARGIN).max(life / 2),
        });
        Ok((header, true))
    }
}

/// No complete answer came.
pub(crate) fn failed(action: &str, source: tekseal_remote::rest::Failed) -> Error {
    Error::Request {
        action: action.to_owned(),
        source: Box::new(source),
    }
}

/// A request with a form.
pub(crate) fn post_form(url: &Url, pairs: &[(&str, &str)]) -> Request {
    // A URL's query is written like a form.
    let mut form = url.clone();
    form.set_query(None);
    form.query_pairs_mut().extend_pairs(pairs);
    let form = form.query().unwrap_or_default().to_owned();
    Request::new(Method::POST, url.clone(), TOKEN_LIMIT)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form)
}

/// A request with a JSON document.
pub(crate) fn post_json(url: Url, document: &Value, limit: u64) -> Request {
    Request::new(Method::POST, url, limit)
        .header(CONTENT_TYPE, "application/json")
        .body(document.to_string())
}

/// Reads the JSON of an answer. What the reader says is not shown: it might quote a token.
pub(crate) fn read<T: DeserializeOwned>(
    service: &'static str,
    action: &str,
    answer: &Answer,
    wanted: &'static str,
) -> Result<T, Error> {
    serde_json::from_slice(&answer.body).map_err(|_| Error::Answer {
        service,
        action: action.to_owned(),
        found: format!("{} bytes that are none", answer.body.len()),
        wanted,
    })
}

/// What issuers of tokens answer: RFC 6749, section 5.1. Numbers are texts with some.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Number>,
    /// Seconds since 1970, where App Service tells nothing else.
    #[serde(default)]
    expires_on: Option<Number>,
}

/// A number, or a text that is one, as Google and Azure write it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Number(u64),
    Text(String),
}

impl Number {
    pub(crate) fn get(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// Asks an issuer for a token.
pub(crate) async fn ask_for_token(
    rest: &Rest,
    service: &'static str,
    action: &str,
    request: &Request,
) -> Result<Granted, Error> {
    let answer = rest.send(request).await;
    let answer = answer.map_err(|source| failed(action, source))?;
    if !answer.is_success() {
        return Err(no_token(service, action, &answer));
    }
    granted(service, action, &answer)
}

/// The token in an answer.
pub(crate) fn granted(
    service: &'static str,
    action: &str,
    answer: &Answer,
) -> Result<Granted, Error> {
    let read: TokenAnswer = read(service, action, answer, "a token")?;
    let token = Zeroizing::new(read.access_token);
    if token.is_empty() {
        return Err(Error::Answer {
            service,
            action: action.to_owned(),
            found: "an empty one".to_owned(),
            wanted: "a token",
        });
    }
    let until = read.expires_on.as_ref().and_then(Number::get);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let life = read.expires_in.as_ref().and_then(Number::get);
    let life = life.or(until.map(|until| until.saturating_sub(now)));
    Ok(Granted {
        token,
        life: Duration::from_secs(life.unwrap_or_default()),
    })
}

/// An issuer gives no token: RFC 6749, section 5.2, or the form of Google's services.
pub(crate) fn no_token(service: &'static str, action: &str, answer: &Answer) -> Error {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = match &said["error"] {
        Value::String(code) => join(code, &text(&said["error_description"])),
        error => join(&text(&error["status"]), &text(&error["message"])),
    };
    refused(service, action, answer, &told, "")
}

/// A service says no. `advice` is what to do about it.
pub(crate) fn refused(
    service: &'static str,
    action: &str,
    answer: &Answer,
    told: &str,
    advice: &str,
) -> Error {
    let mut detail = String::new();
    for part in [answer.told(told).as_str(), advice] {
        if !part.is_empty() {
            detail.push_str(if detail.is_empty() { ": " } else { "; " });
            detail.push_str(part);
        }
    }
    Error::Refused {
        service,
        action: action.to_owned(),
        status: answer.status,
        detail,
        may_pass: matches!(answer.status, 408 | 429 | 500 | 502..=599),
        retry_after: retry_after(answer),
    }
}

/// `CODE message`
pub(crate) fn join(code: &str, message: &str) -> String {
    format!("{code} {message}").trim().to_owned()
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers.get("retry-after")?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// A URL that somebody has set: https, or http to this machine, without a user. `name` is where it was set.
pub(crate) fn endpoint(name: &str, text: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Setting {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| refuse("it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("its URL has a user"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(refuse(
            "its URL must be of https; http is for this machine alone",
        )),
    }
}

/// Whether a URL leads to this machine by its name or address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The content of a file that holds a secret.
pub(crate) fn read_file(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::File {
        what,
        path: path.to_owned(),
        source,
    };
    let content = secret_file::read(path, FILE_LIMIT).map_err(failed)?;
    if content.len() > FILE_LIMIT {
        return Err(failed(std::io::Error::other(format!(
            "it has more than {FILE_LIMIT} bytes"
        ))));
    }
    Ok(content)
}

/// The token in a file, without the line break at its end.
pub(crate) fn read_token(what: &'static str, path: &Path) -> Result<Zeroizing<String>, Error> {
    let content = read_file(what, path)?;
    let token = std::str::from_utf8(&content).unwrap_or_default().trim();
    if token.is_empty() {
        return Err(Error::File {
            what,
            path: path.to_owned(),
            source: std::io::Error::other("there is no token in it"),
        });
    }
    Ok(Zeroizing::new(token.to_owned()))
}
