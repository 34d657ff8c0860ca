use super::*;
use crate::certificate::testing::{Draft, Maker, names};

/// The certificate with names of all kinds, issued by `https://issuer.example.com`.
fn certificate() -> Certificate {
    Certificate::from_pem(include_bytes!("../testdata/chains/names.pem")).expect("a certificate")
}

fn exact(text: &str) -> Option<Matcher> {
    Some(Matcher::exact(text.to_owned()))
}

fn pattern(text: &str) -> Option<Matcher> {
    Some(Matcher::pattern(text).expect("a pattern"))
}

fn check(identity: Option<Matcher>, issuer: Option<Matcher>) -> Result<String, Error> {
    IdentityRule::new(identity, issuer)
        .expect("a rule")
        .check(&certificate())
}

#[test]
fn every_name_is_tried() {
    let issuer = || exact("https://issuer.example.com");
    for name in certificate().identities() {
        assert_eq!(check(exact(name), issuer()).as_ref(), Ok(name));
    }
    assert_eq!(check(pattern("^[a-z]+$"), issuer()).as_deref(), Ok("alice"));
}

#[test]
fn patterns_are_not_anchored() {
    assert_eq!(
        check(pattern("workflow"), pattern("example")).as_deref(),
        Ok("https://example.com/workflow")
    );
    assert!(check(pattern("^workflow"), pattern("example")).is_err());
    assert!(check(pattern("workflow"), pattern("example$")).is_err());
    assert_eq!(
        check(pattern(".*"), pattern(".*")).as_deref(),
        Ok("alice@example.com")
    );
}

#[test]
fn an_exact_text_is_no_pattern_and_no_part() {
    let issuer = || exact("https://issuer.example.com");
    for other in ["alice@example.co", "Alice@example.com", ".*", "lice"] {
        assert!(matches!(
            check(exact(other), issuer()),
            Err(Error::Mismatch { .. })
        ));
    }
}

#[test]
fn name_and_issuer_must_both_be_right() {
    let error = check(exact("alice"), exact("https://other.example.com")).expect_err("not it");
    assert_eq!(
        error.to_string(),
        "none of the expected identities matched what was in the certificate, got subjects [alice@example.com, \
         https://example.com/workflow, build.example.com, 127.0.0.1, ::1, alice] with issuer https://issuer.example.com"
    );
    assert!(check(exact("bob"), exact("https://issuer.example.com")).is_err());
}

#[test]
fn a_rule_for_anybody_is_none() {
    for (identity, issuer, error) in [
        (None, exact("i"), Error::NoIdentity),
        (exact(""), exact("i"), Error::NoIdentity),
        (exact("a"), None, Error::NoIssuer),
        (exact("a"), exact(""), Error::NoIssuer),
        (None, None, Error::NoIdentity),
    ] {
        assert_eq!(IdentityRule::new(identity, issuer).err(), Some(error));
    }
    assert_eq!(Matcher::pattern("").err(), Some(Error::PatternLength(0)));
}

#[test]
fn many_names_are_not_all_told() {
    let draft = Draft::signer().with(names(&vec![(0x86, &b"https://a"[..]); 20]));
    let der = Maker::new("root").issue(&draft);
    let many = Certificate::from_der(&der).expect("a certificate");
    let rule = IdentityRule::new(exact("b"), exact("i")).expect("a rule");
    let Err(Error::Mismatch { subjects, .. }) = rule.check(&many) else {
        panic!("it matches");
    };
    assert_eq!(subjects.len(), 11);
}

#[test]
fn a_certificate_without_issuer_has_an_empty_one() {
    let draft = Draft::signer().without(&[0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 1, 8]);
    let der = Maker::new("root").issue(&draft);
    let certificate = Certificate::from_der(&der).expect("a certificate");
    let matches = |issuer| {
        let rule = IdentityRule::new(pattern("alice"), issuer).expect("a rule");
        rule.check(&certificate).is_ok()
    };
    assert!(matches(pattern(".*")));
    assert!(matches(pattern("^$")));
    assert!(!matches(pattern(".")));
    assert!(!matches(exact("https://issuer.example.com")));
}

#[test]
fn patterns_are_limited() {
    assert!(Matcher::pattern(&"a".repeat(4096)).is_ok());
    assert_eq!(
        Matcher::pattern(&"a".repeat(4097)).err(),
        Some(Error::PatternLength(4097))
    );
    for malformed in [
        "(",
        "a{3",
        "[a",
        "*",
        "(?=a)",
        r"\p{Greek}",
        "((a{1000}){1000}){1000}",
    ] {
        assert!(
            matches!(
                Matcher::pattern(malformed).err(),
                Some(Error::Pattern { .. } | Error::Dialect(..))
            ),
            "{malformed}"
        );
    }
    assert!(matches!(
        Matcher::pattern("((a{1000}){1000}){1000}").err(),
        Some(Error::Pattern { .. })
    ));
}

#[test]
fn what_go_would_read_otherwise_is_refused() {
    for other in [
        r"\<a\>",
        r"\b{start}a",
        "[a[b]]",
        "[^[]",
        "a{,2}",
        "a{ 2 }",
        "a{b}",
        "{",
    ] {
        assert!(
            matches!(Matcher::pattern(other).err(), Some(Error::Dialect(..))),
            "{other}"
        );
    }
    for (same, text) in [
        (r"^a{2}b{1,}c{1,3}$", "aabcc"),
        (r"^[[:alpha:]]+[[:digit:]]$", "abc1"),
        (r"^[]a]+$", "]a"),
        (r"^[^]a]$", "b"),
        (r"^[\[{]+$", "[{"),
        (r"^\{\x{61}\}\.$", "{a}."),
        (
            r"^https://github\.com/[\w.-]+/\S+@refs/heads/main$",
            "https://github.com/o.-/w@refs/heads/main",
        ),
        (r"(?i)^ALICE\b", "alice@"),
    ] {
        let matcher = Matcher::pattern(same).expect("a pattern");
        assert!(matcher.matches(text), "{same}");
    }
}
