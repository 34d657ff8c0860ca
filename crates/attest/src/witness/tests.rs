//! What would be asked, without asking anybody.

use std::time::Duration;

use tekseal_core::{Blame, Bundle, DigestRef, Layout, Payload, Signed, Subject};
use tekseal_remote::log::Options;
use tekseal_signing::{Signer, VerifyingKey, random};
use tokio::time::timeout;

use super::*;

fn signer() -> Signer {
    Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("{e}"))
}

fn image() -> DigestRef {
    let text = format!("registry.example/team/app@sha256:{}", "a1".repeat(32));
    DigestRef::parse(&text).expect("a good reference")
}

fn statement(bytes: &[u8], subjects: Vec<Subject>) -> Payload {
    Payload::statement("t", "urn:t", bytes.to_vec(), subjects)
}

fn log(version: LogVersion) -> (Rekor, EnvelopeEntry) {
    let rekor = Rekor::new("http://log.example", version, &Options::default());
    (rekor.expect("a good URL"), EnvelopeEntry::Dsse)
}

fn witnesses(versions: &[LogVersion], authorities: usize) -> Witnesses {
    let authorities = (0..authorities).map(|n| authority(&format!("http://time.example/{n}")));
    let logs = versions.iter().copied().map(log).collect();
    let trust = Some(Arc::new(Trust::default()));
    Witnesses::new(logs, authorities.collect(), trust, now).unwrap_or_else(|e| panic!("{e}"))
}

fn authority(url: &str) -> TimestampAuthority {
    TimestampAuthority::new(url, &Options::default()).expect("a good URL")
}

fn now() -> i64 {
    1_800_000_000
}

/// The positions about which a log is asked together, and about which an authority is.
fn asked(witnesses: &Witnesses, layout: Layout) -> (Vec<Vec<usize>>, Vec<usize>) {
    let signer = signer();
    let image = image();
    let payloads = [
        Payload::simple_signing(&image),
        statement(b"{}", vec![Subject::of_image(&image)]),
    ];
    let items = tekseal_harness::at_once(crate::sign(&signer, &payloads, layout)).expect("sound");
    let all: Vec<usize> = (0..items.len()).collect();
    let questions = witnesses.questions(&items, &all, signer.verifying());
    let (mut logs, mut stamps) = (Vec::new(), Vec::new());
    for question in questions.expect("small") {
        match question {
            Question::Log { items, .. } => logs.push(items),
            Question::Stamp { item, .. } => stamps.push(item),
        }
    }
    (logs, stamps)
}

#[test]
fn one_signature_is_one_entry_and_a_log_v2_is_told_of_bundles_alone() {
    let v1 = witnesses(&[LogVersion::V1], 1);
    let v2 = witnesses(&[LogVersion::V2], 2);
    for (layout, first, second, items) in [
        (Layout::Tags, vec![vec![0], vec![1]], vec![], 2),
        (
            Layout::Bundle,
            vec![vec![0], vec![1]],
            vec![vec![0], vec![1]],
            2,
        ),
        // The attestation is 2 and 3; the two image signatures are over two documents.
        (
            Layout::Both,
            vec![vec![0], vec![1], vec![2, 3]],
            vec![vec![1], vec![3]],
            4,
        ),
    ] {
        let all: Vec<usize> = (0..items).collect();
        assert_eq!(asked(&v1, layout), (first, all.clone()), "{layout:?}");
        let twice = [all.clone(), all].concat();
        assert_eq!(asked(&v2, layout), (second, twice), "{layout:?}");
    }
}

/// Several copies are made of what is asked about: together there are never more than there is room for.
#[tokio::test]
async fn what_is_large_waits_until_there_is_room() {
    let (signer, image) = (signer(), image());
    let of = |bytes: usize| statement(&vec![b' '; bytes], vec![Subject::of_image(&image)]);
    let payloads = [of(1 << 20), of(16), of(32 << 20)];
    let items =
        tekseal_harness::at_once(crate::sign(&signer, &payloads, Layout::Bundle)).expect("sound");
    let all = witnesses(&[LogVersion::V2], 1).0;
    let stamp = |item: usize| Question::Stamp { authority: 0, item };
    let log = |item: usize| Question::Log {
        log: 0,
        items: vec![item],
    };
    let free = || all.room.available_permits();
    let whole = free();
    assert_eq!(whole, ROOM_KIB as usize);
    let small = all.room_for(&stamp(1), &items).await;
    assert_eq!(
        free(),
        whole - LEAST_KIB as usize,
        "the least that one takes"
    );
    let large = all.room_for(&log(0), &items).await;
    let copies = COPIES * items[0].signed.layer().len() / 1024;
    assert_eq!(free(), whole - LEAST_KIB as usize - copies);
    // More than there is room for at all has to be alone.
    let alone = stamp(2);
    let mut waiting = std::pin::pin!(all.room_for(&alone, &items));
    let wait = Duration::from_millis(20);
    assert!(timeout(wait, &mut waiting).await.is_err());
    drop(small);
    assert!(timeout(wait, &mut waiting).await.is_err());
    drop(large);
    let _alone = waiting.await;
    assert_eq!(free(), 0);
}

