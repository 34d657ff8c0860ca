//! The calls of Cloud KMS that are needed here, in REST: <https://cloud.google.com/kms/docs/reference/rest>.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tekseal_core::excerpt::Excerpt;
use tekseal_remote::rest::{Answer, Method, Request, Url};
use tekseal_signing::key_ref::GcpKey;
use tokio::time::Instant;

use super::credentials::Credentials;
use crate::bearer::{self, Bearer, Number, post_json};
use crate::{Context, Error};

/// For people.
pub(super) const SERVICE: &str = "Google Cloud KMS";
/// Where gcloud itself looks for another endpoint (`gcloud topic endpoint-override`).
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS";
const DEFAULT_ENDPOINT: &str = "https://cloudkms.googleapis.com/";
/// What an answer about one key, or a signature, may have.
const LIMIT: u64 = 256 * 1024;
const LIST_LIMIT: u64 = 4 * 1024 * 1024;
const PAGE: &str = "100";
/// A key with more enabled versions must be named with one.
const MOST_PAGES: usize = 20;
/// How often, and how long, one version is waited for: keys of HSMs take a while. Longer only where one try may take longer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
const TRIES_WORTH: u32 = 4;

/// Cloud KMS, and who is asking it.
pub(super) struct Service {
    base: Url,
    bearer: Bearer<Credentials>,
    patience: Duration,
}

/// What a call is for: it says which permission is missing.
#[derive(Clone, Copy)]
pub(super) enum Need {
    List,
    Version,
    PublicKey,
    Sign,
    Make,
}

/// One call.
pub(super) struct Call {
    pub(super) need: Need,
    /// What is asked, for errors.
    pub(super) action: String,
    /// The resource and perhaps a verb, behind the version of the API.
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    /// What is sent, with POST; nothing is GET.
    pub(super) body: Option<Value>,
}

/// A version of a key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub(super) name: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) algorithm: String,
    /// RFC 3339.
    #[serde(default)]
    create_time: String,
}

impl Version {
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.create_time.parse().ok()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    #[serde(default)]
    crypto_key_versions: Vec<Version>,
    #[serde(default)]
    next_page_token: String,
}

/// The public half of a version.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Public {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) algorithm: String,
    #[serde(default)]
    pub(super) pem: String,
    pub(super) pem_crc32c: Option<Number>,
}

/// A signature.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signature {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) signature: String,
    pub(super) signature_crc32c: Option<Number>,
    #[serde(default)]
    pub(super) verified_digest_crc32c: bool,
    #[serde(default)]
    pub(super) verified_data_crc32c: bool,
}

#[derive(Default, Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Default, Deserialize)]
struct RefusalError {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

impl Service {
    pub(super) fn new(context: &Context) -> Result<Self, Error> {
        let base = match context.variable(ENDPOINT) {
            Some(text) => bearer::endpoint(ENDPOINT, &text)?,
            None => Url::parse(DEFAULT_ENDPOINT).expect("it is one"),
        };
        let rest = context.rest.clone();
        Ok(Self {
            base,
            bearer: Bearer::new(rest, Credentials::find(context)?),
            patience: context.settings.options.timeout * TRIES_WORTH,
        })
    }

    /// Sends a call and reads what comes back.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let mut url = self.base.clone();
        let before = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{before}/v1/{}", call.path));
        url.set_query(None);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let limit = match call.need {
            Need::List => LIST_LIMIT,
            Need::Version | Need::PublicKey | Need::Sign | Need::Make => LIMIT,
        };
        let request = match &call.body {
            Some(body) => post_json(url, body, limit),
            None => Request::new(Method::GET, url, limit),
        };
        let answer = self.bearer.send(&call.action, &request).await?;
        if !answer.is_success() {
            return Err(refused(call, &answer));
        }
        bearer::read(SERVICE, &call.action, &answer, "what it documents")
    }

    /// The newest version that is enabled: that with the greatest number, as cosign takes it.
    pub(super) async fn newest(&self, key: &GcpKey) -> Result<Version, Error> {
        let mut newest: Option<(u64, Version)> = None;
        let mut page = String::new();
        for _ in 0..MOST_PAGES {
            let mut query = vec![
                ("filter", "state=ENABLED".to_owned()),
                ("pageSize", PAGE.to_owned()),
            ];
            if !page.is_empty() {
                query.push(("pageToken", page));
            }
            let call = Call {
                need: Need::List,
                action: format!("list the versions of {key}"),
                path: format!("{}/cryptoKeyVersions", key.resource()),
                query,
                body: None,
            };
            let versions: Versions = self.ask(&call).await?;
            for version in versions.crypto_key_versions {
                let Some(number) = number_of(key, &version.name) else {
                    return Err(answered(
                        &call.action,
                        Excerpt::of(&version.name).to_string(),
                        "versions of this key",
                    ));
                };
                if version.state == "ENABLED" && newest.as_ref().is_none_or(|(n, _)| *n < number) {
                    newest = Some((number, version));
                }
            }
            page = versions.next_page_token;
            if page.is_empty() {
                return newest
                    .map(|(_, version)| version)
                    .ok_or_else(|| Error::KeyKind {
                        reference: key.to_string(),
                        found: "without an enabled version".to_owned(),
                        wanted: "signing needs one: enable a version, or make a new one",
                    });
            }
        }
        Err(Error::Setting {
            name: key.to_string(),
            reason: "it has too many versions to find the newest; name one, with /cryptoKeyVersions/VERSION"
                .to_owned(),
        })
    }

