//! Payloads: bytes made once, and what they speak of.
//!
//! A later stage signs, stores and indexes by `subjects` and never parses the bytes again.

use std::borrow::Cow;

use crate::cosign;
use crate::reference::DigestRef;
use crate::simple::SimpleSigning;
use crate::statement::Subject;

/// What a payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// An in-toto Statement.
    Statement {
        /// The configured name of the format that made it (`slsa/v1`), or the name it was given.
        format: String,
        /// The predicate type, a URI.
        predicate_type: String,
    },
    /// A simple-signing document, signed as it is.
    SimpleSigning,
}

/// Bytes to be signed and the subjects they speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    kind: PayloadKind,
    bytes: Vec<u8>,
    subjects: Vec<Subject>,
}

impl Payload {
    /// A Statement in its final bytes.
    #[must_use]
    pub fn statement(
        format: &str,
        predicate_type: &str,
        bytes: Vec<u8>,
        subjects: Vec<Subject>,
    ) -> Self {
        let kind = PayloadKind::Statement {
            format: format.to_owned(),
            predicate_type: predicate_type.to_owned(),
        };
        Self {
            kind,
            bytes,
            subjects,
        }
    }

    /// The simple-signing payload of `image`.
    #[must_use]
    pub fn simple_signing(image: &DigestRef) -> Self {
        Self {
            kind: PayloadKind::SimpleSigning,
            bytes: SimpleSigning::of(image).to_bytes(),
            subjects: vec![Subject::of_image(image)],
        }
    }

    /// What the payload is.
    #[must_use]
    pub fn kind(&self) -> &PayloadKind {
        &self.kind
    }

    /// The bytes to sign.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The Statement that says the same as a simple-signing document: an image signature in a bundle is over that. A Statement stands for
    /// itself.
    #[must_use]
    pub fn as_statement(&self) -> Cow<'_, [u8]> {
        match self.kind {
            PayloadKind::Statement { .. } => Cow::Borrowed(&self.bytes),
            PayloadKind::SimpleSigning => {
                let image = self.subjects.first();
                let hex = image.and_then(|subject| subject.digest.get("sha256"));
                let hex = hex.expect("simple_signing gives it the image as its subject");
                Cow::Owned(cosign::sign_statement(hex))
            }
        }
    }

    /// The predicate type of [`Self::as_statement`].
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        match &self.kind {
            PayloadKind::Statement { predicate_type, .. } => predicate_type,
            PayloadKind::SimpleSigning => cosign::SIGN_PREDICATE,
        }
    }

    /// What the payload speaks of.
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }
}
