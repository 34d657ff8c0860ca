//! Asks one service of Sigstore over HTTP, with bounds and a few tries.
//!
//! A service is named by whoever configures a program, never by a tenant, so no guard judges where it is. It is asked at its own origin and
//! nowhere else: a redirect to another one is refused. Nobody is authenticated, and nothing that a service says is believed here.

mod error;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Url};
use tekseal_core::excerpt::Excerpt;
use tokio::time::Instant;

pub use self::error::{Error, Failed};
use crate::detail::Detail;
use crate::error::{Cause, shown};
use crate::exchange::location;
use crate::http::{self, Line};
use crate::options::Notice;
use crate::retry::{Tries, retry_after};
use crate::tls::{Authorities, Certificate, Files};

/// How often one request may be sent on, at the same origin.
const MOST_REDIRECTS: usize = 3;

/// How to talk to a service.
#[derive(Clone, Debug)]
pub struct Options {
    /// Extra certificate authorities beside the system's: PEM files, or folders with `*.pem` and `*.crt`.
    pub ca: Vec<PathBuf>,
    /// The same, of no file.
    pub authorities: Authorities,
    /// For whom the certificate of a server must be.
    pub certificate: Certificate,
    /// How long one try may take in all, with redirects and to the last byte of the answer. A connection must be there after a third of it.
    /// A log of the second version answers when it has published its next checkpoint, which takes up to 20 seconds.
    pub timeout: Duration,
    /// How often one request is sent at the most, where 5xx, 408, 429 or no complete answer comes.
    pub tries: u32,
    /// Called before each wait of a second or more with what went wrong and how long the wait is.
    pub notice: Notice,
}

impl Default for Options {
    /// What cosign's and Chains' client does: four tries.
    fn default() -> Self {
        Self {
            ca: Vec::new(),
            authorities: Authorities::default(),
            certificate: Certificate::default(),
            timeout: Duration::from_secs(30),
            tries: 4,
            notice: |_, _| {},
        }
    }
}

impl Options {
    /// What is trusted.
    pub(crate) fn files(&self) -> Files {
        Files {
            ca: self.ca.clone(),
            cert_dirs: Vec::new(),
            authorities: self.authorities.clone(),
            certificate: self.certificate.clone(),
        }
    }
}

/// What a service is, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A transparency log.
    Log,
    /// A timestamp authority.
    TimestampAuthority,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        })
    }
}

