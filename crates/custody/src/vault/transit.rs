//! One key of the transit engine: what it is, its versions, and signatures by one of them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tekseal_remote::rest::{Answer, Method};
use tekseal_signing::key_ref::VaultKey;
use tekseal_signing::remote_key::Message;
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey};

use super::client::{Ask, Repeat, Vault, is_absent};
use super::{SERVICE, place};
use crate::{Context, Error};

/// What Vault calls the keys that can be used here.
const KINDS: [(&str, KeyAlgorithm); 7] = [
    ("ecdsa-p256", KeyAlgorithm::P256),
    ("ecdsa-p384", KeyAlgorithm::P384),
    ("ecdsa-p521", KeyAlgorithm::P521),
    ("ed25519", KeyAlgorithm::Ed25519),
    ("rsa-2048", KeyAlgorithm::Rsa(2048)),
    ("rsa-3072", KeyAlgorithm::Rsa(3072)),
    ("rsa-4096", KeyAlgorithm::Rsa(4096)),
];
const MAKES: &str = "ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072 and rsa-4096";
const WANTED_KIND: &str = "what signs here is of type ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072 or rsa-4096";
/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI_HEAD: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// A key has all its versions in one answer, and their certificates.
const MOST_KEY: u64 = 4 * 1024 * 1024;
const MOST_SIGNATURE: u64 = 64 * 1024;

/// A key, and where it is.
pub(super) struct Transit {
    vault: Vault,
    mount: String,
    name: String,
    reference: String,
    /// The version that `VAULT_KEY_PREFIX` names.
    pinned: Option<u64>,
}

/// A version that can sign.
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) public: PublicKey,
    /// When it was made.
    pub(super) created: Option<Timestamp>,
}

#[derive(Deserialize)]
struct KeyAnswer {
    data: Key,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    derived: bool,
    latest_version: u64,
    /// A version is an object where there is a public key, and the time at which it was made where there is none.
    keys: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct SignAnswer {
    data: Signature,
}

#[derive(Deserialize)]
struct Signature {
    signature: String,
}

/// What an answer may say beside what it is asked for.
#[derive(Default, Deserialize)]
struct Aside {
    warnings: Option<Vec<String>>,
}

impl Transit {
    pub(super) fn new(key: &VaultKey, context: &Context) -> Result<Self, Error> {
        let mount = match context.variable("TRANSIT_SECRET_ENGINE_PATH") {
            Some(path) => place::mount("TRANSIT_SECRET_ENGINE_PATH", &path)?,
            None => "transit".to_owned(),
        };
        let pinned = match context.variable("VAULT_KEY_PREFIX") {
            Some(prefix) => Some(pinned(&prefix).ok_or_else(|| Error::Setting {
                name: "VAULT_KEY_PREFIX".to_owned(),
                reason: "wanted vault:vN:, where N is a version of the key".to_owned(),
            })?),
            None => None,
        };
        Ok(Self {
            vault: Vault::new(key.scheme, context)?,
            mount,
            name: key.name.clone(),
            reference: key.to_string(),
            pinned,
        })
    }

    pub(super) fn reference(&self) -> &str {
        &self.reference
    }

    /// The version that is meant: the one that `VAULT_KEY_PREFIX` names, else the newest.
    pub(super) async fn meant(&self) -> Result<Version, Error> {
        self.version(self.pinned).await
    }

    /// Makes the key.
    pub(super) async fn create(&self, algorithm: KeyAlgorithm) -> Result<Version, Error> {
        let kind = KINDS.iter().find(|(_, known)| *known == algorithm);
        let Some((kind, _)) = kind else {
            return Err(Error::Algorithm {
                service: SERVICE,
                algorithm,
                makes: MAKES,
            });
        };
        let path = self.path("keys", "");
        let there = self.vault.ask(&self.reading(&path)).await?;
        if there.is_success() {
            return Err(self.there());
        }
        if !is_absent(&there) {
            return Err(self.reading(&path).refused(&there));
        }
        let ask = Ask {
            action: format!("make {}", self.reference),
            method: Method::POST,
            body: Some(json!({"type": kind}).to_string().into_bytes()),
            repeat: Repeat::Never,
            capability: "create and update",
            ..self.reading(&path)
        };
        let answer = self.vault.ask(&ask).await?;
        if !answer.is_success() {
            return Err(ask.refused(&answer));
        }
        // Somebody else may have made it meanwhile; an older Vault says nothing at all.
        let aside: Aside = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is_there = |warning: &String| warning.contains("already existed");
        if aside.warnings.unwrap_or_default().iter().any(is_there) {
            return Err(self.there());
        }
        let made = self.version(None).await?;
        match made.public.algorithm() == algorithm {
            true => Ok(made),
            // Somebody else was faster.
            false => Err(self.there()),
        }
    }

