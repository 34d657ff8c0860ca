//! Keys that are made and rotated.

use serde_json::json;
use tekseal_core::Blame;
use tekseal_custody::{create, public_key, rotate};
use tekseal_harness::{Answer, AzureVault};
use tekseal_signing::KeyAlgorithm;

use super::{assert_says, context, reference, said};

#[tokio::test]
async fn a_key_is_made_once() {
    let vault = AzureVault::start();
    let context = context(&vault);
    let key = reference(&vault, "new");
    for (name, algorithm) in [
        ("new", KeyAlgorithm::P256),
        ("new384", KeyAlgorithm::P384),
        ("new521", KeyAlgorithm::P521),
        ("newrsa", KeyAlgorithm::Rsa(3072)),
    ] {
        let key = reference(&vault, name);
        let made = create(&key, algorithm, &context).await;
        let made = made.unwrap_or_else(|error| panic!("{}", said(&error)));
        assert_eq!(made.algorithm(), algorithm);
        assert_eq!(public_key(&key, &context).await.expect("just made"), made);
    }
    let error = create(&key, KeyAlgorithm::P256, &context).await;
    assert_says(
        &error.expect_err("it is there"),
        Blame::Setting,
        &["there is a key of this name already"],
    );
    assert_eq!(vault.count("POST", "/keys/new/create"), 1);
    for (algorithm, part) in [
        (KeyAlgorithm::Ed25519, "Ed25519"),
        (KeyAlgorithm::Rsa(1024), "RSA-1024"),
    ] {
        let error = create(&key, algorithm, &context).await;
        assert_says(
            &error.expect_err("no such keys"),
            Blame::Setting,
            &[part, "it makes P-256"],
        );
    }
    let named = reference(&vault, "new/0");
    for result in [
        create(&named, KeyAlgorithm::P256, &context).await,
        rotate(&named, &context).await,
    ] {
        assert_says(
            &result.expect_err("a version"),
            Blame::Setting,
            &["leave it out"],
        );
    }

    vault.before(|request| {
        let body = br#"{"error":{"code":"Conflict","message":"Key gone is currently in a deleted but recoverable state"}}"#;
        request.path().ends_with("/create").then(|| Answer::new(409, &[], body))
    });
    let error = create(&reference(&vault, "gone"), KeyAlgorithm::P256, &context).await;
    assert_says(
        &error.expect_err("deleted"),
        Blame::Setting,
        &["recoverable state", "purge it"],
    );

    vault.forget();
    vault.before({
        let kid = format!("https://{}/keys/new/{:032x}", vault.address(), 0xabc0);
        let mut first = None;
        move |request| {
            let _ = &first;
            if request.path().ends_with("/rotate") {
                return first.clone();
            }
            first = Some(Answer::new(
                200,
                &[],
                json!({"key": {"kid": kid, "kty": "EC", "crv": "P-256",
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}})
                .to_string()
                .as_bytes(),
            ));
            None
        }
    });
    let error = rotate(&key, &context).await;
    assert_says(
        &error.expect_err("nothing new"),
        Blame::Outside,
        &["the version that there was"],
    );
}
