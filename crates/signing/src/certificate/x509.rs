//! The parts of an X.509 certificate, by their places; nothing of it verified.
//!
//! Specification: RFC 5280 section 4.1, <https://www.rfc-editor.org/rfc/rfc5280#section-4.1>.

use tekseal_core::trusted_root::Validity;

use crate::der::{self, Malformed, Reader, tag};

/// Largest certificate that is read.
pub const LARGEST: usize = 64 * 1024;
/// Most extensions that a certificate may have.
const MOST_EXTENSIONS: usize = 64;
/// Most purposes that a certificate may be for.
const MOST_PURPOSES: usize = 32;

/// Why bytes are no certificate that can be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Damage {
    /// More bytes than any certificate has.
    #[error("a certificate of {0} bytes is too large, at most {LARGEST} are read")]
    TooLarge(usize),
    /// Some part is not what X.509 wants.
    #[error("the certificate is damaged: no valid {0}")]
    Malformed(&'static str),
    /// An older version of X.509, which has no extensions.
    #[error("not an X.509 certificate of version 3")]
    Version,
    /// More extensions than anybody needs.
    #[error("the certificate has more than {MOST_EXTENSIONS} extensions")]
    TooManyExtensions,
    /// An extension that stands twice: readers may differ in which one counts.
    #[error("the certificate has the extension {0} twice")]
    DuplicateExtension(String),
}

/// The contents of object identifiers of extensions and purposes.
pub(crate) mod oid {
    /// 2.5.29.14
    pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
    /// 2.5.29.15
    pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    /// 2.5.29.17
    pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    /// 2.5.29.19
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    /// 2.5.29.37
    pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
    /// 2.5.29.37.0
    pub(crate) const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0];
    /// 1.3.6.1.5.5.7.3.3
    pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
    /// 1.3.6.1.5.5.7.3.8
    pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];
    /// 1.3.6.1.4.1.11129.2.4.2, RFC 6962 section 3.3
    pub(crate) const SCT_LIST: &[u8] =
        &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];
}

/// A certificate.
pub(crate) struct X509<'a> {
    /// All of it.
    pub(crate) der: &'a [u8],
    /// The TBSCertificate up to the extensions, without its own head.
    pub(crate) before_extensions: &'a [u8],
    pub(crate) serial: &'a [u8],
    /// The Name with its head, as is `subject`.
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    /// SubjectPublicKeyInfo with its head.
    pub(crate) spki: &'a [u8],
    pub(crate) extensions: Vec<Extension<'a>>,
}

/// An extension of a certificate.
pub(crate) struct Extension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) is_critical: bool,
    pub(crate) value: &'a [u8],
    /// All of it, with its head.
    pub(crate) raw: &'a [u8],
}

impl<'a> X509<'a> {
    /// Reads a certificate of version 3.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Damage> {
        if der.len() > LARGEST {
            return Err(Damage::TooLarge(der.len()));
        }
        let tbs = to_be_signed(der).map_err(|Malformed| Damage::Malformed("Certificate"))?;
        let mut reader = Reader::new(tbs);
        // An older version leaves the field out.
        let mut version = reader
            .open_optional(tag::CONTEXT_0)
            .map_err(|Malformed| Damage::Malformed("version"))?
            .ok_or(Damage::Version)?;
        if version.small() != Ok(2) || version.end().is_err() {
            return Err(Damage::Version);
        }
        let mut fields = fields(reader).map_err(|Malformed| Damage::Malformed("TBSCertificate"))?;
        let before = tbs.len() - fields.rest.remaining();
        let extensions = match fields.rest.optional(tag::CONTEXT_3) {
            Ok(Some(list)) => extensions(list)?,
            Ok(None) => Vec::new(),
            Err(Malformed) => return Err(Damage::Malformed("extensions")),
        };
        fields
            .rest
            .end()
            .map_err(|Malformed| Damage::Malformed("TBSCertificate"))?;
        Ok(Self {
            der,
            before_extensions: tbs.get(..before).unwrap_or_default(),
            serial: fields.serial,
            issuer: fields.issuer,
            subject: fields.subject,
            not_before: fields.not_before,
            not_after: fields.not_after,
            spki: fields.spki,
            extensions,
        })
    }

    /// The extension with this object identifier.
    pub(crate) fn extension(&self, oid: &[u8]) -> Option<&Extension<'a>> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == oid)
    }

    /// From when to when it is valid.
    pub(crate) fn valid(&self) -> Validity {
        Validity {
            start: Some(self.not_before),
            end: Some(self.not_after),
        }
    }

    /// If it may be an authority: how many authorities may stand between it and the last certificate, where that is limited.
    pub(crate) fn authority(&self) -> Result<Option<Option<u8>>, Damage> {
        let Some(extension) = self.extension(oid::BASIC_CONSTRAINTS) else {
            return Ok(None);
        };
        let read = || {
            let mut outer = Reader::new(extension.value);
            let mut inner = outer.open(tag::SEQUENCE)?;
            outer.end()?;
            let is_authority = inner.flag()?;
            let most = if inner.is_empty() {
                None
            } else {
                Some(inner.small()?)
            };
            inner.end()?;
            Ok(is_authority.then_some(most))
        };
        read().map_err(|Malformed| Damage::Malformed("basicConstraints"))
    }

    /// Whether the key may be used for this, as far as the certificate says.
    pub(crate) fn allows(&self, usage: Usage) -> Result<bool, Damage> {
        let Some(extension) = self.extension(oid::KEY_USAGE) else {
            return Ok(true);
        };
        let mut reader = Reader::new(extension.value);
        let bits = reader
            .value(tag::BIT_STRING)
            .and_then(|bits| reader.end().map(|()| bits));
        match bits {
            Ok([0..=7, first, ..]) => Ok(first & usage.bit() != 0),
            _ => Err(Damage::Malformed("keyUsage")),
        }
    }

    /// Object identifiers of the purposes it is for, if it says any.
    pub(crate) fn purposes(&self) -> Result<Option<Vec<&'a [u8]>>, Damage> {
        const DAMAGE: Damage = Damage::Malformed("extKeyUsage");
        let Some(extension) = self.extension(oid::EXTENDED_KEY_USAGE) else {
            return Ok(None);
        };
        let mut outer = Reader::new(extension.value);
        let mut list = outer.open(tag::SEQUENCE).map_err(|Malformed| DAMAGE)?;
        outer.end().map_err(|Malformed| DAMAGE)?;
        let mut purposes = Vec::new();
        while !list.is_empty() {
            if purposes.len() == MOST_PURPOSES {
                return Err(DAMAGE);
            }
            purposes.push(list.value(tag::OID).map_err(|Malformed| DAMAGE)?);
        }
        Ok(Some(purposes))
    }
}

