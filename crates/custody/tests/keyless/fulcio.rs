//! A Fulcio that refuses, is slow, or answers something else than was asked for: each is told, and gives no signer.

use tekseal_core::Blame;
use tekseal_custody::keyless::Error;
use tekseal_custody::{Fulcio, fulcio};
use tekseal_harness::{Certifying, Moment, Proxy};

use super::*;

const CERTIFY: (&str, &str) = ("POST", "/api/v2/signingCert");

/// What is said of a certificate that was changed so, and who must act.
async fn lied(change: impl Fn(&mut Certifying) + Send + Sync + 'static) -> String {
    let certifier = Certifier::start(change);
    refused(&asking(certifier.address(), trust(&certifier))).await
}

#[tokio::test]
async fn a_certificate_that_was_not_asked_for_signs_nothing() {
    let other = Certifier::honest();
    let signer = asking(other.address(), None).signer().await.expect("good");
    let key = signer.public_key().spki_der().to_vec();
    let said = lied(move |one| one.key.clone_from(&key)).await;
    assert!(
        said.contains("the certificate is for another key"),
        "{said}"
    );
    let said = lied(|one| one.name = NAME.replace("builder", "mallory")).await;
    assert!(said.contains("serviceaccounts/mallory"), "{said}");
    let said = lied(|one| one.issuer = "https://other.example".to_owned()).await;
    assert!(
        said.contains("names the issuer https://other.example"),
        "{said}"
    );
    let said = lied(|one| one.valid = (one.valid.0 - 900, one.valid.0 - 300)).await;
    assert!(said.contains("the certificate is valid from"), "{said}");
    let said = lied(|one| one.valid = (one.valid.0 + 900, one.valid.1 + 900)).await;
    assert!(said.contains("the certificate is valid from"), "{said}");
}

#[tokio::test]
async fn a_certificate_that_no_verifier_would_accept_signs_nothing() {
    let (certifier, stranger) = (Certifier::honest(), Certifier::honest());
    let keyless = asking(certifier.address(), trust(&stranger));
    let error = keyless.signer().await.err().expect("of another authority");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("trusted root"))
    );
    // Both have the same name, and different keys.
    let said = refused(&keyless).await;
    assert!(said.contains("changed or forged"), "{said}");
    assert!(asking(certifier.address(), None).signer().await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_told_without_the_token() {
    let fulcio = Proxy::start("127.0.0.1:1");
    let json = [("Content-Type", "application/json")];
    let told =
        br#"{"code":3,"message":"There was an error processing the identity token","details":[]}"#;
    for status in [400, 401, 403] {
        fulcio
            .on(CERTIFY.0, CERTIFY.1)
            .first(1)
            .answer(status, &json, told);
    }
    for status in [400, 401, 403] {
        let keyless = asking(fulcio.address(), None);
        let error = keyless.signer().await.err().expect("refused");
        assert_eq!(error.blame(), Blame::Setting);
        let wanted = format!("status {status}: There was an error processing the identity token");
        assert!(error.to_string().contains(&wanted), "{error}");
        assert!(error.hint().is_some());
    }
    assert_eq!(fulcio.count(), 3);
    let echoing = Proxy::start("127.0.0.1:1");
    let token = token();
    let told = json!({"message": format!("bad token {token}")}).to_string();
    echoing
        .on(CERTIFY.0, CERTIFY.1)
        .answer(403, &json, told.as_bytes());
    let source = Source::Variable("TOKEN".to_owned());
    let url = format!("http://{}", echoing.address());
    let said = refused(&keyless(source, &url, None, &[("TOKEN", &token)], now)).await;
    assert!(said.contains("status 403"), "{said}");
}

#[tokio::test]
async fn what_is_no_answer_of_fulcio_is_told() {
    let certifier = Certifier::honest();
    let said = async |body: &[u8]| {
        let fulcio = Proxy::start(certifier.address());
        fulcio.on(CERTIFY.0, CERTIFY.1).answer(200, &[], body);
        refused(&asking(fulcio.address(), None)).await
    };
    let huge = vec![b' '; 300 << 10];
    let many = json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": vec!["x"; 17]}}});
    for (body, wanted) in [
        (&b"<html>moved</html>"[..], "no JSON with certificates"),
        (b"{}", "no certificate"),
        (b"[]", "no JSON with certificates"),
        (
            br#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}"#,
            "no certificate",
        ),
        (
            br#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}"#,
            "cannot be read",
        ),
        (
            br#"{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}}}"#,
            "cannot be used",
        ),
        (
            br#"{"signedCertificateDetachedSct":{"chain":{"certificates":[]},"signedCertificateTimestamp":"e30="}}"#,
            "(SCT) is beside it",
        ),
        (
            br#"{"signedCertificateDetachedSct":{"chain":{"certificates":[]}},"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}"#,
            "two certificates",
        ),
        (many.to_string().as_bytes(), "more certificates than any chain has"),
        (&huge, "cannot ask"),
    ] {
        let said = said(body).await;
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[tokio::test]
async fn one_that_is_slow_or_not_well_is_not_waited_for() {
    let certifier = Certifier::honest();
    let slow = Proxy::start(certifier.address());
    let gate = slow.on(CERTIFY.0, CERTIFY.1).hold(Moment::BeforeForwarding);
    let error = asking(slow.address(), None).signer().await;
    let error = error.err().expect("it hangs");
    assert_eq!(error.blame(), Blame::Outside);
    assert!(matches!(
        error,
        Error::Fulcio(fulcio::Error::Request { .. })
    ));
    assert_eq!(slow.count(), 2, "as often as it may be tried");
    gate.release();
    let sick = Proxy::start(certifier.address());
    sick.on(CERTIFY.0, CERTIFY.1).first(1).answer(503, &[], b"");
    assert!(asking(sick.address(), None).signer().await.is_ok());
    assert_eq!(sick.count(), 2);
    let moved = Proxy::start(certifier.address());
    let target = [("Location", "http://127.0.0.1:1/")];
    moved.on(CERTIFY.0, CERTIFY.1).answer(307, &target, b"");
    refused(&asking(moved.address(), None)).await;
    assert_eq!(moved.count(), 1, "the token goes nowhere else");
}

#[test]
fn an_address_is_a_url_without_more() {
    for url in [
        "https://fulcio.example",
        "http://127.0.0.1:5555/",
        "https://a.example/ca",
    ] {
        let fulcio = Fulcio::new(url, &context(&[]), None).expect("good");
        assert_eq!(fulcio.url(), url.trim_end_matches('/'));
    }
    for url in [
        "",
        "fulcio.example",
        "ftp://fulcio.example",
        "https://a@fulcio.example",
        "https://fulcio.example?a",
        "https://fulcio.example#a",
        "file:///token",
    ] {
        let refused = Fulcio::new(url, &context(&[]), None);
        assert!(matches!(refused, Err(fulcio::Error::Url(_))), "{url}");
    }
}
