//! Each part of a timestamp by itself.

use sha2::{Digest as _, Sha256, Sha384};

use super::made::*;
use super::*;
use crate::certificate::x509::oid;
use crate::der::{encode, tag};
use crate::random;
use crate::witness::MOST_SKEW;

/// What becomes of it where its root is trusted.
fn outcome(made: &Made) -> Result<Option<Timestamp>, Error> {
    verify(&trusting(made), &made.response(), MESSAGE)
}

fn trusting(made: &Made) -> Trust {
    Trust {
        timestamp_authorities: vec![made.root.trusted(&[])],
        ..Trust::default()
    }
}

/// The error when this is changed.
fn refused(change: impl FnOnce(&mut Made)) -> Error {
    let mut made = Made::new();
    change(&mut made);
    outcome(&made).expect_err("it does not hold")
}

fn accepted(change: impl FnOnce(&mut Made)) -> bool {
    let mut made = Made::new();
    change(&mut made);
    matches!(outcome(&made), Ok(Some(_)))
}

#[test]
fn what_is_made_here_is_good_before_it_is_changed() {
    let found = outcome(&Made::new()).expect("good").expect("trusted");
    assert_eq!(found.time, NEW_YEAR + 31 * DAY);
    assert_eq!(found.authority, "https://tsa-root.example.com");
}

#[test]
fn what_is_stamped_now_is_of_now_and_by_an_authority_in_use() {
    let request = Request::new(MESSAGE, &mut random::system).expect("randomness");
    let der = request.der();
    // A BOOLEAN is behind the nonce.
    let nonce = &der[der.len() - 19..der.len() - 3];
    let mut made = Made::new();
    made.tail = encode(tag::INTEGER, nonce);
    let (response, time) = (made.response(), NEW_YEAR + 31 * DAY);
    let judge = |end: Option<i64>, now: i64| {
        let mut trust = trusting(&made);
        trust.timestamp_authorities[0].valid.end = end;
        request.judge(&trust, &response, MESSAGE, now)
    };
    for good in [time, time + MOST_SKEW, time - MOST_SKEW] {
        assert_eq!(judge(None, good).expect("of now").time, time);
    }
    for bad in [time + MOST_SKEW + 1, time - MOST_SKEW - 1, i64::MAX] {
        let refused = judge(None, bad).expect_err("not of now");
        assert!(matches!(refused, AnswerError::Time { .. }), "{refused}");
        assert!(!refused.is_of_trusted_root());
    }
    let end = Some(time + 10);
    assert!(judge(end, time + 10).is_ok());
    let refused = judge(end, time + 11).expect_err("out of use by now");
    let wanted = "the timestamp authority https://tsa-root.example.com is not in use at 2026-02-01T00:00:11Z, as the trusted root says";
    assert_eq!(refused.to_string(), wanted);
    assert!(refused.is_of_trusted_root());
    // Whoever reads it later has nothing against it.
    let mut trust = trusting(&made);
    trust.timestamp_authorities[0].valid.end = end;
    assert!(matches!(verify(&trust, &response, MESSAGE), Ok(Some(_))));
    assert_eq!(trust.timestamp_authorities_at(time + 10), 1);
    assert_eq!(trust.timestamp_authorities_at(time + 11), 0);
    trust.timestamp_authorities.push(made.root.trusted(&[]));
    assert_eq!(trust.timestamp_authorities_at(time), 1, "one by two lines");
}

