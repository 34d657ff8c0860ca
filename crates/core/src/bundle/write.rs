//! Writes bundles of version 0.3, in the bytes of cosign 3.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Bundle, Content, MEDIA_TYPE_V03};
use crate::digest::Digest;
use crate::dsse::{self, Envelope, Signature};
use crate::evidence::Evidence;
use crate::gojson;

/// A log entry of a bundle does not say of which kind it is, and its body does not either.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("log entry {0} is of no known kind")]
pub struct NoKind(
    /// Its place in the list.
    pub usize,
);

impl Bundle {
    /// The bundle of an envelope that a key has signed, with nothing but the envelope's first signature; `spki` is the key's
    /// SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn of_key(envelope: &Envelope, spki: &[u8]) -> Self {
        let signatures = envelope.signatures.first().map(|signature| Signature {
            keyid: String::new(),
            sig: signature.sig.clone(),
        });
        Self {
            content: Content::Envelope(Envelope {
                payload_type: envelope.payload_type.clone(),
                payload: envelope.payload.clone(),
                signatures: signatures.into_iter().collect(),
            }),
            evidence: Evidence::default(),
            key_hint: Some(key_hint(spki)),
        }
    }

    /// The bundle of an envelope that the key of a certificate has signed, with nothing but the envelope's first signature; `certificate` is DER. The
    /// certificates above it are not in it, as version 0.3 wants: a trusted root has them.
    #[must_use]
    pub fn of_certificate(envelope: &Envelope, certificate: &[u8]) -> Self {
        let mut bundle = Self::of_key(envelope, &[]);
        bundle.key_hint = None;
        bundle.evidence.certificate = Some(certificate.to_vec());
        bundle
    }

    /// The exact bytes of the bundle in version 0.3, whatever it was read from. Of a chain only the certificate is kept, as that version wants.
    ///
    /// # Errors
    /// If a log entry is of no known kind.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NoKind> {
        let mut entries = Vec::with_capacity(self.evidence.entries.len());
        for (at, entry) in self.evidence.entries.iter().enumerate() {
            let json = entry.to_bundle_json().ok_or(NoKind(at))?;
            entries.push(RawValue::from_string(json).map_err(|_| NoKind(at))?);
        }
        let certificate = self.evidence.certificate.as_ref();
        let hint = self.key_hint.as_deref().filter(|_| certificate.is_none());
        let written = Written {
            media_type: MEDIA_TYPE_V03,
            verification_material: Material {
                public_key: hint.map(|hint| PublicKey { hint }),
                certificate: certificate.map(|bytes| Certificate {
                    raw_bytes: STANDARD.encode(bytes),
                }),
                tlog_entries: entries,
                timestamp_verification_data: timestamps(&self.evidence.timestamps),
            },
            dsse_envelope: match &self.content {
                Content::Envelope(envelope) => Some(EnvelopeWritten::of(envelope)),
                Content::Message { .. } => None,
            },
            message_signature: match &self.content {
                Content::Envelope(_) => None,
                Content::Message {
                    algorithm,
                    digest,
                    signature,
                } => Some(Message {
                    message_digest: MessageDigest {
                        algorithm,
                        digest: STANDARD.encode(digest),
                    },
                    signature: STANDARD.encode(signature),
                }),
            },
        };
        Ok(gojson::to_vec_protojson(&written))
    }
}

/// An envelope in the spelling that it has in a bundle: what cosign 3 has logged of one.
#[must_use]
pub fn envelope_bytes(envelope: &Envelope) -> Vec<u8> {
    gojson::to_vec_protojson(&EnvelopeWritten::of(envelope))
}

/// How bundles name a key: the SHA-256 of its SubjectPublicKeyInfo, DER, in base64.
#[must_use]
pub fn key_hint(spki: &[u8]) -> String {
    STANDARD.encode(Digest::of(spki).to_bytes())
}

/// Writes the bundle of an envelope around a payload that is read piece by piece, signed by the key of this SubjectPublicKeyInfo: the bytes
/// of [`Bundle::of_key`].
///
/// # Errors
/// The reader's and the writer's, and [`io::ErrorKind::UnexpectedEof`] if the payload has another length.
pub fn write_of_key(
    out: &mut dyn Write,
    spki: &[u8],
    payload_type: &str,
    length: u64,
    payload: &mut dyn Read,
    signature: &[u8],
) -> io::Result<()> {
    let hint = key_hint(spki);
    write!(
        out,
        "{{\"mediaType\":\"{MEDIA_TYPE_V03}\",\"verificationMaterial\":{{\"publicKey\":{{\"hint\":\"{hint}\"}}}},\"dsseEnvelope\":{{\"payload\":\""
    )?;
    dsse::write_base64(out, length, payload)?;
    out.write_all(b"\",\"payloadType\":")?;
    out.write_all(&gojson::to_vec_protojson(payload_type))?;
    let signature = STANDARD.encode(signature);
    write!(out, ",\"signatures\":[{{\"sig\":\"{signature}\"}}]}}}}")
}

fn timestamps(timestamps: &[Vec<u8>]) -> Option<TimestampData> {
    let list: Vec<_> = timestamps
        .iter()
        .map(|bytes| Timestamp {
            signed_timestamp: STANDARD.encode(bytes),
        })
        .collect();
    (!list.is_empty()).then_some(TimestampData {
        rfc3161_timestamps: list,
    })
}

/// Field order is the order of the bytes, here and below.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    media_type: &'static str,
    verification_material: Material<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_signature: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<EnvelopeWritten<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Material<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<PublicKey<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tlog_entries: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_verification_data: Option<TimestampData>,
}

