//! Sends single HTTP requests: which scheme a registry speaks, what a connection trusts, which client carries it.
//!
//! Where a request may go is judged here, because every one passes here. No redirect is followed, nothing is tried again
//! and nobody is authenticated; `exchange` and `auth` do that.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect, retry};
use tekseal_core::Repository;

use crate::error::{Cause, Error, shown};
use crate::guard::{Gate, Guard, Refused, Sieve};
use crate::tls::{self, Files, Trust};

/// Docker Hub's names say this, its API is elsewhere.
pub(crate) const DOCKER_HUB: &str = "index.docker.io";
pub(crate) const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A whole request may take so many times the time-out for a piece of it: a server that drips bytes is not waited for.
const LONGEST_REQUEST: u32 = 20;
/// What is streamed may take longer, but not longer than with so many bytes a second.
const SLOWEST_STREAM: u64 = 64 << 10;

/// How long a connection that nobody uses is kept, and how many of one host: whose hosts they are is for others to say.
const IDLE: Duration = Duration::from_secs(10);
const MOST_IDLE: usize = 32;
/// The most bytes of headers that an answer may have. A connection keeps room for the largest it has seen.
const MOST_HEADERS: usize = 32 << 10;

/// The clients, each built when it is first needed: building one that trusts authorities reads them all.
#[derive(Debug)]
pub(crate) struct Line {
    clients: Mutex<Clients>,
    guard: Option<Arc<Guard>>,
    places: Places,
    files: Files,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct Clients {
    /// There are several gates only with a guard, and only as many as the API server has ports.
    built: HashMap<(Trust, Way, Haste, Option<Gate>), Client>,
    trusts: HashMap<Trust, rustls::ClientConfig>,
}

/// Proxies of the environment never see requests to this machine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Direct,
    PerhapsProxy,
}

/// Whether the answer to a request may be expected at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Haste {
    Normal,
    /// Not before all of a large body was sent; each such request has a limit of its own.
    AfterLongBody,
}

#[derive(Debug)]
struct Places {
    insecure: Vec<String>,
    /// With an authority of its own, even a registry on loopback is expected to speak https.
    verified_loopback: bool,
}

impl Line {
    pub(crate) fn new(
        insecure: Vec<String>,
        files: Files,
        guard: Option<Guard>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let verified_loopback = !files.ca.is_empty() || !files.cert_dirs.is_empty();
        let places = Places::new(insecure, verified_loopback)?;
        Ok(Self {
            clients: Mutex::default(),
            guard: guard.map(Arc::new),
            places,
            files,
            timeout,
        })
    }

    /// The URLs under which `registry` may be, in the order in which to try them.
    pub(crate) fn bases(&self, registry: &str) -> Result<Vec<Url>, Cause> {
        self.places.bases(registry)
    }

