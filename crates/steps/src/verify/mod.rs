//! `tekseal-verify`: checks the signature and the attestations of images against a key, and prints only what it verified.
//!
//! Flags have cosign's names where they have cosign's meaning. Every image is asked for by digest; a tag is resolved once, first.

mod demands;
mod verdicts;

use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tekseal_core::{DigestRef, ImageRef, SimpleSigning};
use tekseal_remote::Registry;
use tekseal_remote::registry::Reference;

use crate::cluster_args::ClusterArgs;
use crate::key_args;
use crate::log::{self, quoted};
use crate::parameters;
use crate::registry_args::{Access, RegistryArgs};
use crate::results::ResultsArgs;
use crate::{Failure, exit};

pub(crate) use demands::Demands;
pub use demands::{DemandArgs, Only};

use verdicts::Verdicts;

/// Verify the signature and the attestations of images.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images, best by digest: REPOSITORY@sha256:…; all of them must pass, else nothing is printed
    #[arg(env = "IMAGE", value_name = "IMAGE", required = true, num_args = 1..)]
    images: Vec<String>,
    /// Public key: a file, env://NAME, or k8s://NAMESPACE/SECRET with cosign.pub
    #[arg(long, env = "TEKSEAL_PUBLIC_KEY", value_name = "REF")]
    key: String,
    #[command(flatten)]
    demands: DemandArgs,
    /// How to print what was verified
    #[arg(
        long,
        short = 'o',
        env = "TEKSEAL_OUTPUT",
        value_enum,
        default_value = "text",
        value_name = "FORM"
    )]
    output: Output,
    /// How long to check one image: seconds, or 90s, 5m, 1h, up to a day
    #[arg(long, env = "TEKSEAL_TIMEOUT", value_name = "DURATION", default_value = "300", value_parser = seconds)]
    timeout: u64,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// What was verified of one image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    image: String,
    signatures: Vec<SignatureReport>,
    attestations: Vec<AttestationReport>,
    checked: Checked,
}

#[derive(Serialize)]
struct SignatureReport {
    key: String,
    layer: String,
    payload: SimpleSigning,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttestationReport {
    key: String,
    layer: String,
    predicate_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    builder_id: Option<String>,
    statement: Option<Box<RawValue>>,
}

/// What the verdict rests on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    signature: bool,
    subject: bool,
    transparency_log: bool,
}

/// Verifies every image; prints nothing unless all of them pass. The results are written last, also where the answer is no.
pub fn run(args: &Args) -> Result<(), Failure> {
    let key = key_args::public_key(&args.key, &args.cluster)?;
    let demands = args.demands.with(key)?;
    let images = args
        .images
        .iter()
        .map(|text| parse_image(text))
        .collect::<Result<Vec<_>, _>>()?;
    let registry = args.registry.open(Access::Pull)?;
    let mut results = args.results.open()?;
    let verdicts = crate::block_on(args.judge(&registry, &demands, images))?;
    if verdicts.refusals.is_empty() {
        args.demands.tell_of_log();
        print(&verdicts.reports, args.output)?;
    }
    verdicts.tell(&mut results, Timestamp::now());
    results.commit()?;
    verdicts.refusal().map_or(Ok(()), Err)
}

impl Args {
    /// Checks all images. One that fails otherwise than by a no is an error, unless the answer is no already.
    async fn judge(
        &self,
        registry: &Registry,
        demands: &Demands,
        images: Vec<ImageRef>,
    ) -> Result<Verdicts, Failure> {
        let mut verdicts = Verdicts::default();
        for image in images {
            match self.check(registry, demands, image).await {
                Ok(report) => verdicts.reports.push(report),
                Err(failure) if failure.code() == exit::NO => verdicts.refusals.push(failure),
                Err(failure) if verdicts.refusals.is_empty() => return Err(failure),
                Err(failure) => log::warn("not checked", &[("reason", &failure.message())]),
            }
        }
        Ok(verdicts)
    }

    async fn check(
        &self,
        registry: &Registry,
        demands: &Demands,
        image: ImageRef,
    ) -> Result<Report, Failure> {
        let image = resolve(registry, image).await?;
        let report = within(self.timeout, demands.check(registry, &image)).await;
        report.map_err(|f| f.context(format!("image {image}")))
    }
}

/// A duration as people write it, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    parameters::duration(text)
        .map(|duration| duration.as_secs())
        .filter(|seconds| (1..=86_400).contains(seconds))
        .ok_or_else(|| "wanted seconds, or something like 90s or 5m, up to a day".to_owned())
}

/// What `work` gives, unless it takes longer: a registry that sends a byte a second must not hold a pipeline for hours.
pub(crate) async fn within<T>(
    seconds: u64,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .unwrap_or_else(|_| {
            Err(
                Failure::outside(anyhow!("not done after {seconds} seconds")).hint(
                    "the registry is too slow, or sends without end; --timeout gives it longer",
                ),
            )
        })
}

pub(crate) fn print(reports: &[Report], output: Output) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut text = Vec::new();
    let written = match output {
        Output::Json => serde_json::to_writer(&mut text, reports)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(text)),
        Output::Text => reports
            .iter()
            .try_for_each(|report| print_text(&mut text, report)),
    };
    written
        .and_then(|()| std::io::stdout().lock().write_all(&text))
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

fn print_text(out: &mut Vec<u8>, report: &Report) -> std::io::Result<()> {
    use std::io::Write as _;
    for one in &report.signatures {
        writeln!(
            out,
            "verified signature image={} key={}",
            report.image, one.key
        )?;
    }
    for one in &report.attestations {
        let builder = one
            .builder_id
            .as_deref()
            .map_or_else(String::new, |id| format!(" builder={}", quoted(id)));
        writeln!(
            out,
            "verified attestation image={} type={}{builder} key={}",
            report.image,
            quoted(&one.predicate_type),
            one.key
        )?;
    }
    Ok(())
}

/// Reads an image reference from the command line.
pub(crate) fn parse_image(text: &str) -> Result<ImageRef, Failure> {
    ImageRef::parse(text.trim()).map_err(|e| {
        Failure::misuse(e)
            .context(format!("image {text:?}"))
            .hint("write it as registry/repository@sha256:… or registry/repository:tag")
    })
}

/// The image by digest; a tag is resolved at the registry.
pub(crate) async fn resolve(registry: &Registry, image: ImageRef) -> Result<DigestRef, Failure> {
    if image.digest.is_some() {
        return image.digest_ref().map_err(Failure::misuse);
    }
    let tag = image.tag.as_deref().unwrap_or("latest");
    let head = registry
        .head_manifest(&image.repository, Reference::Tag(tag))
        .await
        .map_err(|e| Failure::from(e).context(format!("resolving {image}")))?;
    let Some(head) = head else {
        return Err(Failure::no(anyhow!(
            "image {}:{tag} does not exist",
            image.repository
        )));
    };
    let resolved = image.repository.at(head.digest);
    log::info(
        "resolved",
        &[("image", &image), ("digest", &resolved.digest)],
    );
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_a_duration() {
        for (text, wanted) in [("300", 300), ("5m", 300), ("1h30m", 5400), ("90s", 90)] {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for text in ["", "0", "0s", "-5", "-5m", "2d", "25h", "5 apples"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
