//! Who asks: credentials, and tokens that are kept while they last.

use serde_json::json;
use tekseal_core::Blame;
use tekseal_custody::{describe, open, public_key};
use tekseal_harness::{Answer, Request};

use super::{assert_says, context, context_of, opened, parsed, reference, said, with_key};

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
async fn a_version_tells_its_age() {
    let (vault, public) = with_key();
    let described = describe(&reference(&vault, "k"), &context(&vault)).await;
    let described = described.unwrap_or_else(|e| panic!("{}", said(&e)));
    assert_eq!(described.public, public);
    let created = described.created.expect("it comes with the key");
    assert_eq!(created, "2023-11-14T22:13:20Z".parse().ok());
    assert_eq!(vault.count("GET", "/keys/k/"), 1);
}

#[tokio::test]
async fn a_client_certificate_is_refused_and_nobody_asked_in_its_place() {
    let (vault, _) = with_key();
    let mut variables = vault.workload_identity();
    variables.push(("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem".to_owned()));
    let error = public_key(&reference(&vault, "k"), &context_of(&vault, &variables)).await;
    let error = error.expect_err("nothing is proven by it");
    let told = [
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "not supported",
        "AZURE_CLIENT_SECRET",
    ];
    assert_says(&error, Blame::Setting, &told);
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
