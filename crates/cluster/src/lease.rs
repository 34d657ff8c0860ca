//! One leader among several replicas, by a Lease of `coordination.k8s.io/v1`.
//!
//! As client-go does it, clocks are never compared: a holder is taken for dead when its Lease has not *changed* for the Lease's duration,
//! counted by our own clock from the moment at which the last change was seen. So a clock that is an hour off elects nobody.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use crate::client::Cluster;
use crate::error::{Error, Operation};

/// A Lease that several replicas try to hold.
pub struct Lease {
    cluster: Cluster,
    namespace: String,
    name: String,
    identity: String,
    duration: Duration,
    seen: Option<Observation>,
}

/// Who holds a Lease, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The holder; nobody where it was given back.
    pub identity: Option<String>,
    /// When it was last renewed, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// For how long at a time.
    pub duration: Duration,
}

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ours, until this moment unless it is renewed.
    Ours(Instant),
    /// Somebody else's.
    Of(String),
}

struct Observation {
    holder: String,
    version: String,
    at: Instant,
}

impl Cluster {
    /// Who holds a Lease; nothing where there is no such Lease.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn lease_holder(&self, namespace: &str, name: &str) -> Result<Option<Holder>, Error> {
        let api: Api<Object> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("Lease {namespace}/{name}");
        let found = self.call(Operation::Read, &what, api.get_opt(name)).await?;
        let spec = found.map(|found| found.spec.unwrap_or_default());
        Ok(spec.map(|spec| {
            let seconds = spec.lease_duration_seconds.unwrap_or_default();
            Holder {
                identity: spec.holder_identity.filter(|name| !name.is_empty()),
                renewed: spec
                    .renew_time
                    .and_then(|time| Timestamp::from_second(time.0.as_second()).ok()),
                duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            }
        }))
    }
}

impl Lease {
    /// The Lease `namespace/name`, to be held as `identity` for `duration` at a time.
    #[must_use]
    pub fn new(
        cluster: &Cluster,
        namespace: &str,
        name: &str,
        identity: &str,
        duration: Duration,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            duration,
            seen: None,
        }
    }

    /// Takes the Lease if nobody holds it, renews it if we do. To be called a few times in each duration.
    ///
    /// # Errors
    /// If the API server does not answer, or somebody else was faster: then nothing is known, and what was ours ends when it was said to.
    pub async fn attempt(&mut self) -> Result<Turn, Error> {
        let api: Api<Object> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let what = self.what();
        // What we hold is counted from before the request: the others count from after it.
        let asked = Instant::now();
        let request = api.get_opt(&self.name);
        let found = self.cluster.call(Operation::Read, &what, request).await?;
        let Some(found) = found else {
            let fresh = self.object(None, 0);
            let params = PostParams::default();
            let request = api.create(&params, &fresh);
            self.cluster.call(Operation::Create, &what, request).await?;
            return Ok(Turn::Ours(asked + self.duration));
        };
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let is_free = holder.is_empty() || holder == self.identity || self.is_dead(&found, &holder);
        if !is_free {
            return Ok(Turn::Of(holder));
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        let changed = match holder == self.identity {
            true => transitions,
            false => transitions.saturating_add(1),
        };
        let object = self.object(Some(found), changed);
        let params = PostParams::default();
        let request = api.replace(&self.name, &params, &object);
        self.cluster.call(Operation::Change, &what, request).await?;
        Ok(Turn::Ours(asked + self.duration))
    }

    /// Gives the Lease back, if it is ours, so that the next one need not wait.
    ///
    /// # Errors
    /// If the API server does not answer; then it ends by itself.
    pub async fn release(&mut self) -> Result<(), Error> {
        let api: Api<Object> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let what = self.what();
        let request = api.get_opt(&self.name);
        let Some(mut found) = self.cluster.call(Operation::Read, &what, request).await? else {
            return Ok(());
        };
        let spec = found.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        let params = PostParams::default();
        let request = api.replace(&self.name, &params, &found);
        self.cluster
            .call(Operation::Change, &what, request)
            .await
            .map(drop)
    }

    /// Whether the holder has let the Lease rest for its whole duration while we were looking.
    fn is_dead(&mut self, found: &Object, holder: &str) -> bool {
        let version = found.metadata.resource_version.clone().unwrap_or_default();
        let spec = found.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        let duration = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(self.duration, Duration::from_secs);
        if let Some(seen) = &self.seen
            && seen.version == version
            && seen.holder == holder
        {
            return seen.at.elapsed() >= duration;
        }
        self.seen = Some(Observation {
            holder: holder.to_owned(),
            version,
            at: Instant::now(),
        });
        false
    }

    fn object(&self, before: Option<Object>, transitions: i32) -> Object {
        let now = Some(MicroTime(now()));
        let is_renewal = before
            .as_ref()
            .and_then(|object| object.spec.as_ref())
            .is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let mut object = before.unwrap_or_else(|| Object {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            ..Object::default()
        });
        let spec = object.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(self.duration.as_secs()).ok();
        spec.renew_time = now.clone();
        if !is_renewal {
            spec.acquire_time = now;
            spec.lease_transitions = Some(transitions);
        }
        object
    }

    fn what(&self) -> String {
        format!("Lease {}/{}", self.namespace, self.name)
    }
}

/// For people who read the Lease: nothing is decided by it.
fn now() -> k8s_openapi::jiff::Timestamp {
    let now = Timestamp::now();
    k8s_openapi::jiff::Timestamp::from_microsecond(now.as_microsecond())
        .unwrap_or(k8s_openapi::jiff::Timestamp::UNIX_EPOCH)
}
