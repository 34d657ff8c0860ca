//! Signatures without a key of one's own: the certificate, under a tag and in bundles.

use serde_json::{Value, json};

use super::annotated::annotation_of;
use super::bundled::bundle_of;
use super::stamped::ANEW;
use super::{Accepts, Agrees, Asked, Passes, Row, Says, hold};
use crate::verify::specimen::{
    CERTIFICATE, CHAIN, ENTRY, SIGN, SIGNATURE, Specimen, Tamper, flipped, overwrite_after,
};

const NOT_OF_CERTIFICATE: &str = "of the certificate";
const FORGED: &str = "the certificate was changed or forged: it names the authority";
const PROMISE: &str = "the log's promise is not valid for this entry, index and time";
const NOT_LOGGED: &str = "no entry of a trusted log came with it";
const NO_CERTIFICATE: &str = "no certificate found on signature";
const EXPIRED: &str = "certificate expired before observed time";

/// `dev.sigstore.cosign/bundle` and the like, and the entry of Rekor 1.
#[rustfmt::skip]
const ANNOTATED: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("signature", |s| s.annotation(SIGNATURE, flipped), Says(NOT_OF_CERTIFICATE), Agrees),
    ("payload", |s| s.layer(|p| p.set("/optional", json!({"env": "prod"}))), Says(NOT_OF_CERTIFICATE), Agrees),
    ("image", Specimen::hang_on_another_image, Says("invalid or missing digest in claim"), Agrees),
    // The certificate.
    ("no certificate", |s| s.without_annotation(CERTIFICATE), Says(NO_CERTIFICATE), Agrees),
    ("empty certificate", |s| s.annotation(CERTIFICATE, |_| String::new()), Says(NO_CERTIFICATE), Agrees),
    ("certificate that is no PEM", |s| s.annotation(CERTIFICATE, |_| "x".to_owned()), Says("the annotation dev.sigstore.cosign/certificate is not certificates"), Agrees),
    ("two certificates", |s| s.annotation(CERTIFICATE, |pem| pem.repeat(2)), Says("cosign/certificate has 2 certificates and not one"), Accepts("cosign takes the first one, another reader the last")),
    ("certificate of another signature", |s| s.annotation(CERTIFICATE, |_| annotation_of("keyless-v3-legacy-rekor1", CERTIFICATE)), Says(NOT_OF_CERTIFICATE), Agrees),
    ("name in the certificate", |s| s.certificate(|c| overwrite_after(c, b"serviceaccounts/chains-set", 0, b"2")), Says(FORGED), Agrees),
    ("issuer in the certificate", |s| s.certificate(|c| overwrite_after(c, b"http://127.0.0.1:305", 0, b"8")), Says("the certificate names two OIDC issuers"), Agrees),
    ("serial number of the certificate", |s| s.certificate(|c| overwrite_after(c, &[2, 1, 2, 2, 0x14], 1, &[0xff])), Says(FORGED), Agrees),
    ("beginning of the certificate", |s| s.certificate(|c| overwrite_after(c, b"2611230355", 0, b"2")), Says(FORGED), Agrees),
    ("end of the certificate", |s| s.certificate(|c| overwrite_after(c, b"2611230405", 0, b"2")), Says(FORGED), Agrees),
    ("purpose of the certificate", |s| s.certificate(|c| overwrite_after(c, &[0x2b, 6, 1, 5, 5, 7, 3], 0, &[8])), Says("the certificate is not for code signing"), Agrees),
    ("SCT in the certificate", |s| s.certificate(|c| overwrite_after(c, &[4, 3, 0], 3, &[0])), Says(FORGED), Agrees),
    ("signature of the certificate", |s| s.certificate(|c| *c.last_mut().expect("bytes") ^= 1), Says(FORGED), Agrees),
    ("certificate with a byte more", |s| s.certificate(|c| c.push(0)), Says("the certificate is not accepted: the certificate is damaged"), Agrees),
    ("certificate with a byte less", |s| s.certificate(|c| c.truncate(c.len() - 1)), Says("the certificate is not accepted: the certificate is damaged"), Agrees),
    // The chain, which the trusted root has.
    ("no chain", |s| s.without_annotation(CHAIN), Passes, Agrees),
    ("empty chain", |s| s.annotation(CHAIN, |_| String::new()), Passes, Agrees),
    ("chain of others", |s| s.annotation(CHAIN, |_| tsa_chain()), Passes, Agrees),
    ("chain that is no PEM", |s| s.annotation(CHAIN, |_| "x".to_owned()), Says("the annotation dev.sigstore.cosign/chain is not certificates"), Agrees),
    // The entry.
    ("no entry", |s| s.without_annotation(ENTRY), Says(NOT_LOGGED), Agrees),
    ("promise", |s| s.entry(|e| e.flip("/SignedEntryTimestamp")), Says(PROMISE), Agrees),
    ("integratedTime", |s| s.entry(|e| e.set("/Payload/integratedTime", json!(1_795_406_141))), Says(PROMISE), Agrees),
    ("integratedTime after the certificate", |s| s.entry(|e| e.set("/Payload/integratedTime", json!(1_795_499_999))), Says(PROMISE), Agrees),
    ("entry of another signature", |s| s.annotation(ENTRY, |_| annotation_of("keyless-v3-legacy-rekor1", ENTRY)), Says("the log entry is of another signature"), Agrees),
    ("certificate in the body", |s| s.body("\"publicKey\":{\"content\":\"LS0t", "\"publicKey\":{\"content\":\"LS1t"), Says("the signer in the log entry cannot be read"), Agrees),
];

