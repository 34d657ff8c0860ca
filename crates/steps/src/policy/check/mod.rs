//! `tekseal-policy check`: verifies images as `tekseal-verify` does, and applies rules to what their provenance says.
//!
//! Every image is judged by itself, several at a time over one pool of connections, and told as soon as those before it are. What could not be
//! read for now is not judged: neither yes nor no is said of it. With `--recursive` an index stands for what it lists, each manifest by itself.

mod images;
mod line;
mod outcome;
mod print;
mod progress;
mod tally;

use std::sync::Arc;

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tekseal_core::DigestRef;
use tekseal_core::policy::Rules;
use tekseal_remote::Registry;
use tekseal_remote::store::Source;

use self::images::Image;
use self::outcome::{Asked, Outcome, Verdict};
use self::print::Printer;
use self::progress::Progress;
use self::tally::Tally;
use super::rule_args::RuleArgs;
use crate::cluster_args::ClusterArgs;
use crate::output::OutputArgs;
use crate::recursive::{Recursive, RecursiveArgs};
use crate::registry_args::{Access, RegistryArgs, given};
use crate::results::ResultsArgs;
use crate::verify::{
    self, Demands, Examined, HowArgs, Judging, Only, TrustArgs, VerifyingKeyArgs, within,
};
use crate::{Failure, exit};

/// How many manifests of an index are checked side by side.
const WIDTH: usize = 4;

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
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    recursive: RecursiveArgs,
    /// How long to check one image, with all that --recursive adds to it: seconds, or 90s, 5m, 1h, up to a day
    #[arg(long, env = "TEKSEAL_TIMEOUT", value_name = "DURATION", default_value = "300", value_parser = verify::seconds)]
    timeout: u64,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// What came of an image that was asked for.
struct Checked {
    /// By digest, where that is known.
    image: String,
    /// Of the image, or of each manifest that it stands for.
    outcomes: Vec<Outcome>,
}

/// What was found of one manifest.
struct Found {
    name: String,
    index: Option<String>,
    platform: Option<String>,
    examined: Examined,
}

/// Checks every image, and prints the answers. The results are written last, also where the answer is no.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let rules = args.rules()?;
    let asked = Asked {
        rules: Arc::new(rules),
    };
    let images = images::all(&args.images, given(&args.images_file).next())?;
    let is_recursive = args.recursive.recursive != Recursive::Itself;
    if is_recursive && !images.iter().all(Image::is_remote) {
        return Err(
            Failure::misuse(anyhow!("--recursive is given for an image in a folder")).hint(
                "name the images that the index lists, each by its digest: oci:PATH@sha256:…",
            ),
        );
    }
    let demands = args.demands(&asked.rules)?;
    let mut results = args.results.open()?;
    // A call of folders alone needs no credentials.
    let registry = match images.iter().any(Image::is_remote) {
        true => Some(args.registry.open(Access::Pull)?),
        false => None,
    };
    if !args.trust.has_root() {
        args.how.tell_of_log();
    }
    let printer = Printer::new(args.output.form(), is_recursive || images.len() > 1);
    let all = args.check_all(&asked, &demands, registry.as_ref(), images, printer);
    let tally = crate::block_on(all)?;
    tally.tell(&mut results, Timestamp::now());
    results.commit()?;
    tally.into_failure().map_or(Ok(()), Err)
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
    ) -> Result<Tally, Failure> {
        let progress = Progress::of(images.len());
        let checks = images
            .into_iter()
            .map(|image| self.check(asked, demands, registry, image));
        let mut all = stream::iter(checks).buffered(usize::from(self.concurrency));
        let mut tally = Tally::default();
        while let Some(checked) = all.next().await {
            progress.clear();
            tally.begin(checked.image);
            for outcome in checked.outcomes {
                tally.count(&outcome);
                printer.take(outcome)?;
            }
            progress.show(&tally);
        }
        progress.clear();
        printer.end(&tally)?;
        Ok(tally)
    }

    async fn check(
        &self,
        asked: &Asked,
        demands: &Demands,
        registry: Option<&Registry>,
        image: Image,
    ) -> Checked {
        let mut name = image.to_string();
        let given = image.given().to_owned();
        let found = within(self.timeout, async {
            match (&image, registry) {
                (Image::Remote(image, _), Some(registry)) => {
                    let image = verify::resolve(registry, image.clone()).await?;
                    name = image.to_string();
                    self.examine(demands, registry, &image).await
                }
                (Image::Remote(..), None) => Err(Failure::misuse(anyhow!("no registry is open"))),
                (Image::Layout(layout, _), _) => {
                    let (found, examined) = layout.examine(demands).await?;
                    name.clone_from(&found);
                    Ok(vec![Found {
                        name: found,
                        index: None,
                        platform: None,
                        examined,
                    }])
                }
            }
        });
        let outcome = |name, index, platform, verdict| Outcome {
            name,
            given: given.clone(),
            index,
            platform,
            verdict,
        };
        let found = found.await;
        let outcomes = match found {
            Ok(all) => {
                let all = all.into_iter().map(|found| {
                    let verdict = asked.conclude(found.examined);
                    outcome(found.name, found.index, found.platform, verdict)
                });
                all.collect()
            }
            Err(failure) => {
                let verdict = match failure.code() {
                    exit::NO => Verdict::absent(&failure),
                    _ => Verdict::Unjudged(failure),
                };
                vec![outcome(name.clone(), None, None, verdict)]
            }
        };
        Checked {
            image: name,
            outcomes,
        }
    }

    /// Examines the image, or all manifests that it stands for, some side by side.
    async fn examine(
        &self,
        demands: &Demands,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Vec<Found>, Failure> {
        let selected = self.recursive.recursive.select(registry, image).await?;
        let of_signatures = demands.of_signatures();
        let asked = verify::asked_of(image, &selected, demands, of_signatures.as_ref())?;
        let examined = asked.into_iter().map(|(one, demands)| async move {
            let source = Source::of(registry, &one.image);
            Found {
                name: one.image.to_string(),
                index: (one.image != *image).then(|| image.to_string()),
                platform: one.platform(),
                examined: demands.examine(source, &one.image.digest).await,
            }
        });
        Ok(stream::iter(examined).buffered(WIDTH).collect().await)
    }
}
