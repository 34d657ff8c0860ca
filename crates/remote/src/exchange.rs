//! Carries out one call: finds the registry, follows redirects, answers challenges and tries again what may pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, Response, StatusCode, Url};
use tekseal_core::Repository;
use tekseal_core::docker_config::Match;

use crate::auth::{Keyring, Next, Refusal};
use crate::body::Content;
use crate::detail::Sent;
use crate::error::{Cause, Detail, shown};
use crate::http::{self, Line};
use crate::options::Notice;
use crate::retry::{Patience, retry_after};

/// How often one request may be sent elsewhere.
pub(crate) const MOST_REDIRECTS: usize = 5;

/// Of how many registries it is known where they are.
const MOST_BASES: usize = 4096;

/// Everything that calls share.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) line: Arc<Line>,
    pub(crate) keyring: Keyring,
    pub(crate) retry_for: Duration,
    pub(crate) notice: Notice,
    /// The URL under which each registry has answered.
    pub(crate) bases: Arc<Mutex<HashMap<String, Url>>>,
}

/// One request as the specification words it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// Media types that may come back.
    pub(crate) accept: Option<&'static str>,
    /// Media type and bytes to send.
    pub(crate) content: Option<(String, Content)>,
    /// How much may come back.
    pub(crate) limit: u64,
    /// The size of an answer that is not read into memory, and may take its time.
    pub(crate) streams: Option<u64>,
    /// Statuses of 400 and more that are answers here and no failures.
    pub(crate) answers: &'static [u16],
}

/// Where a call goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A path below the registry's URL, which may still have to be found out.
    Path(String),
    /// Where the registry sent us.
    Url(Url),
}

/// What came back, with the whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The URL that was asked, before redirects.
    pub(crate) url: Url,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) response: Response,
    /// The URL that was asked.
    asked: Url,
    /// The URL that answered.
    pub(crate) url: Url,
    place: Place,
    /// What the registry was shown, which a refusal must not repeat.
    header: Option<HeaderValue>,
}

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The registry's own: it may know who we are.
    Registry,
    /// Another server's, to which the registry sent us.
    Elsewhere,
}

impl Call {
    pub(crate) fn new(method: Method, target: Target) -> Self {
        Self {
            method,
            target,
            accept: None,
            content: None,
            limit: 8 << 10,
            streams: None,
            answers: &[],
        }
    }
}

