//! What is a certificate, and what it says.

use super::*;
use crate::certificate::x509::oid;
use crate::der::{encode, tag};
use crate::public_key;

fn read(draft: &Draft) -> Result<Certificate, Error> {
    Certificate::from_der(&Maker::new("root").issue(draft))
}

#[test]
fn names_of_all_kinds_are_read_and_only_those_of_signers() {
    let certificate = Certificate::from_pem(include_bytes!("../../testdata/chains/names.pem"))
        .expect("a certificate");
    assert_eq!(
        certificate.identities(),
        [
            "alice@example.com",
            "https://example.com/workflow",
            "build.example.com",
            "127.0.0.1",
            "::1",
            "alice",
        ]
    );
    assert_eq!(
        certificate.oidc_issuer(),
        Some("https://issuer.example.com")
    );
    let claims: Vec<_> = certificate.claims().iter().collect();
    assert_eq!(
        claims,
        [(
            &"sourceRepositoryURI",
            &"https://example.com/source".to_owned()
        )]
    );
}

#[test]
fn a_name_that_hides_something_is_refused() {
    let long = [b'a'; 2049];
    for (kind, bytes) in [
        (0x81, &b"alice@example.com\0@evil.example"[..]),
        (0x86, b"https://example.com\n"),
        (0x81, b"al\xc3\xafce@example.com"),
        (0x86, b""),
        (0x86, &long),
        (0x87, b"abc"),
        (tag::CONTEXT_0, b"abc"),
    ] {
        let outcome = read(&Draft::signer().with(names(&[(kind, bytes)])));
        assert_eq!(outcome.err(), Some(Error::Name), "{kind:x} {bytes:?}");
    }
    assert!(read(&Draft::signer().with(names(&[(0x86, &long[..2048])]))).is_ok());
    let junk = extension(oid::SUBJECT_ALT_NAME, true, b"junk");
    assert_eq!(read(&Draft::signer().with(junk)).err(), Some(Error::Name));
}

#[test]
fn names_are_counted() {
    let some = |count: usize| Draft::signer().with(names(&vec![(0x86, &b"https://a"[..]); count]));
    let most = read(&some(64)).expect("a certificate");
    assert_eq!(most.identities().len(), 64);
    assert_eq!(read(&some(65)).err(), Some(Error::TooManyNames));
    let none = read(&Draft::signer().without(oid::SUBJECT_ALT_NAME)).expect("a certificate");
    assert!(none.identities().is_empty());
}

#[test]
fn the_old_and_the_new_issuer_must_agree() {
    let encoded = |text: &[u8]| claim(8, &encode(tag::UTF8_STRING, text));
    let none = Draft::signer().without(&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 8]);
    let issuer = |draft: &Draft| {
        let certificate = read(draft).expect("a certificate");
        certificate.oidc_issuer().map(str::to_owned)
    };
    assert_eq!(issuer(&none), None);
    let old = none.clone().with(claim(1, b"https://a"));
    assert_eq!(issuer(&old), Some("https://a".to_owned()));
    assert_eq!(
        issuer(&none.with(encoded(b"https://a"))),
        Some("https://a".to_owned())
    );
    assert_eq!(
        issuer(&old.clone().with(encoded(b"https://a"))),
        Some("https://a".to_owned())
    );
    assert_eq!(
        read(&old.with(encoded(b"https://b"))).err(),
        Some(Error::IssuersDiffer {
            raw: "https://a".to_owned(),
            encoded: "https://b".to_owned(),
        })
    );
}

#[test]
fn a_claim_is_a_text_in_its_one_form() {
    let claims = |extension: Vec<u8>| {
        read(&Draft::signer().with(extension)).map(|certificate| certificate.claims().clone())
    };
    let raw = claims(claim(5, b"owner/name")).expect("old claims are raw");
    assert_eq!(raw["githubWorkflowRepository"], "owner/name");
    assert_eq!(
        claims(claim(13, b"owner/name")),
        Err(Error::Claim("sourceRepositoryDigest"))
    );
    let trailing = [encode(tag::UTF8_STRING, b"a"), vec![0]].concat();
    assert_eq!(
        claims(claim(24, &trailing)),
        Err(Error::Claim("tokenSubject"))
    );
    assert_eq!(
        claims(claim(2, &[0xff])),
        Err(Error::Claim("githubWorkflowTrigger"))
    );
    assert_eq!(claims(claim(99, b"later")).expect("unknown").len(), 0);
}

