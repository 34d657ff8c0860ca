mod violations;

use proptest::prelude::*;

use super::*;
use crate::cosign::SIGN_PREDICATE;
use crate::go_tables;
use crate::samples::{self, changed};
use crate::statement::Statement;

const LOGGED: &str = "sign-v3-bundle-rekor1";
const KEYLESS: &str = "keyless-v3-bundle-rekor2-tsa";
const ENTRY: &str = "/verificationMaterial/tlogEntries/0";

#[track_caller]
fn told(bundle: &[u8]) -> String {
    let told = Bundle::parse(bundle).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
    assert!(told.len() < 300, "{told}");
    told
}

#[test]
fn each_bundle_that_cosign_wrote_is_read() {
    let bundles = samples::bundles();
    assert_eq!(bundles.len(), 18);
    for (case, bytes) in bundles {
        let bundle = Bundle::parse(&bytes).expect(&case);
        let Content::Envelope(envelope) = bundle.content else {
            panic!("{case} is a message")
        };
        assert_eq!(envelope.signatures.len(), 1, "{case}");
        let signature = envelope.signatures[0].decoded().expect("base64");
        assert!(signature.len() >= 64, "{case}");
        let payload = envelope.unverified_payload().expect("base64");
        let statement = Statement::parse(&payload).expect("a Statement");
        let is_signature = statement.predicate_type() == SIGN_PREDICATE;
        assert!(!case.starts_with("sign-") || is_signature, "{case}");
        let evidence = bundle.evidence;
        assert_eq!(evidence.certificate.is_some(), case.starts_with("keyless"));
        assert_eq!(bundle.key_hint.is_none(), case.starts_with("keyless"));
        assert!(evidence.chain.is_empty());
        let has_log = case.contains("rekor");
        assert_eq!(evidence.entries.len(), usize::from(has_log), "{case}");
        let has_timestamp = case.contains("tsa");
        assert_eq!(evidence.timestamps.len(), usize::from(has_timestamp));
        for entry in evidence.entries {
            let is_v1 = case.contains("rekor1");
            assert_eq!(entry.promise.is_some(), is_v1, "{case}");
            assert_eq!(entry.integrated_time.is_some(), is_v1, "{case}");
            let proof = entry.inclusion.expect("version 0.3");
            assert_eq!(proof.log_index, entry.log_index);
            assert!(
                proof
                    .checkpoint
                    .contains(&format!("\n{}\n", proof.tree_size))
            );
            assert_eq!(entry.log_id.len(), 32);
        }
    }
}

#[test]
fn what_is_read_is_what_stands_there() {
    let bytes = samples::bundle(LOGGED);
    let bundle = Bundle::parse(&bytes).expect("cosign's");
    let hint = samples::value(&bytes, "/verificationMaterial/publicKey/hint");
    assert_eq!(bundle.key_hint.as_deref(), hint.as_str());
    let [entry] = &bundle.evidence.entries[..] else {
        panic!("one entry")
    };
    assert_eq!(
        (entry.log_index, entry.integrated_time),
        (46, Some(1_795_406_114))
    );
    let kind = ("dsse".to_owned(), "0.0.1".to_owned());
    assert_eq!(entry.kind_version, Some(kind));
    assert!(
        entry
            .body
            .starts_with(b"{\"apiVersion\":\"0.0.1\",\"kind\":\"dsse\"")
    );
    let proof = entry.inclusion.as_ref().expect("version 0.3");
    assert_eq!((proof.log_index, proof.tree_size), (46, 47));
    assert_eq!(proof.hashes.len(), 4);
    assert!(
        proof
            .checkpoint
            .starts_with("rekor.local - 7596279240563982053\n47\n")
    );
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let bundle = String::from_utf8(samples::bundle(LOGGED)).expect("JSON is text");
    let twice = bundle.replacen("\"logId\"", "\"logIndex\":\"46\",\"logId\"", 1);
    assert_ne!(twice, bundle);
    let error = Bundle::parse(twice.as_bytes()).expect_err("twice");
    assert!(matches!(
        error,
        Error::Member(protojson::Error::Ambiguous(crate::strict_json::Error::Duplicate(place)))
            if place == "/verificationMaterial/tlogEntries/0/logIndex"
    ));
}

#[test]
fn versions_are_told_by_their_media_type() {
    let bundle = samples::bundle(LOGGED);
    let of = |media_type: &str| {
        told(&changed(
            &bundle,
            "/mediaType",
            Some(&format!("{media_type:?}")),
        ))
    };
    let base = "application/vnd.dev.sigstore.bundle";
    for version in [
        "+json;version=0.1",
        "+json;version=0.2",
        "+json;version=0.3",
        ".v0.3+json",
    ] {
        assert_eq!(of(&format!("{base}{version}")), "fine");
    }
    for version in [
        ".v0.4+json",
        ".v1.0+json",
        "+json;version=0.4",
        "+json; version=0.3",
        ".v0.3",
    ] {
        assert_eq!(
            of(&format!("{base}{version}")),
            format!(
                "bundles of media type \"{base}{version}\" are not supported, but versions 0.1, 0.2 and 0.3"
            )
        );
        assert!(is_media_type(&format!("{base}{version}")));
    }
    let other = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
    assert_eq!(
        of(other),
        format!("the media type {other:?} is not that of a Sigstore bundle")
    );
    assert!(!is_media_type(other));
}