#[derive(Serialize)]
struct PublicKey<'a> {
    hint: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    raw_bytes: String,
}

#[derive(Serialize)]
struct TimestampData {
    #[serde(rename = "rfc3161Timestamps")]
    rfc3161_timestamps: Vec<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timestamp {
    signed_timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    message_digest: MessageDigest<'a>,
    signature: String,
}

#[derive(Serialize)]
struct MessageDigest<'a> {
    algorithm: &'a str,
    digest: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeWritten<'a> {
    payload: &'a str,
    payload_type: &'a str,
    signatures: Vec<SignatureWritten<'a>>,
}

#[derive(Serialize)]
struct SignatureWritten<'a> {
    sig: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    keyid: &'a str,
}

impl<'a> EnvelopeWritten<'a> {
    fn of(envelope: &'a Envelope) -> Self {
        let signatures = envelope
            .signatures
            .iter()
            .map(|signature| SignatureWritten {
                sig: &signature.sig,
                keyid: &signature.keyid,
            });
        Self {
            payload: &envelope.payload,
            payload_type: &envelope.payload_type,
            signatures: signatures.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::IN_TOTO_PAYLOAD_TYPE;
    use crate::samples;

    #[test]
    fn each_bundle_that_cosign_wrote_is_written_again_byte_for_byte() {
        for (case, bytes) in samples::bundles() {
            let bundle = Bundle::parse(&bytes).expect(&case);
            let written = bundle.to_bytes().expect(&case);
            assert_eq!(
                String::from_utf8_lossy(&written),
                String::from_utf8_lossy(&bytes),
                "{case}"
            );
        }
    }

    #[test]
    fn the_envelope_that_cosign_has_logged_is_the_one_in_the_bundle() {
        for case in ["sign-v3-bundle-rekor1", "attest-v3-bundle-rekor1"] {
            let bundle = Bundle::parse(&samples::bundle(case)).expect("cosign's");
            let Content::Envelope(envelope) = &bundle.content else {
                panic!("an envelope")
            };
            let body = &bundle.evidence.entries[0].body;
            let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            assert_eq!(
                body["spec"]["envelopeHash"]["value"],
                Digest::of(&envelope_bytes(envelope)).hex(),
                "{case}"
            );
        }
    }

    #[test]
    fn a_bundle_of_a_key_has_its_hint_and_the_envelopes_signature_alone() {
        let envelope = Envelope::new(IN_TOTO_PAYLOAD_TYPE, b"{}", "SHA256:x", b"sig");
        let bytes = Bundle::of_key(&envelope, b"spki").to_bytes();
        let hint = STANDARD.encode(Digest::of(b"spki").to_bytes());
        let wanted = format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"{hint}"}}}},"dsseEnvelope":{{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"c2ln"}}]}}}}"#
        );
        let bytes = bytes.expect("no log entry");
        assert_eq!(String::from_utf8_lossy(&bytes), wanted);
        let back = Bundle::parse(&bytes).expect("just written");
        assert_eq!(back.key_hint, Some(hint));
    }

    #[test]
    fn a_bundle_of_a_certificate_has_it_in_the_place_of_the_hint() {
        let envelope = Envelope::new(IN_TOTO_PAYLOAD_TYPE, b"{}", "SHA256:x", b"sig");
        let bytes = Bundle::of_certificate(&envelope, b"DER").to_bytes();
        let wanted = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"REVS"}},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"c2ln"}]}}"#;
        let bytes = bytes.expect("no log entry");
        assert_eq!(String::from_utf8_lossy(&bytes), wanted);
    }

    #[test]
    fn the_hint_is_cosigns() {
        let keys = ["a", "b"].map(|name| samples::file(&format!("keys/{name}.pub")));
        let bundle = Bundle::parse(&samples::bundle("sign-v3-bundle-notlog")).expect("cosign's");
        let hints = keys.iter().map(|pem| {
            let text = String::from_utf8_lossy(pem);
            let base64: String = text.lines().filter(|l| !l.starts_with('-')).collect();
            key_hint(&STANDARD.decode(base64).expect("PEM"))
        });
        assert!(hints.map(Some).any(|hint| hint == bundle.key_hint));
    }

    #[test]
    fn what_is_streamed_has_the_bytes_of_what_is_held() {
        for length in [0, 1, 2, 3, 100_000] {
            let payload: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            let envelope = Envelope::new("t/<x>", &payload, "SHA256:k", b"sig");
            let held = Bundle::of_key(&envelope, b"k").to_bytes();
            let mut streamed = Vec::new();
            let size = u64::from(length);
            write_of_key(
                &mut streamed,
                b"k",
                "t/<x>",
                size,
                &mut &payload[..],
                b"sig",
            )
            .expect("a Vec takes any byte");
            assert!(Ok(streamed) == held, "{length} bytes");
        }
        let long = write_of_key(&mut Vec::new(), b"k", "t", 1, &mut &b"ab"[..], b"");
        assert!(long.is_err());
    }

    #[test]
    fn an_entry_that_says_nothing_of_its_kind_is_in_no_bundle() {
        let bytes = samples::bundle("sign-v3-bundle-rekor1");
        let mut bundle = Bundle::parse(&bytes).expect("cosign's");
        bundle.evidence.entries[0].kind_version = None;
        assert_eq!(bundle.to_bytes(), Ok(bytes), "the body says it too");
        bundle.evidence.entries[0].body = b"{}".to_vec();
        assert_eq!(bundle.to_bytes(), Err(NoKind(0)));
    }
}