impl Exchange {
    /// What one operation may take.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.retry_for, self.notice)
    }

    /// The answer to `call`; what may pass is tried again as long as there is time.
    pub(crate) async fn perform(
        &self,
        repository: &Repository,
        call: &Call,
    ) -> Result<Answer, Cause> {
        let mut patience = self.patience();
        self.persist(repository, call, &mut patience).await
    }

    /// The same with patience that other calls have partly used up.
    pub(crate) async fn persist(
        &self,
        repository: &Repository,
        call: &Call,
        patience: &mut Patience,
    ) -> Result<Answer, Cause> {
        loop {
            match self.attempt(repository, call).await {
                Ok(answer) => return Ok(answer),
                Err(cause) => patience.wait(cause).await?,
            }
        }
    }

    /// One attempt, with as many credentials as there are to try.
    pub(crate) async fn attempt(
        &self,
        repository: &Repository,
        call: &Call,
    ) -> Result<Answer, Cause> {
        let arrived = self.arrive(repository, call).await?;
        self.finish(repository, call, arrived).await
    }

    /// The same up to the body of the answer, which may be a refusal.
    pub(crate) async fn arrive(
        &self,
        repository: &Repository,
        call: &Call,
    ) -> Result<Arrived, Cause> {
        // Before anything, for a token server would be asked first.
        self.line.admit(repository)?;
        if let Target::Url(url) = &call.target
            && !self.is_own(repository, url)
        {
            return self.follow(call, url.clone(), None).await;
        }
        loop {
            let pass = self.keyring.enter(&self.line, repository).await?;
            let header = pass.header().cloned();
            let arrived = self.reach(repository, call, header.as_ref()).await?;
            let status = arrived.response.status();
            if arrived.place == Place::Elsewhere {
                self.keyring.accepted(pass);
                return Ok(Arrived { header, ..arrived });
            }
            match status {
                StatusCode::UNAUTHORIZED => {
                    let base = base_of(&arrived.asked);
                    let headers = arrived.response.headers().clone();
                    let detail = self.detail(repository, header, arrived.response).await;
                    let refusal = Refusal { headers, detail };
                    self.keyring
                        .challenged(&self.line, repository, &base, pass, refusal)
                        .await?;
                }
                StatusCode::FORBIDDEN => {
                    let who = self.keyring.credential_used(repository.registry());
                    let who = pass
                        .header()
                        .and(who)
                        .unwrap_or_else(|| "everybody".to_owned());
                    if self.keyring.denied(&self.line, repository, pass).await? == Next::GiveUp {
                        let detail = self.detail(repository, header, arrived.response).await;
                        return Err(Cause::Denied {
                            url: shown(&arrived.url),
                            who,
                            detail,
                        });
                    }
                }
                status => {
                    // A server in trouble has not looked at the credentials.
                    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                        drop(pass);
                    } else {
                        self.keyring.accepted(pass);
                    }
                    return Ok(Arrived { header, ..arrived });
                }
            }
        }
    }

    /// What a refusal says, without what we sent: `header`, or any secret for the repository, with which tokens are asked for.
    async fn detail(
        &self,
        repository: &Repository,
        header: Option<HeaderValue>,
        response: Response,
    ) -> Detail {
        let body = http::read_refusal(response).await;
        let fitting = self.keyring.fitting(repository);
        let sent = Sent::new(header.as_ref(), fitting.iter().map(Match::secret));
        Detail::parse(&body, &sent)
    }

    /// Sends `call` to where its registry is, which may first have to be found out.
    async fn reach(
        &self,
        repository: &Repository,
        call: &Call,
        header: Option<&HeaderValue>,
    ) -> Result<Arrived, Cause> {
        let path = match &call.target {
            Target::Path(path) => path,
            Target::Url(url) => return self.follow(call, url.clone(), header).await,
        };
        let registry = repository.registry();
        let settled = self.bases().get(registry).cloned();
        let bases = match settled {
            Some(base) => vec![base],
            None => self.line.bases(registry)?,
        };
        let mut bases = bases.into_iter().peekable();
        while let Some(base) = bases.next() {
            let url = base.join(path).map_err(|_| Cause::Name(path.clone()))?;
            match self.follow(call, url, header).await {
                Err(cause) if bases.peek().is_some() && http::may_speak_otherwise(&cause) => {}
                outcome => {
                    if outcome.is_ok() {
                        let mut bases = self.bases();
                        if bases.len() >= MOST_BASES {
                            bases.clear();
                        }
                        bases.insert(registry.to_owned(), base);
                    }
                    return outcome;
                }
            }
        }
        Err(Cause::Name(registry.to_owned()))
    }

    /// Sends `call` to `url` and, if it only reads, follows redirects. `header` never leaves the origin of `url`.
    async fn follow(
        &self,
        call: &Call,
        url: Url,
        header: Option<&HeaderValue>,
    ) -> Result<Arrived, Cause> {
        let asked = url.clone();
        let mut url = url;
        let mut place = Place::Registry;
        let reads = matches!(call.method, Method::GET | Method::HEAD);
        for _ in 0..=MOST_REDIRECTS {
            let mut request = match &call.content {
                Some((_, content)) if content.is_streamed() => {
                    let limit = self.line.long_limit(content.size());
                    let request = self.line.long_request(call.method.clone(), &url)?;
                    request.timeout(limit)
                }
                _ => self.line.request(call.method.clone(), &url)?,
            };
            if let Some(size) = call.streams {
                request = request.timeout(self.line.long_limit(size));
            }
            if let Some(accept) = call.accept {
                request = request.header(ACCEPT, accept);
            }
            if let (Some(header), Place::Registry) = (header, place) {
                request = request.header(AUTHORIZATION, header.clone());
            }
            if let Some((media_type, content)) = &call.content {
                let body = self.body(content).await?;
                request = request.header(CONTENT_TYPE, media_type).body(body);
            } else if !reads {
                request = request.header(CONTENT_LENGTH, 0);
            }
            let response = self.line.send(&url, request).await?;
            let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !reads || !redirects {
                return Ok(Arrived {
                    response,
                    asked,
                    url,
                    place,
                    header: None,
                });
            }
            let next = location(response.headers(), &url)?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(Cause::Downgrade {
                    url: shown(&url),
                    target: shown(&next),
                });
            }
            if next.origin() != asked.origin() {
                place = Place::Elsewhere;
            }
            url = next;
        }
        Err(Cause::Redirects { url: shown(&asked) })
    }

    /// Reads what is left of an answer, or says what it refused.
    async fn finish(
        &self,
        repository: &Repository,
        call: &Call,
        arrived: Arrived,
    ) -> Result<Answer, Cause> {
        let status = arrived.response.status();
        if !status.is_success() && !call.answers.contains(&status.as_u16()) {
            return Err(self.refusal(repository, arrived).await);
        }
        let Arrived {
            response,
            asked,
            url,
            place: _,
            header: _,
        } = arrived;
        let headers = response.headers().clone();
        let body = if status.is_success() {
            http::read(&url, response, call.limit).await?
        } else {
            // Read to its end, it leaves a connection that can be used again.
            http::read_refusal(response).await;
            Vec::new()
        };
        Ok(Answer {
            status: status.as_u16(),
            headers,
            body,
            url: asked,
        })
    }

    /// What an answer about `repository` refuses that is no success.
    pub(crate) async fn refusal(&self, repository: &Repository, arrived: Arrived) -> Cause {
        let status = arrived.response.status().as_u16();
        let retry_after = retry_after(arrived.response.headers());
        let detail = self
            .detail(repository, arrived.header, arrived.response)
            .await;
        let url = shown(&arrived.url);
        match status {
            404 => Cause::Absent { url, detail },
            status => Cause::Status {
                url,
                status,
                detail,
                retry_after,
            },
        }
    }

    fn is_own(&self, repository: &Repository, url: &Url) -> bool {
        self.bases()
            .get(repository.registry())
            .is_some_and(|base| base.origin() == url.origin())
    }

    fn bases(&self) -> std::sync::MutexGuard<'_, HashMap<String, Url>> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an answer of `url` sends us. What a user or password in it would do is not for the server to decide.
