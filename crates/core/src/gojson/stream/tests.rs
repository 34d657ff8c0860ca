//! What is streamed against what Go made, against the writer in memory, and against readers and sinks that make it hard.

use proptest::prelude::*;

use super::*;
use crate::go_tables;
use crate::gojson::{write_raw, write_struct};

/// Gives so many bytes at a time.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}

fn streamed(text: &[u8]) -> Result<String, Error> {
    let mut outcomes = [1, 7, 1 << 20].map(|width| {
        let mut out = Vec::new();
        write_object(&mut Dribble(text, width), &mut out).map(|()| out)
    });
    let told = |outcome: &Result<Vec<u8>, Error>| format!("{outcome:?}");
    assert!(
        outcomes.iter().all(|one| told(one) == told(&outcomes[0])),
        "the same however it is read"
    );
    let last = std::mem::replace(&mut outcomes[2], Ok(Vec::new()));
    last.map(|out| String::from_utf8(out).expect("JSON is UTF-8"))
}

/// A value as the only member of an object, for tables of values.
fn of_value(raw: &str) -> Result<String, Error> {
    let whole = streamed(format!("{{\"v\":{raw}}}").as_bytes())?;
    Ok(whole[5..whole.len() - 1].to_owned())
}

#[test]
fn values_are_written_as_by_the_writer_in_memory_and_escaped_as_go_does() {
    for row in go_tables::rows("struct") {
        // An object may have the full depth by itself, and not as a member.
        let streamed = match row.text.starts_with('{') {
            true => streamed(row.text.as_bytes()).ok(),
            false => of_value(&row.text).ok(),
        };
        let held = row.out.map(|out| {
            // protojson leaves alone what encoding/json escapes.
            let mut escaped = Vec::new();
            write_raw(&mut escaped, &out);
            String::from_utf8(escaped).expect("JSON is UTF-8")
        });
        assert_eq!(streamed, held, "{}", row.text);
    }
}

#[test]
fn strings_and_numbers_are_written_as_go_does() {
    for row in go_tables::rows("json-strings") {
        let json = serde_json::to_string(&row.text).expect("a string");
        assert_eq!(of_value(&json).ok(), row.out, "{json}");
        let mut out = Vec::new();
        write_text(&mut Dribble(row.text.as_bytes(), 3), &mut out).expect("UTF-8");
        assert_eq!(String::from_utf8(out).ok(), row.out);
    }
    for row in go_tables::rows("json-floats") {
        // The table has some that are numbers only outside of JSON.
        if serde_json::from_str::<f64>(&row.text).is_ok() {
            assert_eq!(of_value(&row.text).ok(), row.out, "{}", row.text);
        }
    }
}

#[test]
fn keys_are_sorted_at_every_depth_and_stand_once() {
    assert_eq!(
        streamed(br#" {"b":[{"d":1,"c":{"\u0062":"<","a":"\u00e9"}}],"a<":null} "#)
            .expect("an object"),
        r#"{"a\u003c":null,"b":[{"c":{"a":"é","b":"\u003c"},"d":1}]}"#
    );
    for twice in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"{"x":[{"b":1,"a":2,"b":3}]}"#,
    ] {
        let refused = streamed(twice.as_bytes());
        assert!(matches!(refused, Err(Error::DuplicateKey(_))), "{twice}");
    }
}

