//! What names an image as its subject: Sigstore bundles, and signatures in the layout of the tags. Whoever may push can make any number of such
//! manifests, as large as the registry takes them, so what is read of all of them together has a limit.

use std::collections::HashSet;

use tekseal_core::{Digest, DigestRef, bundle, cosign};

use crate::Registry;
use crate::registry::MANIFEST_LIMIT;

use super::{At, LayerError, Layers, MOST_MANIFEST_BYTES, MOST_REFERRERS, Place, WIDTH};
use crate::store::concurrent::concurrently;
use crate::store::error::Error;
use crate::store::manifest::{ImageManifest, Layer, MOST_LAYERS};
use crate::store::source::Source;

/// Manifests of referrers that have more are read one by one.
const SMALL_MANIFEST: u64 = 64 << 10;

impl<'a> Layers<'a> {
    /// Reads the manifests that name `image` as their subject, as far as they may hold signatures or bundles; what they say they are decides nothing
    /// but that others, such as SBOMs, are not read.
    ///
    /// # Errors
    /// If the list cannot be read, or is none. What is wrong with single manifests is told in their place.
    pub async fn referring(registry: &'a Registry, image: &'a DigestRef) -> Result<Self, Error> {
        Self::referring_in(Source::of(registry, image), &image.digest).await
    }

    /// The same where the image need not be in a registry.
    ///
    /// # Errors
    /// As [`Self::referring`].
    pub async fn referring_in(source: Source<'a>, image: &Digest) -> Result<Self, Error> {
        Self::referring_within(source, image, MOST_MANIFEST_BYTES).await
    }

    /// The same with so many bytes of manifests at the most, for whoever reads beside others and can do without what does not fit.
    ///
    /// # Errors
    /// As [`Self::referring`].
    pub async fn referring_within(
        source: Source<'a>,
        image: &Digest,
        most: u64,
    ) -> Result<Self, Error> {
        let mut referrers = source.referrers(image).await?;
        let mut known = HashSet::new();
        referrers.retain(|referrer| {
            referrer.may_hold_signatures() && known.insert(referrer.digest.clone())
        });
        drop(known);
        let mut layers = Self::none(source);
        let count = referrers.len();
        if count > MOST_REFERRERS {
            referrers.truncate(MOST_REFERRERS);
            // A list of 4 MiB has fifty times as many.
            referrers.shrink_to_fit();
            let digest = image.to_string();
            layers.refuse(
                Place::Referrer(digest.as_str().into()),
                0,
                digest,
                LayerError::Referrers { count },
            );
        }
        let mut gathered = Gathered {
            most,
            ..Gathered::default()
        };
        let mut large = Vec::new();
        for some in referrers.chunks(WIDTH) {
            let reads = some
                .iter()
                .map(|referrer| manifest_of(source, &referrer.digest, SMALL_MANIFEST));
            for (referrer, read) in some.iter().zip(concurrently(WIDTH, reads).await) {
                match read {
                    Err(error) if error.is_of_size() => large.push(&referrer.digest),
                    read => gathered.take(&mut layers, &referrer.digest, read),
                }
            }
        }
        // What is small comes first, so that nothing large takes its room.
        for digest in large {
            let limit = MANIFEST_LIMIT.min(gathered.room());
            let mut read = manifest_of(source, digest, limit).await;
            if limit < MANIFEST_LIMIT && read.as_ref().is_err_and(LayerError::is_of_size) {
                read = Err(gathered.too_large());
            }
            gathered.take(&mut layers, digest, read);
        }
        layers.sort(gathered.found);
        Ok(layers)
    }
}

/// What the manifests of referrers hold, as far as there is room for it.
#[derive(Default)]
struct Gathered {
    found: Vec<At>,
    /// The most bytes of all manifests.
    most: u64,
    /// Bytes of all manifests that were read.
    bytes: u64,
    /// How many layers are signatures in the layout of the tags.
    signatures: usize,
}

impl Gathered {
    fn room(&self) -> u64 {
        self.most.saturating_sub(self.bytes)
    }

    const fn too_large(&self) -> LayerError {
        LayerError::Manifests { most: self.most }
    }

    /// Takes the layers of the manifest with this digest, or tells in `layers` why not.
    fn take(
        &mut self,
        layers: &mut Layers<'_>,
        digest: &str,
        read: Result<(ImageManifest, u64), LayerError>,
    ) {
        let place = Place::Referrer(digest.into());
        match read.and_then(|(manifest, size)| self.admit(manifest, size)) {
            Ok(layers) => {
                let at = |(position, layer)| At {
                    place: place.clone(),
                    position,
                    layer,
                };
                self.found.extend(layers.into_iter().enumerate().map(at));
            }
            Err(error) => layers.refuse(place, 0, digest.to_owned(), error),
        }
    }

    fn admit(&mut self, manifest: ImageManifest, size: u64) -> Result<Vec<Layer>, LayerError> {
        if size > self.room() {
            return Err(self.too_large());
        }
        self.bytes += size;
        let layers = layers_of_interest(manifest)?;
        let is_signature = |layer: &&Layer| !bundle::is_media_type(layer.media_type());
        let signatures = self.signatures + layers.iter().filter(is_signature).count();
        if signatures > MOST_LAYERS {
            return Err(LayerError::Signatures);
        }
        self.signatures = signatures;
        Ok(layers)
    }
}

/// The manifest of a referrer, of at most `limit` bytes, and how many it has.
async fn manifest_of(
    source: Source<'_>,
    digest: &str,
    limit: u64,
) -> Result<(ImageManifest, u64), LayerError> {
    let digest = digest.parse().map_err(LayerError::Digest)?;
    let found = source
        .manifest(&digest, limit)
        .await
        .map_err(LayerError::Unread)?
        .ok_or(LayerError::Absent)?;
    let manifest = ImageManifest::parse(&found).map_err(LayerError::Manifest)?;
    Ok((manifest, found.bytes.len() as u64))
}

/// The bundle of the manifest, or its signatures; nothing where it holds something else.
fn layers_of_interest(manifest: ImageManifest) -> Result<Vec<Layer>, LayerError> {
    let layers = manifest.layers();
    if layers
        .iter()
        .any(|layer| bundle::is_media_type(layer.media_type()))
    {
        let count = layers.len();
        if count != 1 {
            return Err(LayerError::Bundles { count });
        }
        return Ok(layers.to_vec());
    }
    let is_signature = |layer: &&Layer| layer.media_type() == cosign::SIMPLE_SIGNING_MEDIA_TYPE;
    Ok(layers.iter().filter(is_signature).cloned().collect())
}

impl LayerError {
    /// Whether it was larger than what was asked for.
    fn is_of_size(&self) -> bool {
        matches!(self, Self::Unread(source) if source.is_of_size())
    }
}
