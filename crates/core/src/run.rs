//! Completed runs: what the documents of a TaskRun or PipelineRun say of themselves, as far as provenance needs it.
//!
//! A `CompletedRun` can only be made from a run whose `Succeeded` condition is `True` or `False`, and from a PipelineRun only together
//! with its child TaskRuns: nobody can attest to the end of something that has not ended. Fields are read as Go reads them (`typed`),
//! because the documents come from an API server; their *values* come from a tenant and are believed by nobody here.
//!
//! Specification: <https://tekton.dev/docs/pipelines/pipeline-api/#tekton.dev/v1.TaskRun> and `PipelineRun` beside it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use crate::gojson::Writer;
use crate::header;
use crate::time::Time;
use crate::typed::{self, Dialect, Encoding, Object, ParamValue, RootKind, Value};

pub use crate::typed::Error as FieldError;

/// The largest run document that is read, in bytes. An API server stores at most about 1.5 MiB of one object.
pub const MAX_RUN_BYTES: u64 = 4 * 1024 * 1024;

/// Label by which the author of a run declares it reproducible.
const REPRODUCIBLE_LABEL: &str = "chains.tekton.dev/reproducible";

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

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// One Task.
    TaskRun,
    /// A Pipeline of Tasks.
    PipelineRun,
}

/// A run as its document has it, completed or not.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    kind: RunKind,
    object: Object<'a>,
    /// Bytes of its document.
    size: u64,
}

/// The children of a PipelineRun.
#[derive(Default)]
struct Family<'a> {
    /// Those that are there, each once.
    children: Vec<Run<'a>>,
    /// Positions of them in the order of the PipelineRun, which may name one more than once.
    order: Vec<usize>,
    /// Those that are not.
    absent: Vec<AbsentChild>,
}

/// A run that has ended, well or badly; a PipelineRun with its children.
#[derive(Clone, Debug)]
pub struct CompletedRun<'a> {
    run: Run<'a>,
    children: Vec<Run<'a>>,
    /// Positions of the children by the name of their task in the Pipeline.
    by_task: HashMap<String, Vec<usize>>,
    absent: Vec<AbsentChild>,
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

/// A named value: a parameter, a default, a result.
#[derive(Clone, Copy, Debug)]
pub struct Param<'r, 'a> {
    /// Its name.
    pub name: &'r str,
    /// The type that was declared; empty where none was.
    pub declared_type: &'r str,
    /// Its value; `None` where Tekton's type has none, which Go cannot write.
    pub value: Option<&'r ParamValue<'a>>,
}

/// Where the definition of a Task or Pipeline came from.
#[derive(Clone, Copy, Debug)]
pub struct RefSource<'r> {
    object: &'r Object<'r>,
}

/// A step or sidecar as it ran.
#[derive(Clone, Copy, Debug)]
pub struct StepState<'r, 'a> {
    object: &'r Object<'a>,
}

/// A step as it was specified.
#[derive(Clone, Copy, Debug)]
pub struct StepSpec<'r, 'a> {
    object: &'r Object<'a>,
}

/// A task of a Pipeline as it was specified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PipelineTask<'r, 'a> {
    pub(crate) object: &'r Object<'a>,
    pub(crate) is_finally: bool,
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

    /// The most bytes that a payload of this run may have. Honest ones are about as large as the documents; only names that a format
    /// writes over and over, and documents of nothing but what is escaped, lead beyond that.
    pub(crate) fn most_bytes(&self) -> usize {
        usize::try_from(4 * self.size() + MAX_RUN_BYTES / 4).unwrap_or(usize::MAX)
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

    /// The run and its children, to be changed before they are formatted.
    pub(crate) fn objects_mut(&mut self) -> impl Iterator<Item = &mut Object<'a>> {
        std::iter::once(&mut self.run)
            .chain(&mut self.children)
            .map(|run| &mut run.object)
    }
}

impl<'a> Run<'a> {
    /// Reads the document of a TaskRun or PipelineRun, completed or not.
    ///
    /// # Errors
    /// If it is no JSON, of another kind or version, or a field is not of Tekton's type.
    pub fn from_json(document: &'a [u8]) -> Result<Self, Error> {
        let header = header::read(document).map_err(Error::Json)?;
        Self::of_header(document, &header)
    }