#[test]
fn the_imprint_must_be_a_safe_hash_of_the_message() {
    let sha1 = [0x2b, 0x0e, 0x03, 0x02, 0x1a];
    let with = |algorithm_oid: &[u8], hash: &[u8]| {
        [algorithm(algorithm_oid), encode(tag::OCTET_STRING, hash)].concat()
    };
    assert_eq!(
        refused(|made| made.imprint = with(&sha1, &[0; 20])),
        Error::HashAlgorithm("1.3.14.3.2.26".to_owned())
    );
    assert_eq!(
        refused(|made| made.imprint = with(SHA256, &[0; 32])),
        Error::Imprint
    );
    let hash = Sha256::digest(MESSAGE);
    assert_eq!(
        refused(|made| made.imprint = with(SHA256, &hash[..31])),
        Error::Imprint
    );
    let sha384 = [&SHA256[..8], &[2]].concat();
    assert!(accepted(|made| {
        made.imprint = with(&sha384, &Sha384::digest(MESSAGE));
    }));
    // With NULL for parameters, as many write it.
    let null = [encode(tag::OID, SHA256), vec![5, 0]].concat();
    assert!(accepted(|made| {
        made.imprint = [
            encode(tag::SEQUENCE, &null),
            encode(tag::OCTET_STRING, &hash),
        ]
        .concat();
    }));
}

#[test]
fn what_follows_the_time_is_read() {
    let tail = [
        encode(tag::SEQUENCE, &[2, 1, 1]),
        vec![1, 1, 0xff],
        vec![2, 1, 5],
        encode(tag::CONTEXT_0, b""),
    ]
    .concat();
    assert!(accepted(|made| made.tail = tail.clone()));
    let with = |is_critical| {
        let extension = extension(&[0x2a, 3], is_critical, b"?");
        [tail.clone(), encode(tag::CONTEXT_1, &extension)].concat()
    };
    assert!(accepted(|made| made.tail = with(false)));
    assert_eq!(
        refused(|made| made.tail = with(true)),
        Error::CriticalExtension("1.2.3".to_owned())
    );
    assert_eq!(
        refused(|made| made.tail = vec![4, 0]),
        Error::Malformed("TSTInfo")
    );
    assert!(accepted(|made| made.time = "20260201000000.123Z"));
    assert_eq!(
        refused(|made| made.time = "20260201000000"),
        Error::Malformed("TSTInfo")
    );
}

#[test]
fn versions_are_known_ones() {
    assert_eq!(
        refused(|made| made.info_version = 2),
        Error::Version("TSTInfo")
    );
    assert_eq!(
        refused(|made| made.versions.0 = 2),
        Error::Version("SignedData")
    );
    assert_eq!(
        refused(|made| made.versions.1 = 2),
        Error::Version("SignerInfo")
    );
}

#[test]
fn the_content_must_be_a_timestamp_outside_and_inside() {
    let data = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
    assert_eq!(
        refused(|made| made.content_type = data.to_vec()),
        Error::ContentType {
            found: "1.2.840.113549.1.7.1".to_owned(),
            wanted: "TSTInfo",
        }
    );
    assert_eq!(
        refused(|made| made.signed_content_type = data.to_vec()),
        Error::SignedContentType("1.2.840.113549.1.7.1".to_owned())
    );
    let made = Made::new();
    let response = made.response();
    let signed_data = position(
        &response,
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02],
    );
    assert_eq!(
        verify(
            &trusting(&made),
            &flipped(&response, signed_data + 8),
            MESSAGE
        ),
        Err(Error::ContentType {
            found: "1.2.840.113549.1.7.3".to_owned(),
            wanted: "SignedData",
        })
    );
}

#[test]
fn every_attribute_is_there_once_and_right() {
    assert_eq!(
        refused(|made| made.message_digest = Some(vec![0; 32])),
        Error::MessageDigest
    );
    for (number, name) in [
        (CONTENT_TYPE, "contentType"),
        (MESSAGE_DIGEST, "messageDigest"),
        (SIGNING_CERTIFICATE_V2, "signingCertificate"),
    ] {
        assert_eq!(
            refused(|made| made.attributes_left_out = vec![number]),
            Error::NoAttribute(name)
        );
    }
    let again = attribute(CONTENT_TYPE, &encode(tag::OID, TST_INFO));
    assert_eq!(
        refused(|made| made.attributes_added = vec![again]),
        Error::DuplicateAttribute("1.2.840.113549.1.9.3".to_owned())
    );
    let two_values = attribute(&[5], &[5, 0, 5, 0]);
    assert_eq!(
        refused(|made| made.attributes_added = vec![two_values]),
        Error::DuplicateAttribute("1.2.840.113549.1.9.5".to_owned())
    );
    let others = |count: u8| {
        (0..count)
            .map(|number| attribute(&[0x20, number], &[5, 0]))
            .collect()
    };
    assert!(accepted(|made| made.attributes_added = others(29)));
    assert_eq!(
        refused(|made| made.attributes_added = others(30)),
        Error::TooManyAttributes
    );
}

