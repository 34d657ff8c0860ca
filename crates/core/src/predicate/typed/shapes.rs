//! The fields of the types, in the order of the bytes.
//!
//! They are those of cosign 2.6.5 (`pkg/cosign/attestation`) and of in-toto-golang 0.9.0.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::gojson::{self, null_is_default};
use crate::statement::DigestSet;
use crate::time::Time;

/// What Go holds as an `interface{}`: JSON, with sorted keys and numbers as float64.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Any(Box<RawValue>);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let (mut sorted, mut escaped) = (Vec::new(), Vec::new());
        gojson::write_struct(&mut sorted, raw.get()).map_err(D::Error::custom)?;
        let sorted = String::from_utf8(sorted).map_err(D::Error::custom)?;
        gojson::write_raw(&mut escaped, &sorted);
        let text = String::from_utf8(escaped).map_err(D::Error::custom)?;
        RawValue::from_string(text)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

type AnyMap = BTreeMap<String, Option<Any>>;

/// A `time.Time`: as it was written, but for a fraction's last zeros and an offset of nothing.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct GoTime(String);

impl Default for GoTime {
    fn default() -> Self {
        Self("0001-01-01T00:00:00Z".to_owned())
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let written = go_time(&text);
        written
            .map(Self)
            .ok_or_else(|| D::Error::custom("a time is not in the form of RFC 3339"))
    }
}

/// What Go's `time.Time` makes of a JSON string, which must be RFC 3339 to the letter there.
fn go_time(text: &str) -> Option<String> {
    const SECONDS: usize = "2006-01-02T15:04:05".len();
    Time::parse(text).ok()?;
    let (seconds, rest) = text.split_at_checked(SECONDS)?;
    let has_form = seconds.bytes().zip("0000-00-00T00:00:00".bytes());
    if !has_form.into_iter().all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    }) {
        return None;
    }
    let (fraction, offset) = rest.split_at(rest.find(['Z', '+', '-'])?);
    let fraction = match fraction.strip_prefix('.') {
        // Go keeps nanoseconds, and cuts what is finer.
        Some(digits) => digits.get(..9).unwrap_or(digits).trim_end_matches('0'),
        None if fraction.is_empty() => "",
        None => return None,
    };
    let offset = match offset {
        "Z" | "+00:00" | "-00:00" => "Z",
        other if other.len() == "+00:00".len() => {
            let (hours, minutes) = (other.get(1..3)?, other.get(4..6)?);
            let in_day = hours.parse::<u8>().ok()? < 24 && minutes.parse::<u8>().ok()? < 60;
            Some(other).filter(|_| in_day)?
        }
        _ => return None,
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(format!("{seconds}{dot}{fraction}{offset}"))
}

/// A `[]byte`: base64, written anew.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
struct Base64(String);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Go's decoder passes over line ends.
        let decoded = STANDARD
            .decode(text.replace(['\r', '\n'], ""))
            .map_err(D::Error::custom)?;
        Ok(Self(STANDARD.encode(decoded)))
    }
}

