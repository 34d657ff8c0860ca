//! Reads documents of Sigstore member by member: each error says where in the document, and nothing in it costs more than its bytes.
//!
//! Most of them are protobuf messages in JSON (<https://protobuf.dev/programming-guides/json/>): 64-bit integers as numbers or as text, bytes in
//! base64, `null` and the empty value as if absent. Of what that mapping lets a reader accept, the names with underscores, the URL-safe base64 and
//! integers such as `1e3` are refused: no program writes them. Members of unknown names are passed over, as newer versions may have more.
//!
//! serde could fill structs; its errors say no place, quote megabytes of hostile text, and a list of a million empty structs takes a hundred times
//! its bytes. Here all values of a document are counted first, and the text stays where it is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::strict_json::{self, KnownNames};
use crate::time::{self, Time};

/// Why a document, or a member of it, is not what its format says. Places are as in `tlogs[1].publicKey.rawBytes`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not text.
    #[error("not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// JSON of another kind, or none.
    #[error("not a JSON object")]
    NotAnObject,
    /// Another reader might read something else in it.
    #[error("not JSON that every reader understands alike")]
    Ambiguous(#[source] strict_json::Error),
    /// More values than any such document has.
    #[error("more than {0} values are in the document")]
    TooManyValues(usize),
    /// A member that must be there is not, or is empty.
    #[error("{0} is missing")]
    Missing(String),
    /// A value of another kind.
    #[error("{place} is {found}, where {wanted} belongs")]
    Kind {
        /// Where.
        place: String,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// No integer, or one that is negative or has more than 63 bits.
    #[error("{0} is not an integer from 0 to 9223372036854775807")]
    Integer(String),
    /// Not base64 of the standard alphabet, with padding.
    #[error("{place} is not base64")]
    Base64 {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: base64::DecodeError,
    },
    /// Not pairs of hexadecimal digits.
    #[error("{0} is not hexadecimal")]
    Hex(String),
    /// Not a time.
    #[error("{place} is not a time")]
    Time {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: time::Error,
    },
    /// A list of more items than are read.
    #[error("{place} has {found} items, at most {most} are read")]
    TooMany {
        /// Where.
        place: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// More bytes than are read.
    #[error("{place} has {found} bytes, at most {most} are read")]
    TooLong {
        /// Where.
        place: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A hash of another length.
    #[error("{place} has {found} bytes and not 32")]
    NotAHash {
        /// Where.
        place: String,
        /// How many there are.
        found: usize,
    },
}

/// The length of a SHA-256.
pub(crate) const HASH_LENGTH: usize = 32;

/// One value, with all that is in it. Text without escapes is that of the document.
pub(crate) enum Node<'a> {
    Null,
    Bool,
    /// An integer, or nothing for a number that is none of 64 bits.
    Number(Option<i64>),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(BTreeMap<String, Node<'a>>),
}

impl<'a> Node<'a> {
    /// Reads a document that every reader understands alike; `known` has the names that mean something in it.
    pub(crate) fn read(
        bytes: &'a [u8],
        known: KnownNames,
        most_values: usize,
    ) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(Error::Utf8)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Error::NotAnObject);
        }
        strict_json::check(text, known).map_err(Error::Ambiguous)?;
        let mut left = most_values;
        let mut reader = serde_json::Deserializer::from_str(text);
        // The text was read once already, so what fails now is the count.
        Values { left: &mut left }
            .deserialize(&mut reader)
            .map_err(|_| Error::TooManyValues(most_values))
    }

    /// The members of the document.
    pub(crate) fn top(&self) -> Result<Object<'_>, Error> {
        match self {
            Self::Object(members) => Ok(Object {
                place: String::new(),
                members,
            }),
            _ => Err(Error::NotAnObject),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads one value, and counts all in it.
struct Values<'b> {
    left: &'b mut usize,
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number(Some(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number(i64::try_from(number).ok()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Number(None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while *self.left > 0 {
            *self.left -= 1;
            match list.next_element_seed(Values { left: self.left })? {
                Some(item) => items.push(item),
                None => {
                    *self.left += 1;
                    return Ok(Node::List(items));
                }
            }
        }
        match list.next_element::<IgnoredAny>()? {
            None => Ok(Node::List(items)),
            Some(_) => Err(serde::de::Error::custom("too many values")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if *self.left == 0 {
                return Err(serde::de::Error::custom("too many values"));
            }
            *self.left -= 1;
            members.insert(name, map.next_value_seed(Values { left: self.left })?);
        }
        Ok(Node::Object(members))
    }
}

/// An object of the document, and where it stands.
pub(crate) struct Object<'a> {
    place: String,
    members: &'a BTreeMap<String, Node<'a>>,
}

impl<'a> Object<'a> {
    /// Where the member of this name stands, or would.
    pub(crate) fn place_of(&self, name: &str) -> String {
        match self.place.as_str() {
            "" => name.to_owned(),
            place => format!("{place}.{name}"),
        }
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The names of all members, known or not.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        self.members.keys().map(String::as_str)
    }

    /// The member of this name; `null` is nothing.
    pub(crate) fn member(&self, name: &str) -> Option<Value<'a>> {
        let node = self.members.get(name)?;
        (!matches!(node, Node::Null)).then(|| Value {
            place: self.place_of(name),
            node,
        })
    }

    /// What was read of the member of this name, which must be there.
    pub(crate) fn need<T>(&self, name: &str, read: Option<T>) -> Result<T, Error> {
        read.ok_or_else(|| Error::Missing(self.place_of(name)))
    }

    /// The object of this name.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Object<'a>>, Error> {
        self.member(name).map(Value::object).transpose()
    }

    /// The items of the list of this name; absent is empty.
    pub(crate) fn list(&self, name: &str, most: usize) -> Result<Vec<Value<'a>>, Error> {
        let Some(value) = self.member(name) else {
            return Ok(Vec::new());
        };
        let Node::List(items) = value.node else {
            return Err(value.is_not("a list"));
        };
        if items.len() > most {
            let (place, found) = (value.place, items.len());
            return Err(Error::TooMany { place, found, most });
        }
        let items = items.iter().enumerate().map(|(at, node)| Value {
            place: format!("{}[{at}]", value.place),
            node,
        });
        Ok(items.collect())
    }

    /// The text of this name; empty is nothing.
    pub(crate) fn text(&self, name: &str, most: usize) -> Result<Option<&'a str>, Error> {
        let text = self
            .member(name)
            .map(|value| value.text(most))
            .transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// The bytes of this name, in base64; empty is nothing.
    pub(crate) fn bytes(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self
            .member(name)
            .map(|value| value.bytes(most))
            .transpose()?;
        Ok(bytes.filter(|bytes| !bytes.is_empty()))
    }

    /// The 64-bit integer of this name, a number or a text, not negative.
    pub(crate) fn int64(&self, name: &str) -> Result<Option<u64>, Error> {
        self.member(name).map(|value| value.int64()).transpose()
    }

    /// The integer of this name, a number and not negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let number = |value: Value<'_>| match value.node {
            Node::Number(_) => value.int64(),
            _ => Err(value.is_not("a number")),
        };
        self.member(name).map(number).transpose()
    }

    /// The time of this name.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Time>, Error> {
        let time = |value: Value<'_>| {
            let text = value.text(MOST_OF_A_TIME)?;
            Time::parse(text).map_err(|source| Error::Time {
                place: value.place,
                source,
            })
        };
        self.member(name).map(time).transpose()
    }
}

