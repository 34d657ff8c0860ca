//! What a transparency log and a timestamp authority are asked about a signature, and whether they answered that.
//!
//! ```text
//!              ┌─ proposal ───────────▶ log ──────────────▶ judge_entry (Trust) ─▶ LogEntry, Logged
//!  Unwitnessed ┤
//!              └─ timestamp_request ──▶ authority ────────▶ Request::judge (Trust) ─▶ Timestamp
//! ```
//!
//! An answer counts only if a verifier that trusts the same logs and authorities would accept it beside this very signature: what is judged here is
//! what [`log::verify`](crate::log::verify) and [`timestamp::verify`](crate::timestamp::verify) judge there. And more, since here it is known who
//! was asked, and when: the key of a log that was retired may be anybody's by now, and vouches well for its own past.

use std::borrow::Cow;

use tekseal_core::bundle::{self, Bundle, Content};
use tekseal_core::digest::hex;
use tekseal_core::evidence::{EntryError, LogEntry};
use tekseal_core::proposal::{self, Signatory, SignatoryKind};
use tekseal_core::{Evidence, Signed, cosign, dsse};

use crate::certificate::{self, Certificate};
use crate::der::time as moment;
use crate::log::{self, Claim, Enveloped, Logged, Signer, leaf_hash};
use crate::pem;
use crate::public_key::KeyAlgorithm;
use crate::random::{self, Random};
use crate::rejection::{Rejection, shortened};
use crate::timestamp::Request;
use crate::trust::{Trust, host_of};
use crate::verifier::{annotated_signature, layer, read_envelope};
use crate::verifying_key::VerifyingKey;

/// In which form a log is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Rekor v1: `hashedrekord` for image signatures, and this kind for attestations and for all bundles.
    V1(EnvelopeEntry),
    /// Rekor v2, which has one kind for all.
    V2,
}

/// What an envelope is in a log of Rekor v1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvelopeEntry {
    /// `dsse` 0.0.1, with the signature in it.
    #[default]
    Dsse,
    /// `intoto` 0.0.1, the older one. It has no signature, and no reader of bundles takes it.
    InToto,
}

/// By what the answer of a log is judged: what is trusted, who was asked, and when.
#[derive(Clone, Copy, Debug)]
pub struct Bench<'a> {
    /// What is trusted.
    pub trust: &'a Trust,
    /// The URL of the log. Where the trusted root has logs at its host, the answer must be of one of them.
    pub url: &'a str,
    /// What time it is, seconds since 1970.
    pub now: i64,
}

/// For how long a log may have had its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It says that it has taken it in now.
    New,
    /// It had it before, or somebody else has.
    Any,
}

/// How far the clock of a log or an authority may be from ours, in seconds.
pub const MOST_SKEW: i64 = 3600;

/// A signature that is valid, and of which nobody else knows yet.
pub struct Unwitnessed<'a> {
    key: &'a VerifyingKey,
    certificate: Option<Vec<u8>>,
    signature: Vec<u8>,
    message: Cow<'a, [u8]>,
    envelope: Option<InEnvelope<'a>>,
}

/// What is in an envelope, and the envelope as a log is shown it.
struct InEnvelope<'a> {
    payload: Vec<u8>,
    bytes: Cow<'a, [u8]>,
    is_stored: bool,
}

/// Why a log cannot be asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unloggable {
    /// The log is sent the digest of what was signed, and such keys do not sign that, or not that digest.
    #[error(
        "logs that are sent a digest (Rekor v2, and Rekor v1 for image signatures in tags) take nothing that this {0} key signs; \
         Rekor v1 takes its attestations and bundles, and all logs take what an ECDSA P-256 key signs"
    )]
    Digest(KeyAlgorithm),
    /// Readers of bundles would not find it.
    #[error(
        "an intoto entry is not for bundles: their readers want a signature in the entry, dsse has it"
    )]
    InTotoBundle,
    /// Logs are shown an envelope as text.
    #[error("the envelope is not UTF-8")]
    Utf8,
}

