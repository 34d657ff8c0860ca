//! An attestation under the tag `.att`, with its entry of Rekor 1 in an annotation.

use serde_json::{Value, json};

use super::annotated::subject_of_another;
use super::{Agrees, Asked, Passes, Refuses, Row, Says, hold};
use crate::verify::specimen::{ENTRY, SIGNATURE, Specimen, Tamper};

const INVALID: &str = "none of 1 signature(s) is valid under";
const PROMISE: &str = "the log's promise is not valid for this entry, index and time";
const NOT_LOGGED: &str = "no entry of a trusted log came with it";
const OTHER_ENVELOPE: &str = "the log entry is of another envelope than the stored one";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    // The envelope.
    ("signature", |s| s.layer(|e| e.flip("/signatures/0/sig")), Says(INVALID), Agrees),
    ("no signature", |s| s.layer(|e| e.cut("/signatures/0")), Says("none of 0 signature(s) is valid under"), Agrees),
    ("payload", |s| s.layer(|e| e.bytes("/payload", |p| p.push(b' '))), Says(INVALID), Agrees),
    ("payload that is no base64", |s| s.layer(|e| e.set("/payload", json!("?"))), Says("the layer is not a DSSE envelope"), Agrees),
    ("payloadType", |s| s.layer(|e| e.set("/payloadType", json!("text/plain"))), Says("invalid payloadType \"text/plain\" on envelope"), Agrees),
    ("keyid", |s| s.layer(|e| e.set("/signatures/0/keyid", json!("b"))), Says(OTHER_ENVELOPE), Agrees),
    ("another signature beside", |s| s.layer(add_signature), Says(OTHER_ENVELOPE), Agrees),
    ("spelling of the envelope", |s| s.content.push(b'\n'), Says(OTHER_ENVELOPE), Agrees),
    ("layer that is no envelope", |s| s.content = b"{".to_vec(), Says("the layer is not a DSSE envelope"), Agrees),
    ("image", Specimen::hang_on_another_image, Says("no matching subject digest found"), Agrees),
    // The entry.
    ("no entry", |s| s.without_annotation(ENTRY), Says(NOT_LOGGED), Agrees),
    ("entry of another envelope", |s| s.annotation(ENTRY, |_| another_entry()), Says("the log entry is of another signature"), Agrees),
    ("promise", |s| s.entry(|e| e.flip("/SignedEntryTimestamp")), Says(PROMISE), Agrees),
    ("logIndex", |s| s.entry(|e| e.set("/Payload/logIndex", json!(7))), Says(PROMISE), Agrees),
    ("integratedTime", |s| s.entry(|e| e.set("/Payload/integratedTime", json!(7))), Says(PROMISE), Agrees),
    ("logID", |s| s.entry(|e| e.swap("/Payload/logID", "eca4", "eca5")), Says(NOT_LOGGED), Agrees),
    // Its body.
    ("kind of the body", |s| s.body("\"dsse\"", "\"hashedrekord\""), Says("a log entry of the kind hashedrekord 0.0.1 cannot be that of an envelope"), Agrees),
    ("hash of the envelope in the body", |s| s.body("\"envelopeHash\":{\"algorithm\":\"sha256\",\"value\":\"", "\"envelopeHash\":{\"algorithm\":\"sha256\",\"value\":\"0"), Says(OTHER_ENVELOPE), Agrees),
    ("hash of the payload in the body", |s| s.body("\"payloadHash\":{\"algorithm\":\"sha256\",\"value\":\"", "\"payloadHash\":{\"algorithm\":\"sha256\",\"value\":\"0"), Says("the log entry is of another payload"), Agrees),
    ("signature in the body", |s| s.body("\"signature\":\"ME", "\"signature\":\"MF"), Says("the log entry is of another signature"), Agrees),
    ("no signature in the body", |s| s.body("\"signatures\":", "\"signatures\":[],\"more\":"), Says("the log entry is of another signature"), Agrees),
    ("key in the body", |s| s.body("\"verifier\":\"LS0t", "\"verifier\":\"LS1t"), Says("the signer in the log entry cannot be read"), Agrees),
    ("spelling of the body", |s| s.body("}]}}", "}]}} "), Says(PROMISE), Agrees),
    // The manifest.
    ("annotation of the predicate type", |s| s.annotation("predicateType", |_| "https://spdx.dev/Document".to_owned()), Passes, Agrees),
    ("no annotation for signatures", |s| s.without_annotation(SIGNATURE), Says("layer has no annotation dev.cosignproject.cosign/signature"), Agrees),
    ("another text for the signature", |s| s.annotation(SIGNATURE, |_| "AAAA".to_owned()), Passes, Refuses("for cosign it must be the one in the entry")),
    ("media type of the layer", |s| s.manifest.set("/layers/0/mediaType", json!("text/plain")), Passes, Agrees),
    ("another layer that is bad", |s| s.add_layer(|l| l.cut("/annotations")), Passes, Agrees),
    ("artifactType", |s| s.manifest.set("/artifactType", json!("application/spdx+json")), Passes, Agrees),
    ("media type of the configuration", |s| s.manifest.set("/config/mediaType", json!("text/plain")), Passes, Agrees),
    ("subject", |s| s.manifest.set("/subject", subject_of_another()), Passes, Agrees),
];

