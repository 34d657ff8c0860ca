//! The record on a run: what a controller says it did, and whether it is to be believed.

use serde::Serialize;
use tekseal_core::marks::{self, Record};
use tekseal_signing::{PublicKey, verify_record};

/// What the record on a run says. The names of the members are those of the JSON output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordSaid {
    /// `verified`, `forged`, or `not verified` where no key was given.
    pub(super) verdict: &'static str,
    /// Why it is forged.
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
        let reason = keys.and_then(|keys| match verify_record(annotation, uid, keys) {
            Ok(record) if mark == Some(record.outcome.mark()) => None,
            Ok(record) => Some(format!(
                "the record says {:?}, the mark {:?}",
                record.outcome.mark(),
                mark.unwrap_or_default()
            )),
            Err(tekseal_signing::Unbelieved::Key) => {
                Some("it is not signed by the key that was given".to_owned())
            }
            Err(error) => Some(crate::exit::chain(&error)),
        });
        Self {
            verdict: match (keys, &reason) {
                (None, _) => "not verified",
                (Some(_), None) => "verified",
                (Some(_), Some(_)) => FORGED,
            },
            reason,
            outcome: Some(record.outcome.mark()),
            at: Some(record.at.clone()),
            by: Some(record.by.clone()),
            key: Some(unverified.keyid.clone()),
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
            payloads: 0,
        }
    }

    /// Whether it is known not to be the controller's.
    pub(super) fn is_forged(&self) -> bool {
        self.verdict == FORGED
    }
}

const FORGED: &str = "forged";
