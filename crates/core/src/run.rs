//! Completed runs: what a TaskRun's document says of itself, as far as provenance needs it.
//!
//! `CompletedRun` can only be made from a run whose `Succeeded` condition is `True` or `False`: nobody can attest to the end of something
//! that has not ended. Fields are read leniently, as Go reads them (`null` is absent), because the document comes from an API server;
//! its *values* come from a tenant and are believed by nobody here.
//!
//! Specification: <https://tekton.dev/docs/pipelines/pipeline-api/#tekton.dev/v1.TaskRun>.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The largest run document that is read, in bytes. An API server stores at most about 1.5 MiB of one object.
pub const MAX_RUN_BYTES: u64 = 4 * 1024 * 1024;

/// The deepest nesting of lists and maps that is read. Real runs stay below 30.
const MAX_DEPTH: usize = 128;

/// Label by which the author of a run declares it reproducible.
const REPRODUCIBLE_LABEL: &str = "chains.tekton.dev/reproducible";

/// Annotation on a run document that was written by a build tool outside any cluster.
pub const LOCAL_RECORD_ANNOTATION: &str = "tekseal.dev/local-record";

/// Why a document is no completed run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, nested too deep, or a field of another type than Tekton's.
    #[error("the run is not a JSON document that Tekton could have written")]
    Json(#[source] serde_json::Error),
    /// Deeper than anything Tekton writes; a later reader might not survive it.
    #[error("the run is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Another kind than those that can be attested.
    #[error(
        "kind {kind:?} of apiVersion {api_version:?} cannot be attested, wanted TaskRun of tekton.dev/v1"
    )]
    Kind {
        /// `apiVersion` as found.
        api_version: String,
        /// `kind` as found.
        kind: String,
    },
    /// The run goes on, or never started.
    #[error("TaskRun {name} is not completed: its condition Succeeded is {status}")]
    NotCompleted {
        /// Namespace and name.
        name: String,
        /// `Unknown`, or `absent`.
        status: String,
    },
    /// A time that is no RFC 3339 time.
    #[error("{field} {text:?} is not an RFC 3339 time")]
    Time {
        /// Path of the field.
        field: &'static str,
        /// What stands there.
        text: String,
    },
}

/// A TaskRun that has ended, well or badly.
#[derive(Clone, Debug)]
pub struct CompletedRun {
    metadata: Metadata,
    params: Vec<Param>,
    status: Status,
    started: Option<Timestamp>,
    completed: Option<Timestamp>,
}

/// The value of a parameter or result, by the shape of its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string; also numbers, booleans and mixed lists, as their JSON text.
    String(String),
    /// A list of strings.
    Array(Vec<String>),
    /// A map of strings.
    Object(BTreeMap<String, String>),
}

/// A named value: a parameter, a default, a result.
#[derive(Clone, Debug, Deserialize)]
pub struct Param {
    /// Its name.
    #[serde(default, deserialize_with = "lenient")]
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: Value,
}

/// Where the definition of a Task came from.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RefSource {
    /// URI of the repository or bundle.
    #[serde(default, deserialize_with = "lenient")]
    pub uri: String,
    /// Digests of it.
    #[serde(default, deserialize_with = "lenient")]
    pub digest: BTreeMap<String, String>,
    /// Path inside it.
    #[serde(default, rename = "entryPoint", deserialize_with = "lenient")]
    pub entry_point: String,
}

/// A step or sidecar as it ran.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StepState {
    /// Name of the step.
    #[serde(default, deserialize_with = "lenient")]
    pub name: String,
    /// Image by digest, as the node reported it.
    #[serde(default, rename = "imageID", deserialize_with = "lenient")]
    pub image_id: String,
}

