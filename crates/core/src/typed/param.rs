//! The value of a parameter or result: Tekton's `ParamValue`.
//!
//! Its type is the shape of its JSON, whatever type is declared beside it. What is neither a string, a list of strings nor a map of
//! strings is the string of its JSON text. Specification:
//! <https://tekton.dev/docs/pipelines/pipeline-api/#tekton.dev/v1.ParamValue>.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};

/// The value of a parameter or result, by the shape of its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue<'a> {
    /// A string; also numbers, booleans and mixed lists, as their JSON text.
    String(Cow<'a, str>),
    /// A list of strings.
    Array(Vec<Cow<'a, str>>),
    /// A map of strings.
    Object(BTreeMap<Cow<'a, str>, Cow<'a, str>>),
}

impl<'a> ParamValue<'a> {
    /// Reads a value from its JSON text. Each element or entry takes one from `left`; a value that would need more than there is becomes
    /// the string of its text, with nothing left.
    ///
    /// # Errors
    /// If a string has an escape that is no character (half a surrogate pair), which Go would replace and other readers refuse.
    pub(crate) fn from_json(text: &'a str, left: &Cell<usize>) -> Result<Self, serde_json::Error> {
        let value = match text.as_bytes() {
            [b'[' | b'{', ..] => {
                serde_json::Deserializer::from_str(text).deserialize_any(Texts(left))
            }
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                return Ok(Self::String(Cow::Borrowed(&text[1..text.len() - 1])));
            }
            _ => serde_json::from_str(text).map(|text| Self::String(plain(text))),
        };
        match value {
            Err(error) if error.is_data() => Ok(Self::String(Cow::Borrowed(text))),
            value => value,
        }
    }

    /// The text of a string value; empty for lists and maps, as Tekton has it.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::String(text) => text,
            Self::Array(_) | Self::Object(_) => "",
        }
    }

    /// The map of an object value.
    #[must_use]
    pub fn as_object(&self) -> Option<&BTreeMap<Cow<'a, str>, Cow<'a, str>>> {
        match self {
            Self::Object(map) => Some(map),
            Self::String(_) | Self::Array(_) => None,
        }
    }

    /// Every string in it, keys of maps excepted.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, list, map) = match self {
            Self::String(text) => (Some(text), None, None),
            Self::Array(list) => (None, Some(list), None),
            Self::Object(map) => (None, None, Some(map)),
        };
        one.into_iter()
            .chain(list.into_iter().flatten())
            .chain(map.into_iter().flat_map(BTreeMap::values))
            .map(Cow::as_ref)
    }
}

impl Default for ParamValue<'_> {
    fn default() -> Self {
        Self::String(Cow::Borrowed(""))
    }
}

/// Reads a list or a map of strings.
struct Texts<'l>(&'l Cell<usize>);

impl Texts<'_> {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        self.0.set(self.0.get().saturating_sub(1));
        match self.0.get() {
            0 => Err(E::custom("there are too many values")),
            _ => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ParamValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a map of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(text) = seq.next_element()? {
            self.count()?;
            list.push(plain(text));
        }
        Ok(ParamValue::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((Text(key), text)) = map.next_entry()? {
            self.count()?;
            texts.insert(key, plain(text));
        }
        Ok(ParamValue::Object(texts))
    }
}

/// A string that is borrowed from the document where it has no escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Go reads `null` as the empty string.
fn plain(text: Option<Text<'_>>) -> Cow<'_, str> {
    text.map_or(Cow::Borrowed(""), |t| t.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_json(text: &str) -> ParamValue<'_> {
        ParamValue::from_json(text, &Cell::new(100)).expect("every string is a text")
    }

    #[test]
    fn the_shape_of_the_json_decides() {
        let text = |t| ParamValue::String(Cow::Borrowed(t));
        assert_eq!(from_json(r#""a\"b""#), text("a\"b"));
        assert_eq!(from_json("12.50"), text("12.50"));
        assert_eq!(from_json("null"), text(""));
        assert_eq!(from_json(r#"[ "a", 1 ]"#), text(r#"[ "a", 1 ]"#));
        assert_eq!(
            from_json(r#"["a",null]"#),
            ParamValue::Array(vec!["a".into(), "".into()])
        );
        assert_eq!(
            from_json(r#"{"b":"1","a":null,"b":"2"}"#),
            ParamValue::Object(BTreeMap::from([
                ("a".into(), "".into()),
                ("b".into(), "2".into())
            ]))
        );
        assert_eq!(from_json(r#"{"a":{"b":"c"}}"#), text(r#"{"a":{"b":"c"}}"#));
    }
}
