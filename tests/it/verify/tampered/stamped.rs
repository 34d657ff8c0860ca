//! A signature in a Sigstore bundle with an entry of Rekor 2, and timestamps beside all kinds of signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bundled::bundle_of;
use super::{Accepts, Agrees, Asked, Passes, Row, Says, hold};
use crate::verify::specimen::{SIGN, Specimen, TIMESTAMP, Tamper, overwrite_after};

const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";

const NOT_LOGGED: &str = "no entry of a trusted log came with it";
const NOT_STAMPED: &str = "no timestamp of a trusted authority came with the signature";
const CHECKPOINT: &str = "the log's signature of the checkpoint is not valid";
const NO_PATH: &str = "the inclusion proof does not lead from this entry to the root hash";
const CHANGED_STAMP: &str =
    "the timestamp was changed: the hash of its content is not the signed one";
const STAMP_SIGNATURE: &str = "the signature of the timestamp is not valid";
/// Why cosign accepts what stands in the body of an entry of Rekor 2.
pub(super) const ANEW: &str = "cosign makes the body anew, and does not look at that of the bundle";
const OF_CHECKPOINT: &str = "cosign takes it from the checkpoint";
const DAMAGED: &str = "the timestamp is damaged: no valid ";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("signature", |s| s.layer(|b| b.flip("/dsseEnvelope/signatures/0/sig")), Says("none of 1 signature(s) is valid under"), Agrees),
    ("image", Specimen::hang_on_another_image, Says("no matching subject digest found"), Agrees),
    // The entry.
    ("no entry", |s| s.layer(|b| b.cut("/verificationMaterial/tlogEntries/0")), Says(NOT_LOGGED), Agrees),
    ("entry of another payload", |s| s.entry(|e| *e = other("/verificationMaterial/tlogEntries/0")), Says("the log entry is of another signature"), Agrees),
    ("logId", |s| s.entry(|e| e.flip("/logId/keyId")), Says(NOT_LOGGED), Agrees),
    ("logIndex", |s| s.entry(|e| e.set("/logIndex", json!("14"))), Says("the log entry is said to have the index 14, the inclusion proof is of 15"), Agrees),
    ("promise that nobody made", |s| s.entry(|e| e.set("/inclusionPromise", json!({"signedEntryTimestamp": "AAAA"}))), Says("the log entry has a promise but no integrated time"), Agrees),
    ("promise with a time that nobody made", |s| s.entry(add_promise), Says("the log's promise is not valid for this entry"), Agrees),
    ("time that nobody vouches for", |s| s.entry(|e| e.set("/integratedTime", json!("1"))), Passes, Agrees),
    // Its body.
    ("digest in the body", |s| s.body("4IGELbti", "4IGELbtj"), Says("the log entry is over another content"), Accepts(ANEW)),
    ("hash algorithm in the body", |s| s.body("SHA2_256", "SHA2_512"), Says("the body of the log entry is not the canonical one"), Accepts(ANEW)),
    ("signature in the body", |s| s.body("\"content\":\"ME", "\"content\":\"MF"), Says("the log entry is of another signature"), Accepts(ANEW)),
    ("key in the body", |s| s.body("\"rawBytes\":\"MFkw", "\"rawBytes\":\"MFkx"), Says("the log entry is by another key or certificate"), Accepts(ANEW)),
    ("certificate for the key in the body", |s| s.body("\"publicKey\"", "\"x509Certificate\""), Says("the log entry is by another key or certificate"), Accepts(ANEW)),
    ("key details in the body", |s| s.body("PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_384"), Says("the log entry has the key details \"PKIX_ECDSA_P384_SHA_384\""), Accepts(ANEW)),
    ("spelling of the body", |s| s.body("{\"apiVersion\"", "{ \"apiVersion\""), Says("the body of the log entry is not the canonical one"), Accepts(ANEW)),
    ("more in the body", |s| s.body("{\"hashedRekordV002\"", "{\"a\":1,\"hashedRekordV002\""), Says("the body of the log entry is not the canonical one"), Agrees),
    ("version of the body", |s| s.body("0.0.2", "0.0.1"), Says("the log entry is said to be \"hashedrekord 0.0.2\", its body is \"hashedrekord 0.0.1\""), Agrees),
    // The proof.
    ("no proof", |s| s.entry(|e| e.cut("/inclusionProof")), Says("tlogEntries[0] has no inclusionProof"), Agrees),
    ("both indexes", |s| s.entry(move_back), Says(NO_PATH), Agrees),
    ("size in the proof", |s| s.entry(|e| e.set("/inclusionProof/treeSize", json!("17"))), Says("the inclusion proof is of a tree of 17 entries, its checkpoint is of 16"), Accepts(OF_CHECKPOINT)),
    ("root in the proof", |s| s.entry(|e| e.flip("/inclusionProof/rootHash")), Says("the inclusion proof has another root hash than its checkpoint"), Accepts(OF_CHECKPOINT)),
    ("hash 0", |s| s.entry(|e| e.flip("/inclusionProof/hashes/0")), Says(NO_PATH), Agrees),
    ("hash 1", |s| s.entry(|e| e.flip("/inclusionProof/hashes/1")), Says(NO_PATH), Agrees),
    ("hash 2", |s| s.entry(|e| e.flip("/inclusionProof/hashes/2")), Says(NO_PATH), Agrees),
    ("hash 3", |s| s.entry(|e| e.flip("/inclusionProof/hashes/3")), Says(NO_PATH), Agrees),
    ("origin of the checkpoint", |s| note(s, "127.0.0.1\n16", "127.0.0.2\n16"), Says(CHECKPOINT), Agrees),
    ("size of the checkpoint", |s| note(s, "\n16\n", "\n17\n"), Says(CHECKPOINT), Agrees),
    ("root of the checkpoint", |s| note(s, "2sh5", "2sh6"), Says(CHECKPOINT), Agrees),
    ("signature of the checkpoint", |s| note(s, "53zrYrYT", "53zrYrYU"), Says(CHECKPOINT), Agrees),
    ("signer of the checkpoint", |s| note(s, "— 127.0.0.1", "— 127.0.0.2"), Says("the checkpoint is not signed by the log: its signatures are of 127.0.0.2"), Agrees),
    // The timestamp.
    ("no timestamp", |s| s.layer(|b| b.cut("/verificationMaterial/timestampVerificationData")), Says(NOT_STAMPED), Agrees),
    ("empty list of timestamps", |s| s.layer(|b| b.set(STAMPS, json!([]))), Says(NOT_STAMPED), Agrees),
    ("33 timestamps", |s| s.layer(|b| b.set(STAMPS, json!(vec![json!({"signedTimestamp": "AAAA"}); 33]))), Says("rfc3161Timestamps has 33 items, at most 32 are read"), Agrees),
    ("timestamp of another signature", |s| s.layer(|b| b.set(STAMPS, other(STAMPS))), Says("the timestamp is of other bytes"), Agrees),
    ("good timestamp beside that of another", |s| s.layer(add_other_stamp), Says("the timestamp is of other bytes"), Accepts("cosign passes over evidence that does not hold where other does")),
    ("timestamp with a byte more", |s| s.timestamp(|t| t.push(0)), Says("no valid TimeStampResp"), Agrees),
    ("timestamp with a byte less", |s| s.timestamp(|t| t.truncate(t.len() - 1)), Says("no valid TimeStampResp"), Agrees),
    ("no bytes of a timestamp", |s| s.timestamp(Vec::clear), Says("signedTimestamp is missing"), Agrees),
    ("bytes that are no timestamp", |s| s.timestamp(|t| *t = b"12345".to_vec()), Says("no valid TimeStampResp"), Agrees),
    ("status of the timestamp", |s| s.timestamp(|t| overwrite_after(t, &[0x30, 3, 2, 1], 0, &[2])), Says("the timestamp was not granted: status 2"), Agrees),
    ("hash in the timestamp", |s| s.timestamp(|t| overwrite_after(t, &[5, 0, 4, 0x20], 0, &[0])), Says("the timestamp is of other bytes"), Agrees),
    ("serial number of the timestamp", |s| s.timestamp(|t| overwrite_after(t, &[2, 0x14], 0, &[1])), Says(CHANGED_STAMP), Agrees),
    ("time of the timestamp", |s| s.timestamp(|t| overwrite_after(t, b"20261123035514", 0, b"X")), Says("no valid TSTInfo"), Agrees),
    ("time of the timestamp, another", |s| s.timestamp(|t| overwrite_after(t, b"2026112303551", 0, b"3")), Says(CHANGED_STAMP), Agrees),
    ("accuracy of the timestamp", |s| s.timestamp(|t| overwrite_after(t, b"20261123035514Z", 4, &[2])), Says(CHANGED_STAMP), Agrees),
    ("policy of the timestamp", |s| s.timestamp(|t| overwrite_after(t, &[0x83, 0xbf, 0x30], 0, &[1])), Says(CHANGED_STAMP), Agrees),
    ("who stamped", |s| s.timestamp(|t| overwrite_after(t, b"tsa-roo", 0, b"X")), Says(NOT_STAMPED), Agrees),
    ("certificate that stamped", |s| s.timestamp(|t| overwrite_after(t, b"tsa-root\x02\x14", 0, &[0x2e])), Says(NOT_STAMPED), Agrees),
    ("signed time of the timestamp", |s| s.timestamp(|t| overwrite_after(t, b"\x17\r261123035514", 0, b"+")), Says(STAMP_SIGNATURE), Agrees),
    ("signed hash of the timestamp", |s| s.timestamp(|t| overwrite_after(t, &[9, 4, 0x31, 0x22, 4, 0x20], 0, &[0])), Says(CHANGED_STAMP), Agrees),
    ("signed certificate of the timestamp", |s| s.timestamp(|t| overwrite_after(t, &[0x30, 0x68, 4, 0x20], 0, &[0])), Says("the timestamp was signed with another certificate"), Agrees),
    ("signature of the timestamp", |s| s.timestamp(|t| *t.last_mut().expect("bytes") ^= 1), Says(STAMP_SIGNATURE), Agrees),
];

