//! `--recursive`: which manifests an image stands for, where it is an index of several platforms.
//!
//! What is signed and what is verified are the same manifests: all that `cosign sign --recursive` signs, BuildKit's attestations among them. Those
//! are manifests without a machine that could run them, so nothing is attested of them, and no attestation of them is asked for.

use std::collections::{HashMap, HashSet};

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tekseal_core::{Digest, DigestRef, ImageRef, Payload, PayloadKind, Subject, TaggedImage};
use tekseal_remote::Registry;
use tekseal_remote::store::{self, Kind, Member};

use crate::{Failure, log};

/// How many manifests one call signs or attests.
const MOST_SELECTED: usize = 2048;
/// How many signatures those get with their names.
const MOST_SIGNATURES: usize = 2 * MOST_SELECTED;
/// How many indexes of a run are read side by side.
const WIDTH: usize = 4;

/// Which manifests an image stands for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RecursiveArgs {
    /// Which manifests an index of several platforms stands for: none is the index alone, children is every manifest that it lists, all is both
    #[arg(
        long,
        env = "TEKSEAL_RECURSIVE",
        value_enum,
        default_value = "none",
        value_name = "WHICH"
    )]
    pub(crate) recursive: Recursive,
}

/// Which manifests an image stands for. An image that is no index stands for itself in each case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Recursive {
    /// The image as it is given.
    #[default]
    #[value(name = "none")]
    Itself,
    /// Every manifest that the index lists, and not the index.
    Children,
    /// The index and every manifest that it lists.
    All,
}

/// A manifest that an image stands for.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) image: DigestRef,
    /// What it is; nothing where that was not looked at.
    member: Option<Member>,
}

impl Selected {
    /// Whether it is something of which an attestation could speak.
    pub(crate) fn is_attestable(&self) -> bool {
        let kind = self.member.as_ref().map(|member| member.kind);
        kind != Some(Kind::Attestations)
    }

    /// The platforms for which an index lists it, with commas.
    pub(crate) fn platform(&self) -> Option<String> {
        let platforms = &self.member.as_ref()?.platforms;
        (!platforms.is_empty()).then(|| platforms.join(","))
    }
}

impl Recursive {
    /// The manifests that `image` stands for, the index first. Without recursion nothing is asked.
    ///
    /// # Errors
    /// Exit 1 where the image, or one of those that it lists, is absent or not what it should be, and for an index without children that are to be
    /// taken; else what the registry gives.
    pub(crate) async fn select(
        self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Vec<Selected>, Failure> {
        if self == Self::Itself {
            let image = image.clone();
            let member = None;
            return Ok(vec![Selected { image, member }]);
        }
        let walked = store::walk(registry, image).await?;
        let is_index = walked.itself.kind == Kind::Index;
        if is_index {
            let count = walked.listed.len();
            log::info("read index", &[("image", image), ("manifests", &count)]);
        }
        let takes_itself = self == Self::All || !is_index;
        let itself = takes_itself.then_some(walked.itself);
        let members = itself.into_iter().chain(walked.listed);
        let selected: Vec<Selected> = members
            .map(|member| Selected {
                image: member.image.clone(),
                member: Some(member),
            })
            .collect();
        if selected.is_empty() {
            return Err(Failure::no(anyhow!("index {image} lists nothing")));
        }
        Ok(selected)
    }

    /// [`Self::select`] of those of which an attestation could speak.
    ///
    /// # Errors
    /// As there, and exit 1 where there are none.
    pub(crate) async fn images(
        self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Vec<DigestRef>, Failure> {
        let selected = self.select(registry, image).await?.into_iter();
        let images: Vec<DigestRef> = selected
            .filter(Selected::is_attestable)
            .map(|selected| selected.image)
            .collect();
        if images.is_empty() {
            return Err(nothing_attestable(image));
        }
        Ok(images)
    }

    /// The payloads, where that of an image stands for those of all manifests that it stands for; Statements stay as they are. A name is that of
    /// each: who pulls by it an image of its own platform compares names there. Nothing is asked without recursion.
    ///
    /// # Errors
    /// As [`Self::select`], and exit 1 for too many.
    pub(crate) async fn expand(
        self,
        registry: &Registry,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Payload>, Failure> {
        if self == Self::Itself {
            return Ok(payloads);
        }
        let mut manifests = HashMap::new();
        let mut each = stream::iter(images_of(&payloads))
            .map(|image| async move {
                let selected = self.select(registry, &image).await?;
                Ok::<_, Failure>((image, selected))
            })
            .buffered(WIDTH);
        let mut known = HashSet::new();
        while let Some((image, selected)) = each.try_next().await? {
            known.extend(selected.iter().map(|one| one.image.clone()));
            check_count(known.len())?;
            manifests.insert(image, selected);
        }
        if known.is_empty() {
            log::warn(
                "the run signs no image, so there is no index to follow",
                &[],
            );
        }
        let mut expanded = Vec::with_capacity(payloads.len());
        let mut signed = HashSet::new();
        for payload in payloads {
            let selected = image_of(&payload).and_then(|image| manifests.get(&image));
            let Some(selected) = selected else {
                expanded.push(payload);
                continue;
            };
            let tag = tag_of(&payload);
            for one in selected {
                let named = match &tag {
                    None => Some(Payload::simple_signing(&one.image)),
                    // Nobody pulls what is no image.
                    Some(_) if !one.is_attestable() => None,
                    Some(tag) => named(&one.image, tag),
                };
                expanded.extend(named.filter(|one| signed.insert(Digest::of(one.bytes()))));
            }
            if signed.len() > MOST_SIGNATURES {
                return Err(Failure::no(anyhow!(
                    "the images and their names are more than {MOST_SIGNATURES} signatures together"
                ))
                .hint("name fewer images, or take the indexes alone: --recursive none"));
            }
        }
        Ok(expanded)
    }
}

/// The images that payloads are signatures of, each once, in order.
fn images_of(payloads: &[Payload]) -> Vec<DigestRef> {
    let mut known = HashSet::new();
    let images = payloads.iter().filter_map(image_of);
    images.filter(|image| known.insert(image.clone())).collect()
}

/// The tag of the name that a payload says.
fn tag_of(payload: &Payload) -> Option<String> {
    ImageRef::parse(payload.name()?).ok()?.tag
}

fn named(image: &DigestRef, tag: &str) -> Option<Payload> {
    let tagged = TaggedImage::new(image.clone(), tag).ok()?;
    Some(Payload::simple_signing_as(&tagged))
}

/// Exit 1 for more manifests than one call takes: whoever made the indexes chose how many there are.
///
/// # Errors
/// If there are more than 2,048.
pub(crate) fn check_count(count: usize) -> Result<(), Failure> {
    if count <= MOST_SELECTED {
        return Ok(());
    }
    Err(Failure::no(anyhow!(
        "the images stand for more than {MOST_SELECTED} manifests together"
    ))
    .hint("name fewer images, or take the indexes alone: --recursive none"))
}

/// There is nothing of which an attestation could speak.
pub(crate) fn nothing_attestable(image: &DigestRef) -> Failure {
    Failure::no(anyhow!(
        "index {image} lists nothing but the attestations of BuildKit"
    ))
    .hint("nothing is attested of attestations; --recursive all or none takes the index")
}

/// The image that a simple-signing payload is about.
fn image_of(payload: &Payload) -> Option<DigestRef> {
    match payload.kind() {
        PayloadKind::Statement { .. } => None,
        PayloadKind::SimpleSigning => payload.subjects().first().and_then(Subject::image),
    }
}
