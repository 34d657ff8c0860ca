//! `tekseal-image-index`: composes an index of images that are in registries already, one for each platform, through the registries alone.
//!
//! ```text
//! Args ─ Settings::from_args ─▶ Settings ─ read::entries ─▶ [Entry] ─ Index::of ─▶ Index ─ store ─▶ results, last of all
//!   flags, environment          checked    by digest,       platform    bytes       │
//!                                          indexes flattened                        └ blobs and manifests of other repositories, the index
//! ```
//!
//! Nothing is written before every image was read and fits with the others, and the results name only what was read back. The same images
//! in the same order give the same bytes, so the same digest: those of `buildah manifest push`.

mod args;
mod entry;
mod index;
mod platform;
mod read;
mod settings;
mod store;

use tekseal_core::Digest;

use crate::registry_args::{Access, RegistryArgs};
use crate::{Failure, image_results, log};

use index::Index;
use settings::{Build, Settings};

pub use args::Args;

/// Composes, stores and writes the results.
///
/// # Errors
/// Exit 1 if an image is absent or is none; 2 for bad parameters, images that do not fit together, and refused credentials; 3 if a registry
/// or the results folder fails. Then no result is left.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let settings = Settings::from_args(args)?;
    let mut results = args.results.open()?;
    let access = access(&args.registry, &settings);
    let registry = access.open(Access::PullPush)?;
    if let [only] = &settings.images[..]
        && settings.build == Build::UnlessSingle
    {
        read::confirm(&registry, only).await?;
        log::info(
            "no index built, the results name the only image",
            &[("image", &only.text)],
        );
        image_results::fill(&mut results, &only.image, &only.digest, &[]);
        return Ok(results.commit()?);
    }
    let entries = read::entries(&registry, &settings.images).await?;
    entry::check(&entries, settings.format)?;
    let index = Index::of(&entries, &settings)?;
    let children: Vec<Digest> = entries
        .iter()
        .filter(|entry| entry.is_image())
        .map(|entry| entry.digest.clone())
        .collect();
    image_results::fill(&mut results, &settings.target, &index.digest, &children);
    results.check_size()?;
    store::store(&registry, &settings, &entries, &index).await?;
    Ok(results.commit()?)
}

/// The registries' flags, with what TLSVERIFY says of the registries that this call is about.
fn access(args: &RegistryArgs, settings: &Settings) -> RegistryArgs {
    let mut access = args.clone();
    if !settings.verify_tls {
        let images = settings.images.iter().map(|given| &given.image);
        let all = std::iter::once(&settings.target).chain(images);
        access
            .insecure
            .extend(all.map(|image| image.repository.registry().to_owned()));
    }
    access
}
