//! What a service refuses, and what people are told to do about it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_core::Blame;
use tekseal_harness::{Answer, Request};
use tekseal_signing::signer::SignError;

use super::{assert_says, opened, refused, said, with_key};

#[tokio::test]
async fn who_may_not_or_cannot_is_told_what_to_do() {
    let (vault, _) = with_key();
    let signer = opened(&vault).await;
    let forbidden = |inner: &str| {
        let inner = inner.to_owned();
        move |request: &Request| {
            let error = json!({"code": "Forbidden", "message": "Caller is not authorized", "innererror": {"code": inner}});
            let body = json!({"error": error}).to_string();
            let is_vault = request.path().starts_with("/keys/");
            is_vault.then(|| Answer::new(403, &[], body.as_bytes()))
        }
    };
    for (inner, part) in [
        ("ForbiddenByRbac", "Key Vault Crypto User"),
        ("ForbiddenByFirewall", "firewall"),
        ("", "Key Vault Crypto User"),
    ] {
        vault.forget();
        vault.before(forbidden(inner));
        assert_says(
            &refused(&vault, "k").await,
            Blame::Setting,
            &["Caller is not authorized", part],
        );
        let error = signer.sign(b"message").await.expect_err("forbidden");
        assert_eq!(error.blame(), Blame::Setting);
        assert!(said(&error).contains(part), "{}", said(&error));
    }

    vault.forget();
    vault.disable("k");
    let error = signer.sign(b"message").await.expect_err("disabled");
    assert_eq!(error.blame(), Blame::Setting);
    for part in ["not allowed on a disabled key", "enable this version"] {
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert_says(&refused(&vault, "k").await, Blame::Setting, &["disabled"]);
    assert_says(
        &refused(&vault, "missing").await,
        Blame::Setting,
        &["KeyNotFound", "check the names"],
    );
    assert_says(
        &refused(&vault, "k/0").await,
        Blame::Setting,
        &["KeyNotFound", "the version"],
    );

    let wrong = |change: fn(&mut Value)| {
        vault.forget();
        vault.alter("/keys/", change);
    };
    let (vault_key, types) = ("k", [("oct-HSM", ""), ("EC", "P-256K"), ("OKP", "Ed25519")]);
    for (kty, crv) in types {
        vault.forget();
        vault.alter("/keys/", move |answer| {
            answer["key"]["kty"] = kty.into();
            answer["key"]["crv"] = crv.into();
        });
        assert_says(
            &refused(&vault, vault_key).await,
            Blame::Setting,
            &[kty, crv, "signing here needs"],
        );
    }
    wrong(|answer| answer["key"]["key_ops"] = json!(["encrypt", "wrapKey"]));
    assert_says(&refused(&vault, "k").await, Blame::Setting, &["may sign"]);
}

#[tokio::test]
async fn a_vault_that_throttles_is_waited_for_and_then_said() {
    let (vault, _) = with_key();
    let signer = opened(&vault).await;
    let body = br#"{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received."}}"#;
    let mut left = 1;
    vault.before(move |request| {
        if !request.path().ends_with("/sign") || left == 0 {
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

    vault.forget();
    vault.before(move |request| {
        let is_signing = request.path().ends_with("/sign");
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
    assert!(
        said(&error).contains("too many requests: try later"),
        "{}",
        said(&error)
    );
}
