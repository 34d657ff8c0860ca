//! What verifiers trust: key sets, public keys, and the public keys in policies of admission controllers.
//!
//! Policies are not understood here, only searched: every PEM block with a public key counts, and every `keyData`, which containers' policies and OpenShift
//! have in base64. A policy with such a key trusts it somewhere; where, it says itself.

use std::path::PathBuf;

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_core::key_set;
use tekseal_core::time::Time;
use tekseal_signing::{KeyRef, KeySet, PublicKey, key_ref};

use crate::cluster_args::ClusterArgs;
use crate::{Failure, files, key_args, key_sets, key_url};

/// The largest document.
const MOST_BYTES: u64 = 1 << 20;
/// The most keys of a policy.
const MOST_KEYS: usize = key_set::MOST_KEYS;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// What one verifier trusts.
pub(super) struct Trusting {
    pub(super) name: String,
    pub(super) keys: KeySet,
}

/// What a document says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Unknown,
    /// It is trusted, until then if that is known.
    Now {
        /// RFC 3339.
        until: Option<String>,
    },
    /// It was trusted.
    Ended {
        /// RFC 3339.
        at: String,
    },
    /// It will be trusted.
    NotYet {
        /// RFC 3339.
        at: String,
    },
}

impl Standing {
    /// For programs: the state, and the moment that goes with it.
    pub(super) fn told(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Unknown => ("unknown", None),
            Self::Now { until } => ("now", until.as_deref()),
            Self::Ended { at } => ("ended", Some(at)),
            Self::NotYet { at } => ("not yet", Some(at)),
        }
    }
}

impl Trusting {
    /// Reads a document, or the key that a reference names.
    ///
    /// # Errors
    /// Exit 2 if it has no key, or cannot be read; 3 where somebody does not answer.
    pub(super) fn read(
        reference: &str,
        cluster: &ClusterArgs,
        ca: &[PathBuf],
    ) -> Result<Self, Failure> {
        let name = key_ref::shown(reference);
        let keys = keys(reference, cluster, ca);
        Ok(Self {
            keys: keys.map_err(|f| f.context(format!("reading what is trusted, {name}")))?,
            name,
        })
    }

    /// What it says of a key, at a second since 1970, and what it calls it.
    pub(super) fn standing(&self, key: &PublicKey, now: i64) -> (String, Standing) {
        let name = |wanted: &dyn Fn(i64, Option<i64>) -> bool| {
            let mut entries = self.keys.entries(key);
            let found = entries
                .find(|entry| wanted(entry.valid.start.unwrap_or(i64::MIN), entry.valid.end));
            found.map(|entry| entry.name.clone()).unwrap_or_default()
        };
        if self.keys.entries(key).next().is_none() {
            return (String::new(), Standing::Unknown);
        }
        let mut now_valid = self
            .keys
            .entries(key)
            .filter(|entry| entry.valid.covers(now));
        if let Some(first) = now_valid.next() {
            let ends = std::iter::once(first)
                .chain(now_valid)
                .map(|entry| entry.valid.end);
            // One without an end outlasts all others.
            let until = ends
                .reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)))
                .flatten();
            let standing = Standing::Now {
                until: until.map(shown),
            };
            return (first.name.clone(), standing);
        }
        let ended = self.keys.entries(key).filter_map(|entry| entry.valid.end);
        if let Some(end) = ended.filter(|&end| end < now).max() {
            let name = name(&|_, of| of == Some(end));
            return (name, Standing::Ended { at: shown(end) });
        }
        let starts = self.keys.entries(key).filter_map(|entry| entry.valid.start);
        let start = starts.min().unwrap_or(now);
        let name = name(&|of, _| of == start);
        (name, Standing::NotYet { at: shown(start) })
    }
}

fn shown(second: i64) -> String {
    Time::of_second(second)
        .to_protojson()
        .unwrap_or_else(|_| format!("{second} s after 1970"))
}

fn keys(reference: &str, cluster: &ClusterArgs, ca: &[PathBuf]) -> Result<KeySet, Failure> {
    let bytes = match KeyRef::parse(reference).map_err(Failure::misuse)? {
        KeyRef::Path(path) => files::read(&path, MOST_BYTES, "document")?,
        KeyRef::Env(name) => std::env::var_os(&name)
            .map(std::ffi::OsString::into_encoded_bytes)
            .ok_or_else(|| {
                Failure::misuse(anyhow!("the environment variable {name} is not set"))
            })?,
        KeyRef::Url(url) => crate::block_on(key_url::read(&url, MOST_BYTES, ca))?,
        KeyRef::Secret { namespace, name } => {
            return match key_sets::of_config_map(cluster, &namespace, &name)? {
                Some(bytes) => key_sets::parse(&bytes),
                None => one(reference, cluster, ca),
            };
        }
        KeyRef::Gitlab(_) | KeyRef::Kms(_) => return one(reference, cluster, ca),
    };
    of_document(&bytes)
}

fn one(reference: &str, cluster: &ClusterArgs, ca: &[PathBuf]) -> Result<KeySet, Failure> {
    let key = key_args::public_key(reference, cluster, ca)?;
    Ok(KeySet::of(vec![key]))
}

