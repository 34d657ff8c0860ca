//! The value of a parameter or result: Tekton's `ParamValue`.
//!
//! Its type is the shape of its JSON, whatever type is declared beside it. What is neither a string, a list of strings nor a map of
//! strings is the string of its JSON text. Specification:
//! <https://tekton.dev/docs/pipelines/pipeline-api/#tekton.dev/v1.ParamValue>.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    /// Reads a value from its JSON text.
    pub(crate) fn from_json(text: &'a str) -> Self {
        let value = match text.as_bytes() {
            [b'[', ..] => serde_json::from_str::<Vec<Option<Text<'a>>>>(text)
                .ok()
                .map(|list| Self::Array(list.into_iter().map(plain).collect())),
            [b'{', ..] => serde_json::from_str::<BTreeMap<Text<'a>, Option<Text<'a>>>>(text)
                .ok()
                .map(|map| Self::Object(map.into_iter().map(|(k, v)| (k.0, plain(v))).collect())),
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Some(Self::String(Cow::Borrowed(&text[1..text.len() - 1])))
            }
            _ => serde_json::from_str::<Option<Text<'a>>>(text)
                .ok()
                .map(|text| Self::String(plain(text))),
        };
        value.unwrap_or(Self::String(Cow::Borrowed(text)))
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

    #[test]
    fn the_shape_of_the_json_decides() {
        let text = |t| ParamValue::String(Cow::Borrowed(t));
        assert_eq!(ParamValue::from_json(r#""a\"b""#), text("a\"b"));
        assert_eq!(ParamValue::from_json("12.50"), text("12.50"));
        assert_eq!(ParamValue::from_json("null"), text(""));
        assert_eq!(
            ParamValue::from_json(r#"[ "a", 1 ]"#),
            text(r#"[ "a", 1 ]"#)
        );
        assert_eq!(
            ParamValue::from_json(r#"["a",null]"#),
            ParamValue::Array(vec!["a".into(), "".into()])
        );
        assert_eq!(
            ParamValue::from_json(r#"{"b":"1","a":null,"b":"2"}"#),
            ParamValue::Object(BTreeMap::from([
                ("a".into(), "".into()),
                ("b".into(), "2".into())
            ]))
        );
        assert_eq!(
            ParamValue::from_json(r#"{"a":{"b":"c"}}"#),
            text(r#"{"a":{"b":"c"}}"#)
        );
    }
}
