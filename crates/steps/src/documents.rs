//! The documents of a run and its children: from files, from stdin, or from a cluster.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::value::RawValue;
use tekseal_cluster::{Cluster, MOST_CHILDREN_BYTES, Named, RunRef};
use tekseal_core::run::{self, ChildDocument, CompletedRun, MissingChildren, Run};

use crate::Failure;
use crate::cluster_args::{self, NamedRun};
use crate::files;
use crate::log;

/// The most bytes that all documents of children may have together.
const MAX_CHILDREN_BYTES: u64 = 256 * 1024 * 1024;

/// What is to be read.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// A document, `-` for stdin.
    File(PathBuf),
    /// Runs of a cluster: one, or the TaskRuns of a task.
    Cluster(Named),
}

/// Where a run was read.
#[derive(Debug)]
pub(crate) enum RunSource {
    /// A document, `-` for stdin.
    File(PathBuf),
    /// A cluster.
    Cluster(RunRef),
}

/// The documents of a run as they were read.
#[derive(Debug)]
pub(crate) struct Documents {
    run: Vec<u8>,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    name: String,
    bytes: Vec<u8>,
}

impl Wanted {
    /// A file, or runs of a cluster where it begins with `k8s://`.
    pub(crate) fn parse(text: &Path) -> Result<Self, Failure> {
        match text.to_str().filter(|text| text.starts_with("k8s://")) {
            Some(reference) => Ok(Self::Cluster(reference.parse().map_err(Failure::misuse)?)),
            None => Ok(Self::File(text.to_owned())),
        }
    }
}

impl fmt::Display for RunSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "run document {}", path.display()),
            Self::Cluster(run) => run.fmt(f),
        }
    }
}

impl Documents {
    /// Reads the document of a run, `-` for stdin, and those of its children.
    pub(crate) fn of_files<'p>(
        run: &Path,
        children: impl Iterator<Item = &'p Path>,
    ) -> Result<Self, Failure> {
        let document = files::read(run, run::MAX_RUN_BYTES, "run document");
        let run = document.map_err(|failure| match run.try_exists() {
            Ok(false) if run != Path::new("-") => failure.hint(
                "a run of a cluster is k8s://NAMESPACE/taskrun/NAME or k8s://NAMESPACE/pipelinerun/NAME",
            ),
            _ => failure,
        })?;
        let children = read_all(children)?;
        Ok(Self { run, children })
    }

    /// Reads a run and its children in a cluster, and the documents of further children.
    pub(crate) async fn of_cluster<'p>(
        cluster: &Cluster,
        named: &NamedRun,
        children: impl Iterator<Item = &'p Path>,
    ) -> Result<Self, Failure> {
        let given = read_all(children)?;
        let run = &named.run;
        let read = cluster_args::read_run(cluster, run)
            .await
            .map_err(|f| f.context("reading the run"))?;
        named.check_document(&read.run)?;
        let children = read.children.into_iter().map(|(name, document)| Child {
            name,
            bytes: document.into_bytes(),
        });
        Ok(Self {
            children: children.chain(given).collect(),
            run: read.run.into_bytes(),
        })
    }

    /// Reads all runs that a reference names, with what belongs to each.
    pub(crate) async fn all_of_cluster(
        cluster: &Cluster,
        named: &Named,
        children: &[&Path],
    ) -> Result<Vec<(RunRef, Self)>, Failure> {
        let mut read = Vec::new();
        let mut bytes = 0;
        for one in cluster_args::runs_named(cluster, named).await? {
            let given = children.iter().copied();
            let documents = Self::of_cluster(cluster, &one, given).await?;
            bytes += documents.run.len();
            if let Named::Task(task) = named {
                log::info("read", &[("run", &one.run.reference())]);
                if bytes > MOST_CHILDREN_BYTES {
                    return Err(Failure::no(anyhow!(
                        "the TaskRuns of {task} have more than {} KiB together",
                        MOST_CHILDREN_BYTES / 1024
                    ))
                    .hint("keep large data out of their params, results and embedded specs, or attest them one by one"));
                }
            }
            read.push((one.run, documents));
        }
        Ok(read)
    }

    /// The completed run in the documents; the error is the library's, for callers that explain it.
    pub(crate) fn completed(
        &self,
        missing: MissingChildren,
    ) -> Result<CompletedRun<'_>, run::Error> {
        let children: Vec<_> = self
            .children
            .iter()
            .map(|child| ChildDocument {
                name: &child.name,
                bytes: &child.bytes,
            })
            .collect();
        CompletedRun::from_json(&self.run, &children, missing)
    }

    /// The document of the run itself.
    pub(crate) fn run_bytes(&self) -> &[u8] {
        &self.run
    }

    /// The run, completed or not.
    pub(crate) fn unfinished(&self) -> Result<Run<'_>, Failure> {
        Run::from_json(&self.run).map_err(Failure::misuse)
    }
}

