//! Tests with what cosign stored: each entry in it is an answer that a log gave once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::PublicKey;
use crate::log::samples::{key_a, trusted_root};
use crate::timestamp;

const LOGGED_V1: &str = "attest-v3-bundle-rekor1/blobs";
const LOGGED_V2: &str = "attest-v3-bundle-rekor2-tsa/blobs";
const DSSE: Format = Format::V1(EnvelopeEntry::Dsse);
/// Nobody of the trusted root is there, so any of them may answer.
const ELSEWHERE: &str = "http://log.example";

fn trust() -> Trust {
    Trust::new(&trusted_root()).expect("a good file")
}

fn over_sha256() -> VerifyingKey {
    VerifyingKey::over_sha256(key_a())
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

/// The log answers on the day on which it took the entry in.
fn bench<'a>(trust: &'a Trust, entry: &LogEntry) -> Bench<'a> {
    Bench {
        trust,
        url: ELSEWHERE,
        now: entry.integrated_time.expect("the sample has one"),
    }
}

/// A day on which both logs of the samples were in use.
fn a_day() -> i64 {
    let (_, evidence) = bundle(LOGGED_V1);
    evidence.entries[0]
        .integrated_time
        .expect("the sample has one")
}

fn uuid(entry: &LogEntry) -> String {
    hex(&leaf_hash(&entry.body))
}

#[test]
fn an_answer_of_rekor_v1_is_judged() {
    let (key, trust) = (over_sha256(), trust());
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let bench = bench(&trust, entry);
    let judge =
        |answer: Value| asked.judge_entry(DSSE, &bench, Age::New, answer.to_string().as_bytes());
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
    let page = asked.judge_entry(DSSE, &bench, Age::New, b"<html>moved</html>");
    assert!(matches!(page, Err(AnswerError::Entry(_))));
    let nobody = Trust::default();
    let foreign = asked.judge_entry(
        DSSE,
        &Bench {
            trust: &nobody,
            ..bench
        },
        Age::New,
        answer(&uuid(entry), entry).to_string().as_bytes(),
    );
    let foreign = foreign.expect_err("nobody is trusted");
    assert!(matches!(foreign, AnswerError::UnknownLog { .. }));
    assert!(foreign.is_of_trusted_root());
}

#[test]
fn an_answer_of_rekor_v2_is_judged() {
    let (key, trust) = (over_sha256(), trust());
    let (signed, evidence) = bundle(LOGGED_V2);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let answer = evidence.entries[0].to_bundle_json().expect("of a kind");
    let bench = Bench {
        trust: &trust,
        url: ELSEWHERE,
        now: a_day(),
    };
    let judge = |answer: &str| asked.judge_entry(Format::V2, &bench, Age::New, answer.as_bytes());
    let (entry, logged) = judge(&answer).expect("a good answer");
    assert_eq!(entry, evidence.entries[0]);
    assert_eq!(
        (logged.kind.as_str(), logged.integrated_time),
        ("hashedrekord", None)
    );

    let (_, other) = bundle("sign-v3-bundle-rekor2-tsa/blobs");
    let other = other.entries[0].to_bundle_json().expect("of a kind");
    assert!(matches!(
        judge(&other),
        Err(AnswerError::Log(log::Error::OtherSignature))
    ));
    let (_, v1) = bundle(LOGGED_V1);
    let v1 = v1.entries[0].to_bundle_json().expect("of a kind");
    assert!(judge(&v1).is_err());
}

#[test]
fn an_entry_of_another_kind_than_asked_for_is_refused() {
    let (key, trust) = (over_sha256(), trust());
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let answer = answer(&uuid(entry), entry).to_string();
    let intoto = Format::V1(EnvelopeEntry::InToto);
    let refused = asked.judge_entry(intoto, &bench(&trust, entry), Age::New, answer.as_bytes());
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
    let key = over_sha256();
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let answer = answer(&uuid(entry), entry).to_string();
    let judge =
        |trust: &Trust| asked.judge_entry(DSSE, &bench(trust, entry), Age::New, answer.as_bytes());
    let judged = judge(&Trust::of_log(rekor1));
    assert!(judged.is_ok(), "{judged:?}");
    let judged = judge(&Trust::of_log(key_a())).expect_err("another key");
    assert!(matches!(judged, AnswerError::UnknownLog { .. }));
}

