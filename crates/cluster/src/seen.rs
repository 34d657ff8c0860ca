//! A watch of runs that keeps of each only what a decision needs.
//!
//! The documents of runs are large and most of them are done with. What is dropped here is dropped while it is decoded: a thousand runs
//! cost what their names cost. Whoever needs the whole run reads it with `Cluster::run`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, watcher::ListSemantic};
use kube::{Api, Resource};
use serde::de::{MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tekseal_core::marks;
use tekseal_core::run::RunKind;

use crate::client::Cluster;
use crate::error::{Error, Operation};
use crate::lenient::{Lenient, Member, Part, members};
use crate::runs::{RunRef, is_name};

/// The annotations that are kept, and how many bytes of each: tenants write what they like. A longer value is cut, but stays longer than
/// any that means something, so that it is neither a mark, nor a record, nor a reason of ours.
const ANNOTATIONS: [(&str, usize); 4] = [
    (marks::SIGNED, 64),
    (marks::RETRIES, 64),
    (marks::RECORD, marks::MOST_RECORD_BYTES),
    (marks::REASON, 4096),
];
/// How many bytes are kept of other texts that tenants may write.
const MOST_TEXT: usize = 1024;
/// The longest uid that is believed; those of an API server have 36 bytes.
const MOST_UID: usize = 128;

/// Kind of the owner that is of interest.
const PIPELINE_RUN: &str = "PipelineRun";
/// Type of the condition that is of interest.
const SUCCEEDED: &str = "Succeeded";

/// How many runs are listed with one request: what bounds the memory of a start beside ten thousand runs.
const PAGE: u32 = 50;

/// The namespaces that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the cluster.
    All,
    /// These.
    Namespaces(Vec<String>),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Sight {
    /// A run is there, as it is now.
    There(Seen),
    /// A run is gone.
    Gone(Seen),
    /// A list begins; all that is there follows.
    Listing,
    /// The list is complete; changes follow.
    Listed,
}

/// What is kept of a run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    metadata: ObjectMeta,
    owner: Option<Owner>,
    succeeded: Option<bool>,
    completed: Option<Timestamp>,
    managed_by: Option<String>,
}

/// The PipelineRun that a run is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    name: String,
    uid: String,
}

impl Seen {
    /// Its name in the cluster; nothing for an object without one, which no API server gives.
    #[must_use]
    pub fn reference(&self, kind: RunKind) -> Option<RunRef> {
        let name = self.metadata.name.as_deref()?;
        let namespace = self.metadata.namespace.as_deref()?;
        RunRef::new(kind, namespace, name).ok()
    }

    /// The namespace that it is in; empty for an object without one, which no API server gives.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether it has ended, and well; nothing while it goes on.
    #[must_use]
    pub fn succeeded(&self) -> Option<bool> {
        self.succeeded
    }

    /// When it ended.
    #[must_use]
    pub fn completed(&self) -> Option<Timestamp> {
        self.completed
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        let time = self.metadata.creation_timestamp.as_ref()?;
        Timestamp::from_second(time.0.as_second()).ok()
    }

    /// Whether somebody asked for its deletion, and when.
    #[must_use]
    pub fn deleted(&self) -> Option<Timestamp> {
        let time = self.metadata.deletion_timestamp.as_ref()?;
        Timestamp::from_second(time.0.as_second()).ok()
    }

    /// `spec.managedBy`, if it names anybody.
    #[must_use]
    pub fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref().filter(|name| !name.is_empty())
    }

    /// One of the kept annotations.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    }

    /// Its finalizers; of a run that was listed, only Chains' and ours. Whoever is to replace them reads the run first.
    #[must_use]
    pub fn finalizers(&self) -> &[String] {
        self.metadata.finalizers.as_deref().unwrap_or_default()
    }

    /// The version of the object that was seen.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        self.metadata
            .resource_version
            .as_deref()
            .unwrap_or_default()
    }

    /// The PipelineRun that it is a part of: name and uid of its controlling owner.
    #[must_use]
    pub fn pipeline_run(&self) -> Option<(&str, &str)> {
        let owner = self.owner.as_ref()?;
        Some((&owner.name, &owner.uid))
    }

    /// A document of what is kept, to be read as this again. Of the finalizers, which may be endless, it has only Chains' and ours.
    pub(crate) fn document(&self) -> Value {
        let meta = &self.metadata;
        let finalizers: Vec<&String> = self
            .finalizers()
            .iter()
            .filter(|name| marks::is_finalizer(name))
            .collect();
        let owners: Vec<Value> = self.owner.iter().map(Owner::document).collect();
        let conditions: Vec<Value> = self
            .succeeded
            .iter()
            .map(|&is_well| {
                let status = if is_well { "True" } else { "False" };
                json!({ "type": SUCCEEDED, "status": status })
            })
            .collect();
        json!({
            "metadata": {
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                "creationTimestamp": meta.creation_timestamp,
                "deletionTimestamp": meta.deletion_timestamp,
                "annotations": meta.annotations,
                "finalizers": finalizers,
                "ownerReferences": owners,
            },
            "spec": { "managedBy": self.managed_by },
            "status": {
                "conditions": conditions,
                "completionTime": self.completed.map(|time| time.to_string()),
            },
        })
    }
}