    fn of_header(document: &'a [u8], header: &header::Header) -> Result<Self, Error> {
        let dialect = match header.api_version.as_deref() {
            Some("tekton.dev/v1") => Dialect::V1,
            Some("tekton.dev/v1beta1") => Dialect::V1beta1,
            _ => return Err(header.unknown()),
        };
        let (kind, root) = match header.kind.as_deref() {
            Some("TaskRun") => (RunKind::TaskRun, RootKind::TaskRun),
            Some("PipelineRun") => (RunKind::PipelineRun, RootKind::PipelineRun),
            _ => return Err(header.unknown()),
        };
        let mut object = typed::decode(document, root, dialect)?;
        if dialect == Dialect::V1beta1 {
            object.set_text("apiVersion", "tekton.dev/v1");
        }
        Ok(Self {
            kind,
            object,
            size: document.len() as u64,
        })
    }

    /// The document of a child. An informer's objects carry neither kind nor version. `None` for another kind.
    fn child(document: &'a [u8]) -> Result<Option<Self>, Error> {
        let header = header::read(document).map_err(Error::Json)?;
        if header.kind.as_deref().is_none_or(str::is_empty) {
            let object = typed::decode(document, RootKind::TaskRun, Dialect::V1)?;
            return Ok(Some(Self {
                kind: RunKind::TaskRun,
                object,
                size: document.len() as u64,
            }));
        }
        if header.kind.as_deref() != Some("TaskRun") {
            return Ok(None);
        }
        Self::of_header(document, &header).map(Some)
    }

    /// The children that the run names, and those that are absent.
    fn with_children(&self, documents: &[ChildDocument<'a>]) -> Result<Family<'a>, Error> {
        let mut given = Vec::with_capacity(documents.len());
        for document in documents {
            let child = Self::child(document.bytes).map_err(|source| Error::Child {
                document: document.name.to_owned(),
                source: Box::new(source),
            })?;
            given.extend(child);
        }
        let references: Vec<_> = self.status_objects("childReferences").collect();
        let mut absent = Vec::new();
        if references.is_empty() {
            // As below, of two documents with one name the last counts.
            let last: HashMap<String, usize> = (0..)
                .zip(&given)
                .map(|(at, child)| (child.name().to_owned(), at))
                .collect();
            let mut positions = 0..;
            given.retain(|child| {
                let is_last = positions.next() == last.get(child.name()).copied();
                is_last || child.name().is_empty()
            });
            given.retain(|child| child.is_over(&mut absent));
            return Ok(Family {
                order: (0..given.len()).collect(),
                children: given,
                absent,
            });
        }
        let mut waiting: HashMap<String, Self> = given
            .into_iter()
            .map(|child| (child.name().to_owned(), child))
            .collect();
        let mut children: Vec<Self> = Vec::with_capacity(waiting.len());
        let mut taken: HashMap<&str, usize> = HashMap::new();
        let mut order = Vec::with_capacity(waiting.len());
        for reference in references {
            let name = reference.text("name");
            // A child that is named twice is taken twice, as Chains does.
            if let Some(&at) = taken.get(name) {
                order.push(at);
                continue;
            }
            match waiting.remove(name) {
                Some(child) if child.is_over(&mut absent) => {
                    taken.insert(name, children.len());
                    order.push(children.len());
                    children.push(child);
                }
                Some(_) => {}
                None => absent.push(AbsentChild {
                    name: name.to_owned(),
                    kind: reference.text("kind").to_owned(),
                    reason: match reference.text("kind") {
                        "TaskRun" | "" => Absence::NotFound,
                        _ => Absence::NotATaskRun,
                    },
                }),
            }
        }
        Ok(Family {
            children,
            order,
            absent,
        })
    }

    /// Whether a child has ended; if not it is noted as absent.
    fn is_over(&self, absent: &mut Vec<AbsentChild>) -> bool {
        let is_over = self.completed().is_some();
        if !is_over {
            absent.push(AbsentChild {
                name: self.name().to_owned(),
                kind: self.kind.to_string(),
                reason: Absence::NotCompleted,
            });
        }
        is_over
    }

    /// What the run is.
    #[must_use]
    pub fn kind(&self) -> RunKind {
        self.kind
    }

    /// Name of the run.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata("name")
    }

    /// Namespace of the run.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    /// Unique id that the API server gave to the run.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata("uid")
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    fn metadata(&self, name: &str) -> &str {
        self.object
            .object("metadata")
            .map_or("", |metadata| metadata.text(name))
    }

    /// Labels of the run, sorted by key.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.object
            .object("metadata")
            .into_iter()
            .flat_map(|metadata| metadata.texts("labels"))
    }

