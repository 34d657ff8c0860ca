//! Rekor v1: the transparency log with signed entry timestamps and a search index, which Tekton Chains and `rekor-cli` know.
//!
//! Its metrics are at port 2112 of all addresses, whatever it is told; where that is taken it goes on without them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::database::Database;
use super::key::{KeyPair, Kind};
use super::peers::{REKOR_CLI, REKOR_V1};
use super::service;
use super::trillian::Trillian;
use crate::http::{Request, request};
use crate::process::Daemon;
use crate::run::Run;

pub(super) struct Peers {
    server: PathBuf,
    client: PathBuf,
}

impl Peers {
    pub(super) fn find() -> Option<Self> {
        Some(Self {
            server: REKOR_V1.find()?,
            client: REKOR_CLI.find()?,
        })
    }
}

/// A running log with a P-256 key of its own.
pub struct RekorV1 {
    address: String,
    key: KeyPair,
    client: PathBuf,
    server: Daemon,
}

impl RekorV1 {
    /// Its name: checkpoints begin with it, ` - ` and the number of its tree.
    pub const NAME: &str = "rekor.local";

    pub(super) fn start(
        peers: &Peers,
        database: &Database,
        trillian: &Trillian,
        folder: &Path,
    ) -> Self {
        let key = KeyPair::make(folder, "log", Kind::P256);
        let attestations = folder.join("attestations");
        fs::create_dir(&attestations).expect("the folder is ours");
        let flags = |[port]: [u16; 1]| {
            vec![
                "serve".to_owned(),
                "--rekor_server.address=127.0.0.1".to_owned(),
                format!("--port={port}"),
                format!("--rekor_server.hostname={}", Self::NAME),
                format!("--rekor_server.signer={}", key.private.display()),
                "--trillian_log_server.address=127.0.0.1".to_owned(),
                format!("--trillian_log_server.port={}", trillian.port),
                "--search_index.storage_provider=mysql".to_owned(),
                format!("--search_index.mysql.dsn={}", database.source("search")),
                "--enable_attestation_storage".to_owned(),
                format!(
                    "--attestation_storage_bucket=file://{}",
                    attestations.display()
                ),
                "--max_attestation_size=1000000".to_owned(),
            ]
        };
        // It writes attestations there and moves them into the bucket.
        let env: [(&str, &OsStr); 2] = [("TMPDIR", folder.as_ref()), ("HOME", folder.as_ref())];
        let (server, [port]) =
            service::start(&peers.server, flags, &env, folder, "/api/v1/log/publicKey");
        Self {
            address: format!("127.0.0.1:{port}"),
            key,
            client: peers.client.clone(),
            server,
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

    /// Its public key, PEM.
    #[must_use]
    pub fn public_key(&self) -> &Path {
        &self.key.public
    }

    /// Its public key, SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn public_key_der(&self) -> &[u8] {
        &self.key.der
    }

    /// The identity of its key that entries and trusted roots name, 32 bytes.
    #[must_use]
    pub fn log_id(&self) -> Vec<u8> {
        Sha256::digest(&self.key.der).to_vec()
    }

    /// `rekor-cli` with a command (`search`, `get`), for this log.
    #[must_use]
    pub fn cli(&self, command: &str) -> Run {
        let run = Run::new(&self.client).arg(command);
        run.arg("--rekor_server").arg(self.url())
    }

    /// How many entries it has.
    ///
    /// # Panics
    ///
    /// When it does not tell.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let answer = request(&self.address, &Request::new("GET", "/api/v1/log"));
        let answer = answer.expect("the log answers");
        let state: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let size = state["treeSize"].as_u64();
        size.unwrap_or_else(|| panic!("the log does not tell its size: {}", answer.text()))
    }

    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.server.id()
    }

    pub(super) fn key(&self) -> &KeyPair {
        &self.key
    }
}
