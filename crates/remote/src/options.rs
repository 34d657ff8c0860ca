//! What people can set about registries.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_core::docker_config::Credentials;

use crate::guard::Guard;

/// What the caller will do, which decides what tokens are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Pull,
    /// Reading and writing.
    PullPush,
}

/// Takes what went wrong and how long it will be until the next try.
pub type Notice = fn(&dyn std::error::Error, Duration);

/// How to talk to registries.
#[derive(Debug)]
pub struct Options {
    /// What to answer when a registry asks who we are.
    pub credentials: Credentials,
    /// What the caller will do.
    pub access: Access,
    /// Extra certificate authorities beside the system's: PEM files, or folders with `*.pem` and `*.crt`. With any of
    /// these or of `cert_dirs`, registries on loopback are tried by https first.
    pub ca: Vec<PathBuf>,
    /// Folders as buildah reads them: `*.crt` are certificate authorities, `*.cert` with `*.key` is a client's pair.
    pub cert_dirs: Vec<PathBuf>,
    /// Registries (`host` or `host:port`) to which unverified TLS and, where there is no TLS, plain http are allowed.
    /// Loopback is plain http anyway.
    pub insecure_registries: Vec<String>,
    /// Which registries may be contacted, for programs that take image names from others; `None` for every one.
    pub guard: Option<Guard>,
    /// For how long one operation may be tried again after 5xx, 408, 429 and connection errors.
    pub retry_for: Duration,
    /// Called before each wait of a second or more with what went wrong and how long the wait is, so that a person is not left
    /// in silence.
    pub notice: Notice,
    /// How long to wait for each piece of an answer. A connection must be there after a third of it, a whole request may
    /// take 20 times that.
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
            guard: None,
            retry_for: Duration::from_secs(30),
            notice: |_, _| {},
            timeout: Duration::from_secs(30),
        }
    }
}
