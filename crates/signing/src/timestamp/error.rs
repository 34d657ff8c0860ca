//! Why a timestamp is not believed.

use super::LARGEST;
use crate::certificate::Damage;
use crate::public_key::{self, KeyAlgorithm, VerifyError};

/// Why a timestamp cannot be read, or is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// More bytes than any response has.
    #[error("a timestamp of {0} bytes is too large, at most {LARGEST} are read")]
    TooLarge(usize),
    /// Some part is not what the specification wants.
    #[error("the timestamp is damaged: no valid {0}")]
    Malformed(&'static str),
    /// The authority said no.
    #[error("the timestamp was not granted: status {status}")]
    NotGranted {
        /// PKIStatus, RFC 3161 section 2.4.2.
        status: u8,
    },
    /// The authority said yes and gave nothing.
    #[error("the timestamp response has no token")]
    NoToken,
    /// Another kind of message, or of content.
    #[error("the timestamp has the content type {found}, wanted {wanted}")]
    ContentType {
        /// The object identifier found.
        found: String,
        /// The object identifier that belongs there.
        wanted: &'static str,
    },
    /// A version that is not defined.
    #[error("the timestamp has {0} of an unknown version")]
    Version(&'static str),
    /// None or several.
    #[error("the timestamp has {0} signers, wanted one")]
    Signers(usize),
    /// More certificates than anybody needs.
    #[error("the timestamp has too many certificates")]
    TooManyCertificates,
    /// A hash that is not known, or not safe.
    #[error(
        "the timestamp uses the hash algorithm {0}; supported are SHA-256, SHA-384 and SHA-512"
    )]
    HashAlgorithm(String),
    /// A kind of signature that is not known.
    #[error("the timestamp is signed with the algorithm {0}, which is not supported")]
    SignatureAlgorithm(String),
    /// The signature is said to be over another hash than the one that was taken.
    #[error("the timestamp is signed over another hash than the one it names")]
    OtherHash,
    /// The signature is of another kind than the key.
    #[error("the timestamp has a signature that an {0} key cannot make")]
    OtherKeyAlgorithm(KeyAlgorithm),
    /// Something that must be understood and is not.
    #[error("the timestamp has the critical extension {0}, which is not known")]
    CriticalExtension(String),

    /// A certificate of the timestamp cannot be used.
    #[error("cannot use the certificate of the timestamp")]
    SignerCertificate(#[source] Damage),
    /// Its key is not of a supported kind.
    #[error("cannot use the public key of the timestamp's certificate")]
    SignerKey(#[source] public_key::Error),
    /// The certificate names an authority that did not sign it.
    #[error(
        "the certificate of the timestamp was changed or forged: it names the authority {0} as its issuer, whose signature it does not have"
    )]
    Forged(String),
    /// The certificate is for something else, or for more.
    #[error("the certificate of the timestamp is not for time stamping alone")]
    NotForTimestamping,
    /// The certificate says it in a way that others need not understand.
    #[error("the certificate of the timestamp does not mark its purpose as critical")]
    PurposeNotCritical,
    /// The authority was not in use, as the trusted root says.
    #[error(
        "the timestamp authority {authority} was not in use at {time}, the time of the timestamp"
    )]
    AuthorityNotValid {
        /// Which authority.
        authority: String,
        /// The time in the timestamp.
        time: String,
    },
    /// A certificate was not valid at that time.
    #[error(
        "a certificate of the timestamp authority {authority} was not valid at {time}, the time of the timestamp"
    )]
    CertificateNotValid {
        /// Which authority.
        authority: String,
        /// The time in the timestamp.
        time: String,
    },
    /// The authority's own certificate cannot be read.
    #[error("the trusted root has a damaged certificate of the timestamp authority {authority}")]
    AuthorityDamaged {
        /// Which authority.
        authority: String,
        /// What is wrong with it.
        source: Damage,
    },
    /// A rule of X.509 does not hold between the certificate and the authority.
    #[error("no valid chain of certificates up to the timestamp authority {authority}")]
    Chain {
        /// Which authority.
        authority: String,
        /// What does not hold.
        source: webpki::Error,
    },

    /// The timestamp is of something else.
    #[error("the timestamp is of other bytes: their hash is not its message imprint")]
    Imprint,
    /// An attribute that must be signed is not there.
    #[error("the timestamp has no signed attribute {0}")]
    NoAttribute(&'static str),
    /// An attribute that stands twice, or has several values.
    #[error("the timestamp has the signed attribute {0} more than once")]
    DuplicateAttribute(String),
    /// More attributes than anybody needs.
    #[error("the timestamp has too many signed attributes")]
    TooManyAttributes,
    /// What was signed is said to be something else.
    #[error("the signed content type of the timestamp is {0}, wanted TSTInfo")]
    SignedContentType(String),
    /// The content was changed.
    #[error("the timestamp was changed: the hash of its content is not the signed one")]
    MessageDigest,
    /// The signature is by another certificate.
    #[error(
        "the timestamp was signed with another certificate than the one that its signature names"
    )]
    SigningCertificate,
    /// The signature does not hold.
    #[error("the signature of the timestamp is not valid")]
    Signature(#[source] VerifyError),
}
