//! Decides whether what somebody else signed is true: the only way to a [`Verified`] value.
//!
//! ```text
//!  Signed (from anywhere) ─ Verifier::image_signature ─▶ Verified<SimpleSigning>
//!                         ├ Verifier::attestation ─────▶ Verified<Statement>      or a Rejection with the reason
//!                         └ UnverifiedBundle::read ─ Verifier::{signature_bundle, attestation_bundle} ─▶ Verified<Statement>
//! ```
//!
//! Checks and their order are those of `cosign verify` and `cosign verify-attestation`: the signature comes
//! first, and nothing of a payload is believed or read before it holds. As in cosign, the media type of a layer, the `keyid` of an envelope and the
//! `docker-reference` of a payload decide nothing, nor does what came with a signature, unless something is trusted to judge it by
//! (`vouch`). Sizes are capped, for a registry may hand out anything.

mod vouch;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_core::bundle::{self, Bundle};
use tekseal_core::dsse::{self, IN_TOTO_PAYLOAD_TYPE};
use tekseal_core::{
    Digest, Envelope, Evidence, ResourceDescriptor, Signed, SimpleSigning, Statement, cosign,
    statement,
};

use crate::envelope_shape::EnvelopeShape;
use crate::identity::IdentityRule;
use crate::key_set::KeySet;
use crate::log::Enveloped;
use crate::public_key::{HashAlgorithm, PublicKey, VerifyError};
use crate::rejection::{Rejection, shortened};
use crate::trust::Trust;
use crate::verifying_key::VerifyingKey;

pub use vouch::{Identity, Needs, Voucher};
use vouch::{Spoken, Who};

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
    voucher: Voucher,
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

    /// Who signed it, and when.
    #[must_use]
    pub fn voucher(&self) -> &Voucher {
        &self.voucher
    }

    /// The key under which the signature is valid; with a certificate, its key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.voucher.key
    }

    /// The fingerprint of that key, see [`PublicKey::fingerprint`].
    #[must_use]
    pub fn key_fingerprint(&self) -> String {
        self.voucher.key.fingerprint()
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

/// What signatures may be over: one hash, or any of several. One is as good as the other, but only the first is what cosign tries unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes(Vec<HashAlgorithm>);

impl From<HashAlgorithm> for Hashes {
    fn from(hash: HashAlgorithm) -> Self {
        Self(vec![hash])
    }
}

impl Hashes {
    /// These; nothing, if there are none.
    #[must_use]
    pub fn of(hashes: Vec<HashAlgorithm>) -> Option<Self> {
        (!hashes.is_empty()).then_some(Self(hashes))
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, hash: HashAlgorithm) -> bool {
        self.0.contains(&hash)
    }

    /// Whether a key can verify over one of them at all.
    fn support(&self, key: &PublicKey) -> Result<(), VerifyError> {
        let mut supports = Ok(());
        for &hash in &self.0 {
            supports = key.supports(hash);
            if supports.is_ok() {
                break;
            }
        }
        supports
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let mut all = self.0.iter();
        all.any(|&hash| key.verify(hash, message, signature).is_ok())
    }
}

/// Verifies with a set of keys, any of which suffices, or by who the certificates say has signed.
pub struct Verifier {
    who: Who,
    hashes: Hashes,
    trust: Option<Arc<Trust>>,
    needs: Needs,
}

/// A Sigstore bundle and the Statement in it, read and not verified.
pub struct UnverifiedBundle<'a> {
    bytes: &'a [u8],
    evidence: Evidence,
    payload_type: String,
    payload: Vec<u8>,
    signature: Vec<u8>,
    statement: Result<Statement, statement::Error>,
}

/// Why no verifier can be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not one key.
    #[error("no public key to verify with")]
    NoKeys,
    /// A key that cannot verify over any of the hashes.
    #[error("cannot verify with the key {fingerprint}")]
    Key {
        /// Which key.
        fingerprint: String,
        /// What is wrong with it.
        source: VerifyError,
    },
}

impl Verifier {
    /// A verifier that accepts the signatures of `keys` over one of `hashes`, whenever they were made.
    pub fn new(keys: Vec<PublicKey>, hashes: impl Into<Hashes>) -> Result<Self, Error> {
        Self::of_key_set(KeySet::of(keys), hashes, 0)
    }

    /// A verifier that accepts the signatures of the keys of a set over one of `hashes`, each while the key was in use. What nothing proves the time of is taken
    /// to be made `now`, in seconds since 1970.
    pub fn of_key_set(keys: KeySet, hashes: impl Into<Hashes>, now: i64) -> Result<Self, Error> {
        let hashes = hashes.into();
        if keys.keys().is_empty() {
            return Err(Error::NoKeys);
        }
        for entry in keys.keys() {
            hashes.support(&entry.key).map_err(|source| Error::Key {
                fingerprint: entry.key.fingerprint(),
                source,
            })?;
        }
        Ok(Self {
            who: Who::Keys(keys),
            hashes,
            trust: None,
            needs: Needs {
                now,
                ..Needs::default()
            },
        })
    }

