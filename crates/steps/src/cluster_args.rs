//! How a tool finds a cluster, and what it reads there: which runs a reference names, runs with their children, and keys.

use std::path::Path;

use anyhow::anyhow;
use tekseal_cluster::{Cluster, Named, RunRef, SecretData, SecretRef, Seen, TaskRef};
use tekseal_core::run::{self, Lack, NoTaskRuns, Run, RunKind};

use crate::Failure;
use crate::registry_args::given;

/// The flag of every tool that may read a cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterArgs {
    /// Way to the cluster of a k8s:// reference; without it KUBECONFIG, ~/.kube/config, or the ServiceAccount of the Pod
    #[arg(long, env = "TEKSEAL_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<String>,
}

/// The documents of a run as the API server has them.
pub(crate) struct RunDocuments {
    pub(crate) run: String,
    /// What each child is called, and its document.
    pub(crate) children: Vec<(String, String)>,
}

/// A run that a reference names.
#[derive(Clone, Debug)]
pub(crate) struct NamedRun {
    pub(crate) run: RunRef,
    /// Uid of the PipelineRun whose status names it, where the reference does not.
    owner: Option<String>,
}

/// A PipelineRun at one moment, as far as one of its tasks goes.
pub(crate) struct TaskSight {
    /// Uid of the PipelineRun.
    pub(crate) uid: String,
    /// The TaskRuns of the task.
    pub(crate) task_runs: Result<Vec<NamedRun>, NoTaskRuns>,
}

impl ClusterArgs {
    /// Finds the way to the cluster; nothing is sent yet.
    pub(crate) async fn connect(&self) -> Result<Cluster, Failure> {
        let kubeconfig = given(&self.kubeconfig).map(Path::new).next();
        Ok(Cluster::connect(kubeconfig, "tekseal").await?)
    }
}

impl NamedRun {
    /// A run that the reference itself names.
    pub(crate) fn of(run: RunRef) -> Self {
        Self { run, owner: None }
    }

    /// [`Self::check_owner`] of a document.
    pub(crate) fn check_document(&self, document: &str) -> Result<(), Failure> {
        if self.owner.is_none() {
            return Ok(());
        }
        let seen = serde_json::from_str(document)
            .map_err(|e| Failure::no(e).context(format!("{} is not understood", self.run)))?;
        self.check_owner(&seen)
    }

    /// Refuses another TaskRun than the one that the PipelineRun made, under its name.
    pub(crate) fn check_owner(&self, seen: &Seen) -> Result<(), Failure> {
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        match seen.pipeline_run() {
            Some((_, uid)) if uid == owner => Ok(()),
            _ => Err(Failure::no(anyhow!(
                "{} is not the one that the PipelineRun made",
                self.run
            ))
            .hint("it was deleted and made again under its name, or its owner was changed")),
        }
    }
}

/// The runs that a reference names: one, or the TaskRuns of a task, of which there must be some.
pub(crate) async fn runs_named(cluster: &Cluster, named: &Named) -> Result<Vec<NamedRun>, Failure> {
    match named {
        Named::Run(run) => Ok(vec![NamedRun::of(run.clone())]),
        Named::Task(task) => {
            let sight = look_at_task(cluster, task).await?;
            let sight = sight.ok_or_else(|| does_not_exist(&task.pipeline_run))?;
            sight.task_runs.map_err(without_task_runs)
        }
    }
}

/// Reads which TaskRuns a task made, from the document of its PipelineRun alone: labels on TaskRuns may be anybody's. `None` if there is no
/// such PipelineRun. To `get` PipelineRuns and TaskRuns are rights enough for what follows.
pub(crate) async fn look_at_task(
    cluster: &Cluster,
    task: &TaskRef,
) -> Result<Option<TaskSight>, Failure> {
    let pipeline_run = &task.pipeline_run;
    let document = match cluster.run(pipeline_run).await {
        Ok(document) => bounded(document, pipeline_run)?,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let read = Run::from_json(document.as_bytes())
        .map_err(|e| Failure::no(e).context(pipeline_run.to_string()))?;
    let named = |name: &str| {
        let run = RunRef::new(RunKind::TaskRun, &pipeline_run.namespace, name);
        Ok::<_, Failure>(NamedRun {
            run: run.map_err(|e| Failure::no(e).context(pipeline_run.to_string()))?,
            owner: Some(read.uid().to_owned()),
        })
    };
    let task_runs = match read.task_runs_of(&task.task) {
        Ok(names) => Ok(names.into_iter().map(named).collect::<Result<_, _>>()?),
        Err(lack) => Err(lack),
    };
    Ok(Some(TaskSight {
        uid: read.uid().to_owned(),
        task_runs,
    }))
}

pub(crate) fn does_not_exist(run: &RunRef) -> Failure {
    Failure::no(anyhow!("{run} does not exist"))
        .hint("check its kind, namespace and name; it may have been deleted")
}

/// A task without TaskRuns as a tool reports it.
pub(crate) fn without_task_runs(error: NoTaskRuns) -> Failure {
    let hint = match error.lack {
        Lack::Unknown => {
            "TASK is the name of the task in the Pipeline, not of the Task that it refers to"
        }
        Lack::NotYet => {
            "let this step run after that task: with runAfter, or with one of its results as a parameter"
        }
        Lack::Skipped(_) | Lack::NeverRan => {
            "give what follows the same `when` as the task that it follows"
        }
        Lack::OtherKind { .. } => "only TaskRuns can be read: name a task that refers to a Task",
    };
    Failure::no(error).hint(hint)
}

/// Reads a run, and the children of a PipelineRun that its document names, or if it names none, those with its label. A child that is not
/// there is left out here: whether it may be absent is for the library to say.
pub(crate) async fn read_run(cluster: &Cluster, run: &RunRef) -> Result<RunDocuments, Failure> {
    let document = bounded(cluster.run(run).await?, run)?;
    let children = match run.kind {
        RunKind::TaskRun => Vec::new(),
        RunKind::PipelineRun => read_children(cluster, run, &document).await?,
    };
    Ok(RunDocuments {
        run: document,
        children,
    })
}

async fn read_children(
    cluster: &Cluster,
    run: &RunRef,
    document: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let names = run::child_task_runs(document.as_bytes());
    let found = cluster.children(&run.namespace, &run.name, &names).await?;
    let called = |(name, document)| (format!("TaskRun {}/{name}", run.namespace), document);
    Ok(found.documents.into_iter().map(called).collect())
}

/// No API server stores an object of that size.
fn bounded(document: String, run: &RunRef) -> Result<String, Failure> {
    if document.len() as u64 > run::MAX_RUN_BYTES {
        return Err(Failure::no(anyhow!(
            "{run} is larger than {} KiB",
            run::MAX_RUN_BYTES / 1024
        )));
    }
    Ok(document)
}

/// Reads the Secret of a key reference.
pub(crate) async fn read_secret(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<SecretData, Failure> {
    let secret = SecretRef::new(namespace, name).map_err(Failure::misuse)?;
    cluster.secret(&secret).await.map_err(|error| {
        // A key that is not there is a wrong reference, as a file that is not there is.
        match error.is_not_found() {
            true => Failure::misuse(error).hint("tekseal-keygen k8s://NAMESPACE/SECRET makes one"),
            false => error.into(),
        }
    })
}
