//! Keys in the real Vault: of each kind that signs, entered by tokens and by logins, and what it says when it does not sign.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tekseal_core::{Blame, Digest};
use tekseal_custody::{Context, Error, Settings, VaultSettings};
use tekseal_harness::{ApiServer, JwtKey, PodAccount, Vault, audited_requests};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::{KeyRef, KmsRef};
use tekseal_signing::{KeyAlgorithm, Signer};

const KINDS: [(&str, KeyAlgorithm); 7] = [
    ("ecdsa-p256", KeyAlgorithm::P256),
    ("ecdsa-p384", KeyAlgorithm::P384),
    ("ecdsa-p521", KeyAlgorithm::P521),
    ("ed25519", KeyAlgorithm::Ed25519),
    ("rsa-2048", KeyAlgorithm::Rsa(2048)),
    ("rsa-3072", KeyAlgorithm::Rsa(3072)),
    ("rsa-4096", KeyAlgorithm::Rsa(4096)),
];

fn key(name: &str) -> KmsRef {
    match KeyRef::parse(&format!("hashivault://{name}")) {
        Ok(KeyRef::Kms(key)) => key,
        other => panic!("it is the key of a service: {other:?}"),
    }
}

/// One try, and nothing of the environment.
fn context(vault: VaultSettings) -> Context {
    let settings = Settings {
        options: Options {
            tries: 1,
            ..Options::default()
        },
        vault,
        ..Settings::default()
    };
    Context::with_variables(settings, Arc::new(|_| None))
}

fn with_token(vault: &Vault, token: &str) -> Context {
    context(VaultSettings {
        address: vault.url(),
        token: token.to_owned().into(),
        ..VaultSettings::default()
    })
}

fn with_login(vault: &Vault, role: &str, token: &Path) -> Context {
    context(VaultSettings {
        address: vault.url(),
        login_path: "jwt".to_owned(),
        login_role: role.to_owned(),
        login_token_path: token.to_owned(),
        ..VaultSettings::default()
    })
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(work)
}

fn open(name: &str, context: &Context) -> Signer {
    let signer = wait(tekseal_custody::open(&key(name), context));
    signer.unwrap_or_else(|e| panic!("{}", story(&e)))
}