/// A step as it was specified.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StepSpec {
    /// Name of the step.
    #[serde(default, deserialize_with = "lenient")]
    pub name: String,
    /// Command, one word an element.
    #[serde(default, deserialize_with = "lenient")]
    pub command: Vec<String>,
    /// Arguments; absent and empty differ in the provenance.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Script.
    #[serde(default, deserialize_with = "lenient")]
    pub script: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "lenient")]
    name: String,
    #[serde(default, deserialize_with = "lenient")]
    namespace: String,
    #[serde(default, deserialize_with = "lenient")]
    uid: String,
    #[serde(default, deserialize_with = "lenient")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "lenient")]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Spec {
    #[serde(default, deserialize_with = "lenient")]
    params: Vec<Param>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "lenient")]
    conditions: Vec<Condition>,
    #[serde(default, rename = "startTime")]
    start_time: Option<String>,
    #[serde(default, rename = "completionTime")]
    completion_time: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    steps: Vec<StepState>,
    #[serde(default, deserialize_with = "lenient")]
    sidecars: Vec<StepState>,
    #[serde(default, deserialize_with = "lenient")]
    results: Vec<Param>,
    #[serde(default, rename = "taskSpec", deserialize_with = "lenient")]
    task_spec: TaskSpec,
    #[serde(default, deserialize_with = "lenient")]
    provenance: Provenance,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Condition {
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    kind: String,
    #[serde(default, deserialize_with = "lenient")]
    status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct TaskSpec {
    #[serde(default, deserialize_with = "lenient")]
    params: Vec<ParamSpec>,
    #[serde(default, deserialize_with = "lenient")]
    steps: Vec<StepSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ParamSpec {
    #[serde(default, deserialize_with = "lenient")]
    name: String,
    #[serde(default)]
    default: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Provenance {
    #[serde(default, rename = "refSource")]
    ref_source: Option<RefSource>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, rename = "apiVersion", deserialize_with = "lenient")]
    api_version: String,
    #[serde(default, deserialize_with = "lenient")]
    kind: String,
    #[serde(default, deserialize_with = "lenient")]
    metadata: Metadata,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
    #[serde(default)]
    status: Option<Box<RawValue>>,
}

impl CompletedRun {
    /// Reads a TaskRun document.
    ///
    /// # Errors
    /// If it is no JSON, no TaskRun of `tekton.dev/v1`, or not completed.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if is_too_deep(bytes) {
            return Err(Error::Depth);
        }
        let document: Document = serde_json::from_slice(bytes).map_err(Error::Json)?;
        if document.kind != "TaskRun" || document.api_version != "tekton.dev/v1" {
            return Err(Error::Kind {
                api_version: document.api_version,
                kind: document.kind,
            });
        }
        let spec: Spec = part(document.spec.as_deref())?;
        let status: Status = part(document.status.as_deref())?;
        let metadata = document.metadata;
        let succeeded = status
            .conditions
            .iter()
            .find(|c| c.kind == "Succeeded")
            .map_or("absent", |c| &c.status);
        if !matches!(succeeded, "True" | "False") {
            let name = format!("{}/{}", metadata.namespace, metadata.name);
            return Err(Error::NotCompleted {
                name,
                status: succeeded.to_owned(),
            });
        }
        let started = time("status.startTime", status.start_time.as_deref())?;
        let completed = time("status.completionTime", status.completion_time.as_deref())?;
        Ok(Self {
            metadata,
            params: spec.params,
            status,
            started,
            completed,
        })
    }

    /// Name of the run.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Namespace of the run.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// Unique id that the API server gave to the run.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// Labels of the run.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.metadata.labels
    }

    /// Annotations of the run.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.metadata.annotations
    }

    /// Whether the run ended well; failed and cancelled runs are completed too.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|c| c.kind == "Succeeded" && c.status == "True")
    }

    /// Whether its author declares the build reproducible.
    #[must_use]
    pub fn is_declared_reproducible(&self) -> bool {
        self.metadata
            .labels
            .get(REPRODUCIBLE_LABEL)
            .is_some_and(|v| v == "true")
    }

    /// Whether a build tool outside any cluster wrote this document.
    #[must_use]
    pub fn is_local_record(&self) -> bool {
        self.metadata
            .annotations
            .get(LOCAL_RECORD_ANNOTATION)
            .is_some_and(|v| v == "true")
    }

    /// Parameters given to the run.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Defaults of the Task's parameters, in the Task's order.
    pub fn param_defaults(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.status
            .task_spec
            .params
            .iter()
            .filter_map(|p| Some((p.name.as_str(), p.default.as_ref()?)))
    }

    /// Results of the run.
    #[must_use]
    pub fn results(&self) -> &[Param] {
        &self.status.results
    }

    /// Steps as they ran.
    #[must_use]
    pub fn steps(&self) -> &[StepState] {
        &self.status.steps
    }

    /// Sidecars as they ran.
    #[must_use]
    pub fn sidecars(&self) -> &[StepState] {
        &self.status.sidecars
    }

    /// The specification of the step of this name: the first one, as Chains takes it.
    #[must_use]
    pub fn step_spec(&self, name: &str) -> Option<&StepSpec> {
        self.status.task_spec.steps.iter().find(|s| s.name == name)
    }

    /// Where the Task's definition came from.
    #[must_use]
    pub fn ref_source(&self) -> Option<&RefSource> {
        self.status.provenance.ref_source.as_ref()
    }

    /// When the run started.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// When the run ended.
    #[must_use]
    pub fn completed(&self) -> Option<Timestamp> {
        self.completed
    }
}

