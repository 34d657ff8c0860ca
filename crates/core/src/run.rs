//! Completed runs: what the documents of a TaskRun or PipelineRun say of themselves, as far as provenance needs it.
//!
//! A `CompletedRun` can only be made from a run whose `Succeeded` condition is `True` or `False`, and from a PipelineRun only together
//! with its child TaskRuns: nobody can attest to the end of something that has not ended. Fields are read as Go reads them (`typed`),
//! because the documents come from an API server; their *values* come from a tenant and are believed by nobody here.
//!
//! Specification: <https://tekton.dev/docs/pipelines/pipeline-api/#tekton.dev/v1.TaskRun> and `PipelineRun` beside it.

mod children;
mod document;
mod task;

use std::collections::HashMap;
use std::fmt;

use crate::marks;
use crate::typed::Object;

pub use crate::typed::Error as FieldError;
pub use document::{Param, RefSource, Run, RunKind, StepSpec, StepState};

use children::Family;
pub use children::child_task_runs;
pub(crate) use document::PipelineTask;
pub use task::{Lack, NoTaskRuns};

/// The largest run document that is read, in bytes. An API server stores at most about 1.5 MiB of one object.
pub const MAX_RUN_BYTES: u64 = 4 * 1024 * 1024;

/// Label of a child TaskRun with the name of its task in the Pipeline.
const PIPELINE_TASK_LABEL: &str = "tekton.dev/pipelineTask";

/// Annotation on a run document that was written by a build tool outside any cluster.
pub const LOCAL_RECORD_ANNOTATION: &str = "tekseal.dev/local-record";

/// Why documents are no completed run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON.
    #[error("the document is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// A field is of another type than Tekton's, stands twice, or there are too many.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Another kind than those that can be attested.
    #[error(
        "kind {kind:?} of apiVersion {api_version:?} cannot be attested, wanted a TaskRun or PipelineRun of tekton.dev/v1"
    )]
    Kind {
        /// `apiVersion` as found.
        api_version: String,
        /// `kind` as found.
        kind: String,
    },
    /// The run goes on, or never started.
    #[error("{kind} {name} is not completed: its condition Succeeded is {status}")]
    NotCompleted {
        /// What it is.
        kind: RunKind,
        /// Namespace and name.
        name: String,
        /// `Unknown`, or `absent`.
        status: String,
    },
    /// The document of a child cannot be read.
    #[error("child document {document}")]
    Child {
        /// What the caller calls the document.
        document: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// Two documents of one child that say different things.
    #[error("child TaskRun {0} was given twice, and the two documents differ")]
    ChildTwice(String),
    /// A PipelineRun without all of its children.
    #[error("PipelineRun {name} lacks children: {}", list(absent))]
    ChildrenAbsent {
        /// Namespace and name.
        name: String,
        /// Which, and why.
        absent: Vec<AbsentChild>,
    },
    /// A PipelineRun whose payload would be many times as large as the documents.
    #[error("PipelineRun {0} names the same children or tasks over and over")]
    Repetition(String),
}

/// Why a payload is too large.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PayloadSize {
    /// It is out of all proportion to the documents.
    #[error("it would be many times as large as the documents")]
    Proportion,
    /// More than whoever asked for it takes.
    #[error("it would have more than {} KiB: keep large data out of parameters and results", .0 / 1024)]
    Limit(usize),
}

/// A run that has ended, well or badly; a PipelineRun with its children.
#[derive(Clone, Debug)]
pub struct CompletedRun<'a> {
    run: Run<'a>,
    children: Vec<Run<'a>>,
    /// Positions of the children by the name of their task in the Pipeline.
    by_task: HashMap<String, Vec<usize>>,
    absent: Vec<AbsentChild>,
    /// The most bytes of a payload.
    most_payload: usize,
}

/// A child that a PipelineRun names and that cannot be attested with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentChild {
    /// Its name.
    pub name: String,
    /// Its kind as the PipelineRun names it.
    pub kind: String,
    /// Why.
    pub reason: Absence,
}

/// Why a child is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No document of this name was given.
    NotFound,
    /// It is no TaskRun, so nothing is known of its steps.
    NotATaskRun,
    /// It has no completion time.
    NotCompleted,
}

