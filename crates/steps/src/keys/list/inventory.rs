//! The keys that were found, what is known of each, and what is to be warned of.

use jiff::Timestamp;
use serde_json::{Value, json};
use tekseal_cluster::vouching::Vouches;
use tekseal_signing::{KeyAlgorithm, PublicKey};

use super::trust::{Standing, Trusting};

/// RSA keys with fewer bits have 112 bits of strength, NIST SP 800-57 part 1, table 2.
const STRONG_RSA: usize = 3072;

/// All keys, in the order in which they were found.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) keys: Vec<Listed>,
    /// What is wrong and of no key, or of one that cannot be read.
    pub(super) warnings: Vec<String>,
    /// What people should know beside.
    pub(super) notes: Vec<String>,
}

/// A key, whatever number of places it was found at.
pub(super) struct Listed {
    pub(super) key: PublicKey,
    pub(super) places: Vec<Place>,
    /// What the controller's configuration gives it to sign.
    pub(super) signs: Vec<String>,
    /// What it was found to have signed last.
    pub(super) last_use: Option<LastUse>,
    /// Whether its Records are believed, and of which runs.
    pub(super) vouches: Option<Vouches>,
    /// Whose document has it, and until when.
    pub(super) trusted: Vec<Trusted>,
    pub(super) warnings: Vec<String>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: String,
    pub(super) role: Role,
    /// When what holds it was made.
    pub(super) created: Option<Timestamp>,
}

/// What a key is for at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It signs.
    Signs,
    /// It signed, until it was replaced.
    Former,
    /// Its public half is there.
    Public,
    /// A verifier trusts it.
    Trusted,
    /// The controller believes the Records that it signed.
    Records,
}

/// Something that a key signed.
pub(super) struct LastUse {
    /// When, as far as that is known.
    pub(super) at: Option<Timestamp>,
    pub(super) what: String,
}

/// A document that has the key.
pub(super) struct Trusted {
    pub(super) by: String,
    pub(super) name: String,
    pub(super) standing: Standing,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Former => "former",
            Self::Public => "public",
            Self::Trusted => "trusted",
            Self::Records => "records",
        }
    }
}

impl Inventory {
    /// The entry of a key that is at this place.
    pub(super) fn add(&mut self, key: PublicKey, place: Place) -> &mut Listed {
        let at = self.keys.iter().position(|listed| listed.key == key);
        let at = at.unwrap_or_else(|| {
            self.keys.push(Listed {
                key,
                places: Vec::new(),
                signs: Vec::new(),
                last_use: None,
                vouches: None,
                trusted: Vec::new(),
                warnings: Vec::new(),
            });
            self.keys.len() - 1
        });
        let listed = &mut self.keys[at];
        if !listed.places.contains(&place) {
            listed.places.push(place);
        }
        listed
    }

    /// Adds what a verifier trusts: what signed may be found by it.
    pub(super) fn trust(&mut self, document: &Trusting) {
        for entry in document.keys.keys() {
            self.add(
                entry.key.clone(),
                Place {
                    source: document.name.clone(),
                    role: Role::Trusted,
                    created: None,
                },
            );
        }
    }

    /// Finds out who trusts each key, and what is to be warned of.
    pub(super) fn judge(&mut self, trusting: &[Trusting], now: Timestamp) {
        for listed in &mut self.keys {
            listed.judge(trusting, now);
        }
    }

    /// How many warnings there are in all.
    pub(super) fn warnings(&self) -> usize {
        let of_keys = self.keys.iter().map(|listed| listed.warnings.len());
        self.warnings.len() + of_keys.sum::<usize>()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "keys": self.keys.iter().map(Listed::to_json).collect::<Vec<_>>(),
            "warnings": self.warnings,
            "notes": self.notes,
        })
    }
}

impl Listed {
    /// Whether something signs with it, by the configuration or by what was found.
    pub(super) fn is_in_use(&self) -> bool {
        // What one process signs Records with is for the controller alone.
        if self.is_of_process() {
            return false;
        }
        self.last_use.is_some() || self.places.iter().any(|place| place.role == Role::Signs)
    }

    /// Whether a controller's process had it for Records, and nothing else is known of it.
    pub(super) fn is_of_process(&self) -> bool {
        self.vouches == Some(Vouches::OfProcess)
            && self.places.iter().all(|place| place.role == Role::Records)
    }

    /// Notes a use, if it is later than the one that is known.
    pub(super) fn used(&mut self, at: Option<Timestamp>, what: &str) {
        if self.last_use.as_ref().is_none_or(|last| last.at < at) {
            self.last_use = Some(LastUse {
                at,
                what: what.to_owned(),
            });
        }
    }

    fn judge(&mut self, trusting: &[Trusting], now: Timestamp) {
        if let KeyAlgorithm::Rsa(bits) = self.key.algorithm()
            && bits < STRONG_RSA
        {
            self.warnings.push(format!(
                "weak: an RSA key of {bits} bits has 112 bits of strength, which NIST allows until 2030"
            ));
        }
        for document in trusting {
            let (name, standing) = document.standing(&self.key, now.as_second());
            if standing != Standing::Unknown {
                self.trusted.push(Trusted {
                    by: document.name.clone(),
                    name,
                    standing: standing.clone(),
                });
            }
            if !self.is_in_use() {
                continue;
            }
            // What signs now must verify now; of what signed before, that it was ever trusted.
            let is_current = self.places.iter().any(|place| place.role == Role::Signs);
            match standing {
                Standing::Now { .. } => {}
                Standing::Unknown => self
                    .warnings
                    .push(format!("in use, and not trusted by {}", document.name)),
                Standing::Ended { at } if is_current => self.warnings.push(format!(
                    "in use, and its time ended at {at} in {}",
                    document.name
                )),
                Standing::NotYet { at } if is_current => self.warnings.push(format!(
                    "in use, and its time begins at {at} in {}",
                    document.name
                )),
                Standing::Ended { .. } | Standing::NotYet { .. } => {}
            }
        }
    }

    fn to_json(&self) -> Value {
        let places = self.places.iter().map(|place| {
            json!({
                "source": place.source,
                "role": place.role.name(),
                "created": place.created.map(|time| time.to_string()),
            })
        });
        let trusted = self.trusted.iter().map(|trusted| {
            let (state, at) = trusted.standing.told();
            json!({"by": trusted.by, "name": trusted.name, "state": state, "at": at})
        });
        json!({
            "id": self.key.fingerprint(),
            "sha256": self.key.spki_digest().hex(),
            "algorithm": self.key.algorithm().to_string(),
            "places": places.collect::<Vec<_>>(),
            "signs": self.signs,
            "lastUse": self.last_use.as_ref().map(|last| json!({
                "at": last.at.map(|time| time.to_string()),
                "what": last.what,
            })),
            "trusted": trusted.collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}
