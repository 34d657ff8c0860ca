//! Decides whether what somebody else signed is true: the only way to a [`Verified`] value.
//!
//! ```text
//!  Signed (from anywhere) ─ Verifier::image_signature ─▶ Verified<SimpleSigning>
//!                         └ Verifier::attestation ─────▶ Verified<Statement>      or a Rejection with the reason
//! ```
//!
//! Checks and their order are those of `cosign verify` and `cosign verify-attestation` with `--key`: the signature comes
//! first, and nothing of a payload is believed or read before it holds. As in cosign, the media type of a layer, its
//! annotations (but for the signature), the `keyid` of an envelope and the `docker-reference` of a payload decide
//! nothing. Sizes are capped, for a registry may hand out anything.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_core::dsse::{self, IN_TOTO_PAYLOAD_TYPE};
use tekseal_core::{Digest, Envelope, Signed, SimpleSigning, Statement, cosign};

use crate::envelope_shape::EnvelopeShape;
use crate::public_key::{HashAlgorithm, PublicKey, VerifyError};
use crate::rejection::{Rejection, shortened};

/// Largest layer that is looked at, as in cosign: 128 MiB.
pub const LARGEST_LAYER: usize = 128 * 1024 * 1024;
/// Most subjects that a Statement may have.
pub const MOST_SUBJECTS: usize = 1024;
/// Most signatures that an envelope may have.
pub const MOST_SIGNATURES: usize = 100;

/// A value whose signature, and whose claim to speak of the image, have been verified.
///
/// Only [`Verifier`] makes one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    payload: Vec<u8>,
    layer: Vec<u8>,
    key: PublicKey,
}

impl<T> Verified<T> {
    /// The value.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The exact bytes that were signed: the simple-signing document or the Statement.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The exact bytes of the layer: the simple-signing document or the envelope.
    #[must_use]
    pub fn layer(&self) -> &[u8] {
        &self.layer
    }

    /// The key under which the signature is valid.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The fingerprint of that key, see [`PublicKey::fingerprint`].
    #[must_use]
    pub fn key_fingerprint(&self) -> String {
        self.key.fingerprint()
    }
}

/// Which predicate types an attestation may have.
#[derive(Clone, Copy, Debug)]
pub enum Types<'a> {
    /// Whatever it is.
    Any,
    /// One of these URIs; an empty list accepts none.
    OneOf(&'a [String]),
}

/// Verifies with a set of keys, any of which suffices.
pub struct Verifier {
    keys: Vec<PublicKey>,
    hash: HashAlgorithm,
}

/// Why no verifier can be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not one key.
    #[error("no public key to verify with")]
    NoKeys,
    /// A key that cannot verify over the hash.
    #[error("cannot verify with the key {fingerprint}")]
    Key {
        /// Which key.
        fingerprint: String,
        /// What is wrong with it.
        source: VerifyError,
    },
}

impl Verifier {
    /// A verifier that accepts the signatures of `keys` over `hash`.
    pub fn new(keys: Vec<PublicKey>, hash: HashAlgorithm) -> Result<Self, Error> {
        if keys.is_empty() {
            return Err(Error::NoKeys);
        }
        for key in &keys {
            key.supports(hash).map_err(|source| Error::Key {
                fingerprint: key.fingerprint(),
                source,
            })?;
        }
        Ok(Self { keys, hash })
    }

