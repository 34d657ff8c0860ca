//! Asks services that sign for somebody, or that say who somebody is: key management services, issuers of tokens, Fulcio.
//!
//! Unlike [`service`](crate::service) a caller is authenticated here: headers and bodies may be secret, are marked so, and are never shown. A request goes
//! to its URL and nowhere else: no redirect is followed, for a credential would go along. Only what is [`Request::public`] may be sent on, within its
//! origin. Which statuses are refusals is for the protocol to say, so every status is an answer; what may pass by itself (408, 429, 5xx, no complete
//! answer) is tried again before, as long as the server asks for if that is short.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
pub use reqwest::header::{self, HeaderMap};
use reqwest::header::{HeaderName, HeaderValue, InvalidHeaderValue};
pub use reqwest::{Method, Url};
pub use rustls::pki_types::ServerName;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::detail::{Detail, Sent, printable};
use crate::error::{Cause, shown};
use crate::http::{self, Line};
pub use crate::retry::Tries;
use crate::retry::retry_after;
pub use crate::service::{Failed, Options};
pub use crate::tls::{Authorities, Certificate};

/// A client for such services. Clones share connections.
#[derive(Clone, Debug)]
pub struct Rest {
    line: Arc<Line>,
    options: Arc<Options>,
}

/// One request.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
    limit: u64,
    tries: Option<u32>,
    sent: Sent,
    redirects: usize,
}

/// How often a request without secrets may be sent on, at the same origin.
const MOST_REDIRECTS: usize = 3;

/// What came back, whatever its status is.
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body of a success; of anything else at most its first 8 KiB. It may be a token.
    pub body: Zeroizing<Vec<u8>>,
    sent: Sent,
}

impl fmt::Debug for Request {
    /// Without headers and body, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, shown(&self.url))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}, {} bytes", self.status, self.body.len())
    }
}

impl Request {
    /// A request whose answer may have so many bytes.
    #[must_use]
    pub fn new(method: Method, url: Url, limit: u64) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: None,
            limit,
            tries: None,
            sent: Sent::default(),
            redirects: 0,
        }
    }

    /// A request for what everybody may read. Nothing secret goes along, so it may be sent on within its origin.
    #[must_use]
    pub fn public(url: Url, limit: u64) -> Self {
        Self {
            redirects: MOST_REDIRECTS,
            ..Self::new(Method::GET, url, limit)
        }
    }

    /// With a header whose value is no secret.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// With a header whose value is never shown.
    ///
    /// # Errors
    /// If no header can have the value: it has a line break, or another control character.
    pub fn secret_header(
        mut self,
        name: HeaderName,
        value: &[u8],
    ) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::from_bytes(value)?;
        value.set_sensitive(true);
        self.sent.add_value(&value);
        self.headers.push((name, value));
        Ok(self)
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Where the body holds a secret: what the service says is not shown if it repeats it.
    #[must_use]
    pub fn hiding(mut self, secret: &str) -> Self {
        self.sent.add(secret);
        self
    }

    /// To be sent so often at the most, instead of as the options say.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }
}

impl Answer {
    /// Whether the status is one of success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Something that the service says, such as why it refuses, for people: cut short, without control characters, and not shown if it repeats a
    /// secret that it was sent.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        printable(text, 200, &self.sent)
    }
}

impl Rest {
    /// A client. Nothing is sent yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let line = Line::new(Vec::new(), options.files(), None, options.timeout)
            .expect("only names of insecure registries can be wrong");
        Self {
            line: Arc::new(line),
            options: Arc::new(options),
        }
    }

    /// Sends the request and reads its answer.
    ///
    /// # Errors
    /// Where there is no complete answer, where it is too large, or sends to somewhere else.
    pub async fn send(&self, request: &Request) -> Result<Answer, Failed> {
        let most = request.tries.unwrap_or(self.options.tries);
        let mut tries = Tries::new(most, self.options.notice);
        loop {
            match self.attempt(request).await {
                Ok(answer) if may_pass(answer.status) => {
                    let cause = Cause::Status {
                        url: shown(&request.url),
                        status: answer.status,
                        detail: Detail::default(),
                        retry_after: retry_after(&answer.headers),
                    };
                    if !tries.wait(&cause, cause.retry_after()).await {
                        return Ok(answer);
                    }
                }
                Ok(answer) => return Ok(answer),
                Err(failed) => {
                    if !failed.may_pass() || !tries.wait(&failed, failed.retry_after()).await {
                        return Err(failed);
                    }
                }
            }
        }
    }

    async fn attempt(&self, request: &Request) -> Result<Answer, Failed> {
        let mut url = request.url.clone();
        let mut redirects = request.redirects;
        let deadline = Instant::now() + self.options.timeout;
        let response = loop {
            let mut sent = self
                .line
                .request(request.method.clone(), &url)?
                .timeout(deadline.saturating_duration_since(Instant::now()));
            for (name, value) in &request.headers {
                sent = sent.header(name, value);
            }
            if let Some(body) = &request.body {
                sent = sent.body(body.clone());
            }
            let response = self.line.send(&url, sent).await?;
            if !response.status().is_redirection() {
                break response;
            }
            let target = crate::exchange::location(response.headers(), &url)?;
            if redirects == 0 || target.origin() != url.origin() {
                return Err(Failed::Elsewhere {
                    url: shown(&url),
                    target: shown(&target),
                });
            }
            redirects -= 1;
            url = target;
        };
        let status = response.status();
        let headers = response.headers().clone();
        let body = match status.is_success() {
            true => http::read(&url, response, request.limit).await?,
            false => http::read_refusal(response).await,
        };
        if status == reqwest::StatusCode::BAD_REQUEST && url.scheme() == "http" && wants_tls(&body)
        {
            return Err(Failed::WantsTls { url: shown(&url) });
        }
        Ok(Answer {
            status: status.as_u16(),
            headers,
            body: Zeroizing::new(body),
            sent: request.sent.clone(),
        })
    }
}

/// Whether a server says that it was asked in clear and wants TLS: as those made with Go do, and nginx.
fn wants_tls(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.starts_with("Client sent an HTTP request to an HTTPS server")
        || text.contains("The plain HTTP request was sent to HTTPS port")
}

/// Statuses of a server that is not well, or that has too much to do. 501 says that it will never know how.
fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=599)
}
