//! A signature in a Sigstore bundle, with its entry of Rekor 1: promise, proof and checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Accepts, Agrees, Asked, Passes, Refuses, Row, Says, hold};
use crate::verify::specimen::{SIGN, Specimen, Tamper, mirrored};

const ENTRIES: &str = "/verificationMaterial/tlogEntries";
const SIG: &str = "/dsseEnvelope/signatures/0/sig";

const INVALID: &str = "none of 1 signature(s) is valid under";
const PROMISE: &str = "the log's promise is not valid for this entry, index and time";
const NOT_LOGGED: &str = "no entry of a trusted log came with it";
const NO_PATH: &str = "the inclusion proof does not lead from this entry to the root hash";
const CHECKPOINT: &str = "the log's signature of the checkpoint is not valid";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    // The envelope.
    ("signature", |s| s.layer(|b| b.flip(SIG)), Says(INVALID), Agrees),
    ("signature that is as valid", |s| s.layer(|b| b.bytes(SIG, |s| *s = mirrored(s))), Says("the log entry is of another signature"), Agrees),
    ("no signature", |s| s.layer(|b| b.cut("/dsseEnvelope/signatures/0")), Says("the envelope has 0 signatures and not one"), Agrees),
    ("two signatures", |s| s.layer(|b| b.set("/dsseEnvelope/signatures", json!([{"sig": "AAAA"}, {"sig": "AAAA"}]))), Says("the envelope has 2 signatures and not one"), Agrees),
    ("keyid", |s| s.layer(|b| b.set("/dsseEnvelope/signatures/0/keyid", json!("b"))), Passes, Refuses("cosign believes that it is the name of another key")),
    ("payload", |s| s.layer(|b| b.bytes("/dsseEnvelope/payload", |p| p.push(b' '))), Says(INVALID), Agrees),
    ("payloadType", |s| s.layer(|b| b.set("/dsseEnvelope/payloadType", json!("text/plain"))), Says("invalid payloadType \"text/plain\" on envelope"), Agrees),
    ("image", Specimen::hang_on_another_image, Says("no matching subject digest found"), Agrees),
    // What is in a bundle.
    ("bundle of a later version", |s| s.layer(|b| b.swap("/mediaType", "v0.3", "v0.4")), Says("bundles of media type \"application/vnd.dev.sigstore.bundle.v0.4+json\" are not supported"), Agrees),
    ("bundle of the first version", |s| s.layer(|b| b.set("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.1"))), Passes, Refuses("cosign wants version 0.3 in registries; all that it asks for is there")),
    ("bundle of the second version", |s| s.layer(|b| b.set("/mediaType", json!("application/vnd.dev.sigstore.bundle+json;version=0.2"))), Passes, Refuses("cosign wants version 0.3 in registries; all that it asks for is there")),
    ("media type of something else", |s| s.layer(|b| b.set("/mediaType", json!("application/json"))), Says("the media type \"application/json\" is not that of a Sigstore bundle"), Agrees),
    ("no media type", |s| s.layer(|b| b.cut("/mediaType")), Says("mediaType is missing"), Agrees),
    ("layer that is no JSON", |s| s.content.truncate(100), Says("not JSON that every reader understands alike: not one JSON document: EOF"), Agrees),
    ("member twice", |s| s.content.splice(1..1, *b"\"mediaType\":\"\",").for_each(drop), Says("the member /mediaType stands there twice"), Agrees),
    ("hint of the key", |s| s.layer(|b| b.flip("/verificationMaterial/publicKey/hint")), Passes, Agrees),
    ("nobody who signed", |s| s.layer(|b| b.cut("/verificationMaterial/publicKey")), Says("verificationMaterial has no certificate"), Agrees),
    ("key and certificate", |s| s.layer(|b| b.set("/verificationMaterial/certificate", json!({"rawBytes": "AAAA"}))), Says("verificationMaterial has both certificate and publicKey"), Agrees),
    ("key and certificates", |s| s.layer(|b| b.set("/verificationMaterial/x509CertificateChain", certificates())), Says("verificationMaterial has both x509CertificateChain and publicKey"), Agrees),
    ("two certificates for a key", |s| s.layer(two_certificates), Says("an x509CertificateChain, which version 0.3 does not allow"), Agrees),
    ("signature of a file", |s| s.layer(of_file), Says("the bundle holds no envelope: it signs a file, not an image"), Agrees),
    ("signature of a file beside", |s| s.layer(|b| b.set("/messageSignature", message())), Says("the bundle has both dsseEnvelope and messageSignature"), Agrees),
    ("nothing signed", |s| s.layer(|b| b.cut("/dsseEnvelope")), Says("the bundle has no dsseEnvelope or messageSignature"), Agrees),
    // The entry.
    ("no entry", |s| s.layer(|b| b.cut("/verificationMaterial/tlogEntries/0")), Says(NOT_LOGGED), Agrees),
    ("entry of another payload", |s| s.entry(|e| *e = entry_of("attest-v3-bundle-rekor1")), Says("the log entry is of another signature"), Agrees),
    ("entry of Rekor 2 of another signature", |s| s.entry(|e| *e = entry_of("sign-v3-bundle-rekor2-tsa")), Says("the log entry is of another signature"), Agrees),
    ("entry twice", |s| s.layer(|b| repeat(b, 2)), Says("tlogEntries[1] is the same entry of the same log as one before"), Agrees),
    ("33 entries", |s| s.layer(|b| repeat(b, 33)), Says("tlogEntries has 33 items, at most 32 are read"), Agrees),
    ("entry of an unknown log beside", |s| s.layer(add_unknown), Passes, Agrees),
    ("entry of another payload beside", |s| s.layer(add_foreign), Says("the log entry is of another signature"), Agrees),
    ("kind beside the body", |s| s.entry(|e| e.set("/kindVersion/kind", json!("intoto"))), Says("the log entry is said to be \"intoto 0.0.1\", its body is \"dsse 0.0.1\""), Accepts("cosign reads that in the body alone")),
    ("logIndex", |s| s.entry(|e| e.set("/logIndex", json!("45"))), Says(PROMISE), Agrees),
    ("logId", |s| s.entry(|e| e.flip("/logId/keyId")), Says(NOT_LOGGED), Agrees),
    ("integratedTime", |s| s.entry(|e| e.set("/integratedTime", json!("1795406115"))), Says(PROMISE), Agrees),
    ("no integratedTime", |s| s.entry(|e| e.cut("/integratedTime")), Says("the log entry has a promise but no integrated time"), Agrees),
    ("promise", |s| s.entry(|e| e.flip("/inclusionPromise/signedEntryTimestamp")), Says(PROMISE), Agrees),
    ("no promise", |s| s.entry(|e| e.cut("/inclusionPromise")), Passes, Agrees),
    // Its body.
    ("hash of the payload in the body", |s| s.body("\"value\":\"de1322", "\"value\":\"de1323"), Says("the log entry is of another payload"), Agrees),
    ("hash of the envelope in the body", |s| s.body("\"value\":\"c26274", "\"value\":\"c26275"), Says(PROMISE), Agrees),
    ("signature in the body", |s| s.body("\"signature\":\"ME", "\"signature\":\"MF"), Says("the log entry is of another signature"), Agrees),
    ("key in the body", |s| s.body("\"verifier\":\"LS0t", "\"verifier\":\"LS1t"), Says("the signer in the log entry cannot be read"), Agrees),
    ("body that is no JSON", |s| s.body("{", "["), Says("not one unambiguous JSON document: expected"), Agrees),
    // The proof.
    ("no proof", |s| s.entry(|e| e.cut("/inclusionProof")), Says("tlogEntries[0] has no inclusionProof"), Agrees),
    ("index before in the proof", |s| s.entry(|e| e.set("/inclusionProof/logIndex", json!("45"))), Says("the inclusion proof has 4 hashes, the path of this leaf has 5"), Agrees),
    ("index after the tree in the proof", |s| s.entry(|e| e.set("/inclusionProof/logIndex", json!("47"))), Says("inclusionProof proves entry 47 of a tree of 47"), Agrees),
    ("size in the proof", |s| s.entry(|e| e.set("/inclusionProof/treeSize", json!("48"))), Says("the inclusion proof is of a tree of 48 entries, its checkpoint is of 47"), Agrees),
    ("root in the proof", |s| s.entry(|e| e.flip("/inclusionProof/rootHash")), Says("the inclusion proof has another root hash than its checkpoint"), Agrees),
    ("root that is no hash", |s| s.entry(|e| e.set("/inclusionProof/rootHash", json!("AAAA"))), Says("inclusionProof.rootHash has 3 bytes and not 32"), Agrees),
    ("hash 0", |s| s.entry(|e| e.flip("/inclusionProof/hashes/0")), Says(NO_PATH), Agrees),
    ("hash 1", |s| s.entry(|e| e.flip("/inclusionProof/hashes/1")), Says(NO_PATH), Agrees),
    ("hash 2", |s| s.entry(|e| e.flip("/inclusionProof/hashes/2")), Says(NO_PATH), Agrees),
    ("hash 3", |s| s.entry(|e| e.flip("/inclusionProof/hashes/3")), Says(NO_PATH), Agrees),
    ("a hash less", |s| s.entry(|e| e.cut("/inclusionProof/hashes/3")), Says("the inclusion proof has 3 hashes, the path of this leaf has 4"), Agrees),
    ("a hash more", |s| s.entry(add_hash), Says("the inclusion proof has 5 hashes, the path of this leaf has 4"), Agrees),
    ("65 hashes", |s| s.entry(|e| (0..61).for_each(|_| add_hash(e))), Says("inclusionProof.hashes has 65 items, at most 64 are read"), Agrees),
    // The checkpoint.
    ("no checkpoint", |s| s.entry(|e| e.cut("/inclusionProof/checkpoint")), Says("inclusionProof.checkpoint is missing"), Agrees),
    ("origin of the checkpoint", |s| note(s, "rekor.local - 7596", "rekor.local - 7597"), Says(CHECKPOINT), Agrees),
    ("size of the checkpoint", |s| note(s, "\n47\n", "\n48\n"), Says(CHECKPOINT), Agrees),
    ("root of the checkpoint", |s| note(s, "H/vPwGj6", "H/vPwGj7"), Says(CHECKPOINT), Agrees),
    ("line of the checkpoint", |s| note(s, "\n\n", "\nmore\n\n"), Says(CHECKPOINT), Agrees),
    ("signature of the checkpoint", |s| note(s, "OfrQvv", "OfrQvw"), Says(CHECKPOINT), Agrees),
    ("witness of the checkpoint", |s| note(s, "rg==\n", "rg==\n— witness.example AAAAAAA=\n"), Passes, Refuses("cosign wants all signatures under a checkpoint of Rekor 1 to be the log's")),
    ("signer of the checkpoint", |s| note(s, "— rekor.local", "— rekor.other"), Passes, Agrees),
    ("key of the checkpoint", |s| note(s, "7KRx1DBG", "7KRx1jBG"), Says("not signed by the log"), Agrees),
    ("no signature of the checkpoint", |s| s.entry(unsigned_checkpoint), Says("the checkpoint is not a signed note"), Agrees),
    ("checkpoint of another tree", |s| s.entry(|e| e.set("/inclusionProof/checkpoint", proof_of("attest-v3-bundle-rekor1")["checkpoint"].clone())), Says("the inclusion proof is of a tree of 47 entries, its checkpoint is of 52"), Agrees),
    ("proof of another entry", |s| s.entry(|e| e.set("/inclusionProof", proof_of("attest-v3-bundle-rekor1"))), Says(NO_PATH), Agrees),
];

