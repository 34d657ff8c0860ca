//! Tests with what cosign stored: each entry in it is an answer that a log gave once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::log::samples::{key_a, trusted_root};
use crate::timestamp;

const LOGGED_V1: &str = "attest-v3-bundle-rekor1/blobs";
const LOGGED_V2: &str = "attest-v3-bundle-rekor2-tsa/blobs";
const DSSE: Format = Format::V1(EnvelopeEntry::Dsse);

fn trust() -> Trust {
    Trust::new(&trusted_root()).expect("a good file")
}

/// The bundle in this folder of the samples, and its evidence.
fn bundle(folder: &str) -> (Signed, Evidence) {
    let samples = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/cosign-samples"
    );
    let blobs = std::fs::read_dir(format!("{samples}/{folder}")).expect("a sample");
    let mut bundles = blobs.filter_map(|blob| {
        let bytes = std::fs::read(blob.expect("readable").path()).expect("readable");
        let bundle = Bundle::parse(&bytes).ok()?;
        Some((Signed::bundle_of_bytes(bytes, "urn:t"), bundle.evidence))
    });
    bundles.next().expect("the sample has a bundle")
}

/// What Rekor v1 answers.
fn answer(uuid: &str, entry: &LogEntry) -> Value {
    let proof = entry.inclusion.as_ref().expect("the sample has one");
    let hashes: Vec<_> = proof.hashes.iter().map(|hash| hex(hash)).collect();
    let promise = entry.promise.as_ref().map(|bytes| STANDARD.encode(bytes));
    json!({ uuid: {
        "body": STANDARD.encode(&entry.body),
        "integratedTime": entry.integrated_time,
        "logID": hex(&entry.log_id),
        "logIndex": entry.log_index,
        "verification": {
            "inclusionProof": {
                "checkpoint": proof.checkpoint,
                "hashes": hashes,
                "logIndex": proof.log_index,
                "rootHash": hex(&proof.root_hash),
                "treeSize": proof.tree_size,
            },
            "signedEntryTimestamp": promise,
        },
    }})
}

fn uuid(entry: &LogEntry) -> String {
    hex(&leaf_hash(&entry.body))
}

#[test]
fn an_answer_of_rekor_v1_is_judged() {
    let (key, trust) = (key_a(), trust());
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let judge = |answer: Value| asked.judge_entry(DSSE, &trust, answer.to_string().as_bytes());
    let (found, logged) = judge(answer(&uuid(entry), entry)).expect("a good answer");
    assert_eq!(logged.kind, "dsse");
    assert!(logged.has_promise && logged.has_proof);
    let bare = Bundle::parse(signed.layer()).expect("cosign's");
    let bare = Bundle {
        evidence: Evidence::default(),
        ..bare
    };
    let bare = Signed::bundle_of_bytes(bare.to_bytes().expect("no entry"), "urn:t");
    let whole = bare.with_evidence(&[found], &[]).expect("there is room");
    assert_eq!(whole.layer(), signed.layer(), "as cosign stored it");

    let tree = format!("00000000000000aa{}", uuid(entry));
    assert!(judge(answer(&tree, entry)).is_ok(), "with the tree's id");
    let other = judge(answer(&"0".repeat(64), entry));
    assert!(matches!(other, Err(AnswerError::Uuid { .. })));
    let mut changed = entry.clone();
    changed.log_index += 1;
    let other = judge(answer(&uuid(entry), &changed));
    assert!(matches!(other, Err(AnswerError::Log(log::Error::Promise))));
    let mut changed = entry.clone();
    changed.promise = None;
    let other = judge(answer(&uuid(entry), &changed));
    assert!(matches!(other, Err(AnswerError::Without(_))), "{other:?}");
    let mut whole = answer(&uuid(entry), entry);
    whole[&uuid(entry)]["verification"]["inclusionProof"] = Value::Null;
    assert!(matches!(
        judge(whole),
        Err(AnswerError::Without("inclusion proof"))
    ));
    assert!(matches!(judge(json!({})), Err(AnswerError::Entry(_))));
    let page = asked.judge_entry(DSSE, &trust, b"<html>moved</html>");
    assert!(matches!(page, Err(AnswerError::Entry(_))));
    let foreign = asked.judge_entry(
        DSSE,
        &Trust::default(),
        answer(&uuid(entry), entry).to_string().as_bytes(),
    );
    assert!(foreign.expect_err("nobody is trusted").is_unknown_log());
}

