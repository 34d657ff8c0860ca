//! What this program is a part of: a run that must not be waited for, because it ends only after the waiting does.
//!
//! The TaskRuns of other tasks of our own PipelineRun may well be waited for: each is signed when it ends itself.

use std::fs;

use anyhow::anyhow;
use tekseal_cluster::{Cluster, Named, RunRef, TaskRef};
use tekseal_core::run::RunKind;

use crate::Failure;
use crate::registry_args::given;

/// Where a Pod finds the name of its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Labels that Tekton puts on the Pods of its TaskRuns.
const PIPELINE_RUN_LABEL: &str = "tekton.dev/pipelineRun";
const PIPELINE_TASK_LABEL: &str = "tekton.dev/pipelineTask";
const TASK_RUN_LABEL: &str = "tekton.dev/taskRun";

/// Says which runs the program is a part of.
#[derive(Debug, clap::Args)]
pub struct OwnArgs {
    /// PipelineRun that this step is a part of, $(context.pipelineRun.name): it is never waited for, only TaskRuns of its other tasks
    #[arg(long, env = "TEKSEAL_PIPELINE_RUN", value_name = "NAME")]
    own_pipeline_run: Option<String>,
    /// TaskRun that this step is a part of, $(context.taskRun.name): it is never waited for
    #[arg(long, env = "TEKSEAL_TASK_RUN", value_name = "NAME")]
    own_task_run: Option<String>,
    /// Namespace of these two, $(context.taskRun.namespace); without it that of the Pod
    #[arg(long, env = "TEKSEAL_NAMESPACE", value_name = "NAMESPACE")]
    own_namespace: Option<String>,
}

/// What this program is a part of, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Where it is not known, every namespace may be it.
    namespace: Option<String>,
    pipeline_run: Option<String>,
    task: Option<String>,
    task_run: Option<String>,
}

impl OwnArgs {
    /// What the flags say.
    pub(super) fn known(&self) -> Own {
        let one = |flag| given(flag).next().map(str::to_owned);
        Own {
            namespace: one(&self.own_namespace).or_else(namespace_of_pod),
            pipeline_run: one(&self.own_pipeline_run),
            task: None,
            task_run: one(&self.own_task_run),
        }
    }
}

impl Own {
    /// What the labels of our own Pod say. Where they cannot be read, nothing is known.
    pub(super) async fn of_pod(cluster: &Cluster) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(_), Some(pod)) = (variable("KUBERNETES_SERVICE_HOST"), variable("HOSTNAME"))
        else {
            return Self::default();
        };
        let namespace = namespace_of_pod().unwrap_or_else(|| cluster.namespace().to_owned());
        // The name of a Pod stands in the path of the request.
        if RunRef::new(RunKind::TaskRun, &namespace, &pod).is_err() {
            return Self::default();
        }
        let Ok(labels) = cluster.pod_labels(&namespace, &pod).await else {
            return Self::default();
        };
        let label = |key: &str| labels.get(key).cloned();
        Self {
            namespace: Some(namespace),
            pipeline_run: label(PIPELINE_RUN_LABEL),
            task: label(PIPELINE_TASK_LABEL),
            task_run: label(TASK_RUN_LABEL),
        }
    }

    /// Refuses to wait for what we are a part of.
    pub(super) fn refuse(&self, named: &Named) -> Result<(), Failure> {
        match named {
            Named::Run(run) => self.refuse_run(run),
            Named::Task(task) => self.refuse_task(task),
        }
    }

    pub(super) fn refuse_run(&self, run: &RunRef) -> Result<(), Failure> {
        let name = match run.kind {
            RunKind::PipelineRun => &self.pipeline_run,
            RunKind::TaskRun => &self.task_run,
        };
        match is_it(name, &run.name) && self.may_be_in(&run.namespace) {
            true => Err(for_ever(run)),
            false => Ok(()),
        }
    }

    fn refuse_task(&self, task: &TaskRef) -> Result<(), Failure> {
        let run = &task.pipeline_run;
        let is_own = is_it(&self.pipeline_run, &run.name)
            && is_it(&self.task, &task.task)
            && self.may_be_in(&run.namespace);
        match is_own {
            true => Err(for_ever(task)),
            false => Ok(()),
        }
    }

    fn may_be_in(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}

fn is_it(own: &Option<String>, name: &str) -> bool {
    own.as_deref() == Some(name)
}

fn for_ever(what: &impl std::fmt::Display) -> Failure {
    Failure::misuse(anyhow!(
        "this step is a part of {what}, which is signed only after it has ended: it would wait for ever"
    ))
    .hint("wait for the TaskRun that built the image, k8s://NAMESPACE/pipelinerun/NAME/TASK, or for the PipelineRun from outside of it")
}

fn namespace_of_pod() -> Option<String> {
    let text = fs::read_to_string(NAMESPACE_FILE).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(namespace: Option<&str>, run: &str) -> bool {
        let own = Own {
            namespace: namespace.map(str::to_owned),
            pipeline_run: Some("p".to_owned()),
            task: Some("wait".to_owned()),
            task_run: Some("p-wait".to_owned()),
        };
        own.refuse(&run.parse().expect("a reference")).is_err()
    }

    #[test]
    fn only_the_own_runs_are_refused() {
        assert!(refuses(Some("a"), "k8s://a/pipelinerun/p"));
        assert!(refuses(None, "k8s://a/pipelinerun/p"));
        assert!(!refuses(Some("a"), "k8s://b/pipelinerun/p"));
        assert!(!refuses(Some("a"), "k8s://a/pipelinerun/q"));
        assert!(!refuses(Some("a"), "k8s://a/taskrun/p"));
        assert!(refuses(Some("a"), "k8s://a/taskrun/p-wait"));
        assert!(!refuses(Some("a"), "k8s://b/taskrun/p-wait"));
    }

    #[test]
    fn of_the_own_pipelinerun_all_tasks_but_the_own_may_be_waited_for() {
        assert!(!refuses(Some("a"), "k8s://a/pipelinerun/p/build"));
        assert!(refuses(Some("a"), "k8s://a/pipelinerun/p/wait"));
        assert!(refuses(None, "k8s://a/pipelinerun/p/wait"));
        assert!(!refuses(Some("a"), "k8s://a/pipelinerun/q/wait"));
        assert!(!refuses(Some("a"), "k8s://b/pipelinerun/p/wait"));
    }

    #[test]
    fn where_nothing_is_known_nothing_is_refused() {
        let own = Own::default();
        for run in ["k8s://a/pipelinerun/p", "k8s://a/pipelinerun/p/wait"] {
            assert!(own.refuse(&run.parse().expect("a reference")).is_ok());
        }
    }
}
