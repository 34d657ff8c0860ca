//! Azure Key Vault, Microsoft Entra ID and the servers of managed identities, from <https://learn.microsoft.com/rest/api/keyvault/keys>,
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow> and
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::form::pairs;
use super::key::{KeyKind, TestKey};
use super::server::{Server, Service, bearer, json_answer};
use crate::http::{Answer, Request, find};
use crate::tls::Certificates;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
const SECRET: &str = "s3cret-of-application";
const ASSERTION: &str = "identity.token.of-kubernetes";
const HEADER: &str = "h3ader-of-platform";
const RESOURCE: &str = "https://vault.azure.net";

/// One vault with everything around it, over https with a private authority. It ends with this value.
pub struct AzureVault {
    server: Server<Azure>,
    folder: TempDir,
    certificates: Certificates,
}

struct Azure {
    address: String,
    keys: BTreeMap<String, Vec<Version>>,
    tokens: BTreeSet<String>,
    issued: u32,
    expires_in: u64,
}

struct Version {
    name: String,
    is_enabled: bool,
    key: TestKey,
    is_hsm: bool,
}

impl AzureVault {
    /// Starts it, without any key.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificates = Certificates::make();
        let make = |address: &str| Azure {
            address: address.to_owned(),
            keys: BTreeMap::new(),
            tokens: BTreeSet::new(),
            issued: 0,
            expires_in: 3599,
        };
        let server = Server::start(make, Some(&certificates));
        Self {
            server,
            folder,
            certificates,
        }
    }

    /// `127.0.0.1:port`, the host of references.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// The authority that its certificate is of, PEM.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.certificates.ca()
    }

    /// What workload identity sets in a pod.
    #[must_use]
    pub fn workload_identity(&self) -> Vec<(&'static str, String)> {
        let file = self.folder.path().join("token");
        fs::write(&file, format!("{ASSERTION}\n")).expect("the folder is ours");
        let mut set = self.application();
        set.push(("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string()));
        set
    }

    /// What an application with a secret has set.
    #[must_use]
    pub fn client_secret(&self) -> Vec<(&'static str, String)> {
        let mut set = self.application();
        set.push(("AZURE_CLIENT_SECRET", SECRET.to_owned()));
        set
    }

    /// What App Service and Container Apps set.
    #[must_use]
    pub fn platform(&self) -> Vec<(&'static str, String)> {
        vec![
            ("IDENTITY_ENDPOINT", self.url("msi/token")),
            ("IDENTITY_HEADER", HEADER.to_owned()),
        ]
    }

    /// What leads to the metadata server.
    #[must_use]
    pub fn machine(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", self.url("")),
            ("AZURE_CLIENT_ID", CLIENT.to_owned()),
        ]
    }

    fn application(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_CLIENT_ID", CLIENT.to_owned()),
            ("AZURE_AUTHORITY_HOST", self.url("")),
        ]
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/{path}", self.address())
    }

    /// Adds a version of a key, gives its name, and its public half.
    pub fn add_version(&self, name: &str, kind: KeyKind) -> (String, String) {
        self.server.service().add(name, kind)
    }

    /// The same, where the key lies in a module.
    pub fn add_version_in_hsm(&self, name: &str, kind: KeyKind) -> (String, String) {
        let made = self.add_version(name, kind);
        self.newest(name, |version| version.is_hsm = true);
        made
    }

    /// Disables the newest version of a key.
    pub fn disable(&self, name: &str) {
        self.newest(name, |version| version.is_enabled = false);
    }

    /// Has the newest version sign with another private key than its public one.
    pub fn swap_key(&self, name: &str) {
        self.newest(name, |version| {
            version.key = TestKey::make(version.key.kind())
        });
    }

    fn newest(&self, name: &str, change: impl FnOnce(&mut Version)) {
        let mut azure = self.server.service();
        let versions = azure.keys.get_mut(name).expect("the key was added");
        change(versions.last_mut().expect("a key has a version"));
    }

    /// How long tokens last from now on.
    pub fn set_token_life(&self, seconds: u64) {
        self.server.service().expires_in = seconds;
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

    /// How many requests with this method, whose path ends so, were seen.
    #[must_use]
    pub fn count(&self, method: &str, end: &str) -> usize {
        let seen = self.server.seen();
        seen.iter()
            .filter(|one| one.method == method && one.path().ends_with(end))
            .count()
    }
}

