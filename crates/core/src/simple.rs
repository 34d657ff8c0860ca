//! Simple signing: the small JSON document that an image signature signs.
//!
//! Specification: <https://github.com/containers/image/blob/main/docs/containers-signature.5.md>, as cosign writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::gojson;
use crate::reference::{DigestRef, TaggedImage};

/// What cosign and Chains put into `critical.type`.
pub const SIGNATURE_TYPE: &str = "cosign container image signature";

/// A simple-signing document. Field order is the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimpleSigning {
    /// What a reader must understand.
    pub critical: Critical,
    /// Annotations given by the signer, `null` when there are none.
    #[serde(default)]
    pub optional: Option<BTreeMap<String, serde_json::Value>>,
}

/// The part that a reader must understand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Critical {
    /// Which name the image was signed under.
    #[serde(default)]
    pub identity: Identity,
    /// Which image was signed.
    pub image: Image,
    /// What kind of signature this is.
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// The name an image was signed under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Repository without tag and digest, unless the signer chose another text.
    #[serde(rename = "docker-reference", default)]
    pub docker_reference: String,
}

/// The image that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:<hex>` of the manifest or index.
    #[serde(rename = "docker-manifest-digest")]
    pub docker_manifest_digest: String,
}

impl SimpleSigning {
    /// The document for `image`, without annotations, as Chains and `cosign sign` write it.
    #[must_use]
    pub fn of(image: &DigestRef) -> Self {
        Self::with_name(image, image.repository.to_string())
    }

    /// The document for an image under a name with a tag, as `cosign sign --sign-container-identity` writes it.
    #[must_use]
    pub fn of_tagged(image: &TaggedImage) -> Self {
        Self::with_name(image.image(), image.name())
    }

    fn with_name(image: &DigestRef, docker_reference: String) -> Self {
        Self {
            critical: Critical {
                identity: Identity { docker_reference },
                image: Image {
                    docker_manifest_digest: image.digest.to_string(),
                },
                kind: SIGNATURE_TYPE.to_owned(),
            },
            optional: None,
        }
    }

    /// The bytes to sign: compact JSON as Go's encoder writes it, without newline.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        gojson::to_vec(self)
    }

    /// Reads a document back.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        gojson::from_object(bytes)
    }

    /// Whether the document speaks of the image with this digest.
    #[must_use]
    pub fn is_of(&self, digest: &Digest) -> bool {
        self.critical.image.docker_manifest_digest == digest.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_cosign() {
        let digest = "sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333";
        let image = DigestRef::parse(&format!("registry.example.com/acme/app@{digest}"))
            .expect("well formed");
        assert_eq!(
            String::from_utf8_lossy(&SimpleSigning::of(&image).to_bytes()),
            format!(
                "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"registry.example.com/acme/app\"}},\
                 \"image\":{{\"docker-manifest-digest\":\"{digest}\"}},\
                 \"type\":\"cosign container image signature\"}},\"optional\":null}}"
            )
        );
        let tagged = TaggedImage::new(image.clone(), "1.0").expect("a tag");
        let (plain, named) = (SimpleSigning::of(&image), SimpleSigning::of_tagged(&tagged));
        let plain = String::from_utf8(plain.to_bytes()).expect("JSON");
        assert_eq!(
            String::from_utf8_lossy(&named.to_bytes()),
            plain.replace("acme/app\"", "acme/app:1.0\"")
        );
    }
}
