//! Azure Key Vault, as its documentation has it: who asks, what is signed, and what is made of answers that are wrong.
//!
//! The server is the harness's, so this proves shape: not that Azure agrees.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_core::{Blame, Digest};
use tekseal_custody::{Context, Error, Settings, create, open, public_key, rotate};
use tekseal_harness::{Answer, AzureVault, KeyKind, Request};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::{KeyRef, KmsRef};
use tekseal_signing::signer::SignError;
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey, Signer};

fn parsed(text: &str) -> KmsRef {
    match KeyRef::parse(text) {
        Ok(KeyRef::Kms(key)) => key,
        other => panic!("it is one: {other:?}"),
    }
}

fn reference(vault: &AzureVault, rest: &str) -> KmsRef {
    parsed(&format!("azurekms://{}/{rest}", vault.address()))
}

/// A context with these variables alone, which knows the authority of the server.
fn context_of(vault: &AzureVault, variables: &[(&str, String)]) -> Context {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    let settings = Settings {
        options: Options {
            ca: vec![vault.ca()],
            timeout: Duration::from_millis(1500),
            tries: 2,
            ..Options::default()
        },
        ..Settings::default()
    };
    Context::with_variables(settings, Arc::new(move |name| variables.get(name).cloned()))
}

fn context(vault: &AzureVault) -> Context {
    context_of(vault, &vault.workload_identity())
}

/// A vault with a P-256 key of one version, and its public half.
fn with_key() -> (AzureVault, PublicKey) {
    let vault = AzureVault::start();
    let (_, public) = vault.add_version("k", KeyKind::P256);
    let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
    (vault, public)
}

async fn opened(vault: &AzureVault) -> Signer {
    let signer = open(&reference(vault, "k"), &context(vault)).await;
    signer.unwrap_or_else(|error| panic!("{}", said(&error)))
}

async fn refused(vault: &AzureVault, rest: &str) -> Error {
    let opened = open(&reference(vault, rest), &context(vault)).await;
    opened.err().expect("it cannot be opened")
}

/// All that an error says.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[track_caller]
fn assert_says(error: &Error, blame: Blame, parts: &[&str]) {
    let text = said(error);
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert_eq!(error.blame(), blame, "{text}");
}

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

#[tokio::test]
async fn everybody_whom_azure_knows_can_ask() {
    let (vault, _) = with_key();
    for variables in [
        vault.workload_identity(),
        vault.client_secret(),
        vault.platform(),
        vault.machine(),
    ] {
        let signer = open(&reference(&vault, "k"), &context_of(&vault, &variables)).await;
        let signer = signer.unwrap_or_else(|e| panic!("{:?}: {}", variables[0].0, said(&e)));
        assert!(signer.sign(b"message").await.is_ok());
    }
    assert_eq!(vault.count("POST", "/oauth2/v2.0/token"), 2);
    assert_eq!(vault.count("GET", "/msi/token"), 1);
    assert_eq!(vault.count("GET", "/metadata/identity/oauth2/token"), 1);
}

#[tokio::test]
async fn half_of_what_says_who_asks_is_named() {
    let (vault, _) = with_key();
    for missing in ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"] {
        let variables: Vec<_> = vault
            .workload_identity()
            .into_iter()
            // An empty one is an unset one.
            .map(|(name, value)| {
                (
                    name,
                    if name == missing {
                        String::new()
                    } else {
                        value
                    },
                )
            })
            .collect();
        let error = public_key(&reference(&vault, "k"), &context_of(&vault, &variables)).await;
        let error = error.expect_err("half of it");
        assert_says(
            &error,
            Blame::Setting,
            &["AZURE_FEDERATED_TOKEN_FILE", missing],
        );
    }
    for (name, value) in [
        ("AZURE_TENANT_ID", "a/b"),
        ("AZURE_TENANT_ID", ".."),
        ("AZURE_AUTHORITY_HOST", "http://login.example/"),
        ("AZURE_AUTHORITY_HOST", "login"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/missing"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/dev/null"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/dev/zero"),
    ] {
        let mut variables = vault.workload_identity();
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value.to_owned()));
        let error = public_key(&reference(&vault, "k"), &context_of(&vault, &variables)).await;
        let error = error.expect_err("of no use");
        let part = match name {
            "AZURE_FEDERATED_TOKEN_FILE" => value,
            name => name,
        };
        assert_says(&error, Blame::Setting, &[part]);
    }
}

#[tokio::test]
async fn a_token_for_vaults_is_sent_to_vaults_alone() {
    let (vault, _) = with_key();
    for host in [
        "vault.azure.net",
        "evil.example",
        "vault.azure.net.evil.example",
        "10.0.0.1:443",
    ] {
        let error = public_key(&parsed(&format!("azurekms://{host}/k")), &context(&vault)).await;
        let error = error.expect_err("no vault");
        assert_says(
            &error,
            Blame::Setting,
            &["is no vault of Azure's", ".vault.azure.net"],
        );
    }
    assert_eq!(vault.count("POST", "/token"), 0);
}

#[tokio::test]
async fn a_token_is_kept_while_it_lasts_and_fetched_once_more_where_it_is_not_taken() {
    let (vault, _) = with_key();
    let signer = opened(&vault).await;
    vault.expire_tokens();
    assert!(signer.sign(b"message").await.is_ok());
    assert_eq!(vault.count("POST", "/token"), 2);

    vault.forget();
    vault.before(|request| {
        let body = br#"{"error":{"code":"Unauthorized","message":"AKV10032: Invalid issuer."}}"#;
        request
            .path()
            .ends_with("/sign")
            .then(|| Answer::new(401, &[], body))
    });
    let error = signer
        .sign(b"message")
        .await
        .expect_err("no token is taken");
    assert_eq!(error.blame(), Blame::Setting);
    for part in ["AKV10032", "AZURE_TENANT_ID is the tenant of the vault"] {
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert_eq!(vault.count("POST", "/sign"), 2);
}

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

#[tokio::test]
async fn no_text_has_a_secret() {
    let (vault, _) = with_key();
    let signer = opened(&vault).await;
    let told = |request: &Request| {
        let header = request.headers.iter().map(|(_, value)| value.clone());
        let all = header.collect::<Vec<_>>().join(" ");
        format!("{all} {}", String::from_utf8_lossy(&request.body))
    };
    vault.before(move |request| {
        let body = json!({"error": {"code": "X", "message": told(request)}}).to_string();
        let is_vault = request.path().starts_with("/keys/");
        is_vault.then(|| Answer::new(400, &[], body.as_bytes()))
    });
    let error = signer.sign(b"message").await.expect_err("refused");
    assert!(said(&error).contains("(not shown"), "{}", said(&error));
    assert!(!said(&error).contains("t0ken"), "{}", said(&error));

    vault.forget();
    vault.before(move |request| {
        let body = json!({"error": "x", "error_description": told(request)}).to_string();
        let is_token = request.path().ends_with("/token");
        is_token.then(|| Answer::new(400, &[], body.as_bytes()))
    });
    for variables in [
        vault.workload_identity(),
        vault.client_secret(),
        vault.platform(),
    ] {
        let error = public_key(&reference(&vault, "k"), &context_of(&vault, &variables)).await;
        let text = said(&error.expect_err("no token"));
        assert!(text.contains("(not shown"), "{text}");
        for secret in ["s3cret", "identity.token", "h3ader"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

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
