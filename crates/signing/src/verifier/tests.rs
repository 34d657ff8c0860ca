mod witnesses;

use tekseal_core::{DigestRef, Layout, Payload, Repository};

use super::*;
use crate::signer::Signer;

const V02: &str = "https://slsa.dev/provenance/v0.2";
const IMAGE_SIGNATURE: &str = "MEYCIQCkdhw6tmx38gzOl1ouSVs5DdAdRq/+EZYBDEwdCC9v4AIhAJ6D0tMCQYU+m+NnonZEmkxcBjAqdXlaJTpnx5BDREg7";
const ANNOTATED_SIGNATURE: &str = "MEYCIQD62d83Zd53RXcCz01KZhcboaa/jyIqHxWBUD/20yZ7EQIhALRFjDrE0bgse3WLPJAbQiugXbX8eyacuARWdi3Ih3jB";
const RSA_SIGNATURE: &str = "X//XyRZjRXgTxuytsatxG3sDzE3efSHIVme3KXg5QY8k9i3Y54BP4WamaOj0Icd/9Q2FHHU9OdJ2kIsjlR4w\
    fYteJQ2ar18xJIy+BbG2IbkktOiHmbvo7YAJUZ4lAEj0z6yE6MjtbHBR1pkx5In40DI+2ZywxBkXFrQap3Zdx5AFk4k7mQ1r8MHjjhvOZ08AWt\
    rnjDIaILBVdGXT1j8Zp2/tPyUOqiOjFf44Hd2tRM8lCs2QmQwlRZTKvpWchO+uc2hn8RegWuUkhiku5qCO4Rxnw5aP2xtuyjah7pNlyenFNrKW\
    DzZ6KExr0lVyGXpZejw/en82yN1oEyKrZYx+aQ==";
const P384_SIGNATURE: &str = "MGUCMQD65HqKd8AHNzeHjzjjJiZvlRizSZ0w1zfDs1tc0qR/mPnNwT90iskmBms7IIk0sl4CMFQraulOwZka\
    KLeIFypCynDFTXF6+szRGP14ydzOUfQvCB3gpqRfKPD7TJDVgg0/4w==";

const A: &[u8] = include_bytes!("../testdata/a.pub");
const B: &[u8] = include_bytes!("../testdata/b.pub");

fn image() -> Digest {
    "sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8"
        .parse()
        .expect("a digest")
}

fn key(pem: &[u8]) -> PublicKey {
    PublicKey::from_pem(pem).expect("a good key")
}

/// With signatures over SHA-256.
fn same_signer(existing: &Signed, new: &Signed, key: &PublicKey) -> bool {
    super::same_signer(existing, new, &VerifyingKey::over_sha256(key.clone()))
}

fn verifier(keys: &[&[u8]]) -> Verifier {
    Verifier::new(
        keys.iter().map(|pem| key(pem)).collect(),
        HashAlgorithm::Sha256,
    )
    .expect("good keys")
}

fn fetched(content: &[u8], annotations: &[(&str, &str)]) -> Signed {
    let annotations = annotations
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Signed::fetched("text/plain".to_owned(), content.to_vec(), annotations)
}

fn signature_layer(content: &[u8], signature: &str) -> Signed {
    fetched(content, &[(cosign::SIGNATURE_ANNOTATION, signature)])
}

fn good_image() -> Signed {
    signature_layer(include_bytes!("../testdata/image.json"), IMAGE_SIGNATURE)
}

fn good_attestation() -> Signed {
    fetched(include_bytes!("../testdata/provenance-v02.dsse.json"), &[])
}

fn signer() -> Signer {
    let file = include_bytes!("../testdata/p256.pkcs8.pem");
    let no_password =
        || -> Result<_, crate::signer::Error> { panic!("a plain key needs no password") };
    Signer::from_pem(file, no_password).unwrap_or_else(|e| panic!("a good key: {e}"))
}

fn ours() -> Verifier {
    Verifier::new(vec![signer().public_key().clone()], HashAlgorithm::Sha256).expect("one good key")
}

/// A Statement signed by our key, whatever its text.
fn statement(text: &str) -> Signed {
    let payload = Payload::statement(
        "test",
        "https://annotation.example/lies",
        text.as_bytes().to_vec(),
        vec![],
    );
    tekseal_harness::at_once(signer().sign_payload(&payload)).expect("sound")
}

