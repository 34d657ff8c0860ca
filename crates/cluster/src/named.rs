//! What a `k8s://` reference names: one run, or the TaskRuns of one task of a PipelineRun.
//!
//! A step knows the name of its PipelineRun and the names of the tasks in its Pipeline, and not what the TaskRuns of these are called:
//! Tekton makes those names. Which TaskRuns are meant is for the document of the PipelineRun to say.

use std::fmt;
use std::str::FromStr;

use tekseal_core::run::RunKind;

use crate::runs::{RunRef, RunRefError};

/// The longest name of a task in a Pipeline: it is a DNS label.
const MOST_TASK: usize = 63;

/// What a reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// One run.
    Run(RunRef),
    /// The TaskRuns of a task.
    Task(TaskRef),
}

/// The TaskRuns that one task of a PipelineRun made: `k8s://NAMESPACE/pipelinerun/NAME/TASK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRef {
    /// The PipelineRun.
    pub pipeline_run: RunRef,
    /// Name of the task in the Pipeline, not of the Task that it refers to.
    pub task: String,
}

impl TaskRef {
    /// As people write it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}", self.pipeline_run.reference(), self.task)
    }
}

impl FromStr for Named {
    type Err = RunRefError;

    /// Reads either form. An empty TASK is refused: whoever left it out did not mean the whole PipelineRun.
    fn from_str(text: &str) -> Result<Self, RunRefError> {
        let refused = || RunRefError(text.to_owned());
        let is_task = text
            .strip_prefix("k8s://")
            .is_some_and(|rest| rest.matches('/').count() == 3);
        if !is_task {
            return text.parse().map(Self::Run);
        }
        let (run, task) = text.rsplit_once('/').ok_or_else(refused)?;
        let pipeline_run: RunRef = run.parse().map_err(|_| refused())?;
        match pipeline_run.kind == RunKind::PipelineRun && is_label(task) {
            true => Ok(Self::Task(TaskRef {
                pipeline_run,
                task: task.to_owned(),
            })),
            false => Err(refused()),
        }
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of {}", self.task, self.pipeline_run)
    }
}

/// A DNS label, as names of tasks in Pipelines are.
fn is_label(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c != '-');
    text.len() <= MOST_TASK
        && is_edge(text.chars().next())
        && is_edge(text.chars().last())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_run_or_the_taskruns_of_a_task() {
        let named: Named = "k8s://ci/pr/app-1/build".parse().expect("it names a task");
        let Named::Task(task) = &named else {
            panic!("{named:?}");
        };
        assert_eq!(task.to_string(), "task build of PipelineRun ci/app-1");
        assert_eq!(task.reference(), "k8s://ci/pipelinerun/app-1/build");
        assert_eq!(task.reference().parse(), Ok(named.clone()));
        let run = "k8s://ci/taskrun/build-1";
        assert_eq!(run.parse(), Ok(Named::Run(run.parse().expect("a run"))));
    }

    #[test]
    fn what_names_neither_is_refused_with_both_forms() {
        let long = format!("k8s://ci/pipelinerun/app/{}", "a".repeat(MOST_TASK + 1));
        for bad in [
            "k8s://ci/pipelinerun/app/",
            "k8s://ci/pipelinerun//build",
            "k8s://ci/taskrun/app/build",
            "k8s://ci/pipelinerun/app/build/more",
            "k8s://ci/pipelinerun/app/Build",
            "k8s://ci/pipelinerun/app/-build",
            "k8s://ci/pipelinerun/app/build-",
            "k8s://ci/pipelinerun/app/a.b",
            "k8s://ci/pipelinerun/../build",
            "k8s://ci/pipelinerun/app/$(params.TASK)",
            "ci/pipelinerun/app/build",
            &long,
        ] {
            let error = bad.parse::<Named>().expect_err(bad);
            let said = error.to_string();
            assert!(said.starts_with(&format!("{bad:?} is no run")), "{said}");
            assert!(said.contains("NAME/TASK"), "{said}");
        }
    }
}
