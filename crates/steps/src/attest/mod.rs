//! `tekseal-attest`: format, sign and store in one process, for a step that wants all of it; or attest what another tool made.
//!
//! ```text
//!   --run RUN            ─▶ payloads of the run ────┐
//!   --predicate FILE     ─▶ a Statement an image ───┴▶ sign ─▶ logs, timestamps ─▶ store
//! ```
//!
//! `--recursive` follows an index to what it lists. Of a run that is more images to sign, and no other provenance: a run that made an index need not have
//! made what the index lists, and says by its results what it did make. A predicate is about the images for which it is given, so there it is as if
//! those of the index had been named too.

mod predicate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use tekseal_attest::{Stored, Witnesses};
use tekseal_core::{Layout, Payload, PayloadKind};
use tekseal_remote::Registry;
use tekseal_signing::Signer;

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::keyless_args::{SignerArgs, TimeArgs};
use crate::layout_args::LayoutArgs;
use crate::log;
use crate::recursive::RecursiveArgs;
use crate::registry_args::{Access, RegistryArgs};
use crate::results::ResultsArgs;
use crate::source_args::ContextArgs;
use crate::upload;
use crate::witness_args::{self, WitnessArgs};

use predicate::PredicateArgs;

/// Make the payloads of a completed run, or of a predicate that another tool made, sign them, and store them beside the images.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    predicate: PredicateArgs,
    /// TaskRun or PipelineRun: a JSON document, - for stdin, or k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME with its
    /// children, or k8s://NAMESPACE/pipelinerun/NAME/TASK for the TaskRuns of one of its tasks
    #[arg(
        long,
        env = "TEKSEAL_RUN",
        value_name = "RUN",
        required_unless_present = "predicate"
    )]
    run: Option<PathBuf>,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    signer: SignerArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    layout: LayoutArgs,
    #[command(flatten)]
    recursive: RecursiveArgs,
    #[command(flatten)]
    witness: WitnessArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// Nothing is stored unless everything was made and signed.
pub fn run(args: &Args) -> Result<(), Failure> {
    let results = args.results.open()?;
    let attested = match &args.run {
        Some(run) => attest_run(args, run)?,
        None => predicate::run(args)?,
    };
    upload::something_stored(&attested.stored)?;
    let kind = |item: usize| &attested.kinds[item];
    upload::write_results(&attested.stored, kind, results)
}

/// What was stored, and what each item was.
#[derive(Default)]
struct Attested {
    stored: Vec<Stored>,
    kinds: Vec<PayloadKind>,
}

/// What a run made, and how.
fn attest_run(args: &Args, run: &Path) -> Result<Attested, Failure> {
    let config = args.context.config_path();
    let layout = args.layout.layout(config)?;
    let (payloads, wish) = args.context.payloads(run, &args.cluster)?;
    let witnesses = args
        .witness
        .witnesses(layout, config, wish, &args.registry)?;
    if payloads.is_empty() {
        return Err(Failure::no(anyhow!("nothing is to be signed"))
            .hint("the configuration turns everything off; tekseal-explain says which key of it"));
    }
    let registry = args.registry.open(Access::PullPush)?;
    let around = args.witness.around(config, &args.registry)?;
    let opened = args.signer.open(&args.cluster, around)?;
    opened.check_time(witnesses.as_ref(), args.time)?;
    crate::block_on(async {
        let recursive = args.recursive.recursive;
        let mut payloads = recursive.expand(&registry, payloads).await?;
        if !layout.has_tags() {
            let names = payloads.iter().filter_map(Payload::name);
            names.for_each(upload::warn_of_name);
            payloads.retain(|payload| payload.name().is_none());
        }
        let witnesses = witnesses.as_ref();
        let signer = opened.signer().await?;
        sign_and_store(&registry, signer, &payloads, layout, witnesses).await
    })
}

/// Signs what is in memory, has it witnessed, and stores it beside every image that it speaks of. What was stored is said.
async fn sign_and_store(
    registry: &Registry,
    signer: Arc<Signer>,
    payloads: &[Payload],
    layout: Layout,
    witnesses: Option<&Witnesses>,
) -> Result<Attested, Failure> {
    let items = tekseal_attest::sign(&signer, payloads, layout)
        .await
        .map_err(|e| Failure::from(e).context("signing"))?;
    let key = signer.verifying().clone();
    log::info(
        "signed",
        &[
            ("payloads", &payloads.len()),
            ("key", &key.key().fingerprint()),
        ],
    );
    drop(signer);
    let kinds: Vec<PayloadKind> = items.iter().map(|item| item.kind.clone()).collect();
    let items = match witnesses {
        Some(witnesses) => {
            let (items, traces) = witnesses.witness(registry, items, &key).await?;
            witness_args::report(&traces, |item| &kinds[item]);
            items
        }
        None => items,
    };
    let stored = tekseal_attest::store(registry, items, key, witnesses)
        .await
        .map_err(|f| upload::store_failed(*f))?;
    upload::report(&stored);
    Ok(Attested { stored, kinds })
}
