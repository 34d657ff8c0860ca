//! A server that speaks the protocol of Fulcio and verifies nothing: it certifies whatever a test wants, also what Fulcio would never. The real one is
//! [`Fulcio`](super::Fulcio).

use std::fs;
use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::key::blocks;
use crate::http::{Answer, Request, answer_head, find, read_request};
use crate::run::Run;
use crate::tls::{Authority, VALID_FROM};

const COMMON_NAME: &str = "stand-in root";

/// A certificate that is about to be signed. As it comes, it is what Fulcio would issue.
#[derive(Clone, Debug)]
pub struct Certifying {
    /// The SubjectPublicKeyInfo to certify, DER.
    pub key: Vec<u8>,
    /// The one name, a URI.
    pub name: String,
    /// Who vouches for the name.
    pub issuer: String,
    /// First and last second, since 1970.
    pub valid: (i64, i64),
}

type Change = dyn Fn(&mut Certifying) + Send + Sync;

/// The server. It ends with this value.
pub struct Certifier {
    address: String,
    folder: TempDir,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Certifier {
    /// Starts it; each certificate is changed so before it is signed.
    #[must_use]
    pub fn start(change: impl Fn(&mut Certifying) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Authority::make(
            folder.path(),
            &format!("/CN={COMMON_NAME}"),
            &[
                "basicConstraints=critical,CA:TRUE,pathlen:1",
                "keyUsage=critical,keyCertSign,cRLSign",
                "extendedKeyUsage=codeSigning",
            ],
        );
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has one");
        let stopping = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (Arc::clone(&stopping), folder.path().to_owned());
        let change: Arc<Change> = Arc::new(change);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (path, change) = (path.clone(), Arc::clone(&change));
                // Whoever goes away loses this connection and nothing else.
                thread::spawn(move || serve(&stream, &path, &*change));
            }
        });
        Self {
            address: address.to_string(),
            folder,
            stopping,
            accepting: Some(accepting),
        }
    }

    /// One that certifies as Fulcio does.
    #[must_use]
    pub fn honest() -> Self {
        Self::start(|_| {})
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it is, as clients are told it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As a member of `certificateAuthorities` of a trusted root.
    #[must_use]
    pub fn authority(&self) -> Value {
        let [root] = <[_; 1]>::try_from(blocks(&self.folder.path().join("ca.crt")))
            .expect("openssl writes one certificate");
        json!({
            "subject": {"organization": "", "commonName": COMMON_NAME},
            "uri": self.url(),
            "certChain": {"certificates": [{"rawBytes": STANDARD.encode(root)}]},
            "validFor": {"start": VALID_FROM},
        })
    }
}

impl Drop for Certifier {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The listener wakes up for one more connection, and sees that it is over.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

/// A token with these claims that nobody signed, for this server alone.
#[must_use]
pub fn unsigned_token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({"alg": "RS256", "kid": "nobody"});
    format!("{}.{}.c2lnbmF0dXJl", part(&head), part(claims))
}

/// The claims of a projected ServiceAccount token that is good for ten minutes.
#[must_use]
pub fn service_account_claims(namespace: &str, name: &str) -> Value {
    json!({
        "iss": "https://cluster.example",
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "aud": ["sigstore"],
        "exp": now() + 600,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name}},
    })
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("it is not 1970").as_secs()).expect("it fits for long")
}

fn serve(stream: &TcpStream, folder: &Path, change: &Change) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, stream)? {
        let headers = [("Content-Type", "application/json")];
        let answer = match answer(&request, folder, change) {
            Some(answer) => Answer::new(200, &headers, answer.to_string().as_bytes()),
            None => {
                let told = json!({"code": 3, "message": "the request is malformed"});
                Answer::new(400, &headers, told.to_string().as_bytes())
            }
        };
        let mut bytes = answer_head(&answer);
        bytes.extend_from_slice(&answer.body);
        (&*stream).write_all(&bytes)?;
    }
    Ok(())
}