    /// Annotations of the run, sorted by key.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.object
            .object("metadata")
            .into_iter()
            .flat_map(|metadata| metadata.texts("annotations"))
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// Whether its author declares the build reproducible.
    #[must_use]
    pub fn is_declared_reproducible(&self) -> bool {
        self.label(REPRODUCIBLE_LABEL) == Some("true")
    }

    /// Status of the condition `Succeeded`, empty where there is none.
    #[must_use]
    pub fn succeeded_status(&self) -> &str {
        self.status_objects("conditions")
            .find(|condition| condition.text("type") == "Succeeded")
            .map_or("", |condition| condition.text("status"))
    }

    /// Status of the first condition, whatever its type.
    pub(crate) fn first_condition(&self) -> Option<&str> {
        self.status_objects("conditions")
            .next()
            .map(|condition| condition.text("status"))
    }

    /// The whole run, as it is encoded again.
    pub(crate) fn object(&self) -> &Object<'a> {
        &self.object
    }

    /// Writes the run's specification as it becomes part of a predicate.
    pub(crate) fn write_spec(&self, writer: &mut Writer) {
        self.object.write_field("spec", writer, Encoding::Struct);
    }

    /// Writes the labels or annotations, all of them; `null` where there are none at all.
    pub(crate) fn write_metadata(&self, name: &str, writer: &mut Writer) {
        match self.object.object("metadata").and_then(|m| m.get(name)) {
            Some(value) => value.write(writer, Encoding::Struct),
            None => writer.null(),
        }
    }

    /// Its specification.
    pub(crate) fn spec(&self) -> Option<&Object<'a>> {
        self.object.object("spec")
    }

    fn status(&self) -> Option<&Object<'a>> {
        self.object.object("status")
    }

    fn status_objects(&self, name: &str) -> impl DoubleEndedIterator<Item = &Object<'a>> {
        self.status()
            .into_iter()
            .flat_map(move |status| status.objects(name))
    }

    /// The specification of what ran, as the status has it: a Task's or a Pipeline's.
    pub(crate) fn resolved_spec(&self) -> Option<&Object<'a>> {
        self.status()?.object(match self.kind {
            RunKind::TaskRun => "taskSpec",
            RunKind::PipelineRun => "pipelineSpec",
        })
    }

    /// Parameters given to the run.
    pub fn params(&self) -> impl Iterator<Item = Param<'_, 'a>> {
        self.spec()
            .into_iter()
            .flat_map(|spec| spec.objects("params"))
            .map(Param::of)
    }

    /// Defaults of the Task's or Pipeline's parameters, in its order.
    pub fn param_defaults(&self) -> impl Iterator<Item = Param<'_, 'a>> {
        self.resolved_spec()
            .into_iter()
            .flat_map(|spec| spec.objects("params"))
            .filter_map(|object| {
                Some(Param {
                    name: object.text("name"),
                    declared_type: object.text("type"),
                    value: Some(object.param("default")?),
                })
            })
    }

    /// Results of the run.
    pub fn results(&self) -> impl Iterator<Item = Param<'_, 'a>> {
        let has_type = self.kind == RunKind::TaskRun;
        self.status_objects("results").map(move |object| Param {
            declared_type: if has_type { object.text("type") } else { "" },
            ..Param::of(object)
        })
    }

    /// Steps as they ran.
    pub fn steps(&self) -> impl Iterator<Item = StepState<'_, 'a>> {
        self.states("steps")
    }

    /// Sidecars as they ran.
    pub fn sidecars(&self) -> impl Iterator<Item = StepState<'_, 'a>> {
        self.states("sidecars")
    }

    fn states(&self, name: &'static str) -> impl Iterator<Item = StepState<'_, 'a>> {
        // A PipelineRun has neither.
        let status = self.status().filter(|_| self.kind == RunKind::TaskRun);
        status
            .into_iter()
            .flat_map(move |status| status.objects(name))
            .map(|object| StepState { object })
    }

    /// Steps as they were specified.
    pub fn step_specs(&self) -> impl Iterator<Item = StepSpec<'_, 'a>> {
        let spec = self
            .resolved_spec()
            .filter(|_| self.kind == RunKind::TaskRun);
        spec.into_iter()
            .flat_map(|spec| spec.objects("steps"))
            .map(|object| StepSpec { object })
    }

    /// The tasks of a Pipeline, then its `finally` tasks.
    pub(crate) fn pipeline_tasks(&self) -> impl Iterator<Item = PipelineTask<'_, 'a>> {
        let spec = self
            .resolved_spec()
            .filter(|_| self.kind == RunKind::PipelineRun);
        let tasks = move |name: &'static str| spec.into_iter().flat_map(move |s| s.objects(name));
        let of = |is_finally| move |object| PipelineTask { object, is_finally };
        tasks("tasks")
            .map(of(false))
            .chain(tasks("finally").map(of(true)))
    }

    /// Where the Task's or Pipeline's definition came from.
    #[must_use]
    pub fn ref_source(&self) -> Option<RefSource<'_>> {
        ref_source(self.status()?)
    }

    /// Tekton's feature flags at the time, as the status has them.
    pub(crate) fn feature_flags(&self) -> Option<&Object<'a>> {
        self.status()?.object("provenance")?.object("featureFlags")
    }

    /// The resolver by which the definition was found; empty for none.
    pub(crate) fn resolver(&self) -> &str {
        let reference = match self.kind {
            RunKind::TaskRun => "taskRef",
            RunKind::PipelineRun => "pipelineRef",
        };
        self.spec()
            .and_then(|spec| spec.object(reference))
            .map_or("", |reference| reference.text("resolver"))
    }

    /// The ServiceAccount that a PipelineRun gives to its tasks.
    pub(crate) fn task_service_account(&self) -> &str {
        self.spec()
            .and_then(|spec| spec.object("taskRunTemplate"))
            .map_or("", |template| template.text("serviceAccountName"))
    }

    /// When the run started.
    #[must_use]
    pub fn started(&self) -> Option<Time> {
        self.status()?.time("startTime")
    }

    /// When the run ended.
    #[must_use]
    pub fn completed(&self) -> Option<Time> {
        self.status()?.time("completionTime")
    }
}