impl Base64 {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Id {
    #[serde(default, deserialize_with = "null_is_default")]
    id: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slsa02 {
    #[serde(deserialize_with = "null_is_default")]
    builder: Id,
    #[serde(deserialize_with = "null_is_default")]
    build_type: String,
    #[serde(default, deserialize_with = "null_is_default")]
    invocation: Invocation02,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    build_config: Option<Any>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata02>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    materials: Vec<Material>,
}

impl Slsa02 {
    /// Whether the id of the invocation stands there in one spelling at most.
    pub(super) fn is_clear(&self) -> bool {
        self.metadata.as_ref().is_none_or(|metadata| {
            metadata.invocation.is_empty() || metadata.invocation_of_go.is_empty()
        })
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Invocation02 {
    #[serde(deserialize_with = "null_is_default")]
    config_source: ConfigSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Any>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigSource {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    uri: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    digest: DigestSet,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    entry_point: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata02 {
    /// Go's spelling, and that of the specification; at most one is there.
    #[serde(
        rename = "buildInvocationID",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    invocation_of_go: String,
    #[serde(
        rename = "buildInvocationId",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    invocation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_started_on: Option<GoTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_finished_on: Option<GoTime>,
    #[serde(deserialize_with = "null_is_default")]
    completeness: Completeness,
    #[serde(deserialize_with = "null_is_default")]
    reproducible: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Completeness {
    #[serde(deserialize_with = "null_is_default")]
    parameters: bool,
    #[serde(deserialize_with = "null_is_default")]
    environment: bool,
    #[serde(deserialize_with = "null_is_default")]
    materials: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Material {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    uri: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    digest: DigestSet,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slsa1 {
    #[serde(deserialize_with = "null_is_default")]
    build_definition: BuildDefinition,
    #[serde(deserialize_with = "null_is_default")]
    run_details: RunDetails,
}

impl Slsa1 {
    /// Whether the id of the invocation stands there in one spelling at most.
    pub(super) fn is_clear(&self) -> bool {
        let metadata = &self.run_details.metadata;
        metadata.invocation.is_empty() || metadata.invocation_of_go.is_empty()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BuildDefinition {
    #[serde(deserialize_with = "null_is_default")]
    build_type: String,
    external_parameters: Option<Any>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_parameters: Option<Any>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    resolved_dependencies: Vec<Descriptor>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct RunDetails {
    #[serde(deserialize_with = "null_is_default")]
    builder: Builder1,
    #[serde(deserialize_with = "null_is_default")]
    metadata: Metadata1,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    byproducts: Vec<Descriptor>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Builder1 {
    #[serde(deserialize_with = "null_is_default")]
    id: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    version: BTreeMap<String, String>,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    builder_dependencies: Vec<Descriptor>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata1 {
    /// Go's spelling, and that of the specification; at most one is there.
    #[serde(
        rename = "invocationID",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    invocation_of_go: String,
    #[serde(
        rename = "invocationId",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    invocation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_on: Option<GoTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_on: Option<GoTime>,
}

/// A resource descriptor in the order of in-toto-golang.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Descriptor {
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    uri: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    digest: DigestSet,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    name: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    download_location: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    media_type: String,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "Base64::is_empty"
    )]
    content: Base64,
    #[serde(
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    annotations: AnyMap,
}

/// Each member must be there, if only as `null`, which is then written again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Link {
    #[serde(rename = "_type", deserialize_with = "null_is_default")]
    link_type: String,
    #[serde(deserialize_with = "null_is_default")]
    name: String,
    #[serde(deserialize_with = "present")]
    materials: Option<AnyMap>,
    #[serde(deserialize_with = "present")]
    products: Option<AnyMap>,
    #[serde(deserialize_with = "present")]
    byproducts: Option<AnyMap>,
    #[serde(deserialize_with = "present")]
    command: Option<Vec<String>>,
    #[serde(deserialize_with = "present")]
    environment: Option<AnyMap>,
}

/// serde takes an absent `Option` for `None` unless it is told how to read it.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Vuln {
    #[serde(deserialize_with = "null_is_default")]
    invocation: VulnInvocation,
    #[serde(deserialize_with = "null_is_default")]
    scanner: Scanner,
    #[serde(deserialize_with = "null_is_default")]
    metadata: VulnMetadata,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct VulnInvocation {
    parameters: Option<Any>,
    #[serde(deserialize_with = "null_is_default")]
    uri: String,
    #[serde(deserialize_with = "null_is_default")]
    event_id: String,
    #[serde(rename = "builder.id", deserialize_with = "null_is_default")]
    builder_id: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Scanner {
    #[serde(deserialize_with = "null_is_default")]
    uri: String,
    #[serde(deserialize_with = "null_is_default")]
    version: String,
    #[serde(deserialize_with = "null_is_default")]
    db: Database,
    result: Option<Any>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Database {
    #[serde(deserialize_with = "null_is_default")]
    uri: String,
    #[serde(deserialize_with = "null_is_default")]
    version: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VulnMetadata {
    #[serde(deserialize_with = "null_is_default")]
    scan_started_on: GoTime,
    #[serde(deserialize_with = "null_is_default")]
    scan_finished_on: GoTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_offset_and_lose_what_go_does_not_write() {
        for (text, written) in [
            ("2026-03-01T10:00:00Z", Some("2026-03-01T10:00:00Z")),
            (
                "2026-03-01T10:00:00+02:30",
                Some("2026-03-01T10:00:00+02:30"),
            ),
            ("2026-03-01T10:00:00-00:00", Some("2026-03-01T10:00:00Z")),
            (
                "2026-03-01T10:00:00.120+00:00",
                Some("2026-03-01T10:00:00.12Z"),
            ),
            ("2026-03-01T10:00:00.000Z", Some("2026-03-01T10:00:00Z")),
            (
                "2026-03-01T10:00:00.1234567899Z",
                Some("2026-03-01T10:00:00.123456789Z"),
            ),
            ("2026-03-01T1:00:00Z", None),
            ("2026-03-01T10:00:00,5Z", None),
            ("2026-03-01T10:00:00.Z", None),
            ("2026-03-01t10:00:00z", None),
            ("2026-03-01T10:00:00+24:00", None),
            ("2026-03-01T10:00:00+0200", None),
            ("2026-02-30T10:00:00Z", None),
            ("2026-03-01T10:00:60Z", None),
            ("2026-03-01", None),
            ("", None),
            ("2026-03-01T10:00:0\u{e9}Z", None),
        ] {
            assert_eq!(go_time(text).as_deref(), written, "{text}");
        }
    }
}
