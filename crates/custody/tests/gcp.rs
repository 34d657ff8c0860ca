//! Google Cloud KMS, as its documentation has it: who asks, what is signed, and what is made of answers that are wrong.
//!
//! The server is the harness's, so this proves shape: not that Google agrees.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_core::{Blame, Digest};
use tekseal_custody::{Context, Error, Settings, create, open, public_key, rotate};
use tekseal_harness::{Answer, GoogleKms};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::{KeyRef, KmsRef};
use tekseal_signing::signer::SignError;
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey, Signer};

const KEY: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
const P256: &str = "EC_SIGN_P256_SHA256";

fn reference(resource: &str) -> KmsRef {
    match KeyRef::parse(&format!("gcpkms://{resource}")) {
        Ok(KeyRef::Kms(key)) => key,
        other => panic!("it is one: {other:?}"),
    }
}

/// A context with these variables alone.
fn context_of(variables: &[(&str, &str)]) -> Context {
    let variables: HashMap<String, OsString> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    let settings = Settings {
        options: Options {
            timeout: Duration::from_millis(1500),
            tries: 2,
            ..Options::default()
        },
        ..Settings::default()
    };
    Context::with_variables(settings, Arc::new(move |name| variables.get(name).cloned()))
}

/// A context that knows the server, and asks with the credentials in a file.
fn context(kms: &GoogleKms, file: &Path) -> Context {
    let (name, url) = kms.endpoint();
    let file = file.display().to_string();
    context_of(&[(name, &url), ("GOOGLE_APPLICATION_CREDENTIALS", &file)])
}

/// A server with a P-256 key of one version, and its public half.
fn with_key() -> (GoogleKms, String) {
    let kms = GoogleKms::start();
    kms.add_key(KEY, P256);
    let public = kms.add_version(KEY, "ENABLED");
    (kms, public)
}

async fn opened(kms: &GoogleKms) -> Signer {
    let signer = open(&reference(KEY), &context(kms, &kms.account_file())).await;
    signer.unwrap_or_else(|error| panic!("{}", said(&error)))
}

