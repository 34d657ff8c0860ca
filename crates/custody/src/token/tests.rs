//! Tokens that may be good, and those that cannot be.

use serde_json::{Value, json};

use super::testing::{ISSUER, NOW, SUBJECT, claims, signed, token};
use super::*;

fn parse(claims: &Value) -> Result<IdentityToken, Error> {
    IdentityToken::parse(&signed(claims), NOW)
}

/// The claims of a ServiceAccount with one of them changed.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_projected_token_says_whose_it_is() {
    let text = format!("\n {}\r\n", signed(&claims()));
    let token = IdentityToken::parse(&text, NOW).expect("good");
    assert_eq!(token.subject(), SUBJECT);
    assert_eq!(token.issuers(), [ISSUER]);
    let url = "https://kubernetes.io/namespaces/team/serviceaccounts/builder";
    assert_eq!(token.names(), [url, SUBJECT]);
    assert_eq!(token.subject_of_template(), None);
    assert_eq!(token.expires(), NOW + 600);
    assert_eq!(token.secret().as_str(), text.trim());
    let shown = format!("{token:?}");
    assert!(!shown.contains("ey") && shown.contains(SUBJECT), "{shown}");
}

#[test]
fn names_are_those_of_each_kind_of_issuer() {
    let person = json!({
        "iss": "https://dex.example", "sub": "CgYx", "aud": "sigstore", "exp": NOW as f64 + 1.5,
        "email": "a@example.com", "email_verified": "true",
        "federated_claims": {"connector_id": "https://accounts.example", "user_id": "1"},
    });
    let token = parse(&person).expect("good");
    assert_eq!(token.subject(), "a@example.com");
    assert_eq!(
        token.issuers(),
        ["https://dex.example", "https://accounts.example"]
    );
    assert_eq!(token.names(), ["a@example.com", "CgYx"]);
    assert_eq!(token.subject_of_template(), None);
    let workflow = json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:o/r:ref:refs/heads/main",
        "aud": "sigstore", "exp": NOW + 300,
        "job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main",
    });
    let token = parse(&workflow).expect("good");
    assert_eq!(
        token.names()[0],
        "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main"
    );
    assert_eq!(
        token.subject_of_template(),
        Some("repo:o/r:ref:refs/heads/main")
    );
    let pipeline = json!({
        "iss": "https://gitlab.example", "sub": "project_path:g/p:ref_type:branch:ref:main",
        "aud": "sigstore", "exp": NOW + 300,
        "ci_config_ref_uri": "gitlab.example/g/p//.gitlab-ci.yml@refs/heads/main",
    });
    let token = parse(&pipeline).expect("good");
    assert_eq!(
        token.names()[0],
        "https://gitlab.example/g/p//.gitlab-ci.yml@refs/heads/main"
    );
}

#[test]
fn what_cannot_be_good_is_refused_by_name() {
    let said = |claims: &Value| parse(claims).expect_err("bad").to_string();
    for (claims, wanted) in [
        (
            with("exp", json!(NOW)),
            "the identity token ended at 2027-01-15T08:00:00Z, and it is 2027-01-15T08:00:00Z",
        ),
        (
            with("nbf", json!(NOW + 61)),
            "the identity token is valid from 2027-01-15T08:01:01Z, and it is 2027-01-15T08:00:00Z",
        ),
        (
            with("aud", json!(["https://kubernetes.default.svc"])),
            "the identity token is for the audience [https://kubernetes.default.svc], and must be for sigstore",
        ),
        (
            with("aud", json!("sigstore.example")),
            "the identity token is for the audience [sigstore.example], and must be for sigstore",
        ),
        (
            with("email", json!("a@example.com")),
            "the e-mail address of the identity token is not verified, and Fulcio certifies no such address",
        ),
    ] {
        assert_eq!(said(&claims), wanted);
    }
    assert!(parse(&with("nbf", json!(NOW + 60))).is_ok());
    let malformed = [
        with("exp", Value::Null),
        with("exp", json!("soon")),
        with("exp", json!(-1)),
        with("exp", json!(1e300)),
        with("iss", json!("")),
        with("sub", json!("two\nlines")),
        with("sub", json!("x".repeat(2049))),
        with("aud", json!(7)),
        with("kubernetes.io", json!({"namespace": 1})),
        json!([]),
    ];
    for claims in malformed {
        let error = parse(&claims).expect_err("bad");
        assert!(matches!(error, Error::Malformed(_)), "{claims}: {error}");
    }
    let mut without = claims();
    without.as_object_mut().expect("an object").remove("aud");
    assert!(matches!(parse(&without), Err(Error::Audience { found, .. }) if found.is_empty()));
}

#[test]
fn what_is_no_token_is_refused_and_not_shown() {
    let good = signed(&claims());
    let secret = "c2lnbmF0dXJl";
    let mut cases = vec![
        String::new(),
        " \n".to_owned(),
        "not a token".to_owned(),
        format!("{good}.{secret}"),
        good.replace('.', ""),
        format!("{good}="),
        format!("{secret}.{secret}.{secret}"),
        "a".repeat(LARGEST + 1),
        good.replacen('.', ".\u{0}", 1),
    ];
    // Cut off anywhere before its signature, which nobody looks at here.
    cases.extend(
        (0..=good.len() - secret.len())
            .step_by(7)
            .map(|at| good[..at].to_owned()),
    );
    for text in cases {
        let refused = IdentityToken::parse(&text, NOW);
        let error = refused.expect_err(&text).to_string();
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn a_token_that_anybody_could_have_written_is_refused() {
    for alg in ["none", "None", "NONE"] {
        let text = token(&json!({"alg": alg}), &claims());
        assert!(matches!(
            IdentityToken::parse(&text, NOW),
            Err(Error::Unsigned)
        ));
    }
    let bare = signed(&claims());
    let bare = bare.trim_end_matches("c2lnbmF0dXJl");
    assert!(matches!(
        IdentityToken::parse(bare, NOW),
        Err(Error::Unsigned)
    ));
    for alg in ["HS256", "", "x\ny"] {
        let text = token(&json!({"alg": alg}), &claims());
        let error = IdentityToken::parse(&text, NOW).expect_err("bad");
        assert!(matches!(error, Error::Algorithm(_)), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let text = claims().to_string();
    let twice = text.replacen('{', r#"{"sub":"somebody:else","#, 1);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let text = format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(&twice));
    let error = IdentityToken::parse(&text, NOW).expect_err("two readers may differ");
    assert!(matches!(error, Error::Malformed(_)), "{error}");
}
