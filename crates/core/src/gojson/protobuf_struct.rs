//! JSON that went into a `google.protobuf.Struct` and came out again, as everything under the `predicate` of a payload.
//!
//! The text is written in the order in which it is read; where the keys of an object are not sorted already, its members are put
//! in order afterwards, inside the output. No tree is built, and `serde_json` cannot be asked: it may miss the nearest float by one bit.

use std::borrow::Cow;

use super::{Escape, write_f64, write_string};
use crate::excerpt::Excerpt;
use crate::strict_json;

/// The deepest nesting of lists and maps that is written. protojson would take 10000, but whoever reads the payload need not, and our
/// own verifier does not: what is written here stands up to ten levels deep in a Statement.
const MAX_DEPTH: usize = strict_json::MAX_DEPTH - 20;

/// Why a JSON text cannot pass through a protobuf Struct.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A Struct has each key once; which of two values other readers would take, nobody knows.
    #[error("key {0} occurs twice in one JSON object")]
    DuplicateKey(Excerpt),
    /// Larger than a float64 can be.
    #[error("number {0} is out of the range of a 64-bit float")]
    NumberRange(Excerpt),
    /// Lists and maps inside each other.
    #[error("JSON is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Half of a surrogate pair in a `\u` escape: no character, so no UTF-8.
    #[error("string {0} has an escape that is no character")]
    Surrogate(Excerpt),
    /// No JSON.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
}

/// What protojson writes after it has read `raw` into a `google.protobuf.Value`: keys sorted by their bytes, numbers as float64,
/// strings escaped anew, no blanks. On error nothing is written.
///
/// `raw` is one JSON value, as `serde_json::value::RawValue` guarantees.
///
/// # Errors
/// What protojson refuses too: duplicate keys, numbers that are no float64 and half characters. Also nesting beyond what we read.
pub fn write_struct(out: &mut Vec<u8>, raw: &str) -> Result<(), Error> {
    let start = out.len();
    let mut transcoder = Transcoder {
        text: raw,
        at: 0,
        out,
        members: Vec::new(),
        scratch: Vec::new(),
    };
    let result = transcoder.document();
    if result.is_err() {
        out.truncate(start);
    }
    result
}

struct Transcoder<'a, 'out> {
    text: &'a str,
    at: usize,
    out: &'out mut Vec<u8>,
    /// Members of all objects that are open, outermost first.
    members: Vec<Member<'a>>,
    /// Where members are put in order.
    scratch: Vec<u8>,
}

/// A member of an object, and where it stands in the output.
struct Member<'a> {
    key: Cow<'a, str>,
    start: usize,
    end: usize,
}

