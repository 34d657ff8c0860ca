//! What is trusted, ready for use: the keys of logs read, the certificates of authorities kept.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};
use tekseal_core::digest::hex;
use tekseal_core::trusted_root::{Authority, LogKey, TrustedRoot, Validity};

use crate::certificate::path;
use crate::public_key::{self, KeyAlgorithm, PublicKey};
use crate::rejection::shortened;

/// Keys and certificates that a verifier believes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Transparency logs.
    pub(crate) logs: Vec<Log>,
    /// Logs of certificates.
    pub(crate) certificate_logs: Vec<Log>,
    /// Who issues signing certificates.
    pub(crate) certificate_authorities: Vec<Authority>,
    /// Who signs times.
    pub(crate) timestamp_authorities: Vec<Authority>,
}

/// A log whose key was read.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Host of its address, without port: what the origin of a Rekor v2 checkpoint must be.
    pub(crate) host: String,
    pub(crate) key: PublicKey,
    /// The id as the trusted root has it.
    pub(crate) key_id: Vec<u8>,
    pub(crate) valid: Validity,
}

/// Why a trusted root cannot be used. Places are those of the file, `tlogs[0]`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A key that cannot be read, or of a kind that cannot verify here.
    #[error("cannot use the key of the log {base_url:?} at {place} of the trusted root")]
    Key {
        /// Where it stands.
        place: String,
        /// The log's address.
        base_url: String,
        /// What is wrong with it.
        source: public_key::Error,
    },
    /// An id that is not the key's.
    #[error(
        "the log {base_url:?} at {place} of the trusted root has the id {found}, its key has {}",
        wanted.join(" or ")
    )]
    KeyId {
        /// Where it stands.
        place: String,
        /// The log's address.
        base_url: String,
        /// The id in the file, hexadecimal.
        found: String,
        /// The ids that the key may have, hexadecimal.
        wanted: Vec<String>,
    },
}

impl Trust {
    /// Reads the keys of all logs. Certificates of authorities are kept as they are; they are read when one is needed.
    ///
    /// A log may stand there several times, say with other times of use. Since an id must be its key's, entries with
    /// the same id have the same key.
    ///
    /// # Errors
    /// A key that is damaged, one of an unsupported kind unless the file says when its use ends (what such a log
    /// vouched for is then treated as that of an unknown log), or an id that is not the key's.
    pub fn new(root: &TrustedRoot) -> Result<Self, Error> {
        Ok(Self {
            logs: read_logs("tlogs", &root.logs)?,
            certificate_logs: read_logs("ctlogs", &root.certificate_logs)?,
            certificate_authorities: root.certificate_authorities.clone(),
            timestamp_authorities: root.timestamp_authorities.clone(),
        })
    }

    /// Believes one log alone, of Rekor v1, whose key this is said to be. Where only the log itself says so, that proves that it is consistent, and
    /// not whose it is.
    #[must_use]
    pub fn of_log(key: PublicKey) -> Self {
        let log = Log {
            host: String::new(),
            key_id: spki_id(&key).to_vec(),
            key,
            valid: Validity::default(),
        };
        Self {
            logs: vec![log],
            ..Self::default()
        }
    }

    /// Whether any transparency log is trusted.
    #[must_use]
    pub fn has_logs(&self) -> bool {
        !self.logs.is_empty()
    }

    /// Whether anybody is trusted to sign times.
    #[must_use]
    pub fn has_timestamp_authorities(&self) -> bool {
        !self.timestamp_authorities.is_empty()
    }

    /// How many timestamp authorities are in use at this time, seconds since 1970; those of one name are one.
    #[must_use]
    pub fn timestamp_authorities_at(&self, time: i64) -> usize {
        let in_use = self.timestamp_authorities.iter();
        let in_use = in_use.filter(|authority| authority.valid.covers(time));
        in_use.map(path::name_of).collect::<BTreeSet<_>>().len()
    }

