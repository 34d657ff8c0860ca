//! The real SPIRE: a server that keeps a trust domain, and an agent that tells processes of this machine who they are. The agent knows them by their user.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::peers::{is_left_out, keeper};
use crate::process::{Daemon, Folder};
use crate::run::Run;
use crate::sigstore::service;

/// The identity of the agent itself.
const AGENT: &str = "agent";

/// A running SPIRE, with no identities yet. It ends when this value is dropped, and when the process of the tests ends in whatever way.
pub struct Spire {
    installed: PathBuf,
    _agent: Daemon,
    _server: Daemon,
    /// The last to be dropped.
    folder: Folder,
}

impl Spire {
    /// The trust domain.
    pub const TRUST_DOMAIN: &str = "tekseal.test";

    /// Starts one whose tokens name this issuer, or none where it is empty; `None`, with the reason printed, where it is missing, or `./test` left it out.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn start(issuer: &str) -> Option<Self> {
        if is_left_out("spire") {
            return None;
        }
        let installed = keeper("build-spire", "spire-server")?;
        let folder = Folder::make();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let domain = Self::TRUST_DOMAIN;
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).expect("the folder is ours");
        };
        let issued = match issuer.is_empty() {
            true => String::new(),
            false => format!("jwt_issuer = \"{issuer}\""),
        };
        let flags = |[port]: [u16; 1]| {
            let settings = format!(
                "server {{ bind_address = \"127.0.0.1\" bind_port = \"{port}\" trust_domain = \"{domain}\" log_level = \"WARN\"\n\
                 socket_path = \"{}\" data_dir = \"{}\" {issued}\n\
                 experimental {{ cache_reload_interval = \"1s\" }}\n}}\n\
                 plugins {{\n\
                 DataStore \"sql\" {{ plugin_data {{ database_type = \"sqlite3\" connection_string = \"{}\" }} }}\n\
                 NodeAttestor \"join_token\" {{ plugin_data {{}} }}\n\
                 KeyManager \"memory\" {{ plugin_data {{}} }}\n}}\n",
                at("server.sock"),
                at("server"),
                at("entries.sqlite3"),
            );
            write("server.conf", settings);
            vec!["run".to_owned(), "-config".to_owned(), at("server.conf")]
        };
        let program = installed.join("spire-server");
        let socket = at("server.sock");
        // Its socket may be there before it finds that its port is taken.
        let is_ready = || {
            let check = Run::new(&program).args(["healthcheck", "-socketPath", &socket]);
            check.run().code() == Some(0)
        };
        let (server, [port]) =
            service::start_until(&program, flags, folder.path(), &socket, is_ready);
        let flags = |[]: [u16; 0]| {
            let settings = format!(
                "agent {{ server_address = \"127.0.0.1\" server_port = \"{port}\" trust_domain = \"{domain}\" log_level = \"WARN\"\n\
                 socket_path = \"{}\" data_dir = \"{}\" insecure_bootstrap = true\n\
                 experimental {{ sync_interval = \"1s\" }}\n}}\n\
                 plugins {{\n\
                 NodeAttestor \"join_token\" {{ plugin_data {{}} }}\n\
                 KeyManager \"memory\" {{ plugin_data {{}} }}\n\
                 WorkloadAttestor \"unix\" {{ plugin_data {{}} }}\n}}\n",
                at("agent.sock"),
                at("agent"),
            );
            write("agent.conf", settings);
            // It serves once.
            let said = Run::new(installed.join("spire-server"))
                .args(["token", "generate", "-socketPath", &at("server.sock")])
                .args(["-spiffeID", &id(AGENT)])
                .ok();
            let token = said.stdout.split_whitespace().last().map(str::to_owned);
            let token = token.expect("it prints one");
            ["run", "-config", &at("agent.conf"), "-joinToken", &token]
                .map(str::to_owned)
                .to_vec()
        };
        let socket = at("agent.sock");
        let is_ready = || UnixStream::connect(&socket).is_ok();
        let program = installed.join("spire-agent");
        let (agent, []) = service::start_until(&program, flags, folder.path(), &socket, is_ready);
        Some(Self {
            installed,
            _agent: agent,
            _server: server,
            folder,
        })
    }

    /// What `SPIFFE_ENDPOINT_SOCKET` is to be.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.path("agent.sock"))
    }

    /// Gives this identity to all processes of this user; gives it as a whole. The agent knows it seconds later.
    pub fn name(&self, name: &str) -> String {
        let id = id(name);
        self.ask(&["entry", "create", "-socketPath"])
            .arg(self.path("server.sock"))
            .args(["-parentID", &self::id(AGENT), "-spiffeID", &id])
            .args(["-selector", &format!("unix:uid:{}", nix::unistd::getuid())])
            .ok();
        id
    }

    /// The public keys with which tokens are signed, as JWKs.
    ///
    /// # Panics
    ///
    /// When it says something else.
    #[must_use]
    pub fn keys(&self) -> Vec<Value> {
        let said = self.ask(&["bundle", "show", "-format", "spiffe", "-socketPath"]);
        let bundle = said.arg(self.path("server.sock")).ok().json();
        let keys = bundle["keys"].as_array().expect("a bundle has keys");
        let keys: Vec<_> = keys
            .iter()
            .filter(|key| key["use"] == "jwt-svid")
            .map(|key| {
                let mut key = key.clone();
                key["use"] = "sig".into();
                key
            })
            .collect();
        assert!(!keys.is_empty(), "{bundle}");
        keys
    }

    /// The same keys in PEM.
    ///
    /// # Panics
    ///
    /// When they are not of P-256.
    #[must_use]
    pub fn keys_pem(&self) -> Vec<String> {
        self.keys().iter().map(pem).collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn ask(&self, args: &[&str]) -> Run {
        Run::new(self.installed.join("spire-server")).args(args)
    }
}

fn id(name: &str) -> String {
    format!("spiffe://{}/{name}", Spire::TRUST_DOMAIN)
}

/// A key of P-256 as SubjectPublicKeyInfo.
fn pem(key: &Value) -> String {
    /// All before the two coordinates.
    const HEAD: [u8; 27] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    let coordinate = |name: &str| {
        let text = key[name].as_str().expect("a key of a curve has both");
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    assert_eq!(key["crv"], "P-256", "{key}");
    let text = STANDARD.encode([&HEAD[..], &coordinate("x"), &coordinate("y")].concat());
    let (first, rest) = text.split_at(64);
    format!("-----BEGIN PUBLIC KEY-----\n{first}\n{rest}\n-----END PUBLIC KEY-----\n")
}
