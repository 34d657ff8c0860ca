//! The calls of Key Vault that are needed here: <https://learn.microsoft.com/rest/api/keyvault/keys/operation-groups>.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tekseal_core::excerpt::Excerpt;
use tekseal_remote::rest::{Answer, Method, Request, Url};
use tekseal_signing::key_ref::AzureKey;

use super::credentials::Credentials;
use super::jwk::Jwk;
use crate::bearer::{self, Bearer, post_json};
use crate::{Context, Error};

/// For people.
pub(super) const SERVICE: &str = "Azure Key Vault";
/// Of 2023, the newest that all clouds and managed HSMs have; the first with rotation was 7.3.
const VERSION: &str = "7.4";
/// What an answer may have. A key may have its attestation in it.
const LIMIT: u64 = 256 * 1024;

/// One vault, and who is asking it.
pub(super) struct Service {
    base: Url,
    bearer: Bearer<Credentials>,
}

/// A key, as the vault gives it.
#[derive(Deserialize)]
pub(super) struct Bundle {
    pub(super) key: Jwk,
    #[serde(default)]
    pub(super) attributes: Attributes,
}

#[derive(Default, Deserialize)]
pub(super) struct Attributes {
    pub(super) enabled: Option<bool>,
    /// In seconds since 1970.
    pub(super) created: Option<i64>,
}

/// A signature.
#[derive(Deserialize)]
pub(super) struct Signature {
    #[serde(default)]
    pub(super) kid: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Default, Deserialize)]
struct RefusalError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    innererror: Inner,
}

#[derive(Default, Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
}

impl Service {
    /// The vault of a key.
    pub(super) fn new(key: &AzureKey, context: &Context) -> Result<Self, Error> {
        let base = Url::parse(&format!("https://{}/", key.host));
        let base = base.map_err(|_| Error::Setting {
            name: key.to_string(),
            reason: "its host is none".to_owned(),
        })?;
        let credentials = Credentials::find(context, &base)?;
        Ok(Self {
            base,
            bearer: Bearer::new(context.rest.clone(), credentials),
        })
    }

    /// A key, in its newest version or in this one.
    pub(super) async fn get(&self, key: &AzureKey, version: Option<&str>) -> Result<Bundle, Error> {
        let path = match version {
            Some(version) => format!("keys/{}/{version}", key.name),
            // With the slash, as Microsoft's own clients ask.
            None => format!("keys/{}/", key.name),
        };
        let action = format!("give the public key of {key}");
        self.ask(&action, &path, None).await
    }

    /// Signs a digest with one version.
    pub(super) async fn sign(
        &self,
        key: &AzureKey,
        version: &str,
        algorithm: &str,
        digest: &str,
    ) -> Result<Signature, Error> {
        let path = format!("keys/{}/{version}/sign", key.name);
        let body = json!({"alg": algorithm, "value": digest});
        let action = format!("sign with {key}");
        self.ask(&action, &path, Some(&body)).await
    }

    /// Makes a key, or a new version of one that is there.
    pub(super) async fn create(&self, key: &AzureKey, body: &Value) -> Result<Bundle, Error> {
        let path = format!("keys/{}/create", key.name);
        self.ask(&format!("make {key}"), &path, Some(body)).await
    }

    /// Makes a new version like the one before.
    pub(super) async fn rotate(&self, key: &AzureKey) -> Result<Bundle, Error> {
        let path = format!("keys/{}/rotate", key.name);
        let action = format!("rotate {key}");
        self.ask(&action, &path, Some(&json!({}))).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        action: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        let mut url = self.base.clone();
        url.set_path(path);
        url.query_pairs_mut().append_pair("api-version", VERSION);
        let request = match body {
            Some(body) => post_json(url, body, LIMIT),
            None => Request::new(Method::GET, url, LIMIT),
        };
        let answer = self.bearer.send(action, &request).await?;
        if !answer.is_success() {
            return Err(refused(action, &answer));
        }
        bearer::read(SERVICE, action, &answer, "what it documents")
    }

    /// The version that an identifier `https://HOST/keys/NAME/VERSION` names, if it is one of this vault and key. Names have no case.
    pub(super) fn version(&self, key: &AzureKey, kid: &str, action: &str) -> Result<String, Error> {
        let found = || {
            let url = Url::parse(kid).ok()?;
            let is_here = url.scheme() == self.base.scheme()
                && url.host_str() == self.base.host_str()
                && url.port_or_known_default() == self.base.port_or_known_default();
            let mut parts = url.path().split('/');
            let is_key = parts.next() == Some("")
                && parts.next() == Some("keys")
                && parts.next()?.eq_ignore_ascii_case(&key.name);
            let version = parts.next()?;
            let is_version = (1..=64).contains(&version.len())
                && version.bytes().all(|b| b.is_ascii_alphanumeric())
                && parts.next().is_none();
            (is_here && is_key && is_version).then(|| version.to_owned())
        };
        found().ok_or_else(|| {
            let found = format!("the identifier {}", Excerpt::of(kid));
            answered(action, found, "one of a version of this key")
        })
    }
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

fn refused(action: &str, answer: &Answer) -> Error {
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let RefusalError {
        code,
        message,
        innererror: inner,
    } = refusal.error;
    let advice = match (answer.status, inner.code.as_str()) {
        (429, _) => "the vault has too many requests: try later",
        (401, _) => {
            "the token is not accepted: check that AZURE_TENANT_ID is the tenant of the vault"
        }
        (403, "KeyDisabled") => "enable this version, or name one that is enabled",
        (403, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
            "let the vault's firewall take requests from here"
        }
        (403, _) => {
            "give the identity the role Key Vault Crypto User, and Key Vault Crypto Officer to make and rotate keys"
        }
        (404, _) => "check the names of the vault, the key and the version",
        (409, _) => {
            "a deleted key has this name: recover it, or purge it first, or take another name"
        }
        _ => "",
    };
    let told = bearer::join(&code, &message);
    bearer::refused(SERVICE, action, answer, &told, advice)
}