#[test]
fn older_versions_have_chains_and_promises() {
    let old = |bundle: &[u8], version: &str| {
        let media_type = format!("\"application/vnd.dev.sigstore.bundle+json;version={version}\"");
        changed(bundle, "/mediaType", Some(&media_type))
    };
    let logged = samples::bundle(LOGGED);
    let no_proof = changed(&logged, &format!("{ENTRY}/inclusionProof"), None);
    let no_promise = changed(&logged, &format!("{ENTRY}/inclusionPromise"), None);
    let entry = "verificationMaterial.tlogEntries[0]";
    assert_eq!(told(&old(&no_proof, "0.1")), "fine");
    assert_eq!(
        told(&old(&no_promise, "0.1")),
        format!("{entry} has no inclusionPromise, which version 0.1 asks for")
    );
    assert_eq!(told(&old(&no_promise, "0.2")), "fine");
    for version in ["0.2", "0.3"] {
        assert_eq!(
            told(&old(&no_proof, version)),
            format!("{entry} has no inclusionProof")
        );
    }
    let keyless = samples::bundle("keyless-v3-bundle-rekor1");
    let material = "/verificationMaterial";
    let certificate = samples::value(&keyless, &format!("{material}/certificate"));
    let keyless = changed(&keyless, &format!("{material}/certificate"), None);
    let with_chain = |certificates: Vec<&str>| {
        let chain = format!("{{\"certificates\":[{}]}}", certificates.join(","));
        let pointer = format!("{material}/x509CertificateChain");
        changed(&keyless, &pointer, Some(&chain))
    };
    let certificate = certificate.to_string();
    let root = r#"{"rawBytes":"cm9vdA=="}"#;
    let chain = with_chain(vec![&certificate, root]);
    for version in ["0.1", "0.2"] {
        let bundle = Bundle::parse(&old(&chain, version)).expect("a chain is allowed");
        assert_eq!(bundle.evidence.chain, [b"root"]);
        assert!(
            bundle
                .evidence
                .certificate
                .is_some_and(|leaf| leaf.len() > 500)
        );
        assert!(bundle.key_hint.is_none());
    }
    assert!(matches!(Bundle::parse(&chain), Err(Error::ChainInV03)));
    assert_eq!(
        told(&old(&with_chain(vec![]), "0.2")),
        "verificationMaterial.x509CertificateChain.certificates is missing"
    );
    assert_eq!(
        told(&old(&with_chain(vec![root; 17]), "0.2")),
        "verificationMaterial.x509CertificateChain.certificates has 17 items, at most 16 are read"
    );
}

#[test]
fn a_signature_of_a_message_is_read() {
    let bundle = changed(&samples::bundle(LOGGED), "/dsseEnvelope", None);
    let message =
        r#"{"messageDigest":{"algorithm":"SHA2_256","digest":"AQI="},"signature":"Aw=="}"#;
    let bundle = changed(&bundle, "/messageSignature", Some(message));
    let read = Bundle::parse(&bundle).expect("a message");
    assert!(matches!(
        read.content,
        Content::Message { algorithm, digest, signature }
            if algorithm == "SHA2_256" && digest == [1, 2] && signature == [3]
    ));
    for (member, value, wanted) in [
        (
            "messageDigest",
            None,
            "messageSignature.messageDigest is missing",
        ),
        ("signature", None, "messageSignature.signature is missing"),
        (
            "messageDigest/digest",
            None,
            "messageSignature.messageDigest.digest is missing",
        ),
        (
            "messageDigest/algorithm",
            None,
            "messageSignature.messageDigest.algorithm is missing",
        ),
        (
            "messageDigest/algorithm",
            Some("\"MD5\""),
            "messageSignature.messageDigest.algorithm is \"MD5\", which is not known",
        ),
    ] {
        let pointer = format!("/messageSignature/{member}");
        assert_eq!(told(&changed(&bundle, &pointer, value)), wanted);
    }
}

#[test]
fn integers_may_be_numbers_and_unknown_members_are_passed_over() {
    let bundle = samples::bundle(LOGGED);
    let wanted = Bundle::parse(&bundle).expect("cosign's").evidence;
    let bundle = changed(&bundle, &format!("{ENTRY}/logIndex"), Some("46"));
    let bundle = changed(
        &bundle,
        &format!("{ENTRY}/inclusionProof/treeSize"),
        Some("47"),
    );
    let bundle = changed(&bundle, "/future", Some("{\"x\":[1]}"));
    let bundle = changed(&bundle, &format!("{ENTRY}/future"), Some("0"));
    assert_eq!(Bundle::parse(&bundle).expect("the same").evidence, wanted);
}

proptest! {
    #![proptest_config(go_tables::fixed_cases())]

    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>, damages in proptest::collection::vec(any::<(usize, u8, u8)>(), 1..6)) {
        let _ = Bundle::parse(&bytes);
        thread_local! {
            static BUNDLE: Vec<u8> = samples::bundle(KEYLESS);
        }
        let bundle = samples::damaged(BUNDLE.with(Clone::clone), &damages);
        let _ = Bundle::parse(&bundle);
        for (at, by, _) in damages {
            let _ = Bundle::parse(&BUNDLE.with(|bundle| samples::replaced(bundle, at, by.into())));
        }
    }
}