    /// Whether any log of certificates is trusted.
    #[must_use]
    pub fn has_certificate_logs(&self) -> bool {
        !self.certificate_logs.is_empty()
    }

    /// Whether anybody is trusted to issue signing certificates.
    #[must_use]
    pub fn has_certificate_authorities(&self) -> bool {
        !self.certificate_authorities.is_empty()
    }
}

/// Reads the logs in the list `list` of the file.
fn read_logs(list: &str, keys: &[LogKey]) -> Result<Vec<Log>, Error> {
    let mut logs = Vec::with_capacity(keys.len());
    for (at, log) in keys.iter().enumerate() {
        let place = || format!("{list}[{at}]");
        let base_url = || shortened(&log.base_url);
        let key = match PublicKey::from_spki(&log.public_key) {
            Ok(key) => key,
            Err(public_key::Error::Unsupported(_) | public_key::Error::RsaSize(_))
                if log.valid.end.is_some() =>
            {
                continue;
            }
            Err(source) => {
                return Err(Error::Key {
                    place: place(),
                    base_url: base_url(),
                    source,
                });
            }
        };
        let host = host_of(&log.base_url);
        let ids: Vec<_> = [Some(spki_id(&key)), note_id(host, &key)]
            .into_iter()
            .flatten()
            .collect();
        if !ids.iter().any(|id| id[..] == log.key_id[..]) {
            return Err(Error::KeyId {
                place: place(),
                base_url: base_url(),
                found: shortened(&hex(&log.key_id)),
                wanted: ids.iter().map(|id| hex(id)).collect(),
            });
        }
        logs.push(Log {
            host: host.to_owned(),
            key,
            key_id: log.key_id.clone(),
            valid: log.valid,
        });
    }
    Ok(logs)
}

/// The id of a Rekor v1 log, and of any log with a key that is not Ed25519: the SHA-256 of the SubjectPublicKeyInfo.
pub(crate) fn spki_id(key: &PublicKey) -> [u8; 32] {
    Sha256::digest(key.spki_der()).into()
}

/// The id of an Ed25519 key that signs notes under `name`, before it is cut to four bytes; nothing for other keys.
///
/// Specification: <https://github.com/C2SP/C2SP/blob/main/signed-note.md>, «Signatures».
pub(crate) fn note_id(name: &str, key: &PublicKey) -> Option<[u8; 32]> {
    const ED25519: u8 = 1;
    if key.algorithm() != KeyAlgorithm::Ed25519 {
        return None;
    }
    let key = key.spki_der().last_chunk::<32>()?;
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', ED25519]);
    hasher.update(key);
    Some(hasher.finalize().into())
}

