//! What is signed, with which version, in how many calls.

use tekseal_core::Digest;
use tekseal_custody::open;
use tekseal_harness::GoogleKms;
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey};

use super::{KEY, P256, context, opened, reference, said, with_key};

#[tokio::test]
async fn every_algorithm_that_is_known_signs_its_digest() {
    let kms = GoogleKms::start();
    let file = kms.account_file();
    for (name, algorithm, hash) in [
        (P256, KeyAlgorithm::P256, HashAlgorithm::Sha256),
        (
            "EC_SIGN_P384_SHA384",
            KeyAlgorithm::P384,
            HashAlgorithm::Sha384,
        ),
        (
            "EC_SIGN_ED25519",
            KeyAlgorithm::Ed25519,
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_2048_SHA256",
            KeyAlgorithm::Rsa(2048),
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_3072_SHA256",
            KeyAlgorithm::Rsa(3072),
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_4096_SHA256",
            KeyAlgorithm::Rsa(4096),
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_4096_SHA512",
            KeyAlgorithm::Rsa(4096),
            HashAlgorithm::Sha512,
        ),
    ] {
        let resource = format!("projects/p/locations/l/keyRings/r/cryptoKeys/{name}");
        kms.add_key(&resource, name);
        let public = kms.add_version(&resource, "ENABLED");
        let signer = open(&reference(&resource), &context(&kms, &file)).await;
        let signer = signer.unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
        assert_eq!(signer.public_key().algorithm(), algorithm, "{name}");
        assert_eq!(signer.hash(), hash, "{name}");
        let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
        assert_eq!(*signer.public_key(), public, "{name}");
        let signature = signer.sign(b"message").await;
        let signature = signature.unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
        assert!(
            public.verify(hash, b"message", &signature).is_ok(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_digest_of_something_large_is_signed_as_it_is() {
    let (kms, public) = with_key();
    let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
    let signer = opened(&kms).await;
    let signature = signer.sign_digest(&Digest::of(b"layer")).await;
    let signature = signature.expect("it is a P-256 key");
    assert!(
        public
            .verify(HashAlgorithm::Sha256, b"layer", &signature)
            .is_ok()
    );

    let whole = "projects/p/locations/l/keyRings/r/cryptoKeys/whole";
    kms.add_key(whole, "EC_SIGN_ED25519");
    kms.add_version(whole, "ENABLED");
    let signer = open(&reference(whole), &context(&kms, &kms.account_file())).await;
    let signer = signer.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert!(signer.sign(&[7; 64 * 1024]).await.is_ok());
    let error = signer
        .sign(&[7; 64 * 1024 + 1])
        .await
        .expect_err("too long");
    assert!(
        said(&error).contains("EC_SIGN_P256_SHA256"),
        "{}",
        said(&error)
    );
    assert!(signer.sign_digest(&Digest::of(b"layer")).await.is_err());
}

#[tokio::test]
async fn a_thousand_signatures_are_a_thousand_calls_one_public_key_and_one_token() {
    let (kms, _) = with_key();
    let signer = opened(&kms).await;
    for number in 0_u32..1000 {
        let signed = signer.sign(&number.to_be_bytes()).await;
        signed.unwrap_or_else(|error| panic!("{}", said(&error)));
    }
    assert_eq!(kms.count("POST", ":asymmetricSign"), 1000);
    assert_eq!(kms.count("GET", "/publicKey"), 1);
    assert_eq!(
        kms.count("GET", "/cryptoKeyVersions"),
        2,
        "with that of the public key"
    );
    assert_eq!(kms.count("POST", "/token"), 1);
}

#[tokio::test]
async fn the_newest_enabled_version_is_taken_and_stays() {
    let kms = GoogleKms::start();
    kms.add_key(KEY, P256);
    // By their names the ninth would be the last one.
    let versions: Vec<_> = (0..11).map(|_| kms.add_version(KEY, "ENABLED")).collect();
    kms.set_state(KEY, 11, "DISABLED");
    kms.set_state(KEY, 2, "DESTROYED");
    let signer = opened(&kms).await;
    let tenth = PublicKey::from_pem(versions[9].as_bytes()).expect("openssl wrote it");
    assert_eq!(*signer.public_key(), tenth);

    kms.add_version(KEY, "ENABLED");
    let signature = signer
        .sign(b"after the rotation")
        .await
        .expect("the old one");
    assert!(
        tenth
            .verify(HashAlgorithm::Sha256, b"after the rotation", &signature)
            .is_ok()
    );
    assert_ne!(*opened(&kms).await.public_key(), tenth, "opened anew");

    for form in ["cryptoKeyVersions", "versions"] {
        let named = reference(&format!("{KEY}/{form}/3"));
        let third = open(&named, &context(&kms, &kms.account_file())).await;
        let third = third.unwrap_or_else(|error| panic!("{}", said(&error)));
        let wanted = PublicKey::from_pem(versions[2].as_bytes()).expect("openssl wrote it");
        assert_eq!(*third.public_key(), wanted);
    }
}
