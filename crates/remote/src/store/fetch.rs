//! Reads signatures and attestations back: one GET for the manifest and one for each distinct layer; of referrers, one for each manifest.
//!
//! Layers come from cosign's tags ([`Layers::open`]) and from what names the image as its subject ([`Layers::referring`]): Sigstore bundles, and
//! signatures in the layout of the tags (cosign's «OCI 1.1 mode»). One bad layer does not hide the others, and no registry makes us keep more than
//! a fixed amount of memory. Nothing that comes from here is verified.

mod referring;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use tekseal_core::{Digest, DigestRef, Signed, bundle, cosign, digest};
use tokio::sync::SemaphorePermit;

use crate::Registry;
use crate::registry::Blame;

use super::concurrent::concurrently;
use super::error::Error;
use super::manifest::{self, ImageManifest, Layer, MOST_LAYERS};
use super::source::{Source, Unread};

/// The largest layer that is read, as in cosign.
pub const MOST_LAYER_BYTES: u64 = 128 << 20;
/// All layers of one tag together, and all of the referrers.
pub const MOST_BYTES: u64 = 256 << 20;
/// How many referrers are looked at.
pub const MOST_REFERRERS: usize = 1000;
/// The manifests of all referrers together. Those of a thousand bundles have an eighth of it.
pub const MOST_MANIFEST_BYTES: u64 = 8 << 20;
/// The longest digest of any algorithm: `sha512:` and 128 digits.
const LONGEST_DIGEST: usize = 135;
/// How many layers are read side by side.
const WIDTH: usize = 10;
/// Of manifests under tags that have more, few are in work at once.
const SMALL_MANIFEST: usize = 64 << 10;
/// How much is read ahead of who consumes [`Layers`], unless a single layer is larger.
const AHEAD_BYTES: u64 = 16 << 20;

/// Where something that hangs on an image was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under this tag beside the image.
    Tag(Arc<str>),
    /// In the manifest with this digest, which names the image as its subject.
    Referrer(Arc<str>),
    /// In this file, and in no registry.
    File(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Referrer(digest) => write!(f, "referrer {digest}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// One layer of a `.sig` or `.att` tag, or the bundle of a referrer.
#[derive(Debug)]
pub struct Fetched {
    /// Where it was found.
    pub place: Place,
    /// Its position in the manifest, from 0.
    pub position: usize,
    /// Its digest as the manifest has it; that of the manifest where it could not be read.
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
    /// It was not handed out, or something else in its place.
    #[error("it cannot be read")]
    Unread(#[source] Unread),
    /// The list of referrers names a manifest that is not there.
    #[error("the manifest that the list of referrers names is not there")]
    Absent,
    /// The manifest of a referrer is none that holds signatures.
    #[error("the manifest that names the image as its subject cannot be used")]
    Manifest(#[source] manifest::Error),
    /// A manifest with a bundle has nothing else.
    #[error("a manifest with a Sigstore bundle has one layer, this one has {count}")]
    Bundles {
        /// How many it has.
        count: usize,
    },
    /// With this manifest, those of all referrers together are too large.
    #[error("manifest was not used: those of all referrers together have more than {most} bytes")]
    Manifests {
        /// So many may all of them have.
        most: u64,
    },
    /// With those of this manifest, there are more signatures than readers take.
    #[error(
        "signatures were not looked at: the manifests of all referrers have more than {MOST_LAYERS}"
    )]
    Signatures,
    /// More referrers than are looked at.
    #[error(
        "{count} manifests name the image as their subject, the first {MOST_REFERRERS} were looked at"
    )]
    Referrers {
        /// How many there are.
        count: usize,
    },
}

impl LayerError {
    /// Whether it was not looked at because there is too much: other readers may have other limits.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Size { .. }
            | Self::Total
            | Self::Manifests { .. }
            | Self::Signatures
            | Self::Referrers { .. } => true,
            Self::Digest(_)
            | Self::NoSignature
            | Self::Unread(_)
            | Self::Absent
            | Self::Manifest(_)
            | Self::Bundles { .. } => false,
        }
    }

    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unread(source) => source.blame(),
            Self::Digest(_)
            | Self::NoSignature
            | Self::Size { .. }
            | Self::Total
            | Self::Absent
            | Self::Manifest(_)
            | Self::Bundles { .. }
            | Self::Manifests { .. }
            | Self::Signatures
            | Self::Referrers { .. } => Blame::Artifact,
        }
    }
}

/// The layers of one tag, or of all referrers, read as they are asked for: at most 16 MiB (or one layer) are held at a time.
#[derive(Debug)]
pub struct Layers<'a> {
    source: Source<'a>,
    manifest_digest: Option<Digest>,
    ready: VecDeque<Fetched>,
    waiting: VecDeque<Wanted>,
    left: u64,
    /// Leave to hold what is ready.
    turn: Option<SemaphorePermit<'a>>,
    /// Leave to have a large manifest in work, given back at the end.
    large: Option<SemaphorePermit<'a>>,
}

