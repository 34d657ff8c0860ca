//! `tekseal-verify`: checks the signature and the attestations of images against a key or an identity, and prints only what it verified.
//!
//! Flags have cosign's names where they have cosign's meaning. Every image is asked for by digest; a tag is resolved once, first. What cosign's
//! tags and the referrers hold is one: a good signature is one wherever it lies. With `--recursive` an index stands for what it lists, and each of that
//! must pass by itself: a signature of the index is none of its images, as with cosign.

mod demand_args;
mod demands;
mod judged;
pub(crate) mod layouts;
mod report;
mod trust_args;
mod verdicts;
mod verifying_keys;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tekseal_core::{Digest, DigestRef, ImageRef, Signed, bundle};
use tekseal_remote::Registry;
use tekseal_remote::registry::Reference;
use tekseal_remote::store::fetch::MOST_LAYER_BYTES;
use tekseal_remote::store::{Fetched, Place};

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::files;
use crate::log;
use crate::output::OutputArgs;
use crate::parameters;
use crate::recursive::{self, Recursive, RecursiveArgs, Selected};
use crate::registry_args::{Access, RegistryArgs, given};
use crate::results::ResultsArgs;

pub(crate) use demand_args::predicate_types;
pub use demand_args::{DemandArgs, HowArgs, Only};
pub(crate) use demands::{Demands, Examined, Judging};
pub(crate) use report::{AttestationReport, Found, Report, SignatureReport, print};
pub use trust_args::{IdentityArgs, TrustArgs};
pub use verifying_keys::VerifyingKeyArgs;
pub(crate) use verifying_keys::VerifyingKeys;

pub(crate) use verdicts::summary;

use verdicts::Verdicts;

/// How many manifests of an index are checked side by side.
const WIDTH: usize = 4;

/// Verify the signature and the attestations of images.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images, best by digest: REPOSITORY@sha256:…, or oci:PATH[:TAG|@DIGEST] for one in an OCI layout; all of them must pass, else nothing is printed
    #[arg(env = "IMAGE", value_name = "IMAGE", required = true, num_args = 1..)]
    images: Vec<String>,
    #[command(flatten)]
    keys: VerifyingKeyArgs,
    #[command(flatten)]
    demands: DemandArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// File with a Sigstore bundle of the image; may be repeated. Then the images must be given by digest, and no registry is asked
    #[arg(long = "bundle", env = "TEKSEAL_BUNDLE", value_name = "FILE")]
    bundles: Vec<String>,
    /// The images are folders, as `cosign save --dir` writes them
    #[arg(long, env = "TEKSEAL_LOCAL_IMAGE", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    local_image: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    recursive: RecursiveArgs,
    /// How long to check one image, with all that --recursive adds to it: seconds, or 90s, 5m, 1h, up to a day
    #[arg(long, env = "TEKSEAL_TIMEOUT", value_name = "DURATION", default_value = "300", value_parser = seconds)]
    timeout: u64,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// Verifies every image; prints nothing unless all of them pass. The results are written last, also where the answer is no.
pub fn run(args: &Args) -> Result<(), Failure> {
    let keys = args.keys.read(&args.trust, &args.cluster, &args.registry)?;
    let layouts = layouts::parse(&args.images, args.local_image)?;
    let bundles = args.read_bundles()?;
    let is_recursive = args.recursive.recursive != Recursive::Itself;
    if !bundles.is_empty() && is_recursive {
        return Err(
            Failure::misuse(anyhow!("--bundle and --recursive are both given"))
                .hint("what an index lists is in its registry, and with --bundle none is asked"),
        );
    }
    if layouts.is_some() && is_recursive {
        return Err(
            Failure::misuse(anyhow!("--recursive is given for an image in a folder")).hint(
                "name the images that the index lists, each by its digest: oci:PATH@sha256:…",
            ),
        );
    }
    if layouts.is_some() && !bundles.is_empty() {
        return Err(
            Failure::misuse(anyhow!("--bundle is given for an image in a folder")).hint(
                "name the image by digest as in a registry; with --bundle nobody is asked for it",
            ),
        );
    }
    let images = match &layouts {
        None => args.images.iter().map(|text| parse_image(text)).collect(),
        Some(_) => Ok(Vec::new()),
    };
    let images = images?;
    let demands = args.demands.of_trust(keys, &args.trust, &args.registry)?;
    let mut results = args.results.open()?;
    let verdicts = if let Some(layouts) = &layouts {
        crate::block_on(layouts::judge(layouts, &demands, args.timeout))?
    } else if bundles.is_empty() {
        let registry = args.registry.open(Access::Pull)?;
        crate::block_on(args.judge(&registry, &demands, images))?
    } else {
        judge_bundles(&bundles, &demands, images)?
    };
    if verdicts.refusals.is_empty() {
        if !args.trust.has_root() {
            args.demands.tell_of_log();
        }
        print(&verdicts.reports, args.output.form())?;
    }
    verdicts.tell(&mut results, Timestamp::now());
    results.commit()?;
    verdicts.refusal().map_or(Ok(()), Err)
}

