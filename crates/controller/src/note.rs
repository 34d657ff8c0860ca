//! What is written on a run: Chains' annotations, ours, and what the storage `tekton` holds, as one change.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tekseal_cluster::{Change, Seen};
use tekseal_core::marks::{self, Outcome};
use tekseal_core::plan::ANNOTATION_PREFIX;
use tekseal_core::{Digest, Signed, cosign};

use crate::trouble::{Stage, Trouble, clean};

/// The most that is written into annotations of one run, in bytes of keys and values; above it a pointer stands for each payload.
pub(crate) const MOST_WRITTEN: usize = 128 * 1024;
/// The most that Kubernetes keeps in all annotations of an object.
const MOST_ON_OBJECT: usize = 256 * 1024;
/// What is left for what others write.
const ROOM_FOR_OTHERS: usize = 8 * 1024;

/// Something for the storage `tekton`.
pub(crate) struct InAnnotations<'a> {
    /// The name under which it is known there: `taskrun-<uid>`.
    pub(crate) key: &'a str,
    /// What was signed.
    pub(crate) payload: &'a [u8],
    /// The signed layer.
    pub(crate) signed: &'a Signed,
    /// Places in registries that hold it too.
    pub(crate) elsewhere: Vec<String>,
}

/// Annotations that hold payloads and signatures, or say where these are.
///
/// # Errors
/// If they are too large and nothing else holds them, or two things want the same name.
pub(crate) fn annotations(
    document: &str,
    pieces: &[InAnnotations<'_>],
) -> Result<BTreeMap<String, String>, Trouble> {
    let mut whole = BTreeMap::new();
    for piece in pieces {
        for (name, value) in piece.whole() {
            if whole.insert(name.clone(), value).is_some() {
                let text = format!("two payloads want the annotation {name}");
                return Err(Trouble::last_text(Stage::Storage, text));
            }
        }
    }
    let size = size_of(&whole);
    let room = MOST_ON_OBJECT
        .saturating_sub(ROOM_FOR_OTHERS)
        .saturating_sub(size_on(document, &whole));
    if size <= MOST_WRITTEN.min(room) {
        return Ok(whole);
    }
    if pieces.iter().any(|piece| piece.elsewhere.is_empty()) {
        let text = format!(
            "payloads and signatures are {} KiB, the storage tekton takes {} KiB on this run: use the storage oci",
            size.div_ceil(1024),
            MOST_WRITTEN.min(room) / 1024
        );
        return Err(Trouble::last_text(Stage::Storage, text));
    }
    Ok(pieces.iter().map(InAnnotations::pointer).collect())
}

impl InAnnotations<'_> {
    /// As Chains writes it: the certificate and its chain are there too, empty where a key without one signed.
    fn whole(&self) -> [(String, String); 4] {
        let name = |what: &str| format!("{ANNOTATION_PREFIX}{what}-{}", self.key);
        let annotated = |what: &str| {
            let value = self.signed.annotations().get(what);
            value.map(String::as_str).unwrap_or_default()
        };
        let signature = match annotated(cosign::SIGNATURE_ANNOTATION) {
            // Of an image the signature itself, of a Statement the whole envelope.
            "" => STANDARD.encode(self.signed.layer()),
            signature => signature.to_owned(),
        };
        let encoded = |what: &str| STANDARD.encode(annotated(what));
        [
            (name("payload"), STANDARD.encode(self.payload)),
            (name("signature"), signature),
            (name("cert"), encoded(cosign::CERTIFICATE_ANNOTATION)),
            (name("chain"), encoded(cosign::CHAIN_ANNOTATION)),
        ]
    }

    fn pointer(&self) -> (String, String) {
        let value =
            json!({ "payload": Digest::of(self.payload).as_str(), "stored": self.elsewhere });
        (
            format!("{}{}", marks::POINTER_PREFIX, self.key),
            value.to_string(),
        )
    }
}

