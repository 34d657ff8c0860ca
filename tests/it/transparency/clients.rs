//! The clients of logs and timestamp authorities against real ones: what is taken, and what is there already.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_core::Digest;
use tekseal_core::evidence::LogEntry;
use tekseal_harness::{RekorV2, Sigstore, TimestampAuthority as Authority, fixtures};
use tekseal_remote::log::{Error, LogVersion, Options, Rekor};
use tekseal_remote::timestamp::TimestampAuthority;
use tokio::runtime::{Builder, Runtime};

/// The body of the log entry in a bundle that cosign recorded.
fn logged(case: &str) -> Value {
    let blobs = fixtures().join("cosign-samples").join(case).join("blobs");
    let bundle = fs::read_dir(blobs)
        .expect("a sample has blobs")
        .filter_map(|file| fs::read(file.expect("it is there").path()).ok())
        .filter_map(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .find(|json| json["verificationMaterial"].is_object())
        .expect("there is a bundle");
    let body = &bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"];
    let body = STANDARD.decode(body.as_str().expect("a text"));
    serde_json::from_slice(&body.expect("base64")).expect("JSON")
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("it needs nothing")
}

#[test]
fn rekor_2_takes_an_entry_once_and_tells_where_it_is() {
    let Some(log) = RekorV2::start() else { return };
    let record = &logged("sign-v3-bundle-rekor2-tsa")["spec"]["hashedRekordV002"];
    let (digest, signature) = (&record["data"]["digest"], &record["signature"]);
    let proposed =
        json!({"hashedRekordRequestV002": {"digest": digest, "signature": signature}}).to_string();
    let rekor = Rekor::new(&log.url(), LogVersion::V2, &Options::default()).expect("a good URL");
    runtime().block_on(async {
        let added = rekor.add(proposed.as_bytes()).await.expect("it is taken");
        assert!(!added.existed);
        let entry = LogEntry::of_rekor_v2(&added.answer).expect("an entry");
        assert_eq!((entry.log_index, entry.log_id), (0, log.log_id()));
        let error = rekor.add(proposed.as_bytes()).await.expect_err("a second");
        assert!(
            matches!(error, Error::AlreadyLogged { index: Some(0), .. }),
            "{error}"
        );
        let wrong = proposed.replacen("\"digest\":\"", "\"digest\":\"AAAA", 1);
        let error = rekor.add(wrong.as_bytes()).await.expect_err("not signed");
        assert_eq!(error.status(), Some(400), "{error:?}");
    });
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn rekor_1_gives_an_entry_that_it_has() {
    let Some(sigstore) = Sigstore::shared() else {
        return;
    };
    let log = &sigstore.rekor;
    // Of this kind the body is what was proposed.
    let layer = fixtures().join("cosign-samples/sign-v2-rekor1/manifests");
    let manifest = fs::read_dir(layer)
        .expect("a sample has manifests")
        .filter_map(|file| fs::read(file.expect("it is there").path()).ok())
        .filter_map(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .find(|json| json["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"].is_string())
        .expect("there is a signature");
    let noted = manifest["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"].as_str();
    let noted: Value = serde_json::from_str(noted.expect("a text")).expect("JSON");
    let body = STANDARD.decode(noted["Payload"]["body"].as_str().expect("a text"));
    let body = body.expect("base64");
    let rekor = Rekor::new(&log.url(), LogVersion::V1, &Options::default()).expect("a good URL");
    runtime().block_on(async {
        let first = rekor.add(&body).await.expect("it is taken");
        let again = rekor.add(&body).await.expect("it is there");
        assert!(!first.existed && again.existed);
        let read = |answer: &[u8]| LogEntry::of_rekor_v1(answer).expect("an entry");
        let ((uuid, one), (same, other)) = (read(&first.answer), read(&again.answer));
        assert_eq!((&uuid, &one.body), (&same, &other.body));
        assert_eq!((one.log_index, one.body), (other.log_index, body));
        assert!(other.inclusion.is_some() && other.promise.is_some());
        let key = rekor.public_key().await.expect("it tells its key");
        assert_eq!(key, fs::read(log.public_key()).expect("the key's file"));
    });
}

#[test]
fn an_authority_stamps_what_it_is_asked_to() {
    let Some(running) = Authority::shared() else {
        return;
    };
    let digest = Digest::of(b"what was signed").to_bytes();
    // RFC 3161, 2.4.1: version 1, SHA-256 with this hash, with the certificates.
    let mut query = vec![0x30, 0x39, 2, 1, 1, 0x30, 0x31, 0x30, 0x0d, 6, 9];
    query.extend([0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20]);
    query.extend(digest);
    query.extend([1, 1, 0xff]);
    let url = running.url();
    let authority = TimestampAuthority::new(&url, &Options::default()).expect("a good URL");
    runtime().block_on(async {
        let stamped = authority.timestamp(&query).await.expect("it stamps");
        let has_digest = stamped.windows(digest.len()).any(|bytes| bytes == digest);
        assert!(has_digest, "{} bytes", stamped.len());
        let error = authority.timestamp(b"\x30\0").await.expect_err("no query");
        assert_eq!(error.status(), Some(400), "{error:?}");
    });
}
