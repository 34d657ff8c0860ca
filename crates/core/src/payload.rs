//! Payloads: bytes made once, and what they speak of.
//!
//! A later stage signs, stores and indexes by `subjects` and never parses the bytes again.

use std::borrow::Cow;

use crate::cosign;
use crate::reference::{DigestRef, TaggedImage};
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
    name: Option<String>,
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
            name: None,
        }
    }

    /// The simple-signing payload of `image`.
    #[must_use]
    pub fn simple_signing(image: &DigestRef) -> Self {
        Self {
            kind: PayloadKind::SimpleSigning,
            bytes: SimpleSigning::of(image).to_bytes(),
            subjects: vec![Subject::of_image(image)],
            name: None,
        }
    }

    /// The simple-signing payload of an image under a name with a tag, for readers that compare the name with the one they were asked for:
    /// containers/image by default, and with it OpenShift. It goes beside the one without, which everybody else reads.
    #[must_use]
    pub fn simple_signing_as(image: &TaggedImage) -> Self {
        Self {
            kind: PayloadKind::SimpleSigning,
            bytes: SimpleSigning::of_tagged(image).to_bytes(),
            subjects: vec![Subject::of_image(image.image())],
            name: Some(image.name()),
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

    /// The name with a tag, `repository:tag`, that it says of its image beside the digest.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The Statement that says the same as a simple-signing document: an image signature in a bundle is over that. A Statement stands for
    /// itself. There is none that says a name: cosign's has the digest alone.
    #[must_use]
    pub fn as_statement(&self) -> Option<Cow<'_, [u8]>> {
        match self.kind {
            PayloadKind::Statement { .. } => Some(Cow::Borrowed(&self.bytes)),
            PayloadKind::SimpleSigning if self.name.is_some() => None,
            PayloadKind::SimpleSigning => {
                let image = self.subjects.first();
                let hex = image.and_then(|subject| subject.digest.get("sha256"));
                let hex = hex.expect("simple_signing gives it the image as its subject");
                Some(Cow::Owned(cosign::sign_statement(hex)))
            }
        }
    }

    /// The predicate type of [`Self::as_statement`], where there is one.
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
