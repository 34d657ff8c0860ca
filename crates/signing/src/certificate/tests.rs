//! Tests with cosign's own samples, OpenSSL's certificates, and certificates made here.

use serde_json::Value;

use super::testing::*;
use super::*;
use crate::trust::Trust;

mod chains;
mod issued;
mod reading;
mod scts;

/// The leaf of a `keyless-v2-*` sample: the annotation of the first layer.
pub(crate) fn annotated(path: &str) -> Certificate {
    let manifest = json(path);
    let pem = &manifest["layers"][0]["annotations"]["dev.sigstore.cosign/certificate"];
    Certificate::from_pem(pem.as_str().expect("a text").as_bytes()).expect("a certificate")
}

/// The leaf of a `keyless-v3-bundle-*` sample.
fn bundled(path: &str) -> Certificate {
    let bundle: Value = json(path);
    let der = base64(&bundle["verificationMaterial"]["certificate"]["rawBytes"]);
    Certificate::from_der(&der).expect("a certificate")
}

pub(crate) fn image_signer() -> Certificate {
    annotated(
        "keyless-v2-rekor1/manifests/9b6447c1cb14d4d8ac3956de66365b2596d656e90aa813487cd6dcbbf59cdc62.json",
    )
}

fn without_sct() -> Certificate {
    annotated(
        "keyless-v2-rekor1-nosct/manifests/7d91c7e8e66f33ca561ce32876c6930a58a4a6a29d345c63e08def11ae191efc.json",
    )
}

/// All checks of a certificate alone.
fn verify(certificate: &Certificate, trust: &Trust) -> Result<(), Error> {
    let chain = certificate.verify_chain(&[], trust)?;
    certificate.verify_sct(chain.issuer(), trust)
}

#[test]
fn every_sample_of_both_cosigns_is_verified() {
    let trust = sample_trust();
    let samples = [
        image_signer(),
        annotated(
            "keyless-v2-rekor1/manifests/c50952e69d3200568eb600dc3d9878ba6771d2b547c64f9a114a3d37a84e1a58.json",
        ),
        annotated(
            "keyless-v3-legacy-rekor1/manifests/c4afe432eb72122263fec88f62d4e3caf7d4e64de5b668d3d7353e006ccade00.json",
        ),
        annotated(
            "keyless-v3-legacy-rekor1/manifests/c9ba8ad18f6cd74acd4221fdb1d54b752561ba3d4c905f8e675b8a1ebc27b3bb.json",
        ),
        bundled(
            "keyless-v3-bundle-rekor1/blobs/dd27ab9daa216287f8ed028869414de2390944434391ed286bc1a38f1426a8c7",
        ),
        bundled(
            "keyless-v3-bundle-rekor2-tsa/blobs/e69cadefe0e2e648cf8d6cfaefd3fbf409724da1561d937f2fbf06a0a7a00a82",
        ),
        bundled(
            "keyless-v3-bundle-rekor2-tsa/blobs/4060de78fee7e321416220595a232918c874c70a4edd2a4b660395d58be327a7",
        ),
    ];
    let account = "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/";
    for certificate in &samples {
        verify(certificate, &trust).expect("it is good");
        let [identity] = certificate.identities() else {
            panic!("{:?}", certificate.identities());
        };
        assert!(identity.starts_with(account), "{identity}");
        assert_eq!(certificate.oidc_issuer(), Some("http://127.0.0.1:3059"));
        let subject = &certificate.claims()["tokenSubject"];
        assert!(subject.starts_with("system:serviceaccount:tekton-chains:"));
        assert_eq!(certificate.claims().len(), 1);
        assert_eq!(certificate.not_after() - certificate.not_before(), 600);
    }
}

#[test]
fn the_chain_says_who_issued() {
    let trust = sample_trust();
    let chain = image_signer().verify_chain(&[], &trust).expect("good");
    assert_eq!(chain.authority(), "http://127.0.0.1:3057");
    assert_eq!(chain.issuer(), der_of(&sample("keys/fulcioca.crt")));
    // cosign stores the root beside the certificate.
    let stored = [der_of(&sample("keys/fulcioca.crt"))];
    assert!(image_signer().verify_chain(&stored, &trust).is_ok());
}

#[test]
fn no_bit_of_a_certificate_can_be_changed() {
    let trust = sample_trust();
    let der = image_signer().der().to_vec();
    for at in 0..der.len() {
        let outcome = Certificate::from_der(&flipped(&der, at))
            .and_then(|certificate| verify(&certificate, &trust));
        assert!(outcome.is_err(), "byte {at} was changed unseen");
    }
}

#[test]
fn a_signature_must_be_made_while_the_certificate_is_valid() {
    let certificate = image_signer();
    let (first, last) = (certificate.not_before(), certificate.not_after());
    assert_eq!(certificate.verify_time(first), Ok(()));
    assert_eq!(certificate.verify_time(last), Ok(()));
    assert!(matches!(
        certificate.verify_time(first - 1),
        Err(Error::NotYetValid { .. })
    ));
    let error = certificate.verify_time(last + 1).expect_err("too late");
    assert!(matches!(error, Error::Expired { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("certificate expired before observed time: 2026-11-23T"),
        "{text}"
    );
}
