//! Fulcio, which certifies keys to whoever shows an identity token, and the log of its certificates (RFC 6962).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::issuer::{AUDIENCE, Issuer};
use super::key::{KeyPair, Kind};
use super::peers::{CT_SERVER, FULCIO};
use super::service;
use super::trillian::Trillian;
use crate::process::Daemon;
use crate::run::Run;
use crate::spire::Spire;
use crate::tls::Authority;

/// Neither server takes a key without a password.
const PASSWORD: &str = "pass";
/// The path of the log, which may be one of many.
const PREFIX: &str = "certificates";

pub(super) struct Peers {
    fulcio: PathBuf,
    ct_server: PathBuf,
}

impl Peers {
    pub(super) fn find() -> Option<Self> {
        Some(Self {
            fulcio: FULCIO.find()?,
            ct_server: CT_SERVER.find()?,
        })
    }
}

/// A cluster, by whose word its ServiceAccounts are who they are.
#[derive(Clone, Copy, Debug)]
pub struct ClusterIssuer<'a> {
    /// What its tokens name as their issuer. There is its discovery document, with the keys.
    pub url: &'a str,
    /// The certificate authority of its API server, PEM.
    pub ca: &'a Path,
}

/// A running authority with a root of its own, and its running log.
pub struct Fulcio {
    address: String,
    folder: PathBuf,
    log: CertificateLog,
    _server: Daemon,
}

/// The log in which Fulcio's certificates are.
struct CertificateLog {
    url: String,
    key: KeyPair,
    _server: Daemon,
}

impl Fulcio {
    pub(super) fn start(
        peers: &Peers,
        trillian: &Trillian,
        issuer: &Issuer,
        real: Option<ClusterIssuer<'_>>,
        folder: &Path,
    ) -> Self {
        Authority::make(
            folder,
            "/O=local.test/CN=fulcio root",
            &[
                "basicConstraints=critical,CA:TRUE,pathlen:1",
                "keyUsage=critical,keyCertSign,cRLSign",
                "extendedKeyUsage=codeSigning",
            ],
        );
        let encrypt = "pkcs8 -topk8 -v2 aes-256-cbc -in ca.key -out encrypted.key -passout";
        let encrypt = Run::new("openssl").folder(folder).args(encrypt.split(' '));
        encrypt.arg(format!("pass:{PASSWORD}")).ok();
        let log = CertificateLog::start(&peers.ct_server, trillian, folder);
        let entry =
            |url: &str, kind: &str| json!({"IssuerURL": url, "ClientID": AUDIENCE, "Type": kind});
        let (cluster, people) = (issuer.cluster(), issuer.people());
        let mut workloads = entry(&issuer.workloads(), "spiffe");
        workloads["SPIFFETrustDomain"] = Spire::TRUST_DOMAIN.into();
        let mut issuers = json!({"OIDCIssuers": {
            &cluster: entry(&cluster, "kubernetes"),
            &people: entry(&people, "email"),
            issuer.workloads(): workloads,
        }});
        if let Some(real) = real {
            let ca = fs::read_to_string(real.ca).expect("the API server has one");
            let mut entry = entry(real.url, "kubernetes");
            entry["CACert"] = ca.into();
            issuers["OIDCIssuers"][real.url] = entry;
        }
        let config = folder.join("fulcio.json");
        fs::write(&config, issuers.to_string()).expect("the folder is ours");
        let flags = |[http, grpc, metrics]: [u16; 3]| {
            vec![
                "serve".to_owned(),
                "--host=127.0.0.1".to_owned(),
                format!("--port={http}"),
                "--grpc-host=127.0.0.1".to_owned(),
                format!("--grpc-port={grpc}"),
                format!("--metrics-port={metrics}"),
                format!(
                    "--legacy-unix-domain-socket={}",
                    folder.join("legacy").display()
                ),
                "--ca=fileca".to_owned(),
                "--fileca-cert=ca.crt".to_owned(),
                "--fileca-key=encrypted.key".to_owned(),
                format!("--fileca-key-passwd={PASSWORD}"),
                "--fileca-watch=false".to_owned(),
                format!("--ct-log-url={}", log.url),
                format!("--ct-log-public-key-path={}", log.key.public.display()),
                format!("--config-path={}", config.display()),
            ]
        };
        let (server, [port, ..]) = service::start(&peers.fulcio, flags, &[], folder, "/healthz");
        Self {
            address: format!("127.0.0.1:{port}"),
            folder: folder.to_owned(),
            log,
            _server: server,
        }
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

    /// The certificate of its root, PEM.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The public key of the log of its certificates, PEM.
    #[must_use]
    pub fn log_public_key(&self) -> &Path {
        &self.log.key.public
    }

    /// Where that log is, as trusted roots have it.
    #[must_use]
    pub fn log_url(&self) -> &str {
        &self.log.url
    }

    /// The identity of that log, 32 bytes.
    #[must_use]
    pub fn log_id(&self) -> Vec<u8> {
        Sha256::digest(&self.log.key.der).to_vec()
    }

    pub(super) fn log_key(&self) -> &KeyPair {
        &self.log.key
    }
}

impl CertificateLog {
    fn start(program: &Path, trillian: &Trillian, folder: &Path) -> Self {
        let key = KeyPair::make(folder, "certificate-log", Kind::P256);
        let encrypt = Run::new("openssl")
            .folder(folder)
            .args(["ec", "-aes256", "-in"]);
        encrypt
            .arg(&key.private)
            .args(["-out", "log.key", "-passout"])
            .arg(format!("pass:{PASSWORD}"))
            .ok();
        let tree = trillian.make_tree();
        let config = format!(
            "config {{ log_id: {tree} prefix: \"{PREFIX}\" roots_pem_file: \"ca.crt\" ext_key_usages: \"CodeSigning\" \
             private_key: {{ [type.googleapis.com/keyspb.PEMKeyFile] {{ path: \"log.key\" password: \"{PASSWORD}\" }} }} }}\n"
        );
        fs::write(folder.join("log.config"), config).expect("the folder is ours");
        let flags = |[port]: [u16; 1]| {
            vec![
                format!("--http_endpoint=127.0.0.1:{port}"),
                format!("--log_rpc_server=127.0.0.1:{}", trillian.port),
                "--log_config=log.config".to_owned(),
            ]
        };
        let health = format!("/{PREFIX}/ct/v1/get-roots");
        let (server, [port]) = service::start(program, flags, &[], folder, &health);
        Self {
            url: format!("http://127.0.0.1:{port}/{PREFIX}"),
            key,
            _server: server,
        }
    }
}