impl<'a> Transcoder<'a, '_> {
    fn document(&mut self) -> Result<(), Error> {
        self.value(0)?;
        match self.next() {
            None => Ok(()),
            Some(_) => Err(Error::Syntax(self.at)),
        }
    }

    /// The next byte that is no blank; it is not consumed.
    fn next(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        match self.next() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => {
                let text = self.string()?;
                write_string(self.out, &text, Escape::Proto);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Error> {
        let outer = self.members.len();
        let mut is_sorted = true;
        self.open(depth, b'{')?;
        let mut next = self.next();
        while next != Some(b'}') {
            if next != Some(b'"') {
                return Err(Error::Syntax(self.at));
            }
            let key = self.string()?;
            let start = self.out.len();
            write_string(self.out, &key, Escape::Proto);
            if self.next() != Some(b':') {
                return Err(Error::Syntax(self.at));
            }
            self.at += 1;
            self.out.push(b':');
            self.value(depth + 1)?;
            let end = self.out.len();
            if let Some(before) = self.members[outer..].last() {
                is_sorted &= before.key < key;
            }
            self.members.push(Member { key, start, end });
            next = self.comma(b'}')?;
        }
        if !is_sorted {
            self.sort(outer)?;
        }
        self.members.truncate(outer);
        self.close(b'}');
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<(), Error> {
        self.open(depth, b'[')?;
        let mut next = self.next();
        while next != Some(b']') {
            self.value(depth + 1)?;
            next = self.comma(b']')?;
        }
        self.close(b']');
        Ok(())
    }

    fn open(&mut self, depth: usize, bracket: u8) -> Result<(), Error> {
        if depth == MAX_DEPTH {
            return Err(Error::Depth);
        }
        self.at += 1;
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: u8) {
        self.at += 1;
        self.out.push(bracket);
    }

    /// After an element: a comma and the first byte of the next one, or `close`.
    fn comma(&mut self, close: u8) -> Result<Option<u8>, Error> {
        let next = self.next();
        if next == Some(close) {
            return Ok(next);
        }
        if next != Some(b',') {
            return Err(Error::Syntax(self.at));
        }
        self.at += 1;
        self.out.push(b',');
        match self.next() {
            Some(byte) if byte != close => Ok(Some(byte)),
            _ => Err(Error::Syntax(self.at)),
        }
    }

    /// Puts the members from `outer` on, which are the end of the output, in the order of their keys.
    fn sort(&mut self, outer: usize) -> Result<(), Error> {
        let members = &mut self.members[outer..];
        let Some(start) = members.first().map(|first| first.start) else {
            return Ok(());
        };
        members.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        if let Some([twice, _]) = members
            .array_windows()
            .find(|[one, other]| one.key == other.key)
        {
            return Err(Error::DuplicateKey(Excerpt::of(&twice.key)));
        }
        self.scratch.clear();
        for member in members {
            if !self.scratch.is_empty() {
                self.scratch.push(b',');
            }
            self.scratch
                .extend_from_slice(&self.out[member.start..member.end]);
        }
        self.out.truncate(start);
        self.out.append(&mut self.scratch);
        Ok(())
    }

    /// The characters of a string; the input is at its quote.
    fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        let text = self.text;
        let start = self.at + 1;
        let mut is_plain = true;
        let mut bytes = text.as_bytes()[start..].iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    let end = start + at;
                    self.at = end + 1;
                    if is_plain {
                        return Ok(Cow::Borrowed(&text[start..end]));
                    }
                    let token = &text[start - 1..=end];
                    return serde_json::from_str(token)
                        .map(Cow::Owned)
                        .map_err(|_| Error::Surrogate(Excerpt::of(token)));
                }
                b'\\' => {
                    is_plain = false;
                    bytes.next();
                }
                _ => {}
            }
        }
        Err(Error::Syntax(text.len()))
    }

    fn number(&mut self) -> Result<(), Error> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let token = &rest[..end];
        let value: f64 = token.parse().map_err(|_| Error::Syntax(self.at))?;
        if value.is_infinite() {
            return Err(Error::NumberRange(Excerpt::of(token)));
        }
        self.at += end;
        write_f64(self.out, value);
        Ok(())
    }

    fn word(&mut self) -> Result<(), Error> {
        let rest = &self.text[self.at..];
        let word = ["null", "true", "false"]
            .into_iter()
            .find(|word| rest.starts_with(word))
            .ok_or(Error::Syntax(self.at))?;
        self.at += word.len();
        self.out.extend_from_slice(word.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;

    fn through_struct(raw: &str) -> Result<String, Error> {
        let mut out = b"before".to_vec();
        write_struct(&mut out, raw)?;
        Ok(String::from_utf8_lossy(&out[6..]).into_owned())
    }

    #[test]
    fn what_was_written_before_survives_an_error() {
        let mut out = b"before".to_vec();
        let error = write_struct(&mut out, r#"{"a":[1,{"b":1,"\u0062":2}]}"#);
        assert_eq!(error, Err(Error::DuplicateKey(Excerpt::of("b"))));
        assert_eq!(out, b"before");
    }

    #[test]
    fn nesting_ends_before_the_stack_does() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(through_struct(&nested(MAX_DEPTH)), Ok(nested(MAX_DEPTH)));
        let error = Err(Error::Depth);
        assert_eq!(through_struct(&nested(MAX_DEPTH + 1)), error);
        assert_eq!(through_struct(&"[{\"\":".repeat(500_000)), error);
    }

    #[test]
    fn no_json_is_an_error_wherever_it_ends() {
        let whole = r#"{"b":[1,-2.5e3,"\u00e9\n"],"a":{"":null,"c":true}}"#;
        for end in 0..whole.len() {
            assert!(through_struct(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        for wrong in [
            "", " ", "{,}", "[,]", "[1,]", "{\"a\"}", "1 1", "nul", "[1 1]",
        ] {
            assert!(through_struct(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn structs_are_written_as_protojson_does() {
        go_tables::compare("struct", through_struct);
    }

    #[test]
    fn many_keys_in_the_wrong_order_are_no_work() {
        let members: Vec<_> = (0..300_000)
            .rev()
            .map(|n| format!("\"{n:06}\":0"))
            .collect();
        let sorted: Vec<_> = members.iter().rev().cloned().collect();
        let raw = format!("{{{}}}", members.join(","));
        assert_eq!(
            through_struct(&raw),
            Ok(format!("{{{}}}", sorted.join(",")))
        );
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn what_is_written_stays(text in any::<String>(), near in "[\\[\\]{}:,\"\\\\ a1-]{0,40}", list in "(\\[|\\{\"[ab]\":|[0-9]{1,3}|,|\\]|\\}){0,20}") {
            for text in [text, near, list] {
                if let Ok(once) = through_struct(&text) {
                    prop_assert_eq!(through_struct(&once), Ok(once));
                }
            }
        }
    }
}
