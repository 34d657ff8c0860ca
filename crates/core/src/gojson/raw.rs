//! JSON that Go carries without looking inside: `json.RawMessage`, `runtime.RawExtension`.

use super::string::{LINE_SEPARATOR, write_long_escape};

/// What `json.Marshal` makes of a raw message: without the blanks between tokens, and with the HTML escapes in strings.
/// All else stays as it is: order, duplicates, other escapes and the spelling of numbers.
///
/// `raw` is one JSON value, as `serde_json::value::RawValue` guarantees.
pub fn write_raw(out: &mut Vec<u8>, raw: &str) {
    let bytes = raw.as_bytes();
    out.reserve(bytes.len());
    let mut plain = 0;
    let mut in_string = false;
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'<' | b'>' | b'&' | LINE_SEPARATOR if in_string => {
                let width = write_long_escape(out, bytes, plain, at);
                plain = if width == 0 { plain } else { at + width };
            }
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {
                out.extend_from_slice(&bytes[plain..at]);
                plain = at + 1;
            }
            _ => {}
        }
    }
    out.extend_from_slice(&bytes[plain..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;

    fn written(raw: &str) -> String {
        let mut out = Vec::new();
        write_raw(&mut out, raw);
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn raw_messages_are_written_as_go_does() {
        go_tables::compare("raw", |raw| Ok::<_, ()>(written(raw)));
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn what_is_written_stays(text in any::<String>(), near in "[\\[\\]{}:,\"\\\\ <>&\u{2028}a1]{0,40}") {
            for text in [text, near] {
                let once = written(&text);
                prop_assert_eq!(written(&once), once);
            }
        }
    }
}
