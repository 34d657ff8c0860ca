//! Puts the index where it belongs, after the images that are in other repositories, and reads it back.
//!
//! A registry takes an index only if it has its images, and whoever pulls one asks the index's own repository for them. So images of other
//! repositories are copied, as `buildah manifest push --all` does: blobs are mounted where one registry has both repositories, else
//! streamed; then the manifest, byte for byte.

use anyhow::{Context as _, anyhow};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tekseal_core::{Digest, Repository};
use tekseal_remote::Registry;
use tekseal_remote::copy::Copied;
use tekseal_remote::registry::{Manifest, Reference};

use super::entry::Entry;
use super::index::Index;
use super::settings::Settings;
use crate::{Failure, log};

/// How many blobs of one image are copied side by side.
const WIDTH: usize = 4;

/// The blobs of an image.
#[derive(Deserialize)]
struct Image {
    config: Blob,
    #[serde(default)]
    layers: Vec<Blob>,
}

#[derive(Deserialize)]
struct Blob {
    digest: Digest,
    size: u64,
    /// Where else it may be had: such layers are in no registry.
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// Copies what is missing, writes the index by digest and under its tags, and makes sure that it is there.
///
/// # Errors
/// What the registries refuse; exit 3 if something else is under a tag afterwards.
pub(super) async fn store(
    registry: &Registry,
    settings: &Settings,
    entries: &[Entry],
    index: &Index,
) -> Result<(), Failure> {
    let target = &settings.target.repository;
    for entry in entries.iter().filter(|entry| entry.from != *target) {
        copy(registry, entry, target)
            .await
            .map_err(|f| f.context(format!("copying {} to {target}", entry.digest_ref())))?;
    }
    let place = settings.target.repository.at(index.digest.clone());
    let tags: Vec<&str> = settings
        .target
        .tag
        .iter()
        .chain(&settings.more_tags)
        .map(String::as_str)
        .collect();
    let by_digest = [Reference::Digest(&index.digest)];
    let places = by_digest
        .into_iter()
        .chain(tags.iter().map(|&tag| Reference::Tag(tag)));
    for reference in places {
        registry
            .put_manifest(target, reference, index.media_type, &index.bytes)
            .await
            .map_err(|e| Failure::from(e).context(format!("storing the index {place}")))?;
    }
    confirm(registry, target, Reference::Digest(&index.digest), index).await?;
    for tag in &tags {
        confirm(registry, target, Reference::Tag(tag), index).await?;
    }
    log::info(
        "stored index",
        &[
            ("image", &settings.target.url),
            ("digest", &index.digest),
            ("children", &entries.len()),
        ],
    );
    for tag in &settings.more_tags {
        let image = format!("{target}:{tag}");
        log::info("tagged", &[("image", &image), ("digest", &index.digest)]);
    }
    Ok(())
}

async fn confirm(
    registry: &Registry,
    target: &Repository,
    reference: Reference<'_>,
    index: &Index,
) -> Result<(), Failure> {
    let doing = || format!("reading back {target} {reference}");
    let head = registry
        .head_manifest(target, reference)
        .await
        .map_err(|e| Failure::from(e).context(doing()))?;
    let error = match head {
        Some(head) if head.digest == index.digest => return Ok(()),
        Some(head) => anyhow!(
            "it has the digest {} and not {}, which was just written",
            head.digest,
            index.digest
        ),
        None => anyhow!("it is not there, though it was just written"),
    };
    Err(Failure::outside(error).context(doing()).hint(
        "another writer of the same tag, or something that deletes images; run the task again",
    ))
}

/// Makes sure that `target` has the image.
async fn copy(registry: &Registry, entry: &Entry, target: &Repository) -> Result<(), Failure> {
    let by_digest = Reference::Digest(&entry.digest);
    if registry.head_manifest(target, by_digest).await?.is_some() {
        return Ok(());
    }
    let found = registry.get_manifest(&entry.from, by_digest).await?;
    let manifest = found.ok_or_else(|| Failure::no(anyhow!("it does not exist any more")))?;
    let copier = registry.copier(&entry.from, target);
    let copied: Vec<Copied> = stream::iter(blobs(&manifest)?)
        .map(|blob| {
            let copier = &copier;
            async move { copier.blob(&blob.digest, blob.size).await }
        })
        .buffered(WIDTH)
        .try_collect()
        .await?;
    registry
        .put_manifest(target, by_digest, entry.media_type, &manifest.bytes)
        .await?;
    let count = |what| copied.iter().filter(|&&copied| copied == what).count();
    log::info(
        "copied image",
        &[
            ("from", &entry.digest_ref()),
            ("to", target),
            ("mounted", &count(Copied::Mounted)),
            ("sent", &count(Copied::Sent)),
        ],
    );
    Ok(())
}

/// The blobs of an image that are in a registry, each once.
fn blobs(manifest: &Manifest) -> Result<Vec<Blob>, Failure> {
    let image: Image = serde_json::from_slice(&manifest.bytes)
        .context("its manifest has something else than blobs")
        .map_err(Failure::no)?;
    let mut blobs: Vec<Blob> = std::iter::once(image.config)
        .chain(image.layers)
        .filter(|blob| blob.urls.as_ref().is_none_or(Vec::is_empty))
        .collect();
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    blobs.dedup_by(|one, other| one.digest == other.digest);
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_copied_once_and_foreign_layers_are_not() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| Digest::of(bytes));
        let text = format!(
            r#"{{"config":{{"digest":"{a}","size":1}},"layers":[{{"digest":"{b}","size":2}},{{"digest":"{b}","size":2}},{{"digest":"{c}","size":3,"urls":["https://example.com"]}}]}}"#
        );
        let manifest = |text: &str| Manifest {
            digest: Digest::of(text.as_bytes()),
            bytes: text.as_bytes().to_vec(),
            media_type: String::new(),
        };
        let mut found: Vec<_> = blobs(&manifest(&text))
            .expect("an image")
            .into_iter()
            .map(|blob| (blob.digest, blob.size))
            .collect();
        found.sort();
        let mut wanted = vec![(a, 1), (b, 2)];
        wanted.sort();
        assert_eq!(found, wanted);
        assert!(blobs(&manifest(r#"{"layers":[]}"#)).is_err());
    }
}
