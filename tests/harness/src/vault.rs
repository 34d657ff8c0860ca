//! The real HashiCorp Vault, in its development mode: everything in memory, unsealed from the start, one root token.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::cluster::{Client, PodAccount};
use crate::http::{Answer, Request, request};
use crate::peers::keeper;
use crate::port::lasting_port;
use crate::process::{Daemon, Folder};
use crate::run::Run;
use crate::sigstore::service;
use crate::tls::Certificates;

const ROOT: &str = "root";

/// A running Vault with the transit engine at `transit`. It ends when this value is dropped, and when the process of the tests ends in whatever way.
pub struct Vault {
    address: String,
    https: Option<Https>,
    _server: Daemon,
    /// The last to be dropped.
    folder: Folder,
}

/// Where it listens beside, with certificates of a private authority.
struct Https {
    host: String,
    /// With a certificate for the address.
    port: u16,
    /// With one for [`Vault::NAME`] alone.
    named: u16,
    certificates: Certificates,
}

impl Https {
    fn of(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            port: lasting_port(),
            named: lasting_port(),
            certificates: Certificates::make(),
        }
    }

    /// What Vault's configuration says of it.
    fn listeners(&self) -> Value {
        let listener = |port: u16, (certificate, key): (PathBuf, PathBuf)| {
            json!({"tcp": {
                "address": format!("{}:{port}", self.host), "tls_cert_file": certificate, "tls_key_file": key,
            }})
        };
        let of_name = self.certificates.server_named(Vault::NAME);
        let of_address = self.certificates.server();
        json!({"listener": [listener(self.port, of_address), listener(self.named, of_name)]})
    }
}

impl Vault {
    /// The name in the certificate at [`named_url`](Self::named_url).
    pub const NAME: &str = "vault.test";

    /// The one of this process, started with the first call; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Vault>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// One of one's own; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::begin(None)
    }

    /// The same, which listens with https too, on an address of this machine that its certificate is for: `127.0.0.1`, or that of the tests' Kubernetes
    /// node.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_https(host: &str) -> Option<Self> {
        Self::begin(Some(host))
    }

    fn begin(host: Option<&str>) -> Option<Self> {
        let installed = keeper("build", "vault")?;
        let folder = Folder::make();
        let https = host.map(Https::of);
        let config = https.as_ref().map(|https| {
            let file = folder.path().join("listeners.json");
            fs::write(&file, https.listeners().to_string()).expect("the folder is ours");
            format!("-config={}", file.display())
        });
        let flags = |[port]: [u16; 1]| {
            let flags = vec![
                "server".to_owned(),
                "-dev".to_owned(),
                "-dev-no-store-token".to_owned(),
                format!("-dev-root-token-id={ROOT}"),
                format!("-dev-listen-address=127.0.0.1:{port}"),
                format!("-dev-plugin-dir={}", installed.join("plugins").display()),
                "-log-level=warn".to_owned(),
            ];
            flags.into_iter().chain(config.clone()).collect()
        };
        // It leaves the sockets of its plugins where temporary files are.
        let env: [(&str, &OsStr); 2] =
            ["HOME", "TMPDIR"].map(|name| (name, folder.path().as_os_str()));
        let program = installed.join("vault");
        let (server, [port]) =
            service::start(&program, flags, &env, folder.path(), "/v1/sys/health");
        let vault = Self {
            address: format!("127.0.0.1:{port}"),
            https,
            _server: server,
            folder,
        };
        vault.set("sys/mounts/transit", &json!({"type": "transit"}));
        Some(vault)
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What `VAULT_ADDR` is to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same by https.
    ///
    /// # Panics
    ///
    /// Where it has no https.
    #[must_use]
    pub fn https_url(&self) -> String {
        let https = self.https();
        format!("https://{}:{}", https.host, https.port)
    }

    /// The same, where its certificate is for [`NAME`](Self::NAME) and not for its address.
    ///
    /// # Panics
    ///
    /// Where it has no https.
    #[must_use]
    pub fn named_url(&self) -> String {
        let https = self.https();
        format!("https://{}:{}", https.host, https.named)
    }

    /// The authority of both, PEM.
    ///
    /// # Panics
    ///
    /// Where it has no https.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.https().certificates.ca()
    }

    fn https(&self) -> &Https {
        self.https.as_ref().expect("it was started with https")
    }

    /// The token that may do everything.
    #[must_use]
    pub fn root(&self) -> &'static str {
        ROOT
    }

    /// Asks for `path` below `/v1/`, with the root token.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let question = Request::new(method, &format!("/v1/{path}"))
            .header("X-Vault-Token", ROOT)
            .body("application/json", body.to_string().as_bytes());
        request(&self.address, &question).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Writes something that it must accept, and gives what it says.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn set(&self, path: &str, body: &Value) -> Value {
        let answer = self.ask("POST", path, body);
        assert!(
            (200..300).contains(&answer.status),
            "POST {path}: {} {}",
            answer.status,
            answer.text()
        );
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Makes a key of the transit engine.
    pub fn make_key(&self, name: &str, kind: &str) {
        self.set(&format!("transit/keys/{name}"), &json!({"type": kind}));
    }

    /// The public half of a version of a key of the transit engine, PEM.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn public_key(&self, name: &str, version: u32) -> String {
        let answer = self.ask("GET", &format!("transit/keys/{name}"), &Value::Null);
        let key: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let public = key["data"]["keys"][version.to_string()]["public_key"].as_str();
        let public = public.unwrap_or_else(|| panic!("{name} has no version {version}: {key}"));
        public.to_owned()
    }

    /// A policy that lets sign with a key and read it, and nothing else. It has the key's name.
    pub fn make_policy(&self, key: &str) {
        let rules = format!(
            r#"path "transit/keys/{key}" {{ capabilities = ["read"] }}
               path "transit/sign/{key}/*" {{ capabilities = ["update"] }}"#
        );
        self.set(
            &format!("sys/policies/acl/{key}"),
            &json!({"policy": rules}),
        );
    }

    /// A token that may what these policies say, for so long (`1h`).
    #[must_use]
    pub fn token(&self, policies: &[&str], lasting: &str) -> String {
        let wanted = json!({"policies": policies, "ttl": lasting, "no_default_policy": true});
        let made = self.set("auth/token/create", &wanted);
        let token = made["auth"]["client_token"].as_str();
        token.expect("it gives a token").to_owned()
    }

    /// Has it write down each request and each answer; gives the file.
    #[must_use]
    pub fn audited(&self) -> PathBuf {
        let file = self.folder.path().join("audit.log");
        let options = json!({"type": "file", "options": {"file_path": file}});
        self.set("sys/audit/file", &options);
        file
    }

    /// Lets whoever shows a token signed with `key` log in at `auth/jwt` as `role`, if it is for `vault` and about `subject`; a login gives these
    /// policies, for an hour or so many uses (0: any number).
    pub fn let_in(&self, key: &JwtKey, role: &str, subject: &str, policy: &str, uses: u32) {
        self.let_in_by(&[key.public_pem()], role, subject, policy, uses);
    }

    /// The [same](Self::let_in) for a token that is signed with one of these keys (PEM).
    pub fn let_in_by(&self, keys: &[String], role: &str, subject: &str, policy: &str, uses: u32) {
        // It is there after the first call.
        let _ = self.ask("POST", "sys/auth/jwt", &json!({"type": "jwt"}));
        let config = json!({"jwt_validation_pubkeys": keys, "default_role": role});
        self.set("auth/jwt/config", &config);
        let wanted = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "bound_subject": subject,
            "token_policies": [policy], "token_no_default_policy": true, "token_ttl": "1h", "token_num_uses": uses,
        });
        self.set(&format!("auth/jwt/role/{role}"), &wanted);
    }

    /// Lets a ServiceAccount of a cluster log in at `auth/kubernetes` as `role`; a login gives this policy for an hour. The cluster is asked whether a token
    /// is its own, and for whom it is meant, as whoever `reviewer` is.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub fn let_in_service_account(
        &self,
        reviewer: &Client,
        role: &str,
        account: PodAccount<'_>,
        policy: &str,
    ) {
        // It is there after the first call.
        let _ = self.ask(
            "POST",
            "sys/auth/kubernetes",
            &json!({"type": "kubernetes"}),
        );
        let ca = fs::read_to_string(reviewer.ca()).expect("the server has made it");
        let config = json!({
            "kubernetes_host": reviewer.url(), "kubernetes_ca_cert": ca, "token_reviewer_jwt": reviewer.token(), "disable_local_ca_jwt": true,
        });
        self.set("auth/kubernetes/config", &config);
        let mut wanted = json!({
            "bound_service_account_names": [account.name], "bound_service_account_namespaces": [account.namespace],
            "token_policies": [policy], "token_no_default_policy": true, "token_ttl": "1h",
        });
        if let Some(audience) = account.audience {
            wanted["audience"] = audience.into();
        }
        self.set(&format!("auth/kubernetes/role/{role}"), &wanted);
    }
}

