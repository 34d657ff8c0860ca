//! `/metrics`, `/healthz` and `/readyz` over http/1.1, for Prometheus and for the probes of a Pod.
//!
//! Whoever reaches the port may send anything: each connection has one request, seconds to send it, and no right to keep others out. When
//! the connections are all taken, the oldest is closed: a probe is answered in a moment, so the oldest is never one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::health::Health;
use crate::metrics::{self, Metrics};

/// So many connections may be open.
const MOST_CONNECTIONS: usize = 64;
/// So long may a client take for the head of its request.
const HEAD: Duration = Duration::from_secs(5);
/// So long may a connection live.
const CONNECTION: Duration = Duration::from_secs(15);
/// The largest head of a request.
const MOST_HEAD: usize = 16 * 1024;

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shown: Arc<Shown>,
}

struct Shown {
    metrics: Metrics,
    health: Arc<Health>,
}

impl Server {
    /// Listens at `address`. Where the machine has no IPv6, `[::]` means all addresses of IPv4.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        metrics: &Metrics,
        health: &Arc<Health>,
    ) -> io::Result<Self> {
        let listener = match TcpListener::bind(address).await {
            Err(error) if may_be_without_ipv6(address, &error) => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            other => other,
        };
        Ok(Self {
            listener: listener?,
            shown: Arc::new(Shown {
                metrics: metrics.clone(),
                health: Arc::clone(health),
            }),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped, which closes all connections.
    pub async fn run(self) -> Infallible {
        let mut tasks = JoinSet::new();
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or a client that was gone again: accepting at once would only spin.
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            while tasks.try_join_next().is_some() {}
            open.retain(|connection| !connection.is_finished());
            if open.len() >= MOST_CONNECTIONS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            open.push_back(tasks.spawn(serve(stream, Arc::clone(&self.shown))));
        }
    }
}

fn may_be_without_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    let is_other = !matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    );
    address.is_ipv6() && address.ip().is_unspecified() && is_other
}

async fn serve(stream: TcpStream, shown: Arc<Shown>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = shown.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MOST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong with a connection is the client's affair.
    let _ = tokio::time::timeout(CONNECTION, connection).await;
}

impl Shown {
    fn answer(&self, method: &Method, path: &str) -> Response<String> {
        let found = match path {
            "/metrics" => Self::metrics,
            "/healthz" => Self::alive,
            "/readyz" => Self::ready,
            _ => return text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD\n".to_owned(),
            );
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        found(self)
    }

    fn metrics(&self) -> Response<String> {
        let mut answer = text(StatusCode::OK, self.metrics.render());
        let media_type = HeaderValue::from_static(metrics::MEDIA_TYPE);
        answer.headers_mut().insert(CONTENT_TYPE, media_type);
        answer
    }

    fn alive(&self) -> Response<String> {
        match self.health.is_alive() {
            true => text(StatusCode::OK, "ok\n".to_owned()),
            false => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the loop hangs\n".to_owned(),
            ),
        }
    }

    fn ready(&self) -> Response<String> {
        let reasons = self.health.reasons();
        match reasons.is_empty() {
            true => text(StatusCode::OK, "ok\n".to_owned()),
            false => text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<String> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use tekseal_core::run::RunKind;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    struct Running {
        address: SocketAddr,
        metrics: Metrics,
        health: Arc<Health>,
    }

    async fn running() -> Running {
        let metrics = Metrics::new();
        let health = Arc::new(Health::new());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(any, &metrics, &health)
            .await
            .expect("a port is free");
        let address = server.address().expect("it listens");
        tokio::spawn(server.run());
        Running {
            address,
            metrics,
            health,
        }
    }

    impl Running {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.expect("it listens")
        }

        /// All that is answered to these bytes.
        async fn answer(&self, bytes: &[u8]) -> String {
            let mut stream = self.connect().await;
            // The server may have refused before all was sent.
            let _ = stream.write_all(bytes).await;
            all(&mut stream).await
        }

        async fn get(&self, path: &str) -> String {
            self.answer(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                .await
        }
    }

    async fn all(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(30), read).await;
        // A connection that is reset has ended like any other.
        let _ = read.expect("the connection ends");
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn metrics_are_what_was_counted() {
        let server = running().await;
        server.metrics.signed(RunKind::TaskRun);
        let answer = server.get("/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("\nwatcher_taskrun_sign_created_total 1\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn ready_says_why_not_and_alive_does_not_care() {
        let server = running().await;
        assert!(server.get("/healthz").await.ends_with("\r\n\r\nok\n"));
        let answer = server.get("/readyz?verbose").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nno usable configuration: it was not read yet\nno usable key: it was not opened yet\n"),
            "{answer}"
        );
        server.health.set_configuration(Ok(()));
        server.health.set_key(Ok(()));
        let answer = server.get("/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        let server = running().await;
        for path in [
            "/",
            "/metrics/",
            "/metrics/x",
            "/debug/pprof",
            "/healthz%00",
            "*",
        ] {
            let answer = server.get(path).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
        let answer = server
            .answer(b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD\r\n"),
            "{answer}"
        );
        let answer = server
            .answer(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn garbage_harms_nobody() {
        let server = running().await;
        let endless = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 1 << 20]].concat();
        let many: String = (0..500).map(|n| format!("X-{n}: y\r\n")).collect();
        let many = format!("GET /metrics HTTP/1.1\r\n{many}\r\n");
        for garbage in [
            b"\0\xff\xfe\r\n\r\n".as_slice(),
            b"GET  \r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            many.as_bytes(),
            &endless,
        ] {
            server.answer(garbage).await;
        }
        assert!(server.get("/healthz").await.ends_with("ok\n"));
    }

    #[tokio::test]
    async fn clients_that_say_nothing_keep_nobody_out_and_are_closed() {
        let server = running().await;
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(server.connect().await);
        }
        // All are taken, so each probe closes the oldest of them.
        assert!(server.get("/healthz").await.ends_with("ok\n"));
        let mut oldest = silent.remove(0);
        assert_eq!(all(&mut oldest).await, "");
        // The others end when their time for a request is over.
        for mut stream in silent {
            all(&mut stream).await;
        }
    }
}
