//! Who may sign: the root of a TUF repository, and how one follows another.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::document::{Document, Head, KeyRead, Rule};
use super::metadata::Current;
use super::{Error, MOST_ROOT_BYTES, Role};

/// The most keys that a root may name.
const MOST_KEYS: usize = 256;

/// A root that is trusted: the one that was given, or one that follows from it.
#[derive(Clone, Debug)]
pub struct Root {
    head: Head,
    is_consistent: bool,
    root: Rule,
    timestamp: Rule,
    snapshot: Rule,
    targets: Rule,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    consistent_snapshot: bool,
    keys: BTreeMap<String, KeyRead>,
    roles: Roles,
}

#[derive(Deserialize)]
struct Roles {
    root: RoleRead,
    timestamp: RoleRead,
    snapshot: RoleRead,
    targets: RoleRead,
}

#[derive(Deserialize)]
struct RoleRead {
    keyids: Vec<String>,
    threshold: u64,
}

impl Root {
    /// Takes a root that is trusted because of where it came from. It must have signed itself; when it expired does not matter, as others may follow.
    ///
    /// # Errors
    /// For what is no root, and for one that lacks its own signatures.
    pub fn first(bytes: &[u8]) -> Result<Self, Error> {
        let (document, root) = Self::read(bytes)?;
        document.verify(&root.root, "root.json itself")?;
        Ok(root)
    }

    /// Takes the root that follows this one: signed by as many keys of this one as it wants, and by as many of its own.
    ///
    /// # Errors
    /// Where it does not follow.
    pub fn next(&self, bytes: &[u8]) -> Result<Self, Error> {
        let (document, root) = Self::read(bytes)?;
        document.verify(&self.root, "root.json before it")?;
        document.verify(&root.root, "root.json itself")?;
        let wanted = self.next_version();
        if root.version() != wanted {
            return Err(Error::Version {
                role: Role::Root,
                found: root.version(),
                wanted,
            });
        }
        Ok(root)
    }

    fn read(bytes: &[u8]) -> Result<(Document<Content>, Self), Error> {
        let document: Document<Content> = Document::read(Role::Root, bytes, MOST_ROOT_BYTES)?;
        let content = &document.content;
        if content.keys.len() > MOST_KEYS {
            return Err(Error::TooMany {
                role: Role::Root,
                what: "keys",
                most: MOST_KEYS,
            });
        }
        let roles = &content.roles;
        let rule = |role, read: &RoleRead| read.rule(role, &content.keys);
        let root = Self {
            head: document.head.clone(),
            is_consistent: content.consistent_snapshot,
            root: rule(Role::Root, &roles.root)?,
            timestamp: rule(Role::Timestamp, &roles.timestamp)?,
            snapshot: rule(Role::Snapshot, &roles.snapshot)?,
            targets: rule(Role::Targets, &roles.targets)?,
        };
        Ok((document, root))
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// The version of the root that would follow.
    #[must_use]
    pub fn next_version(&self) -> u64 {
        self.head.version.saturating_add(1)
    }

    /// Whether documents and files are named by version and hash (section 6.2).
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.is_consistent
    }

    /// The root at this time, seconds since 1970, when no other follows.
    ///
    /// # Errors
    /// If it has expired.
    pub fn current(&self, now: i64) -> Result<Current<'_>, Error> {
        self.head.check_expiry(now)?;
        Ok(Current::new(self, now))
    }

    /// Who must sign documents of this role.
    pub(super) fn rule(&self, role: Role) -> &Rule {
        match role {
            Role::Root => &self.root,
            Role::Timestamp => &self.timestamp,
            Role::Snapshot => &self.snapshot,
            Role::Targets => &self.targets,
        }
    }
}

impl RoleRead {
    fn rule(&self, role: Role, all: &BTreeMap<String, KeyRead>) -> Result<Rule, Error> {
        let keys = self.keyids.len();
        if self.threshold == 0 || self.threshold > keys as u64 || keys > MOST_KEYS {
            return Err(Error::Rule {
                role,
                threshold: self.threshold,
                keys,
            });
        }
        let usable = self.keyids.iter().filter_map(|id| {
            let key = all.get(id)?.key()?;
            Some((id.clone(), key))
        });
        Ok(Rule {
            threshold: self.threshold,
            keys: usable.collect(),
        })
    }
}