fn document(text: &str) -> Signed {
    Signed::image_signature(
        text.as_bytes().to_vec(),
        &tekseal_harness::at_once(signer().sign(text.as_bytes())).expect("sound"),
    )
}

fn image_rejection(verifier: &Verifier, signed: &Signed) -> Rejection {
    verifier
        .image_signature(signed, &image(), &BTreeMap::new())
        .expect_err("not acceptable")
}

fn rejection(signed: &Signed) -> Rejection {
    ours()
        .attestation(signed, &image(), Types::OneOf(&[V02.to_owned()]))
        .expect_err("not acceptable")
}

#[test]
fn an_image_signature_of_cosign_is_accepted_under_its_key() {
    let verified = verifier(&[B, A])
        .image_signature(&good_image(), &image(), &BTreeMap::new())
        .expect("signed by a");
    assert_eq!(verified.key(), &key(A));
    assert_eq!(verified.key_fingerprint(), key(A).fingerprint());
    assert_eq!(verified.payload(), include_bytes!("../testdata/image.json"));
    assert_eq!(
        verified.value().critical.image.docker_manifest_digest,
        image().as_str()
    );
}

#[test]
fn signatures_of_cosign_with_other_algorithms_are_accepted() {
    let none = BTreeMap::new();
    let rsa = signature_layer(include_bytes!("../testdata/image-rsa.json"), RSA_SIGNATURE);
    assert!(
        verifier(&[include_bytes!("../testdata/rsa.pub")])
            .image_signature(&rsa, &image(), &none)
            .is_ok()
    );
    let p384 = signature_layer(
        include_bytes!("../testdata/image-p384.json"),
        P384_SIGNATURE,
    );
    let with = |hash| {
        Verifier::new(vec![key(include_bytes!("../testdata/p384.pub"))], hash).expect("supported")
    };
    assert!(
        with(HashAlgorithm::Sha384)
            .image_signature(&p384, &image(), &none)
            .is_ok()
    );
    assert!(
        with(HashAlgorithm::Sha256)
            .image_signature(&p384, &image(), &none)
            .is_err()
    );
    // A key that is held elsewhere beside one that signs as usual.
    let both = Hashes::of(vec![HashAlgorithm::Sha256, HashAlgorithm::Sha384]);
    let keys = [include_bytes!("../testdata/p384.pub").as_slice(), A].map(key);
    let verifier = Verifier::new(keys.to_vec(), both.expect("two")).expect("supported");
    for signed in [p384, good_image()] {
        assert!(verifier.image_signature(&signed, &image(), &none).is_ok());
    }
}

#[test]
fn any_type_is_accepted_only_when_any_is_asked_for() {
    let attestation = |types| verifier(&[A]).attestation(&good_attestation(), &image(), types);
    assert!(attestation(Types::Any).is_ok());
    assert!(attestation(Types::OneOf(&[])).is_err());
}

#[test]
fn an_attestation_of_cosign_is_accepted_and_hands_out_its_exact_bytes() {
    let types = ["https://example.com/other".to_owned(), V02.to_owned()];
    let verified = verifier(&[A])
        .attestation(&good_attestation(), &image(), Types::OneOf(&types))
        .expect("signed by a");
    assert_eq!(verified.layer(), good_attestation().layer());
    let envelope = Envelope::parse(verified.layer()).expect("verified");
    assert_eq!(
        verified.payload(),
        envelope.unverified_payload().expect("verified")
    );
    assert_eq!(verified.value().predicate_type(), V02);
}

#[test]
fn another_key_is_refused_before_the_payload_is_read() {
    let error = image_rejection(&verifier(&[B]), &good_image());
    assert_eq!(
        error.to_string(),
        format!(
            "no matching signatures: none of 1 signature(s) is valid under {}",
            key(B).fingerprint()
        )
    );
    let garbage = signature_layer(b"garbage", IMAGE_SIGNATURE);
    assert!(matches!(
        image_rejection(&verifier(&[A]), &garbage),
        Rejection::NoKeyMatches { .. }
    ));
    let error = verifier(&[B]).attestation(
        &good_attestation(),
        &image(),
        Types::OneOf(&[V02.to_owned()]),
    );
    assert!(matches!(
        error,
        Err(Rejection::NoKeyMatches { signatures: 1, .. })
    ));
}

#[test]
fn no_changed_bit_of_a_layer_is_accepted() {
    let layer = good_image().layer().to_vec();
    for bit in 0..layer.len() * 8 {
        let mut changed = layer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        image_rejection(&verifier(&[A]), &signature_layer(&changed, IMAGE_SIGNATURE));
    }
}

