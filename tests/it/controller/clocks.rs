//! A controller whose own clock is an hour ahead of the API server's or behind it: each run ends signed exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tekseal_harness::{Clock, Run, dynamic_program, object_path};

use super::replicas::{Replica, next_is_signed};
use super::stand::{
    CONTROLLER, REASON, Stand, annotation, date, is_signed_once, layers, results_at, time,
};

const HOUR: i64 = 3600;
/// From the end of a leader to the next run that is signed.
const FAIL_OVER: Duration = Duration::from_secs(20);

#[test]
fn a_controller_an_hour_ahead_signs_each_run_once() {
    runs_are_signed_once_with_a_clock_off_by(HOUR);
}

#[test]
fn a_controller_an_hour_behind_signs_each_run_once() {
    runs_are_signed_once_with_a_clock_off_by(-HOUR);
}

fn runs_are_signed_once_with_a_clock_off_by(shift: i64) {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let is_ill = Arc::new(AtomicBool::new(true));
    let ill = Arc::clone(&is_ill);
    proxy
        .when(move |seen| seen.is("PUT", "/manifests/") && ill.load(Ordering::Relaxed))
        .answer(403, &[], b"");
    let clock = Clock::make();
    let right = || Run::new(dynamic_program(CONTROLLER)).args(["--ignore-completed-before", "12h"]);
    let wrong = || clock.shift(right(), shift);

    let first = Replica::leading(&stand, wrong());
    is_off_by(&stand, shift);
    let second = Replica::standing_by(&stand, right());
    let deleted = deleted_before_it_is_signed(&stand, results);
    let mut runs = vec![
        build(&stand, "now", "now"),
        build(&stand, "old", "11 hours ago 30 minutes ago"),
        build(&stand, "from-an-hour-ahead", "1 hour"),
        build(&stand, "from-an-hour-behind", "1 hour ago"),
    ];
    for build in &runs {
        build.is_signed_once(&stand);
    }
    is_ill.store(false, Ordering::Relaxed);
    stand.wait_gone(&deleted);
    for suffix in ["sig", "att"] {
        let found = layers(&stand.registry, "team/app", &stand.digest, suffix);
        assert_eq!(found, 1, "a deleted run was let go without {suffix}");
    }

    // Times in a Lease are its holder's: neither must a wrong clock see a dead leader where there is none, nor the right one a living one.
    assert!(first.leads() && !second.leads());
    let ended = Instant::now();
    first.kill();
    runs.push(build(&stand, "after-the-wrong", "now"));
    let took = next_is_signed(&stand, FAIL_OVER, ended);
    println!("{took:?} after the one with the wrong clock was killed");
    let third = Replica::standing_by(&stand, wrong());
    runs.push(build(&stand, "meanwhile", "now"));
    runs.last().expect("it was pushed").is_signed_once(&stand);
    assert!(second.leads() && !third.leads());
    let ended = Instant::now();
    second.kill();
    runs.push(build(&stand, "after-the-right", "now"));
    let took = next_is_signed(&stand, FAIL_OVER, ended);
    println!("{took:?} after the one with the right clock was killed");
    for build in &runs {
        build.is_signed_once(&stand);
    }
    stand.nothing_is_called_forged();
}

/// A run and its image.
struct Build {
    run: Value,
    repository: String,
    digest: String,
}

fn build(stand: &Stand, name: &str, completed: &str) -> Build {
    let repository = format!("team/{name}");
    let digest = stand.registry.push_image(&repository, "1").digest;
    // Completions must not lie before the controller's first start, which has whole seconds.
    let completed = time(&format!("{completed} 1 second"));
    // Not through the proxy: its registry answers.
    let results = results_at(stand.registry.address(), &repository, &digest);
    Build {
        run: stand.complete_at(stand.created(name), results, &completed),
        repository,
        digest,
    }
}

impl Build {
    #[track_caller]
    fn is_signed_once(&self, stand: &Stand) {
        let run = stand.wait_marked(&self.run);
        is_signed_once(&run, &stand.registry, &self.repository, &self.digest);
    }
}

/// A run that is deleted, and whose signature was tried in vain since.
fn deleted_before_it_is_signed(stand: &Stand, results: Value) -> Value {
    let run = stand.created("deleted");
    let run = stand.wait(&run, |run| run["metadata"]["finalizers"].is_array());
    let run = stand.complete(run, results);
    let run = stand.wait(&run, |run| annotation(run, REASON).is_some());
    stand.api.delete(&object_path(&run));
    let tried = |run: &Value| {
        let tried = annotation(run, "chains.tekton.dev/retries").unwrap_or_default();
        tried.parse().unwrap_or(0)
    };
    let before: u32 = tried(&run);
    // The attempt after the next one began after the deletion.
    stand.wait(&run, |run| tried(run) >= before + 2)
}

/// The leader writes its own time into the Lease.
#[track_caller]
fn is_off_by(stand: &Stand, shift: i64) {
    let leases = "/apis/coordination.k8s.io/v1/namespaces";
    let path = format!("{leases}/{}/leases/{CONTROLLER}", stand.system);
    let lease = stand.api.get(&path).expect("there is a leader");
    let renewed = lease["spec"]["renewTime"].as_str().expect("it is written");
    let seconds = |text: String| text.parse::<i64>().expect("a number");
    let theirs = seconds(date(&["-d", renewed, "+%s"]));
    let difference = theirs - seconds(date(&["+%s"])) - shift;
    assert!(difference.abs() < 120, "the clock is not off: {renewed}");
}
