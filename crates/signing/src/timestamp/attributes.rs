//! The signed attributes of a timestamp: what binds its content and its certificate to the signature.
//!
//! Specification: RFC 5652 section 11, RFC 2634 section 5.4 and RFC 5035 (signing certificate, which RFC 3161 section 2.4.2 demands).

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::Error;
use super::token::{Token, hash, hash_algorithm, oid as token_oid};
use crate::certificate::x509::X509;
use crate::der::{self, Malformed, Reader, tag};
use crate::public_key::HashAlgorithm;

/// Most signed attributes that a timestamp may have.
const MOST: usize = 32;

mod oid {
    /// 1.2.840.113549.1.9.3
    pub(super) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
    /// 1.2.840.113549.1.9.4
    pub(super) const MESSAGE_DIGEST: &[u8] =
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
    /// 1.2.840.113549.1.9.16.2.12, of ESSCertID
    pub(super) const SIGNING_CERTIFICATE: &[u8] = &[
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x0c,
    ];
    /// 1.2.840.113549.1.9.16.2.47, of ESSCertIDv2
    pub(super) const SIGNING_CERTIFICATE_V2: &[u8] = &[
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f,
    ];
}

/// Verifies that the attributes are of this content and of this certificate.
pub(super) fn verify(token: &Token<'_>, certificate: &X509<'_>) -> Result<(), Error> {
    let attributes = Attributes::read(token.attributes)?;

    let mut content_type = attributes.required(oid::CONTENT_TYPE, "contentType")?;
    let found = content_type
        .value(tag::OID)
        .map_err(|Malformed| Error::Malformed("contentType"))?;
    if found != token_oid::TST_INFO {
        return Err(Error::SignedContentType(der::dotted(found)));
    }

    let mut message_digest = attributes.required(oid::MESSAGE_DIGEST, "messageDigest")?;
    let signed = message_digest
        .value(tag::OCTET_STRING)
        .map_err(|Malformed| Error::Malformed("messageDigest"))?;
    if hash(token.digest_algorithm, token.content).as_ref() != signed {
        return Err(Error::MessageDigest);
    }

    let old = attributes.find(oid::SIGNING_CERTIFICATE);
    let new = attributes.find(oid::SIGNING_CERTIFICATE_V2);
    if old.is_none() && new.is_none() {
        return Err(Error::NoAttribute("signingCertificate"));
    }
    if let Some(value) = old {
        signing_certificate(value, Version::One, certificate)?;
    }
    if let Some(value) = new {
        signing_certificate(value, Version::Two, certificate)?;
    }
    Ok(())
}

/// Attributes, each with its one value.
struct Attributes<'a>(Vec<(&'a [u8], Reader<'a>)>);

impl<'a> Attributes<'a> {
    /// SET OF SEQUENCE { OID, SET OF value }
    fn read(set: &'a [u8]) -> Result<Self, Error> {
        let malformed = |Malformed: Malformed| Error::Malformed("signedAttrs");
        let mut reader = Reader::new(set);
        let mut attributes: Vec<(&[u8], Reader<'_>)> = Vec::new();
        while !reader.is_empty() {
            if attributes.len() == MOST {
                return Err(Error::TooManyAttributes);
            }
            let mut attribute = reader.open(tag::SEQUENCE).map_err(malformed)?;
            let name = attribute.value(tag::OID).map_err(malformed)?;
            let mut values = attribute.open(tag::SET).map_err(malformed)?;
            attribute.end().map_err(malformed)?;
            let value = values.any().map_err(malformed)?;
            if !values.is_empty() || attributes.iter().any(|(other, _)| *other == name) {
                return Err(Error::DuplicateAttribute(der::dotted(name)));
            }
            attributes.push((name, Reader::new(value.raw)));
        }
        Ok(Self(attributes))
    }

    fn find(&self, oid: &[u8]) -> Option<Reader<'a>> {
        let found = self.0.iter().find(|(name, _)| *name == oid);
        found.map(|(_, value)| *value)
    }

    fn required(&self, oid: &[u8], name: &'static str) -> Result<Reader<'a>, Error> {
        self.find(oid).ok_or(Error::NoAttribute(name))
    }
}

#[derive(Clone, Copy)]
enum Version {
    /// The hash is SHA-1.
    One,
    /// The hash is named, or SHA-256.
    Two,
}

/// SigningCertificate ::= SEQUENCE { SEQUENCE OF ESSCertID, policies OPTIONAL }: whether the first is of this certificate.
fn signing_certificate(
    mut value: Reader<'_>,
    version: Version,
    certificate: &X509<'_>,
) -> Result<(), Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("signingCertificate");
    let mut reader = value.open(tag::SEQUENCE).map_err(malformed)?;
    let mut ids = reader.open(tag::SEQUENCE).map_err(malformed)?;
    let mut id = ids.open(tag::SEQUENCE).map_err(malformed)?;
    let own = match version {
        Version::One => digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.der),
        Version::Two => {
            // Left out, it is SHA-256.
            let mut before = id;
            let algorithm = if id.optional(tag::SEQUENCE).map_err(malformed)?.is_some() {
                hash_algorithm(&mut before)?
            } else {
                HashAlgorithm::Sha256
            };
            hash(algorithm, certificate.der)
        }
    };
    let named = id.value(tag::OCTET_STRING).map_err(malformed)?;
    if own.as_ref() != named {
        return Err(Error::SigningCertificate);
    }
    let Some(mut issuer_serial) = id.open_optional(tag::SEQUENCE).map_err(malformed)? else {
        return Ok(());
    };
    let mut names = issuer_serial.open(tag::SEQUENCE).map_err(malformed)?;
    let serial = issuer_serial.integer().map_err(malformed)?;
    let issuer = names.value(tag::CONTEXT_4).map_err(malformed)?;
    if names.is_empty() && serial == certificate.serial && issuer == certificate.issuer {
        Ok(())
    } else {
        Err(Error::SigningCertificate)
    }
}
