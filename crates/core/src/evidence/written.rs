//! Log entries written: into the annotation of cosign's layout, and into a bundle.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{InclusionProof, LogEntry};
use crate::digest::hex;
use crate::gojson;

impl LogEntry {
    /// The text of the annotation `dev.sigstore.cosign/bundle`, in the bytes of cosign. Nothing, if the entry has no promise or no time: that
    /// is all that this annotation proves.
    #[must_use]
    pub fn to_cosign_annotation(&self) -> Option<String> {
        let annotation = Annotation {
            signed_entry_timestamp: STANDARD.encode(self.promise.as_ref()?),
            payload: Payload {
                body: STANDARD.encode(&self.body),
                integrated_time: self.integrated_time?,
                log_index: self.log_index,
                log_id: hex(&self.log_id),
            },
        };
        String::from_utf8(gojson::to_vec(&annotation)).ok()
    }

    /// The item of a bundle's `tlogEntries`, in the bytes of cosign. Nothing, if neither the entry nor its body says of which kind it is.
    #[must_use]
    pub fn to_bundle_json(&self) -> Option<String> {
        let (kind, version) = self.kind_version.clone().or_else(|| self.kind_of_body())?;
        let entry = Entry {
            log_index: self.log_index,
            log_id: LogId {
                key_id: STANDARD.encode(&self.log_id),
            },
            kind_version: KindVersion { kind, version },
            integrated_time: self.integrated_time.unwrap_or_default(),
            inclusion_promise: self.promise.as_ref().map(|promise| Promise {
                signed_entry_timestamp: STANDARD.encode(promise),
            }),
            inclusion_proof: self.inclusion.as_ref().map(Proof::of),
            canonicalized_body: STANDARD.encode(&self.body),
        };
        String::from_utf8(gojson::to_vec_protojson(&entry)).ok()
    }

    /// Kind and version as the body has them.
    fn kind_of_body(&self) -> Option<(String, String)> {
        let body: Body = gojson::from_object(&self.body).ok()?;
        Some((body.kind, body.api_version))
    }
}

/// The text of the annotation `dev.sigstore.cosign/rfc3161timestamp`, in the bytes of cosign, for a DER TimeStampResp.
#[must_use]
pub(crate) fn timestamp_annotation(response: &[u8]) -> String {
    // Base64 needs no escapes.
    format!(
        r#"{{"SignedRFC3161Timestamp":"{}"}}"#,
        STANDARD.encode(response)
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
}

/// Field order is the order of the bytes, here and below.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Annotation {
    signed_entry_timestamp: String,
    payload: Payload,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(skip_serializing_if = "is_default", serialize_with = "as_text")]
    log_index: u64,
    log_id: LogId,
    kind_version: KindVersion,
    #[serde(skip_serializing_if = "is_default", serialize_with = "as_text")]
    integrated_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    inclusion_promise: Option<Promise>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inclusion_proof: Option<Proof<'a>>,
    canonicalized_body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Serialize)]
struct KindVersion {
    kind: String,
    version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof<'a> {
    #[serde(skip_serializing_if = "is_default", serialize_with = "as_text")]
    log_index: u64,
    root_hash: String,
    #[serde(skip_serializing_if = "is_default", serialize_with = "as_text")]
    tree_size: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<String>,
    checkpoint: Checkpoint<'a>,
}

#[derive(Serialize)]
struct Checkpoint<'a> {
    envelope: &'a str,
}

impl<'a> Proof<'a> {
    fn of(proof: &'a InclusionProof) -> Self {
        Self {
            log_index: proof.log_index,
            root_hash: STANDARD.encode(&proof.root_hash),
            tree_size: proof.tree_size,
            hashes: proof
                .hashes
                .iter()
                .map(|hash| STANDARD.encode(hash))
                .collect(),
            checkpoint: Checkpoint {
                envelope: &proof.checkpoint,
            },
        }
    }
}

/// protojson leaves out what has its default.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// protojson writes 64-bit integers as text, for readers with floats only.
fn as_text<T: ToString, S: serde::Serializer>(number: &T, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&number.to_string())
}