    /// Makes a new version.
    pub(super) async fn rotate(&self) -> Result<Version, Error> {
        let before = self.version(None).await?;
        let path = self.path("keys", "/rotate");
        let ask = Ask {
            action: format!("rotate {}", self.reference),
            method: Method::POST,
            body: Some(b"{}".to_vec()),
            repeat: Repeat::Never,
            capability: "update",
            ..self.reading(&path)
        };
        let answer = self.vault.ask(&ask).await?;
        if !answer.is_success() {
            return Err(ask.refused(&answer));
        }
        let after = self.version(None).await?;
        match after.number > before.number && after.public != before.public {
            true => Ok(after),
            false => Err(ask.wrong("the same version".to_owned(), "a new one")),
        }
    }

    /// The signature of a version over a message: DER for ECDSA, PKCS#1 v1.5 for RSA, over its SHA-256; for Ed25519 over the message itself.
    ///
    /// What is sent is what sigstore's client sends, so that a policy that lets that one sign lets us.
    pub(super) async fn sign(
        &self,
        version: u64,
        algorithm: KeyAlgorithm,
        message: Message<'_>,
    ) -> Result<Vec<u8>, Error> {
        let is_whole = algorithm == KeyAlgorithm::Ed25519;
        let input = match (is_whole, message) {
            (true, Message::Whole(bytes)) => STANDARD.encode(bytes),
            (true, Message::Sha256(_)) => {
                return Err(Error::Unsupported {
                    service: SERVICE.to_owned(),
                    what: "sign the digest of a message with an ed25519 key; use an ecdsa-p256 key",
                });
            }
            (false, message) => {
                let digest = message.digest(HashAlgorithm::Sha256);
                STANDARD.encode(digest.expect("every message has a SHA-256"))
            }
        };
        let body = json!({
            "input": input,
            "prehashed": !is_whole,
            "key_version": version,
            "signature_algorithm": "pkcs1v15",
        });
        let path = self.path("sign", "/sha2-256");
        let ask = Ask {
            action: format!("sign with version {version} of {}", self.reference),
            method: Method::POST,
            path: &path,
            body: Some(body.to_string().into_bytes()),
            limit: MOST_SIGNATURE,
            repeat: Repeat::Harmless,
            capability: "update",
        };
        let answer = self.vault.ask(&ask).await?;
        let signed: SignAnswer = ask.read(&answer, "a signature")?;
        let text = &signed.data.signature;
        let Some((made_by, signature)) = signature_of(text) else {
            let found = "a text that is none of its signatures".to_owned();
            return Err(ask.wrong(found, "vault:vN: and base64"));
        };
        match made_by == version {
            true => Ok(signature),
            false => Err(ask.wrong(
                format!("a signature of version {made_by}"),
                "one of the version that was asked for",
            )),
        }
    }

    /// A version, or the newest one.
    async fn version(&self, number: Option<u64>) -> Result<Version, Error> {
        let path = self.path("keys", "");
        let ask = self.reading(&path);
        let answer = self.vault.ask(&ask).await?;
        if is_absent(&answer) {
            return Err(Error::Refused {
                service: SERVICE,
                action: ask.action,
                status: answer.status,
                detail: format!(": there is no key of this name in {}", self.mount),
                may_pass: false,
                retry_after: None,
            });
        }
        let KeyAnswer { data: key } = ask.read(&answer, "a key")?;
        let algorithm = self.usable(&key, &answer)?;
        let chosen = number.unwrap_or(key.latest_version);
        let held = key.keys.get(&chosen.to_string());
        let Some(held) = held else {
            return Err(match number {
                Some(number) => Error::Setting {
                    name: "VAULT_KEY_PREFIX".to_owned(),
                    reason: format!("{} has no version {number} to sign with", self.reference),
                },
                None => ask.wrong("a key without its latest version".to_owned(), "one with it"),
            });
        };
        let Some(text) = held.get("public_key").and_then(Value::as_str) else {
            return Err(ask.wrong("a version without a public key".to_owned(), "one with it"));
        };
        let public = public_key(algorithm, text).map_err(|source| Error::PublicKey {
            service: SERVICE,
            reference: self.reference.clone(),
            source,
        })?;
        let created = held.get("creation_time").and_then(Value::as_str);
        match public.algorithm() == algorithm {
            true => Ok(Version {
                number: chosen,
                public,
                created: created.and_then(|time| time.parse().ok()),
            }),
            false => Err(ask.wrong(
                format!("a public key for {}", public.algorithm()),
                "one of the type of the key",
            )),
        }
    }

