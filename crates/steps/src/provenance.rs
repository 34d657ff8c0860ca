//! `tekseal-provenance`: a completed run becomes the payloads to sign, in a folder.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_core::config::{self, Config};
use tekseal_core::format::Format;
use tekseal_core::run::{self, CompletedRun};
use tekseal_core::{Payload, PayloadKind, hints};

use crate::Failure;
use crate::files::{self, Mode};
use crate::handover::{self, PayloadEntry};
use crate::log;
use crate::registry_args::given;

/// Make the payloads to sign from a completed TaskRun.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Folder to write the payloads and payloads.json to, made if absent
    #[arg(long, env = "TEKSEAL_OUT", value_name = "DIR")]
    out: PathBuf,
}

/// Which run, and how it is formatted.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// TaskRun document as JSON, - for stdin
    #[arg(long, env = "TEKSEAL_RUN", value_name = "FILE")]
    run: PathBuf,
    /// Format of provenance, a comma list; overrides the configuration (in-toto and slsa/v1 are both SLSA v0.2)
    #[arg(long = "format", env = "TEKSEAL_FORMAT", value_name = "FORMAT")]
    formats: Vec<String>,
    /// Data of Tekton Chains' chains-config map: a JSON file or a mounted folder; builder.id and artifacts.taskrun.format are read, Chains' defaults hold
    #[arg(long, env = "TEKSEAL_CONFIG", value_name = "PATH")]
    config: Option<String>,
    /// Builder id to record; overrides the configuration
    #[arg(long, env = "TEKSEAL_BUILDER_ID", value_name = "URI")]
    builder_id: Option<String>,
}

/// The most subjects that readers of a Statement accept.
const MOST_IMAGES: usize = 1024;

/// Reads the run and writes the folder; `payloads.json` last.
pub fn run(args: &Args) -> Result<(), Failure> {
    let payloads = args.source.payloads()?;
    files::make_folder(&args.out)?;
    handover::take_back(&args.out)?;
    let mut entries = Vec::with_capacity(payloads.len());
    for (at, payload) in payloads.iter().enumerate() {
        let file = file_name(at, payload);
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

impl SourceArgs {
    /// The payloads of the run: provenance in each format, then a simple-signing document for each image.
    pub(crate) fn payloads(&self) -> Result<Vec<Payload>, Failure> {
        let config = self.config()?;
        let formats = self.formats(&config)?;
        let bytes = files::read(&self.run, run::MAX_RUN_BYTES, "run document")?;
        let run = CompletedRun::from_json(&bytes).map_err(|e| self.refused(e))?;
        if !run.succeeded() {
            log::warn(
                "the run did not succeed; provenance v0.2 of a TaskRun does not say so",
                &[("run", &run.name())],
            );
        }
        let artifacts = hints::observe(&run);
        for note in &artifacts.notes {
            log::warn(
                "hint not used",
                &[("result", &note.result), ("reason", &note.reason)],
            );
        }
        if artifacts.images.is_empty() {
            log::warn(
                "the run names no image, so there is nothing to sign but its provenance",
                &[("wanted", &"results IMAGE_URL and IMAGE_DIGEST, or IMAGES")],
            );
        }
        if artifacts.images.len() > MOST_IMAGES {
            return Err(Failure::no(anyhow!("the run names {} images, more than {MOST_IMAGES}", artifacts.images.len()))
                .hint("readers accept no Statement with that many subjects; build fewer images in one TaskRun"));
        }
        let builder_id = given(&self.builder_id)
            .next()
            .unwrap_or_else(|| config.builder_id(&run));
        let mut payloads = Vec::new();
        for format in formats {
            let payload = format.payload(&run, &artifacts, builder_id).map_err(|e| {
                Failure::no(e).context(format!(
                    "TaskRun {}/{} has no provenance {}",
                    run.namespace(),
                    run.name(),
                    format.name()
                ))
            })?;
            payloads.push(payload);
        }
        payloads.extend(artifacts.images.iter().map(Payload::simple_signing));
        Ok(payloads)
    }

    fn config(&self) -> Result<Config, Failure> {
        let Some(path) = given(&self.config).map(Path::new).next() else {
            return Ok(Config::of_a_step());
        };
        let config = Config::from_map(&handover::read_map(path)?)
            .map_err(|e| Failure::misuse(e).context(format!("configuration {}", path.display())))?;
        for key in config.unknown_keys() {
            log::warn(
                "configuration key is not known and was ignored",
                &[("key", key)],
            );
        }
        if !config.keys_of_others().is_empty() {
            let keys = config.keys_of_others().join(",");
            log::info(
                "configuration keys that formatting does not depend on",
                &[("keys", &keys)],
            );
        }
        Ok(config)
    }

    fn formats(&self, config: &Config) -> Result<Vec<Format>, Failure> {
        let names: Vec<&str> = given(&self.formats).collect();
        if names.is_empty() {
            return Ok(config.taskrun_formats().to_vec());
        }
        config::formats(&names.join(",")).map_err(|e| Failure::misuse(e).context("--format"))
    }

    fn refused(&self, error: run::Error) -> Failure {
        let place = format!("run document {}", self.run.display());
        match error {
            run::Error::NotCompleted { .. } => Failure::no(error)
                .context(place)
                .hint("provenance is of finished runs: read the run again after it has ended"),
            run::Error::Json(_)
            | run::Error::Depth
            | run::Error::Kind { .. }
            | run::Error::Time { .. } => Failure::misuse(error)
                .context(place)
                .hint("give one TaskRun as `kubectl get taskrun NAME -o json` prints it"),
        }
    }
}

fn file_name(at: usize, payload: &Payload) -> String {
    match payload.kind() {
        PayloadKind::Statement { format, .. } => {
            format!("provenance-{}.json", format.replace('/', "-"))
        }
        PayloadKind::SimpleSigning => {
            let hex = payload
                .subjects()
                .first()
                .and_then(|s| s.digest.get("sha256"))
                .map_or("", String::as_str);
            format!("image-{at}-{}.json", hex.get(..12).unwrap_or_default())
        }
    }
}
