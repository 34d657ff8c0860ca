//! Verifies entries of transparency logs: that a trusted log took in this very signature, and when.
//!
//! ```text
//!  LogEntry { body, promise, inclusion } ─┬─ body ──────── is it of this signature, signer and content?   (body)
//!                 Claim ──────────────────┤  promise ───── did the log sign that it has it, and since when?
//!                 Trust ──────────────────┴─ inclusion ─── path ─▶ root (merkle) = root that the log signed (checkpoint)
//! ```
//!
//! An entry is worth something if its body is of the claimed signature, and the log vouches for the body by a promise
//! (SignedEntryTimestamp, Rekor v1) or by a proof of inclusion in a tree whose checkpoint it signed. Where both are
//! given, both must hold. Whether a signature is valid at all, and whether a time lies within a certificate's life or in
//! the future, is not decided here: there is no clock.
//!
//! Specifications: <https://github.com/sigstore/rekor/blob/main/openapi.yaml>, and for Rekor v2
//! <https://github.com/sigstore/rekor-tiles/blob/main/CLIENTS.md>.

mod body;
mod checkpoint;
mod document;
mod merkle;
mod summary;
pub mod tiles;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_core::digest::hex;
use tekseal_core::evidence::{InclusionProof, LogEntry};
use tekseal_core::trusted_root::Validity;

pub(crate) use crate::log::body::key_details;
use crate::log::body::{Body, LARGEST};
use crate::log::checkpoint::Checkpoint;
use crate::pem;
use crate::public_key::{HashAlgorithm, PublicKey};
use crate::rejection::shortened;
use crate::trust::{Log, Trust};

pub use checkpoint::{Error as CheckpointError, TreeHead};
pub use merkle::Error as PathError;
pub use summary::{EntrySigner, Hashed, HashedWhat, Summary};

/// A signature that is said to be in a log. That it is valid is for the caller to verify.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The signature.
    pub signature: &'a [u8],
    /// The exact bytes that were signed: a simple-signing document, or the pre-authentication encoding of an envelope.
    pub message: &'a [u8],
    /// Who signed.
    pub signer: Signer<'a>,
    /// What is in the envelope, if the message is of one.
    pub envelope: Option<Enveloped<'a>>,
}

/// Who signed: a log has either the key or the certificate.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// A key.
    Key(&'a PublicKey),
    /// A certificate, DER.
    Certificate(&'a [u8]),
}

/// What was signed in a DSSE envelope.
#[derive(Clone, Copy, Debug)]
pub struct Enveloped<'a> {
    /// The decoded payload.
    pub payload: &'a [u8],
    /// The bytes of the layer in cosign's layout, which are those that were logged. They hold the claimed signature,
    /// which an `intoto` 0.0.1 entry does not. Nothing for a bundle: it has the envelope in a spelling of its own.
    pub stored: Option<&'a [u8]>,
}

/// What a log vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The id of the log's key, hexadecimal.
    pub log_id: String,
    /// Position in the log. With a promise it is that over all shards of the log, else that in the tree of the proof.
    pub log_index: u64,
    /// When the log took it in, seconds since 1970; nothing where no promise vouches for the time.
    pub integrated_time: Option<i64>,
    /// The kind of the entry, `hashedrekord`.
    pub kind: String,
    /// The version of the kind, `0.0.1`.
    pub version: String,
    /// Whether a proof of inclusion was given, and holds.
    pub has_proof: bool,
    /// Whether a promise was given, and holds.
    pub has_promise: bool,
    /// The host of the log, as the trusted root has it.
    pub host: String,
    uses: Vec<Validity>,
}

impl Logged {
    /// Whether the log's key was in use at this time. The time of a promise has been held against it already; a proof has
    /// none, so whoever knows the time of the signature from elsewhere asks here.
    #[must_use]
    pub fn log_was_in_use_at(&self, time: i64) -> bool {
        self.uses.iter().any(|valid| valid.covers(time))
    }
}

