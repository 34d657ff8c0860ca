//! Speaks with AWS KMS: JSON over HTTP, each request signed anew.
//!
//! ```text
//!   operation + body ─▶ credentials ─▶ SigV4 ─▶ POST / ─▶ answer
//!                           ▲             ▲                │ throttled: wait
//!                           │             └─ server's time ┤ too old or too new: once
//!                           └──────── others, if there are ┘ expired: once
//! ```
//!
//! Specification: <https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>, and the protocol AWS JSON 1.1,
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tekseal_remote::rest::{Answer, Method, Request, Url};
use tekseal_signing::key_ref::AwsKey;
use zeroize::Zeroizing;

use super::credentials::{Credentials, Profile, Provider};
use super::endpoint::{self, Service};
use super::refusal::{Kind, Refusal};
use super::sigv4::{self, Scope, Unsigned};
use super::{named, tries};
use crate::{Context, Error};

/// The most that an answer may have. The policy of a key has 32 KiB, and more where it is escaped.
const MOST_OF_ANSWER: u64 = 256 << 10;
/// AWS takes a request for five minutes. A clock that is less wrong than this is not the reason of a refusal.
const TOLERATED: SignedDuration = SignedDuration::from_mins(4);
/// Who answers with a time that is further away than this is not believed.
const BELIEVED: SignedDuration = SignedDuration::from_hours(24);

/// A call of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    GetPublicKey,
    Sign,
    DescribeKey,
    GetKeyPolicy,
    CreateKey,
    CreateAlias,
    UpdateAlias,
}

impl Operation {
    fn target(self) -> &'static str {
        match self {
            Self::GetPublicKey => "TrentService.GetPublicKey",
            Self::Sign => "TrentService.Sign",
            Self::DescribeKey => "TrentService.DescribeKey",
            Self::GetKeyPolicy => "TrentService.GetKeyPolicy",
            Self::CreateKey => "TrentService.CreateKey",
            Self::CreateAlias => "TrentService.CreateAlias",
            Self::UpdateAlias => "TrentService.UpdateAlias",
        }
    }

    /// What policies call it.
    fn permission(self) -> &'static str {
        match self {
            Self::GetPublicKey => "kms:GetPublicKey",
            Self::Sign => "kms:Sign",
            Self::DescribeKey => "kms:DescribeKey",
            Self::GetKeyPolicy => "kms:GetKeyPolicy",
            Self::CreateKey => "kms:CreateKey",
            Self::CreateAlias => "kms:CreateAlias (on the alias and on the key)",
            Self::UpdateAlias => "kms:UpdateAlias (on the alias and on both keys)",
        }
    }

    /// Whether it may be sent again where no answer came: it may have been done.
    fn is_repeatable(self) -> bool {
        match self {
            Self::CreateKey | Self::CreateAlias => false,
            Self::GetPublicKey
            | Self::Sign
            | Self::DescribeKey
            | Self::GetKeyPolicy
            | Self::UpdateAlias => true,
        }
    }
}

/// Whether AWS may not know a key yet that is there: what it has made shows everywhere after some seconds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Known,
    JustMade,
}

/// KMS in one region, as seen by whoever this process is.
pub(super) struct Client {
    context: Context,
    endpoint: Url,
    /// As it is sent and signed.
    host: String,
    region: String,
    provider: Provider,
    /// By how many seconds AWS is ahead of this machine.
    ahead: AtomicI64,
}

