//! A proxy that stands before a registry: it records what clients do, and does to them what tests need.
//!
//! ```text
//!   client ──▶ read the whole request ──▶ bearer token? ──▶ rule? ──▶ registry ──▶ delay ──▶ answer
//!                                          401, /token      gate, fault, answer of the test
//! ```
//!
//! One thread for each client connection; a connection of its own to the registry for each request. The `Host` of the client goes on to
//! the registry, so the locations that it makes lead back to the proxy.

mod bearer;
mod rules;

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::bearer::Bearer;
pub use self::rules::{Gate, Moment, Rule};

use self::bearer::TokenServer;
use self::rules::{Action, Rules};
use crate::http::{self, Answer, Request, answer_head};
use crate::image::Image;

/// One request that came through the proxy.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What follows the `?`; empty where there is none.
    pub query: String,
    /// Header fields, without those that frame the body.
    pub headers: Vec<(String, String)>,
    /// Size of the body in bytes.
    pub size: usize,
    /// Which connection it came on; the first is 0.
    pub connection: usize,
    /// When the whole request had been read.
    pub start: Instant,
    /// When the answer began to go out; `None` while there is none.
    pub end: Option<Instant>,
    /// The status of the answer; `None` while there is none, and when the connection was cut instead.
    pub status: Option<u16>,
}

impl Seen {
    /// Whether it has this method and this text in its path.
    #[must_use]
    pub fn is(&self, method: &str, part_of_path: &str) -> bool {
        self.method == method && self.path.contains(part_of_path)
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        http::find(&self.headers, name)
    }
}

/// A running proxy. It ends, and cuts its connections, when this value is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    address: String,
    upstream: String,
    tokens: Option<TokenServer>,
    rules: Rules,
    delay: Mutex<Duration>,
    seen: Mutex<Vec<Seen>>,
    streams: Mutex<Vec<TcpStream>>,
    stopping: AtomicBool,
}

impl Proxy {
    /// Starts a proxy before the server at `upstream` (`host:port`, plain http).
    #[must_use]
    pub fn start(upstream: &str) -> Self {
        Self::with_tokens(upstream, None)
    }

    /// The same at another address of this machine than loopback, such as the one at which the Pods of a node reach it.
    #[must_use]
    pub fn start_at(host: &str, upstream: &str) -> Self {
        Self::bind(host, upstream, None)
    }

    /// Starts a proxy that asks for bearer tokens, and gives them out at `/token`.
    #[must_use]
    pub fn start_with_bearer(upstream: &str, bearer: Bearer) -> Self {
        Self::with_tokens(upstream, Some(bearer))
    }

    fn with_tokens(upstream: &str, bearer: Option<Bearer>) -> Self {
        Self::bind("127.0.0.1", upstream, bearer)
    }

