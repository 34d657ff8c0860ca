//! Which documents are the current ones, and which files they name.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};
use tekseal_core::digest;
use tekseal_core::excerpt::Excerpt;

use super::document::{Document, Head};
use super::{Error, MOST_METADATA_BYTES, MOST_TIMESTAMP_BYTES, Role, Root};

/// The names of documents in those that name them.
const SNAPSHOT: &str = "snapshot.json";
const TARGETS: &str = "targets.json";

/// A root at a time when it is the current one: what it says of the other documents.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    root: &'a Root,
    now: i64,
}

/// What was seen before.
#[derive(Clone, Debug, Default)]
pub struct Known {
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    /// The version of the document with the targets.
    targets: Option<u64>,
}

/// The documents that were taken before, as they are remembered: each from the moment on at which it was verified, whatever became of those after it
/// (steps 5.4.5, 5.5.7 and 5.6.6).
#[derive(Clone, Copy, Debug, Default)]
pub struct Cached<'a> {
    /// `timestamp.json`
    pub timestamp: Option<&'a [u8]>,
    /// `snapshot.json`
    pub snapshot: Option<&'a [u8]>,
    /// `targets.json`
    pub targets: Option<&'a [u8]>,
}

/// Which snapshot is the current one.
#[derive(Clone, Debug)]
pub struct Timestamp {
    head: Head,
    snapshot: Meta,
    bytes: Vec<u8>,
}

/// Which documents with targets belong together.
#[derive(Clone, Debug)]
pub struct Snapshot {
    head: Head,
    targets: Meta,
    /// The versions of all that are named.
    versions: BTreeMap<String, u64>,
}

/// The files.
#[derive(Clone, Debug)]
pub struct Targets {
    files: BTreeMap<String, Meta>,
}

/// A file that is named, and how to know it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    name: &'a str,
    meta: &'a Meta,
    length: u64,
}

/// How to know a document or a file.
#[derive(Clone, Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    version: u64,
    length: Option<u64>,
    hashes: Option<BTreeMap<String, String>>,
}

/// What timestamps and snapshots name.
#[derive(Deserialize)]
struct Named {
    meta: BTreeMap<String, Meta>,
}

#[derive(Deserialize)]
struct Files {
    targets: BTreeMap<String, Meta>,
}

impl<'a> Current<'a> {
    pub(super) fn new(root: &'a Root, now: i64) -> Self {
        Self { root, now }
    }

    /// What the cached documents say that these keys signed; expired or not, nothing older is taken. What they did not sign says nothing: that is how a
    /// repository recovers whose keys were stolen (section 5.3.11). Each speaks for itself, so that one that is lost is not all that was known: a
    /// snapshot has a version that timestamps name, and targets one that snapshots name.
    #[must_use]
    pub fn known(self, cached: Cached<'_>) -> Known {
        Known {
            timestamp: cached
                .timestamp
                .and_then(|bytes| self.read_timestamp(bytes).ok()),
            snapshot: cached
                .snapshot
                .and_then(|bytes| self.read_snapshot(bytes).ok()),
            targets: cached
                .targets
                .and_then(|bytes| Some(self.read_targets(bytes).ok()?.head.version)),
        }
    }

    /// Takes `timestamp.json`. One of the version that was seen before is that one.
    ///
    /// # Errors
    /// If it is not signed, older than what was seen, or expired.
    pub fn timestamp(self, bytes: &[u8], known: &Known) -> Result<Timestamp, Error> {
        let mut timestamp = self.read_timestamp(bytes)?;
        if let Some(known) = &known.timestamp {
            not_older("timestamp.json", timestamp.head.version, known.head.version)?;
            not_older(SNAPSHOT, timestamp.snapshot.version, known.snapshot.version)?;
            if timestamp.head.version == known.head.version {
                timestamp = known.clone();
            }
        }
        if let Some(known) = &known.snapshot {
            not_older(SNAPSHOT, timestamp.snapshot.version, known.head.version)?;
        }
        timestamp.head.check_expiry(self.now)?;
        Ok(timestamp)
    }

    /// Takes the `snapshot.json` that `by` names.
    ///
    /// # Errors
    /// If it is another one, not signed, names something older than was seen, or has expired.
    pub fn snapshot(self, by: &Timestamp, bytes: &[u8], known: &Known) -> Result<Snapshot, Error> {
        by.snapshot.check(SNAPSHOT, Role::Timestamp, bytes)?;
        let snapshot = self.read_snapshot(bytes)?;
        is_version(Role::Snapshot, &snapshot.head, &by.snapshot)?;
        if let Some(known) = &known.snapshot {
            for (file, version) in &known.versions {
                let found = snapshot.versions.get(file);
                let found = found.ok_or_else(|| Error::Lost(Excerpt::of(file)))?;
                not_older(file, *found, *version)?;
            }
        }
        if let Some(known) = known.targets {
            not_older(TARGETS, snapshot.targets.version, known)?;
        }
        snapshot.head.check_expiry(self.now)?;
        Ok(snapshot)
    }

    /// Takes the `targets.json` that `by` names.
    ///
    /// # Errors
    /// If it is another one, not signed, or has expired.
    pub fn targets(self, by: &Snapshot, bytes: &[u8]) -> Result<Targets, Error> {
        by.targets.check(TARGETS, Role::Snapshot, bytes)?;
        let document = self.read_targets(bytes)?;
        is_version(Role::Targets, &document.head, &by.targets)?;
        document.head.check_expiry(self.now)?;
        Ok(Targets {
            files: document.content.targets,
        })
    }

