//! Who gives credentials to whom: the security token service, the agent of containers, the metadata of instances.

use jiff::Timestamp;
use serde_json::json;

use super::{ACCOUNT, Answer, Caller, State};
use crate::http::{Request, find};

/// Where the agent of containers is.
pub(super) const AGENT: &str = "/v1/credentials";
const INSTANCE_TOKEN: &str = "instance-token";

/// New credentials.
struct Given {
    id: String,
    secret: String,
    token: String,
    expires: Timestamp,
}

impl State {
    fn give(&mut self) -> Given {
        self.given += 1;
        let number = self.given;
        let given = Given {
            id: format!("ASIAEXAMPLE{number}"),
            // With characters that must be escaped in forms and in XML.
            secret: format!("secret/+{number}"),
            token: format!("session//+{number}=="),
            expires: self.now() + self.lifetime,
        };
        let caller = Caller {
            secret: given.secret.clone(),
            token: Some(given.token.clone()),
            is_expired: false,
        };
        self.callers.insert(given.id.clone(), caller);
        given
    }

    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
    pub(super) fn sts_answer(&mut self, request: &Request) -> Answer {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let field = |name: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(known, _)| *known == name);
            unescaped(value.map_or("", |(_, value)| value))
        };
        let action = field("Action");
        let form =
            json!({"RoleArn": field("RoleArn"), "RoleSessionName": field("RoleSessionName")});
        self.calls.push((action.clone(), form));
        let refusal = self.refusals.iter_mut();
        let mut refusal = refusal.filter(|refusal| refusal.operation == action && refusal.left > 0);
        if let Some(refusal) = refusal.next() {
            refusal.left -= 1;
            let said = format!("so the test says of {}", field("WebIdentityToken"));
            return sts_error(400, &refusal.code.clone(), &said);
        }
        let session = field("RoleSessionName");
        let is_session = (2..=64).contains(&session.len())
            && session
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
        let kind = find(&request.headers, "content-type").unwrap_or_default();
        let is_form = kind.starts_with("application/x-www-form-urlencoded");
        let is_call = action == "AssumeRoleWithWebIdentity" && field("Version") == "2011-06-15";
        let is_signed = find(&request.headers, "authorization").is_some();
        if !is_session || !is_form || !is_call || is_signed {
            self.complain(format!("STS was asked with {kind} {body}"));
            return sts_error(400, "ValidationError", "not as documented");
        }
        match self.roles.get(&field("RoleArn")) {
            None => sts_error(
                403,
                "AccessDenied",
                "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            ),
            Some(token) if *token != field("WebIdentityToken") => {
                sts_error(400, "InvalidIdentityToken", "Incorrect token audience")
            }
            Some(_) => {
                let given = self.give();
                let body = format!(
                    r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Audience>sts.amazonaws.com</Audience>
    <AssumedRoleUser><AssumedRoleId>AROA:{session}</AssumedRoleId><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/r/{session}</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>{}</AccessKeyId>
      <SecretAccessKey>{}</SecretAccessKey>
      <SessionToken>{}</SessionToken>
      <Expiration>{}</Expiration>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>"#,
                    given.id, given.secret, given.token, given.expires
                );
                Answer::new(200, &[("Content-Type", "text/xml")], body.as_bytes())
            }
        }
    }

    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
    pub(super) fn agent_answer(&mut self, request: &Request) -> Answer {
        self.calls.push(("agent".to_owned(), json!({})));
        let sent = find(&request.headers, "authorization");
        let kind = [("Content-Type", "application/json")];
        if self.agent_token.is_none() || sent != self.agent_token.as_deref() {
            let body = br#"{"code":"AccessDenied","message":"no such association"}"#;
            return Answer::new(403, &kind, body);
        }
        let given = self.give();
        let body = json!({
            "AccessKeyId": given.id,
            "SecretAccessKey": given.secret,
            "Token": given.token,
            "Expiration": given.expires.to_string(),
            "AccountId": ACCOUNT,
        });
        Answer::new(200, &kind, body.to_string().as_bytes())
    }

    /// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>
    pub(super) fn instance_answer(&mut self, request: &Request) -> Answer {
        self.calls.push(("instance".to_owned(), json!({})));
        let plain =
            |text: &str| Answer::new(200, &[("Content-Type", "text/plain")], text.as_bytes());
        let ttl = find(&request.headers, "x-aws-ec2-metadata-token-ttl-seconds");
        let ttl = ttl.and_then(|ttl| ttl.parse().ok());
        if request.path() == "/latest/api/token" {
            return match (request.method.as_str(), ttl) {
                ("PUT", Some(1..=21600)) => plain(INSTANCE_TOKEN),
                _ => Answer::new(400, &[], b""),
            };
        }
        let token = find(&request.headers, "x-aws-ec2-metadata-token");
        if token != Some(INSTANCE_TOKEN) || request.method != "GET" {
            return Answer::new(401, &[], b"");
        }
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let role = self.instance_role.clone();
        match (request.path(), role) {
            ("/latest/meta-data/placement/region", _) => plain(super::AWS_REGION),
            (ROLES, Some(role)) => plain(&role),
            (path, Some(role)) if path.strip_prefix(ROLES) == Some(role.as_str()) => {
                let given = self.give();
                let body = json!({
                    "Code": "Success",
                    "LastUpdated": self.now().to_string(),
                    "Type": "AWS-HMAC",
                    "AccessKeyId": given.id,
                    "SecretAccessKey": given.secret,
                    "Token": given.token,
                    "Expiration": given.expires.to_string(),
                });
                plain(&body.to_string())
            }
            _ => Answer::new(404, &[], b""),
        }
    }
}

fn sts_error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
  <RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId>
</ErrorResponse>"#
    );
    Answer::new(status, &[("Content-Type", "text/xml")], body.as_bytes())
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
