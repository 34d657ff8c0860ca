//! Several writers of one tag, forced into each other's way: nobody's signature may be lost.

use std::time::Duration;

use tekseal_core::Signed;
use tekseal_core::cosign::Tag;
use tekseal_remote::registry::Blame;
use tekseal_remote::store::{self, Error, Outcome, Stored};
use tokio::task::JoinHandle;

use crate::double::{Door, Double, Gate, Moment, soon};
use crate::{attestation, image, layers, never, same_payload, sig_tag, signature};

/// A writer at a door of its own.
struct Writer {
    door: Door,
    name: &'static str,
}

impl Writer {
    async fn new(registry: &Double, name: &'static str) -> Self {
        Self {
            door: registry.door().await,
            name,
        }
    }

    fn start(&self) -> JoinHandle<Result<Stored, Error>> {
        let (client, image, new) = (
            self.door.client(),
            image(&self.door.repository()),
            [signature(self.name)],
        );
        tokio::spawn(
            async move { store::append(&client, &image, Tag::Signatures, &new, &never).await },
        )
    }

    /// Holds back the write of the tag, and the look back.
    fn hold(&self) -> (Gate, Gate) {
        let gate = |method| self.door.hold(method, "/manifests/", Moment::Before);
        (gate("PUT"), gate("HEAD"))
    }

    fn writes(&self) -> usize {
        self.door.count("PUT", "/manifests/")
    }
}

async fn finished(writer: JoinHandle<Result<Stored, Error>>) -> Stored {
    soon(writer)
        .await
        .expect("no writer panics")
        .expect("every writer gets there")
}

/// The tag holds exactly the signatures of these, and what was confirmed to each of them held his.
fn assert_kept(registry: &Double, writers: &[(&Writer, Stored)]) {
    let mut held = layers(&registry.manifest(&sig_tag()).expect("the tag is there"));
    for (writer, stored) in writers {
        let own = signature(writer.name).layer_digest().to_string();
        assert_eq!(stored.outcomes, [Outcome::Added], "{}", writer.name);
        let confirmed = registry
            .manifest(stored.manifest_digest.as_str())
            .expect("it was confirmed");
        assert!(layers(&confirmed).contains(&own), "{}", writer.name);
        assert!(
            held.contains(&own),
            "the signature of {} is lost",
            writer.name
        );
        held.retain(|layer| *layer != own);
    }
    assert!(held.is_empty(), "more than was written: {held:?}");
}

#[tokio::test]
async fn both_look_then_a_writes_then_b_writes_then_a_looks_back() {
    let registry = Double::default();
    let (a, b) = (
        Writer::new(&registry, "a").await,
        Writer::new(&registry, "b").await,
    );
    let (a_gates, b_gates) = (a.hold(), b.hold());
    let (a_run, b_run) = (a.start(), b.start());
    b_overwrites_a(&registry, (&a, a_gates), (&b, b_gates)).await;
    let (a_stored, b_stored) = (finished(a_run).await, finished(b_run).await);
    assert_kept(&registry, &[(&a, a_stored), (&b, b_stored)]);
}

/// Both have looked; a writes, then b, and only then may a look back.
async fn b_overwrites_a(
    registry: &Double,
    (a, a_gates): (&Writer, (Gate, Gate)),
    (b, b_gates): (&Writer, (Gate, Gate)),
) {
    let (a_write, mut a_back) = about_to_write(a, a_gates).await;
    let (b_write, mut b_back) = about_to_write(b, b_gates).await;
    a_write.release();
    a_back.arrived().await;
    b_write.release();
    b_back.arrived().await;
    assert_eq!(
        layers(&registry.manifest(&sig_tag()).expect("b wrote")).len(),
        1,
        "b overwrote a"
    );
    a_back.release();
    b_back.release();
}

/// Waits until the write is held. A HEAD that comes before it is the second look of a writer on a slow machine: it is let through,
/// and the one after the write is held instead.
async fn about_to_write(writer: &Writer, (mut write, mut back): (Gate, Gate)) -> (Gate, Gate) {
    loop {
        let is_here = tokio::select! {
            biased;
            () = write.arrived() => true,
            () = back.arrived() => false,
        };
        if is_here {
            return (write, back);
        }
        back.release();
        back = writer.door.hold("HEAD", "/manifests/", Moment::Before);
    }
}

