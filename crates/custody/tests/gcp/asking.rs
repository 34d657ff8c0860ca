//! Who asks: credentials, and tokens that are kept while they last.

use std::time::{Duration, Instant};

use serde_json::json;
use tekseal_core::Blame;
use tekseal_custody::{describe, open, public_key};
use tekseal_harness::{Answer, GoogleKms, Request};
use tekseal_signing::signer::SignError;

use super::{KEY, assert_says, context, context_of, opened, reference, said, with_key};

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
async fn a_version_tells_its_age_and_is_known_without_it() {
    let (kms, _) = with_key();
    let newest = kms.add_version(KEY, "ENABLED");
    let context = context(&kms, &kms.account_file());
    let described = describe(&reference(KEY), &context).await.expect("a key");
    assert_eq!(described.public.to_pem(), newest);
    let told = |at: &str| at.parse().ok();
    let created = described.created.expect("the list tells it");
    assert_eq!(created, told("2026-01-02T00:00:00.123456789Z"));
    assert_eq!(
        kms.count("GET", "/cryptoKeyVersions/2"),
        1,
        "its public half"
    );

    let first = reference(&format!("{KEY}/cryptoKeyVersions/1"));
    let described = describe(&first, &context).await.expect("a version");
    let created = described.created.expect("it may be asked");
    assert_eq!(created, told("2026-01-01T00:00:00.123456789Z"));

    kms.before(|request| {
        let body = br#"{"error":{"code":403,"message":"Permission denied.","status":"PERMISSION_DENIED"}}"#;
        let is_version = request.path().ends_with("/cryptoKeyVersions/1");
        is_version.then(|| Answer::new(403, &[], body))
    });
    let described = describe(&first, &context).await.expect("a version");
    let error = described.created.expect_err("it may not be asked");
    assert_says(
        &error,
        Blame::Setting,
        &["tell the age of", "roles/cloudkms.viewer"],
    );
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
async fn no_text_has_a_secret() {
    let (kms, _) = with_key();
    let echo = |request: &Request| {
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
