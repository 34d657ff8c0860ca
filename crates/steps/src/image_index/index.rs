//! The bytes of the index, in the order of members that buildah writes: an OCI image index, or Docker's manifest list.
//!
//! Specifications: <https://github.com/opencontainers/image-spec/blob/main/image-index.md>,
//! <https://distribution.github.io/distribution/spec/manifest-v2-2/#manifest-list>.

use std::collections::BTreeMap;

use anyhow::anyhow;
use serde::Serialize;
use tekseal_core::{Digest, gojson};
use tekseal_remote::store::manifest::{DOCKER_LIST, MOST_BYTES, OCI_INDEX};

use super::entry::Entry;
use super::platform::Platform;
use super::settings::Settings;
use crate::Failure;
use crate::parameters::Format;

/// An index as it is written.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: &'static str,
    pub(super) digest: Digest,
}

/// Field order is the order of the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a, D> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<D>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// Field order is the order of the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Oci<'a> {
    media_type: &'static str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
}

/// Field order is the order of the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Docker<'a> {
    media_type: &'static str,
    size: u64,
    digest: &'a Digest,
    platform: Platform,
}

impl Index {
    /// The index of `entries`.
    ///
    /// # Errors
    /// Exit 2 if it has more bytes than registries take.
    pub(super) fn of(entries: &[Entry], settings: &Settings) -> Result<Self, Failure> {
        let annotations = &settings.annotations;
        let (media_type, bytes) = match settings.format {
            Format::Oci => {
                let manifests = entries.iter().map(Oci::of).collect();
                (OCI_INDEX, written(OCI_INDEX, manifests, annotations))
            }
            Format::Docker => {
                let manifests = entries.iter().map(Docker::of).collect();
                (DOCKER_LIST, written(DOCKER_LIST, manifests, annotations))
            }
        };
        if bytes.len() > MOST_BYTES {
            return Err(Failure::misuse(anyhow!(
                "the index has {} bytes, more than {MOST_BYTES}",
                bytes.len()
            ))
            .hint("registries take no larger one; give shorter annotations"));
        }
        Ok(Self {
            digest: Digest::of(&bytes),
            bytes,
            media_type,
        })
    }
}

fn written<D: Serialize>(
    media_type: &'static str,
    manifests: Vec<D>,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    gojson::to_vec(&Written {
        schema_version: 2,
        media_type,
        manifests,
        annotations,
    })
}

impl<'a> Oci<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            media_type: entry.media_type,
            digest: &entry.digest,
            size: entry.size,
            annotations: &entry.annotations,
            platform: entry.platform.clone().map(Platform::without_features),
            artifact_type: entry.artifact_type.as_deref(),
        }
    }
}

impl<'a> Docker<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            media_type: entry.media_type,
            size: entry.size,
            digest: &entry.digest,
            platform: entry.platform.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::parse;
    use super::super::entry::tests::entry;
    use super::*;

    fn index(entries: &[Entry], words: &[&str]) -> Result<String, Failure> {
        let image = format!("r.example/app@{}", Digest::of(b""));
        let all = [
            &["--image", "r.example/app", "--images", &image, ";"],
            words,
        ]
        .concat();
        let settings = Settings::from_args(&parse(&all)).expect("good parameters");
        let index = Index::of(entries, &settings)?;
        assert_eq!(index.digest, Digest::of(&index.bytes));
        Ok(String::from_utf8(index.bytes).expect("JSON"))
    }

    #[test]
    fn both_formats_have_their_own_order_of_members() {
        let entries = [entry("one", "linux/amd64"), entry("two", "linux/arm64")];
        let (one, two) = (&entries[0].digest, &entries[1].digest);
        assert_eq!(
            index(&entries, &["--annotation", "b=<", "--annotation", "a=1"]).expect("small"),
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{one}","size":7,"platform":{{"architecture":"amd64","os":"linux"}}}},{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{two}","size":7,"platform":{{"architecture":"arm64","os":"linux"}}}}],"annotations":{{"a":"1","b":"\u003c"}}}}"#
            )
        );
        let docker = index(&entries[..1], &["--format", "docker"]).expect("small");
        assert_eq!(
            docker,
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":"{one}","platform":{{"architecture":"amd64","os":"linux"}}}}]}}"#
            )
        );
    }

    #[test]
    fn the_order_of_the_images_is_kept_and_nothing_else_counts() {
        let entries = [entry("one", "linux/amd64"), entry("two", "linux/arm64")];
        let turned = [entries[1].clone(), entries[0].clone()];
        let [one, again, other] =
            [&entries, &entries, &turned].map(|entries| index(entries, &[]).expect("small"));
        assert!(one == again && one != other);
    }

    #[test]
    fn an_index_that_no_registry_takes_is_refused() {
        let long = format!("a={}", "x".repeat(MOST_BYTES));
        let failure = index(&[entry("one", "linux/amd64")], &["--annotation", &long]);
        assert_eq!(failure.expect_err("too large").code(), crate::exit::MISUSE);
    }
}