/// Why the answer of a log is not the entry of this signature.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not an entry.
    #[error("the answer of the log is no entry")]
    Entry(#[from] EntryError),
    /// An entry that proves nothing of this signature.
    #[error("the answer of the log does not hold")]
    Log(#[from] log::Error),
    /// The log is none that is trusted.
    #[error("the answer is of the log {log_id}, which the trusted root does not have")]
    UnknownLog {
        /// The id of its key, hexadecimal.
        log_id: String,
    },
    /// The log is trusted, and another one than was asked.
    #[error(
        "the answer is of the log {log_id}, and those that the trusted root has at {host} are others"
    )]
    OtherLog {
        /// The id of its key, hexadecimal.
        log_id: String,
        /// The host of the log that was asked.
        host: String,
    },
    /// The log is trusted for another time than now.
    #[error(
        "the answer is of the log {log_id}, whose key is not in use at {now}, as the trusted root says"
    )]
    OutOfUse {
        /// The id of its key, hexadecimal.
        log_id: String,
        /// What time it is.
        now: String,
    },
    /// The log tells another time than it can be.
    #[error(
        "the log says that it has the entry since {found}, and it is {now}: they are more than {MOST_SKEW} seconds apart"
    )]
    Time {
        /// The log's time.
        found: String,
        /// What time it is.
        now: String,
    },
    /// An entry of the signature, in another form.
    #[error("the log was asked for {asked}, and its entry is {found}")]
    OtherKind {
        /// What was asked for.
        asked: &'static str,
        /// What it has.
        found: String,
    },
    /// Something that every answer of this kind of log has is not there.
    #[error("the answer of the log has no {0}")]
    Without(&'static str),
    /// The entry has a name that is not made of its content.
    #[error("the entry of the log has the UUID {found}, its body has {wanted}")]
    Uuid {
        /// The log's.
        found: String,
        /// The leaf of the body.
        wanted: String,
    },
}

impl AnswerError {
    /// Whether it is the caller's trusted root that does not have the log, or not for now and not there, and no fault of the answer.
    #[must_use]
    pub fn is_of_trusted_root(&self) -> bool {
        matches!(
            self,
            Self::UnknownLog { .. } | Self::OtherLog { .. } | Self::OutOfUse { .. }
        )
    }
}

impl<'a> Unwitnessed<'a> {
    /// Reads what was signed by `key`, in any layout. A certificate of the key that came with it is what logs are told.
    ///
    /// # Errors
    /// If it is nothing that this key has signed over its hash.
    pub fn read(signed: &'a Signed, key: &'a VerifyingKey) -> Result<Self, Rejection> {
        let bytes = layer(signed)?;
        let certificate;
        let (message, signatures, envelope) = if signed.is_bundle() {
            let bundle = Bundle::parse(bytes).map_err(Rejection::NotABundle)?;
            let Content::Envelope(envelope) = bundle.content else {
                return Err(Rejection::NoEnvelope);
            };
            certificate = bundle.evidence.certificate;
            let bytes = Cow::Owned(bundle::envelope_bytes(&envelope));
            enveloped(&envelope, bytes, false)?
        } else {
            let evidence = Evidence::of_annotations(signed.annotations());
            certificate = evidence.map_err(Rejection::Evidence)?.certificate;
            if signed.media_type() == cosign::DSSE_MEDIA_TYPE {
                enveloped(&read_envelope(bytes)?, Cow::Borrowed(bytes), true)?
            } else {
                let signature = annotated_signature(signed)?;
                (Cow::Borrowed(bytes), vec![signature], None)
            }
        };
        let tried = signatures.len();
        let is_valid = |one: &Vec<u8>| key.verify(&message, one).is_ok();
        let signature = signatures.into_iter().find(is_valid);
        let signature = signature.ok_or_else(|| Rejection::NoKeyMatches {
            signatures: tried,
            tried: vec![key.key().fingerprint()],
        })?;
        let is_of_key = |der: &Vec<u8>| {
            Certificate::from_der(der)
                .is_ok_and(|certificate| certificate.public_key() == key.key())
        };
        Ok(Self {
            key,
            certificate: certificate.filter(is_of_key),
            signature,
            message,
            envelope,
        })
    }

