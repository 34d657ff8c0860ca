//! What a service refuses, and what people are told to do about it.

use std::time::{Duration, Instant};

use tekseal_core::Blame;
use tekseal_custody::open;
use tekseal_harness::{Answer, GoogleKms, Request};
use tekseal_signing::signer::SignError;

use super::{KEY, P256, assert_says, context, opened, reference, refused, said, with_key};

#[tokio::test]
async fn who_may_not_or_cannot_is_told_what_to_do() {
    let (kms, _) = with_key();
    let denied = |verb: &'static str| {
        move |request: &Request| {
            let body = br#"{"error":{"code":403,"message":"Permission denied on resource k","status":"PERMISSION_DENIED"}}"#;
            request
                .path()
                .ends_with(verb)
                .then(|| Answer::new(403, &[], body))
        }
    };
    kms.before(denied("/cryptoKeyVersions"));
    let error = refused(&kms, KEY).await;
    assert_says(
        &error,
        Blame::Setting,
        &[
            "PERMISSION_DENIED Permission denied",
            "roles/cloudkms.viewer",
            "name a version",
        ],
    );
    let named = format!("{KEY}/cryptoKeyVersions/1");
    let signer = open(&reference(&named), &context(&kms, &kms.account_file())).await;
    assert!(signer.is_ok(), "a version needs no list");

    kms.forget();
    kms.before(denied("/publicKey"));
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Setting,
        &["roles/cloudkms.publicKeyViewer"],
    );

    kms.forget();
    let signer = opened(&kms).await;
    kms.before(denied(":asymmetricSign"));
    let error = signer.sign(b"message").await.expect_err("denied");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        said(&error).contains("roles/cloudkms.signer"),
        "{}",
        said(&error)
    );

    kms.forget();
    kms.set_state(KEY, 1, "DISABLED");
    let error = signer.sign(b"message").await.expect_err("disabled");
    assert_eq!(error.blame(), Blame::Setting);
    for part in ["current state is: DISABLED", "enable this version"] {
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Setting,
        &["without an enabled version"],
    );
    assert_says(
        &refused(&kms, &named).await,
        Blame::Setting,
        &["current state is: DISABLED"],
    );

    let missing = KEY.replace("Keys/k", "Keys/missing");
    assert_says(
        &refused(&kms, &missing).await,
        Blame::Setting,
        &["NOT_FOUND", "check the names"],
    );
    assert_says(
        &refused(&kms, &format!("{KEY}/cryptoKeyVersions/9")).await,
        Blame::Setting,
        &["NOT_FOUND", "the version"],
    );
}

#[tokio::test]
async fn keys_that_cannot_sign_here_are_named() {
    let kms = GoogleKms::start();
    for (name, purpose) in [
        ("GOOGLE_SYMMETRIC_ENCRYPTION", "ENCRYPT_DECRYPT"),
        ("RSA_DECRYPT_OAEP_2048_SHA256", "ASYMMETRIC_DECRYPT"),
        ("RSA_SIGN_PSS_2048_SHA256", "ASYMMETRIC_SIGN"),
        ("EC_SIGN_SECP256K1_SHA256", "ASYMMETRIC_SIGN"),
        ("PQ_SIGN_ML_DSA_65", "ASYMMETRIC_SIGN"),
    ] {
        let resource = format!("projects/p/locations/l/keyRings/r/cryptoKeys/{name}");
        // The key behind it says nothing here.
        kms.add_key_for(&resource, P256, purpose);
        kms.add_version(&resource, "ENABLED");
        kms.forget();
        kms.alter("/cryptoKeyVersions", move |answer| {
            if let Some(versions) = answer["cryptoKeyVersions"].as_array_mut() {
                versions[0]["algorithm"] = name.into();
            }
            if answer["algorithm"].is_string() {
                answer["algorithm"] = name.into();
            }
        });
        let error = refused(&kms, &resource).await;
        assert_says(&error, Blame::Setting, &[name, "EC_SIGN_P256_SHA256"]);
        let version = format!("{resource}/cryptoKeyVersions/1");
        let error = refused(&kms, &version).await;
        let part = match purpose {
            "ASYMMETRIC_SIGN" => name,
            _ => "for asymmetric signing",
        };
        assert_says(&error, Blame::Setting, &[part]);
    }
}

#[tokio::test]
async fn a_service_that_throttles_is_waited_for_and_then_said() {
    let (kms, _) = with_key();
    let signer = opened(&kms).await;
    let body = br#"{"error":{"code":429,"message":"Quota exceeded for quota metric 'Cryptographic requests'","status":"RESOURCE_EXHAUSTED"}}"#;
    let mut left = 1;
    kms.before(move |request| {
        if !request.path().ends_with(":asymmetricSign") || left == 0 {
            return None;
        }
        left -= 1;
        Some(Answer::new(429, &[("Retry-After", "1")], body))
    });
    let start = Instant::now();
    assert!(signer.sign(b"message").await.is_ok());
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "as long as it asked for"
    );

    kms.forget();
    kms.before(move |request| {
        let is_signing = request.path().ends_with(":asymmetricSign");
        is_signing.then(|| Answer::new(429, &[("Retry-After", "1")], body))
    });
    let error = signer
        .sign(b"message")
        .await
        .expect_err("it throttles for ever");
    let SignError::Remote { source, .. } = &error else {
        panic!("{}", said(&error))
    };
    assert_eq!(source.blame(), Blame::Outside);
    assert_eq!(source.retry_after(), Some(Duration::from_secs(1)));
    for part in ["RESOURCE_EXHAUSTED Quota exceeded", "try later"] {
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert_eq!(
        kms.count("POST", ":asymmetricSign"),
        2,
        "as often as the options say"
    );
}
