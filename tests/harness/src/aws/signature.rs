//! Signature Version 4, computed from what arrived: another implementation than the one under test.
//!
//! Specification: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::{AWS_REGION, Refused, State, refused};
use crate::http::{Request, find};

/// AWS takes requests that are no older, and no newer, than this.
const TOLERATED: SignedDuration = SignedDuration::from_mins(5);

/// An `Authorization`, taken apart.
pub(super) struct Authorization {
    pub(super) id: String,
    day: String,
    region: String,
    service: String,
    names: Vec<String>,
    signature: String,
}

impl Authorization {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let mut parts = rest.split(", ");
        let credential = parts.next()?.strip_prefix("Credential=")?;
        let names = parts.next()?.strip_prefix("SignedHeaders=")?;
        let signature = parts.next()?.strip_prefix("Signature=")?;
        let credential: Vec<&str> = credential.split('/').collect();
        let [id, day, region, service, "aws4_request"] = credential[..] else {
            return None;
        };
        (parts.next().is_none()).then(|| Self {
            id: id.to_owned(),
            day: day.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            names: names.split(';').map(str::to_owned).collect(),
            signature: signature.to_owned(),
        })
    }

    /// The signature that the request should have.
    pub(super) fn computed(&self, request: &Request, secret: &str) -> String {
        let mut lines = vec![
            request.method.clone(),
            request.path().to_owned(),
            request.query().to_owned(),
        ];
        for name in &self.names {
            let value = find(&request.headers, name).unwrap_or_default();
            // The harness keeps the length apart from the headers.
            let length = request.body.len().to_string();
            let value = match name.as_str() {
                "content-length" => &length,
                _ => value,
            };
            let value: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
            lines.push(format!("{name}:{}", value.join(" ")));
        }
        lines.push(String::new());
        lines.push(self.names.join(";"));
        lines.push(digest(&request.body));
        let date = find(&request.headers, "x-amz-date").unwrap_or_default();
        let scope = [
            self.day.as_str(),
            self.region.as_str(),
            self.service.as_str(),
            "aws4_request",
        ];
        let to_sign = [
            "AWS4-HMAC-SHA256",
            date,
            &scope.join("/"),
            &digest(lines.join("\n").as_bytes()),
        ];
        let start = format!("AWS4{secret}").into_bytes();
        let key = scope
            .iter()
            .fold(start, |key, part| mac(&key, part.as_bytes()));
        hex(&mac(&key, to_sign.join("\n").as_bytes()))
    }
}

impl State {
    /// Whether the request is of somebody who may ask, and was made by them just now.
    pub(super) fn authenticate(&mut self, request: &Request) -> Result<(), Refused> {
        let outcome = self.judge(request);
        if let Err(Refused(code, message)) = &outcome
            && !matches!(code.as_str(), "ExpiredTokenException")
            && !message.starts_with("Signature ")
        {
            self.complain(format!("{code}: {message}"));
        }
        outcome
    }

    fn judge(&mut self, request: &Request) -> Result<(), Refused> {
        let header = |name| find(&request.headers, name);
        let invalid = |message: String| refused("InvalidSignatureException", message);
        let Some(authorization) = header("authorization") else {
            return refused("MissingAuthenticationTokenException", "it is not signed");
        };
        let Some(parsed) = Authorization::parse(authorization) else {
            return refused("IncompleteSignature", format!("{authorization:?}"));
        };
        for name in ["host", "x-amz-date", "x-amz-target", "content-type"] {
            if !parsed.names.iter().any(|signed| signed == name) {
                return refused("IncompleteSignature", format!("{name} is not signed"));
            }
        }
        let sent = request.headers.iter();
        for name in sent.map(|(name, _)| name.to_ascii_lowercase()) {
            if name.starts_with("x-amz-") && !parsed.names.contains(&name) {
                return invalid(format!("{name} is sent, and not signed"));
            }
        }
        if !parsed.names.is_sorted() {
            return invalid("the names of headers are not sorted".to_owned());
        }
        if header("content-type") != Some("application/x-amz-json-1.1") {
            return refused("UnknownOperationException", "another type of content");
        }
        if (parsed.region.as_str(), parsed.service.as_str()) != (AWS_REGION, "kms") {
            return invalid("Credential should be scoped to a valid region.".to_owned());
        }
        let date = header("x-amz-date").unwrap_or_default();
        let Ok(time) = DateTime::strptime("%Y%m%dT%H%M%SZ", date) else {
            return refused("IncompleteSignature", format!("x-amz-date is {date:?}"));
        };
        let time = TimeZone::UTC.to_timestamp(time);
        let time = time.expect("UTC has every time");
        if !date.starts_with(&parsed.day) {
            return invalid("the scope is of another day".to_owned());
        }
        let late = self.now().duration_since(time);
        if late > TOLERATED {
            return invalid(format!(
                "Signature expired: {date} is now earlier than it may be"
            ));
        }
        if -late > TOLERATED {
            return invalid(format!("Signature not yet current: {date} is still later"));
        }
        let Some(caller) = self.callers.get(&parsed.id) else {
            return refused(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            );
        };
        if header("x-amz-security-token") != caller.token.as_deref() {
            return refused(
                "UnrecognizedClientException",
                "The security token is not the one of this access key.",
            );
        }
        if parsed.computed(request, &caller.secret) != parsed.signature {
            return invalid(
                "The request signature we calculated does not match the signature you provided."
                    .to_owned(),
            );
        }
        match caller.is_expired {
            true => refused(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ),
            false => Ok(()),
        }
    }
}

/// HMAC-SHA256, byte by byte as RFC 2104 has it.
fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = match key.len() {
        0..=64 => key.to_vec(),
        _ => Sha256::digest(key).to_vec(),
    };
    let padded = |with: u8| -> Vec<u8> {
        (0..64)
            .map(|at| key.get(at).copied().unwrap_or(0) ^ with)
            .collect()
    };
    let inner = Sha256::digest([padded(0x36), message.to_vec()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
