//! How the tokens of Google are come by.
//!
//! A service account signs an assertion (RFC 7523); a user has a refresh token (RFC 6749, section 6); an identity from elsewhere is exchanged (RFC 8693) and
//! then perhaps becomes a service account; a machine of Google's is given one by its metadata server.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use tekseal_remote::rest::header::{AUTHORIZATION, HeaderName};
use tekseal_remote::rest::{Method, Request};
use zeroize::Zeroizing;

use super::credentials::{
    Credentials, External, Metadata, ServiceAccount, Source, Subject, User, nobody,
};
use super::service::SERVICE;
use crate::Error;
use crate::bearer::{
    self, Granted, TOKEN_LIMIT, ask_for_token, failed, granted, no_token, post_form, post_json,
};

/// What tokens are for: nothing but keys.
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// What an identity from elsewhere needs to become a service account.
const WIDE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// For how long an assertion is good: the most that Google takes.
const ASSERTION_LIFE: i64 = 3600;
/// How long a metadata server is waited for, where nobody said that there is one.
const METADATA_PATIENCE: Duration = Duration::from_secs(10);
const METADATA_TRIES: u32 = 3;
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
/// For people.
const ISSUER: &str = "Google's issuer of tokens";
const METADATA_SERVER: &str = "the metadata server";

impl bearer::Credentials for Credentials {
    const SERVICE: &'static str = SERVICE;

