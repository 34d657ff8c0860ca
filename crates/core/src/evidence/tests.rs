use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::bundle::Bundle;
use crate::cosign::{
    BUNDLE_ANNOTATION, CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, TIMESTAMP_ANNOTATION,
};
use crate::digest::hex;
use crate::go_tables;
use crate::samples::{self, changed};

fn with_source(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[track_caller]
fn told(annotation: &str, value: &str) -> String {
    let annotations = BTreeMap::from([(annotation.to_owned(), value.to_owned())]);
    let read = Evidence::of_annotations(&annotations);
    let told = read.map_or_else(|error| with_source(&error), |_| "fine".to_owned());
    assert!(told.len() < 300, "{told}");
    told
}

#[test]
fn each_annotation_that_cosign_wrote_is_read_and_written_again() {
    let (mut certificates, mut chains, mut entries, mut timestamps) = (0, 0, 0, 0);
    for layer in samples::layers() {
        let evidence = Evidence::of_annotations(&layer.annotations).expect(&layer.case);
        let has = |name| layer.annotations.get(name).is_some_and(|v| !v.is_empty());
        assert_eq!(evidence.certificate.is_some(), has(CERTIFICATE_ANNOTATION));
        assert_eq!(!evidence.chain.is_empty(), has(CHAIN_ANNOTATION));
        assert_eq!(evidence.entries.len(), usize::from(has(BUNDLE_ANNOTATION)));
        let has_timestamp = has(TIMESTAMP_ANNOTATION);
        assert_eq!(evidence.timestamps.len(), usize::from(has_timestamp));
        for entry in &evidence.entries {
            let written = entry.to_cosign_annotation();
            assert_eq!(written.as_ref(), layer.annotations.get(BUNDLE_ANNOTATION));
            let written = entry.to_bundle_json().expect("the body has the kind");
            assert!(
                written.contains("\"kindVersion\":{\"kind\":\""),
                "{written}"
            );
        }
        certificates += usize::from(evidence.certificate.is_some());
        chains += evidence.chain.len();
        entries += evidence.entries.len();
        timestamps += evidence.timestamps.len();
    }
    assert_eq!((certificates, entries, timestamps), (5, 13, 1));
    assert!(chains >= 1, "{chains}");
}

#[test]
fn entries_of_bundles_are_written_as_cosign_wrote_them() {
    let mut count = 0;
    for (case, bundle) in samples::bundles() {
        for entry in Bundle::parse(&bundle).expect(&case).evidence.entries {
            let written = entry.to_bundle_json().expect("it has a kind");
            let text = String::from_utf8_lossy(&bundle);
            assert!(
                text.contains(&format!("\"tlogEntries\":[{written}]")),
                "{case}: {written}"
            );
            assert_eq!(
                LogEntry::of_rekor_v2(written.as_bytes()).expect(&case),
                entry
            );
            assert_eq!(
                entry.to_cosign_annotation().is_some(),
                case.contains("rekor1")
            );
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

#[test]
fn what_has_its_default_is_not_written() {
    let bundle = samples::bundle("sign-v3-bundle-rekor2-tsa");
    let entry = Bundle::parse(&bundle)
        .expect("cosign's")
        .evidence
        .entries
        .remove(0);
    let first = LogEntry {
        log_index: 0,
        inclusion: entry.inclusion.map(|proof| InclusionProof {
            log_index: 0,
            tree_size: 1,
            hashes: Vec::new(),
            ..proof
        }),
        ..entry
    };
    let written = first.to_bundle_json().expect("it has a kind");
    assert!(
        !written.contains("logIndex") && !written.contains("hashes"),
        "{written}"
    );
    assert!(!written.contains("integratedTime"), "{written}");
    assert_eq!(
        LogEntry::of_rekor_v2(written.as_bytes()).expect("written"),
        first
    );
    let unknown = LogEntry {
        kind_version: None,
        body: b"{}".to_vec(),
        ..first
    };
    assert_eq!(unknown.to_bundle_json(), None);
}

#[test]
fn nothing_comes_of_nothing() {
    let nothing = BTreeMap::from([
        (CERTIFICATE_ANNOTATION.to_owned(), String::new()),
        (CHAIN_ANNOTATION.to_owned(), String::new()),
        (BUNDLE_ANNOTATION.to_owned(), String::new()),
        ("other".to_owned(), "{".to_owned()),
    ]);
    let evidence = Evidence::of_annotations(&nothing).expect("nothing");
    assert_eq!(evidence, Evidence::default());
}

#[test]
fn certificates_in_annotations_are_one_and_a_chain() {
    let leaf = samples::annotation("keyless-v2-rekor1", CERTIFICATE_ANNOTATION);
    assert_eq!(told(CERTIFICATE_ANNOTATION, &leaf), "fine");
    assert_eq!(
        told(CERTIFICATE_ANNOTATION, &leaf.repeat(2)),
        "the annotation dev.sigstore.cosign/certificate has 2 certificates and not one"
    );
    assert_eq!(told(CHAIN_ANNOTATION, &leaf.repeat(16)), "fine");
    assert_eq!(
        told(CHAIN_ANNOTATION, &leaf.repeat(17)),
        "the annotation dev.sigstore.cosign/chain is not certificates: more than 16 certificates"
    );
    for annotation in [CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION] {
        for (text, wanted) in [
            ("junk", "no line -----BEGIN CERTIFICATE-----"),
            (
                &leaf.replace("CERTIFICATE", "PUBLIC KEY"),
                "a PEM block is \"PUBLIC KEY\" and not CERTIFICATE",
            ),
        ] {
            assert_eq!(
                told(annotation, text),
                format!("the annotation {annotation} is not certificates: {wanted}")
            );
        }
    }
    let large = "x".repeat(5 * 1024 * 1024);
    for annotation in [
        CERTIFICATE_ANNOTATION,
        CHAIN_ANNOTATION,
        BUNDLE_ANNOTATION,
        TIMESTAMP_ANNOTATION,
    ] {
        assert_eq!(
            told(annotation, &large),
            format!("the annotation {annotation} has 5242880 bytes, at most 4194304 are read")
        );
    }
}

#[test]
fn an_entry_in_an_annotation_is_whole() {
    let text = samples::annotation("sign-v2-rekor1", BUNDLE_ANNOTATION);
    let digits = "a".repeat(62);
    for (pointer, value, wanted) in [
        (
            "/SignedEntryTimestamp",
            None,
            "SignedEntryTimestamp is missing",
        ),
        (
            "/SignedEntryTimestamp",
            Some("\"\""),
            "SignedEntryTimestamp is missing",
        ),
        (
            "/SignedEntryTimestamp",
            Some("\"?\""),
            "SignedEntryTimestamp is not base64",
        ),
        (
            "/signedEntryTimestamp",
            Some("\"\""),
            "not JSON that every reader understands alike",
        ),
        ("/Payload", None, "Payload is missing"),
        (
            "/Payload",
            Some("1"),
            "Payload is a number, where an object belongs",
        ),
        (
            "/Payload/Body",
            Some("\"\""),
            "not JSON that every reader understands alike",
        ),
        ("/Payload/body", None, "Payload.body is missing"),
        (
            "/Payload/body",
            Some("{}"),
            "Payload.body is an object, where a text belongs",
        ),
        ("/Payload/body", Some("\"e\""), "Payload.body is not base64"),
        (
            "/Payload/integratedTime",
            None,
            "Payload.integratedTime is missing",
        ),
        (
            "/Payload/integratedTime",
            Some("\"1\""),
            "Payload.integratedTime is a text, where a number belongs",
        ),
        ("/Payload/logIndex", None, "Payload.logIndex is missing"),
        (
            "/Payload/logIndex",
            Some("-1"),
            "Payload.logIndex is not an integer from 0 to 9223372036854775807",
        ),
        ("/Payload/logID", None, "Payload.logID is missing"),
        (
            "/Payload/logID",
            Some("\"zz\""),
            "Payload.logID is not hexadecimal",
        ),
        (
            "/Payload/logID",
            Some(&format!("\"{digits}\"")),
            "Payload.logID has 31 bytes and not 32",
        ),
        (
            "/more",
            Some(&format!("[{}0]", "0,".repeat(99))),
            "more than 64 values are in the document",
        ),
    ] {
        let changed = changed(text.as_bytes(), pointer, value);
        assert_eq!(
            told(BUNDLE_ANNOTATION, &String::from_utf8_lossy(&changed)),
            format!("the annotation {BUNDLE_ANNOTATION} is malformed: {wanted}"),
            "{pointer}"
        );
    }
    assert_eq!(told(BUNDLE_ANNOTATION, &text), "fine");
}

#[test]
fn a_timestamp_in_an_annotation_is_whole() {
    let text = samples::annotation("sign-v2-tsa-notlog", TIMESTAMP_ANNOTATION);
    assert_eq!(told(TIMESTAMP_ANNOTATION, &text), "fine");
    for (text, wanted) in [
        ("null", "not a JSON object"),
        ("{}", "SignedRFC3161Timestamp is missing"),
        (
            r#"{"SignedRFC3161Timestamp":""}"#,
            "SignedRFC3161Timestamp is missing",
        ),
        (
            r#"{"SignedRFC3161Timestamp":[]}"#,
            "SignedRFC3161Timestamp is a list, where a text belongs",
        ),
        (
            r#"{"SignedRFC3161Timestamp":"AAA"}"#,
            "SignedRFC3161Timestamp is not base64",
        ),
        (
            r#"{"signedRFC3161Timestamp":"AAAA"}"#,
            "not JSON that every reader understands alike",
        ),
    ] {
        assert_eq!(
            told(TIMESTAMP_ANNOTATION, text),
            format!("the annotation {TIMESTAMP_ANNOTATION} is malformed: {wanted}")
        );
    }
}

const UUID: &str =
    "24296fb24b8ad77a0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What Rekor v1 would have answered: the members of its `LogEntry` with the content of a real entry.
fn rekor_v1_answer(entry: &LogEntry) -> String {
    let proof = entry.inclusion.as_ref().expect("it has one");
    let annotation = entry.to_cosign_annotation().expect("it has a promise");
    let payload = samples::value(annotation.as_bytes(), "/Payload");
    let hashes: Vec<_> = proof.hashes.iter().map(|hash| hex(hash)).collect();
    let verification = serde_json::json!({
        "inclusionProof": {
            "checkpoint": proof.checkpoint,
            "hashes": hashes,
            "logIndex": proof.log_index,
            "rootHash": hex(&proof.root_hash),
            "treeSize": proof.tree_size,
        },
        "signedEntryTimestamp": samples::value(annotation.as_bytes(), "/SignedEntryTimestamp"),
    });
    let mut answer = serde_json::json!({ UUID: payload });
    answer[UUID]["verification"] = verification;
    answer[UUID]["attestation"] = serde_json::json!({"data": "e30="});
    answer.to_string()
}

fn logged() -> LogEntry {
    let bundle = samples::bundle("sign-v3-bundle-rekor1");
    Bundle::parse(&bundle)
        .expect("cosign's")
        .evidence
        .entries
        .remove(0)
}

#[test]
fn an_answer_of_rekor_v1_is_one_entry() {
    let entry = logged();
    let answer = rekor_v1_answer(&entry);
    let (uuid, read) = LogEntry::of_rekor_v1(answer.as_bytes()).expect("as the API has it");
    assert_eq!(uuid, UUID);
    assert_eq!(read.to_bundle_json(), entry.to_bundle_json());
    assert_eq!(
        read,
        LogEntry {
            kind_version: None,
            ..entry
        }
    );
    let short = answer.replace(UUID, &UUID[16..]);
    let (uuid, _) = LogEntry::of_rekor_v1(short.as_bytes()).expect("without a tree");
    assert_eq!(uuid, UUID[16..]);
    let bare = changed(answer.as_bytes(), &format!("/{UUID}/verification"), None);
    let (_, bare) = LogEntry::of_rekor_v1(&bare).expect("nothing asks for it here");
    assert_eq!((bare.promise, bare.inclusion), (None, None));
}

#[test]
fn an_answer_of_rekor_v1_is_refused_for_each_flaw() {
    let answer = rekor_v1_answer(&logged());
    let told = |answer: &[u8]| match LogEntry::of_rekor_v1(answer) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string().replace(UUID, "…"),
    };
    let hash = format!("\"{}\"", "0".repeat(64));
    let hashes = format!("[{}]", vec![hash.as_str(); 65].join(","));
    for (place, value, wanted) in [
        ("body", None, "….body is missing"),
        ("body", Some("\"=\""), "….body is not base64"),
        ("logID", Some("\"00\""), "….logID has 1 bytes and not 32"),
        (
            "logIndex",
            Some("\"46\""),
            "….logIndex is a text, where a number belongs",
        ),
        ("integratedTime", None, "….integratedTime is missing"),
        (
            "logId",
            Some("0"),
            "not JSON that every reader understands alike",
        ),
        (
            "verification",
            Some("0"),
            "….verification is a number, where an object belongs",
        ),
        (
            "verification/signedEntryTimestamp",
            Some("\"*\""),
            "….verification.signedEntryTimestamp is not base64",
        ),
        (
            "verification/inclusionProof/rootHash",
            None,
            "….verification.inclusionProof.rootHash is missing",
        ),
        (
            "verification/inclusionProof/treeSize",
            Some("46"),
            "….verification.inclusionProof proves entry 46 of a tree of 46",
        ),
        (
            "verification/inclusionProof/treeSize",
            None,
            "….verification.inclusionProof.treeSize is missing",
        ),
        (
            "verification/inclusionProof/logIndex",
            None,
            "….verification.inclusionProof.logIndex is missing",
        ),
        (
            "verification/inclusionProof/checkpoint",
            None,
            "….verification.inclusionProof.checkpoint is missing",
        ),
        (
            "verification/inclusionProof/hashes/0",
            Some("\"0g\""),
            "….verification.inclusionProof.hashes[0] is not hexadecimal",
        ),
        (
            "verification/inclusionProof/hashes",
            Some(&hashes),
            "….verification.inclusionProof.hashes has 65 items, at most 64 are read",
        ),
    ] {
        let changed = changed(answer.as_bytes(), &format!("/{UUID}/{place}"), value);
        assert_eq!(told(&changed), wanted, "{place}");
    }
    assert_eq!(told(b"{}"), "the answer has 0 entries and not one");
    let two = changed(answer.as_bytes(), "/other", Some("{}"));
    assert_eq!(told(&two), "the answer has 2 entries and not one");
    for wrong in [&UUID[1..], "", &UUID.to_uppercase()] {
        let told = told(answer.replace(UUID, wrong).as_bytes());
        assert!(told.ends_with("is not the UUID of an entry"), "{told}");
    }
    let none = format!("{{\"{UUID}\":null}}");
    assert_eq!(told(none.as_bytes()), "… is missing");
}

#[test]
fn an_answer_of_rekor_v2_has_a_proof() {
    let answer = logged().to_bundle_json().expect("it has a kind");
    let bare = changed(answer.as_bytes(), "/inclusionProof", None);
    assert!(matches!(
        LogEntry::of_rekor_v2(&bare),
        Err(EntryError::NoProof)
    ));
    let error = LogEntry::of_rekor_v2(b"{}").expect_err("empty");
    assert_eq!(error.to_string(), "logId is missing");
    let snake = changed(answer.as_bytes(), "/inclusionProof/tree_size", Some("1"));
    let error = LogEntry::of_rekor_v2(&snake).expect_err("another name");
    assert_eq!(
        error.to_string(),
        "not JSON that every reader understands alike"
    );
}

proptest! {
    #![proptest_config(go_tables::fixed_cases())]

    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>, text: String, damages in proptest::collection::vec(any::<(usize, u8, u8)>(), 1..6)) {
        let _ = LogEntry::of_rekor_v1(&bytes);
        let _ = LogEntry::of_rekor_v2(&bytes);
        thread_local! {
            static ANSWER: String = rekor_v1_answer(&logged());
            static ENTRY: String = logged().to_bundle_json().expect("it has a kind");
            static LAYERS: Vec<samples::Layer> = samples::layers();
        }
        let damaged = |text: &str| samples::damaged(text.as_bytes().to_vec(), &damages);
        let _ = ANSWER.with(|answer| LogEntry::of_rekor_v1(&damaged(answer)));
        let _ = ENTRY.with(|entry| LogEntry::of_rekor_v2(&damaged(entry)));
        for (at, by, _) in &damages {
            let replaced = |text: &str| samples::replaced(text.as_bytes(), *at, usize::from(*by));
            let _ = ANSWER.with(|answer| LogEntry::of_rekor_v1(&replaced(answer)));
            let _ = ENTRY.with(|entry| LogEntry::of_rekor_v2(&replaced(entry)));
        }
        let of = |name: &str, value: String| Evidence::of_annotations(&BTreeMap::from([(name.to_owned(), value)]));
        for name in [CERTIFICATE_ANNOTATION, CHAIN_ANNOTATION, BUNDLE_ANNOTATION, TIMESTAMP_ANNOTATION] {
            let _ = of(name, text.clone());
            LAYERS.with(|layers| {
                let found = layers.iter().find_map(|layer| layer.annotations.get(name));
                let value = found.expect("some layer has it");
                let _ = of(name, String::from_utf8_lossy(&damaged(value)).into_owned());
            });
        }
    }
}

#[test]
fn evidence_covers_the_same_entries_and_as_many_timestamps() {
    let entry = |body: &[u8], log_index| LogEntry {
        body: body.to_vec(),
        log_id: vec![1],
        log_index,
        integrated_time: Some(5),
        kind_version: None,
        promise: None,
        inclusion: None,
    };
    let evidence = |entries: Vec<LogEntry>, timestamps: usize| Evidence {
        entries,
        timestamps: vec![Vec::new(); timestamps],
        ..Evidence::default()
    };
    let wanted = evidence(vec![entry(b"a", 1)], 1);
    assert!(wanted.is_witnessed() && !Evidence::default().is_witnessed());
    let proven = LogEntry {
        promise: Some(vec![7]),
        ..entry(b"a", 1)
    };
    assert!(evidence(vec![entry(b"b", 2), proven], 2).covers(&wanted));
    for less in [
        evidence(vec![entry(b"a", 1)], 0),
        evidence(vec![entry(b"a", 2)], 1),
        evidence(vec![entry(b"b", 1)], 1),
        evidence(Vec::new(), 1),
    ] {
        assert!(!less.covers(&wanted), "{less:?}");
    }
}
