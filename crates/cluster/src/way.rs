//! How to get to an API server and who to be there: by kubeconfigs, or by what every Pod has.
//!
//! ```text
//!  --kubeconfig FILE ───────────┐
//!  KUBECONFIG=FILE:FILE         ├─▶ yaml ─▶ kubeconfig ─▶ Way ─▶ connection
//!  ~/.kube/config ──────────────┘                          ▲
//!  nothing of these ─▶ ServiceAccount of the Pod ──────────┘
//! ```

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Uri};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::exec::Plugin;
use crate::kubeconfig::Files;
use crate::yaml::YamlError;

/// The largest file that is read. A kubeconfig of a hundred clusters has some 400 KB.
const MOST_BYTES: u64 = 4 << 20;

/// Where a Pod has what its ServiceAccount is known by.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
const SERVICE_PORT: &str = "KUBERNETES_SERVICE_PORT";

/// Everything that a connection to an API server is made of.
pub(crate) struct Way {
    pub(crate) server: Uri,
    /// That of the context or the Pod.
    pub(crate) namespace: String,
    pub(crate) trust: Trust,
    /// The name that its certificate has, where that is not the one in the URL.
    pub(crate) server_name: Option<String>,
    pub(crate) proxy: Proxy,
    pub(crate) credential: Credential,
    /// Certificates and key that are shown when a connection is made.
    pub(crate) identity: Option<Identity>,
    /// Headers that say whom to act as.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Whom a connection believes that it is the API server.
pub(crate) enum Trust {
    /// Whoever the authorities of the system vouch for.
    System,
    Authorities(Vec<CertificateDer<'static>>),
    /// Authorities in a file that may change.
    File(PathBuf),
    /// Everybody: `insecure-skip-tls-verify`.
    DangerAnybody,
}

pub(crate) enum Proxy {
    /// What the variables of the environment say.
    Environment,
    None,
    At(String),
}

/// What is sent with each request.
pub(crate) enum Credential {
    None,
    /// A header `Authorization`, marked as a secret.
    Fixed(HeaderValue),
    /// A file with a token, which may change.
    File(PathBuf),
    /// A program that says it.
    Program(Box<Plugin>),
}

/// A client certificate.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WayError {
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} is no YAML of a kubeconfig", .0.display())]
    Yaml(PathBuf, #[source] YamlError),
    #[error("the kubeconfig says no current-context")]
    NoContext,
    #[error("the kubeconfig has no {0} {1:?}, which its context names")]
    Absent(&'static str, String),
    #[error("the cluster {0:?} of the kubeconfig has no server")]
    NoServer(String),
    #[error("{what} of the kubeconfig: {why}")]
    Value { what: &'static str, why: String },
    #[error(
        "neither KUBECONFIG nor ~/.kube/config is there, and {SERVICE_HOST} and {SERVICE_PORT}, which every Pod has, are not both set"
    )]
    Nothing,
    #[error("{SERVICE_HOST} and {SERVICE_PORT} are no address")]
    Service,
}

pub(crate) fn wrong(what: &'static str, why: impl Into<String>) -> WayError {
    WayError::Value {
        what,
        why: why.into(),
    }
}

impl Way {
    /// A server that is asked without any credential.
    #[cfg(test)]
    pub(crate) fn plain(server: Uri) -> Self {
        Self {
            server,
            namespace: "default".to_owned(),
            trust: Trust::System,
            server_name: None,
            proxy: Proxy::None,
            credential: Credential::None,
            identity: None,
            headers: Vec::new(),
        }
    }

    /// The way that a file says.
    pub(crate) fn of_file(path: &Path) -> Result<Self, WayError> {
        let mut files = Files::default();
        files.add(path)?;
        files.way()
    }

    /// The way that the environment says.
    pub(crate) fn infer() -> Result<Self, WayError> {
        let mut files = Files::default();
        let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let mut paths: Vec<PathBuf> = std::env::split_paths(&listed)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        let is_named = !paths.is_empty();
        if !is_named {
            let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
            paths.extend(home.map(|home| home.join(".kube/config")));
        }
        for path in paths {
            match files.add(&path) {
                // A list may name files that somebody else has.
                Err(WayError::Read(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
                // A container may have the home of somebody else.
                Err(WayError::Read(..)) if !is_named => {}
                added => added?,
            }
        }
        match files.way() {
            Err(WayError::NoContext) if files.is_empty() => Self::of_pod(),
            Err(WayError::NoContext) if std::env::var_os(SERVICE_HOST).is_some() => Self::of_pod(),
            way => way,
        }
    }

    /// The way of a Pod. Proxies of the environment are for what is outside the cluster.
    fn of_pod() -> Result<Self, WayError> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let (Some(host), Some(port)) = (variable(SERVICE_HOST), variable(SERVICE_PORT)) else {
            return Err(WayError::Nothing);
        };
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        let port: u16 = port.parse().map_err(|_| WayError::Service)?;
        let server = match port {
            443 => format!("https://{host}"),
            _ => format!("https://{host}:{port}"),
        };
        let folder = Path::new(ACCOUNT);
        let namespace = read(&folder.join("namespace"))?;
        let token = folder.join("token");
        let authorities = folder.join("ca.crt");
        // What is missing is told at once.
        read(&token)?;
        certificates_of("ca.crt", read(&authorities)?.as_bytes())?;
        Ok(Self {
            server: server.parse().map_err(|_| WayError::Service)?,
            namespace: namespace.trim().to_owned(),
            trust: Trust::File(authorities),
            server_name: None,
            proxy: Proxy::None,
            credential: Credential::File(token),
            identity: None,
            headers: Vec::new(),
        })
    }
}

/// A header with a token.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, WayError> {
    let text = Zeroizing::new(format!("Bearer {}", token.trim()));
    secret(&text).ok_or_else(|| wrong("token", "it cannot be in a header"))
}

pub(crate) fn basic(name: &str, password: &str) -> Result<HeaderValue, WayError> {
    let pair = Zeroizing::new(format!("{name}:{password}"));
    let text = Zeroizing::new(format!("Basic {}", encoded(pair.as_bytes())));
    secret(&text).ok_or_else(|| wrong("password", "it cannot be in a header"))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A client certificate from PEM.
pub(crate) fn identity(chain: &[u8], key: &[u8]) -> Result<Identity, WayError> {
    Ok(Identity {
        chain: certificates_of("client-certificate", chain)?,
        key: PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| wrong("client-key", "it is no private key in PEM"))?,
    })
}

/// All certificates of PEM, of which there must be one.
pub(crate) fn certificates_of(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, WayError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(what, "it has no certificate in PEM")),
    }
}

/// Bytes from base64, in which there may be breaks of lines.
pub(crate) fn decoded(text: &str) -> Option<Vec<u8>> {
    let text: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
    STANDARD.decode(text.as_bytes()).ok()
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A file of a bounded size, as text.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, WayError> {
    let unreadable = |error| WayError::Read(path.to_owned(), error);
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    match text.len() as u64 > MOST_BYTES {
        true => Err(unreadable(io::ErrorKind::FileTooLarge.into())),
        false => Ok(text),
    }
}
