//! Reads signatures and attestations back: one GET for the manifest and one for each distinct layer.
//!
//! One bad layer does not hide the others, and no registry makes us keep more than a fixed amount of memory. Nothing that
//! comes from here is verified.

use std::collections::{BTreeMap, VecDeque};

use tekseal_core::{Digest, DigestRef, Signed, cosign, digest};

use crate::Registry;
use crate::registry::{self, Blame, Reference};

use super::concurrent::concurrently;
use super::error::Error;
use super::manifest::{ImageManifest, Layer};
use super::place;

/// The largest layer that is read, as in cosign.
pub const MOST_LAYER_BYTES: u64 = 128 << 20;
/// All layers of one tag together.
pub const MOST_BYTES: u64 = 256 << 20;
/// How many layers are read side by side.
const WIDTH: usize = 10;
/// How much is read ahead of who consumes [`Layers`], unless a single layer is larger.
const AHEAD_BYTES: u64 = 16 << 20;

/// One layer of a `.sig` or `.att` tag.
#[derive(Debug)]
pub struct Fetched {
    /// Its position in the manifest, from 0.
    pub position: usize,
    /// Its digest as the manifest has it.
    pub digest: String,
    /// Its content, or why there is none. Nothing of it is verified.
    pub signed: Result<Signed, LayerError>,
}

/// Why one layer cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The descriptor's digest is none.
    #[error("the digest of a layer is malformed")]
    Digest(#[source] digest::Error),
    /// Every reader of cosign's layout wants this annotation, also where it is empty.
    #[error("layer has no annotation {}", cosign::SIGNATURE_ANNOTATION)]
    NoSignature,
    /// The layer alone is too large.
    #[error("layer has {size} bytes, more than {MOST_LAYER_BYTES}")]
    Size {
        /// What the manifest says.
        size: u64,
    },
    /// With this layer, all together are too large.
    #[error("layer was not read: all layers together have more than {MOST_BYTES} bytes")]
    Total,
    /// The registry did not hand it out, or something else in its place.
    #[error("layer cannot be read")]
    Registry(#[source] std::sync::Arc<registry::Error>),
}

impl LayerError {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Registry(source) => source.blame(),
            Self::Digest(_) | Self::NoSignature | Self::Size { .. } | Self::Total => {
                Blame::Artifact
            }
        }
    }
}

/// The layers of one tag, read as they are asked for: at most 16 MiB (or one layer) are held at a time.
#[derive(Debug)]
pub struct Layers<'a> {
    registry: &'a Registry,
    image: &'a DigestRef,
    manifest_digest: Option<Digest>,
    ready: VecDeque<Fetched>,
    waiting: VecDeque<Wanted>,
    left: u64,
}

/// A blob and the layers that consist of it: two keys over one payload are one blob.
#[derive(Debug)]
struct Wanted {
    digest: Digest,
    size: u64,
    layers: Vec<(usize, Layer)>,
}

/// The signatures of `image`, in their order; none if the tag is absent.
///
/// # Errors
/// If the tag cannot be read or holds something else. What is wrong with single layers is in them.
pub async fn signatures(registry: &Registry, image: &DigestRef) -> Result<Vec<Fetched>, Error> {
    all(registry, image, cosign::Tag::Signatures).await
}

/// The attestations of `image`, in their order; none if the tag is absent. All are held in memory; [`Layers`] does without.
///
/// # Errors
/// As [`signatures`].
pub async fn attestations(registry: &Registry, image: &DigestRef) -> Result<Vec<Fetched>, Error> {
    all(registry, image, cosign::Tag::Attestations).await
}

async fn all(
    registry: &Registry,
    image: &DigestRef,
    tag: cosign::Tag,
) -> Result<Vec<Fetched>, Error> {
    let mut layers = Layers::open(registry, image, tag).await?;
    let mut all = Vec::new();
    while let Some(layer) = layers.next().await {
        all.push(layer);
    }
    all.sort_by_key(|fetched| fetched.position);
    Ok(all)
}

