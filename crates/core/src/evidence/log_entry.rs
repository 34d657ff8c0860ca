//! Log entries as protobuf has them: in bundles, and in the answers of Rekor v2.

use super::{InclusionProof, LogEntry};
use crate::excerpt::Excerpt;
use crate::protojson::{self, Node, Object, Value};
use crate::strict_json::{self, Step};

/// Why a log entry is not read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A member is absent or malformed.
    #[error(transparent)]
    Member(#[from] protojson::Error),
    /// The proof is of a place that its own tree does not have.
    #[error("{place} proves entry {log_index} of a tree of {tree_size}")]
    OutsideTree {
        /// Where the proof stands.
        place: String,
        /// The entry.
        log_index: u64,
        /// How many there are.
        tree_size: u64,
    },
    /// An answer of Rekor v2 without a proof.
    #[error("the answer has no inclusionProof")]
    NoProof,
    /// An answer of Rekor v1 that holds no entry, or several.
    #[error("the answer has {0} entries and not one")]
    NotOneEntry(usize),
    /// The entry has no UUID: 64 lower-case hexadecimal digits, with or without 16 for the tree in front.
    #[error("{0} is not the UUID of an entry")]
    Uuid(Excerpt),
}

/// The largest body of an entry that is read, in bytes.
pub(super) const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// The largest checkpoint that is read, in bytes; each witness adds some hundred.
pub(super) const LARGEST_CHECKPOINT: usize = 64 * 1024;
/// The longest path from a leaf to the root that is read: that of a tree as large as there can be.
pub(super) const MOST_HASHES: usize = 64;
/// The largest signature that is read, in bytes.
pub(crate) const LARGEST_SIGNATURE: usize = 16 * 1024;
/// The longest id of a log that is read; a SHA-256 has 32 bytes, a key id in a checkpoint has 4.
const LARGEST_LOG_ID: usize = 64;
/// The longest name of a kind or a version.
const LONGEST_KIND: usize = 64;
/// How many values an answer of a log may have: an entry has a hundred.
pub(super) const MOST_VALUES: usize = 1024;

impl LogEntry {
    /// Reads what Rekor v2 answers to a new entry: one `TransparencyLogEntry`.
    ///
    /// # Errors
    /// For what is not one, or has no inclusion proof. Nothing is verified.
    pub fn of_rekor_v2(answer: &[u8]) -> Result<Self, EntryError> {
        let answer = Node::read(answer, known_names, MOST_VALUES)?;
        let entry = read_entry(&answer.top()?)?;
        if entry.inclusion.is_none() {
            return Err(EntryError::NoProof);
        }
        Ok(entry)
    }
}

/// Reads a `TransparencyLogEntry`. Promise and proof may be absent; body, kind and log must be there.
pub(crate) fn read_entry(entry: &Object<'_>) -> Result<LogEntry, EntryError> {
    let log_id = member(entry, "logId")?;
    let kind_version = member(entry, "kindVersion")?;
    let kind_version = (
        text(&kind_version, "kind", LONGEST_KIND)?,
        text(&kind_version, "version", LONGEST_KIND)?,
    );
    let promise = entry
        .object("inclusionPromise")?
        .map(|promise| bytes(&promise, "signedEntryTimestamp", LARGEST_SIGNATURE));
    let inclusion = entry.object("inclusionProof")?;
    let integrated_time = entry.int64("integratedTime")?.filter(|time| *time > 0);
    Ok(LogEntry {
        body: bytes(entry, "canonicalizedBody", LARGEST_BODY)?,
        log_id: bytes(&log_id, "keyId", LARGEST_LOG_ID)?,
        log_index: entry.int64("logIndex")?.unwrap_or_default(),
        integrated_time: integrated_time.map(u64::cast_signed),
        kind_version: Some(kind_version),
        promise: promise.transpose()?,
        inclusion: inclusion.map(|proof| read_proof(&proof)).transpose()?,
    })
}

fn read_proof(proof: &Object<'_>) -> Result<InclusionProof, EntryError> {
    let root_hash = proof.member("rootHash").map(|root| root.hash());
    let hashes = proof.list("hashes", MOST_HASHES)?;
    let hashes: Result<_, _> = hashes.iter().map(Value::hash).collect();
    let checkpoint = member(proof, "checkpoint")?;
    within_tree(
        proof,
        InclusionProof {
            log_index: proof.int64("logIndex")?.unwrap_or_default(),
            tree_size: proof.need("treeSize", proof.int64("treeSize")?)?,
            root_hash: proof.need("rootHash", root_hash.transpose()?)?,
            hashes: hashes?,
            checkpoint: text(&checkpoint, "envelope", LARGEST_CHECKPOINT)?,
        },
    )
}

/// The proof, if its entry is in its tree.
pub(super) fn within_tree(
    place: &Object<'_>,
    proof: InclusionProof,
) -> Result<InclusionProof, EntryError> {
    if proof.log_index < proof.tree_size {
        return Ok(proof);
    }
    Err(EntryError::OutsideTree {
        place: place.place().to_owned(),
        log_index: proof.log_index,
        tree_size: proof.tree_size,
    })
}

fn member<'a>(object: &Object<'a>, name: &str) -> Result<Object<'a>, protojson::Error> {
    object.need(name, object.object(name)?)
}

fn bytes(object: &Object<'_>, name: &str, most: usize) -> Result<Vec<u8>, protojson::Error> {
    object.need(name, object.bytes(name, most)?)
}

fn text(object: &Object<'_>, name: &str, most: usize) -> Result<String, protojson::Error> {
    let text = object.text(name, most)?;
    object.need(name, text.map(ToOwned::to_owned))
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    strict_json::path(place, &mut Default::default()).map_or(&[], entry_names)
}

/// The names that mean something at a place of a `TransparencyLogEntry`.
pub(crate) fn entry_names(path: &[&str]) -> &'static [&'static str] {
    match path {
        [] => &[
            "logIndex",
            "logId",
            "kindVersion",
            "integratedTime",
            "inclusionPromise",
            "inclusionProof",
            "canonicalizedBody",
        ],
        ["logId"] => &["keyId"],
        ["kindVersion"] => &["kind", "version"],
        ["inclusionPromise"] => &["signedEntryTimestamp"],
        ["inclusionProof"] => &["logIndex", "rootHash", "treeSize", "hashes", "checkpoint"],
        ["inclusionProof", "checkpoint"] => &["envelope"],
        _ => &[],
    }
}