    /// Whether anything may be asked about `repository`.
    pub(crate) fn admit(&self, repository: &Repository) -> Result<(), Cause> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        for base in self.bases(repository.registry())? {
            guard
                .admit(repository, &base)
                .map_err(|source| Cause::Guarded {
                    place: repository.to_string(),
                    source,
                })?;
        }
        Ok(())
    }

    /// Whether a token may be fetched from `realm` for the registry at `base`. Passwords go there.
    pub(crate) fn may_ask(&self, realm: &Url, base: &Url) -> bool {
        match (realm.scheme(), base.scheme()) {
            ("https", _) => true,
            ("http", "http") => {
                realm.host_str() == base.host_str()
                    || is_loopback(realm) && is_loopback(base)
                    || self.places.is_insecure(&authority(realm))
            }
            _ => false,
        }
    }

    /// A request to `url`, which still has to be sent. A guard has judged the URL, and judges the addresses when it is sent.
    pub(crate) fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Cause> {
        self.prepare(method, url, Haste::Normal)
    }

    /// The same for a request with a large body: its answer may come late. It must be given a limit.
    pub(crate) fn long_request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Cause> {
        self.prepare(method, url, Haste::AfterLongBody)
    }

    /// How long a request may take that sends or gets so many bytes.
    pub(crate) fn long_limit(&self, bytes: u64) -> Duration {
        self.timeout * LONGEST_REQUEST + Duration::from_secs(bytes / SLOWEST_STREAM)
    }

    fn prepare(&self, method: Method, url: &Url, haste: Haste) -> Result<RequestBuilder, Cause> {
        let trust = match url.scheme() {
            "https" if self.places.is_insecure(&authority(url)) => Trust::DangerAnybody,
            "https" => Trust::Authorities,
            _ => Trust::Nobody,
        };
        let way = if is_loopback(url) || is_metadata(url) {
            Way::Direct
        } else {
            Way::PerhapsProxy
        };
        let gate = self.gate(url, way)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.built.get(&(trust, way, haste, gate)) {
            return Ok(client.request(method, url.clone()));
        }
        let config = match clients.trusts.get(&trust) {
            Some(config) => config.clone(),
            None => {
                let config =
                    tls::client_config(trust, &self.files).map_err(|source| Cause::Trust {
                        url: shown(url),
                        source,
                    })?;
                clients.trusts.insert(trust, config.clone());
                config
            }
        };
        let builder = Client::builder()
            .tls_backend_preconfigured(config)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .user_agent(concat!("tekseal/", env!("CARGO_PKG_VERSION")))
            // Less than for an answer, which is waited for from the start of the request.
            .connect_timeout(self.timeout / 3)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .timeout(self.timeout * LONGEST_REQUEST);
        let builder = match haste {
            Haste::Normal => builder.read_timeout(self.timeout),
            // It would count from the start of the request.
            Haste::AfterLongBody => builder,
        };
        let builder = match way {
            Way::Direct => builder.no_proxy(),
            Way::PerhapsProxy => builder,
        };
        let builder = match (&self.guard, gate) {
            (Some(guard), Some(gate)) => builder.dns_resolver(Sieve::new(Arc::clone(guard), gate)),
            _ => builder,
        };
        let client = builder.build().map_err(Cause::Client)?;
        clients
            .built
            .insert((trust, way, haste, gate), client.clone());
        Ok(client.request(method, url.clone()))
    }

    /// Sends a request to `url`.
    ///
    /// # Errors
    /// [`Cause::TooLarge`] if the headers of the answer are. Then all connections that nobody uses are closed, for nobody can close that
    /// one alone.
    pub(crate) async fn send(&self, url: &Url, request: RequestBuilder) -> Result<Response, Cause> {
        let sent = request.send().await;
        let response = sent.map_err(|error| transport(url, error))?;
        let lengths = response.headers().iter();
        let length: usize = lengths
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if length > MOST_HEADERS {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            clients.built.clear();
            return Err(Cause::TooLarge {
                url: shown(url),
                limit: MOST_HEADERS as u64,
            });
        }
        Ok(response)
    }

    /// What the guard says to `url`; nothing if there is none.
    fn gate(&self, url: &Url, way: Way) -> Result<Option<Gate>, Cause> {
        let Some(guard) = &self.guard else {
            return Ok(None);
        };
        let gate = guard.judge(url).map_err(|source| Cause::Guarded {
            place: shown(url),
            source,
        })?;
        Ok(Some(match way {
            Way::Direct => gate,
            Way::PerhapsProxy => gate.with_local_proxy(),
        }))
    }
}

/// The whole body if it has at most `limit` bytes; not one byte more is kept.
pub(crate) async fn read(url: &Url, mut response: Response, limit: u64) -> Result<Vec<u8>, Cause> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| transport(url, error))?
    {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(Cause::TooLarge {
                url: shown(url),
                limit,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The beginning of the body of a refusal. Whatever goes wrong with it, the refusal itself is what counts.
pub(crate) async fn read_refusal(mut response: Response) -> Vec<u8> {
    const LONGEST: usize = 8 << 10;
    let mut body = Vec::new();
    while body.len() < LONGEST
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(LONGEST - body.len())]);
    }
    body
}

/// Whether `cause` is what a server gives that does not speak the scheme, or is not there at all.
pub(crate) fn may_speak_otherwise(cause: &Cause) -> bool {
    match cause {
        Cause::Handshake { source, .. } => matches!(source, rustls::Error::InvalidMessage(_)),
        Cause::Transport { source, .. } => source.is_connect(),
        _ => false,
    }
}

fn transport(url: &Url, error: reqwest::Error) -> Cause {
    let error = error.without_url();
    let url = shown(url);
    if let Some(source) = behind::<Refused>(&error).copied() {
        return Cause::Guarded { place: url, source };
    }
    match behind::<rustls::Error>(&error).cloned() {
        Some(source @ rustls::Error::InvalidCertificate(_)) => Cause::Certificate { url, source },
        Some(source) => Cause::Handshake { url, source },
        None => Cause::Transport { url, source: error },
    }
}

