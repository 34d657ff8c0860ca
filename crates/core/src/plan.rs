//! The plan: what is to be signed of a completed run, by whom, and where it goes; or why not.
//!
//! It is the configuration applied to a run. The tools make payloads by it, `tekseal-explain` prints it.
//!
//! ```text
//!   CompletedRun, Observed ─┐
//!   Config ─────────────────┴─▶ Plan { items: [Item { payload, signer, key, places }], left_out: [LeftOut { what, reason }] }
//! ```

use std::collections::HashMap;
use std::fmt;

use crate::config::{
    Artifact as ArtifactConfig, Choice as _, Config, SignerKind, Storage, TagIdentity,
};
use crate::cosign::Tag;
use crate::credential;
use crate::format::{self, Format, Settings};
use crate::hints::{DeepInspection, Hints, Observed};
use crate::payload::Payload;
use crate::reference::{DigestRef, Repository, TaggedImage};
use crate::run::{CompletedRun, RunKind};
use crate::statement::Subject;

/// What is to be done with a run.
#[derive(Debug)]
pub struct Plan {
    /// What is to be signed, in Chains' order: the run in each format, then its images, then their names with tags.
    pub items: Vec<Item>,
    /// What is not, and why.
    pub left_out: Vec<LeftOut>,
}

/// One thing to be signed.
#[derive(Debug)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// The name of its format: `slsa/v1`, …, `simplesigning`.
    pub format: &'static str,
    /// The bytes to sign, or why there are none.
    pub payload: Result<Payload, format::Error>,
    /// Who signs.
    pub signer: SignerKind,
    /// By what key it is known in storages that have names of their own: `taskrun-<uid>`, `pipelinerun-<uid>`, twelve digits of an image.
    pub short_key: String,
    /// The longer form of that: `tekton.dev-v1-TaskRun-<uid>`, or the image.
    pub full_key: String,
    /// Where it goes.
    pub places: Vec<Place>,
}

/// What is attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The run itself.
    Run(RunKind),
    /// An image that its results name.
    Image(DigestRef),
    /// The same under a name with a tag.
    Name(TaggedImage),
}

/// What somebody says in place of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'a> {
    /// The formats, also where the configuration makes nothing of such runs.
    pub formats: Option<&'a [Format]>,
    /// Whether names with tags are signed.
    pub tag_identity: Option<TagIdentity>,
}

/// Where something is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under a tag in a registry.
    Tag {
        /// The repository with the tag.
        repository: Repository,
        /// The tag.
        tag: String,
    },
    /// As a referrer of an image.
    Referrer(DigestRef),
    /// In annotations of the run.
    Annotations {
        /// Key of the annotation with the payload.
        payload: String,
    },
    /// In a storage with names of its own.
    Elsewhere {
        /// Which.
        storage: Storage,
        /// The key there.
        key: String,
    },
    /// Nowhere.
    Nothing {
        /// The storage that was asked for.
        storage: Storage,
        /// Why it takes nothing.
        reason: String,
    },
}

/// Something that is not to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// How many names of one image are signed, and how many of all images of a run: whoever writes results decides how many there are, and readers
/// take so many layers under a tag and no more.
const MOST_NAMES: (usize, usize) = (16, 1024);

/// Why the signature of a name is stored under tags alone.
pub const NO_NAME_IN_BUNDLE: &str =
    "the Statement that a bundle of an image signature is over says no name";

/// Prefix of the annotations that Chains and tekseal write.
pub const ANNOTATION_PREFIX: &str = "chains.tekton.dev/";

impl Plan {
    /// What `config` says is to be done with `run`, where `overrides` say nothing else.
    #[must_use]
    pub fn of(
        run: &CompletedRun<'_>,
        observed: &Observed<'_>,
        config: &Config,
        settings: Settings<'_>,
        overrides: Overrides<'_>,
    ) -> Self {
        let mut plan = Self {
            items: Vec::new(),
            left_out: Vec::new(),
        };
        plan.add_run(run, observed, config, settings, overrides.formats);
        plan.add_images(run, observed, config);
        match overrides.tag_identity.unwrap_or(config.tag_identity()) {
            TagIdentity::Off => {}
            TagIdentity::On => plan.add_names(&observed.own.results, config),
        }
        plan
    }

