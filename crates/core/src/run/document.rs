//! One run as its document has it: what it says of itself, field by field.

use std::borrow::Cow;
use std::fmt;

use super::Error;
use crate::gojson::Writer;
use crate::header;
use crate::time::Time;
use crate::typed::{self, Dialect, Encoding, Object, ParamValue, RootKind, Value};

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// One Task.
    TaskRun,
    /// A Pipeline of Tasks.
    PipelineRun,
}

/// A run as its document has it, completed or not.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    pub(super) kind: RunKind,
    pub(super) object: Object<'a>,
    /// Bytes of its document.
    pub(super) size: u64,
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

impl<'a> Run<'a> {
    /// Reads the document of a TaskRun or PipelineRun, completed or not.
    ///
    /// # Errors
    /// If it is no JSON, of another kind or version, or a field is not of Tekton's type.
    pub fn from_json(document: &'a [u8]) -> Result<Self, Error> {
        let header = header::read(document).map_err(Error::Json)?;
        Self::of_header(document, &header)
    }

    pub(super) fn of_header(document: &'a [u8], header: &header::Header) -> Result<Self, Error> {
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

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    fn metadata(&self, name: &str) -> &str {
        self.object
            .object("metadata")
            .map_or("", |metadata| metadata.text(name))
    }

    /// Unique ids of the PipelineRuns that own the run.
    pub(super) fn pipeline_run_owners(&self) -> impl Iterator<Item = &str> {
        self.object
            .object("metadata")
            .into_iter()
            .flat_map(|metadata| metadata.objects("ownerReferences"))
            .filter(|owner| owner.text("kind") == "PipelineRun")
            .map(|owner| owner.text("uid"))
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

    pub(super) fn label(&self, key: &str) -> Option<&str> {
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

    pub(super) fn status_objects(
        &self,
        name: &str,
    ) -> impl DoubleEndedIterator<Item = &Object<'a>> {
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

    /// The ServiceAccount whose credentials go with what the run made: a TaskRun's own, or that which a PipelineRun gives to its tasks;
    /// `default` where it names none.
    #[must_use]
    pub fn service_account(&self) -> &str {
        let named = match self.kind {
            RunKind::TaskRun => self
                .spec()
                .map_or("", |spec| spec.text("serviceAccountName")),
            RunKind::PipelineRun => self.task_service_account(),
        };
        if named.is_empty() { "default" } else { named }
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

fn ref_source<'r>(owner: &'r Object<'_>) -> Option<RefSource<'r>> {
    let object = owner.object("provenance")?.object("refSource")?;
    Some(RefSource { object })
}

/// Label by which the author of a run declares it reproducible.
const REPRODUCIBLE_LABEL: &str = "chains.tekton.dev/reproducible";
