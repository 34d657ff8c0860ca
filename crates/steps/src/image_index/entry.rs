//! What the index says of one image, and whether the images fit together.

use std::collections::BTreeMap;

use anyhow::anyhow;
use tekseal_core::{Digest, DigestRef, Repository};
use tekseal_remote::store::manifest::{DOCKER_MANIFEST, OCI_MANIFEST};

use super::platform::Platform;
use crate::Failure;
use crate::parameters::Format;

/// One image, or what else an index among the images had in it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it is.
    pub(super) from: Repository,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) media_type: &'static str,
    /// Nothing for what is no image: some artifact of an index.
    pub(super) platform: Option<Platform>,
    /// Of the index that had it.
    pub(super) annotations: BTreeMap<String, String>,
    /// Of the index that had it.
    pub(super) artifact_type: Option<String>,
}

impl Entry {
    /// Whether a machine could run it: attestations that BuildKit put into an index are of the index but no images.
    pub(super) fn is_image(&self) -> bool {
        self.platform
            .as_ref()
            .is_some_and(|platform| !platform.is_unknown())
    }

    /// The manifest by digest.
    pub(super) fn digest_ref(&self) -> DigestRef {
        self.from.at(self.digest.clone())
    }
}

/// Refuses images between which no machine could choose, and those of another format than the index.
///
/// # Errors
/// Exit 2, with the images.
pub(super) fn check(entries: &[Entry], format: Format) -> Result<(), Failure> {
    for entry in entries {
        let (is_right, has) = match entry.media_type {
            OCI_MANIFEST => (format == Format::Oci, "oci"),
            DOCKER_MANIFEST => (format == Format::Docker, "docker"),
            _ => (false, "unknown"),
        };
        if !is_right {
            let error = anyhow!(
                "{} has the format {has}, the index another one",
                entry.digest_ref()
            );
            return Err(Failure::misuse(error).hint(
                "build all images with one FORMAT and give it to the index too: converting an image would change its digest",
            ));
        }
    }
    let images: Vec<_> = entries.iter().filter(|entry| entry.is_image()).collect();
    if images.is_empty() {
        return Err(Failure::no(anyhow!(
            "there is no image in what IMAGES names, only attestations"
        )));
    }
    for (at, entry) in images.iter().enumerate() {
        let same = images[..at]
            .iter()
            .find(|before| match (&before.platform, &entry.platform) {
                (Some(before), Some(own)) => before.is_same(own),
                _ => false,
            });
        if let (Some(before), Some(platform)) = (same, &entry.platform) {
            let error = anyhow!(
                "{} and {} are both for {platform}",
                before.digest_ref(),
                entry.digest_ref()
            );
            return Err(Failure::misuse(error).hint(
                "an index has one image for each platform; look whether a build ignored PLATFORM, or IMAGES names an older build too",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::image_index) fn entry(name: &str, platform: &str) -> Entry {
        let (os, architecture) = platform.split_once('/').expect("os/architecture");
        let json = serde_json::json!({"os": os, "architecture": architecture});
        Entry {
            from: Repository::parse(&format!("r.example/{name}")).expect("a name"),
            digest: Digest::of(name.as_bytes()),
            size: 7,
            media_type: OCI_MANIFEST,
            platform: serde_json::from_value(json).expect("a platform"),
            annotations: BTreeMap::new(),
            artifact_type: None,
        }
    }

    #[test]
    fn two_images_of_one_platform_are_refused_by_name() {
        let entries = [
            entry("one", "linux/amd64"),
            entry("two", "linux/arm64"),
            entry("three", "linux/amd64"),
        ];
        check(&entries[..2], Format::Oci).expect("two platforms");
        let failure = check(&entries, Format::Oci).expect_err("twice amd64");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        let told = failure.message();
        assert!(
            told.contains("r.example/one@") && told.contains("r.example/three@"),
            "{told}"
        );
    }

    #[test]
    fn attestations_have_no_platform_that_could_be_there_twice() {
        let attested = [
            entry("one", "linux/amd64"),
            entry("two", "unknown/unknown"),
            entry("three", "unknown/unknown"),
        ];
        check(&attested, Format::Oci).expect("one image");
        let failure = check(&attested[1..], Format::Oci).expect_err("no image");
        assert_eq!(failure.code(), crate::exit::NO);
    }

    #[test]
    fn images_of_another_format_are_refused() {
        let failure = check(&[entry("one", "linux/amd64")], Format::Docker).expect_err("oci");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        let told = failure.message();
        assert!(
            told.contains("r.example/one@") && told.contains("oci"),
            "{told}"
        );
    }
}