impl<'r, 'a> Param<'r, 'a> {
    fn of(object: &'r Object<'a>) -> Self {
        Self {
            name: object.text("name"),
            declared_type: "",
            value: object.param("value"),
        }
    }

    /// The text of a string value; empty for everything else.
    #[must_use]
    pub fn text(&self) -> &'r str {
        self.value.map_or("", ParamValue::as_text)
    }
}

impl<'r> RefSource<'r> {
    /// URI of the repository or bundle.
    #[must_use]
    pub fn uri(&self) -> &'r str {
        self.object.text("uri")
    }

    /// Digests of it, sorted by algorithm.
    pub fn digest(&self) -> impl Iterator<Item = (&'r str, &'r str)> + use<'r> {
        self.object.texts("digest")
    }

    /// Path inside it.
    #[must_use]
    pub fn entry_point(&self) -> &'r str {
        self.object.text("entryPoint")
    }
}

impl<'r, 'a> StepState<'r, 'a> {
    /// Name of the step.
    #[must_use]
    pub fn name(&self) -> &'r str {
        self.object.text("name")
    }

    /// Image by digest, as the node reported it.
    #[must_use]
    pub fn image_id(&self) -> &'r str {
        self.object.text("imageID")
    }

    /// Results of the step alone.
    pub fn results(&self) -> impl Iterator<Item = Param<'r, 'a>> + use<'r, 'a> {
        self.object.objects("results").map(Param::of)
    }

    /// Where the StepAction's definition came from.
    #[must_use]
    pub fn ref_source(&self) -> Option<RefSource<'r>> {
        ref_source(self.object)
    }
}

impl<'r, 'a> StepSpec<'r, 'a> {
    /// Name of the step.
    #[must_use]
    pub fn name(&self) -> &'r str {
        self.object.text("name")
    }

    /// What is run: the script, or the words of the command with blanks between.
    #[must_use]
    pub fn entry_point(&self) -> Cow<'r, str> {
        let script = self.object.text("script");
        if !script.is_empty() {
            return Cow::Borrowed(script);
        }
        let words: Vec<&str> = self
            .object
            .list("command")
            .iter()
            .map(Value::text)
            .collect();
        Cow::Owned(words.join(" "))
    }

    /// Arguments; absent and empty differ in the provenance.
    #[must_use]
    pub fn arguments(&self) -> Option<impl Iterator<Item = &'r str> + use<'r, 'a>> {
        self.object
            .get("args")
            .map(|_| self.object.list("args").iter().map(Value::text))
    }
}

impl<'r> PipelineTask<'r, '_> {
    /// Name of the task in the Pipeline.
    pub(crate) fn name(&self) -> &'r str {
        self.object.text("name")
    }
}

impl fmt::Display for RunKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TaskRun => "TaskRun",
            Self::PipelineRun => "PipelineRun",
        })
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

fn ref_source<'r>(owner: &'r Object<'_>) -> Option<RefSource<'r>> {
    let object = owner.object("provenance")?.object("refSource")?;
    Some(RefSource { object })
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
