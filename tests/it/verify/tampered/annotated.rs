//! A signature under the tag `.sig`, with its entry of Rekor 1 in an annotation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Accepts, Agrees, Asked, Passes, Refuses, Row, Says, hold};
use crate::verify::specimen::{ENTRY, SIGNATURE, Specimen, Tamper, flipped, mirrored};

/// The id of the other log of the trusted root, Rekor 2.
const OTHER_LOG: &str = "11b05de734dd30eef5b8f6dfb6d61d95f018aa21cb5ec05c710b165e4e2372e0";

const INVALID: &str = "none of 1 signature(s) is valid under";
const PROMISE: &str = "the log's promise is not valid for this entry, index and time";
const NOT_LOGGED: &str = "no entry of a trusted log came with it";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    // The signature.
    ("signature", |s| s.annotation(SIGNATURE, flipped), Says(INVALID), Agrees),
    ("signature of another payload", |s| s.annotation(SIGNATURE, |_| signature_of("sign-v2-notlog")), Says(INVALID), Agrees),
    ("signature by another key", |s| s.annotation(SIGNATURE, |_| signature_of("sign-v2-rsa")), Says(INVALID), Agrees),
    ("signature that is as valid", |s| s.annotation(SIGNATURE, other_half), Says("the log entry is of another signature"), Agrees),
    ("signature that is no base64", |s| s.annotation(SIGNATURE, |_| "?".to_owned()), Says("cosign/signature is not base64"), Agrees),
    ("no signature", |s| s.without_annotation(SIGNATURE), Says("layer has no annotation dev.cosignproject.cosign/signature"), Agrees),
    ("empty signature", |s| s.annotation(SIGNATURE, |_| String::new()), Says(INVALID), Agrees),
    // What was signed.
    ("payload", |s| s.layer(|p| p.set("/optional", json!({"env": "prod"}))), Says(INVALID), Agrees),
    ("spelling of the payload", |s| s.content.push(b'\n'), Says(INVALID), Agrees),
    ("image", Specimen::hang_on_another_image, Says("invalid or missing digest in claim"), Agrees),
    // The entry.
    ("no entry", |s| s.without_annotation(ENTRY), Says(NOT_LOGGED), Agrees),
    ("empty entry", |s| s.annotation(ENTRY, |_| String::new()), Says(NOT_LOGGED), Agrees),
    ("entry that is no JSON", |s| s.annotation(ENTRY, |_| "{".to_owned()), Says("annotation dev.sigstore.cosign/bundle is malformed: not JSON"), Agrees),
    ("entry of another signature", |s| s.annotation(ENTRY, |_| entry_of("sign-v3-legacy-rekor1")), Says("the log entry is of another signature"), Agrees),
    ("entry by a certificate", |s| s.annotation(ENTRY, |_| entry_of("keyless-v2-rekor1")), Says("the log entry is of another signature"), Agrees),
    ("entry without promise", |s| s.entry(|e| e.cut("/SignedEntryTimestamp")), Says("SignedEntryTimestamp is missing"), Agrees),
    ("promise", |s| s.entry(|e| e.flip("/SignedEntryTimestamp")), Says(PROMISE), Agrees),
    ("logIndex", |s| s.entry(|e| e.set("/Payload/logIndex", json!(45))), Says(PROMISE), Agrees),
    ("negative logIndex", |s| s.entry(|e| e.set("/Payload/logIndex", json!(-44))), Says("Payload.logIndex is not an integer from 0"), Agrees),
    ("integratedTime", |s| s.entry(|e| e.set("/Payload/integratedTime", json!(1_795_406_111))), Says(PROMISE), Agrees),
    ("logID", |s| s.entry(|e| e.swap("/Payload/logID", "eca4", "eca5")), Says(NOT_LOGGED), Agrees),
    ("logID of another trusted log", |s| s.entry(|e| e.set("/Payload/logID", json!(OTHER_LOG))), Says(PROMISE), Agrees),
    ("logID that is no id", |s| s.entry(|e| e.set("/Payload/logID", json!("eca4"))), Says("Payload.logID has 2 bytes and not 32"), Agrees),
    // Its body.
    ("body that is no JSON", |s| s.body("{", "["), Says("not one unambiguous JSON document: expected"), Agrees),
    ("body with a member twice", |s| s.body("{\"hash\":", "{\"hash\":{},\"hash\":"), Says("\"hash\" stands there twice"), Agrees),
    ("kind of the body", |s| s.body("\"hashedrekord\"", "\"rekord\""), Says("log entries of the kind \"rekord\" \"0.0.1\" are not supported"), Agrees),
    ("kind of an attestation", |s| s.body("\"hashedrekord\"", "\"dsse\""), Says("a log entry of the kind dsse 0.0.1 cannot be that of an image signature"), Agrees),
    ("version of the body", |s| s.body("\"0.0.1\"", "\"0.0.9\""), Says("log entries of the kind \"hashedrekord\" \"0.0.9\" are not supported"), Agrees),
    ("hash in the body", |s| s.body("\"5ceafe", "\"5ceaff"), Says("the log entry is over another content"), Agrees),
    ("hash algorithm in the body", |s| s.body("\"sha256\"", "\"md5\""), Says("unsupported hash algorithm \"md5\" in the log entry"), Agrees),
    ("signature in the body", |s| s.body("\"MEQCICAC1i", "\"MEQCICAC1j"), Says("the log entry is of another signature"), Agrees),
    ("key in the body", |s| s.body("\"publicKey\":{\"content\":\"LS0t", "\"publicKey\":{\"content\":\"LS1t"), Says("the signer in the log entry cannot be read"), Agrees),
    ("spelling of the body", |s| s.body("{\"apiVersion\"", "{ \"apiVersion\""), Says(PROMISE), Agrees),
    // The manifest.
    ("media type of the layer", |s| s.manifest.set("/layers/0/mediaType", json!("application/vnd.dsse.envelope.v1+json")), Passes, Agrees),
    ("layer that says it is a bundle", |s| s.manifest.set("/layers/0/mediaType", json!("application/vnd.dev.sigstore.bundle.v0.3+json")), Says("not a Sigstore bundle"), Accepts("the media type of a layer decides nothing for cosign, and here that it is a bundle")),
    ("another layer that is bad", |s| s.add_layer(|l| l["annotations"][SIGNATURE] = json!("AAAA")), Passes, Agrees),
    ("artifactType", |s| s.manifest.set("/artifactType", json!("application/spdx+json")), Passes, Agrees),
    ("media type of the configuration", |s| s.manifest.set("/config/mediaType", json!("application/vnd.oci.empty.v1+json")), Passes, Agrees),
    ("subject", |s| s.manifest.set("/subject", subject_of_another()), Passes, Agrees),
    ("annotations", |s| s.manifest.set("/annotations", json!({"dev.sigstore.bundle.content": "dsse-envelope"})), Passes, Agrees),
    ("annotation that nobody knows", |s| s.manifest.set("/layers/0/annotations/x", json!("y")), Passes, Agrees),
    ("size of the layer", |s| s.add_layer(|l| l["size"] = json!(7)), Passes, Agrees),
];

