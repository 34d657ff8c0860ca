//! What was verified of an image, as people and programs read it.

use anyhow::Result;
use serde::Serialize;
use serde_json::value::RawValue;
use tekseal_core::policy::Judged;
use tekseal_core::{Provenance, SimpleSigning, Statement};
use tekseal_remote::store::{Fetched, Place};
use tekseal_signing::{Verified, Voucher};

use super::layouts;
use crate::Failure;
use crate::log::quoted;
use crate::output::Output;

/// What was verified of one image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(super) image: String,
    /// The index that was asked for, where the image is one of those that it lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<String>,
    /// For which platform the index lists it, by the index's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    pub(super) signatures: Vec<SignatureReport>,
    pub(super) attestations: Vec<AttestationReport>,
    pub(super) checked: Checked,
}

/// What the verdict rests on.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    pub(super) signature: bool,
    pub(super) subject: bool,
    pub(super) transparency_log: bool,
    pub(super) timestamp: bool,
    pub(super) certificate_log: bool,
}

#[derive(Serialize)]
pub(crate) struct SignatureReport {
    #[serde(flatten)]
    found: Found,
    /// Of a signature in cosign's layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<SimpleSigning>,
    /// Of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<Box<RawValue>>,
    #[serde(flatten)]
    who: Who,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttestationReport {
    #[serde(flatten)]
    found: Found,
    pub(super) predicate_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    builder_id: Option<String>,
    statement: Option<Box<RawValue>>,
    #[serde(flatten)]
    who: Who,
    /// What rules say of it, where there are any.
    #[serde(skip)]
    pub(crate) judged: Option<Judged>,
}

/// What was found, and where.
#[derive(Serialize)]
pub(crate) struct Found {
    key: String,
    /// Digest of the layer that holds it.
    pub(crate) layer: String,
    /// The tag that holds the layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// Digest of the manifest that holds it and names the image as its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrer: Option<String>,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// Who signed, and when.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log_entries: Vec<EntryReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timestamps: Vec<TimestampReport>,
}

/// An entry of a transparency log.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryReport {
    log_id: String,
    log_index: u64,
    kind: String,
    /// Seconds since 1970; Rekor v2 tells none.
    #[serde(skip_serializing_if = "Option::is_none")]
    integrated_time: Option<i64>,
}

/// A time that an authority signed.
#[derive(Serialize)]
struct TimestampReport {
    authority: String,
    /// Seconds since 1970.
    time: i64,
}

impl Found {
    fn of<T>(fetched: &Fetched, verified: &Verified<T>) -> Self {
        let (mut tag, mut referrer, mut file) = (None, None, None);
        match &fetched.place {
            Place::Tag(name) => tag = Some(name.to_string()),
            Place::Referrer(digest) => referrer = Some(digest.to_string()),
            Place::File(path) => file = Some(path.to_string()),
        }
        Self {
            key: verified.key_fingerprint(),
            layer: fetched.digest.clone(),
            tag,
            referrer,
            file,
        }
    }
}

impl Report {
    /// The good signatures.
    pub(crate) fn signatures(&self) -> &[SignatureReport] {
        &self.signatures
    }

    /// The good attestations.
    pub(crate) fn attestations(&self) -> &[AttestationReport] {
        &self.attestations
    }
}

impl Found {
    /// Whether it lies under one of cosign's tags.
    pub(crate) fn is_under_tag(&self) -> bool {
        self.tag.is_some()
    }

    /// The tag, the referrer or the file that holds it.
    pub(crate) fn place(&self) -> String {
        let named = [
            ("tag", &self.tag),
            ("referrer", &self.referrer),
            ("file", &self.file),
        ];
        let told = named
            .into_iter()
            .find_map(|(kind, name)| Some((kind, name.as_ref()?)));
        told.map_or_else(String::new, |(kind, name)| format!("{kind} {name}"))
    }
}

impl Who {
    fn of(voucher: &Voucher) -> Self {
        let identity = voucher.identity.as_ref();
        Self {
            identity: identity.map(|identity| identity.name.clone()),
            issuer: identity.map(|identity| identity.issuer.clone()),
            log_entries: voucher
                .logged
                .iter()
                .map(|entry| EntryReport {
                    log_id: entry.log_id.clone(),
                    log_index: entry.log_index,
                    kind: format!("{} {}", entry.kind, entry.version),
                    integrated_time: entry.integrated_time,
                })
                .collect(),
            timestamps: voucher
                .timestamps
                .iter()
                .map(|stamp| TimestampReport {
                    authority: stamp.authority.clone(),
                    time: stamp.time,
                })
                .collect(),
        }
    }

    /// The identity, else the fingerprint of the key.
    fn name(&self, key: &str) -> String {
        self.identity.clone().unwrap_or_else(|| key.to_owned())
    }