impl Service for Azure {
    fn answer(&mut self, request: &Request) -> Answer {
        let path: Vec<_> = request.path().split('/').skip(1).collect();
        match (request.method.as_str(), &path[..]) {
            ("POST", [TENANT, "oauth2", "v2.0", "token"]) => self.application(request),
            ("GET", ["msi", "token"]) => self.managed(request, "x-identity-header", HEADER),
            ("GET", ["metadata", "identity", "oauth2", "token"]) => {
                self.managed(request, "metadata", "true")
            }
            (_, ["keys", name, rest @ ..]) => self.vault(request, name, rest),
            _ => refusal(404, "NotFound", None, "no such method"),
        }
    }
}

impl Azure {
    fn issue(&mut self) -> String {
        self.issued += 1;
        let token = format!("eyJ.t0ken-{}", self.issued);
        self.tokens.insert(token.clone());
        token
    }

    fn application(&mut self, request: &Request) -> Answer {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let is = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        let proof = match form.contains_key("client_secret") {
            true => is("client_secret", SECRET),
            false => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                is("client_assertion_type", kind) && is("client_assertion", ASSERTION)
            }
        };
        let is_good = proof
            && is("grant_type", "client_credentials")
            && is("client_id", CLIENT)
            && is("scope", &format!("{RESOURCE}/.default"));
        match is_good {
            true => {
                let token = self.issue();
                json_answer(
                    200,
                    &json!({"token_type": "Bearer", "expires_in": self.expires_in, "access_token": token}),
                )
            }
            false => json_answer(
                401,
                &json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}),
            ),
        }
    }

    fn managed(&mut self, request: &Request, header: &str, value: &str) -> Answer {
        let query = pairs(request.query());
        let is_good = find(&request.headers, header) == Some(value)
            && query.get("resource").is_some_and(|found| found == RESOURCE);
        let version = query.get("api-version").map(String::as_str);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let until = now.expect("it is not 1970").as_secs() + self.expires_in;
        match (is_good, version, query.get("client_id").map(String::as_str)) {
            (true, Some("2018-02-01"), Some(CLIENT)) => {
                let token = self.issue();
                json_answer(
                    200,
                    &json!({"access_token": token, "expires_in": self.expires_in.to_string(), "expires_on": until.to_string(), "token_type": "Bearer"}),
                )
            }
            (true, Some("2019-08-01"), None) => {
                let token = self.issue();
                json_answer(
                    200,
                    &json!({"access_token": token, "expires_on": until.to_string(), "token_type": "Bearer"}),
                )
            }
            _ => json_answer(
                400,
                &json!({"error": "invalid_request", "error_description": "Identity not found"}),
            ),
        }
    }

    fn vault(&mut self, request: &Request, name: &str, rest: &[&str]) -> Answer {
        if !self.tokens.contains(bearer(request)) {
            let text = "AKV10000: Request is missing a Bearer or PoP token.";
            let mut answer = refusal(401, "Unauthorized", None, text);
            let authority = format!("https://login.microsoftonline.com/{TENANT}");
            let challenge = format!(r#"Bearer authorization="{authority}", resource="{RESOURCE}""#);
            answer.set_header("WWW-Authenticate", &challenge);
            return answer;
        }
        if request.query() != "api-version=7.4" {
            return refusal(400, "BadParameter", None, "another api-version");
        }
        let body = || serde_json::from_slice::<Value>(&request.body).expect("it is JSON");
        let count = self.keys.get(name).map_or(0, Vec::len);
        let find = |version: &str| {
            let versions = self.keys.get(name)?;
            versions.iter().find(|known| known.name == version)
        };
        match (request.method.as_str(), rest) {
            ("GET", [] | [""]) if count > 0 => self.bundle(name, &self.keys[name][count - 1]),
            ("GET", [version]) => match find(version) {
                Some(found) => self.bundle(name, found),
                None => not_found(name),
            },
            ("POST", [version, "sign"]) => match find(version) {
                Some(found) => self.sign(name, found, &body()),
                None => not_found(name),
            },
            ("POST", ["create"]) => self.create(name, &body()),
            ("POST", ["rotate"]) if count > 0 => {
                let kind = self.keys[name][count - 1].key.kind();
                self.add(name, kind);
                self.bundle(name, &self.keys[name][count])
            }
            _ => not_found(name),
        }
    }

    fn kid(&self, name: &str, version: &str) -> String {
        format!("https://{}/keys/{name}/{version}", self.address)
    }

    fn bundle(&self, name: &str, version: &Version) -> Answer {
        let mut key = version.key.jwk();
        key["kid"] = self.kid(name, &version.name).into();
        key["key_ops"] = json!(["sign", "verify"]);
        if version.is_hsm {
            let kind = format!("{}-HSM", key["kty"].as_str().unwrap_or_default());
            key["kty"] = kind.into();
        }
        json_answer(
            200,
            &json!({"key": key, "attributes": {"enabled": version.is_enabled, "created": 1_700_000_000, "recoveryLevel": "Recoverable"}}),
        )
    }

    fn sign(&self, name: &str, version: &Version, body: &Value) -> Answer {
        if !version.is_enabled {
            let text = "Operation sign is not allowed on a disabled key.";
            return refusal(403, "Forbidden", Some("KeyDisabled"), text);
        }
        let (algorithm, hash, length) = match version.key.kind() {
            KeyKind::P256 => ("ES256", "sha256", 32),
            KeyKind::P384 => ("ES384", "sha384", 48),
            KeyKind::P521 => ("ES512", "sha512", 64),
            KeyKind::Rsa(_) => ("RS256", "sha256", 32),
            KeyKind::Ed25519 => panic!("the vault has no such keys"),
        };
        let digest = body["value"]
            .as_str()
            .map(|text| URL_SAFE_NO_PAD.decode(text));
        match digest {
            Some(Ok(digest)) if body["alg"] == algorithm && digest.len() == length => {
                let signature = version.key.sign_raw(hash, &digest);
                let kid = self.kid(name, &version.name);
                json_answer(
                    200,
                    &json!({"kid": kid, "value": URL_SAFE_NO_PAD.encode(signature)}),
                )
            }
            _ => refusal(
                400,
                "BadParameter",
                None,
                "Property value has invalid length.",
            ),
        }
    }

    fn create(&mut self, name: &str, body: &Value) -> Answer {
        let kind = match (body["kty"].as_str(), body["crv"].as_str()) {
            (Some("EC"), Some("P-256")) => KeyKind::P256,
            (Some("EC"), Some("P-384")) => KeyKind::P384,
            (Some("EC"), Some("P-521")) => KeyKind::P521,
            (Some("RSA"), None) => {
                let bits = body["key_size"].as_u64().expect("a size");
                KeyKind::Rsa(u32::try_from(bits).expect("a size"))
            }
            _ => return refusal(400, "BadParameter", None, "no such key"),
        };
        if body["key_ops"] != json!(["sign", "verify"]) {
            return refusal(400, "BadParameter", None, "other operations");
        }
        self.add(name, kind);
        let newest = self.keys[name].last().expect("just added");
        self.bundle(name, newest)
    }

    fn add(&mut self, name: &str, kind: KeyKind) -> (String, String) {
        let key = TestKey::make(kind);
        let public = key.public_pem();
        let versions = self.keys.entry(name.to_owned()).or_default();
        let version = format!("{:032x}", 0xabc0 + versions.len());
        versions.push(Version {
            name: version.clone(),
            is_enabled: true,
            key,
            is_hsm: false,
        });
        (version, public)
    }
}

/// How the vault refuses (<https://learn.microsoft.com/azure/key-vault/general/rest-error-codes>).
fn refusal(status: u16, code: &str, inner: Option<&str>, message: &str) -> Answer {
    let mut error = json!({"code": code, "message": message});
    if let Some(inner) = inner {
        error["innererror"] = json!({"code": inner});
    }
    json_answer(status, &json!({"error": error}))
}

fn not_found(name: &str) -> Answer {
    let text = format!("A key with (name/id) {name} was not found in this key vault.");
    refusal(404, "KeyNotFound", None, &text)
}
