//! The index of what refers to an image, on registries that do not list it themselves: distribution-spec, «Referrers Tag Schema».
//!
//! Whatever is there is kept as it stands, entries of others and members that nobody knows included; what is new comes after it, in the order in
//! which it is given. (cosign puts the entries into the order of their digests each time it writes. To nobody does their order say anything.)

use std::fmt;

use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use tekseal_core::strict_json::{self, Step};
use tekseal_core::{Digest, gojson};

use super::manifest::{Error, MOST_BYTES, OCI_INDEX, object};
use super::register::{Document, Next};
use crate::registry::Manifest;

/// An index of manifests.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// All members in their order; the entries stand where the one without a value does.
    members: Vec<(String, Option<Box<RawValue>>)>,
    entries: Vec<Entry>,
}

/// The descriptor of a manifest that refers to the image.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    verbatim: Box<RawValue>,
    digest: String,
}

const ENTRIES: &str = "manifests";

/// The most entries of an index that is added to: each takes ten times the memory of the shortest text. Real ones fill it with some 16,000.
const MOST_ENTRIES: usize = 10_000;

impl Default for Index {
    fn default() -> Self {
        let member = |name: &str, value: &str| {
            let raw = RawValue::from_string(value.to_owned());
            (name.to_owned(), Some(raw.expect("it is JSON")))
        };
        Self {
            members: vec![
                member("schemaVersion", "2"),
                member("mediaType", &format!("\"{OCI_INDEX}\"")),
                (ENTRIES.to_owned(), None),
            ],
            entries: Vec::new(),
        }
    }
}

impl Document for Index {
    /// Reads what a registry handed out.
    ///
    /// # Errors
    /// For anything but an OCI image index: what is not understood must not be overwritten.
    fn parse(found: &Manifest) -> Result<Self, Error> {
        let size = found.bytes.len();
        if size > MOST_BYTES {
            return Err(Error::Size { size });
        }
        let Members(members) = object(&found.bytes).map_err(Error::Json)?;
        let text = std::str::from_utf8(&found.bytes)
            .map_err(|error| Error::Json(serde::de::Error::custom(error)))?;
        strict_json::check(text, known_names).map_err(Error::Ambiguous)?;
        let said: Said<'_> = object(&found.bytes).map_err(Error::Json)?;
        let media_type = said.media_type.as_deref().unwrap_or(&found.media_type);
        let (OCI_INDEX, 2, Some(entries)) = (media_type, said.schema_version, said.manifests)
        else {
            return Err(Error::NoIndex {
                media_type: media_type.to_owned(),
            });
        };
        let count = entries.len();
        if count > MOST_ENTRIES {
            return Err(Error::Entries { count });
        }
        let entries = entries.into_iter().enumerate().map(|(position, verbatim)| {
            let said: EntrySaid = object(verbatim.get().as_bytes())
                .map_err(|source| Error::Entry { position, source })?;
            Ok(Entry {
                verbatim: verbatim.to_owned(),
                digest: said.digest,
            })
        });
        Ok(Self {
            members,
            entries: entries.collect::<Result<_, Error>>()?,
        })
    }
}

impl Index {
    /// Whether a manifest is listed.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.entries.iter().any(|own| own.digest == digest.as_str())
    }

    /// The index with those of `new` that are not listed yet; nothing if all are.
    ///
    /// # Errors
    /// If it would be larger than registries take.
    pub(super) fn with<'e>(
        &self,
        new: impl IntoIterator<Item = (&'e Digest, &'e Entry)>,
    ) -> Result<Option<Next>, Error> {
        let mut more: Vec<&Entry> = Vec::new();
        for (digest, entry) in new {
            let is_again = more.iter().any(|one| one.digest == entry.digest);
            if !is_again && !self.holds(digest) {
                more.push(entry);
            }
        }
        if more.is_empty() {
            return Ok(None);
        }
        let count = self.entries.len() + more.len();
        if count > MOST_ENTRIES {
            return Err(Error::Entries { count });
        }
        let bytes = gojson::to_vec(&Extended { index: self, more });
        if bytes.len() > MOST_BYTES {
            return Err(Error::Size { size: bytes.len() });
        }
        Ok(Some(Next {
            media_type: OCI_INDEX,
            digest: Digest::of(&bytes),
            bytes: Bytes::from(bytes),
        }))
    }
}

