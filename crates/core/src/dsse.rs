//! DSSE envelopes: how a Statement and its signatures travel together.
//!
//! Specification: <https://github.com/secure-systems-lab/dsse/blob/master/envelope.md> and `protocol.md` beside it.
//! The bytes written are those of Tekton Chains and cosign 2: `payloadType`, `payload`, `signatures` in this order.
//! A payload that is too large for memory is signed and put into an envelope piece by piece, into the same bytes.

use std::io::{self, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use base64::write::EncoderWriter;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::gojson;

/// Payload type of every in-toto Statement.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope. Field order is the order of the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// What the payload is, a media type.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// The payload in base64.
    pub payload: String,
    /// One or more signatures over the pre-authentication encoding.
    #[serde(default)]
    pub signatures: Vec<Signature>,
}

/// One signature in an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// A hint to the key, `SHA256:<OpenSSH fingerprint>`; never trusted.
    #[serde(default)]
    pub keyid: String,
    /// The signature in base64.
    pub sig: String,
}

/// Why an envelope cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("not a DSSE envelope")]
    Json(#[source] serde_json::Error),
    /// A field that must be base64 is not.
    #[error("the field {0} of a DSSE envelope is not base64")]
    Base64(&'static str, #[source] base64::DecodeError),
}

impl Envelope {
    /// An envelope around `payload` with one signature.
    #[must_use]
    pub fn new(payload_type: &str, payload: &[u8], keyid: &str, signature: &[u8]) -> Self {
        Self {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signature::new(keyid, signature)],
        }
    }

    /// Reads an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        gojson::from_object(bytes).map_err(Error::Json)
    }

    /// The exact bytes that are stored and logged.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        gojson::to_vec(self)
    }

    /// The decoded payload. Nothing says yet that anybody signed it.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, Error> {
        decode(&self.payload).map_err(|e| Error::Base64("payload", e))
    }
}

impl Signature {
    /// A signature under the key of this name.
    #[must_use]
    pub fn new(keyid: &str, signature: &[u8]) -> Self {
        Self {
            keyid: keyid.to_owned(),
            sig: STANDARD.encode(signature),
        }
    }

    /// The decoded signature.
    pub fn decoded(&self) -> Result<Vec<u8>, Error> {
        decode(&self.sig).map_err(|e| Error::Base64("sig", e))
    }
}

/// Standard base64, or the URL-safe alphabet that DSSE also allows readers to accept.
fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD
        .decode(text)
        .or_else(|e| URL_SAFE.decode(text).map_err(|_| e))
}

/// The pre-authentication encoding, the bytes that a DSSE signature signs:
/// `DSSEv1 SP len(type) SP type SP len(payload) SP payload`.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = pae_start(payload_type, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// The pre-authentication encoding up to a payload of so many bytes.
#[must_use]
pub fn pae_start(payload_type: &str, length: u64) -> Vec<u8> {
    format!("DSSEv1 {} {payload_type} {length} ", payload_type.len()).into_bytes()
}

/// The SHA-256 of the pre-authentication encoding of a payload that is read piece by piece.
///
/// # Errors
/// The reader's, and [`io::ErrorKind::UnexpectedEof`] if it has another length.
pub fn pae_digest(payload_type: &str, length: u64, payload: &mut dyn Read) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    hasher.update(&pae_start(payload_type, length));
    check_length(io::copy(payload, &mut hasher)?, length)?;
    Ok(hasher.finish())
}

/// Writes the bytes of an envelope around a payload that is read piece by piece: those of [`Envelope::to_bytes`].
///
/// # Errors
/// The reader's and the writer's, and [`io::ErrorKind::UnexpectedEof`] if the payload has another length.
pub fn write_envelope(
    out: &mut dyn Write,
    payload_type: &str,
    length: u64,
    payload: &mut dyn Read,
    signature: Signature,
) -> io::Result<()> {
    out.write_all(b"{\"payloadType\":")?;
    out.write_all(&gojson::to_vec(payload_type))?;
    out.write_all(b",\"payload\":\"")?;
    write_base64(out, length, payload)?;
    out.write_all(b"\",\"signatures\":")?;
    out.write_all(&gojson::to_vec(&[signature]))?;
    out.write_all(b"}")
}

/// Writes the base64 of a payload of so many bytes.
pub(crate) fn write_base64(
    out: &mut dyn Write,
    length: u64,
    payload: &mut dyn Read,
) -> io::Result<()> {
    let mut encoder = EncoderWriter::new(&mut *out, &STANDARD);
    check_length(io::copy(payload, &mut encoder)?, length)?;
    encoder.finish()?;
    Ok(())
}

/// A length that was signed before must be the one that is sent.
fn check_length(found: u64, wanted: u64) -> io::Result<()> {
    if found == wanted {
        return Ok(());
    }
    let error = format!("the payload has {found} bytes and not {wanted}");
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_is_read_back_as_it_was_written() {
        let envelope = Envelope::new(IN_TOTO_PAYLOAD_TYPE, b"{}", "SHA256:x", b"sig");
        let bytes = envelope.to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"SHA256:x","sig":"c2ln"}]}"#
        );
        let back = Envelope::parse(&bytes).expect("just written");
        assert_eq!(back, envelope);
        assert_eq!(back.unverified_payload().expect("just written"), b"{}");
    }

    #[test]
    fn what_is_streamed_has_the_bytes_of_what_is_held() {
        for length in [0, 1, 2, 3, 100_000] {
            let payload: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            let size = u64::from(length);
            let held = Envelope::new("t/<x>", &payload, "SHA256:k", b"sig").to_bytes();
            let mut streamed = Vec::new();
            let signature = Signature::new("SHA256:k", b"sig");
            write_envelope(&mut streamed, "t/<x>", size, &mut &payload[..], signature)
                .expect("a Vec takes any byte");
            assert!(streamed == held, "{length} bytes");
            let digest = pae_digest("t/<x>", size, &mut &payload[..]).expect("in memory");
            assert_eq!(digest, Digest::of(&pae("t/<x>", &payload)));
        }
        let short = pae_digest("t", 3, &mut &b"ab"[..]).expect_err("one is missing");
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        let signature = Signature::new("", b"");
        let long = write_envelope(&mut Vec::new(), "t", 1, &mut &b"ab"[..], signature);
        assert!(long.is_err());
    }
}
