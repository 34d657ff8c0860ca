//! Minimal real images: a configuration, one layer with one file, a manifest; and an index of two of them.

use serde_json::json;

use crate::digest;
use crate::registry::Registry;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image that was pushed.
#[derive(Clone, Debug)]
pub struct Image {
    /// The repository, without the registry's address.
    pub repository: String,
    /// Digest of the manifest.
    pub digest: String,
    /// `address/repository@digest`, by the address that the programs under test use.
    pub reference: String,
    /// Size of the manifest in bytes.
    pub size: usize,
}

/// An index that was pushed.
#[derive(Clone, Debug)]
pub struct Index {
    /// The index.
    pub image: Image,
    /// The images of it: linux/amd64, linux/arm64.
    pub children: Vec<Image>,
}

impl Registry {
    /// Pushes an image whose one layer tells its name, so that each name has a digest of its own and the same name always the same.
    pub fn push_image(&self, repository: &str, tag: &str) -> Image {
        let image = self.push_content(repository, &format!("{repository}:{tag}"), "amd64");
        self.tag(&image, tag);
        image
    }

    /// Pushes an index of two platforms; the images of it have no tag.
    pub fn push_index(&self, repository: &str, tag: &str) -> Index {
        let platforms = ["amd64", "arm64"];
        let children = platforms.map(|platform| {
            self.push_content(repository, &format!("{repository}:{tag}"), platform)
        });
        let manifests: Vec<_> = children
            .iter()
            .zip(platforms)
            .map(|(child, platform)| json!({"mediaType": MANIFEST, "digest": child.digest, "size": child.size, "platform": {"os": "linux", "architecture": platform}}))
            .collect();
        let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
            .to_string()
            .into_bytes();
        let image = self.put(repository, tag, INDEX, &bytes);
        Index {
            image,
            children: children.into(),
        }
    }

    fn push_content(&self, repository: &str, content: &str, platform: &str) -> Image {
        let layer = tar("content", content.as_bytes());
        let layer_digest = self.push_blob(repository, &layer);
        let config = json!({"architecture": platform, "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer_digest]}}).to_string();
        let config_digest = self.push_blob(repository, config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config_digest, "size": config.len()},
            "layers": [{"mediaType": LAYER, "digest": layer_digest, "size": layer.len()}],
        });
        let bytes = manifest.to_string().into_bytes();
        self.put(repository, &digest(&bytes), MANIFEST, &bytes)
    }

    fn put(&self, repository: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Image {
        let digest = self.put_manifest(repository, reference, media_type, bytes);
        let reference = self.reference(repository, &digest);
        Image {
            repository: repository.to_owned(),
            digest,
            reference,
            size: bytes.len(),
        }
    }

    fn tag(&self, image: &Image, tag: &str) {
        let manifest = self
            .manifest(&image.repository, &image.digest)
            .expect("the manifest was just pushed");
        self.put_manifest(
            &image.repository,
            tag,
            &manifest.media_type,
            &manifest.bytes,
        );
    }
}

/// A tar archive (POSIX ustar) with one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut field =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000644");
    field(108, "0000000");
    field(116, "0000000");
    field(124, &format!("{:011o}", content.len()));
    field(136, "00000000000");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\u{0}").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Run;

    #[test]
    fn the_layer_is_an_archive_that_tar_reads() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("a.tar"), tar("content", b"hello"))
            .expect("the folder is writable");
        let listed = Run::new("tar")
            .args(["-xOf", "a.tar", "content"])
            .folder(folder.path())
            .ok();
        assert_eq!(
            (listed.stdout.as_str(), listed.stderr.as_str()),
            ("hello", "")
        );
    }
}
