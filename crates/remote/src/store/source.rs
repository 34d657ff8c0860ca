//! Where an image lies and what hangs on it: in a repository of a registry, or in an OCI layout.

use std::collections::BTreeMap;
use std::sync::Arc;

use tekseal_core::{Digest, DigestRef, Repository, cosign};
use tokio::sync::SemaphorePermit;

use crate::oci_layout::{self, Fault, OciLayout};
use crate::registry::{self, Blame, Cause, Manifest, Reference, Registry};

use super::error::Error;
use super::tree::{self, Referrer};

/// Where signatures are read from. No source reaches beyond what it names.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A repository.
    Registry(&'a Registry, &'a Repository),
    /// A folder; nothing is connected to.
    Layout(&'a OciLayout),
}

/// Why a blob or a manifest was not read. A copy shares the reason: a thousand layers may be one blob.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unread {
    /// The registry did not hand it out, or something else in its place.
    #[error(transparent)]
    Registry(Arc<registry::Error>),
    /// The folder does not have it, or something else in its place.
    #[error(transparent)]
    Layout(Arc<oci_layout::Error>),
}

impl From<registry::Error> for Unread {
    fn from(error: registry::Error) -> Self {
        Self::Registry(Arc::new(error))
    }
}

impl From<oci_layout::Error> for Unread {
    fn from(error: oci_layout::Error) -> Self {
        Self::Layout(Arc::new(error))
    }
}

impl Unread {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Registry(source) => source.blame(),
            Self::Layout(source) => source.blame(),
        }
    }

    /// Whether it was larger than what was asked for.
    pub(super) fn is_of_size(&self) -> bool {
        match self {
            Self::Registry(source) => matches!(source.cause(), Some(Cause::TooLarge { .. })),
            Self::Layout(source) => matches!(source.fault, Fault::TooLarge { .. }),
        }
    }
}

impl<'a> Source<'a> {
    /// The repository of the image.
    #[must_use]
    pub fn of(registry: &'a Registry, image: &'a DigestRef) -> Self {
        Self::Registry(registry, &image.repository)
    }

    /// What lies under a tag beside the image, with its name; nothing if there is none.
    pub(super) async fn tagged(
        self,
        image: &Digest,
        tag: cosign::Tag,
    ) -> Result<Vec<(String, Manifest)>, Error> {
        match self {
            Self::Registry(registry, repository) => {
                let name = tag.of(image);
                let found = registry
                    .get_manifest(repository, Reference::Tag(&name))
                    .await?;
                Ok(found.map(|found| (name, found)).into_iter().collect())
            }
            Self::Layout(layout) => {
                let found = layout.tagged(image, tag)?.into_iter();
                Ok(found.map(|tagged| (tagged.name, tagged.manifest)).collect())
            }
        }
    }

    /// How what has this tag is called in messages.
    pub(super) fn place(self, tag: &str) -> String {
        match self {
            Self::Registry(_, repository) => format!("{repository}:{tag}"),
            Self::Layout(layout) => format!("oci:{}:{tag}", layout.name()),
        }
    }

    /// What names the image as its subject.
    pub(super) async fn referrers(self, image: &Digest) -> Result<Vec<Referrer>, Error> {
        match self {
            Self::Registry(registry, repository) => {
                let image = repository.at(image.clone());
                Ok(tree::referrers(registry, &image).await?.1)
            }
            Self::Layout(layout) => {
                let found = layout.referring(image)?.into_iter();
                let referrer = |one: oci_layout::Referring| Referrer {
                    digest: one.digest.to_string(),
                    media_type: String::new(),
                    size: one.size,
                    artifact_type: one.artifact_type,
                    annotations: BTreeMap::new(),
                };
                Ok(found.map(referrer).collect())
            }
        }
    }

    /// The manifest with this digest, of at most `limit` bytes; `None` if it is not there.
    pub(super) async fn manifest(
        self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Manifest>, Unread> {
        match self {
            Self::Registry(registry, repository) => Ok(registry
                .get_manifest_within(repository, Reference::Digest(digest), limit)
                .await?),
            Self::Layout(layout) => Ok(layout.manifest(digest, limit)?),
        }
    }

    /// Leave to have a large manifest in work, where that is shared with others.
    pub(super) async fn large(self) -> Option<SemaphorePermit<'a>> {
        match self {
            Self::Registry(registry, _) => Some(registry.large().await),
            Self::Layout(_) => None,
        }
    }

    /// Leave to hold layers of so many bytes, where that is shared with others.
    pub(super) async fn layers(self, bytes: u64) -> Option<SemaphorePermit<'a>> {
        match self {
            Self::Registry(registry, _) => Some(registry.layers(bytes).await),
            Self::Layout(_) => None,
        }
    }

    /// The blob with this digest and size.
    pub(super) async fn blob(self, digest: &Digest, size: u64) -> Result<Vec<u8>, Unread> {
        match self {
            Self::Registry(registry, repository) => {
                Ok(registry.get_blob(repository, digest, size).await?)
            }
            Self::Layout(layout) => Ok(layout.blob(digest, size)?),
        }
    }
}
