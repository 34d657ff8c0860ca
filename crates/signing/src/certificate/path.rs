//! Finds and verifies the way from a certificate up to the root of an authority.
//!
//! The work is webpki's: signatures, validity, basic constraints, name constraints, unknown critical extensions. Added here is
//! what it does not look at, and Go's crypto/x509 (which cosign uses) does: what the certificate of the root says of itself, and
//! whether the keys of authorities may sign certificates.
//!
//! Specification: RFC 5280 section 6, <https://www.rfc-editor.org/rfc/rfc5280#section-6>.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use tekseal_core::Digest;
use tekseal_core::trusted_root::{Authority, Validity};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext, VerifiedPath,
};

use super::x509::{Damage, Usage, X509, oid};
use crate::rejection::shortened;

/// Most certificates that anybody but the trusted root may add: with so few no search can become long.
pub(crate) const MOST_UNTRUSTED: usize = 4;

/// What the certificates of a path must be for, if they say what they are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    CodeSigning,
    TimeStamping,
}

/// A way that was found.
pub(crate) struct Path {
    /// The certificate that issued the last one, DER.
    pub(crate) issuer: Vec<u8>,
    /// When all certificates above the last one are valid.
    pub(crate) valid: Validity,
}

/// Why there is no way to this authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It did not issue the certificate.
    NotIssued,
    /// The certificate names it, but a signature on the way is not what it should be.
    Signature,
    /// A certificate is not for this purpose.
    Purpose,
    /// A certificate on the way was not valid then.
    Time,
    /// A certificate of the trusted root cannot be read.
    Authority(Damage),
    /// Something else.
    Other(webpki::Error),
}

/// How an authority is called in reports.
pub(crate) fn name_of(authority: &Authority) -> String {
    match (authority.uri.as_str(), authority.chain.last()) {
        ("", Some(root)) => format!("root {}", Digest::of(root)),
        (uri, _) => shortened(uri),
    }
}

/// Finds the way from `leaf` to the root of `authority` through its own certificates and `untrusted` ones.
pub(crate) fn find(
    leaf: &[u8],
    untrusted: &[&[u8]],
    authority: &Authority,
    time: i64,
    purpose: Purpose,
) -> Result<Path, Broken> {
    let Some((root_der, own)) = authority.chain.split_last() else {
        return Err(Broken::NotIssued);
    };
    let root = X509::parse(root_der).map_err(Broken::Authority)?;
    let root_der = CertificateDer::from(root_der.as_slice());
    let anchor = webpki::anchor_from_trusted_cert(&root_der).map_err(Broken::Other)?;
    let anchors = [anchor];
    let added = untrusted.iter().copied().take(MOST_UNTRUSTED);
    let intermediates: Vec<CertificateDer<'_>> = own
        .iter()
        .map(Vec::as_slice)
        .chain(added.filter(|der| X509::parse(der).is_ok()))
        .filter(|der| *der != root.der)
        .map(CertificateDer::from)
        .collect();
    if !names_lead_to_root(leaf, &intermediates, &root) {
        return Err(Broken::NotIssued);
    }
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(Broken::Other)?;
    let time = u64::try_from(time).map_err(|_| Broken::Time)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
    let verify_issuers = |path: &VerifiedPath<'_>| verify_issuers(path, &root, time, purpose);
    let path = leaf
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &intermediates,
            time,
            purpose,
            None,
            Some(&verify_issuers),
        )
        .map_err(Broken::from)?;
    let mut valid = root.valid();
    for certificate in path.intermediate_certificates() {
        let der = certificate.der();
        let other = X509::parse(&der).map_err(Broken::Authority)?.valid();
        valid = Validity {
            start: valid.start.max(other.start),
            end: valid.end.min(other.end),
        };
    }
    let issuer = path.intermediate_certificates().next();
    let issuer = issuer.map_or_else(|| root.der.to_vec(), |issuer| issuer.der().to_vec());
    Ok(Path { issuer, valid })
}

/// Whether the certificate claims to be of this authority: whether its issuer, the issuer of that one, and so on, is the root.
///
/// webpki looks at purposes and times first, and would complain of certificates that are none of our business.
fn names_lead_to_root(leaf: &[u8], intermediates: &[CertificateDer<'_>], root: &X509<'_>) -> bool {
    let Ok(leaf) = X509::parse(leaf) else {
        return false;
    };
    let mut names = vec![leaf.issuer];
    let mut others: Vec<X509<'_>> = intermediates
        .iter()
        .filter_map(|der| X509::parse(der).ok())
        .collect();
    let mut next = 0;
    while let Some(name) = names.get(next).copied() {
        if name == root.subject {
            return true;
        }
        next += 1;
        others.retain(|other| {
            let is_named = other.subject == name;
            if is_named {
                names.push(other.issuer);
            }
            !is_named
        });
    }
    false
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// What webpki does not look at.
fn verify_issuers(
    path: &VerifiedPath<'_>,
    root: &X509<'_>,
    time: UnixTime,
    purpose: Purpose,
) -> Result<(), webpki::Error> {
    if !root.valid().covers(seconds(time)) {
        return Err(webpki::Error::CertExpired {
            time,
            not_after: time,
        });
    }
    let damaged = |_: Damage| webpki::Error::BadDer;
    let Some(most) = root.authority().map_err(damaged)? else {
        return Err(webpki::Error::EndEntityUsedAsCa);
    };
    let between = path.intermediate_certificates().count();
    if most.is_some_and(|most| between > usize::from(most)) {
        return Err(webpki::Error::PathLenConstraintViolated);
    }
    if let Some(purposes) = root.purposes().map_err(damaged)?
        && !purposes
            .iter()
            .any(|found| *found == purpose.oid() || *found == oid::ANY_PURPOSE)
    {
        return Err(purpose.missing());
    }
    let mut may_sign = root.allows(Usage::Certificates).map_err(damaged)?;
    for certificate in path.intermediate_certificates() {
        let der = certificate.der();
        let certificate = X509::parse(&der).map_err(damaged)?;
        may_sign &= certificate.allows(Usage::Certificates).map_err(damaged)?;
    }
    if may_sign {
        Ok(())
    } else {
        Err(webpki::Error::EndEntityUsedAsCa)
    }
}

impl Purpose {
    /// Its object identifier.
    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::CodeSigning => oid::CODE_SIGNING,
            Self::TimeStamping => oid::TIME_STAMPING,
        }
    }

    fn missing(self) -> webpki::Error {
        webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext {
            required: KeyUsage::required(self.oid()),
            present: Vec::new(),
        })
    }
}

/// As in Go, a certificate that says nothing of purposes is for all: webpki asks this of authorities too. What the last
/// certificate itself must say is for the caller to check.
impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, found: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut says_nothing = true;
        for id in found {
            let id = id?;
            says_nothing = false;
            if id == KeyPurposeId::new(self.oid()) || id == KeyPurposeId::new(oid::ANY_PURPOSE) {
                return Ok(());
            }
        }
        if says_nothing {
            Ok(())
        } else {
            Err(self.missing())
        }
    }
}

impl From<webpki::Error> for Broken {
    fn from(error: webpki::Error) -> Self {
        match error {
            webpki::Error::UnknownIssuer => Self::NotIssued,
            webpki::Error::InvalidSignatureForPublicKey
            | webpki::Error::SignatureAlgorithmMismatch => Self::Signature,
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
                Self::Purpose
            }
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => Self::Time,
            other => Self::Other(other),
        }
    }
}
