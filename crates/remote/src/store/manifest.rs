//! The image manifest under a `.sig` or `.att` tag, and the configuration it names, in cosign's exact bytes.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/main/manifest.md> and cosign's `SIGNATURE_SPEC.md`. What others wrote
//! is copied as it stands: descriptors of layers keep every byte, the manifest keeps its media types, annotations and
//! subject. The configuration is made anew from the layers, which gives cosign's own bytes for whatever cosign wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tekseal_core::{Digest, Signed, cosign, gojson, strict_json};

use super::item::Item;
use crate::registry::Manifest;

/// Media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of Docker's image manifest, version 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of Docker's list of manifests.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// No reader accepts more layers than this.
pub const MOST_LAYERS: usize = 1000;
/// Registries take manifests up to this size.
pub const MOST_BYTES: usize = 4 << 20;

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The time that stands for «no time»: the same layers give the same bytes.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Why a manifest is not the one of signatures or attestations, or cannot become one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or a known field has an impossible type.
    #[error("the manifest is no well-formed image manifest")]
    Json(#[source] serde_json::Error),
    /// An index (or a list of manifests) stands where an image manifest is expected.
    #[error("an index of manifests stands where an image manifest is expected")]
    Index,
    /// JSON, but not an image manifest of a kind that can hold layers.
    #[error("{media_type:?} is not the media type of an image manifest")]
    Kind {
        /// What the manifest calls itself.
        media_type: String,
    },
    /// More bytes than registries take.
    #[error("the manifest has {size} bytes, more than {MOST_BYTES}")]
    Size {
        /// Its size.
        size: usize,
    },
    /// More layers than readers take.
    #[error("the manifest has {count} layers, more than {MOST_LAYERS}")]
    Layers {
        /// How many there are.
        count: usize,
    },
    /// Something else stands where the index of referrers is kept.
    #[error("{media_type:?} is not the media type of an image index")]
    NoIndex {
        /// What it calls itself, or what the registry calls it.
        media_type: String,
    },
    /// An index that two readers may read differently.
    #[error("the index is no well-formed image index")]
    Ambiguous(#[source] strict_json::Error),
    /// More entries than are kept in memory.
    #[error("the index has {count} entries, more than 10000")]
    Entries {
        /// How many there are.
        count: usize,
    },
    /// A descriptor in an index is malformed.
    #[error("entry {position} of the index is malformed")]
    Entry {
        /// Counted from 0.
        position: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A layer's descriptor is malformed.
    #[error("the descriptor of layer {position} is malformed")]
    Layer {
        /// Counted from 0.
        position: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// An image manifest whose layers are signatures or attestations.
#[derive(Clone, Debug)]
pub struct ImageManifest {
    media_type: &'static str,
    config_media_type: &'static str,
    layers: Vec<Layer>,
    annotations: Option<Box<RawValue>>,
    subject: Option<Box<RawValue>>,
    artifact_type: Option<Box<RawValue>>,
}

/// One layer: its descriptor as it stands in the manifest, and what that says. A copy shares both: there may be a thousand of them.
#[derive(Clone, Debug)]
pub struct Layer(Arc<Descriptors>);

#[derive(Debug)]
struct Descriptors {
    verbatim: Box<RawValue>,
    said: Descriptor,
}

/// Which layer: equal digest and equal annotations, whatever the descriptor's formatting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    digest: &'a str,
    annotations: &'a BTreeMap<String, String>,
}

/// A manifest and its configuration as they are written.
#[derive(Debug)]
pub struct Encoded {
    /// Exact bytes of the manifest.
    pub manifest: Bytes,
    /// Media type of the manifest.
    pub media_type: &'static str,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Exact bytes of the configuration.
    pub config: Vec<u8>,
    /// Digest of the configuration.
    pub config_digest: Digest,
}

/// Field order is the order of the bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    size: u64,
    digest: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read<'a> {
    #[serde(default)]
    schema_version: u64,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(borrow, default)]
    manifests: Option<&'a RawValue>,
    #[serde(default)]
    config: Option<ConfigRead>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    layers: Vec<&'a RawValue>,
    #[serde(default)]
    annotations: Option<Box<RawValue>>,
    #[serde(default)]
    subject: Option<Box<RawValue>>,
    #[serde(default)]
    artifact_type: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigRead {
    #[serde(default)]
    media_type: String,
}

/// Field order is the order of the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Config<'a> {
    architecture: &'static str,
    created: &'static str,
    history: Vec<History>,
    os: &'static str,
    rootfs: RootFs<'a>,
    config: Nothing,
}

#[derive(Clone, Serialize)]
struct History {
    created: &'static str,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'static str,
    diff_ids: Vec<&'a str>,
}

#[derive(Serialize)]
struct Nothing {}

impl Default for ImageManifest {
    fn default() -> Self {
        Self {
            media_type: OCI_MANIFEST,
            config_media_type: OCI_CONFIG,
            layers: Vec::new(),
            annotations: None,
            subject: None,
            artifact_type: None,
        }
    }
}

impl ImageManifest {
    /// Reads what a registry handed out.
    ///
    /// # Errors
    /// Anything but an image manifest (OCI, or Docker version 2) with at most 1000 layers: a registry's content is
    /// hostile until shown otherwise, and what is not understood must not be overwritten.
    pub fn parse(manifest: &Manifest) -> Result<Self, Error> {
        let size = manifest.bytes.len();
        if size > MOST_BYTES {
            return Err(Error::Size { size });
        }
        let read: Read<'_> = object(&manifest.bytes).map_err(Error::Json)?;
        let said = read.media_type.as_deref().unwrap_or(&manifest.media_type);
        if is_index(said) || is_index(&manifest.media_type) || read.manifests.is_some() {
            return Err(Error::Index);
        }
        let media_type = match said {
            DOCKER_MANIFEST => DOCKER_MANIFEST,
            OCI_MANIFEST | "" => OCI_MANIFEST,
            _ => {
                return Err(Error::Kind {
                    media_type: said.to_owned(),
                });
            }
        };
        let (Some(config), 2) = (read.config, read.schema_version) else {
            return Err(Error::Kind {
                media_type: said.to_owned(),
            });
        };
        let config_media_type = match config.media_type.as_str() {
            OCI_CONFIG => OCI_CONFIG,
            DOCKER_CONFIG => DOCKER_CONFIG,
            _ if media_type == DOCKER_MANIFEST => DOCKER_CONFIG,
            _ => OCI_CONFIG,
        };
        let count = read.layers.len();
        if count > MOST_LAYERS {
            return Err(Error::Layers { count });
        }
        let layers = read
            .layers
            .into_iter()
            .enumerate()
            .map(|(position, verbatim)| Layer::parse(position, verbatim));
        Ok(Self {
            media_type,
            config_media_type,
            layers: layers.collect::<Result<_, _>>()?,
            annotations: read.annotations,
            subject: read.subject,
            artifact_type: read.artifact_type,
        })
    }

    /// The layers in their order.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Puts `layer` after the others.
    pub fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    /// Whether `layer` is one of the layers.
    pub(super) fn holds(&self, layer: Identity<'_>) -> bool {
        self.layers.iter().any(|own| own.identity() == layer)
    }

    /// The bytes to write.
    ///
    /// # Errors
    /// If there are more layers or bytes than readers and registries take.
    pub fn encode(&self) -> Result<Encoded, Error> {
        let count = self.layers.len();
        if count > MOST_LAYERS {
            return Err(Error::Layers { count });
        }
        let config = self.config();
        let config_digest = Digest::of(&config);
        let written = Written {
            schema_version: 2,
            media_type: self.media_type,
            config: Descriptor {
                media_type: self.config_media_type.to_owned(),
                size: config.len() as u64,
                digest: config_digest.to_string(),
                annotations: BTreeMap::new(),
            },
            layers: self.layers.iter().map(|layer| &*layer.0.verbatim).collect(),
            annotations: self.annotations.as_deref(),
            subject: self.subject.as_deref(),
            artifact_type: self.artifact_type.as_deref(),
        };
        let manifest = gojson::to_vec(&written);
        if manifest.len() > MOST_BYTES {
            return Err(Error::Size {
                size: manifest.len(),
            });
        }
        let digest = Digest::of(&manifest);
        Ok(Encoded {
            manifest: manifest.into(),
            media_type: self.media_type,
            digest,
            config,
            config_digest,
        })
    }

    fn config(&self) -> Vec<u8> {
        gojson::to_vec(&Config {
            architecture: "",
            created: NO_TIME,
            history: vec![History { created: NO_TIME }; self.layers.len()],
            os: "",
            rootfs: RootFs {
                r#type: "layers",
                diff_ids: self
                    .layers
                    .iter()
                    .map(|layer| layer.0.said.digest.as_str())
                    .collect(),
            },
            config: Nothing {},
        })
    }
}

impl Layer {
    /// The layer that holds `signed`.
    #[must_use]
    pub fn of(signed: &Signed) -> Self {
        Self::of_item(&Item::Held(signed.clone()))
    }

    pub(super) fn of_item(item: &Item) -> Self {
        let said = Descriptor {
            media_type: item.media_type().to_owned(),
            size: item.size(),
            digest: item.digest().to_string(),
            annotations: item.annotations().clone(),
        };
        let text = String::from_utf8(gojson::to_vec(&said)).expect("JSON is UTF-8");
        let verbatim = RawValue::from_string(text).expect("this was just written as JSON");
        Self(Arc::new(Descriptors { verbatim, said }))
    }

    fn parse(position: usize, verbatim: &RawValue) -> Result<Self, Error> {
        let said = object(verbatim.get().as_bytes())
            .map_err(|source| Error::Layer { position, source })?;
        let verbatim = verbatim.to_owned();
        Ok(Self(Arc::new(Descriptors { verbatim, said })))
    }

    /// Media type of the content.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.0.said.media_type
    }

    /// Size of the content, as the descriptor has it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.said.size
    }

    /// Digest of the content as it is written; it may be of an algorithm that [`Digest`] does not know.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.said.digest
    }

    /// Annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.0.said.annotations
    }

    /// One annotation, if it is there and not empty.
    #[must_use]
    pub fn proof(&self, key: &str) -> Option<&str> {
        self.0
            .said
            .annotations
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The signature annotation, which cosign wants on every layer; empty on attestations.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        self.0
            .said
            .annotations
            .get(cosign::SIGNATURE_ANNOTATION)
            .map(String::as_str)
    }

    pub(super) fn identity(&self) -> Identity<'_> {
        Identity {
            digest: &self.0.said.digest,
            annotations: &self.0.said.annotations,
        }
    }
}

