//! Chains of certificates.

use tekseal_core::trusted_root::{Authority, Validity};

use super::*;
use crate::certificate::x509::oid;

fn trusting(authorities: Vec<Authority>) -> Trust {
    Trust {
        certificate_authorities: authorities,
        ..Trust::default()
    }
}

fn read(der: &[u8]) -> Certificate {
    Certificate::from_der(der).expect("a certificate")
}

/// What becomes of a certificate that `maker` issues after this draft, and that alone is trusted.
fn outcome(maker: &Maker, draft: &Draft) -> Result<Chain, Error> {
    read(&maker.issue(draft)).verify_chain(&[], &trusting(vec![maker.trusted(&[])]))
}

#[test]
fn a_root_that_issues_itself_is_enough() {
    let root = Maker::new("root");
    let chain = outcome(&root, &Draft::signer()).expect("good");
    assert_eq!(chain.authority(), "https://root.example.com");
    // Root and leaf have the same serial number and validity here: only the subject of the issuer tells.
    assert_eq!(chain.issuer().len(), root.root().len());
}

#[test]
fn openssls_chain_is_verified_through_the_trusted_and_through_a_given_intermediate() {
    let root = der_of(include_bytes!("../../testdata/chains/code-root.pem"));
    let between = der_of(include_bytes!(
        "../../testdata/chains/code-intermediate.pem"
    ));
    let leaf = Certificate::from_pem(include_bytes!("../../testdata/chains/names.pem"))
        .expect("a certificate");
    let trust = |chain: Vec<Vec<u8>>| {
        trusting(vec![Authority {
            uri: String::new(),
            chain,
            valid: Validity::default(),
        }])
    };
    let full = trust(vec![between.clone(), root.clone()]);
    let chain = leaf.verify_chain(&[], &full).expect("good");
    assert_eq!(chain.issuer(), between);
    let named = format!("root {}", tekseal_core::Digest::of(&root));
    assert_eq!(chain.authority(), named);

    let bare = trust(vec![root]);
    assert!(matches!(
        leaf.verify_chain(&[], &bare),
        Err(Error::NotIssued)
    ));
    let given = std::slice::from_ref(&between);
    assert_eq!(
        leaf.verify_chain(given, &bare).expect("good").issuer(),
        between
    );
}

#[test]
fn an_intermediate_that_came_along_is_not_trusted() {
    let (root, foreign) = (Maker::new("root"), Maker::new("foreign"));
    let leaf = read(&foreign.issue(&Draft::signer()));
    assert!(matches!(
        leaf.verify_chain(&[foreign.root()], &trusting(vec![root.trusted(&[])])),
        Err(Error::NotIssued)
    ));
}

#[test]
fn a_foreign_authority_is_refused_and_one_of_the_same_name_told_apart() {
    let (root, foreign, double) = (
        Maker::new("root"),
        Maker::new("foreign"),
        Maker::new("root"),
    );
    let trust = trusting(vec![root.trusted(&[])]);
    let of = |maker: &Maker| read(&maker.issue(&Draft::signer())).verify_chain(&[], &trust);
    assert!(of(&root).is_ok());
    assert!(matches!(of(&foreign), Err(Error::NotIssued)));
    assert!(matches!(of(&double), Err(Error::Signature(by)) if by == "https://root.example.com"));
    // Both of the name may be trusted, in any order.
    let both = trusting(vec![double.trusted(&[]), root.trusted(&[])]);
    let leaf = read(&root.issue(&Draft::signer()));
    assert!(leaf.verify_chain(&[], &both).is_ok());
    assert!(matches!(
        leaf.verify_chain(&[], &Trust::default()),
        Err(Error::NotIssued)
    ));
}

