//! Reads `WWW-Authenticate` (RFC 9110, 11.6.1) as registries send it: Bearer with a realm, or Basic.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token that `realm` gives out.
    Bearer {
        /// URL of the token server, as it was written.
        realm: String,
        /// Name under which the token server knows the registry.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The same without the scope, which is about one repository.
    pub(crate) fn for_any_repository(&self) -> Self {
        match self {
            Self::Basic => Self::Basic,
            Self::Bearer {
                realm,
                service,
                scope: _,
            } => Self::Bearer {
                realm: realm.clone(),
                service: service.clone(),
                scope: None,
            },
        }
    }
}

/// The longest challenge that is read. What it says is kept, for every registry.
const LONGEST: usize = 4 << 10;

/// The challenge to answer: Bearer before Basic, as docker does. One that is longer than 4 KiB counts as none.
pub(crate) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for header in headers.get_all(WWW_AUTHENTICATE) {
        if header.len() > LONGEST {
            continue;
        }
        for (scheme, parameters) in parse(header.to_str().ok()?) {
            let get = |name: &str| {
                let found = parameters
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = get("realm")
            {
                return Some(Challenge::Bearer {
                    realm,
                    service: get("service"),
                    scope: get("scope"),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// A name that is followed by `=` is a parameter of the challenge before it, any other name begins a challenge.
fn parse(text: &str) -> Vec<(String, Parameters)> {
    let mut challenges: Vec<(String, Parameters)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (name, after) =
            rest.split_at(rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len()));
        if name.is_empty() {
            // Nothing left, or nothing that could be understood.
            return challenges;
        }
        match after.trim_start().strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start());
                if let Some((_, parameters)) = challenges.last_mut() {
                    parameters.push((name.to_owned(), value));
                }
                rest = after;
            }
            None => {
                challenges.push((name.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// A quoted string or a plain token, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn of(texts: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        challenge(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: owned(service),
            scope: owned(scope),
        })
    }

    #[test]
    fn the_usual_challenges_are_read() {
        assert_eq!(
            of(&[
                r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#
            ]),
            bearer(
                "https://auth.example/token",
                Some("r.example"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(
            of(&[r#"bearer realm = "https://a.example/t" , service=plain"#]),
            bearer("https://a.example/t", Some("plain"), None)
        );
        assert_eq!(
            of(&[r#"Basic realm="Registry Realm""#]),
            Some(Challenge::Basic)
        );
        assert_eq!(of(&["BASIC"]), Some(Challenge::Basic));
    }

    #[test]
    fn bearer_goes_before_basic_in_one_header_or_two() {
        let expected = bearer("https://a.example/", None, None);
        assert_eq!(
            of(&[r#"Basic realm="x", Bearer realm="https://a.example/""#]),
            expected
        );
        assert_eq!(
            of(&[r#"Basic realm="x""#, r#"Bearer realm="https://a.example/""#]),
            expected
        );
    }

    #[test]
    fn quoted_values_may_hold_escapes_and_commas() {
        assert_eq!(
            of(&[r#"Bearer realm="a\"b, Basic c",scope="x""#]),
            bearer("a\"b, Basic c", None, Some("x"))
        );
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for text in [
            "",
            ",,,",
            "=",
            "\"",
            "Negotiate abc==",
            "Bearer",
            "Bearer service=\"x\"",
            "realm=\"x\"",
            "Bearer realm",
        ] {
            assert_eq!(of(&[text]), None, "{text}");
        }
        assert_eq!(
            of(&["Bearer realm=\"unfinished"]),
            bearer("unfinished", None, None)
        );
        assert_eq!(
            of(&["Bearer realm=\"unfinished\\"]),
            bearer("unfinished", None, None)
        );
    }
}
