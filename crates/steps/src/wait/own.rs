//! Which run this program is a part of: that one must not be waited for, because it ends only after the waiting does.

use std::fs;

use anyhow::anyhow;
use tekseal_cluster::{Cluster, RunRef};
use tekseal_core::run::RunKind;

use crate::Failure;
use crate::registry_args::given;

/// Where a Pod finds the name of its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Labels that Tekton puts on the Pods of its TaskRuns.
const PIPELINE_RUN_LABEL: &str = "tekton.dev/pipelineRun";
const TASK_RUN_LABEL: &str = "tekton.dev/taskRun";

/// Says which PipelineRun the program is a part of.
#[derive(Debug, clap::Args)]
pub struct OwnArgs {
    /// PipelineRun that this step is a part of, $(context.pipelineRun.name): it is never waited for
    #[arg(long, env = "TEKSEAL_PIPELINE_RUN", value_name = "NAME")]
    own_pipeline_run: Option<String>,
    /// Namespace of that PipelineRun, $(context.pipelineRun.namespace); without it that of the Pod
    #[arg(long, env = "TEKSEAL_NAMESPACE", value_name = "NAMESPACE")]
    own_namespace: Option<String>,
}

/// A run that cannot end before we do.
struct Own<'a> {
    kind: RunKind,
    /// Where it is not known, every namespace may be it.
    namespace: Option<&'a str>,
    name: &'a str,
}

impl OwnArgs {
    /// Refuses the run that the flags name.
    pub(super) fn refuse(&self, runs: &[RunRef]) -> Result<(), Failure> {
        let Some(name) = given(&self.own_pipeline_run).next() else {
            return Ok(());
        };
        let of_pod = namespace_of_pod();
        let own = Own {
            kind: RunKind::PipelineRun,
            namespace: given(&self.own_namespace).next().or(of_pod.as_deref()),
            name,
        };
        own.refuse(runs)
    }
}

/// Refuses the runs that the labels of our own Pod name. Where they cannot be read, nothing is known and nothing refused.
pub(super) async fn refuse_by_pod(cluster: &Cluster, runs: &[RunRef]) -> Result<(), Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(_), Some(pod)) = (variable("KUBERNETES_SERVICE_HOST"), variable("HOSTNAME")) else {
        return Ok(());
    };
    let namespace = namespace_of_pod().unwrap_or_else(|| cluster.namespace().to_owned());
    // The name of a Pod stands in the path of the request.
    if RunRef::new(RunKind::TaskRun, &namespace, &pod).is_err() {
        return Ok(());
    }
    let Ok(labels) = cluster.pod_labels(&namespace, &pod).await else {
        return Ok(());
    };
    for (label, kind) in [
        (PIPELINE_RUN_LABEL, RunKind::PipelineRun),
        (TASK_RUN_LABEL, RunKind::TaskRun),
    ] {
        if let Some(name) = labels.get(label) {
            let own = Own {
                kind,
                namespace: Some(&namespace),
                name,
            };
            own.refuse(runs)?;
        }
    }
    Ok(())
}

fn namespace_of_pod() -> Option<String> {
    let text = fs::read_to_string(NAMESPACE_FILE).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Own<'_> {
    fn refuse(&self, runs: &[RunRef]) -> Result<(), Failure> {
        let is_own = |run: &&RunRef| {
            run.kind == self.kind
                && run.name == self.name
                && self
                    .namespace
                    .is_none_or(|namespace| namespace == run.namespace)
        };
        match runs.iter().find(is_own) {
            None => Ok(()),
            Some(run) => Err(Failure::misuse(anyhow!(
                "this step is a part of {run}, which is signed only after it has ended: it would wait for ever"
            ))
            .hint("wait for the TaskRun that built the image, or for the PipelineRun from outside of it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(namespace: Option<&str>, run: &str) -> bool {
        let own = Own {
            kind: RunKind::PipelineRun,
            namespace,
            name: "p",
        };
        own.refuse(&[run.parse().expect("a run")]).is_err()
    }

    #[test]
    fn only_the_own_run_is_refused() {
        assert!(refuses(Some("a"), "k8s://a/pipelinerun/p"));
        assert!(refuses(None, "k8s://a/pipelinerun/p"));
        assert!(!refuses(Some("a"), "k8s://b/pipelinerun/p"));
        assert!(!refuses(Some("a"), "k8s://a/pipelinerun/q"));
        assert!(!refuses(Some("a"), "k8s://a/taskrun/p"));
    }
}
