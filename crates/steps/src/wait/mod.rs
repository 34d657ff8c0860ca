//! `tekseal-wait`: waits until runs, or images, are signed, and then verifies what was signed.
//!
//! ```text
//!   RUN/TASK  watch of the PipelineRun ──▶ TaskRuns of the task
//!   RUN       watch of that one object ──▶ chains.tekton.dev/signed ──▶ images of its results ─┐
//!   --image   .sig, .att and referrers, asked with growing waits ──────────────────────────────┴▶ tekseal-verify's demands
//! ```
//!
//! A mark on a run proves nothing: whoever may change the run may write it. So what counts in the end is the key, unless
//! `--insecure-skip-verify` says otherwise.

mod images;
mod own;
mod runs;
mod tasks;

use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;
use tekseal_cluster::Named;
use tekseal_core::run::RunKind;
use tekseal_core::{DigestRef, cosign};
use tekseal_remote::Registry;
use tokio::time::Instant;

use crate::Failure;
use crate::cluster_args::{ClusterArgs, NamedRun};
use crate::exit;
use crate::log;
use crate::output::OutputArgs;
use crate::parameters;
use crate::registry_args::{Access, RegistryArgs, given};
use crate::results::ResultsArgs;
use crate::verify::{self, DemandArgs, Demands, Report, TrustArgs, VerifyingKeyArgs};

pub use own::OwnArgs;

use own::Own;

/// The wait before the API server is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a reason may be as a result: what is longer may not fit with the others.
const MOST_REASON: usize = 1500;

/// Wait until runs or images are signed, and verify them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs: k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME, or k8s://NAMESPACE/pipelinerun/NAME/TASK for the TaskRuns of
    /// one task, which may still have to come; all of them must be signed
    #[arg(env = "TEKSEAL_RUN", value_name = "RUN", value_delimiter = ',')]
    runs: Vec<String>,
    /// Image by digest to wait for in its registry, in place of runs; may be repeated
    #[arg(
        long = "image",
        env = "TEKSEAL_IMAGE",
        value_name = "IMAGE",
        value_delimiter = ','
    )]
    images: Vec<String>,
    /// How long to wait: 90s, 10m, 1h30m
    #[arg(
        long,
        env = "TEKSEAL_TIMEOUT",
        value_name = "DURATION",
        default_value = "10m"
    )]
    timeout: String,
    #[command(flatten)]
    keys: VerifyingKeyArgs,
    /// Believe the mark on the run, or what lies beside the image, whoever put it there
    #[arg(long, env = "TEKSEAL_INSECURE_SKIP_VERIFY", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    insecure_skip_verify: bool,
    #[command(flatten)]
    demands: DemandArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    own: OwnArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// What is waited for.
enum Targets {
    Runs(Vec<Named>),
    Images(Vec<DigestRef>),
}

/// What came of waiting for one target.
struct Verdict {
    target: String,
    outcome: Outcome,
}

/// How it ended, apart from failures of the outside and misuse.
enum Outcome {
    /// Signed, and verified unless that was not wanted.
    Signed(Vec<Report>),
    /// It will not be, or not in time.
    Not(Answer, Failure),
}

/// The answers other than yes.
#[derive(Clone, Copy)]
enum Answer {
    /// Given up, or gone.
    Failed,
    /// There was nothing to sign.
    Nothing,
    /// The deadline passed.
    Timeout,
    /// It is marked as signed, and no good signature was found.
    Unverified,
}

/// What is asked of images; nothing where that was not wanted.
struct Check {
    registry: Registry,
    of_task_runs: Option<Demands>,
    of_pipeline_runs: Option<Demands>,
}