    /// The signature: two forms of one Statement have the same.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the certificate that came with it is valid at this time, seconds since 1970: a log or an authority that sees the signature at another time
    /// proves that it is none. Nothing to look at without a certificate.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify_time(&self, observed: i64) -> Result<(), certificate::Error> {
        let Some(der) = &self.certificate else {
            return Ok(());
        };
        Certificate::from_der(der)?.verify_time(observed)
    }

    /// What to ask a log: the exact bytes of a request.
    ///
    /// # Errors
    /// If logs of this kind take no such signature.
    pub fn proposal(&self, format: Format) -> Result<Vec<u8>, Unloggable> {
        let pem = match &self.certificate {
            Some(der) => pem::write("CERTIFICATE", der),
            None => self.key.key().to_pem(),
        };
        let (der, kind) = match &self.certificate {
            Some(der) => (der.as_slice(), SignatoryKind::Certificate),
            None => (self.key.key().spki_der(), SignatoryKind::Key),
        };
        let algorithm = self.key.key().algorithm();
        let details = log::key_details(self.key);
        let pem = pem.as_str();
        let signatory = Signatory { pem, der, kind };
        match (format, &self.envelope) {
            (Format::V2, _) => {
                let details = details.ok_or(Unloggable::Digest(algorithm))?;
                let digest = self.key.hash().digest(&self.message);
                let signature = &self.signature;
                Ok(proposal::hashedrekord_v2(
                    &digest, signature, signatory, details,
                ))
            }
            (Format::V1(_), None) if details.is_none() => Err(Unloggable::Digest(algorithm)),
            (Format::V1(_), None) => {
                let hash = self.key.hash();
                Ok(proposal::hashedrekord_v1(
                    &hash.to_string(),
                    &hash.digest(&self.message),
                    &self.signature,
                    signatory,
                ))
            }
            (Format::V1(EnvelopeEntry::Dsse), Some(envelope)) => {
                proposal::dsse_v1(&envelope.bytes, signatory).ok_or(Unloggable::Utf8)
            }
            (Format::V1(EnvelopeEntry::InToto), Some(envelope)) if envelope.is_stored => {
                proposal::intoto_v1(&envelope.bytes, signatory).ok_or(Unloggable::Utf8)
            }
            (Format::V1(EnvelopeEntry::InToto), Some(_)) => Err(Unloggable::InTotoBundle),
        }
    }

    /// Judges what a log answered: that it is its entry of this signature, in the form that was asked for, with everything that such a log vouches
    /// with, by a key that is in use, and of a time that can be.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn judge_entry(
        &self,
        format: Format,
        bench: &Bench<'_>,
        age: Age,
        answer: &[u8],
    ) -> Result<(LogEntry, Logged), AnswerError> {
        let entry = match format {
            Format::V1(_) => {
                let (uuid, entry) = LogEntry::of_rekor_v1(answer)?;
                let wanted = hex(&leaf_hash(&entry.body));
                if !uuid.ends_with(&wanted) {
                    let found = uuid;
                    return Err(AnswerError::Uuid { found, wanted });
                }
                entry
            }
            Format::V2 => LogEntry::of_rekor_v2(answer)?,
        };
        let logged = self.judge_as(format, bench, age, &entry)?;
        Ok((entry, logged))
    }

    /// Judges an entry that was read from elsewhere as [`Self::judge_entry`] does.
    ///
    /// # Errors
    /// As there.
    pub fn judge_as(
        &self,
        format: Format,
        bench: &Bench<'_>,
        age: Age,
        entry: &LogEntry,
    ) -> Result<Logged, AnswerError> {
        let logged = self.judge(bench.trust, entry)?;
        bench.hold(&logged, age)?;
        let asked = self.kind(format);
        let found = format!("{} {}", logged.kind, logged.version);
        if found != asked {
            return Err(AnswerError::OtherKind { asked, found });
        }
        if !logged.has_proof {
            return Err(AnswerError::Without("inclusion proof"));
        }
        match format {
            Format::V1(_) if !logged.has_promise => {
                Err(AnswerError::Without("promise (SignedEntryTimestamp)"))
            }
            Format::V1(_) | Format::V2 => Ok(logged),
        }
    }

    /// Judges an entry that was had for another form of the same signature.
    ///
    /// # Errors
    /// If it is not of this one.
    pub fn judge(&self, trust: &Trust, entry: &LogEntry) -> Result<Logged, AnswerError> {
        let signer = match &self.certificate {
            Some(der) => Signer::Certificate(der),
            None => Signer::Key(self.key.key()),
        };
        let claim = Claim {
            signature: &self.signature,
            message: &self.message,
            signer,
            envelope: self.envelope.as_ref().map(|envelope| Enveloped {
                payload: &envelope.payload,
                stored: envelope.is_stored.then_some(&*envelope.bytes),
            }),
        };
        let logged = log::verify(trust, entry, &claim)?;
        logged.ok_or_else(|| AnswerError::UnknownLog {
            log_id: hex(&entry.log_id),
        })
    }

    /// What a timestamp is of: the signature, but of an attestation in cosign's layout the whole envelope.
    #[must_use]
    pub fn stamped(&self) -> &[u8] {
        match &self.envelope {
            Some(envelope) if envelope.is_stored => &envelope.bytes,
            Some(_) | None => &self.signature,
        }
    }

    /// What to ask a timestamp authority. Its answer is judged by [`Request::judge`], with [`Self::stamped`].
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn timestamp_request(&self, random: Random<'_>) -> Result<Request, random::Error> {
        Request::new(self.stamped(), random)
    }

    /// Kind and version of the entry that is asked for.
    fn kind(&self, format: Format) -> &'static str {
        match (format, &self.envelope) {
            (Format::V2, _) => "hashedrekord 0.0.2",
            (Format::V1(_), None) => "hashedrekord 0.0.1",
            (Format::V1(EnvelopeEntry::Dsse), Some(_)) => "dsse 0.0.1",
            (Format::V1(EnvelopeEntry::InToto), Some(_)) => "intoto 0.0.1",
        }
    }
}