/// What to do when children are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingChildren {
    /// Refuse the run.
    Refuse,
    /// Attest to what is there.
    Allow,
}

/// The document of a child and what the caller calls it.
#[derive(Clone, Copy, Debug)]
pub struct ChildDocument<'a> {
    /// For errors: a file name, or a name in a cluster.
    pub name: &'a str,
    /// The document.
    pub bytes: &'a [u8],
}

impl<'a> CompletedRun<'a> {
    /// Reads the document of a TaskRun, or of a PipelineRun and its children. Children are taken in the order in which the PipelineRun
    /// names them; documents that it does not name are not its children. Only where it names none at all are all of them taken.
    ///
    /// # Errors
    /// If a document is no JSON or no run of `tekton.dev/v1` or `v1beta1`, if the run is not completed, or if children are absent
    /// although they must not be.
    pub fn from_json(
        document: &'a [u8],
        children: &[ChildDocument<'a>],
        missing: MissingChildren,
    ) -> Result<Self, Error> {
        let run = Run::from_json(document)?;
        let status = run.succeeded_status();
        if !matches!(status, "True" | "False") {
            return Err(Error::NotCompleted {
                kind: run.kind,
                name: run.full_name(),
                status: if status.is_empty() { "absent" } else { status }.to_owned(),
            });
        }
        let Family {
            children,
            order,
            absent,
        } = match run.kind {
            RunKind::TaskRun => Family::default(),
            RunKind::PipelineRun => run.with_children(children)?,
        };
        if !absent.is_empty() && missing == MissingChildren::Refuse {
            return Err(Error::ChildrenAbsent {
                name: run.full_name(),
                absent,
            });
        }
        let mut by_task: HashMap<String, Vec<usize>> = HashMap::new();
        for at in order {
            if let Some(task) = children[at].label(PIPELINE_TASK_LABEL) {
                by_task.entry(task.to_owned()).or_default().push(at);
            }
        }
        let completed = Self {
            run,
            children,
            by_task,
            absent,
            most_payload: usize::MAX,
        };
        completed.check_repetition()?;
        Ok(completed)
    }

    /// A child counts as often as it is named, and again for each task of the Pipeline with its task's name. A PipelineRun could so make
    /// of small documents a payload of any size; none of Tekton's repeats anything.
    fn check_repetition(&self) -> Result<(), Error> {
        let children = |task: &String| self.children_of(task).map(|child| child.size).sum::<u64>();
        let sizes: HashMap<&str, u64> = self
            .by_task
            .keys()
            .map(|task| (task.as_str(), children(task)))
            .collect();
        let tasks = self.run.pipeline_tasks();
        let repeated: u64 = tasks.filter_map(|task| sizes.get(task.name())).sum();
        if repeated > self.size() + MAX_RUN_BYTES {
            return Err(Error::Repetition(self.run.full_name()));
        }
        Ok(())
    }

    /// Bytes of all documents.
    fn size(&self) -> u64 {
        self.run.size + self.children.iter().map(|child| child.size).sum::<u64>()
    }

    /// No payload of this run may have more than `most` bytes; whoever asks for one then gets an error before it is written to its end.
    pub fn limit_payloads(&mut self, most: usize) {
        self.most_payload = most;
    }

    /// Refuses to go on with a payload that has `bytes` so far. Honest ones are about as large as the documents; only names that a format
    /// writes over and over, and documents of nothing but what is escaped, lead beyond that.
    pub(crate) fn check_payload(&self, bytes: usize) -> Result<(), PayloadSize> {
        self.check_limit(bytes)?;
        let most = usize::try_from(4 * self.size() + MAX_RUN_BYTES / 4).unwrap_or(usize::MAX);
        match bytes > most {
            true => Err(PayloadSize::Proportion),
            false => Ok(()),
        }
    }

    /// Refuses a payload of `bytes` if that is more than whoever asked for it takes.
    pub(crate) fn check_limit(&self, bytes: usize) -> Result<(), PayloadSize> {
        match bytes > self.most_payload {
            true => Err(PayloadSize::Limit(self.most_payload)),
            false => Ok(()),
        }
    }

    /// The run itself.
    #[must_use]
    pub fn run(&self) -> &Run<'a> {
        &self.run
    }

