//! What can go wrong between us and a tag beside an image.

use std::time::Duration;

use crate::oci_layout;
use crate::registry::{self, Blame};

use super::manifest;

/// Why something could not be stored, read or listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refused or failed; its error names the operation.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The folder in the place of a registry cannot be used.
    #[error(transparent)]
    Layout(#[from] oci_layout::Error),
    /// There is nothing to append.
    #[error("nothing to store at {place}")]
    Empty {
        /// Repository and tag.
        place: String,
    },
    /// Only bundles refer to images.
    #[error("what refers to {image} is a bundle, and not {media_type}")]
    NoBundle {
        /// The image.
        image: String,
        /// What was to refer to it.
        media_type: String,
    },
    /// There is no image that a bundle could refer to.
    #[error("image {image} does not exist, and nothing can refer to it")]
    NoImage {
        /// The image.
        image: String,
    },
    /// The registry does not say what the image is, which whatever refers to it must name.
    #[error(
        "nothing can refer to image {image}: neither the registry nor its manifest tells its media type"
    )]
    NoMediaType {
        /// The image.
        image: String,
    },
    /// Only signatures and attestations are appended to.
    #[error("{place} is no tag of signatures or attestations")]
    Tag {
        /// Repository and tag.
        place: String,
    },
    /// What is under the tag cannot be used, or cannot take more. It was left as it is.
    #[error("the manifest at {place} cannot be used")]
    Manifest {
        /// Repository and tag.
        place: String,
        /// What is wrong with it.
        source: manifest::Error,
    },
    /// It was written, but whether it stayed could not be seen.
    #[error("what was written to {place} could not be read back")]
    Unconfirmed {
        /// Repository and tag.
        place: String,
        /// Why not.
        source: registry::Error,
    },
    /// Others overwrote the tag again and again.
    #[error("lost against other writers of {place}: {writes} writes in {} seconds", after.as_secs())]
    Lost {
        /// Repository and tag.
        place: String,
        /// How often it was written.
        writes: u32,
        /// For how long it was tried.
        after: Duration,
    },
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Registry(source) | Self::Unconfirmed { source, .. } => source.blame(),
            Self::Layout(source) => source.blame(),
            Self::Empty { .. } | Self::Tag { .. } | Self::NoBundle { .. } => Blame::Setting,
            Self::Manifest { .. } | Self::NoImage { .. } | Self::NoMediaType { .. } => {
                Blame::Artifact
            }
            Self::Lost { .. } => Blame::Outside,
        }
    }

    /// What people can do about it: one sentence, the next action.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(source) => source.hint(),
            Self::Layout(source) => source.hint(),
            Self::Unconfirmed { source, .. } => source.hint().or_else(|| {
                Some("run it again: what is already there is not written a second time".to_owned())
            }),
            Self::Manifest {
                place,
                source: manifest::Error::Entries { .. },
            } => Some(format!(
                "delete what refers to the image and nobody needs, and its entries at {place}"
            )),
            Self::Manifest {
                place,
                source: manifest::Error::Layers { .. } | manifest::Error::Size { .. },
            } => Some(format!(
                "no reader accepts more; remove signatures nobody needs, or delete the tag {place} and sign again"
            )),
            Self::Manifest { place, .. } => Some(format!(
                "look who wrote {place}; delete that tag if nobody needs what it holds"
            )),
            Self::Lost { .. } => Some(
                "another program rewrites this tag all the time; run again when it is done"
                    .to_owned(),
            ),
            Self::NoImage { .. } => {
                Some("push the image first: what refers to it is in its repository".to_owned())
            }
            Self::Empty { .. }
            | Self::Tag { .. }
            | Self::NoBundle { .. }
            | Self::NoMediaType { .. } => None,
        }
    }
}
