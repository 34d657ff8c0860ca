//! A server of one service: threads, TLS where it is wanted, and what tests do to its clients.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::http::{Answer, Request, answer_head, read_request};
use crate::tls::Certificates;

/// A service that answers.
pub(super) trait Service: Send + 'static {
    fn answer(&mut self, request: &Request) -> Answer;
}

type Before = Box<dyn FnMut(&Request) -> Option<Answer> + Send>;
type After = Box<dyn FnMut(&Request, &mut Answer) + Send>;

/// It ends with this value.
pub(super) struct Server<S> {
    pub(super) address: String,
    shared: Arc<Shared<S>>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared<S> {
    service: Mutex<S>,
    before: Mutex<Vec<Before>>,
    after: Mutex<Vec<After>>,
    seen: Mutex<Vec<Request>>,
    stopping: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl<S: Service> Server<S> {
    /// Starts it; the service is told its address.
    pub(super) fn start(make: impl FnOnce(&str) -> S, tls: Option<&Certificates>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has one");
        let address = address.to_string();
        let shared = Arc::new(Shared {
            service: Mutex::new(make(&address)),
            before: Mutex::default(),
            after: Mutex::default(),
            seen: Mutex::default(),
            stopping: AtomicBool::new(false),
            tls: tls.map(configuration),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let shared = Arc::clone(&shared);
                    // Whoever goes away loses this connection and nothing else.
                    thread::spawn(move || {
                        let _ = shared.connection(&stream);
                        let _ = stream.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    pub(super) fn service(&self) -> MutexGuard<'_, S> {
        lock(&self.shared.service)
    }

    /// The first of these that gives an answer gives it in the service's place.
    pub(super) fn before(&self, answer: impl FnMut(&Request) -> Option<Answer> + Send + 'static) {
        lock(&self.shared.before).push(Box::new(answer));
    }

    /// Each of these may change what the service answers.
    pub(super) fn after(&self, change: impl FnMut(&Request, &mut Answer) + Send + 'static) {
        lock(&self.shared.after).push(Box::new(change));
    }

    /// From now on nothing is done to clients, and nothing has been seen.
    pub(super) fn forget(&self) {
        lock(&self.shared.before).clear();
        lock(&self.shared.after).clear();
        lock(&self.shared.seen).clear();
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        lock(&self.shared.seen).clone()
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // The listener wakes up for one more connection, and sees that it is over.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

impl<S: Service> Shared<S> {
    fn connection(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.serve(BufReader::new(stream), stream),
            Some(configuration) => {
                let tls = ServerConnection::new(Arc::clone(configuration));
                let tls = tls.map_err(io::Error::other)?;
                let tls = StreamOwned::new(tls, stream.try_clone()?);
                self.serve(BufReader::new(tls), stream)
            }
        }
    }

    fn serve<T: Read + WriteBack>(
        &self,
        mut reader: BufReader<T>,
        stream: &TcpStream,
    ) -> io::Result<()> {
        while let Some(request) = read_request(&mut reader, stream)? {
            lock(&self.seen).push(request.clone());
            let mut answer = lock(&self.before)
                .iter_mut()
                .find_map(|hook| hook(&request));
            if answer.is_none() {
                let mut made = lock(&self.service).answer(&request);
                for hook in lock(&self.after).iter_mut() {
                    hook(&request, &mut made);
                }
                answer = Some(made);
            }
            let answer = answer.expect("one of the two answers");
            let mut bytes = answer_head(&answer);
            bytes.extend_from_slice(&answer.body);
            reader.get_mut().write_back(&bytes)?;
        }
        Ok(())
    }
}

/// A stream that is read through a buffer, and written to beside it.
trait WriteBack {
    fn write_back(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl WriteBack for &TcpStream {
    fn write_back(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }
}

impl WriteBack for StreamOwned<ServerConnection, TcpStream> {
    fn write_back(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }
}

fn configuration(certificates: &Certificates) -> Arc<ServerConfig> {
    let (certificate, key) = certificates.server();
    let chain = CertificateDer::pem_file_iter(certificate).expect("openssl wrote it");
    let chain = chain.map(|one| one.expect("openssl wrote it")).collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("openssl wrote it");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(configuration.expect("the key is that of the certificate"))
}

/// An answer in JSON.
pub(super) fn json_answer(status: u16, document: &Value) -> Answer {
    let headers = [("Content-Type", "application/json; charset=UTF-8")];
    Answer::new(status, &headers, document.to_string().as_bytes())
}

/// The token that a request has; empty where it has none.
pub(super) fn bearer(request: &Request) -> &str {
    let found = crate::http::find(&request.headers, "authorization");
    found
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
