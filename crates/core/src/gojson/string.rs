//! Strings, as Go's two encoders escape them.

/// Which of Go's two JSON encoders is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// `encoding/json`: also `<`, `>`, `&`, U+2028 and U+2029, so that the text may stand inside HTML and JavaScript.
    Go,
    /// protojson: only what JSON itself forbids.
    Proto,
}

/// A JSON string with its quotes.
pub fn write_string(out: &mut Vec<u8>, text: &str, escape: Escape) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_escaped(out, text, escape);
    out.push(b'"');
}

/// What stands between the quotes of a JSON string: a text, or a piece of one.
pub(super) fn write_escaped(out: &mut Vec<u8>, text: &str, escape: Escape) {
    let special = match escape {
        Escape::Go => &GO,
        Escape::Proto => &PROTO,
    };
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !special[usize::from(byte)] {
            continue;
        }
        let width = write_escape(out, bytes, plain, at);
        plain = if width == 0 { plain } else { at + width };
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// The text from `plain` on and the escape of the character at `at`; how many bytes that character has.
/// 0 and nothing written if it needs no escape after all: the first byte of U+2028 begins other characters too.
fn write_escape(out: &mut Vec<u8>, bytes: &[u8], plain: usize, at: usize) -> usize {
    let short = match bytes[at] {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => return write_long_escape(out, bytes, plain, at),
    };
    out.extend_from_slice(&bytes[plain..at]);
    out.extend_from_slice(&[b'\\', short]);
    1
}

/// Like `write_escape`, as `\u` and four digits.
pub(super) fn write_long_escape(out: &mut Vec<u8>, bytes: &[u8], plain: usize, at: usize) -> usize {
    let (code, width) = match &bytes[at..] {
        [LINE_SEPARATOR, 0x80, 0xa8, ..] => (0x2028, 3),
        [LINE_SEPARATOR, 0x80, 0xa9, ..] => (0x2029, 3),
        [byte, ..] if byte.is_ascii() => (u16::from(*byte), 1),
        _ => return 0,
    };
    out.extend_from_slice(&bytes[plain..at]);
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[usize::from((code >> shift) & 15)]);
    }
    width
}

/// First byte of U+2028 and U+2029 in UTF-8.
pub(super) const LINE_SEPARATOR: u8 = 0xe2;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes at which protojson stops copying.
const PROTO: [bool; 256] = {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = true;
        control += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special
};

/// Bytes at which `encoding/json` stops copying.
const GO: [bool; 256] = {
    let mut special = PROTO;
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'&' as usize] = true;
    special[LINE_SEPARATOR as usize] = true;
    special
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;
    use crate::gojson;

    fn written(text: &str, escape: Escape) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text, escape);
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn strings_are_escaped_as_both_encoders_do() {
        for row in go_tables::rows("json-strings") {
            assert_eq!(Some(written(&row.text, Escape::Go)), row.out);
            assert_eq!(Some(written(&row.text, Escape::Proto)), row.proto);
        }
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn a_string_is_read_back(text in any::<String>(), near in "[\u{0}-\u{7f}\u{2020}-\u{2030}]{0,40}") {
            for text in [text, near] {
                for escape in [Escape::Go, Escape::Proto] {
                    let json = written(&text, escape);
                    prop_assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(text.clone()));
                }
                prop_assert_eq!(written(&text, Escape::Go).into_bytes(), gojson::to_vec(&text));
                prop_assert_eq!(written(&text, Escape::Proto).into_bytes(), gojson::to_vec_protojson(&text));
            }
        }
    }
}