impl<'a> Layers<'a> {
    /// Reads the manifest under `tag` beside `image`.
    ///
    /// # Errors
    /// As [`signatures`].
    pub async fn open(
        registry: &'a Registry,
        image: &'a DigestRef,
        tag: cosign::Tag,
    ) -> Result<Self, Error> {
        let mut layers = Self {
            registry,
            image,
            manifest_digest: None,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            left: MOST_BYTES,
        };
        let name = tag.of(&image.digest);
        let Some(found) = registry
            .get_manifest(&image.repository, Reference::Tag(&name))
            .await?
        else {
            return Ok(layers);
        };
        let manifest = ImageManifest::parse(&found).map_err(|source| Error::Manifest {
            place: place(image, tag),
            source,
        })?;
        layers.manifest_digest = Some(found.digest);
        layers.sort(&manifest);
        Ok(layers)
    }

    /// Digest of the manifest; nothing if the tag is absent.
    #[must_use]
    pub fn manifest_digest(&self) -> Option<&Digest> {
        self.manifest_digest.as_ref()
    }

    /// The next layer. Layers of equal content follow each other, and those that cannot be read come first.
    pub async fn next(&mut self) -> Option<Fetched> {
        if self.ready.is_empty() {
            self.read_ahead().await;
        }
        self.ready.pop_front()
    }

    /// Puts aside what need not be asked for, and what there is no room for.
    fn sort(&mut self, manifest: &ImageManifest) {
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for (position, layer) in manifest.layers().iter().enumerate() {
            match self.admit(layer) {
                Err(error) => {
                    self.ready.push_back(Fetched {
                        position,
                        digest: layer.digest().to_owned(),
                        signed: Err(error),
                    });
                }
                Ok(digest) => {
                    let at = *known.entry(layer.digest().to_owned()).or_insert_with(|| {
                        self.waiting.push_back(Wanted {
                            digest,
                            size: layer.size(),
                            layers: Vec::new(),
                        });
                        self.waiting.len() - 1
                    });
                    self.waiting[at].layers.push((position, layer.clone()));
                }
            }
        }
    }

    fn admit(&mut self, layer: &Layer) -> Result<Digest, LayerError> {
        let digest = layer.digest().parse().map_err(LayerError::Digest)?;
        if layer.signature().is_none() {
            return Err(LayerError::NoSignature);
        }
        let size = layer.size();
        if size > MOST_LAYER_BYTES {
            return Err(LayerError::Size { size });
        }
        self.left = self.left.checked_sub(size).ok_or(LayerError::Total)?;
        Ok(digest)
    }

    async fn read_ahead(&mut self) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(wanted) = self.waiting.front()
            && (batch.is_empty() || (batch.len() < WIDTH && bytes + wanted.held() <= AHEAD_BYTES))
        {
            bytes += wanted.held();
            batch.extend(self.waiting.pop_front());
        }
        let reads = batch.iter().map(|wanted| {
            self.registry
                .get_blob(&self.image.repository, &wanted.digest, wanted.size)
        });
        let contents = concurrently(WIDTH, reads).await;
        for (wanted, content) in batch.into_iter().zip(contents) {
            let content = content.map_err(std::sync::Arc::new);
            self.ready
                .extend(wanted.layers.into_iter().map(|(position, layer)| Fetched {
                    position,
                    digest: layer.digest().to_owned(),
                    signed: match &content {
                        Ok(content) => Ok(Signed::fetched(
                            layer.media_type().to_owned(),
                            content.clone(),
                            layer.annotations().clone(),
                        )),
                        Err(error) => Err(LayerError::Registry(error.clone())),
                    },
                }));
        }
    }
}

impl Wanted {
    /// How much is held when all its layers are.
    fn held(&self) -> u64 {
        self.size.saturating_mul(self.layers.len() as u64)
    }
}
