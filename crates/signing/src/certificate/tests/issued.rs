//! Certificates that an authority issued to us, and those that it issued to somebody else.

use super::*;
use crate::certificate::issued::{Asked, MOST_AHEAD, Mismatch};
use crate::der::{encode, tag};
use crate::signer::Signer;

const START: i64 = NEW_YEAR + DAY;
const ISSUER: &str = "https://issuer.example.com";

/// What is said of a certificate after this draft for the key that asked, at this time.
fn judged(
    change: impl FnOnce(Draft) -> Draft,
    now: i64,
    trust: impl FnOnce(&Maker) -> Option<Trust>,
) -> Result<(), Mismatch> {
    let (key, maker): (Signer, _) = (new_key(), Maker::new("root"));
    let draft = change(Draft {
        spki: key.public_key().spki_der().to_vec(),
        ..Draft::signer()
    });
    let certificate = Certificate::from_der(&maker.issue(&draft)).expect("a certificate");
    let asked = Asked {
        key: key.public_key(),
        names: &["alice@example.com".to_owned()],
        subject: Some("subject-1"),
        issuers: &[ISSUER.to_owned()],
        now,
    };
    certificate.judge(&[], &asked, trust(&maker).as_ref())
}

fn trusting(maker: &Maker) -> Option<Trust> {
    Some(Trust {
        certificate_authorities: vec![maker.trusted(&[])],
        ..Trust::default()
    })
}

#[test]
fn what_was_asked_for_is_good_while_it_is_valid() {
    assert_eq!(judged(|draft| draft, START, |_| None), Ok(()));
    assert_eq!(judged(|draft| draft, START + 599, trusting), Ok(()));
    assert_eq!(judged(|draft| draft, START - MOST_AHEAD, |_| None), Ok(()));
    for now in [START - MOST_AHEAD - 1, START + 600, START + DAY] {
        let refused = judged(|draft| draft, now, |_| None);
        assert!(matches!(refused, Err(Mismatch::Time { .. })), "{refused:?}");
    }
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let other = |draft| Draft {
        spki: new_key().public_key().spki_der().to_vec(),
        ..draft
    };
    assert_eq!(judged(other, START, |_| None), Err(Mismatch::Key));
}

#[test]
fn a_certificate_for_somebody_else_is_refused() {
    let named = |list: &'static [(u8, &'static [u8])]| {
        judged(|draft| draft.with(names(list)), START, |_| None)
    };
    let mallory: &[(u8, &[u8])] = &[(0x81, b"mallory@example.com")];
    assert_eq!(
        named(mallory).expect_err("another one").to_string(),
        "the certificate is for [mallory@example.com], and the token stands for [alice@example.com]"
    );
    // A verifier takes any name of several.
    let both: &[(u8, &[u8])] = &[(0x81, b"alice@example.com"), (0x81, b"mallory@example.com")];
    for list in [both, &[]] {
        assert!(
            matches!(named(list), Err(Mismatch::Name { .. })),
            "{list:?}"
        );
    }
    let said = |subject: &'static [u8]| {
        let claimed = claim(24, &encode(tag::UTF8_STRING, subject));
        let url: &[(u8, &[u8])] = &[(0x86, b"https://forge.example/made-up")];
        judged(
            |draft| draft.with(names(url)).with(claimed),
            START,
            |_| None,
        )
    };
    assert_eq!(said(b"subject-1"), Ok(()), "the authority makes up names");
    assert!(matches!(said(b"subject-2"), Err(Mismatch::Name { .. })));
    // As 1.3.6.1.4.1.57264.1.7, or in whatever form a name is.
    assert_eq!(named(&[(0x86, b"subject-1!team.example")]), Ok(()));
    for other in [
        &b"subject-12!team.example"[..],
        b"subject-1.example",
        b"subject",
    ] {
        let list: Vec<(u8, &[u8])> = vec![(0x86, other)];
        let refused = judged(|draft| draft.with(names(&list)), START, |_| None);
        assert!(matches!(refused, Err(Mismatch::Name { .. })), "{refused:?}");
    }
}

#[test]
fn a_certificate_on_another_issuers_word_is_refused() {
    let other = claim(8, &encode(tag::UTF8_STRING, b"https://other.example.com"));
    let refused = judged(|draft| draft.with(other), START, |_| None);
    assert!(
        matches!(refused, Err(Mismatch::Issuer { .. })),
        "{refused:?}"
    );
    let oid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 8];
    let refused = judged(|draft| draft.without(&oid), START, |_| None);
    assert!(
        matches!(refused, Err(Mismatch::Issuer { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_no_verifier_would_accept_is_refused() {
    let stranger = |_: &Maker| trusting(&Maker::new("stranger"));
    let refused = judged(|draft| draft, START, stranger);
    assert_eq!(refused, Err(Mismatch::Untrusted(Error::NotIssued)));
    let with_log = |maker: &Maker| {
        let mut trust = trusting(maker)?;
        trust.certificate_logs = sample_trust().certificate_logs;
        Some(trust)
    };
    let refused = judged(|draft| draft, START, with_log);
    assert_eq!(refused, Err(Mismatch::Untrusted(Error::NoSct)));
}