/// One service. Clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    line: Arc<Line>,
    base: Url,
    timeout: Duration,
    tries: u32,
    notice: Notice,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    url: Url,
    accept: &'static str,
    /// Media type and bytes to send.
    content: Option<(&'static str, Bytes)>,
    /// How much may come back.
    limit: u64,
    /// Statuses of 400 and more that are answers here and no failures.
    answers: &'static [u16],
    /// Statuses that may pass by themselves, beside those that may always.
    passing: &'static [u16],
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The whole body; of a refusal only its beginning.
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn get(url: Url, accept: &'static str, limit: u64) -> Self {
        Self {
            method: Method::GET,
            url,
            accept,
            content: None,
            limit,
            answers: &[],
            passing: &[],
        }
    }

    pub(crate) fn post(
        url: Url,
        media_type: &'static str,
        content: &[u8],
        accept: &'static str,
        limit: u64,
    ) -> Self {
        Self {
            method: Method::POST,
            content: Some((media_type, Bytes::copy_from_slice(content))),
            ..Self::get(url, accept, limit)
        }
    }

    /// With statuses that are answers and no failures.
    pub(crate) fn answers(self, answers: &'static [u16]) -> Self {
        Self { answers, ..self }
    }

    /// With statuses that may pass by themselves.
    pub(crate) fn passing(self, passing: &'static [u16]) -> Self {
        Self { passing, ..self }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl Service {
    /// The service at `url`, an `http` or `https` URL without user and fragment. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Url`] for another URL.
    pub(crate) fn new(kind: Kind, url: &str, options: &Options) -> Result<Self, Error> {
        let base = read_url(url).map_err(|reason| Error::Url {
            kind,
            // What has a user has a password, and a query may be a token.
            url: match url.contains(['@', '?', '#']) {
                true => "(not shown)".to_owned(),
                false => Excerpt::of(url).to_string(),
            },
            reason,
        })?;
        let line = Line::new(Vec::new(), options.files(), None, options.timeout)
            .expect("only names of insecure registries can be wrong");
        Ok(Self {
            line: Arc::new(line),
            base,
            timeout: options.timeout,
            tries: options.tries,
            notice: options.notice,
        })
    }

    /// The URL as it was given.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The URL for messages.
    pub(crate) fn shown(&self) -> String {
        shown(&self.base)
    }

    /// The URL of `path`, which begins with no slash, below the base.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/{path}"));
        url
    }

    /// The answer; what may pass is tried again.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, Failed> {
        let mut tries = Tries::new(self.tries, self.notice);
        loop {
            let failed = match self.attempt(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let passes = failed.may_pass()
                || failed
                    .status()
                    .is_some_and(|status| ask.passing.contains(&status));
            if !passes || !tries.wait(&failed, failed.retry_after()).await {
                return Err(failed);
            }
        }
    }

    async fn attempt(&self, ask: &Ask) -> Result<Answer, Failed> {
        let deadline = Instant::now() + self.timeout;
        let mut url = ask.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self
                .line
                .request(ask.method.clone(), &url)?
                .timeout(deadline.saturating_duration_since(Instant::now()))
                .header(ACCEPT, ask.accept);
            if let Some((media_type, bytes)) = &ask.content {
                request = request
                    .header(CONTENT_TYPE, *media_type)
                    .body(bytes.clone());
            }
            let response = self.line.send(&url, request).await?;
            let status = response.status();
            if status.is_redirection() {
                let target = location(response.headers(), &url)?;
                // What writes is sent once, to where it was meant to go.
                if ask.method != Method::GET || target.origin() != url.origin() {
                    return Err(Failed::Elsewhere {
                        url: shown(&url),
                        target: shown(&target),
                    });
                }
                url = target;
                continue;
            }
            let headers = response.headers().clone();
            let (status, is_success) = (status.as_u16(), status.is_success());
            let body = match is_success {
                true => http::read(&url, response, ask.limit).await?,
                false => http::read_refusal(response).await,
            };
            if is_success || ask.answers.contains(&status) {
                return Ok(Answer {
                    status,
                    headers,
                    body,
                });
            }
            let (url, detail) = (shown(&url), Detail::of_service(&body));
            return Err(match status {
                404 => Cause::Absent { url, detail }.into(),
                status => Cause::Status {
                    url,
                    status,
                    detail,
                    retry_after: retry_after(&headers),
                }
                .into(),
            });
        }
        Err(Cause::Redirects {
            url: shown(&ask.url),
        }
        .into())
    }
}

/// Reads the URL of a service, or says what is wrong with it.
fn read_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no absolute URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it begins with neither http:// nor https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or a password, which would be seen by everybody");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(url: &str) -> Result<Service, Error> {
        Service::new(Kind::Log, url, &Options::default())
    }

    #[test]
    fn paths_are_put_below_the_url() {
        for (base, wanted) in [
            ("https://log.example", "https://log.example/api/x"),
            ("https://log.example/", "https://log.example/api/x"),
            ("http://log.example:1/a//", "http://log.example:1/a/api/x"),
            ("http://[::1]:1/a", "http://[::1]:1/a/api/x"),
        ] {
            let service = service(base).expect("a good URL");
            assert_eq!(service.url("api/x").as_str(), wanted);
        }
    }

    #[test]
    fn what_is_no_url_of_a_service_is_refused_and_secrets_in_it_are_not_shown() {
        for (url, why) in [
            ("", "no absolute URL"),
            ("log.example", "no absolute URL"),
            ("ftp://log.example", "neither http"),
            ("file:///etc/passwd", "neither http"),
            ("https://me@log.example", "user name"),
            ("https://:hunter2@log.example", "user name"),
            ("https://me:hunter2@log example", "no absolute URL"),
            ("https://log.example/?hunter2", "query"),
            ("https://log.example/#x", "fragment"),
        ] {
            let error = service(url).expect_err("it is no good").to_string();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("hunter2@"), "{error}");
        }
        let long = service(&"x".repeat(1 << 20)).expect_err("no URL");
        assert!(long.to_string().len() < 300);
    }
}
