//! Why an image cannot be followed to what it lists.

use tekseal_core::excerpt::Excerpt;
use tekseal_core::{Digest, DigestRef, strict_json};

use super::{MOST_DEPTH, MOST_LISTED, MOST_LISTED_BYTES};
use crate::registry::{self, Blame};

/// Why it is not known what an image stands for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refused or failed; its error names the operation.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The image is not there.
    #[error("image {image} does not exist")]
    Absent {
        /// The image.
        image: DigestRef,
    },
    /// Something that an index lists is not there.
    #[error("image {image} does not exist, though an index lists it")]
    ListedAbsent {
        /// What is listed.
        image: DigestRef,
    },
    /// A manifest that cannot be used.
    #[error("image {image} cannot be used")]
    Fault {
        /// The manifest.
        image: DigestRef,
        /// What is wrong with it.
        source: Fault,
    },
}

/// What is wrong with a manifest, or with what it lists.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not JSON, or a known member has an impossible type.
    #[error("it is no well-formed manifest")]
    Json(#[source] serde_json::Error),
    /// Not text.
    #[error("it is no text")]
    Utf8(#[source] std::str::Utf8Error),
    /// Two readers may read it differently.
    #[error("it is not JSON that every reader understands alike")]
    Ambiguous(#[source] strict_json::Error),
    /// JSON, but neither an image nor an index, or both.
    #[error("it is neither an image nor an index")]
    Neither,
    /// It calls itself something that it is not.
    #[error("{0} is not the media type of what it is")]
    Kind(Excerpt),
    /// The registry hands it out as the other one of the two.
    #[error("the registry calls it {said} and it is {is}")]
    Called {
        /// The media type that the registry gives.
        said: &'static str,
        /// Its own.
        is: &'static str,
    },
    /// A descriptor in an index is malformed.
    #[error("entry {position} of the index is malformed")]
    Entry {
        /// Counted from 0.
        position: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something else than images and indexes is listed.
    #[error(
        "entry {position} of the index has the media type {media_type}: only images and indexes are followed"
    )]
    Foreign {
        /// Counted from 0.
        position: usize,
        /// What it is listed as.
        media_type: Excerpt,
    },
    /// An index says two things of one manifest.
    #[error("{digest} is listed more than once, and not alike")]
    Unlike {
        /// The manifest.
        digest: Digest,
    },
    /// It is of another size than the index says.
    #[error("it has not the {said} bytes that the index says")]
    Size {
        /// What the index says.
        said: u64,
    },
    /// It is something else than the index says.
    #[error("it is listed as {said} and is {is}")]
    Disguised {
        /// The media type in the index.
        said: &'static str,
        /// Its own.
        is: &'static str,
    },
    /// More manifests than are followed.
    #[error("with it, more than {MOST_LISTED} manifests are listed")]
    Many,
    /// Indexes that are too deep in one another.
    #[error("it lists indexes that lie in one another, more than {MOST_DEPTH} deep")]
    Deep,
    /// More bytes than are read.
    #[error("with what it lists, all manifests together have more than {MOST_LISTED_BYTES} bytes")]
    Bytes,
}

impl Error {
    pub(super) fn of(image: &DigestRef, source: Fault) -> Self {
        Self::Fault {
            image: image.clone(),
            source,
        }
    }

    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Registry(source) => source.blame(),
            Self::Absent { .. } | Self::ListedAbsent { .. } | Self::Fault { .. } => Blame::Artifact,
        }
    }

    /// What people can do about it: one sentence, the next action.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Registry(source) => return source.hint(),
            Self::Absent { .. } => {
                "push the image first, and look whether something deletes images without tags"
            }
            Self::ListedAbsent { .. } => {
                "whoever copied the index left it out, or something deletes images without tags: copy all of them"
            }
            Self::Fault { .. } => {
                "look who made the index: registries and container runtimes would not agree on it either"
            }
        };
        Some(hint.to_owned())
    }
}
