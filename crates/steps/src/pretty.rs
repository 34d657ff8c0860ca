//! JSON for people: every member on a line of its own, and what stands in base64 inside `content` members shown in place of it.
//!
//! It walks the text and changes no number, no order and no escape. What it gives is for eyes: nobody may sign or store it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use tekseal_core::is_invisible;

/// Member of a SLSA v1 resource descriptor that holds any bytes in base64; Tekton's are JSON.
const CONTENT: &str = "content";

/// `json`, a well-formed document, indented.
pub(crate) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    write(&mut out, json, 0);
    out.push('\n');
    out
}

fn write(out: &mut String, json: &str, outer: usize) {
    let mut depth = outer;
    // The member whose value comes next.
    let mut member = "";
    let mut rest = json.trim_start();
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '{' | '[' => {
                out.push(c);
                let inside = rest[1..].trim_start();
                if let Some(close) = inside.chars().next().filter(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                    rest = inside[1..].trim_start();
                    continue;
                }
                depth += 1;
                member = "";
                new_line(out, depth);
            }
            '}' | ']' => {
                depth -= 1;
                new_line(out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                member = "";
                new_line(out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                let inside = string(rest);
                taken = inside.len() + 2;
                let is_member = rest
                    .get(taken..)
                    .unwrap_or_default()
                    .trim_start()
                    .starts_with(':');
                let is_content = !is_member && member == CONTENT;
                match is_content.then(|| decoded(inside)).flatten() {
                    Some(document) => write(out, &document, depth),
                    None => write_string(out, inside),
                }
                if is_member {
                    member = inside;
                }
            }
            _ => out.push(c),
        }
        rest = rest.get(taken..).unwrap_or_default().trim_start();
    }
}

/// What stands between the quotes of the string that `text` begins with.
fn string(text: &str) -> &str {
    let mut is_escaped = false;
    let end = text[1..].bytes().position(|b| {
        let is_end = b == b'"' && !is_escaped;
        is_escaped = b == b'\\' && !is_escaped;
        is_end
    });
    &text[1..end.map_or(text.len(), |at| at + 1)]
}

/// The JSON document that stands in this base64, if it is one.
fn decoded(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok()?;
    // A tree is read to 128 levels only: what is nested deeper would be indented without end, and stays as it is.
    serde_json::from_slice::<serde_json::Value>(&bytes).ok()?;
    let document: Box<RawValue> = serde_json::from_slice(&bytes).ok()?;
    Some(document.get().to_owned())
}

/// Much of it comes from a tenant: what could move a cursor or turn the direction of writing is shown as its escape.
fn write_string(out: &mut String, inside: &str) {
    out.push('"');
    for c in inside.chars() {
        match is_invisible(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out.push('"');
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_on_lines_and_numbers_and_escapes_stay() {
        let json = r#"{"a":[1.50,{}, [],"\"\\",null],"b":{"c":"x,y:{z}"},"e":""}"#;
        let wanted = "{\n  \"a\": [\n    1.50,\n    {},\n    [],\n    \"\\\"\\\\\",\n    null\n  ],\n  \"b\": {\n    \"c\": \"x,y:{z}\"\n  },\n  \"e\": \"\"\n}\n";
        assert_eq!(indented(json), wanted);
    }

    #[test]
    fn content_in_base64_is_shown_where_it_is_json_and_left_where_it_is_not() {
        let content = STANDARD.encode(r#"{"k":"v"}"#);
        let text = indented(&format!(
            r#"{{"content":"{content}","name":"{content}","list":[{{"content":"bm90IEpTT04="}}]}}"#
        ));
        assert_eq!(
            text,
            format!(
                "{{\n  \"content\": {{\n    \"k\": \"v\"\n  }},\n  \"name\": \"{content}\",\n  \"list\": [\n    {{\n      \"content\": \"bm90IEpTT04=\"\n    }}\n  ]\n}}\n"
            )
        );
    }

    #[test]
    fn nothing_can_move_the_cursor_and_the_text_stays_json() {
        let text = indented("{\"a\u{202e}\":\"b\u{7f}\"}");
        assert_eq!(text, "{\n  \"a\\u202e\": \"b\\u007f\"\n}\n");
    }
}
