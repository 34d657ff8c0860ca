//! Which keys verify, and when: public keys with the times at which each was, or is, in use.
//!
//! ```json
//! {
//!   "mediaType": "application/vnd.tekseal.keyset+json;version=0.1",
//!   "keys": [
//!     {
//!       "name": "platform 2026",
//!       "publicKey": {
//!         "rawBytes": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE…",
//!         "validFor": {"start": "2026-01-01T00:00:00Z", "end": "2026-12-31T23:59:59Z"}
//!       }
//!     }
//!   ]
//! }
//! ```
//!
//! The document is ours; a key and its time have the shape that they have in a trusted root (`PublicKey` of
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_common.proto>). Keys are not looked into here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::excerpt::Excerpt;
use crate::protojson::{self, Node, Object};
use crate::strict_json::{self, Step};
use crate::time::{self, Time};
use crate::trusted_root::{Validity, read_validity};

/// The media type of the version that is read and written.
pub const MEDIA_TYPE: &str = "application/vnd.tekseal.keyset+json;version=0.1";
/// The most keys of a set.
pub const MOST_KEYS: usize = 256;

/// How many values a set may have: a full one has some 2000.
const MOST_VALUES: usize = 8192;
/// The longest name.
const LONGEST_NAME: usize = 256;
/// The largest public key, DER; RSA-8192 has 1062 bytes.
const LARGEST_KEY: usize = 16 * 1024;

/// Keys as they stand in the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    /// In the order of the document.
    pub keys: Vec<Entry>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What people call it; may be empty.
    pub name: String,
    /// The key, DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// When it was, or is, in use.
    pub valid: Validity,
}

/// Why a set is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member is absent or malformed.
    #[error(transparent)]
    Member(#[from] protojson::Error),
    /// Something else than a set of keys, or one of another version.
    #[error("the media type {0} is not {MEDIA_TYPE}")]
    MediaType(Excerpt),
    /// A set that nothing could be verified with.
    #[error("there is no key in it")]
    Empty,
    /// Something that this version does not have. Passed over, a word for the end of a key that is not ours would leave it in use for ever.
    #[error("{0} is no member of a key set")]
    Unknown(Excerpt),
    /// A time of use without any moment.
    #[error("{0} ends before it starts")]
    Backwards(String),
}

impl KeySet {
    /// Whether these bytes say that they are a set of keys, of whatever version: what is to be read as one, and refused if it is none.
    #[must_use]
    pub fn is_meant(bytes: &[u8]) -> bool {
        const NAME: &[u8] = b"application/vnd.tekseal.keyset";
        bytes.trim_ascii_start().starts_with(b"{")
            && bytes.windows(NAME.len()).any(|part| part == NAME)
    }

    /// Reads a set.
    ///
    /// # Errors
    /// For what is none, for an empty one, for members that are not known, and for what another reader may understand differently. A key must have a
    /// beginning.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = Node::read(bytes, known_names, MOST_VALUES)?;
        let top = document.top()?;
        let media_type = top.text("mediaType", LONGEST_NAME)?;
        let media_type = top.need("mediaType", media_type)?;
        if media_type != MEDIA_TYPE {
            return Err(Error::MediaType(Excerpt::of(media_type)));
        }
        let items = top.list("keys", MOST_KEYS)?.into_iter();
        let keys = items
            .map(|item| read_entry(&item.object()?))
            .collect::<Result<Vec<_>, Error>>()?;
        if keys.is_empty() {
            return Err(Error::Empty);
        }
        only(&top, TOP)?;
        Ok(Self { keys })
    }

    /// The document, indented, with a newline at its end.
    ///
    /// # Errors
    /// For a time out of the years 1 to 9999.
    pub fn to_json(&self) -> Result<String, time::Error> {
        let time = |second: Option<i64>| second.map(|s| Time::of_second(s).to_protojson());
        let written = |entry: &Entry| {
            Ok(Written {
                name: entry.name.clone(),
                public_key: WrittenKey {
                    raw_bytes: STANDARD.encode(&entry.public_key),
                    valid_for: WrittenTime {
                        start: time(entry.valid.start).transpose()?,
                        end: time(entry.valid.end).transpose()?,
                    },
                },
            })
        };
        let document = Document {
            media_type: MEDIA_TYPE,
            keys: self.keys.iter().map(written).collect::<Result<_, _>>()?,
        };
        let text = serde_json::to_string_pretty(&document);
        Ok(text.expect("texts in lists and structs are JSON") + "\n")
    }
}

/// The document as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: &'static str,
    keys: Vec<Written>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    public_key: WrittenKey,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenKey {
    raw_bytes: String,
    valid_for: WrittenTime,
}

#[derive(Serialize)]
struct WrittenTime {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

fn read_entry(entry: &Object<'_>) -> Result<Entry, Error> {
    let key = entry.need("publicKey", entry.object("publicKey")?)?;
    let range = key.need("validFor", key.object("validFor")?)?;
    for (object, known) in [(entry, ENTRY), (&key, KEY), (&range, RANGE)] {
        only(object, known)?;
    }
    // A key alone says nothing of when it is used.
    range.need("start", range.time("start")?)?;
    let valid = read_validity(&range)?;
    Ok(Entry {
        name: entry
            .text("name", LONGEST_NAME)?
            .unwrap_or_default()
            .to_owned(),
        public_key: key.need("rawBytes", key.bytes("rawBytes", LARGEST_KEY)?)?,
        valid: valid.ok_or_else(|| Error::Backwards(range.place().to_owned()))?,
    })
}

/// That an object has no other members than these.
fn only(object: &Object<'_>, known: &[&str]) -> Result<(), Error> {
    match object.names().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::Unknown(Excerpt::of(&object.place_of(name)))),
    }
}