#[test]
fn without_a_trusted_root_only_a_log_v1_is_asked() {
    let of = |versions: &[LogVersion], authorities: usize| {
        let authorities = vec![authority("http://time.example/x"); authorities];
        let logs = versions.iter().copied().map(log).collect();
        Witnesses::new(logs, authorities, None, now).err()
    };
    assert_eq!(of(&[LogVersion::V1], 0), None);
    assert_eq!(of(&[LogVersion::V1, LogVersion::V2], 0), Some(NoTrust::Log));
    assert_eq!(of(&[LogVersion::V1], 1), Some(NoTrust::Timestamps));
}

#[test]
fn one_that_is_named_twice_is_asked_once() {
    let urls = ["http://a.example", "http://b.example", "http://a.example/"];
    let authorities = urls.map(authority).into();
    let logs = [LogVersion::V1, LogVersion::V2, LogVersion::V1].map(log);
    let trust = Some(Arc::new(Trust::default()));
    let once = Witnesses::new(logs.into(), authorities, trust, now).expect("it is trusted");
    let told = once.0.logs.iter().map(|log| log.rekor.version());
    assert_eq!(told.collect::<Vec<_>>(), [LogVersion::V1, LogVersion::V2]);
    let asked: Vec<_> = once.0.authorities.iter().map(|one| one.url()).collect();
    assert_eq!(asked, ["http://a.example/", "http://b.example/"]);
}

#[test]
fn what_is_too_large_or_of_another_key_is_told_before_anything_is_sent() {
    let signer = signer();
    let large = vec![b'x'; LARGEST_PROPOSAL];
    let payloads = [
        statement(b"{}", vec![Subject::of_image(&image())]),
        statement(&large, vec![Subject::of_image(&image())]),
    ];
    let items =
        tekseal_harness::at_once(crate::sign(&signer, &payloads, Layout::Both)).expect("sound");
    let key = signer.verifying();
    let refused = |versions: &[LogVersion], key: &VerifyingKey| {
        let questions = witnesses(versions, 0).questions(&items, &[0, 1, 2, 3], key);
        questions.err().map(|failure| (failure.blame(), failure))
    };
    let (blame, failure) = refused(&[LogVersion::V1], key).expect("it is too large");
    assert!(matches!(failure.cause, Cause::TooLarge { .. }), "{failure}");
    assert_eq!(blame, Blame::Artifact);
    let what = format!(
        "cannot get a witness of the attestation of type urn:t of {}",
        image()
    );
    assert_eq!(failure.to_string(), what);
    // A digest is small.
    assert!(refused(&[LogVersion::V2], key).is_none());
    let other = self::signer();
    let (blame, failure) = refused(&[LogVersion::V2], other.verifying()).expect("another key");
    assert!(matches!(failure.cause, Cause::Unsigned(_)), "{failure}");
    assert_eq!(blame, Blame::Artifact);
}

#[test]
fn what_was_signed_with_a_certificate_that_has_ended_is_shown_to_nobody() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/cosign-samples/keyless-v3-bundle-rekor1/blobs"
    );
    let mut files = std::fs::read_dir(folder).expect("the samples of cosign");
    let (bytes, evidence) = files
        .find_map(|file| {
            let bytes = std::fs::read(file.ok()?.path()).ok()?;
            let evidence = Bundle::parse(&bytes).ok()?.evidence;
            Some((bytes, evidence))
        })
        .expect("there is a bundle");
    let der = evidence.certificate.expect("it is keyless");
    let certificate = tekseal_signing::Certificate::from_der(&der).expect("Fulcio's");
    let key = VerifyingKey::over_sha256(certificate.public_key().clone());
    let item = Item {
        signed: Signed::bundle_of_bytes(bytes, "urn:t"),
        kind: statement(b"{}", Vec::new()).kind().clone(),
        subjects: vec![Subject::of_image(&image())],
        repository: None,
    };
    let failure = witnesses(&[LogVersion::V1], 0)
        .questions(&[item], &[0], &key)
        .err()
        .expect("it ended long ago");
    assert!(
        matches!(
            failure.cause,
            Cause::Certificate(certificate::Error::Expired { .. })
        ),
        "{failure:?}"
    );
    assert_eq!(failure.blame(), Blame::Artifact);
    assert!(
        failure
            .hint()
            .is_some_and(|hint| hint.contains("sign again"))
    );
}

#[test]
fn logs_of_the_second_version_tell_no_time() {
    for (versions, authorities, tell) in [
        (&[LogVersion::V2][..], 0, false),
        (&[LogVersion::V2], 1, true),
        (&[LogVersion::V1], 0, true),
        (&[], 1, true),
    ] {
        assert_eq!(witnesses(versions, authorities).tell_time(), tell);
    }
}