    /// The children of a PipelineRun, in its order, each once.
    #[must_use]
    pub fn children(&self) -> &[Run<'a>] {
        &self.children
    }

    /// The children that are missing.
    #[must_use]
    pub fn absent_children(&self) -> &[AbsentChild] {
        &self.absent
    }

    /// What the run is.
    #[must_use]
    pub fn kind(&self) -> RunKind {
        self.run.kind
    }

    /// Name of the run.
    #[must_use]
    pub fn name(&self) -> &str {
        self.run.name()
    }

    /// Namespace of the run.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.run.namespace()
    }

    /// Whether the run ended well; failed and cancelled runs are completed too.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.run.succeeded_status() == "True"
    }

    /// Whether a build tool outside any cluster wrote this document.
    #[must_use]
    pub fn is_local_record(&self) -> bool {
        self.run
            .annotations()
            .any(|(key, value)| key == LOCAL_RECORD_ANNOTATION && value == "true")
    }

    /// Whether the run asks for a log to be told of what is signed of it: with `"true"` and nothing else, as in Chains.
    #[must_use]
    pub fn asks_for_log(&self) -> bool {
        self.run
            .annotations()
            .any(|(key, value)| key == marks::TRANSPARENCY_UPLOAD && value == "true")
    }

    /// The children of one task of the Pipeline, in the PipelineRun's order.
    pub(crate) fn children_of(&self, task: &str) -> impl Iterator<Item = &Run<'a>> {
        let found = self.by_task.get(task).map_or(&[][..], Vec::as_slice);
        found.iter().map(|&at| &self.children[at])
    }

    /// The completed children in the order of the Pipeline's tasks, then of its `finally` tasks.
    pub(crate) fn executed(&self) -> impl Iterator<Item = &Run<'a>> {
        self.run
            .pipeline_tasks()
            .flat_map(|task| self.children_of(task.name()))
            .filter(|child| child.completed().is_some())
    }

    /// The run and its children.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object<'a>> {
        std::iter::once(&self.run)
            .chain(&self.children)
            .map(|run| &run.object)
    }

    /// Takes off what a controller writes on runs while it works on them, and on children when it is done with them: otherwise a run that
    /// is tried again, after it was told why it waits, would be attested in other bytes, beside those of the first attempt.
    pub fn forget_marks(&mut self) {
        for object in self.objects_mut() {
            object.retain_texts("metadata", "annotations", |key| !marks::is_mark(key));
        }
    }

    /// The same where a controller of ours has worked on the run or a child, so that what is made of it afterwards has the bytes of what
    /// that controller signed. Chains leaves its own marks in, and so do we where they are Chains' alone.
    pub fn forget_marks_of_ours(&mut self) {
        let is_ours = |run: &Run<'_>| {
            let mut annotations = run.annotations();
            annotations.any(|(key, _)| key.starts_with(marks::PREFIX) && marks::is_mark(key))
        };
        if is_ours(&self.run) || self.children.iter().any(is_ours) {
            self.forget_marks();
        }
    }

    /// The run and its children, to be changed before they are formatted.
    pub(crate) fn objects_mut(&mut self) -> impl Iterator<Item = &mut Object<'a>> {
        std::iter::once(&mut self.run)
            .chain(&mut self.children)
            .map(|run| &mut run.object)
    }
}

impl fmt::Display for AbsentChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind.is_empty() {
            "TaskRun"
        } else {
            &self.kind
        };
        match self.reason {
            Absence::NotFound => write!(f, "{kind} {} was not found", self.name),
            Absence::NotATaskRun => write!(
                f,
                "{kind} {} is no TaskRun, so its steps are unknown",
                self.name
            ),
            Absence::NotCompleted => write!(f, "{kind} {} is not completed", self.name),
        }
    }
}

fn list(absent: &[AbsentChild]) -> String {
    const MOST: usize = 5;
    let mut texts: Vec<String> = absent.iter().take(MOST).map(ToString::to_string).collect();
    if absent.len() > MOST {
        texts.push(format!("and {} more", absent.len() - MOST));
    }
    texts.join("; ")
}

#[cfg(test)]
mod tests;