const TOP: &[&str] = &["mediaType", "keys"];
const ENTRY: &[&str] = &["name", "publicKey"];
/// A trusted root tells the kind of a key beside it; here the key itself does.
const KEY: &[&str] = &["rawBytes", "keyDetails", "validFor"];
const RANGE: &[&str] = &["start", "end"];

fn known_names(place: &[Step]) -> &'static [&'static str] {
    match strict_json::path(place, &mut Default::default()) {
        Some([]) => TOP,
        Some(["keys", "[]"]) => ENTRY,
        Some(["keys", "[]", "publicKey"]) => KEY,
        Some(["keys", "[]", "publicKey", "validFor"]) => RANGE,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"mediaType":"application/vnd.tekseal.keyset+json;version=0.1","keys":[{"name":"a","publicKey":{"rawBytes":"AAEC","validFor":{"start":"2026-01-01T00:00:00Z","end":"2026-12-31T23:59:59.5Z"}}}]}"#;

    #[track_caller]
    fn told(document: &str) -> String {
        let told = KeySet::parse(document.as_bytes());
        let told = told.map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert!(told.len() < 300, "{told}");
        told
    }

    #[test]
    fn keys_their_names_and_their_times_are_read() {
        let set = KeySet::parse(ONE.as_bytes()).expect("a good set");
        let [entry] = &set.keys[..] else {
            panic!("one key")
        };
        assert_eq!(
            (entry.name.as_str(), &entry.public_key[..]),
            ("a", &[0, 1, 2][..])
        );
        let valid = Validity {
            start: Some(1_767_225_600),
            end: Some(1_798_761_599),
        };
        assert_eq!(entry.valid, valid);
        assert_eq!(told(&ONE.replace(r#""name":"a","#, "")), "fine");
        assert!(KeySet::is_meant(ONE.as_bytes()));
        assert!(KeySet::is_meant(ONE.replace("0.1", "9").as_bytes()));
        assert!(!KeySet::is_meant(b"{}"));
        assert!(!KeySet::is_meant(b"-----BEGIN PUBLIC KEY-----"));
    }

    #[test]
    fn what_is_no_set_is_refused_with_the_place() {
        for (from, to, wanted) in [
            ("version=0.1", "version=0.2", "the media type"),
            (
                r#""mediaType""#,
                r#""mediatype""#,
                "not JSON that every reader understands alike",
            ),
            (r#"[{"name""#, r#"[],"x":[{"name""#, "there is no key in it"),
            ("AAEC", "", "keys[0].publicKey.rawBytes is missing"),
            ("AAEC", "A", "keys[0].publicKey.rawBytes is not base64"),
            (
                r#""start":"2026-01-01T00:00:00Z","#,
                "",
                "keys[0].publicKey.validFor.start is missing",
            ),
            (
                r#","validFor":{"start":"2026-01-01T00:00:00Z","end":"2026-12-31T23:59:59.5Z"}"#,
                "",
                "keys[0].publicKey.validFor is missing",
            ),
            (
                "2026-01-01",
                "2027-01-01",
                "keys[0].publicKey.validFor ends before it starts",
            ),
            (
                "2026-01-01T00:00:00Z",
                "soon",
                "keys[0].publicKey.validFor.start is not a time",
            ),
            (
                r#""name":"a""#,
                r#""name":1"#,
                "keys[0].name is a number, where a text belongs",
            ),
            (
                r#""end":"#,
                r#""ends":"#,
                "keys[0].publicKey.validFor.ends\" is no member of a key set",
            ),
            (
                r#""rawBytes""#,
                r#""revoked":true,"rawBytes""#,
                "keys[0].publicKey.revoked\" is no member",
            ),
            (
                r#""name":"a""#,
                r#""revoked":"2026""#,
                "keys[0].revoked\" is no member",
            ),
            (
                r#"{"mediaType""#,
                r#"{"revoked":[],"mediaType""#,
                "\"revoked\" is no member",
            ),
            (
                r#""end":"#,
                r#""end":"2027-01-01T00:00:00Z","end":"#,
                "not JSON that every reader understands alike",
            ),
        ] {
            assert!(ONE.contains(from), "{from}");
            let told = told(&ONE.replacen(from, to, 1));
            assert!(told.contains(wanted), "{from}: {told}");
        }
    }

    #[test]
    fn what_is_too_much_is_counted_before_it_is_kept() {
        let (head, rest) = ONE.split_once("[{").expect("a list");
        let entry = format!("{{{}", rest.strip_suffix("]}").expect("the end"));
        let many = |count: usize| format!("{head}[{}]}}", vec![entry.as_str(); count].join(","));
        assert_eq!(told(&many(MOST_KEYS)), "fine");
        assert!(told(&many(MOST_KEYS + 1)).contains("keys has 257 items"));
        assert!(told(&many(2000)).contains("more than 8192 values"));
        let long = ONE.replace(r#""name":"a""#, &format!(r#""name":"{}""#, "n".repeat(257)));
        assert!(told(&long).contains("keys[0].name has 257 bytes"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut set = KeySet::parse(ONE.as_bytes()).expect("a good set");
        set.keys.push(Entry {
            name: "\"quoted\"\n".to_owned(),
            public_key: vec![9],
            valid: Validity {
                start: Some(0),
                end: None,
            },
        });
        set.keys.push(Entry {
            name: String::new(),
            ..set.keys[1].clone()
        });
        let text = set.to_json().expect("times of this age");
        let again = KeySet::parse(text.as_bytes());
        assert_eq!(again.expect("it was just written"), set, "{text}");
        set.keys[0].valid.start = Some(i64::MAX / 2);
        assert!(set.to_json().is_err());
    }
}