pub(crate) fn location(headers: &HeaderMap, url: &Url) -> Result<Url, Cause> {
    let refuse = || Cause::Location { url: shown(url) };
    let text = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .ok_or_else(refuse)?;
    let mut next = url.join(text).map_err(|_| refuse())?;
    if !matches!(next.scheme(), "http" | "https") || next.host_str().is_none() {
        return Err(refuse());
    }
    let _ = next.set_username("");
    let _ = next.set_password(None);
    Ok(next)
}

/// The place for an upload. A registry behind a proxy that ends TLS often believes that it speaks http; as long as it
/// names itself, it is asked the way it was reached.
pub(crate) fn upload_location(headers: &HeaderMap, url: &Url) -> Result<Url, Cause> {
    let mut next = location(headers, url)?;
    if url.scheme() != "https" || next.scheme() == "https" {
        return Ok(next);
    }
    let same_port = next.port() == url.port() || next.port().is_none();
    if next.host_str() != url.host_str() || !same_port {
        return Err(Cause::Downgrade {
            url: shown(url),
            target: shown(&next),
        });
    }
    let port = url.port();
    let changed = next.set_scheme("https").and_then(|()| next.set_port(port));
    changed.map_err(|()| Cause::Location { url: shown(url) })?;
    Ok(next)
}

fn base_of(url: &Url) -> Url {
    let mut base = url.clone();
    base.set_path("/");
    base.set_query(None);
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(from: &str, location: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            LOCATION,
            HeaderValue::from_str(location).expect("the value is well formed"),
        );
        let url = Url::parse(from).expect("the URL is well formed");
        upload_location(&headers, &url)
            .map(String::from)
            .map_err(|cause| cause.to_string())
    }

    #[test]
    fn locations_are_relative_absolute_or_corrected_to_the_way_the_registry_was_reached() {
        for (from, location, expected) in [
            (
                "http://r.local:5000/v2/a/blobs/uploads/",
                "/up/1?s=2",
                "http://r.local:5000/up/1?s=2",
            ),
            (
                "http://r.local:5000/v2/a/blobs/uploads/",
                "1",
                "http://r.local:5000/v2/a/blobs/uploads/1",
            ),
            (
                "https://r.example/v2/",
                "https://s.example/up",
                "https://s.example/up",
            ),
            (
                "https://r.example/v2/",
                "http://r.example/up",
                "https://r.example/up",
            ),
            (
                "https://r.example:8443/v2/",
                "http://r.example/up",
                "https://r.example:8443/up",
            ),
            (
                "https://r.example:8443/v2/",
                "http://r.example:8443/up",
                "https://r.example:8443/up",
            ),
            (
                "https://r.example/v2/",
                "https://u:p@r.example/up",
                "https://r.example/up",
            ),
        ] {
            assert_eq!(
                upload(from, location),
                Ok(expected.to_owned()),
                "{location}"
            );
        }
    }

    #[test]
    fn locations_without_tls_after_tls_and_of_other_schemes_are_refused() {
        for location in [
            "http://evil.example/up",
            "http://r.example:81/up",
            "file:///etc/passwd",
            "https://",
            "data:,x",
        ] {
            let refused = upload("https://r.example/v2/", location);
            assert!(refused.is_err(), "{location}: {refused:?}");
        }
    }
}
