//! Lists what hangs on an image: cosign's tags and the referrers, as data. Drawing is done elsewhere.
//!
//! Nothing in it is verified: annotations and artifact types are what somebody wrote.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tekseal_core::{Digest, DigestRef, bundle, cosign};

use crate::Registry;
use crate::registry::{Manifest, Reference};

use super::error::Error;
use super::manifest::{self, ImageManifest, is_index, null_is_default};
use super::place;
use super::referrer::EMPTY_CONFIG;

/// Annotation with the RFC 3161 time stamp of a layer.
const TIMESTAMP_ANNOTATION: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// An image and what hangs on it.
#[derive(Debug)]
pub struct Tree {
    /// What the image itself is.
    pub image: Image,
    /// Cosign's tags that are there: signatures, attestations, SBOMs, in this order.
    pub tags: Vec<Attached>,
    /// Where the referrers were listed.
    pub source: ReferrersSource,
    /// What names the image as its subject.
    pub referrers: Vec<Referrer>,
}

/// What an image is.
#[derive(Debug)]
pub enum Image {
    /// The repository has no such manifest; signatures may hang on it all the same.
    Absent,
    /// One image.
    Manifest {
        /// Media type.
        media_type: String,
    },
    /// Several images, one for each platform.
    Index {
        /// Media type.
        media_type: String,
        /// The images.
        platforms: Vec<Platform>,
    },
}

/// One image of an index.
#[derive(Debug, PartialEq, Eq)]
pub struct Platform {
    /// Digest of the image as the index has it.
    pub digest: String,
    /// `os/architecture[/variant]`, if the index says.
    pub platform: Option<String>,
}

/// One of cosign's tags beside an image.
#[derive(Debug)]
pub struct Attached {
    /// Which of them.
    pub kind: cosign::Tag,
    /// Its name.
    pub tag: String,
    /// Digest of the manifest under it.
    pub manifest_digest: Digest,
    /// Its layers, or why they cannot be told.
    pub layers: Result<Vec<AttachedLayer>, manifest::Error>,
}

/// One signature, attestation or SBOM.
#[derive(Debug, PartialEq, Eq)]
pub struct AttachedLayer {
    /// Digest of the content.
    pub digest: String,
    /// Media type of the content.
    pub media_type: String,
    /// Size of the content.
    pub size: u64,
    /// The predicate type it claims to have.
    pub predicate_type: Option<String>,
    /// The signature in an annotation, as it is written there. Two keys, or one that signs at random, give equal content two of them.
    pub signature: Option<String>,
    /// Whether it brings a certificate.
    pub has_certificate: bool,
    /// Whether it brings an entry of a transparency log.
    pub has_log_entry: bool,
    /// Whether it brings a time stamp.
    pub has_timestamp: bool,
}

/// How referrers were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferrersSource {
    /// The registry lists them.
    Api,
    /// The registry has no such list; clients keep an index under the tag `sha256-<hex>`.
    FallbackTag,
    /// Neither is there.
    Nowhere,
}

/// A manifest that names the image as its subject.
#[derive(Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its digest.
    pub digest: String,
    /// Media type of the manifest.
    pub media_type: String,
    /// Size of the manifest.
    pub size: u64,
    /// What it claims to be.
    pub artifact_type: Option<String>,
    /// What else it says.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    manifests: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Child {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    size: u64,
    digest: String,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    platform: Option<PlatformRead>,
}

