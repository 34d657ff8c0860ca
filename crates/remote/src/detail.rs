//! What a registry says when it refuses, made fit to be printed.
//!
//! Some servers repeat what they were sent. What they say ends up in logs, and on runs where more people read it than may read the Secrets,
//! so a text that repeats a credential is not shown at all: cutting it out would show where a short one stood.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use tekseal_core::docker_config::Secret;

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

/// What logs say, of both versions: `{"code": 400, "message": "…"}`.
#[derive(Deserialize)]
struct ServiceRefusal {
    message: String,
}

/// What a server was told of us, and must not come back in what is printed.
#[derive(Clone, Default)]
pub(crate) struct Sent {
    /// In each form in which it may come back.
    forms: Vec<String>,
}

impl Sent {
    /// An `Authorization`, and secrets from which it, or the token in it, may have been made.
    pub(crate) fn new<'s>(
        header: Option<&HeaderValue>,
        secrets: impl IntoIterator<Item = &'s Secret>,
    ) -> Self {
        let mut sent = Self::default();
        if let Some(text) = header.and_then(|header| header.to_str().ok()) {
            sent.add_header(text);
        }
        for secret in secrets {
            if let Some((user, password)) = secret.basic() {
                sent.add_header(&format!(
                    "Basic {}",
                    STANDARD.encode(format!("{user}:{password}"))
                ));
            }
            let tokens = [secret.identity_token(), secret.registry_token()];
            for token in tokens.into_iter().flatten() {
                sent.add(token);
            }
        }
        sent
    }

    /// The value of a header that is a secret.
    pub(crate) fn add_value(&mut self, value: &HeaderValue) {
        match value.to_str() {
            Ok(text) => self.add_header(text),
            Err(_) => self.add(&String::from_utf8_lossy(value.as_bytes())),
        }
    }

    /// `Basic` with user and password, or `Bearer` with a token.
    fn add_header(&mut self, text: &str) {
        let Some((scheme, value)) = text.split_once(' ') else {
            return self.add(text);
        };
        // Without what fills it up, which a server may have left out.
        self.add(value.trim_end_matches('='));
        if !scheme.eq_ignore_ascii_case("basic") {
            return;
        }
        let login = STANDARD.decode(value).map(String::from_utf8);
        if let Ok(Ok(login)) = login
            && let Some((_, password)) = login.split_once(':')
        {
            self.add(password);
        }
    }

    /// A secret in any other place.
    pub(crate) fn add(&mut self, secret: &str) {
        // As it is, and as it stands in a form or a query.
        let form: String = form_of(secret);
        for form in [plain(secret), form] {
            if !form.is_empty() {
                self.forms.push(form);
            }
        }
    }

    fn is_in(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form.as_str()))
    }
}

fn form_of(text: &str) -> String {
    let mut url = reqwest::Url::parse("http://form.invalid").expect("it is a URL");
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

impl Detail {
    /// Reads the body of a refusal; anything that is not the specified JSON, and what repeats something that was `sent`, is not shown at all.
    pub(crate) fn parse(body: &[u8], sent: &Sent) -> Self {
        let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
            return Self::default();
        };
        let (mut codes, mut text) = (Vec::new(), String::new());
        for error in refusal.errors.into_iter().take(3) {
            let code = printable(&error.code, 64, sent);
            let message = printable(&error.message.unwrap_or_default(), 200, sent);
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

    /// Reads the body of a refusal by a log; anything else than its JSON, such as an error page, is not shown at all.
    pub(crate) fn of_service(body: &[u8]) -> Self {
        let message = serde_json::from_slice::<ServiceRefusal>(body);
        let message = message.map(|refusal| printable(&refusal.message, 200, &Sent::default()));
        let text = match message {
            Ok(message) if !message.is_empty() => format!(": {message}"),
            _ => String::new(),
        };
        Self {
            codes: Box::default(),
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
pub(crate) fn printable(text: &str, longest: usize, sent: &Sent) -> String {
    let text = plain(text);
    if sent.is_in(&text) {
        return "(not shown: it repeats a credential)".to_owned();
    }
    text.chars()
        .take(longest)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn plain(text: &str) -> String {
    let is_plain = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(is_plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_and_messages_of_a_refusal_are_shown_without_control_characters() {
        let detail = Detail::parse(br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m\n way\u202e","detail":"x"},{"code":"B"}]}"#, &Sent::default());
        assert_eq!(detail.to_string(), ": DENIED no[31m way; B");
        assert!(detail.has_code("B") && !detail.has_code("C"));
        for body in ["", "<html>secret</html>", "{}", r#"{"errors":"x"}"#] {
            assert_eq!(
                Detail::parse(body.as_bytes(), &Sent::default()).to_string(),
                "",
                "{body}"
            );
        }
    }

    #[test]
    fn what_repeats_a_credential_is_not_shown_whatever_its_form() {
        let header = |text| Some(HeaderValue::from_str(text).expect("it is one"));
        // `user:p+ss word`
        let basic = header("Basic dXNlcjpwK3NzIHdvcmQ=");
        let bearer = header("Bearer to.ken");
        let far = format!("{}p+ss word", "x".repeat(195));
        for (header, said) in [
            (&basic, "got Basic dXNlcjpwK3NzIHdvcmQ="),
            (&basic, "dXNlcjpwK3NzIHdvcmQ is wrong"),
            (&basic, "user:p+ss word"),
            (&basic, "p+s\\u200bs word"),
            (&basic, "password=p%2Bss+word"),
            (&basic, far.as_str()),
            (&bearer, "Bearer to.ken"),
        ] {
            let sent = Sent::new(header.as_ref(), []);
            for body in [
                format!(r#"{{"errors":[{{"code":"A","message":"{said}"}}]}}"#),
                format!(r#"{{"errors":[{{"code":"{said}"}}]}}"#),
            ] {
                let told = Detail::parse(body.as_bytes(), &sent).to_string();
                assert!(
                    told.ends_with("(not shown: it repeats a credential)"),
                    "{told}"
                );
            }
        }
        let body = br#"{"errors":[{"code":"A","message":"user is not known"}]}"#;
        let told = Detail::parse(body, &Sent::new(basic.as_ref(), [])).to_string();
        assert_eq!(told, ": A user is not known");
    }
}
