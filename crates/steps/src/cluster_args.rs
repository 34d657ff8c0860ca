//! How a tool finds a cluster, and what it reads there: runs with their children, and keys.

use std::path::Path;

use anyhow::anyhow;
use tekseal_cluster::{Cluster, RunRef, SecretData, SecretRef};
use tekseal_core::run::{self, RunKind};

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

impl ClusterArgs {
    /// Finds the way to the cluster; nothing is sent yet.
    pub(crate) async fn connect(&self) -> Result<Cluster, Failure> {
        let kubeconfig = given(&self.kubeconfig).map(Path::new).next();
        Ok(Cluster::connect(kubeconfig, "tekseal").await?)
    }
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
