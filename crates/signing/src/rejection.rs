//! Why something signed was not accepted, in words for the one who has to find out.

use tekseal_core::{Digest, bundle, dsse, evidence, statement};

use crate::{certificate, identity, log, timestamp};

use crate::verifier::{LARGEST_LAYER, MOST_SIGNATURES, MOST_SUBJECTS};

/// The reason for which a signature or an attestation was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The layer is larger than any real one.
    #[error("the layer has {0} bytes, at most {LARGEST_LAYER} are read")]
    LayerTooLarge(usize),
    /// An image signature without the annotation that holds it.
    #[error("the layer has no annotation dev.cosignproject.cosign/signature")]
    NoSignatureAnnotation,
    /// The annotation is not base64.
    #[error("the annotation dev.cosignproject.cosign/signature is not base64")]
    SignatureNotBase64(#[source] base64::DecodeError),
    /// No signature is valid under any of the keys.
    #[error("no matching signatures: none of {signatures} signature(s) is valid under {}", tried.join(", "))]
    NoKeyMatches {
        /// How many signatures were tried.
        signatures: usize,
        /// Fingerprints of the keys.
        tried: Vec<String>,
    },
    /// More work than any real signature makes.
    #[error("{keys} keys with {signatures} signature(s) over {bytes} bytes are more than is tried")]
    TooMuchToTry {
        /// How many keys there are.
        keys: usize,
        /// How many signatures.
        signatures: usize,
        /// What each try hashes.
        bytes: usize,
    },
    /// Signed with a key that is not in use any more, and at some time.
    #[error("signed by {key}, which ended at {end}, and nothing proves when it was signed")]
    KeyEnded {
        /// Fingerprint and name of the key.
        key: String,
        /// When its use ended.
        end: String,
    },
    /// Signed with a key that is not in use yet.
    #[error("signed by {key}, which is in use from {start} on, and not yet")]
    KeyNotYet {
        /// Fingerprint and name of the key.
        key: String,
        /// When its use begins.
        start: String,
    },
    /// Proven to be signed before or after the key was in use.
    #[error("signed by {key}, and proven to be made at {time}, when that key was not in use")]
    KeyNotInUse {
        /// Fingerprint and name of the key.
        key: String,
        /// When it was signed, at the latest.
        time: String,
    },
    /// What was signed is no simple-signing document.
    #[error("the signed payload is not a simple-signing document")]
    NotSimpleSigning(#[source] serde_json::Error),
    /// The signature is of another image.
    #[error("invalid or missing digest in claim: the signature is of {found:?}, wanted {wanted}")]
    OtherImage {
        /// The digest in the payload.
        found: String,
        /// The digest of the image.
        wanted: Digest,
    },
    /// A required annotation is missing or different.
    #[error("missing or incorrect annotation: {name:?} is {found}, wanted {wanted:?}")]
    Annotation {
        /// Its name.
        name: String,
        /// Its required value.
        wanted: String,
        /// The JSON value found, or `nothing`.
        found: String,
    },
    /// The layer is no DSSE envelope.
    #[error("the layer is not a DSSE envelope")]
    NotAnEnvelope(#[source] dsse::Error),
    /// The envelope holds something else than a Statement.
    #[error("invalid payloadType {0:?} on envelope, expected application/vnd.in-toto+json")]
    PayloadType(String),
    /// More signatures than anybody needs.
    #[error("the envelope has {0} signatures, at most {MOST_SIGNATURES} are read")]
    TooManySignatures(usize),
    /// What was signed is no Statement.
    #[error("the signed payload is not an in-toto Statement")]
    NotAStatement(#[source] statement::Error),
    /// More subjects than anybody needs.
    #[error("the statement has {0} subjects, at most {MOST_SUBJECTS} are read")]
    TooManySubjects(usize),
    /// No subject is the image.
    #[error("no matching subject digest found: the statement speaks of [{}], wanted {wanted}", found.join(", "))]
    OtherSubjects {
        /// The first digests found.
        found: Vec<String>,
        /// The digest of the image.
        wanted: Digest,
    },
    /// A good attestation of another type.
    #[error("the predicate type is {found:?}, wanted {}", wanted.join(" or "))]
    PredicateType {
        /// The type found.
        found: String,
        /// The accepted types.
        wanted: Vec<String>,
    },
    /// The layer is no bundle that can be read.
    #[error("not a Sigstore bundle that can be used")]
    NotABundle(#[source] bundle::Error),
    /// A bundle for a file, not for an image.
    #[error("the bundle holds no envelope: it signs a file, not an image")]
    NoEnvelope,
    /// An attestation where a signature is wanted.
    #[error("the bundle attests {0:?}, which is no image signature")]
    NotASignature(String),
    /// A signature where an attestation is wanted.
    #[error("the bundle is an image signature, which attests nothing")]
    NotAnAttestation,
    /// Certificate, log entry or timestamp cannot be read.
    #[error("what came with the signature cannot be read")]
    Evidence(#[source] evidence::Error),
    /// Signed without a certificate.
    #[error("no certificate found on signature")]
    NoCertificate,
    /// The certificate is not good.
    #[error("the certificate is not accepted")]
    Certificate(#[source] certificate::Error),
    /// The certificate is another one's.
    #[error("the certificate is of somebody else")]
    Identity(#[source] identity::Error),
    /// A log's entry is not of this signature, or not of the log.
    #[error("the entry of the transparency log does not hold")]
    Log(#[source] log::Error),
    /// No log that is trusted knows the signature.
    #[error("signature not found in transparency log: no entry of a trusted log came with it{}", of_others(*foreign))]
    NotLogged {
        /// How many entries are of other logs.
        foreign: usize,
    },
    /// The log was not in use any more, or not yet, when the signature was stamped.
    #[error(
        "the transparency log {host} was not in use when the signature was stamped, {time} s after 1970"
    )]
    RetiredLog {
        /// The log's host.
        host: String,
        /// Seconds since 1970.
        time: i64,
    },
    /// A timestamp is not of this signature, or not of the authority.
    #[error("the timestamp does not hold")]
    Timestamp(#[source] timestamp::Error),
    /// No authority that is trusted has stamped the signature.
    #[error("no timestamp of a trusted authority came with the signature{}", of_others(*foreign))]
    NotStamped {
        /// How many timestamps are of others.
        foreign: usize,
    },
}

fn of_others(foreign: usize) -> String {
    match foreign {
        0 => String::new(),
        _ => format!(" ({foreign} of others)"),
    }
}

/// Foreign text for an error: not longer than a line or two, and without control characters.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 160;
    let mut short: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_cut_and_cannot_move_the_cursor() {
        assert_eq!(shortened("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(shortened(&"é".repeat(160)), "é".repeat(160));
        assert_eq!(shortened(&"é".repeat(161)).chars().count(), 161);
    }
}
