//! DSSE envelopes: how a Statement and its signatures travel together.
//!
//! Specification: <https://github.com/secure-systems-lab/dsse/blob/master/envelope.md> and `protocol.md` beside it.
//! The bytes written are those of Tekton Chains and cosign 2: `payloadType`, `payload`, `signatures` in this order.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

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
            signatures: vec![Signature {
                keyid: keyid.to_owned(),
                sig: STANDARD.encode(signature),
            }],
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
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
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
}
