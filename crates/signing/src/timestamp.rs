//! Timestamps: the word of an authority that some bytes existed at a time.
//!
//! ```text
//!  TimeStampResp ─ token ─▶ TSTInfo { imprint, time } ◀── messageDigest ─ signed attributes ◀── signature ─ certificate ◀── authority of the trusted root
//!  Request ─ the same bytes, and a number ──▶ the authority ──▶ TimeStampResp
//! ```
//!
//! Every arrow is a check. Specification: RFC 3161, <https://www.rfc-editor.org/rfc/rfc3161>, over RFC 5652 (CMS) and RFC 5816 (ESSCertIDv2); what
//! a certificate of an authority must say follows sigstore's timestamp-authority.

mod attributes;
mod error;
mod request;
mod token;

use tekseal_core::trusted_root::{Authority, Validity};

use crate::certificate::path::{self, Broken, Path, Purpose};
use crate::certificate::x509::{X509, oid};
use crate::der::time as moment;
use crate::public_key::{KeyAlgorithm, PublicKey};
use crate::trust::Trust;
use token::{Scheme, Token};

pub use error::Error;
pub use request::{AnswerError, Request};

/// Largest response that is read.
pub const LARGEST: usize = 64 * 1024;

/// A time that an authority of the trusted root vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since 1970; a fraction is left out.
    pub time: i64,
    /// The address of the authority, or the digest of its root certificate where it has none.
    pub authority: String,
    uses: Vec<Validity>,
}

impl Timestamp {
    /// Whether the authority was in use at this time, seconds since 1970. The time of the timestamp has been held against that already.
    #[must_use]
    pub fn authority_was_in_use_at(&self, time: i64) -> bool {
        self.uses.iter().any(|valid| valid.covers(time))
    }
}

/// Verifies a timestamp of `message`, a DER TimeStampResp.
///
/// Nothing if it is by an authority that is not in the trusted root: it says nothing then, and is no fault either. An authority whose own
/// certificate is the first one in the trusted root is that certificate; another one of the same root is another authority.
///
/// # Errors
/// If it is damaged, or by an authority of the trusted root and does not hold; says which part does not.
pub fn verify(trust: &Trust, response: &[u8], message: &[u8]) -> Result<Option<Timestamp>, Error> {
    if response.len() > LARGEST {
        return Err(Error::TooLarge(response.len()));
    }
    let token = Token::read(response)?;
    let Some(signer) = signer(trust, &token)? else {
        return Ok(None);
    };
    verify_purpose(&signer.certificate)?;
    token.verify_imprint(message)?;
    attributes::verify(&token, &signer.certificate)?;
    verify_signature(&token, &signer.certificate)?;
    Ok(Some(Timestamp {
        time: token.time,
        authority: path::name_of(signer.authority),
        uses: uses(trust, signer.authority),
    }))
}

/// When the authority is in use: it may stand in the trusted root several times.
fn uses(trust: &Trust, authority: &Authority) -> Vec<Validity> {
    let all = trust.timestamp_authorities.iter();
    let same = all.filter(|one| one.chain == authority.chain);
    same.map(|one| one.valid).collect()
}

/// Who signed, as far as the signature names it; that it did is not verified yet.
struct Signer<'a> {
    certificate: X509<'a>,
    authority: &'a Authority,
}