/// A blob and the layers that consist of it: two keys over one payload are one blob.
#[derive(Debug)]
struct Wanted {
    digest: Digest,
    size: u64,
    layers: Vec<At>,
}

/// A layer, and where it stands.
#[derive(Debug)]
struct At {
    place: Place,
    position: usize,
    layer: Layer,
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
        Self::open_in(Source::of(registry, image), &image.digest, tag).await
    }

    /// The same where the image need not be in a registry. A layout may have several manifests under one tag, whose layers then follow each other.
    ///
    /// # Errors
    /// As [`signatures`].
    pub async fn open_in(
        source: Source<'a>,
        image: &Digest,
        tag: cosign::Tag,
    ) -> Result<Self, Error> {
        let mut layers = Self::none(source);
        let mut all = Vec::new();
        for (name, found) in source.tagged(image, tag).await? {
            // Its layers have thrice its bytes, for as long as they are read.
            if found.bytes.len() > SMALL_MANIFEST && layers.large.is_none() {
                layers.large = source.large().await;
            }
            let manifest = ImageManifest::parse(&found).map_err(|error| Error::Manifest {
                place: source.place(&name),
                source: error,
            })?;
            layers.manifest_digest = Some(found.digest);
            drop(found.bytes);
            let place = Place::Tag(name.into());
            let at = |(position, layer)| At {
                place: place.clone(),
                position,
                layer,
            };
            all.extend(manifest.layers().iter().cloned().enumerate().map(at));
        }
        layers.sort(all);
        Ok(layers)
    }

    fn none(source: Source<'a>) -> Self {
        Self {
            source,
            manifest_digest: None,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            left: MOST_BYTES,
            turn: None,
            large: None,
        }
    }

    fn refuse(&mut self, place: Place, position: usize, mut digest: String, error: LayerError) {
        // Where a digest belongs there may stand a megabyte; its beginning tells which one it is.
        if let Some((end, _)) = digest.char_indices().nth(LONGEST_DIGEST) {
            digest.truncate(end);
        }
        self.ready.push_back(Fetched {
            place,
            position,
            digest,
            signed: Err(error),
        });
    }

    /// Digest of the manifest; nothing if the tag is absent.
    #[must_use]
    pub fn manifest_digest(&self) -> Option<&Digest> {
        self.manifest_digest.as_ref()
    }

    /// Leaves out what has more bytes than `most`, unread.
    pub fn leave_out_larger(&mut self, most: u64) {
        self.waiting.retain(|wanted| wanted.size <= most);
    }

    /// The next layer. Layers of equal content follow each other, and those that cannot be read come first.
    pub async fn next(&mut self) -> Option<Fetched> {
        if self.ready.is_empty() {
            self.read_ahead().await;
        }
        self.ready.pop_front()
    }

    /// Puts aside what need not be asked for, and what there is no room for.
    fn sort(&mut self, found: impl IntoIterator<Item = At>) {
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for at in found {
            match self.admit(&at.layer) {
                Err(error) => {
                    let digest = at.layer.digest().to_owned();
                    self.refuse(at.place, at.position, digest, error);
                }
                Ok(digest) => {
                    let index = *known
                        .entry(at.layer.digest().to_owned())
                        .or_insert_with(|| {
                            self.waiting.push_back(Wanted {
                                digest,
                                size: at.layer.size(),
                                layers: Vec::new(),
                            });
                            self.waiting.len() - 1
                        });
                    self.waiting[index].layers.push(at);
                }
            }
        }
    }

    fn admit(&mut self, layer: &Layer) -> Result<Digest, LayerError> {
        let digest = layer.digest().parse().map_err(LayerError::Digest)?;
        if layer.signature().is_none() && !bundle::is_media_type(layer.media_type()) {
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
        // What was ready is with its consumer, who asks for the next when done with it.
        drop(self.turn.take());
        let (mut batch, mut bytes) = (Vec::new(), 0_u64);
        while let Some(wanted) = self.waiting.front()
            && (batch.is_empty() || (batch.len() < WIDTH && bytes + wanted.held() <= AHEAD_BYTES))
        {
            bytes = bytes.saturating_add(wanted.held());
            batch.extend(self.waiting.pop_front());
        }
        if batch.is_empty() {
            return;
        }
        let source = self.source;
        self.turn = source.layers(bytes).await;
        let reads = batch
            .iter()
            .map(|wanted| source.blob(&wanted.digest, wanted.size));
        let contents = concurrently(WIDTH, reads).await;
        for (wanted, content) in batch.into_iter().zip(contents) {
            self.ready
                .extend(wanted.layers.into_iter().map(|at| Fetched {
                    place: at.place,
                    position: at.position,
                    digest: at.layer.digest().to_owned(),
                    signed: match &content {
                        Ok(content) => Ok(Signed::fetched(
                            at.layer.media_type().to_owned(),
                            content.clone(),
                            at.layer.annotations().clone(),
                        )),
                        Err(error) => Err(LayerError::Unread(error.clone())),
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
