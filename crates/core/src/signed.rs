//! A payload with its signature, in the shape in which it is stored: one layer of cosign's `.sig` or `.att` image, or a Sigstore bundle.
//!
//! The same type comes back from a registry, and then nothing in it is true yet: only `tekseal-signing` turns it into
//! something verified. Its payload is private for that reason; `unverified_payload` exists for the verifier and for error text.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bundle::{self, Bundle};
use crate::cosign;
use crate::digest::Digest;
use crate::dsse::Envelope;

/// One signature or attestation as a layer: media type, exact bytes, annotations; those of a bundle stand on its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    media_type: String,
    /// Shared: a Statement may have megabytes, and is stored in several places at once.
    content: Arc<Vec<u8>>,
    annotations: BTreeMap<String, String>,
}

impl Signed {
    /// An image signature: `payload` is the simple-signing document, `signature` is over it (DER for ECDSA).
    #[must_use]
    pub fn image_signature(payload: Vec<u8>, signature: &[u8]) -> Self {
        Self {
            media_type: cosign::SIMPLE_SIGNING_MEDIA_TYPE.to_owned(),
            content: Arc::new(payload),
            annotations: BTreeMap::from([(
                cosign::SIGNATURE_ANNOTATION.to_owned(),
                STANDARD.encode(signature),
            )]),
        }
    }

    /// An attestation: an envelope around a Statement of this predicate type.
    #[must_use]
    pub fn attestation(envelope: &Envelope, predicate_type: &str) -> Self {
        Self::attestation_of_bytes(envelope.to_bytes(), predicate_type)
    }

    /// An attestation from the envelope's exact bytes, as they were written to a file.
    #[must_use]
    pub fn attestation_of_bytes(envelope: Vec<u8>, predicate_type: &str) -> Self {
        Self {
            media_type: cosign::DSSE_MEDIA_TYPE.to_owned(),
            content: Arc::new(envelope),
            annotations: cosign::attestation_annotations(predicate_type),
        }
    }

    /// A bundle around an envelope whose Statement has this predicate type, from the bundle's exact bytes.
    #[must_use]
    pub fn bundle_of_bytes(bundle: Vec<u8>, predicate_type: &str) -> Self {
        Self {
            media_type: bundle::MEDIA_TYPE_V03.to_owned(),
            content: Arc::new(bundle),
            annotations: bundle::annotations(predicate_type),
        }
    }

    /// The bundle of an envelope that a key has signed: see [`Bundle::of_key`].
    #[must_use]
    pub fn bundle_of_key(envelope: &Envelope, spki: &[u8], predicate_type: &str) -> Self {
        let bytes = Bundle::of_key(envelope, spki).to_bytes();
        let bytes = bytes.expect("a bundle of a key has no log entries");
        Self::bundle_of_bytes(bytes, predicate_type)
    }

    /// What a registry handed out. Nothing of it is verified.
    #[must_use]
    pub fn fetched(
        media_type: String,
        content: Vec<u8>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        Self {
            media_type,
            content: Arc::new(content),
            annotations,
        }
    }

    /// Whether it is a bundle, which hangs on an image by itself, and not a layer under one of cosign's tags.
    #[must_use]
    pub fn is_bundle(&self) -> bool {
        bundle::is_media_type(&self.media_type)
    }

    /// Media type of the layer.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The exact bytes of the layer: the simple-signing payload, or the envelope.
    #[must_use]
    pub fn layer(&self) -> &[u8] {
        &self.content
    }

    /// Digest of the layer.
    #[must_use]
    pub fn layer_digest(&self) -> Digest {
        Digest::of(&self.content)
    }

    /// Annotations of the layer.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The payload before any verification: for the verifier and for error text only.
    #[must_use]
    pub fn unverified_payload(&self) -> &[u8] {
        &self.content
    }
}
