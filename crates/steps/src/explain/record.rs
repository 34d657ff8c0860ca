//! The record on a run: what a controller says it did, and whether it is to be believed.

use serde::Serialize;
use tekseal_core::marks::{self, Record};
use tekseal_signing::{PublicKey, Unbelieved, verify_record};

/// What the record on a run says. The names of the members are those of the JSON output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordSaid {
    /// `verified`, `forged`, or `not verified` where no key was given.
    pub(super) verdict: &'static str,
    /// Why it is forged, or not verified with the key that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    /// The key that it says it is signed with, or was found to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// The keys that signed the payloads, where they are others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) signed_with: Vec<String>,
    pub(super) payloads: usize,
}

impl RecordSaid {
    /// Reads the annotation of the run with this uid. `mark` is what [`marks::SIGNED`] says.
    pub(super) fn of(
        annotation: &str,
        uid: &str,
        mark: Option<&str>,
        keys: Option<&[PublicKey]>,
    ) -> Self {
        let unverified = match Record::parse(annotation) {
            Ok(unverified) => unverified,
            Err(error) => return Self::malformed(&error),
        };
        let record = &unverified.record;
        let says_otherwise = || {
            (mark != Some(record.outcome.mark())).then(|| {
                format!(
                    "the record says {:?}, the mark {:?}",
                    record.outcome.mark(),
                    mark.unwrap_or_default()
                )
            })
        };
        let (verdict, reason) = match keys.map(|keys| verify_record(annotation, uid, keys)) {
            None => (UNVERIFIED, None),
            Some(Ok(_)) => match says_otherwise() {
                None => ("verified", None),
                reason => (FORGED, reason),
            },
            // Whoever signed it, it cannot be of this run, or of this mark.
            Some(Err(Unbelieved::Key)) if record.uid != uid => {
                (FORGED, Some("it is of another run".to_owned()))
            }
            Some(Err(Unbelieved::Key)) => match says_otherwise() {
                None => (UNVERIFIED, Some(OTHER_KEY.to_owned())),
                reason => (FORGED, reason),
            },
            Some(Err(error)) => (FORGED, Some(crate::exit::chain(&error))),
        };
        Self {
            verdict,
            reason,
            outcome: Some(record.outcome.mark()),
            at: Some(record.at.clone()),
            by: Some(record.by.clone()),
            key: Some(unverified.keyid.clone()),
            signed_with: record.keys.clone(),
            payloads: record.payloads.len() + record.more.as_ref().map_or(0, |more| more.count),
        }
    }

    fn malformed(error: &marks::RecordError) -> Self {
        Self {
            verdict: FORGED,
            reason: Some(crate::exit::chain(error)),
            outcome: None,
            at: None,
            by: None,
            key: None,
            signed_with: Vec::new(),
            payloads: 0,
        }
    }

    /// Whether a key was given, and another signed it.
    pub(super) fn is_of_other_key(&self) -> bool {
        self.verdict == UNVERIFIED && self.reason.is_some()
    }

    /// Whether it is known not to be the controller's.
    pub(super) fn is_forged(&self) -> bool {
        self.verdict == FORGED
    }
}

const FORGED: &str = "forged";
const UNVERIFIED: &str = "not verified";
/// Records are signed with the platform's key where there is one, also those of namespaces with keys of their own.
const OTHER_KEY: &str = "signed by another key than the one that was given, perhaps the platform's";
