//! `tekseal-resign`: takes the marks off runs, so that a controller starts over with them.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::anyhow;
use tekseal_cluster::{Change, Cluster, Named, RunRef};
use tekseal_core::marks;
use tekseal_core::run::Run;

use crate::cluster_args::{ClusterArgs, NamedRun, runs_named};
use crate::log::quoted;
use crate::registry_args::given;
use crate::{Failure, log};

/// Take the marks off runs, so that the controller signs them again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Completed runs: k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME, or k8s://NAMESPACE/pipelinerun/NAME/TASK for the
    /// TaskRuns of one task
    #[arg(env = "TEKSEAL_RUN", value_name = "RUN", value_delimiter = ',', required = true, num_args = 1..)]
    runs: Vec<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A run and the marks on it.
struct Marked {
    run: RunRef,
    uid: String,
    marks: Vec<String>,
}

/// Reads all runs first: where one is not completed, none is changed. What stands in registries stays there.
pub fn run(args: &Args) -> Result<(), Failure> {
    let runs = given(&args.runs)
        .map(|text| text.parse().map_err(Failure::misuse))
        .collect::<Result<Vec<Named>, _>>()?;
    if runs.is_empty() {
        return Err(Failure::misuse(anyhow!("no run is given")));
    }
    crate::block_on(async {
        let cluster = args.cluster.connect().await?;
        let mut found = Vec::with_capacity(runs.len());
        for named in &runs {
            for run in runs_named(&cluster, named).await? {
                found.push(Marked::read(&cluster, run).await?);
            }
        }
        for marked in &found {
            marked.remove(&cluster).await?;
        }
        Ok(())
    })
}

impl Marked {
    async fn read(cluster: &Cluster, named: NamedRun) -> Result<Self, Failure> {
        let document = cluster.run(&named.run).await?;
        named.check_document(&document)?;
        let run = named.run;
        let read = Run::from_json(document.as_bytes())
            .map_err(|e| Failure::no(e).context(run.to_string()))?;
        if !matches!(read.succeeded_status(), "True" | "False") {
            return Err(Failure::no(anyhow!("{run} is not completed"))
                .hint("it is signed after it has ended; marks on it mean nothing before"));
        }
        let marks = read.annotations().map(|(key, _)| key);
        Ok(Self {
            uid: read.uid().to_owned(),
            marks: marks
                .filter(|key| marks::is_mark(key))
                .map(str::to_owned)
                .collect(),
            run,
        })
    }

    /// Guarantees: only the run that was read is changed, all of its marks at once, and nothing else of it. Errors: a conflict where it was
    /// deleted and made again meanwhile.
    async fn remove(&self, cluster: &Cluster) -> Result<(), Failure> {
        let reference = self.run.reference();
        if self.marks.is_empty() {
            log::info("there are no marks", &[("run", &reference)]);
            return Ok(());
        }
        let removed = self.marks.iter().map(|key| (key.clone(), None));
        let change = Change {
            annotations: removed.collect::<BTreeMap<_, _>>(),
            ..Change::default()
        };
        cluster.change(&self.run, &self.uid, &change).await?;
        let mut stdout = std::io::stdout().lock();
        self.marks
            .iter()
            .try_for_each(|key| writeln!(stdout, "removed {} run={reference}", quoted(key)))
            .map_err(|e| Failure::outside(e).context("writing to stdout"))
    }
}
