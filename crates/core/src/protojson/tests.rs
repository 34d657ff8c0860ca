use super::*;
use crate::strict_json::Step;

fn known(place: &[Step]) -> &'static [&'static str] {
    match place {
        [] => &["a", "logIndex"],
        _ => &[],
    }
}

fn told<T>(text: &str, read: impl Fn(&Object<'_>) -> Result<T, Error>) -> String {
    let read = Node::read(text.as_bytes(), known, 20).and_then(|node| read(&node.top()?));
    read.map_or_else(|error| error.to_string(), |_| "fine".to_owned())
}

#[test]
fn a_document_is_one_unambiguous_object() {
    let any = |text: &str| told(text, |_| Ok(()));
    assert_eq!(any(" {\"unknown\":{}} "), "fine");
    assert_eq!(any(""), "not a JSON object");
    assert_eq!(any("[]"), "not a JSON object");
    for text in [
        "{",
        "{}{}",
        "{\"a\":1,\"a\":1}",
        "{\"log_index\":1}",
        "{\"A\":1}",
    ] {
        assert_eq!(
            any(text),
            "not JSON that every reader understands alike",
            "{text}"
        );
    }
    let not_text = Node::read(b"{\xff}", known, 1).err();
    assert!(matches!(not_text, Some(Error::Utf8(_))));
}

#[test]
fn values_are_counted_wherever_they_are() {
    let any = |text: &str| told(text, |_| Ok(()));
    let list = |items: usize| format!("{{\"a\":[{}]}}", vec!["0"; items].join(","));
    assert_eq!(any(&list(19)), "fine");
    assert_eq!(any(&list(20)), "more than 20 values are in the document");
    let members = |most: usize| {
        let members: Vec<_> = (0..most).map(|at| format!("\"{at}\":0")).collect();
        format!("{{\"x\":{{{}}}}}", members.join(","))
    };
    assert_eq!(any(&members(19)), "fine");
    assert_eq!(any(&members(20)), "more than 20 values are in the document");
}

#[test]
fn integers_are_numbers_or_their_decimal_digits() {
    for (text, wanted) in [
        ("0", Ok(Some(0))),
        ("\"0\"", Ok(Some(0))),
        ("9223372036854775807", Ok(Some(i64::MAX as u64))),
        ("\"9223372036854775807\"", Ok(Some(i64::MAX as u64))),
        ("null", Ok(None)),
        ("9223372036854775808", Err("not an integer")),
        ("\"9223372036854775808\"", Err("not an integer")),
        ("-1", Err("not an integer")),
        ("\"-1\"", Err("not an integer")),
        ("\"+1\"", Err("not an integer")),
        ("\"01\"", Err("not an integer")),
        ("\"\"", Err("not an integer")),
        ("\" 1\"", Err("not an integer")),
        ("1.0", Err("not an integer")),
        ("true", Err("a is true or false, where an integer belongs")),
        ("{}", Err("a is an object, where an integer belongs")),
    ] {
        let document = format!("{{\"a\":{text}}}");
        let node = Node::read(document.as_bytes(), known, 5).expect("an object");
        let read = node.top().and_then(|top| top.int64("a"));
        match (read, wanted) {
            (Ok(read), Ok(wanted)) => assert_eq!(read, wanted, "{text}"),
            (Err(error), Err(wanted)) => {
                assert!(error.to_string().contains(wanted), "{text}: {error}");
            }
            (read, _) => panic!("{text}: {read:?}"),
        }
    }
    assert_eq!(told("{\"a\":5}", |top| top.number("a")), "fine");
    assert_eq!(
        told("{\"a\":\"5\"}", |top| top.number("a")),
        "a is a text, where a number belongs"
    );
}

#[test]
fn each_kind_of_value_is_told_from_the_others() {
    let bytes = |text: &str| told(text, |top| top.bytes("a", 4));
    assert_eq!(bytes("{\"a\":\"AAAAAA==\"}"), "fine");
    assert_eq!(
        bytes("{\"a\":\"AAAAAAA=\"}"),
        "a has 5 bytes, at most 4 are read"
    );
    assert_eq!(
        bytes("{\"a\":\"AAAAAAAAAAAA\"}"),
        "a has 12 bytes, at most 8 are read"
    );
    for text in ["AAAAAA", "A", "__8=", "AAA=\\n"] {
        let told = bytes(&format!("{{\"a\":\"{text}\"}}"));
        assert_eq!(told, "a is not base64", "{text}");
    }
    assert_eq!(bytes("{\"a\":[]}"), "a is a list, where a text belongs");
    let object = |text: &str| told(text, |top| top.object("a").map(drop));
    assert_eq!(object("{\"a\":{}}"), "fine");
    assert_eq!(
        object("{\"a\":\"\"}"),
        "a is a text, where an object belongs"
    );
    let list = |text: &str| told(text, |top| top.list("a", 1).map(drop));
    assert_eq!(list("{}"), "fine");
    assert_eq!(list("{\"a\":[0]}"), "fine");
    assert_eq!(list("{\"a\":[0,0]}"), "a has 2 items, at most 1 are read");
    assert_eq!(list("{\"a\":{}}"), "a is an object, where a list belongs");
    let item = |text: &str| told(text, |top| top.list("a", 9)?.remove(0).object().map(drop));
    assert_eq!(item("{\"a\":[{}]}"), "fine");
    assert_eq!(
        item("{\"a\":[null]}"),
        "a[0] is null, where an object belongs"
    );
    let time = |text: &str| told(text, |top| top.time("a"));
    assert_eq!(time("{\"a\":\"2026-01-01T00:00:00.5Z\"}"), "fine");
    assert_eq!(time("{\"a\":\"2026-01-01\"}"), "a is not a time");
}

#[test]
fn hexadecimal_digits_come_in_pairs() {
    assert_eq!(hex("00fFa0"), Some(vec![0, 255, 160]));
    assert_eq!(hex(""), Some(vec![]));
    for text in ["0", "0g", "+1", "é"] {
        assert_eq!(hex(text), None, "{text}");
    }
}