    /// A verifier that accepts signatures over one of `hashes` of certificates for which `rule` holds.
    #[must_use]
    pub fn of_identity(
        rule: IdentityRule,
        hashes: impl Into<Hashes>,
        trust: Arc<Trust>,
        needs: Needs,
    ) -> Self {
        Self {
            who: Who::Identity(rule),
            hashes: hashes.into(),
            trust: Some(trust),
            needs,
        }
    }

    /// The same verifier, which also judges what came with a signature: entries of trusted logs and times of trusted authorities must hold, and
    /// those that `needs` names must be there. What comes from others is passed over.
    #[must_use]
    pub fn trusting(mut self, trust: Arc<Trust>, needs: Needs) -> Self {
        self.trust = Some(trust);
        self.needs = needs;
        self
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
        let signatures = [annotated_signature(signed)?];
        let voucher = self.vouch(&Spoken {
            message: payload,
            signatures: &signatures,
            enveloped: None,
            stamped: None,
            evidence: &|| Evidence::of_annotations(signed.annotations()),
        })?;
        let value = SimpleSigning::parse(payload).map_err(Rejection::NotSimpleSigning)?;
        if !value.is_of(digest) {
            return Err(Rejection::OtherImage {
                found: shortened(&value.critical.image.docker_manifest_digest),
                wanted: digest.clone(),
            });
        }
        check_annotations(annotations, |name| value.optional.as_ref()?.get(name))?;
        Ok(Verified {
            value,
            payload: payload.to_vec(),
            layer: payload.to_vec(),
            voucher,
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
        let voucher = self.vouch(&Spoken {
            message: &pae,
            signatures: &signatures,
            enveloped: Some(Enveloped {
                payload: &payload,
                stored: Some(layer),
            }),
            stamped: Some(layer),
            evidence: &|| Evidence::of_annotations(signed.annotations()),
        })?;
        let value = Statement::parse(&payload).map_err(Rejection::NotAStatement)?;
        subjects_of(&value, digest)?;
        types.check(&value)?;
        Ok(Verified {
            value,
            payload,
            layer: layer.to_vec(),
            voucher,
        })
    }

    /// Verifies a bundle that is an image signature, as cosign 3 makes them: its predicate type is [`cosign::SIGN_PREDICATE`], and the subject that is
    /// the image carries all of `annotations`.
    pub fn signature_bundle(
        &self,
        bundle: UnverifiedBundle<'_>,
        digest: &Digest,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Verified<Statement>, Rejection> {
        let verified = self.bundle(bundle)?;
        let statement = &verified.value;
        let subjects = subjects_of(statement, digest)?;
        if statement.predicate_type() != cosign::SIGN_PREDICATE {
            return Err(Rejection::NotASignature(shortened(
                statement.predicate_type(),
            )));
        }
        check_annotations(annotations, |name| {
            subjects
                .iter()
                .find_map(|subject| subject.annotations.get(name))
        })?;
        Ok(verified)
    }

    /// Verifies a bundle that is an attestation; an image signature is none, unless `types` names it.
    pub fn attestation_bundle(
        &self,
        bundle: UnverifiedBundle<'_>,
        digest: &Digest,
        types: Types<'_>,
    ) -> Result<Verified<Statement>, Rejection> {
        let verified = self.bundle(bundle)?;
        subjects_of(&verified.value, digest)?;
        types.check(&verified.value)?;
        Ok(verified)
    }

    /// Verifies who signed the Statement of a bundle, and nothing of what it says.
    fn bundle(&self, bundle: UnverifiedBundle<'_>) -> Result<Verified<Statement>, Rejection> {
        if bundle.payload_type != IN_TOTO_PAYLOAD_TYPE {
            return Err(Rejection::PayloadType(shortened(&bundle.payload_type)));
        }
        let pae = dsse::pae(&bundle.payload_type, &bundle.payload);
        let voucher = self.vouch(&Spoken {
            message: &pae,
            signatures: std::slice::from_ref(&bundle.signature),
            enveloped: Some(Enveloped {
                payload: &bundle.payload,
                stored: None,
            }),
            stamped: None,
            evidence: &|| Ok(bundle.evidence.clone()),
        })?;
        Ok(Verified {
            value: bundle.statement.map_err(Rejection::NotAStatement)?,
            payload: bundle.payload,
            layer: bundle.bytes.to_vec(),
            voucher,
        })
    }
}

impl Types<'_> {
    fn check(self, statement: &Statement) -> Result<(), Rejection> {
        let found = statement.predicate_type();
        match self {
            Self::Any if found == cosign::SIGN_PREDICATE => Err(Rejection::NotAnAttestation),
            Self::OneOf(wanted) if !wanted.iter().any(|t| t == found) => {
                Err(Rejection::PredicateType {
                    found: shortened(found),
                    wanted: wanted.to_vec(),
                })
            }
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

impl<'a> UnverifiedBundle<'a> {
    /// Reads the bundle that was handed out as this layer.
    pub fn read(signed: &'a Signed) -> Result<Self, Rejection> {
        let bytes = layer(signed)?;
        let bundle = Bundle::parse(bytes).map_err(Rejection::NotABundle)?;
        let bundle::Content::Envelope(envelope) = bundle.content else {
            return Err(Rejection::NoEnvelope);
        };
        let payload = envelope
            .unverified_payload()
            .map_err(Rejection::NotAnEnvelope)?;
        let signature = envelope.signatures.first().ok_or(Rejection::NoEnvelope)?;
        Ok(Self {
            bytes,
            evidence: bundle.evidence,
            signature: signature.decoded().map_err(Rejection::NotAnEnvelope)?,
            payload_type: envelope.payload_type,
            statement: Statement::parse(&payload),
            payload,
        })
    }

    /// Whether it says that it is an image signature, and not an attestation. Nothing of it is verified: this only tells which of both to verify it as.
    #[must_use]
    pub fn says_signature(&self) -> bool {
        self.statement
            .as_ref()
            .is_ok_and(|statement| statement.predicate_type() == cosign::SIGN_PREDICATE)
    }
}

/// Whether `existing` already says what `new` says, signed by `key` over its hash.
///
/// Used to not add the same thing twice: the payloads must be the same bytes, a signature of `existing` must be valid
/// under `key`, and `existing` must carry every kind of annotation that `new` carries, lest one with a log entry be
/// held back for one without; and the same certificate, lest one be held back for what nobody can verify.
#[must_use]
pub fn same_signer(existing: &Signed, new: &Signed, key: &VerifyingKey) -> bool {
    let annotated = new
        .annotations()
        .keys()
        .all(|name| existing.annotations().contains_key(name));
    let holds = |message: &[u8], signature: &[u8]| key.verify(message, signature).is_ok();
    let certificate = cosign::CERTIFICATE_ANNOTATION;
    let wanted = new.annotations().get(certificate);
    let is_certified = wanted.is_none() || existing.annotations().get(certificate) == wanted;
    if !annotated || !is_certified || layer(existing).is_err() {
        return false;
    }
    if new.is_bundle() {
        return existing.layer() == new.layer()
            && UnverifiedBundle::read(existing).is_ok_and(|bundle| {
                let pae = dsse::pae(&bundle.payload_type, &bundle.payload);
                holds(&pae, &bundle.signature)
            });
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
pub(crate) fn layer(signed: &Signed) -> Result<&[u8], Rejection> {
    let layer = signed.unverified_payload();
    if layer.len() > LARGEST_LAYER {
        return Err(Rejection::LayerTooLarge(layer.len()));
    }
    Ok(layer)
}

/// The signature in the annotation of an image signature.
pub(crate) fn annotated_signature(signed: &Signed) -> Result<Vec<u8>, Rejection> {
    let text = signed
        .annotations()
        .get(cosign::SIGNATURE_ANNOTATION)
        .ok_or(Rejection::NoSignatureAnnotation)?;
    STANDARD.decode(text).map_err(Rejection::SignatureNotBase64)
}

/// The envelope, after its signatures have been counted: so many small ones fit into a layer that reading them all
/// would take gigabytes.
pub(crate) fn read_envelope(layer: &[u8]) -> Result<Envelope, Rejection> {
    let malformed = |source| Rejection::NotAnEnvelope(dsse::Error::Json(source));
    let shape: EnvelopeShape = serde_json::from_slice(layer).map_err(malformed)?;
    if shape.signatures() > MOST_SIGNATURES {
        return Err(Rejection::TooManySignatures(shape.signatures()));
    }
    Envelope::parse(layer).map_err(Rejection::NotAnEnvelope)
}

/// Whether all of `wanted` are there, as `found` has them; they are compared as strings.
fn check_annotations<'a>(
    wanted: &BTreeMap<String, String>,
    found: impl Fn(&str) -> Option<&'a serde_json::Value>,
) -> Result<(), Rejection> {
    for (name, wanted) in wanted {
        let found = found(name);
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
    Ok(())
}

/// The subjects that are the image with this digest; at least one is.
fn subjects_of<'a>(
    statement: &'a Statement,
    digest: &Digest,
) -> Result<Vec<&'a ResourceDescriptor>, Rejection> {
    let subjects = statement.subjects();
    if subjects.len() > MOST_SUBJECTS {
        return Err(Rejection::TooManySubjects(subjects.len()));
    }
    let is_image = |subject: &&ResourceDescriptor| {
        subject
            .digest
            .get("sha256")
            .is_some_and(|hex| hex == digest.hex())
    };
    let images: Vec<_> = subjects.iter().filter(is_image).collect();
    if !images.is_empty() {
        return Ok(images);
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