#[test]
fn what_was_changed_after_it_was_signed_is_named_so() {
    let root = Maker::new("root");
    let trust = trusting(vec![root.trusted(&[])]);
    let der = root.issue(&Draft::signer());
    for at in [position(&der, b"alice@example.com"), der.len() - 1] {
        let changed = read(&flipped(&der, at));
        assert!(matches!(
            changed.verify_chain(&[], &trust),
            Err(Error::Signature(_))
        ));
    }
}

#[test]
fn the_certificate_must_be_for_code_signing() {
    let root = Maker::new("root");
    let draft = Draft::signer();
    for other in [
        draft.clone().without(oid::EXTENDED_KEY_USAGE),
        draft.clone().with(purposes(false, &[oid::TIME_STAMPING])),
        draft.clone().with(purposes(false, &[oid::ANY_PURPOSE])),
    ] {
        assert!(matches!(
            outcome(&root, &other),
            Err(Error::NotForCodeSigning)
        ));
    }
    let both = purposes(true, &[oid::TIME_STAMPING, oid::CODE_SIGNING]);
    assert!(outcome(&root, &draft.clone().with(both)).is_ok());

    assert!(matches!(
        outcome(&root, &draft.clone().with(usage(0x20))),
        Err(Error::NotForSignatures)
    ));
    assert!(outcome(&root, &draft.without(oid::KEY_USAGE)).is_ok());
}

#[test]
fn the_authority_must_have_been_in_use_when_it_issued() {
    let root = Maker::new("root");
    let draft = Draft::signer();
    let leaf = read(&root.issue(&draft));
    let at = draft.valid.0;
    let during = |start: Option<i64>, end: Option<i64>| {
        let mut authority = root.trusted(&[]);
        authority.valid = Validity { start, end };
        leaf.verify_chain(&[], &trusting(vec![authority]))
    };
    assert!(during(Some(at), Some(at)).is_ok());
    for (start, end) in [(Some(at + 1), None), (None, Some(at - 1))] {
        assert!(matches!(
            during(start, end),
            Err(Error::AuthorityNotValid { .. })
        ));
    }
    let chain = during(None, Some(at)).expect("good");
    assert!(chain.verify_time(at).is_ok());
    assert!(matches!(
        chain.verify_time(at + 1),
        Err(Error::IssuerNotValid { .. })
    ));
    // Where the trusted root sets no end, the certificate of the authority does.
    let chain = during(None, None).expect("good");
    assert!(chain.verify_time(NEW_YEAR + 3650 * DAY).is_ok());
    for time in [NEW_YEAR - 1, NEW_YEAR + 3650 * DAY + 1] {
        assert!(matches!(
            chain.verify_time(time),
            Err(Error::IssuerNotValid { .. })
        ));
    }
}

#[test]
fn an_authority_whose_certificate_is_not_valid_then_is_refused() {
    let root = Maker::new("root");
    let mut late = Draft::signer();
    late.valid = (NEW_YEAR + 3651 * DAY, NEW_YEAR + 3651 * DAY + 600);
    assert!(matches!(
        outcome(&root, &late),
        Err(Error::IssuerNotValid { .. })
    ));
}

/// A root, an authority below it after `change`, and whether a certificate of that one is accepted.
fn below(change: impl Fn(Draft) -> Draft, root_extensions: &[Vec<u8>]) -> Result<Chain, Error> {
    let (root, between) = (Maker::new("root"), Maker::new("between"));
    let mut own = root.authority(&root);
    for extension in root_extensions {
        own = own.with(extension.clone());
    }
    let intermediate = root.issue(&change(root.authority(&between)));
    let mut authority = root.trusted(&[]);
    authority.chain = vec![intermediate, root.issue(&own)];
    read(&between.issue(&Draft::signer())).verify_chain(&[], &trusting(vec![authority]))
}

