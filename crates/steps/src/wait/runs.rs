//! Waiting for a run: the API server tells whenever it changes.

use std::collections::HashSet;

use anyhow::anyhow;
use futures_util::StreamExt as _;
use tekseal_cluster::{Cluster, RunRef, Seen, watch_run};
use tekseal_core::hints::{self, TaskHints};
use tekseal_core::marks;
use tekseal_core::run::{ChildDocument, CompletedRun, MissingChildren, Run, RunKind};
use tekseal_core::{Blame, DigestRef};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Answer, Check, Outcome, PAUSE, Verdict, not, verified};
use crate::cluster_args::{NamedRun, does_not_exist, read_run};
use crate::{Failure, exit, log};

/// What the name of the controller begins with where it reports Events.
const OURS: &str = "tekseal";

/// How the watch ended.
enum Ended {
    /// With a mark.
    Marked(Mark, Box<Seen>),
    /// The run is gone, or another one has its name.
    Gone,
    /// The deadline passed; what was seen last.
    TooLate(Box<Seen>),
}

enum Mark {
    Signed,
    Failed,
    Nothing,
}

/// Waits until the run has a mark, and verifies the images that its results name.
///
/// # Guarantees
/// A server that goes away and comes back is waited for. Only the run that was seen first counts, not one made later under its name.
///
/// # Errors
/// If the run is not there, must not be watched or read, or the API server does not answer at the end.
pub(super) async fn wait(
    cluster: &Cluster,
    named: &NamedRun,
    check: &Check,
    deadline: Instant,
) -> Result<Verdict, Failure> {
    let run = &named.run;
    let outcome = match watch(cluster, named, deadline).await? {
        Ended::Marked(Mark::Signed, _) => after_signing(cluster, run, check, deadline).await?,
        Ended::Marked(Mark::Nothing, seen) => {
            let reason = reason_of(&seen).unwrap_or_else(|| "no reason is given".to_owned());
            not(
                Answer::Nothing,
                Failure::no(anyhow!("{run} is done, and nothing was signed: {reason}"))
                    .hint(explain(run)),
            )
        }
        Ended::Marked(Mark::Failed, seen) => {
            let event = last_event(cluster, run, &seen).await;
            let reason = [reason_of(&seen), event];
            let reason: Vec<String> = reason.into_iter().flatten().collect();
            let reason = match reason.is_empty() {
                true => "no reason is given".to_owned(),
                false => reason.join("; "),
            };
            not(
                Answer::Failed,
                Failure::no(anyhow!("signing {run} was given up: {reason}"))
                    .hint(explain(run))
                    .hint(format!("tekseal-resign {} starts over", run.reference())),
            )
        }
        Ended::Gone => not(
            Answer::Failed,
            Failure::no(anyhow!("{run} was deleted before it was signed")),
        ),
        Ended::TooLate(seen) => not(Answer::Timeout, too_late(run, &seen)),
    };
    Ok(Verdict {
        target: run.to_string(),
        outcome,
    })
}

async fn watch(cluster: &Cluster, named: &NamedRun, deadline: Instant) -> Result<Ended, Failure> {
    let run = &named.run;
    let mut stream = watch_run(cluster, run);
    let mut last: Option<Seen> = None;
    let mut trouble: Option<Failure> = None;
    loop {
        let Ok(sight) = timeout_at(deadline, stream.next()).await else {
            return match (trouble, last) {
                // «Not signed» would be said without having looked.
                (Some(trouble), _) => Err(trouble.context("waited in vain")),
                (None, Some(seen)) => Ok(Ended::TooLate(Box::new(seen))),
                (None, None) => Err(Failure::outside(anyhow!(
                    "the API server said nothing of {run} in time"
                ))),
            };
        };
        match sight {
            // The stream has no end; a program that waits for nothing must not hang.
            None => return Err(Failure::outside(anyhow!("the watch of {run} ended"))),
            Some(Err(error)) => {
                let is_refusal = error.blame() != Blame::Outside;
                let failure = Failure::from(error);
                if is_refusal || last.is_none() {
                    return Err(failure);
                }
                if trouble.is_none() {
                    log::warn(
                        "the watch was interrupted, trying again",
                        &[("reason", &failure.message())],
                    );
                }
                trouble = Some(failure);
            }
            Some(Ok(None)) if last.is_none() => {
                return Err(does_not_exist(run));
            }
            Some(Ok(None)) => return Ok(Ended::Gone),
            Some(Ok(Some(seen))) => {
                trouble = None;
                if last.as_ref().is_some_and(|last| last.uid() != seen.uid()) {
                    return Ok(Ended::Gone);
                }
                named.check_owner(&seen)?;
                match mark_of(&seen) {
                    Some(mark) => return Ok(Ended::Marked(mark, Box::new(seen))),
                    None if last.is_none() => log::info("waiting", &[("run", &run.reference())]),
                    None => {}
                }
                last = Some(seen);
            }
        }
    }
}