impl Owner {
    fn document(&self) -> Value {
        json!({ "kind": PIPELINE_RUN, "controller": true, "name": self.name, "uid": self.uid })
    }
}

impl Resource for Seen {
    type DynamicType = RunKind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &RunKind) -> Cow<'_, str> {
        Cow::Owned(kind.to_string())
    }

    fn group(_: &RunKind) -> Cow<'_, str> {
        Cow::Borrowed("tekton.dev")
    }

    fn version(_: &RunKind) -> Cow<'_, str> {
        Cow::Borrowed("v1")
    }

    fn plural(kind: &RunKind) -> Cow<'_, str> {
        Cow::Owned(format!("{}s", kind.to_string().to_lowercase()))
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Watches the runs of one kind. Errors are told and followed by another try, with growing waits; the stream never ends.
#[must_use]
pub fn watch(
    cluster: &Cluster,
    kind: RunKind,
    scope: &Scope,
) -> BoxStream<'static, Result<Sight, Error>> {
    let apis: Vec<Api<Seen>> = match scope {
        Scope::All => vec![Api::all_with(cluster.client.clone(), &kind)],
        Scope::Namespaces(names) => names
            .iter()
            .map(|name| Api::namespaced_with(cluster.client.clone(), name, &kind))
            .collect(),
    };
    let config = watcher::Config {
        page_size: Some(PAGE),
        list_semantic: ListSemantic::MostRecent,
        ..watcher::Config::default()
    };
    let streams = apis.into_iter().map(move |api| {
        watcher(api, config.clone())
            .default_backoff()
            .map(move |event| match event {
                Ok(Event::Apply(run) | Event::InitApply(run)) => Ok(Sight::There(run)),
                Ok(Event::Delete(run)) => Ok(Sight::Gone(run)),
                Ok(Event::Init) => Ok(Sight::Listing),
                Ok(Event::InitDone) => Ok(Sight::Listed),
                Err(error) => Err(of_watch(format!("{kind}s"), error)),
            })
            .boxed()
    });
    stream::select_all(streams).boxed()
}

/// Watches one run: as it is now, then whenever it changes; nothing while it is not there. Errors are told and followed by another try,
/// with growing waits; the stream never ends.
#[must_use]
pub fn watch_run(
    cluster: &Cluster,
    run: &RunRef,
) -> BoxStream<'static, Result<Option<Seen>, Error>> {
    let api: Api<Seen> = Api::namespaced_with(cluster.client.clone(), &run.namespace, &run.kind);
    let what = run.to_string();
    watcher::watch_object(api, &run.name)
        .default_backoff()
        .map(move |found| found.map_err(|error| of_watch(what.clone(), error)))
        .boxed()
}

/// An error of kube's watcher as one of ours.
pub(crate) fn of_watch(what: String, error: watcher::Error) -> Error {
    use crate::error::Cause;
    let (operation, cause) = match error {
        watcher::Error::InitialListFailed(error) => (Operation::List, Cause::from(error)),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            (Operation::Watch, Cause::from(error))
        }
        watcher::Error::WatchError(status) => {
            (Operation::Watch, Cause::from(kube::Error::Api(status)))
        }
        watcher::Error::NoResourceVersion => (
            Operation::Watch,
            Cause::Answer("there is no resourceVersion".to_owned()),
        ),
    };
    Error::of(operation, what, cause)
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Lenient(document) = Lenient::<Document>::deserialize(deserializer)?;
        let meta = document.metadata;
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(Self {
            metadata: ObjectMeta {
                name: meta.name,
                namespace: meta.namespace,
                uid: meta.uid,
                resource_version: meta.resource_version,
                creation_timestamp: time(meta.created).map(Time),
                deletion_timestamp: time(meta.deleted).map(Time),
                annotations: Some(meta.annotations.0),
                finalizers: Some(meta.finalizers.0),
                ..ObjectMeta::default()
            },
            owner: meta.owners.0,
            succeeded: document.status.succeeded.0.flatten(),
            completed: document.status.completed.and_then(|text| text.parse().ok()),
            managed_by: document.spec.managed_by,
        })
    }
}

