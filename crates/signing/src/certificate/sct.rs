//! The promises of logs of certificates (signed certificate timestamps) that are in a certificate.
//!
//! Specification: RFC 6962 sections 3.2 and 3.3, <https://www.rfc-editor.org/rfc/rfc6962#section-3.2>.

use sha2::{Digest as _, Sha256};
use tekseal_core::digest::hex;

use super::x509::{X509, oid};
use super::{Certificate, Error};
use crate::der::{self, Reader, tag, time};
use crate::public_key::{HashAlgorithm, KeyAlgorithm};
use crate::trust::{Log, Trust};

/// Most promises that a certificate may have.
const MOST_SCTS: usize = 16;

/// SignedCertificateTimestamp
struct Sct<'a> {
    version: u8,
    log_id: &'a [u8],
    /// Milliseconds since 1970.
    timestamp: u64,
    extensions: &'a [u8],
    /// SignatureAndHashAlgorithm (RFC 5246 section 7.4.1.4.1)
    algorithm: [u8; 2],
    signature: &'a [u8],
}

impl Certificate {
    /// Verifies that trusted logs promised to include this certificate, which the certificate `issuer` (DER) issued.
    ///
    /// Promises of other logs are left out, as sigstore-go does; all others must hold, as cosign wants it, and there must be one.
    ///
    /// # Errors
    /// If there is none, none is by a trusted log, or one that is does not hold.
    pub fn verify_sct(&self, issuer: &[u8], trust: &Trust) -> Result<(), Error> {
        let scts = self.scts.as_deref().ok_or(Error::NoSct)?;
        let scts = read_list(scts).ok_or(Error::SctsMalformed)?;
        if scts.len() > MOST_SCTS {
            return Err(Error::TooManyScts);
        }
        if scts.is_empty() {
            return Err(Error::NoSct);
        }
        let entry = precertificate(&X509::parse(&self.der)?, &X509::parse(issuer)?);
        let mut unknown = Vec::new();
        let mut not_valid = None;
        let mut held = 0;
        for sct in &scts {
            let id = hex(sct.log_id);
            let known = trust
                .certificate_logs
                .iter()
                .filter(|log| log.key_id == sct.log_id);
            let known: Vec<&Log> = known.collect();
            // A log that is known by its first second in use and by its last may be listed twice.
            let log = known.iter().find(|log| log.valid.covers(sct.seconds()));
            let Some(log) = log else {
                if known.is_empty() {
                    unknown.push(id);
                } else {
                    not_valid = Some(Error::SctLogNotValid {
                        log: id,
                        time: time::text(sct.seconds()),
                    });
                }
                continue;
            };
            sct.verify(log, &entry, id)?;
            held += 1;
        }
        if held > 0 {
            return Ok(());
        }
        Err(not_valid.unwrap_or(Error::SctLogUnknown(unknown)))
    }
}

impl Sct<'_> {
    fn seconds(&self) -> i64 {
        i64::try_from(self.timestamp / 1000).unwrap_or(i64::MAX)
    }

    fn verify(&self, log: &Log, entry: &[u8], id: String) -> Result<(), Error> {
        const SHA256: u8 = 4;
        const RSA: u8 = 1;
        const ECDSA: u8 = 3;
        let kind = match log.key.algorithm() {
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => ECDSA,
            KeyAlgorithm::Rsa(_) => RSA,
            KeyAlgorithm::Ed25519 => return Err(Error::SctUnsupported(id)),
        };
        if self.version != V1 || self.algorithm != [SHA256, kind] {
            return Err(Error::SctUnsupported(id));
        }
        let mut message = vec![self.version, CERTIFICATE_TIMESTAMP];
        message.extend_from_slice(&self.timestamp.to_be_bytes());
        message.extend_from_slice(entry);
        let length = u16::try_from(self.extensions.len()).expect("it was read with 16 bits");
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(self.extensions);
        log.key
            .verify(HashAlgorithm::Sha256, &message, self.signature)
            .map_err(|_| Error::SctSignature(id))
    }
}

const V1: u8 = 0;
/// SignatureType certificate_timestamp
const CERTIFICATE_TIMESTAMP: u8 = 0;
/// LogEntryType precert_entry
const PRECERT_ENTRY: [u8; 2] = [0, 1];

/// The entry of the log: what kind it is, whose certificate it is, and the certificate as it was before the promises were added.
fn precertificate(certificate: &X509<'_>, issuer: &X509<'_>) -> Vec<u8> {
    let mut content = certificate.before_extensions.to_vec();
    let kept: Vec<u8> = certificate
        .extensions
        .iter()
        .filter(|extension| extension.oid != oid::SCT_LIST)
        .flat_map(|extension| extension.raw.iter().copied())
        .collect();
    if !kept.is_empty() {
        let list = der::encode(tag::SEQUENCE, &kept);
        content.extend(der::encode(tag::CONTEXT_3, &list));
    }
    let tbs = der::encode(tag::SEQUENCE, &content);
    let [.., a, b, c] = tbs.len().to_be_bytes();
    let mut entry = PRECERT_ENTRY.to_vec();
    entry.extend_from_slice(&Sha256::digest(issuer.spki));
    entry.extend_from_slice(&[a, b, c]);
    entry.extend(tbs);
    entry
}

/// Reads the value of the extension: an OCTET STRING with a SignedCertificateTimestampList in TLS encoding.
fn read_list(value: &[u8]) -> Option<Vec<Sct<'_>>> {
    let mut reader = Reader::new(value);
    let content = reader.value(tag::OCTET_STRING).ok()?;
    reader.end().ok()?;
    let mut outer = content;
    let mut list = vector(&mut outer)?;
    if !outer.is_empty() {
        return None;
    }
    let mut scts = Vec::new();
    // One more than the most tells that there are too many.
    while !list.is_empty() && scts.len() <= MOST_SCTS {
        scts.push(read(vector(&mut list)?)?);
    }
    Some(scts)
}

fn read(mut bytes: &[u8]) -> Option<Sct<'_>> {
    let rest = &mut bytes;
    let [version] = *take(rest, 1)? else {
        return None;
    };
    let log_id = take(rest, 32)?;
    let timestamp = u64::from_be_bytes(take(rest, 8)?.try_into().ok()?);
    let extensions = vector(rest)?;
    let algorithm = take(rest, 2)?.try_into().ok()?;
    let signature = vector(rest)?;
    rest.is_empty().then_some(Sct {
        version,
        log_id,
        timestamp,
        extensions,
        algorithm,
        signature,
    })
}

/// A vector of TLS with a length of 16 bits.
fn vector<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_be_bytes(take(rest, 2)?.try_into().ok()?);
    take(rest, usize::from(length))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, more) = rest.split_at_checked(count)?;
    *rest = more;
    Some(taken)
}
