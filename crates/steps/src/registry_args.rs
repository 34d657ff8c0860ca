//! How a tool talks to registries: credentials, certificate authorities, insecure registries, retries.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tekseal_core::docker_config::{self, Credentials};
use tekseal_remote::registry::{Options, Registry};

use crate::Failure;
use crate::files;
use crate::log;

pub use tekseal_remote::registry::Access;

/// Credential files are small; a Secret holds at most 1 MiB.
pub(crate) const MAX_CONFIG: u64 = 1024 * 1024;

/// Flags that every tool with a registry shares. Tekton substitutes every parameter and the path of every workspace, also those that
/// nobody gave, so an empty text means the same as an absent one.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RegistryArgs {
    /// Credentials file (config.json); looked at before the places where docker, podman and Tekton keep theirs
    #[arg(long, env = "TEKSEAL_AUTH_FILE", value_name = "FILE")]
    pub(crate) auth_file: Option<String>,
    /// Folder with config.json or .dockerconfigjson, as the workspace dockerconfig has it
    #[arg(long, env = "TEKSEAL_DOCKERCONFIG", value_name = "DIR")]
    pub(crate) dockerconfig: Option<String>,
    /// Certificate authorities beside the system's: a PEM file or a folder of them; may be repeated
    #[arg(
        long = "registry-ca",
        env = "TEKSEAL_REGISTRY_CA",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    pub(crate) ca: Vec<String>,
    /// Folder with *.crt authorities and a *.cert/*.key client pair, as buildah's --cert-dir; may be repeated
    #[arg(
        long,
        env = "TEKSEAL_CERT_DIR",
        value_name = "DIR",
        value_delimiter = ':'
    )]
    pub(crate) cert_dir: Vec<String>,
    /// Registry (host[:port]) to which plain http and unverified TLS are allowed; may be repeated
    #[arg(
        long = "insecure-registry",
        env = "TEKSEAL_INSECURE_REGISTRY",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub(crate) insecure: Vec<String>,
    /// For how many seconds an operation is tried again after 5xx, 429 and connection errors
    #[arg(
        long,
        env = "TEKSEAL_RETRY_FOR",
        value_name = "SECONDS",
        default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=86_400)
    )]
    pub(crate) retry_for: u64,
}

impl RegistryArgs {
    /// The credentials file of the flag.
    pub(crate) fn auth_file(&self) -> Option<PathBuf> {
        given(&self.auth_file).map(PathBuf::from).next()
    }

    /// The folder with credentials of the flag.
    pub(crate) fn dockerconfig(&self) -> Option<PathBuf> {
        given(&self.dockerconfig).map(PathBuf::from).next()
    }

    /// Certificate authorities: files and folders.
    pub(crate) fn ca(&self) -> Vec<PathBuf> {
        given(&self.ca).map(PathBuf::from).collect()
    }

    /// Folders as buildah reads them.
    pub(crate) fn cert_dirs(&self) -> Vec<PathBuf> {
        given(&self.cert_dir).map(PathBuf::from).collect()
    }

    /// Opens the registries.
    pub fn open(&self, access: Access) -> Result<Registry, Failure> {
        Registry::new(Options {
            credentials: self.credentials()?,
            access,
            ..self.options()
        })
        .map_err(|e| Failure::misuse(e).context("preparing the registry client"))
    }

    /// How servers are reached, without credentials.
    pub(crate) fn options(&self) -> Options {
        Options {
            ca: self.ca(),
            cert_dirs: self.cert_dirs(),
            insecure_registries: given(&self.insecure).map(str::to_owned).collect(),
            retry_for: Duration::from_secs(self.retry_for),
            notice: told_to_wait,
            ..Options::default()
        }
    }

    /// Reads the credentials: the file of the flag, then what the environment and the usual places have. A file of a flag must be
    /// there; the others may be absent.
    pub fn credentials(&self) -> Result<Credentials, Failure> {
        let mut sources = Vec::new();
        if let Some(path) = self.auth_file() {
            let bytes = files::read(&path, MAX_CONFIG, "credentials file")?;
            sources.push((path, bytes));
        }
        if let Some(folder) = self.dockerconfig() {
            sources.push(Self::from_folder(&folder)?);
        }
        let env = |name: &str| std::env::var(name).ok();
        for path in docker_config::candidates(&env) {
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() => {}
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    log::warn(
                        "credentials file skipped",
                        &[("file", &path.display()), ("reason", &e)],
                    );
                    continue;
                }
            }
            match files::read(&path, MAX_CONFIG, "credentials file") {
                Ok(bytes) => sources.push((path, bytes)),
                Err(e) => log::warn("credentials file skipped", &[("reason", &e.message())]),
            }
        }
        let mut credentials = Credentials::default();
        for (path, bytes) in sources {
            credentials.add(&path.display().to_string(), &bytes).map_err(|e| {
                Failure::misuse(e).hint("it must be a docker config.json, as `docker login` or a Secret of type kubernetes.io/dockerconfigjson has it")
            })?;
        }
        Ok(credentials)
    }

    fn from_folder(folder: &Path) -> Result<(PathBuf, Vec<u8>), Failure> {
        for name in ["config.json", ".dockerconfigjson"] {
            let path = folder.join(name);
            if path.is_file() {
                let bytes = files::read(&path, MAX_CONFIG, "credentials file")?;
                return Ok((path, bytes));
            }
        }
        Err(Failure::misuse(anyhow::anyhow!(
            "{} has neither config.json nor .dockerconfigjson",
            folder.display()
        ))
        .hint("bind the workspace dockerconfig to a Secret of type kubernetes.io/dockerconfigjson"))
    }
}

pub(crate) fn told_to_wait(error: &dyn std::error::Error, wait: Duration) {
    log::warn(
        "trying again",
        &[
            ("seconds", &wait.as_secs()),
            ("reason", &crate::exit::chain(error)),
        ],
    );
}

/// What was given, without empty texts.
pub(crate) fn given<'a>(
    texts: impl IntoIterator<Item = &'a String>,
) -> impl Iterator<Item = &'a str> {
    texts
        .into_iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}
