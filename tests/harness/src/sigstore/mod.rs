//! A Sigstore on loopback: services that stand behind signatures, as real processes, and the files that tell clients of them.
//!
//! ```text
//!   tekseal ──▶ Certifier          speaks Fulcio's protocol, and certifies what a test wants
//!   cosign ──▶ RekorV2             a transparency log in files
//!          ──▶ TimestampAuthority  says when
//!          ──▶ Sigstore            what needs a database:
//!                RekorV1           the log that promises, and can be searched
//!                Fulcio            certificates, and the log of them
//!                Issuer            identity tokens, by the tests themselves; and keys of a SPIRE
//!   Services ──▶ trusted_root.json for verifiers, a signing configuration for cosign
//! ```
//!
//! All are on 127.0.0.1 at free ports, and speak plain http.

mod certifier;
mod database;
mod fulcio;
mod issuer;
mod key;
mod peers;
mod rekor_v1;
mod rekor_v2;
pub(crate) mod service;
#[cfg(test)]
mod tests;
mod timestamp;
mod trillian;
mod trust;

use std::fs;
use std::sync::OnceLock;

use self::database::Database;
use self::trillian::Trillian;
use crate::process::Folder;

pub use self::certifier::{Certifier, Certifying, service_account_claims, unsigned_token};
pub use self::fulcio::{ClusterIssuer, Fulcio};
pub use self::issuer::Issuer;
pub use self::rekor_v1::RekorV1;
pub use self::rekor_v2::RekorV2;
pub use self::timestamp::TimestampAuthority;
pub use self::trust::Services;

/// What needs a database: Rekor v1, and Fulcio with an issuer of tokens and a log of certificates. It ends when this value is dropped, and
/// when the process of the tests ends in whatever way.
pub struct Sigstore {
    /// The log that signs entry timestamps.
    pub rekor: RekorV1,
    /// Gives certificates to who shows a token of `issuer`.
    pub fulcio: Fulcio,
    /// Gives tokens.
    pub issuer: Issuer,
    trillian: Trillian,
    database: Database,
    /// The last to be dropped.
    _folder: Folder,
}

impl Sigstore {
    /// The one of this process, started with the first call; `None`, with the reason printed, where a program is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when a program is missing and `CI` is `true`.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Sigstore>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// One of one's own; `None`, with the reason printed, where a program is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when a program is missing and `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// One of one's own, whose Fulcio also believes the tokens of a cluster; it asks the cluster for the keys when it starts.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_for(cluster: ClusterIssuer<'_>) -> Option<Self> {
        Self::start_with(Some(cluster))
    }

    fn start_with(cluster: Option<ClusterIssuer<'_>>) -> Option<Self> {
        let (with_database, with_trillian, with_rekor, with_fulcio) = (
            database::Peers::find()?,
            trillian::Peers::find()?,
            rekor_v1::Peers::find()?,
            fulcio::Peers::find()?,
        );
        let folder = Folder::make_on_disk();
        let part = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("the folder is ours");
            path
        };
        let database = Database::start(&with_database, &part("database"));
        let trillian = Trillian::start(&with_trillian, &database, &part("trillian"));
        let rekor = RekorV1::start(&with_rekor, &database, &trillian, &part("rekor"));
        let issuer = Issuer::start(&part("issuer"));
        let fulcio = Fulcio::start(&with_fulcio, &trillian, &issuer, cluster, &part("fulcio"));
        Some(Self {
            rekor,
            fulcio,
            issuer,
            trillian,
            database,
            _folder: folder,
        })
    }

    /// The processes that a log of the first version is made of: Rekor, the two of Trillian, and the database.
    #[must_use]
    pub fn log_processes(&self) -> Vec<u32> {
        let [server, signer] = self.trillian.processes();
        let (rekor, database) = (self.rekor.process(), self.database.process());
        vec![rekor, server, signer, database]
    }
}
