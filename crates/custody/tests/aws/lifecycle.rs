//! Making keys and replacing them.

use serde_json::json;
use tekseal_core::Blame;
use tekseal_custody::Error;
use tekseal_harness::Proxy;
use tekseal_signing::{KeyAlgorithm, PublicKey};

use crate::{ALIAS, Shop, reference, run, told};

fn create(shop: &Shop, key: &str, algorithm: KeyAlgorithm) -> Result<PublicKey, Error> {
    run(tekseal_custody::create(
        &reference(key),
        algorithm,
        &shop.context(),
    ))
}

fn rotate(shop: &Shop, key: &str) -> Result<PublicKey, Error> {
    run(tekseal_custody::rotate(&reference(key), &shop.context()))
}

#[test]
fn a_key_is_made_and_named() {
    for (algorithm, spec) in [
        (KeyAlgorithm::P256, "ECC_NIST_P256"),
        (KeyAlgorithm::P384, "ECC_NIST_P384"),
        (KeyAlgorithm::P521, "ECC_NIST_P521"),
        (KeyAlgorithm::Rsa(2048), "RSA_2048"),
    ] {
        let shop = Shop::new();
        let made = create(&shop, ALIAS, algorithm);
        let public = made.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(public.algorithm(), algorithm);
        assert_eq!(shop.public_key(), public);
        run(shop.open().sign(b"x")).expect("it signs");
        let sent = &shop.aws.bodies_of("CreateKey")[0];
        assert_eq!(sent["KeySpec"], spec);
        assert_eq!(sent["KeyUsage"], "SIGN_VERIFY");
        shop.no_complaints();
    }
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    let error = create(&shop, ALIAS, KeyAlgorithm::P256).expect_err("it is there");
    let said = told(&error);
    assert!(said.contains("such a key already"), "{said}");
    assert!(said.contains(&arn), "{said}");
    // A symmetric key has the name no less.
    let secret = shop.aws.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT");
    shop.aws.alias(ALIAS, &secret);
    create(&shop, ALIAS, KeyAlgorithm::P256).expect_err("it is there");
    assert_eq!(shop.aws.count_of("CreateKey"), 0);
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is_sent() {
    let shop = Shop::new();
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let arn = "arn:aws:kms:eu-west-1:111122223333:alias/sign";
    for name in [id, arn] {
        let error = create(&shop, name, KeyAlgorithm::P256).expect_err("it has no name");
        assert!(told(&error).contains("by an alias"), "{error}");
    }
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa(8192)] {
        let error = create(&shop, ALIAS, algorithm).expect_err("there are none");
        assert!(matches!(error, Error::Algorithm { .. }), "{error}");
    }
    assert_eq!(shop.aws.count_of("DescribeKey"), 0);
}

/// Somebody must know of a key that costs money and has no name.
#[test]
fn a_key_that_gets_no_name_is_told() {
    let shop = Shop::new();
    shop.aws.refuse("CreateAlias", 9, "AccessDeniedException");
    let error = create(&shop, ALIAS, KeyAlgorithm::P256).expect_err("it may not");
    let said = told(&error);
    assert!(said.contains("the new key arn:aws:kms:"), "{said}");
    assert!(said.contains("kms:CreateAlias"), "{said}");
    assert_eq!(shop.aws.key_of(ALIAS), None);
    assert_eq!(shop.aws.keys(), 1);
}

/// An answer that is lost may be that of a key: another one is not made.
#[test]
fn a_key_is_not_made_twice() {
    let mut shop = Shop::new();
    let proxy = Proxy::start(shop.aws.address());
    shop.set("AWS_ENDPOINT_URL", &format!("http://{}", proxy.address()));
    let made = |seen: &tekseal_harness::Seen| {
        seen.header("x-amz-target") == Some("TrentService.CreateKey")
    };
    proxy.when(made).lose_answer();
    let error = create(&shop, ALIAS, KeyAlgorithm::P256).expect_err("nobody knows");
    assert_eq!(error.blame(), Blame::Outside);
    assert_eq!(shop.aws.count_of("CreateKey"), 1);
    // Refused, on the other hand, is not made.
    let shop = Shop::new();
    shop.aws.refuse("CreateKey", 1, "ThrottlingException");
    create(&shop, ALIAS, KeyAlgorithm::P256).expect("the second time it is made");
    assert_eq!(shop.aws.keys(), 1);
}

