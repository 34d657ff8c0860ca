//! Who signed, and when, by certificates, logs and timestamps: the samples that cosign 2 and 3 wrote with a local Sigstore.

mod key_sets;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_core::TrustedRoot;
use tekseal_core::trusted_root::Validity;

use super::*;
use crate::identity::Matcher;

const WHO: &str = "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/chains-set1";
const ISSUER: &str = "http://127.0.0.1:3059";
/// Long after the ten minutes in which the certificates of the samples were valid.
const NOW: i64 = 1_900_000_000;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cosign-samples")
}

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All layers of a sample that may be verified, as a registry would hand them out.
fn layers(case: &str) -> Vec<Signed> {
    let folder = samples().join(case);
    let mut names: Vec<_> = fs::read_dir(folder.join("manifests"))
        .expect("a sample")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let manifest: Value = serde_json::from_slice(&read(name)).expect("JSON");
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            let kind = layer["mediaType"].as_str().unwrap_or_default();
            let annotations =
                serde_json::from_value(layer["annotations"].clone()).unwrap_or_default();
            let is_bundle = bundle::is_media_type(kind);
            let is_layer = kind.contains("simplesigning") || kind.contains("dsse");
            if is_bundle || is_layer {
                let digest = layer["digest"].as_str().unwrap_or_default();
                let blob = read(
                    folder
                        .join("blobs")
                        .join(digest.trim_start_matches("sha256:")),
                );
                found.push(Signed::fetched(kind.to_owned(), blob, annotations));
            }
        }
    }
    assert!(!found.is_empty(), "{case} has no layer");
    found
}

fn the_image() -> Digest {
    let text = read(samples().join("image-digest.txt"));
    let text = String::from_utf8(text).expect("a text");
    text.trim().parse().expect("a digest")
}

fn root() -> TrustedRoot {
    TrustedRoot::parse(&read(samples().join("keys/trusted_root.json"))).expect("whole")
}

fn trust(root: &TrustedRoot) -> Arc<Trust> {
    Arc::new(Trust::new(root).expect("supported"))
}

/// Everything that a signature can bring.
fn all() -> Needs {
    Needs {
        log: true,
        timestamp: false,
        certificate_log: true,
        now: NOW,
    }
}

fn by_key(root: &TrustedRoot, needs: Needs) -> Verifier {
    verifier(&[A]).trusting(trust(root), needs)
}

fn by_identity(root: &TrustedRoot, needs: Needs) -> Verifier {
    let rule = IdentityRule::new(
        Some(Matcher::exact(WHO.to_owned())),
        Some(Matcher::exact(ISSUER.to_owned())),
    );
    Verifier::of_identity(
        rule.expect("both are given"),
        HashAlgorithm::Sha256,
        trust(root),
        needs,
    )
}

/// What comes of verifying everything in a sample; each must come to the same.
fn check(verifier: &Verifier, case: &str) -> Result<Vec<Voucher>, Rejection> {
    let image = the_image();
    layers(case)
        .iter()
        .map(|signed| {
            if bundle::is_media_type(signed.media_type()) {
                let bundle = UnverifiedBundle::read(signed)?;
                let verified = if bundle.says_signature() {
                    verifier.signature_bundle(bundle, &image, &BTreeMap::new())?
                } else {
                    verifier.attestation_bundle(bundle, &image, Types::Any)?
                };
                Ok(verified.voucher().clone())
            } else if signed.media_type() == cosign::DSSE_MEDIA_TYPE {
                let verified = verifier.attestation(signed, &image, Types::Any)?;
                Ok(verified.voucher().clone())
            } else {
                let verified = verifier.image_signature(signed, &image, &BTreeMap::new())?;
                Ok(verified.voucher().clone())
            }
        })
        .collect()
}

