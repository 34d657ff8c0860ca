//! An image that no builder made: a configuration and layers, put into a registry as they are.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/main/manifest.md>. The same content gives the same bytes: members
//! stand in the order of their names, times are the commit's.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value, json};
use tekseal_core::{Digest, Repository};
use tekseal_remote::registry::{Reference, Registry};
use tekseal_steps::{Failure, log};

use crate::args::Plan;
use crate::images::Released;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// For configurations that say nothing.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const YAML: &str = "application/yaml";
/// The kind of artifact that holds the files of a release.
const RELEASE: &str = "application/vnd.tekseal.release.v1";
/// What tools call a file that they fetch.
const TITLE: &str = "org.opencontainers.image.title";

/// An image, ready to be pushed.
#[derive(Debug)]
pub(crate) struct Artifact {
    name: String,
    blobs: Vec<Vec<u8>>,
    manifest: Vec<u8>,
    packed: u64,
    unpacked: u64,
}

/// One file of an image, as a layer of its own.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The file's name in the layer.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) annotations: Vec<(&'static str, String)>,
}

/// An image with each entry in a compressed tar of its own.
///
/// # Errors
/// Exit 3: an archive in memory is written unless memory ends.
pub(crate) fn of_entries(plan: &Plan, name: &str, entries: &[Entry]) -> Result<Artifact, Failure> {
    let mut layers = Vec::new();
    let mut ids = Vec::new();
    let mut blobs = Vec::new();
    for entry in entries {
        let tar = archive(&entry.name, &entry.bytes).map_err(Failure::outside)?;
        ids.push(Digest::of(&tar));
        let packed = compress(&tar).map_err(Failure::outside)?;
        layers.push(descriptor(LAYER, &packed, &entry.annotations));
        blobs.push(packed);
    }
    // Nothing in it depends on a platform, and the specification wants one.
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "created": plan.commit.rfc3339(),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let unpacked = entries.iter().map(|entry| entry.bytes.len() as u64).sum();
    Ok(artifact(
        plan,
        name,
        (CONFIG, config.to_string().into_bytes()),
        layers,
        blobs,
        unpacked,
        None,
    ))
}

/// The files of a release as an artifact, so that they can be fetched from the registry and are vouched for like everything else.
pub(crate) fn of_files(plan: &Plan, files: &[(&str, &String)]) -> Result<Artifact, Failure> {
    let layers = files
        .iter()
        .map(|(name, text)| descriptor(YAML, text.as_bytes(), &[(TITLE, (*name).to_owned())]))
        .collect();
    let blobs: Vec<_> = files
        .iter()
        .map(|(_, text)| text.as_bytes().to_vec())
        .collect();
    let unpacked = blobs.iter().map(|blob| blob.len() as u64).sum();
    Ok(artifact(
        plan,
        "release",
        (EMPTY, b"{}".to_vec()),
        layers,
        blobs,
        unpacked,
        Some(RELEASE),
    ))
}

fn artifact(
    plan: &Plan,
    name: &str,
    (config_type, config): (&str, Vec<u8>),
    layers: Vec<Value>,
    mut blobs: Vec<Vec<u8>>,
    unpacked: u64,
    kind: Option<&str>,
) -> Artifact {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config_type, &config, &[]),
        "layers": layers,
        "annotations": pairs(&plan.marks(&format!("tekseal {name}"))),
    });
    if let Some(kind) = kind {
        manifest["artifactType"] = json!(kind);
    }
    let packed = blobs.iter().map(|blob| blob.len() as u64).sum();
    blobs.push(config);
    Artifact {
        name: name.to_owned(),
        blobs,
        manifest: manifest.to_string().into_bytes(),
        packed,
        unpacked,
    }
}

impl Artifact {
    /// What it will be known by.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Puts it into the registry under the tag of the version.
    pub(crate) async fn push(self, plan: &Plan, registry: &Registry) -> Result<Released, Failure> {
        let digest = self.digest();
        let name = plan.repository(&self.name);
        let repository = Repository::parse(&name).map_err(Failure::misuse)?;
        for blob in self.blobs {
            let digest = Digest::of(&blob);
            if !registry.blob_exists(&repository, &digest).await? {
                let upload = registry.start_upload(&repository).await?;
                registry
                    .finish_upload(&repository, upload, &digest, blob)
                    .await?;
            }
        }
        registry
            .put_manifest(
                &repository,
                Reference::Tag(&plan.version),
                MANIFEST,
                &self.manifest,
            )
            .await?;
        log::info(
            "pushed",
            &[("image", &plan.tagged(&self.name)), ("digest", &digest)],
        );
        Ok(Released {
            name: self.name,
            repository: name,
            digest,
            packed: self.packed,
            unpacked: self.unpacked,
        })
    }
}

fn descriptor(media_type: &str, blob: &[u8], annotations: &[(&'static str, String)]) -> Value {
    let mut descriptor =
        json!({"mediaType": media_type, "digest": Digest::of(blob), "size": blob.len()});
    if !annotations.is_empty() {
        descriptor["annotations"] = pairs(annotations);
    }
    descriptor
}

fn pairs(pairs: &[(&'static str, String)]) -> Value {
    let map: Map<_, _> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    Value::Object(map)
}

/// One plain file of nobody's, from 1970: as Tekton's own client writes it.
fn archive(name: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, bytes)?;
    archive.into_inner()
}

/// gzip without a name and a time.
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_layer_is_one_file_and_always_the_same() {
        let layer = || compress(&archive("sign-image", b"{}").expect("memory")).expect("memory");
        assert_eq!(layer(), layer());
        let packed = layer();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let mut entries = archive.entries().expect("an archive");
        let mut file = entries.next().expect("a file").expect("good");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("good");
        let header = file.header();
        assert_eq!(file.path().expect("a name").to_str(), Some("sign-image"));
        assert_eq!(
            (
                text.as_str(),
                header.mtime().expect("a time"),
                header.uid().expect("a user")
            ),
            ("{}", 0, 0)
        );
        assert!(entries.next().is_none());
    }
}
