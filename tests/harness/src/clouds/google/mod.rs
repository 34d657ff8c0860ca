//! Google Cloud KMS, the issuers of Google's tokens, and the metadata server, from <https://cloud.google.com/kms/docs/reference/rest>,
//! <https://developers.google.com/identity/protocols/oauth2/service-account>, AIP-4117 and the documentation of the metadata server.

mod keys;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::key::{KeyKind, TestKey};
use super::server::{Server, Service, json_answer};
use crate::http::{Answer, Request, find};

const EMAIL: &str = "signer@project.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const WIDE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster";
const REFRESH: [(&str, &str); 3] = [
    ("client_id", "client"),
    ("client_secret", "s3cret-of-client"),
    ("refresh_token", "r3fresh"),
];
const SUBJECT: &str = "identity.token.of-kubernetes";
const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Cloud KMS with everything around it, over plain http. It ends with this value.
pub struct GoogleKms {
    server: Server<Google>,
    folder: TempDir,
}

struct Google {
    address: String,
    account: TestKey,
    folder: PathBuf,
    rings: BTreeSet<String>,
    keys: BTreeMap<String, Key>,
    /// What they are good for.
    tokens: BTreeMap<String, &'static str>,
    issued: u32,
    expires_in: u64,
    looks: u32,
    page: usize,
}

struct Key {
    purpose: &'static str,
    algorithm: String,
    versions: Vec<Version>,
}

struct Version {
    state: &'static str,
    key: TestKey,
    /// How often it is looked at before it is ready.
    looks: u32,
}

impl GoogleKms {
    /// Starts it, without any key.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let account = TestKey::make(KeyKind::Rsa(2048));
        let public = folder.path().join("account.pub");
        fs::write(&public, account.public_pem()).expect("the folder is ours");
        let make = |address: &str| Google {
            address: address.to_owned(),
            account,
            folder: folder.path().to_owned(),
            rings: BTreeSet::new(),
            keys: BTreeMap::new(),
            tokens: BTreeMap::new(),
            issued: 0,
            expires_in: 3599,
            looks: 0,
            page: 2,
        };
        let server = Server::start(make, None);
        Self { server, folder }
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// The variable that leads clients here.
    #[must_use]
    pub fn endpoint(&self) -> (&'static str, String) {
        let url = format!("http://{}/", self.address());
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", url)
    }

    /// A file of the service account.
    #[must_use]
    pub fn account_file(&self) -> PathBuf {
        let key = fs::read_to_string(self.server.service().account.private());
        self.credentials(&json!({
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "0123456789abcdef",
            "private_key": key.expect("openssl wrote it"),
            "client_email": EMAIL,
            "token_uri": format!("http://{}/token", self.address()),
            "universe_domain": "googleapis.com",
        }))
    }

    /// A file of somebody who logged in.
    #[must_use]
    pub fn user_file(&self) -> PathBuf {
        let mut file = json!({
            "type": "authorized_user",
            "token_uri": format!("http://{}/token", self.address()),
        });
        for (name, value) in REFRESH {
            file[name] = value.into();
        }
        self.credentials(&file)
    }

    /// A file of an identity from elsewhere, whose token is in a file, or in a document that this server gives; perhaps of a service account for whom
    /// it may act.
    #[must_use]
    pub fn external_file(&self, is_by_url: bool, is_impersonated: bool) -> PathBuf {
        let here = format!("http://{}", self.address());
        let subject = self.folder.path().join("subject");
        fs::write(&subject, SUBJECT).expect("the folder is ours");
        let source = match is_by_url {
            true => json!({
                "url": format!("{here}/subject"),
                "headers": {"X-Pod": "p0d-secret"},
                "format": {"type": "json", "subject_token_field_name": "value"},
            }),
            false => json!({"file": subject}),
        };
        let mut file = json!({
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{here}/sts/v1/token"),
            "credential_source": source,
        });
        if is_impersonated {
            let url = format!("{here}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken");
            file["service_account_impersonation_url"] = url.into();
            file["service_account_impersonation"] = json!({"token_lifetime_seconds": 1800});
        }
        self.credentials(&file)
    }

    /// A file of credentials with this content.
    #[must_use]
    pub fn credentials(&self, content: &Value) -> PathBuf {
        let file = tempfile::Builder::new()
            .suffix(".json")
            .tempfile_in(&self.folder);
        let (_, path) = file
            .and_then(|file| Ok(file.keep()?))
            .expect("the folder is ours");
        fs::write(&path, content.to_string()).expect("the folder is ours");
        path
    }

    /// Adds a key ring.
    pub fn add_ring(&self, resource: &str) {
        self.server.service().rings.insert(resource.to_owned());
    }

