//! JSON as Go writes it: the one place that knows how.
//!
//! Go's `encoding/json` escapes `<`, `>`, `&`, U+2028 and U+2029 in strings and keys (simple signing, DSSE envelopes, base64 `content`);
//! in-toto payloads come from protojson, which does not, and which is what `serde_json` writes anyway.
//! Whatever is signed goes through one of the two functions of this module, or is written piece by piece with the writers below them:
//!
//! ```text
//!  &str ─────── write_string ──┐
//!  f64, i64 ─── write_f64 ─────┤
//!  raw JSON ─── write_raw ─────┼─▶ the bytes of encoding/json or protojson
//!  raw JSON ─── write_struct ──┤   (write_struct: sorted keys, numbers as floats)
//!  a reader ─── stream ────────┘   (the same of any size, for encoding/json)
//! ```

mod number;
mod protobuf_struct;
mod raw;
pub mod stream;
mod string;
mod writer;

use std::io;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

pub use number::write_f64;
pub(crate) use number::write_i64_as_f64;
pub use protobuf_struct::{Error, write_struct};
pub use raw::write_raw;
use string::write_escaped;
pub use string::{Escape, write_string};
pub(crate) use writer::{Elements, Members, Writer};

/// Compact JSON with the escapes of Go's `encoding/json`.
///
/// # Panics
/// If the value has a map key that is no string: none of the types of this crate has one.
#[must_use]
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    let mut serializer = Serializer::with_formatter(&mut bytes, GoFormatter(CompactFormatter));
    value
        .serialize(&mut serializer)
        .expect("our types have string keys and a Vec takes any byte");
    bytes
}

/// Compact JSON with the escapes of protojson, without the blank that some builds of it put after commas.
///
/// # Panics
/// If the value has a map key that is no string: none of the types of this crate has one.
#[must_use]
pub fn to_vec_protojson<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our types have string keys and a Vec takes any byte")
}

/// Reads a JSON object. serde would also take a list for a struct, field by field, which no other reader does.
pub(crate) fn from_object<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
) -> Result<T, serde_json::Error> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(bytes),
        _ => Err(serde::de::Error::custom("not a JSON object")),
    }
}

/// `null` is absent, and absent is the default, as in Go.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

struct GoFormatter(CompactFormatter);

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, special) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let special_char = special.chars().next().unwrap_or_default();
            write!(writer, "\\u{:04x}", u32::from(special_char))?;
            rest = &special[special_char.len_utf8()..];
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_characters_are_escaped_as_go_does() {
        let text = "a<b>&c\u{2028}\u{2029}\u{7f}\u{8}\u{c}\n\u{1}é";
        assert_eq!(
            String::from_utf8_lossy(&to_vec(text)),
            "\"a\\u003cb\\u003e\\u0026c\\u2028\\u2029\u{7f}\\b\\f\\n\\u0001é\""
        );
        assert_eq!(
            String::from_utf8_lossy(&to_vec_protojson(text)),
            "\"a<b>&c\u{2028}\u{2029}\u{7f}\\b\\f\\n\\u0001é\""
        );
    }
}