    /// The algorithm of a key that can sign here.
    fn usable(&self, key: &Key, answer: &Answer) -> Result<KeyAlgorithm, Error> {
        let kind = KINDS.iter().find(|(name, _)| *name == key.kind);
        let Some((_, algorithm)) = kind else {
            return Err(Error::KeyKind {
                reference: self.reference.clone(),
                found: format!("of type {}", answer.told(&key.kind)),
                wanted: WANTED_KIND,
            });
        };
        match key.derived {
            false => Ok(*algorithm),
            true => Err(Error::KeyKind {
                reference: self.reference.clone(),
                found: "derived, with another public key for each context".to_owned(),
                wanted: "what signs here has one",
            }),
        }
    }

    fn there(&self) -> Error {
        Error::KeyKind {
            reference: self.reference.clone(),
            found: "there already".to_owned(),
            wanted: "nothing was changed; rotate it for a new version, or take another name",
        }
    }

    /// Names of keys are words with dots and dashes, and can stand in a path as they are.
    fn path(&self, call: &str, rest: &str) -> String {
        format!("{}/{call}/{}{rest}", self.mount, self.name)
    }

    fn reading<'a>(&self, path: &'a str) -> Ask<'a> {
        Ask {
            action: format!("read {}", self.reference),
            method: Method::GET,
            path,
            body: None,
            limit: MOST_KEY,
            repeat: Repeat::Harmless,
            capability: "read",
        }
    }
}

/// The public key of a version: PEM, but for Ed25519, of which Vault gives the 32 bytes in base64.
fn public_key(
    algorithm: KeyAlgorithm,
    text: &str,
) -> Result<PublicKey, tekseal_signing::public_key::Error> {
    if algorithm != KeyAlgorithm::Ed25519 {
        return PublicKey::from_pem(text.as_bytes());
    }
    let key = STANDARD.decode(text).unwrap_or_default();
    PublicKey::from_spki(&[ED25519_SPKI_HEAD, &key].concat())
}

/// Version and signature of `vault:vN:BASE64`.
fn signature_of(text: &str) -> Option<(u64, Vec<u8>)> {
    let (version, signature) = text.strip_prefix("vault:v")?.split_once(':')?;
    Some((number(version)?, STANDARD.decode(signature).ok()?))
}

/// The version of `vault:vN:`.
fn pinned(prefix: &str) -> Option<u64> {
    number(prefix.strip_prefix("vault:v")?.strip_suffix(':')?)
}

/// A version: digits, the first of them not zero.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_says_its_version() {
        assert_eq!(signature_of("vault:v12:AQI="), Some((12, vec![1, 2])));
        for bad in [
            "",
            "AQI=",
            "vault:v:AQI=",
            "vault:v0:AQI=",
            "vault:v01:AQI=",
            "vault:v+1:AQI=",
            "vault:v1:A",
            "vault:v1",
            "vault:v99999999999999999999:AQI=",
        ] {
            assert_eq!(signature_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_prefix_names_a_version_and_nothing_else() {
        assert_eq!(pinned("vault:v3:"), Some(3));
        for bad in [
            "vault:v3",
            "v3:",
            "vault:v3:AQI=",
            "vault:v-3:",
            "vault:v0:",
        ] {
            assert_eq!(pinned(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_raw_ed25519_key_is_one_and_other_bytes_are_none() {
        let text = STANDARD.encode([7; 32]);
        let key = public_key(KeyAlgorithm::Ed25519, &text).expect("any 32 bytes are one");
        assert_eq!(key.algorithm(), KeyAlgorithm::Ed25519);
        for bad in [
            "",
            "?",
            &STANDARD.encode([7; 31]),
            &STANDARD.encode([7; 33]),
        ] {
            assert!(public_key(KeyAlgorithm::Ed25519, bad).is_err(), "{bad}");
        }
    }
}