/// A key of an issuer of identity tokens, which are signed with RS256.
pub struct JwtKey {
    path: PathBuf,
}

impl JwtKey {
    /// A new one, in a file of this folder.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        let path = folder.join("issuer.pem");
        let make = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out";
        let make = Run::new("openssl").args(make.split(' '));
        make.arg(&path).ok();
        Self { path }
    }

    fn public_pem(&self) -> String {
        let said = Run::new("openssl").args(["pkey", "-pubout", "-in"]);
        said.arg(&self.path).ok().stdout
    }

    /// A token with these claims, for `vault`, valid from now on for so many seconds; below zero it ended so long ago.
    #[must_use]
    pub fn token(&self, subject: &str, lasting: i64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is not 1970").as_secs();
        let ends = now.saturating_add_signed(lasting);
        // Vault gives 150 seconds of leeway to a token without a time at which it begins.
        let claims = json!({
            "iss": "issuer.test", "sub": subject, "aud": ["vault"], "exp": ends, "iat": ends - 3600, "nbf": ends - 3600,
        });
        let head = json!({"alg": "RS256", "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = self.path.with_extension(format!("{ends}.sig"));
        let sign = Run::new("openssl").args(["dgst", "-sha256", "-sign"]);
        let sign = sign.arg(&self.path).arg("-out").arg(&signature);
        sign.stdin(&signed).ok();
        let signature = fs::read(signature).expect("just made");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// How often an audit file has this operation (`read`, `update`) on this path.
///
/// # Panics
///
/// When the file cannot be read.
#[must_use]
pub fn audited_requests(file: &Path, operation: &str, path: &str) -> usize {
    let text = fs::read_to_string(file).expect("Vault writes it");
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let wanted = lines.filter(|entry| {
        entry["type"] == "request"
            && entry["request"]["operation"] == operation
            && entry["request"]["path"] == path
    });
    wanted.count()
}
