//! What AWS says when it does not do what it was asked: a code, a sentence, and what people can do about it.
//!
//! Specification: <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>, and the errors of each call there.

use std::time::Duration;

use serde::Deserialize;
use tekseal_remote::rest::Answer;

use crate::Error;

/// One refusal.
#[derive(Debug, thiserror::Error)]
#[error("AWS KMS refuses with status {status}{}", detail(.code, .said, ""))]
pub(super) struct Refusal {
    status: u16,
    code: String,
    said: String,
    retry_after: Option<Duration>,
}

/// What kind of refusal it is, which says what to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fewer requests are wanted.
    Throttled,
    /// The credentials have expired.
    Expired,
    /// The request is of another time, or may be.
    Clock,
    /// There is no such key.
    NotFound,
    /// Anything else.
    Final,
}

/// `{"__type": "com.example#SomeException", "message": "…"}`; some of the answers have the second with a capital.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "__type", default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(rename = "Message", default)]
    capital_message: Option<String>,
}

impl Refusal {
    /// Reads an answer that is no success.
    pub(super) fn read(answer: &Answer) -> Self {
        let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
        let (of_body, said) = body.map_or_else(Default::default, |body| {
            let said = body.message.or(body.capital_message);
            (body.code, said.unwrap_or_default())
        });
        let header = answer.headers.get("x-amzn-errortype");
        let header = header.and_then(|value| value.to_str().ok());
        let code_text = match of_body.is_empty() {
            true => header.unwrap_or_default(),
            false => &of_body,
        };
        let after = answer.headers.get("retry-after");
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Self {
            status: answer.status,
            code: code(code_text).to_owned(),
            said: answer.told(&said),
            retry_after: after.map(Duration::from_secs),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.code.as_str() {
            code if is_throttled(code) => Kind::Throttled,
            "ExpiredTokenException" | "ExpiredToken" => Kind::Expired,
            "RequestExpired"
            | "RequestTimeTooSkewed"
            | "RequestInTheFuture"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch" => Kind::Clock,
            "NotFoundException" => Kind::NotFound,
            _ => Kind::Final,
        }
    }

    /// How long AWS wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same for people. `action` is what was asked, which needs this `permission`, in this `region`.
    pub(super) fn into_error(self, action: &str, permission: &str, region: &str) -> Error {
        let advice = self.advice(permission, region);
        let is_quota = self.code == "LimitExceededException";
        Error::Refused {
            service: super::SERVICE,
            action: action.to_owned(),
            status: self.status,
            detail: detail(&self.code, &self.said, &advice),
            may_pass: self.kind() == Kind::Throttled && !is_quota
                || self.status >= 500
                || matches!(self.status, 408 | 429),
            retry_after: self.retry_after,
        }
    }

    fn advice(&self, permission: &str, region: &str) -> String {
        let fixed = match self.code.as_str() {
            "AccessDeniedException" | "NotAuthorized" => {
                return format!(
                    "let the identity have {permission}, by the policy of its role or of the key"
                );
            }
            "NotFoundException" => {
                return format!(
                    "there is no such key in region {region} of this account: check the reference, AWS_REGION and whose credentials they are"
                );
            }
            "DisabledException" => "enable the key, or use another",
            "KMSInvalidStateException" => {
                "the key is in a state in which it cannot be used, such as waiting for its deletion: `aws kms describe-key` tells it"
            }
            "InvalidKeyUsageException" | "UnsupportedOperationException" => {
                "use an asymmetric key with the usage SIGN_VERIFY"
            }
            "UnrecognizedClientException" | "InvalidClientTokenId" => {
                "AWS does not know these credentials: check them, and that they are of the partition of the region"
            }
            "ExpiredTokenException" | "ExpiredToken" => "give credentials that are still good",
            "InvalidSignatureException" | "SignatureDoesNotMatch" => {
                "check the secret access key, the region of the endpoint, and the clock of this machine"
            }
            "RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture" => {
                "set the clock of this machine"
            }
            "MissingAuthenticationTokenException" | "IncompleteSignature" => {
                "something between here and AWS takes away headers"
            }
            "OptInRequired" => "switch the region on for the account",
            "LimitExceededException" => "a quota of the account is used up",
            "AlreadyExistsException" => "somebody else has made it meanwhile",
            code if is_throttled(code) => {
                "the account asks more often than its quota allows: sign less at once, or ask for more"
            }
            _ => "",
        };
        fixed.to_owned()
    }
}

/// Codes by which services of AWS ask for fewer requests, as their SDKs know them.
pub(super) fn is_throttled(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "SlowDown"
    )
}

/// The name of an error, without its namespace and what may stand behind a colon; empty if it is none.
pub(super) fn code(text: &str) -> &str {
    let text = text.rsplit('#').next().unwrap_or_default();
    let text = text.split(':').next().unwrap_or_default().trim();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
    match text.len() <= 100 && text.bytes().all(is_name) {
        true => text,
        false => "",
    }
}

/// What follows `status …`.
pub(super) fn detail(code: &str, said: &str, advice: &str) -> String {
    let parts = [code, said].into_iter().filter(|part| !part.is_empty());
    let mut detail: String = parts.map(|part| format!(": {part}")).collect();
    if !advice.is_empty() {
        detail.push_str("; ");
        detail.push_str(advice);
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_codes() {
        for (text, wanted) in [
            ("NotFoundException", "NotFoundException"),
            ("com.amazonaws.kms#NotFoundException", "NotFoundException"),
            ("AccessDeniedException:http://x/y", "AccessDeniedException"),
            ("\u{1b}[31m", ""),
            ("a b", ""),
            ("", ""),
        ] {
            assert_eq!(code(text), wanted);
        }
        assert_eq!(code(&"x".repeat(101)), "");
    }
}
