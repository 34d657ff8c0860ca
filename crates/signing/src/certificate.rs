//! Signing certificates: who may have signed, and on whose word.
//!
//! ```text
//!  DER, PEM ─ Certificate::from_der ─▶ Certificate ─ verify_chain(trust) ─▶ Chain ─ verify_sct(chain.issuer(), trust)
//!                                          │  └ verify_time(when the signature was seen)
//!                                          └ IdentityRule::check ─▶ the identity that signed
//! ```
//!
//! A certificate that was read says who it was issued to, and nothing of that is true before [`Certificate::verify_chain`].
//! Certificates are those of Fulcio: X.509 version 3 (RFC 5280) with the extensions of
//! <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>.

mod chain;
mod error;
pub mod issued;
mod names;
pub(crate) mod path;
mod sct;
pub(crate) mod x509;

use std::collections::BTreeMap;

use crate::pem;
use crate::public_key::PublicKey;
use x509::{X509, oid};

pub use chain::Chain;
pub use error::Error;
pub use x509::{Damage, LARGEST};

/// A certificate that was read; nothing of it verified.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    key: PublicKey,
    not_before: i64,
    not_after: i64,
    identities: Vec<String>,
    oidc_issuer: Option<String>,
    claims: BTreeMap<&'static str, String>,
    /// Value of the extension with the list of promises.
    scts: Option<Vec<u8>>,
}

/// Names in the subject of a certificate; empty where it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectNames {
    /// The first organization.
    pub organization: String,
    /// The first common name.
    pub common_name: String,
}

impl SubjectNames {
    /// Those of a DER certificate, an authority's for instance; nothing of it is verified.
    ///
    /// # Errors
    /// If it is none, or a name is not text.
    pub fn of(der: &[u8]) -> Result<Self, Error> {
        let (organization, common_name) = names::subject(&X509::parse(der)?)?;
        Ok(Self {
            organization,
            common_name,
        })
    }
}

const LABEL: &str = "CERTIFICATE";

impl Certificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// If it is none, or has something in a form that two readers may understand differently.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let certificate = X509::parse(der)?;
        let scts = certificate.extension(oid::SCT_LIST);
        Ok(Self {
            der: der.to_vec(),
            key: PublicKey::from_spki(certificate.spki).map_err(Error::Key)?,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            identities: names::identities(&certificate)?,
            oidc_issuer: names::oidc_issuer(&certificate)?,
            claims: names::claims(&certificate)?,
            scts: scts.map(|extension| extension.value.to_vec()),
        })
    }

    /// Reads the first PEM `CERTIFICATE`.
    ///
    /// # Errors
    /// If there is none, and as [`from_der`](Self::from_der).
    pub fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let block = pem::read(bytes, |label| label == LABEL)?;
        if block.label != LABEL {
            return Err(Error::Label(block.label));
        }
        Self::from_der(&block.content)
    }

    /// All of it, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::write(LABEL, &self.der)
    }

    /// All of it, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key of the signer.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The first second in which it is valid, since 1970.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second in which it is valid, since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Its subject alternative names: e-mail addresses, URIs, DNS names, IP addresses, user names of Fulcio.
    #[must_use]
    pub fn identities(&self) -> &[String] {
        &self.identities
    }

    /// The OpenID Connect issuer that vouched for the identity, if it says.
    #[must_use]
    pub fn oidc_issuer(&self) -> Option<&str> {
        self.oidc_issuer.as_deref()
    }

    /// What else Fulcio took from the identity token, by the names that sigstore-go has for it (`sourceRepositoryURI`).
    #[must_use]
    pub fn claims(&self) -> &BTreeMap<&'static str, String> {
        &self.claims
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