fn size_of(annotations: &BTreeMap<String, String>) -> usize {
    annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

/// What is in annotations of the run already, beside those that are written anew.
fn size_on(document: &str, new: &BTreeMap<String, String>) -> usize {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Document {
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        annotations: Option<BTreeMap<String, String>>,
    }
    let document: Document = serde_json::from_str(document).unwrap_or_default();
    let mut there = document.metadata.annotations.unwrap_or_default();
    there.retain(|key, _| !new.contains_key(key));
    size_of(&there)
}

/// The change that ends the work on a run.
pub(crate) fn of_end(
    run: &Seen,
    outcome: Outcome,
    record: String,
    reason: Option<&str>,
    stored: BTreeMap<String, String>,
) -> Change {
    let mut annotations: BTreeMap<String, Option<String>> = stored
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .collect();
    annotations.insert(marks::SIGNED.to_owned(), Some(outcome.mark().to_owned()));
    annotations.insert(marks::RECORD.to_owned(), Some(record));
    put_reason(run, reason, &mut annotations);
    Change {
        annotations,
        ..Change::default()
    }
}

/// The change after a failure that may pass, or while something else is waited for; an empty one where the run says so already.
pub(crate) fn of_wait(run: &Seen, attempts: Option<u32>, reason: &str) -> Change {
    let mut annotations = BTreeMap::new();
    // Chains counts from 0 for the first failure and gives up after 3: a controller that takes over finds what it knows.
    if let Some(attempts) = attempts {
        let retries = attempts.min(3).to_string();
        if run.annotation(marks::RETRIES) != Some(&retries) {
            annotations.insert(marks::RETRIES.to_owned(), Some(retries));
        }
    }
    put_reason(run, Some(reason), &mut annotations);
    Change {
        annotations,
        ..Change::default()
    }
}

/// The same change, which takes the mark off too.
pub(crate) fn unmarked(mut change: Change) -> Change {
    let marks = [marks::SIGNED, marks::RECORD].map(|key| (key.to_owned(), None));
    change.annotations.extend(marks);
    change
}

fn put_reason(
    run: &Seen,
    reason: Option<&str>,
    annotations: &mut BTreeMap<String, Option<String>>,
) {
    let reason = reason.map(clean);
    if run.annotation(marks::REASON) != reason.as_deref() {
        annotations.insert(marks::REASON.to_owned(), reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> Signed {
        Signed::image_signature(b"payload".to_vec(), b"signature")
    }

    fn piece<'a>(payload: &'a [u8], signed: &'a Signed, elsewhere: &[&str]) -> InAnnotations<'a> {
        InAnnotations {
            key: "abc",
            payload,
            signed,
            elsewhere: elsewhere.iter().map(|&place| place.to_owned()).collect(),
        }
    }

    #[test]
    fn payload_and_signature_are_written_as_chains_writes_them() {
        let signed = signed();
        let written = annotations("{}", &[piece(b"payload", &signed, &[])]).expect("it is small");
        let values: Vec<_> = written
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            values,
            [
                ("chains.tekton.dev/cert-abc", ""),
                ("chains.tekton.dev/chain-abc", ""),
                ("chains.tekton.dev/payload-abc", "cGF5bG9hZA=="),
                ("chains.tekton.dev/signature-abc", "c2lnbmF0dXJl"),
            ]
        );
    }

    #[test]
    fn the_certificate_of_the_key_is_written_too() {
        let signed = signed().with_certificate("of the key", "above it");
        let written = annotations("{}", &[piece(b"payload", &signed, &[])]).expect("it is small");
        assert_eq!(written["chains.tekton.dev/cert-abc"], "b2YgdGhlIGtleQ==");
        assert_eq!(written["chains.tekton.dev/chain-abc"], "YWJvdmUgaXQ=");
        assert_eq!(written["chains.tekton.dev/signature-abc"], "c2lnbmF0dXJl");
    }

    #[test]
    fn what_is_too_large_is_pointed_at_or_refused() {
        let (signed, large) = (signed(), vec![0; MOST_WRITTEN]);
        let pointed = annotations("{}", &[piece(&large, &signed, &["r.example/a:t"])]);
        let pointed = pointed.expect("it is elsewhere");
        let value = &pointed["tekseal.dev/pointer-abc"];
        assert!(
            value.contains("r.example/a:t") && pointed.len() == 1,
            "{pointed:?}"
        );
        let refused = annotations("{}", &[piece(&large, &signed, &[])]);
        assert!(matches!(refused, Err(Trouble::Last { .. })));
    }

    #[test]
    fn what_is_on_the_run_already_takes_room() {
        let signed = signed();
        let there = json!({ "metadata": { "annotations": { "a/b": "x".repeat(MOST_ON_OBJECT - ROOM_FOR_OTHERS) } } });
        let refused = annotations(&there.to_string(), &[piece(b"payload", &signed, &[])]);
        assert!(matches!(refused, Err(Trouble::Last { .. })));
    }
}