/// Finds the certificate that the signature names, and the authority that issued it.
///
/// The token brings the certificate, or leaves it to the trusted root.
fn signer<'a>(trust: &'a Trust, token: &Token<'a>) -> Result<Option<Signer<'a>>, Error> {
    let brought: Vec<X509<'a>> = named(token, token.certificates.iter().copied());
    let mut refused = None;
    for authority in &trust.timestamp_authorities {
        let own;
        let candidates = if brought.is_empty() {
            own = named(token, authority.chain.iter().map(Vec::as_slice));
            &own
        } else {
            &brought
        };
        for certificate in candidates {
            if pinned(authority).is_some_and(|leaf| leaf != certificate.der) {
                continue;
            }
            match issued(authority, certificate, token) {
                Ok(_) if authority.valid.covers(token.time) => {
                    let certificate =
                        X509::parse(certificate.der).map_err(Error::SignerCertificate)?;
                    return Ok(Some(Signer {
                        certificate,
                        authority,
                    }));
                }
                Ok(_) => {
                    refused = Some(Error::AuthorityNotValid {
                        authority: path::name_of(authority),
                        time: moment::text(token.time),
                    });
                }
                Err(Broken::NotIssued) => {}
                Err(broken) => {
                    refused.get_or_insert_with(|| error_of(broken, authority, token.time));
                }
            }
        }
    }
    refused.map_or(Ok(None), Err)
}

/// Those certificates that the signature names.
fn named<'a>(token: &Token<'a>, certificates: impl Iterator<Item = &'a [u8]>) -> Vec<X509<'a>> {
    certificates
        .filter_map(|der| X509::parse(der).ok())
        .filter(|certificate| token.signer_id.is_of(certificate))
        .collect()
}

/// The authority's own certificate, if the trusted root has it.
fn pinned(authority: &Authority) -> Option<&[u8]> {
    let [first, _, ..] = authority.chain.as_slice() else {
        return None;
    };
    let is_authority = X509::parse(first).and_then(|first| first.authority());
    matches!(is_authority, Ok(None)).then_some(first.as_slice())
}

fn issued(
    authority: &Authority,
    certificate: &X509<'_>,
    token: &Token<'_>,
) -> Result<Path, Broken> {
    let others: Vec<&[u8]> = token
        .certificates
        .iter()
        .copied()
        .filter(|der| *der != certificate.der)
        .filter(|der| authority.chain.iter().all(|own| own != der))
        .collect();
    path::find(
        certificate.der,
        &others,
        authority,
        token.time,
        Purpose::TimeStamping,
    )
}

fn error_of(broken: Broken, authority: &Authority, time: i64) -> Error {
    let authority = path::name_of(authority);
    match broken {
        // The caller has taken out what it did not issue.
        Broken::NotIssued | Broken::Signature => Error::Forged(authority),
        Broken::Purpose => Error::NotForTimestamping,
        Broken::Time => Error::CertificateNotValid {
            authority,
            time: moment::text(time),
        },
        Broken::Authority(source) => Error::AuthorityDamaged { authority, source },
        Broken::Other(source) => Error::Chain { authority, source },
    }
}

/// RFC 3161 section 2.3: the certificate has the one purpose, and says so critically.
fn verify_purpose(certificate: &X509<'_>) -> Result<(), Error> {
    let purposes = certificate.purposes().map_err(Error::SignerCertificate)?;
    if purposes.as_deref() != Some(&[oid::TIME_STAMPING]) {
        return Err(Error::NotForTimestamping);
    }
    let extension = certificate.extension(oid::EXTENDED_KEY_USAGE);
    if extension.is_some_and(|extension| extension.is_critical) {
        Ok(())
    } else {
        Err(Error::PurposeNotCritical)
    }
}

fn verify_signature(token: &Token<'_>, certificate: &X509<'_>) -> Result<(), Error> {
    let key = PublicKey::from_spki(certificate.spki).map_err(Error::SignerKey)?;
    let fits = match key.algorithm() {
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => Scheme::Ecdsa,
        KeyAlgorithm::Rsa(_) => Scheme::Rsa,
        KeyAlgorithm::Ed25519 => Scheme::Ed25519,
    };
    if token.scheme != fits {
        return Err(Error::OtherKeyAlgorithm(key.algorithm()));
    }
    let message = token.signed_message();
    key.verify(token.digest_algorithm, &message, token.signature)
        .map_err(Error::Signature)
}

#[cfg(test)]
mod tests;