    /// Verifies an image signature: that one of the keys signed the layer, that it speaks of the image with `digest`,
    /// and that it carries all of `annotations` (`-a` of cosign; compared as strings).
    pub fn image_signature(
        &self,
        signed: &Signed,
        digest: &Digest,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Verified<SimpleSigning>, Rejection> {
        let payload = layer(signed)?;
        let signature = annotated_signature(signed)?;
        let key = self.signer_of(payload, &[signature])?;
        let value = SimpleSigning::parse(payload).map_err(Rejection::NotSimpleSigning)?;
        if !value.is_of(digest) {
            return Err(Rejection::OtherImage {
                found: shortened(&value.critical.image.docker_manifest_digest),
                wanted: digest.clone(),
            });
        }
        for (name, wanted) in annotations {
            let found = value.optional.as_ref().and_then(|all| all.get(name));
            if found.and_then(|value| value.as_str()) != Some(wanted) {
                return Err(Rejection::Annotation {
                    name: name.clone(),
                    wanted: wanted.clone(),
                    found: found.map_or_else(
                        || "nothing".to_owned(),
                        |value| shortened(&value.to_string()),
                    ),
                });
            }
        }
        Ok(Verified {
            value,
            payload: payload.to_vec(),
            layer: payload.to_vec(),
            key: key.clone(),
        })
    }

    /// Verifies an attestation: that one of the keys signed the envelope's payload, that any of its subjects is the
    /// image with `digest`, and that its predicate type is one of `types`.
    pub fn attestation(
        &self,
        signed: &Signed,
        digest: &Digest,
        types: Types<'_>,
    ) -> Result<Verified<Statement>, Rejection> {
        let layer = layer(signed)?;
        let envelope = read_envelope(layer)?;
        if envelope.payload_type != IN_TOTO_PAYLOAD_TYPE {
            return Err(Rejection::PayloadType(shortened(&envelope.payload_type)));
        }
        let payload = envelope
            .unverified_payload()
            .map_err(Rejection::NotAnEnvelope)?;
        let pae = dsse::pae(&envelope.payload_type, &payload);
        // A signature that is not base64 is a signature that does not verify; another one may.
        let signatures: Vec<_> = envelope
            .signatures
            .iter()
            .filter_map(|s| s.decoded().ok())
            .collect();
        let key = self.signer_of(&pae, &signatures)?;
        let value = Statement::parse(&payload).map_err(Rejection::NotAStatement)?;
        check_subjects(&value, digest)?;
        if let Types::OneOf(wanted) = types
            && !wanted.iter().any(|t| t == value.predicate_type())
        {
            return Err(Rejection::PredicateType {
                found: shortened(value.predicate_type()),
                wanted: wanted.to_vec(),
            });
        }
        Ok(Verified {
            value,
            payload,
            layer: layer.to_vec(),
            key: key.clone(),
        })
    }

    /// The key under which one of `signatures` over `message` is valid.
    fn signer_of(&self, message: &[u8], signatures: &[Vec<u8>]) -> Result<&PublicKey, Rejection> {
        self.keys
            .iter()
            .find(|key| {
                signatures
                    .iter()
                    .any(|signature| key.verify(self.hash, message, signature).is_ok())
            })
            .ok_or_else(|| Rejection::NoKeyMatches {
                signatures: signatures.len(),
                tried: self.keys.iter().map(PublicKey::fingerprint).collect(),
            })
    }
}

/// Whether `existing` already says what `new` says, signed by `key` over SHA-256.
///
/// Used to not add the same thing twice: the payloads must be the same bytes, a signature of `existing` must be valid
/// under `key`, and `existing` must carry every kind of annotation that `new` carries, lest one with a log entry be
/// held back for one without.
#[must_use]
pub fn same_signer(existing: &Signed, new: &Signed, key: &PublicKey) -> bool {
    let annotated = new
        .annotations()
        .keys()
        .all(|name| existing.annotations().contains_key(name));
    let holds = |message: &[u8], signature: &[u8]| {
        key.verify(HashAlgorithm::Sha256, message, signature)
            .is_ok()
    };
    if !annotated || layer(existing).is_err() {
        return false;
    }
    if new.media_type() != cosign::DSSE_MEDIA_TYPE {
        return existing.layer() == new.layer()
            && annotated_signature(existing)
                .is_ok_and(|signature| holds(existing.layer(), &signature));
    }
    let (Ok(old), Ok(new)) = (read_envelope(existing.layer()), read_envelope(new.layer())) else {
        return false;
    };
    let (Ok(payload), Ok(wanted)) = (old.unverified_payload(), new.unverified_payload()) else {
        return false;
    };
    if old.payload_type != new.payload_type || payload != wanted {
        return false;
    }
    let pae = dsse::pae(&old.payload_type, &payload);
    old.signatures.iter().any(|signature| {
        signature
            .decoded()
            .is_ok_and(|signature| holds(&pae, &signature))
    })
}

/// The bytes of the layer, if they are not too many.
fn layer(signed: &Signed) -> Result<&[u8], Rejection> {
    let layer = signed.unverified_payload();
    if layer.len() > LARGEST_LAYER {
        return Err(Rejection::LayerTooLarge(layer.len()));
    }
    Ok(layer)
}

/// The signature in the annotation of an image signature.
fn annotated_signature(signed: &Signed) -> Result<Vec<u8>, Rejection> {
    let text = signed
        .annotations()
        .get(cosign::SIGNATURE_ANNOTATION)
        .ok_or(Rejection::NoSignatureAnnotation)?;
    STANDARD.decode(text).map_err(Rejection::SignatureNotBase64)
}

/// The envelope, after its signatures have been counted: so many small ones fit into a layer that reading them all
/// would take gigabytes.
fn read_envelope(layer: &[u8]) -> Result<Envelope, Rejection> {
    let malformed = |source| Rejection::NotAnEnvelope(dsse::Error::Json(source));
    let shape: EnvelopeShape = serde_json::from_slice(layer).map_err(malformed)?;
    if shape.signatures() > MOST_SIGNATURES {
        return Err(Rejection::TooManySignatures(shape.signatures()));
    }
    Envelope::parse(layer).map_err(Rejection::NotAnEnvelope)
}

/// Whether any subject is the image with this digest.
fn check_subjects(statement: &Statement, digest: &Digest) -> Result<(), Rejection> {
    let subjects = statement.subjects();
    if subjects.len() > MOST_SUBJECTS {
        return Err(Rejection::TooManySubjects(subjects.len()));
    }
    if subjects.iter().any(|subject| {
        subject
            .digest
            .get("sha256")
            .is_some_and(|hex| hex == digest.hex())
    }) {
        return Ok(());
    }
    const SHOWN: usize = 5;
    let describe =
        |(algorithm, value): (&String, &String)| shortened(&format!("{algorithm}:{value}"));
    let mut found: Vec<_> = subjects
        .iter()
        .flat_map(|s| s.digest.iter().map(describe))
        .take(SHOWN + 1)
        .collect();
    if found.len() > SHOWN {
        found[SHOWN] = "…".to_owned();
    }
    Err(Rejection::OtherSubjects {
        found,
        wanted: digest.clone(),
    })
}

#[cfg(test)]
mod tests;