fn mark_of(seen: &Seen) -> Option<Mark> {
    match seen.annotation(marks::SIGNED)? {
        "true" => Some(Mark::Signed),
        "failed" => Some(Mark::Failed),
        "nothing" => Some(Mark::Nothing),
        // Nobody writes anything else, so it means nothing.
        _ => None,
    }
}

fn reason_of(seen: &Seen) -> Option<String> {
    let reason = seen.annotation(marks::REASON)?;
    (!reason.is_empty()).then(|| reason.to_owned())
}

/// The last Warning of the controller about the run. Whoever may not read Events goes without.
async fn last_event(cluster: &Cluster, run: &RunRef, seen: &Seen) -> Option<String> {
    match cluster.warnings_of(run, seen.uid()).await {
        Ok(told) => {
            let last = told.into_iter().find(|event| event.by.starts_with(OURS))?;
            Some(format!("last Event {}: {}", last.reason, last.note))
        }
        Err(error) => {
            log::warn("no Events", &[("reason", &exit::chain(&error))]);
            None
        }
    }
}

fn too_late(run: &RunRef, seen: &Seen) -> Failure {
    let state = match seen.succeeded() {
        None => "it has not ended".to_owned(),
        Some(_) => match (reason_of(seen), seen.annotation(marks::RETRIES)) {
            (Some(reason), _) => format!("it has ended, but: {reason}"),
            (None, Some(retries)) => {
                format!("it has ended, and {}", crate::explain::attempts(retries))
            }
            (None, None) => "it has ended, and nobody has signed it".to_owned(),
        },
    };
    Failure::no(anyhow!("{run} is not signed in time: {state}")).hint(explain(run))
}

/// The mark is there: what it says is verified.
async fn after_signing(
    cluster: &Cluster,
    run: &RunRef,
    check: &Check,
    deadline: Instant,
) -> Result<Outcome, Failure> {
    let Some(demands) = check.demands(run.kind) else {
        return Ok(Outcome::Signed(Vec::new()));
    };
    let images = match images_in_time(cluster, run, deadline).await? {
        Some(images) => images,
        None => {
            let gone = Failure::no(anyhow!(
                "{run} was deleted before its images could be verified"
            ));
            return Ok(not(Answer::Unverified, gone));
        }
    };
    if images.is_empty() {
        let failure = Failure::no(anyhow!("{run} is marked as signed, but its results name no image to verify"))
            .hint("tekseal-explain tells what became of its results; --insecure-skip-verify believes the mark");
        return Ok(not(Answer::Unverified, failure));
    }
    let mut reports = Vec::with_capacity(images.len());
    for image in &images {
        match verified(demands, &check.registry, image).await? {
            Ok(report) => reports.push(report),
            Err(refusal) => {
                let refusal = refusal.context(format!("{run} is marked as signed"));
                return Ok(not(Answer::Unverified, refusal));
            }
        }
    }
    Ok(Outcome::Signed(reports))
}

/// [`images_of`], also if the API server goes away between the mark and the question.
async fn images_in_time(
    cluster: &Cluster,
    run: &RunRef,
    deadline: Instant,
) -> Result<Option<Vec<DigestRef>>, Failure> {
    loop {
        match images_of(cluster, run).await {
            Err(failure)
                if failure.code() == exit::OUTSIDE && Instant::now() + PAUSE < deadline =>
            {
                log::warn("trying again", &[("reason", &failure.message())]);
                sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

/// The images that the results of a run name; of a PipelineRun whose own name none, those of its children. `None` if it is gone.
async fn images_of(cluster: &Cluster, run: &RunRef) -> Result<Option<Vec<DigestRef>>, Failure> {
    let document = match cluster.run(run).await {
        Ok(document) => document,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unreadable = |e| Failure::no(e).context(run.to_string());
    let read = Run::from_json(document.as_bytes()).map_err(unreadable)?;
    let own = TaskHints::of(&read).results.images;
    if !own.is_empty() || run.kind == RunKind::TaskRun {
        return Ok(Some(own));
    }
    let documents = read_run(cluster, run).await?;
    let children: Vec<ChildDocument<'_>> = documents
        .children
        .iter()
        .map(|(name, document)| ChildDocument {
            name,
            bytes: document.as_bytes(),
        })
        .collect();
    let missing = MissingChildren::Allow;
    let completed = CompletedRun::from_json(documents.run.as_bytes(), &children, missing)
        .map_err(unreadable)?;
    let observed = hints::observe(&completed);
    let mut seen = HashSet::new();
    let images = observed
        .children
        .iter()
        .flat_map(|child| &child.results.images)
        .filter(|image| seen.insert((*image).clone()));
    Ok(Some(images.cloned().collect()))
}

fn explain(run: &RunRef) -> String {
    format!("tekseal-explain {} says what happens next", run.reference())
}
