//! What is appended to a tag: a layer in memory, or one in a file.

use std::collections::BTreeMap;

use bytes::Bytes;
use tekseal_core::{Digest, Signed, cosign};

use crate::FileBlob;
use crate::body::Content;

/// An attestation whose envelope is in a file, because it is too large for memory.
#[derive(Clone, Debug)]
pub struct SignedFile {
    blob: FileBlob,
    annotations: BTreeMap<String, String>,
}

impl SignedFile {
    /// An attestation: `envelope` is around a Statement of this predicate type.
    #[must_use]
    pub fn attestation(envelope: FileBlob, predicate_type: &str) -> Self {
        Self {
            blob: envelope,
            annotations: cosign::attestation_annotations(predicate_type),
        }
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
            Self::File(_) => cosign::DSSE_MEDIA_TYPE,
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
