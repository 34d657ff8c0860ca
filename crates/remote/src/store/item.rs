//! What is stored: a layer or a bundle in memory, or one in a file.

use std::collections::BTreeMap;

use bytes::Bytes;
use tekseal_core::{Digest, ImageRef, Signed, SimpleSigning, bundle, cosign};

use crate::FileBlob;
use crate::body::Content;

/// An attestation whose envelope or bundle is in a file, because it is too large for memory.
#[derive(Clone, Debug)]
pub struct SignedFile {
    media_type: &'static str,
    blob: FileBlob,
    annotations: BTreeMap<String, String>,
}

impl SignedFile {
    /// An attestation: `envelope` is around a Statement of this predicate type.
    #[must_use]
    pub fn attestation(envelope: FileBlob, predicate_type: &str) -> Self {
        Self {
            media_type: cosign::DSSE_MEDIA_TYPE,
            blob: envelope,
            annotations: cosign::attestation_annotations(predicate_type),
        }
    }

    /// A bundle around a Statement of this predicate type.
    #[must_use]
    pub fn bundle(bundle: FileBlob, predicate_type: &str) -> Self {
        Self {
            media_type: bundle::MEDIA_TYPE_V03,
            blob: bundle,
            annotations: bundle::annotations(predicate_type),
        }
    }

    /// Whether it is a bundle.
    #[must_use]
    pub fn is_bundle(&self) -> bool {
        bundle::is_media_type(self.media_type)
    }
}

/// One item of an append.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Held(Signed),
    File(SignedFile),
}

impl Item {
    pub(super) fn media_type(&self) -> &str {
        match self {
            Self::Held(signed) => signed.media_type(),
            Self::File(file) => file.media_type,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Held(signed) => signed.layer_digest(),
            Self::File(file) => file.blob.digest().clone(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Held(signed) => signed.layer().len() as u64,
            Self::File(file) => file.blob.size(),
        }
    }

    pub(super) fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Held(signed) => signed.annotations(),
            Self::File(file) => &file.annotations,
        }
    }

    /// Whether it is an image signature that says a name with a tag.
    pub(super) fn says_name(&self) -> bool {
        let Self::Held(signed) = self else {
            return false;
        };
        if signed.media_type() != cosign::SIMPLE_SIGNING_MEDIA_TYPE {
            return false;
        }
        let name = SimpleSigning::parse(signed.layer())
            .ok()
            .and_then(|read| ImageRef::parse(&read.critical.identity.docker_reference).ok());
        name.is_some_and(|name| name.tag.is_some())
    }

    /// The layer, if it is in memory.
    pub(super) fn held(&self) -> Option<&Signed> {
        match self {
            Self::Held(signed) => Some(signed),
            Self::File(_) => None,
        }
    }

    /// What is uploaded; not a copy.
    pub(super) fn content(&self) -> Content {
        match self {
            Self::Held(signed) => Content::Held(Bytes::from_owner(Layer(signed.clone()))),
            Self::File(file) => Content::File(file.blob.clone()),
        }
    }
}

/// The content of a layer, as it is sent without being copied.
struct Layer(Signed);

impl AsRef<[u8]> for Layer {
    fn as_ref(&self) -> &[u8] {
        self.0.layer()
    }
}
