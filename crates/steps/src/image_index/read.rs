//! Reads the images by digest: what each is, for which platform, and what is in those that are indexes themselves.
//!
//! Indexes are flattened: what they have takes their place, in their order, as `buildah manifest add --all` does. What no machine runs
//! (the attestations of BuildKit, for the platform `unknown/unknown`) stays in the index too, with its annotations: it names its image by a
//! digest that stays the same. Everything here comes from a registry and is treated as hostile: bytes are checked against digests and
//! announced sizes, and no more than a manifest and a configuration of a few images are in memory.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tekseal_core::{Digest, DigestRef};
use tekseal_remote::Registry;
use tekseal_remote::registry::{Manifest, Reference};
use tekseal_remote::store::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

use super::entry::Entry;
use super::platform::Platform;
use super::settings::{Given, MOST_IMAGES};
use crate::Failure;

/// How many images are read side by side.
const WIDTH: usize = 8;
/// How deep indexes may lie in one another.
const MOST_DEPTH: usize = 4;
/// The largest configuration that is read; real ones have a few kilobytes.
const MOST_CONFIG: u64 = 4 << 20;

/// What is to be read, or was.
enum Slot {
    Wanted(Box<Wanted>),
    Read(Box<Entry>),
}

/// A manifest, and what the index that had it says of it.
struct Wanted {
    image: DigestRef,
    said: Option<IndexEntry>,
}

