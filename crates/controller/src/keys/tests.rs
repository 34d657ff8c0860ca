//! Which keys can be opened, and who is asked how often.

use std::collections::BTreeMap;

use tekseal_attest::settings::Told;
use tekseal_custody::token;
use tekseal_custody::{Fulcio, Keyless};
use tekseal_harness::{Proxy, service_account_claims, unsigned_token};
use tekseal_signing::{KeyAlgorithm, RemoteError};

use super::*;
use crate::{live, reconcile};

#[tokio::test]
async fn a_fulcio_that_refused_is_left_alone_for_a_while_under_one_configuration() {
    let context = reconcile::tests::context().await;
    let fulcio = Proxy::start("127.0.0.1:1");
    fulcio
        .on("POST", "/api/v2/signingCert")
        .answer(403, &[], b"{}");
    let name = format!("tekseal-token-{}", fulcio.address().replace(':', "-"));
    let token = std::env::temp_dir().join(name);
    std::fs::write(&token, unsigned_token(&service_account_claims("a", "b")))
        .expect("the folder can be written");
    let live = |generation| {
        let config = Config::from_map(&BTreeMap::new()).expect("a good map");
        let custody = live::custody(&config, &[]);
        let url = format!("http://{}", fulcio.address());
        let fulcio = Fulcio::new(&url, &custody, None).expect("a good URL");
        let clock = || jiff::Timestamp::now().as_second();
        let source = token::Source::File(token.clone());
        Live {
            keyless: Some(Keyless::new(source, fulcio, custody.clone(), clock)),
            told: Told::default(),
            config,
            generation,
            custody,
        }
    };
    let first = live(1);
    for (live, asked) in [(&first, 1), (&first, 1), (&live(2), 2)] {
        let got = context.keys.get(&Source::Certificates, live).await;
        let error = got.err().expect("it was refused");
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
        assert_eq!(fulcio.seen().len(), asked);
    }
    std::fs::remove_file(&token).expect("it was written");
}

#[test]
fn a_run_needs_the_keys_of_what_is_signed_of_it() {
    let map = [
        ("artifacts.taskrun.signer", "x509"),
        ("artifacts.pipelinerun.signer", "kms"),
        ("artifacts.oci.signer", "x509"),
        ("signers.kms.kmsref", "hashivault://k"),
    ];
    let map = map.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_map(&map.into()).expect("a good map");
    assert_eq!(kinds_for(&config, RunKind::PipelineRun), [SignerKind::Kms]);
    assert_eq!(kinds_for(&config, RunKind::TaskRun), [SignerKind::X509]);
}

#[tokio::test]
async fn a_service_that_says_when_to_come_back_is_left_alone_until_then() {
    let context = reconcile::tests::context().await;
    let key = Signer::generate(&mut random::system).expect("a key");
    let vault = Proxy::start("127.0.0.1:1");
    let described = serde_json::json!({"data": {
        "type": "ecdsa-p256", "latest_version": 1,
        "keys": {"1": {"public_key": key.public_key().to_pem()}},
    }});
    vault
        .on("GET", "/v1/transit/keys/k")
        .answer(200, &[], described.to_string().as_bytes());
    let address = format!("http://{}", vault.address());
    let map = [
        ("signers.kms.kmsref", "hashivault://k"),
        ("signers.kms.auth.address", &address),
        ("signers.kms.auth.token", "t"),
    ];
    let map = map.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_map(&map.into()).expect("a good map");
    let live = Live {
        keyless: None,
        told: Told::default(),
        custody: live::custody(&config, &[]),
        config,
        generation: 1,
    };
    let source = Source::parse("hashivault://k").expect("it is known");
    let get = || context.keys.get(&source, &live);
    assert!(get().await.is_ok());
    let busy = |after| SignError::Remote {
        reference: "hashivault://k".to_owned(),
        source: RemoteError::new(Blame::Outside, "busy").after(after),
    };
    context.keys.doubt(&busy(None));
    assert!(get().await.is_ok(), "it did not say when to come back");
    let told = context.keys.trouble(&source).map(|error| error.to_string());
    let refused = "the key hashivault://k can be read, and does not sign: busy";
    assert_eq!(told.as_deref(), Some(refused));
    context.keys.doubt(&busy(Some(Duration::from_secs(60))));
    let go_by = async |seconds| {
        let slot = context.keys.slot(&source);
        let mut slot = slot.lock().await;
        slot.as_mut().expect("it was opened").looked -= Duration::from_secs(seconds);
    };
    for seconds in [0, 59] {
        go_by(seconds).await;
        let error = get().await.err().expect("it is left alone");
        let told = "the key hashivault://k is left alone for 60 s, as its service wants: busy";
        assert_eq!(error.to_string(), told);
    }
    assert_eq!(vault.count(), 1);
    go_by(1).await;
    assert!(get().await.is_ok());
    assert_eq!(vault.count(), 2);
}

#[test]
fn a_plain_key_of_any_kind_is_opened() {
    for (pem, algorithm) in [
        (
            &include_bytes!("../../../signing/src/testdata/p256.pkcs8.pem")[..],
            KeyAlgorithm::P256,
        ),
        (
            include_bytes!("../../../signing/src/testdata/p384.pkcs8.pem"),
            KeyAlgorithm::P384,
        ),
        (
            include_bytes!("../../../signing/src/testdata/p521-private.pem"),
            KeyAlgorithm::P521,
        ),
        (
            include_bytes!("../../../signing/src/testdata/rsa.plain.pem"),
            KeyAlgorithm::Rsa(2048),
        ),
        (
            include_bytes!("../../../signing/src/testdata/ed.plain.pem"),
            KeyAlgorithm::Ed25519,
        ),
    ] {
        let pair = ("x509.pem".to_owned(), Zeroizing::new(pem.to_vec()));
        let secret = SecretData::opaque(BTreeMap::from([pair]));
        let material = Material::of_secret(&secret).expect("it has a key");
        let signer = material.open("k8s://ci/keys");
        let signer = signer.unwrap_or_else(|e| panic!("{algorithm}: {e}"));
        assert_eq!(signer.public_key().algorithm(), algorithm);
    }
}
