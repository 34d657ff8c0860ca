//! What is asked, and how often.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tekseal_core::Digest;
use tekseal_signing::HashAlgorithm;

use crate::{ALIAS, Shop, reference, run, told};

#[test]
fn each_kind_of_key_signs_the_digest_that_its_verifiers_take() {
    for (spec, algorithm, hash) in [
        ("ECC_NIST_P256", "ECDSA_SHA_256", HashAlgorithm::Sha256),
        ("ECC_NIST_P384", "ECDSA_SHA_384", HashAlgorithm::Sha384),
        ("ECC_NIST_P521", "ECDSA_SHA_512", HashAlgorithm::Sha512),
        (
            "RSA_2048",
            "RSASSA_PKCS1_V1_5_SHA_256",
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_3072",
            "RSASSA_PKCS1_V1_5_SHA_256",
            HashAlgorithm::Sha256,
        ),
    ] {
        let shop = Shop::new();
        let arn = shop.make_key(spec);
        let signer = shop.open();
        // More than AWS takes of a whole message.
        let message = vec![7; 100_000];
        let signature =
            run(signer.sign(&message)).unwrap_or_else(|e| panic!("{spec}: {}", told(&e)));
        let verified = signer.public_key().verify(hash, &message, &signature);
        assert_eq!(verified, Ok(()), "{spec}");
        let sent = json!({
            "KeyId": arn,
            "Message": STANDARD.encode(hash.digest(&message)),
            "MessageType": "DIGEST",
            "SigningAlgorithm": algorithm,
        });
        assert_eq!(shop.aws.bodies_of("Sign"), [sent]);
        let asked = shop.aws.bodies_of("GetPublicKey");
        assert_eq!(asked, [json!({"KeyId": ALIAS})]);
        assert_eq!(shop.public_key(), *signer.public_key());
        shop.no_complaints();
    }
}

#[test]
fn a_key_tells_its_age_and_is_known_without_it() {
    let shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    let describe = || {
        run(tekseal_custody::describe(
            &reference(ALIAS),
            &shop.context(),
        ))
    };
    let described = describe().expect("it is there");
    assert_eq!(described.public, shop.public_key());
    let created = described.created.expect("it may be asked");
    assert_eq!(created, "2023-11-14T22:13:20.123Z".parse().ok());
    // Never an alias, which may be moved between the two.
    assert_eq!(shop.aws.bodies_of("DescribeKey"), [json!({"KeyId": arn})]);
    shop.no_complaints();

    shop.aws.refuse("DescribeKey", 1, "AccessDeniedException");
    let described = describe().expect("its public half may be had");
    let refused = described.created.expect_err("that was refused");
    assert!(told(&refused).contains("kms:DescribeKey"), "{refused}");
}

#[test]
fn a_message_too_large_for_memory_is_signed_by_its_digest() {
    let shop = Shop::with_key();
    let signer = shop.open();
    let signature = run(signer.sign_digest(&Digest::of(b"large"))).expect("it signs");
    let verified = signer
        .public_key()
        .verify(HashAlgorithm::Sha256, b"large", &signature);
    assert_eq!(verified, Ok(()));
    let shop = Shop::new();
    shop.make_key("ECC_NIST_P384");
    let error = run(shop.open().sign_digest(&Digest::of(b"large"))).expect_err("it cannot");
    assert!(
        told(&error).contains("cannot sign its SHA-256 alone"),
        "{error}"
    );
    assert_eq!(shop.aws.count_of("Sign"), 0);
}

#[test]
fn a_thousand_signatures_are_a_thousand_calls_and_one_public_key() {
    let shop = Shop::with_key();
    run(async {
        let key = tekseal_custody::open(&reference(ALIAS), &shop.context()).await;
        let signer = key.unwrap_or_else(|error| panic!("{}", told(&error)));
        for number in 0..1000_u32 {
            let signed = signer.sign(&number.to_be_bytes()).await;
            signed.unwrap_or_else(|error| panic!("{number}: {}", told(&error)));
        }
    });
    assert_eq!(shop.aws.count_of("Sign"), 1000);
    assert_eq!(shop.aws.count_of("GetPublicKey"), 1);
    shop.no_complaints();
}

#[test]
fn an_alias_that_is_moved_meanwhile_changes_nothing() {
    let shop = Shop::new();
    let old = shop.make_key("ECC_NIST_P256");
    let signer = shop.open();
    let new = shop.make_key("ECC_NIST_P256");
    let signature = run(signer.sign(b"x")).expect("the old one is still there");
    let verified = signer
        .public_key()
        .verify(HashAlgorithm::Sha256, b"x", &signature);
    assert_eq!(verified, Ok(()));
    assert_eq!(shop.aws.bodies_of("Sign")[0]["KeyId"], *old);
    assert_ne!(shop.public_key(), *signer.public_key());
    assert_eq!(shop.aws.key_of(ALIAS), Some(new));
}

#[test]
fn keys_are_found_by_each_of_their_names() {
    let shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    let id = arn.rsplit('/').next().expect("it has one");
    let alias_arn = arn.replace(&format!("key/{id}"), ALIAS);
    for name in [&arn, id, &alias_arn] {
        let signer = shop.try_open(name);
        let signer = signer.unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
        run(signer.sign(b"x")).expect("it signs");
    }
    shop.no_complaints();
}
