//! `tekseal-policy check`: verifies images as `tekseal-verify` does, and applies rules to what their provenance says.
//!
//! Every image is judged by itself, several at a time over one pool of connections, and told as soon as those before it are. What could not be
//! read for now is not judged: neither yes nor no is said of it.

mod images;
mod outcome;
mod print;
mod progress;

use std::sync::Arc;

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tekseal_core::policy::Rules;
use tekseal_remote::Registry;
use tekseal_remote::store::Source;

use self::images::Image;
use self::outcome::{Asked, Outcome, Verdict};
use self::print::Printer;
use self::progress::Progress;
use super::rule_args::RuleArgs;
use crate::cluster_args::ClusterArgs;
use crate::registry_args::{Access, RegistryArgs, given};
use crate::verify::{
    self, Demands, HowArgs, Judging, Only, Output, TrustArgs, VerifyingKeyArgs, within,
};
use crate::{Failure, exit};

/// Check images against rules on their signatures and provenance.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images, best by digest: REPOSITORY@sha256:…, or oci:PATH[:TAG|@DIGEST] for one in an OCI layout
    #[arg(env = "IMAGE", value_name = "IMAGE")]
    images: Vec<String>,
    /// File with further images, one a line; - is the standard input
    #[arg(long = "images", env = "TEKSEAL_POLICY_IMAGES", value_name = "FILE")]
    images_file: Option<String>,
    /// How many images are checked at a time
    #[arg(
        long,
        env = "TEKSEAL_POLICY_CONCURRENCY",
        value_name = "COUNT",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    concurrency: u16,
    #[command(flatten)]
    keys: VerifyingKeyArgs,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to print the answers
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
    #[arg(long, env = "TEKSEAL_TIMEOUT", value_name = "DURATION", default_value = "300", value_parser = verify::seconds)]
    timeout: u64,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Checks every image, and prints the answers.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let rules = args.rules()?;
    let asked = Asked {
        rules: Arc::new(rules),
    };
    let images = images::all(&args.images, given(&args.images_file).next())?;
    let demands = args.demands(&asked.rules)?;
    // A call of folders alone needs no credentials.
    let registry = match images.iter().any(Image::is_remote) {
        true => Some(args.registry.open(Access::Pull)?),
        false => None,
    };
    if !args.trust.has_root() {
        args.how.tell_of_log();
    }
    let printer = Printer::new(args.output, images.len());
    crate::block_on(args.check_all(&asked, &demands, registry.as_ref(), images, printer))
}

impl Args {
    fn rules(&self) -> Result<Rules, Failure> {
        let rules = self.rules.rules()?;
        match (self.how.only(), rules.is_empty()) {
            (Some(Only::Signature), false) => Err(Failure::misuse(anyhow!(
                "there are rules on attestations, and --only signature forbids them"
            ))
            .hint("leave out --only signature, or --builder-id, --type and the other rules")),
            (None | Some(Only::Attestation), true) => Err(Failure::misuse(anyhow!(
                "no rule is given: that something is attested says nothing"
            ))
            .hint("give --builder-id, --source-repository, --type or another rule; --only signature checks image signatures alone")),
            (Some(Only::Signature), true) | (None | Some(Only::Attestation), false) => Ok(rules),
        }
    }

    fn demands(&self, rules: &Arc<Rules>) -> Result<Demands, Failure> {
        let keys = self.keys.read(&self.trust, &self.cluster, &self.registry)?;
        let demands = self
            .how
            .of_trust(Vec::new(), keys, &self.trust, &self.registry)?;
        Ok(demands.judging(Judging {
            rules: Arc::clone(rules),
            now: Timestamp::now().as_second(),
        }))
    }

    async fn check_all(
        &self,
        asked: &Asked,
        demands: &Demands,
        registry: Option<&Registry>,
        images: Vec<Image>,
        mut printer: Printer,
    ) -> Result<(), Failure> {
        let progress = Progress::of(images.len());
        let checks = images
            .into_iter()
            .map(|image| self.check(asked, demands, registry, image));
        let mut outcomes = stream::iter(checks).buffered(usize::from(self.concurrency));
        let mut tally = Tally::default();
        while let Some(outcome) = outcomes.next().await {
            tally.count(&outcome);
            progress.clear();
            printer.take(outcome)?;
            progress.show(&tally);
        }
        progress.clear();
        printer.end(&tally)?;
        tally.into_failure().map_or(Ok(()), Err)
    }

    async fn check(
        &self,
        asked: &Asked,
        demands: &Demands,
        registry: Option<&Registry>,
        image: Image,
    ) -> Outcome {
        let mut name = image.to_string();
        let given = image.given().to_owned();
        let examined = within(self.timeout, async {
            match (&image, registry) {
                (Image::Remote(image, _), Some(registry)) => {
                    let image = verify::resolve(registry, image.clone()).await?;
                    name = image.to_string();
                    Ok(demands
                        .examine(Source::of(registry, &image), &image.digest)
                        .await)
                }
                (Image::Remote(..), None) => Err(Failure::misuse(anyhow!("no registry is open"))),
                (Image::Layout(layout, _), _) => {
                    let (found, examined) = layout.examine(demands).await?;
                    name = found;
                    Ok(examined)
                }
            }
        });
        let verdict = match examined.await {
            Ok(examined) => asked.conclude(examined),
            Err(failure) if failure.code() == exit::NO => Verdict::absent(&failure),
            Err(failure) => Verdict::Unjudged(failure),
        };
        Outcome {
            name,
            given,
            verdict,
        }
    }
}

/// Where to look when an image does not pass.
const WHAT_FAILED: &str = "each line with FAIL, or each of `checks` that has not passed, says what was found and what is wanted";
/// Where to look when an image could not be judged.
const WHAT_HINDERED: &str = "why stands on its line with ????, or as `error`: it may be good or not, and can be checked again";

/// How many images passed, and what to end with.
#[derive(Default)]
pub(super) struct Tally {
    passed: usize,
    failed: usize,
    /// Why the first one failed.
    first_failed: Option<String>,
    unjudged: usize,
    /// Which was the first that could not be judged, and why.
    first_unjudged: Option<(String, Failure)>,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match &outcome.verdict {
            Verdict::Judged(answers) if answers.iter().all(|answer| answer.passed) => {
                self.passed += 1;
            }
            Verdict::Judged(_) => {
                self.failed += 1;
                self.first_failed
                    .get_or_insert_with(|| outcome.name.clone());
            }
            Verdict::Unjudged(failure) => {
                self.unjudged += 1;
                self.first_unjudged
                    .get_or_insert_with(|| (outcome.name.clone(), failure.again()));
            }
        }
    }

    fn all(&self) -> usize {
        self.passed + self.failed + self.unjudged
    }

    /// «No» is an answer, whatever else could not be judged. What was found, or why nothing was, is printed already.
    fn into_failure(self) -> Option<Failure> {
        let all = self.all();
        if let Some(name) = self.first_failed {
            let error = match all {
                1 => anyhow!("image {name} does not pass"),
                _ => anyhow!(
                    "{} of {all} images do not pass, the first is {name}",
                    self.failed
                ),
            };
            return Some(Failure::no(error).hint(WHAT_FAILED));
        }
        let (name, failure) = self.first_unjudged?;
        let error = match all {
            1 => anyhow!("image {name} could not be judged"),
            _ => anyhow!(
                "{} of {all} images could not be judged, the first is {name}",
                self.unjudged
            ),
        };
        Some(failure.told_elsewhere(error).hint(WHAT_HINDERED))
    }
}
