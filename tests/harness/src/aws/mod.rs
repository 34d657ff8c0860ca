//! AWS as far as keys in its KMS need it, written from its documentation: KMS, the security token service, the agent of containers and the metadata
//! of instances, all at one address.
//!
//! ```text
//!   POST /  X-Amz-Target: TrentService.…       kms.rs, after signature.rs has computed the signature of the request anew
//!   POST /  Action=AssumeRoleWithWebIdentity   identity.rs
//!   GET  /v1/credentials                       identity.rs: EKS Pod Identity
//!   PUT  /latest/api/token, GET /latest/…      identity.rs: IMDSv2
//! ```
//!
//! It is an imitation: what it refuses the documentation says to refuse, and nothing more is known of the real one. Keys are real, and sign the digest
//! that they are given.

mod identity;
mod kms;
mod moto;
mod signature;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::kms::Key;
pub use self::moto::Moto;
use crate::http::{Answer, Request, answer_head, find, read_request};

/// The region in which it is.
pub const AWS_REGION: &str = "eu-west-1";
const ACCOUNT: &str = "111122223333";

/// AWS on loopback. It ends with this value.
pub struct Aws {
    address: String,
    state: Arc<Mutex<State>>,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

struct State {
    folder: TempDir,
    /// By ARN.
    keys: BTreeMap<String, Key>,
    /// ARNs by `alias/NAME`.
    aliases: BTreeMap<String, String>,
    /// By access key id.
    callers: BTreeMap<String, Caller>,
    /// Roles that tokens of the cluster may take, with the token.
    roles: BTreeMap<String, String>,
    /// The token that the agent of containers takes.
    agent_token: Option<String>,
    instance_role: Option<String>,
    /// How long credentials are good that are given out.
    lifetime: SignedDuration,
    given: usize,
    /// By how much its clock is ahead of this machine's.
    ahead: SignedDuration,
    refusals: Vec<Refusal>,
    calls: Vec<(String, Value)>,
    complaints: Vec<String>,
}

struct Caller {
    secret: String,
    token: Option<String>,
    is_expired: bool,
}

struct Refusal {
    operation: String,
    left: usize,
    code: String,
}

/// Why a request is refused: the name of the error, and a sentence.
struct Refused(String, String);

type Outcome = Result<Value, Refused>;

fn refused<T>(code: &str, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(code.to_owned(), message.into()))
}

