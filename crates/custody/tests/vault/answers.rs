//! What is asked, and what is made of the answers.

use std::time::{Duration, Instant};

use tekseal_core::Blame;
use tekseal_signing::KeyAlgorithm;
use tekseal_signing::signer::SignError;

use super::*;

/// Signs with a Vault that answers so.
fn signing(sign: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Result<Vec<u8>, SignError> {
    let server = vault(sign);
    let signer = open(&context(&server, &[])).expect("the key is fine");
    wait(signer.sign(b"message"))
}

fn refused(sign: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (Blame, String) {
    let error = signing(sign).expect_err("that is no signature");
    (error.blame(), story(&error))
}

#[test]
fn the_key_is_read_once_and_each_signature_is_one_call() {
    let server = vault(|seen| Reply::json(200, &signed(seen, 1, &signer(1))));
    let held = open(&context(&server, &[])).expect("it is there");
    assert_eq!(held.reference(), Some("hashivault://k"));
    assert_eq!(held.public_key(), signer(1).public_key());
    for i in 0..20_u8 {
        wait(held.sign(&[i])).expect("it signs");
    }
    wait(held.sign_digest(&Digest::of(b"large"))).expect("it signs digests");
    assert_eq!(server.count("GET", "/v1/transit/keys/k"), 1);
    assert_eq!(server.count("POST", "/v1/transit/sign/k/sha2-256"), 21);
    let seen = server.seen();
    assert_eq!(seen.len(), 22);
    for seen in &seen {
        assert_eq!(seen.header("x-vault-token"), Some(TOKEN));
        assert_eq!(seen.header("x-vault-request"), Some("true"));
        assert_eq!(seen.header("x-vault-namespace"), None);
    }
    let digest = Digest::of(&[0]).to_bytes();
    assert_eq!(
        seen[1].json(),
        json!({
            "input": STANDARD.encode(digest), "prehashed": true, "key_version": 1, "signature_algorithm": "pkcs1v15",
        })
    );
}

#[test]
fn a_version_tells_its_age_where_it_is_a_time() {
    for (time, wanted) in [
        ("2026-03-01T10:00:00.123456789Z", true),
        ("2026-03-01T10:00:00+01:00", true),
        ("long ago", false),
    ] {
        let mut told = described(&[&signer(1), &signer(2)]);
        told["data"]["keys"]["2"]["creation_time"] = json!(time);
        let server = describing(200, told.to_string());
        let described = wait(tekseal_custody::describe(&key(), &context(&server, &[])));
        let described = described.expect("it is there");
        assert_eq!(described.public, *signer(2).public_key());
        let created = described.created.expect("it comes with the key");
        assert_eq!(created, time.parse().ok());
        assert_eq!(created.is_some(), wanted, "{time}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_rotation_in_between_changes_nothing() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "GET" => Reply::json(200, &described(&[&signer(1), &signer(2)])),
        _ => {
            assert_eq!(seen.json()["key_version"], 2);
            Reply::json(200, &signed(seen, 2, &signer(2)))
        }
    });
    let held = open(&context(&server, &[])).expect("it is there");
    wait(held.sign(b"message")).expect("its version signs");
}

#[test]
fn another_version_can_be_meant() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "GET" => Reply::json(200, &described(&[&signer(1), &signer(2)])),
        _ => Reply::json(200, &signed(seen, 1, &signer(1))),
    });
    let pinned = context(&server, &[("VAULT_KEY_PREFIX", "vault:v1:")]);
    let held = open(&pinned).expect("it is there");
    wait(held.sign(b"message")).expect("it signs");
    let public = wait(tekseal_custody::public_key(&key(), &pinned)).expect("it is there");
    assert_eq!(&public, signer(1).public_key());
    for (prefix, said) in [
        (
            "vault:v3:",
            "VAULT_KEY_PREFIX cannot be used: hashivault://k has no version 3 to sign with",
        ),
        (
            "v1",
            "VAULT_KEY_PREFIX cannot be used: wanted vault:vN:, where N is a version of the key",
        ),
    ] {
        let error = opening(&context(&server, &[("VAULT_KEY_PREFIX", prefix)]));
        assert_eq!(story(&error), said);
    }
}