#[tokio::test]
async fn who_need_not_wait_looks_back_at_once_and_leaves_the_settling_to_the_caller() {
    let registry = Double::default();
    let a = Writer::new(&registry, "a").await;
    let (image, new) = (image(&a.door.repository()), [signature("a")]);
    let client = a.door.client();
    let early = || store::append_early(&client, &image, Tag::Signatures, &new, &never);
    let (stored, left) = soon(early()).await.expect("nobody is in the way");
    let left = left.expect("it has not settled");
    assert!(left >= Duration::from_millis(45), "{left:?}");
    assert!(a.door.count("HEAD", "/manifests/") >= 1, "it looked back");
    assert_kept(&registry, &[(&a, stored.clone())]);

    let (again, left) = soon(early()).await.expect("nobody is in the way");
    assert_eq!(left, None, "nothing was written that has to settle");
    assert_eq!(
        (again.manifest_digest, again.outcomes),
        (stored.manifest_digest, vec![Outcome::AlreadyThere])
    );
}

#[tokio::test]
async fn who_is_overwritten_before_the_look_at_once_waits_as_everybody_does() {
    let registry = Double::default();
    let (a, b) = (
        Writer::new(&registry, "a").await,
        Writer::new(&registry, "b").await,
    );
    let (a_gates, b_gates) = (a.hold(), b.hold());
    let (client, of_a) = (a.door.client(), image(&a.door.repository()));
    let a_run = tokio::spawn(async move {
        let new = [signature("a")];
        store::append_early(&client, &of_a, Tag::Signatures, &new, &never).await
    });
    let b_run = b.start();
    b_overwrites_a(&registry, (&a, a_gates), (&b, b_gates)).await;
    let (a_stored, left) = soon(a_run).await.expect("it ends").expect("it gets there");
    assert_eq!(left, None, "it waited");
    let b_stored = finished(b_run).await;
    assert_kept(&registry, &[(&a, a_stored), (&b, b_stored)]);
}

#[tokio::test]
async fn a_writes_and_is_confirmed_while_the_uploads_of_b_are_under_way() {
    let registry = Double::default();
    let (a, b) = (
        Writer::new(&registry, "a").await,
        Writer::new(&registry, "b").await,
    );
    let mut upload = b.door.hold("PUT", "/uploads/", Moment::Before);
    let b_run = b.start();
    upload.arrived().await;
    let a_stored = finished(a.start()).await;
    upload.release();
    let b_stored = finished(b_run).await;
    assert_kept(&registry, &[(&a, a_stored), (&b, b_stored)]);
    assert_eq!(
        (a.writes(), b.writes()),
        (1, 1),
        "b saw in time that the tag had changed"
    );
}

#[tokio::test]
async fn an_answer_to_the_second_look_that_is_late_is_not_believed() {
    let registry = Double::default();
    let (a, b) = (
        Writer::new(&registry, "a").await,
        Writer::new(&registry, "b").await,
    );
    let mut upload = b.door.hold("PUT", "/uploads/", Moment::Before);
    let mut second_look = b.door.hold("HEAD", "/manifests/", Moment::After);
    let b_run = b.start();
    upload.arrived().await;
    // Something that takes longer than a look may be old.
    let other = [attestation("payload", "random")];
    let (client, place) = (a.door.client(), image(&a.door.repository()));
    soon(store::append(
        &client,
        &place,
        Tag::Attestations,
        &other,
        &same_payload,
    ))
    .await
    .expect("alone there");
    upload.release();
    second_look.arrived().await;
    let a_stored = finished(a.start()).await;
    second_look.release();
    let b_stored = finished(b_run).await;
    assert_kept(&registry, &[(&a, a_stored), (&b, b_stored)]);
    assert_eq!(b.writes(), 1, "b saw in time that the tag had changed");
}

#[tokio::test]
async fn three_writers_overwrite_each_other_and_all_of_them_stay() {
    let registry = Double::default();
    let writers = [
        Writer::new(&registry, "a").await,
        Writer::new(&registry, "b").await,
        Writer::new(&registry, "c").await,
    ];
    let gates: Vec<_> = writers.iter().map(Writer::hold).collect();
    let runs: Vec<_> = writers.iter().map(Writer::start).collect();
    let mut held = Vec::new();
    for (writer, gates) in writers.iter().zip(gates) {
        held.push(about_to_write(writer, gates).await);
    }
    let mut backs = Vec::new();
    for (write, mut back) in held {
        write.release();
        back.arrived().await;
        backs.push(back);
    }
    assert_eq!(
        layers(&registry.manifest(&sig_tag()).expect("c wrote")).len(),
        1,
        "c overwrote both"
    );
    backs.into_iter().for_each(Gate::release);
    let mut stored = Vec::new();
    for (writer, run) in writers.iter().zip(runs) {
        stored.push((writer, finished(run).await));
    }
    assert_kept(&registry, &stored);
}

