//! What a cluster knows of a run beside the run: the configuration, Events, credentials, and whether a controller is there.
//!
//! The run must be readable. Everything else is told where it may be read, and what may not be read is told too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tekseal_cluster::{Cluster, ConfigSource, Error, Holder, RunRef, SecretRef, Seen, Told};
use tekseal_core::Repository;
use tekseal_core::config::{Config, KeyRule, Namespaces};
use tekseal_core::docker_config::{Credentials, KubernetesSecret};

use crate::Failure;
use crate::cluster_args::NamedRun;
use crate::documents::Documents;
use crate::exit;
use crate::source_args::ContextArgs;

use super::configuration::{self, Explained, Found};

/// Name of the Lease that a controller of ours holds.
const LEASE: &str = "tekseal-controller";
/// The most Events that are told.
const MOST_EVENTS: usize = 5;
/// A Lease that was not renewed for so many times its duration is taken for left behind. Clocks may differ, so it is generous.
const STALE: i64 = 10;

/// What was read beside the run and the configuration.
pub(super) struct Facts {
    pub(super) run: RunRef,
    /// What a controller sees of the run.
    pub(super) seen: Seen,
    configuration: Found,
    controller: Controller,
    /// Labels of the namespace, read where a rule asks for them.
    labels: Option<BTreeMap<String, String>>,
    account: String,
    /// Nothing where it is not known which the ServiceAccount has.
    secrets: Option<Vec<Secret>>,
    /// Nothing where they could not be listed.
    events: Option<Vec<Event>>,
    unread: Unread,
}

/// What could not be read, and why.
#[derive(Debug, Default)]
pub(super) struct Unread(Vec<String>);

/// A Secret of the ServiceAccount.
struct Secret {
    name: String,
    /// What it has for registries; nothing where it could not be read.
    credentials: Option<Credentials>,
}

/// Who would sign the run.
pub(super) enum Controller {
    /// A Lease is held by this one.
    There(String),
    /// There is no Lease, or nobody renews it.
    Absent(String),
    /// It could not be read.
    Unknown,
}

/// What is told of it. The names of the members are those of the JSON output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OnCluster {
    /// Where the configuration was read, or why it is not known or not in force.
    pub(super) configuration: String,
    /// What is explained in that case.
    pub(super) explained: Explained,
    /// What was told of the configuration since it was last good, newest first.
    pub(super) configuration_events: Vec<Event>,
    pub(super) controller: String,
    pub(super) service_account: String,
    /// The account's Secrets for registries, in the order in which they are tried; nothing where it is not known which it has.
    pub(super) registry_secrets: Option<Vec<RegistrySecret>>,
    /// The last Events of type Warning, newest first; nothing where they are not known.
    pub(super) events: Option<Vec<Event>>,
    /// What could not be read, and why.
    pub(super) unread: Vec<String>,
    /// What becomes of the run.
    pub(super) next: String,
}

#[derive(Debug, Serialize)]
pub(super) struct RegistrySecret {
    pub(super) name: String,
    /// The repositories that it would be shown for; nothing is known where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repositories: Option<Vec<String>>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Event {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) note: String,
    pub(super) count: i32,
}

/// Reads the run, its children, and what else may be read.
pub(super) async fn gather(
    cluster: &Cluster,
    named: &NamedRun,
    context: &ContextArgs,
    system_namespace: &str,
    source: &ConfigSource,
) -> Result<(Documents, Config, Facts), Failure> {
    let documents = context.of_cluster(cluster, named).await?;
    let run = &named.run;
    let text = documents.run_bytes();
    let seen: Seen = serde_json::from_slice(text)
        .map_err(|e| Failure::no(e).context(format!("{run} is not understood")))?;
    // A document that is no run is refused later, with its reason.
    let account = documents.unfinished();
    let account = account.map_or_else(
        |_| "default".to_owned(),
        |run| run.service_account().to_owned(),
    );
    let mut unread = Unread::default();
    let (config, configuration) =
        configuration::find(cluster, source, context, &mut unread).await?;
    let is_by_label = |rule: &KeyRule| matches!(rule.namespaces, Namespaces::Labelled(_));
    let labels = match config.rules().keys.iter().any(is_by_label) {
        true => unread.known(
            cluster.namespace_labels(&run.namespace).await,
            "tekseal-explain in the namespace of the run",
        ),
        false => Some(BTreeMap::new()),
    };
    let with_pull_secrets = config.rules().pull_secrets;
    let (told, holder, names) = tokio::join!(
        cluster.warnings_of(run, seen.uid()),
        cluster.lease_holder(system_namespace, LEASE),
        cluster.account_secret_names(&run.namespace, &account, with_pull_secrets),
    );
    let lease = format!("Lease {system_namespace}/{LEASE}");
    let of_system = "tekseal-explain-system in the namespace of the controller";
    let controller = match unread.known(holder, of_system) {
        None => Controller::Unknown,
        Some(holder) => Controller::of(&lease, holder, Timestamp::now()),
    };
    let of_runs = "tekseal-explain in the namespace of the run";
    let secrets = match unread.known(names, of_runs) {
        None => None,
        Some(names) => {
            let mut secrets = Vec::new();
            for name in names {
                secrets.extend(read_secret(cluster, &run.namespace, name, &mut unread).await);
            }
            Some(secrets)
        }
    };
    let told = unread.known(told, of_runs);
    let facts = Facts {
        run: run.clone(),
        seen,
        configuration,
        controller,
        labels,
        account,
        secrets,
        events: told.map(|told| told.into_iter().take(MOST_EVENTS).map(Event::of).collect()),
        unread,
    };
    Ok((documents, config, facts))
}

