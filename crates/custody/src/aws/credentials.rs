//! Who is asking: credentials where the SDKs of AWS find them, in the order of the one for Go, which cosign has.
//!
//! ```text
//!   variables ▶ web identity (IRSA) ▶ profile in files ▶ container (EKS Pod Identity, ECS) ▶ instance (IMDSv2)
//! ```
//!
//! The first that is configured counts: where it fails, nothing else is asked, for that would be somebody else.
//! Specification: <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>.

mod container;
pub(super) mod imds;
mod profile;
mod web_identity;
mod xml;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

pub(super) use self::profile::Profile;
use crate::{Context, Error, secret_file};

/// Credentials are replaced when they are good for no longer than this.
const SOON: SignedDuration = SignedDuration::from_mins(5);
/// For so long others are not looked for where none came, while there are good ones.
const REST: Duration = Duration::from_secs(30);
/// The most that a file with credentials, or with a token, may have.
const MOST_OF_FILE: usize = 1 << 20;
/// The most that an answer with credentials may have.
const MOST_OF_ANSWER: u64 = 64 << 10;

/// What requests are signed with. It has no `Debug`, and its secrets are wiped when it is dropped.
pub(super) struct Credentials {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
    /// Nothing for those that last until somebody deletes them.
    expires: Option<Timestamp>,
}

/// As containers and instances are given them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    #[serde(deserialize_with = "hidden")]
    secret_access_key: Zeroizing<String>,
    #[serde(default, deserialize_with = "hidden")]
    token: Zeroizing<String>,
    #[serde(default)]
    expiration: Option<String>,
}

fn hidden<'de, D: Deserializer<'de>>(text: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(text).map(Zeroizing::new)
}

impl Credentials {
    /// Credentials, or what is wrong with them. An empty token is none.
    pub(super) fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        expires: Option<Timestamp>,
    ) -> Result<Self, &'static str> {
        let is_id = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if !(1..=128).contains(&access_key_id.len()) || !access_key_id.bytes().all(is_id) {
            return Err("the access key id is none");
        }
        let is_secret = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !is_secret(secret_access_key, 1024) {
            return Err("the secret access key is none");
        }
        let session_token = session_token.filter(|token| !token.is_empty());
        if session_token.is_some_and(|token| !is_secret(token, 16 << 10)) {
            return Err("the session token is none");
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Zeroizing::new(secret_access_key.to_owned()),
            session_token: session_token.map(|token| Zeroizing::new(token.to_owned())),
            expires,
        })
    }

    /// The part that is no secret.
    pub(super) fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub(super) fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.as_str())
    }

    fn is_good_at(&self, time: Timestamp) -> bool {
        self.expires.is_none_or(|expires| time < expires)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.access_key_id == other.access_key_id
            && self.secret_access_key == other.secret_access_key
            && self.session_token == other.session_token
    }
}

impl Given {
    /// The credentials in an answer of `what`, which was asked to `action`.
    fn read(body: &[u8], service: &'static str, action: &str) -> Result<Credentials, Error> {
        let odd = |found: &str| Error::Answer {
            service,
            action: action.to_owned(),
            found: found.to_owned(),
            wanted: "AccessKeyId, SecretAccessKey, Token and Expiration",
        };
        let given: Self = serde_json::from_slice(body).map_err(|_| odd("something else"))?;
        let expires = given.expiration.map(|text| text.parse()).transpose();
        let expires = expires.map_err(|_| odd("an Expiration that is no time"))?;
        Credentials::new(
            &given.access_key_id,
            &given.secret_access_key,
            Some(&given.token),
            expires,
        )
        .map_err(|why| odd(&format!("something of which {why}")))
    }
}

/// Finds credentials, and keeps them until shortly before they expire.
pub(super) struct Provider {
    region: String,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    credentials: Option<Arc<Credentials>>,
    /// Until when no others are looked for, while these are good: whoever gives them did not.
    rests: Option<Instant>,
}

