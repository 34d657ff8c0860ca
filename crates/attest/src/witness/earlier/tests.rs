//! A bundle that cosign stored, with other evidence, before other witnesses.

use std::fs;
use std::sync::Arc;

use tekseal_core::{PayloadKind, TrustedRoot};
use tekseal_harness::fixtures;
use tekseal_remote::log::Options;
use tekseal_remote::{LogVersion, Rekor, TimestampAuthority};
use tekseal_signing::PublicKey;
use tekseal_signing::witness::EnvelopeEntry;

use super::*;

/// Later than the sample.
fn later() -> i64 {
    1_900_000_000
}

fn keys(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("cosign-samples/keys").join(name)).expect("a sample")
}

/// The bundle of the sample with an entry of Rekor v2 and a timestamp.
fn sample() -> Bundle {
    let blobs = fixtures().join("cosign-samples/attest-v3-bundle-rekor2-tsa/blobs");
    let mut blobs = fs::read_dir(blobs).expect("a sample");
    let bundle = blobs.find_map(|blob| {
        let bytes = fs::read(blob.expect("readable").path()).expect("readable");
        Bundle::parse(&bytes).ok()
    });
    bundle.expect("the sample has one")
}

/// One log of Rekor v2, and these authorities.
fn witnesses(authorities: &[&str], change: impl FnOnce(&mut TrustedRoot)) -> Witnesses {
    let mut root = TrustedRoot::parse(&keys("trusted_root.json")).expect("a good file");
    change(&mut root);
    let log = Rekor::new("http://log.example", LogVersion::V2, &Options::default());
    let log = (log.expect("a good URL"), EnvelopeEntry::Dsse);
    let authority = |url: &&str| TimestampAuthority::new(url, &Options::default());
    let authorities = authorities.iter().map(authority).collect::<Result<_, _>>();
    let trust = Some(Arc::new(Trust::new(&root).expect("a good file")));
    let authorities = authorities.expect("good URLs");
    Witnesses::new(vec![log], authorities, trust, later).expect("it is trusted")
}

/// A second authority, of which no timestamp is there.
fn another(root: &mut TrustedRoot) {
    let mut other = root.timestamp_authorities[0].clone();
    other.uri = "http://other.example".to_owned();
    other.valid.start = Some(later() - 1);
    root.timestamp_authorities.push(other);
}

/// Whether a bundle with the entry and so many times the timestamp is taken for what they would give.
async fn is_taken(witnesses: &Witnesses, times: usize) -> bool {
    let key = PublicKey::from_pem(&keys("a.pub")).expect("a key");
    let key = VerifyingKey::over_sha256(key);
    let mut bundle = sample();
    let evidence = std::mem::take(&mut bundle.evidence);
    let bare = bundle.to_bytes().expect("it has no entry");
    let bare = Signed::bundle_of_bytes(bare, "urn:t");
    let stamps = vec![evidence.timestamps[0].clone(); times];
    let found = bare.with_evidence(&evidence.entries, &stamps);
    let item = Item {
        signed: bare,
        kind: PayloadKind::Statement {
            format: "t".to_owned(),
            predicate_type: "urn:t".to_owned(),
        },
        subjects: Vec::new(),
        repository: None,
    };
    let found = found.expect("there is room");
    witnesses.has_all(&found, &item, 0, &key).await.is_some()
}

#[tokio::test]
async fn two_times_of_one_authority_are_not_those_of_two() {
    let one = witnesses(&["http://a.example"], |_| ());
    assert!(is_taken(&one, 1).await);
    assert!(!is_taken(&one, 0).await);
    let two = ["http://a.example", "http://b.example"];
    let both = witnesses(&two, another);
    assert!(!is_taken(&both, 1).await);
    assert!(!is_taken(&both, 2).await, "the second has said nothing");
    // Two addresses of the only one there is.
    let same = witnesses(&two, |_| ());
    assert!(is_taken(&same, 2).await);
}

#[tokio::test]
async fn what_was_vouched_for_by_those_who_are_out_of_use_is_asked_about_again() {
    let ended = |logs: bool, authorities: bool| {
        witnesses(&["http://a.example"], move |root| {
            let end = Some(later() - 1);
            for log in root.logs.iter_mut().filter(|_| logs) {
                log.valid.end = end;
            }
            for authority in root
                .timestamp_authorities
                .iter_mut()
                .filter(|_| authorities)
            {
                authority.valid.end = end;
            }
        })
    };
    assert!(is_taken(&ended(false, false), 1).await);
    assert!(!is_taken(&ended(true, false), 1).await);
    assert!(!is_taken(&ended(false, true), 1).await);
}