/// Replaces text in the checkpoint.
fn note(specimen: &mut Specimen, from: &str, to: &str) {
    specimen.entry(|entry| entry.swap("/inclusionProof/checkpoint/envelope", from, to));
}

fn unsigned_checkpoint(entry: &mut Value) {
    let checkpoint = &mut entry["inclusionProof"]["checkpoint"]["envelope"];
    let (text, _) = checkpoint
        .as_str()
        .and_then(|note| note.split_once("\n\n"))
        .expect("a note");
    *checkpoint = json!(format!("{text}\n\n"));
}

fn two_certificates(bundle: &mut Value) {
    bundle.cut("/verificationMaterial/publicKey");
    bundle.set("/verificationMaterial/x509CertificateChain", certificates());
}

fn certificates() -> Value {
    json!({"certificates": [{"rawBytes": "AAAA"}, {"rawBytes": "AAAA"}]})
}

/// A signature over the same bytes, of which the bundle has only the hash.
fn message() -> Value {
    let digest = STANDARD.encode([7; 32]);
    json!({"messageDigest": {"algorithm": "SHA2_256", "digest": digest}, "signature": "AAAA"})
}

fn of_file(bundle: &mut Value) {
    bundle.cut("/dsseEnvelope");
    bundle.set("/messageSignature", message());
}