impl Provider {
    /// Of whoever this process is, for requests in `region`. Nothing is looked for yet.
    pub(super) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            held: Mutex::default(),
        }
    }

    /// Credentials that are good at `now`. While they are looked for, everybody else waits for the outcome.
    pub(super) async fn get(
        &self,
        context: &Context,
        now: Timestamp,
    ) -> Result<Arc<Credentials>, Error> {
        let mut held = self.held.lock().await;
        let soon = now.saturating_add(SOON).unwrap_or(Timestamp::MAX);
        let rests = held.rests.is_some_and(|until| Instant::now() < until);
        if let Some(credentials) = &held.credentials
            && (credentials.is_good_at(soon) || credentials.is_good_at(now) && rests)
        {
            return Ok(Arc::clone(credentials));
        }
        match find(context, &self.region).await {
            Ok(found) => Ok(Arc::clone(held.credentials.insert(Arc::new(found)))),
            // Those that there are do for the next minutes.
            Err(error) => match held.credentials.clone() {
                Some(credentials) if credentials.is_good_at(now) => {
                    held.rests = Some(Instant::now() + REST);
                    Ok(credentials)
                }
                _ => Err(error),
            },
        }
    }

    /// Looks for others where AWS said that these have expired; says whether there are any.
    pub(super) async fn replace(
        &self,
        expired: &Credentials,
        context: &Context,
    ) -> Result<bool, Error> {
        let mut held = self.held.lock().await;
        let known = held.credentials.as_ref();
        if known.is_some_and(|known| !known.is_same(expired)) {
            return Ok(true);
        }
        let found = find(context, &self.region).await?;
        let is_other = !found.is_same(expired);
        held.credentials = Some(Arc::new(found));
        Ok(is_other)
    }
}

async fn find(context: &Context, region: &str) -> Result<Credentials, Error> {
    if let Some(found) = from_variables(context)? {
        return Ok(found);
    }
    if let Some(found) = web_identity::find(context, region).await? {
        return Ok(found);
    }
    let profile = Profile::read(context)?;
    if let Some(found) = profile.credentials()? {
        return Ok(found);
    }
    if let Some(found) = container::find(context).await? {
        return Ok(found);
    }
    imds::credentials(context).await.map_err(|why| {
        why.into_error(format!(
            "none in AWS_ACCESS_KEY_ID, AWS_WEB_IDENTITY_TOKEN_FILE (IRSA), the profile {}, AWS_CONTAINER_CREDENTIALS_FULL_URI (EKS Pod Identity) and \
             AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            profile.name()
        ))
    })
}

fn from_variables(context: &Context) -> Result<Option<Credentials>, Error> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    let id = context.variable(ID);
    let secret = context.variable(SECRET).map(Zeroizing::new);
    let token = context.variable("AWS_SESSION_TOKEN").map(Zeroizing::new);
    let refused = |name: &str, reason: &str| Error::Setting {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => {
            let token = token.as_ref().map(|token| token.as_str());
            let credentials = Credentials::new(&id, &secret, token, None);
            credentials.map(Some).map_err(|why| refused(ID, why))
        }
        (Some(_), None) => Err(refused(ID, "AWS_SECRET_ACCESS_KEY is not set")),
        (None, Some(_)) => Err(refused(SECRET, "AWS_ACCESS_KEY_ID is not set")),
    }
}

/// The text of a file; nothing if there is none.
fn read_file(what: &'static str, path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    let failed = |source| Error::File {
        what,
        path: path.to_owned(),
        source,
    };
    let invalid = |why| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
    let bytes = match secret_file::read(path, MOST_OF_FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    if bytes.len() > MOST_OF_FILE {
        return Err(invalid("it is larger than 1 MiB"));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(invalid("it is no text")),
    }
}

/// The token in a file that a variable names.
fn read_token(name: &'static str, path: &Path) -> Result<Zeroizing<String>, Error> {
    let refused = |reason: String| Error::Setting {
        name: name.to_owned(),
        reason,
    };
    let Some(text) = read_file("a token", path)? else {
        return Err(refused(format!("there is no file {}", path.display())));
    };
    let token = text.trim();
    match !token.is_empty() && token.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        true => Ok(Zeroizing::new(token.to_owned())),
        false => Err(refused(format!("{} has no token in it", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_header_can_have_is_no_credential() {
        let new = |id, secret, token| Credentials::new(id, secret, token, None).err();
        assert!(new("AKIDEXAMPLE", "s", None).is_none());
        assert!(new("AKIDEXAMPLE", "s", Some("")).is_none());
        for (id, secret, token) in [
            ("", "s", None),
            ("a/b", "s", None),
            ("a, SignedHeaders=", "s", None),
            ("a", "", None),
            ("a", "s\n", None),
            ("a", "s", Some("t\r\nx: y")),
            ("a", "s", Some("t t")),
        ] {
            assert!(new(id, secret, token).is_some(), "{id} {secret} {token:?}");
        }
        let long = "x".repeat(17 << 10);
        assert!(new("a", "s", Some(&long)).is_some());
    }
}