#[test]
fn the_signature_of_another_version_or_key_is_none() {
    let (blame, said) = refused(|seen| Reply::json(200, &signed(seen, 2, &signer(1))));
    assert_eq!(blame, Blame::Outside);
    assert_eq!(
        said,
        "cannot sign with hashivault://k: Vault was asked to sign with version 1 of hashivault://k, \
         and answered with a signature of version 2 instead of one of the version that was asked for"
    );
    let error = signing(|seen| Reply::json(200, &signed(seen, 1, &signer(2))));
    assert!(
        matches!(error, Err(SignError::NotOfKey { .. })),
        "{error:?}"
    );
}

#[test]
fn what_is_no_signature_is_refused() {
    let answer = |text: &str| json!({"data": {"signature": text}}).to_string();
    let bodies = [
        String::new(),
        "null".to_owned(),
        "<html>".to_owned(),
        "{}".to_owned(),
        r#"{"data":null}"#.to_owned(),
        r#"{"data":{"signature":1}}"#.to_owned(),
        "[".repeat(50_000),
        answer(""),
        answer("AQI="),
        answer("vault:v1:?"),
        answer("vault:v1:"),
        answer("vault:v1:AQI="),
        answer("vault:v18446744073709551616:AQI="),
    ];
    for body in bodies {
        let shown = body.chars().take(40).collect::<String>();
        let (blame, _) = refused(move |_| Reply::text(200, body.clone()));
        assert_eq!(blame, Blame::Outside, "{shown}");
    }
}

#[test]
fn ten_megabytes_are_not_read() {
    let (blame, said) = refused(|_| Reply::text(200, vec![b' '; 10 << 20]));
    assert_eq!(blame, Blame::Outside);
    assert!(said.contains("65536") || said.contains("64 KiB"), "{said}");
    let server = describing(200, vec![b'['; 10 << 20]);
    let error = opening(&context(&server, &[]));
    assert_eq!(error.blame(), Blame::Outside, "{}", story(&error));
}

