//! Resolves names for the HTTP client and keeps back the addresses that must not be connected to.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Gate, Guard};
use crate::http::is_localhost;

/// Asks the system for the addresses of a name.
pub(crate) type Lookup =
    fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A resolver for the requests of one gate.
pub(crate) struct Sieve {
    guard: Arc<Guard>,
    gate: Gate,
    lookup: Lookup,
}

impl Sieve {
    pub(crate) fn new(guard: Arc<Guard>, gate: Gate) -> Self {
        Self {
            guard,
            gate,
            lookup: |name| {
                Box::pin(async move {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                    Ok(found.collect())
                })
            },
        }
    }
}

impl Resolve for Sieve {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let (guard, gate, lookup) = (Arc::clone(&self.guard), self.gate, self.lookup);
        Box::pin(async move {
            let is_proxy = gate.local_proxy && is_localhost(name.trim_end_matches('.'));
            let found = lookup(name).await?;
            let passed = if is_proxy {
                found
            } else {
                guard.sift(found, gate)?
            };
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use reqwest::{Client, Url};
    use tokio::net::TcpListener;

    use super::*;
    use crate::guard::{Reason, Refused};

    /// A listener on loopback that counts who comes, and a URL of its port at `host`.
    async fn listener(host: &str) -> (Arc<AtomicUsize>, Url) {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let url = Url::parse(&format!("http://{host}:{port}/")).expect("the URL is well formed");
        (count, url)
    }

    async fn refusal(guard: &Arc<Guard>, url: &Url, lookup: Lookup) -> Option<Refused> {
        let gate = guard.judge(url).expect("the name alone is harmless");
        let sieve = Sieve {
            lookup,
            ..Sieve::new(Arc::clone(guard), gate)
        };
        let client = Client::builder()
            .no_proxy()
            .dns_resolver(sieve)
            .tls_backend_preconfigured(
                crate::tls::client_config(crate::tls::Trust::Nobody, &Default::default())
                    .expect("plain http needs no authority"),
            )
            .build()
            .expect("the client is well formed");
        let error = client.get(url.clone()).send().await.err()?;
        crate::http::behind::<Refused>(&error).copied()
    }

    fn to_loopback(
        name: String,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        assert_eq!(name, "rebind.example");
        Box::pin(async { Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))]) })
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_not_connected_to() {
        let (count, url) = listener("rebind.example").await;
        let guard = Arc::new(Guard::default());
        let refused = refusal(&guard, &url, to_loopback).await;
        let refused = refused.expect("it is on loopback");
        assert_eq!(refused.reason, Reason::Loopback);
        assert_eq!(
            refused.to_string(),
            "it resolves to 127.0.0.1, which is on loopback and not listed in tekseal.registries"
        );
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_listed_name_may_resolve_to_loopback_but_not_to_the_api_server() {
        let (count, url) = listener("rebind.example").await;
        let port = url.port().expect("it has one");
        let listed = [format!("rebind.example:{port}")];
        let guard = Guard::new(&listed, &[format!("127.0.0.1:{port}")]);
        let guard = Arc::new(guard.expect("the entries are well formed"));
        let refused = refusal(&guard, &url, to_loopback).await;
        let reason = refused.map(|refused| refused.reason);
        assert_eq!(reason, Some(Reason::ApiServer));
        assert_eq!(count.load(Ordering::Relaxed), 0);
        let guard = Guard::new(&listed, &[format!("127.0.0.1:{}", port ^ 1)]);
        let guard = Arc::new(guard.expect("the entries are well formed"));
        // Nobody answers, but somebody came.
        assert_eq!(refusal(&guard, &url, to_loopback).await, None);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn only_a_proxy_may_be_called_localhost() {
        let sieve = |gate| Sieve::new(Arc::new(Guard::default()), gate);
        let localhost = || "localhost".parse().expect("the name is well formed");
        let gate = Gate::default();
        assert!(sieve(gate).resolve(localhost()).await.is_err());
        let proxied = sieve(gate.with_local_proxy());
        assert!(proxied.resolve(localhost()).await.is_ok());
    }
}