#[test]
fn what_is_no_certificate_of_version_3_is_refused() {
    let der = Maker::new("root").issue(&Draft::signer());
    let damage = |bytes: &[u8]| match Certificate::from_der(bytes) {
        Err(Error::Damaged(damage)) => damage,
        other => panic!("{other:?}"),
    };
    assert_eq!(damage(b""), Damage::Malformed("Certificate"));
    assert_eq!(
        damage(&der[..der.len() - 1]),
        Damage::Malformed("Certificate")
    );
    assert_eq!(
        damage(&[&der[..], &[0]].concat()),
        Damage::Malformed("Certificate")
    );
    assert_eq!(damage(&vec![0; LARGEST + 1]), Damage::TooLarge(LARGEST + 1));
    let version = position(&der, &[0xa0, 3, 2, 1, 2]);
    assert_eq!(damage(&flipped(&der, version + 4)), Damage::Version);
    // A certificate of version 1 leaves the field out.
    let serial_first = flipped(&der, version);
    assert_eq!(damage(&serial_first), Damage::Version);
}

#[test]
fn an_extension_stands_once() {
    let mut draft = Draft::signer();
    draft.extensions.push(usage(0x80));
    assert_eq!(
        read(&draft).err(),
        Some(Error::Damaged(Damage::DuplicateExtension(
            "2.5.29.15".to_owned()
        )))
    );
    let mut many = Draft::signer();
    many.extensions = (0..64)
        .map(|number| extension(&[0x2a, number], false, b""))
        .collect();
    assert!(read(&many).is_ok());
    many.extensions.push(extension(&[0x2a, 64], false, b""));
    assert_eq!(
        read(&many).err(),
        Some(Error::Damaged(Damage::TooManyExtensions))
    );
}

#[test]
fn a_certificate_does_not_end_before_it_begins() {
    let mut draft = Draft::signer();
    draft.valid = (NEW_YEAR + 1, NEW_YEAR);
    assert_eq!(
        read(&draft).err(),
        Some(Error::Damaged(Damage::Malformed("TBSCertificate")))
    );
    draft.valid = (NEW_YEAR, NEW_YEAR);
    assert!(read(&draft).is_ok());
}

#[test]
fn a_key_of_another_kind_is_named() {
    let mut draft = Draft::signer();
    let other = crate::pem::read(include_bytes!("../../testdata/secp256k1.pub"), |_| true);
    draft.spki = other.expect("PEM").content.to_vec();
    assert_eq!(
        read(&draft).err(),
        Some(Error::Key(public_key::Error::Unsupported("secp256k1")))
    );
}

#[test]
fn only_a_certificate_is_read_from_pem() {
    assert_eq!(
        Certificate::from_pem(include_bytes!("../../testdata/a.pub")).err(),
        Some(Error::Label("PUBLIC KEY".to_owned()))
    );
    assert!(matches!(
        Certificate::from_pem(b"no PEM").err(),
        Some(Error::Pem(_))
    ));
    let certificate = Certificate::from_pem(&sample("keys/fulcioca.crt")).expect("a certificate");
    assert_eq!(certificate.der(), der_of(&sample("keys/fulcioca.crt")));
    assert!(certificate.public_key().spki_digest().to_string().len() > 64);
}

#[test]
fn the_names_of_a_subject_are_its_own_and_not_its_issuers() {
    let of = |pem: &[u8]| {
        let block = crate::pem::read(pem, |_| true).expect("a block");
        SubjectNames::of(&block.content)
    };
    let root = of(include_bytes!("../../testdata/chains/code-root.pem")).expect("a certificate");
    assert_eq!(
        (root.organization.as_str(), root.common_name.as_str()),
        ("example", "code-root")
    );
    let between = of(include_bytes!(
        "../../testdata/chains/code-intermediate.pem"
    ));
    assert_ne!(between.expect("a certificate").common_name, "code-root");
    assert!(of(include_bytes!("../../testdata/a.pub")).is_err());
}