    fn add_run(
        &mut self,
        run: &CompletedRun<'_>,
        observed: &Observed<'_>,
        config: &Config,
        settings: Settings<'_>,
        formats: Option<&[Format]>,
    ) {
        let artifact = match run.kind() {
            RunKind::TaskRun => config.taskrun(),
            RunKind::PipelineRun => config.pipelinerun(),
        };
        if let Some(reason) =
            why_off(artifact, &type_name(run.kind())).filter(|_| formats.is_none())
        {
            self.leave_out(format!("provenance of the {}", run.kind()), reason);
            return;
        }
        for (at, &format) in formats.unwrap_or(&artifact.formats).iter().enumerate() {
            let payload = format.payload(run, observed, settings);
            let subjects = format.subjects(observed, settings.deep);
            let kind = run.kind();
            let mut short_key = format!("{}-{}", type_name(kind), run.run().uid());
            if at > 0 {
                // Chains knows one format a run. The suffix is short: a name of an annotation has 63 characters at most.
                short_key.push_str(&format!("-{}", at + 1));
            }
            let places = places(config, artifact, &short_key, &subjects, Tag::Attestations);
            self.items.push(Item {
                what: What::Run(kind),
                format: format.name(),
                payload,
                signer: artifact.signer,
                full_key: format!("tekton.dev-v1-{kind}-{}", run.run().uid()),
                short_key,
                places,
            });
        }
    }

    fn add_images(&mut self, run: &CompletedRun<'_>, observed: &Observed<'_>, config: &Config) {
        let images = observed.images(run.kind());
        if run.kind() == RunKind::PipelineRun && !observed.own.results.images.is_empty() {
            let reason = "a PipelineRun's results give no image signatures; the TaskRun that built the image does";
            for image in &observed.own.results.images {
                self.leave_out(format!("signature of image {image}"), reason.to_owned());
            }
        }
        if let Some(reason) = why_off(config.oci(), "oci") {
            for image in images {
                self.leave_out(format!("signature of image {image}"), reason.clone());
            }
            return;
        }
        for image in images {
            let hex = image.digest.hex();
            let short_key = hex.get(..12).unwrap_or(hex).to_owned();
            let subject = [Subject::of_image(image)];
            let places = places(config, config.oci(), &short_key, &subject, Tag::Signatures);
            self.items.push(Item {
                what: What::Image(image.clone()),
                format: "simplesigning",
                payload: Ok(Payload::simple_signing(image)),
                signer: config.oci().signer,
                full_key: image.to_string(),
                short_key,
                places,
            });
        }
    }

    /// The names of the images that are signed, and of no others. They go beside the signatures without them, and nowhere else: only who looks
    /// there compares names.
    fn add_names(&mut self, results: &Hints<'_>, config: &Config) {
        let mut named: HashMap<&DigestRef, usize> = HashMap::new();
        let images = self.items.iter().filter_map(|item| match &item.what {
            What::Image(image) => Some(image.clone()),
            What::Run(_) | What::Name(_) => None,
        });
        let images: Vec<DigestRef> = images.collect();
        named.extend(images.iter().map(|image| (image, 0)));
        if images.is_empty() {
            return;
        }
        let what = || "signatures of images under names with tags".to_owned();
        if let Some(reason) = why_no_names(config) {
            self.leave_out(what(), reason);
            return;
        }
        let mut items = Vec::new();
        let mut too_many = 0;
        for tagged in &results.tagged {
            let Some(count) = named.get_mut(tagged.image()) else {
                continue;
            };
            *count += 1;
            if *count > MOST_NAMES.0 || items.len() == MOST_NAMES.1 {
                too_many += 1;
                continue;
            }
            items.push(name_item(tagged, config));
        }
        let unnamed = images.iter().filter(|image| named[image] == 0);
        let unnamed: Vec<&DigestRef> = unnamed.collect();
        if let Some((first, rest)) = unnamed.split_first() {
            let rest = match rest.len() {
                0 => String::new(),
                count => format!(", and of {count} more,"),
            };
            let what = format!("signature of image {first}{rest} under a name with a tag");
            let reason = "the results give it no tag, or none that may be shown";
            self.leave_out(what, reason.to_owned());
        }
        if too_many > 0 {
            let (each, all) = MOST_NAMES;
            let reason = format!(
                "there are {too_many} names more than {each} of an image and {all} of a run"
            );
            self.leave_out(what(), reason);
        }
        self.items.extend(items);
    }

    fn leave_out(&mut self, what: String, reason: String) {
        self.left_out.push(LeftOut { what, reason });
    }
}

impl Config {
    /// The repository that the configuration names for tags, if it does.
    ///
    /// # Errors
    /// If it is none. What may hold a credential is not shown: a repository has no `@`, and what stands before one is a user or a password.
    pub fn repository(&self) -> Result<Option<Repository>, String> {
        let text = &self.storages().oci.repository;
        if text.is_empty() {
            return Ok(None);
        }
        Repository::parse(text).map(Some).map_err(|error| {
            let what = credential::looks_like("", text);
            let what = what.or_else(|| text.contains('@').then_some("an address with a user"));
            match what {
                Some(what) => format!(
                    "storage.oci.repository (not shown: it looks like {what}) is no repository, wanted HOST/PATH"
                ),
                None => format!("storage.oci.repository: {error}"),
            }
        })
    }

