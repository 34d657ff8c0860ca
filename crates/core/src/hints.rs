//! Type hints: which results and parameters of a run name the artifacts that it read and made.
//!
//! This module is the only reading of `*IMAGE_URL`/`*IMAGE_DIGEST`, `IMAGES`, `*ARTIFACT_URI`/`*ARTIFACT_DIGEST`, `*ARTIFACT_INPUTS`,
//! `*ARTIFACT_OUTPUTS` and `CHAINS-GIT_URL`/`CHAINS-GIT_COMMIT`, with the rules of Tekton Chains
//! (<https://tekton.dev/docs/chains/slsa-provenance/#type-hinting>). Where Chains takes pairs in the random order of a hash map, ours is
//! the order in which the first result of each pair stands in the run.
//!
//! ```text
//!   CompletedRun ── observe ──▶ Observed { own: Hints, children: [TaskHints { own: Hints, steps: [Hints] }] }
//!                                            └─ images, subjects, inputs, findings: what became of each hint, and why
//! ```
//!
//! Which of it becomes a Subject or a material depends on the format; that is `Observed`'s methods and `format`.

mod git;
mod near;
mod reader;

use std::fmt;

use crate::artifact::{Artifact, ArtifactList};
use crate::redact::Redacted;
use crate::reference::{DigestRef, TaggedImage};
use crate::run::{CompletedRun, Param, Run, RunKind};
use crate::statement::Subject;
use crate::typed::ParamValue;

pub use near::nearly;

/// Result with the image's name; may have a prefix that pairs it with its digest.
pub const IMAGE_URL: &str = "IMAGE_URL";
/// Result with the image's digest.
pub const IMAGE_DIGEST: &str = "IMAGE_DIGEST";
/// Result with a list of images by digest.
pub const IMAGES: &str = "IMAGES";
/// Object result with an artifact that was made.
pub const ARTIFACT_OUTPUTS: &str = "ARTIFACT_OUTPUTS";
/// Object result with an artifact that was read.
pub const ARTIFACT_INPUTS: &str = "ARTIFACT_INPUTS";
/// Result with the name of an artifact that was made.
pub const ARTIFACT_URI: &str = "ARTIFACT_URI";
/// Result with the digest of an artifact that was made.
pub const ARTIFACT_DIGEST: &str = "ARTIFACT_DIGEST";
/// Parameter or result with the URL of the source repository.
pub const GIT_URL: &str = "CHAINS-GIT_URL";
/// Parameter or result with the commit that was built.
pub const GIT_COMMIT: &str = "CHAINS-GIT_COMMIT";

/// Whether a PipelineRun's provenance also speaks of what its child TaskRuns read and made
/// (`artifacts.pipelinerun.enable-deep-inspection`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeepInspection {
    /// Only of its own results.
    #[default]
    Off,
    /// Of its completed children's too.
    On,
}

/// What the hints of a completed run say.
#[derive(Clone, Debug)]
pub struct Observed<'r> {
    /// The run's own hints.
    pub own: TaskHints<'r>,
    /// Those of a PipelineRun's completed children, in the order of the Pipeline's tasks. They count only with deep inspection.
    pub children: Vec<TaskHints<'r>>,
}

/// The hints of one run: a TaskRun's, or a PipelineRun's own.
#[derive(Clone, Debug)]
pub struct TaskHints<'r> {
    /// Name of the run.
    pub run: &'r str,
    /// Those in its results.
    pub results: Hints<'r>,
    /// Those in the results of its steps: name of the step, and hints.
    pub steps: Vec<(&'r str, Hints<'r>)>,
    /// The source repository, from parameters and results.
    pub git: Option<Artifact>,
}

/// What one list of results says.
#[derive(Clone, Debug, Default)]
pub struct Hints<'r> {
    /// Images to sign, in order, each once.
    pub images: Vec<DigestRef>,
    /// The tags that the same results give them, in order, each name once. Chains drops these.
    pub tagged: Vec<TaggedImage>,
    /// Artifacts named by `*ARTIFACT_URI` and `*ARTIFACT_DIGEST`.
    pub artifacts: Vec<Artifact>,
    /// Artifacts named by `*ARTIFACT_OUTPUTS`.
    pub outputs: Vec<Output>,
    /// Artifacts named by `*ARTIFACT_INPUTS`.
    pub inputs: Vec<Artifact>,
    /// The source repository that these results alone name.
    pub git: Option<Artifact>,
    /// What became of each result that is a hint or nearly one, in the order of the results.
    pub findings: Vec<Finding<'r>>,
}

/// An artifact that was made, as an object result names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it names, as it is written there.
    pub artifact: Artifact,
    /// Whether it says of itself that it is what was built.
    pub is_build_artifact: bool,
}

/// What became of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding<'r> {
    /// Position of the result.
    pub at: usize,
    /// Name of the result.
    pub name: &'r str,
    /// Which hint it is, or nearly is.
    pub hint: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// Whether a hint was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It names something.
    Used,
    /// It is left empty, as a result that does not apply.
    Empty,
    /// It is a hint without effect: half a pair, an empty value, a name that comes again, a name that is nearly a hint's.
    Ignored(String),
    /// Its value is not of the form that the hint wants.
    Invalid(String),
}

/// Why a digest in an `ARTIFACT_*` hint is not usable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// Not `algorithm:hex`.
    #[error("digest {0:?} is not of the form algorithm:hex")]
    Form(String),
    /// Not sha1, sha256, sha384 or sha512.
    #[error("digest {0:?} has an unsupported algorithm, wanted sha1, sha256, sha384 or sha512")]
    Algorithm(String),
    /// Wrong number of digits, or a character that is no lower-case hexadecimal digit.
    #[error("digest {0:?} is not {1} lower-case hexadecimal digits")]
    Digits(String, usize),
}

