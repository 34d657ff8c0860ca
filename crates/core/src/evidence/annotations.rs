//! Evidence as cosign writes it into the annotations of a layer.
//!
//! Specification: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>, and cosign's source where that is silent.

use std::collections::BTreeMap;

use super::rekor_v1::read_stamped;
use super::{Evidence, LARGEST_SIGNATURE, LARGEST_TIMESTAMP, LogEntry};
use crate::certificates;
use crate::cosign;
use crate::protojson::{self, Node};
use crate::strict_json::{self, Step};

/// Why the annotations of a layer are not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than a manifest can have.
    #[error("the annotation {annotation} has {found} bytes, at most {LARGEST_ANNOTATION} are read")]
    TooLarge {
        /// Which.
        annotation: &'static str,
        /// Its bytes.
        found: usize,
    },
    /// Not certificates in PEM form.
    #[error("the annotation {annotation} is not certificates")]
    Certificates {
        /// Which.
        annotation: &'static str,
        /// Why not.
        source: certificates::Error,
    },
    /// The signing certificate is several.
    #[error("the annotation dev.sigstore.cosign/certificate has {0} certificates and not one")]
    NotOneCertificate(usize),
    /// Not the JSON that belongs there.
    #[error("the annotation {annotation} is malformed")]
    Json {
        /// Which.
        annotation: &'static str,
        /// What is wrong with it.
        source: protojson::Error,
    },
}

/// The largest annotation that is read: registries take manifests up to 4 MiB.
const LARGEST_ANNOTATION: usize = 4 * 1024 * 1024;

/// How many values these documents may have; they have seven.
const MOST_VALUES: usize = 64;

impl Evidence {
    /// Reads cosign's annotations of a layer. One that is absent or empty is nothing; all others are passed over.
    ///
    /// # Errors
    /// If one of the four with evidence is not what cosign writes. Nothing is verified.
    pub fn of_annotations(annotations: &BTreeMap<String, String>) -> Result<Self, Error> {
        let certificate = read(annotations, cosign::CERTIFICATE_ANNOTATION, certificates)?;
        let chain = read(annotations, cosign::CHAIN_ANNOTATION, certificates)?;
        let entry = read(annotations, cosign::BUNDLE_ANNOTATION, entry)?;
        let timestamp = read(annotations, cosign::TIMESTAMP_ANNOTATION, timestamp)?;
        let certificate = match certificate.map(<[_; 1]>::try_from).transpose() {
            Ok(one) => one.map(|[certificate]| certificate),
            Err(several) => return Err(Error::NotOneCertificate(several.len())),
        };
        Ok(Self {
            certificate,
            chain: chain.unwrap_or_default(),
            entries: entry.into_iter().collect(),
            timestamps: timestamp.into_iter().collect(),
        })
    }
}

/// What `reader` makes of one annotation, if it is there.
fn read<T>(
    annotations: &BTreeMap<String, String>,
    annotation: &'static str,
    reader: fn(&'static str, &str) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match annotations.get(annotation).map_or("", String::as_str) {
        "" => Ok(None),
        text if text.len() > LARGEST_ANNOTATION => Err(Error::TooLarge {
            annotation,
            found: text.len(),
        }),
        text => reader(annotation, text).map(Some),
    }
}

fn certificates(annotation: &'static str, text: &str) -> Result<Vec<Vec<u8>>, Error> {
    certificates::of_pem(text).map_err(|source| Error::Certificates { annotation, source })
}

fn entry(annotation: &'static str, text: &str) -> Result<LogEntry, Error> {
    let read = || {
        let document = Node::read(text.as_bytes(), entry_names, MOST_VALUES)?;
        let top = document.top()?;
        let payload = top.need("Payload", top.object("Payload")?)?;
        let promise = top.bytes("SignedEntryTimestamp", LARGEST_SIGNATURE)?;
        Ok(LogEntry {
            promise: Some(top.need("SignedEntryTimestamp", promise)?),
            ..read_stamped(&payload)?
        })
    };
    read().map_err(|source| Error::Json { annotation, source })
}

fn timestamp(annotation: &'static str, text: &str) -> Result<Vec<u8>, Error> {
    let read = || {
        let document = Node::read(text.as_bytes(), timestamp_names, MOST_VALUES)?;
        let top = document.top()?;
        let timestamp = top.bytes(SIGNED_TIMESTAMP, LARGEST_TIMESTAMP)?;
        top.need(SIGNED_TIMESTAMP, timestamp)
    };
    read().map_err(|source| Error::Json { annotation, source })
}

const SIGNED_TIMESTAMP: &str = "SignedRFC3161Timestamp";

fn entry_names(place: &[Step]) -> &'static [&'static str] {
    match strict_json::path(place, &mut Default::default()) {
        Some([]) => &["SignedEntryTimestamp", "Payload"],
        Some(["Payload"]) => &["body", "integratedTime", "logIndex", "logID"],
        _ => &[],
    }
}

fn timestamp_names(place: &[Step]) -> &'static [&'static str] {
    if place.is_empty() {
        &[SIGNED_TIMESTAMP]
    } else {
        &[]
    }
}
