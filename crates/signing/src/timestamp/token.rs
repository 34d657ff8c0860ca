//! The structure of a timestamp: TimeStampResp, ContentInfo, SignedData, SignerInfo and TSTInfo, by their places.
//!
//! Specification: RFC 3161 section 2.4.2 and RFC 5652 section 5.

use ring::digest::{self as ring_digest, digest};

use super::Error;
use crate::certificate::x509::{X509, oid as x509_oid};
use crate::der::{self, Malformed, Reader, tag};
use crate::public_key::HashAlgorithm;

/// Most certificates that a token may bring.
const MOST_CERTIFICATES: usize = 8;

/// The contents of object identifiers.
pub(super) mod oid {
    /// 1.2.840.113549.1.7.2, id-signedData
    pub(super) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    /// 1.2.840.113549.1.9.16.1.4, id-ct-TSTInfo
    pub(in crate::timestamp) const TST_INFO: &[u8] = &[
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04,
    ];
    /// 2.16.840.1.101.3.4.2.1, 2 and 3
    pub(in crate::timestamp) const SHA256: &[u8] =
        &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
    pub(super) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    pub(super) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
    /// 1.2.840.10045.4.3, ecdsa-with-SHA2; 2, 3 and 4 follow for SHA-256, SHA-384 and SHA-512
    pub(super) const ECDSA_WITH_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    /// 1.2.840.113549.1.1; 11, 12 and 13 follow for PKCS#1 v1.5 with SHA-256, SHA-384 and SHA-512
    pub(super) const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
}

/// A timestamp token, nothing of it verified.
pub(super) struct Token<'a> {
    /// DER of the TSTInfo.
    pub(super) content: &'a [u8],
    imprint_algorithm: HashAlgorithm,
    imprint: &'a [u8],
    /// Seconds since 1970.
    pub(super) time: i64,
    /// The number that the request had, as it stands.
    pub(super) nonce: Option<&'a [u8]>,
    /// DER of the certificates it brings.
    pub(super) certificates: Vec<&'a [u8]>,
    pub(super) signer_id: SignerId<'a>,
    /// Over what the content and the attributes are hashed.
    pub(super) digest_algorithm: HashAlgorithm,
    /// The signed attributes, without their head.
    pub(super) attributes: &'a [u8],
    pub(super) scheme: Scheme,
    pub(super) signature: &'a [u8],
}

/// How a signature names its certificate.
pub(super) enum SignerId<'a> {
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    SubjectKeyId(&'a [u8]),
}

/// A kind of signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Ecdsa,
    Rsa,
    Ed25519,
}

impl<'a> Token<'a> {
    /// Reads a TimeStampResp.
    pub(super) fn read(response: &'a [u8]) -> Result<Self, Error> {
        let mut data = signed_data(granted(response)?)?;
        // The version follows from what is in it (RFC 5652 section 5.1).
        version(&mut data, &[1, 3, 4, 5], "SignedData")?;
        let malformed = |Malformed: Malformed| Error::Malformed("SignedData");
        data.value(tag::SET).map_err(malformed)?;
        let content = content(&mut data)?;
        let certificates = certificates(data.optional(tag::CONTEXT_0).map_err(malformed)?)?;
        data.optional(tag::CONTEXT_1).map_err(malformed)?;
        let signers = data.open(tag::SET).map_err(malformed)?;
        data.end().map_err(malformed)?;
        let info = info(content)?;
        let signer = signer(signers)?;
        Ok(Self {
            content,
            imprint_algorithm: info.algorithm,
            imprint: info.imprint,
            time: info.time,
            nonce: info.nonce,
            certificates,
            signer_id: signer.id,
            digest_algorithm: signer.digest_algorithm,
            attributes: signer.attributes,
            scheme: signer.scheme,
            signature: signer.signature,
        })
    }

    /// Whether it is a timestamp of this message.
    pub(super) fn verify_imprint(&self, message: &[u8]) -> Result<(), Error> {
        if hash(self.imprint_algorithm, message).as_ref() == self.imprint {
            Ok(())
        } else {
            Err(Error::Imprint)
        }
    }

    /// What the signature is over: the attributes as a SET, although `[0]` stands in front of them (RFC 5652 section 5.4).
    pub(super) fn signed_message(&self) -> Vec<u8> {
        der::encode(tag::SET, self.attributes)
    }
}

impl SignerId<'_> {
    /// Whether it names this certificate.
    pub(super) fn is_of(&self, certificate: &X509<'_>) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                certificate.issuer == *issuer && certificate.serial == *serial
            }
            Self::SubjectKeyId(id) => certificate
                .extension(x509_oid::SUBJECT_KEY_ID)
                .is_some_and(|own| own.value == der::encode(tag::OCTET_STRING, id)),
        }
    }
}

/// The hash of `message`.
pub(super) fn hash(algorithm: HashAlgorithm, message: &[u8]) -> ring_digest::Digest {
    let algorithm = match algorithm {
        HashAlgorithm::Sha256 => &ring_digest::SHA256,
        HashAlgorithm::Sha384 => &ring_digest::SHA384,
        HashAlgorithm::Sha512 => &ring_digest::SHA512,
    };
    digest(algorithm, message)
}

