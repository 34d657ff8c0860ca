//! What tenants may store in their runs, and what it must not do to the controller: use up its memory, or end its watch for everybody.

use std::fs;

use serde_json::{Value, json};
use tekseal_harness::{Running, object_path};

use super::stand::{OCI, REASON, SIGNED, Stand, annotation};

/// What the Deployment lets the controller have.
const LIMIT_MIB: f64 = 64.0;

/// The most memory that the program ever had, in MiB.
fn peak_mib(program: &Running) -> f64 {
    let file = format!("/proc/{}/status", program.id());
    let text = fs::read_to_string(&file).expect("the program runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    let kib: f64 = kib
        .and_then(|word| word.parse().ok())
        .expect("it has a peak");
    kib / 1024.0
}

#[test]
fn large_runs_that_are_listed_at_a_start_are_signed_within_the_memory_limit() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let large = "x".repeat(1_200_000);
    let runs: Vec<Value> = (0..60)
        .map(|i| {
            let run = stand.completed(&format!("build-{i}"), stand.image_results());
            let path = format!("{}/status", object_path(&run));
            stand.api.patch(
                &path,
                &json!({"status": {"taskSpec": {"description": large}}}),
            )
        })
        .collect();
    let controller = stand.start();
    for run in &runs {
        let run = stand.wait_marked(run);
        assert_eq!(
            annotation(&run, SIGNED),
            Some("true"),
            "{:?}",
            annotation(&run, REASON)
        );
    }
    let peak = peak_mib(&controller);
    println!("peak {peak:.1} MiB");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}