/// The same in a bundle, with the entry of Rekor 1.
#[rustfmt::skip]
const BUNDLED: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("signature", |s| s.layer(|b| b.flip("/dsseEnvelope/signatures/0/sig")), Says(NOT_OF_CERTIFICATE), Agrees),
    ("payload", |s| s.layer(|b| b.bytes("/dsseEnvelope/payload", |p| p.push(b' '))), Says(NOT_OF_CERTIFICATE), Agrees),
    ("image", Specimen::hang_on_another_image, Says("no matching subject digest found"), Agrees),
    // The certificate.
    ("key for the certificate", |s| s.layer(key_for_certificate), Says(NO_CERTIFICATE), Agrees),
    ("key beside the certificate", |s| s.layer(|b| b.set("/verificationMaterial/publicKey", json!({"hint": "a"}))), Says("verificationMaterial has both certificate and publicKey"), Agrees),
    ("chain of certificates", |s| s.layer(chain_for_certificate), Says("an x509CertificateChain, which version 0.3 does not allow"), Agrees),
    ("no bytes of a certificate", |s| s.certificate(Vec::clear), Says("certificate.rawBytes is missing"), Agrees),
    ("certificate of another signature", |s| s.layer(|b| b.set(CERTIFICATE_IN, of_other(CERTIFICATE_IN))), Says(NOT_OF_CERTIFICATE), Agrees),
    ("name in the certificate", |s| s.certificate(|c| overwrite_after(c, b"serviceaccounts/chains-set", 0, b"2")), Says(FORGED), Agrees),
    ("issuer in the certificate", |s| s.certificate(|c| overwrite_after(c, b"http://127.0.0.1:305", 0, b"8")), Says("the certificate names two OIDC issuers"), Agrees),
    ("end of the certificate", |s| s.certificate(|c| overwrite_after(c, b"2611230405", 0, b"2")), Says(FORGED), Agrees),
    ("purpose of the certificate", |s| s.certificate(|c| overwrite_after(c, &[0x2b, 6, 1, 5, 5, 7, 3], 0, &[8])), Says("the certificate is not for code signing"), Agrees),
    ("SCT in the certificate", |s| s.certificate(|c| overwrite_after(c, &[4, 3, 0], 3, &[0])), Says(FORGED), Agrees),
    ("signature of the certificate", |s| s.certificate(|c| *c.last_mut().expect("bytes") ^= 1), Says(FORGED), Agrees),
    ("certificate with a byte more", |s| s.certificate(|c| c.push(0)), Says("the certificate is not accepted: the certificate is damaged"), Agrees),
    // The entry.
    ("no entry", |s| s.layer(|b| b.cut("/verificationMaterial/tlogEntries/0")), Says(NOT_LOGGED), Agrees),
    ("entry of another signature", |s| s.entry(|e| *e = of_other("/verificationMaterial/tlogEntries/0")), Says("the log entry is of another signature"), Agrees),
    ("promise", |s| s.entry(|e| e.flip("/inclusionPromise/signedEntryTimestamp")), Says(PROMISE), Agrees),
    ("no promise, so no time", |s| s.entry(|e| e.cut("/inclusionPromise")), Says(EXPIRED), Agrees),
    ("integratedTime", |s| s.entry(|e| e.set("/integratedTime", json!("1795406144"))), Says(PROMISE), Agrees),
    ("root in the proof", |s| s.entry(|e| e.flip("/inclusionProof/rootHash")), Says("the inclusion proof has another root hash than its checkpoint"), Agrees),
    ("certificate in the body", |s| s.body("\"verifier\":\"LS0t", "\"verifier\":\"LS1t"), Says("the signer in the log entry cannot be read"), Agrees),
];