/// A timestamp that brings its certificate, in an annotation; no log was asked.
#[rustfmt::skip]
const ANNOTATED: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("no timestamp", |s| s.without_annotation(TIMESTAMP), Says(NOT_STAMPED), Accepts("for cosign it may be absent under a tag, whatever is asked for")),
    ("annotation that is no JSON", |s| s.annotation(TIMESTAMP, |_| "{".to_owned()), Says("annotation dev.sigstore.cosign/rfc3161timestamp is malformed"), Agrees),
    ("timestamp of another signature", |s| s.timestamp(|t| *t = other_stamp()), Says("the timestamp is of other bytes"), Agrees),
    ("end of the certificate", |s| s.timestamp(|t| overwrite_after(t, b"031537Z\x17\r3", 0, b"7")), Says(NOT_STAMPED), Agrees),
    ("key in the certificate", |s| s.timestamp(|t| overwrite_after(t, &[3, 0x42, 0, 4], 0, &[0])), Says(NOT_STAMPED), Agrees),
    ("time of the timestamp, another", |s| s.timestamp(|t| overwrite_after(t, b"2026112303551", 0, b"3")), Says(CHANGED_STAMP), Agrees),
    ("signature of the timestamp", |s| s.timestamp(|t| *t.last_mut().expect("bytes") ^= 1), Says(STAMP_SIGNATURE), Agrees),
    ("timestamp cut in the middle", |s| s.timestamp(|t| t.truncate(500)), Says(DAMAGED), Agrees),
];

