//! What is signed, with which version, in how many calls.

use tekseal_core::Digest;
use tekseal_custody::{open, public_key, rotate};
use tekseal_harness::{AzureVault, KeyKind};
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey};

use super::{context, opened, reference, said, with_key};

#[tokio::test]
async fn every_kind_of_key_signs_its_digest() {
    let vault = AzureVault::start();
    for (name, kind, algorithm, hash) in [
        (
            "p256",
            KeyKind::P256,
            KeyAlgorithm::P256,
            HashAlgorithm::Sha256,
        ),
        (
            "p384",
            KeyKind::P384,
            KeyAlgorithm::P384,
            HashAlgorithm::Sha384,
        ),
        (
            "p521",
            KeyKind::P521,
            KeyAlgorithm::P521,
            HashAlgorithm::Sha512,
        ),
        (
            "rsa2",
            KeyKind::Rsa(2048),
            KeyAlgorithm::Rsa(2048),
            HashAlgorithm::Sha256,
        ),
        (
            "rsa4",
            KeyKind::Rsa(4096),
            KeyAlgorithm::Rsa(4096),
            HashAlgorithm::Sha256,
        ),
    ] {
        for is_hsm in [false, true] {
            let (_, public) = match is_hsm {
                false => vault.add_version(name, kind),
                true => vault.add_version_in_hsm(name, kind),
            };
            let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
            let signer = open(&reference(&vault, name), &context(&vault)).await;
            let signer = signer.unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
            assert_eq!(*signer.public_key(), public, "{name}");
            assert_eq!(signer.public_key().algorithm(), algorithm, "{name}");
            assert_eq!(signer.hash(), hash, "{name}");
            // Often enough that halves with zeros in front come by.
            for number in 0..8_u8 {
                let signature = signer.sign(&[number]).await;
                let signature = signature.unwrap_or_else(|e| panic!("{name}: {}", said(&e)));
                assert!(public.verify(hash, &[number], &signature).is_ok(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_thousand_signatures_are_a_thousand_calls_one_public_key_and_one_token() {
    let (vault, public) = with_key();
    let signer = opened(&vault).await;
    for number in 0_u32..1000 {
        let signed = signer.sign(&number.to_be_bytes()).await;
        signed.unwrap_or_else(|error| panic!("{}", said(&error)));
    }
    assert_eq!(vault.count("POST", "/sign"), 1000);
    assert_eq!(vault.count("GET", ""), 1);
    assert_eq!(vault.count("POST", "/token"), 1);

    let signature = signer.sign_digest(&Digest::of(b"layer")).await;
    let signature = signature.expect("it is a P-256 key");
    assert!(
        public
            .verify(HashAlgorithm::Sha256, b"layer", &signature)
            .is_ok()
    );
}

#[tokio::test]
async fn the_newest_version_is_taken_and_stays() {
    let (vault, first) = with_key();
    let signer = opened(&vault).await;
    let rotated = rotate(&reference(&vault, "k"), &context(&vault)).await;
    let rotated = rotated.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_ne!(rotated, first);
    let signature = signer
        .sign(b"after the rotation")
        .await
        .expect("the old one");
    let hash = HashAlgorithm::Sha256;
    assert!(
        first
            .verify(hash, b"after the rotation", &signature)
            .is_ok()
    );
    assert_eq!(*opened(&vault).await.public_key(), rotated, "opened anew");

    let (version, _) = vault.add_version("k", KeyKind::P256);
    let (_, newest) = vault.add_version("k", KeyKind::P256);
    let named = public_key(
        &reference(&vault, &format!("k/{version}")),
        &context(&vault),
    )
    .await;
    let named = named.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_ne!(named.to_pem(), newest);
}