#[test]
fn entries_of_trusted_logs_are_required_and_found_in_layers_and_bundles() {
    for case in [
        "sign-v2-rekor1",
        "sign-v3-legacy-rekor1",
        "attest-v2-rekor1-dsse",
        "attest-v2-rekor1-intoto",
        "sign-v3-bundle-rekor1",
        "attest-v3-bundle-rekor1",
        "sign-v3-bundle-rekor2-tsa",
        "attest-v3-bundle-rekor2-tsa",
    ] {
        let vouchers =
            check(&by_key(&root(), all()), case).unwrap_or_else(|e| panic!("{case}: {e}"));
        for voucher in vouchers {
            assert_eq!(voucher.logged.len(), 1, "{case}");
            assert_eq!(voucher.identity, None);
            assert_eq!(
                voucher.timestamps.len(),
                usize::from(case.ends_with("tsa")),
                "{case}"
            );
        }
    }
}

#[test]
fn without_an_entry_or_with_one_of_another_log_a_signature_is_not_in_the_log() {
    for case in [
        "sign-v2-notlog",
        "sign-v3-bundle-notlog",
        "attest-v2-notlog",
    ] {
        let rejection = check(&by_key(&root(), all()), case).expect_err(case);
        assert!(
            matches!(rejection, Rejection::NotLogged { foreign: 0 }),
            "{rejection:?}"
        );
        let needs = Needs {
            log: false,
            ..all()
        };
        check(&by_key(&root(), needs), case).expect("the key vouches");
    }
    let mut foreign = root();
    foreign.logs.clear();
    let rejection = check(&by_key(&foreign, all()), "sign-v2-rekor1").expect_err("no log");
    assert!(
        matches!(rejection, Rejection::NotLogged { foreign: 1 }),
        "{rejection:?}"
    );
}

#[test]
fn a_timestamp_is_required_where_it_is_asked_for() {
    let needs = Needs {
        log: false,
        timestamp: true,
        ..all()
    };
    for case in ["sign-v2-tsa-notlog", "sign-v3-bundle-rekor2-tsa"] {
        let vouchers = check(&by_key(&root(), needs), case).expect(case);
        assert!(vouchers.iter().all(|v| v.timestamps.len() == 1), "{case}");
    }
    let rejection = check(&by_key(&root(), needs), "sign-v2-rekor1").expect_err("none");
    assert!(
        matches!(rejection, Rejection::NotStamped { foreign: 0 }),
        "{rejection:?}"
    );
    let mut foreign = root();
    foreign.timestamp_authorities.clear();
    let rejection = check(&by_key(&foreign, needs), "sign-v2-tsa-notlog").expect_err("foreign");
    assert!(
        matches!(rejection, Rejection::NotStamped { foreign: 1 }),
        "{rejection:?}"
    );
}

#[test]
fn a_certificate_names_who_signed_and_logs_and_timestamps_say_when() {
    for case in [
        "keyless-v2-rekor1",
        "keyless-v3-legacy-rekor1",
        "keyless-v3-bundle-rekor1",
        "keyless-v3-bundle-rekor2-tsa",
    ] {
        let vouchers =
            check(&by_identity(&root(), all()), case).unwrap_or_else(|e| panic!("{case}: {e:?}"));
        for voucher in vouchers {
            let identity = voucher.identity.expect("a certificate has one");
            assert_eq!(
                (identity.name.as_str(), identity.issuer.as_str()),
                (WHO, ISSUER)
            );
        }
    }
}

#[test]
fn a_certificate_is_judged_by_now_where_nothing_says_when() {
    let mut root = root();
    root.logs.clear();
    root.timestamp_authorities.clear();
    let needs = Needs {
        log: false,
        ..all()
    };
    for case in ["keyless-v2-rekor1", "keyless-v3-bundle-rekor2-tsa"] {
        let rejection = check(&by_identity(&root, needs), case).expect_err("long ago");
        assert!(
            matches!(
                rejection,
                Rejection::Certificate(crate::certificate::Error::Expired { .. })
            ),
            "{rejection:?}"
        );
    }
}

