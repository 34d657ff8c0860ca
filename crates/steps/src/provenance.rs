//! `tekseal-provenance`: a completed run becomes the payloads to sign, in a folder.
//!
//! With `--recursive` it asks the registry which images an index lists, so that whoever has the key need not: `tekseal-sign` talks to nobody.

use std::io::Write as _;
use std::path::PathBuf;

use tekseal_core::{Payload, PayloadKind};

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::files::{self, Mode};
use crate::handover::{self, PayloadEntry};
use crate::log;
use crate::pretty;
use crate::recursive::{Recursive, RecursiveArgs};
use crate::registry_args::{Access, RegistryArgs};
use crate::source_args::SourceArgs;

/// Make the payloads to sign from a completed TaskRun or PipelineRun.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Folder to write the payloads and payloads.json to, made if absent
    #[arg(long, env = "TEKSEAL_OUT", value_name = "DIR")]
    out: PathBuf,
    /// Also print each payload to stdout for people, indented and with base64 content decoded; the files keep the exact bytes
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    recursive: RecursiveArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Reads the run, prints if asked to, and writes the folder; `payloads.json` last.
pub fn run(args: &Args) -> Result<(), Failure> {
    let payloads = args.payloads()?;
    if args.pretty {
        print(&payloads)?;
    }
    files::make_folder(&args.out)?;
    handover::take_back(&args.out)?;
    let mut entries = Vec::with_capacity(payloads.len());
    for (at, payload) in payloads.iter().enumerate() {
        let file = file_name(payload, &payloads[..at]);
        files::write(&args.out.join(&file), payload.bytes(), Mode::Public)?;
        entries.push(PayloadEntry::of(payload, file));
    }
    handover::write_index(&args.out, handover::PAYLOADS, &entries)?;
    log::info(
        "formatted",
        &[("payloads", &entries.len()), ("out", &args.out.display())],
    );
    Ok(())
}

impl Args {
    fn payloads(&self) -> Result<Vec<Payload>, Failure> {
        let payloads = self.source.payloads(&self.cluster)?;
        match self.recursive.recursive {
            Recursive::Itself => Ok(payloads),
            recursive => {
                let registry = self.registry.open(Access::Pull)?;
                crate::block_on(recursive.expand(&registry, payloads))
            }
        }
    }
}

/// One document after the other, as `jq` reads them.
fn print(payloads: &[Payload]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    payloads
        .iter()
        .map(|payload| pretty::indented(&String::from_utf8_lossy(payload.bytes())))
        .try_for_each(|text| stdout.write_all(text.as_bytes()))
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

/// A name that none of the earlier ones has. Of several runs the later ones have a number.
fn file_name(payload: &Payload, earlier: &[Payload]) -> String {
    match payload.kind() {
        PayloadKind::Statement { format, .. } => {
            let is_same = |other: &&Payload| match other.kind() {
                PayloadKind::Statement { format: other, .. } => other == format,
                PayloadKind::SimpleSigning => false,
            };
            let number = match earlier.iter().filter(is_same).count() {
                0 => String::new(),
                before => format!("-{}", before + 1),
            };
            format!("provenance-{}{number}.json", format.replace('/', "-"))
        }
        PayloadKind::SimpleSigning => {
            let hex = payload
                .subjects()
                .first()
                .and_then(|s| s.digest.get("sha256"))
                .map_or("", String::as_str);
            format!(
                "image-{}-{}.json",
                earlier.len(),
                hex.get(..12).unwrap_or_default()
            )
        }
    }
}
