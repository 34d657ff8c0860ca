//! Canonical JSON, the bytes that are signed: <http://wiki.laptop.org/go/Canonical_JSON>.
//!
//! No blanks, members in the order of their names, and in text only `"` and `\` escaped: line breaks of a PEM stand as they are.

use serde_json::Value;

/// A number that is not an integer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnInteger;

/// The bytes of `value`. Its depth is that of what the JSON reader took.
pub(super) fn bytes(value: &Value) -> Result<Vec<u8>, NotAnInteger> {
    let mut out = Vec::new();
    write(&mut out, value)?;
    Ok(out)
}

fn write(out: &mut Vec<u8>, value: &Value) -> Result<(), NotAnInteger> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(_) => return Err(NotAnInteger),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(out, item)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // A feature of serde_json that any crate may switch on keeps the order of the document.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (position, (name, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_text(out, name);
                out.push(b':');
                write(out, value)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_only_quotes_and_backslashes_escaped() {
        let text = r#" { "b" : [ 1, -2, 18446744073709551615, true, null ], "ä":"\n\u0001é\"\\/", "a":{}, "B":"" } "#;
        let value = serde_json::from_str(text).expect("JSON");
        let written = bytes(&value).expect("integers");
        let wanted = "{\"B\":\"\",\"a\":{},\"b\":[1,-2,18446744073709551615,true,null],\"ä\":\"\n\u{1}é\\\"\\\\/\"}";
        assert_eq!(String::from_utf8_lossy(&written), wanted);
    }

    #[test]
    fn numbers_that_are_no_integers_are_refused() {
        for text in ["1.0", "1e3", "[0.5]", "{\"a\":18446744073709551616}"] {
            let value = serde_json::from_str(text).expect("JSON");
            assert_eq!(bytes(&value), Err(NotAnInteger), "{text}");
        }
    }
}