#[test]
fn an_image_signature_without_a_readable_signature_says_so() {
    let all = verifier(&[A]);
    let content = good_image().layer().to_vec();
    assert!(matches!(
        image_rejection(&all, &fetched(&content, &[])),
        Rejection::NoSignatureAnnotation
    ));
    assert!(matches!(
        image_rejection(&all, &signature_layer(&content, "*")),
        Rejection::SignatureNotBase64(_)
    ));
    assert!(matches!(
        image_rejection(&all, &signature_layer(&content, "")),
        Rejection::NoKeyMatches { .. }
    ));
}

#[test]
fn a_good_signature_of_another_image_or_document_is_refused() {
    let other = Digest::of(b"another image");
    let error = verifier(&[A])
        .image_signature(&good_image(), &other, &BTreeMap::new())
        .expect_err("another image");
    assert!(
        matches!(&error, Rejection::OtherImage { found, wanted } if *found == image().as_str() && *wanted == other)
    );
    assert!(matches!(
        image_rejection(&ours(), &document("{}")),
        Rejection::NotSimpleSigning(_)
    ));
    assert!(matches!(
        image_rejection(&ours(), &document("x")),
        Rejection::NotSimpleSigning(_)
    ));
    let prefix = format!(
        r#"{{"critical":{{"image":{{"docker-manifest-digest":"{}0"}}}}}}"#,
        image()
    );
    assert!(matches!(
        image_rejection(&ours(), &document(&prefix)),
        Rejection::OtherImage { .. }
    ));
}

#[test]
fn annotations_are_required_as_strings_and_others_do_no_harm() {
    let signed = signature_layer(
        include_bytes!("../testdata/image-with-annotations.json"),
        ANNOTATED_SIGNATURE,
    );
    let verify = |pairs: &[(&str, &str)]| {
        let wanted = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        verifier(&[A]).image_signature(&signed, &image(), &wanted)
    };
    assert!(verify(&[]).is_ok());
    assert!(verify(&[("env", "prod")]).is_ok());
    assert!(verify(&[("a<b", "c&d"), ("env", "prod")]).is_ok());
    assert_eq!(
        verify(&[("env", "test")])
            .expect_err("another value")
            .to_string(),
        r#"missing or incorrect annotation: "env" is "prod", wanted "test""#
    );
    assert!(
        matches!(verify(&[("env", "prod"), ("x", "")]), Err(Rejection::Annotation { found, .. }) if found == "nothing")
    );
    let number = format!(
        r#"{{"critical":{{"image":{{"docker-manifest-digest":"{}"}}}},"optional":{{"n":1}}}}"#,
        image()
    );
    let wanted = BTreeMap::from([("n".to_owned(), "1".to_owned())]);
    assert!(matches!(
        ours().image_signature(&document(&number), &image(), &wanted),
        Err(Rejection::Annotation { found, .. }) if found == "1"
    ));
}

