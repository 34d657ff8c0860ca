//! What AWS says of a key: its public half, its kind, and its ARN, by which it is called from then on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tekseal_signing::key_ref::AwsKey;
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey};

use super::SERVICE;
use super::client::{Age, Client, Operation};
use crate::Error;

/// A kind of key that signs as cosign verifies.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) algorithm: KeyAlgorithm,
    /// As AWS calls it.
    pub(super) spec: &'static str,
    /// What it signs with.
    pub(super) signing: &'static str,
    /// The hash of that.
    pub(super) hash: HashAlgorithm,
}

/// The kinds, with what cosign takes of each: see `key_ref`. Ed25519 keys of AWS sign whole messages of at most 4 KiB, which attestations exceed.
static KINDS: [Kind; 6] = [
    ecdsa(
        KeyAlgorithm::P256,
        "ECC_NIST_P256",
        "ECDSA_SHA_256",
        HashAlgorithm::Sha256,
    ),
    ecdsa(
        KeyAlgorithm::P384,
        "ECC_NIST_P384",
        "ECDSA_SHA_384",
        HashAlgorithm::Sha384,
    ),
    ecdsa(
        KeyAlgorithm::P521,
        "ECC_NIST_P521",
        "ECDSA_SHA_512",
        HashAlgorithm::Sha512,
    ),
    rsa(2048, "RSA_2048"),
    rsa(3072, "RSA_3072"),
    rsa(4096, "RSA_4096"),
];
/// For messages.
pub(super) const WANTED: &str = "ECDSA P-256, P-384 and P-521, and RSA of 2048, 3072 and 4096 bits";
const SIGN_VERIFY: &str = "SIGN_VERIFY";

const fn ecdsa(
    algorithm: KeyAlgorithm,
    spec: &'static str,
    signing: &'static str,
    hash: HashAlgorithm,
) -> Kind {
    Kind {
        algorithm,
        spec,
        signing,
        hash,
    }
}

const fn rsa(bits: usize, spec: &'static str) -> Kind {
    Kind {
        algorithm: KeyAlgorithm::Rsa(bits),
        spec,
        signing: "RSASSA_PKCS1_V1_5_SHA_256",
        hash: HashAlgorithm::Sha256,
    }
}

impl Kind {
    /// The kind of an algorithm.
    pub(super) fn of(algorithm: KeyAlgorithm) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.algorithm == algorithm)
    }

    /// The kind that AWS calls so, of a key that may sign; `reference` is for the error.
    pub(super) fn named(spec: &str, usage: &str, reference: &str) -> Result<&'static Self, Error> {
        let other = |found: String, wanted| Error::KeyKind {
            reference: reference.to_owned(),
            found,
            wanted,
        };
        if usage != SIGN_VERIFY {
            return Err(other(
                format!("for {}", name(usage)),
                "only keys with the usage SIGN_VERIFY sign",
            ));
        }
        let kind = KINDS.iter().find(|kind| kind.spec == spec);
        kind.ok_or_else(|| {
            other(
                format!("of the kind {}", name(spec)),
                "ECDSA P-256, P-384 or P-521, or RSA is needed, for that is what verifiers take",
            )
        })
    }
}

/// A name that AWS gives, if it is one.
fn name(text: &str) -> &str {
    let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    match (1..=40).contains(&text.len()) && text.bytes().all(is_name) {
        true => text,
        false => "something unknown",
    }
}

/// A key that was asked for its public half.
pub(super) struct Held {
    /// The ARN of the key itself, never of an alias. Imitations of AWS give the id instead.
    pub(super) arn: String,
    pub(super) kind: &'static Kind,
    pub(super) public: PublicKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKeyAnswer {
    key_id: String,
    public_key: String,
    /// Before 2021 the second name was the only one; imitations may still have that alone.
    #[serde(default)]
    key_spec: Option<String>,
    #[serde(default)]
    customer_master_key_spec: Option<String>,
    key_usage: String,
    /// Keys for something else have none.
    #[serde(default)]
    signing_algorithms: Option<Vec<String>>,
}

impl Held {
    /// Asks for the key that `key` names now.
    pub(super) async fn read(key: &AwsKey, client: &Client) -> Result<Self, Error> {
        let reference = key.to_string();
        let action = format!("give the public key of {reference}");
        let body = json!({"KeyId": key.id});
        let answer = client
            .call(Operation::GetPublicKey, Age::Known, &body, &action)
            .await?;
        Self::checked(answer, &reference, &action, |arn| is_of(&key.id, arn))
    }

    /// Asks for a key that was just made.
    pub(super) async fn read_new(arn: &str, client: &Client) -> Result<Self, Error> {
        let action = format!("give the public key of the new key {arn}");
        let body = json!({"KeyId": arn});
        let answer = client
            .call(Operation::GetPublicKey, Age::JustMade, &body, &action)
            .await?;
        Self::checked(answer, arn, &action, |found| is_same(arn, found))
    }

