//! What a registry says when it refuses, made fit to be printed.

use serde::Deserialize;

/// The error codes and messages of a refusal (distribution-spec, «Error Codes»), made fit to be printed.
#[derive(Debug, Default)]
pub struct Detail {
    codes: Box<[String]>,
    text: Box<str>,
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<RefusalError>,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Detail {
    /// Reads the body of a refusal; anything that is not the specified JSON is not shown at all.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
            return Self::default();
        };
        let (mut codes, mut text) = (Vec::new(), String::new());
        for error in refusal.errors.into_iter().take(3) {
            let code = printable(&error.code, 64);
            let message = printable(&error.message.unwrap_or_default(), 200);
            text.push_str(if text.is_empty() { ": " } else { "; " });
            text.push_str(&code);
            if !message.is_empty() {
                text.push(' ');
                text.push_str(&message);
            }
            codes.push(code);
        }
        Self {
            codes: codes.into(),
            text: text.into(),
        }
    }

    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|known| known == code)
    }
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// At most `longest` characters, none of which moves the cursor, colours the log or turns the line around.
fn printable(text: &str, longest: usize) -> String {
    let is_plain = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .filter(is_plain)
        .take(longest)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_and_messages_of_a_refusal_are_shown_without_control_characters() {
        let detail = Detail::parse(br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m\n way\u202e","detail":"x"},{"code":"B"}]}"#);
        assert_eq!(detail.to_string(), ": DENIED no[31m way; B");
        assert!(detail.has_code("B") && !detail.has_code("C"));
        for body in ["", "<html>secret</html>", "{}", r#"{"errors":"x"}"#] {
            assert_eq!(Detail::parse(body.as_bytes()).to_string(), "", "{body}");
        }
    }
}
