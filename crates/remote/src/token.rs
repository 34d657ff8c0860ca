//! Turns credentials into what a registry accepts: a Basic header, or a token that its token server gives for them.
//!
//! Specification: <https://distribution.github.io/distribution/spec/auth/token/> and, for identity tokens,
//! <https://distribution.github.io/distribution/spec/auth/oauth/>.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use tekseal_core::Repository;
use tekseal_core::docker_config::Secret;
use tokio::time::Instant;

use crate::challenge::Challenge;
use crate::detail::Sent;
use crate::error::{Cause, Detail, shown};
use crate::http::{self, Line};
use crate::registry::Access;
use crate::retry::retry_after;

/// What a token server may answer at most. Some give the token twice.
const TOKEN_LIMIT: u64 = 64 << 10;
/// The longest `Authorization` that is sent; servers take hardly more than 8 KiB.
const LONGEST_HEADER: usize = 16 << 10;

/// How long a token is good for when its server does not say, or says less: the specification's least. One that really
/// ends earlier is refused and renewed.
const LEAST_LIFE: u64 = 60;

/// How our name appears in the logs of token servers.
const CLIENT_ID: &str = "tekseal";

/// An `Authorization` and how long it is good for.
pub(crate) struct Granted {
    pub(crate) header: HeaderValue,
    pub(crate) expires: Option<Instant>,
}

/// One question for an authorization.
pub(crate) struct Asked<'a> {
    pub(crate) line: &'a Line,
    pub(crate) repository: &'a Repository,
    pub(crate) access: Access,
    /// The registry's own URL.
    pub(crate) base: &'a Url,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Asked<'_> {
    /// What to send for `challenge`, with `secret` or as nobody.
    pub(crate) async fn authorization(
        &self,
        challenge: &Challenge,
        secret: Option<&Secret>,
    ) -> Result<Granted, Cause> {
        if let Some(token) = secret.and_then(Secret::registry_token) {
            return Ok(Granted {
                header: self.header(&format!("Bearer {token}"))?,
                expires: None,
            });
        }
        match challenge {
            Challenge::Basic => {
                let (user, password) = secret.and_then(login).unwrap_or_default();
                Ok(Granted {
                    header: self.header(&basic(user, password))?,
                    expires: None,
                })
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let mut parameters = Vec::new();
                if let Some(service) = service {
                    parameters.push(("service", service.clone()));
                }
                let scopes = self.scopes(scope.as_deref());
                self.token(realm, &parameters, &scopes, secret)
                    .await
                    .map_err(|source| Cause::Token {
                        registry: self.repository.registry().to_owned(),
                        source: Box::new(source),
                    })
            }
        }
    }

    /// What we need, asked for at once so that the first write is no second challenge, and what the registry wants
    /// beside that.
    fn scopes(&self, wanted: Option<&str>) -> Vec<String> {
        let resource = format!("repository:{}:", self.repository.path());
        let actions = match self.access {
            Access::Pull => "pull",
            Access::PullPush => "pull,push",
        };
        let others = wanted
            .unwrap_or_default()
            .split_ascii_whitespace()
            .filter(|scope| !scope.starts_with(&resource));
        std::iter::once(format!("{resource}{actions}"))
            .chain(others.map(str::to_owned))
            .collect()
    }

    async fn token(
        &self,
        realm: &str,
        parameters: &[(&str, String)],
        scopes: &[String],
        secret: Option<&Secret>,
    ) -> Result<Granted, Cause> {
        let refuse = || Cause::Realm {
            realm: Url::parse(realm)
                .map_or_else(|_| "a malformed URL".to_owned(), |url| shown(&url)),
        };
        let mut realm = Url::parse(realm).map_err(|_| refuse())?;
        if !self.line.may_ask(&realm, self.base) {
            return Err(refuse());
        }
        // A URL's own user would go before ours.
        let _ = realm.set_username("");
        let _ = realm.set_password(None);
        if let Some(refresh) = secret.and_then(Secret::identity_token) {
            let response = self.exchange(&realm, parameters, scopes, refresh).await?;
            // Token servers without the OAuth2 form know the other one only.
            if !matches!(response.status().as_u16(), 401 | 404 | 405) {
                return self.granted(&realm, response, secret).await;
            }
        }
        let mut url = realm.clone();
        url.query_pairs_mut()
            .extend_pairs(parameters)
            .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
        let mut request = self.line.request(Method::GET, &url)?;
        if let Some((user, password)) = secret.and_then(login) {
            request = request.header(AUTHORIZATION, self.header(&basic(user, password))?);
        }
        let response = self.line.send(&url, request).await?;
        self.granted(&realm, response, secret).await
    }

    /// Turns a refresh token into one for the registry (OAuth2, `grant_type=refresh_token`).
    async fn exchange(
        &self,
        realm: &Url,
        parameters: &[(&str, String)],
        scopes: &[String],
        refresh: &str,
    ) -> Result<Response, Cause> {
        // A URL's query is written like a form.
        let mut form = realm.clone();
        form.set_query(None);
        form.query_pairs_mut()
            .extend_pairs([
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT_ID),
                ("refresh_token", refresh),
            ])
            .extend_pairs(parameters)
            .append_pair("scope", &scopes.join(" "));
        let request = self
            .line
            .request(Method::POST, realm)?
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        self.line.send(realm, request).await
    }

    async fn granted(
        &self,
        realm: &Url,
        response: Response,
        secret: Option<&Secret>,
    ) -> Result<Granted, Cause> {
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after(response.headers());
            let sent = Sent::new(None, secret);
            let detail = Detail::parse(&http::read_refusal(response).await, &sent);
            return Err(Cause::Status {
                url: shown(realm),
                status: status.as_u16(),
                detail,
                retry_after,
            });
        }
        let body = http::read(realm, response, TOKEN_LIMIT).await?;
        // The error of the JSON reader might quote the token.
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| Cause::NoToken { url: shown(realm) })?;
        let token = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if token.is_empty() {
            return Err(Cause::NoToken { url: shown(realm) });
        }
        // A little early, so that it does not end on its way.
        let life = answer
            .expires_in
            .unwrap_or_default()
            .clamp(LEAST_LIFE, 24 * 3600);
        let life = Duration::from_secs(life - 10);
        Ok(Granted {
            header: self.header(&format!("Bearer {token}"))?,
            expires: Some(Instant::now() + life),
        })
    }

    fn header(&self, text: &str) -> Result<HeaderValue, Cause> {
        if text.len() > LONGEST_HEADER {
            return Err(Cause::TooLarge {
                url: shown(self.base),
                limit: LONGEST_HEADER as u64,
            });
        }
        let mut header = HeaderValue::from_str(text).map_err(|_| Cause::NoToken {
            url: shown(self.base),
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// What goes into a token request that is not OAuth2. Some servers take an identity token as the password.
fn login(secret: &Secret) -> Option<(&str, &str)> {
    match (secret.basic(), secret.identity_token()) {
        (Some((user, "")), Some(token)) => Some((user, token)),
        (None, Some(token)) => Some(("<token>", token)),
        (login, _) => login,
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
