//! Another writer of the same tag, who does not look: what he takes away after the run was marked is noticed and stored again, or the mark
//! is taken back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tekseal_harness::{Moment, Proxy, Running, Seen};

use super::stand::{PATIENCE, REASON, SIGNED, Stand, annotation, is_signed_once};

/// How long the registry takes for a write, so that it counts as settled only half as much again later.
const SLOW: Duration = Duration::from_millis(1200);

/// A run that was marked a moment ago, and whose signature has not settled.
pub(super) struct Fresh {
    pub(super) run: Value,
    pub(super) tag: String,
    controller: Running,
}

pub(super) fn marked(stand: &Stand, proxy: &Proxy, results: Value) -> Fresh {
    let held = proxy
        .on("PUT", "/manifests/")
        .hold(Moment::BeforeForwarding);
    let controller = stand.start();
    let run = stand.completed("build", results);
    held.wait_until_holding(2);
    sleep(SLOW);
    held.release();
    Fresh {
        run: stand.wait_marked(&run),
        tag: format!("{}.sig", stand.digest.replace(':', "-")),
        controller,
    }
}

/// Writes a signature of somebody else over what is under the tag; gives the digests of both.
pub(super) fn overwrite(stand: &Stand, tag: &str) -> [Value; 2] {
    let ours = stand.registry.manifest("team/app", tag);
    let ours = ours.expect("the run says signed");
    let mut theirs = ours.json();
    let content = b"of another signer";
    let layer = stand.registry.push_blob("team/app", content);
    theirs["layers"][0]["digest"] = layer.clone().into();
    theirs["layers"][0]["size"] = content.len().into();
    let bytes = theirs.to_string();
    stand
        .registry
        .put_manifest("team/app", tag, &ours.media_type, bytes.as_bytes());
    [layer.into(), ours.json()["layers"][0]["digest"].clone()]
}

pub(super) fn layers(stand: &Stand, tag: &str) -> Vec<Value> {
    let manifest = stand.registry.manifest("team/app", tag);
    let manifest = manifest.expect("somebody wrote it").json();
    let layers = manifest["layers"].as_array().expect("a list");
    layers.iter().map(|layer| layer["digest"].clone()).collect()
}

#[test]
fn what_another_writer_takes_away_after_the_mark_is_stored_again() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let fresh = marked(&stand, &proxy, results);
    assert_eq!(annotation(&fresh.run, SIGNED), Some("true"));
    let both = overwrite(&stand, &fresh.tag);
    let deadline = Instant::now() + PATIENCE;
    while layers(&stand, &fresh.tag) != both {
        assert!(Instant::now() < deadline, "ours is lost");
        sleep(Duration::from_millis(20));
    }
    let run = stand.wait(&fresh.run, |_| true);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    stand.verify(&stand.image()).ok();
}

#[test]
fn a_mark_is_taken_back_while_what_was_taken_away_cannot_be_stored_again() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_ill = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&is_ill);
    proxy
        .when(move |_| ill.load(Ordering::Relaxed))
        .answer(503, &[], b"");
    let fresh = marked(&stand, &proxy, results);
    is_ill.store(true, Ordering::Relaxed);
    let ours = stand.registry.manifest("team/app", &fresh.tag);
    let ours = ours.expect("the run says signed");
    stand.registry.delete_manifest("team/app", &ours.digest);
    let run = stand.wait(&fresh.run, |run| annotation(run, SIGNED).is_none());
    let note = stand.wait_event(&run, "SignatureLost");
    assert!(note.contains(&stand.digest), "{note}");
    is_ill.store(false, Ordering::Relaxed);
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
fn a_controller_that_is_stopped_takes_back_the_mark_of_what_it_finds_lost() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_ill = Arc::new(AtomicBool::new(false));
    let now = || {
        let ill = Arc::clone(&is_ill);
        move || ill.load(Ordering::Relaxed)
    };
    let (is_read, is_written) = (now(), now());
    let reads = |seen: &Seen| matches!(seen.method.as_str(), "GET" | "HEAD");
    let looks = proxy
        .when(move |seen| is_read() && reads(seen))
        .hold(Moment::BeforeForwarding);
    proxy
        .when(move |seen| is_written() && !reads(seen))
        .answer(403, &[], b"");
    let fresh = marked(&stand, &proxy, results);
    is_ill.store(true, Ordering::Relaxed);
    let ours = stand.registry.manifest("team/app", &fresh.tag);
    let ours = ours.expect("the run says signed");
    stand.registry.delete_manifest("team/app", &ours.digest);
    looks.wait_until_held();
    fresh.controller.signal("TERM");
    sleep(SLOW);
    looks.release();
    assert_eq!(fresh.controller.wait().code(), Some(0));
    let run = stand.wait(&fresh.run, |_| true);
    assert_eq!(annotation(&run, SIGNED), None);
    let reason = annotation(&run, REASON).expect("it says why");
    assert!(reason.starts_with("the mark is taken back: "), "{reason}");
    is_ill.store(false, Ordering::Relaxed);
    let _controller = stand.start();
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
fn a_registry_that_forgets_what_it_confirmed_is_tried_less_and_less() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_ill = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&is_ill);
    proxy
        .when(move |_| ill.load(Ordering::Relaxed))
        .answer(503, &[], b"");
    let turn = Arc::new(AtomicUsize::new(0));
    let gate = |at| {
        let turn = Arc::clone(&turn);
        let is_now =
            move |seen: &Seen| seen.is("PUT", "/manifests/") && turn.load(Ordering::Relaxed) == at;
        proxy.when(is_now).hold(Moment::BeforeForwarding)
    };
    let _controller = stand.start();
    let mut held = gate(0);
    let mut run = stand.completed("build", results);
    let tag = format!("{}.sig", stand.digest.replace(':', "-"));
    for (at, retries, wait) in [(1, "0", 1), (2, "1", 2)] {
        held.wait_until_held();
        sleep(SLOW);
        held.release();
        run = stand.wait_marked(&run);
        assert_eq!(annotation(&run, REASON), None);
        let manifest = stand.registry.manifest("team/app", &tag);
        let manifest = manifest.expect("the run says signed").digest;
        is_ill.store(true, Ordering::Relaxed);
        stand.registry.delete_manifest("team/app", &manifest);
        held = gate(at);
        turn.store(at, Ordering::Relaxed);
        run = stand.wait(&run, |run| annotation(run, SIGNED).is_none());
        let taken_back = Instant::now();
        let tried = annotation(&run, "chains.tekton.dev/retries");
        assert_eq!(tried, Some(retries), "it counts as a failed attempt");
        assert!(annotation(&run, REASON).is_some());
        is_ill.store(false, Ordering::Relaxed);
        held.wait_until_held();
        let took = taken_back.elapsed();
        assert!(took + SLOW / 4 > Duration::from_secs(wait), "{took:?}");
    }
    held.release();
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
fn looks_back_do_not_keep_a_program_that_is_to_end() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_ill = Arc::new(AtomicBool::new(false));
    let ill = Arc::clone(&is_ill);
    let hanging = proxy
        .when(move |_| ill.load(Ordering::Relaxed))
        .hold(Moment::BeforeForwarding);
    let fresh = marked(&stand, &proxy, results);
    is_ill.store(true, Ordering::Relaxed);
    hanging.wait_until_held();
    let begun = Instant::now();
    fresh.controller.signal("TERM");
    let out = fresh.controller.wait();
    let took = begun.elapsed();
    assert_eq!(out.code(), Some(0), "{}", out.stderr);
    assert!(took < Duration::from_secs(8), "{took:?}");
}