/// A refused document as a tool reports it.
pub(crate) fn refused(error: run::Error, source: &RunSource) -> Failure {
    let place = source.to_string();
    if let RunSource::Cluster(_) = source {
        return refused_of_cluster(error).context(place);
    }
    match error {
        run::Error::NotCompleted { .. } => Failure::no(error)
            .context(place)
            .hint("provenance is of finished runs: read the run again after it has ended"),
        run::Error::ChildrenAbsent { .. } => Failure::no(error).context(place).hint(
            "give the documents of all child TaskRuns with --children (kubectl get taskruns -l tekton.dev/pipelineRun=NAME -o json prints them), read anew where they were not completed; what is no TaskRun can only be left out, with --allow-missing-children",
        ),
        run::Error::ChildTwice(_) => Failure::misuse(error)
            .context(place)
            .hint("give each child once, as it is in the cluster"),
        run::Error::Repetition(_) => Failure::no(error)
            .context(place)
            .hint("name each child and each task of the Pipeline once"),
        run::Error::Child { .. } => Failure::misuse(error)
            .hint("give each child TaskRun as `kubectl get taskrun NAME -o json` prints it"),
        run::Error::Json(_) | run::Error::Field(_) | run::Error::Kind { .. } => {
            Failure::misuse(error).context(place).hint(
                "give one TaskRun or PipelineRun as `kubectl get taskrun NAME -o json` prints it",
            )
        }
    }
}

/// The documents are the API server's: there is nobody to give better ones.
fn refused_of_cluster(error: run::Error) -> Failure {
    match error {
        run::Error::NotCompleted { .. } => Failure::no(error)
            .hint("provenance is of finished runs: call again after it has ended"),
        run::Error::ChildrenAbsent { .. } => Failure::no(error).hint(
            "a child that is gone from the cluster can be given as a document with --children; what is no TaskRun can only be left out, with --allow-missing-children",
        ),
        run::Error::ChildTwice(_) => Failure::misuse(error)
            .hint("the document that --children gives is not what the cluster has: leave it out"),
        run::Error::Repetition(_) => {
            Failure::no(error).hint("name each child and each task of the Pipeline once")
        }
        run::Error::Child { .. }
        | run::Error::Json(_)
        | run::Error::Field(_)
        | run::Error::Kind { .. } => Failure::no(error),
    }
}

fn read_all<'p>(paths: impl Iterator<Item = &'p Path>) -> Result<Vec<Child>, Failure> {
    let mut children = Vec::new();
    let mut left = MAX_CHILDREN_BYTES;
    for path in paths {
        for file in files_of(path)? {
            read_children(&file, &mut children, &mut left)?;
        }
    }
    Ok(children)
}

/// The files that a path stands for: those of a folder in the order of their names, or itself.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |e| Failure::misuse(e).context(format!("reading folder {}", path.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|e| e == "json") && file.is_file() {
            found.push(file);
        }
    }
    if found.is_empty() {
        log::warn(
            "the folder of children has no file *.json",
            &[("folder", &path.display())],
        );
    }
    found.sort();
    Ok(found)
}

/// Reads the documents in a file: one run, or a List of them as `kubectl get taskruns -o json` prints it.
fn read_children(file: &Path, children: &mut Vec<Child>, left: &mut u64) -> Result<(), Failure> {
    #[derive(serde::Deserialize)]
    struct List<'a> {
        #[serde(default)]
        kind: String,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let bytes = files::read(file, *left, "child documents")?;
    *left -= bytes.len() as u64;
    let name = file.display().to_string();
    let items = serde_json::from_slice::<List<'_>>(&bytes)
        .ok()
        .filter(|list| matches!(list.kind.as_str(), "List" | "TaskRunList"))
        .and_then(|list| list.items);
    match items {
        Some(items) => children.extend(items.iter().enumerate().map(|(at, item)| Child {
            name: format!("{name} items[{at}]"),
            bytes: item.get().as_bytes().to_vec(),
        })),
        None => children.push(Child { name, bytes }),
    }
    if let Some(large) = children
        .iter()
        .find(|c| c.bytes.len() as u64 > run::MAX_RUN_BYTES)
    {
        return Err(Failure::misuse(anyhow!(
            "child document {} is larger than {} KiB",
            large.name,
            run::MAX_RUN_BYTES / 1024
        )));
    }
    Ok(())
}