    fn checked(
        answer: PublicKeyAnswer,
        reference: &str,
        action: &str,
        is_asked_for: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let odd = |found: &str, wanted| Error::Answer {
            service: SERVICE,
            action: action.to_owned(),
            found: found.to_owned(),
            wanted,
        };
        if !is_asked_for(&answer.key_id) {
            return Err(odd("another key", "the one that it was asked for"));
        }
        let spec = answer.key_spec.or(answer.customer_master_key_spec);
        let spec = spec.ok_or_else(|| odd("no KeySpec", "one"))?;
        let kind = Kind::named(&spec, &answer.key_usage, reference)?;
        let algorithms = answer.signing_algorithms.unwrap_or_default();
        if !algorithms.iter().any(|name| name == kind.signing) {
            return Err(odd(
                "other signing algorithms",
                "those that all keys of this kind have",
            ));
        }
        let der = STANDARD.decode(&answer.public_key);
        let der = der.map_err(|_| odd("something else", "a public key in base64"))?;
        let public = PublicKey::from_spki(&der).map_err(|source| Error::PublicKey {
            service: SERVICE,
            reference: reference.to_owned(),
            source,
        })?;
        if public.algorithm() != kind.algorithm {
            return Err(odd(
                "a public key of another kind",
                "one of the kind that it names",
            ));
        }
        Ok(Self {
            arn: answer.key_id,
            kind,
            public,
        })
    }
}

/// Whether it is the ARN of a key, `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
pub(super) fn is_key_arn(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-:/".contains(&b);
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [prefix, partition, service, region, account, resource] = parts[..] else {
        return false;
    };
    text.len() <= 2048
        && text.bytes().all(is_plain)
        && prefix == "arn"
        && service == "kms"
        && [partition, region, account]
            .iter()
            .all(|part| !part.is_empty())
        && resource
            .strip_prefix("key/")
            .is_some_and(|id| !id.is_empty() && !id.contains([':', '/']))
}

/// The partition, the region and the account of an ARN.
pub(super) fn place(arn: &str) -> Option<&str> {
    let (at, _) = arn.match_indices(':').nth(4)?;
    Some(&arn[..at])
}

/// Whether it is the id of a key.
fn is_key_id(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Whether two names, each an ARN or an id, are of one key.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let id = |name: &str| name.rsplit_once(":key/").map(|(_, id)| id.to_owned());
    match (id(one), id(other)) {
        (Some(id), None) => id == other,
        (None, Some(id)) => id == one,
        _ => one == other,
    }
}

/// Whether what was asked for as `asked` may be the key that AWS calls `found`.
fn is_of(asked: &str, found: &str) -> bool {
    if is_key_id(found) {
        return asked.contains("alias/") || is_same(asked, found);
    }
    if !is_key_arn(found) {
        return false;
    }
    match asked.starts_with("arn:") {
        true if asked.contains(":alias/") => place(asked) == place(found),
        false if asked.starts_with("alias/") => true,
        _ => is_same(asked, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn only_the_key_that_was_asked_for_is_taken() {
        let other = "arn:aws:kms:us-east-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
        for (id, is_good) in [
            (ARN, true),
            ("1234abcd-12ab-34cd-56ef-1234567890ab", true),
            ("alias/a", true),
            ("arn:aws:kms:us-east-2:111122223333:alias/a", true),
            ("arn:aws:kms:us-east-2:999922223333:alias/a", false),
            ("arn:aws:kms:us-east-1:111122223333:alias/a", false),
            (other, false),
            ("mrk-1234abcd12ab34cd56ef1234567890ab", false),
            ("90ab", false),
        ] {
            assert_eq!(is_of(id, ARN), is_good, "{id}");
        }
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        assert!(is_of(ARN, id) && is_of(id, id) && is_of("alias/a", id));
        for found in ["", "90ab", "alias/a", "a b"] {
            assert!(!is_of(ARN, found) && !is_of(id, found), "{found}");
        }
        assert!(!is_of("alias/a", "alias/a") && !is_of("alias/a", ""));
    }

    #[test]
    fn an_alias_is_no_key() {
        assert!(is_key_arn(ARN));
        for text in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-2:111122223333:alias/a",
            "arn:aws:kms:us-east-2:111122223333:key/",
            "arn:aws:kms:us-east-2:111122223333:key/a/b",
            "arn:aws:kms::111122223333:key/a",
            "arn:aws:s3:us-east-2:111122223333:key/a",
            "arn:aws:kms:us-east-2:111122223333:key/a b",
        ] {
            assert!(!is_key_arn(text), "{text}");
        }
    }
}
