//! Sigstore bundles: a signature and its evidence in one JSON document.
//!
//! Specification: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto>. Written is version 0.3; read are the versions 0.1 to 0.3, by the rules of
//! sigstore-go, which cosign verifies with, and stricter in one thing: each log entry must have the proof (or promise) that the version asks for, and not
//! just one of them. More lenient in another: members of unknown names are passed over, where sigstore-go refuses the bundle.

mod read;
mod write;

pub(crate) use read::chain_of;
pub use write::{NoKind, envelope_bytes, key_hint, write_of_key};

use std::collections::BTreeMap;

use crate::dsse::Envelope;
use crate::evidence::{EntryError, Evidence};
use crate::excerpt::Excerpt;
use crate::protojson;

/// Media type of the bundles that are written today, and of their layers.
pub const MEDIA_TYPE_V03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the media types of all bundles begin with.
const MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";

/// Annotation of a manifest with a bundle: what the bundle holds. As all annotations a hint, never trusted.
pub const CONTENT_ANNOTATION: &str = "dev.sigstore.bundle.content";
/// What [`CONTENT_ANNOTATION`] says of a bundle with an envelope.
pub const ENVELOPE_CONTENT: &str = "dsse-envelope";
/// Annotation of a manifest with a bundle: the predicate type of the Statement in it.
pub const PREDICATE_TYPE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";

/// The most log entries of a bundle, as many as sigstore-go reads.
pub const MOST_ENTRIES: usize = 32;
/// The most timestamps of a bundle, as many as sigstore-go reads.
pub const MOST_TIMESTAMPS: usize = 32;

/// Whether a layer or an artifact of this media type is a bundle, of whatever version.
#[must_use]
pub fn is_media_type(media_type: &str) -> bool {
    media_type.starts_with(MEDIA_TYPE_PREFIX)
}

/// The annotations of a manifest with a bundle around a Statement of this predicate type.
///
/// cosign also writes `org.opencontainers.image.created`. It would make another manifest of the same bundle each time it is stored, and nothing
/// reads it: without it the same bundle is the same manifest, and is there once.
#[must_use]
pub fn annotations(predicate_type: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CONTENT_ANNOTATION.to_owned(), ENVELOPE_CONTENT.to_owned()),
        (
            PREDICATE_TYPE_ANNOTATION.to_owned(),
            predicate_type.to_owned(),
        ),
    ])
}

/// A bundle. Nothing of it is verified.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// What was signed, with the signature.
    pub content: Content,
    /// Who signed, and when.
    pub evidence: Evidence,
    /// Names the key where there is no certificate; a hint, never trusted.
    pub key_hint: Option<String>,
}

/// What a bundle holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A DSSE envelope.
    Envelope(Envelope),
    /// A signature over something that is not in the bundle.
    Message {
        /// The algorithm of the digest as protobuf names it, `SHA2_256`.
        algorithm: String,
        /// The digest of what was signed.
        digest: Vec<u8>,
        /// The signature.
        signature: Vec<u8>,
    },
}

/// Why a bundle is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member is absent or malformed.
    #[error(transparent)]
    Member(#[from] protojson::Error),
    /// A log entry is malformed.
    #[error(transparent)]
    Entry(EntryError),
    /// Something else than a bundle.
    #[error("the media type {0} is not that of a Sigstore bundle")]
    MediaType(Excerpt),
    /// A bundle of a version that is not known.
    #[error("bundles of media type {0} are not supported, but versions 0.1, 0.2 and 0.3")]
    Version(Excerpt),
    /// Nothing says who signed.
    #[error("verificationMaterial has no certificate, x509CertificateChain or publicKey")]
    NoSigner,
    /// Two things say who signed.
    #[error("verificationMaterial has both {0} and {1}")]
    TwoSigners(&'static str, &'static str),
    /// A chain of certificates where there must be one.
    #[error("verificationMaterial has an x509CertificateChain, which version 0.3 does not allow")]
    ChainInV03,
    /// Nothing that was signed.
    #[error("the bundle has no dsseEnvelope or messageSignature")]
    NoContent,
    /// Two things that were signed.
    #[error("the bundle has both dsseEnvelope and messageSignature")]
    TwoContents,
    /// The envelope has no signature, or more than one.
    #[error("the envelope has {0} signatures and not one")]
    Signatures(usize),
    /// An entry without the proof that versions 0.2 and 0.3 ask for.
    #[error("{0} has no inclusionProof")]
    NoProof(String),
    /// An entry without the promise that version 0.1 asks for.
    #[error("{0} has no inclusionPromise, which version 0.1 asks for")]
    NoPromise(String),
    /// The same entry of the same log twice.
    #[error("{0} is the same entry of the same log as one before")]
    SameEntry(String),
    /// A digest algorithm that is not known.
    #[error("messageSignature.messageDigest.algorithm is {0}, which is not known")]
    Algorithm(Excerpt),
}

impl From<EntryError> for Error {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::Member(error) => Self::Member(error),
            error => Self::Entry(error),
        }
    }
}

#[cfg(test)]
mod tests;