#[test]
fn a_timestamp_that_answers_another_request_is_refused() {
    let (key, trust) = (over_sha256(), trust());
    let (signed, evidence) = bundle(LOGGED_V2);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let response = &evidence.timestamps[0];
    let good = timestamp::verify(&trust, response, asked.stamped());
    assert!(matches!(good, Ok(Some(_))), "it is of the signature");
    let request = asked
        .timestamp_request(&mut random::system)
        .expect("randomness");
    let now = a_day();
    let refused = request.judge(&trust, response, asked.stamped(), now);
    assert_eq!(refused, Err(timestamp::AnswerError::Nonce));
    let refused = request.judge(&trust, b"<html>", asked.stamped(), now);
    assert!(matches!(refused, Err(timestamp::AnswerError::Timestamp(_))));
}

#[test]
fn a_log_that_is_out_of_use_vouches_for_its_past_and_for_nothing_new() {
    let key = over_sha256();
    for (folder, format) in [(LOGGED_V1, DSSE), (LOGGED_V2, Format::V2)] {
        let (signed, evidence) = bundle(folder);
        let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
        let (entry, logged_at) = (&evidence.entries[0], a_day());
        let judge = |start: Option<i64>, end: Option<i64>, now: i64| {
            let mut root = trusted_root();
            for log in &mut root.logs {
                (log.valid.start, log.valid.end) = (start, end);
            }
            let trust = Trust::new(&root).expect("a good file");
            // A verifier that reads it later has nothing against it.
            asked.judge(&trust, entry).expect("it was in use then");
            let bench = Bench {
                trust: &trust,
                url: ELSEWHERE,
                now,
            };
            asked.judge_as(format, &bench, Age::New, entry)
        };
        let end = Some(logged_at + 60);
        assert!(judge(None, end, logged_at + 60).is_ok(), "{folder}");
        for (start, end, now) in [
            (None, end, logged_at + 61),
            (Some(logged_at), None, logged_at - 1),
        ] {
            let refused = judge(start, end, now).expect_err("out of use");
            assert!(matches!(refused, AnswerError::OutOfUse { .. }), "{refused}");
            assert!(refused.is_of_trusted_root());
        }
    }
}

#[test]
fn a_log_has_taken_in_now_what_it_says_is_new() {
    let (key, trust) = (over_sha256(), trust());
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let judge = |apart: i64, age| {
        let bench = Bench {
            now: a_day() + apart,
            ..bench(&trust, entry)
        };
        asked.judge_as(DSSE, &bench, age, entry)
    };
    for (apart, is_new, is_any) in [
        (0, true, true),
        (MOST_SKEW, true, true),
        (-MOST_SKEW, true, true),
        (MOST_SKEW + 1, false, true),
        (1 << 28, false, true),
        (-MOST_SKEW - 1, false, false),
    ] {
        for (age, is_good) in [(Age::New, is_new), (Age::Any, is_any)] {
            match judge(apart, age) {
                Ok(_) => assert!(is_good, "{apart} {age:?}"),
                Err(AnswerError::Time { .. }) => assert!(!is_good, "{apart} {age:?}"),
                Err(other) => panic!("{apart} {age:?}: {other}"),
            }
        }
    }
}

#[test]
fn another_log_than_the_one_that_was_asked_is_refused_where_that_is_known() {
    let key = over_sha256();
    let (signed, evidence) = bundle(LOGGED_V1);
    let asked = Unwitnessed::read(&signed, &key).expect("cosign signed it");
    let entry = &evidence.entries[0];
    let mut root = trusted_root();
    root.logs[0].base_url = "https://one.example:3000/a".to_owned();
    let two = root.logs.last_mut().expect("of Rekor v2");
    two.base_url = "https://two.example".to_owned();
    two.key_id = Trust::of_log(PublicKey::from_spki(&two.public_key).expect("a key")).logs[0]
        .key_id
        .clone();
    let trust = Trust::new(&root).expect("a good file");
    let judge = |url: &'static str| {
        let bench = Bench {
            url,
            ..bench(&trust, entry)
        };
        asked.judge_as(DSSE, &bench, Age::New, entry)
    };
    for good in ["https://one.example", "http://three.example", ""] {
        assert!(judge(good).is_ok(), "{good}");
    }
    let refused = judge("https://two.example:8443/x").expect_err("it is of the first");
    assert!(refused.is_of_trusted_root());
    let said = refused.to_string();
    assert!(said.ends_with("at two.example are others"), "{said}");
}

#[test]
fn what_the_key_did_not_sign_is_not_shown_to_anybody() {
    let (signed, _) = bundle(LOGGED_V1);
    let pem = include_bytes!("../testdata/p384.pub");
    let other = VerifyingKey::over_sha256(PublicKey::from_pem(pem).expect("a key"));
    let refused = Unwitnessed::read(&signed, &other).err();
    assert!(matches!(refused, Some(Rejection::NoKeyMatches { .. })));
}