#[test]
fn any_subject_may_be_the_image_and_only_by_sha256() {
    let hex = image().hex().to_owned();
    let with = |subjects: &str| {
        statement(&format!(
            r#"{{"_type":"any","predicateType":"{V02}","subject":{subjects},"predicate":{{}}}}"#
        ))
    };
    let accepted = |subjects: &str| {
        ours()
            .attestation(&with(subjects), &image(), Types::OneOf(&[V02.to_owned()]))
            .is_ok()
    };
    assert!(accepted(&format!(
        r#"[{{"name":"x","digest":{{"sha1":"00"}}}},{{"digest":{{"sha256":"{hex}"}}}}]"#
    )));
    for none in ["[]", "null", r#"[{"name":"x"}]"#] {
        assert!(
            matches!(rejection(&with(none)), Rejection::OtherSubjects { found, .. } if found.is_empty())
        );
    }
    assert_eq!(
        rejection(&with(&format!(r#"[{{"digest":{{"sha512":"{hex}"}}}}]"#))).to_string(),
        format!(
            "no matching subject digest found: the statement speaks of [sha512:{hex}], wanted {}",
            image()
        )
    );
    assert!(!accepted(&format!(
        r#"[{{"digest":{{"sha256":"{}"}}}}]"#,
        hex.to_uppercase()
    )));
    let many = vec![r#"{"digest":{"sha256":"00"}}"#; MOST_SUBJECTS].join(",");
    assert!(
        matches!(rejection(&with(&format!("[{many}]"))), Rejection::OtherSubjects { found, .. } if found.len() == 6)
    );
    let good = format!(r#"{{"digest":{{"sha256":"{hex}"}}}}"#);
    assert!(matches!(
        rejection(&with(&format!("[{many},{good}]"))),
        Rejection::TooManySubjects(1025)
    ));
}

#[test]
fn the_predicate_type_inside_decides_and_not_the_annotation() {
    let text = format!(
        r#"{{"_type":"t","predicateType":"{V02}","subject":[{{"digest":{{"sha256":"{}"}}}}]}}"#,
        image().hex()
    );
    let verify = |types: &[&str]| {
        let types: Vec<_> = types.iter().map(|t| (*t).to_owned()).collect();
        ours().attestation(&statement(&text), &image(), Types::OneOf(&types))
    };
    assert!(verify(&[V02]).is_ok());
    let error = verify(&["https://annotation.example/lies", "urn:b"]).expect_err("another type");
    assert_eq!(
        error.to_string(),
        format!("the predicate type is {V02:?}, wanted https://annotation.example/lies or urn:b")
    );
    assert!(matches!(verify(&[]), Err(Rejection::PredicateType { .. })));
}

#[test]
fn one_valid_signature_among_junk_suffices_and_the_keyid_says_nothing() {
    let mut envelope = Envelope::parse(good_attestation().layer()).expect("an envelope");
    let junk = dsse::Signature {
        keyid: "SHA256:x".to_owned(),
        sig: "***".to_owned(),
    };
    envelope.signatures.insert(0, junk.clone());
    let verify = |envelope: &Envelope| {
        verifier(&[A]).attestation(
            &fetched(&envelope.to_bytes(), &[]),
            &image(),
            Types::OneOf(&[V02.to_owned()]),
        )
    };
    assert!(verify(&envelope).is_ok());
    envelope.signatures.pop();
    assert!(matches!(
        verify(&envelope),
        Err(Rejection::NoKeyMatches { signatures: 0, .. })
    ));
    envelope.signatures = vec![junk; MOST_SIGNATURES + 1];
    assert!(matches!(
        verify(&envelope),
        Err(Rejection::TooManySignatures(101))
    ));
    envelope.signatures.clear();
    assert!(matches!(
        verify(&envelope),
        Err(Rejection::NoKeyMatches { .. })
    ));
}

#[test]
fn layers_that_are_no_envelope_of_a_statement_are_refused() {
    assert!(matches!(
        rejection(&fetched(b"", &[])),
        Rejection::NotAnEnvelope(_)
    ));
    assert!(matches!(
        rejection(&good_image()),
        Rejection::NotAnEnvelope(_)
    ));
    assert!(matches!(
        rejection(&statement("{}")),
        Rejection::NotAStatement(_)
    ));
    let mut envelope = Envelope::parse(statement("{}").layer()).expect("just written");
    envelope.payload_type = "text/plain\n".to_owned();
    let changed = fetched(&envelope.to_bytes(), &[]);
    assert!(
        matches!(rejection(&changed), Rejection::PayloadType(found) if found == "text/plain\u{fffd}")
    );
    envelope.payload_type = IN_TOTO_PAYLOAD_TYPE.to_owned();
    envelope.payload = "*".to_owned();
    assert!(matches!(
        rejection(&fetched(&envelope.to_bytes(), &[])),
        Rejection::NotAnEnvelope(_)
    ));
    let deep = "[".repeat(100_000);
    assert!(matches!(
        rejection(&fetched(deep.as_bytes(), &[])),
        Rejection::NotAnEnvelope(_)
    ));
    assert!(matches!(
        rejection(&statement(&deep)),
        Rejection::NotAStatement(_)
    ));
}

#[test]
fn layers_beyond_the_limit_are_not_even_hashed() {
    let large = signature_layer(&vec![b' '; LARGEST_LAYER + 1], IMAGE_SIGNATURE);
    assert!(matches!(
        image_rejection(&verifier(&[A]), &large),
        Rejection::LayerTooLarge(_)
    ));
    assert!(matches!(rejection(&large), Rejection::LayerTooLarge(_)));
    assert!(!same_signer(&large, &good_image(), &key(A)));
}

#[test]
fn a_verifier_needs_keys_that_fit_the_hash() {
    assert_eq!(
        Verifier::new(vec![], HashAlgorithm::Sha256).err(),
        Some(Error::NoKeys)
    );
    let error = Verifier::new(vec![key(A)], HashAlgorithm::Sha512).err();
    assert!(matches!(error, Some(Error::Key { .. })));
    let also = Hashes::of(vec![HashAlgorithm::Sha512, HashAlgorithm::Sha256]);
    assert!(Verifier::new(vec![key(A)], also.expect("two")).is_ok());
    assert_eq!(Hashes::of(Vec::new()), None);
}

#[test]
fn the_same_payload_under_the_same_key_is_recognised() {
    let by_cosign = good_image();
    let again = Signed::image_signature(by_cosign.layer().to_vec(), b"another signature");
    assert!(same_signer(&by_cosign, &again, &key(A)));
    assert!(!same_signer(&by_cosign, &again, &key(B)), "another key");
    assert!(
        !same_signer(&again, &by_cosign, &key(A)),
        "what exists does not verify"
    );
    let image = Repository::parse("r.example/app")
        .expect("well formed")
        .at(image());
    let other = Payload::simple_signing(&DigestRef { ..image });
    assert!(
        !same_signer(
            &by_cosign,
            &tekseal_harness::at_once(signer().sign_payload(&other)).expect("sound"),
            &key(A)
        ),
        "another payload"
    );
    let logged = fetched(
        by_cosign.layer(),
        &[
            (cosign::SIGNATURE_ANNOTATION, ""),
            (cosign::BUNDLE_ANNOTATION, "{}"),
        ],
    );
    assert!(
        !same_signer(&by_cosign, &logged, &key(A)),
        "the new one has a log entry"
    );
}

#[test]
fn the_same_statement_under_the_same_key_is_recognised_whatever_the_envelope_looks_like() {
    let new = statement("{\"a\":1}");
    let ours = signer().public_key().clone();
    let mut envelope = Envelope::parse(new.layer()).expect("just written");
    envelope.signatures[0].keyid = String::new();
    envelope.signatures.insert(
        0,
        dsse::Signature {
            keyid: String::new(),
            sig: "AAAA".to_owned(),
        },
    );
    let annotations = [
        (cosign::SIGNATURE_ANNOTATION, ""),
        (cosign::PREDICATE_TYPE_ANNOTATION, "x"),
    ];
    let existing = fetched(&envelope.to_bytes(), &annotations);
    assert!(same_signer(&existing, &new, &ours));
    assert!(!same_signer(&existing, &new, &key(A)), "another key");
    assert!(
        !same_signer(&existing, &statement("{\"a\":2}"), &ours),
        "another statement"
    );
    envelope.payload_type = "text/plain".to_owned();
    assert!(
        !same_signer(&fetched(&envelope.to_bytes(), &annotations), &new, &ours),
        "another payload type"
    );
    assert!(
        !same_signer(&fetched(b"x", &annotations), &new, &ours),
        "no envelope"
    );
    assert!(!same_signer(&good_image(), &new, &ours), "no attestation");
}

#[test]
fn a_bundle_is_there_already_if_it_is_the_same_and_its_key_signed_it() {
    let signer = Signer::generate(&mut crate::random::system);
    let signer = signer.unwrap_or_else(|e| panic!("randomness: {e}"));
    let ours = signer.public_key().clone();
    let made = |payload: &str| {
        let payload = Payload::statement("t", "urn:t", payload.into(), Vec::new());
        let made =
            tekseal_harness::at_once(signer.sign_for(&payload, Layout::Bundle)).expect("sound");
        made.into_iter().next().expect("one form")
    };
    let bundle = made("{}");
    assert!(same_signer(&bundle, &bundle, &ours));
    assert!(!same_signer(&bundle, &bundle, &key(A)), "another key");
    assert!(
        !same_signer(&made("{ }"), &bundle, &ours),
        "another payload"
    );
    let text = String::from_utf8(bundle.layer().to_vec()).expect("JSON");
    for (old, new) in [
        ("\"sig\":\"ME", "\"sig\":\"MA"),
        ("\"payload\":\"e30=", "\"payload\":\"e31="),
        ("vnd.in-toto+json", "vnd.in-toto+jsom"),
        ("dsseEnvelope", "messageSignature"),
    ] {
        let bad = text.replace(old, new);
        assert_ne!(bad, text);
        let bad = Signed::bundle_of_bytes(bad.into_bytes(), "urn:t");
        assert!(!same_signer(&bad, &bad, &ours), "{old} is {new}");
    }
}
