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

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crate::artifact::{Artifact, ArtifactList};
use crate::reference::{self, DigestRef};
use crate::run::{CompletedRun, Param, Run, RunKind};
use crate::statement::Subject;
use crate::typed::ParamValue;

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

/// Key of an `ARTIFACT_OUTPUTS` object that declares it the thing that was built.
const IS_BUILD_ARTIFACT: &str = "isBuildArtifact";

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
        .is_some_and(|map| !is_build_artifact(map))
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

    /// The children, if they count.
    pub(crate) fn inspected(&self, deep: DeepInspection) -> &[TaskHints<'r>] {
        match deep {
            DeepInspection::On => &self.children,
            DeepInspection::Off => &[],
        }
    }

    /// Subjects for `in-toto`, `slsa/v1` and `slsa/v2alpha3`: of all outputs, children first.
    pub(crate) fn subjects_of_outputs(&self, deep: DeepInspection) -> Vec<Subject> {
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
            git: git_of(run, &results),
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

impl<'r> Hints<'r> {
    /// Reads one list of results.
    #[must_use]
    pub fn of(results: &[Param<'r, '_>]) -> Self {
        let mut reader = Reader {
            results,
            outcomes: vec![None; results.len()],
            hints: Self::default(),
        };
        reader.images();
        reader.artifacts();
        reader.inputs();
        reader.git();
        reader.near_misses();
        let Reader {
            outcomes,
            mut hints,
            ..
        } = reader;
        let found = outcomes.into_iter().zip(results).enumerate();
        hints.findings = found
            .filter_map(|(at, (found, result))| {
                let (hint, outcome) = found?;
                Some(Finding {
                    at,
                    name: result.name,
                    hint,
                    outcome,
                })
            })
            .collect();
        hints
    }
}

/// Reads one list of results, noting what became of each.
struct Reader<'l, 'r, 'a> {
    results: &'l [Param<'r, 'a>],
    /// Which hint each result is, and what became of it.
    outcomes: Vec<Option<(&'static str, Outcome)>>,
    hints: Hints<'r>,
}

/// Two results with the same marker, by position.
struct Pair {
    name: usize,
    digest: usize,
}

impl<'r, 'a> Reader<'_, 'r, 'a> {
    fn images(&mut self) {
        for pair in self.pairs(IMAGE_URL, IMAGE_DIGEST) {
            let text = format!("{}@{}", self.trimmed(pair.name), self.trimmed(pair.digest));
            let outcome = self.image(&text);
            self.note(pair.name, IMAGE_URL, outcome.clone());
            self.note(pair.digest, IMAGE_DIGEST, outcome);
        }
        for (at, result) in self.named(|name| name == IMAGES) {
            let texts = result.text().split([',', '\n']).map(str::trim);
            // What is wrong matters more than what is right. Nothing at all is how a build of a single image leaves it.
            let mut outcome = Outcome::Empty;
            for text in texts.filter(|text| !text.is_empty()) {
                let one = self.image(text);
                if !matches!(outcome, Outcome::Invalid(_)) {
                    outcome = one;
                }
            }
            self.note(at, IMAGES, outcome);
        }
        for (at, result) in self.named(|name| name.ends_with(ARTIFACT_OUTPUTS)) {
            let Ok(Some((uri, digest, true))) = output(&result) else {
                continue;
            };
            let image = self.image(&format!("{uri}@{digest}"));
            if let Outcome::Invalid(why) = image {
                let outcome = Outcome::Ignored(format!("gets no image signature: {why}"));
                self.note(at, ARTIFACT_OUTPUTS, outcome);
            }
        }
        let mut known = HashSet::with_capacity(self.hints.images.len());
        let is_new: Vec<bool> = self
            .hints
            .images
            .iter()
            .map(|image| known.insert(image))
            .collect();
        let mut is_new = is_new.into_iter();
        self.hints.images.retain(|_| is_new.next() == Some(true));
    }

    fn image(&mut self, text: &str) -> Outcome {
        match DigestRef::parse(text) {
            Ok(image) => {
                self.hints.images.push(image);
                Outcome::Used
            }
            Err(error) => Outcome::Invalid(explain(&error)),
        }
    }

    fn artifacts(&mut self) {
        for pair in self.pairs(ARTIFACT_URI, ARTIFACT_DIGEST) {
            let (uri, digest) = (self.trimmed(pair.name), self.trimmed(pair.digest));
            let outcome = match parse_digest(digest) {
                Ok(_) => {
                    self.hints.artifacts.push(Artifact::as_written(uri, digest));
                    Outcome::Used
                }
                Err(error) => Outcome::Invalid(error.to_string()),
            };
            self.note(pair.name, ARTIFACT_URI, outcome.clone());
            self.note(pair.digest, ARTIFACT_DIGEST, outcome);
        }
        for (at, result) in self.named(|name| name.ends_with(ARTIFACT_OUTPUTS)) {
            let outcome = match output(&result) {
                Ok(Some((uri, digest, is_build_artifact))) => {
                    self.hints.outputs.push(Output {
                        artifact: Artifact::as_written(uri, digest),
                        is_build_artifact,
                    });
                    Outcome::Used
                }
                Ok(None) => Outcome::Invalid(WANTED_OBJECT.to_owned()),
                Err(error) => Outcome::Invalid(error.to_string()),
            };
            self.note(at, ARTIFACT_OUTPUTS, outcome);
        }
    }

    fn inputs(&mut self) {
        for (at, result) in self.named(|name| name.ends_with(ARTIFACT_INPUTS)) {
            let found = result
                .value
                .and_then(ParamValue::as_object)
                .and_then(uri_and_digest);
            let outcome = match found.map(|(uri, digest)| (uri, parse_digest(digest))) {
                Some((uri, Ok((algorithm, hex)))) => {
                    self.hints.inputs.push(Artifact::new(uri, algorithm, hex));
                    Outcome::Used
                }
                Some((_, Err(error))) => Outcome::Invalid(error.to_string()),
                None => Outcome::Invalid(WANTED_OBJECT.to_owned()),
            };
            self.note(at, ARTIFACT_INPUTS, outcome);
        }
    }

    fn git(&mut self) {
        let mut source = GitSource::default();
        for (at, result) in self.named(|name| name == GIT_URL || name == GIT_COMMIT) {
            let hint = if result.name == GIT_URL {
                GIT_URL
            } else {
                GIT_COMMIT
            };
            let outcome = if result.text().is_empty() {
                Outcome::Invalid("its value is no text, or empty".to_owned())
            } else {
                Outcome::Used
            };
            self.note(at, hint, outcome);
            source.set(result.name, result.text());
        }
        self.hints.git = source.of_task();
    }

    /// Names that are a hint's but for case, a dash, or a letter or two.
    fn near_misses(&mut self) {
        for (at, result) in self.results.iter().enumerate() {
            if self.outcomes[at].is_some() {
                continue;
            }
            if let Some(hint) = nearly(result.name) {
                let why = format!("is no hint: it is nearly {hint}");
                self.note(at, hint, Outcome::Ignored(why));
            }
        }
    }

    fn named(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<(usize, Param<'r, 'a>)> {
        let all = self.results.iter().enumerate();
        all.filter(|(_, result)| is_wanted(result.name))
            .map(|(at, result)| (at, *result))
            .collect()
    }

    fn trimmed(&self, at: usize) -> &'r str {
        self.results[at].value.map_or("", |v| v.as_text().trim())
    }

    fn note(&mut self, at: usize, hint: &'static str, outcome: Outcome) {
        // A reason that stands already is not overwritten by a use: a build artifact may be a Subject and yet no image.
        let known = &mut self.outcomes[at];
        if outcome != Outcome::Used || known.is_none() {
            *known = Some((hint, outcome));
        }
    }

    /// Results `<marker>NAME` and `<marker>DIGEST` with the same marker. A marker seen again overrides.
    fn pairs(&mut self, name_suffix: &'static str, digest_suffix: &'static str) -> Vec<Pair> {
        let results = self.results;
        let mut markers: Vec<(&str, Option<usize>, Option<usize>)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (at, result) in results.iter().enumerate() {
            let by_name = result.name.strip_suffix(name_suffix);
            let by_digest = result.name.strip_suffix(digest_suffix);
            let Some(marker) = by_name.or(by_digest) else {
                continue;
            };
            let hint = if by_name.is_some() {
                name_suffix
            } else {
                digest_suffix
            };
            if self.trimmed(at).is_empty() {
                let why = "has no value, or one that is no text".to_owned();
                self.note(at, hint, Outcome::Ignored(why));
                continue;
            }
            let slot = *known.entry(marker).or_insert_with(|| {
                markers.push((marker, None, None));
                markers.len() - 1
            });
            let slot = match by_name {
                Some(_) => &mut markers[slot].1,
                None => &mut markers[slot].2,
            };
            if let Some(earlier) = slot.replace(at) {
                let why = format!("a later result {} counts", result.name);
                self.note(earlier, hint, Outcome::Ignored(why));
            }
        }
        let mut found = Vec::new();
        for (marker, name, digest) in markers {
            let (alone, hint, missing) = match (name, digest) {
                (Some(name), Some(digest)) => {
                    found.push(Pair { name, digest });
                    continue;
                }
                (Some(only), None) => (only, name_suffix, digest_suffix),
                (None, Some(only)) => (only, digest_suffix, name_suffix),
                (None, None) => continue,
            };
            let why = format!("is alone: there is no result {marker}{missing} with a value");
            self.note(alone, hint, Outcome::Ignored(why));
        }
        found
    }
}

