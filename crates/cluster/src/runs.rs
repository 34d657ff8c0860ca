//! Runs of Tekton: their documents as the API server has them, and patches of their metadata.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use http::{Method, Request, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tekseal_core::run::RunKind;

use crate::client::Cluster;
use crate::error::{Cause, Error, Operation};

/// Which run: `k8s://NAMESPACE/taskrun/NAME` or `k8s://NAMESPACE/pipelinerun/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunRef {
    /// TaskRun or PipelineRun.
    pub kind: RunKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A text that names no run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no run in a cluster, wanted k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME, or k8s://NAMESPACE/pipelinerun/NAME/TASK for the TaskRuns of one task"
)]
pub struct RunRefError(pub(crate) String);

/// A change of a run's metadata, made as one patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Annotations to set, or to remove where there is no value.
    pub annotations: BTreeMap<String, Option<String>>,
    /// The whole list of finalizers, where it is to change; then `resource_version` must be given, since lists are replaced.
    pub finalizers: Option<Vec<String>>,
    /// The version that is to be changed; another one is a conflict.
    pub resource_version: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    metadata: ChangedMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangedMeta {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Cluster {
    /// The document of a run, as the API server prints it: 1.5 MB at most, since etcd takes no more, and 4 MiB whatever is stored.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub async fn run(&self, run: &RunRef) -> Result<String, Error> {
        let request = get(&run.path());
        self.call(
            Operation::Read,
            &run.to_string(),
            self.client.request_text(request),
        )
        .await
    }

    /// Changes annotations and finalizers of a run by one merge patch.
    ///
    /// # Guarantees
    /// Only the run with this uid is changed: one that was deleted and made again under the same name is a conflict. What is returned
    /// as done was seen in the API server's answer. Fields that this program does not know are not touched.
    ///
    /// # Errors
    /// A conflict where the run is another, or `resource_version` is not its version any more.
    pub async fn change(&self, run: &RunRef, uid: &str, change: &Change) -> Result<(), Error> {
        let what = run.to_string();
        let body = serde_json::to_vec(&change.patch(uid)).expect("a JSON value can be written");
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(format!(
                "{}?fieldManager={}",
                run.path(),
                crate::client::FIELD_MANAGER
            ))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(body)
            .expect("the parts of the path are names");
        let answer = self
            .call(Operation::Change, &what, self.client.request_text(request))
            .await
            .map_err(|error| another_run(error, &what))?;
        let changed: Changed = serde_json::from_str(&answer)
            .map_err(|e| Error::of(Operation::Change, &what, Cause::Answer(e.to_string())))?;
        let is_done = changed.metadata.uid == uid
            && change
                .annotations
                .iter()
                .all(|(key, wanted)| changed.metadata.annotations.get(key) == wanted.as_ref());
        if is_done {
            return Ok(());
        }
        let cause = Cause::Answer("the annotations were not taken as they were sent".to_owned());
        Err(Error::of(Operation::Change, &what, cause))
    }
}

impl Cluster {
    /// Adds a finalizer of ours to a run, whatever version it has: applied on the server, so that whoever writes its status meanwhile is
    /// not in the way.
    ///
    /// # Errors
    /// A conflict where the run is another or gone.
    pub async fn add_finalizer(&self, run: &RunRef, uid: &str, name: &str) -> Result<(), Error> {
        let what = run.to_string();
        let body = json!({
            "apiVersion": "tekton.dev/v1",
            "kind": run.kind.to_string(),
            "metadata": { "name": run.name, "namespace": run.namespace, "uid": uid, "finalizers": [name] },
        });
        let manager = format!("{}-finalizers", crate::client::FIELD_MANAGER);
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(format!("{}?fieldManager={manager}&force=true", run.path()))
            .header(
                header::ACCEPT,
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            )
            .header(header::CONTENT_TYPE, "application/apply-patch+yaml")
            .body(body.to_string().into_bytes())
            .expect("the parts of the path are names");
        self.call(Operation::Change, &what, self.client.request_text(request))
            .await
            .map(drop)
            .map_err(|error| another_run(error, &what))
    }
}

