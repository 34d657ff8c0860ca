//! Roles of ServiceAccounts (IRSA): the token of the cluster is exchanged for credentials of a role, by the security token service of the region.
//!
//! Specification: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>. The request is signed by nobody: the token
//! says who asks. It is read from its file each time, for the cluster replaces it.

use std::path::PathBuf;

use jiff::Timestamp;
use tekseal_core::percent;
use tekseal_remote::rest::{Answer, Method, Request, Url};
use zeroize::Zeroizing;

use super::xml::{element, text_of};
use super::{Credentials, MOST_OF_ANSWER, read_token};
use crate::aws::endpoint::Service;
use crate::aws::{named, refusal, tries};
use crate::{Context, Error};

const SERVICE: &str = "AWS STS";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";

/// The credentials of the role, where this process has one.
pub(super) async fn find(context: &Context, region: &str) -> Result<Option<Credentials>, Error> {
    let Some(path) = context.variable(TOKEN_FILE).map(PathBuf::from) else {
        return Ok(None);
    };
    let Some(role) = context.variable(ROLE) else {
        return Err(Error::Setting {
            name: TOKEN_FILE.to_owned(),
            reason: format!("{ROLE} is not set"),
        });
    };
    let token = read_token(TOKEN_FILE, &path)?;
    let session = context.variable("AWS_ROLE_SESSION_NAME");
    let session =
        session.unwrap_or_else(|| format!("tekseal-{}", Timestamp::now().as_millisecond()));
    let url = Service::Sts.url(region, context)?;
    context.tell_if_plain("the identity token", &url);
    let form = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", &role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", &token),
    ]);
    let request = Request::new(Method::POST, url.clone(), MOST_OF_ANSWER)
        .header(
            named("content-type"),
            "application/x-www-form-urlencoded; charset=utf-8",
        )
        .body(form.as_bytes().to_vec())
        .hiding(&token);
    let asking = Asking {
        role: &role,
        url: &url,
        path: &path,
    };
    let mut tries = tries(context);
    loop {
        let answer = context.rest.send(&request).await;
        let answer = answer.map_err(|failed| Error::Request {
            action: asking.action(),
            source: Box::new(failed),
        })?;
        if answer.is_success() {
            return asking.credentials(&answer.body).map(Some);
        }
        let (passes, error) = asking.refused(&answer);
        if !passes || !tries.wait(&error, None).await {
            return Err(error);
        }
    }
}

/// What was asked, for messages.
struct Asking<'a> {
    role: &'a str,
    url: &'a Url,
    path: &'a std::path::Path,
}

impl Asking<'_> {
    fn action(&self) -> String {
        format!("give credentials of the role {}", self.role)
    }

    fn credentials(&self, body: &[u8]) -> Result<Credentials, Error> {
        let odd = |found: String| Error::Answer {
            service: SERVICE,
            action: self.action(),
            found,
            wanted: "AccessKeyId, SecretAccessKey, SessionToken and Expiration",
        };
        let read = || {
            let text = std::str::from_utf8(body).ok()?;
            let given = element(
                element(text, "AssumeRoleWithWebIdentityResult")?,
                "Credentials",
            )?;
            let of = |name| text_of(given, name);
            let expires: Timestamp = of("Expiration")?.parse().ok()?;
            Some((
                of("AccessKeyId")?,
                of("SecretAccessKey")?,
                of("SessionToken")?,
                expires,
            ))
        };
        let (id, secret, token, expires) = read().ok_or_else(|| odd("something else".into()))?;
        Credentials::new(&id, &secret, Some(&token), Some(expires))
            .map_err(|why| odd(format!("something of which {why}")))
    }

    /// Why there are none, and whether another try may change that.
    fn refused(&self, answer: &Answer) -> (bool, Error) {
        let body = String::from_utf8_lossy(&answer.body);
        let inside = element(&body, "Error").unwrap_or_default();
        let of = |name| text_of(inside, name).unwrap_or_default();
        let code = refusal::code(&of("Code")).to_owned();
        let advice = match code.as_str() {
            "AccessDenied" => {
                "the trust policy of the role must allow sts:AssumeRoleWithWebIdentity to this ServiceAccount"
            }
            "ExpiredTokenException" => "the token in the file has expired, and nobody replaced it",
            "InvalidIdentityToken" => {
                "the issuer of the cluster must be an identity provider of the account, for the audience of the token, which is sts.amazonaws.com"
            }
            "IDPRejectedClaim" => "the issuer of the cluster says no to the token",
            "RegionDisabledException" => "switch the region on for the account, or use another",
            "ValidationError" => "check AWS_ROLE_ARN and AWS_ROLE_SESSION_NAME",
            _ => "",
        };
        let passes = refusal::is_throttled(&code) || code == "IDPCommunicationError";
        let said = answer.told(&of("Message"));
        let place = format!(
            " at {} with the token in {}",
            self.url.host_str().unwrap_or_default(),
            self.path.display()
        );
        let error = Error::Refused {
            service: SERVICE,
            action: self.action() + &place,
            status: answer.status,
            detail: refusal::detail(&code, &said, advice),
            may_pass: passes || answer.status >= 500 || answer.status == 429,
            retry_after: None,
        };
        (passes, error)
    }
}

/// `application/x-www-form-urlencoded`.
fn form(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    // As large as it may become, so that nothing is left behind where it grew.
    let most = pairs
        .iter()
        .map(|(name, value)| name.len() + value.len() * 3 + 2);
    let mut text = Zeroizing::new(String::with_capacity(most.sum()));
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(&percent::encoded_secret(value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        let form = form(&[("A", "a b&c=é"), ("B", "x.y-z_~")]);
        assert_eq!(form.as_str(), "A=a%20b%26c%3D%C3%A9&B=x.y-z_~");
    }

    /// The example of AWS's reference, cut down.
    #[test]
    fn credentials_are_read_from_the_documented_answer() {
        let url = Url::parse("https://sts.example").expect("a URL");
        let asking = Asking {
            role: "r",
            url: &url,
            path: "t".as_ref(),
        };
        let body = |inside: &str| {
            format!(
                r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>amzn1.account.AF6RHO7KZU5XRVQJGXK6HB56KR2A</SubjectFromWebIdentityToken>
    <Credentials>{inside}</Credentials>
    <Provider>www.amazon.com</Provider>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"#
            )
        };
        let good = "<SessionToken>AQoDYXdzEE0a8ANXXX==</SessionToken><SecretAccessKey>wJalr/X+UtnFEMI</SecretAccessKey>\
                    <Expiration>2014-10-24T23:00:23Z</Expiration><AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId>";
        let found = asking.credentials(body(good).as_bytes());
        let found = found.unwrap_or_else(|e| panic!("it is good: {e}"));
        assert_eq!(found.access_key_id(), "ASgeIAIOSFODNN7EXAMPLE");
        assert_eq!(found.secret_access_key(), "wJalr/X+UtnFEMI");
        assert_eq!(found.session_token(), Some("AQoDYXdzEE0a8ANXXX=="));
        let expires: Timestamp = "2014-10-24T23:00:23Z".parse().expect("a time");
        assert_eq!(found.expires, Some(expires));
        for inside in [
            "",
            "<AccessKeyId>a</AccessKeyId>",
            &good.replace("2014", "late"),
            &good.replace("wJalr", "wJa\nlr"),
        ] {
            let error = asking.credentials(body(inside).as_bytes()).err();
            let error = error.expect("it is not good").to_string();
            assert!(!error.contains("EXAMPLE"), "{error}");
        }
        assert!(asking.credentials(&[0xff; 100]).is_err());
    }
}
