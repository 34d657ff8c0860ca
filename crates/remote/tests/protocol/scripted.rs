//! A registry on loopback that answers what the test says and writes down what it was asked.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    /// Half of the body, then the connection is closed.
    Cut,
    /// Not even a status line.
    Silent,
    /// The same, and the connection stays open.
    Never,
}

#[derive(Clone)]
pub(crate) struct Server {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    shared: Arc<Shared>,
}

/// Gets a request and how many with the same method and path came before it.
type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

struct Shared {
    answer: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

/// Who may connect by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Anybody,
    WithCertificate,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// `GET /v2/…` without the query.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} {}",
            self.method,
            self.target.split('?').next().unwrap_or_default()
        )
    }
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            ending: Ending::Whole,
        }
    }

    /// The connection ends where an answer should be.
    pub(crate) fn silence() -> Self {
        Self {
            ending: Ending::Silent,
            ..Self::new(0)
        }
    }

    /// No answer ever comes.
    pub(crate) fn never() -> Self {
        Self {
            ending: Ending::Never,
            ..Self::new(0)
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn cut(mut self) -> Self {
        self.ending = Ending::Cut;
        self
    }
}

impl Server {
    /// Plain http. `answer` gets the request and how many with the same method and path came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, answer).await
    }

    /// Https with the certificate of the test authority.
    pub(crate) async fn start_tls(
        clients: Clients,
        answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions");
        let builder = match clients {
            Clients::Anybody => builder.with_no_client_auth(),
            Clients::WithCertificate => {
                let mut roots = RootCertStore::empty();
                let authority =
                    CertificateDer::from_pem_file(data("ca.pem")).expect("ca.pem is PEM");
                roots.add(authority).expect("ca.pem is an authority");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("there is an authority"))
            }
        };
        let certificate =
            CertificateDer::from_pem_file(data("server.cert")).expect("server.cert is PEM");
        let key = PrivateKeyDer::from_pem_file(data("server.key")).expect("server.key is PEM");
        let config = builder
            .with_single_cert(vec![certificate], key)
            .expect("they are a pair");
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), answer).await
    }

    async fn listen(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let server = Self {
            address,
            shared: Arc::clone(&shared),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => shared.serve(stream).await,
                        // A refused handshake is the client's to report.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => shared.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        server
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared
            .seen
            .lock()
            .expect("no test panics in here")
            .clone()
    }

    /// Method and path of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// `None` when the connection is over.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        loop {
            let Some(seen) = read_request(&mut stream).await else {
                // What servers say to a TLS handshake when they do not expect one.
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    .await
                    .ok()?;
                return None;
            };
            let before = {
                let mut all = self.seen.lock().expect("no test panics in here");
                let before = all
                    .iter()
                    .filter(|known| known.line() == seen.line())
                    .count();
                all.push(seen.clone());
                before
            };
            let reply = (self.answer)(&seen, before);
            match reply.ending {
                Ending::Silent => return None,
                Ending::Never => std::future::pending().await,
                Ending::Whole | Ending::Cut => {}
            }
            let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
            let has_length = reply
                .headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            if !has_length {
                head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
            }
            for (name, value) in &reply.headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            stream.write_all(head.as_bytes()).await.ok()?;
            let body = match reply.ending {
                Ending::Cut => &reply.body[..reply.body.len() / 2],
                _ if seen.method == "HEAD" => &[],
                _ => &reply.body[..],
            };
            stream.write_all(body).await.ok()?;
            stream.flush().await.ok()?;
            if reply.ending == Ending::Cut {
                return None;
            }
        }
    }
}

/// `None` if the connection is over or no HTTP comes.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut head = vec![stream.read_u8().await.ok().filter(u8::is_ascii_uppercase)?];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("requests are ASCII");
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().expect("a length is a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        method,
        target,
        headers,
        body,
    })
}

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}