#[test]
fn what_is_no_json_object_is_refused_with_its_place() {
    for (text, wanted) in [
        ("", "not JSON at byte 0"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("\u{feff}{}", "not JSON at byte 0"),
        ("{", "not JSON at byte 1"),
        ("{}x", "not JSON at byte 2"),
        ("{} {}", "not JSON at byte 3"),
        (r#"{"a"}"#, "not JSON at byte 4"),
        (r#"{"a":1,}"#, "not JSON at byte 7"),
        (r#"{"a":[1,]}"#, "not JSON at byte 8"),
        (r#"{"a":01}"#, "not JSON at byte 6"),
        (r#"{"a":1.}"#, "not JSON at byte 7"),
        (r#"{"a":.5}"#, "not JSON at byte 5"),
        (r#"{"a":-}"#, "not JSON at byte 6"),
        (r#"{"a":1e}"#, "not JSON at byte 7"),
        (r#"{"a":nul}"#, "not JSON at byte 8"),
        (r#"{"a":truex}"#, "not JSON at byte 9"),
        (r#"{"a":NaN}"#, "not JSON at byte 5"),
        ("{\"a\":\"\n\"}", "not JSON at byte 6"),
        (r#"{"a":"\x"}"#, "not JSON at byte 7"),
        (r#"{"a":"\u00g0"}"#, "not JSON at byte 10"),
        (r#"{"a":"\ud800"}"#, "no character, at byte 7"),
        (r#"{"a":"\ud800\u0041"}"#, "no character, at byte 7"),
        (r#"{"a":"\udc00"}"#, "no character, at byte 7"),
        (r#"{"a":1e400}"#, "out of the range"),
    ] {
        let told = streamed(text.as_bytes()).expect_err(text).to_string();
        assert!(told.contains(wanted), "{text}: {told}");
    }
    let pair = streamed(br#"{"a":"\ud83d\ude00"}"#).expect("one character");
    assert_eq!(pair, "{\"a\":\"\u{1f600}\"}");
    for wrong in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"a\":\"\xc3\"}",
        b"{\"\xed\xa0\x80\":1}",
    ] {
        assert!(matches!(streamed(wrong), Err(Error::Utf8(_))));
        let mut out = Vec::new();
        let text = write_text(&mut &wrong[..], &mut out);
        assert!(matches!(text, Err(Error::Utf8(_))));
    }
    let long = format!("{{\"a\":{}}}", "1".repeat(2000));
    assert!(matches!(
        streamed(long.as_bytes()),
        Err(Error::NumberRange(_))
    ));
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let nested =
        |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    assert!(streamed(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(matches!(streamed(&nested(MAX_DEPTH)), Err(Error::Depth)));
    assert!(matches!(streamed(&nested(200_000)), Err(Error::Depth)));
}

#[test]
fn a_reader_and_a_sink_that_fail_are_told_apart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    struct Full;
    impl Sink for Full {
        fn position(&self) -> u64 {
            0
        }
        fn write(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn reorder(&mut self, _: u64, _: &[Range<u64>]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let unread = write_object(&mut Broken, &mut Vec::new());
    assert!(matches!(unread, Err(Error::Read(_))));
    let unkept = write_object(&mut &b"{}"[..], &mut Full);
    assert!(matches!(unkept, Err(Error::Write(_))));
}

/// An object that is far larger than what is collected before the sink gets it, with its members in the wrong order.
fn large() -> String {
    let members: Vec<String> = (0..3000)
        .rev()
        .map(|n| {
            let text = "é<\\n".repeat(n % 40);
            format!(r#" "k{n:05}" : {{"z":{n},"a":["{text}",{n}e2], "m":{{}} }}"#)
        })
        .collect();
    let long = "x".repeat(3 * PIECE);
    format!(
        r#"{{"z":{{{}}},"long":"{long}","a":1}}"#,
        members.join(",\n")
    )
}

#[test]
fn members_are_put_in_order_also_in_the_sink() {
    let text = large();
    assert!(text.len() > 4 * PIECE);
    let streamed = streamed(text.as_bytes()).expect("an object");
    let mut held = Vec::new();
    write_struct(&mut held, &text).expect("an object");
    let held = String::from_utf8(held).expect("JSON is UTF-8");
    assert!(streamed == held.replace('<', "\\u003c"), "they differ");
}

proptest! {
    #![proptest_config(go_tables::fixed_cases())]

    #[test]
    fn what_is_written_stays_and_is_that_of_the_writer_in_memory(
        text in any::<String>(),
        near in "[\\[\\]{}:,\"\\\\ a1u-]{0,40}",
        list in "(\\[|\\{\"[ab]\":|[0-9]{1,3}|,\"[ab]\":|,|\\]|\\}){0,20}",
    ) {
        for text in [text, near, list] {
            let whole = format!("{{\"v\":{text}}}");
            if let Ok(once) = streamed(whole.as_bytes()) {
                prop_assert_eq!(streamed(once.as_bytes()).ok(), Some(once.clone()));
                let mut held = Vec::new();
                write_struct(&mut held, &whole).expect("what is JSON to one is JSON to the other");
                let mut escaped = Vec::new();
                write_raw(&mut escaped, &String::from_utf8(held).expect("JSON is UTF-8"));
                prop_assert_eq!(once.into_bytes(), escaped);
            }
        }
    }
}