    async fn grant(&self) -> Result<Granted, Error> {
        match &self.source {
            Source::ServiceAccount(account) => self.of_account(account).await,
            Source::User(user) => self.of_user(user).await,
            Source::External(external) => self.of_external(external).await,
            Source::Metadata(metadata) => self.of_machine(metadata).await,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: String,
}

impl Credentials {
    /// <https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests>
    async fn of_account(&self, account: &ServiceAccount) -> Result<Granted, Error> {
        let now = jiff::Timestamp::now().as_second();
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": account.key_id});
        let claims = json!({
            "iss": account.email,
            "scope": SCOPE,
            "aud": account.token_url.as_str(),
            "iat": now,
            "exp": now + ASSERTION_LIFE,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let said = format!("{}.{}", part(&head), part(&claims));
        let signature = account.key.rs256(said.as_bytes());
        let signature = signature.map_err(|error| Error::Setting {
            name: format!("the key of {}", account.email),
            reason: error.to_string(),
        })?;
        let assertion = Zeroizing::new(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)));
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", assertion.as_str()),
        ];
        let request = post_form(&account.token_url, &form).hiding(&assertion);
        let action = format!("give {} a token", account.email);
        ask_for_token(&self.rest, ISSUER, &action, &request).await
    }

    async fn of_user(&self, user: &User) -> Result<Granted, Error> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", user.client_id.as_str()),
            ("client_secret", user.client_secret.as_str()),
            ("refresh_token", user.refresh_token.as_str()),
        ];
        let request = post_form(&user.token_url, &form)
            .hiding(&user.client_secret)
            .hiding(&user.refresh_token);
        ask_for_token(&self.rest, ISSUER, "give the user a token", &request).await
    }

    /// <https://google.aip.dev/auth/4117>
    async fn of_external(&self, external: &External) -> Result<Granted, Error> {
        let subject = self.subject_token(external).await?;
        let scope = match external.impersonation {
            Some(_) => WIDE_SCOPE,
            None => SCOPE,
        };
        let form = [
            (
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            ("audience", external.audience.as_str()),
            ("scope", scope),
            (
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            ("subject_token_type", external.subject_type.as_str()),
            ("subject_token", subject.as_str()),
        ];
        let request = post_form(&external.token_url, &form).hiding(&subject);
        let action = "exchange the identity token for one of its own";
        let exchanged = ask_for_token(&self.rest, ISSUER, action, &request).await?;
        let Some((url, seconds)) = &external.impersonation else {
            return Ok(exchanged);
        };
        let action = "give a token of the service account";
        let asked = json!({"scope": [SCOPE], "lifetime": format!("{seconds}s")});
        let header = Zeroizing::new(format!("Bearer {}", *exchanged.token));
        let request = post_json(url.clone(), &asked, TOKEN_LIMIT)
            .secret_header(AUTHORIZATION, header.as_bytes())
            .map_err(|_| unfit(ISSUER, action))?;
        let answer = self.rest.send(&request).await;
        let answer = answer.map_err(|source| failed(action, source))?;
        if !answer.is_success() {
            return Err(no_token(ISSUER, action, &answer));
        }
        let read: Impersonated = bearer::read(ISSUER, action, &answer, "a token")?;
        let token = Zeroizing::new(read.access_token);
        let until: Option<jiff::Timestamp> = read.expire_time.parse().ok();
        let life = until.map(|until| until.as_second() - jiff::Timestamp::now().as_second());
        let life = life.and_then(|life| u64::try_from(life).ok());
        match token.is_empty() {
            true => Err(unfit(ISSUER, action)),
            false => Ok(Granted {
                token,
                life: Duration::from_secs(life.unwrap_or_default()),
            }),
        }
    }

    /// The token of the other issuer, read anew each time: it changes.
    async fn subject_token(&self, external: &External) -> Result<Zeroizing<String>, Error> {
        const ACTION: &str = "give the identity token to exchange";
        const WHO: &str = "the source of identity tokens";
        const WHAT: &str = "the identity token to exchange";
        let content = match &external.subject {
            Subject::File(path) => bearer::read_token(WHAT, path)?,
            Subject::Url(url, headers) => {
                let mut request = Request::new(Method::GET, url.clone(), TOKEN_LIMIT);
                for (name, value) in headers {
                    let name = HeaderName::from_bytes(name.as_bytes()).ok();
                    let name = name.ok_or_else(|| unfit(WHO, ACTION))?;
                    let with = request.secret_header(name, value.as_bytes());
                    request = with.map_err(|_| unfit(WHO, ACTION))?;
                }
                let answer = self.rest.send(&request).await;
                let answer = answer.map_err(|source| failed(ACTION, source))?;
                if !answer.is_success() {
                    return Err(no_token(WHO, ACTION, &answer));
                }
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                Zeroizing::new(text.trim().to_owned())
            }
        };
        let token = match &external.field {
            None => content,
            Some(field) => {
                let document: Value = serde_json::from_str(&content).unwrap_or_default();
                Zeroizing::new(document[field].as_str().unwrap_or_default().to_owned())
            }
        };
        match token.is_empty() {
            true => Err(unfit(WHO, ACTION)),
            false => Ok(token),
        }
    }

    /// <https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>
    async fn of_machine(&self, metadata: &Metadata) -> Result<Granted, Error> {
        let action = "give a token of the service account of this machine";
        let request = Request::new(Method::GET, metadata.url.clone(), TOKEN_LIMIT)
            .header(FLAVOR, "Google")
            .tries(METADATA_TRIES);
        let answer = match &metadata.otherwise {
            None => {
                let answer = self.rest.send(&request).await;
                answer.map_err(|source| failed(action, source))?
            }
            Some(otherwise) => {
                let answer = tokio::time::timeout(METADATA_PATIENCE, self.rest.send(&request));
                match answer.await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) | Err(_) => return Err(nobody(otherwise)),
                }
            }
        };
        // Somebody else's server at that address: nothing that it says is of use.
        if answer.headers.get(FLAVOR).map(|flavor| flavor.as_bytes()) != Some(b"Google") {
            return Err(Error::Answer {
                service: METADATA_SERVER,
                action: action.to_owned(),
                found: "no header Metadata-Flavor: Google".to_owned(),
                wanted: "one, as Google's has it",
            });
        }
        if !answer.is_success() {
            let advice =
                "bind a Google service account to the Kubernetes one, or give the machine one";
            return Err(bearer::refused(
                METADATA_SERVER,
                action,
                &answer,
                "",
                advice,
            ));
        }
        granted(METADATA_SERVER, action, &answer)
    }
}

fn unfit(service: &'static str, action: &str) -> Error {
    Error::Answer {
        service,
        action: action.to_owned(),
        found: "nothing that is one".to_owned(),
        wanted: "a token",
    }
}