/// What is read of a run. A field of an odd type counts as absent: refusing it is for the reading of the whole run.
#[derive(Default)]
struct Document {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    created: Option<String>,
    deleted: Option<String>,
    annotations: Annotations,
    finalizers: Finalizers,
    owners: Owners,
}

#[derive(Default)]
struct Spec {
    managed_by: Option<String>,
}

#[derive(Default)]
struct Status {
    succeeded: Succeeded,
    completed: Option<String>,
}

/// The annotations that are kept; the values of others are never allocated.
#[derive(Default)]
struct Annotations(BTreeMap<String, String>);

#[derive(Default)]
struct Finalizers(Vec<String>);

/// A text that is not cut, since it may be written back.
#[derive(Default)]
struct Whole(Option<String>);

/// The first owner that is in control and can be a PipelineRun.
#[derive(Default)]
struct Owners(Option<Owner>);

#[derive(Default)]
struct Reference {
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    controller: Option<bool>,
}

/// What the first condition of that type says; nothing where there is none.
#[derive(Default)]
struct Succeeded(Option<Option<bool>>);

#[derive(Default)]
struct Condition {
    kind: Option<String>,
    status: Option<String>,
}

members!(Document {
    "metadata" => metadata,
    "spec" => spec,
    "status" => status,
});

members!(Metadata {
    "name" => name,
    "namespace" => namespace,
    "uid" => uid,
    "resourceVersion" => resource_version,
    "creationTimestamp" => created,
    "deletionTimestamp" => deleted,
    "annotations" => annotations,
    "finalizers" => finalizers,
    "ownerReferences" => owners,
});

members!(Spec {
    "managedBy" => managed_by,
});

members!(Status {
    "conditions" => succeeded,
    "completionTime" => completed,
});

impl Part for Annotations {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        value: Member<'_, A>,
    ) -> Result<(), A::Error> {
        let Some(&(_, room)) = ANNOTATIONS.iter().find(|(kept, _)| *kept == name) else {
            return value.skip();
        };
        let mut text = Whole::default();
        value.into(&mut text)?;
        if let Some(text) = text.0 {
            self.0.insert(name.to_owned(), cut(&text, room));
        }
        Ok(())
    }
}

impl Part for Finalizers {
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<Option<()>, A::Error> {
        let name = list.next_element::<Lenient<Whole>>()?;
        Ok(name.map(|Lenient(name)| self.0.extend(name.0)))
    }
}

impl Part for Owners {
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<Option<()>, A::Error> {
        let reference = list.next_element::<Lenient<Reference>>()?;
        Ok(reference.map(|Lenient(reference)| {
            self.0 = self.0.take().or_else(|| reference.pipeline_run());
        }))
    }
}

members!(Reference {
    "kind" => kind,
    "name" => name,
    "uid" => uid,
    "controller" => controller,
});

impl Reference {
    /// The PipelineRun in control. What no run is called and no API server gives for a uid is none, so that nobody keeps it.
    fn pipeline_run(self) -> Option<Owner> {
        let is_one = self.kind.as_deref() == Some(PIPELINE_RUN) && self.controller == Some(true);
        let (name, uid) = self.name.zip(self.uid).filter(|_| is_one)?;
        (is_name(&name) && uid.len() <= MOST_UID).then_some(Owner { name, uid })
    }
}

impl Part for Succeeded {
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<Option<()>, A::Error> {
        let condition = list.next_element::<Lenient<Condition>>()?;
        Ok(condition.map(|Lenient(condition)| {
            if self.0.is_none() && condition.kind.as_deref() == Some(SUCCEEDED) {
                self.0 = Some(match condition.status.as_deref() {
                    Some("True") => Some(true),
                    Some("False") => Some(false),
                    _ => None,
                });
            }
        }))
    }
}

