//! The marks on a run: annotations that say what became of it, Tekton Chains' and ours.
//!
//! ```text
//!   chains.tekton.dev/signed …   what others read; whoever may change a run may write it, so it proves nothing
//!   tekseal.dev/record           a DSSE envelope around a Record, signed with the key: only this is believed
//!   tekseal.dev/reason           why, for people
//! ```
//!
//! A Record is bound to one run by its uid, so a copy on another run says nothing of that one.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::{self, Envelope};
use crate::plan::ANNOTATION_PREFIX;
use crate::run::RunKind;

/// Chains' mark that it is done with a run: `true` or `failed`. Ours also knows `nothing`: nothing had to be signed.
pub const SIGNED: &str = "chains.tekton.dev/signed";
/// Chains' count of failed attempts, from `0` for the first.
pub const RETRIES: &str = "chains.tekton.dev/retries";
/// Chains' URL of the log entry.
pub const TRANSPARENCY: &str = "chains.tekton.dev/transparency";
/// The wish that what is signed of a run is told to a log, where the configuration leaves that to each run: `true`. No mark: people write it.
pub const TRANSPARENCY_UPLOAD: &str = "chains.tekton.dev/transparency-upload";
/// Beginning of what is ours alone.
pub(crate) const PREFIX: &str = "tekseal.dev/";
/// What was done, signed.
pub const RECORD: &str = "tekseal.dev/record";
/// Why a run is not signed, or not wholly, or not yet.
pub const REASON: &str = "tekseal.dev/reason";
/// Beginning of annotations that say where a payload is that is too large for the run.
pub const POINTER_PREFIX: &str = "tekseal.dev/pointer-";

/// Finalizers that Chains and we put on runs, so that none is gone before it is signed; the last is of old versions of Chains.
pub const FINALIZERS: [&str; 3] = [
    "chains.tekton.dev/taskrun",
    "chains.tekton.dev/pipelinerun",
    "chains.tekton.dev",
];

/// The largest annotation that is read as a Record, in bytes: whoever keeps one byte more of a larger one sees that it is none.
pub const MOST_RECORD_BYTES: usize = 16 * 1024;

/// Payload type of a Record in its envelope.
pub const RECORD_PAYLOAD_TYPE: &str = "application/vnd.tekseal.record+json";

/// The most digests that a Record lists; of more it has the number and one digest over all of them.
const MOST_DIGESTS: usize = 32;

/// Whether a finalizer is Chains' or ours.
#[must_use]
pub fn is_finalizer(name: &str) -> bool {
    FINALIZERS.contains(&name)
}

/// The finalizer for runs of this kind.
#[must_use]
pub fn finalizer(kind: RunKind) -> &'static str {
    match kind {
        RunKind::TaskRun => FINALIZERS[0],
        RunKind::PipelineRun => FINALIZERS[1],
    }
}

/// Whether a key is one that starting over removes: marks, and what the storage `tekton` wrote. What a user asks for stays.
#[must_use]
pub fn is_mark(key: &str) -> bool {
    let of_storage = ["payload-", "signature-", "cert-", "chain-"];
    matches!(key, SIGNED | RETRIES | TRANSPARENCY | RECORD | REASON)
        || key.starts_with(POINTER_PREFIX)
        || key
            .strip_prefix(ANNOTATION_PREFIX)
            .is_some_and(|rest| of_storage.iter().any(|prefix| rest.starts_with(prefix)))
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was signed, stored and confirmed.
    Signed,
    /// Nothing had to be signed, or it could be kept nowhere.
    Nothing,
    /// It was given up.
    Failed,
}

impl Outcome {
    /// The value of [`SIGNED`].
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Signed => "true",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
        }
    }
}

/// What was done with one run. Field order is the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The run's uid.
    pub uid: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Digests of the payloads that were signed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payloads: Vec<Digest>,
    /// How many more payloads there were, and the digest over all of their digests, one a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<More>,
    /// Fingerprints of the keys that signed the payloads, where they are others than the one that signed the Record; without those of certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// When, RFC 3339.
    pub at: String,
    /// Program and version.
    pub by: String,
}

/// Payloads beyond those that a Record lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct More {
    /// How many.
    pub count: usize,
    /// Digest over their digests, each on a line of its own.
    pub digest: Digest,
}

/// A Record that was read from an annotation; nothing says yet who signed it.
#[derive(Clone, Debug)]
pub struct UnverifiedRecord {
    /// What was signed: the pre-authentication encoding.
    pub message: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// What key it says it is of.
    pub keyid: String,
    /// What it says, to be believed once the signature holds.
    pub record: Record,
}