impl Aws {
    /// Starts it, without keys and without anybody who may ask.
    ///
    /// # Panics
    ///
    /// When there is no free port on loopback.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has one");
        let state = Arc::new(Mutex::new(State {
            folder: tempfile::tempdir().expect("a temporary folder"),
            keys: BTreeMap::new(),
            aliases: BTreeMap::new(),
            callers: BTreeMap::new(),
            roles: BTreeMap::new(),
            agent_token: None,
            instance_role: None,
            lifetime: SignedDuration::from_hours(1),
            given: 0,
            ahead: SignedDuration::ZERO,
            refusals: Vec::new(),
            calls: Vec::new(),
            complaints: Vec::new(),
        }));
        let stopping = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stopping));
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let state = Arc::clone(&shared);
                // Whoever goes away loses this connection and nothing else.
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Self {
            address: address.to_string(),
            state,
            stopping,
            accepting: Some(accepting),
        }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Makes a key of a kind that AWS names so, such as `ECC_NIST_P256`, for `usage`, such as `SIGN_VERIFY`; gives its ARN.
    #[must_use]
    pub fn key(&self, spec: &str, usage: &str) -> String {
        self.state().make_key(spec, usage)
    }

    /// Lets `alias/NAME` be a name of the key.
    pub fn alias(&self, name: &str, arn: &str) {
        self.state().aliases.insert(name.to_owned(), arn.to_owned());
    }

    /// The key of this name.
    #[must_use]
    pub fn key_of(&self, alias: &str) -> Option<String> {
        self.state().aliases.get(alias).cloned()
    }

    /// The public key, PEM.
    ///
    /// # Panics
    ///
    /// When there is no such key.
    #[must_use]
    pub fn public_key(&self, arn: &str) -> String {
        let all = self.state();
        all.keys.get(arn).expect("the key is there").public_pem()
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.state().keys.len()
    }

    /// Puts a key into a state, such as `Disabled` or `PendingDeletion`.
    ///
    /// # Panics
    ///
    /// When there is no such key.
    pub fn set_state(&self, arn: &str, state: &str) {
        let mut all = self.state();
        let key = all.keys.get_mut(arn).expect("the key is there");
        key.state = state.to_owned();
    }

    /// Sets the policy of a key.
    ///
    /// # Panics
    ///
    /// When there is no such key.
    pub fn set_policy(&self, arn: &str, policy: &str) {
        let mut all = self.state();
        let key = all.keys.get_mut(arn).expect("the key is there");
        key.policy = policy.to_owned();
    }

    /// The policy of a key.
    ///
    /// # Panics
    ///
    /// When there is no such key.
    #[must_use]
    pub fn policy(&self, arn: &str) -> String {
        let all = self.state();
        all.keys.get(arn).expect("the key is there").policy.clone()
    }

    /// Lets somebody ask.
    pub fn allow(&self, id: &str, secret: &str, token: Option<&str>) {
        let caller = Caller {
            secret: secret.to_owned(),
            token: token.map(str::to_owned),
            is_expired: false,
        };
        self.state().callers.insert(id.to_owned(), caller);
    }

    /// Lets all credentials that there are have expired.
    pub fn expire_all(&self) {
        for caller in self.state().callers.values_mut() {
            caller.is_expired = true;
        }
    }

    /// Lets whoever has this token of the cluster take the role.
    pub fn allow_role(&self, role: &str, token: &str) {
        self.state().roles.insert(role.to_owned(), token.to_owned());
    }

    /// Lets the agent of containers give credentials for this token.
    pub fn allow_pod(&self, token: &str) {
        self.state().agent_token = Some(token.to_owned());
    }

    /// Lets the instance have a role.
    pub fn allow_instance(&self, role: &str) {
        self.state().instance_role = Some(role.to_owned());
    }

    /// How long credentials are good that are given out from now on.
    pub fn set_lifetime(&self, lifetime: Duration) {
        let lifetime = SignedDuration::try_from(lifetime);
        self.state().lifetime = lifetime.expect("no test waits for longer");
    }

    /// Sets its clock so many seconds ahead of this machine's.
    pub fn set_ahead(&self, seconds: i64) {
        self.state().ahead = SignedDuration::from_secs(seconds);
    }

    /// Refuses the next requests for an operation, such as `Sign`, with this error.
    pub fn refuse(&self, operation: &str, times: usize, code: &str) {
        self.state().refusals.push(Refusal {
            operation: operation.to_owned(),
            left: times,
            code: code.to_owned(),
        });
    }

    /// How many requests for an operation there were, whatever became of them.
    #[must_use]
    pub fn count_of(&self, operation: &str) -> usize {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|(called, _)| called == operation).count()
    }

    /// What was sent for an operation, in order.
    #[must_use]
    pub fn bodies_of(&self, operation: &str) -> Vec<Value> {
        let state = self.state();
        let calls = state.calls.iter();
        let calls = calls.filter(|(called, _)| called == operation);
        calls.map(|(_, body)| body.clone()).collect()
    }

    /// What was wrong with requests: their signatures, their shape, who asked. What a test lets be wrong is not in it.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The listener wakes up for one more connection, and sees that it is over.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

/// A lock whose holders do nothing that could panic halfway, or of a test that has failed anyway.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, stream)? {
        let mut answer = lock(state).answer(&request);
        let now = lock(state).now();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        answer.set_header("Date", &date.expect("it is no year of five digits"));
        let mut bytes = answer_head(&answer);
        bytes.extend_from_slice(&answer.body);
        (&*stream).write_all(&bytes)?;
    }
    Ok(())
}

impl State {
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.ahead
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let target = find(&request.headers, "x-amz-target");
        match (request.method.as_str(), request.path(), target) {
            ("POST", "/", Some(target)) => {
                let target = target.to_owned();
                self.kms_answer(&target, request)
            }
            ("POST", "/", None) => self.sts_answer(request),
            ("GET", identity::AGENT, _) => self.agent_answer(request),
            (_, path, _) if path.starts_with("/latest/") => self.instance_answer(request),
            _ => Answer::new(404, &[], b""),
        }
    }

    fn kms_answer(&mut self, target: &str, request: &Request) -> Answer {
        let operation = target.strip_prefix("TrentService.").unwrap_or(target);
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        self.calls.push((operation.to_owned(), body.clone()));
        let refusal = self
            .refusals
            .iter_mut()
            .find(|refusal| refusal.operation == operation && refusal.left > 0);
        let outcome = match refusal {
            Some(refusal) => {
                refusal.left -= 1;
                refused(&refusal.code, "so the test says")
            }
            None => self
                .authenticate(request)
                .and_then(|()| self.call(operation, &body)),
        };
        let kind = [("Content-Type", "application/x-amz-json-1.1")];
        match outcome {
            Ok(Value::Null) => Answer::new(200, &kind, b""),
            Ok(answer) => Answer::new(200, &kind, answer.to_string().as_bytes()),
            Err(Refused(code, message)) => {
                let status = match code.as_str() {
                    "KMSInternalException" => 500,
                    "ServiceUnavailable" => 503,
                    _ => 400,
                };
                let body = json!({"__type": code, "message": message});
                Answer::new(status, &kind, body.to_string().as_bytes())
            }
        }
    }

    fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }
}

#[cfg(test)]
mod tests;
