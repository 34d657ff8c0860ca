//! What a verifier trusts: the keys of logs and the certificates of authorities, as Sigstore's `trusted_root.json` lists them.
//!
//! Specification: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>. Keys and certificates are not looked into here.

mod read;

pub(crate) use read::read_validity;

use crate::excerpt::Excerpt;
use crate::protojson;

/// The most logs, and the most authorities, of each kind.
pub const MOST_OF_A_KIND: usize = 64;

/// The trusted root of Sigstore's public-good instance, as a file has it: target `trusted_root.json` of <https://tuf-repo-cdn.sigstore.dev>,
/// Apache-2.0, as the PyPI package `sigstore` 4.5.1 of October 2026 carries it (SHA-256 6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66).
/// Who must know at once of keys that are replaced asks a mirror instead.
pub const PUBLIC_GOOD: &[u8] = include_bytes!("trusted_root/public_good.json");

/// Everything that is trusted, as it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedRoot {
    /// Transparency logs (Rekor).
    pub logs: Vec<LogKey>,
    /// Authorities that issue signing certificates (Fulcio).
    pub certificate_authorities: Vec<Authority>,
    /// Logs of certificates, whose promises are in certificates (SCT).
    pub certificate_logs: Vec<LogKey>,
    /// Authorities that sign times (RFC 3161).
    pub timestamp_authorities: Vec<Authority>,
}

/// The key of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// Where the log is, as the file has it.
    pub base_url: String,
    /// The key, DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// The log's id as the file has it.
    pub key_id: Vec<u8>,
    /// When it was, or is, in use.
    pub valid: Validity,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Where it is, as the file has it; may be empty.
    pub uri: String,
    /// Its certificates, DER: from the one that issues up to the root.
    pub chain: Vec<Vec<u8>>,
    /// When it was, or is, in use.
    pub valid: Validity,
}

/// From when to when; both ends belong to it. Seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first second; nothing: since ever.
    pub start: Option<i64>,
    /// The last second; nothing: until now and on.
    pub end: Option<i64>,
}

impl Validity {
    /// Whether it was in use at this time.
    #[must_use]
    pub fn covers(self, time: i64) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time <= end)
    }
}

/// Why a trusted root is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member is absent or malformed.
    #[error(transparent)]
    Member(#[from] protojson::Error),
    /// Something else than a trusted root, or one of a version that is not known.
    #[error("the media type {0} is not that of a trusted root of version 0.1 or 0.2")]
    MediaType(Excerpt),
    /// A log whose tree is of other hashes.
    #[error("{place} is {found}, and only SHA2_256 is supported")]
    HashAlgorithm {
        /// Where.
        place: String,
        /// The algorithm.
        found: Excerpt,
    },
    /// A time of use without any moment.
    #[error("{0} ends before it starts")]
    Backwards(String),
}

#[cfg(test)]
mod tests;
