//! Public keys with the times at which each was, or is, in use, ready to verify with.
//!
//! A signature counts if its key was in use when it was made. When that was is what a log or a timestamp authority proves, and their earliest word
//! is taken: the signature was there by then. Where nothing proves it, it was made now, for whoever stole a key that was retired can write any time into
//! what they sign.

use tekseal_core::key_set::KeySet as Document;
use tekseal_core::time::Time;
use tekseal_core::trusted_root::Validity;

use crate::public_key::{self, PublicKey};
use crate::rejection::{Rejection, shortened};

/// A set of keys. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<DatedKey>,
}

/// A key, and when it was, or is, in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedKey {
    /// The key.
    pub key: PublicKey,
    /// What people call it; may be empty.
    pub name: String,
    /// When it was, or is, in use.
    pub valid: Validity,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("cannot use the key {name:?} at {place} of the key set")]
pub struct Error {
    /// Where it stands, `keys[0]`.
    place: String,
    /// What it is called.
    name: String,
    /// What is wrong with it.
    source: public_key::Error,
}

impl KeySet {
    /// Reads the keys of a document. The same key may stand there twice, with other times.
    ///
    /// # Errors
    /// A key that cannot be read, or of a kind that cannot verify here.
    pub fn new(document: &Document) -> Result<Self, Error> {
        let keys = document.keys.iter().enumerate().map(|(at, entry)| {
            let key = PublicKey::from_spki(&entry.public_key).map_err(|source| Error {
                place: format!("keys[{at}]"),
                name: shortened(&entry.name),
                source,
            })?;
            Ok(DatedKey {
                key,
                name: shortened(&entry.name),
                valid: entry.valid,
            })
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
        })
    }

    /// Keys that are good whenever they sign.
    #[must_use]
    pub fn of(keys: Vec<PublicKey>) -> Self {
        let keys = keys.into_iter().map(|key| DatedKey {
            key,
            name: String::new(),
            valid: Validity::default(),
        });
        Self {
            keys: keys.collect(),
        }
    }

    /// The keys, in the order of the document.
    #[must_use]
    pub fn keys(&self) -> &[DatedKey] {
        &self.keys
    }

    /// The entries of this key.
    pub fn entries<'a>(&'a self, key: &'a PublicKey) -> impl Iterator<Item = &'a DatedKey> {
        self.keys.iter().filter(move |entry| entry.key == *key)
    }

    /// Whether a signature of this key counts, which was made at `proven`, or else now. Seconds since 1970.
    pub(crate) fn check(
        &self,
        key: &PublicKey,
        proven: Option<i64>,
        now: i64,
    ) -> Result<(), Rejection> {
        let time = proven.unwrap_or(now);
        if self.entries(key).any(|entry| entry.valid.covers(time)) {
            return Ok(());
        }
        let name = self.entries(key).find(|entry| !entry.name.is_empty());
        let name = match name {
            Some(entry) => format!("{} ({:?})", key.fingerprint(), entry.name),
            None => key.fingerprint(),
        };
        if let Some(time) = proven {
            return Err(Rejection::KeyNotInUse {
                key: name,
                time: shown(time),
            });
        }
        // Of several times those that are over say most: the key may have been good when it signed.
        let ended = self.entries(key).filter_map(|entry| entry.valid.end);
        match ended.filter(|&end| end < now).max() {
            Some(end) => Err(Rejection::KeyEnded {
                key: name,
                end: shown(end),
            }),
            None => {
                let starts = self.entries(key).filter_map(|entry| entry.valid.start);
                Err(Rejection::KeyNotYet {
                    key: name,
                    start: shown(starts.min().unwrap_or(now)),
                })
            }
        }
    }
}

/// A second since 1970 for people.
fn shown(second: i64) -> String {
    Time::of_second(second)
        .to_protojson()
        .unwrap_or_else(|_| format!("{second} s after 1970"))
}

#[cfg(test)]
mod tests {
    use tekseal_core::key_set::Entry;

    use super::*;

    fn key(pem: &[u8]) -> PublicKey {
        PublicKey::from_pem(pem).expect("a good key")
    }

    fn a() -> PublicKey {
        key(include_bytes!("testdata/a.pub"))
    }

    fn entry(key: &PublicKey, start: i64, end: Option<i64>) -> Entry {
        Entry {
            name: "n".to_owned(),
            public_key: key.spki_der().to_vec(),
            valid: Validity {
                start: Some(start),
                end,
            },
        }
    }

    #[test]
    fn a_key_counts_in_its_time_by_what_is_proven_else_by_now() {
        let (a, b) = (a(), key(include_bytes!("testdata/b.pub")));
        let document = Document {
            keys: vec![
                entry(&a, 100, Some(200)),
                entry(&a, 300, Some(400)),
                entry(&b, 500, None),
            ],
        };
        let set = KeySet::new(&document).expect("good keys");
        let told = |key, proven, now| match set.check(key, proven, now) {
            Ok(()) => "fine".to_owned(),
            Err(rejection) => rejection.to_string(),
        };
        for (proven, now) in [
            (Some(100), 9),
            (Some(200), 999),
            (Some(300), 999),
            (None, 150),
            (None, 400),
        ] {
            assert_eq!(told(&a, proven, now), "fine", "{proven:?} {now}");
        }
        for (proven, now, wanted) in [
            (
                Some(99),
                150,
                "made at 1970-01-01T00:01:39Z, when that key was not in use",
            ),
            (Some(250), 150, "when that key was not in use"),
            (Some(401), 150, "when that key was not in use"),
            (
                None,
                401,
                "which ended at 1970-01-01T00:06:40Z, and nothing proves when it was signed",
            ),
            (
                None,
                250,
                "which ended at 1970-01-01T00:03:20Z, and nothing",
            ),
            (
                None,
                99,
                "which is in use from 1970-01-01T00:01:40Z on, and not yet",
            ),
        ] {
            let told = told(&a, proven, now);
            assert!(told.contains(wanted), "{proven:?} {now}: {told}");
            assert!(
                told.contains(&format!("{} (\"n\")", a.fingerprint())),
                "{told}"
            );
        }
        assert_eq!(told(&b, None, 500), "fine");
        assert!(told(&b, None, 499).contains("not yet"));
        // Whoever asks has found the signature to be of a key of the set.
        assert_eq!(
            KeySet::of(vec![a.clone()]).check(&a, None, i64::MIN).ok(),
            Some(())
        );
    }

    #[test]
    fn a_key_that_cannot_verify_is_named() {
        let mut document = Document {
            keys: vec![entry(&a(), 0, None), entry(&a(), 0, None)],
        };
        document.keys[1].public_key.pop();
        let error = KeySet::new(&document).expect_err("it is damaged");
        assert_eq!(
            error.to_string(),
            "cannot use the key \"n\" at keys[1] of the key set"
        );
        assert_eq!(error.source, public_key::Error::Malformed);
    }
}
