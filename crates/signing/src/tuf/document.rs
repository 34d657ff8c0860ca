//! What every document of a TUF repository is: signed bytes, signatures, a version, and an end.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tekseal_core::excerpt::Excerpt;
use tekseal_core::strict_json;
use tekseal_core::time::Time;

use super::canonical::{self, NotAnInteger};
use super::{Error, Role};
use crate::der::Algorithm;
use crate::public_key::{HashAlgorithm, KeyAlgorithm, PublicKey};

/// The most signatures that are looked at.
const MOST_SIGNATURES: usize = 64;
/// The longest signature, in digits; ECDSA has 144.
const LONGEST_SIGNATURE: usize = 2048;

/// A document whose signatures are still to be checked.
pub(super) struct Document<T> {
    role: Role,
    /// The bytes that are signed.
    signed: Vec<u8>,
    signatures: Vec<SignatureRead>,
    pub(super) head: Head,
    pub(super) content: T,
}

/// What every document says of itself.
#[derive(Clone, Debug)]
pub(super) struct Head {
    role: Role,
    pub(super) version: u64,
    /// Seconds since 1970.
    expires: i64,
    expires_text: String,
}

/// How many of which keys must sign for a role.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) threshold: u64,
    pub(super) keys: BTreeMap<String, PublicKey>,
}

#[derive(Deserialize)]
struct Whole {
    signed: Value,
    signatures: Vec<SignatureRead>,
}

#[derive(Deserialize)]
struct SignatureRead {
    keyid: String,
    sig: String,
}

#[derive(Deserialize)]
struct HeadRead {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    version: u64,
    expires: String,
}

impl<T: DeserializeOwned> Document<T> {
    /// Reads a document of this role, of at most `limit` bytes. Nothing of it is true yet.
    pub(super) fn read(role: Role, bytes: &[u8], limit: u64) -> Result<Self, Error> {
        let found = bytes.len() as u64;
        if found > limit {
            return Err(Error::TooLong { role, found, limit });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Utf8(role))?;
        strict_json::check(text, |_| &[]).map_err(|source| Error::Json { role, source })?;
        let form = |error: serde_json::Error| Error::Form {
            role,
            what: Excerpt::of(&error.to_string()),
        };
        let whole: Whole = serde_json::from_str(text).map_err(form)?;
        if whole.signatures.len() > MOST_SIGNATURES {
            return Err(Error::TooMany {
                role,
                what: "signatures",
                most: MOST_SIGNATURES,
            });
        }
        let signed = canonical::bytes(&whole.signed).map_err(|NotAnInteger| Error::Number(role))?;
        let head = HeadRead::deserialize(&whole.signed).map_err(form)?;
        Ok(Self {
            role,
            signed,
            signatures: whole.signatures,
            head: Head::new(role, head)?,
            content: T::deserialize(whole.signed).map_err(form)?,
        })
    }
}

impl<T> Document<T> {
    /// Checks that as many keys have signed as must; `by` says whose keys they are.
    pub(super) fn verify(&self, rule: &Rule, by: &'static str) -> Result<(), Error> {
        // One key under two names is one key.
        let mut good = HashSet::new();
        for signature in &self.signatures {
            let Some(key) = rule.keys.get(&signature.keyid) else {
                continue;
            };
            if good.contains(key.spki_der()) {
                continue;
            }
            let Some(bytes) = hex(&signature.sig, LONGEST_SIGNATURE) else {
                continue;
            };
            if key
                .verify(HashAlgorithm::Sha256, &self.signed, &bytes)
                .is_ok()
            {
                good.insert(key.spki_der());
            }
        }
        if (good.len() as u64) < rule.threshold {
            return Err(Error::Threshold {
                role: self.role,
                by,
                found: good.len(),
                wanted: rule.threshold,
            });
        }
        Ok(())
    }
}

impl Head {
    fn new(role: Role, read: HeadRead) -> Result<Self, Error> {
        if read.kind != role.name() {
            return Err(Error::Type {
                role,
                found: Excerpt::of(&read.kind),
            });
        }
        if read.spec_version.split('.').next() != Some("1") {
            return Err(Error::SpecVersion {
                role,
                found: Excerpt::of(&read.spec_version),
            });
        }
        let expires = Time::parse(&read.expires).map_err(|error| Error::Form {
            role,
            what: Excerpt::of(&error.to_string()),
        })?;
        Ok(Self {
            role,
            version: read.version,
            expires: expires.second_before(),
            expires_text: read.expires,
        })
    }

    /// Checks that it has not expired at this time, seconds since 1970.
    pub(super) fn check_expiry(&self, now: i64) -> Result<(), Error> {
        if self.expires > now {
            return Ok(());
        }
        Err(Error::Expired {
            role: self.role,
            version: self.version,
            expires: self.expires_text.clone(),
        })
    }
}

/// A key as documents have it.
#[derive(Deserialize)]
pub(super) struct KeyRead {
    keytype: String,
    scheme: String,
    keyval: KeyValue,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default)]
    public: String,
}

impl KeyRead {
    /// The key, if it is of a kind that is supported; others sign nothing that counts.
    pub(super) fn key(&self) -> Option<PublicKey> {
        let wanted = match (self.keytype.as_str(), self.scheme.as_str()) {
            ("ed25519", "ed25519") => KeyAlgorithm::Ed25519,
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => KeyAlgorithm::P256,
            _ => return None,
        };
        let text = &self.keyval.public;
        let key = if text.trim_start().starts_with("-----") {
            PublicKey::from_pem(text.as_bytes()).ok()?
        } else {
            let bytes = hex(text, 130)?;
            let algorithm = match wanted {
                KeyAlgorithm::Ed25519 => Algorithm::Ed25519,
                _ => Algorithm::P256,
            };
            PublicKey::of(algorithm, &bytes).ok()?
        };
        (key.algorithm() == wanted).then_some(key)
    }
}

/// The bytes of at most `longest` hexadecimal digits.
pub(super) fn hex(text: &str, longest: usize) -> Option<Vec<u8>> {
    if text.len() > longest || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    pairs.map(byte).collect()
}
