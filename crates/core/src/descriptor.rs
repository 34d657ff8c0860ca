//! Resource descriptors: what in-toto says of an artifact, as readers see it.
//!
//! Subjects of a Statement and dependencies of provenance are lists of them. What Chains writes of a descriptor is in `format`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::gojson::{self, null_is_default};
use crate::statement::DigestSet;

/// The most descriptors that are read of one list. Each takes a hundred times the memory of `{}`.
pub const MOST_DESCRIPTORS: usize = 65_536;

/// An artifact, or a part of one.
///
/// Specification: <https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md>. Every member may be absent, and is
/// then empty; `null` is absent, and unknown members are passed over.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceDescriptor {
    /// Name that tells it from others.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Where it is, or which one it is, a URI.
    #[serde(deserialize_with = "null_is_default")]
    pub uri: String,
    /// Algorithm to digest, without prefix.
    #[serde(deserialize_with = "null_is_default")]
    pub digest: DigestSet,
    /// The content itself, in base64 as it stands there.
    #[serde(deserialize_with = "null_is_default")]
    pub content: String,
    /// Where it was downloaded from, if that is not `uri`.
    #[serde(deserialize_with = "null_is_default")]
    pub download_location: String,
    /// Media type.
    #[serde(deserialize_with = "null_is_default")]
    pub media_type: String,
    /// What else is said of it.
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: serde_json::Map<String, serde_json::Value>,
}

impl ResourceDescriptor {
    /// The members of a descriptor.
    pub(crate) const MEMBERS: &[&str] = &[
        "name",
        "uri",
        "digest",
        "content",
        "downloadLocation",
        "mediaType",
        "annotations",
    ];
}

/// A list of descriptors, each still as its text; `null` is the empty list.
#[derive(Default)]
pub(crate) struct DescriptorList<'a>(Vec<&'a RawValue>);

impl DescriptorList<'_> {
    /// Reads each of them. An error has its place in the list.
    pub(crate) fn read(&self) -> Result<Vec<ResourceDescriptor>, (usize, serde_json::Error)> {
        let read = self.0.iter().enumerate().map(|(at, raw)| {
            gojson::from_object(raw.get().as_bytes()).map_err(|source| (at, source))
        });
        read.collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for DescriptorList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor).map(Self)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of resource descriptors")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(raw) = list.next_element()? {
            if found.len() == MOST_DESCRIPTORS {
                return Err(A::Error::custom(format_args!(
                    "more than {MOST_DESCRIPTORS} resource descriptors"
                )));
            }
            found.push(raw);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ResourceDescriptor>, String> {
        let list: DescriptorList<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        list.read().map_err(|(at, e)| format!("{at}: {e}"))
    }

    #[test]
    fn null_is_absent_and_unknown_members_are_passed_over() {
        assert_eq!(read("null"), Ok(vec![]));
        assert_eq!(
            read(r#"[{"name":null,"digest":null,"new":[]}]"#),
            Ok(vec![ResourceDescriptor::default()])
        );
    }

    #[test]
    fn what_is_no_descriptor_is_refused_with_its_place() {
        assert_eq!(read(r#"[{},["n"]]"#), Err("1: not a JSON object".into()));
        assert!(read("{}").is_err_and(|e| e.contains("expected a list of resource descriptors")));
        let many = format!("[{}{{}}]", "{},".repeat(MOST_DESCRIPTORS));
        assert!(read(&many).is_err_and(|e| e.contains("more than 65536")));
        assert!(read(&many.replacen("{},", "", 1)).is_ok());
    }

    #[test]
    fn the_list_of_members_is_that_of_the_type() {
        for member in ResourceDescriptor::MEMBERS {
            let text = format!(r#"[{{"{member}":true}}]"#);
            assert!(read(&text).is_err(), "{member} is not read");
        }
    }
}
