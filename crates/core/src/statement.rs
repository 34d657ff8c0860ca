//! in-toto Statements: who the subjects are and what is claimed of them.
//!
//! Specification: <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md> (and v0.1 beside it).
//! Building the predicate is the work of `format`; this module has the outer shape, and reads any Statement back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::Digest;
use crate::gojson;
use crate::reference::{DigestRef, Repository};

/// Statement type of in-toto attestation framework v0.1.
pub const STATEMENT_V01: &str = "https://in-toto.io/Statement/v0.1";
/// Statement type of in-toto attestation framework v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// A set of digests of one artifact, algorithm to value, as in-toto's DigestSet.
pub type DigestSet = BTreeMap<String, String>;

/// What a Statement speaks of: a name and the digests of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// For an image: its repository, without tag and digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Algorithm to digest, without prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: DigestSet,
}

impl Subject {
    /// The Subject that stands for `image`.
    #[must_use]
    pub fn of_image(image: &DigestRef) -> Self {
        Self {
            name: image.repository.to_string(),
            digest: BTreeMap::from([("sha256".to_owned(), image.digest.hex().to_owned())]),
        }
    }

    /// The image that this Subject is: its name is a repository and it has a `sha256` digest.
    #[must_use]
    pub fn image(&self) -> Option<DigestRef> {
        let digest: Digest = format!("sha256:{}", self.digest.get("sha256")?)
            .parse()
            .ok()?;
        Some(Repository::parse(&self.name).ok()?.at(digest))
    }
}

/// A Statement as it was read back: the subjects, the type of the predicate, and the predicate's own JSON text.
#[derive(Clone, Debug, Deserialize)]
pub struct Statement {
    /// `_type`: which version of the in-toto Statement this is.
    #[serde(rename = "_type")]
    pub statement_type: String,
    /// What the Statement speaks of.
    #[serde(default, deserialize_with = "null_is_default")]
    pub subject: Vec<Subject>,
    /// What kind of claim the predicate is, a URI.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// The claim, as it stands in the signed bytes.
    #[serde(default)]
    pub predicate: Option<Box<RawValue>>,
}

impl Statement {
    /// Reads a Statement from signed bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        gojson::from_object(bytes)
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
