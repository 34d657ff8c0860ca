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
use crate::evidence::{self, LogEntry};

/// One signature or attestation as a layer: media type, exact bytes, annotations; those of a bundle stand on its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    media_type: String,
    /// Shared: a Statement may have megabytes, and is stored in several places at once.
    content: Arc<Vec<u8>>,
    annotations: BTreeMap<String, String>,
}

/// Why evidence cannot be stored with a signature.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A layer has room for one entry and one timestamp.
    #[error("a layer has the annotation {0} once, and there are several for it")]
    Several(String),
    /// A layer shows a promise, and no proof: Rekor v2 makes none.
    #[error(
        "the log entry has no promise, which is all that a layer can show of it; store it in a bundle"
    )]
    NoPromise,
    /// Nobody could read the bundle.
    #[error("the bundle cannot hold it")]
    Bundle(#[from] bundle::Error),
    /// An entry that says nothing of its kind.
    #[error("the bundle cannot hold it")]
    Kind(#[from] bundle::NoKind),
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

    /// The bundle of an envelope that the key of a certificate (DER) has signed: see [`Bundle::of_certificate`].
    #[must_use]
    pub fn bundle_of_certificate(
        envelope: &Envelope,
        certificate: &[u8],
        predicate_type: &str,
    ) -> Self {
        let bytes = Bundle::of_certificate(envelope, certificate).to_bytes();
        let bytes = bytes.expect("a bundle of a certificate has no log entries");
        Self::bundle_of_bytes(bytes, predicate_type)
    }

    /// The same layer with the certificate of the key that signed it, and those above it, both PEM, as cosign annotates them. The chain may be empty.
    #[must_use]
    pub fn with_certificate(mut self, certificate: &str, chain: &str) -> Self {
        for (name, text) in [
            (cosign::CERTIFICATE_ANNOTATION, certificate),
            (cosign::CHAIN_ANNOTATION, chain),
        ] {
            self.annotations.insert(name.to_owned(), text.to_owned());
        }
        self
    }

    /// The same with what logs and timestamp authorities answered, as cosign writes it: in annotations of a layer, or in the bundle itself. Evidence
    /// that it has already stays where it is. `timestamps` are DER TimeStampResp.
    ///
    /// # Errors
    /// For more than a layer can have, for an entry that proves nothing in a layer, and for a bundle that is none.
    pub fn with_evidence(
        &self,
        entries: &[LogEntry],
        timestamps: &[Vec<u8>],
    ) -> Result<Self, EvidenceError> {
        if self.is_bundle() {
            return self.bundle_with(entries, timestamps);
        }
        let mut annotations = self.annotations.clone();
        let mut annotate = |name: &str, text: String| {
            let before = annotations.insert(name.to_owned(), text);
            match before.is_none_or(|before| before.is_empty()) {
                true => Ok(()),
                false => Err(EvidenceError::Several(name.to_owned())),
            }
        };
        for entry in entries {
            let text = entry.to_cosign_annotation();
            annotate(
                cosign::BUNDLE_ANNOTATION,
                text.ok_or(EvidenceError::NoPromise)?,
            )?;
        }
        for timestamp in timestamps {
            let text = evidence::timestamp_annotation(timestamp);
            annotate(cosign::TIMESTAMP_ANNOTATION, text)?;
        }
        Ok(Self {
            annotations,
            ..self.clone()
        })
    }

    fn bundle_with(
        &self,
        entries: &[LogEntry],
        timestamps: &[Vec<u8>],
    ) -> Result<Self, EvidenceError> {
        let mut bundle = Bundle::parse(&self.content)?;
        bundle.evidence.entries.extend_from_slice(entries);
        bundle.evidence.timestamps.extend_from_slice(timestamps);
        let bytes = bundle.to_bytes()?;
        // What its own reader does not take, nobody's does: two entries at one place of a log, one without a proof, too many.
        Bundle::parse(&bytes)?;
        Ok(Self {
            content: Arc::new(bytes),
            ..self.clone()
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Evidence;
    use crate::samples;

    /// The layers of cosign's that have this annotation, without their evidence, and as they were.
    fn annotated(name: &str) -> Vec<(String, Signed, BTreeMap<String, String>)> {
        let layers = samples::layers().into_iter();
        let layers = layers.filter(|layer| layer.annotations.contains_key(name));
        let bare = |layer: samples::Layer| {
            let mut annotations = layer.annotations.clone();
            annotations.remove(cosign::BUNDLE_ANNOTATION);
            annotations.remove(cosign::TIMESTAMP_ANNOTATION);
            let signed = Signed::fetched(layer.media_type, layer.content, annotations);
            (layer.case, signed, layer.annotations)
        };
        layers.map(bare).collect()
    }

    #[test]
    fn evidence_is_annotated_in_the_bytes_of_cosign() {
        for name in [cosign::BUNDLE_ANNOTATION, cosign::TIMESTAMP_ANNOTATION] {
            let all = annotated(name);
            assert!(!all.is_empty(), "{name}");
            for (case, bare, wanted) in all {
                let evidence = Evidence::of_annotations(&wanted).expect("cosign's");
                let written = bare.with_evidence(&evidence.entries, &evidence.timestamps);
                let written = written.expect("there is room");
                assert_eq!(written.annotations(), &wanted, "{case}");
                assert_eq!(written.layer(), bare.layer(), "{case}");
                let again = written.with_evidence(&evidence.entries, &evidence.timestamps);
                assert!(
                    matches!(again, Err(EvidenceError::Several(_))),
                    "{case}: {again:?}"
                );
            }
        }
    }

    #[test]
    fn evidence_is_put_into_a_bundle_in_the_bytes_of_cosign() {
        let mut count = 0;
        for (case, bytes) in samples::bundles() {
            let mut bundle = Bundle::parse(&bytes).expect("cosign's");
            let evidence = std::mem::take(&mut bundle.evidence);
            bundle.evidence.certificate = evidence.certificate;
            let bare = bundle.to_bytes().expect("it has no entry");
            let bare = Signed::bundle_of_bytes(bare, "urn:t");
            let written = bare.with_evidence(&evidence.entries, &evidence.timestamps);
            let written = written.expect("there is room");
            assert_eq!(
                String::from_utf8_lossy(written.layer()),
                String::from_utf8_lossy(&bytes),
                "{case}"
            );
            assert_eq!(written.annotations(), bare.annotations());
            count += evidence.entries.len();
            if !evidence.entries.is_empty() {
                let twice = written.with_evidence(&evidence.entries, &[]);
                assert!(matches!(twice, Err(EvidenceError::Bundle(_))), "{case}");
            }
        }
        assert!(count > 5, "{count}");
    }

    #[test]
    fn a_certificate_is_annotated_in_the_bytes_of_cosign() {
        let mut count = 0;
        for (case, bare, wanted) in annotated(cosign::CERTIFICATE_ANNOTATION) {
            let mut without = bare.annotations().clone();
            let [certificate, chain] = [cosign::CERTIFICATE_ANNOTATION, cosign::CHAIN_ANNOTATION]
                .map(|name| without.remove(name).expect("both are there"));
            let (media_type, content) = (bare.media_type().to_owned(), bare.layer().to_vec());
            let layer = Signed::fetched(media_type, content, without);
            let written = layer.with_certificate(&certificate, &chain);
            assert_eq!(written, bare, "{case}");
            let found = Evidence::of_annotations(written.annotations()).expect("cosign's");
            let of_wanted = Evidence::of_annotations(&wanted).expect("cosign's");
            assert_eq!(found.certificate, of_wanted.certificate, "{case}");
            count += 1;
        }
        assert!(count > 1, "{count}");
    }

    #[test]
    fn an_entry_without_a_promise_is_in_no_layer() {
        let bundle = Bundle::parse(&samples::bundle("sign-v3-bundle-rekor2-tsa"));
        let evidence = bundle.expect("cosign's").evidence;
        let layer = Signed::image_signature(b"{}".to_vec(), b"sig");
        let refused = layer.with_evidence(&evidence.entries, &[]);
        assert!(matches!(refused, Err(EvidenceError::NoPromise)));
    }
}