fn signature_of(case: &str) -> String {
    annotation_of(case, SIGNATURE)
}

fn entry_of(case: &str) -> String {
    annotation_of(case, ENTRY)
}

pub(super) fn annotation_of(case: &str, name: &str) -> String {
    let annotations = &Specimen::signature(case).manifest["layers"][0]["annotations"];
    annotations[name].as_str().expect("it is there").to_owned()
}

fn other_half(signature: &str) -> String {
    STANDARD.encode(mirrored(&STANDARD.decode(signature).expect("base64")))
}

/// What a manifest says of the image that it hangs on.
pub(super) fn subject_of_another() -> serde_json::Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 401,
        "digest": format!("sha256:{}", "a1".repeat(32)),
    })
}

#[test]
fn every_change_of_a_logged_signature_under_a_tag_is_named() {
    let specimen = Specimen::signature("sign-v2-rekor1");
    hold(&Asked::of_key(), &specimen, ROWS);
}

#[test]
fn a_signature_that_is_as_valid_is_accepted_where_no_log_is_asked() {
    let specimen = Specimen::signature("sign-v2-rekor1");
    let asked = Asked::of_key().without_root().and("--insecure-ignore-tlog");
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("nothing", |_| (), Passes, Agrees),
        ("signature that is as valid", |s| s.annotation(SIGNATURE, other_half), Passes, Agrees),
        ("entry that is no JSON", |s| s.annotation(ENTRY, |_| "{".to_owned()), Passes, Refuses("cosign reads it where no log is asked, too")),
        ("signature", |s| s.annotation(SIGNATURE, flipped), Says(INVALID), Agrees),
    ];
    hold(&asked, &specimen, rows);
}

#[test]
fn an_entry_that_is_not_asked_for_must_hold_where_its_log_is_trusted() {
    let specimen = Specimen::signature("sign-v2-rekor1");
    let asked = Asked::of_key().and("--insecure-ignore-tlog");
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("nothing", |_| (), Passes, Agrees),
        ("no entry", |s| s.without_annotation(ENTRY), Passes, Agrees),
        ("logID", |s| s.entry(|e| e.swap("/Payload/logID", "eca4", "eca5")), Passes, Agrees),
        ("promise", |s| s.entry(|e| e.flip("/SignedEntryTimestamp")), Says(PROMISE), Accepts("cosign looks at no entry then")),
    ];
    hold(&asked, &specimen, rows);
}