#[test]
fn the_signed_certificate_is_the_one_that_signed() {
    let certificate = Made::new().certificate;
    let hash = |der: &[u8]| encode(tag::OCTET_STRING, &Sha256::digest(der));
    assert_eq!(
        refused(|made| made.signing_certificate = Some(ess(&[hash(&certificate)]))),
        Error::SigningCertificate
    );
    let issuer_serial = |issuer: &str, serial: u8| {
        let names = encode(tag::SEQUENCE, &encode(tag::CONTEXT_4, &name(issuer)));
        encode(tag::SEQUENCE, &[names, vec![2, 1, serial]].concat())
    };
    let with = |made: &mut Made, issuer: &str, serial| {
        let parts = [hash(&made.certificate), issuer_serial(issuer, serial)];
        made.signing_certificate = Some(ess(&parts));
    };
    assert!(accepted(|made| with(made, "tsa-root", 7)));
    assert_eq!(
        refused(|made| with(made, "tsa-root", 8)),
        Error::SigningCertificate
    );
    assert_eq!(
        refused(|made| with(made, "other", 7)),
        Error::SigningCertificate
    );
    // A hash that is named.
    assert!(accepted(|made| {
        let parts = [algorithm(SHA256), hash(&made.certificate)];
        made.signing_certificate = Some(ess(&parts));
    }));
    assert_eq!(
        refused(|made| {
            let parts = [algorithm(&[0x2a, 3]), hash(&made.certificate)];
            made.signing_certificate = Some(ess(&parts));
        }),
        Error::HashAlgorithm("1.2.3".to_owned())
    );
}

#[test]
fn there_is_one_signer() {
    assert_eq!(refused(|made| made.signers = 0), Error::Signers(0));
    assert_eq!(refused(|made| made.signers = 2), Error::Signers(2));
}

#[test]
fn the_signature_is_of_a_known_kind_over_the_named_hash() {
    let ecdsa = |number| algorithm(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, number]);
    assert_eq!(
        refused(|made| made.signature_algorithm = ecdsa(3)),
        Error::OtherHash
    );
    assert_eq!(
        refused(|made| made.signature_algorithm = ecdsa(1)),
        Error::SignatureAlgorithm("1.2.840.10045.4.3.1".to_owned())
    );
    let rsa = algorithm(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]);
    assert_eq!(
        refused(|made| made.signature_algorithm = rsa),
        Error::OtherKeyAlgorithm(KeyAlgorithm::P256)
    );
    assert_eq!(
        refused(|made| made.digest_algorithm = algorithm(&[0x2a, 3])),
        Error::HashAlgorithm("1.2.3".to_owned())
    );
    assert!(matches!(
        refused(|made| made.stamper.key = new_key()),
        Error::Signature(_)
    ));
}

#[test]
fn the_certificate_is_for_timestamps_alone_and_says_so_critically() {
    let with = |extension: Vec<u8>| outcome(&Made::with_certificate(|draft| draft.with(extension)));
    for others in [
        purposes(true, &[oid::CODE_SIGNING]),
        purposes(true, &[oid::TIME_STAMPING, oid::CODE_SIGNING]),
        purposes(true, &[oid::ANY_PURPOSE]),
    ] {
        assert_eq!(with(others), Err(Error::NotForTimestamping));
    }
    let none = Made::with_certificate(|draft| draft.without(oid::EXTENDED_KEY_USAGE));
    assert_eq!(outcome(&none), Err(Error::NotForTimestamping));
    assert_eq!(
        with(purposes(false, &[oid::TIME_STAMPING])),
        Err(Error::PurposeNotCritical)
    );
}

