//! The OCI distribution protocol, as far as signing needs it.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_core::docker_config::Credentials;
use tekseal_core::{Digest, Repository};

/// What the caller will do, which decides the scope of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Pull,
    /// Reading and writing.
    PullPush,
}

/// How to talk to registries.
#[derive(Debug)]
pub struct Options {
    /// What to answer when a registry asks who we are.
    pub credentials: Credentials,
    /// What the caller will do.
    pub access: Access,
    /// Extra certificate authorities: PEM files, or folders of them, beside the system's.
    pub ca: Vec<PathBuf>,
    /// Folders as buildah reads them: `*.crt` are certificate authorities, `*.cert` with `*.key` is a client's pair.
    pub cert_dirs: Vec<PathBuf>,
    /// Registries (`host` or `host:port`) to which plain http and unverified TLS are allowed. Loopback is plain http anyway.
    pub insecure_registries: Vec<String>,
    /// For how long one operation may be tried again after 5xx, 429 and connection errors.
    pub retry_for: Duration,
    /// How long to wait for a connection, and for each piece of an answer.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            access: Access::Pull,
            ca: Vec::new(),
            cert_dirs: Vec::new(),
            insecure_registries: Vec::new(),
            retry_for: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Registries over one connection pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {}

/// A manifest is asked for by tag or by digest.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// By tag.
    Tag(&'a str),
    /// By digest; what comes back is checked against it.
    Digest(&'a Digest),
}

/// A manifest or index as the registry has it. `digest` was computed from `bytes`.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Exact bytes.
    pub bytes: Vec<u8>,
    /// Content type the registry gave.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: Digest,
}

/// What a HEAD of a manifest says.
#[derive(Clone, Debug)]
pub struct Head {
    /// The registry's `Docker-Content-Digest`.
    pub digest: Digest,
    /// Content type the registry gave.
    pub media_type: String,
    /// Content length the registry gave.
    pub size: u64,
}

/// An upload that was started and waits for its bytes.
#[derive(Debug)]
pub struct Upload {}

/// Who must act on an error; `steps` turns it into an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Absent or malformed content: look at the artifact (exit 1).
    Artifact,
    /// Credentials or settings: somebody must change something (exit 2).
    Setting,
    /// Network, time-out, 5xx: trying again later may help (exit 3).
    Outside,
}

/// (being written)
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// (being written)
    #[error("being written")]
    Unwritten,
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        unimplemented!()
    }
    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        unimplemented!()
    }
    /// The HTTP status the registry refused with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        unimplemented!()
    }
    /// Whether the registry said with this error code (`MANIFEST_BLOB_UNKNOWN`) why it refused.
    #[must_use]
    pub fn has_code(&self, _code: &str) -> bool {
        unimplemented!()
    }
}

impl Registry {
    /// Registries as `options` say.
    pub fn new(_options: Options) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Asks for a manifest's digest; `None` when it is absent.
    pub async fn head_manifest(&self, _repository: &Repository, _reference: Reference<'_>) -> Result<Option<Head>, Error> {
        unimplemented!()
    }
    /// Reads a manifest; `None` when it is absent.
    pub async fn get_manifest(&self, _repository: &Repository, _reference: Reference<'_>) -> Result<Option<Manifest>, Error> {
        unimplemented!()
    }
    /// Writes a manifest.
    pub async fn put_manifest(
        &self,
        _repository: &Repository,
        _reference: Reference<'_>,
        _media_type: &str,
        _bytes: &[u8],
    ) -> Result<(), Error> {
        unimplemented!()
    }
    /// Starts the upload of a blob.
    pub async fn start_upload(&self, _repository: &Repository) -> Result<Upload, Error> {
        unimplemented!()
    }
    /// Sends the bytes of a started upload.
    pub async fn finish_upload(&self, _repository: &Repository, _upload: Upload, _digest: &Digest, _bytes: &[u8]) -> Result<(), Error> {
        unimplemented!()
    }
    /// Whether the repository has the blob.
    pub async fn blob_exists(&self, _repository: &Repository, _digest: &Digest) -> Result<bool, Error> {
        unimplemented!()
    }
    /// Reads a blob of at most `limit` bytes and checks its digest.
    pub async fn get_blob(&self, _repository: &Repository, _digest: &Digest, _limit: u64) -> Result<Vec<u8>, Error> {
        unimplemented!()
    }
    /// The raw index of referrers when the registry has the API, else `None`.
    pub async fn referrers(&self, _repository: &Repository, _digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        unimplemented!()
    }
    /// Which file and key matched for `registry`, never the secret.
    #[must_use]
    pub fn credential_used(&self, _registry: &str) -> Option<String> {
        unimplemented!()
    }
}
