//! Where requests go.

use tekseal_custody::Error;
use tekseal_harness::AzureVault;
use tekseal_signing::key_ref::KeyRef;

use crate::{ALIAS, Shop, run, told};

#[test]
fn without_a_region_nothing_is_sent() {
    let mut shop = Shop::with_key();
    shop.unset("AWS_REGION");
    let said = told(&shop.refused());
    assert!(said.contains("AWS_REGION cannot be used"), "{said}");
    assert!(said.contains("AWS_DEFAULT_REGION"), "{said}");
    shop.set("AWS_DEFAULT_REGION", "eu-west-1");
    shop.open();
    shop.set("AWS_REGION", "eu-west-1.example/");
    let said = told(&shop.refused());
    assert!(said.contains("small letters"), "{said}");
    assert_eq!(shop.aws.count_of("GetPublicKey"), 1);
}

#[test]
fn the_region_of_an_arn_goes_before_that_of_the_process() {
    let mut shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    shop.set("AWS_REGION", "us-east-1");
    let opened = shop.try_open(&arn);
    opened.unwrap_or_else(|error| panic!("{}", told(&error)));
    shop.no_complaints();
}

/// As cosign has it: an endpoint in a reference is one of https, whatever else is set.
#[test]
fn an_endpoint_in_the_reference_goes_before_variables_and_is_https() {
    let mut shop = Shop::with_key();
    shop.tries = 1;
    let text = format!("awskms://{}/{ALIAS}", shop.aws.address());
    let Ok(KeyRef::Kms(key)) = KeyRef::parse(&text) else {
        panic!("it is one")
    };
    let opened = run(tekseal_custody::open(&key, &shop.context()));
    let error = opened.err().expect("nobody speaks https there");
    assert!(matches!(error, Error::Request { .. }), "{error}");
    let url = format!("https://{}", shop.aws.address());
    assert!(told(&error).contains(&url), "{}", told(&error));
    assert_eq!(shop.aws.count_of("GetPublicKey"), 0);
}

/// Nobody imitates AWS by https here; who refuses after the handshake was known all the same.
#[test]
fn authorities_are_those_that_the_tools_of_aws_read_too() {
    let other = AzureVault::start();
    let ca = other.ca().display().to_string();
    let mut shop = Shop::new();
    shop.tries = 1;
    shop.set("AWS_ENDPOINT_URL", &format!("https://{}", other.address()));
    let is_known = |shop: &Shop| {
        let said = told(&shop.refused());
        let is_unknown = said.contains("certificate");
        assert_ne!(is_unknown, said.contains("status 4"), "{said}");
        !is_unknown
    };
    assert!(!is_known(&shop));
    shop.set("AWS_CA_BUNDLE", &ca);
    assert!(is_known(&shop));
    shop.unset("AWS_CA_BUNDLE");
    let profile = format!("[default]\nca_bundle = {ca}\n");
    shop.set_file("AWS_CONFIG_FILE", "config", &profile);
    assert!(is_known(&shop));
    shop.set("AWS_CA_BUNDLE", "/absent/ca.pem");
    let said = told(&shop.refused());
    assert!(said.contains("cannot read /absent/ca.pem"), "{said}");
}