/// Waits, verifies, prints what was verified, and writes the results last.
pub fn run(args: &Args) -> Result<(), Failure> {
    let targets = args.targets()?;
    let patience = patience(&args.timeout)?;
    let own = args.own.known();
    if let Targets::Runs(runs) = &targets {
        if args.trust.is_offline() {
            return Err(
                Failure::misuse(anyhow!("--offline is given, and runs lie in a cluster"))
                    .hint("wait for images, with --image"),
            );
        }
        runs.iter().try_for_each(|named| own.refuse(named))?;
    }
    let check = args.check()?;
    let mut results = args.results.open()?;
    let verdicts = crate::block_on(async {
        let deadline = Instant::now() + patience;
        match &targets {
            Targets::Runs(runs) => args.wait_for_runs(runs, own, &check, deadline).await,
            Targets::Images(images) => {
                let tags = args.demands.tags();
                let waits = images
                    .iter()
                    .map(|image| images::wait(&check, image, tags, deadline));
                join_all(waits).await.into_iter().collect()
            }
        }
    })?;
    let mut reports = Vec::new();
    let mut refusal: Option<(Answer, Failure)> = None;
    let mut reasons = Vec::new();
    for Verdict { target, outcome } in verdicts {
        match outcome {
            Outcome::Signed(of_target) => {
                log::info("signed", &[("what", &target)]);
                reports.extend(of_target);
            }
            Outcome::Not(answer, failure) => {
                reasons.push(failure.message());
                if refusal.is_none() {
                    refusal = Some((answer, failure));
                } else {
                    log::warn("not signed", &[("reason", &failure.message())]);
                }
            }
        }
    }
    let answer = refusal.as_ref().map(|(answer, _)| *answer);
    if answer.is_none() {
        verify::print(&reports, args.output.form())?;
        if check.of_task_runs.is_some() && !args.trust.has_root() {
            args.demands.tell_of_log();
        }
    }
    results.set("SIGNED", answer.map_or("true", Answer::name));
    let reason = reasons.join("; ");
    results.set("REASON", &reason[..reason.floor_char_boundary(MOST_REASON)]);
    results.commit()?;
    refusal.map_or(Ok(()), |(_, failure)| Err(failure))
}

impl Args {
    fn targets(&self) -> Result<Targets, Failure> {
        let runs: Vec<&str> = given(&self.runs).collect();
        let images: Vec<&str> = given(&self.images).collect();
        match (&runs[..], &images[..]) {
            ([], []) => Err(Failure::misuse(anyhow!("nothing is given to wait for"))
                .hint("name runs, k8s://NAMESPACE/taskrun/NAME, or images with --image")),
            ([], images) => images.iter().map(|text| by_digest(text)).collect::<Result<_, _>>().map(Targets::Images),
            (runs, []) => runs
                .iter()
                .map(|text| text.parse().map_err(Failure::misuse))
                .collect::<Result<_, _>>()
                .map(Targets::Runs),
            _ => Err(Failure::misuse(anyhow!("runs and --image are both given"))
                .hint("wait for runs, whose images are verified then, or for images, where no cluster can be asked")),
        }
    }

    /// What is asked of images. A key is wanted unless it was said that none is.
    fn check(&self) -> Result<Check, Failure> {
        let registry = self.registry.open(Access::Pull)?;
        let is_somebody = self.keys.are_given() || self.trust.identity()?.is_some();
        let of_task_runs = match (is_somebody, self.insecure_skip_verify) {
            (true, true) => {
                return Err(Failure::misuse(anyhow!(
                    "--key or --certificate-identity asks to verify and --insecure-skip-verify forbids it"
                )));
            }
            (false, false) => {
                return Err(Failure::misuse(anyhow!("no key is given to verify with")).hint(
                    "give --key, or say with --insecure-skip-verify that anybody's mark will do",
                ));
            }
            (false, true) => {
                if self.trust.has_root() {
                    return Err(Failure::misuse(anyhow!(
                        "a trusted root is given and --insecure-skip-verify forbids to verify by it"
                    )));
                }
                None
            }
            (true, false) => {
                let keys = self.keys.read(&self.trust, &self.cluster, &self.registry)?;
                Some(self.demands.of_trust(keys, &self.trust, &self.registry)?)
            }
        };
        let of_pipeline_runs = of_task_runs.clone().map(Demands::of_pipeline_runs);
        Ok(Check {
            registry,
            of_task_runs,
            of_pipeline_runs,
        })
    }

