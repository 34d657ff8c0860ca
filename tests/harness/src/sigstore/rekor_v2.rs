//! Rekor v2 (rekor-tiles): a transparency log in files, which needs no database.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use super::key::{KeyPair, Kind};
use super::peers::REKOR_V2;
use super::service;
use crate::process::{Daemon, Folder};

/// Its interval between checkpoints, for which each new entry waits.
const CHECKPOINTS: &str = "200ms";
/// The algorithm of the key in the identity of a log: see <https://c2sp.org/signed-note>.
const ED25519: u8 = 1;

/// A running log with an Ed25519 key of its own. It ends when this value is dropped, and when the process of the tests ends in whatever way.
pub struct RekorV2 {
    address: String,
    key: KeyPair,
    server: Daemon,
    /// The last to be dropped.
    folder: Folder,
}

impl RekorV2 {
    /// What its checkpoints begin with: the host in its [URL](Self::url), which is where verifiers take it from.
    pub const ORIGIN: &str = "127.0.0.1";

    /// The one log of this process, started with the first call; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<RekorV2>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A log of one's own; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = REKOR_V2.find()?;
        let folder = Folder::make();
        let key = KeyPair::make(folder.path(), "log", Kind::Ed25519);
        let flags = |[http, grpc, metrics]: [u16; 3]| {
            vec![
                "serve".to_owned(),
                "--http-address=127.0.0.1".to_owned(),
                format!("--http-port={http}"),
                "--grpc-address=127.0.0.1".to_owned(),
                format!("--grpc-port={grpc}"),
                format!("--http-metrics-port={metrics}"),
                format!("--hostname={}", Self::ORIGIN),
                format!("--storage-dir={}", storage(folder.path()).display()),
                format!("--signer-filepath={}", key.private.display()),
                format!("--checkpoint-interval={CHECKPOINTS}"),
                "--batch-max-age=50ms".to_owned(),
            ]
        };
        let (server, [port, ..]) = service::start(&program, flags, &[], folder.path(), "/healthz");
        Some(Self {
            address: format!("127.0.0.1:{port}"),
            key,
            server,
            folder,
        })
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where entries are written, as clients are told it.
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

    /// The identity of log and key that entries and trusted roots name, 32 bytes.
    #[must_use]
    pub fn log_id(&self) -> Vec<u8> {
        // Of an Ed25519 key in DER the last 32 bytes are the key.
        let (_, raw) = self.key.der.split_at(self.key.der.len() - 32);
        let mut hash = Sha256::new();
        hash.update(Self::ORIGIN);
        hash.update([b'\n', ED25519]);
        hash.update(raw);
        hash.finalize().to_vec()
    }

    /// The folder with `checkpoint` and `tile`, to be read as <https://c2sp.org/tlog-tiles> says; it answers no such questions itself.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        storage(self.folder.path())
    }

    /// How many entries it has: the second line of its checkpoint.
    ///
    /// # Panics
    ///
    /// When it has no checkpoint.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let checkpoint = fs::read_to_string(self.storage().join("checkpoint"));
        let checkpoint = checkpoint.expect("a log has a checkpoint from its start");
        let size = checkpoint.lines().nth(1).and_then(|line| line.parse().ok());
        size.unwrap_or_else(|| panic!("the checkpoint does not tell the size: {checkpoint}"))
    }

    /// Its process id.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    pub(super) fn key(&self) -> &KeyPair {
        &self.key
    }
}

fn storage(folder: &Path) -> PathBuf {
    folder.join("log")
}
