//! Carries requests to one API server: the base of URLs, credentials that change, TLS.
//!
//! The HTTP client is the one that registries are asked with, so a program has its code once. kube's own way would be a second one, and a
//! reader of YAML and one of JSONPath with it, together a quarter of a program (docs/performance.md).

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, Uri, header};
use jiff::{SignedDuration, Timestamp};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Body, Client, Request, Url, redirect, retry};
use tokio::sync::Mutex;

use crate::exec::{Answer, Plugin};
use crate::tls;
use crate::way::{self, Credential, Proxy, Way};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may say nothing. A watch ends after 290 seconds, which is what it is asked for.
const SILENCE: Duration = Duration::from_secs(310);
/// How long a token of a file is used before the file is read again.
const FRESH: SignedDuration = SignedDuration::from_secs(60);

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// A connection to one API server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// Of the API server, without a slash at its end.
    base: String,
    /// What goes with each request.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The name in the URL where the certificate has another one.
    host: Option<HeaderValue>,
    token: Token,
}

enum Token {
    None,
    Fixed(HeaderValue),
    Changing(Mutex<Changing>),
}

/// A token, and when to look for another one.
struct Changing {
    source: Source,
    token: Option<HeaderValue>,
    until: Timestamp,
}

enum Source {
    File(std::path::PathBuf),
    Program(Box<Plugin>),
}

impl Connection {
    /// Sets everything up; a program that says the credentials is asked. Nothing is sent yet.
    ///
    /// # Errors
    /// If a credential is not there, or TLS cannot be set up.
    pub(crate) async fn open(way: Way, agent: &'static str) -> Result<Self, BoxError> {
        let mut way = way;
        let token = match std::mem::replace(&mut way.credential, Credential::None) {
            Credential::None => Token::None,
            Credential::Fixed(value) => Token::Fixed(value),
            Credential::File(path) => {
                Token::changing(Source::File(path), None, Timestamp::UNIX_EPOCH)
            }
            Credential::Program(plugin) => {
                let answer = plugin.ask().await?;
                way.identity = answer.identity.or(way.identity);
                match (answer.token, answer.expires) {
                    (token, Some(until)) if token.is_some() => {
                        Token::changing(Source::Program(plugin), token, until)
                    }
                    (Some(token), _) => Token::Fixed(token),
                    (None, _) => Token::None,
                }
            }
        };
        Self::with(way, token, agent)
    }

    /// The same where nobody is to be asked for a credential.
    #[cfg(test)]
    pub(crate) fn plain(way: Way, agent: &'static str) -> Result<Self, BoxError> {
        Self::with(way, Token::None, agent)
    }

    fn with(way: Way, token: Token, agent: &'static str) -> Result<Self, BoxError> {
        let is_https = way.server.scheme_str() == Some("https");
        let config = tls::config(is_https, way.trust, way.identity)?;
        let builder = Client::builder()
            .tls_backend_preconfigured(config)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .user_agent(agent)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        let is_named_otherwise = is_https && way.server_name.is_some();
        let builder = match way.proxy {
            _ if is_loopback(&way.server) || is_named_otherwise => builder.no_proxy(),
            Proxy::Environment => builder,
            Proxy::None => builder.no_proxy(),
            Proxy::At(url) => builder.proxy(reqwest::Proxy::all(url)?),
        };
        let (builder, base, host) = match way.server_name.filter(|_| is_https) {
            Some(name) => otherwise(builder, &way.server, &name)?,
            None => (builder, way.server.to_string(), None),
        };
        let base = base.trim_end_matches('/').to_owned();
        Url::parse(&base)?;
        let shared = Shared {
            client: builder.build()?,
            base,
            headers: way.headers,
            host,
            token,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Sends a request with a path for its URL.
    pub(crate) async fn send(&self, parts: Parts, body: Bytes) -> Result<Response<Body>, BoxError> {
        let shared = &*self.shared;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request =
            Request::new(parts.method, Url::parse(&format!("{}{path}", shared.base))?);
        let headers = request.headers_mut();
        *headers = parts.headers;
        for (name, value) in &shared.headers {
            headers.append(name, value.clone());
        }
        if let Some(host) = &shared.host {
            headers.insert(header::HOST, host.clone());
        }
        if let Some(token) = shared.token.get().await? {
            headers.insert(header::AUTHORIZATION, token);
        }
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        let answer = shared.client.execute(request).await;
        Ok(answer.map_err(reqwest::Error::without_url)?.into())
    }
}

impl Token {
    fn changing(source: Source, token: Option<HeaderValue>, until: Timestamp) -> Self {
        Self::Changing(Mutex::new(Changing {
            source,
            token,
            until,
        }))
    }

    async fn get(&self) -> Result<Option<HeaderValue>, BoxError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::Changing(changing) => changing.lock().await.get().await,
        }
    }
}

impl Changing {
    async fn get(&mut self) -> Result<Option<HeaderValue>, BoxError> {
        let now = Timestamp::now();
        match &self.source {
            Source::File(path) => {
                if self.token.is_none() || now >= self.until {
                    match way::read(path).and_then(|text| way::bearer(&text)) {
                        Ok(token) => self.token = Some(token),
                        // A file may go once it was read (https://github.com/kubernetes/kubernetes/issues/68164).
                        Err(_) if self.token.is_some() => {}
                        Err(error) => return Err(error.into()),
                    }
                    self.until = now + FRESH;
                }
            }
            Source::Program(plugin) => {
                if now + FRESH >= self.until {
                    let Answer { token, expires, .. } = plugin.ask().await?;
                    self.until = expires.unwrap_or(Timestamp::MAX - FRESH);
                    self.token = token;
                }
            }
        }
        Ok(self.token.clone())
    }
}

fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => bare == "localhost",
    }
}

/// A client for a server whose certificate has another name than its URL: that name is in the URL then, and resolved to where the server is.
fn otherwise(
    builder: reqwest::ClientBuilder,
    server: &Uri,
    name: &str,
) -> Result<(reqwest::ClientBuilder, String, Option<HeaderValue>), BoxError> {
    let host = server.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = server.port_u16().unwrap_or(443);
    let is_name = name.parse::<IpAddr>().is_err()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if !is_name {
        return Err("the tls-server-name of the kubeconfig is no name of a host".into());
    }
    let builder = builder.dns_resolver(Arc::new(Elsewhere(bare.to_owned())));
    let base = format!("https://{name}:{port}{}", server.path());
    let host = match server.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    Ok((builder, base, Some(HeaderValue::try_from(host)?)))
}

/// Resolves one host, whatever name is asked.
struct Elsewhere(String);

impl Resolve for Elsewhere {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
