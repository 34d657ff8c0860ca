//! The real HashiCorp Vault, in its development mode: everything in memory, unsealed from the start, one root token.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::cluster::Client;
use crate::http::{Answer, Request, request};
use crate::peers::{cache_folder, present};
use crate::process::{Daemon, Folder};
use crate::run::{Run, on_path};
use crate::sigstore::service;

const ROOT: &str = "root";

/// A running Vault with the transit engine at `transit`. It ends when this value is dropped, and when the process of the tests ends in whatever way.
pub struct Vault {
    address: String,
    _server: Daemon,
    /// The last to be dropped.
    folder: Folder,
}

impl Vault {
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
        let installed = find()?;
        let folder = Folder::make();
        let flags = |[port]: [u16; 1]| {
            vec![
                "server".to_owned(),
                "-dev".to_owned(),
                "-dev-no-store-token".to_owned(),
                format!("-dev-root-token-id={ROOT}"),
                format!("-dev-listen-address=127.0.0.1:{port}"),
                format!("-dev-plugin-dir={}", installed.join("plugins").display()),
                "-log-level=warn".to_owned(),
            ]
        };
        let env: [(&str, &OsStr); 1] = [("HOME", folder.path().as_os_str())];
        let program = installed.join("vault");
        let (server, [port]) =
            service::start(&program, flags, &env, folder.path(), "/v1/sys/health");
        let vault = Self {
            address: format!("127.0.0.1:{port}"),
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
    /// is its own, as whoever `reviewer` is.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub fn let_in_service_account(
        &self,
        reviewer: &Client,
        role: &str,
        [namespace, name]: [&str; 2],
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
        let wanted = json!({
            "bound_service_account_names": [name], "bound_service_account_namespaces": [namespace],
            "token_policies": [policy], "token_no_default_policy": true, "token_ttl": "1h",
        });
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

/// The folder with Vault; `None`, with the reason printed, where it is missing.
fn find() -> Option<PathBuf> {
    let advice = "run tests/peers --sigstore";
    present(
        on_path("setpriv"),
        &format!("setpriv is not installed: {advice}"),
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../custody/build");
    let said = Run::new(script)
        .arg("--path")
        .env("TEKSEAL_CACHE", cache_folder())
        .ok();
    let folder = PathBuf::from(said.stdout.trim_end());
    let reason = format!("vault is not in {}: {advice}", folder.display());
    present(folder.join("vault").is_file().then_some(folder), &reason)
}
