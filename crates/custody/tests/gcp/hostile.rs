//! Answers that are damaged, of somebody else, or no answers at all.

use std::time::{Duration, Instant};

use serde_json::Value;
use tekseal_core::Blame;
use tekseal_custody::open;
use tekseal_harness::Answer;
use tekseal_signing::signer::SignError;

use super::{KEY, assert_says, context, opened, reference, refused, said, with_key};

#[tokio::test]
async fn what_is_damaged_is_asked_for_again_and_never_believed() {
    type Change = fn(&mut Value);
    let (kms, _) = with_key();
    let wrong: [(&str, Change, usize); 5] = [
        ("/publicKey", |answer| answer["pemCrc32c"] = "1".into(), 3),
        ("/publicKey", |answer| answer["pemCrc32c"] = Value::Null, 3),
        (
            ":asymmetricSign",
            |answer| answer["signatureCrc32c"] = "1".into(),
            3,
        ),
        (
            ":asymmetricSign",
            |answer| answer["verifiedDigestCrc32c"] = false.into(),
            3,
        ),
        (
            ":asymmetricSign",
            |answer| answer["signature"] = "AAAA".into(),
            3,
        ),
    ];
    for (part, change, times) in wrong {
        for for_ever in [false, true] {
            kms.forget();
            let mut is_done = false;
            kms.alter(part, move |answer| {
                if for_ever || !is_done {
                    change(answer);
                }
                is_done = true;
            });
            let file = kms.account_file();
            let result = match open(&reference(KEY), &context(&kms, &file)).await {
                Err(error) => Err((error.blame(), said(&error))),
                Ok(signer) => {
                    let signed = signer.sign(b"message").await;
                    signed.map_err(|error| (error.blame(), said(&error)))
                }
            };
            match result {
                Ok(_) => assert!(!for_ever, "{part}"),
                Err((blame, text)) => {
                    assert!(for_ever, "{text}");
                    assert_eq!(blame, Blame::Outside, "{text}");
                    assert!(text.contains("their checksum does not fit"), "{text}");
                    assert_eq!(
                        kms.count("", part) + kms.count("GET", part) + kms.count("POST", part),
                        times
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn another_version_or_another_key_is_not_believed() {
    let (kms, _) = with_key();
    kms.add_version(KEY, "ENABLED");
    let other = format!("{KEY}/cryptoKeyVersions/1");
    let name = other.clone();
    kms.alter("/publicKey", move |answer| {
        answer["name"] = name.clone().into()
    });
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Outside,
        &["cryptoKeyVersions/1", "that was asked"],
    );

    kms.forget();
    kms.alter("/publicKey", |answer| {
        answer["algorithm"] = "RSA_SIGN_PKCS1_2048_SHA256".into()
    });
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Outside,
        &["ECDSA P-256", "RSA_SIGN_PKCS1_2048_SHA256"],
    );

    kms.forget();
    kms.alter("/cryptoKeyVersions", |answer| {
        if answer["cryptoKeyVersions"].is_array() {
            answer["cryptoKeyVersions"][0]["name"] =
                "projects/evil/x/../cryptoKeyVersions/1".into();
        }
    });
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Outside,
        &["projects/evil", "versions of this key"],
    );

    kms.forget();
    let signer = opened(&kms).await;
    kms.alter(":asymmetricSign", move |answer| {
        answer["name"] = other.clone().into()
    });
    let error = signer
        .sign(b"message")
        .await
        .expect_err("of another version");
    assert_eq!(error.blame(), Blame::Outside);
    assert!(
        said(&error).contains("cryptoKeyVersions/1"),
        "{}",
        said(&error)
    );

    // Checksums and names are right, and the signature is another key's.
    kms.forget();
    kms.swap_key(KEY, 2);
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
    let (kms, _) = with_key();
    let signer = opened(&kms).await;
    let deep = "[".repeat(100_000);
    let huge = "x".repeat(5 * 1024 * 1024);
    let long = format!(r#"{{"name":"{}"}}"#, "\u{202e}\\u001b".repeat(10_000));
    for body in [
        "",
        "null",
        "[]",
        "{",
        "<html>",
        r#"{"name":7}"#,
        r#"{"cryptoKeyVersions":{}}"#,
        r#"{"cryptoKeyVersions":[{"name":"a"}],"nextPageToken":"1"}"#,
        r#"{"nextPageToken":"again"}"#,
        r#"{"pem":"-----BEGIN PUBLIC KEY-----","pemCrc32c":-1,"algorithm":"EC_SIGN_P256_SHA256"}"#,
        r#"{"signature":"???","signatureCrc32c":"99999999999999999999"}"#,
        &deep,
        &huge,
        &long,
    ] {
        kms.forget();
        let answer = body.to_owned();
        kms.before(move |request| {
            let is_kms = request.path().starts_with("/v1/");
            is_kms.then(|| Answer::new(200, &[], answer.as_bytes()))
        });
        let start = &body[..body.len().min(40)];
        for resource in [KEY.to_owned(), format!("{KEY}/cryptoKeyVersions/1")] {
            let error = refused(&kms, &resource).await;
            let text = said(&error);
            assert!(
                text.len() < 1000 && !text.contains('\u{1b}'),
                "{start}: {text}"
            );
        }
        let error = signer.sign(b"message").await.expect_err("no signature");
        assert!(said(&error).len() < 1000, "{start}: {}", said(&error));
        assert!(kms.count("GET", "/v1/") < 60, "{start}");
    }

    kms.forget();
    kms.before(|request| {
        let is_kms = request.path().starts_with("/v1/");
        is_kms.then(|| {
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
