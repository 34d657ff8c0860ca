//! Reads files of a web server that is no registry: the mirror of a TUF repository.
//!
//! What it sends is believed by nobody before it is verified, so http will do where a mirror has no TLS; sizes, redirects and time are bounded as
//! with registries, and no credentials are sent.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode, Url};

use crate::error::{Blame, Cause, shown};
use crate::exchange::{MOST_REDIRECTS, location};
use crate::http::{self, Line};
use crate::options::{Notice, Options};
use crate::registry;
use crate::retry::{Patience, retry_after};
use crate::tls::Files;

/// A folder of a web server.
#[derive(Clone, Debug)]
pub struct Mirror {
    line: Arc<Line>,
    base: Url,
    retry_for: Duration,
    notice: Notice,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No URL that can be asked.
    #[error("{0:?} is not an http or https URL of a folder, without user, query and fragment")]
    Url(String),
    /// The client cannot be set up.
    #[error("the client of the mirror cannot be set up")]
    Options(#[source] registry::Error),
    /// The file was not handed out.
    #[error("cannot read {path} of the mirror {mirror}")]
    Read {
        /// Which file.
        path: String,
        /// Where.
        mirror: String,
        /// Why.
        source: Box<Cause>,
    },
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Url(_) | Self::Options(_) => Blame::Setting,
            Self::Read { source, .. } => match **source {
                Cause::Trust { .. } | Cause::Client(_) | Cause::Guarded { .. } => Blame::Setting,
                // Whatever a mirror sends that is no answer, another one may not.
                _ => Blame::Outside,
            },
        }
    }
}

impl Mirror {
    /// The folder at `url`. Nothing is connected to yet; of the options, credentials are not used.
    ///
    /// # Errors
    /// If the URL is none of a folder on a web server.
    pub fn new(url: &str, options: Options) -> Result<Self, Error> {
        let malformed = || Error::Url(shown_text(url));
        let mut base = Url::parse(url).map_err(|_| malformed())?;
        let is_bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !matches!(base.scheme(), "http" | "https") || !is_bare {
            return Err(malformed());
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let files = Files {
            ca: options.ca,
            cert_dirs: options.cert_dirs,
            ..Files::default()
        };
        let line = Line::new(
            options.insecure_registries,
            files,
            options.guard,
            options.timeout,
        );
        Ok(Self {
            line: Arc::new(line.map_err(Error::Options)?),
            base,
            retry_for: options.retry_for,
            notice: options.notice,
        })
    }

    /// The content of a file of at most `limit` bytes; `None` if there is none. Servers of objects answer 403 where they do not tell.
    ///
    /// # Errors
    /// If it cannot be read or is larger. What may pass is tried again as long as there is time.
    pub async fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut patience = Patience::new(self.retry_for, self.notice);
        let read = async {
            loop {
                match self.attempt(path, limit).await {
                    Ok(found) => return Ok(found),
                    Err(cause) => patience.wait(cause).await?,
                }
            }
        };
        read.await.map_err(|cause| Error::Read {
            path: path.to_owned(),
            mirror: shown(&self.base),
            source: Box::new(cause),
        })
    }

    async fn attempt(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Cause> {
        let url = self
            .base
            .join(path)
            .map_err(|_| Cause::Name(path.to_owned()))?;
        let (url, response) = self.follow(url).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(http::read(&url, response, limit).await?)),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => {
                // Read to its end, it leaves a connection that can be used again.
                http::read_refusal(response).await;
                Ok(None)
            }
            status => Err(Cause::Status {
                url: shown(&url),
                status: status.as_u16(),
                detail: Default::default(),
                retry_after: retry_after(response.headers()),
            }),
        }
    }

    /// What answers in the end, and its URL.
    async fn follow(&self, asked: Url) -> Result<(Url, Response), Cause> {
        let mut url = asked.clone();
        for _ in 0..=MOST_REDIRECTS {
            let request = self.line.request(Method::GET, &url)?;
            let response = self.line.send(&url, request).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((url, response));
            }
            let next = location(response.headers(), &url)?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(Cause::Downgrade {
                    url: shown(&url),
                    target: shown(&next),
                });
            }
            url = next;
        }
        Err(Cause::Redirects { url: shown(&asked) })
    }
}

/// What was given, without a password that it may have.
fn shown_text(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => shown(&url),
        // What is no URL may be a password all the same.
        Err(_) => "(not shown)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_web_servers_are_mirrors() {
        let base = |url: &str| Mirror::new(url, Options::default()).map(|m| m.base.to_string());
        let folder = base("https://m.example/a").expect("a folder");
        assert_eq!(folder, "https://m.example/a/");
        assert_eq!(
            base("http://m.example/").expect("fine"),
            "http://m.example/"
        );
        for url in [
            "",
            "m.example",
            "file:///etc",
            "https://u@m.example/",
            "https://u:secret@m.example/",
            "https://m.example/?a=b",
            "https://m.example/#a",
        ] {
            let error = base(url).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
