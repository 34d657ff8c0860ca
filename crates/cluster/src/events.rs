//! Events: what people see with `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::client::Cluster;
use crate::error::{Error, Operation};
use crate::runs::RunRef;

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

    /// An Event about another object of the cluster, such as the ConfigMap of the configuration.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn of_object(
        &self,
        object: ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) -> Result<(), Error> {
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
            note: Some(cut(note)),
            action: "Sign".to_owned(),
            secondary: None,
        };
        let request = self.recorder.publish(&event, &object);
        self.cluster.call(Operation::Create, &what, request).await
    }
}

fn cut(note: &str) -> String {
    let mut end = note.len().min(MOST);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default().to_owned()
}
