//! The Update Framework: which file of a repository is the current one, by the word of keys that may be replaced.
//!
//! Specification: <https://theupdateframework.github.io/specification/latest/>, section 5.3 to 5.7; the names of its steps are used here. Sigstore
//! distributes its `trusted_root.json` so. No network, no clock, no file: documents come in as bytes, the time as a number.
//!
//! ```text
//!  root.json that is trusted ─ Root::first ─▶ Root ─ next(N+1) ─▶ Root … ─ current(now) ─▶ Current
//!    Current ─ known(cache) ─▶ Known                          what was seen before, so that nothing older is taken
//!    Current ─ timestamp ─▶ Timestamp ─ snapshot ─▶ Snapshot ─ targets ─▶ Targets ─ find ─▶ Target ─ check(bytes)
//! ```
//!
//! Each document is signed, not expired, not older than what was seen, and the very one that the document before it names: what a mirror mixes
//! from several times is refused. A threshold counts keys, not signatures and not names of keys. Keys of kinds that are not supported count for
//! nobody. Delegations are not followed.

mod canonical;
mod document;
mod error;
mod metadata;
mod root;

pub use self::error::Error;
pub use self::metadata::{Cached, Current, Known, Snapshot, Target, Targets, Timestamp};
pub use self::root::Root;

/// The largest `root.json` that is read.
pub const MOST_ROOT_BYTES: u64 = 512 << 10;
/// The largest `timestamp.json` that is read.
pub const MOST_TIMESTAMP_BYTES: u64 = 16 << 10;
/// The largest `snapshot.json` and `targets.json` that are read.
pub const MOST_METADATA_BYTES: u64 = 1 << 20;
/// The most roots that follow each other in one update.
pub const MOST_ROTATIONS: usize = 256;

/// Who signs what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The keys of all roles.
    Root,
    /// Which snapshot is the current one.
    Timestamp,
    /// Which documents with targets belong together.
    Snapshot,
    /// The files that all this is for.
    Targets,
}

impl Role {
    /// As it is named in documents, `root`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.json", self.name())
    }
}

#[cfg(test)]
mod tests;
