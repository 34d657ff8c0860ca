//! A watch of runs that keeps of each only what a decision needs.
//!
//! The documents of runs are large and most of them are done with. What is dropped here is dropped while it is decoded: a thousand runs
//! cost what their names cost. Whoever needs the whole run reads it with `Cluster::run`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, watcher::ListSemantic};
use kube::{Api, Resource};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tekseal_core::run::RunKind;

use crate::client::Cluster;
use crate::error::{Error, Operation};
use crate::runs::RunRef;

/// Annotations that are kept begin so; payloads and signatures of the storage `tekton` are not among them.
pub const ANNOTATION_PREFIXES: [&str; 3] = [
    "chains.tekton.dev/signed",
    "chains.tekton.dev/retries",
    "tekseal.dev/",
];

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
    succeeded: Option<bool>,
    completed: Option<Timestamp>,
    managed_by: Option<String>,
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

    /// Its finalizers.
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
        let owners = self.metadata.owner_references.as_ref()?;
        let owner = owners
            .iter()
            .find(|owner| owner.kind == "PipelineRun" && owner.controller == Some(true))?;
        Some((&owner.name, &owner.uid))
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
        #[derive(Deserialize)]
        struct Document {
            metadata: Metadata,
            #[serde(default)]
            spec: Option<Spec>,
            #[serde(default)]
            status: Option<Status>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: Option<String>,
            namespace: Option<String>,
            uid: Option<String>,
            resource_version: Option<String>,
            creation_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
            deletion_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
            #[serde(default)]
            annotations: Option<Kept>,
            finalizers: Option<Vec<String>>,
            owner_references:
                Option<Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Spec {
            #[serde(default)]
            managed_by: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Status {
            #[serde(default)]
            conditions: Option<Vec<Condition>>,
            #[serde(default)]
            completion_time: Option<String>,
        }
        #[derive(Deserialize)]
        struct Condition {
            #[serde(default)]
            r#type: String,
            #[serde(default)]
            status: String,
        }

        let document = Document::deserialize(deserializer)?;
        let status = document.status;
        let conditions = status.as_ref().and_then(|s| s.conditions.as_ref());
        let succeeded = conditions
            .and_then(|list| list.iter().find(|c| c.r#type == "Succeeded"))
            .and_then(|condition| match condition.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            });
        // A time that is none is for the reading of the whole run to refuse: one odd run must not end a watch.
        let completed = status
            .and_then(|s| s.completion_time)
            .and_then(|text| text.parse().ok());
        let meta = document.metadata;
        Ok(Self {
            metadata: ObjectMeta {
                name: meta.name,
                namespace: meta.namespace,
                uid: meta.uid,
                resource_version: meta.resource_version,
                creation_timestamp: meta.creation_timestamp,
                deletion_timestamp: meta.deletion_timestamp,
                annotations: meta.annotations.map(|kept| kept.0),
                finalizers: meta.finalizers,
                owner_references: meta.owner_references,
                ..ObjectMeta::default()
            },
            succeeded,
            completed,
            managed_by: document.spec.and_then(|spec| spec.managed_by),
        })
    }
}

/// The annotations that are kept; the values of others are never allocated.
struct Kept(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;
        impl<'de> Visitor<'de> for OfMap {
            type Value = Kept;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kept, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if ANNOTATION_PREFIXES.iter().any(|p| key.starts_with(p)) {
                        kept.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Kept(kept))
            }
        }
        deserializer.deserialize_map(OfMap)
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
        let document = r#"{"metadata":{"name":"a","namespace":"b"},"status":{"completionTime":"yesterday","conditions":null}}"#;
        let seen: Seen = serde_json::from_str(document).expect("it is seen");
        assert_eq!((seen.succeeded(), seen.completed()), (None, None));
    }
}