fn opening(name: &str, context: &Context) -> Error {
    match wait(tekseal_custody::open(&key(name), context)) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A key, with a token that may sign with it and read it.
fn prepared(vault: &Vault, name: &str, kind: &str) -> Context {
    vault.make_key(name, kind);
    vault.make_policy(name);
    with_token(vault, &vault.token(&[name], "1h"))
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_key_of_each_kind_signs_and_another_kind_is_named() {
    let Some(vault) = Vault::shared() else { return };
    for (kind, algorithm) in KINDS {
        let signer = open(kind, &prepared(vault, kind, kind));
        assert_eq!(signer.public_key().algorithm(), algorithm);
        // Each is verified with its public key before it is given.
        wait(signer.sign(b"message")).unwrap_or_else(|e| panic!("{kind}: {}", story(&e)));
        wait(signer.sign(&[7; 700_000])).unwrap_or_else(|e| panic!("{kind}: {}", story(&e)));
    }
    let signer = open("ecdsa-p256", &with_token(vault, vault.root()));
    wait(signer.sign_digest(&Digest::of(b"large"))).expect("it signs digests");
    // A digest is small; an Ed25519 key is sent the message.
    let signer = open("ed25519", &with_token(vault, vault.root()));
    let error = wait(signer.sign(&[7; 1 << 20])).expect_err("Vault takes no such request");
    assert_eq!(error.blame(), Blame::Setting);
    let said = story(&error);
    assert!(
        said.ends_with("status 500: JSON string value exceeds allowed length"),
        "{said}"
    );
    for kind in ["aes256-gcm96", "chacha20-poly1305"] {
        let said = story(&opening(kind, &prepared(vault, kind, kind)));
        let wanted = format!(
            "the key hashivault://{kind} is of type {kind}, and what signs here is of type ecdsa-p256, "
        );
        assert!(said.starts_with(&wanted), "{said}");
    }
    vault.set(
        "transit/keys/derived",
        &json!({"type": "ed25519", "derived": true}),
    );
    let said = story(&opening("derived", &with_token(vault, vault.root())));
    assert!(
        said.contains("derived, with another public key for each context"),
        "{said}"
    );
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn keys_are_made_and_rotated() {
    let Some(vault) = Vault::shared() else { return };
    let root = with_token(vault, vault.root());
    for (kind, algorithm) in KINDS {
        let name = format!("made-{kind}");
        let create = || wait(tekseal_custody::create(&key(&name), algorithm, &root));
        let made = create().unwrap_or_else(|e| panic!("{kind}: {}", story(&e)));
        assert_eq!(made.algorithm(), algorithm);
        let said = story(&create().expect_err("it is there"));
        assert!(
            said.contains(" is there already, and nothing was changed"),
            "{said}"
        );
        let rotated = wait(tekseal_custody::rotate(&key(&name), &root));
        let rotated = rotated.unwrap_or_else(|e| panic!("{kind}: {}", story(&e)));
        assert_ne!(rotated, made);
        let now = wait(tekseal_custody::public_key(&key(&name), &root));
        assert_eq!(now.expect("it is there"), rotated);
    }
    let error = wait(tekseal_custody::rotate(&key("never-made"), &root));
    let said = story(&error.expect_err("there is none"));
    assert_eq!(
        said,
        "Vault refused to read hashivault://never-made: status 404: there is no key of this name in transit"
    );
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_thousand_signatures_are_a_thousand_calls_and_one_read() {
    let Some(vault) = Vault::start() else { return };
    let context = prepared(&vault, "thousand", "ecdsa-p256");
    let audit = vault.audited();
    let signer = open("thousand", &context);
    let began = Instant::now();
    wait(async {
        for i in 0..1000_u32 {
            signer.sign(&i.to_le_bytes()).await.expect("it signs");
        }
    });
    println!("1,000 signatures in {:.1?}", began.elapsed());
    assert_eq!(audited_requests(&audit, "read", "transit/keys/thousand"), 1);
    assert_eq!(
        audited_requests(&audit, "update", "transit/sign/thousand/sha2-256"),
        1000
    );
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_rotation_between_public_key_and_signature_changes_nothing() {
    let Some(vault) = Vault::shared() else { return };
    let context = prepared(vault, "rotated", "ecdsa-p256");
    let signer = open("rotated", &context);
    vault.set("transit/keys/rotated/rotate", &json!({}));
    wait(signer.sign(b"message")).expect("the version that was opened signs");
    let newer = open("rotated", &context);
    assert_ne!(newer.public_key(), signer.public_key());
    wait(newer.sign(b"message")).expect("the new version signs");
    // Whoever forbids old versions is heard.
    vault.set(
        "transit/keys/rotated/config",
        &json!({"min_decryption_version": 2, "min_encryption_version": 2}),
    );
    let error = wait(signer.sign(b"message")).expect_err("it may not");
    assert_eq!(error.blame(), Blame::Setting);
    let said = story(&error);
    assert!(said.contains("cannot sign with hashivault://rotated: Vault refused to sign with version 1 of hashivault://rotated: status 500: "), "{said}");
    wait(newer.sign(b"message")).expect("the new version signs");
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn who_may_not_and_what_is_gone_is_said() {
    let Some(vault) = Vault::shared() else { return };
    let context = prepared(vault, "denied", "ecdsa-p256");
    vault.make_key("of-others", "ecdsa-p256");
    let error = opening("of-others", &context);
    assert_eq!(error.blame(), Blame::Setting);
    let said = story(&error);
    assert!(said.starts_with("Vault refused to read hashivault://of-others: status 403: 1 error occurred: * permission denied; "), "{said}");
    assert!(
        said.ends_with("a policy of it must allow read on transit/keys/of-others"),
        "{said}"
    );
    let said = story(&opening("denied", &with_token(vault, "hvs.expired")));
    assert!(
        said.contains("status 403: ")
            && said.contains("permission denied")
            && !said.contains("hvs.expired"),
        "{said}"
    );

    // One that may read and not sign.
    vault.set(
        "sys/policies/acl/reader",
        &json!({"policy": r#"path "transit/keys/*" { capabilities = ["read"] }"#}),
    );
    let reader = open(
        "denied",
        &with_token(vault, &vault.token(&["reader"], "1h")),
    );
    let error = wait(reader.sign(b"message")).expect_err("it may not");
    let said = story(&error);
    assert!(
        said.ends_with("a policy of it must allow update on transit/sign/denied/sha2-256"),
        "{said}"
    );

    // A token that ends.
    let signer = open(
        "denied",
        &with_token(vault, &vault.token(&["denied"], "1s")),
    );
    wait(signer.sign(b"message")).expect("it may, yet");
    std::thread::sleep(Duration::from_millis(1500));
    let error = wait(signer.sign(b"message")).expect_err("it ended");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(story(&error).contains("status 403: "), "{}", story(&error));

    // A key that is deleted meanwhile.
    let signer = open("denied", &context);
    vault.set(
        "transit/keys/denied/config",
        &json!({"deletion_allowed": true}),
    );
    assert_eq!(
        vault
            .ask("DELETE", "transit/keys/denied", &json!({}))
            .status,
        204
    );
    let said = story(&wait(signer.sign(b"message")).expect_err("it is gone"));
    assert!(
        said.ends_with("status 400: signing key not found"),
        "{said}"
    );
    let said = story(&opening("denied", &context));
    assert!(
        said.ends_with("status 404: there is no key of this name in transit"),
        "{said}"
    );

    // An engine that is not there.
    let elsewhere = Context::with_variables(
        Settings {
            vault: VaultSettings {
                address: vault.url(),
                token: vault.root().to_owned().into(),
                ..VaultSettings::default()
            },
            ..Settings::default()
        },
        Arc::new(|name| (name == "TRANSIT_SECRET_ENGINE_PATH").then(|| "elsewhere".into())),
    );
    let said = story(&opening("denied", &elsewhere));
    assert!(said.contains("status 404: no handler for route"), "{said}");
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_sealed_and_a_throttling_vault_may_be_asked_again() {
    let Some(vault) = Vault::start() else { return };
    let context = prepared(&vault, "sealed", "ecdsa-p256");
    let signer = open("sealed", &context);
    vault.set(
        "sys/quotas/rate-limit/few",
        &json!({"path": "transit/", "rate": 0.01}),
    );
    // The first may be within the limit.
    let throttled = (0..3).find_map(|_| wait(signer.sign(b"message")).err());
    let error = throttled.expect("there is a limit");
    assert_eq!(error.blame(), Blame::Outside);
    let said = story(&error);
    assert!(
        said.contains("status 429: ") && said.contains("rate limit quota exceeded"),
        "{said}"
    );
    assert_eq!(
        vault
            .ask("DELETE", "sys/quotas/rate-limit/few", &json!({}))
            .status,
        204
    );

    assert_eq!(vault.ask("PUT", "sys/seal", &json!({})).status, 204);
    let error = wait(signer.sign(b"message")).expect_err("it is sealed");
    assert_eq!(error.blame(), Blame::Outside);
    let said = story(&error);
    assert!(said.ends_with("Vault refused to sign with version 1 of hashivault://sealed: status 503: Vault is sealed"), "{said}");
    assert_eq!(opening("sealed", &context).blame(), Blame::Outside);
}

#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn an_identity_token_is_a_way_in_if_it_is_the_right_one() {
    let Some(vault) = Vault::start() else { return };
    prepared(&vault, "by-login", "ecdsa-p256");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let issuer = JwtKey::make(folder.path());
    vault.let_in(
        &issuer,
        "signer",
        "system:serviceaccount:team:signer",
        "by-login",
        4,
    );
    let audit = vault.audited();
    let identity = folder.path().join("identity");
    let write = |subject: &str, lasting| {
        let token = issuer.token(&format!("system:serviceaccount:team:{subject}"), lasting);
        fs::write(&identity, format!("{token}\n")).expect("the folder is ours");
    };
    write("signer", 600);
    let signer = open("by-login", &with_login(&vault, "signer", &identity));
    for i in 0..7_u8 {
        wait(signer.sign(&[i])).unwrap_or_else(|e| panic!("{}", story(&e)));
    }
    // A login is good for four requests here: a read and seven signatures are two of them, and one is told that it is over.
    assert_eq!(audited_requests(&audit, "update", "auth/jwt/login"), 2);

    let refused = |role: &str| {
        let error = opening("by-login", &with_login(&vault, role, &identity));
        assert_eq!(error.blame(), Blame::Setting);
        story(&error)
    };
    let said = refused("nobody");
    assert!(said.starts_with(r#"Vault refused to log in at auth/jwt/login as "nobody": status 400: role "nobody" could not be found"#), "{said}");
    write("signer", -3600);
    let said = refused("signer");
    assert!(said.contains("expired"), "{said}");
    write("other", 600);
    let said = refused("signer");
    assert!(said.contains("sub"), "{said}");
    fs::write(&identity, "no token").expect("the folder is ours");
    let said = refused("signer");
    assert!(
        said.starts_with(r#"Vault refused to log in at auth/jwt/login as "signer": status 4"#),
        "{said}"
    );
}

#[test]
#[ignore = "needs Vault and an API server: ./test --sigstore"]
fn a_service_account_of_a_cluster_logs_in_with_its_token() {
    let Some(vault) = Vault::start() else { return };
    let Some(cluster) = ApiServer::shared() else {
        return;
    };
    prepared(&vault, "by-account", "ecdsa-p256");
    let namespace = cluster.namespace();
    let account = PodAccount {
        namespace: &namespace,
        name: "default",
        audience: None,
    };
    vault.let_in_service_account(cluster, "signer", account, "by-account");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let identity = folder.path().join("token");
    fs::write(&identity, cluster.token_for(&namespace, "default")).expect("the folder is ours");
    let login = || {
        context(VaultSettings {
            address: vault.url(),
            login_path: "kubernetes".to_owned(),
            login_role: "signer".to_owned(),
            login_token_path: identity.clone(),
            ..VaultSettings::default()
        })
    };
    let signer = open("by-account", &login());
    wait(signer.sign(b"message")).unwrap_or_else(|e| panic!("{}", story(&e)));

    let other = cluster.namespace();
    fs::write(&identity, cluster.token_for(&other, "default")).expect("the folder is ours");
    let said = story(&opening("by-account", &login()));
    assert!(
        said.starts_with(
            r#"Vault refused to log in at auth/kubernetes/login as "signer": status 403: "#
        ),
        "{said}"
    );
}
