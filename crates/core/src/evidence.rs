//! What comes with a signature and says who made it, and when: certificate, log entries, timestamps. Plain data, nothing of it verified.
//!
//! The same evidence is written in two ways, as annotations of a layer in cosign's layout and as a Sigstore bundle; here both become one.
//!
//! ```text
//!  annotations of a layer ── annotations ──▶ Evidence ◀── crate::bundle ── bundle
//!  answer of Rekor v1 ────── rekor_v1 ─────▶ LogEntry ◀── log_entry ────── answer of Rekor v2, tlogEntries of a bundle
//!                                                ├─▶ the annotation dev.sigstore.cosign/bundle
//!                                                └─▶ an item of tlogEntries
//! ```

mod annotations;
mod log_entry;
mod rekor_v1;
mod written;

pub use annotations::Error;
pub use log_entry::EntryError;
pub(crate) use log_entry::{LARGEST_SIGNATURE, entry_names, read_entry};
pub(crate) use written::timestamp_annotation;

/// One entry of a transparency log (Rekor v1 or v2), as it was handed out with a signature.
///
/// Specification: `TransparencyLogEntry` of <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_rekor.proto>, and the
/// `LogEntry` of Rekor v1's <https://github.com/sigstore/rekor/blob/main/openapi.yaml>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The entry's exact bytes, canonical JSON: what the leaf of the tree is made of.
    pub body: Vec<u8>,
    /// Which log: the id of its key, 32 bytes where it is well-formed.
    pub log_id: Vec<u8>,
    /// Position in the log, over all its shards.
    pub log_index: u64,
    /// When the log took it in, seconds since 1970; nothing where the log does not vouch for a time (Rekor v2).
    pub integrated_time: Option<i64>,
    /// Kind and version as they stand beside the body (`hashedrekord`, `0.0.1`), where they do; the body has them too.
    pub kind_version: Option<(String, String)>,
    /// The log's signed promise to include it (SignedEntryTimestamp).
    pub promise: Option<Vec<u8>>,
    /// The proof that it is included.
    pub inclusion: Option<InclusionProof>,
}

/// The proof that an entry is in the tree that a log signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// Position in this tree.
    pub log_index: u64,
    /// How many leaves this tree has.
    pub tree_size: u64,
    /// The root as the proof claims it; what counts is the checkpoint's.
    pub root_hash: Vec<u8>,
    /// Hashes of the path from the leaf to the root.
    pub hashes: Vec<Vec<u8>>,
    /// The signed note with the size and the root of the tree.
    pub checkpoint: String,
}

/// What came with one signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The signing certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// The certificates above it, DER, as whoever stored them says.
    pub chain: Vec<Vec<u8>>,
    /// Entries of transparency logs.
    pub entries: Vec<LogEntry>,
    /// RFC 3161 TimeStampResp, DER.
    pub timestamps: Vec<Vec<u8>>,
}

impl Evidence {
    /// Whether there is anything by a log or an authority.
    #[must_use]
    pub fn is_witnessed(&self) -> bool {
        !self.entries.is_empty() || !self.timestamps.is_empty()
    }

    /// Whether this, which came with the same signature, has the log entries of `other`, whatever proves them, and as many timestamps.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_same = |one: &LogEntry, two: &LogEntry| {
            one.body == two.body
                && one.log_id == two.log_id
                && one.log_index == two.log_index
                && one.integrated_time == two.integrated_time
        };
        let mut wanted = other.entries.iter();
        wanted.all(|wanted| self.entries.iter().any(|own| is_same(own, wanted)))
            && self.timestamps.len() >= other.timestamps.len()
    }
}

/// The largest RFC 3161 timestamp that is read, in bytes of DER.
pub(crate) const LARGEST_TIMESTAMP: usize = 128 * 1024;

#[cfg(test)]
mod tests;
