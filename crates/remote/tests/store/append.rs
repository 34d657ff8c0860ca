//! Appending without anybody in the way.

use std::time::Duration;

use serde_json::Value;
use tekseal_core::cosign::{BUNDLE_ANNOTATION, Tag};
use tekseal_core::{Digest, DigestRef, Signed, SimpleSigning, TaggedImage};
use tekseal_remote::registry::Blame;
use tekseal_remote::store::{self, Error, Outcome, manifest};

use crate::double::{Door, Double, Moment, soon};
use crate::golden::sample;
use crate::{att_tag, attestation, image, layers, never, same_payload, sig_tag, signature};

async fn sign(door: &Door, new: &[Signed]) -> Result<store::Stored, Error> {
    let image = image(&door.repository());
    soon(store::append(
        &door.client(),
        &image,
        Tag::Signatures,
        new,
        &never,
    ))
    .await
}

async fn attest(door: &Door, new: &[Signed]) -> Result<store::Stored, Error> {
    let image = image(&door.repository());
    soon(store::append(
        &door.client(),
        &image,
        Tag::Attestations,
        new,
        &same_payload,
    ))
    .await
}

#[tokio::test]
async fn a_first_signature_takes_six_requests_in_three_rounds_and_one_look_back() {
    let registry = Double::default();
    // Answers that take a while leave the window open however busy the machine is.
    let door = registry.slow_door(Duration::from_millis(60)).await;
    let mut rounds = [
        vec![
            ("GET", "/manifests/"),
            ("POST", "/uploads/"),
            ("POST", "/uploads/"),
        ],
        vec![("PUT", "/uploads/"), ("PUT", "/uploads/")],
        vec![("PUT", "/manifests/")],
        vec![("HEAD", "/manifests/")],
    ]
    .map(|round| {
        round
            .into_iter()
            .map(|(method, part)| door.hold(method, part, Moment::Before))
            .collect::<Vec<_>>()
    });
    let new = [signature("a")];
    let rounds = async {
        for round in &mut rounds {
            // None of them may wait for the answer to another one.
            for gate in round.iter_mut() {
                gate.arrived().await;
            }
            for gate in round.drain(..) {
                gate.release();
            }
        }
    };
    let (stored, ()) = tokio::join!(sign(&door, &new), rounds);
    let stored = stored.expect("nobody is in the way");
    assert_eq!(door.seen().len(), 7, "{:#?}", door.seen());
    assert_eq!(
        (stored.tag, stored.outcomes),
        (sig_tag(), vec![Outcome::Added])
    );
    let written = registry.manifest(&sig_tag()).expect("the tag is there");
    assert_eq!(Digest::of(&written), stored.manifest_digest);
    assert_eq!(layers(&written), [new[0].layer_digest().to_string()]);
}

#[tokio::test]
async fn several_items_are_one_write_and_equal_blobs_one_upload() {
    let registry = Double::default();
    let door = registry.door().await;
    let payload = b"{}".to_vec();
    let new = [
        Signed::image_signature(payload.clone(), b"key 1"),
        Signed::image_signature(payload, b"key 2"),
        signature("c"),
        signature("c"),
    ];
    let stored = sign(&door, &new).await.expect("nobody is in the way");
    assert_eq!(
        stored.outcomes,
        [
            Outcome::Added,
            Outcome::Added,
            Outcome::Added,
            Outcome::AlreadyThere
        ]
    );
    assert_eq!(
        layers(&registry.manifest(&sig_tag()).expect("the tag is there")).len(),
        3
    );
    assert_eq!(
        (
            door.count("PUT", "/uploads/"),
            door.count("PUT", "/manifests/")
        ),
        (3, 1)
    );
}

