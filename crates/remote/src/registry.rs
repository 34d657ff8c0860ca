//! The OCI distribution protocol, as far as signing needs it.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_core::{Digest, Repository};

/// How to talk to registries.
#[derive(Debug)]
pub struct Options {
    /// Extra certificate authorities: PEM files, or folders of them, beside the system's.
    pub ca: Vec<PathBuf>,
    /// Registries (`host` or `host:port`) to which plain http and unverified TLS are allowed. Loopback is plain http anyway.
    pub insecure_registries: Vec<String>,
    /// For how long one operation may be tried again after 5xx, 429 and connection errors.
    pub retry_for: Duration,
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