#[test]
fn certificates_without_promise_of_another_or_from_nowhere_are_rejected() {
    let nosct = check(&by_identity(&root(), all()), "keyless-v2-rekor1-nosct");
    assert!(matches!(nosct, Err(Rejection::Certificate(_))), "{nosct:?}");
    let needs = Needs {
        certificate_log: false,
        ..all()
    };
    // The sample has a signature alone.
    check(&by_identity(&root(), needs), "keyless-v2-rekor1-nosct").expect("not asked for");
    let keyed = check(&by_identity(&root(), all()), "sign-v2-rekor1");
    assert!(matches!(keyed, Err(Rejection::NoCertificate)), "{keyed:?}");
    let rule = IdentityRule::new(
        Some(Matcher::exact("https://example.com/other".to_owned())),
        Some(Matcher::exact(ISSUER.to_owned())),
    );
    let other = Verifier::of_identity(
        rule.expect("both"),
        HashAlgorithm::Sha256,
        trust(&root()),
        all(),
    );
    let rejection = check(&other, "keyless-v3-bundle-rekor1").expect_err("somebody else");
    assert!(matches!(rejection, Rejection::Identity(_)), "{rejection:?}");
}

#[test]
fn a_log_that_was_retired_before_the_timestamp_does_not_count() {
    let mut root = root();
    for log in &mut root.logs {
        log.valid = Validity {
            start: None,
            end: Some(1),
        };
    }
    let rejection = check(&by_key(&root, all()), "sign-v3-bundle-rekor2-tsa").expect_err("retired");
    assert!(
        matches!(rejection, Rejection::RetiredLog { .. }),
        "{rejection:?}"
    );
}

#[test]
fn with_a_key_alone_nothing_that_came_with_the_signature_is_read() {
    let mut signed = layers("sign-v2-rekor1").remove(0);
    let mut annotations = signed.annotations().clone();
    annotations.insert(cosign::BUNDLE_ANNOTATION.to_owned(), "{".to_owned());
    annotations.insert(cosign::CERTIFICATE_ANNOTATION.to_owned(), "none".to_owned());
    signed = Signed::fetched(
        signed.media_type().to_owned(),
        signed.layer().to_vec(),
        annotations,
    );
    let none = BTreeMap::new();
    assert!(
        verifier(&[A])
            .image_signature(&signed, &the_image(), &none)
            .is_ok()
    );
    let rejection = by_key(&root(), all()).image_signature(&signed, &the_image(), &none);
    assert!(
        matches!(rejection, Err(Rejection::Evidence(_))),
        "{rejection:?}"
    );
}

#[test]
fn a_bundle_is_verified_as_what_it_is() {
    let image = the_image();
    let verifier = verifier(&[A]);
    let signature = layers("sign-v3-bundle-notlog").remove(0);
    let attestation = layers("attest-v3-bundle-notlog").remove(0);
    let read = |signed| UnverifiedBundle::read(signed).expect("a bundle");
    assert!(read(&signature).says_signature() && !read(&attestation).says_signature());
    let none = BTreeMap::new();
    let rejection = verifier.signature_bundle(read(&attestation), &image, &none);
    assert!(
        matches!(rejection, Err(Rejection::NotASignature(_))),
        "{rejection:?}"
    );
    let rejection = verifier.attestation_bundle(read(&signature), &image, Types::Any);
    assert!(
        matches!(rejection, Err(Rejection::NotAnAttestation)),
        "{rejection:?}"
    );
    let sign = [cosign::SIGN_PREDICATE.to_owned()];
    assert!(
        verifier
            .attestation_bundle(read(&signature), &image, Types::OneOf(&sign))
            .is_ok()
    );
    let wanted = |value: &str| BTreeMap::from([("env".to_owned(), value.to_owned())]);
    assert!(
        verifier
            .signature_bundle(read(&signature), &image, &wanted("prod"))
            .is_ok()
    );
    let rejection = verifier.signature_bundle(read(&signature), &image, &wanted("dev"));
    assert!(
        matches!(rejection, Err(Rejection::Annotation { .. })),
        "{rejection:?}"
    );
    let other = Digest::of(b"another image");
    let rejection = verifier.signature_bundle(read(&signature), &other, &none);
    assert!(
        matches!(rejection, Err(Rejection::OtherSubjects { .. })),
        "{rejection:?}"
    );
}
