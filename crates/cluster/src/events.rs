//! Events: what people see with `kubectl describe`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as Object, ObjectReference};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::client::Cluster;
use crate::error::{Error, Operation};
use crate::runs::RunRef;
use crate::settings::ConfigSource;

/// Longest text of an Event, in bytes: the API server takes no more.
const MOST: usize = 1000;

/// Writes Events under one name. Equal ones are counted by the API server's object instead of written again.
pub struct Events {
    cluster: Cluster,
    recorder: Recorder,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Normal,
    /// Somebody should look.
    Warning,
}

/// The most Events that are read of one run.
const MOST_READ: u32 = 500;

/// An Event as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it was last so.
    pub at: Option<Timestamp>,
    /// Who said it.
    pub by: String,
    /// One word.
    pub reason: String,
    /// What was said.
    pub note: String,
    /// How often.
    pub count: i32,
}

impl Cluster {
    /// The Events of type Warning about the run with this uid, the newest first.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn warnings_of(&self, run: &RunRef, uid: &str) -> Result<Vec<Told>, Error> {
        let api: Api<Object> = Api::namespaced(self.client.clone(), &run.namespace);
        let what = format!("Events of {run}");
        let params = ListParams::default()
            .fields(&format!("involvedObject.uid={uid},type=Warning"))
            .limit(MOST_READ);
        let found = self.call(Operation::List, &what, api.list(&params)).await?;
        let mut told: Vec<Told> = found.items.into_iter().map(Told::of).collect();
        told.sort_by_key(|event| std::cmp::Reverse(event.at));
        Ok(told)
    }
}

impl Told {
    /// Events are written in two ways: with times and counts of their own, or with a series.
    fn of(event: Object) -> Self {
        let series = event.series.unwrap_or_default();
        let micro = series.last_observed_time.or(event.event_time);
        let times = [
            micro.map(|time| time.0.as_second()),
            event.last_timestamp.map(|time| time.0.as_second()),
            event
                .metadata
                .creation_timestamp
                .map(|time| time.0.as_second()),
        ];
        let source = event.source.unwrap_or_default().component;
        let by = [event.reporting_component, source];
        Self {
            at: times
                .into_iter()
                .flatten()
                .find_map(|second| Timestamp::from_second(second).ok()),
            by: by
                .into_iter()
                .flatten()
                .find(|name| !name.is_empty())
                .unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            note: event.message.unwrap_or_default(),
            count: series.count.or(event.count).unwrap_or(1),
        }
    }
}

impl Events {
    /// Events of `program`, in the Pod or machine called `instance`.
    #[must_use]
    pub fn new(cluster: &Cluster, program: &str, instance: Option<String>) -> Self {
        let reporter = Reporter {
            controller: program.to_owned(),
            instance,
        };
        Self {
            cluster: cluster.clone(),
            recorder: Recorder::new(cluster.client.clone(), reporter),
        }
    }

    /// An Event about a run. `reason` is one word in CamelCase.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn of_run(
        &self,
        run: &RunRef,
        uid: &str,
        severity: Severity,
        reason: &str,
        note: &str,
    ) -> Result<(), Error> {
        let object = ObjectReference {
            api_version: Some("tekton.dev/v1".to_owned()),
            kind: Some(run.kind.to_string()),
            namespace: Some(run.namespace.clone()),
            name: Some(run.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.publish(object, severity, reason, note).await
    }

    /// An Event about the object that holds a configuration.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn of_configuration(
        &self,
        source: &ConfigSource,
        severity: Severity,
        reason: &str,
        note: &str,
    ) -> Result<(), Error> {
        let (version, kind, namespace, name) = match source {
            ConfigSource::ConfigMap { namespace, name } => {
                ("v1", "ConfigMap", Some(namespace.clone()), name)
            }
            ConfigSource::TektonConfig { name } => {
                ("operator.tekton.dev/v1alpha1", "TektonConfig", None, name)
            }
        };
        let object = ObjectReference {
            api_version: Some(version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace,
            name: Some(name.clone()),
            ..ObjectReference::default()
        };
        self.publish(object, severity, reason, note).await
    }

    async fn publish(
        &self,
        object: ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) -> Result<(), Error> {
        let what = format!(
            "Event of {} {}/{}",
            object.kind.as_deref().unwrap_or_default(),
            object.namespace.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default()
        );
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: reason.to_owned(),
            note: Some(note[..note.floor_char_boundary(MOST)].to_owned()),
            action: "Sign".to_owned(),
            secondary: None,
        };
        let request = self.recorder.publish(&event, &object);
        self.cluster.call(Operation::Create, &what, request).await
    }
}
