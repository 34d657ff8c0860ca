//! Reads the body of a log entry into memory without losing what would make it ambiguous: a member that stands twice in
//! one object is refused, whoever would have read it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::log::Error;
use crate::rejection::shortened;

/// A JSON value. Of numbers, booleans and nulls only that they are there: no body means anything by one.
pub(super) enum Document {
    Text(String),
    List(Vec<Document>),
    Object(BTreeMap<String, Document>),
    Other,
}

impl Document {
    /// Reads one document and nothing after it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(Error::Body)
    }

    /// The top of it.
    pub(super) fn top(&self) -> Place<'_> {
        Place {
            value: self,
            pointer: String::new(),
        }
    }
}

/// A value in a document, and where it stands.
pub(super) struct Place<'a> {
    value: &'a Document,
    pointer: String,
}

impl<'a> Place<'a> {
    /// The member that `path` leads to, names with `/` between them.
    pub(super) fn at(&self, path: &str) -> Result<Self, Error> {
        let pointer = format!("{}/{path}", self.pointer);
        let mut value = self.value;
        for name in path.split('/') {
            let member = match value {
                Document::Object(members) => members.get(name),
                Document::Text(_) | Document::List(_) | Document::Other => None,
            };
            let Some(member) = member else {
                return Err(Error::Member {
                    place: pointer,
                    wanted: "member",
                });
            };
            value = member;
        }
        Ok(Self { value, pointer })
    }

    /// The text that stands here.
    pub(super) fn text(&self) -> Result<&'a str, Error> {
        match self.value {
            Document::Text(text) => Ok(text),
            Document::List(_) | Document::Object(_) | Document::Other => Err(self.not("text")),
        }
    }

    /// The bytes that stand here in base64.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Error> {
        STANDARD
            .decode(self.text()?)
            .map_err(|_| self.not("base64"))
    }

    /// The items of the list that stands here, `most` at most.
    pub(super) fn items(&self, most: usize) -> Result<Vec<Self>, Error> {
        let Document::List(items) = self.value else {
            return Err(self.not("list"));
        };
        if items.len() > most {
            return Err(Error::TooMany {
                place: self.pointer.clone(),
                found: items.len(),
                most,
            });
        }
        let place = |(at, value)| Self {
            value,
            pointer: format!("{}/{at}", self.pointer),
        };
        Ok(items.iter().enumerate().map(place).collect())
    }

    /// That something else stands here.
    pub(super) fn not(&self, wanted: &'static str) -> Error {
        Error::Member {
            place: self.pointer.clone(),
            wanted,
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Document, E> {
                Ok(Document::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Document, E> {
                Ok(Document::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Document, E> {
                Ok(Document::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Document, E> {
                Ok(Document::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
                Ok(Document::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Document, E> {
                Ok(Document::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Document::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.contains_key(&name) {
                        let name = shortened(&name);
                        return Err(A::Error::custom(format_args!(
                            "the member {name:?} stands there twice"
                        )));
                    }
                    members.insert(name, map.next_value()?);
                }
                Ok(Document::Object(members))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match Document::parse(text.as_bytes()) {
            Ok(_) => "fine".to_owned(),
            Err(Error::Body(source)) => source.to_string(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_member_may_not_stand_twice_at_any_depth() {
        for (text, wanted) in [
            (r#"{"a":{"b":1},"c":[{"b":2},{"b":null}]}"#, "fine"),
            (r#"{"a":1,"a":1}"#, "\"a\" stands there twice"),
            (r#"{"a":1,"\u0061":1}"#, "\"a\" stands there twice"),
            (r#"[{"x":{"b":1,"b":[]}}]"#, "\"b\" stands there twice"),
            ("{} {}", "trailing characters"),
            ("", "EOF"),
            ("{\"a\":\"\u{1}\"}", "control character"),
        ] {
            assert!(told(text).contains(wanted), "{text}: {}", told(text));
        }
        assert!(told(&"[".repeat(1_000_000)).contains("recursion limit"));
        let long = "é\u{1b}".repeat(100_000);
        let long = serde_json::to_string(&long).expect("a text");
        assert!(told(&format!("{{{long}:1,{long}:2}}")).chars().count() < 400);
    }

    #[test]
    fn errors_say_where() {
        let text = r#"{"a":{"b":["eA==",7,"?"]}}"#;
        let document = Document::parse(text.as_bytes()).expect("JSON");
        let list = document.top().at("a/b").expect("it is there");
        let items = list.items(3).expect("a list");
        assert_eq!(items[0].bytes().expect("base64"), b"x");
        assert_eq!(items[0].text().expect("a text"), "eA==");
        for (error, wanted) in [
            (items[1].text().err(), "no text at /a/b/1"),
            (items[2].bytes().err(), "no base64 at /a/b/2"),
            (list.text().err(), "no text at /a/b"),
            (document.top().items(1).err(), "no list at "),
            (document.top().at("a/c/d").err(), "no member at /a/c/d"),
            (list.at("x").err(), "no member at /a/b/x"),
            (list.items(2).err(), "3 items at /a/b, at most 2"),
        ] {
            let text = error.expect("something is wrong").to_string();
            assert!(text.contains(wanted), "{text}");
        }
    }
}