/// TimeStampResp ::= SEQUENCE { PKIStatusInfo, ContentInfo OPTIONAL }: the ContentInfo, if the status is that it was granted.
fn granted(response: &[u8]) -> Result<Reader<'_>, Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("TimeStampResp");
    let mut outer = Reader::new(response);
    let mut reader = outer.open(tag::SEQUENCE).map_err(malformed)?;
    outer.end().map_err(malformed)?;
    let mut info = reader.open(tag::SEQUENCE).map_err(malformed)?;
    // What follows the status are words about a failure.
    let status = info.small().map_err(malformed)?;
    if status != 0 {
        return Err(Error::NotGranted { status });
    }
    if reader.is_empty() {
        return Err(Error::NoToken);
    }
    let token = reader.open(tag::SEQUENCE).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    Ok(token)
}

/// ContentInfo ::= SEQUENCE { OID, [0] EXPLICIT SignedData }
fn signed_data(mut content_info: Reader<'_>) -> Result<Reader<'_>, Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("ContentInfo");
    let found = content_info.value(tag::OID).map_err(malformed)?;
    if found != oid::SIGNED_DATA {
        return Err(Error::ContentType {
            found: der::dotted(found),
            wanted: "SignedData",
        });
    }
    let mut explicit = content_info.open(tag::CONTEXT_0).map_err(malformed)?;
    content_info.end().map_err(malformed)?;
    let data = explicit.open(tag::SEQUENCE).map_err(malformed)?;
    explicit.end().map_err(malformed)?;
    Ok(data)
}

/// EncapsulatedContentInfo ::= SEQUENCE { OID, [0] EXPLICIT OCTET STRING }
fn content<'a>(data: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("EncapsulatedContentInfo");
    let mut reader = data.open(tag::SEQUENCE).map_err(malformed)?;
    let found = reader.value(tag::OID).map_err(malformed)?;
    if found != oid::TST_INFO {
        return Err(Error::ContentType {
            found: der::dotted(found),
            wanted: "TSTInfo",
        });
    }
    let mut explicit = reader.open(tag::CONTEXT_0).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    let content = explicit.value(tag::OCTET_STRING).map_err(malformed)?;
    explicit.end().map_err(malformed)?;
    Ok(content)
}

/// CertificateSet: those in it that are X.509 certificates.
fn certificates(set: Option<&[u8]>) -> Result<Vec<&[u8]>, Error> {
    let mut reader = Reader::new(set.unwrap_or_default());
    let mut certificates = Vec::new();
    while !reader.is_empty() {
        let value = reader
            .any()
            .map_err(|Malformed| Error::Malformed("CertificateSet"))?;
        if certificates.len() == MOST_CERTIFICATES {
            return Err(Error::TooManyCertificates);
        }
        if value.tag == tag::SEQUENCE {
            certificates.push(value.raw);
        }
    }
    Ok(certificates)
}

/// What a TSTInfo says.
struct Info<'a> {
    algorithm: HashAlgorithm,
    imprint: &'a [u8],
    time: i64,
    nonce: Option<&'a [u8]>,
}

/// TSTInfo ::= SEQUENCE { version, policy, messageImprint, serialNumber, genTime, accuracy, ordering, nonce, [0] tsa, [1] extensions }
fn info(content: &[u8]) -> Result<Info<'_>, Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("TSTInfo");
    let mut outer = Reader::new(content);
    let mut reader = outer.open(tag::SEQUENCE).map_err(malformed)?;
    outer.end().map_err(malformed)?;
    version(&mut reader, &[1], "TSTInfo")?;
    reader.value(tag::OID).map_err(malformed)?;
    let mut imprint = reader.open(tag::SEQUENCE).map_err(malformed)?;
    let algorithm = hash_algorithm(&mut imprint)?;
    let hash = imprint.value(tag::OCTET_STRING).map_err(malformed)?;
    imprint.end().map_err(malformed)?;
    reader.integer().map_err(malformed)?;
    let time = reader.time_with_fraction().map_err(malformed)?;
    reader.optional(tag::SEQUENCE).map_err(malformed)?;
    reader.flag().map_err(malformed)?;
    let nonce = reader.optional(tag::INTEGER).map_err(malformed)?;
    reader.optional(tag::CONTEXT_0).map_err(malformed)?;
    let extensions = reader.open_optional(tag::CONTEXT_1).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    if let Some(mut extensions) = extensions {
        while !extensions.is_empty() {
            let mut extension = extensions.open(tag::SEQUENCE).map_err(malformed)?;
            let name = extension.value(tag::OID).map_err(malformed)?;
            if extension.flag().map_err(malformed)? {
                return Err(Error::CriticalExtension(der::dotted(name)));
            }
        }
    }
    Ok(Info {
        algorithm,
        imprint: hash,
        time,
        nonce,
    })
}