impl Value {
    /// The text of a string value; empty for lists and maps, as Tekton has it.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::String(text) => text,
            Self::Array(_) | Self::Object(_) => "",
        }
    }

    /// The map of an object value.
    #[must_use]
    pub fn as_object(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Object(map) => Some(map),
            Self::String(_) | Self::Array(_) => None,
        }
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::String(String::new())
    }
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(text) => text.serialize(serializer),
            Self::Array(list) => list.serialize(serializer),
            Self::Object(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    /// By the shape of the JSON, whatever the declared type is: what is neither a string, a list of strings nor a map of strings is
    /// the string of its JSON text (Tekton, `ParamValue.UnmarshalJSON`).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let value = match text.as_bytes().first() {
            Some(b'[') => serde_json::from_str::<Vec<Option<String>>>(text)
                .ok()
                .map(|list| Self::Array(list.into_iter().map(Option::unwrap_or_default).collect())),
            Some(b'{') => serde_json::from_str::<BTreeMap<String, Option<String>>>(text)
                .ok()
                .map(|map| {
                    Self::Object(
                        map.into_iter()
                            .map(|(k, v)| (k, v.unwrap_or_default()))
                            .collect(),
                    )
                }),
            _ => serde_json::from_str::<Option<String>>(text)
                .ok()
                .map(|s| Self::String(s.unwrap_or_default())),
        };
        Ok(value.unwrap_or_else(|| Self::String(text.to_owned())))
    }
}

/// `null` is absent, and absent is the default, as in Go.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn part<T: for<'de> Deserialize<'de> + Default>(raw: Option<&RawValue>) -> Result<T, Error> {
    raw.map_or_else(
        || Ok(T::default()),
        |raw| serde_json::from_str(raw.get()).map_err(Error::Json),
    )
}

/// Whether lists and maps are nested deeper than `MAX_DEPTH`. The JSON reader skips unknown fields without counting.
fn is_too_deep(bytes: &[u8]) -> bool {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn time(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Error> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error::Time {
        field,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).expect("any JSON is a value")
    }

    #[test]
    fn values_are_read_by_shape() {
        assert_eq!(value("\"x\""), Value::String("x".into()));
        assert_eq!(
            value("[\"a\",null]"),
            Value::Array(vec!["a".into(), String::new()])
        );
        assert_eq!(
            value("{\"k\":\"v\"}"),
            Value::Object(BTreeMap::from([("k".into(), "v".into())]))
        );
        assert_eq!(value("[1,\"a\"]"), Value::String("[1,\"a\"]".into()));
        assert_eq!(value("5"), Value::String("5".into()));
        assert_eq!(value("true"), Value::String("true".into()));
        assert_eq!(value("null"), Value::default());
    }

    #[test]
    fn a_run_that_is_not_done_is_refused() {
        let running = br#"{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{"name":"r","namespace":"n"},
            "status":{"conditions":[{"type":"Succeeded","status":"Unknown"}]}}"#;
        let error = CompletedRun::from_json(running).expect_err("it runs");
        assert_eq!(
            error.to_string(),
            "TaskRun n/r is not completed: its condition Succeeded is Unknown"
        );
        let unborn = br#"{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{}}"#;
        assert!(matches!(
            CompletedRun::from_json(unborn),
            Err(Error::NotCompleted { .. })
        ));
    }

    #[test]
    fn other_kinds_and_garbage_are_refused() {
        let pod = br#"{"apiVersion":"v1","kind":"Pod"}"#;
        assert!(matches!(
            CompletedRun::from_json(pod),
            Err(Error::Kind { .. })
        ));
        assert!(matches!(CompletedRun::from_json(b"{"), Err(Error::Json(_))));
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(
            CompletedRun::from_json(deep.as_bytes()),
            Err(Error::Depth)
        ));
        let deep_inside =
            format!(r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRun","spec":{{"x":{deep}}}}}"#);
        assert!(matches!(
            CompletedRun::from_json(deep_inside.as_bytes()),
            Err(Error::Depth)
        ));
    }
}