impl Unread {
    /// What was read; what was not is told, with the ClusterRole to ask for where a right is missing.
    pub(super) fn known<T>(&mut self, read: Result<T, Error>, role: &str) -> Option<T> {
        read.map_err(|error| self.add(&error, role)).ok()
    }

    fn add(&mut self, error: &Error, role: &str) {
        let mut text = exit::chain(error);
        if error.status() == Some(403) {
            text.push_str(&format!(
                "; ask for the rights of the ClusterRole {role} (deploy/rbac-steps.yaml)"
            ));
        }
        self.0.push(text);
    }
}

impl Facts {
    pub(super) fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Labels of the run's namespace, if they are known.
    pub(super) fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.labels.as_ref()
    }

    /// What to ask for where neither the configuration nor a controller is where it was looked for.
    pub(super) fn elsewhere(&self, system_namespace: &str) -> Option<String> {
        let is_here =
            self.configuration.is_there() || !matches!(self.controller, Controller::Absent(_));
        (!is_here).then(|| {
            format!(
                "nothing of a controller is in the namespace {system_namespace}: --system-namespace and --config-from say where it is; \
                 of OpenShift Pipelines --system-namespace openshift-pipelines --config-from tektonconfig/config"
            )
        })
    }

    pub(super) fn configuration(&self) -> &Found {
        &self.configuration
    }

    /// What is told, for the repositories in which something would be stored.
    pub(super) fn tell(self, repositories: &[Repository], next: String) -> OnCluster {
        let shown = |secret: Secret| RegistrySecret {
            name: secret.name,
            repositories: secret.credentials.map(|credentials| {
                repositories
                    .iter()
                    .filter(|repository| !credentials.for_repository(repository).is_empty())
                    .map(ToString::to_string)
                    .collect()
            }),
        };
        OnCluster {
            configuration: self.configuration.tell(),
            explained: self.configuration.explained(),
            configuration_events: self.configuration.events,
            controller: match self.controller {
                Controller::There(said) | Controller::Absent(said) => said,
                Controller::Unknown => "not known, because its Lease could not be read".to_owned(),
            },
            service_account: self.account,
            registry_secrets: self
                .secrets
                .map(|secrets| secrets.into_iter().map(shown).collect()),
            events: self.events,
            unread: self.unread.0,
            next,
        }
    }
}

impl Controller {
    fn of(lease: &str, holder: Option<Holder>, now: Timestamp) -> Self {
        let Some(holder) = holder else {
            return Self::Absent(format!("there is no {lease}"));
        };
        let Some(identity) = holder.identity else {
            return Self::Absent(format!("nobody holds {lease}"));
        };
        let duration = i64::try_from(holder.duration.as_secs()).unwrap_or(i64::MAX);
        if let Some(renewed) = holder.renewed
            && now.as_second().saturating_sub(renewed.as_second())
                > duration.max(1).saturating_mul(STALE)
        {
            return Self::Absent(format!(
                "{lease} of {identity} was not renewed since {renewed}"
            ));
        }
        Self::There(format!("{lease} is held by {identity}"))
    }
}

impl Event {
    pub(super) fn of(told: Told) -> Self {
        Self {
            at: told.at.map(|at| at.to_string()),
            by: told.by,
            reason: told.reason,
            note: told.note,
            count: told.count,
        }
    }
}

/// A Secret of the account: what is not for registries is left out, what cannot be read is named.
async fn read_secret(
    cluster: &Cluster,
    namespace: &str,
    name: String,
    unread: &mut Unread,
) -> Option<Secret> {
    let reference = SecretRef::new(namespace, &name).ok()?;
    let data = match cluster.secret(&reference).await {
        Ok(data) => data,
        Err(error) => {
            let is_absent = error.is_not_found();
            unread.add(
                &error,
                "tekseal-explain-secrets in the namespace of the run",
            );
            // What is not there is shown to nobody.
            return (!is_absent).then_some(Secret {
                name,
                credentials: None,
            });
        }
    };
    let mut credentials = Credentials::default();
    let label = format!("{namespace}/{name}");
    let added = credentials.add_secret(&KubernetesSecret {
        name: &label,
        kind: &data.kind,
        annotations: &data.annotations,
        data: &|key| data.get(key),
    });
    match added {
        Ok(()) if KubernetesSecret::may_hold(&data.kind) => Some(Secret {
            name,
            credentials: Some(credentials),
        }),
        Ok(()) => None,
        Err(error) => {
            unread.0.push(exit::chain(&error));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_that_nobody_renews_is_no_controller() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().expect("a time");
        let of = |identity: Option<&str>, renewed: &str| {
            let holder = Holder {
                identity: identity.map(str::to_owned),
                renewed: Some(renewed.parse().expect("a time")),
                duration: Duration::from_secs(15),
            };
            matches!(
                Controller::of("Lease a/b", Some(holder), now),
                Controller::There(_)
            )
        };
        assert!(of(Some("pod"), "2026-03-01T09:59:50Z"));
        assert!(of(Some("pod"), "2026-03-01T11:00:00Z"), "another clock");
        assert!(!of(Some("pod"), "2026-03-01T09:00:00Z"));
        assert!(!of(None, "2026-03-01T09:59:50Z"));
        assert!(matches!(
            Controller::of("Lease a/b", None, now),
            Controller::Absent(_)
        ));
    }
}