    async fn wait_for_runs(
        &self,
        runs: &[Named],
        own: Own,
        check: &Check,
        deadline: Instant,
    ) -> Result<Vec<Verdict>, Failure> {
        let cluster = self.cluster.connect().await?;
        let own = [own, Own::of_pod(&cluster).await];
        for named in runs {
            own.iter().try_for_each(|own| own.refuse(named))?;
        }
        let waits = runs.iter().map(async |named| match named {
            Named::Run(run) => {
                let named = NamedRun::of(run.clone());
                let verdict = runs::wait(&cluster, &named, check, deadline).await?;
                Ok(vec![verdict])
            }
            Named::Task(task) => tasks::wait(&cluster, task, &own, check, deadline).await,
        });
        let verdicts: Result<Vec<_>, Failure> = join_all(waits).await.into_iter().collect();
        Ok(verdicts?.into_iter().flatten().collect())
    }
}

impl Check {
    /// What is asked of the images of runs of this kind.
    fn demands(&self, kind: RunKind) -> Option<&Demands> {
        match kind {
            RunKind::TaskRun => self.of_task_runs.as_ref(),
            RunKind::PipelineRun => self.of_pipeline_runs.as_ref(),
        }
    }
}

impl Answer {
    /// The result SIGNED.
    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Nothing => "nothing",
            Self::Timeout => "timeout",
            Self::Unverified => "unverified",
        }
    }
}

fn by_digest(text: &str) -> Result<DigestRef, Failure> {
    let image = verify::parse_image(text)?;
    image.digest_ref().map_err(|e| {
        Failure::misuse(e)
            .context(format!("--image {text:?}"))
            .hint(
                "give the image by digest, REPOSITORY@sha256:…: a tag may be another image by then",
            )
    })
}

/// How long to wait.
fn patience(text: &str) -> Result<Duration, Failure> {
    const MOST: Duration = Duration::from_secs(7 * 24 * 3600);
    parameters::duration(text)
        .filter(|duration| !duration.is_zero() && *duration <= MOST)
        .ok_or_else(|| {
            Failure::misuse(anyhow!(
                "--timeout {text:?} is no duration up to a week, wanted something like 90s, 10m or 1h30m"
            ))
        })
}

/// Why an answer that is not yes is not.
fn not(answer: Answer, failure: Failure) -> Outcome {
    Outcome::Not(answer, failure)
}

/// Verifies one image. «No» is an answer; everything else is a failure.
async fn verified(
    demands: &Demands,
    registry: &Registry,
    image: &DigestRef,
) -> Result<Result<Report, Failure>, Failure> {
    /// How long checking one image may take.
    const SECONDS: u64 = 300;
    match verify::within(SECONDS, demands.check(registry, image)).await {
        Ok(report) => Ok(Ok(report)),
        Err(failure) => {
            let failure = failure.context(format!("image {image}"));
            match failure.code() {
                exit::NO => Ok(Err(failure)),
                _ => Err(failure),
            }
        }
    }
}

/// What lies under a tag beside an image is called.
fn name_of(tag: cosign::Tag) -> &'static str {
    match tag {
        cosign::Tag::Signatures => "signature",
        cosign::Tag::Attestations => "attestation",
        cosign::Tag::Sbom => "SBOM",
        cosign::Tag::Referrers => "list of referrers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400)] {
            let duration = patience(text).expect("it is one");
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
        }
        for text in [
            "",
            "0",
            "0s",
            "-5m",
            "soon",
            "8d",
            "10 parsecs",
            "99999999999999999999",
        ] {
            assert_eq!(patience(text).expect_err("it is none").code(), exit::MISUSE);
        }
    }
}
