//! Where tokens come from.

use std::path::PathBuf;

use tekseal_core::Blame;
use tekseal_custody::keyless::Error;
use tekseal_custody::token::{self, Provider};
use tekseal_harness::Proxy;

use super::*;

const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

/// The name in the certificate that is had with a token of this source.
async fn named(source: Source, variables: &[(&str, &str)]) -> Result<String, Error> {
    let certifier = Certifier::honest();
    let keyless = keyless(source, &certifier.url(), None, variables, now);
    let signer = keyless.signer().await?;
    let certificate = signer.certificate().expect("it has one");
    Ok(certificate.identities()[0].clone())
}

fn token_of(name: &str) -> String {
    unsigned_token(&service_account_claims("team", name))
}

#[tokio::test]
async fn github_and_google_are_asked_as_they_want_it() {
    let github = Proxy::start("127.0.0.1:1");
    let given = json!({"count": 1, "value": token_of("github")}).to_string();
    github
        .on("GET", "/token")
        .answer(200, &[], given.as_bytes());
    let url = format!("http://{}/token?api-version=2", github.address());
    let variables = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", &*url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret"),
    ];
    for source in [Source::Ambient, Source::Provider(Provider::GitHubActions)] {
        let name = named(source, &variables).await.expect("good");
        assert!(name.ends_with("/github"), "{name}");
    }
    let seen = &github.seen()[0];
    assert_eq!(seen.query, "api-version=2&audience=sigstore");
    assert_eq!(seen.header("authorization"), Some("bearer secret"));

    let google = Proxy::start("127.0.0.1:1");
    google
        .on("GET", METADATA)
        .answer(200, &[], token_of("google").as_bytes());
    let variables = [("GCE_METADATA_HOST", google.address())];
    for source in [
        Source::Ambient,
        Source::Provider(Provider::GoogleWorkloadIdentity),
    ] {
        let name = named(source, &variables).await.expect("good");
        assert!(name.ends_with("/google"), "{name}");
    }
    let seen = &google.seen()[0];
    assert_eq!(seen.query, "audience=sigstore&format=full");
    assert_eq!(seen.header("metadata-flavor"), Some("Google"));
}

#[tokio::test]
async fn a_place_that_gives_no_token_is_told() {
    let github = Proxy::start("127.0.0.1:1");
    let url = format!("http://{}/token", github.address());
    let variables = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", &*url),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-secret-of-github"),
    ];
    let ask = || named(Source::Provider(Provider::GitHubActions), &variables);
    github
        .on("GET", "/token")
        .first(1)
        .answer(403, &[], b"no a-secret-of-github here");
    let error = ask().await.expect_err("refused");
    assert_eq!(error.blame(), Blame::Setting);
    let text = error.to_string();
    assert!(
        text.contains("status 403") && !text.contains("a-secret"),
        "{text}"
    );
    github
        .on("GET", "/token")
        .first(1)
        .answer(200, &[], b"<html>");
    let error = ask().await.expect_err("no JSON");
    assert!(
        matches!(error, Error::Token(token::Error::Answer { .. })),
        "{error}"
    );
    let huge = vec![b' '; 64 << 10];
    github.on("GET", "/token").answer(200, &[], &huge);
    let error = ask().await.expect_err("too much");
    assert!(
        matches!(error, Error::Token(token::Error::Request { .. })),
        "{error}"
    );
    let error = named(Source::Provider(Provider::GitHubActions), &variables[..1]).await;
    let error = error.expect_err("one is not set").to_string();
    assert!(error.contains("id-token: write"), "{error}");
}

#[tokio::test]
async fn the_first_place_that_is_here_decides() {
    let token = token_of("variable");
    let variables = [
        ("SIGSTORE_ID_TOKEN", &*token),
        ("SPIFFE_ENDPOINT_SOCKET", "unix:///nowhere/agent.sock"),
    ];
    let name = named(Source::Ambient, &variables).await.expect("good");
    assert!(name.ends_with("/variable"), "{name}");
    // With the token of another place the signature would be somebody else's.
    let error = named(Source::Ambient, &variables[1..]).await;
    let error = error.expect_err("there is no agent").to_string();
    assert!(
        error.contains("the SPIFFE agent at /nowhere/agent.sock"),
        "{error}"
    );
    let error = named(Source::Ambient, &[("SIGSTORE_ID_TOKEN", "")]).await;
    let error = error.expect_err("an empty variable is none");
    let places = [token::DEFAULT_FILE, tekseal_custody::spiffe::DEFAULT_SOCKET];
    if !places
        .iter()
        .any(|place| std::path::Path::new(place).exists())
    {
        assert!(
            matches!(error, Error::Token(token::Error::Nowhere(_))),
            "{error}"
        );
        assert!(error.to_string().contains(token::DEFAULT_FILE));
    }
}

#[tokio::test]
async fn a_file_that_never_appears_is_named_at_once() {
    let path = PathBuf::from("/nowhere/oidc-token");
    let error = named(Source::File(path), &[]).await.expect_err("absent");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(error.to_string().contains("/nowhere/oidc-token"), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("audience sigstore"))
    );
    let error = named(Source::File(PathBuf::from("/dev/zero")), &[]).await;
    assert!(matches!(
        error,
        Err(Error::Token(token::Error::File { .. }))
    ));
    let error = named(Source::Variable("ABSENT".to_owned()), &[]).await;
    assert!(error.expect_err("absent").to_string().contains("ABSENT"));
}

#[tokio::test]
async fn blanks_around_a_token_do_not_count_and_a_large_file_is_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    let source = || Source::File(file.clone());
    std::fs::write(&file, format!("\n {}\r\n\n", token_of("file"))).expect("ours");
    let name = named(source(), &[]).await.expect("good");
    assert!(name.ends_with("/file"), "{name}");
    std::fs::write(&file, "x".repeat(1 << 20)).expect("ours");
    let error = named(source(), &[]).await.expect_err("too large");
    assert!(error.to_string().contains("16 KiB"), "{error}");
    std::fs::write(&file, b"\xff\xfe").expect("ours");
    let error = named(source(), &[]).await.expect_err("no text");
    assert!(error.to_string().contains("cannot read"), "{error}");
}

#[test]
fn providers_have_the_names_of_cosign() {
    for provider in Provider::ALL {
        assert_eq!(Provider::of_name(provider.name()).expect("known"), provider);
    }
    let error = Provider::of_name("gitlab")
        .expect_err("unknown")
        .to_string();
    assert!(error.contains("google-workload-identity"), "{error}");
}