#[test]
fn the_certificate_must_have_been_valid_then() {
    let until = |end: i64| {
        outcome(&Made::with_certificate(|mut draft| {
            draft.valid.1 = end;
            draft
        }))
    };
    assert!(matches!(until(NEW_YEAR + 31 * DAY), Ok(Some(_))));
    assert!(matches!(
        until(NEW_YEAR + 31 * DAY - 1),
        Err(Error::CertificateNotValid { .. })
    ));
    assert!(matches!(
        refused(|made| made.time = "19690101000000Z"),
        Error::CertificateNotValid { .. }
    ));
}

#[test]
fn a_foreign_authority_says_nothing_and_a_forged_one_is_told() {
    let made = Made::new();
    let trusted = |name| Trust {
        timestamp_authorities: vec![Maker::new(name).trusted(&[])],
        ..Trust::default()
    };
    let response = made.response();
    assert_eq!(verify(&trusted("other"), &response, MESSAGE), Ok(None));
    assert!(matches!(
        verify(&trusted("tsa-root"), &response, MESSAGE),
        Err(Error::Forged(_))
    ));
    // What a foreign one does wrong is none of our business.
    let purpose = purposes(false, &[oid::CODE_SIGNING]);
    let mut foreign = Made::with_certificate(|draft| draft.with(purpose));
    foreign.time = "20400101000000Z";
    let response_of_foreign = foreign.response();
    assert_eq!(
        verify(&trusted("other"), &response_of_foreign, MESSAGE),
        Ok(None)
    );
    // One that holds is enough.
    let mut both = trusted("tsa-root");
    both.timestamp_authorities.push(made.root.trusted(&[]));
    assert!(matches!(verify(&both, &response, MESSAGE), Ok(Some(_))));
}

#[test]
fn an_authority_that_is_known_by_its_certificate_is_that_certificate() {
    let made = Made::new();
    let mut trust = trusting(&made);
    let another = Maker::new("tsa");
    let another = made.root.issue(&stamper_draft(&made.root, &another));
    let chain = &mut trust.timestamp_authorities[0].chain;
    chain.insert(0, another);
    assert_eq!(verify(&trust, &made.response(), MESSAGE), Ok(None));
    let chain = &mut trust.timestamp_authorities[0].chain;
    chain[0] = made.certificate.clone();
    assert!(matches!(
        verify(&trust, &made.response(), MESSAGE),
        Ok(Some(_))
    ));
}

#[test]
fn a_certificate_may_be_named_by_its_key() {
    let id = encode(tag::OCTET_STRING, b"key");
    let named = |name: &[u8]| {
        let identified = extension(oid::SUBJECT_KEY_ID, false, &id);
        let mut made = Made::with_certificate(|draft| draft.with(identified));
        made.versions.1 = 3;
        made.signer_id = Some(encode(tag::PRIMITIVE_0, name));
        outcome(&made)
    };
    assert!(matches!(named(b"key"), Ok(Some(_))));
    assert_eq!(named(b"other"), Ok(None));
}

#[test]
fn certificates_are_counted_and_damaged_ones_left_out() {
    let junk = encode(tag::SEQUENCE, b"junk");
    assert!(accepted(|made| {
        made.certificates.resize(8, junk.clone());
    }));
    assert_eq!(
        refused(|made| made.certificates.resize(9, junk)),
        Error::TooManyCertificates
    );
}

#[test]
fn what_stands_in_the_trusted_root_may_be_damaged() {
    let made = Made::new();
    let mut trust = trusting(&made);
    trust.timestamp_authorities[0].chain = vec![b"nothing".to_vec()];
    assert!(matches!(
        verify(&trust, &made.response(), MESSAGE),
        Err(Error::AuthorityDamaged { .. })
    ));
}