/// The host of an address as Go's `url.Hostname` has it: without user, port, and the brackets of IPv6; empty where
/// there is no scheme.
pub(crate) fn host_of(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else {
        return "";
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, a)| a);
    if let Some((host, _)) = address.strip_prefix('[').and_then(|a| a.split_once(']')) {
        return host;
    }
    address.split_once(':').map_or(address, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::samples;

    fn root() -> TrustedRoot {
        samples::trusted_root()
    }

    fn refused(change: impl FnOnce(&mut TrustedRoot)) -> Error {
        let mut root = root();
        change(&mut root);
        Trust::new(&root).expect_err("it was changed")
    }

    fn secp256k1() -> Vec<u8> {
        let pem = include_bytes!("testdata/secp256k1.pub");
        crate::pem::read(pem, |_| true)
            .expect("whole")
            .content
            .to_vec()
    }

    #[test]
    fn keys_and_hosts_of_logs_are_read() {
        let trust = Trust::new(&root()).expect("a good file");
        assert!(trust.has_logs());
        assert!(trust.has_certificate_authorities());
        assert!(trust.has_timestamp_authorities());
        let told: Vec<_> = trust
            .logs
            .iter()
            .chain(&trust.certificate_logs)
            .map(|log| (log.host.as_str(), log.key.algorithm()))
            .collect();
        assert_eq!(
            told,
            [
                ("127.0.0.1", KeyAlgorithm::P256),
                ("127.0.0.1", KeyAlgorithm::Ed25519),
                ("127.0.0.1", KeyAlgorithm::P256),
            ]
        );
    }

    #[test]
    fn an_empty_root_has_nothing() {
        let trust = Trust::new(&TrustedRoot::default()).expect("nothing is wrong");
        assert!(!trust.has_logs());
        assert!(!trust.has_certificate_authorities());
        assert!(!trust.has_timestamp_authorities());
    }

    #[test]
    fn hosts_are_those_of_go() {
        for (url, host) in [
            ("https://rekor.sigstore.dev", "rekor.sigstore.dev"),
            ("http://127.0.0.1:3056", "127.0.0.1"),
            ("https://log.example/a:b/c?d@e", "log.example"),
            ("https://log.example?x@y", "log.example"),
            ("https://me:secret@log.example:443/x", "log.example"),
            ("http://[::1]:3000/x", "::1"),
            ("log.example", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn an_ed25519_log_may_have_either_id_and_no_other() {
        let key = |root: &TrustedRoot| {
            PublicKey::from_spki(&root.logs[1].public_key).expect("a good key")
        };
        let mut root = root();
        assert_eq!(
            root.logs[1].key_id,
            note_id("127.0.0.1", &key(&root)).expect("Ed25519")
        );
        root.logs[1].key_id = spki_id(&key(&root)).to_vec();
        assert!(Trust::new(&root).is_ok());
        root.logs[1].key_id = note_id("elsewhere", &key(&root)).expect("Ed25519").to_vec();
        let error = Trust::new(&root).expect_err("the name is part of the id");
        assert!(
            matches!(&error, Error::KeyId { place, wanted, .. } if place == "tlogs[1]" && wanted.len() == 2),
            "{error}"
        );
    }

    #[test]
    fn an_id_must_be_that_of_the_key() {
        for id in [vec![], vec![0; 32], vec![0xec; 1000]] {
            let error = refused(|root| root.logs[0].key_id = id);
            let text = error.to_string();
            assert!(
                matches!(&error, Error::KeyId { place, wanted, .. } if place == "tlogs[0]" && wanted.len() == 1),
                "{text}"
            );
            assert!(text.len() < 500, "{text}");
        }
        let error = refused(|root| root.certificate_logs[0].key_id[31] ^= 1);
        assert_eq!(
            error.to_string(),
            "the log \"http://127.0.0.1:6962/test\" at ctlogs[0] of the trusted root has the id \
             9386a89fe39000d22aa827b50d797e444a1cc54d50c44d8da720c64c6be44625, its key has \
             9386a89fe39000d22aa827b50d797e444a1cc54d50c44d8da720c64c6be44624"
        );
    }

    #[test]
    fn a_key_of_an_unsupported_kind_is_refused_unless_its_use_ends() {
        let error = refused(|root| root.logs[1].public_key = secp256k1());
        assert_eq!(
            error,
            Error::Key {
                place: "tlogs[1]".to_owned(),
                base_url: "http://127.0.0.1:3056".to_owned(),
                source: public_key::Error::Unsupported("secp256k1"),
            }
        );
        let mut root = root();
        root.logs[1].public_key = secp256k1();
        root.logs[1].valid.end = Some(1);
        assert_eq!(Trust::new(&root).expect("it has ended").logs.len(), 1);
        let error = refused(|root| {
            root.logs[0].public_key.pop();
            root.logs[0].valid.end = Some(1);
        });
        assert!(matches!(
            error,
            Error::Key {
                source: public_key::Error::Malformed,
                ..
            }
        ));
    }

    #[test]
    fn a_log_may_stand_there_twice() {
        let mut root = root();
        let mut again = root.logs[0].clone();
        again.valid.end = Some(5);
        root.logs.push(again);
        assert_eq!(Trust::new(&root).expect("the same key").logs.len(), 3);
    }
}
