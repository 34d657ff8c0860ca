//! Two issuers of identity tokens (OpenID Connect), one as Kubernetes clusters have them and one for people, served by the tests themselves. A third has the
//! keys of a SPIRE, which makes its tokens itself.

use std::fs;
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::http::{Answer, answer_head, read_request};
use crate::run::Run;

/// For whom the tokens are.
pub(super) const AUDIENCE: &str = "sigstore";
const KEY_ID: &str = "test";
const VALID_FOR: Duration = Duration::from_secs(600);
const CLUSTER: &str = "/cluster";
const PEOPLE: &str = "/people";
const WORKLOADS: &str = "/workloads";
const CONFIGURATION: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";

/// Issuers with one RSA key. They end with this value.
pub struct Issuer {
    address: String,
    key: PathBuf,
    folder: PathBuf,
    /// What each SPIRE has signed with.
    workload_keys: Arc<Mutex<Vec<Value>>>,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Issuer {
    pub(super) fn start(folder: &Path) -> Self {
        let key = folder.join("issuer.pem");
        let make = [
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ];
        Run::new("openssl").args(make).arg("-out").arg(&key).ok();
        let keys = json!({"keys": [jwk(&key)]});

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has one");
        let address = address.to_string();
        let stopping = Arc::new(AtomicBool::new(false));
        let (at, stopped) = (address.clone(), Arc::clone(&stopping));
        let workload_keys = Arc::new(Mutex::new(Vec::new()));
        let of_workloads = Arc::clone(&workload_keys);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (at, keys, of_workloads) =
                    (at.clone(), keys.clone(), Arc::clone(&of_workloads));
                // Whoever goes away loses this connection and nothing else.
                thread::spawn(move || serve(&stream, &at, &keys, &of_workloads));
            }
        });
        Self {
            address,
            key,
            folder: folder.to_owned(),
            workload_keys,
            stopping,
            accepting: Some(accepting),
        }
    }

    /// The issuer of tokens for ServiceAccounts.
    #[must_use]
    pub fn cluster(&self) -> String {
        format!("http://{}{CLUSTER}", self.address)
    }

    /// The issuer of tokens for people.
    #[must_use]
    pub fn people(&self) -> String {
        format!("http://{}{PEOPLE}", self.address)
    }

    /// The issuer of tokens that a [SPIRE](crate::Spire) makes, if it was [told](Self::vouch_for) its keys.
    #[must_use]
    pub fn workloads(&self) -> String {
        format!("http://{}{WORKLOADS}", self.address)
    }

    /// Adds the keys of a SPIRE, as JWKs.
    ///
    /// # Panics
    ///
    /// When somebody panicked with them.
    pub fn vouch_for(&self, keys: Vec<Value>) {
        let mut known = self.workload_keys.lock().expect("nobody panics with them");
        known.extend(keys);
    }

    /// A token for a ServiceAccount. Fulcio certifies it as `https://kubernetes.io/namespaces/NAMESPACE/serviceaccounts/NAME`.
    #[must_use]
    pub fn service_account_token(&self, namespace: &str, name: &str) -> String {
        self.service_account_token_for(AUDIENCE, namespace, name)
    }

    /// The same for another audience than Fulcio.
    #[must_use]
    pub fn service_account_token_for(&self, audience: &str, namespace: &str, name: &str) -> String {
        let uid = "6b1f5d0e-0000-4000-8000-000000000002";
        self.token(
            &self.cluster(),
            audience,
            json!({
                "sub": format!("system:serviceaccount:{namespace}:{name}"),
                "kubernetes.io": {
                    "namespace": namespace,
                    "pod": {"name": "build", "uid": uid},
                    "serviceaccount": {"name": name, "uid": uid},
                },
            }),
        )
    }

    /// A token for somebody with this address, which Fulcio certifies.
    #[must_use]
    pub fn email_token(&self, address: &str) -> String {
        self.token(
            &self.people(),
            AUDIENCE,
            json!({"sub": address, "email": address, "email_verified": true}),
        )
    }

    fn token(&self, issuer: &str, audience: &str, mut claims: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is not 1970").as_secs();
        claims["iss"] = issuer.into();
        claims["aud"] = json!([audience]);
        claims["iat"] = now.into();
        claims["exp"] = (now + VALID_FOR.as_secs()).into();
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = tempfile::NamedTempFile::new_in(&self.folder).expect("a file");
        let sign = Run::new("openssl").args(["dgst", "-sha256", "-sign"]);
        sign.arg(&self.key)
            .arg("-out")
            .arg(signature.path())
            .stdin(&signed)
            .ok();
        let signature = fs::read(signature.path()).expect("just made");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The listener wakes up for one more connection, and sees that it is over.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    stream: &TcpStream,
    address: &str,
    keys: &Value,
    of_workloads: &Mutex<Vec<Value>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, stream)? {
        let path = request.path();
        let all = [CLUSTER, PEOPLE, WORKLOADS];
        let document = all.into_iter().find_map(|issuer| {
            let issuer_url = format!("http://{address}{issuer}");
            match path.strip_prefix(issuer)? {
                CONFIGURATION => Some(configuration(&issuer_url)),
                KEYS if issuer == WORKLOADS => {
                    let keys = of_workloads.lock().expect("nobody panics with them");
                    Some(json!({"keys": *keys}))
                }
                KEYS => Some(keys.clone()),
                _ => None,
            }
        });
        let answer = match document {
            Some(document) => Answer::new(
                200,
                &[("Content-Type", "application/json")],
                document.to_string().as_bytes(),
            ),
            None => Answer::new(404, &[], b""),
        };
        let mut bytes = answer_head(&answer);
        bytes.extend_from_slice(&answer.body);
        (&*stream).write_all(&bytes)?;
    }
    Ok(())
}

/// What <https://openid.net/specs/openid-connect-discovery-1_0.html> requires.
fn configuration(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{KEYS}"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    })
}

/// The public part of a key, as <https://www.rfc-editor.org/rfc/rfc7517> has it.
fn jwk(key: &Path) -> Value {
    let said = Run::new("openssl").args(["rsa", "-noout", "-modulus", "-in"]);
    let said = said.arg(key).ok().stdout;
    let hex = said.trim().strip_prefix("Modulus=").expect("it says so");
    let modulus: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex digits"))
        .collect();
    json!({
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": KEY_ID,
        "n": URL_SAFE_NO_PAD.encode(modulus),
        // What openssl takes unless told otherwise, 65537.
        "e": "AQAB",
    })
}