async fn refused(kms: &GoogleKms, resource: &str) -> Error {
    let opened = open(&reference(resource), &context(kms, &kms.account_file())).await;
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
async fn every_algorithm_that_is_known_signs_its_digest() {
    let kms = GoogleKms::start();
    let file = kms.account_file();
    for (name, algorithm, hash) in [
        (P256, KeyAlgorithm::P256, HashAlgorithm::Sha256),
        (
            "EC_SIGN_P384_SHA384",
            KeyAlgorithm::P384,
            HashAlgorithm::Sha384,
        ),
        (
            "EC_SIGN_ED25519",
            KeyAlgorithm::Ed25519,
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_2048_SHA256",
            KeyAlgorithm::Rsa(2048),
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_3072_SHA256",
            KeyAlgorithm::Rsa(3072),
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_4096_SHA256",
            KeyAlgorithm::Rsa(4096),
            HashAlgorithm::Sha256,
        ),
        (
            "RSA_SIGN_PKCS1_4096_SHA512",
            KeyAlgorithm::Rsa(4096),
            HashAlgorithm::Sha512,
        ),
    ] {
        let resource = format!("projects/p/locations/l/keyRings/r/cryptoKeys/{name}");
        kms.add_key(&resource, name);
        let public = kms.add_version(&resource, "ENABLED");
        let signer = open(&reference(&resource), &context(&kms, &file)).await;
        let signer = signer.unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
        assert_eq!(signer.public_key().algorithm(), algorithm, "{name}");
        assert_eq!(signer.hash(), hash, "{name}");
        let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
        assert_eq!(*signer.public_key(), public, "{name}");
        let signature = signer.sign(b"message").await;
        let signature = signature.unwrap_or_else(|error| panic!("{name}: {}", said(&error)));
        assert!(
            public.verify(hash, b"message", &signature).is_ok(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_digest_of_something_large_is_signed_as_it_is() {
    let (kms, public) = with_key();
    let public = PublicKey::from_pem(public.as_bytes()).expect("openssl wrote it");
    let signer = opened(&kms).await;
    let signature = signer.sign_digest(&Digest::of(b"layer")).await;
    let signature = signature.expect("it is a P-256 key");
    assert!(
        public
            .verify(HashAlgorithm::Sha256, b"layer", &signature)
            .is_ok()
    );

    let whole = "projects/p/locations/l/keyRings/r/cryptoKeys/whole";
    kms.add_key(whole, "EC_SIGN_ED25519");
    kms.add_version(whole, "ENABLED");
    let signer = open(&reference(whole), &context(&kms, &kms.account_file())).await;
    let signer = signer.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert!(signer.sign(&[7; 64 * 1024]).await.is_ok());
    let error = signer
        .sign(&[7; 64 * 1024 + 1])
        .await
        .expect_err("too long");
    assert!(
        said(&error).contains("EC_SIGN_P256_SHA256"),
        "{}",
        said(&error)
    );
    assert!(signer.sign_digest(&Digest::of(b"layer")).await.is_err());
}

#[tokio::test]
async fn a_thousand_signatures_are_a_thousand_calls_one_public_key_and_one_token() {
    let (kms, _) = with_key();
    let signer = opened(&kms).await;
    for number in 0_u32..1000 {
        let signed = signer.sign(&number.to_be_bytes()).await;
        signed.unwrap_or_else(|error| panic!("{}", said(&error)));
    }
    assert_eq!(kms.count("POST", ":asymmetricSign"), 1000);
    assert_eq!(kms.count("GET", "/publicKey"), 1);
    assert_eq!(
        kms.count("GET", "/cryptoKeyVersions"),
        2,
        "with that of the public key"
    );
    assert_eq!(kms.count("POST", "/token"), 1);
}

#[tokio::test]
async fn the_newest_enabled_version_is_taken_and_stays() {
    let kms = GoogleKms::start();
    kms.add_key(KEY, P256);
    // By their names the ninth would be the last one.
    let versions: Vec<_> = (0..11).map(|_| kms.add_version(KEY, "ENABLED")).collect();
    kms.set_state(KEY, 11, "DISABLED");
    kms.set_state(KEY, 2, "DESTROYED");
    let signer = opened(&kms).await;
    let tenth = PublicKey::from_pem(versions[9].as_bytes()).expect("openssl wrote it");
    assert_eq!(*signer.public_key(), tenth);

    kms.add_version(KEY, "ENABLED");
    let signature = signer
        .sign(b"after the rotation")
        .await
        .expect("the old one");
    assert!(
        tenth
            .verify(HashAlgorithm::Sha256, b"after the rotation", &signature)
            .is_ok()
    );
    assert_ne!(*opened(&kms).await.public_key(), tenth, "opened anew");

    for form in ["cryptoKeyVersions", "versions"] {
        let named = reference(&format!("{KEY}/{form}/3"));
        let third = open(&named, &context(&kms, &kms.account_file())).await;
        let third = third.unwrap_or_else(|error| panic!("{}", said(&error)));
        let wanted = PublicKey::from_pem(versions[2].as_bytes()).expect("openssl wrote it");
        assert_eq!(*third.public_key(), wanted);
    }
}

#[tokio::test]
async fn everybody_whom_google_knows_can_ask() {
    let (kms, _) = with_key();
    let files = [
        kms.account_file(),
        kms.user_file(),
        kms.external_file(false, false),
        kms.external_file(true, false),
        kms.external_file(false, true),
        kms.external_file(true, true),
    ];
    for file in files {
        let signer = open(&reference(KEY), &context(&kms, &file)).await;
        let signer = signer.unwrap_or_else(|e| panic!("{}: {}", file.display(), said(&e)));
        assert!(signer.sign(b"message").await.is_ok());
    }
    assert_eq!(kms.count("POST", ":generateAccessToken"), 2);
    assert_eq!(kms.count("POST", "/sts/v1/token"), 4);

    // The file of gcloud in the home folder, and in its own.
    let home = tempfile::tempdir().expect("a temporary folder");
    let gcloud = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&gcloud).expect("the folder is ours");
    let well_known = gcloud.join("application_default_credentials.json");
    std::fs::copy(kms.user_file(), well_known).expect("the folder is ours");
    let (name, url) = kms.endpoint();
    for (variable, folder) in [("HOME", home.path()), ("CLOUDSDK_CONFIG", &gcloud)] {
        let folder = folder.display().to_string();
        let context = context_of(&[(name, &url), (variable, &folder)]);
        assert!(public_key(&reference(KEY), &context).await.is_ok());
    }
}

#[tokio::test]
async fn a_machine_of_googles_is_given_a_token_and_nobody_else_is_asked() {
    let (kms, _) = with_key();
    let (name, url) = kms.endpoint();
    let address = kms.address().to_owned();
    let context = context_of(&[(name, &url), ("GCE_METADATA_HOST", &address)]);
    assert!(public_key(&reference(KEY), &context).await.is_ok());
    assert_eq!(kms.count("GET", "/computeMetadata/"), 1);

    kms.before(|request| {
        let is_metadata = request.path().starts_with("/computeMetadata/");
        let body = br#"{"access_token":"of somebody else","expires_in":3600}"#;
        is_metadata.then(|| Answer::new(200, &[], body))
    });
    let error = public_key(&reference(KEY), &context).await;
    let error = error.expect_err("without the header of the answer");
    assert_says(&error, Blame::Outside, &["Metadata-Flavor: Google"]);

    let context = context_of(&[(name, &url), ("GCE_METADATA_HOST", "user@host/path?")]);
    let error = public_key(&reference(KEY), &context).await;
    let error = error.expect_err("no host");
    assert_says(&error, Blame::Setting, &["GCE_METADATA_HOST", "no host"]);
}

#[tokio::test]
async fn a_token_is_kept_while_it_lasts_and_fetched_once_more_where_it_is_not_taken() {
    let (kms, _) = with_key();
    let signer = opened(&kms).await;
    kms.expire_tokens();
    assert!(signer.sign(b"message").await.is_ok());
    assert_eq!(kms.count("POST", "/token"), 2);

    kms.forget();
    kms.before(|request| {
        let body = br#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}"#;
        request
            .path()
            .ends_with(":asymmetricSign")
            .then(|| Answer::new(401, &[], body))
    });
    let error = signer
        .sign(b"message")
        .await
        .expect_err("no token is taken");
    let SignError::Remote { source, .. } = &error else {
        panic!("{}", said(&error))
    };
    assert_eq!(source.blame(), Blame::Setting);
    assert!(
        said(&error).contains("the token is not accepted"),
        "{}",
        said(&error)
    );
    assert_eq!(kms.count("POST", ":asymmetricSign"), 2);
    assert_eq!(kms.count("POST", "/token"), 1);

    // Two seconds: it is used for one.
    kms.forget();
    kms.set_token_life(2);
    kms.expire_tokens();
    assert!(signer.sign(b"message").await.is_ok());
    kms.forget();
    let until = Instant::now() + Duration::from_secs(10);
    while kms.count("POST", "/token") == 0 {
        assert!(Instant::now() < until, "the token has long been over");
        assert!(signer.sign(b"message").await.is_ok());
    }
}

#[tokio::test]
async fn who_may_not_or_cannot_is_told_what_to_do() {
    let (kms, _) = with_key();
    let denied = |verb: &'static str| {
        move |request: &tekseal_harness::Request| {
            let body = br#"{"error":{"code":403,"message":"Permission denied on resource k","status":"PERMISSION_DENIED"}}"#;
            request
                .path()
                .ends_with(verb)
                .then(|| Answer::new(403, &[], body))
        }
    };
    kms.before(denied("/cryptoKeyVersions"));
    let error = refused(&kms, KEY).await;
    assert_says(
        &error,
        Blame::Setting,
        &[
            "PERMISSION_DENIED Permission denied",
            "roles/cloudkms.viewer",
            "name a version",
        ],
    );
    let named = format!("{KEY}/cryptoKeyVersions/1");
    let signer = open(&reference(&named), &context(&kms, &kms.account_file())).await;
    assert!(signer.is_ok(), "a version needs no list");

    kms.forget();
    kms.before(denied("/publicKey"));
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Setting,
        &["roles/cloudkms.publicKeyViewer"],
    );

    kms.forget();
    let signer = opened(&kms).await;
    kms.before(denied(":asymmetricSign"));
    let error = signer.sign(b"message").await.expect_err("denied");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        said(&error).contains("roles/cloudkms.signer"),
        "{}",
        said(&error)
    );

    kms.forget();
    kms.set_state(KEY, 1, "DISABLED");
    let error = signer.sign(b"message").await.expect_err("disabled");
    assert_eq!(error.blame(), Blame::Setting);
    for part in ["current state is: DISABLED", "enable this version"] {
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert_says(
        &refused(&kms, KEY).await,
        Blame::Setting,
        &["without an enabled version"],
    );
    assert_says(
        &refused(&kms, &named).await,
        Blame::Setting,
        &["current state is: DISABLED"],
    );

    let missing = KEY.replace("Keys/k", "Keys/missing");
    assert_says(
        &refused(&kms, &missing).await,
        Blame::Setting,
        &["NOT_FOUND", "check the names"],
    );
    assert_says(
        &refused(&kms, &format!("{KEY}/cryptoKeyVersions/9")).await,
        Blame::Setting,
        &["NOT_FOUND", "the version"],
    );
}

#[tokio::test]
async fn keys_that_cannot_sign_here_are_named() {
    let kms = GoogleKms::start();
    for (name, purpose) in [
        ("GOOGLE_SYMMETRIC_ENCRYPTION", "ENCRYPT_DECRYPT"),
        ("RSA_DECRYPT_OAEP_2048_SHA256", "ASYMMETRIC_DECRYPT"),
        ("RSA_SIGN_PSS_2048_SHA256", "ASYMMETRIC_SIGN"),
        ("EC_SIGN_SECP256K1_SHA256", "ASYMMETRIC_SIGN"),
        ("PQ_SIGN_ML_DSA_65", "ASYMMETRIC_SIGN"),
    ] {
        let resource = format!("projects/p/locations/l/keyRings/r/cryptoKeys/{name}");
        // The key behind it says nothing here.
        kms.add_key_for(&resource, P256, purpose);
        kms.add_version(&resource, "ENABLED");
        kms.forget();
        kms.alter("/cryptoKeyVersions", move |answer| {
            if let Some(versions) = answer["cryptoKeyVersions"].as_array_mut() {
                versions[0]["algorithm"] = name.into();
            }
            if answer["algorithm"].is_string() {
                answer["algorithm"] = name.into();
            }
        });
        let error = refused(&kms, &resource).await;
        assert_says(&error, Blame::Setting, &[name, "EC_SIGN_P256_SHA256"]);
        let version = format!("{resource}/cryptoKeyVersions/1");
        let error = refused(&kms, &version).await;
        let part = match purpose {
            "ASYMMETRIC_SIGN" => name,
            _ => "for asymmetric signing",
        };
        assert_says(&error, Blame::Setting, &[part]);
    }
}

#[tokio::test]
async fn a_service_that_throttles_is_waited_for_and_then_said() {
    let (kms, _) = with_key();
    let signer = opened(&kms).await;
    let body = br#"{"error":{"code":429,"message":"Quota exceeded for quota metric 'Cryptographic requests'","status":"RESOURCE_EXHAUSTED"}}"#;
    let mut left = 1;
    kms.before(move |request| {
        if !request.path().ends_with(":asymmetricSign") || left == 0 {
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

    kms.forget();
    kms.before(move |request| {
        let is_signing = request.path().ends_with(":asymmetricSign");
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
    for part in ["RESOURCE_EXHAUSTED Quota exceeded", "try later"] {
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert_eq!(
        kms.count("POST", ":asymmetricSign"),
        2,
        "as often as the options say"
    );
}

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

#[tokio::test]
async fn no_text_has_a_secret() {
    let (kms, _) = with_key();
    let echo = |request: &tekseal_harness::Request| {
        let header = request.headers.iter().map(|(_, value)| value.clone());
        let all = header.collect::<Vec<_>>().join(" ");
        let text = format!("{all} {}", String::from_utf8_lossy(&request.body));
        let body = json!({"error": {"status": "X", "message": text}}).to_string();
        Answer::new(400, &[], body.as_bytes())
    };
    let signer = opened(&kms).await;
    kms.before(move |request| request.path().starts_with("/v1/").then(|| echo(request)));
    let error = signer.sign(b"message").await.expect_err("refused");
    assert!(said(&error).contains("(not shown"), "{}", said(&error));
    assert!(!said(&error).contains("t0ken"), "{}", said(&error));

    kms.forget();
    kms.before(move |request| request.path().ends_with("/token").then(|| echo(request)));
    for file in [
        kms.account_file(),
        kms.user_file(),
        kms.external_file(true, true),
    ] {
        let error = public_key(&reference(KEY), &context(&kms, &file)).await;
        let text = said(&error.expect_err("no token"));
        assert!(text.contains("(not shown"), "{text}");
        for secret in ["s3cret", "r3fresh", "identity.token", "eyJ", "p0d-secret"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn credentials_that_are_none_are_named_by_their_file() {
    let kms = GoogleKms::start();
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    for (content, part) in [
        (json!([7]), "no JSON of Google credentials"),
        (json!({}), "it has no type"),
        (
            json!({"type": "impersonated_service_account"}),
            "impersonated_service_account",
        ),
        (
            json!({"type": "service_account", "private_key": key}),
            "client_email",
        ),
        (
            json!({"type": "service_account", "private_key": key, "client_email": "a"}),
            "no RSA private key",
        ),
        (json!({"type": "authorized_user"}), "client_id"),
        (json!({"type": "external_account"}), "credential_source"),
        (
            json!({"type": "external_account", "credential_source": {"executable": {"command": "/bin/sh"}}}),
            "executables, are not supported",
        ),
        (
            json!({"type": "external_account", "audience": "a", "subject_token_type": "t", "token_url": "http://evil.example/",
                "credential_source": {"file": "/f"}}),
            "http is for this machine alone",
        ),
    ] {
        let file = kms.credentials(&content);
        let error = public_key(&reference(KEY), &context(&kms, &file)).await;
        let error = error.expect_err("they are none");
        let name = file.display().to_string();
        assert_says(&error, Blame::Setting, &[&name, part]);
        assert!(!said(&error).contains("AAAA"));
    }
    let missing = context_of(&[("GOOGLE_APPLICATION_CREDENTIALS", "/missing.json")]);
    let error = public_key(&reference(KEY), &missing).await;
    assert_says(
        &error.expect_err("missing"),
        Blame::Setting,
        &["Google credentials /missing.json"],
    );

    let (_, url) = kms.endpoint();
    for bad in [
        "http://kms.example/",
        "ftp://127.0.0.1/",
        "https://user:pass@kms/",
        "kms",
    ] {
        let context = context_of(&[("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", bad)]);
        let error = public_key(&reference(KEY), &context).await;
        let error = error.expect_err("no endpoint");
        assert_says(
            &error,
            Blame::Setting,
            &["CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"],
        );
        assert!(!said(&error).contains("pass"), "{url}");
    }
}

#[tokio::test]
async fn a_key_is_made_with_its_ring_and_never_twice() {
    let kms = GoogleKms::start();
    kms.set_looks(2);
    let context = context(&kms, &kms.account_file());
    let made = create(&reference(KEY), KeyAlgorithm::P384, &context).await;
    let made = made.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_eq!(made.algorithm(), KeyAlgorithm::P384);
    assert_eq!(
        public_key(&reference(KEY), &context)
            .await
            .expect("just made"),
        made
    );

    let error = create(&reference(KEY), KeyAlgorithm::P256, &context).await;
    assert_says(
        &error.expect_err("it is there"),
        Blame::Setting,
        &["there is a key of this name already"],
    );
    let error = create(&reference(KEY), KeyAlgorithm::P521, &context).await;
    assert_says(
        &error.expect_err("no such keys"),
        Blame::Setting,
        &["ECDSA P-521", "it makes P-256"],
    );
    let named = format!("{KEY}/cryptoKeyVersions/1");
    let error = create(&reference(&named), KeyAlgorithm::P256, &context).await;
    assert_says(
        &error.expect_err("a version"),
        Blame::Setting,
        &["leave it out"],
    );
}

#[tokio::test]
async fn a_rotated_key_signs_with_its_new_version_once_that_is_ready() {
    let (kms, before) = with_key();
    kms.set_looks(1);
    let context = context(&kms, &kms.account_file());
    let after = rotate(&reference(KEY), &context).await;
    let after = after.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_ne!(after.to_pem(), before);
    assert_eq!(*opened(&kms).await.public_key(), after);

    kms.set_looks(u32::MAX);
    let start = Instant::now();
    let error = rotate(&reference(KEY), &context).await;
    let error = error.expect_err("it is never ready");
    assert_says(&error, Blame::Outside, &["PENDING_GENERATION"]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(
        *opened(&kms).await.public_key(),
        after,
        "what is not ready does not sign"
    );
}