impl Client {
    /// For the place where `key` is.
    pub(super) async fn new(key: &AwsKey, context: &Context) -> Result<Self, Error> {
        let profile = Profile::read(context)?;
        let region = endpoint::region(key, &profile, context).await?;
        let endpoint = endpoint::of_key(key, &region, context)?;
        // As AWS's SDKs have it, which trust nobody else then.
        let bundle = context.variable("AWS_CA_BUNDLE");
        let bundle = bundle.or_else(|| profile.ca_bundle().map(str::to_owned));
        let context = match bundle {
            Some(path) => context.trusting(path.into()),
            None => context.clone(),
        };
        let host = endpoint.host_str().unwrap_or_default();
        let host = match endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            context,
            host,
            provider: Provider::new(&region),
            endpoint,
            region,
            ahead: AtomicI64::new(0),
        })
    }

    /// The answer of `operation`, where nothing but success will do.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: Operation,
        age: Age,
        body: &Value,
        action: &str,
    ) -> Result<T, Error> {
        let said = self.ask(operation, age, body, action).await?;
        let bytes = said.map_err(|refusal| self.explain(refusal, operation, action))?;
        self.read(&bytes, action)
    }

    /// The same, where there is no answer to read.
    pub(super) async fn order(
        &self,
        operation: Operation,
        age: Age,
        body: &Value,
        action: &str,
    ) -> Result<(), Error> {
        let said = self.ask(operation, age, body, action).await?;
        said.map_err(|refusal| self.explain(refusal, operation, action))?;
        Ok(())
    }

    /// The same as [`call`](Self::call), or nothing where there is no such key.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        operation: Operation,
        body: &Value,
        action: &str,
    ) -> Result<Option<T>, Error> {
        match self.ask(operation, Age::Known, body, action).await? {
            Ok(bytes) => self.read(&bytes, action).map(Some),
            Err(refusal) if refusal.kind() == Kind::NotFound => Ok(None),
            Err(refusal) => Err(self.explain(refusal, operation, action)),
        }
    }

    fn explain(&self, refusal: Refusal, operation: Operation, action: &str) -> Error {
        refusal.into_error(action, operation.permission(), &self.region)
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8], action: &str) -> Result<T, Error> {
        serde_json::from_slice(bytes).map_err(|_| Error::Answer {
            service: super::SERVICE,
            action: action.to_owned(),
            found: "something else".to_owned(),
            wanted: "the fields that its reference has",
        })
    }

    async fn ask(
        &self,
        operation: Operation,
        age: Age,
        body: &Value,
        action: &str,
    ) -> Result<Result<Zeroizing<Vec<u8>>, Refusal>, Error> {
        let body = body.to_string().into_bytes();
        let mut tries = tries(&self.context);
        let (mut is_replaced, mut is_corrected) = (false, false);
        loop {
            let now = self.now();
            let credentials = self.provider.get(&self.context, now).await?;
            let request = self.signed(operation, &body, &credentials, now)?;
            let answer = self.context.rest.send(&request).await;
            let answer = answer.map_err(|failed| Error::Request {
                action: action.to_owned(),
                source: Box::new(failed),
            })?;
            if answer.is_success() {
                return Ok(Ok(answer.body));
            }
            let refusal = Refusal::read(&answer);
            let is_worth_another = match refusal.kind() {
                Kind::Throttled => tries.wait(&refusal, refusal.retry_after()).await,
                Kind::NotFound if age == Age::JustMade => tries.wait(&refusal, None).await,
                Kind::Expired if !is_replaced => {
                    is_replaced = true;
                    self.provider.replace(&credentials, &self.context).await?
                }
                Kind::Clock if !is_corrected => {
                    is_corrected = true;
                    self.correct(&answer, now)
                }
                Kind::Expired | Kind::Clock | Kind::NotFound | Kind::Final => false,
            };
            if !is_worth_another {
                return Ok(Err(refusal));
            }
        }
    }

    fn signed(
        &self,
        operation: Operation,
        body: &[u8],
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Request, Error> {
        const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
        let headers = [
            ("content-type", CONTENT_TYPE),
            ("host", self.host.as_str()),
            ("x-amz-target", operation.target()),
        ];
        let unsigned = Unsigned {
            method: "POST",
            path: self.endpoint.path(),
            headers: &headers,
            body,
        };
        let scope = Scope {
            region: &self.region,
            service: Service::Kms.name(),
        };
        let signed = sigv4::sign(&unsigned, credentials, scope, now);
        let request = Request::new(Method::POST, self.endpoint.clone(), MOST_OF_ANSWER)
            .header(named("content-type"), CONTENT_TYPE)
            .header(named("x-amz-target"), operation.target())
            .body(body.to_vec());
        let mut request = match operation.is_repeatable() {
            true => request,
            false => request.tries(1),
        };
        let made = [
            ("x-amz-date", signed.date.as_str()),
            ("authorization", signed.authorization.as_str()),
        ];
        let token = credentials.session_token();
        let token = token.map(|token| ("x-amz-security-token", token));
        for (name, value) in made.into_iter().chain(token) {
            request = request
                .secret_header(named(name), value.as_bytes())
                .expect("credentials have nothing that a header cannot have");
        }
        Ok(request)
    }

    fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.saturating_add(ahead).unwrap_or(now)
    }

    /// Takes over the time of an answer to what was sent at `then`, if that may have been the reason of a refusal; says whether.
    fn correct(&self, answer: &Answer, then: Timestamp) -> bool {
        let Some(date) = answer
            .headers
            .get("date")
            .and_then(|date| date.to_str().ok())
        else {
            return false;
        };
        let Ok(theirs) = rfc2822::DateTimeParser::new().parse_timestamp(date) else {
            return false;
        };
        if theirs.duration_since(then).abs() < TOLERATED {
            return false;
        }
        let ahead = theirs.duration_since(Timestamp::now());
        if ahead.abs() > BELIEVED {
            return false;
        }
        self.ahead.store(ahead.as_secs(), Ordering::Relaxed);
        true
    }
}