/// The API server calls a patch of another uid invalid; it is a conflict like any other.
fn another_run(error: Error, what: &str) -> Error {
    let Error::Request { source, .. } = &error else {
        return error;
    };
    match &**source {
        Cause::Refused {
            status: 422,
            message,
            ..
        } if message.contains("metadata.uid") => Error::of(
            Operation::Change,
            what,
            Cause::Refused {
                status: 409,
                reason: "Conflict".to_owned(),
                message: message.clone(),
            },
        ),
        _ => error,
    }
}

impl Change {
    fn patch(&self, uid: &str) -> Value {
        let mut metadata = Map::new();
        metadata.insert("uid".to_owned(), json!(uid));
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(self.annotations));
        }
        if let Some(finalizers) = &self.finalizers {
            metadata.insert("finalizers".to_owned(), json!(finalizers));
        }
        if let Some(version) = &self.resource_version {
            metadata.insert("resourceVersion".to_owned(), json!(version));
        }
        json!({ "metadata": metadata })
    }
}

impl RunRef {
    /// A run by kind, namespace and name. Names that no object of Kubernetes can have are refused, so that they can stand in a path.
    ///
    /// # Errors
    /// If namespace or name is no name.
    pub fn new(kind: RunKind, namespace: &str, name: &str) -> Result<Self, RunRefError> {
        let run = Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match is_name(namespace) && is_name(name) {
            true => Ok(run),
            false => Err(RunRefError(run.to_string())),
        }
    }

    /// As people write it: `k8s://NAMESPACE/taskrun/NAME`.
    #[must_use]
    pub fn reference(&self) -> String {
        let kind = self.kind.to_string().to_lowercase();
        format!("k8s://{}/{kind}/{}", self.namespace, self.name)
    }

    pub(crate) fn folder(kind: RunKind, namespace: &str) -> String {
        let plural = match kind {
            RunKind::TaskRun => "taskruns",
            RunKind::PipelineRun => "pipelineruns",
        };
        format!("/apis/tekton.dev/v1/namespaces/{namespace}/{plural}")
    }

    fn path(&self) -> String {
        format!("{}/{}", Self::folder(self.kind, &self.namespace), self.name)
    }
}

impl FromStr for RunRef {
    type Err = RunRefError;

    fn from_str(text: &str) -> Result<Self, RunRefError> {
        let refused = || RunRefError(text.to_owned());
        let rest = text.strip_prefix("k8s://").ok_or_else(refused)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [namespace, kind, name] = parts[..] else {
            return Err(refused());
        };
        let kind = match kind.to_ascii_lowercase().as_str() {
            "taskrun" | "taskruns" | "tr" => RunKind::TaskRun,
            "pipelinerun" | "pipelineruns" | "pr" => RunKind::PipelineRun,
            _ => return Err(refused()),
        };
        Self::new(kind, namespace, name).map_err(|_| refused())
    }
}

impl fmt::Display for RunRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A DNS subdomain, as names of runs and namespaces are.
pub(crate) fn is_name(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 253
        && is_edge(text.chars().next())
        && is_edge(text.chars().last())
        && !text.contains("..")
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

pub(crate) fn get(path: &str) -> Request<Vec<u8>> {
    Request::builder()
        .uri(path)
        .header(header::ACCEPT, "application/json")
        .body(Vec::new())
        .expect("the parts of the path are names or escaped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_as_people_write_it() {
        let run: RunRef = "k8s://ci/taskrun/build-1".parse().expect("it is a run");
        assert_eq!(run.to_string(), "TaskRun ci/build-1");
        assert_eq!(run.reference(), "k8s://ci/taskrun/build-1");
        assert_eq!(
            run.path(),
            "/apis/tekton.dev/v1/namespaces/ci/taskruns/build-1"
        );
        for bad in [
            "k8s://ci/build-1",
            "k8s://ci/pod/build-1",
            "k8s://ci/taskrun/../secrets",
            "k8s://ci/taskrun/a?watch=1",
            "k8s:///taskrun/a",
            "ci/taskrun/a",
        ] {
            assert!(bad.parse::<RunRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_patch_has_the_uid_and_nothing_that_does_not_change() {
        let change = Change {
            annotations: BTreeMap::from([
                ("a/b".to_owned(), Some("c".to_owned())),
                ("a/d".to_owned(), None),
            ]),
            ..Change::default()
        };
        assert_eq!(
            change.patch("u").to_string(),
            r#"{"metadata":{"annotations":{"a/b":"c","a/d":null},"uid":"u"}}"#
        );
    }
}
