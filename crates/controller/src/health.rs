//! Whether the controller is alive and able to work: told by the work, read by the server.
//!
//! *Alive* is about the process: its loop has gone round lately. A process that is not is to be killed. *Ready* is about what is around
//! it: somebody has to mend a configuration, a key, the API server, and killing would help nobody. A replica that stands by is ready.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tekseal_core::is_invisible;
use tekseal_core::run::RunKind;

/// A loop that has not gone round for so long hangs.
const ALIVE: Duration = Duration::from_secs(60);

/// What is known of the controller's state; shared by reference.
pub struct Health(Mutex<State>);

struct State {
    beat: Instant,
    configuration: Result<(), String>,
    key: Result<(), String>,
    task_runs: Watch,
    pipeline_runs: Watch,
}

/// A watch, and since when it is broken.
#[derive(Default)]
struct Watch(Option<(Timestamp, String)>);

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Alive since now; neither configuration nor key are there yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(State {
            beat: Instant::now(),
            configuration: Err("it was not read yet".to_owned()),
            key: Err("it was not opened yet".to_owned()),
            task_runs: Watch::default(),
            pipeline_runs: Watch::default(),
        }))
    }

    /// The loop goes round: to be told more than once a minute, also by a replica that stands by.
    pub fn beat(&self) {
        self.state().beat = Instant::now();
    }

    /// The configuration that is there now can be used, or why not. To work on with the last good one is to be told as `Ok`, or runs of
    /// the metrics and of a rollout would stop for a typing error.
    pub fn set_configuration(&self, configuration: Result<(), String>) {
        self.state().configuration = configuration;
    }

    /// The platform's key can be used, or why not. `Ok` also where the configuration signs nothing.
    pub fn set_key(&self, key: Result<(), String>) {
        self.state().key = key;
    }

    /// The watch of these runs tells what happens, or why not. Only the first reason of a break is kept.
    pub fn set_watch(&self, kind: RunKind, watch: Result<(), String>) {
        let mut state = self.state();
        let of_kind = match kind {
            RunKind::TaskRun => &mut state.task_runs,
            RunKind::PipelineRun => &mut state.pipeline_runs,
        };
        match watch {
            Ok(()) => of_kind.0 = None,
            Err(reason) => {
                of_kind.0.get_or_insert_with(|| (Timestamp::now(), reason));
            }
        }
    }

    /// Whether the loop went round lately.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_alive_at(Instant::now())
    }

    /// What keeps the controller from working: one line each, none where it is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let state = self.state();
        let mut reasons = Vec::new();
        if let Err(reason) = &state.configuration {
            reasons.push(format!("no usable configuration: {reason}"));
        }
        if let Err(reason) = &state.key {
            reasons.push(format!("no usable key: {reason}"));
        }
        for (kind, watch) in [
            (RunKind::TaskRun, &state.task_runs),
            (RunKind::PipelineRun, &state.pipeline_runs),
        ] {
            if let Some((since, reason)) = &watch.0 {
                reasons.push(format!(
                    "watch of {kind}s broken since {since:.0}: {reason}"
                ));
            }
        }
        reasons.iter().map(|reason| one_line(reason)).collect()
    }

    fn is_alive_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.state().beat) <= ALIVE
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: there is no half-changed state to be afraid of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reasons come from outside in part.
fn one_line(text: &str) -> String {
    let visible = |c| if is_invisible(c) { ' ' } else { c };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_hangs_is_not_alive() {
        let health = Health::new();
        let now = Instant::now();
        assert!(health.is_alive_at(now + ALIVE - Duration::from_secs(1)));
        assert!(!health.is_alive_at(now + ALIVE + Duration::from_secs(1)));
        health.beat();
        assert!(health.is_alive());
    }

    #[test]
    fn what_is_missing_is_told_until_it_is_there() {
        let health = Health::new();
        assert_eq!(
            health.reasons(),
            [
                "no usable configuration: it was not read yet",
                "no usable key: it was not opened yet"
            ]
        );
        health.set_configuration(Ok(()));
        health.set_key(Err("bad\npassword".to_owned()));
        assert_eq!(health.reasons(), ["no usable key: bad password"]);
        health.set_key(Ok(()));
        assert_eq!(health.reasons(), [""; 0]);
    }

    #[test]
    fn a_watch_is_broken_since_its_first_error() {
        let health = Health::new();
        health.set_configuration(Ok(()));
        health.set_key(Ok(()));
        health.set_watch(RunKind::PipelineRun, Err("no answer".to_owned()));
        health.set_watch(RunKind::PipelineRun, Err("another".to_owned()));
        health.set_watch(RunKind::TaskRun, Ok(()));
        let reasons = health.reasons();
        let [reason] = &reasons[..] else {
            panic!("{reasons:?}")
        };
        assert!(
            reason.starts_with("watch of PipelineRuns broken since 2"),
            "{reason}"
        );
        assert!(reason.ends_with("Z: no answer"), "{reason}");
        health.set_watch(RunKind::PipelineRun, Ok(()));
        assert_eq!(health.reasons(), [""; 0]);
    }
}