impl Entry {
    /// The entry with this descriptor, for the manifest with this digest.
    pub(super) fn new(digest: &Digest, descriptor: &impl Serialize) -> Self {
        let text = String::from_utf8(gojson::to_vec(descriptor)).expect("JSON is UTF-8");
        Self {
            verbatim: RawValue::from_string(text).expect("this was just written as JSON"),
            digest: digest.to_string(),
        }
    }
}

/// An index with more entries.
struct Extended<'a> {
    index: &'a Index,
    more: Vec<&'a Entry>,
}

impl Serialize for Extended<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = &self.index.members;
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for (name, value) in members {
            match value {
                Some(value) => map.serialize_entry(name, value)?,
                None => {
                    let all = self.index.entries.iter().chain(self.more.iter().copied());
                    let all: Vec<&RawValue> = all.map(|entry| &*entry.verbatim).collect();
                    map.serialize_entry(name, &all)?;
                }
            }
        }
        map.end()
    }
}

/// All members of an index, in their order; the entries are left out.
struct Members(Vec<(String, Option<Box<RawValue>>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = match name == ENTRIES {
                        true => map.next_value::<IgnoredAny>().map(|_| None)?,
                        false => Some(map.next_value()?),
                    };
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    /// `null`, as Go writes an empty list, is one that is read, but not one that anything stands after.
    #[serde(borrow, default, deserialize_with = "list")]
    manifests: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct EntrySaid {
    digest: String,
}

fn list<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<&'a RawValue>>, D::Error> {
    let list = Option::<Vec<&'a RawValue>>::deserialize(deserializer)?;
    Ok(Some(list.unwrap_or_default()))
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    match place {
        [] => &["schemaVersion", "mediaType", ENTRIES],
        [Step::Member(list), Step::Item(_)] if list == ENTRIES => &["digest"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::manifest::{DOCKER_LIST, OCI_MANIFEST};

    fn manifest(text: &str, media_type: &str) -> Manifest {
        let bytes = text.as_bytes().to_vec();
        Manifest {
            digest: Digest::of(&bytes),
            bytes,
            media_type: media_type.to_owned(),
        }
    }

    fn entry(name: &str) -> (Digest, Entry) {
        let digest = Digest::of(name.as_bytes());
        let entry = Entry::new(&digest, &serde_json::json!({"digest": digest.as_str()}));
        (digest, entry)
    }

    fn with(index: &Index, names: &[&str]) -> Option<String> {
        let new: Vec<_> = names.iter().map(|name| entry(name)).collect();
        let next = index.with(new.iter().map(|(digest, entry)| (digest, entry)));
        let bytes = next.expect("it is small")?.bytes;
        Some(String::from_utf8(bytes.to_vec()).expect("JSON"))
    }

    #[test]
    fn a_new_index_is_as_clients_write_it() {
        let (digest, _) = entry("a");
        let wanted = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"digest":"{digest}"}}]}}"#
        );
        assert_eq!(with(&Index::default(), &["a"]), Some(wanted.clone()));
        let read = Index::parse(&manifest(&wanted, OCI_INDEX)).expect("just written");
        assert!(read.holds(&digest));
        assert_eq!(with(&read, &["a", "a"]), None);
        let more = with(&read, &["b", "a", "b"]).expect("one is new");
        assert_eq!(more.matches("digest").count(), 2);
    }

    #[test]
    fn what_others_wrote_is_kept_byte_for_byte() {
        let foreign =
            r#"{ "size":3,"digest": "sha512:abc", "data":"aGk=", "x":{"b":"<","a":"\u003c"} }"#;
        for (before, after) in [
            (r#"{"schemaVersion":2,"x":{"manifests": [1]},"#, ""),
            (
                r#"{"annotations":{"a": "b"},"schemaVersion":2,"#,
                r#","subject":{"digest": "sha256:1"},"future":[ 1.50]"#,
            ),
        ] {
            let text =
                format!(r#"{before}"mediaType":"{OCI_INDEX}","manifests":[{foreign}]{after}}}"#);
            let read = Index::parse(&manifest(&text, "")).expect("an index");
            let own = entry("a").1.verbatim;
            let wanted = text.replace(foreign, &format!("{foreign},{own}"));
            assert_eq!(with(&read, &["a"]), Some(wanted));
        }
    }

    #[test]
    fn null_is_an_empty_list_and_the_registry_may_say_what_it_is() {
        let text = r#"{"schemaVersion":2,"manifests":null}"#;
        let read = Index::parse(&manifest(text, OCI_INDEX)).expect("Go writes this");
        let written = with(&read, &["a"]).expect("it is new");
        assert!(
            written.starts_with(r#"{"schemaVersion":2,"manifests":[{"#),
            "{written}"
        );
    }

    #[test]
    fn what_is_no_index_is_refused_each_with_its_own_error() {
        let refused = |text: &str, kind: &str| {
            let read = Index::parse(&manifest(text, kind));
            read.expect_err(text)
        };
        let good = r#"{"schemaVersion":2,"manifests":[]}"#;
        for kind in ["", OCI_MANIFEST, DOCKER_LIST] {
            assert!(
                matches!(refused(good, kind), Error::NoIndex { .. }),
                "{kind}"
            );
        }
        for text in [
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"manifests":[]}"#,
            r#"{"schemaVersion":2,"mediaType":"x","manifests":[]}"#,
        ] {
            assert!(
                matches!(refused(text, OCI_INDEX), Error::NoIndex { .. }),
                "{text}"
            );
        }
        for text in [
            "",
            "x",
            "[]",
            r#"{"manifests":7}"#,
            r#"{"schemaVersion":"2"}"#,
        ] {
            assert!(matches!(refused(text, OCI_INDEX), Error::Json(_)), "{text}");
        }
        for text in [
            r#"{"schemaVersion":2,"manifests":[],"manifests":[{"digest":"a"}]}"#,
            r#"{"schemaVersion":2,"manifests":[],"Manifests":[{"digest":"a"}]}"#,
        ] {
            let error = refused(text, OCI_INDEX);
            assert!(
                matches!(error, Error::Ambiguous(_) | Error::Json(_)),
                "{text}"
            );
        }
        let bad = r#"{"schemaVersion":2,"manifests":[{"digest":"a"},{"digest":1}]}"#;
        let error = refused(bad, OCI_INDEX);
        assert!(matches!(error, Error::Entry { position: 1, .. }));
        let long = format!("{good}{}", " ".repeat(MOST_BYTES));
        assert!(matches!(refused(&long, OCI_INDEX), Error::Size { .. }));
        let full = format!(
            r#"{{"schemaVersion":2,"manifests":[],"x":"{}"}}"#,
            "x".repeat(MOST_BYTES - 100)
        );
        let full = Index::parse(&manifest(&full, OCI_INDEX)).expect("it is not too large");
        let (digest, own) = entry("a");
        let refused = full.with([(&digest, &own)]);
        assert!(matches!(refused, Err(Error::Size { .. })));
        let many = |count: usize| {
            let entries = vec![r#"{"digest":"x"}"#; count].join(",");
            let text = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
            Index::parse(&manifest(&text, OCI_INDEX))
        };
        let full = many(MOST_ENTRIES).expect("so many are allowed");
        let refused = full.with([(&digest, &own)]);
        assert!(matches!(refused, Err(Error::Entries { count: 10_001 })));
        assert!(matches!(many(MOST_ENTRIES + 1), Err(Error::Entries { .. })));
    }
}