/// The keys of a key set, or all public keys in a text.
fn of_document(bytes: &[u8]) -> Result<KeySet, Failure> {
    if key_set::KeySet::is_meant(bytes) {
        return key_sets::parse(bytes);
    }
    let text = std::str::from_utf8(bytes).map_err(Failure::misuse)?;
    let mut found = Vec::new();
    let mut pems = pem_blocks(text);
    pems.extend(key_data(text).iter().flat_map(|text| pem_blocks(text)));
    for pem in pems {
        let key = PublicKey::from_pem(pem.as_bytes())
            .map_err(|e| Failure::misuse(e).context("a public key in it"))?;
        if !found.contains(&key) {
            found.push(key);
        }
        if found.len() > MOST_KEYS {
            return Err(Failure::misuse(anyhow!(
                "it has more than {MOST_KEYS} public keys"
            )));
        }
    }
    if found.is_empty() {
        return Err(Failure::misuse(anyhow!("there is no public key in it"))
            .hint("wanted is a key set, a public key, or a policy with public keys; a key that a policy names elsewhere is given by its reference"));
    }
    Ok(KeySet::of(found))
}

/// The PEM blocks in a text, however they are indented; line breaks may be `\n` in quotes.
fn pem_blocks(text: &str) -> Vec<String> {
    let text = text.replace("\\n", "\n");
    let mut rest = text.as_str();
    let mut blocks = Vec::new();
    while let Some(begin) = rest.find(BEGIN) {
        let body = &rest[begin + BEGIN.len()..];
        let Some(end) = body.find(END) else { break };
        let lines = body[..end].split_whitespace().collect::<Vec<_>>();
        blocks.push(format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")));
        rest = &body[end + END.len()..];
        if blocks.len() > MOST_KEYS {
            break;
        }
    }
    blocks
}

/// What stands behind each `keyData`, decoded.
fn key_data(text: &str) -> Vec<String> {
    let values = text.split("keyData").skip(1).take(MOST_KEYS + 1);
    let decoded = values.filter_map(|rest| {
        let value = rest.trim_start_matches(['"', '\'', ':', ' ', '\t']);
        let end = value
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/' | '='))
            .unwrap_or(value.len());
        let bytes = STANDARD.decode(&value[..end]).ok()?;
        String::from_utf8(bytes).ok()
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use tekseal_core::key_set::Entry;
    use tekseal_core::trusted_root::Validity;
    use tekseal_signing::{Signer, random};

    use super::*;

    fn key() -> PublicKey {
        let signer = Signer::generate(&mut random::system).expect("a key");
        signer.public_key().clone()
    }

    #[test]
    fn keys_are_found_in_policies_of_every_form() {
        let (a, b) = (key(), key());
        let indented = |key: &PublicKey| key.to_pem().replace('\n', "\n          ");
        let yaml = format!(
            "spec:\n  keys:\n    - publicKeys: |-\n          {}\n    - data: |\n          {}\n",
            indented(&a),
            indented(&b)
        );
        let escaped = format!("{{\"key\": {:?}, \"again\": {:?}}}", a.to_pem(), a.to_pem());
        let base64 = format!("keyData: {}\n", STANDARD.encode(b.to_pem()));
        let json = format!("{{\"keyData\": \"{}\"}}", STANDARD.encode(b.to_pem()));
        for (document, wanted) in [
            (yaml, vec![&a, &b]),
            (escaped, vec![&a]),
            (base64, vec![&b]),
            (json, vec![&b]),
            (a.to_pem(), vec![&a]),
        ] {
            let found = of_document(document.as_bytes()).expect("it has keys");
            let found: Vec<_> = found.keys().iter().map(|entry| &entry.key).collect();
            assert_eq!(found, wanted, "{document}");
        }
        for (document, wanted) in [
            ("spec: {}", "no public key"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA", "no public key"),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
                "a public key in it",
            ),
            (
                "{\"mediaType\": \"application/vnd.tekseal.keyset+json;version=9\"}",
                "the media type",
            ),
        ] {
            let failure = of_document(document.as_bytes()).expect_err(document);
            assert!(failure.message().contains(wanted), "{failure:?}");
        }
        let many = a.to_pem().repeat(MOST_KEYS + 2);
        assert_eq!(of_document(many.as_bytes()).expect("one").keys().len(), 1);
    }

    #[test]
    fn a_document_says_since_when_and_until_when() {
        let (a, b) = (key(), key());
        let entry = |name: &str, start, end| Entry {
            name: name.to_owned(),
            public_key: a.spki_der().to_vec(),
            valid: Validity {
                start: Some(start),
                end,
            },
        };
        let keys = vec![entry("x", 100, Some(200)), entry("y", 150, Some(300))];
        let trusting = |keys| Trusting {
            name: "d".to_owned(),
            keys: KeySet::new(&key_set::KeySet { keys }).expect("good keys"),
        };
        let of = trusting(keys);
        for (now, state, at, name) in [
            (99, "not yet", Some("1970-01-01T00:01:40Z"), "x"),
            (100, "now", Some("1970-01-01T00:03:20Z"), "x"),
            (180, "now", Some("1970-01-01T00:05:00Z"), "x"),
            (250, "now", Some("1970-01-01T00:05:00Z"), "y"),
            (301, "ended", Some("1970-01-01T00:05:00Z"), "y"),
        ] {
            let (called, standing) = of.standing(&a, now);
            assert_eq!((standing.told(), &called[..]), ((state, at), name), "{now}");
        }
        assert_eq!(of.standing(&b, 150).1, Standing::Unknown);
        let of = trusting(vec![entry("x", 0, Some(200)), entry("y", 0, None)]);
        assert_eq!(of.standing(&a, 150).1, Standing::Now { until: None });
    }
}