    /// The same in a line of text; nothing where the key is all there is.
    fn text(&self) -> String {
        let mut text = String::new();
        if let (Some(name), Some(issuer)) = (&self.identity, &self.issuer) {
            text.push_str(&format!(
                " identity={} issuer={}",
                quoted(name),
                quoted(issuer)
            ));
        }
        for entry in &self.log_entries {
            text.push_str(&format!(" log-index={}", entry.log_index));
        }
        for stamp in &self.timestamps {
            text.push_str(&format!(" timestamp={}", stamp.time));
        }
        text
    }
}

impl SignatureReport {
    /// Where it was found.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// Who signed it.
    pub(crate) fn signer(&self) -> String {
        self.who.name(&self.found.key)
    }

    pub(super) fn of_layer(fetched: &Fetched, verified: &Verified<SimpleSigning>) -> Self {
        Self {
            found: Found::of(fetched, verified),
            payload: Some(verified.value().clone()),
            statement: None,
            who: Who::of(verified.voucher()),
        }
    }

    /// The name that it says of the image where that is more than its repository, in a line of text.
    fn name_of(&self, image: &str) -> String {
        let said = self.payload.as_ref();
        let said = said.map(|payload| payload.critical.identity.docker_reference.as_str());
        let repository = image.split('@').next();
        // A folder has no name that it could differ from.
        let is_elsewhere = image.starts_with(layouts::PREFIX);
        match said.filter(|name| !is_elsewhere && Some(*name) != repository) {
            Some(name) => format!(" name={}", quoted(name)),
            None => String::new(),
        }
    }

    pub(super) fn of_bundle(fetched: &Fetched, verified: &Verified<Statement>) -> Self {
        Self {
            found: Found::of(fetched, verified),
            payload: None,
            statement: text_of(verified),
            who: Who::of(verified.voucher()),
        }
    }
}

impl AttestationReport {
    pub(super) fn of(fetched: &Fetched, verified: &Verified<Statement>) -> Self {
        let statement = verified.value();
        Self {
            found: Found::of(fetched, verified),
            predicate_type: statement.predicate_type().to_owned(),
            builder_id: builder_id(statement),
            statement: text_of(verified),
            who: Who::of(verified.voucher()),
            judged: None,
        }
    }

    /// What rules say of it, without the Statement: a thousand may hang on an image.
    pub(super) fn of_judged(
        fetched: &Fetched,
        verified: &Verified<Statement>,
        judged: Judged,
    ) -> Self {
        Self {
            found: Found::of(fetched, verified),
            predicate_type: String::new(),
            builder_id: None,
            statement: None,
            who: Who::of(verified.voucher()),
            judged: Some(judged),
        }
    }

    /// Where it was found.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// What kind of predicate it has.
    pub(crate) fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Its Statement, unless rules judged it in its place.
    pub(crate) fn statement(&self) -> Option<&RawValue> {
        self.statement.as_deref()
    }

    /// Who signed it.
    pub(crate) fn signer(&self) -> String {
        self.who.name(&self.found.key)
    }
}

/// The Statement as it was signed. It was parsed from these bytes, so they are JSON; null would only say that they are not UTF-8.
fn text_of(verified: &Verified<Statement>) -> Option<Box<RawValue>> {
    String::from_utf8(verified.payload().to_vec())
        .ok()
        .and_then(|text| RawValue::from_string(text).ok())
}

/// The builder id, where the predicate is provenance.
fn builder_id(statement: &Statement) -> Option<String> {
    // A predicate that is no provenance, whatever its type says, names no builder; that does not make the attestation less verified.
    Provenance::of(statement).ok().flatten()?.builder_id
}

pub(crate) fn print(reports: &[Report], output: Output) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut text = Vec::new();
    let written = match output {
        Output::Json => serde_json::to_writer(&mut text, reports)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(text)),
        Output::Text => reports
            .iter()
            .try_for_each(|report| print_text(&mut text, report)),
    };
    written
        .and_then(|()| std::io::stdout().lock().write_all(&text))
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

fn print_text(out: &mut Vec<u8>, report: &Report) -> std::io::Result<()> {
    use std::io::Write as _;
    let platform = report
        .platform
        .as_deref()
        .map_or_else(String::new, |text| format!(" platform={}", quoted(text)));
    for one in &report.signatures {
        writeln!(
            out,
            "verified signature image={}{platform}{} key={}{}",
            quoted(&report.image),
            one.name_of(&report.image),
            one.found.key,
            one.who.text()
        )?;
    }
    for one in &report.attestations {
        let builder = one
            .builder_id
            .as_deref()
            .map_or_else(String::new, |id| format!(" builder={}", quoted(id)));
        writeln!(
            out,
            "verified attestation image={}{platform} type={}{builder} key={}{}",
            quoted(&report.image),
            quoted(&one.predicate_type),
            one.found.key,
            one.who.text()
        )?;
    }
    Ok(())
}