#[test]
fn a_new_key_that_is_not_known_everywhere_yet_is_waited_for() {
    let shop = Shop::new();
    shop.aws.refuse("GetPublicKey", 1, "NotFoundException");
    shop.aws.refuse("CreateAlias", 1, "NotFoundException");
    create(&shop, ALIAS, KeyAlgorithm::P256).expect("the second time it is there");
    assert_eq!(shop.aws.keys(), 1);
}

#[test]
fn a_name_goes_to_a_new_key_of_the_same_kind_and_policy() {
    let shop = Shop::new();
    let old = shop.make_key("ECC_NIST_P384");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Sid":"only \"us\""}]}"#;
    shop.aws.set_policy(&old, policy);
    let before = shop.public_key();
    let arn = "arn:aws:kms:eu-west-1:111122223333:alias/sign";
    for name in [ALIAS, arn] {
        let rotated = rotate(&shop, name);
        let public = rotated.unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(public.algorithm(), KeyAlgorithm::P384);
        assert_ne!(public, before);
        assert_eq!(shop.public_key(), public);
    }
    let new = shop.aws.key_of(ALIAS).expect("it is there");
    assert_ne!(new, old);
    assert_eq!(shop.aws.policy(&new), policy);
    assert_eq!(shop.aws.keys(), 3);
    shop.no_complaints();
}

#[test]
fn where_a_name_cannot_be_moved_it_stays() {
    let shop = Shop::new();
    let old = shop.make_key("ECC_NIST_P256");
    for operation in ["UpdateAlias", "GetKeyPolicy", "CreateKey"] {
        shop.aws.refuse(operation, 1, "AccessDeniedException");
        let error = rotate(&shop, ALIAS).expect_err("it may not");
        let said = told(&error);
        assert!(said.contains(&format!("kms:{operation}")), "{said}");
        assert_eq!(shop.aws.key_of(ALIAS).as_ref(), Some(&old));
    }
    let sent = shop.aws.bodies_of("UpdateAlias");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["AliasName"], json!(ALIAS));
}

#[test]
fn a_key_of_several_regions_is_left_to_people() {
    let mut shop = Shop::with_key();
    let proxy = Proxy::start(shop.aws.address());
    shop.set("AWS_ENDPOINT_URL", &format!("http://{}", proxy.address()));
    proxy.on("POST", "/").edit(|answer| {
        let text = answer.text();
        let text = text.replace(r#""MultiRegion":false"#, r#""MultiRegion":true"#);
        answer.body = text.into_bytes();
    });
    let said = told(&rotate(&shop, ALIAS).expect_err("it has replicas"));
    assert!(said.contains("a key of several regions"), "{said}");
    assert_eq!(shop.aws.count_of("CreateKey"), 0);
}

#[test]
fn what_cannot_be_replaced_is_refused() {
    let shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    let id = arn.rsplit('/').next().expect("it has one");
    for name in [&arn, id] {
        let error = rotate(&shop, name).expect_err("it has no name");
        assert!(
            told(&error).contains("rotate an asymmetric key in place"),
            "{error}"
        );
    }
    let other = "arn:aws:kms:eu-west-1:999922223333:alias/sign";
    let said = told(&rotate(&shop, other).expect_err("it is another account's"));
    assert!(said.contains("of another account"), "{said}");
    let secret = shop.aws.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT");
    shop.aws.alias(ALIAS, &secret);
    rotate(&shop, ALIAS).expect_err("it does not sign");
    assert_eq!(shop.aws.count_of("CreateKey"), 0);
}
