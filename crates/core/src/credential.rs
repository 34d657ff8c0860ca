//! Values that look like credentials. Parameters stand in provenance in clear text, so whoever passes a secret as one should hear of it.
//!
//! Only a warning hangs on this: it knows the usual forms of tokens and keys, and is neither complete nor free of false alarms.

use std::str::FromStr as _;

use crate::digest::Digest;
use crate::run::CompletedRun;

/// How tokens of well-known services begin, and how long they are at least.
const PREFIXES: &[(&str, usize, &str)] = &[
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("ghu_", 36, "a GitHub token"),
    ("github_pat_", 40, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("AKIA", 20, "an AWS access key id"),
    ("ASIA", 20, "an AWS access key id"),
    ("AIza", 39, "a Google API key"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("npm_", 36, "an npm token"),
    ("pypi-", 40, "a PyPI token"),
    ("dckr_pat_", 20, "a Docker Hub token"),
    ("hvs.", 20, "a Vault token"),
    ("sk_live_", 20, "a Stripe key"),
    ("sk-", 40, "an API key"),
];

/// Words in a name after which the secret itself is expected.
const PASSWORDS: &[&str] = &["password", "passwd", "passphrase"];

/// Words in a name that suggest a secret, or the place where one is kept.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "access-key",
    "access_key",
    "credential",
    "private-key",
    "private_key",
];

/// A parameter whose value looks like a credential. The value itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspicion {
    /// Name of the run, or of the child of a PipelineRun.
    pub run: String,
    /// Name of the parameter.
    pub param: String,
    /// What it looks like.
    pub what: &'static str,
}

/// The parameters of a run and of its children, also those declared or passed on inside their specifications, that look like
/// credentials; each once.
#[must_use]
pub fn suspicions(run: &CompletedRun<'_>) -> Vec<Suspicion> {
    let mut found = Vec::new();
    for one in [run.run()].into_iter().chain(run.children()) {
        one.object().each_param(&mut |name, value| {
            let mut by_key = value.as_object().into_iter().flatten();
            let by_key = by_key.find_map(|(key, text)| looks_like(key, text));
            let what = by_key.or_else(|| value.texts().find_map(|text| looks_like(name, text)));
            found.extend(what.map(|what| Suspicion {
                run: one.name().to_owned(),
                param: name.to_owned(),
                what,
            }));
        });
    }
    found.sort();
    found.dedup_by(|a, b| a.run == b.run && a.param == b.param);
    found
}

/// What the value of a parameter looks like, if it looks like a credential. Of `NAME=VALUE`, as build arguments are, both halves count.
#[must_use]
pub fn looks_like(name: &str, value: &str) -> Option<&'static str> {
    let value = value.trim();
    if value.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    if has_password_in_url(value) {
        return Some("a URL with a password");
    }
    let words =
        value.split(|c: char| c.is_whitespace() || matches!(c, '=' | ',' | ';' | '"' | '\''));
    if let Some(what) = words.filter(|word| !word.is_empty()).find_map(token) {
        return Some(what);
    }
    let argument = value.split_once('=').filter(|(name, _)| is_word(name));
    let is_secret = is_named_secret(name, value)
        || argument.is_some_and(|(name, value)| is_named_secret(name, value));
    is_secret.then_some("a secret, by its name")
}

/// The token of a well-known form that a word is.
fn token(word: &str) -> Option<&'static str> {
    if is_web_token(word) {
        return Some("a JSON web token");
    }
    let mut known = PREFIXES.iter();
    known
        .find(|(prefix, length, _)| {
            word.starts_with(prefix) && word.len() >= *length && is_word(word)
        })
        .map(|(_, _, what)| *what)
}

fn is_word(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(is_part)
}

/// Whether the name says that the value is a secret, and the value may be one: of six characters, in one word, and neither a path, a URL,
/// a digest nor a variable. A name that may also stand for where a secret is kept (`token-secret`) wants letters and digits mixed.
fn is_named_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let value = value.trim();
    let is_possible = value.len() >= 6
        && !value.contains(char::is_whitespace)
        && !value.starts_with(['/', '.', '$'])
        && !value.contains("://")
        && Digest::from_str(value).is_err();
    let is_mixed = value.len() >= 8
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic());
    let is_place = ["secret", "file", "path", "name", "ref"]
        .iter()
        .any(|end| name.ends_with(end));
    is_possible && ((has(PASSWORDS) && !is_place) || (has(SECRETS) && is_mixed))
}

fn has_password_in_url(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
}

/// Three parts in URL-safe base64, the first of which begins as a JSON object does.
fn is_web_token(value: &str) -> bool {
    let parts: Vec<&str> = value.split('.').collect();
    parts.len() == 3
        && parts[0].starts_with("eyJ")
        && parts.iter().all(|part| {
            part.len() >= 10
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_forms_of_credentials_are_known_and_usual_values_are_not() {
        let token = format!("ghp_{}", "a1".repeat(18));
        for (name, value) in [
            ("x", token.as_str()),
            ("url", "https://user:pw@git.example.com/a.git"),
            (
                "k",
                "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
            ),
            (
                "j",
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0aaaa.c2lnbmF0dXJlLTEyMw",
            ),
            ("registry-password", "hunter2hunter2"),
            ("registry-password", "correcthorse"),
            ("BUILD_ARGS", "DB_PASSWORD=letmein"),
            ("BUILD_ARGS", &format!("API={token}")),
            ("ARGS", &format!("--token={token} -v")),
            (
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
        ] {
            assert!(looks_like(name, value).is_some(), "{name} {value}");
        }
        for (name, value) in [
            ("IMAGE", "quay.io/acme/app:1.0"),
            ("url", "https://git.example.com/a.git"),
            ("url", "https://user:$(params.pw)@git.example.com/a.git"),
            ("token-secret", "my-secret-name"),
            ("password", "$(params.password)"),
            ("password-file", "/etc/secret/password1"),
            ("password-secret", "my-registry-password"),
            ("BUILD_ARGS", "VERSION=1.2.3-rc1"),
            ("revision", "2f22765d04931a078909145ca628d2264c852d7d"),
        ] {
            assert_eq!(looks_like(name, value), None, "{name} {value}");
        }
    }
}