    /// When a version was made.
    pub(super) async fn created(
        &self,
        key: &GcpKey,
        name: &str,
    ) -> Result<Option<Timestamp>, Error> {
        let call = Call {
            need: Need::Version,
            action: format!("tell the age of {key}"),
            path: name.to_owned(),
            query: Vec::new(),
            body: None,
        };
        let version: Version = self.ask(&call).await?;
        Ok(version.created())
    }

    /// Waits until a version that is being made is ready.
    pub(super) async fn until_enabled(&self, name: &str) -> Result<(), Error> {
        let call = Call {
            need: Need::Make,
            action: format!("make {name}"),
            path: name.to_owned(),
            query: Vec::new(),
            body: None,
        };
        let end = Instant::now() + self.patience;
        loop {
            let version: Version = self.ask(&call).await?;
            match version.state.as_str() {
                "ENABLED" => return Ok(()),
                "PENDING_GENERATION" if Instant::now() < end => {
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                state => {
                    let found = format!("a version in state {}", Excerpt::of(state));
                    return Err(answered(&call.action, found, "one that is enabled"));
                }
            }
        }
    }

    /// Makes the key ring of a key, if there is none.
    pub(super) async fn make_ring(&self, key: &GcpKey) -> Result<(), Error> {
        let call = Call {
            need: Need::Make,
            action: format!("make the key ring {}", key.key_ring),
            path: rings(key),
            query: vec![("keyRingId", key.key_ring.clone())],
            body: Some(json!({})),
        };
        match self.ask::<Value>(&call).await {
            Ok(_) | Err(Error::Refused { status: 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Where the key rings are among which that of the key is.
pub(super) fn rings(key: &GcpKey) -> String {
    let GcpKey {
        project, location, ..
    } = key;
    format!("projects/{project}/locations/{location}/keyRings")
}

/// The number of a version of this key.
pub(super) fn number_of(key: &GcpKey, name: &str) -> Option<u64> {
    let rest = name.strip_prefix(&key.resource())?;
    let number = rest.strip_prefix("/cryptoKeyVersions/")?;
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| number.parse().ok()).flatten()
}

/// Another answer than the one that is documented.
pub(super) fn answered(action: &str, found: String, wanted: &'static str) -> Error {
    Error::Answer {
        service: SERVICE,
        action: action.to_owned(),
        found,
        wanted,
    }
}

fn refused(call: &Call, answer: &Answer) -> Error {
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let RefusalError { status, message } = refusal.error;
    let advice = match (status.as_str(), answer.status) {
        ("RESOURCE_EXHAUSTED", _) | (_, 429) => {
            "the quota of requests is used up: try later, or raise it"
        }
        (_, 401) => "the token is not accepted: check the account and the clock of this machine",
        ("PERMISSION_DENIED", _) | (_, 403) => call.need.advice(),
        ("NOT_FOUND", _) | (_, 404) => {
            "check the names of the project, the location, the key ring, the key and the version"
        }
        ("FAILED_PRECONDITION", _) => "enable this version, or name one that is enabled",
        ("INVALID_ARGUMENT", _) => "check that the key is one for asymmetric signing",
        _ => "",
    };
    let told = bearer::join(&status, &message);
    bearer::refused(SERVICE, &call.action, answer, &told, advice)
}

impl Need {
    /// Which role lets one do it (<https://cloud.google.com/kms/docs/reference/permissions-and-roles>).
    fn advice(self) -> &'static str {
        match self {
            Self::List => {
                "give the account roles/cloudkms.viewer for the key, or name a version with /cryptoKeyVersions/VERSION"
            }
            Self::Version => "give the account roles/cloudkms.viewer for the key",
            Self::PublicKey => "give the account roles/cloudkms.publicKeyViewer for the key",
            Self::Sign => "give the account roles/cloudkms.signer for the key",
            Self::Make => "give the account roles/cloudkms.admin for the project",
        }
    }
}
