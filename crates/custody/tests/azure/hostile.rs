//! Answers that are damaged, of somebody else, or no answers at all.

use std::time::{Duration, Instant};

use serde_json::json;
use tekseal_core::Blame;
use tekseal_custody::public_key;
use tekseal_harness::{Answer, KeyKind};
use tekseal_signing::signer::SignError;

use super::{assert_says, context, opened, reference, refused, said, with_key};

#[tokio::test]
async fn another_version_or_another_key_is_not_believed() {
    let (vault, _) = with_key();
    let (newest, _) = vault.add_version("k", KeyKind::P256);
    let here = vault.address().to_owned();
    let old = format!("{:032x}", 0xabc0);
    for kid in [
        String::new(),
        "k".to_owned(),
        format!("https://{here}/keys/k"),
        format!("https://{here}/keys/other/{newest}"),
        format!("https://{here}/keys/k/{newest}/more"),
        format!("https://{here}/keys/k/..%2f{newest}"),
        format!("https://evil.example/keys/k/{newest}"),
        format!("http://{here}/keys/k/{newest}"),
        format!("https://localhost:1/keys/k/{newest}"),
    ] {
        vault.forget();
        let named = kid.clone();
        vault.alter("/keys/", move |answer| {
            answer["key"]["kid"] = named.clone().into()
        });
        let error = refused(&vault, "k").await;
        assert_says(
            &error,
            Blame::Outside,
            &["identifier", "of a version of this key"],
        );
    }
    vault.forget();
    let named = format!("https://{here}/keys/K/{newest}");
    vault.alter("/keys/", move |answer| {
        answer["key"]["kid"] = named.clone().into()
    });
    assert!(
        public_key(&reference(&vault, "k"), &context(&vault))
            .await
            .is_ok(),
        "names have no case"
    );
    let error = refused(&vault, &format!("k/{old}")).await;
    assert_says(
        &error,
        Blame::Outside,
        &[&newest, "the version that was asked"],
    );

    vault.forget();
    let signer = opened(&vault).await;
    let named = format!("https://{here}/keys/k/{old}");
    vault.alter("/sign", move |answer| answer["kid"] = named.clone().into());
    let error = signer
        .sign(b"message")
        .await
        .expect_err("of another version");
    assert_eq!(error.blame(), Blame::Outside);
    assert!(said(&error).contains(&old), "{}", said(&error));

    // Names are right, and the signature is another key's.
    vault.forget();
    vault.swap_key("k");
    let error = signer.sign(b"message").await.expect_err("another key's");
    assert!(
        matches!(error, SignError::NotOfKey { .. }),
        "{}",
        said(&error)
    );
    assert_eq!(error.blame(), Blame::Outside);
}

#[tokio::test]
async fn hostile_answers_are_refused_and_none_of_them_is_waited_for_long() {
    let (vault, _) = with_key();
    let signer = opened(&vault).await;
    let version = format!("https://{}/keys/k/{:032x}", vault.address(), 0xabc0);
    let deep = "[".repeat(100_000);
    let huge = "x".repeat(5 * 1024 * 1024);
    let wide = json!({"kid": version, "value": "A".repeat(100_000)}).to_string();
    let short = json!({"kid": version, "value": "AAAA"}).to_string();
    let none = json!({"kid": version, "value": "\u{1b}[31m"}).to_string();
    let jwk = |x: &str| {
        let key = json!({"kid": version, "kty": "EC", "crv": "P-256", "x": x, "y": x});
        json!({"key": key}).to_string()
    };
    let rsa = json!({"key": {"kid": version, "kty": "RSA", "n": "AAAA", "e": "AQAB"}}).to_string();
    for body in [
        "",
        "null",
        "{",
        "<html>",
        r#"{"key":7}"#,
        r#"{"key":{"kid":"\u001b\u202e"},"kid":[]}"#,
        &jwk(""),
        &jwk("AAAA"),
        &jwk(&"A".repeat(100_000)),
        &rsa,
        &wide,
        &short,
        &none,
        &deep,
        &huge,
    ] {
        vault.forget();
        let answer = body.to_owned();
        vault.before(move |request| {
            let is_vault = request.path().starts_with("/keys/");
            is_vault.then(|| Answer::new(200, &[], answer.as_bytes()))
        });
        let start = &body[..body.len().min(40)];
        // A point that is none is found out by the first signature.
        if !body.contains(r#""x":"AAAA""#) {
            let text = said(&refused(&vault, "k").await);
            assert!(
                text.len() < 1000 && !text.contains('\u{1b}'),
                "{start}: {text}"
            );
        }
        let error = signer.sign(b"message").await.expect_err("no signature");
        let text = said(&error);
        assert!(
            text.len() < 1000 && !text.contains('\u{1b}'),
            "{start}: {text}"
        );
    }

    vault.forget();
    vault.before(|request| {
        let is_vault = request.path().starts_with("/keys/");
        is_vault.then(|| {
            std::thread::sleep(Duration::from_secs(3));
            Answer::new(200, &[], b"{}")
        })
    });
    let start = Instant::now();
    let error = signer.sign(b"message").await.expect_err("too slow");
    assert_eq!(error.blame(), Blame::Outside);
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "two tries of 1.5 seconds"
    );
}