impl Bench<'_> {
    /// What a verifier that reads the entry later cannot know: who was asked, and when.
    ///
    /// # Errors
    /// If another log answered, one that is out of use, or one with another time.
    pub fn hold(&self, logged: &Logged, age: Age) -> Result<(), AnswerError> {
        let log_id = || logged.log_id.clone();
        let host = host_of(self.url);
        let at_host = self.trust.logs.iter().filter(|log| log.host == host);
        let mut ids = at_host.map(|log| hex(&log.key_id)).peekable();
        if !host.is_empty() && ids.peek().is_some() && !ids.any(|id| id == logged.log_id) {
            return Err(AnswerError::OtherLog {
                log_id: log_id(),
                host: shortened(host),
            });
        }
        if !logged.log_was_in_use_at(self.now) {
            return Err(AnswerError::OutOfUse {
                log_id: log_id(),
                now: moment::text(self.now),
            });
        }
        let is_possible = logged
            .integrated_time
            .is_none_or(|time| can_be(time, self.now, age));
        if is_possible {
            return Ok(());
        }
        Err(AnswerError::Time {
            found: moment::text(logged.integrated_time.unwrap_or_default()),
            now: moment::text(self.now),
        })
    }
}

/// Whether something of this age can be of this time.
pub(crate) fn can_be(time: i64, now: i64, age: Age) -> bool {
    let is_come = time <= now.saturating_add(MOST_SKEW);
    match age {
        Age::New => is_come && time >= now.saturating_sub(MOST_SKEW),
        Age::Any => is_come,
    }
}

/// What an envelope's signatures are over, those signatures, and the envelope.
type Opened<'a> = (Cow<'a, [u8]>, Vec<Vec<u8>>, Option<InEnvelope<'a>>);

fn enveloped<'a>(
    envelope: &dsse::Envelope,
    bytes: Cow<'a, [u8]>,
    is_stored: bool,
) -> Result<Opened<'a>, Rejection> {
    let payload = envelope
        .unverified_payload()
        .map_err(Rejection::NotAnEnvelope)?;
    let message = dsse::pae(&envelope.payload_type, &payload);
    let signatures = envelope.signatures.iter();
    let signatures = signatures.filter_map(|one| one.decoded().ok()).collect();
    let envelope = InEnvelope {
        payload,
        bytes,
        is_stored,
    };
    Ok((Cow::Owned(message), signatures, Some(envelope)))
}

#[cfg(test)]
mod tests;
