//! Waiting for a task of a PipelineRun: until its TaskRuns are there, and then for each of them.
//!
//! ```text
//!   GET PipelineRun ─ none yet ─▶ watch of that one object ─ it changed ─▶ GET again … ─▶ names of the TaskRuns ─▶ runs::wait, of all at once
//! ```

use anyhow::anyhow;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tekseal_cluster::{Cluster, TaskRef, watch_run};
use tekseal_core::run::Lack;
use tokio::time::{Instant, sleep, timeout_at};

use super::own::Own;
use super::{Answer, Check, PAUSE, Verdict, not, runs};
use crate::cluster_args::{NamedRun, TaskSight, does_not_exist, look_at_task, without_task_runs};
use crate::{Failure, exit, log};

/// What came of waiting for TaskRuns.
enum Made {
    These(Vec<NamedRun>),
    /// There are none, and there will be none, or not in time.
    None(Answer, Failure),
}

/// Waits until the task has made its TaskRuns, and then until each has a mark, as [`runs::wait`] does. `own` is what must not be waited for.
///
/// # Guarantees
/// The TaskRuns count that are there when the first is: Tekton makes those of a `matrix` all at once.
///
/// # Errors
/// If the PipelineRun is not there, has no such task, or one that is no TaskRun's; as [`runs::wait`]; and if one of the TaskRuns is our own.
pub(super) async fn wait(
    cluster: &Cluster,
    task: &TaskRef,
    own: &[Own],
    check: &Check,
    deadline: Instant,
) -> Result<Vec<Verdict>, Failure> {
    let made = match made(cluster, task, deadline).await? {
        Made::These(made) => made,
        Made::None(answer, failure) => {
            return Ok(vec![Verdict {
                target: task.to_string(),
                outcome: not(answer, failure),
            }]);
        }
    };
    for named in &made {
        own.iter().try_for_each(|own| own.refuse_run(&named.run))?;
    }
    let waits = made
        .iter()
        .map(|named| runs::wait(cluster, named, check, deadline));
    join_all(waits).await.into_iter().collect()
}

async fn made(cluster: &Cluster, task: &TaskRef, deadline: Instant) -> Result<Made, Failure> {
    let first = timeout_at(deadline, look_at_task(cluster, task)).await;
    let first = first.map_err(|_| silent(task))??;
    let first = first.ok_or_else(|| does_not_exist(&task.pipeline_run))?;
    let uid = first.uid.clone();
    if let Some(made) = judged(first)? {
        return Ok(made);
    }
    log::info("waiting", &[("task", &task.reference())]);
    let mut changes = watch_run(cluster, &task.pipeline_run);
    let mut trouble: Option<Failure> = None;
    loop {
        let Ok(change) = timeout_at(deadline, changes.next()).await else {
            return match trouble {
                // «Not there» would be said without having looked.
                Some(trouble) => Err(trouble.context("waited in vain")),
                None => Ok(too_late(task)),
            };
        };
        match change {
            // The stream has no end; a program that waits for nothing must not hang.
            None => {
                let text = anyhow!("the watch of {} ended", task.pipeline_run);
                return Err(Failure::outside(text));
            }
            Some(Err(error)) => {
                let failure = Failure::from(error);
                if failure.code() != exit::OUTSIDE {
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
            Some(Ok(seen)) => {
                trouble = None;
                // One that was made later under its name is another.
                if seen.is_none_or(|seen| seen.uid() != uid) {
                    return Ok(gone(task));
                }
                let sight = timeout_at(deadline, look(cluster, task)).await;
                match sight.map_err(|_| silent(task))?? {
                    Some(sight) if sight.uid == uid => {
                        if let Some(made) = judged(sight)? {
                            return Ok(made);
                        }
                    }
                    _ => return Ok(gone(task)),
                }
            }
        }
    }
}

/// [`look_at_task`], also if the API server goes away between the change and the question.
async fn look(cluster: &Cluster, task: &TaskRef) -> Result<Option<TaskSight>, Failure> {
    loop {
        match look_at_task(cluster, task).await {
            Err(failure) if failure.code() == exit::OUTSIDE => {
                log::warn("trying again", &[("reason", &failure.message())]);
                sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

/// What follows from what the PipelineRun says of the task; nothing while its TaskRuns may still come.
fn judged(sight: TaskSight) -> Result<Option<Made>, Failure> {
    let lack = match sight.task_runs {
        Ok(made) => return Ok(Some(Made::These(made))),
        Err(lack) => lack,
    };
    match lack.lack {
        Lack::NotYet => Ok(None),
        Lack::Skipped(_) | Lack::NeverRan => {
            Ok(Some(Made::None(Answer::Nothing, without_task_runs(lack))))
        }
        Lack::Unknown | Lack::OtherKind { .. } => Err(without_task_runs(lack)),
    }
}

fn gone(task: &TaskRef) -> Made {
    let (run, name) = (&task.pipeline_run, &task.task);
    let text = anyhow!("{run} was deleted before its task {name} began");
    Made::None(Answer::Failed, Failure::no(text))
}

fn too_late(task: &TaskRef) -> Made {
    let text = anyhow!("{task} has no TaskRun in time");
    let failure = Failure::no(text).hint(format!(
        "a task that runs only after this step is waited for in vain; tekseal-explain {} tells how far the PipelineRun is",
        task.pipeline_run.reference()
    ));
    Made::None(Answer::Timeout, failure)
}

fn silent(task: &TaskRef) -> Failure {
    Failure::outside(anyhow!(
        "the API server said nothing of {} in time",
        task.pipeline_run
    ))
}