/// What a SignerInfo says.
struct SignerInfo<'a> {
    id: SignerId<'a>,
    digest_algorithm: HashAlgorithm,
    attributes: &'a [u8],
    scheme: Scheme,
    signature: &'a [u8],
}

/// SignerInfo ::= SEQUENCE { version, sid, digestAlgorithm, [0] signedAttrs, signatureAlgorithm, signature, [1] unsignedAttrs }
fn signer(mut signers: Reader<'_>) -> Result<SignerInfo<'_>, Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("SignerInfo");
    if signers.is_empty() {
        return Err(Error::Signers(0));
    }
    let mut reader = signers.open(tag::SEQUENCE).map_err(malformed)?;
    if !signers.is_empty() {
        let mut count = 1;
        while !signers.is_empty() {
            signers.any().map_err(malformed)?;
            count += 1;
        }
        return Err(Error::Signers(count));
    }
    version(&mut reader, &[1, 3], "SignerInfo")?;
    let id = signer_id(&mut reader).map_err(malformed)?;
    let digest_algorithm = hash_algorithm(&mut reader)?;
    let attributes = reader
        .optional(tag::CONTEXT_0)
        .map_err(malformed)?
        .ok_or(Error::NoAttribute("contentType"))?;
    let scheme = scheme(&mut reader, digest_algorithm)?;
    let signature = reader.value(tag::OCTET_STRING).map_err(malformed)?;
    reader.optional(tag::CONTEXT_1).map_err(malformed)?;
    reader.end().map_err(malformed)?;
    Ok(SignerInfo {
        id,
        digest_algorithm,
        attributes,
        scheme,
        signature,
    })
}

fn signer_id<'a>(reader: &mut Reader<'a>) -> Result<SignerId<'a>, Malformed> {
    if let Some(id) = reader.optional(tag::PRIMITIVE_0)? {
        return Ok(SignerId::SubjectKeyId(id));
    }
    let mut id = reader.open(tag::SEQUENCE)?;
    let (issuer, serial) = (id.raw(tag::SEQUENCE)?, id.integer()?);
    id.end()?;
    Ok(SignerId::IssuerAndSerial { issuer, serial })
}

/// Reads the AlgorithmIdentifier of a hash.
pub(super) fn hash_algorithm(reader: &mut Reader<'_>) -> Result<HashAlgorithm, Error> {
    let found = algorithm(reader)?;
    match found {
        oid::SHA256 => Ok(HashAlgorithm::Sha256),
        oid::SHA384 => Ok(HashAlgorithm::Sha384),
        oid::SHA512 => Ok(HashAlgorithm::Sha512),
        _ => Err(Error::HashAlgorithm(der::dotted(found))),
    }
}

/// Reads the AlgorithmIdentifier of a signature over `hash`.
fn scheme(reader: &mut Reader<'_>, hash: HashAlgorithm) -> Result<Scheme, Error> {
    let found = algorithm(reader)?;
    let numbered = |arc: &[u8], first: u8| match found.strip_prefix(arc) {
        Some([number]) => match number.checked_sub(first) {
            Some(0) => Some(HashAlgorithm::Sha256),
            Some(1) => Some(HashAlgorithm::Sha384),
            Some(2) => Some(HashAlgorithm::Sha512),
            Some(_) | None => None,
        },
        Some(_) | None => None,
    };
    let (scheme, named) = match found {
        der::oid::RSA => (Scheme::Rsa, hash),
        der::oid::EC => (Scheme::Ecdsa, hash),
        der::oid::ED25519 => (Scheme::Ed25519, hash),
        _ => numbered(oid::ECDSA_WITH_SHA2, 2)
            .map(|hash| (Scheme::Ecdsa, hash))
            .or_else(|| numbered(oid::PKCS1, 11).map(|hash| (Scheme::Rsa, hash)))
            .ok_or_else(|| Error::SignatureAlgorithm(der::dotted(found)))?,
    };
    if named == hash {
        Ok(scheme)
    } else {
        Err(Error::OtherHash)
    }
}

/// The object identifier in an AlgorithmIdentifier without parameters.
fn algorithm<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let malformed = |Malformed: Malformed| Error::Malformed("AlgorithmIdentifier");
    let mut identifier = reader.open(tag::SEQUENCE).map_err(malformed)?;
    let oid = identifier.value(tag::OID).map_err(malformed)?;
    // What the parameters of an unknown algorithm are is not for us to say.
    match identifier.any() {
        Ok(value) if value.tag != tag::NULL || !value.content.is_empty() => {
            return Err(Error::SignatureAlgorithm(der::dotted(oid)));
        }
        _ => {}
    }
    identifier.end().map_err(malformed)?;
    Ok(oid)
}

fn version(reader: &mut Reader<'_>, known: &[u8], what: &'static str) -> Result<(), Error> {
    match reader.small() {
        Ok(version) if known.contains(&version) => Ok(()),
        Ok(_) => Err(Error::Version(what)),
        Err(Malformed) => Err(Error::Malformed(what)),
    }
}
