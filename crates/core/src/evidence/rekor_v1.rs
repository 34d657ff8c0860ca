//! Log entries as Rekor v1 answers with them.
//!
//! Specification: <https://github.com/sigstore/rekor/blob/main/openapi.yaml>, `LogEntry`.

use super::log_entry::{LARGEST_BODY, LARGEST_CHECKPOINT, MOST_HASHES, MOST_VALUES, within_tree};
use super::{EntryError, InclusionProof, LARGEST_SIGNATURE, LogEntry};
use crate::excerpt::Excerpt;
use crate::protojson::{self, Node, Object, Value};
use crate::strict_json::{self, Step};

impl LogEntry {
    /// Reads what Rekor v1 answers to a new entry, and to a request for one: `{"<UUID>": {…}}`. Gives the UUID too.
    ///
    /// # Errors
    /// For what is not exactly one entry. Nothing is verified, not even that the UUID is that of the body.
    pub fn of_rekor_v1(answer: &[u8]) -> Result<(String, Self), EntryError> {
        let answer = Node::read(answer, known_names, MOST_VALUES)?;
        let answer = answer.top()?;
        let mut names = answer.names();
        let (1, Some(uuid)) = (names.len(), names.next()) else {
            return Err(EntryError::NotOneEntry(answer.names().len()));
        };
        if !is_uuid(uuid) {
            return Err(EntryError::Uuid(Excerpt::of(uuid)));
        }
        let entry = answer.need(uuid, answer.object(uuid)?)?;
        Ok((uuid.to_owned(), read_entry(&entry)?))
    }
}

fn read_entry(entry: &Object<'_>) -> Result<LogEntry, EntryError> {
    let verification = entry.object("verification")?;
    let verification = verification.as_ref();
    let promise = verification.map(|all| all.bytes("signedEntryTimestamp", LARGEST_SIGNATURE));
    let inclusion = verification.map(|all| all.object("inclusionProof"));
    let inclusion = inclusion.transpose()?.flatten();
    Ok(LogEntry {
        promise: promise.transpose()?.flatten(),
        inclusion: inclusion.map(|proof| read_proof(&proof)).transpose()?,
        ..read_stamped(entry)?
    })
}

/// What a promise is about: the entry, where it is, and since when.
pub(super) fn read_stamped(entry: &Object<'_>) -> Result<LogEntry, protojson::Error> {
    let integrated_time = entry.need("integratedTime", entry.number("integratedTime")?)?;
    let log_id = entry.member("logID").map(|id| id.hex_hash());
    Ok(LogEntry {
        body: entry.need("body", entry.bytes("body", LARGEST_BODY)?)?,
        log_id: entry.need("logID", log_id.transpose()?)?,
        log_index: entry.need("logIndex", entry.number("logIndex")?)?,
        integrated_time: Some(integrated_time.cast_signed()),
        kind_version: None,
        promise: None,
        inclusion: None,
    })
}

fn read_proof(proof: &Object<'_>) -> Result<InclusionProof, EntryError> {
    let root_hash = proof.member("rootHash").map(|root| root.hex_hash());
    let hashes = proof.list("hashes", MOST_HASHES)?;
    let hashes: Result<_, _> = hashes.iter().map(Value::hex_hash).collect();
    let checkpoint = proof.text("checkpoint", LARGEST_CHECKPOINT)?;
    within_tree(
        proof,
        InclusionProof {
            log_index: proof.need("logIndex", proof.number("logIndex")?)?,
            tree_size: proof.need("treeSize", proof.number("treeSize")?)?,
            root_hash: proof.need("rootHash", root_hash.transpose()?)?,
            hashes: hashes?,
            checkpoint: proof.need("checkpoint", checkpoint)?.to_owned(),
        },
    )
}

fn is_uuid(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    matches!(text.len(), 64 | 80) && text.bytes().all(is_digit)
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    match strict_json::path(place, &mut Default::default()) {
        Some([_]) => &[
            "attestation",
            "body",
            "integratedTime",
            "logID",
            "logIndex",
            "verification",
        ],
        Some([_, "verification"]) => &["inclusionProof", "signedEntryTimestamp"],
        Some([_, "verification", "inclusionProof"]) => {
            &["checkpoint", "hashes", "logIndex", "rootHash", "treeSize"]
        }
        _ => &[],
    }
}