#[test]
fn what_stands_between_must_be_an_authority_for_this() {
    assert!(below(|draft| draft, &[]).is_ok());
    let expired = |mut draft: Draft| {
        draft.valid.1 = NEW_YEAR + 1;
        draft
    };
    assert!(matches!(
        below(expired, &[]),
        Err(Error::IssuerNotValid { .. })
    ));
    let no_authority = below(|draft| draft.without(oid::BASIC_CONSTRAINTS), &[]);
    assert!(matches!(
        no_authority,
        Err(Error::Chain {
            source: webpki::Error::EndEntityUsedAsCa,
            ..
        })
    ));
    let no_signer_of_certificates = below(|draft| draft.with(usage(0x80)), &[]);
    assert!(matches!(
        no_signer_of_certificates,
        Err(Error::Chain {
            source: webpki::Error::EndEntityUsedAsCa,
            ..
        })
    ));
    let for_else = below(
        |draft| draft.with(purposes(false, &[oid::TIME_STAMPING])),
        &[],
    );
    assert!(matches!(for_else, Err(Error::IssuerNotForCodeSigning(_))));
    for fitting in [oid::CODE_SIGNING, oid::ANY_PURPOSE] {
        assert!(below(|draft| draft.with(purposes(false, &[fitting])), &[]).is_ok());
    }
}

#[test]
fn what_the_root_says_of_itself_holds() {
    assert!(below(|draft| draft, &[constraints(Some(1))]).is_ok());
    assert!(matches!(
        below(|draft| draft, &[constraints(Some(0))]),
        Err(Error::Chain {
            source: webpki::Error::PathLenConstraintViolated,
            ..
        })
    ));
    assert!(matches!(
        below(|draft| draft, &[usage(0x80)]),
        Err(Error::Chain {
            source: webpki::Error::EndEntityUsedAsCa,
            ..
        })
    ));
    assert!(matches!(
        below(|draft| draft, &[purposes(false, &[oid::TIME_STAMPING])]),
        Err(Error::IssuerNotForCodeSigning(_))
    ));
    let no_authority = extension(oid::BASIC_CONSTRAINTS, true, &[0x30, 0]);
    assert!(matches!(
        below(|draft| draft, &[no_authority]),
        Err(Error::Chain {
            source: webpki::Error::EndEntityUsedAsCa,
            ..
        })
    ));
}

#[test]
fn what_is_critical_must_be_known() {
    let root = Maker::new("root");
    let draft = Draft::signer().with(extension(&[0x2a, 3], true, b"?"));
    assert!(matches!(
        outcome(&root, &draft),
        Err(Error::Chain {
            source: webpki::Error::UnsupportedCriticalExtension,
            ..
        })
    ));
    let draft = Draft::signer().with(extension(&[0x2a, 3], false, b"?"));
    assert!(outcome(&root, &draft).is_ok());
}

#[test]
fn a_damaged_authority_is_told_but_hides_no_other() {
    let root = Maker::new("root");
    let leaf = read(&root.issue(&Draft::signer()));
    let mut damaged = root.trusted(&[]);
    damaged.chain = vec![b"nothing".to_vec()];
    assert!(matches!(
        leaf.verify_chain(&[], &trusting(vec![damaged.clone()])),
        Err(Error::AuthorityDamaged { .. })
    ));
    let both = trusting(vec![damaged, root.trusted(&[])]);
    assert!(leaf.verify_chain(&[], &both).is_ok());
    let mut empty = root.trusted(&[]);
    empty.chain.clear();
    assert!(matches!(
        leaf.verify_chain(&[], &trusting(vec![empty])),
        Err(Error::NotIssued)
    ));
}

#[test]
fn only_few_intermediates_may_come_along() {
    let root = Maker::new("root");
    let leaf = read(&root.issue(&Draft::signer()));
    let trust = trusting(vec![root.trusted(&[])]);
    let others = |count: usize| vec![b"no certificate".to_vec(); count];
    assert!(leaf.verify_chain(&others(4), &trust).is_ok());
    assert!(matches!(
        leaf.verify_chain(&others(5), &trust),
        Err(Error::TooManyIntermediates(5))
    ));
}