#[derive(Deserialize)]
struct PlatformRead {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

/// What hangs on `image`: six requests at most.
///
/// # Errors
/// What the registry refuses, and an image or a list of referrers that is none. A tag that holds something else is told in
/// the tree.
pub async fn tree(registry: &Registry, image: &DigestRef) -> Result<Tree, Error> {
    let (own, signatures, attestations, sbom, referrers) = tokio::join!(
        registry.get_manifest(&image.repository, Reference::Digest(&image.digest)),
        attached(registry, image, cosign::Tag::Signatures),
        attached(registry, image, cosign::Tag::Attestations),
        attached(registry, image, cosign::Tag::Sbom),
        referrers(registry, image),
    );
    let own = match own? {
        None => Image::Absent,
        Some(found) => {
            let of_image = |source| Error::Manifest {
                place: image.to_string(),
                source,
            };
            Image::read(found).map_err(of_image)?
        }
    };
    let (source, referrers) = referrers?;
    let tags = [signatures?, attestations?, sbom?]
        .into_iter()
        .flatten()
        .collect();
    Ok(Tree {
        image: own,
        tags,
        source,
        referrers,
    })
}

async fn attached(
    registry: &Registry,
    image: &DigestRef,
    kind: cosign::Tag,
) -> Result<Option<Attached>, Error> {
    let tag = kind.of(&image.digest);
    let Some(found) = registry
        .get_manifest(&image.repository, Reference::Tag(&tag))
        .await?
    else {
        return Ok(None);
    };
    let layers = ImageManifest::parse(&found)
        .map(|manifest| manifest.layers().iter().map(AttachedLayer::of).collect());
    Ok(Some(Attached {
        kind,
        tag,
        manifest_digest: found.digest,
        layers,
    }))
}

/// What names the image as its subject: the registry's own list, else the index that clients keep.
///
/// # Errors
/// What the registry refuses, and a list that is none.
pub async fn referrers(
    registry: &Registry,
    image: &DigestRef,
) -> Result<(ReferrersSource, Vec<Referrer>), Error> {
    if let Some(bytes) = registry.referrers(&image.repository, &image.digest).await? {
        let place = format!("the referrers of {image}");
        let listed = Referrer::list(&bytes);
        let listed = listed.map_err(|source| Error::Manifest { place, source })?;
        return Ok((ReferrersSource::Api, listed));
    }
    let tag = cosign::Tag::Referrers;
    let name = tag.of(&image.digest);
    let Some(found) = registry
        .get_manifest(&image.repository, Reference::Tag(&name))
        .await?
    else {
        return Ok((ReferrersSource::Nowhere, Vec::new()));
    };
    let listed = Referrer::list(&found.bytes).map_err(|source| Error::Manifest {
        place: place(image, tag),
        source,
    })?;
    Ok((ReferrersSource::FallbackTag, listed))
}

fn children(bytes: &[u8]) -> Result<Vec<Child>, manifest::Error> {
    let index: Index<'_> = manifest::object(bytes).map_err(manifest::Error::Json)?;
    let parse = |(position, text): (usize, &&RawValue)| {
        manifest::object(text.get().as_bytes())
            .map_err(|source| manifest::Error::Layer { position, source })
    };
    index.manifests.iter().enumerate().map(parse).collect()
}

impl Image {
    fn read(found: Manifest) -> Result<Self, manifest::Error> {
        let index: Index<'_> =
            serde_json::from_slice(&found.bytes).map_err(manifest::Error::Json)?;
        let media_type = index.media_type.unwrap_or(found.media_type);
        if !is_index(&media_type) {
            return Ok(Self::Manifest { media_type });
        }
        let platforms = children(&found.bytes)?.into_iter().map(|child| Platform {
            digest: child.digest,
            platform: child.platform.map(|platform| platform.text()),
        });
        Ok(Self::Index {
            media_type,
            platforms: platforms.collect(),
        })
    }
}

impl PlatformRead {
    fn text(self) -> String {
        let variant = self.variant.filter(|variant| !variant.is_empty());
        [Some(self.os), Some(self.architecture), variant]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("/")
    }
}

impl AttachedLayer {
    fn of(layer: &manifest::Layer) -> Self {
        Self {
            digest: layer.digest().to_owned(),
            media_type: layer.media_type().to_owned(),
            size: layer.size(),
            predicate_type: layer
                .proof(cosign::PREDICATE_TYPE_ANNOTATION)
                .map(str::to_owned),
            signature: layer
                .signature()
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            has_certificate: layer.proof(cosign::CERTIFICATE_ANNOTATION).is_some(),
            has_log_entry: layer.proof(cosign::BUNDLE_ANNOTATION).is_some(),
            has_timestamp: layer.proof(TIMESTAMP_ANNOTATION).is_some(),
        }
    }
}

impl Referrer {
    /// Those in a list, the index that a registry gives or that clients keep.
    ///
    /// # Errors
    /// If it is none.
    pub fn list(index: &[u8]) -> Result<Vec<Self>, manifest::Error> {
        Ok(children(index)?.into_iter().map(Self::of).collect())
    }

    /// Whether it may be a bundle or a signature. Some registries report the media type of the configuration as what it is, and indexes that clients
    /// keep may say nothing.
    #[must_use]
    pub fn may_hold_signatures(&self) -> bool {
        let is_manifest = matches!(
            self.media_type.as_str(),
            "" | manifest::OCI_MANIFEST | manifest::DOCKER_MANIFEST
        );
        is_manifest
            && match self.artifact_type.as_deref() {
                None | Some("" | EMPTY_CONFIG | cosign::SIGNATURE_ARTIFACT) => true,
                Some(kind) => bundle::is_media_type(kind),
            }
    }

    fn of(child: Child) -> Self {
        Self {
            digest: child.digest,
            media_type: child.media_type,
            size: child.size,
            artifact_type: child.artifact_type,
            annotations: child.annotations,
        }
    }
}