/// Without a log, the envelope may be spelt otherwise: what counts is signed.
#[rustfmt::skip]
const UNLOGGED: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("keyid", |s| s.layer(|e| e.set("/signatures/0/keyid", json!("b"))), Passes, Agrees),
    ("another signature beside", |s| s.layer(add_signature), Passes, Agrees),
    ("spelling of the envelope", |s| s.content.push(b'\n'), Passes, Agrees),
    ("spelling of the payload", |s| s.layer(|e| e.bytes("/payload", |p| p.push(b' '))), Says(INVALID), Agrees),
    ("payloadType", |s| s.layer(|e| e.set("/payloadType", json!("text/plain"))), Says("invalid payloadType \"text/plain\" on envelope"), Agrees),
];

/// An `intoto` entry has no signature in it: the hash of the envelope holds both together.
#[rustfmt::skip]
const IN_TOTO: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("keyid", |s| s.layer(|e| e.set("/signatures/0/keyid", json!("b"))), Says(OTHER_ENVELOPE), Agrees),
    ("signature", |s| s.layer(|e| e.flip("/signatures/0/sig")), Says(INVALID), Agrees),
    ("hash of the payload in the body", |s| s.body("\"payloadHash\":{\"algorithm\":\"sha256\",\"value\":\"", "\"payloadHash\":{\"algorithm\":\"sha256\",\"value\":\"0"), Says("the log entry is of another payload"), Agrees),
    ("promise", |s| s.entry(|e| e.flip("/SignedEntryTimestamp")), Says(PROMISE), Agrees),
];

/// Puts a signature that nobody made before the good one.
fn add_signature(envelope: &mut Value) {
    let signatures = envelope["signatures"].as_array_mut().expect("an envelope");
    signatures.insert(0, json!({"keyid": "", "sig": "AAAA"}));
}

fn another_entry() -> String {
    let other = Specimen::attestation("attest-v3-legacy-rekor1").manifest;
    let entry = other["layers"][0]["annotations"][ENTRY].as_str();
    entry.expect("it was logged").to_owned()
}

#[test]
fn every_change_of_a_logged_attestation_under_a_tag_is_named() {
    let specimen = Specimen::attestation("sign-and-attest-v2-rekor1");
    hold(
        &Asked::of_key().attesting("slsaprovenance"),
        &specimen,
        ROWS,
    );
}

#[test]
fn an_envelope_without_a_log_may_be_spelt_otherwise() {
    let specimen = Specimen::attestation("sign-and-attest-v2-rekor1");
    let asked = Asked::of_key().without_root().and("--insecure-ignore-tlog");
    hold(&asked.attesting("slsaprovenance"), &specimen, UNLOGGED);
}

#[test]
fn every_change_of_an_attestation_with_an_in_toto_entry_is_named() {
    let specimen = Specimen::attestation("attest-v2-rekor1-intoto");
    hold(
        &Asked::of_key().attesting("slsaprovenance"),
        &specimen,
        IN_TOTO,
    );
}