fn repeat(bundle: &mut Value, times: usize) {
    let entry = bundle.pointer(ENTRIES).expect("it was logged")[0].clone();
    bundle.set(ENTRIES, json!(vec![entry; times]));
}

/// Adds an entry that is in a log that nobody trusts here, before the good one.
fn add_unknown(bundle: &mut Value) {
    let entry = bundle.pointer(ENTRIES).expect("it was logged")[0].clone();
    let mut unknown = entry.clone();
    unknown.flip("/logId/keyId");
    bundle.set(ENTRIES, json!([unknown, entry]));
}

/// Adds the entry of another bundle of the same key, after the good one.
fn add_foreign(bundle: &mut Value) {
    let entry = bundle.pointer(ENTRIES).expect("it was logged")[0].clone();
    bundle.set(ENTRIES, json!([entry, entry_of("attest-v3-bundle-rekor1")]));
}

fn add_hash(entry: &mut Value) {
    let hashes = entry.pointer_mut("/inclusionProof/hashes");
    let hashes = hashes.and_then(Value::as_array_mut).expect("a proof");
    hashes.push(json!(STANDARD.encode([7; 32])));
}

pub(super) fn bundle_of(case: &str, predicate_type: &str) -> Value {
    let layer = Specimen::bundle(case, predicate_type).content;
    serde_json::from_slice(&layer).expect("a bundle is JSON")
}

fn entry_of(case: &str) -> Value {
    let kind = if case.starts_with("sign") {
        SIGN
    } else {
        "https://slsa.dev/provenance/v1"
    };
    bundle_of(case, kind)
        .pointer(ENTRIES)
        .expect("it was logged")[0]
        .clone()
}

fn proof_of(case: &str) -> Value {
    entry_of(case)["inclusionProof"].clone()
}

#[test]
fn every_change_of_a_bundle_with_an_entry_of_rekor_1_is_named() {
    let specimen = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    hold(&Asked::of_key(), &specimen, ROWS);
}
