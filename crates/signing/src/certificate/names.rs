//! What a certificate says of whom it was issued to: its names, and the claims that Fulcio took from an identity token.
//!
//! Specification: RFC 5280 section 4.2.1.6 and <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Error;
use super::x509::{X509, oid};
use crate::der::{Malformed, Reader, tag};
use crate::rejection::shortened;

/// Most names that a certificate may have.
const MOST_NAMES: usize = 64;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 2048;

/// 1.3.6.1.4.1.57264.1, the arc of Fulcio.
const FULCIO: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01];

/// Numbers on that arc and the names of the extensions, as sigstore-go reports them.
const CLAIMS: &[(u8, &str)] = &[
    (2, "githubWorkflowTrigger"),
    (3, "githubWorkflowSHA"),
    (4, "githubWorkflowName"),
    (5, "githubWorkflowRepository"),
    (6, "githubWorkflowRef"),
    (9, "buildSignerURI"),
    (10, "buildSignerDigest"),
    (11, "runnerEnvironment"),
    (12, "sourceRepositoryURI"),
    (13, "sourceRepositoryDigest"),
    (14, "sourceRepositoryRef"),
    (15, "sourceRepositoryIdentifier"),
    (16, "sourceRepositoryOwnerURI"),
    (17, "sourceRepositoryOwnerIdentifier"),
    (18, "buildConfigURI"),
    (19, "buildConfigDigest"),
    (20, "buildTrigger"),
    (21, "runInvocationURI"),
    (22, "sourceRepositoryVisibilityAtSigning"),
    (23, "deploymentEnvironment"),
    (24, "tokenSubject"),
];

/// The last number whose value is the text itself; later ones hold it as a UTF8String.
const LAST_RAW: u8 = 6;

/// All names: e-mail addresses, URIs, DNS names, IP addresses and Fulcio's user names, in their order. Others are left out.
pub(super) fn identities(certificate: &X509<'_>) -> Result<Vec<String>, Error> {
    let Some(extension) = certificate.extension(oid::SUBJECT_ALT_NAME) else {
        return Ok(Vec::new());
    };
    let mut outer = Reader::new(extension.value);
    let list = outer.open(tag::SEQUENCE);
    let (Ok(mut list), Ok(())) = (list, outer.end()) else {
        return Err(Error::Name);
    };
    let mut names = Vec::new();
    let mut count = 0;
    while !list.is_empty() {
        count += 1;
        if count > MOST_NAMES {
            return Err(Error::TooManyNames);
        }
        names.extend(name(&mut list)?);
    }
    Ok(names)
}

/// The next GeneralName, if it is of a kind that names a signer.
fn name(list: &mut Reader<'_>) -> Result<Option<String>, Error> {
    let value = list.any().map_err(|Malformed| Error::Name)?;
    let text = match value.tag {
        // rfc822Name, dNSName, uniformResourceIdentifier: IA5String
        0x81 | 0x82 | 0x86 => {
            if !value.content.is_ascii() {
                return Err(Error::Name);
            }
            text(value.content)?
        }
        0x87 => address(value.content)?,
        tag::CONTEXT_0 => {
            let Some(user) = user_name(value.content).map_err(|Malformed| Error::Name)? else {
                return Ok(None);
            };
            text(user)?
        }
        _ => return Ok(None),
    };
    Ok(Some(text))
}

/// 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
/// The kinds of texts that a Name has.
const UTF8_OR_PRINTABLE: [u8; 2] = [tag::UTF8_STRING, 0x13];

/// The first organization and the first common name of the subject; empty where it has none.
pub(super) fn subject(certificate: &X509<'_>) -> Result<(String, String), Error> {
    let (mut organization, mut common_name) = (String::new(), String::new());
    let mut outer = Reader::new(certificate.subject);
    let mut sets = outer.open(tag::SEQUENCE).map_err(|Malformed| Error::Name)?;
    while !sets.is_empty() {
        let mut set = sets.open(tag::SET).map_err(|Malformed| Error::Name)?;
        while !set.is_empty() {
            let mut pair = set.open(tag::SEQUENCE).map_err(|Malformed| Error::Name)?;
            let kind = pair.value(tag::OID).map_err(|Malformed| Error::Name)?;
            let value = pair.any().map_err(|Malformed| Error::Name)?;
            let found = match kind {
                COMMON_NAME => &mut common_name,
                ORGANIZATION => &mut organization,
                _ => continue,
            };
            if found.is_empty() && UTF8_OR_PRINTABLE.contains(&value.tag) {
                *found = text(value.content)?;
            }
        }
    }
    Ok((organization, common_name))
}

/// A name, which nobody can hide a part of.
fn text(bytes: &[u8]) -> Result<String, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if !text.is_empty()
                && text.len() <= LONGEST_NAME
                && !text.chars().any(char::is_control) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Error::Name),
    }
}

fn address(bytes: &[u8]) -> Result<String, Error> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::V4(Ipv4Addr::from(bytes)).to_string());
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ok(IpAddr::V6(Ipv6Addr::from(bytes)).to_string()),
        Err(_) => Err(Error::Name),
    }
}

/// OtherName ::= SEQUENCE { OID, [0] EXPLICIT value }: Fulcio's user name, a UTF8String.
fn user_name(content: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut reader = Reader::new(content);
    if fulcio_number(reader.value(tag::OID)?) != Some(7) {
        return Ok(None);
    }
    let mut value = reader.open(tag::CONTEXT_0)?;
    reader.end()?;
    let name = value.value(tag::UTF8_STRING)?;
    value.end()?;
    Ok(Some(name))
}

/// Who vouched for the identity: the address of an OpenID Connect issuer. Nothing if the certificate does not say.
pub(super) fn oidc_issuer(certificate: &X509<'_>) -> Result<Option<String>, Error> {
    let raw = claim(certificate, 1, "issuer")?;
    let encoded = claim(certificate, 8, "issuer")?;
    match (raw, encoded) {
        (Some(raw), Some(encoded)) if raw != encoded => Err(Error::IssuersDiffer {
            raw: shortened(&raw),
            encoded: shortened(&encoded),
        }),
        (raw, encoded) => Ok(encoded.or(raw)),
    }
}

/// The other claims, by name.
pub(super) fn claims(certificate: &X509<'_>) -> Result<BTreeMap<&'static str, String>, Error> {
    let mut claims = BTreeMap::new();
    for (number, name) in CLAIMS {
        if let Some(value) = claim(certificate, *number, name)? {
            claims.insert(*name, value);
        }
    }
    Ok(claims)
}

fn claim(certificate: &X509<'_>, number: u8, name: &'static str) -> Result<Option<String>, Error> {
    let found = certificate
        .extensions
        .iter()
        .find(|extension| fulcio_number(extension.oid) == Some(number));
    let Some(extension) = found else {
        return Ok(None);
    };
    let bytes = if number <= LAST_RAW {
        extension.value
    } else {
        let mut reader = Reader::new(extension.value);
        match (reader.value(tag::UTF8_STRING), reader.end()) {
            (Ok(bytes), Ok(())) => bytes,
            _ => return Err(Error::Claim(name)),
        }
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Error::Claim(name)),
    }
}

/// The number of an object identifier directly on Fulcio's arc.
fn fulcio_number(oid: &[u8]) -> Option<u8> {
    match oid.strip_prefix(FULCIO)? {
        [number @ 0..=0x7f] => Some(*number),
        _ => None,
    }
}