#[tokio::test]
async fn a_write_that_was_answered_500_but_took_effect_is_found_and_not_repeated() {
    let registry = Double::default();
    let a = Writer::new(&registry, "a").await;
    a.door.fail("PUT", "/manifests/", Moment::After);
    let stored = finished(a.start()).await;
    assert_kept(&registry, &[(&a, stored)]);
    assert_eq!(a.writes(), 1);
}

#[tokio::test]
async fn a_write_that_failed_is_tried_again_only_after_another_look() {
    let registry = Double::default();
    let (a, b) = (
        Writer::new(&registry, "a").await,
        Writer::new(&registry, "b").await,
    );
    a.door.fail("PUT", "/manifests/", Moment::Before);
    let mut look = a.door.hold("GET", "/manifests/", Moment::Before);
    let a_run = a.start();
    look.arrived().await;
    look.release();
    let mut second = a.door.hold("GET", "/manifests/", Moment::Before);
    second.arrived().await;
    let b_stored = finished(b.start()).await;
    second.release();
    let a_stored = finished(a_run).await;
    assert_kept(&registry, &[(&a, a_stored), (&b, b_stored)]);
    assert_eq!(a.writes(), 2);
}

#[tokio::test]
async fn somebody_who_knows_no_rules_is_seen_when_he_overwrites_us() {
    let registry = Double::default();
    let a = Writer::new(&registry, "a").await;
    let gates = a.hold();
    let run = a.start();
    let (write, mut back) = about_to_write(&a, gates).await;
    write.release();
    back.arrived().await;
    let config = registry.put_blob(b"{}");
    let foreign = signature("foreign");
    registry.put_blob(foreign.layer());
    let text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":2,"digest":"{config}"}},"layers":[{{"mediaType":"t","size":{},"digest":"{}"}}]}}"#,
        foreign.layer().len(),
        foreign.layer_digest()
    );
    registry.put_manifest(&sig_tag(), store::manifest::OCI_MANIFEST, text.as_bytes());
    back.release();
    let stored = finished(run).await;
    let held = layers(&registry.manifest(&sig_tag()).expect("the tag is there"));
    assert_eq!(
        held,
        [
            foreign.layer_digest().to_string(),
            signature("a").layer_digest().to_string()
        ]
    );
    assert_eq!(stored.outcomes, [Outcome::Added]);
    assert_eq!(a.writes(), 2);
}

#[tokio::test]
async fn two_runs_of_the_same_signer_at_the_same_time_leave_one_layer() {
    let registry = Double::default();
    let (a, b) = (registry.door().await, registry.door().await);
    let attest = |door: &Door, random: &str| {
        let (client, image, new) = (
            door.client(),
            image(&door.repository()),
            [attestation("payload", random)],
        );
        async move { store::append(&client, &image, Tag::Attestations, &new, &same_payload).await }
    };
    let mut upload = b.hold("PUT", "/uploads/", Moment::Before);
    let slow = tokio::spawn(attest(&b, "random 2"));
    upload.arrived().await;
    soon(attest(&a, "random 1")).await.expect("a gets there");
    upload.release();
    let slow = finished(slow).await;
    assert_eq!(slow.outcomes, [Outcome::AlreadyThere]);
    assert_eq!(
        layers(
            &registry
                .manifest(&crate::att_tag())
                .expect("the tag is there")
        )
        .len(),
        1
    );
    assert_eq!(b.count("PUT", "/manifests/"), 0);
}

#[tokio::test]
async fn a_tag_that_never_stays_is_given_up_in_time() {
    let registry = Double::default();
    registry.forget_tags();
    let door = registry.door().await;
    let (client, image, new) = (door.client(), image(&door.repository()), [signature("a")]);
    let patience = Duration::from_millis(300);
    let run = store::append_within(&client, &image, Tag::Signatures, &new, &never, patience);
    let error = soon(run).await.expect_err("the tag is never there");
    assert!(
        matches!(&error, Error::Lost { writes, .. } if *writes > 0),
        "{error:?}"
    );
    assert_eq!(error.blame(), Blame::Outside);
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
    let registry = Double::default();
    let names: Vec<String> = (0..6).map(|number| format!("writer {number}")).collect();
    let mut runs = Vec::new();
    for name in &names {
        let door = registry.door().await;
        let new: [Signed; 1] = [signature(name)];
        runs.push(tokio::spawn(async move {
            let image = image(&door.repository());
            store::append(&door.client(), &image, Tag::Signatures, &new, &never).await
        }));
    }
    for run in runs {
        finished(run).await;
    }
    let mut held = layers(&registry.manifest(&sig_tag()).expect("the tag is there"));
    let mut wanted: Vec<String> = names
        .iter()
        .map(|name| signature(name).layer_digest().to_string())
        .collect();
    held.sort();
    wanted.sort();
    assert_eq!(held, wanted);
}