/// Why an annotation is no Record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Much larger than one.
    #[error(
        "the annotation {RECORD} has more than {MOST_RECORD_BYTES} bytes, more than any record"
    )]
    Size,
    /// No envelope with one signature.
    #[error("the annotation {RECORD} is no envelope with one signature")]
    Envelope(#[source] Option<dsse::Error>),
    /// An envelope around something else.
    #[error("the annotation {RECORD} holds {0:?}, wanted {RECORD_PAYLOAD_TYPE}")]
    PayloadType(String),
    /// No Record inside.
    #[error("the annotation {RECORD} holds no record")]
    Json(#[source] serde_json::Error),
}

impl Record {
    /// A Record of what was done by the key that signs it. `at` is the time as RFC 3339 writes it, `by` the program and its version.
    #[must_use]
    pub fn new(uid: &str, outcome: Outcome, payloads: &[Digest], at: String, by: String) -> Self {
        let (listed, rest) = payloads.split_at(payloads.len().min(MOST_DIGESTS));
        let more = (!rest.is_empty()).then(|| {
            let lines: String = rest.iter().map(|digest| format!("{digest}\n")).collect();
            More {
                count: rest.len(),
                digest: Digest::of(lines.as_bytes()),
            }
        });
        Self {
            uid: uid.to_owned(),
            outcome,
            payloads: listed.to_vec(),
            more,
            keys: Vec::new(),
            at,
            by,
        }
    }

    /// The bytes to sign, and with their signature the annotation.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        dsse::pae(RECORD_PAYLOAD_TYPE, &self.bytes())
    }

    /// The annotation: an envelope with one signature over [`Self::message`].
    #[must_use]
    pub fn annotation(&self, keyid: &str, signature: &[u8]) -> String {
        let envelope = Envelope::new(RECORD_PAYLOAD_TYPE, &self.bytes(), keyid, signature);
        String::from_utf8(envelope.to_bytes()).expect("an envelope is JSON, so it is UTF-8")
    }

    /// Reads an annotation.
    ///
    /// # Errors
    /// If it is no envelope around a Record.
    pub fn parse(annotation: &str) -> Result<UnverifiedRecord, RecordError> {
        if annotation.len() > MOST_RECORD_BYTES {
            return Err(RecordError::Size);
        }
        let of_envelope = |error| RecordError::Envelope(Some(error));
        let envelope = Envelope::parse(annotation.as_bytes()).map_err(of_envelope)?;
        if envelope.payload_type != RECORD_PAYLOAD_TYPE {
            let found = envelope.payload_type.chars().take(100).collect();
            return Err(RecordError::PayloadType(found));
        }
        let payload = envelope.unverified_payload().map_err(of_envelope)?;
        let [signature] = &envelope.signatures[..] else {
            return Err(RecordError::Envelope(None));
        };
        let bytes = signature.decoded().map_err(of_envelope)?;
        let record = serde_json::from_slice(&payload).map_err(RecordError::Json)?;
        Ok(UnverifiedRecord {
            message: dsse::pae(RECORD_PAYLOAD_TYPE, &payload),
            signature: bytes,
            keyid: signature.keyid.clone(),
            record,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has only texts and numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payloads: usize) -> Record {
        let digests: Vec<_> = (0..payloads)
            .map(|i| Digest::of(i.to_string().as_bytes()))
            .collect();
        Record::new(
            "uid-1",
            Outcome::Signed,
            &digests,
            "2026-01-02T03:04:05Z".to_owned(),
            "tekseal 1".to_owned(),
        )
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for payloads in [0, 1, 200] {
            let mut record = record(payloads);
            record.keys = vec!["SHA256:other".to_owned(); payloads.min(2)];
            let read = Record::parse(&record.annotation("SHA256:k", b"sig")).expect("it is one");
            assert_eq!(read.record, record);
            assert_eq!(read.message, record.message());
            assert_eq!(read.signature, b"sig");
        }
    }

    #[test]
    fn a_record_of_thousands_of_payloads_stays_small() {
        let annotation = record(4096).annotation("SHA256:k", &[0; 72]);
        assert!(annotation.len() < 8 * 1024, "{}", annotation.len());
    }

    #[test]
    fn other_envelopes_are_no_records() {
        let statement = Envelope::new(dsse::IN_TOTO_PAYLOAD_TYPE, &record(1).bytes(), "k", b"s");
        let text = String::from_utf8(statement.to_bytes()).expect("UTF-8");
        assert!(matches!(
            Record::parse(&text),
            Err(RecordError::PayloadType(_))
        ));
        assert!(matches!(
            Record::parse("true"),
            Err(RecordError::Envelope(_))
        ));
    }

    #[test]
    fn starting_over_leaves_what_users_ask_for() {
        assert!(is_mark("chains.tekton.dev/payload-taskrun-u") && is_mark(SIGNED));
        assert!(!is_mark(TRANSPARENCY_UPLOAD));
        assert!(!is_mark("chains.tekton.dev/mine"));
    }
}
