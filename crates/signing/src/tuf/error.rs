//! Why a document, or a file, of a TUF repository is refused.

use tekseal_core::excerpt::Excerpt;
use tekseal_core::strict_json;

use super::Role;

/// Why a document, or a file, is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than are read.
    #[error("{role} has {found} bytes, more than {limit}")]
    TooLong {
        /// Which document.
        role: Role,
        /// How many it has.
        found: u64,
        /// How many it may have.
        limit: u64,
    },
    /// Not text.
    #[error("{0} is not UTF-8")]
    Utf8(Role),
    /// Not JSON, or JSON that can be read in two ways.
    #[error("{role} is not JSON that every reader understands alike")]
    Json {
        /// Which document.
        role: Role,
        /// What is wrong with it.
        source: strict_json::Error,
    },
    /// JSON of another form.
    #[error("{role} is not of the form that TUF gives it: {what}")]
    Form {
        /// Which document.
        role: Role,
        /// What is wrong with it.
        what: Excerpt,
    },
    /// A number that canonical JSON does not have.
    #[error("{0} has a number that is not an integer")]
    Number(Role),
    /// A document of another role.
    #[error("{role} says that it is {found}")]
    Type {
        /// Which was wanted.
        role: Role,
        /// What it is.
        found: Excerpt,
    },
    /// A version of the specification that is not known.
    #[error("{role} is of version {found} of the TUF specification, and only 1 is supported")]
    SpecVersion {
        /// Which document.
        role: Role,
        /// Its version.
        found: Excerpt,
    },
    /// More of something than there can be.
    #[error("{role} has more than {most} {what}")]
    TooMany {
        /// Which document.
        role: Role,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// Nobody need sign.
    #[error("root.json wants {threshold} signatures of {role}, and names {keys} keys")]
    Rule {
        /// Of which role.
        role: Role,
        /// How many must sign.
        threshold: u64,
        /// How many may.
        keys: usize,
    },
    /// Not enough of those who must sign have.
    #[error("{role} has valid signatures of {found} keys of the {by}, wanted {wanted}")]
    Threshold {
        /// Which document.
        role: Role,
        /// Whose keys: `new root.json`.
        by: &'static str,
        /// How many signed.
        found: usize,
        /// How many must.
        wanted: u64,
    },
    /// Another version than the one that was asked for or is named.
    #[error("{role} has version {found}, wanted {wanted}")]
    Version {
        /// Which document.
        role: Role,
        /// Its version.
        found: u64,
        /// The one it must have.
        wanted: u64,
    },
    /// Older than what was seen before.
    #[error("{file} was rolled back: version {found} after {known}")]
    RolledBack {
        /// Which document.
        file: String,
        /// Its version.
        found: u64,
        /// The version that was seen before.
        known: u64,
    },
    /// What was there before is not named any more.
    #[error("snapshot.json names {0} no more")]
    Lost(Excerpt),
    /// Too old to be believed.
    #[error("{role} of version {version} expired on {expires}")]
    Expired {
        /// Which document.
        role: Role,
        /// Its version.
        version: u64,
        /// When.
        expires: String,
    },
    /// The document that follows is not named.
    #[error("{by} names no {file}")]
    Unnamed {
        /// Who must name it.
        by: Role,
        /// What.
        file: String,
    },
    /// Other bytes than are named.
    #[error("{file} has not the {algorithm} that {by} names")]
    Hash {
        /// What.
        file: String,
        /// Who names it.
        by: Role,
        /// Of which hash.
        algorithm: &'static str,
    },
    /// More or fewer bytes than are named.
    #[error("{file} has {found} bytes, and {by} names {wanted}")]
    Length {
        /// What.
        file: String,
        /// Who names it.
        by: Role,
        /// How many it has.
        found: u64,
        /// How many it must have.
        wanted: u64,
    },
    /// Hashes of which none can be checked.
    #[error("{by} names no hash of {file} that is supported, sha256 or sha512")]
    NoHash {
        /// What.
        file: String,
        /// Who names it.
        by: Role,
    },
}