/// Reads the hints of `run` and of its children.
#[must_use]
pub fn observe<'r>(run: &'r CompletedRun<'_>) -> Observed<'r> {
    Observed {
        own: TaskHints::of(run.run()),
        children: run.executed().map(TaskHints::of).collect(),
    }
}

/// A digest as `ARTIFACT_*` hints carry it: algorithm and hexadecimal digits, both trimmed, the algorithm in lower case.
///
/// # Errors
/// If it is not of that form.
pub fn parse_digest(text: &str) -> Result<(String, String), DigestError> {
    let mut parts = text.split(':');
    let (Some(algorithm), Some(digits), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(DigestError::Form(shortened(text)));
    };
    let algorithm = algorithm.trim().to_lowercase();
    let digits = digits.trim();
    let length = match algorithm.as_str() {
        "sha1" => 40,
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(DigestError::Algorithm(shortened(text))),
    };
    if digits.len() != length
        || !digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Err(DigestError::Digits(shortened(text), length));
    }
    Ok((algorithm, digits.to_owned()))
}

/// Whether `slsa/v2alpha4` takes this result for a byproduct: it is not one that stands for a Subject or tried to.
#[must_use]
pub(crate) fn is_byproduct(result: &Param<'_, '_>) -> bool {
    if result.name == IMAGES
        || result.name.ends_with(IMAGE_URL)
        || result.name.ends_with(IMAGE_DIGEST)
    {
        return false;
    }
    if !result.name.ends_with(ARTIFACT_OUTPUTS) {
        return true;
    }
    result
        .value
        .and_then(ParamValue::as_object)
        .is_some_and(|map| !reader::is_build_artifact(map))
}

impl<'r> Observed<'r> {
    /// Images that get a signature of their own: those of a TaskRun's results. A PipelineRun's results and the results of steps give
    /// none; the children of a PipelineRun are signed on their own.
    #[must_use]
    pub fn images(&self, kind: RunKind) -> &[DigestRef] {
        match kind {
            RunKind::TaskRun => &self.own.results.images,
            RunKind::PipelineRun => &[],
        }
    }

    /// Takes redacted values out of what was read: source repositories and other inputs. What was made keeps its names; a tag is
    /// forgotten where its name has such a value, for nothing but a signature of that name would show it.
    pub fn hide_inputs(&mut self, redacted: &Redacted) {
        for task in [&mut self.own].into_iter().chain(&mut self.children) {
            let tagged = &mut task.results.tagged;
            tagged.retain(|image| redacted.hide(&image.name()) == image.name());
            let steps = task.steps.iter_mut().map(|(_, hints)| hints);
            let of_results = steps
                .chain([&mut task.results])
                .flat_map(|hints| hints.git.iter_mut().chain(&mut hints.inputs));
            for input in of_results.chain(&mut task.git) {
                input.uri = redacted.hide(&input.uri).into_owned();
                for hex in input.digest.values_mut() {
                    *hex = redacted.hide(hex).into_owned();
                }
            }
        }
    }

    /// The children, if they count.
    pub(crate) fn inspected(&self, deep: DeepInspection) -> &[TaskHints<'r>] {
        match deep {
            DeepInspection::On => &self.children,
            DeepInspection::Off => &[],
        }
    }

    /// Subjects for `in-toto`, `slsa/v1` and `slsa/v2alpha3`: of all outputs, children first.
    #[must_use]
    pub fn subjects_of_outputs(&self, deep: DeepInspection) -> Vec<Subject> {
        let mut list = ArtifactList::of_subjects();
        let children = self.inspected(deep).iter().map(|child| &child.results);
        for hints in children.chain([&self.own.results]) {
            list.extend(hints.images.iter().map(Artifact::of_image));
            list.extend(hints.artifacts.iter().cloned());
            list.extend(hints.outputs.iter().map(|output| output.artifact.clone()));
        }
        list.into_subjects()
    }

    /// Subjects for `slsa/v2alpha4`: of what says of itself that it was built, and images; of steps before their TaskRun, of a
    /// PipelineRun before its children.
    pub(crate) fn subjects_of_builds(&self, deep: DeepInspection) -> Vec<Subject> {
        let mut list = ArtifactList::of_subjects();
        for task in [&self.own].into_iter().chain(self.inspected(deep)) {
            let steps = task.steps.iter().map(|(_, hints)| hints);
            for hints in steps.chain([&task.results]) {
                let builds = hints.outputs.iter().filter(|o| o.is_build_artifact);
                list.extend(builds.map(|output| output.artifact.clone()));
                list.extend(hints.images.iter().map(Artifact::of_image));
            }
        }
        list.into_subjects()
    }
}

impl<'r> TaskHints<'r> {
    /// Reads the hints of one run, completed or not.
    #[must_use]
    pub fn of(run: &'r Run<'_>) -> Self {
        let results: Vec<_> = run.results().collect();
        Self {
            run: run.name(),
            git: git::of_run(run, &results),
            results: Hints::of(&results),
            steps: run
                .steps()
                .map(|step| {
                    let results: Vec<_> = step.results().collect();
                    (step.name(), Hints::of(&results))
                })
                .collect(),
        }
    }
}

/// A text of a tenant's, short enough for a message.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used => f.write_str("used"),
            Self::Empty => f.write_str("empty"),
            Self::Ignored(why) => write!(f, "ignored: {why}"),
            Self::Invalid(why) => write!(f, "invalid: {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
