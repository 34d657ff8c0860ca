//! Who issued a certificate.

use tekseal_core::trusted_root::{Authority, Validity};

use super::path::{self, Broken, MOST_UNTRUSTED, Path, Purpose};
use super::x509::{Usage, X509, oid};
use super::{Certificate, Error};
use crate::der::time;
use crate::trust::Trust;

/// The proof that an authority of the trusted root issued a certificate.
#[derive(Clone, Debug)]
pub struct Chain {
    authority: String,
    issuer: Vec<u8>,
    /// When the authority was in use and all certificates above the last one were valid.
    valid: Validity,
}

impl Chain {
    /// The address of the authority, or the digest of its root certificate where it has none.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The certificate that issued the one in question, DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// Whether the authority was in use, and its certificates were valid, at this time.
    ///
    /// # Errors
    /// If not.
    pub fn verify_time(&self, observed: i64) -> Result<(), Error> {
        if self.valid.covers(observed) {
            return Ok(());
        }
        Err(Error::IssuerNotValid {
            authority: self.authority.clone(),
            time: time::text(observed),
        })
    }
}

impl Certificate {
    /// Verifies that an authority of the trusted root issued this certificate for code signing.
    ///
    /// The time that counts is the first second of the certificate, as for cosign: a signing certificate lives for minutes, and
    /// when the signature was made is for logs and timestamps to say. `chain` may have certificates between this one and the
    /// root; they are not trusted.
    ///
    /// # Errors
    /// If no authority did; says why not where a certificate names one.
    pub fn verify_chain(&self, chain: &[Vec<u8>], trust: &Trust) -> Result<Chain, Error> {
        let own = X509::parse(&self.der)?;
        let purposes = own.purposes()?.unwrap_or_default();
        if !purposes.contains(&oid::CODE_SIGNING) {
            return Err(Error::NotForCodeSigning);
        }
        if !own.allows(Usage::Signatures)? {
            return Err(Error::NotForSignatures);
        }
        let mut refused = Error::NotIssued;
        for authority in &trust.certificate_authorities {
            let untrusted = untrusted(chain, authority)?;
            let found = path::find(
                &self.der,
                &untrusted,
                authority,
                self.not_before,
                Purpose::CodeSigning,
            );
            match found {
                Ok(path) if authority.valid.covers(self.not_before) => {
                    return Ok(chain_of(authority, path));
                }
                Ok(_) => {
                    refused = Error::AuthorityNotValid {
                        authority: path::name_of(authority),
                        time: time::text(self.not_before),
                    };
                }
                Err(broken) => {
                    let error = self.error_of(broken, authority);
                    if rank(&error) > rank(&refused) {
                        refused = error;
                    }
                }
            }
        }
        Err(refused)
    }

    /// Whether the certificate is valid at the time at which a signature was seen.
    ///
    /// # Errors
    /// If not, in cosign's words.
    pub fn verify_time(&self, observed: i64) -> Result<(), Error> {
        if observed < self.not_before {
            return Err(Error::NotYetValid {
                observed: time::text(observed),
                not_before: time::text(self.not_before),
            });
        }
        if observed > self.not_after {
            return Err(Error::Expired {
                observed: time::text(observed),
                not_after: time::text(self.not_after),
            });
        }
        Ok(())
    }

    fn error_of(&self, broken: Broken, authority: &Authority) -> Error {
        let authority = path::name_of(authority);
        match broken {
            Broken::NotIssued => Error::NotIssued,
            Broken::Signature => Error::Signature(authority),
            Broken::Purpose => Error::IssuerNotForCodeSigning(authority),
            Broken::Time => Error::IssuerNotValid {
                authority,
                time: time::text(self.not_before),
            },
            Broken::Authority(source) => Error::AuthorityDamaged { authority, source },
            Broken::Other(source) => Error::Chain { authority, source },
        }
    }
}

/// Which of two reasons says more: a damaged authority may not be the one that was named, a forged signature may be by another one of the same name.
fn rank(error: &Error) -> u8 {
    match error {
        Error::NotIssued => 0,
        Error::AuthorityDamaged { .. } => 1,
        Error::Signature(_) => 2,
        Error::AuthorityNotValid { .. } => 4,
        _ => 3,
    }
}

/// The certificates that came along and are not the authority's own.
fn untrusted<'c>(chain: &'c [Vec<u8>], authority: &Authority) -> Result<Vec<&'c [u8]>, Error> {
    let added: Vec<&[u8]> = chain
        .iter()
        .filter(|der| !authority.chain.contains(der))
        .map(Vec::as_slice)
        .collect();
    if added.len() > MOST_UNTRUSTED {
        return Err(Error::TooManyIntermediates(added.len()));
    }
    Ok(added)
}

fn chain_of(authority: &Authority, path: Path) -> Chain {
    let ends = [authority.valid.end, path.valid.end];
    Chain {
        authority: path::name_of(authority),
        issuer: path.issuer,
        valid: Validity {
            start: authority.valid.start.max(path.valid.start),
            end: ends.into_iter().flatten().min(),
        },
    }
}