impl Args {
    fn read_bundles(&self) -> Result<Vec<Fetched>, Failure> {
        let read = |path: &str| {
            let content = files::read(Path::new(path), MOST_LAYER_BYTES, "bundle")?;
            Ok(Fetched {
                place: Place::File(path.into()),
                position: 0,
                digest: Digest::of(&content).to_string(),
                signed: Ok(Signed::fetched(
                    bundle::MEDIA_TYPE_V03.to_owned(),
                    content,
                    BTreeMap::new(),
                )),
            })
        };
        given(&self.bundles).map(read).collect()
    }

    /// Checks all images.
    async fn judge(
        &self,
        registry: &Registry,
        demands: &Demands,
        images: Vec<ImageRef>,
    ) -> Result<Verdicts, Failure> {
        let mut verdicts = Verdicts::default();
        for image in images {
            match self.check(registry, demands, image).await {
                Ok((image, judged)) => verdicts.take(&image.to_string(), judged)?,
                Err(failure) => verdicts.take_failure(failure)?,
            }
        }
        Ok(verdicts)
    }

    /// Checks one image, or all manifests that it stands for, each whatever became of the others.
    async fn check(
        &self,
        registry: &Registry,
        demands: &Demands,
        image: ImageRef,
    ) -> Result<(DigestRef, Vec<Result<Report, Failure>>), Failure> {
        let image = resolve(registry, image).await?;
        let checked = within(self.timeout, async {
            let selected = self.recursive.recursive.select(registry, &image).await;
            Ok(match selected {
                Ok(selected) => check_selected(registry, demands, &image, &selected).await,
                Err(failure) => Err(failure),
            })
        });
        let checked = checked
            .await
            .map_err(|failure| failure.context(format!("image {image}")))?;
        Ok((image, checked?))
    }
}

/// Checks all manifests that `image` stands for, some side by side.
async fn check_selected(
    registry: &Registry,
    demands: &Demands,
    image: &DigestRef,
    selected: &[Selected],
) -> Result<Vec<Result<Report, Failure>>, Failure> {
    let of_signatures = demands.of_signatures();
    let asked = asked_of(image, selected, demands, of_signatures.as_ref())?;
    let checks = asked.into_iter().map(|(one, demands)| async move {
        let platform = one.platform();
        let place = match &platform {
            Some(platform) => format!("image {} ({platform})", one.image),
            None => format!("image {}", one.image),
        };
        let report = demands.check(registry, &one.image).await;
        let mut report = report.map_err(|failure| failure.context(place))?;
        report.platform = platform;
        report.index = (one.image != *image).then(|| image.to_string());
        Ok(report)
    });
    Ok(stream::iter(checks).buffered(WIDTH).collect().await)
}

/// The manifests that are checked, each with what is asked of it: of what is itself an attestation nothing but the signature.
///
/// # Errors
/// Exit 1 where there are none.
pub(crate) fn asked_of<'a>(
    image: &DigestRef,
    selected: &'a [Selected],
    demands: &'a Demands,
    of_signatures: Option<&'a Demands>,
) -> Result<Vec<(&'a Selected, &'a Demands)>, Failure> {
    let mut asked = Vec::with_capacity(selected.len());
    for one in selected {
        let demands = match one.is_attestable() {
            true => Some(demands),
            false => of_signatures,
        };
        match demands {
            Some(demands) => asked.push((one, demands)),
            None => log::info(
                "not checked: nothing is attested of attestations",
                &[("image", &one.image)],
            ),
        }
    }
    if asked.is_empty() {
        return Err(recursive::nothing_attestable(image));
    }
    Ok(asked)
}

/// Checks all images by the same bundles.
fn judge_bundles(
    bundles: &[Fetched],
    demands: &Demands,
    images: Vec<ImageRef>,
) -> Result<Verdicts, Failure> {
    let mut verdicts = Verdicts::default();
    for image in images {
        let image = image.digest_ref().map_err(|e| {
            Failure::misuse(e)
                .hint("with --bundle no registry is asked which image a tag is: give it by digest")
        })?;
        let report = demands
            .check_bundles(bundles, &image)
            .map_err(|failure| failure.context(format!("image {image}")));
        verdicts.take(&image.to_string(), vec![report])?;
    }
    Ok(verdicts)
}

/// A duration as people write it, in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
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
                    "whoever was asked is too slow, or sends without end; --timeout gives it longer, where there is one",
                ),
            )
        })
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