const WANTED_OBJECT: &str = "is not an object with non-empty uri and digest";

/// What an `ARTIFACT_OUTPUTS` result names: uri, digest, and whether it was built. `None` if it lacks a part.
fn output<'v>(result: &Param<'v, '_>) -> Result<Option<(&'v str, &'v str, bool)>, DigestError> {
    let Some(map) = result.value.and_then(ParamValue::as_object) else {
        return Ok(None);
    };
    let Some((uri, digest)) = uri_and_digest(map) else {
        return Ok(None);
    };
    parse_digest(digest)?;
    Ok(Some((uri, digest, is_build_artifact(map))))
}

fn is_build_artifact(map: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> bool {
    map.get(IS_BUILD_ARTIFACT).is_some_and(|v| v == "true")
}

fn uri_and_digest<'v>(map: &'v BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> Option<(&'v str, &'v str)> {
    let part = |key| {
        map.get(key)
            .map(Cow::as_ref)
            .filter(|v: &&str| !v.is_empty())
    };
    Some((part("uri")?, part("digest")?))
}

/// The source repository as it is gathered: URL and commit override each on their own.
#[derive(Clone, Copy, Debug, Default)]
struct GitSource<'v> {
    url: &'v str,
    commit: &'v str,
}

impl<'v> GitSource<'v> {
    fn set(&mut self, name: &str, text: &'v str) {
        match name {
            GIT_URL => self.url = text,
            GIT_COMMIT => self.commit = text,
            _ => {}
        }
    }