/// The error of this kind that is behind `error`.
pub(crate) fn behind<T: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(error) = next {
        // `io::Error` does not count what it wraps as its source.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let inner = wrapped.and_then(|wrapped| wrapped.downcast_ref());
        if let Some(found) = inner.or_else(|| error.downcast_ref()) {
            return Some(found);
        }
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

impl Places {
    fn new(insecure: Vec<String>, verified_loopback: bool) -> Result<Self, Error> {
        let insecure = insecure.into_iter().map(|text| {
            let lower = text.to_ascii_lowercase();
            match url_of("https", &lower) {
                Some(url) if authority(&url) == lower => Ok(lower),
                _ => Err(Error::InsecureRegistry { text }),
            }
        });
        Ok(Self {
            insecure: insecure.collect::<Result<_, _>>()?,
            verified_loopback,
        })
    }

    fn bases(&self, registry: &str) -> Result<Vec<Url>, Cause> {
        let host = if registry == DOCKER_HUB {
            DOCKER_HUB_API
        } else {
            registry
        };
        let (Some(https), Some(http)) = (url_of("https", host), url_of("http", host)) else {
            return Err(Cause::Name(registry.to_owned()));
        };
        let loopback = is_loopback(&http);
        Ok(
            if self.is_insecure(&authority(&https)) || loopback && self.verified_loopback {
                vec![https, http]
            } else if loopback {
                vec![http]
            } else {
                vec![https]
            },
        )
    }

    fn is_insecure(&self, authority: &str) -> bool {
        self.insecure.iter().any(|known| known == authority)
    }
}

/// `scheme://authority/`, if that is all there is to it.
pub(crate) fn url_of(scheme: &str, authority: &str) -> Option<Url> {
    let url = Url::parse(&format!("{scheme}://{authority}/")).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (bare && url.username().is_empty() && url.password().is_none() && !authority.ends_with(':'))
        .then_some(url)
}

/// `host` or `host:port`, the latter if the port is not the scheme's own.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The host without brackets and without the dots that may end a name.
pub(crate) fn bare_host(url: &Url) -> &str {
    url.host_str()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.')
}

fn is_loopback(url: &Url) -> bool {
    let bare = bare_host(url);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => is_localhost(bare),
    }
}

/// Where a cloud tells a machine who it is: it must be asked by the machine itself, and what it says is for nobody else.
fn is_metadata(url: &Url) -> bool {
    let bare = bare_host(url);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Err(_) => bare == "metadata.google.internal",
    }
}

/// Names that are this machine by definition (RFC 6761, 6.3).
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(places: &Places, registry: &str) -> Vec<String> {
        let bases = places
            .bases(registry)
            .expect("the registry can be part of a URL");
        bases.into_iter().map(String::from).collect()
    }

    fn places(insecure: &[&str], verified_loopback: bool) -> Places {
        let insecure = insecure.iter().map(|&text| text.to_owned()).collect();
        Places::new(insecure, verified_loopback).expect("the names are well formed")
    }

    #[test]
    fn loopback_is_plain_http_and_everything_else_is_https() {
        let places = places(&[], false);
        for registry in [
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "kind.localhost:5000",
        ] {
            assert_eq!(bases(&places, registry), [format!("http://{registry}/")]);
        }
        for registry in [
            "quay.io",
            "10.0.0.1:5000",
            "localhost.example",
            "[2001:db8::1]:5000",
        ] {
            assert_eq!(bases(&places, registry), [format!("https://{registry}/")]);
        }
        assert_eq!(
            bases(&places, "index.docker.io"),
            ["https://registry-1.docker.io/"]
        );
    }

    #[test]
    fn insecure_registries_and_loopback_with_an_authority_try_https_first() {
        let insecure = places(&["Reg.local:5000"], false);
        assert_eq!(
            bases(&insecure, "reg.local:5000"),
            ["https://reg.local:5000/", "http://reg.local:5000/"]
        );
        assert_eq!(bases(&insecure, "reg.local"), ["https://reg.local/"]);
        assert_eq!(
            bases(&places(&[], true), "localhost:5000"),
            ["https://localhost:5000/", "http://localhost:5000/"]
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "https://reg.local",
            "reg.local/path",
            "u@reg.local",
            "reg.local:",
            "",
            "a b",
            "reg?x",
        ] {
            let refused = Places::new(vec![text.to_owned()], false);
            assert!(
                matches!(refused, Err(Error::InsecureRegistry { .. })),
                "{text}"
            );
        }
        for registry in ["https:", "a b", "u:p@h", "reg?x"] {
            assert!(
                matches!(places(&[], false).bases(registry), Err(Cause::Name(_))),
                "{registry}"
            );
        }
    }

    #[test]
    fn tokens_come_over_https_or_from_the_plain_registry_itself() {
        let line = Line::new(
            vec!["auth.local".to_owned()],
            Files::default(),
            None,
            Duration::from_secs(1),
        );
        let line = line.expect("the name is well formed");
        let may_ask = |realm: &str, base: &str| {
            let parse = |text: &str| Url::parse(text).expect("the URL is well formed");
            line.may_ask(&parse(realm), &parse(base))
        };
        assert!(may_ask("https://auth.example/t", "https://r.example/"));
        assert!(may_ask("https://auth.example/t", "http://r.local/"));
        assert!(may_ask("http://r.local:1/t", "http://r.local/"));
        assert!(may_ask("http://127.0.0.1:1/t", "http://localhost:5000/"));
        assert!(may_ask("http://auth.local/t", "http://r.local/"));
        assert!(!may_ask("http://other.local/t", "http://r.local/"));
        assert!(!may_ask("http://r.example/t", "https://r.example/"));
        assert!(!may_ask("http://127.0.0.1:1/t", "http://r.local/"));
        assert!(!may_ask("file:///etc/passwd", "http://r.local/"));
    }
}
