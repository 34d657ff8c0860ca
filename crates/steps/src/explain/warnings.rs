//! What a person should know beside the decision: what stands in the way of images, children and secrets, and what of the configuration
//! these programs do not do.

use tekseal_core::config::{Config, Upload};
use tekseal_core::credential;
use tekseal_core::format::Format;
use tekseal_core::hints::{DeepInspection, Observed};
use tekseal_core::run::{CompletedRun, RunKind};

use super::{Signing, keys::shown};
use crate::source_args::unlabelled;

/// Warnings about a run and its children. Credentials are looked for in `shown`, the run as its provenance would show it.
pub(super) fn of(
    run: &CompletedRun<'_>,
    shown: &CompletedRun<'_>,
    observed: &Observed<'_>,
    deep: DeepInspection,
) -> Vec<String> {
    let mut list = of_images(run.kind(), observed, deep);
    list.extend(
        run.absent_children()
            .iter()
            .map(|child| format!("left out: {child}")),
    );
    list.extend(unlabelled(run, observed).map(|child| {
        format!("child {child} does not count, neither its steps nor its results: its label tekton.dev/pipelineTask names no task of the Pipeline")
    }));
    list.extend(credential::suspicions(shown).into_iter().map(|s| {
        format!(
            "parameter {} of {} looks like {}; provenance shows parameters in clear text, unless tekseal.redact-params or --redact-params names it",
            s.param, s.run, s.what
        )
    }));
    list
}

/// Why there is no image, or no signature of one.
fn of_images(kind: RunKind, observed: &Observed<'_>, deep: DeepInspection) -> Vec<String> {
    let mut list = Vec::new();
    let has_own = !observed.own.results.images.is_empty();
    let of_children = observed.children.iter().map(|child| &child.results.images);
    match kind {
        RunKind::TaskRun if !has_own => list.push(
            "no image is named: a build must write the results IMAGE_URL and IMAGE_DIGEST, or IMAGES"
                .to_owned(),
        ),
        RunKind::PipelineRun
            if !has_own && deep == DeepInspection::Off && of_children.flatten().next().is_some() =>
        {
            list.push(
                "children name images, but the PipelineRun has no such results of its own and deep inspection is off: \
                 set artifacts.pipelinerun.enable-deep-inspection, or give the Pipeline the results IMAGE_URL and IMAGE_DIGEST"
                    .to_owned(),
            );
        }
        RunKind::TaskRun | RunKind::PipelineRun => {}
    }
    if kind == RunKind::TaskRun {
        let outputs = observed.own.results.outputs.iter();
        list.extend(outputs.filter(|output| !output.is_build_artifact).map(|output| {
            format!(
                "{} is named without isBuildArtifact: \"true\", so it gets no image signature and is no subject of slsa/v2alpha4",
                output.artifact.uri
            )
        }));
    }
    for (step, hints) in &observed.own.steps {
        if !hints.images.is_empty() {
            list.push(format!(
                "step {step} names an image in its own results; only results of the Task give image signatures"
            ));
        }
    }
    list
}

/// Warnings about what the configuration says and these programs do otherwise. A controller stores where the configuration says.
pub(super) fn of_config(config: &Config, items: &[Signing], is_of_controller: bool) -> Vec<String> {
    let mut list = Vec::new();
    let is_called_v1 = |item: &Signing| item.format == Format::SlsaV1.name();
    if items.iter().any(is_called_v1) {
        list.push(
            "format slsa/v1 is SLSA provenance v0.2 (cosign: --type slsaprovenance); slsa/v2alpha4 makes SLSA provenance v1 (--type slsaprovenance1)"
                .to_owned(),
        );
    }
    let beside_image = config.storages().oci.repository.is_empty()
        && items.iter().all(|item| item.is_all_beside_images);
    if !beside_image && !is_of_controller {
        list.push(
            "places are the configuration's, as Tekton Chains takes it; tekseal-upload and tekseal-attest store beside the image all the same"
                .to_owned(),
        );
    }
    let oci = &config.storages().oci;
    if oci.layout.has_bundles() && !oci.repository.is_empty() {
        list.push(
            "storage.oci.repository is for tags; bundles are in the repository of the image, as with Tekton Chains"
                .to_owned(),
        );
    }
    if config.transparency().upload != Upload::Off && !is_of_controller {
        list.push(format!(
            "transparency.enabled asks for entries in {}; of the steps, tekseal-upload and tekseal-attest make them if they are given this configuration, and --tlog goes before it",
            shown(&config.transparency().url)
        ));
    }
    list
}
