//! `tekseal-attest`: format, sign and store in one process, for a step that wants all of it.

use anyhow::anyhow;
use tekseal_attest::Item;

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::key_args::SigningKeyArgs;
use crate::log;
use crate::registry_args::{Access, RegistryArgs};
use crate::results::ResultsArgs;
use crate::source_args::SourceArgs;
use crate::upload;

/// Make the payloads of a completed run, sign them, and store them beside the images.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    key: SigningKeyArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// Nothing is stored unless everything was made and signed.
pub fn run(args: &Args) -> Result<(), Failure> {
    let payloads = args.source.payloads(&args.cluster)?;
    if payloads.is_empty() {
        return Err(Failure::no(anyhow!("nothing is to be signed"))
            .hint("the configuration turns everything off; tekseal-explain says which key of it"));
    }
    let results = args.results.open()?;
    let registry = args.registry.open(Access::PullPush)?;
    let signer = args.key.open(&args.cluster)?;
    let signed =
        tekseal_attest::sign(&signer, &payloads).map_err(|e| Failure::no(e).context("signing"))?;
    let key = signer.public_key().clone();
    log::info(
        "signed",
        &[("payloads", &signed.len()), ("key", &key.fingerprint())],
    );
    drop(signer);
    let items = signed
        .into_iter()
        .zip(&payloads)
        .map(|(signed, payload)| Item::new(signed, payload))
        .collect();
    let stored = crate::block_on(async {
        tekseal_attest::store(&registry, items, key)
            .await
            .map_err(|f| upload::store_failed(*f))
    })?;
    upload::report(&stored);
    upload::something_stored(&stored)?;
    upload::write_results(&stored, results)
}