    /// For a TaskRun or a step. The commit is not checked, and a missing URL gives `git+.git`: that is what Chains does, and the bytes
    /// are the contract.
    fn of_task(self) -> Option<Artifact> {
        if self.commit.is_empty() {
            return None;
        }
        let prefix = if self.url.starts_with("git+") {
            ""
        } else {
            "git+"
        };
        let suffix = if self.url.ends_with(".git") {
            ""
        } else {
            ".git"
        };
        let uri = format!("{prefix}{}{suffix}", self.url);
        Some(Artifact::new(
            &uri,
            "sha1".to_owned(),
            self.commit.to_owned(),
        ))
    }

    /// For a PipelineRun, where both must be there.
    fn of_pipeline(self) -> Option<Artifact> {
        self.of_task().filter(|_| !self.url.is_empty())
    }
}

/// Defaults, then parameters, then results; the later wins.
fn git_of(run: &Run<'_>, results: &[Param<'_, '_>]) -> Option<Artifact> {
    let mut source = GitSource::default();
    for param in run.param_defaults().chain(run.params()) {
        source.set(param.name, param.text());
    }
    for result in results {
        source.set(result.name, result.text());
    }
    match run.kind() {
        RunKind::TaskRun => source.of_task(),
        RunKind::PipelineRun => source.of_pipeline(),
    }
}

/// The hint whose name this nearly is: but for case, dashes and dots, or a letter or two.
#[must_use]
pub fn nearly(name: &str) -> Option<&'static str> {
    if name.len() > 128 {
        return None;
    }
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
        .flat_map(char::to_uppercase)
        .collect();
    let whole = || WHOLE.into_iter().find(|(text, _)| plain == *text);
    SUFFIXES
        .into_iter()
        .find(|(text, _)| plain.ends_with(text))
        .or_else(whole)
        .map(|(_, hint)| hint)
}

/// Ends of names that are a hint's, or that someone may think to be; in upper case and without separators.
const SUFFIXES: [(&str, &str); 14] = [
    ("IMAGEURL", IMAGE_URL),
    ("IMAGEDIGEST", IMAGE_DIGEST),
    ("ARTIFACTURI", ARTIFACT_URI),
    ("ARTIFACTDIGEST", ARTIFACT_DIGEST),
    ("ARTIFACTINPUTS", ARTIFACT_INPUTS),
    ("ARTIFACTOUTPUTS", ARTIFACT_OUTPUTS),
    ("IMAGEURI", IMAGE_URL),
    ("IMAGEREF", IMAGE_URL),
    ("IMAGESHA", IMAGE_DIGEST),
    ("IMAGESHA256", IMAGE_DIGEST),
    ("ARTIFACTURL", ARTIFACT_URI),
    ("ARTIFACTINPUT", ARTIFACT_INPUTS),
    ("ARTIFACTOUTPUT", ARTIFACT_OUTPUTS),
    ("CHAINSGITREVISION", GIT_COMMIT),
];

/// The same for hints that are no ends of names.
const WHOLE: [(&str, &str); 3] = [
    ("IMAGES", IMAGES),
    ("CHAINSGITURL", GIT_URL),
    ("CHAINSGITCOMMIT", GIT_COMMIT),
];

fn explain(error: &reference::Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
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
