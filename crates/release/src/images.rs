//! One image: built and pushed, signed, and its provenance attested.

use std::path::Path;

use anyhow::anyhow;
use serde_json::Value;
use tekseal_core::{Digest, Repository};
use tekseal_remote::registry::{Reference, Registry};
use tekseal_steps::{Failure, files};

use crate::args::Plan;
use crate::context::{Context, Image};
use crate::programs::Programs;

/// An image, or a bundle, as the registry has it.
#[derive(Debug)]
pub(crate) struct Released {
    /// The last part of its name.
    pub(crate) name: String,
    /// `host/path/name`.
    pub(crate) repository: String,
    pub(crate) digest: Digest,
    /// Bytes that are fetched of it: its layers, compressed.
    pub(crate) packed: u64,
    /// Bytes of its files.
    pub(crate) unpacked: u64,
}

impl Released {
    /// `host/path/name@sha256:…`.
    pub(crate) fn by_digest(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// What `tekseal-buildah-push` is told of an image.
pub(crate) struct BuildFlags<'a> {
    pub(crate) image: &'a str,
    pub(crate) context: &'a Path,
    pub(crate) stage: &'a str,
    pub(crate) marks: Vec<(&'static str, String)>,
    pub(crate) results: &'a Path,
    pub(crate) record: &'a Path,
}

/// Builds, pushes, signs and attests an image of the context.
pub(crate) async fn release(
    plan: &Plan,
    programs: &Programs,
    registry: &Registry,
    context: &Context,
    image: &Image,
) -> Result<Released, Failure> {
    let results = programs.scratch().join(format!("{}.results", image.name));
    files::make_folder(&results)?;
    let record = programs.scratch().join(format!("{}.run.json", image.name));
    let mut marks = plan.marks(&image.program());
    // The program sets these two itself.
    marks.retain(|(name, _)| !name.ends_with(".source") && !name.ends_with(".revision"));
    let digest = programs.build_image(
        plan,
        &BuildFlags {
            image: &plan.tagged(&image.name),
            context: context.folder(),
            stage: &image.name,
            marks,
            results: &results,
            record: &record,
        },
    )?;
    let digest: Digest = digest.trim().parse().map_err(|e| {
        Failure::outside(anyhow::Error::new(e).context("tekseal-buildah-push wrote no digest"))
    })?;
    programs.attest_run(plan, &record)?;
    let repository = plan.repository(&image.name);
    Ok(Released {
        name: image.name.clone(),
        packed: packed(registry, &repository, &digest).await?,
        repository,
        digest,
        unpacked: image.unpacked,
    })
}

/// Bytes of the layers, as the registry has them.
async fn packed(registry: &Registry, repository: &str, digest: &Digest) -> Result<u64, Failure> {
    let parsed = Repository::parse(repository).map_err(Failure::misuse)?;
    let manifest = registry
        .get_manifest(&parsed, Reference::Digest(digest))
        .await?
        .ok_or_else(|| Failure::outside(anyhow!("{repository}@{digest} is no longer there")))?;
    let manifest: Value = serde_json::from_slice(&manifest.bytes)
        .map_err(|e| Failure::outside(e).context(format!("reading {repository}@{digest}")))?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    Ok(layers.filter_map(|layer| layer["size"].as_u64()).sum())
}