/// Bytes of the longest time that is read; a fraction has nine digits.
const MOST_OF_A_TIME: usize = 64;

/// A value of the document that is not `null`, or an item of a list, and where it stands.
pub(crate) struct Value<'a> {
    place: String,
    node: &'a Node<'a>,
}

impl<'a> Value<'a> {
    pub(crate) fn object(self) -> Result<Object<'a>, Error> {
        match self.node {
            Node::Object(members) => Ok(Object {
                place: self.place,
                members,
            }),
            _ => Err(self.is_not("an object")),
        }
    }

    /// A text of at most so many bytes.
    pub(crate) fn text(&self, most: usize) -> Result<&'a str, Error> {
        let Node::Text(text) = self.node else {
            return Err(self.is_not("a text"));
        };
        self.within(text.len(), most)?;
        Ok(text)
    }

    /// At most so many bytes in base64.
    pub(crate) fn bytes(&self, most: usize) -> Result<Vec<u8>, Error> {
        let bytes = STANDARD
            .decode(self.text(most.div_ceil(3).saturating_mul(4))?)
            .map_err(|source| Error::Base64 {
                place: self.place.clone(),
                source,
            })?;
        self.within(bytes.len(), most)?;
        Ok(bytes)
    }

    /// A SHA-256 in base64.
    pub(crate) fn hash(&self) -> Result<Vec<u8>, Error> {
        self.of_a_hash(self.bytes(MOST_OF_A_HASH)?)
    }

    /// A SHA-256 in hexadecimal digits.
    pub(crate) fn hex_hash(&self) -> Result<Vec<u8>, Error> {
        let bytes = hex(self.text(2 * MOST_OF_A_HASH)?);
        self.of_a_hash(bytes.ok_or_else(|| Error::Hex(self.place.clone()))?)
    }

    fn of_a_hash(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        match bytes.len() {
            HASH_LENGTH => Ok(bytes),
            found => Err(Error::NotAHash {
                place: self.place.clone(),
                found,
            }),
        }
    }

    fn int64(&self) -> Result<u64, Error> {
        let number = match self.node {
            Node::Number(number) => *number,
            Node::Text(text) => decimal(text),
            _ => return Err(self.is_not("an integer")),
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| Error::Integer(self.place.clone()))
    }

    fn within(&self, found: usize, most: usize) -> Result<(), Error> {
        if found <= most {
            return Ok(());
        }
        let place = self.place.clone();
        Err(Error::TooLong { place, found, most })
    }

    fn is_not(&self, wanted: &'static str) -> Error {
        Error::Kind {
            place: self.place.clone(),
            wanted,
            found: self.node.kind(),
        }
    }
}

/// Larger than a hash, so that a wrong length is told as such, and small enough to be told of.
const MOST_OF_A_HASH: usize = 64;

/// An integer as it is written: without a plus, a blank, or zeros in front.
fn decimal(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The bytes of pairs of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let [high, low] = pair else { return None };
        u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