members!(Condition {
    "type" => kind,
    "status" => status,
});

impl Part for Option<String> {
    fn of_text(text: &str) -> Self {
        Some(cut(text, MOST_TEXT))
    }
}

impl Part for Option<bool> {
    fn of_flag(flag: bool) -> Self {
        Some(flag)
    }
}

impl Part for Whole {
    fn of_text(text: &str) -> Self {
        Self(Some(text.to_owned()))
    }
}

/// The beginning of a text that is longer than `most` bytes, longer itself: what is known to be no longer is never one that was cut.
fn cut(text: &str, most: usize) -> String {
    match text.len() > most {
        true => text[..text.ceil_char_boundary(most + 1)].to_owned(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_decision_needs_is_kept() {
        let document = r#"{"apiVersion":"tekton.dev/v1","kind":"TaskRun",
            "metadata":{"name":"build","namespace":"ci","uid":"u","managedFields":[{"manager":"x"}],
              "annotations":{"chains.tekton.dev/signed":"true","chains.tekton.dev/payload-taskrun-u":"AAAA","tekseal.dev/record":"r","a":"b"},
              "ownerReferences":[{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","name":"p","uid":"v","controller":true}]},
            "spec":{"managedBy":"","params":[{"name":"a","value":["b"]}]},
            "status":{"completionTime":"2026-01-02T03:04:05Z","conditions":[{"type":"Succeeded","status":"False"}],"results":[]}}"#;
        let seen: Seen = serde_json::from_str(document).expect("it is a run");
        assert_eq!(seen.succeeded(), Some(false));
        assert_eq!(
            seen.completed().map(|t| t.to_string()).as_deref(),
            Some("2026-01-02T03:04:05Z")
        );
        assert_eq!(seen.managed_by(), None);
        assert_eq!(seen.pipeline_run(), Some(("p", "v")));
        assert_eq!(seen.annotation("tekseal.dev/record"), Some("r"));
        let annotations = seen.metadata.annotations.expect("two are kept");
        assert_eq!(annotations.len(), 2);
    }

    #[test]
    fn a_run_that_is_odd_is_seen_all_the_same() {
        let odd = [
            r#""status":{"completionTime":"yesterday","conditions":null}"#,
            r#""status":{"completionTime":5,"conditions":[null]}"#,
            r#""status":{"completionTime":{},"conditions":[7,"x",[],{"type":7,"status":"True"},{"type":"Succeeded","status":[]}]}"#,
            r#""status":null"#,
            r#""status":"x""#,
            r#""status":["x"]"#,
            r#""status":{"conditions":"Succeeded"},"spec":"x""#,
            r#""spec":{"managedBy":7}"#,
            r#""spec":null"#,
            r#""spec":[[[{}]],-1,1.5,18446744073709551615,true,false,null]"#,
        ];
        for odd in odd {
            let document = format!(r#"{{{odd},"metadata":{{"name":"a","namespace":"b"}}}}"#);
            let seen: Seen = serde_json::from_str(&document).expect("it is seen");
            assert_eq!((seen.succeeded(), seen.completed()), (None, None), "{odd}");
            assert_eq!(seen.managed_by(), None, "{odd}");
            let reference = seen.reference(RunKind::TaskRun).map(|run| run.to_string());
            assert_eq!(reference.as_deref(), Some("TaskRun b/a"), "{odd}");
        }
        for document in ["null", "7", "[]", r#""x""#, "{}", r#"{"metadata":[]}"#] {
            let seen: Seen = serde_json::from_str(document).expect("it is seen");
            assert_eq!(seen.reference(RunKind::TaskRun), None, "{document}");
        }
    }

    #[test]
    fn odd_metadata_is_absent_and_the_rest_of_it_is_there() {
        let document = r#"{"metadata":{"name":"a","namespace":7,"uid":"u","resourceVersion":{},"creationTimestamp":"2026-01-02T03:04:05Z",
            "deletionTimestamp":"now","labels":"x","finalizers":["f",null,["g"],"chains.tekton.dev"],
            "annotations":{"chains.tekton.dev/signed":null,"tekseal.dev/record":{"a":"b"},"chains.tekton.dev/retries":"1"},
            "ownerReferences":[null,"x",{"kind":"PipelineRun","name":7,"uid":"v","controller":true},
              {"kind":"PipelineRun","name":"p","uid":"v","controller":"true"},{"kind":"Pod","name":"p","uid":"v","controller":true},
              {"kind":"PipelineRun","name":"p","uid":"w","controller":true},{"kind":"PipelineRun","name":"q","uid":"x","controller":true}]},
            "status":{"conditions":[null,{"type":"Succeeded","status":"True"},{"type":"Succeeded","status":"False"}]}}"#;
        let seen: Seen = serde_json::from_str(document).expect("it is seen");
        assert_eq!(seen.uid(), "u");
        assert_eq!((seen.resource_version(), seen.deleted()), ("", None));
        let created = seen.created().map(|time| time.to_string());
        assert_eq!(created.as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(seen.finalizers(), ["f", "chains.tekton.dev"]);
        assert_eq!(seen.annotation(marks::SIGNED), None);
        assert_eq!(seen.annotation(marks::RECORD), None);
        assert_eq!(seen.annotation(marks::RETRIES), Some("1"));
        assert_eq!(seen.pipeline_run(), Some(("p", "w")));
        assert_eq!(seen.succeeded(), Some(true));
    }

    #[test]
    fn nesting_has_no_end_that_would_hide_a_run() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let document = format!(
            r#"{{"spec":{{"managedBy":{deep}}},"status":{deep},"metadata":{{"name":"a","namespace":"b","annotations":{{"tekseal.dev/record":{deep}}}}}}}"#
        );
        let seen: Seen = serde_json::from_str(&document).expect("it is seen");
        assert!(seen.reference(RunKind::TaskRun).is_some());
    }

    #[test]
    fn what_tenants_write_is_kept_as_far_as_it_can_mean_something() {
        let large = |begin: &str| format!("{begin}{}", "ü".repeat(100_000));
        let document = json!({
            "metadata": {
                "name": "a", "namespace": "b", "finalizers": [large("f"), marks::FINALIZERS[0]],
                "annotations": {
                    marks::SIGNED: large("true"), marks::RECORD: large("{"), marks::REASON: large("because"),
                    "tekseal.dev/other": large(""), "chains.tekton.dev/signed-by": large(""),
                },
                "ownerReferences": [
                    { "kind": "PipelineRun", "name": "p", "uid": large("u"), "controller": true },
                    { "kind": "PipelineRun", "name": large("p"), "uid": "u", "controller": true },
                ],
            },
            "spec": { "managedBy": large("somebody") },
        });
        let seen: Seen = serde_json::from_value(document).expect("it is seen");
        let length = |key: &str| seen.annotation(key).map(str::len).unwrap_or_default();
        // Longer than anything that means something, and hardly longer.
        for (key, most) in ANNOTATIONS {
            let kept = length(key);
            assert!(
                kept == 0 || (most < kept && kept <= most + 4),
                "{key} {kept}"
            );
        }
        assert!(length(marks::SIGNED) > 0 && length(marks::RECORD) > 0);
        let record = seen.annotation(marks::RECORD).expect("it is kept");
        let error = marks::Record::parse(record).expect_err("it is too large");
        assert!(matches!(error, marks::RecordError::Size), "{error}");
        assert_eq!(seen.pipeline_run(), None);
        assert!(
            seen.managed_by()
                .is_some_and(|name| name.len() <= MOST_TEXT + 4)
        );
        // Finalizers are written back: those of a run that was read are whole.
        assert_eq!(seen.finalizers()[0], large("f"));
        assert!(seen.document().to_string().len() < 64 * 1024);
    }

    #[test]
    fn what_is_left_of_a_listed_run_is_read_as_the_same() {
        let document = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {
                "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": "2026-01-02T03:04:06Z",
                "annotations": { marks::SIGNED: "true", marks::RECORD: "r", marks::REASON: "x", marks::RETRIES: "3" },
                "finalizers": ["chains.tekton.dev/taskrun"],
                "ownerReferences": [{ "kind": "PipelineRun", "name": "p", "uid": "v", "controller": true }],
            },
            "spec": { "managedBy": "m" },
            "status": { "completionTime": "2026-01-02T03:04:05.123456Z", "conditions": [{ "type": "Succeeded", "status": "False" }] },
        });
        let seen: Seen = serde_json::from_value(document).expect("it is a run");
        let again: Seen = serde_json::from_value(seen.document()).expect("it is a run");
        assert_eq!(format!("{again:?}"), format!("{seen:?}"));
        assert!(seen.completed().is_some() && seen.deleted().is_some());
    }
}
