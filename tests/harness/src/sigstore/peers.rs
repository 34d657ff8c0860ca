//! Finds what `tests/peers --sigstore-basic` and `tests/peers --sigstore` build.

use std::path::PathBuf;

use crate::peers::{peer_folder, present};
use crate::run::on_path;

/// A file of a folder of the cache, as `tests/sigstore/build` names them.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    folder: &'static str,
    file: &'static str,
    advice: &'static str,
}

const BASIC: &str = "tests/peers --sigstore-basic";
const FULL: &str = "tests/peers --sigstore";

pub(super) const REKOR_V2: Peer = Peer {
    folder: "rekor-v2-2.3.0",
    file: "rekor-server",
    advice: BASIC,
};
pub(super) const TIMESTAMP_SERVER: Peer = Peer {
    folder: "timestamp-authority-2.1.3",
    file: "timestamp-server",
    advice: BASIC,
};
pub(super) const MARIADB: Peer = Peer {
    folder: "mariadb",
    file: "usr/sbin/mariadbd",
    advice: FULL,
};
pub(super) const TRILLIAN_SCHEMA: Peer = Peer {
    folder: "trillian-1.8.0",
    file: "storage.sql",
    advice: FULL,
};
pub(super) const TRILLIAN_LOG_SERVER: Peer = Peer {
    folder: "trillian-1.8.0",
    file: "trillian_log_server",
    advice: FULL,
};
pub(super) const TRILLIAN_LOG_SIGNER: Peer = Peer {
    folder: "trillian-1.8.0",
    file: "trillian_log_signer",
    advice: FULL,
};
pub(super) const CREATETREE: Peer = Peer {
    folder: "trillian-1.8.0",
    file: "createtree",
    advice: FULL,
};
pub(super) const REKOR_V1: Peer = Peer {
    folder: "rekor-1.5.4",
    file: "rekor-server",
    advice: FULL,
};
pub(super) const REKOR_CLI: Peer = Peer {
    folder: "rekor-1.5.4",
    file: "rekor-cli",
    advice: FULL,
};
pub(super) const CT_SERVER: Peer = Peer {
    folder: "ct-server-1.4.0",
    file: "ct_server",
    advice: FULL,
};
pub(super) const FULCIO: Peer = Peer {
    folder: "fulcio-1.8.8",
    file: "fulcio",
    advice: FULL,
};

impl Peer {
    /// Its path; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it is missing and `CI` is `true`.
    pub(super) fn find(self) -> Option<PathBuf> {
        let Self {
            folder,
            file,
            advice,
        } = self;
        present(
            on_path("setpriv"),
            &format!("setpriv is not installed: run {advice}"),
        )?;
        let path = peer_folder().join(folder).join(file);
        let reason = format!("{file} is not at {}: run {advice}", path.display());
        present(path.is_file().then_some(path), &reason)
    }
}