    fn bind(host: &str, upstream: &str, bearer: Option<Bearer>) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a free port of this machine");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address")
            .to_string();
        let shared = Arc::new(Shared {
            tokens: bearer.map(|bearer| TokenServer::new(bearer, &address)),
            address,
            upstream: upstream.to_owned(),
            rules: Rules::default(),
            delay: Mutex::default(),
            seen: Mutex::default(),
            streams: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            shared,
            accepting: Some(accepting),
        }
    }

    /// `host:port` of the proxy, `127.0.0.1` unless another one was wanted.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// `address/repository@digest` of an image of the registry behind, by way of the proxy.
    #[must_use]
    pub fn reference(&self, image: &Image) -> String {
        format!("{}/{}@{}", self.address(), image.repository, image.digest)
    }

    /// Answers each request this much later, as a distant registry would.
    pub fn delay_each(&self, delay: Duration) {
        *lock(&self.shared.delay) = delay;
    }

    /// Begins a rule for the requests that `matches` says yes to. The first rule that applies to a request decides.
    pub fn when(&self, matches: impl Fn(&Seen) -> bool + Send + 'static) -> Rule<'_> {
        self.shared.rules.when(matches)
    }

    /// Begins a rule for the requests with this method and this text in their path.
    pub fn on(&self, method: &str, part_of_path: &str) -> Rule<'_> {
        let (method, part) = (method.to_owned(), part_of_path.to_owned());
        self.when(move |seen| seen.is(&method, &part))
    }

    /// Everything seen so far, in the order in which it came.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many requests were seen.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.shared.seen).len()
    }

    /// How many requests with this method and this text in their path were seen.
    #[must_use]
    pub fn count_of(&self, method: &str, part_of_path: &str) -> usize {
        lock(&self.shared.seen)
            .iter()
            .filter(|seen| seen.is(method, part_of_path))
            .count()
    }

    /// How many connections carried requests.
    #[must_use]
    pub fn connections(&self) -> usize {
        let mut ids: Vec<_> = lock(&self.shared.seen)
            .iter()
            .map(|seen| seen.connection)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    /// How many round trips in a row the client had to wait for: the length of the longest chain of requests of which each began after
    /// the one before had been answered. Requests that overlap count once; give a delay, so that those sent together do overlap.
    #[must_use]
    pub fn sequential_latencies(&self) -> usize {
        sequential_latencies(&lock(&self.shared.seen))
    }

    /// Forgets what was seen.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }

    /// Makes all tokens given out so far invalid.
    ///
    /// # Panics
    ///
    /// When the proxy gives out no tokens.
    pub fn expire_tokens(&self) {
        self.shared
            .tokens
            .as_ref()
            .expect("the proxy was started with bearer tokens")
            .expire();
    }

    /// The scopes that tokens were asked for, in order, whether granted or not.
    ///
    /// # Panics
    ///
    /// When the proxy gives out no tokens.
    #[must_use]
    pub fn scopes_asked(&self) -> Vec<String> {
        self.shared
            .tokens
            .as_ref()
            .expect("the proxy was started with bearer tokens")
            .asked()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.rules.release_all();
        // The listener wakes up for one more connection, and sees that it is over.
        let _ = TcpStream::connect(&self.shared.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
        for stream in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The same of what several proxies have seen: how many round trips in a row a client of all of them had to wait for.
#[must_use]
pub fn sequential_latencies(seen: &[Seen]) -> usize {
    let mut spans: Vec<_> = seen
        .iter()
        .filter_map(|s| Some((s.end?, s.start)))
        .collect();
    spans.sort_unstable();
    let (mut length, mut last) = (0, None);
    for (end, start) in spans {
        if last.is_none_or(|last| start >= last) {
            (length, last) = (length + 1, Some(end));
        }
    }
    length
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, stream) in listener.incoming().enumerate() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            lock(&shared.streams).push(copy);
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A client that goes away, or sends what is not HTTP, loses its connection and nothing else.
            let _ = shared.serve(&stream, connection);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream, connection: usize) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = http::read_request(&mut reader, stream)? {
            let seen = Seen {
                method: request.method.clone(),
                path: request.path().to_owned(),
                query: request.query().to_owned(),
                headers: request.headers.clone(),
                size: request.body.len(),
                connection,
                start: Instant::now(),
                end: None,
                status: None,
            };
            let number = {
                let mut all = lock(&self.seen);
                all.push(seen.clone());
                all.len() - 1
            };
            if !self.respond(stream, number, &seen, request)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers one request; `false` when the connection is to be cut.
    fn respond(
        &self,
        stream: &TcpStream,
        number: usize,
        seen: &Seen,
        request: Request,
    ) -> io::Result<bool> {
        if let Some(challenge) = self
            .tokens
            .as_ref()
            .and_then(|tokens| tokens.refuse(&request))
        {
            return self.send(stream, number, &challenge, None);
        }
        match self.rules.action(seen) {
            Action::Pass => self.send(stream, number, &self.ask(request), None),
            Action::Answer(answer) => self.send(stream, number, &answer, None),
            Action::Refuse => Ok(false),
            Action::LoseAnswer => {
                self.ask(request);
                Ok(false)
            }
            Action::Cut(bytes) => self.send(stream, number, &self.ask(request), Some(bytes)),
            Action::Stall(_, latch) if latch.is_open() => {
                self.send(stream, number, &self.ask(request), None)
            }
            Action::Stall(bytes, latch) => {
                self.send(stream, number, &self.ask(request), Some(bytes))?;
                latch.hold();
                Ok(false)
            }
            Action::Edit(edit) => {
                let mut answer = self.ask(request);
                edit(&mut answer);
                self.send(stream, number, &answer, None)
            }
            Action::Hold(Moment::BeforeForwarding, latch) => {
                latch.hold();
                self.send(stream, number, &self.ask(request), None)
            }
            Action::Hold(Moment::BeforeAnswering, latch) => {
                let answer = self.ask(request);
                latch.hold();
                self.send(stream, number, &answer, None)
            }
        }
    }

    /// The answer of the token server or of the registry.
    fn ask(&self, mut request: Request) -> Answer {
        if let Some(tokens) = &self.tokens {
            if request.path() == bearer::PATH {
                return tokens.grant(&request);
            }
            // The token is ours; the registry behind knows nothing of it.
            request
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        }
        let mut answer = match http::request(&self.upstream, &request) {
            Ok(answer) => answer,
            Err(e) => {
                return Answer::new(
                    502,
                    &[],
                    format!("the server behind the proxy: {e}").as_bytes(),
                );
            }
        };
        let theirs = format!("http://{}", self.upstream);
        if let Some(rest) = answer
            .header("location")
            .and_then(|location| location.strip_prefix(&theirs))
            .map(str::to_owned)
        {
            answer.set_header("Location", &format!("http://{}{rest}", self.address));
        }
        answer
    }

    /// Sends the answer, or its head and the first bytes of its body; `true` when all of it went out.
    fn send(
        &self,
        mut stream: &TcpStream,
        number: usize,
        answer: &Answer,
        cut: Option<usize>,
    ) -> io::Result<bool> {
        let delay = *lock(&self.delay);
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        // `forget` may have been called meanwhile.
        if let Some(seen) = lock(&self.seen).get_mut(number) {
            seen.end = Some(Instant::now());
            seen.status = cut.is_none().then_some(answer.status);
        }
        let mut message = answer_head(answer);
        message.extend_from_slice(&answer.body[..cut.unwrap_or(usize::MAX).min(answer.body.len())]);
        stream.write_all(&message)?;
        Ok(cut.is_none())
    }
}

/// A lock whose holders do nothing that could panic halfway; after a panic elsewhere the data are still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
