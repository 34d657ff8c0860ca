//! Why a certificate is not believed.

use super::path::MOST_UNTRUSTED;
use super::x509::Damage;
use crate::{pem, public_key};

/// Why a certificate cannot be read, or is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not PEM.
    #[error("cannot read a certificate")]
    Pem(#[from] pem::Error),
    /// Some other PEM block.
    #[error("this is a {0:?}; wanted a CERTIFICATE")]
    Label(String),
    /// The bytes are no certificate that can be used.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// Its key is not of a supported kind.
    #[error("cannot use the public key of the certificate")]
    Key(#[source] public_key::Error),
    /// A name that is damaged, too long, empty, or has control characters.
    #[error("the certificate has a subject alternative name that is not well-formed")]
    Name,
    /// More names than anybody needs.
    #[error("the certificate has too many subject alternative names")]
    TooManyNames,
    /// The value of an extension of Fulcio is no text.
    #[error("the extension {0} of the certificate is not a text")]
    Claim(&'static str),
    /// The old and the new extension name different issuers.
    #[error(
        "the certificate names two OIDC issuers, {raw:?} (1.3.6.1.4.1.57264.1.1) and {encoded:?} (1.3.6.1.4.1.57264.1.8)"
    )]
    IssuersDiffer {
        /// Of 1.3.6.1.4.1.57264.1.1.
        raw: String,
        /// Of 1.3.6.1.4.1.57264.1.8.
        encoded: String,
    },

    /// The certificate is for something else.
    #[error("the certificate is not for code signing")]
    NotForCodeSigning,
    /// An authority above it is for something else.
    #[error("an issuer of the certificate may not issue for code signing, under the authority {0}")]
    IssuerNotForCodeSigning(String),
    /// Its key is not for signatures.
    #[error("the key of the certificate is not for signatures: keyUsage has no digitalSignature")]
    NotForSignatures,
    /// No trusted authority issued it.
    #[error("the certificate was not issued by any trusted authority")]
    NotIssued,
    /// It names an authority that did not sign it.
    #[error(
        "the certificate was changed or forged: it names the authority {0} as its issuer, whose signature it does not have"
    )]
    Signature(String),
    /// The authority was not in use, as the trusted root says.
    #[error("the authority {authority} was not in use at {time}, when the certificate was issued")]
    AuthorityNotValid {
        /// Which authority.
        authority: String,
        /// When the certificate became valid.
        time: String,
    },
    /// The certificate of an authority was not valid.
    #[error("a certificate of the authority {authority} was not valid at {time}")]
    IssuerNotValid {
        /// Which authority.
        authority: String,
        /// The time asked about.
        time: String,
    },
    /// The authority's own certificate cannot be read.
    #[error("the trusted root has a damaged certificate of the authority {authority}")]
    AuthorityDamaged {
        /// Which authority.
        authority: String,
        /// What is wrong with it.
        source: Damage,
    },
    /// A rule of X.509 does not hold between the certificate and the authority.
    #[error("no valid chain of certificates up to the authority {authority}")]
    Chain {
        /// Which authority.
        authority: String,
        /// What does not hold.
        source: webpki::Error,
    },
    /// More intermediate certificates than anybody needs.
    #[error("{0} certificates came with the certificate, at most {MOST_UNTRUSTED} are read")]
    TooManyIntermediates(usize),

    /// A signature was made before the certificate was valid.
    #[error(
        "certificate is not yet valid at the observed time {observed}: valid from {not_before}"
    )]
    NotYetValid {
        /// When the signature was seen.
        observed: String,
        /// When the certificate became valid.
        not_before: String,
    },
    /// A signature was made after the certificate ended.
    #[error("certificate expired before observed time: {not_after} is before {observed}")]
    Expired {
        /// When the signature was seen.
        observed: String,
        /// When the certificate ended.
        not_after: String,
    },

    /// No log of certificates promised to include it.
    #[error("the certificate does not include the required embedded SCT")]
    NoSct,
    /// The list of promises is damaged.
    #[error("the embedded SCTs of the certificate are damaged")]
    SctsMalformed,
    /// More promises than anybody needs.
    #[error("the certificate has too many embedded SCTs")]
    TooManyScts,
    /// Promises of other logs only.
    #[error("the embedded SCTs are of logs that are not trusted: {}", .0.join(", "))]
    SctLogUnknown(Vec<String>),
    /// The log was not in use, as the trusted root says.
    #[error("the log {log} of an embedded SCT was not in use at {time}")]
    SctLogNotValid {
        /// Id of the log, in hexadecimal.
        log: String,
        /// The time in the promise.
        time: String,
    },
    /// A promise in a form that is not defined.
    #[error("an embedded SCT of the log {0} has an unknown version or signature algorithm")]
    SctUnsupported(String),
    /// The log did not sign this.
    #[error(
        "the embedded SCT of the log {0} is not valid: not the log's signature over this certificate"
    )]
    SctSignature(String),
}
