//! Events: what people see with `kubectl describe`.

use std::sync::{Mutex, PoisonError};

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
    reporter: Reporter,
    recorder: Mutex<Kept>,
}

/// kube's recorder keeps each Event for minutes, whole, to count equal ones.
struct Kept {
    recorder: Recorder,
    /// How many may be told before it is to forget.
    left: usize,
}

/// The most Events that are kept: thousands of runs may fail at once, each for a reason of its own.
const MOST_KEPT: usize = 512;

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
        let fields = format!("involvedObject.uid={uid},type=Warning");
        self.told(&run.namespace, &format!("Events of {run}"), &fields)
            .await
    }

    /// The Events of any type about the object that holds a configuration, the newest first. It is known by its name: its uid is not in them.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn events_of_configuration(&self, source: &ConfigSource) -> Result<Vec<Told>, Error> {
        let object = Holding::of(source);
        let fields = format!(
            "involvedObject.kind={},involvedObject.name={}",
            object.kind, object.name
        );
        // Where kube's recorder puts those of objects without a namespace.
        let namespace = object.namespace.unwrap_or("default");
        self.told(namespace, &format!("Events of {source}"), &fields)
            .await
    }

    async fn told(&self, namespace: &str, what: &str, fields: &str) -> Result<Vec<Told>, Error> {
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        let params = ListParams::default().fields(fields).limit(MOST_READ);
        let found = self.call(Operation::List, what, api.list(&params)).await?;
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

/// The object that holds a configuration, as Events name it.
struct Holding<'s> {
    version: &'static str,
    kind: &'static str,
    namespace: Option<&'s str>,
    name: &'s str,
}

impl<'s> Holding<'s> {
    fn of(source: &'s ConfigSource) -> Self {
        match source {
            ConfigSource::ConfigMap { namespace, name } => Self {
                version: "v1",
                kind: "ConfigMap",
                namespace: Some(namespace),
                name,
            },
            ConfigSource::TektonConfig { name } => Self {
                version: "operator.tekton.dev/v1alpha1",
                kind: "TektonConfig",
                namespace: None,
                name,
            },
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
        let recorder = Recorder::new(cluster.client.clone(), reporter.clone());
        Self {
            cluster: cluster.clone(),
            reporter,
            recorder: Mutex::new(Kept {
                recorder,
                left: MOST_KEPT,
            }),
        }
    }

    /// The recorder for another Event: a new one, that knows of none, now and then.
    fn recorder(&self) -> Recorder {
        let mut kept = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.left == 0 {
            let client = self.cluster.client.clone();
            kept.recorder = Recorder::new(client, self.reporter.clone());
            kept.left = MOST_KEPT;
        }
        kept.left -= 1;
        kept.recorder.clone()
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
        self.publish(&self.recorder(), object, severity, reason, note)
            .await
    }

    /// An Event about the object that holds a configuration. Each is written anew: kube's recorder takes Events for equal that differ in their
    /// note alone, and here the note is what is wrong now.
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
        let holding = Holding::of(source);
        let object = ObjectReference {
            api_version: Some(holding.version.to_owned()),
            kind: Some(holding.kind.to_owned()),
            namespace: holding.namespace.map(str::to_owned),
            name: Some(holding.name.to_owned()),
            ..ObjectReference::default()
        };
        let recorder = Recorder::new(self.cluster.client.clone(), self.reporter.clone());
        self.publish(&recorder, object, severity, reason, note)
            .await
    }

    async fn publish(
        &self,
        recorder: &Recorder,
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
        let request = recorder.publish(&event, &object);
        self.cluster.call(Operation::Create, &what, request).await
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::run::RunKind;
    use tekseal_harness::Proxy;

    use super::*;

    #[tokio::test]
    async fn equal_events_are_counted_and_forgotten_when_there_are_many() {
        let proxy = Proxy::start("127.0.0.1:1");
        let body = br#"{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"a","namespace":"b"},"eventTime":null}"#;
        let headers = [("Content-Type", "application/json")];
        proxy.when(|_| true).answer(200, &headers, body);
        let server = format!("http://{}", proxy.address());
        let server = server.parse().expect("an address");
        let cluster = Cluster::plain(server, "test").expect("it is one");
        let events = Events::new(&cluster, "test", None);
        let run = RunRef::new(RunKind::TaskRun, "b", "a").expect("they are names");
        let tell = || events.of_run(&run, "u", Severity::Warning, "Odd", "it is odd");
        for _ in 0..2 {
            tell().await.expect("it is taken");
        }
        let sent = |method| proxy.count_of(method, "/events");
        assert_eq!((sent("POST"), sent("PATCH")), (1, 1));
        events.recorder.lock().expect("nobody panicked").left = 0;
        tell().await.expect("it is taken");
        assert_eq!((sent("POST"), sent("PATCH")), (2, 1));
        let source = ConfigSource::of_chains("b");
        for note in ["one problem", "another problem"] {
            let told = events.of_configuration(&source, Severity::Warning, "Bad", note);
            told.await.expect("it is taken");
        }
        assert_eq!((sent("POST"), sent("PATCH")), (4, 1), "each has its note");
    }
}