    /// Adds a key without versions, and its ring. The algorithm is Google's name for it.
    pub fn add_key(&self, resource: &str, algorithm: &str) {
        self.add_key_for(resource, algorithm, "ASYMMETRIC_SIGN");
    }

    /// The same for another purpose.
    pub fn add_key_for(&self, resource: &str, algorithm: &str, purpose: &'static str) {
        let mut google = self.server.service();
        let ring = resource.split("/cryptoKeys/").next().unwrap_or_default();
        google.rings.insert(ring.to_owned());
        let key = Key {
            purpose,
            algorithm: algorithm.to_owned(),
            versions: Vec::new(),
        };
        google.keys.insert(resource.to_owned(), key);
    }

    /// Adds a version of a key in this state, and gives its public half.
    pub fn add_version(&self, resource: &str, state: &'static str) -> String {
        let mut google = self.server.service();
        let key = google.keys.get_mut(resource).expect("the key was added");
        let made = TestKey::make(kind_of(&key.algorithm));
        let public = made.public_pem();
        key.versions.push(Version {
            state,
            key: made,
            looks: 0,
        });
        public
    }

    /// Puts a version into a state.
    pub fn set_state(&self, resource: &str, version: usize, state: &'static str) {
        let mut google = self.server.service();
        let key = google.keys.get_mut(resource).expect("the key was added");
        key.versions[version - 1].state = state;
    }

    /// Has a version sign with another private key than its public one.
    pub fn swap_key(&self, resource: &str, version: usize) {
        let mut google = self.server.service();
        let key = google.keys.get_mut(resource).expect("the key was added");
        key.versions[version - 1].key = TestKey::make(kind_of(&key.algorithm));
    }

    /// How long tokens last from now on.
    pub fn set_token_life(&self, seconds: u64) {
        self.server.service().expires_in = seconds;
    }

    /// How often a new version is looked at before it is ready.
    pub fn set_looks(&self, looks: u32) {
        self.server.service().looks = looks;
    }

    /// Makes all tokens that were given out invalid.
    pub fn expire_tokens(&self) {
        self.server.service().tokens.clear();
    }

    /// The first of these that gives an answer gives it in the service's place.
    pub fn before(&self, answer: impl FnMut(&Request) -> Option<Answer> + Send + 'static) {
        self.server.before(answer);
    }

    /// Changes the JSON of answers to requests with this text in their path.
    pub fn alter(&self, part: &str, mut change: impl FnMut(&mut Value) + Send + 'static) {
        let part = part.to_owned();
        self.server.after(move |request, answer| {
            if !request.path().contains(&part) {
                return;
            }
            if let Ok(mut document) = serde_json::from_slice(&answer.body) {
                change(&mut document);
                answer.body = document.to_string().into_bytes();
            }
        });
    }

    /// From now on nothing is done to clients, and nothing has been seen.
    pub fn forget(&self) {
        self.server.forget();
    }

    /// How many requests with this method and this text in their path were seen.
    #[must_use]
    pub fn count(&self, method: &str, part: &str) -> usize {
        let seen = self.server.seen();
        seen.iter()
            .filter(|one| one.method == method && one.path().contains(part))
            .count()
    }
}

fn kind_of(algorithm: &str) -> KeyKind {
    match algorithm {
        "EC_SIGN_P384_SHA384" => KeyKind::P384,
        "EC_SIGN_ED25519" => KeyKind::Ed25519,
        _ => match algorithm.split('_').find_map(|part| part.parse().ok()) {
            Some(bits) => KeyKind::Rsa(bits),
            None => KeyKind::P256,
        },
    }
}

impl Service for Google {
    fn answer(&mut self, request: &Request) -> Answer {
        let (method, path) = (request.method.as_str(), request.path());
        match (method, path) {
            ("POST", "/token") => self.token(request),
            ("POST", "/sts/v1/token") => self.exchange(request),
            ("GET", "/subject") => match find(&request.headers, "x-pod") {
                Some("p0d-secret") => json_answer(200, &json!({"value": SUBJECT})),
                _ => json_answer(403, &json!({})),
            },
            ("GET", METADATA) => self.metadata(request),
            ("POST", path) if path.ends_with(":generateAccessToken") => self.impersonate(request),
            _ => match path.strip_prefix("/v1/") {
                Some(path) => self.kms(request, path),
                None => refusal(404, "NOT_FOUND", "no such method"),
            },
        }
    }
}

/// How Google's services refuse (<https://cloud.google.com/apis/design/errors>).
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    json_answer(
        status,
        &json!({"error": {"code": status, "message": message, "status": code}}),
    )
}
