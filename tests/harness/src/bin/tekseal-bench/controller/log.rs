//! The transparency log of a work: Rekor v1 with its database, or Rekor v2, and the question whether the entries are there.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tekseal_harness::{Proxy, RekorV2, Services, Sigstore};

use super::arena::Aim;
use super::meter::cpu_of;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A log that one program writes into.
pub(super) struct Log {
    proxy: Option<Proxy>,
    server: Server,
}

enum Server {
    V1(Box<Sigstore>),
    V2(Box<RekorV2>),
}

impl Log {
    /// Starts an empty one, behind a proxy where requests are counted.
    ///
    /// # Panics
    ///
    /// When it is not built, or does not come up.
    pub(super) fn start(version: Version, aim: Aim) -> Self {
        let server = match version {
            Version::V1 => {
                let sigstore = Sigstore::start().expect("tests/peers --sigstore was run");
                Server::V1(Box::new(sigstore))
            }
            Version::V2 => {
                let log = RekorV2::start().expect("tests/peers --sigstore-basic was run");
                Server::V2(Box::new(log))
            }
        };
        let address = match &server {
            Server::V1(sigstore) => sigstore.rekor.address(),
            Server::V2(log) => log.address(),
        };
        Self {
            proxy: (aim == Aim::Count).then(|| Proxy::start(address)),
            server,
        }
    }

    pub(super) fn version(&self) -> Version {
        match self.server {
            Server::V1(_) => Version::V1,
            Server::V2(_) => Version::V2,
        }
    }

    /// Where it is, as programs are told it.
    pub(super) fn url(&self) -> String {
        match (&self.proxy, &self.server) {
            (Some(proxy), _) => format!("http://{}", proxy.address()),
            (None, Server::V1(sigstore)) => sigstore.rekor.url(),
            (None, Server::V2(log)) => log.url(),
        }
    }

    /// What counts the requests to it.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// A trusted root with nothing but this log.
    pub(super) fn trusted_root(&self) -> Value {
        let services = match &self.server {
            Server::V1(sigstore) => Services::none().with_rekor_v1(&sigstore.rekor),
            Server::V2(log) => Services::none().with_rekor_v2(log),
        };
        services.trusted_root()
    }

    /// Writes the trusted root to a file.
    pub(super) fn write_trusted_root(&self, file: &Path) {
        fs::write(file, self.trusted_root().to_string()).expect("the folder is ours");
    }

    /// How many entries it has.
    pub(super) fn entries(&self) -> u64 {
        match &self.server {
            Server::V1(sigstore) => sigstore.rekor.entries(),
            Server::V2(log) => log.entries(),
        }
    }

    /// Panics unless its search finds an entry of what has this digest, or names it as a subject; the second version has no search.
    pub(super) fn find(&self, digest: &str) {
        if let Server::V1(sigstore) = &self.server {
            sigstore.rekor.cli("search").args(["--sha", digest]).ok();
        }
    }

    /// Processor time of all that the log is made of.
    pub(super) fn cpu_s(&self) -> f64 {
        match &self.server {
            Server::V1(sigstore) => cpu_of(&sigstore.log_processes()),
            Server::V2(log) => cpu_of(&[log.process()]),
        }
    }
}