/// Why an entry of a known log proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than any body has.
    #[error("the body of the log entry has {0} bytes, at most {LARGEST} are read")]
    TooLarge(usize),
    /// Not JSON, or JSON that can be read in two ways.
    #[error("the body of the log entry is not one unambiguous JSON document")]
    Body(#[source] serde_json::Error),
    /// Something else stands where this belongs.
    #[error("the body of the log entry has no {wanted} at {place}")]
    Member {
        /// A JSON pointer.
        place: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// More items than anybody needs.
    #[error("the body of the log entry has {found} items at {place}, at most {most} are read")]
    TooMany {
        /// A JSON pointer.
        place: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A kind of entry that is not understood.
    #[error(
        "log entries of the kind {kind:?} {version:?} are not supported; supported are hashedrekord 0.0.1 and 0.0.2, \
         dsse 0.0.1, intoto 0.0.1 and 0.0.2"
    )]
    UnknownKind {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// The body is of another kind than what is said beside it.
    #[error("the log entry is said to be {beside:?}, its body is {found:?}")]
    OtherKind {
        /// The body's.
        found: String,
        /// What is said.
        beside: String,
    },
    /// A kind in which such signatures are not logged.
    #[error("a log entry of the kind {kind} {version} cannot be that of {of}")]
    WrongKind {
        /// Its kind.
        kind: &'static str,
        /// Its version.
        version: &'static str,
        /// What was signed.
        of: &'static str,
    },
    /// A hash that is not supported.
    #[error(
        "unsupported hash algorithm {found:?} in the log entry, supported are sha256, sha384 and sha512"
    )]
    Hash {
        /// Its name.
        found: String,
    },
    /// The key or certificate in the entry is not PEM.
    #[error("the signer in the log entry cannot be read")]
    SignerPem(#[source] pem::Error),
    /// The entry names a kind of key that is not the signer's.
    #[error("the log entry has the key details {found:?}, which are not those of the signer's key")]
    KeyDetails {
        /// The name.
        found: String,
    },
    /// It is of another signature.
    #[error("the log entry is of another signature")]
    OtherSignature,
    /// It is by another key or certificate.
    #[error("the log entry is by another key or certificate")]
    OtherSigner,
    /// It is over something else.
    #[error("the log entry is over another content than what was signed")]
    OtherMessage,
    /// It is of another payload.
    #[error("the log entry is of another payload than that of the envelope")]
    OtherPayload,
    /// It is of another envelope.
    #[error("the log entry is of another envelope than the stored one")]
    OtherEnvelope,
    /// All values are right, and the bytes are others.
    #[error("the body of the log entry is not the canonical one of this signature")]
    NotCanonical,
    /// Nothing vouches for it.
    #[error("the log entry has neither a promise nor a proof of inclusion")]
    NoEvidence,
    /// A promise is about a time, too.
    #[error("the log entry has a promise but no integrated time")]
    NoTime,
    /// The key of the log was not in use.
    #[error("the log's key was not in use at the integrated time {0} of the log entry")]
    OutOfUse(i64),
    /// The promise is not the log's, or is of another entry, index or time.
    #[error("the log's promise is not valid for this entry, index and time")]
    Promise,
    /// The position beside the entry is not that of the proof.
    #[error("the log entry is said to have the index {beside}, the inclusion proof is of {found}")]
    OtherIndex {
        /// What is said.
        beside: u64,
        /// The proof's.
        found: u64,
    },
    /// The checkpoint proves nothing.
    #[error("cannot believe the checkpoint of the inclusion proof")]
    Checkpoint(#[from] CheckpointError),
    /// The tree of the proof is not that of the checkpoint.
    #[error("the inclusion proof is of a tree of {found} entries, its checkpoint is of {wanted}")]
    OtherSize {
        /// The proof's size.
        found: u64,
        /// The checkpoint's.
        wanted: u64,
    },
    /// The root of the proof is not that of the checkpoint.
    #[error("the inclusion proof has another root hash than its checkpoint")]
    OtherRoot,
    /// The path is not one of this tree.
    #[error("the inclusion proof cannot be followed")]
    Path(#[from] PathError),
    /// The path ends elsewhere.
    #[error("the inclusion proof does not lead from this entry to the root hash")]
    Proof,
}

/// Verifies that a log of `trust` has `entry`, and that it is the entry of `claim`.
///
/// Nothing, if the log is not in the trusted root: other readers may trust it, so this is for the caller to skip.
///
/// # Errors
/// An entry of a known log that is of something else, or for which the log does not vouch.
pub fn verify(trust: &Trust, entry: &LogEntry, claim: &Claim<'_>) -> Result<Option<Logged>, Error> {
    let logs = named(trust, entry);
    if logs.is_empty() {
        return Ok(None);
    }
    let body = Body::read(&entry.body, entry.kind_version.as_ref())?;
    body.is_of(claim)?;
    vouch(&logs, entry, body.kind.names(), body.kind.is_of_rekor_v2())
}

/// Verifies that a log of `trust` has `entry`, whatever it is of; kinds that [`verify`] does not understand may be in it.
///
/// Nothing, if the log is not in the trusted root.
///
/// # Errors
/// An entry of a known log for which the log does not vouch, or whose body is not what is said beside it.
pub fn verify_entry(trust: &Trust, entry: &LogEntry) -> Result<Option<Logged>, Error> {
    let logs = named(trust, entry);
    if logs.is_empty() {
        return Ok(None);
    }
    let summary = Summary::of(&entry.body)?;
    let names = (summary.kind.as_str(), summary.version.as_str());
    if let Some((kind, version)) = &entry.kind_version
        && names != (kind, version)
    {
        return Err(Error::OtherKind {
            found: format!("{} {}", names.0, names.1),
            beside: shortened(&format!("{kind} {version}")),
        });
    }
    vouch(&logs, entry, names, summary.is_of_rekor_v2())
}

/// The id of the log in `trust` that signed a checkpoint; nothing where no trusted log did.
///
/// # Errors
/// A text that is no checkpoint, or has a signature that says to be by a trusted log and is not valid.
pub fn signer_of_checkpoint(
    trust: &Trust,
    checkpoint: &str,
) -> Result<Option<Vec<u8>>, CheckpointError> {
    let checkpoint = Checkpoint::parse(checkpoint)?;
    for log in &trust.logs {
        match checkpoint.signed_by(&log.key) {
            Ok(()) => return Ok(Some(log.key_id.clone())),
            Err(CheckpointError::Unsigned { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What a checkpoint says of its tree. Nothing of it is verified.
///
/// # Errors
/// A text that is no checkpoint.
pub fn tree_head(checkpoint: &str) -> Result<TreeHead, CheckpointError> {
    Checkpoint::parse(checkpoint).map(|checkpoint| checkpoint.tree_head())
}

/// The hash of the leaf that an entry with this body is (RFC 6962, 2.1), which is what Rekor v1 names it by.
#[must_use]
pub fn leaf_hash(body: &[u8]) -> [u8; 32] {
    merkle::leaf(body)
}

/// Whatever the trusted root has of the log that an entry says to be in.
fn named<'t>(trust: &'t Trust, entry: &LogEntry) -> Vec<&'t Log> {
    let is_named = |log: &&Log| log.key_id == entry.log_id;
    trust.logs.iter().filter(is_named).collect()
}

/// What the log, which is one of `logs` at least, vouches for. An entry of Rekor v2 is to be in a tree of the host that the root has.
fn vouch(
    logs: &[&Log],
    entry: &LogEntry,
    (kind, version): (&str, &str),
    is_of_rekor_v2: bool,
) -> Result<Option<Logged>, Error> {
    let Some(log) = logs.first() else {
        return Ok(None);
    };
    let integrated_time = match &entry.promise {
        Some(promise) => Some(verify_promise(logs, &log.key, entry, promise)?),
        None => None,
    };
    if let Some(proof) = &entry.inclusion {
        let mut hosts = Vec::new();
        if is_of_rekor_v2 {
            hosts.extend(logs.iter().map(|log| log.host.as_str()));
            if entry.log_index != proof.log_index {
                return Err(Error::OtherIndex {
                    beside: entry.log_index,
                    found: proof.log_index,
                });
            }
        }
        verify_inclusion(&log.key, &hosts, &entry.body, proof)?;
    }
    let log_index = match (&entry.promise, &entry.inclusion) {
        (Some(_), _) => entry.log_index,
        (None, Some(proof)) => proof.log_index,
        (None, None) => return Err(Error::NoEvidence),
    };
    Ok(Some(Logged {
        log_id: hex(&entry.log_id),
        log_index,
        integrated_time,
        kind: kind.to_owned(),
        version: version.to_owned(),
        has_proof: entry.inclusion.is_some(),
        has_promise: entry.promise.is_some(),
        host: log.host.clone(),
        uses: logs.iter().map(|log| log.valid).collect(),
    }))
}

/// The time that the log vouches for with its promise.
fn verify_promise(
    logs: &[&Log],
    key: &PublicKey,
    entry: &LogEntry,
    promise: &[u8],
) -> Result<i64, Error> {
    let time = entry.integrated_time.ok_or(Error::NoTime)?;
    // RFC 8785: the members in the order of their names. Beyond 2^53 it would write numbers as doubles, which no log
    // reaches; such an index is one that the log did not sign.
    let message = format!(
        "{{\"body\":\"{}\",\"integratedTime\":{time},\"logID\":\"{}\",\"logIndex\":{}}}",
        STANDARD.encode(&entry.body),
        hex(&entry.log_id),
        entry.log_index,
    );
    key.verify(HashAlgorithm::Sha256, message.as_bytes(), promise)
        .map_err(|_| Error::Promise)?;
    if !logs.iter().any(|log| log.valid.covers(time)) {
        return Err(Error::OutOfUse(time));
    }
    Ok(time)
}

/// Whether `body` is in a tree that the log signed; as one of `hosts`, unless there is none.
fn verify_inclusion(
    key: &PublicKey,
    hosts: &[&str],
    body: &[u8],
    proof: &InclusionProof,
) -> Result<(), Error> {
    let checkpoint = Checkpoint::parse(&proof.checkpoint)?;
    checkpoint.signed_by(key)?;
    if !hosts.is_empty() {
        checkpoint.of_any(hosts)?;
    }
    if proof.tree_size != checkpoint.size {
        return Err(Error::OtherSize {
            found: proof.tree_size,
            wanted: checkpoint.size,
        });
    }
    if proof.root_hash != checkpoint.root {
        return Err(Error::OtherRoot);
    }
    let leaf = merkle::leaf(body);
    let root = merkle::root(leaf, proof.log_index, checkpoint.size, &proof.hashes)?;
    if root == checkpoint.root {
        Ok(())
    } else {
        Err(Error::Proof)
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod tests;
