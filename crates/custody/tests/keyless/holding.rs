//! One certificate for everybody, renewed in time.

use std::sync::atomic::{AtomicI64, Ordering};

use tekseal_core::{Digest, Evidence, Layout, Payload, Repository};
use tekseal_custody::keyless::{Error, LEAST_LEFT};
use tekseal_custody::token;
use tekseal_harness::Proxy;

use super::*;

#[tokio::test]
async fn a_certificate_names_whom_the_token_stands_for_and_goes_along() {
    let certifier = Certifier::honest();
    let keyless = asking(certifier.address(), trust(&certifier));
    let signer = keyless.signer().await.expect("certified");
    let certificate = signer.certificate().expect("it has one");
    assert_eq!(certificate.identities(), [NAME]);
    assert_eq!(certificate.oidc_issuer(), Some("https://cluster.example"));
    assert_eq!(certificate.public_key(), signer.public_key());
    assert!(!certificate.has_sct());
    let image = Repository::parse("r.example/app").expect("well formed");
    let payload = Payload::simple_signing(&image.at(Digest::of(b"image")));
    let signed = signer
        .sign_for(&payload, Layout::Tags)
        .await
        .expect("sound");
    let evidence = Evidence::of_annotations(signed[0].annotations()).expect("just written");
    assert_eq!(evidence.certificate.as_deref(), Some(certificate.der()));
    assert_eq!(evidence.chain.len(), 1);
    let shown = format!("{keyless:?}");
    assert!(!shown.contains("eyJ"), "{shown}");
}

#[tokio::test]
async fn callers_side_by_side_have_one_certificate() {
    let certifier = Certifier::honest();
    let proxy = Proxy::start(certifier.address());
    let keyless = Arc::new(asking(proxy.address(), None));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let keyless = Arc::clone(&keyless);
        tasks.spawn(async move { keyless.signer().await.expect("certified") });
    }
    let signers = tasks.join_all().await;
    assert!(signers.iter().all(|one| Arc::ptr_eq(one, &signers[0])));
    assert_eq!(proxy.count(), 1);
    let seen = &proxy.seen()[0];
    assert_eq!(
        seen.header("authorization"),
        Some(&*format!("Bearer {}", token_of(seen)))
    );
}

/// The token that a request had.
fn token_of(seen: &tekseal_harness::Seen) -> String {
    let text = seen.header("authorization").expect("it has one");
    text.trim_start_matches("Bearer ").to_owned()
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_renewed_and_the_token_read_again() {
    static AHEAD: AtomicI64 = AtomicI64::new(0);
    fn later() -> i64 {
        now() + AHEAD.load(Ordering::SeqCst)
    }
    let certifier = Certifier::start(|one| {
        let now = later();
        one.valid = (now, now + 600);
    });
    let proxy = Proxy::start(certifier.address());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    let mut claims = service_account_claims("team", "builder");
    write_token(&file, &claims);
    let url = format!("http://{}", proxy.address());
    let keyless = keyless(Source::File(file.clone()), &url, None, &[], later);
    let first = keyless.signer().await.expect("certified");
    // Well before its end.
    AHEAD.store(600 - LEAST_LEFT - 30, Ordering::SeqCst);
    let same = keyless.signer().await.expect("held");
    assert!(Arc::ptr_eq(&first, &same));
    assert_eq!(proxy.count(), 1);
    // Kubernetes has written another token meanwhile.
    claims["exp"] = (now() + 3600).into();
    claims["jti"] = "second".into();
    write_token(&file, &claims);
    AHEAD.store(600 - LEAST_LEFT + 1, Ordering::SeqCst);
    let second = keyless.signer().await.expect("certified");
    assert_ne!(first.public_key(), second.public_key());
    assert_eq!(proxy.count(), 2);
    let seen = proxy.seen();
    assert_ne!(token_of(&seen[0]), token_of(&seen[1]));
    // Then the file goes away: what is held lasts, and then the file is named.
    std::fs::remove_file(&file).expect("it is there");
    assert!(Arc::ptr_eq(&second, &keyless.signer().await.expect("held")));
    AHEAD.store(1200, Ordering::SeqCst);
    let said = refused(&keyless).await;
    assert!(said.contains(&file.display().to_string()), "{said}");
    // And it comes again.
    claims["exp"] = (now() + 7200).into();
    write_token(&file, &claims);
    assert!(keyless.signer().await.is_ok());
    assert_eq!(proxy.count(), 3);
}

#[tokio::test]
async fn nothing_is_sent_with_a_token_that_cannot_be_good() {
    let certifier = Certifier::honest();
    let proxy = Proxy::start(certifier.address());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    let url = format!("http://{}", proxy.address());
    let keyless = keyless(Source::File(file.clone()), &url, None, &[], now);
    let claims = |name: &str, value: Value| {
        let mut claims = service_account_claims("team", "builder");
        claims[name] = value;
        claims
    };
    for (claims, wanted) in [
        (claims("exp", (now() - 1).into()), "ended at"),
        (claims("nbf", (now() + 3600).into()), "is valid from"),
        (claims("aud", json!(["vault"])), "the audience [vault]"),
        (claims("sub", 7.into()), "malformed"),
    ] {
        write_token(&file, &claims);
        let said = refused(&keyless).await;
        assert!(said.contains(wanted), "{said}");
    }
    std::fs::write(&file, "no token").expect("the folder is ours");
    let error = keyless.signer().await.err().expect("no token");
    assert!(matches!(error, Error::Token(token::Error::Malformed(_))));
    assert_eq!(proxy.count(), 0);
}