    /// What the configuration says of every Statement about `run`.
    #[must_use]
    pub fn settings<'c>(&'c self, run: &CompletedRun<'_>) -> Settings<'c> {
        Settings {
            builder_id: self.builder_id(run),
            build_type: self.build_type(),
            deep: if self.pipelinerun().deep_inspection {
                DeepInspection::On
            } else {
                DeepInspection::Off
            },
        }
    }
}

fn type_name(kind: RunKind) -> String {
    kind.to_string().to_lowercase()
}

/// Why nothing is made of a type of artifact.
fn why_off(artifact: &ArtifactConfig, name: &str) -> Option<String> {
    if artifact.signer == SignerKind::None {
        return Some(format!("artifacts.{name}.signer is none"));
    }
    artifact
        .storages
        .is_empty()
        .then(|| format!("artifacts.{name}.storage is empty"))
}

/// Why no name is signed, where images are.
fn why_no_names(config: &Config) -> Option<String> {
    if !config.oci().storages.contains(&Storage::Oci) {
        return Some(
            "artifacts.oci.storage has no oci, and only beside an image names are read".to_owned(),
        );
    }
    let has_tags = config.storages().oci.layout.has_tags();
    (!has_tags).then(|| format!("storage.oci.encoding-format has no dsse, and {NO_NAME_IN_BUNDLE}"))
}

fn name_item(tagged: &TaggedImage, config: &Config) -> Item {
    let hex = tagged.image().digest.hex();
    let mut places = Vec::new();
    let subject = [Subject::of_image(tagged.image())];
    in_registry(config, &subject, Tag::Signatures, &mut places);
    places.retain(|place| !matches!(place, Place::Referrer(_)));
    Item {
        what: What::Name(tagged.clone()),
        format: "simplesigning",
        payload: Ok(Payload::simple_signing_as(tagged)),
        signer: config.oci().signer,
        short_key: hex.get(..12).unwrap_or(hex).to_owned(),
        full_key: format!("{}@{}", tagged.name(), tagged.image().digest),
        places,
    }
}

fn places(
    config: &Config,
    artifact: &ArtifactConfig,
    short_key: &str,
    subjects: &[Subject],
    tag: Tag,
) -> Vec<Place> {
    let mut list = Vec::new();
    for &storage in &artifact.storages {
        match storage {
            Storage::Oci => in_registry(config, subjects, tag, &mut list),
            Storage::Tekton => list.push(Place::Annotations {
                payload: format!("{ANNOTATION_PREFIX}payload-{short_key}"),
            }),
            Storage::Kafka => list.push(Place::Nothing {
                storage,
                reason: "no storage of this name exists, in Chains neither".to_owned(),
            }),
            Storage::Archivista | Storage::Docdb | Storage::Gcs | Storage::Grafeas => {
                list.push(Place::Elsewhere {
                    storage,
                    key: short_key.to_owned(),
                });
            }
        }
    }
    list
}

/// Beside each subject that is an image, or in the one repository that the configuration names.
fn in_registry(config: &Config, subjects: &[Subject], tag: Tag, list: &mut Vec<Place>) {
    let storage = Storage::Oci;
    if subjects.is_empty() {
        let reason = "the statement has no subject to store it beside".to_owned();
        list.push(Place::Nothing { storage, reason });
    }
    let one = config.repository();
    for subject in subjects {
        let Some(image) = subject.image() else {
            list.push(Place::Nothing {
                storage,
                reason: format!("subject {} is no image with a sha256 digest", subject.name),
            });
            continue;
        };
        let layout = config.storages().oci.layout;
        if layout.has_bundles() {
            // As Chains does, whatever `storage.oci.repository` says: a subject is in the repository of what refers to it.
            list.push(Place::Referrer(image.clone()));
        }
        if !layout.has_tags() {
            continue;
        }
        list.push(match &one {
            Ok(one) => Place::Tag {
                repository: one.clone().unwrap_or(image.repository),
                tag: tag.of(&image.digest),
            },
            Err(reason) => Place::Nothing {
                storage,
                reason: reason.clone(),
            },
        });
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(kind) => write!(f, "provenance of the {kind}"),
            Self::Image(image) => write!(f, "signature of image {image}"),
            Self::Name(tagged) => write!(
                f,
                "signature of image {} under the name {}",
                tagged.image(),
                tagged.name()
            ),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag { repository, tag } => write!(f, "registry {repository}:{tag}"),
            Self::Referrer(image) => write!(f, "registry, as a referrer of {image}"),
            Self::Annotations { payload } => write!(f, "annotation {payload} of the run"),
            Self::Elsewhere { storage, key } => write!(f, "{} under {key}", storage.name()),
            Self::Nothing { storage, reason } => write!(f, "not in {}: {reason}", storage.name()),
        }
    }
}

#[cfg(test)]
mod tests;
