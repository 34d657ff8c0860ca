//! Layers that cosign stored, and the same with other evidence.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use tekseal_core::cosign::{BUNDLE_ANNOTATION, TIMESTAMP_ANNOTATION};
use tekseal_core::{Digest, TrustedRoot};
use tekseal_harness::fixtures;
use tekseal_remote::log::Options;
use tekseal_remote::registry::Manifest;
use tekseal_remote::store::manifest::ImageManifest;
use tekseal_remote::{LogVersion, Rekor, TimestampAuthority};
use tekseal_signing::PublicKey;
use tekseal_signing::witness::EnvelopeEntry;

use super::*;

const LOGGED: [&str; 2] = ["sign-v2-rekor1", "attest-v2-rekor1-dsse"];
const STAMPED: &str = "sign-v2-tsa-notlog";

/// Later than all samples.
fn later() -> i64 {
    1_900_000_000
}

fn key(name: &str) -> VerifyingKey {
    let pem = fs::read(fixtures().join("cosign-samples/keys").join(name));
    let key = PublicKey::from_pem(&pem.expect("a sample")).expect("a key");
    VerifyingKey::over_sha256(key)
}

/// The layer of this sample that has this annotation.
fn layer(case: &str, annotation: &str) -> Signed {
    let folder = fixtures().join("cosign-samples").join(case);
    let manifests = fs::read_dir(folder.join("manifests")).expect("a sample");
    let mut layers = manifests.filter_map(|path| {
        let bytes = fs::read(path.expect("readable").path()).expect("readable");
        let digest = Digest::of(&bytes);
        let media_type = String::new();
        let manifest = ImageManifest::parse(&Manifest {
            bytes,
            media_type,
            digest,
        });
        let layer = manifest.ok()?.layers().first()?.clone();
        layer.proof(annotation)?;
        Some(layer)
    });
    let layer = layers.next().expect("the sample has one");
    let name = layer.digest().trim_start_matches("sha256:");
    let content = fs::read(folder.join("blobs").join(name)).expect("its content");
    let annotations = layer.annotations().clone();
    Signed::fetched(layer.media_type().to_owned(), content, annotations)
}

/// The same with another text in this annotation.
fn with(layer: &Signed, annotation: &str, text: &str) -> Signed {
    let mut annotations: BTreeMap<_, _> = layer.annotations().clone();
    annotations.insert(annotation.to_owned(), text.to_owned());
    let kind = layer.media_type().to_owned();
    Signed::fetched(kind, layer.layer().to_vec(), annotations)
}

/// A log and an authority that are believed by the trusted root of the samples, after `change`.
fn witnesses(change: impl FnOnce(&mut TrustedRoot)) -> Witnesses {
    let root = fs::read(fixtures().join("cosign-samples/keys/trusted_root.json"));
    let mut root = TrustedRoot::parse(&root.expect("a sample")).expect("a good file");
    change(&mut root);
    let log = Rekor::new("http://log.example", LogVersion::V1, &Options::default());
    let log = (log.expect("a good URL"), EnvelopeEntry::Dsse);
    let authority = TimestampAuthority::new("http://time.example/x", &Options::default());
    let trust = Arc::new(Trust::new(&root).expect("a good file"));
    let authorities = vec![authority.expect("a good URL")];
    Witnesses::new(vec![log], authorities, Some(trust), later).expect("it is trusted")
}

#[test]
fn a_promise_of_nobody_over_the_right_entry_stands_for_nothing() {
    let (key, witnesses) = (key("a.pub"), witnesses(|_| ()));
    for (at, case) in LOGGED.into_iter().enumerate() {
        let good = layer(case, BUNDLE_ANNOTATION);
        let stands = |existing: &Signed| stands_for(Some(&witnesses), existing, &good, &key);
        assert!(stands(&good), "{case}");
        let mut entry = Evidence::of_annotations(good.annotations())
            .expect("cosign's")
            .entries
            .remove(0);
        let promise = entry.promise.as_mut().expect("Rekor v1 makes one");
        *promise.last_mut().expect("it has bytes") ^= 1;
        let text = entry.to_cosign_annotation().expect("it has a promise");
        assert!(!stands(&with(&good, BUNDLE_ANNOTATION, &text)), "{case}");
        assert!(!stands(&with(&good, BUNDLE_ANNOTATION, "")), "{case}");
        // That of another signature, which is good there.
        let other = layer(LOGGED[1 - at], BUNDLE_ANNOTATION);
        let other = &other.annotations()[BUNDLE_ANNOTATION];
        assert!(!stands(&with(&good, BUNDLE_ANNOTATION, other)), "{case}");
        assert!(
            !stands_for(None, &good, &good, &key),
            "nobody is there to ask"
        );
        let foreign = self::key("b.pub");
        assert!(!stands_for(Some(&witnesses), &good, &good, &foreign));
        // What asks for nothing is content with anything.
        let bare = with(&good, BUNDLE_ANNOTATION, "");
        assert!(stands_for(None, &good, &bare, &key));
    }
}

#[test]
fn an_entry_of_a_log_that_is_out_of_use_stands_for_nothing_new() {
    let good = layer(LOGGED[0], BUNDLE_ANNOTATION);
    let key = key("a.pub");
    let ended = |end: i64| {
        witnesses(|root| {
            for log in &mut root.logs {
                log.valid.end = Some(end);
            }
        })
    };
    for (end, stands) in [(later(), true), (later() - 1, false)] {
        let said = stands_for(Some(&ended(end)), &good, &good, &key);
        assert_eq!(said, stands, "{end}");
    }
}

#[test]
fn a_time_of_something_else_stands_for_nothing() {
    let (key, witnesses) = (key("a.pub"), witnesses(|_| ()));
    let good = layer(STAMPED, TIMESTAMP_ANNOTATION);
    let stands = |existing: &Signed| stands_for(Some(&witnesses), existing, &good, &key);
    assert!(stands(&good));
    let evidence = Evidence::of_annotations(good.annotations()).expect("cosign's");
    let mut changed = evidence.timestamps[0].clone();
    *changed.last_mut().expect("it has bytes") ^= 1;
    let bare = with(&good, TIMESTAMP_ANNOTATION, "");
    assert!(!stands(&bare));
    let changed = bare.with_evidence(&[], &[changed]).expect("there is room");
    assert!(!stands(&changed));
    let retired = self::witnesses(|root| {
        for authority in &mut root.timestamp_authorities {
            authority.valid.end = Some(later() - 1);
        }
    });
    assert!(!stands_for(Some(&retired), &good, &good, &key));
}
