//! What becomes of a run that is not signed now, or not any more: it is told, tried again, waits, is marked as failed, or is let go.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tekseal_cluster::{Change, RunRef, Seen, Severity};
use tekseal_controller::metrics::{ErrorType, FailureClass};
use tekseal_core::marks::{self, Outcome};
use tekseal_core::run::RunKind;
use tokio::time::Instant;

use super::{Attempt, CONFLICTS, Done, Fresh, Hold, Means, SOON, is_held};
use crate::decide::{self, Decision};
use crate::live::Live;
use crate::note;
use crate::queue::Settled;
use crate::trouble::{Stage, Trouble, chain};

/// When a PipelineRun that waits for children is looked at again, should their events be lost.
const CHILDREN: Duration = Duration::from_secs(30);
/// How long a PipelineRun waits for children in silence.
const QUIET: Duration = Duration::from_secs(10);

impl Attempt<'_> {
    /// Trouble on the way: it is told, and the run tried again, or marked as failed.
    pub(super) async fn failed(&self, fresh: &Fresh, means: &Means, trouble: Trouble) -> Done {
        let (class, stage, reason) = match trouble {
            Trouble::Gone => return self.lost(),
            Trouble::Blocked(reason) => return self.blocked(fresh, &reason).await,
            Trouble::Children(names) => {
                return self.wait_for_children(fresh, &names).await;
            }
            Trouble::Passing { stage, reason } => {
                self.context
                    .metrics
                    .failed(self.run.kind, error_type(stage));
                if !self.is_tried_for(&means.live) {
                    return self.again(Some(fresh), stage, reason).await;
                }
                let seconds = means.live.config.rules().retry_for.as_secs();
                let reason = format!("given up after {seconds} seconds: {reason}");
                (FailureClass::RetriesExhausted, stage, reason)
            }
            Trouble::Last { stage, reason } => {
                self.context
                    .metrics
                    .failed(self.run.kind, error_type(stage));
                (class_of(stage), stage, reason)
            }
        };
        tracing::error!(?stage, reason, "run cannot be signed");
        let written = match self
            .record(means, Outcome::Failed, &[], BTreeSet::new())
            .await
        {
            Ok(record) => {
                let change = note::of_end(
                    &fresh.seen,
                    Outcome::Failed,
                    record,
                    Some(&reason),
                    BTreeMap::new(),
                );
                self.write(&fresh.seen, change, Hold::Children).await
            }
            Err(trouble) => Err(trouble),
        };
        self.tell(Severity::Warning, "SigningFailed", &reason).await;
        match written {
            Ok(()) => {
                self.context.metrics.run_failed(&self.run.namespace, class);
                Done::marked()
            }
            Err(Trouble::Gone) => Done::nothing(),
            // Something is in the way of the mark, which need not be in the way of the finalizer.
            Err(_) if self.overdue(&fresh.seen) => self.release(&fresh.seen, &reason).await,
            Err(_) => self.again(None, stage, reason).await,
        }
    }

    /// Tried again later, which the run says.
    pub(super) async fn again(&self, fresh: Option<&Fresh>, stage: Stage, reason: String) -> Done {
        let history = &self.task.history;
        tracing::warn!(
            ?stage,
            attempt = history.attempts + 1,
            reason,
            "run is tried again later"
        );
        if let Some(fresh) = fresh {
            if self.overdue(&fresh.seen) {
                return self.release(&fresh.seen, &reason).await;
            }
            let text = format!("not signed yet, tried again later: {reason}");
            let change = note::of_wait(&fresh.seen, Some(history.attempts), &text);
            self.write_wait(fresh, change).await;
            if history.told.as_deref() != Some(&reason) {
                self.tell(Severity::Warning, "SigningDelayed", &text).await;
            }
        }
        Done::of(Settled::Again { told: Some(reason) })
    }

    pub(super) fn while_blocked(&self, told: Option<String>) -> Done {
        Done::of(Settled::Blocked { told })
    }

    pub(super) fn later(&self, wait: Duration, told: Option<String>) -> Done {
        Done::of(Settled::After { wait, told })
    }

    /// Waits for children, which is a matter of moments; a longer wait is told.
    pub(super) async fn wait_for_children(&self, fresh: &Fresh, names: &[String]) -> Done {
        let mut list = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > 5 {
            list.push_str(&format!(" and {} more", names.len() - 5));
        }
        let text = format!("not signed yet: waits until its children are: {list}");
        if self.overdue(&fresh.seen) {
            return self.release(&fresh.seen, &text).await;
        }
        if self.task.history.first.elapsed() < QUIET {
            return self.later(QUIET, self.task.history.told.clone());
        }
        tracing::warn!(waiting = list, "waits for children");
        let change = note::of_wait(&fresh.seen, None, &text);
        self.write_wait(fresh, change).await;
        self.later(CHILDREN, Some(text))
    }

    /// Waits for somebody to change something that is not the run.
    pub(super) async fn blocked(&self, fresh: &Fresh, problem: &str) -> Done {
        if self.overdue(&fresh.seen) {
            return self.release(&fresh.seen, problem).await;
        }
        if self.task.history.told.as_deref() != Some(problem) {
            tracing::warn!(problem, "nothing can be signed");
            let text = format!("not signed yet: {problem}");
            let change = note::of_wait(&fresh.seen, None, &text);
            self.write_wait(fresh, change).await;
            self.tell(Severity::Warning, "SigningBlocked", &text).await;
        }
        self.while_blocked(Some(problem.to_owned()))
    }

    /// There was no good configuration yet. Runs that are in question, but may be done with or not ours, are left as they are until there is
    /// one: what is on them says more than that we wait.
    pub(super) async fn without_configuration(
        &self,
        fresh: &Fresh,
        problem: Option<String>,
    ) -> Done {
        let problem = problem.unwrap_or_else(|| "the configuration was not read yet".to_owned());
        if decide::may_be_told(&fresh.seen) || self.overdue(&fresh.seen) {
            return self.blocked(fresh, &problem).await;
        }
        self.while_blocked(None)
    }

    /// Writes on a run why it waits. From then on our finalizer holds it, with the same change: whoever deletes it meanwhile is to find out
    /// what became of it. Whether it is written.
    pub(super) async fn write_wait(&self, fresh: &Fresh, change: Change) -> bool {
        let mut seen = Cow::Borrowed(&fresh.seen);
        for _ in 0..CONFLICTS {
            let mut change = change.clone();
            if !is_held(&seen) && seen.deleted().is_none() {
                let mut finalizers = seen.finalizers().to_vec();
                finalizers.push(marks::finalizer(self.run.kind).to_owned());
                change.finalizers = Some(finalizers);
                change.resource_version = Some(seen.resource_version().to_owned());
            }
            if change == Change::default() {
                return true;
            }
            let cluster = &self.context.cluster;
            let written = cluster.change(self.run, &self.task.uid, &change).await;
            let error = match written {
                Ok(()) => return true,
                Err(error) if error.is_conflict() => match self.read().await {
                    Ok(Some(fresh)) => {
                        seen = Cow::Owned(fresh.seen);
                        continue;
                    }
                    Ok(None) => return false,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::warn!(
                error = chain(&error),
                "the reason could not be written on the run"
            );
            return false;
        }
        tracing::warn!("the reason could not be written on the run: others change it all the time");
        false
    }

    /// A run that is gone before it was marked: whatever there was to sign of it is not, or nothing says so.
    pub(super) fn lost(&self) -> Done {
        self.context.lost(&self.run.namespace);
        Done::nothing()
    }

    /// A run that goes on gets our finalizer, so that it is not gone before it is signed.
    pub(super) async fn hold(&self, seen: &Seen) -> Done {
        let finalizer = marks::finalizer(self.run.kind);
        if seen.finalizers().iter().any(|name| name == finalizer) {
            return Done::nothing();
        }
        let added = self
            .context
            .cluster
            .add_finalizer(self.run, &self.task.uid, finalizer)
            .await;
        match added {
            Ok(()) => Done::nothing(),
            Err(error) if error.is_not_found() || error.is_conflict() => Done::nothing(),
            Err(error) => {
                // Without it the run is signed all the same, unless it is deleted at once.
                tracing::warn!(error = chain(&error), "the finalizer could not be set");
                Done::nothing()
            }
        }
    }

    pub(super) async fn release_if_deleted(&self, seen: &Seen, is_done: bool) -> Done {
        let done = match is_done {
            true => Done::marked(),
            false => Done::nothing(),
        };
        if seen.deleted().is_none() || !is_held(seen) {
            return done;
        }
        if is_done && !self.overdue(seen) && self.is_needed(seen).await {
            return Done {
                settled: Settled::After {
                    wait: SOON,
                    told: None,
                },
                is_marked: true,
                ..Done::nothing()
            };
        }
        match self.write(seen, Change::default(), Hold::Nothing).await {
            Ok(()) | Err(Trouble::Gone) => done,
            Err(_) => Done {
                settled: Settled::Again { told: None },
                is_marked: is_done,
                ..Done::nothing()
            },
        }
    }

    /// Whether a deleted child still belongs to a PipelineRun that has not been attested.
    pub(super) async fn is_needed(&self, seen: &Seen) -> bool {
        let Some((name, uid)) = seen.pipeline_run() else {
            return false;
        };
        let Ok(owner) = RunRef::new(RunKind::PipelineRun, &self.run.namespace, name) else {
            return false;
        };
        let document = match self.context.run(&owner).await {
            Ok(document) => document,
            // Only what is known to be gone needs nothing; the deadline ends all doubts.
            Err(error) => return !error.is_not_found(),
        };
        let Ok(owner) = super::seen(&document, &owner) else {
            return true;
        };
        let live = self.context.settings.borrow().live.clone();
        let decision = self.context.decide(&owner, live.as_deref());
        owner.uid() == uid && matches!(decision, Decision::Sign { .. } | Decision::Running)
    }

    pub(super) fn overdue(&self, seen: &Seen) -> bool {
        seen.deleted().is_some() && self.had_its_time()
    }

    /// Whether it was deleted so long ago that it is held back no longer.
    pub(super) fn had_its_time(&self) -> bool {
        let until = self.task.history.held_until;
        until.is_some_and(|until| until <= Instant::now())
    }

    /// Lets a deleted run go though it is not signed.
    pub(super) async fn release(&self, seen: &Seen, reason: &str) -> Done {
        let text = format!("deleted before it could be signed: {reason}");
        let metrics = &self.context.metrics;
        metrics.run_failed(&self.run.namespace, FailureClass::ReleasedUnsigned);
        self.tell(Severity::Warning, "ReleasedUnsigned", &text)
            .await;
        tracing::error!(reason, "deleted run released without a signature");
        match self.write(seen, Change::default(), Hold::Nothing).await {
            Ok(()) | Err(Trouble::Gone) => Done::nothing(),
            Err(_) => Done::of(Settled::Again { told: None }),
        }
    }

    /// Takes off the mark of a run whose signatures cannot be confirmed any more. That is a failed attempt like any other: the run is tried
    /// again with growing waits, and given up when its time is over. A registry that forgets what it said would keep us busy otherwise.
    pub(super) async fn take_back(
        &self,
        fresh: &Fresh,
        live: Option<&Arc<Live>>,
        reason: &str,
    ) -> Done {
        tracing::error!(reason, "the mark is taken back");
        let text = format!("the mark is taken back: {reason}");
        self.tell(Severity::Warning, "SignatureLost", &text).await;
        if let Some(live) = live
            && self.is_tried_for(live)
            && let Ok(means) = self.means(live).await
        {
            let trouble = Trouble::Passing {
                stage: Stage::Storage,
                reason: reason.to_owned(),
            };
            let done = self.failed(fresh, &means, trouble).await;
            return match done.settled {
                // The mark is on it still: that it is to be taken back must not be forgotten.
                Settled::Again { told } => self.later(SOON, told),
                _ => done,
            };
        }
        let metrics = &self.context.metrics;
        metrics.failed(self.run.kind, ErrorType::Storage);
        let history = &self.task.history;
        let text = format!("not signed yet, tried again later: {reason}");
        let change = note::of_wait(&fresh.seen, Some(history.attempts), &text);
        let change = note::unmarked(change);
        match self.write_wait(fresh, change).await {
            true => Done::of(Settled::Again {
                told: Some(reason.to_owned()),
            }),
            false => self.later(SOON, history.told.clone()),
        }
    }

    /// Whether it was tried for as long as the configuration wants.
    fn is_tried_for(&self, live: &Live) -> bool {
        let limit = live.config.rules().retry_for;
        let since = self.task.history.since;
        since.is_some_and(|since| since.elapsed() >= limit)
    }

    pub(super) async fn tell(&self, severity: Severity, reason: &str, note: &str) {
        let told = self
            .context
            .events
            .of_run(self.run, &self.task.uid, severity, reason, note)
            .await;
        if let Err(error) = told {
            tracing::warn!(error = chain(&error), "no Event could be written");
        }
    }
}

fn error_type(stage: Stage) -> ErrorType {
    match stage {
        Stage::Payload => ErrorType::PayloadCreation,
        Stage::Signing => ErrorType::Signing,
        Stage::Log => ErrorType::Tlog,
        Stage::Storage => ErrorType::Storage,
    }
}

fn class_of(stage: Stage) -> FailureClass {
    match stage {
        Stage::Payload => FailureClass::Payload,
        Stage::Signing => FailureClass::Signing,
        Stage::Log => FailureClass::Log,
        Stage::Storage => FailureClass::Storage,
    }
}