    fn read_timestamp(self, bytes: &[u8]) -> Result<Timestamp, Error> {
        let document: Document<Named> = self.read(Role::Timestamp, bytes, MOST_TIMESTAMP_BYTES)?;
        let mut named = document.content.meta;
        Ok(Timestamp {
            snapshot: take(&mut named, SNAPSHOT, Role::Timestamp)?,
            head: document.head,
            bytes: bytes.to_vec(),
        })
    }

    fn read_snapshot(self, bytes: &[u8]) -> Result<Snapshot, Error> {
        let document: Document<Named> = self.read(Role::Snapshot, bytes, MOST_METADATA_BYTES)?;
        let mut named = document.content.meta;
        let versions = named
            .iter()
            .map(|(file, meta)| (file.clone(), meta.version));
        Ok(Snapshot {
            versions: versions.collect(),
            targets: take(&mut named, TARGETS, Role::Snapshot)?,
            head: document.head,
        })
    }

    fn read_targets(self, bytes: &[u8]) -> Result<Document<Files>, Error> {
        self.read(Role::Targets, bytes, MOST_METADATA_BYTES)
    }

    fn read<T: serde::de::DeserializeOwned>(
        self,
        role: Role,
        bytes: &[u8],
        limit: u64,
    ) -> Result<Document<T>, Error> {
        let document = Document::read(role, bytes, limit)?;
        document.verify(self.root.rule(role), "current root.json")?;
        Ok(document)
    }
}

impl Timestamp {
    /// The bytes it was read from.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of the snapshot in the repository, and how many bytes it may have.
    #[must_use]
    pub fn snapshot_file(&self, root: &Root) -> (String, u64) {
        self.snapshot.file(SNAPSHOT, root)
    }
}

impl Snapshot {
    /// The name of the document with the targets in the repository, and how many bytes it may have.
    #[must_use]
    pub fn targets_file(&self, root: &Root) -> (String, u64) {
        self.targets.file(TARGETS, root)
    }
}

impl Targets {
    /// The file of this name, as `targets.json` itself has it.
    ///
    /// # Errors
    /// If it is not named, or nothing is said to know it by.
    pub fn find<'a>(&'a self, name: &'a str) -> Result<Target<'a>, Error> {
        let unnamed = || Error::Unnamed {
            by: Role::Targets,
            file: name.to_owned(),
        };
        let meta = self.files.get(name).ok_or_else(unnamed)?;
        let (Some(length), Some(_)) = (meta.length, &meta.hashes) else {
            return Err(unnamed());
        };
        Ok(Target { name, meta, length })
    }
}

impl Target<'_> {
    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its path in the repository.
    ///
    /// # Errors
    /// If the repository names files by hashes, and there is none that is supported.
    pub fn path(&self, root: &Root) -> Result<String, Error> {
        if !root.is_consistent() {
            return Ok(format!("targets/{}", self.name));
        }
        let hashes = self.meta.hashes.as_ref();
        let prefix =
            hashes.and_then(|hashes| hashes.get("sha256").or_else(|| hashes.get("sha512")));
        let is_hex = |text: &&String| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let prefix = prefix.filter(is_hex).ok_or_else(|| Error::NoHash {
            file: self.name.to_owned(),
            by: Role::Targets,
        })?;
        Ok(match self.name.rsplit_once('/') {
            Some((folder, name)) => format!("targets/{folder}/{prefix}.{name}"),
            None => format!("targets/{prefix}.{}", self.name),
        })
    }

    /// Checks that these bytes are the file.
    ///
    /// # Errors
    /// If they are not.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        self.meta.check(self.name, Role::Targets, bytes)
    }
}

impl Meta {
    /// Checks length and hashes, as far as they are named.
    fn check(&self, file: &str, by: Role, bytes: &[u8]) -> Result<(), Error> {
        let found = bytes.len() as u64;
        if let Some(wanted) = self.length.filter(|wanted| *wanted != found) {
            return Err(Error::Length {
                file: file.to_owned(),
                by,
                found,
                wanted,
            });
        }
        let Some(hashes) = &self.hashes else {
            return Ok(());
        };
        let mut is_checked = false;
        for (algorithm, wanted) in hashes {
            let (algorithm, found) = match algorithm.as_str() {
                "sha256" => ("sha256", digest::hex(&Sha256::digest(bytes))),
                "sha512" => ("sha512", digest::hex(&Sha512::digest(bytes))),
                _ => continue,
            };
            if !found.eq_ignore_ascii_case(wanted) {
                return Err(Error::Hash {
                    file: file.to_owned(),
                    by,
                    algorithm,
                });
            }
            is_checked = true;
        }
        if !is_checked {
            return Err(Error::NoHash {
                file: file.to_owned(),
                by,
            });
        }
        Ok(())
    }

    fn file(&self, name: &str, root: &Root) -> (String, u64) {
        let file = if root.is_consistent() {
            format!("{}.{name}", self.version)
        } else {
            name.to_owned()
        };
        let most = self.length.unwrap_or(MOST_METADATA_BYTES);
        (file, most.min(MOST_METADATA_BYTES))
    }
}

fn take(named: &mut BTreeMap<String, Meta>, file: &str, by: Role) -> Result<Meta, Error> {
    named.remove(file).ok_or_else(|| Error::Unnamed {
        by,
        file: file.to_owned(),
    })
}

fn not_older(file: &str, found: u64, known: u64) -> Result<(), Error> {
    if found < known {
        let file = file.chars().take(64).collect();
        return Err(Error::RolledBack { file, found, known });
    }
    Ok(())
}

fn is_version(role: Role, head: &Head, named: &Meta) -> Result<(), Error> {
    if head.version != named.version {
        return Err(Error::Version {
            role,
            found: head.version,
            wanted: named.version,
        });
    }
    Ok(())
}