#[tokio::test]
async fn the_same_signature_twice_is_written_once() {
    let registry = Double::default();
    let door = registry.door().await;
    let first = sign(&door, &[signature("a")])
        .await
        .expect("nobody is in the way");
    let second = sign(&door, &[signature("a")])
        .await
        .expect("nobody is in the way");
    assert_eq!(second.outcomes, [Outcome::AlreadyThere]);
    assert_eq!(second.manifest_digest, first.manifest_digest);
    assert_eq!(
        (
            door.count("PUT", "/manifests/"),
            door.count("GET", "/manifests/")
        ),
        (1, 2)
    );
    assert_eq!(door.count("GET", "/blobs/"), 0);
}

#[tokio::test]
async fn a_randomised_attestation_of_the_same_payload_is_recognised_by_reading_only_candidates() {
    let registry = Double::default();
    let door = registry.door().await;
    let other_type = Signed::fetched(
        attestation("p", "x").media_type().to_owned(),
        attestation("p", "y").layer().to_vec(),
        [
            ("dev.cosignproject.cosign/signature", ""),
            ("predicateType", "https://example.com/other"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
    );
    let long = attestation(&"long ".repeat(100), "1");
    let old = [
        attestation("payload", "random 1"),
        attestation("PAYLOAD", "random 2"),
        other_type,
        long,
    ];
    attest(&door, &old).await.expect("nobody is in the way");
    assert_eq!(door.count("GET", "/blobs/"), 0);

    let again = attest(&door, &[attestation("payload", "random 3")])
        .await
        .expect("nobody is in the way");
    assert_eq!(again.outcomes, [Outcome::AlreadyThere]);
    assert_eq!(door.count("GET", "/blobs/"), 2, "{:#?}", door.seen());
    assert_eq!(door.count("PUT", "/manifests/"), 1);

    let new = attest(&door, &[attestation("another", "random 4")])
        .await
        .expect("nobody is in the way");
    assert_eq!(new.outcomes, [Outcome::Added]);
    assert_eq!(
        layers(&registry.manifest(&att_tag()).expect("the tag is there")).len(),
        5
    );
}

#[tokio::test]
async fn a_candidate_that_is_gone_does_not_hinder() {
    let registry = Double::default();
    let door = registry.door().await;
    attest(&door, &[attestation("payload", "random 1")])
        .await
        .expect("nobody is in the way");
    let gone = registry.manifest(&att_tag()).map(|manifest| {
        let unknown = format!("sha256:{}", "0".repeat(64));
        String::from_utf8_lossy(&manifest).replace(&layers(&manifest)[0], &unknown)
    });
    registry.put_manifest(
        &att_tag(),
        manifest::OCI_MANIFEST,
        gone.expect("the tag is there").as_bytes(),
    );
    // A registry that checks nothing would take it; ours says that the old blob is missing.
    let refused = attest(&door, &[attestation("payload", "random 2")])
        .await
        .expect_err("a blob is missing");
    assert!(
        matches!(&refused, Error::Registry(source) if source.has_code("MANIFEST_BLOB_UNKNOWN")),
        "{refused:?}"
    );
    let tries = door.count("PUT", "/manifests/");
    assert!(
        (2..10).contains(&tries),
        "{tries} tries, though no upload brings the old blob back"
    );
}

#[tokio::test]
async fn a_blob_that_the_registry_forgot_is_uploaded_again() {
    let registry = Double::default();
    let door = registry.door().await;
    door.forget_next_blob();
    attest(&door, &[attestation("payload", "random 1")])
        .await
        .expect("the second upload stays");
    assert_eq!(door.count("PUT", "/manifests/"), 2);
}

#[tokio::test]
async fn a_log_entry_that_comes_later_is_not_thrown_away() {
    let registry = Double::default();
    let door = registry.door().await;
    let plain = signature("a");
    let mut annotations = plain.annotations().clone();
    annotations.insert(BUNDLE_ANNOTATION.to_owned(), "{\"log\":1}".to_owned());
    let logged = Signed::fetched(
        plain.media_type().to_owned(),
        plain.layer().to_vec(),
        annotations,
    );
    for (item, outcome) in [
        (&plain, Outcome::Added),
        (&logged, Outcome::Added),
        (&logged, Outcome::AlreadyThere),
        (&plain, Outcome::AlreadyThere),
    ] {
        let stored = sign(&door, std::slice::from_ref(item))
            .await
            .expect("nobody is in the way");
        assert_eq!(stored.outcomes, [outcome]);
    }
    assert_eq!(door.count("PUT", "/manifests/"), 2);
}

/// An entry with this promise; the rest is always the same.
fn logged(promise: &str) -> Signed {
    let plain = signature("a");
    let mut annotations = plain.annotations().clone();
    let id = "ab".repeat(32);
    let entry = format!(
        r#"{{"SignedEntryTimestamp":"{promise}","Payload":{{"body":"e30=","integratedTime":1,"logIndex":1,"logID":"{id}"}}}}"#
    );
    annotations.insert(BUNDLE_ANNOTATION.to_owned(), entry);
    let kind = plain.media_type().to_owned();
    Signed::fetched(kind, plain.layer().to_vec(), annotations)
}

#[tokio::test]
async fn the_same_entry_by_another_promise_counts_only_if_it_is_said_to_be_good() {
    for is_good in [false, true] {
        let registry = Double::default();
        let door = registry.door().await;
        sign(&door, &[logged("AAAA")])
            .await
            .expect("nobody is in the way");
        let image = image(&door.repository());
        let same = move |_: &Signed, _: &Signed| is_good;
        let (client, new) = (door.client(), [logged("BBBB")]);
        let append = store::append(&client, &image, Tag::Signatures, &new, &same);
        let stored = soon(append).await.expect("nobody is in the way");
        let (outcome, count) = match is_good {
            true => (Outcome::AlreadyThere, 1),
            false => (Outcome::Added, 2),
        };
        assert_eq!(stored.outcomes, [outcome]);
        let manifest = registry.manifest(&sig_tag()).expect("the tag is there");
        assert_eq!(layers(&manifest).len(), count);
        // Once it is there it is there.
        let again = sign(&door, &new).await.expect("nobody is in the way");
        let is_there = again.outcomes == [Outcome::AlreadyThere];
        assert_eq!(
            is_there, !is_good,
            "its own layer alone needs nobody's word"
        );
    }
}

#[tokio::test]
async fn docker_media_types_and_the_layers_of_others_are_kept() {
    let registry = Double::default();
    let door = registry.door().await;
    let (_, before) = sample("sign-v2-dockermediatypes", &sig_tag());
    let json: Value = serde_json::from_slice(&before).expect("the sample is JSON");
    let payload = std::fs::read(
        crate::golden::samples()
            .join("sign-v2-dockermediatypes/blobs")
            .join(layers(&before)[0].trim_start_matches("sha256:")),
    );
    registry.put_blob(&payload.expect("the sample has its payload"));
    registry.put_manifest(&sig_tag(), manifest::DOCKER_MANIFEST, &before);
    sign(&door, &[signature("a")])
        .await
        .expect("nobody is in the way");

    let after = registry.manifest(&sig_tag()).expect("the tag is there");
    let text = String::from_utf8(after.clone()).expect("JSON");
    let old_layers = String::from_utf8_lossy(&before)
        .split_once("\"layers\":[")
        .expect("it has layers")
        .1
        .to_owned();
    assert!(text.contains(old_layers.trim_end_matches("]}")), "{text}");
    let new: Value = serde_json::from_slice(&after).expect("JSON");
    assert_eq!(new["mediaType"], manifest::DOCKER_MANIFEST);
    assert_eq!(new["config"]["mediaType"], json["config"]["mediaType"]);
    assert_eq!(new["layers"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_is_no_manifest_of_signatures_is_refused_and_left_untouched() {
    let layer = r#"{"mediaType":"text/plain","size":1,"digest":"sha256:00"}"#;
    let full = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":1,"digest":"sha256:00"}},"layers":[{}]}}"#,
        vec![layer; 1001].join(",")
    );
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
        manifest::OCI_INDEX
    );
    for (text, media_type) in [
        ("<html>", manifest::OCI_MANIFEST),
        (index.as_str(), manifest::OCI_INDEX),
        (full.as_str(), manifest::OCI_MANIFEST),
    ] {
        let registry = Double::default();
        let door = registry.door().await;
        registry.put_manifest(&sig_tag(), media_type, text.as_bytes());
        let error = sign(&door, &[signature("a")])
            .await
            .expect_err("this must not be overwritten");
        let is_right = match &error {
            Error::Manifest {
                source: manifest::Error::Json(_),
                ..
            } => text == "<html>",
            Error::Manifest {
                source: manifest::Error::Index,
                ..
            } => text == index,
            Error::Manifest {
                source: manifest::Error::Layers { count: 1001 },
                ..
            } => text == full,
            _ => false,
        };
        assert!(is_right, "{error:?}");
        assert_eq!(error.blame(), Blame::Artifact);
        assert!(error.hint().is_some());
        assert_eq!(
            registry.manifest(&sig_tag()).as_deref(),
            Some(text.as_bytes())
        );
        assert_eq!(door.count("PUT", ""), 0);
    }
}

/// A signature that says this tag as its image's name.
fn named(tag: &str) -> Signed {
    let image = DigestRef::parse(&format!("registry.example/team/app@sha256:{}", crate::HEX));
    let tagged = TaggedImage::new(image.expect("well formed"), tag).expect("a tag");
    Signed::image_signature(SimpleSigning::of_tagged(&tagged).to_bytes(), b"sig")
}

#[tokio::test]
async fn names_leave_room_for_signatures_without() {
    let registry = Double::default();
    let door = registry.door().await;
    let others: Vec<Signed> = (1..store::MOST_WITH_NAMES)
        .map(|n| Signed::image_signature(b"{}".to_vec(), format!("{n}").as_bytes()))
        .collect();
    sign(&door, &others).await.expect("there is room for them");
    let stored = sign(&door, &[named("1"), named("2"), signature("a")]).await;
    let stored = stored.expect("nobody is in the way");
    let wanted = [Outcome::Added, Outcome::NoRoom, Outcome::Added];
    assert_eq!(stored.outcomes, wanted);
    let there = || layers(&registry.manifest(&sig_tag()).expect("the tag is there")).len();
    assert_eq!(there(), store::MOST_WITH_NAMES + 1);

    let again = sign(&door, &[named("1"), named("2"), named("3")]).await;
    let again = again.expect("nothing is written");
    let wanted = [Outcome::AlreadyThere, Outcome::NoRoom, Outcome::NoRoom];
    assert_eq!(again.outcomes, wanted);
    assert_eq!(again.manifest_digest, stored.manifest_digest);
    let last = sign(&door, &[signature("b")]).await.expect("there is room");
    assert_eq!(last.outcomes, [Outcome::Added]);
    assert_eq!(there(), store::MOST_WITH_NAMES + 2);
}

#[tokio::test]
async fn a_full_manifest_takes_no_more() {
    let registry = Double::default();
    let door = registry.door().await;
    let new: Vec<Signed> = (0..1000)
        .map(|n| Signed::image_signature(b"{}".to_vec(), format!("{n}").as_bytes()))
        .collect();
    sign(&door, &new).await.expect("a thousand are allowed");
    let before = registry.manifest(&sig_tag());
    let error = sign(&door, &[signature("one more")])
        .await
        .expect_err("nobody could read it");
    assert!(matches!(
        error,
        Error::Manifest {
            source: manifest::Error::Layers { count: 1001 },
            ..
        }
    ));
    assert_eq!(registry.manifest(&sig_tag()), before);
}

#[tokio::test]
async fn nothing_and_other_tags_are_not_appended_to() {
    let door = Double::default().door().await;
    let image = image(&door.repository());
    let nothing = sign(&door, &[]).await;
    assert!(matches!(nothing, Err(Error::Empty { .. })));
    for tag in [Tag::Referrers, Tag::Sbom] {
        let refused = store::append(&door.client(), &image, tag, &[signature("a")], &never).await;
        assert!(matches!(refused, Err(Error::Tag { .. })));
    }
    assert!(door.seen().is_empty());
}