/// The same with an entry of Rekor 2, which has no time: a timestamp tells it.
#[rustfmt::skip]
const STAMPED: &[Row] = &[
    ("nothing", |_| (), Passes, Agrees),
    ("certificate of another signature", |s| s.layer(|b| b.set(CERTIFICATE_IN, bundle_of("keyless-v3-bundle-rekor1", SIGN).pointer(CERTIFICATE_IN).expect("one").clone())), Says(NOT_OF_CERTIFICATE), Agrees),
    ("certificate in the body", |s| s.body("\"rawBytes\":\"MIID", "\"rawBytes\":\"MIIE"), Says("the log entry is by another key or certificate"), Accepts(ANEW)),
    ("key for the certificate in the body", |s| s.body("\"x509Certificate\"", "\"publicKey\""), Says("the log entry is by another key or certificate"), Accepts(ANEW)),
    ("key details in the body", |s| s.body("PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_256"), Says("the inclusion proof does not lead from this entry"), Accepts(ANEW)),
    ("no timestamp, so no time", |s| s.layer(|b| b.cut("/verificationMaterial/timestampVerificationData")), Says(EXPIRED), Agrees),
    ("timestamp of another signature", |s| s.layer(|b| b.set(STAMPS, attested(STAMPS))), Says("the timestamp is of other bytes"), Agrees),
    ("time of the timestamp", |s| s.timestamp(|t| overwrite_after(t, b"2026112303554", 0, b"9")), Says("the timestamp was changed"), Agrees),
    ("signature of the timestamp", |s| s.timestamp(|t| *t.last_mut().expect("bytes") ^= 1), Says("the signature of the timestamp is not valid"), Agrees),
];

const CERTIFICATE_IN: &str = "/verificationMaterial/certificate/rawBytes";
const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";

/// The same of another bundle without a key.
fn of_other(pointer: &str) -> Value {
    let other = bundle_of("keyless-v3-bundle-rekor2-tsa", SIGN);
    other.pointer(pointer).expect("it is there").clone()
}

fn attested(pointer: &str) -> Value {
    let other = bundle_of(
        "keyless-v3-bundle-rekor2-tsa",
        "https://slsa.dev/provenance/v1",
    );
    other.pointer(pointer).expect("it is there").clone()
}

fn tsa_chain() -> String {
    let path = crate::verify::file("tsachain.pem");
    std::fs::read_to_string(path).expect("it was recorded")
}

fn key_for_certificate(bundle: &mut Value) {
    bundle.cut("/verificationMaterial/certificate");
    bundle.set("/verificationMaterial/publicKey", json!({"hint": "a"}));
}

fn chain_for_certificate(bundle: &mut Value) {
    let certificate = bundle["verificationMaterial"]["certificate"].clone();
    bundle.cut("/verificationMaterial/certificate");
    let chain = json!({ "certificates": [certificate] });
    bundle.set("/verificationMaterial/x509CertificateChain", chain);
}

#[test]
fn every_change_of_a_signature_with_a_certificate_under_a_tag_is_named() {
    let specimen = Specimen::signature("keyless-v2-rekor1");
    hold(&Asked::of_identity(), &specimen, ANNOTATED);
}

#[test]
fn every_change_of_a_bundle_with_a_certificate_is_named() {
    let specimen = Specimen::bundle("keyless-v3-bundle-rekor1", SIGN);
    hold(&Asked::of_identity(), &specimen, BUNDLED);
}

#[test]
fn every_change_of_a_bundle_with_a_certificate_and_a_timestamp_is_named() {
    let specimen = Specimen::bundle("keyless-v3-bundle-rekor2-tsa", SIGN);
    hold(&Asked::of_identity(), &specimen, STAMPED);
}