#[test]
fn a_vault_that_never_answers_is_given_up() {
    let server = vault(|_| Reply::Nothing);
    let settings = Settings {
        options: Options {
            timeout: Duration::from_secs(1),
            ..options()
        },
        vault: VaultSettings {
            address: server.url.clone(),
            token: TOKEN.to_owned().into(),
            ..VaultSettings::default()
        },
        ..Settings::default()
    };
    let context = Context::with_variables(settings, Arc::new(|_| None));
    let signer = open(&context).expect("the key is fine");
    let began = Instant::now();
    let error = wait(signer.sign(b"message")).expect_err("nothing came");
    assert_eq!(error.blame(), Blame::Outside, "{}", story(&error));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn each_refusal_says_why_and_who_must_act() {
    for (status, reason, blame, said) in [
        (
            503,
            "Vault is sealed",
            Blame::Outside,
            "cannot sign with hashivault://k: Vault refused to sign with version 1 of hashivault://k: status 503: Vault is sealed",
        ),
        (
            429,
            "request path \"transit/sign/k\": rate limit quota exceeded",
            Blame::Outside,
            "cannot sign with hashivault://k: Vault refused to sign with version 1 of hashivault://k: status 429: \
             request path \"transit/sign/k\": rate limit quota exceeded",
        ),
        (
            403,
            "1 error occurred:\n\t* permission denied\n\n",
            Blame::Setting,
            "cannot sign with hashivault://k: Vault refused to sign with version 1 of hashivault://k: status 403: \
             1 error occurred: * permission denied; the token must be valid, and a policy of it must allow update on transit/sign/k/sha2-256",
        ),
        (
            500,
            "1 error occurred:\n\t* internal error\n\n",
            Blame::Outside,
            "cannot sign with hashivault://k: Vault refused to sign with version 1 of hashivault://k: status 500: \
             1 error occurred: * internal error",
        ),
        (
            500,
            "requested version for signing is less than the minimum encryption key version",
            Blame::Setting,
            "cannot sign with hashivault://k: Vault refused to sign with version 1 of hashivault://k: status 500: \
             requested version for signing is less than the minimum encryption key version",
        ),
        (
            400,
            "signing key not found",
            Blame::Setting,
            "cannot sign with hashivault://k: Vault refused to sign with version 1 of hashivault://k: status 400: signing key not found",
        ),
    ] {
        let found = refused(move |_| refusal(status, reason));
        assert_eq!(found, (blame, said.to_owned()), "{status}");
    }
    // One that repeats the token is not shown.
    let (_, said) = refused(|_| refusal(400, &format!("bad token {TOKEN}")));
    assert!(!said.contains("bad token"), "{said}");
}

#[test]
fn whoever_throttles_says_until_when() {
    let server = describing(429, "{}");
    assert_eq!(opening(&context(&server, &[])).retry_after(), None);
    for (text, seconds) in [("7", 7), ("99999999999", 3600)] {
        let server = Server::start(move |_| {
            Reply::Say(429, vec![("Retry-After", text.to_owned())], b"{}".to_vec())
        });
        let error = opening(&context(&server, &[]));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn a_vault_that_is_asked_in_clear_and_wants_tls_is_told() {
    let server = describing(400, "Client sent an HTTP request to an HTTPS server.\n");
    let error = opening(&context(&server, &[]));
    let said = story(&error);
    assert!(
        said.ends_with(
            "/v1/transit/keys/k wants TLS: its address begins with https://, and not with http://"
        ),
        "{said}"
    );
    assert_eq!(error.blame(), Blame::Setting);
}

#[test]
fn a_key_or_an_engine_that_is_not_there_is_told_apart() {
    let server = describing(404, r#"{"errors":[]}"#);
    let error = opening(&context(&server, &[]));
    assert_eq!(
        story(&error),
        "Vault refused to read hashivault://k: status 404: there is no key of this name in transit"
    );
    let server = describing(
        404,
        r#"{"errors":["no handler for route \"transit/keys/k\""]}"#,
    );
    let error = opening(&context(&server, &[]));
    assert!(story(&error).ends_with(r#"status 404: no handler for route "transit/keys/k""#));
    assert_eq!(error.blame(), Blame::Setting);
}

#[test]
fn a_key_that_cannot_sign_here_is_refused_by_name() {
    let kind = |kind: &str| json!({"data": {"type": kind, "latest_version": 1, "keys": {"1": 1_700_000_000}}});
    let server = describing(200, kind("aes256-gcm96").to_string());
    let said = story(&opening(&context(&server, &[])));
    assert!(said.starts_with("the key hashivault://k is of type aes256-gcm96, and what signs here is of type ecdsa-p256, "), "{said}");
    // What Vault says is not believed to be fit for a terminal, and it may repeat what it was sent.
    for name in ["\u{1b}[2J", TOKEN, &"x".repeat(100_000)] {
        let server = describing(200, kind(name).to_string());
        let error = opening(&context(&server, &[]));
        assert!(!story(&error).contains('\u{1b}'));
        assert_eq!(error.blame(), Blame::Setting);
    }
    let mut derived = described(&[&signer(1)]);
    derived["data"]["derived"] = true.into();
    let server = describing(200, derived.to_string());
    let said = story(&opening(&context(&server, &[])));
    assert!(said.contains("derived"), "{said}");
}

#[test]
fn a_key_that_is_described_falsely_is_refused() {
    let good = described(&[&signer(1)]);
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).expect("it is there") = value;
        body.to_string()
    };
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for body in [
        String::new(),
        "{}".to_owned(),
        r#"{"data":{}}"#.to_owned(),
        changed("/data/latest_version", 2.into()),
        changed("/data/latest_version", (-1).into()),
        changed("/data/latest_version", json!("1")),
        changed("/data/latest_version", json!(1e300)),
        changed("/data/keys", json!([])),
        changed("/data/keys/1", json!(1)),
        changed("/data/keys/1/public_key", json!("")),
        changed("/data/keys/1/public_key", json!({})),
        changed("/data/keys/1/public_key", json!(private)),
        changed("/data/keys/1/public_key", json!(STANDARD.encode([1; 32]))),
        // One of another kind than it is said to be.
        changed("/data/type", json!("rsa-4096")),
        changed("/data/type", json!("ecdsa-p384")),
        changed("/data/type", json!("ed25519")),
    ] {
        let server = describing(200, body.clone());
        let error = opening(&context(&server, &[]));
        let said = story(&error);
        assert!(said.contains("hashivault://k"), "{body}: {said}");
    }
}

#[test]
fn a_key_is_made_where_there_is_none() {
    let made = std::sync::atomic::AtomicBool::new(false);
    let server = Server::start(move |seen| {
        use std::sync::atomic::Ordering::SeqCst;
        match seen.method.as_str() {
            "GET" if made.load(SeqCst) => Reply::json(200, &described(&[&signer(1)])),
            "GET" => Reply::text(404, r#"{"errors":[]}"#),
            _ => {
                assert_eq!(seen.json(), json!({"type": "ecdsa-p256"}));
                made.store(true, SeqCst);
                Reply::text(204, "")
            }
        }
    });
    let context = context(&server, &[]);
    let create = || {
        wait(tekseal_custody::create(
            &key(),
            KeyAlgorithm::P256,
            &context,
        ))
    };
    assert_eq!(&create().expect("there was none"), signer(1).public_key());
    let said = story(&create().expect_err("there is one"));
    assert_eq!(
        said,
        "the key hashivault://k is there already, and nothing was changed; rotate it for a new version, or take another name"
    );
    assert_eq!(server.count("POST", "/v1/transit/keys/k"), 1);
    let error = wait(tekseal_custody::create(
        &key(),
        KeyAlgorithm::Rsa(8192),
        &context,
    ));
    assert!(matches!(error, Err(Error::Algorithm { .. })));
}

#[test]
fn a_key_that_somebody_else_made_meanwhile_is_not_taken_for_a_new_one() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "GET" => Reply::text(404, r#"{"errors":[]}"#),
        _ => Reply::json(
            200,
            &json!({"data": {}, "warnings": ["key k already existed"]}),
        ),
    });
    let error = wait(tekseal_custody::create(
        &key(),
        KeyAlgorithm::P256,
        &context(&server, &[]),
    ));
    assert!(matches!(error, Err(Error::KeyKind { .. })), "{error:?}");
}

#[test]
fn a_rotation_gives_a_new_version_or_fails() {
    for (versions, is_new) in [(2, true), (1, false)] {
        let rotated = std::sync::atomic::AtomicBool::new(false);
        let server = Server::start(move |seen| {
            use std::sync::atomic::Ordering::SeqCst;
            if seen.path == "/v1/transit/keys/k/rotate" {
                rotated.store(true, SeqCst);
                return Reply::text(204, "");
            }
            let (one, two) = (signer(1), signer(2));
            let versions = if rotated.load(SeqCst) { versions } else { 1 };
            Reply::json(200, &described(&[&one, &two][..versions]))
        });
        let rotated = wait(tekseal_custody::rotate(&key(), &context(&server, &[])));
        match is_new {
            true => assert_eq!(&rotated.expect("a new one"), signer(2).public_key()),
            false => assert!(matches!(rotated, Err(Error::Answer { .. })), "{rotated:?}"),
        }
        assert_eq!(server.count("POST", "/v1/transit/keys/k/rotate"), 1);
    }
}
