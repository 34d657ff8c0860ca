//! What a machine of EC2 knows of itself: credentials of its role, and its region. Asked last, and only by the second version of the protocol.
//!
//! Specification: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>. Where there is no such machine, nobody answers
//! at its address, so little time is given. The first version, which needs no token, gives credentials to whoever gets a server to fetch a URL, and is
//! not spoken.

use std::time::Duration;

use serde::Deserialize;
use tekseal_remote::rest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::{Credentials, Given, MOST_OF_ANSWER};
use crate::aws::{endpoint, named};
use crate::{Context, Error};

const SERVICE: &str = "the instance metadata service";
const CREDENTIALS: &str = "latest/meta-data/iam/security-credentials/";
/// For all requests of one question together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the machine says nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::aws) enum Unknown {
    #[error("AWS_EC2_METADATA_DISABLED says not to ask the instance metadata service")]
    Disabled,
    #[error(
        "the instance metadata service does not answer (in a Pod it may not do so unless its hop limit is 2; IRSA and Pod Identity do not need it)"
    )]
    Silent,
    #[error("the instance metadata service answers with status {0}")]
    Status(u16),
    #[error("the instance has no role")]
    NoRole,
    #[error(transparent)]
    Other(#[from] Error),
}

/// Whether the role's credentials could be given.
#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "Code")]
    code: String,
}

impl Unknown {
    /// For people who need credentials, after these places were `tried`.
    pub(super) fn into_error(self, tried: String) -> Error {
        match self {
            Self::Other(error) => error,
            Self::Status(status) if status >= 500 || status == 429 => Error::Refused {
                service: SERVICE,
                action: "give credentials".to_owned(),
                status,
                detail: String::new(),
                may_pass: true,
                retry_after: None,
            },
            why => Error::NoCredentials {
                service: "AWS",
                tried: format!("{tried}; {why}"),
            },
        }
    }
}

/// The region of the machine.
pub(in crate::aws) async fn region(context: &Context) -> Result<String, Unknown> {
    within(async {
        let session = Session::open(context).await?;
        let region = session.get("latest/meta-data/placement/region").await?;
        Ok(String::from_utf8_lossy(&region).trim().to_owned())
    })
    .await
}

/// The credentials of the machine's role.
pub(super) async fn credentials(context: &Context) -> Result<Credentials, Unknown> {
    within(async {
        let session = Session::open(context).await?;
        let roles = match session.get(CREDENTIALS).await {
            Err(Unknown::Status(404)) => return Err(Unknown::NoRole),
            other => other?,
        };
        let roles = String::from_utf8_lossy(&roles);
        let role = roles.lines().next().unwrap_or_default().trim();
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        if role.is_empty() || role.len() > 64 || role.starts_with('.') || !role.bytes().all(is_name)
        {
            return Err(Unknown::NoRole);
        }
        let given = session.get(&format!("{CREDENTIALS}{role}")).await?;
        let action = format!("give credentials of the role {role}");
        let odd = |found: String| Error::Answer {
            service: SERVICE,
            action: action.clone(),
            found,
            wanted: "the Code Success",
        };
        match serde_json::from_slice::<Outcome>(&given) {
            Ok(outcome) if outcome.code == "Success" => Ok(Given::read(&given, SERVICE, &action)?),
            Ok(_) => Err(odd("another one".to_owned()).into()),
            Err(_) => Err(odd("something else".to_owned()).into()),
        }
    })
    .await
}

async fn within<T>(asking: impl Future<Output = Result<T, Unknown>>) -> Result<T, Unknown> {
    let outcome = tokio::time::timeout(PATIENCE, asking).await;
    outcome.unwrap_or(Err(Unknown::Silent))
}

/// A token to ask with.
struct Session<'a> {
    context: &'a Context,
    base: Url,
    token: Zeroizing<Vec<u8>>,
}

impl<'a> Session<'a> {
    async fn open(context: &'a Context) -> Result<Self, Unknown> {
        let disabled = context.variable("AWS_EC2_METADATA_DISABLED");
        if disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(Unknown::Disabled);
        }
        let base = base(context)?;
        let request = Request::new(Method::PUT, at(&base, "latest/api/token"), 1024)
            .header(named("x-aws-ec2-metadata-token-ttl-seconds"), "300")
            .tries(1);
        let token = send(context, &request).await?;
        Ok(Self {
            context,
            base,
            token,
        })
    }

    async fn get(&self, path: &str) -> Result<Zeroizing<Vec<u8>>, Unknown> {
        let request = Request::new(Method::GET, at(&self.base, path), MOST_OF_ANSWER)
            .secret_header(named("x-aws-ec2-metadata-token"), &self.token)
            .map_err(|_| Error::Answer {
                service: SERVICE,
                action: "give a token".to_owned(),
                found: "something else".to_owned(),
                wanted: "a token",
            })?
            .tries(2);
        send(self.context, &request).await
    }
}

async fn send(context: &Context, request: &Request) -> Result<Zeroizing<Vec<u8>>, Unknown> {
    let answer = context.rest.send(request).await;
    let answer = answer.map_err(|_| Unknown::Silent)?;
    match answer.is_success() {
        true => Ok(answer.body),
        false => Err(Unknown::Status(answer.status)),
    }
}

fn base(context: &Context) -> Result<Url, Error> {
    const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    if let Some(text) = context.variable(ENDPOINT) {
        return endpoint::configured(ENDPOINT, &text);
    }
    let mode = context.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    let is_ipv6 = mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
    let url = match is_ipv6 {
        true => "http://[fd00:ec2::254]/",
        false => "http://169.254.169.254/",
    };
    Ok(Url::parse(url).expect("they are URLs"))
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}