fn answer(request: &Request, folder: &Path, change: &Change) -> Option<Value> {
    if (request.method.as_str(), request.path()) != ("POST", "/api/v2/signingCert") {
        return None;
    }
    let asked: Value = serde_json::from_slice(&request.body).ok()?;
    let asked = &asked["publicKeyRequest"];
    let text = asked["publicKey"]["content"].as_str()?;
    asked["proofOfPossession"].as_str()?;
    let key: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let token = find(&request.headers, "authorization")?.strip_prefix("Bearer ")?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let of_cluster = &claims["kubernetes.io"];
    let mut certifying = Certifying {
        key: STANDARD.decode(key).ok()?,
        name: format!(
            "https://kubernetes.io/namespaces/{}/serviceaccounts/{}",
            of_cluster["namespace"].as_str()?,
            of_cluster["serviceaccount"]["name"].as_str()?
        ),
        issuer: claims["iss"].as_str()?.to_owned(),
        valid: (now(), now() + 600),
    };
    change(&mut certifying);
    let root = fs::read_to_string(folder.join("ca.crt")).ok()?;
    let chain = [certifying.sign(folder), root];
    // What Fulcio answers without a log of certificates.
    Some(json!({"signedCertificateDetachedSct": {"chain": {"certificates": chain}}}))
}

impl Certifying {
    /// The certificate, PEM.
    fn sign(&self, folder: &Path) -> String {
        let algorithm = der(0x30, &[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])]);
        let purpose = der(0x30, &[&oid(&[0x2b, 6, 1, 5, 5, 7, 3, 3])]);
        let name = der(0x30, &[&der(0x86, &[self.name.as_bytes()])]);
        let issuer = der(0x0c, &[self.issuer.as_bytes()]);
        let fulcio = |number| [0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, number];
        let extensions = [
            extension(&[0x55, 0x1d, 15], true, &der(3, &[&[7, 0x80]])),
            extension(&[0x55, 0x1d, 37], false, &purpose),
            extension(&[0x55, 0x1d, 17], true, &name),
            extension(&fulcio(1), false, self.issuer.as_bytes()),
            extension(&fulcio(8), false, &issuer),
        ];
        let root = COMMON_NAME.as_bytes();
        let root = der(0x30, &[&oid(&[0x55, 4, 3]), &der(0x0c, &[root])]);
        let tbs = der(
            0x30,
            &[
                &der(0xa0, &[&der(2, &[&[2]])]),
                &der(2, &[&[7]]),
                &algorithm,
                &der(0x30, &[&der(0x31, &[&root])]),
                &der(0x30, &[&utc(self.valid.0), &utc(self.valid.1)]),
                &der(0x30, &[]),
                &self.key,
                &der(0xa3, &[&der(0x30, &[&extensions.concat()])]),
            ],
        );
        let signature = sign(folder, &tbs);
        let bits = der(3, &[&[0], &signature]);
        let text = STANDARD.encode(der(0x30, &[&tbs, &algorithm, &bits]));
        let lines = text.as_bytes().chunks(64);
        let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    }
}

/// The authority's signature, by openssl.
fn sign(folder: &Path, bytes: &[u8]) -> Vec<u8> {
    let signature: PathBuf = tempfile::NamedTempFile::new_in(folder)
        .expect("the folder is ours")
        .into_temp_path()
        .to_path_buf();
    Run::new("openssl")
        .folder(folder)
        .args(["dgst", "-sha256", "-sign", "ca.key", "-out"])
        .arg(&signature)
        .stdin(bytes)
        .ok();
    fs::read(&signature).expect("just made")
}

/// A value of this tag with all of this in it.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => {
            let long = u16::try_from(length).expect("no part of a certificate is so large");
            bytes.push(0x82);
            bytes.extend(long.to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    der(6, &[bytes])
}

fn extension(kind: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { &[1, 1, 0xff] } else { &[] };
    der(0x30, &[&oid(kind), critical, &der(4, &[value])])
}

/// UTCTime
fn utc(seconds: i64) -> Vec<u8> {
    let date = Run::new("date").args(["-u", "+%y%m%d%H%M%SZ", "-d"]);
    let said = date.arg(format!("@{seconds}")).ok().stdout;
    der(0x17, &[said.trim().as_bytes()])
}