/// Replaces text in the checkpoint.
fn note(specimen: &mut Specimen, from: &str, to: &str) {
    specimen.entry(|entry| entry.swap("/inclusionProof/checkpoint/envelope", from, to));
}

/// The same of another bundle of the same log and authority.
fn other(pointer: &str) -> Value {
    let bundle = bundle_of(
        "attest-v3-bundle-rekor2-tsa",
        "https://slsa.dev/provenance/v1",
    );
    bundle.pointer(pointer).expect("it is there").clone()
}

fn other_stamp() -> Vec<u8> {
    let stamp = other(STAMPS)[0]["signedTimestamp"].clone();
    STANDARD
        .decode(stamp.as_str().expect("it is base64"))
        .expect("it is base64")
}

fn add_other_stamp(bundle: &mut Value) {
    let stamps = bundle.pointer_mut(STAMPS).and_then(Value::as_array_mut);
    stamps
        .expect("it is stamped")
        .push(other(STAMPS)[0].clone());
}

fn add_promise(entry: &mut Value) {
    entry.set("/inclusionPromise", json!({"signedEntryTimestamp": "AAAA"}));
    entry.set("/integratedTime", json!("1795406114"));
}

fn move_back(entry: &mut Value) {
    entry.set("/logIndex", json!("14"));
    entry.set("/inclusionProof/logIndex", json!("14"));
}

#[test]
fn every_change_of_a_bundle_with_an_entry_of_rekor_2_and_a_timestamp_is_named() {
    let specimen = Specimen::bundle("sign-v3-bundle-rekor2-tsa", SIGN);
    hold(
        &Asked::of_key().and("--use-signed-timestamps"),
        &specimen,
        ROWS,
    );
}

#[test]
fn every_change_of_a_timestamp_in_an_annotation_is_named() {
    let specimen = Specimen::signature("sign-v2-tsa-notlog");
    let asked = Asked::of_key().and("--use-signed-timestamps");
    hold(&asked.and("--insecure-ignore-tlog"), &specimen, ANNOTATED);
}