/// Reads an object. Without the check an array with the fields in their order would do as well.
pub(crate) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(serde::de::Error::custom("expected an object"));
    }
    serde_json::from_slice(bytes)
}

/// Whether a media type is one of an index of manifests.
pub(super) fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Go writes `null` for empty lists and maps in places.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str, media_type: &str) -> Manifest {
        let bytes = text.as_bytes().to_vec();
        Manifest {
            digest: Digest::of(&bytes),
            bytes,
            media_type: media_type.to_owned(),
        }
    }

    fn with_layers(layers: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"{OCI_CONFIG}","size":2,"digest":"sha256:00"}},"layers":[{layers}]}}"#
        )
    }

    #[test]
    fn what_is_no_image_manifest_is_refused_each_with_its_own_error() {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert!(matches!(
            ImageManifest::parse(&manifest(&index, OCI_INDEX)),
            Err(Error::Index)
        ));
        let disguised = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(
            ImageManifest::parse(&manifest(disguised, OCI_MANIFEST)),
            Err(Error::Index)
        ));
        for not_json in ["", "not JSON", "[]", "{\"layers\":7}", "\u{0}"] {
            let parsed = ImageManifest::parse(&manifest(not_json, OCI_MANIFEST));
            assert!(matches!(parsed, Err(Error::Json(_))), "{not_json}");
        }
        let old = r#"{"schemaVersion":1,"name":"x","config":{}}"#;
        assert!(matches!(
            ImageManifest::parse(&manifest(old, "")),
            Err(Error::Kind { .. })
        ));
        assert!(matches!(
            ImageManifest::parse(&manifest("{}", OCI_MANIFEST)),
            Err(Error::Kind { .. })
        ));
        let foreign = with_layers("").replace(OCI_MANIFEST, "application/vnd.example");
        assert!(matches!(
            ImageManifest::parse(&manifest(&foreign, OCI_MANIFEST)),
            Err(Error::Kind { .. })
        ));
        let long = format!("{}{}", with_layers(""), " ".repeat(MOST_BYTES));
        assert!(matches!(
            ImageManifest::parse(&manifest(&long, OCI_MANIFEST)),
            Err(Error::Size { .. })
        ));
        let bad = with_layers(r#"{"mediaType":"a","size":1,"digest":"x"},["a",1,"x"]"#);
        let parsed = ImageManifest::parse(&manifest(&bad, OCI_MANIFEST));
        assert!(matches!(parsed, Err(Error::Layer { position: 1, .. })));
    }

    #[test]
    fn a_thousand_layers_are_read_and_one_more_is_not() {
        let layer = r#"{"mediaType":"a","size":1,"digest":"sha256:x"}"#;
        let full = with_layers(&vec![layer; MOST_LAYERS].join(","));
        let mut parsed =
            ImageManifest::parse(&manifest(&full, OCI_MANIFEST)).expect("this many are allowed");
        assert_eq!(parsed.layers().len(), MOST_LAYERS);
        parsed.push(Layer::of(&Signed::image_signature(b"{}".to_vec(), b"sig")));
        assert!(matches!(
            parsed.encode(),
            Err(Error::Layers { count: 1001 })
        ));
        let over = with_layers(&vec![layer; MOST_LAYERS + 1].join(","));
        let parsed = ImageManifest::parse(&manifest(&over, OCI_MANIFEST));
        assert!(matches!(parsed, Err(Error::Layers { count: 1001 })));
    }

    #[test]
    fn what_others_wrote_around_and_into_the_layers_is_kept_byte_for_byte() {
        let layer = r#"{ "digest": "sha512:abc", "size":3, "urls":["x"], "mediaType":"text/plain", "annotations":{"b":"<","a":"\u003c"}, "data":"aGk=" }"#;
        let text = with_layers(layer).replace(
            "]}",
            r#"],"annotations":{"note": "kept"},"subject":{"digest":"sha256:1"},"artifactType":"x/y"}"#,
        );
        let mut parsed = ImageManifest::parse(&manifest(&text, OCI_MANIFEST))
            .expect("this is an image manifest");
        parsed.push(Layer::of(&Signed::image_signature(b"{}".to_vec(), b"sig")));
        let encoded = String::from_utf8(parsed.encode().expect("two layers fit").manifest.into())
            .expect("JSON");
        assert!(encoded.contains(layer), "{encoded}");
        assert!(encoded.ends_with(
            r#"],"annotations":{"note": "kept"},"subject":{"digest":"sha256:1"},"artifactType":"x/y"}"#
        ));
    }

    #[test]
    fn null_lists_and_maps_are_empty_ones() {
        let text = with_layers("").replace("[]", "null");
        let parsed = ImageManifest::parse(&manifest(&text, "")).expect("Go writes this");
        assert!(parsed.layers().is_empty());
        let text =
            with_layers(r#"{"mediaType":"a","size":1,"digest":"sha256:x","annotations":null}"#);
        let parsed = ImageManifest::parse(&manifest(&text, "")).expect("Go writes this");
        assert!(parsed.layers()[0].annotations().is_empty());
    }
}