/// What a key may be used for (RFC 5280 section 4.2.1.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// digitalSignature
    Signatures,
    /// keyCertSign
    Certificates,
}

impl Usage {
    /// Its bit in the first byte.
    fn bit(self) -> u8 {
        match self {
            Self::Signatures => 0x80,
            Self::Certificates => 0x04,
        }
    }
}

/// Certificate ::= SEQUENCE { tbsCertificate, AlgorithmIdentifier, BIT STRING }
fn to_be_signed(der: &[u8]) -> Result<&[u8], Malformed> {
    let mut outer = Reader::new(der);
    let mut certificate = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    let tbs = certificate.value(tag::SEQUENCE)?;
    certificate.value(tag::SEQUENCE)?;
    certificate.bits()?;
    certificate.end()?;
    Ok(tbs)
}

/// The fields between version and extensions.
struct Fields<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    not_before: i64,
    not_after: i64,
    spki: &'a [u8],
    /// What comes behind.
    rest: Reader<'a>,
}

fn fields(mut rest: Reader<'_>) -> Result<Fields<'_>, Malformed> {
    let serial = rest.integer()?;
    rest.value(tag::SEQUENCE)?;
    let issuer = rest.raw(tag::SEQUENCE)?;
    let mut validity = rest.open(tag::SEQUENCE)?;
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    validity.end()?;
    if not_after < not_before {
        return Err(Malformed);
    }
    Ok(Fields {
        serial,
        issuer,
        not_before,
        not_after,
        subject: rest.raw(tag::SEQUENCE)?,
        spki: rest.raw(tag::SEQUENCE)?,
        rest,
    })
}

fn extensions(list: &[u8]) -> Result<Vec<Extension<'_>>, Damage> {
    const DAMAGE: Damage = Damage::Malformed("extensions");
    let mut outer = Reader::new(list);
    let mut list = outer.open(tag::SEQUENCE).map_err(|Malformed| DAMAGE)?;
    outer.end().map_err(|Malformed| DAMAGE)?;
    let mut extensions: Vec<Extension<'_>> = Vec::new();
    while !list.is_empty() {
        if extensions.len() == MOST_EXTENSIONS {
            return Err(Damage::TooManyExtensions);
        }
        let extension = extension(&mut list).map_err(|Malformed| DAMAGE)?;
        if extensions.iter().any(|other| other.oid == extension.oid) {
            return Err(Damage::DuplicateExtension(der::dotted(extension.oid)));
        }
        extensions.push(extension);
    }
    Ok(extensions)
}

/// Extension ::= SEQUENCE { OID, critical BOOLEAN DEFAULT FALSE, OCTET STRING }
fn extension<'a>(list: &mut Reader<'a>) -> Result<Extension<'a>, Malformed> {
    let raw = list.raw(tag::SEQUENCE)?;
    let mut reader = Reader::new(raw).open(tag::SEQUENCE)?;
    let extension = Extension {
        oid: reader.value(tag::OID)?,
        is_critical: reader.flag()?,
        value: reader.value(tag::OCTET_STRING)?,
        raw,
    };
    reader.end()?;
    Ok(extension)
}