/// What a manifest is.
enum Kind {
    Image {
        media_type: &'static str,
        config: Descriptor,
    },
    Index(Vec<IndexEntry>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    manifests: Option<Vec<IndexEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    digest: Digest,
    size: u64,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<Platform>,
}

/// Configurations of images; what has another one is some artifact.
const IMAGE_CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// Makes sure that an image (or index) is there.
///
/// # Errors
/// As [`entries`].
pub(super) async fn confirm(registry: &Registry, given: &Given) -> Result<(), Failure> {
    let image = given.digest_ref();
    let manifest = manifest(registry, &image).await?;
    kind(&manifest).map_err(|e| failed(e, &image))?;
    Ok(())
}

/// What the index will have, each manifest once, in the order in which the images were given.
///
/// # Errors
/// Exit 1 for an image that is absent, none, or has other sizes than it says; else what the registry gives.
pub(super) async fn entries(registry: &Registry, given: &[Given]) -> Result<Vec<Entry>, Failure> {
    let wanted = given.iter().map(|given| {
        Slot::Wanted(Box::new(Wanted {
            image: given.digest_ref(),
            said: None,
        }))
    });
    let mut slots: Vec<Slot> = wanted.collect();
    for _ in 0..MOST_DEPTH {
        let read: Vec<Vec<Slot>> = stream::iter(slots)
            .map(|slot| async move {
                match slot {
                    Slot::Read(entry) => Ok(vec![Slot::Read(entry)]),
                    Slot::Wanted(wanted) => read(registry, *wanted).await,
                }
            })
            .buffered(WIDTH)
            .try_collect()
            .await?;
        slots = once(read.into_iter().flatten());
        if slots.len() > MOST_IMAGES {
            return Err(Failure::no(anyhow!(
                "the indexes among the images have more than {MOST_IMAGES} images together"
            )));
        }
        if slots.iter().all(|slot| matches!(slot, Slot::Read(_))) {
            let entries = slots.into_iter().filter_map(|slot| match slot {
                Slot::Read(entry) => Some(*entry),
                Slot::Wanted(_) => None,
            });
            return Ok(entries.collect());
        }
    }
    Err(Failure::no(anyhow!(
        "the indexes among the images lie in one another, more than {MOST_DEPTH} deep"
    )))
}

/// An image that is named by itself and by an index is one image.
fn once(slots: impl Iterator<Item = Slot>) -> Vec<Slot> {
    let mut seen = HashSet::new();
    slots
        .filter(|slot| {
            seen.insert(match slot {
                Slot::Wanted(wanted) => wanted.image.digest.clone(),
                Slot::Read(entry) => entry.digest.clone(),
            })
        })
        .collect()
}

async fn read(registry: &Registry, wanted: Wanted) -> Result<Vec<Slot>, Failure> {
    let Wanted { image, said } = wanted;
    let manifest = manifest(registry, &image).await?;
    let size = manifest.bytes.len() as u64;
    if let Some(said) = &said
        && said.size != size
    {
        let error = anyhow!(
            "it has {size} bytes, the index that has it says {}",
            said.size
        );
        return Err(failed(error, &image));
    }
    let (media_type, config) = match kind(&manifest).map_err(|e| failed(e, &image))? {
        Kind::Image { media_type, config } => (media_type, config),
        Kind::Index(entries) => {
            let inside = entries.into_iter().map(|entry| {
                Slot::Wanted(Box::new(Wanted {
                    image: image.repository.at(entry.digest.clone()),
                    said: Some(entry),
                }))
            });
            return Ok(inside.collect());
        }
    };
    drop(manifest);
    let is_alone = said.is_none();
    let (platform, annotations, artifact_type) = said.map_or_else(Default::default, |said| {
        (said.platform, said.annotations, said.artifact_type)
    });
    let mut platform = platform.filter(Platform::is_whole);
    let has_image_config = IMAGE_CONFIGS.contains(&config.media_type.as_str());
    if platform.is_none() && has_image_config {
        platform = Some(of_config(registry, &image, &config).await?);
    }
    if platform.is_none() && is_alone {
        let error = anyhow!(
            "it is no image: its configuration is {:?}",
            config.media_type
        );
        return Err(failed(error, &image));
    }
    if let Some(platform) = &platform {
        platform.check().map_err(|e| failed(e, &image))?;
    }
    Ok(vec![Slot::Read(Box::new(Entry {
        from: image.repository,
        digest: image.digest,
        size,
        media_type,
        platform,
        annotations: annotations.unwrap_or_default(),
        artifact_type,
    }))])
}

async fn manifest(registry: &Registry, image: &DigestRef) -> Result<Manifest, Failure> {
    let found = registry
        .get_manifest(&image.repository, Reference::Digest(&image.digest))
        .await
        .map_err(|e| Failure::from(e).context(format!("reading {image}")))?;
    found.ok_or_else(|| {
        Failure::no(anyhow!("image {image} does not exist")).hint(
            "look whether the build pushed it, and whether something deletes images without tags",
        )
    })
}

/// What the content is, by its own word. A content that two readers could take for two different things is nothing.
fn kind(manifest: &Manifest) -> Result<Kind, anyhow::Error> {
    let bytes = manifest.bytes.trim_ascii_start();
    if bytes.first() != Some(&b'{') {
        return Err(anyhow!("it is no manifest: not a JSON object"));
    }
    let read: Read = serde_json::from_slice(bytes)
        .map_err(|e| anyhow::Error::new(e).context("it is no well-formed manifest"))?;
    let media_type = read.media_type.as_deref().unwrap_or(&manifest.media_type);
    match (read.config, read.layers, read.manifests) {
        (Some(config), _, None) => match media_type {
            OCI_MANIFEST | "" => Ok(Kind::Image {
                media_type: OCI_MANIFEST,
                config,
            }),
            DOCKER_MANIFEST => Ok(Kind::Image {
                media_type: DOCKER_MANIFEST,
                config,
            }),
            other => Err(anyhow!("{other:?} is not the media type of an image")),
        },
        (None, None, Some(entries)) => match media_type {
            OCI_INDEX | DOCKER_LIST | "" => Ok(Kind::Index(entries)),
            other => Err(anyhow!("{other:?} is not the media type of an index")),
        },
        _ => Err(anyhow!("it is neither an image nor an index")),
    }
}

async fn of_config(
    registry: &Registry,
    image: &DigestRef,
    config: &Descriptor,
) -> Result<Platform, Failure> {
    let size = config.size;
    if size > MOST_CONFIG {
        let error = anyhow!("its configuration has {size} bytes, more than {MOST_CONFIG}");
        return Err(failed(error, image));
    }
    let bytes = registry
        .get_blob(&image.repository, &config.digest, size)
        .await
        .map_err(|e| Failure::from(e).context(format!("reading the configuration of {image}")))?;
    if bytes.len() as u64 != size {
        let error = anyhow!("its configuration has {} bytes and not {size}", bytes.len());
        return Err(failed(error, image));
    }
    let platform: Platform = serde_json::from_slice(&bytes).map_err(|e| {
        failed(
            anyhow::Error::new(e).context("its configuration is not that of an image"),
            image,
        )
    })?;
    if !platform.is_whole() {
        let error = anyhow!("its configuration does not say for which os and architecture it is");
        return Err(failed(error, image));
    }
    // A configuration's `features`, if somebody put some there, are no features of a processor.
    Ok(platform.without_features())
}

fn failed(error: anyhow::Error, image: &DigestRef) -> Failure {
    Failure::no(error).context(format!("image {image}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, media_type: &str) -> Result<&'static str, String> {
        let manifest = Manifest {
            digest: Digest::of(text.as_bytes()),
            bytes: text.as_bytes().to_vec(),
            media_type: media_type.to_owned(),
        };
        match kind(&manifest) {
            Ok(Kind::Image { media_type, .. }) => Ok(media_type),
            Ok(Kind::Index(entries)) => Ok(if entries.is_empty() { "empty" } else { "index" }),
            Err(error) => Err(format!("{error:#}")),
        }
    }

    #[test]
    fn a_manifest_is_what_it_says_of_itself() {
        let config = format!(
            r#"{{"mediaType":"c","digest":"{}","size":1}}"#,
            Digest::of(b"")
        );
        let image = format!(r#"{{"config":{config},"layers":[]}}"#);
        assert_eq!(told(&image, OCI_MANIFEST), Ok(OCI_MANIFEST));
        assert_eq!(told(&image, DOCKER_MANIFEST), Ok(DOCKER_MANIFEST));
        assert_eq!(told(&image, ""), Ok(OCI_MANIFEST));
        let named = image.replacen('{', &format!(r#"{{"mediaType":"{OCI_MANIFEST}","#), 1);
        assert_eq!(told(&named, DOCKER_MANIFEST), Ok(OCI_MANIFEST));
        assert_eq!(told(r#"{"manifests":[]}"#, OCI_INDEX), Ok("empty"));
        let entry = format!(
            r#"{{"digest":"{}","size":1,"annotations":null}}"#,
            Digest::of(b"")
        );
        assert_eq!(
            told(&format!(r#"{{"manifests":[{entry}]}}"#), DOCKER_LIST),
            Ok("index")
        );
        let both = format!(r#"{{"config":{config},"manifests":[]}}"#);
        for (text, media_type, wanted) in [
            (both.as_str(), OCI_INDEX, "neither an image nor an index"),
            (r#"{"layers":[],"manifests":[]}"#, OCI_INDEX, "neither"),
            (&image, OCI_INDEX, "media type of an image"),
            (
                r#"{"manifests":[]}"#,
                OCI_MANIFEST,
                "media type of an index",
            ),
            ("{}", OCI_MANIFEST, "neither"),
            ("[]", OCI_MANIFEST, "not a JSON object"),
            ("", OCI_MANIFEST, "not a JSON object"),
            (
                r#"{"manifests":[{"digest":"sha512:1","size":1}]}"#,
                OCI_INDEX,
                "sha512",
            ),
            (r#"{"config":1}"#, OCI_MANIFEST, "well-formed"),
        ] {
            let told = told(text, media_type).expect_err(text);
            assert!(told.contains(wanted), "{text}: {told}");
        }
    }
}