#[test]
fn an_answer_of_rekor_v2_is_judged() {
    let (key, trust) = (key_a(), trust());
    let (signed, evidence) = bundle(LOGGED_V2);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let answer = evidence.entries[0].to_bundle_json().expect("of a kind");
    let (entry, logged) = asked
        .judge_entry(Format::V2, &trust, answer.as_bytes())
        .expect("a good answer");
    assert_eq!(entry, evidence.entries[0]);
    assert_eq!(
        (logged.kind.as_str(), logged.integrated_time),
        ("hashedrekord", None)
    );

    let (_, other) = bundle("sign-v3-bundle-rekor2-tsa/blobs");
    let other = other.entries[0].to_bundle_json().expect("of a kind");
    let refused = asked.judge_entry(Format::V2, &trust, other.as_bytes());
    assert!(matches!(
        refused,
        Err(AnswerError::Log(log::Error::OtherSignature))
    ));
    let (_, v1) = bundle(LOGGED_V1);
    let v1 = v1.entries[0].to_bundle_json().expect("of a kind");
    assert!(
        asked
            .judge_entry(Format::V2, &trust, v1.as_bytes())
            .is_err()
    );
}

#[test]
fn an_entry_of_another_kind_than_asked_for_is_refused() {
    let (key, trust) = (key_a(), trust());
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let answer = answer(&uuid(entry), entry).to_string();
    let intoto = Format::V1(EnvelopeEntry::InToto);
    let refused = asked.judge_entry(intoto, &trust, answer.as_bytes());
    let refused = refused.expect_err("it is a dsse entry");
    assert_eq!(
        refused.to_string(),
        "the log was asked for intoto 0.0.1, and its entry is dsse 0.0.1"
    );
    assert_eq!(asked.proposal(intoto), Err(Unloggable::InTotoBundle));
}

#[test]
fn a_log_is_believed_by_its_key_alone() {
    let root = trusted_root();
    let rekor1 = PublicKey::from_spki(&root.logs[0].public_key).expect("a key");
    let key = key_a();
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let answer = answer(&uuid(&evidence.entries[0]), &evidence.entries[0]).to_string();
    let judged = asked.judge_entry(DSSE, &Trust::of_log(rekor1), answer.as_bytes());
    assert!(judged.is_ok(), "{judged:?}");
    let judged = asked.judge_entry(DSSE, &Trust::of_log(key.clone()), answer.as_bytes());
    assert!(judged.expect_err("another key").is_unknown_log());
}

#[test]
fn a_timestamp_that_answers_another_request_is_refused() {
    let (key, trust) = (key_a(), trust());
    let (signed, evidence) = bundle(LOGGED_V2);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let response = &evidence.timestamps[0];
    let good = timestamp::verify(&trust, response, asked.stamped());
    assert!(matches!(good, Ok(Some(_))), "it is of the signature");
    let request = asked
        .timestamp_request(&mut random::system)
        .expect("randomness");
    let refused = request.judge(&trust, response, asked.stamped());
    assert_eq!(refused, Err(timestamp::AnswerError::Nonce));
    let refused = request.judge(&trust, b"<html>", asked.stamped());
    assert!(matches!(refused, Err(timestamp::AnswerError::Timestamp(_))));
}

#[test]
fn what_the_key_did_not_sign_is_not_shown_to_anybody() {
    let (signed, _) = bundle(LOGGED_V1);
    let pem = include_bytes!("../testdata/p384.pub");
    let other = PublicKey::from_pem(pem).expect("a key");
    let refused = Unwitnessed::read(&signed, &other).err();
    assert!(matches!(refused, Some(Rejection::NoKeyMatches { .. })));
}
