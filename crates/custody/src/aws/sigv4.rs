//! AWS Signature Version 4: the `Authorization` of a request, made of its parts, the credentials and the time.
//!
//! Specification: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>. What is signed here has no query, and a
//! path that needs no escapes; whoever makes the request sees to that. Nothing of it is kept.

use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::credentials::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsigned<'a> {
    /// `POST`, ….
    pub(super) method: &'a str,
    /// As it is sent: of letters, digits, `/`, `-`, `.`, `_` and `~` alone.
    pub(super) path: &'a str,
    /// Names in lower case, and values without spaces at their ends; `host` among them, but none of those that are made here.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub(super) body: &'a [u8],
}

/// For what the signature is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// Such as `eu-west-1`.
    pub(super) region: &'a str,
    /// Such as `kms`.
    pub(super) service: &'a str,
}

/// The headers that a request gets by being signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// `x-amz-date`.
    pub(super) date: String,
    /// `authorization`.
    pub(super) authorization: String,
}

/// Signs. A session token that the credentials have is signed as `x-amz-security-token`, which the caller sends with the request.
pub(super) fn sign(
    request: &Unsigned<'_>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: Timestamp,
) -> Signed {
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (day, _) = date.split_at(8);
    let mut headers = request.headers.to_vec();
    headers.push(("x-amz-date", &date));
    if let Some(token) = credentials.session_token() {
        headers.push(("x-amz-security-token", token));
    }
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    // It has the session token in it.
    let mut canonical = Zeroizing::new(format!("{}\n{}\n\n", request.method, request.path));
    for (name, value) in &headers {
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    canonical.push_str(&format!("\n{names}\n{}", hex(&sha256(request.body))));

    let Scope { region, service } = scope;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let hashed = hex(&sha256(canonical.as_bytes()));
    let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{hashed}");

    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret_access_key()));
    let mut key = Zeroizing::new(secret.as_bytes().to_vec());
    for part in [day, region, service, "aws4_request"] {
        key = Zeroizing::new(hmac(&key, part.as_bytes()).to_vec());
    }
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    let id = credentials.access_key_id();
    Signed {
        authorization: format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        ),
        date,
    }
}

/// HMAC (RFC 2104) with SHA-256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = Zeroizing::new([0; BLOCK]);
    match key.len() > BLOCK {
        true => block[..32].copy_from_slice(&sha256(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |with: u8| Zeroizing::new(block.map(|byte| byte ^ with));
    let inner = Sha256::new()
        .chain_update(*pad(0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new().chain_update(*pad(0x5c)).chain_update(inner);
    outer.finalize().into()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");

    /// Signs as `context.json` of AWS's test suite says.
    fn signed(
        method: &str,
        headers: &[(&str, &str)],
        body: &str,
        token: Option<&str>,
    ) -> (String, String) {
        let credentials = Credentials::new(ID, SECRET, token, None).expect("they are good");
        let request = Unsigned {
            method,
            path: "/",
            headers,
            body: body.as_bytes(),
        };
        let scope = Scope {
            region: "us-east-1",
            service: "service",
        };
        let now: Timestamp = "2015-08-30T12:36:00Z".parse().expect("a time");
        let signed = sign(&request, &credentials, scope, now);
        assert_eq!(signed.date, "20150830T123600Z");
        let rest = signed
            .authorization
            .strip_prefix(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=",
            )
            .expect("whose it is");
        let (names, signature) = rest.split_once(", Signature=").expect("a signature");
        (names.to_owned(), signature.to_owned())
    }

    /// The cases of `tests/aws-signing-test-suite/v4` of <https://github.com/awslabs/aws-c-auth> that have no query, and a path without escapes.
    #[test]
    fn signatures_are_those_of_the_test_suite_of_aws() {
        const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        const STS: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        const BODY: &str = "Param1=value1";
        const HASHED: &str = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e";
        let form = "application/x-www-form-urlencoded";
        let form_of_text = "application/x-www-form-urlencoded; charset=utf-8";
        let posted = |kind| {
            [
                ("content-type", kind),
                HOST,
                ("content-length", "13"),
                ("x-amz-content-sha256", HASHED),
            ]
        };
        let of_body = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
        let with_token = "host;x-amz-date;x-amz-security-token";
        for (name, (names, signature), wanted_names, wanted) in [
            (
                "get-vanilla",
                signed("GET", &[HOST], "", None),
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-with-session-token",
                signed("GET", &[HOST], "", Some(TOKEN)),
                with_token,
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                "post-vanilla",
                signed("POST", &[HOST], "", None),
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                signed("POST", &[("my-header1", "value1"), HOST], "", None),
                "host;my-header1;x-amz-date",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-header-value-case",
                signed("POST", &[HOST, ("my-header1", "VALUE1")], "", None),
                "host;my-header1;x-amz-date",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-sts-header-before",
                signed("POST", &[HOST], "", Some(STS)),
                with_token,
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded",
                signed("POST", &posted(form), BODY, None),
                of_body,
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
            (
                "post-x-www-form-urlencoded-parameters",
                signed("POST", &posted(form_of_text), BODY, None),
                of_body,
                "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
            ),
        ] {
            assert_eq!(names, wanted_names, "{name}");
            assert_eq!(signature, wanted, "{name}");
        }
    }

    /// RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn keyed_hashes_are_those_of_rfc_4231() {
        for (key, message, wanted) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hmac(key, message)), wanted);
        }
    }
}
