//! Who asks Google: found where Google's own clients look (Application Default Credentials, <https://cloud.google.com/docs/authentication/application-default-credentials>).
//!
//! The file that `GOOGLE_APPLICATION_CREDENTIALS` names, else that of gcloud in the home folder, else the metadata server, which on GKE is workload
//! identity. Files may be of a service account, of a user, or of an identity elsewhere (workload identity federation, AIP-4117).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tekseal_core::excerpt::Excerpt;
use tekseal_remote::Rest;
use tekseal_remote::rest::Url;
use tekseal_signing::assertion::AssertionKey;
use zeroize::Zeroizing;

use super::service::SERVICE;
use crate::bearer::{endpoint, read_file};
use crate::{Context, Error};

/// Who asks.
pub(super) struct Credentials {
    pub(super) rest: Rest,
    pub(super) source: Source,
}

/// Where tokens come from.
pub(super) enum Source {
    ServiceAccount(ServiceAccount),
    User(User),
    External(External),
    Metadata(Metadata),
}

/// A service account whose key lies in a file.
pub(super) struct ServiceAccount {
    pub(super) email: String,
    pub(super) key: AssertionKey,
    pub(super) key_id: String,
    pub(super) token_url: Url,
}

/// Somebody who logged in with gcloud.
pub(super) struct User {
    pub(super) client_id: String,
    pub(super) client_secret: Zeroizing<String>,
    pub(super) refresh_token: Zeroizing<String>,
    pub(super) token_url: Url,
}

/// Somebody whom another issuer of tokens knows.
pub(super) struct External {
    pub(super) audience: String,
    pub(super) subject_type: String,
    pub(super) subject: Subject,
    /// The name of the text in a JSON document, if it is one that holds the token.
    pub(super) field: Option<String>,
    pub(super) token_url: Url,
    /// As which service account to ask, and for how many seconds.
    pub(super) impersonation: Option<(Url, u64)>,
}

/// Where the other issuer's token is.
pub(super) enum Subject {
    File(PathBuf),
    Url(Url, BTreeMap<String, String>),
}

/// The server on the node or the machine.
pub(super) struct Metadata {
    pub(super) url: Url,
    /// Where else was looked, if nobody said that there is such a server.
    pub(super) otherwise: Option<String>,
}

const FILE_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const FOLDER_VARIABLE: &str = "CLOUDSDK_CONFIG";
const WELL_KNOWN: &str = "application_default_credentials.json";
const METADATA_VARIABLE: &str = "GCE_METADATA_HOST";
const METADATA_HOST: &str = "169.254.169.254";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// For people.
const WHAT: &str = "Google credentials";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// For how many seconds one is another account, unless told otherwise.
const LIFETIME: u64 = 3600;

/// A file of any type.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    token_uri: Option<String>,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    audience: String,
    #[serde(default)]
    subject_token_type: String,
    #[serde(default)]
    token_url: String,
    #[serde(default)]
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: Impersonation,
    #[serde(default)]
    credential_source: SubjectFile,
}

#[derive(Default, Deserialize)]
struct Impersonation {
    token_lifetime_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
struct SubjectFile {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    #[serde(default, rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

impl Credentials {
    /// Finds them. Nobody is asked yet.
    pub(super) fn find(context: &Context) -> Result<Self, Error> {
        Ok(Self {
            rest: context.rest.clone(),
            source: find(context)?,
        })
    }
}

fn find(context: &Context) -> Result<Source, Error> {
    if let Some(path) = context.variable(FILE_VARIABLE) {
        return from_file(Path::new(&path));
    }
    let folder = context.variable(FOLDER_VARIABLE).map(PathBuf::from);
    let home = context.variable("HOME");
    let folder = folder.or_else(|| home.map(|home| Path::new(&home).join(".config/gcloud")));
    let well_known = folder.map(|folder| folder.join(WELL_KNOWN));
    if let Some(path) = &well_known
        && path.exists()
    {
        return from_file(path);
    }
    let told = context.variable(METADATA_VARIABLE);
    let host = told.as_deref().unwrap_or(METADATA_HOST);
    // The protocol has no https: whoever is between can be anybody, also in Google's own clients.
    let url = Url::parse(&format!("http://{host}{METADATA_PATH}"));
    let url = url.ok().filter(|url| {
        let is_whole = url.path() == METADATA_PATH && url.query().is_none();
        is_whole && url.username().is_empty()
    });
    let Some(url) = url else {
        return Err(Error::Setting {
            name: METADATA_VARIABLE.to_owned(),
            reason: "it is no host, perhaps with a port".to_owned(),
        });
    };
    let otherwise = told.is_none().then(|| match &well_known {
        Some(path) => format!(
            "{FILE_VARIABLE} is not set, and there is no {}",
            path.display()
        ),
        None => format!("{FILE_VARIABLE} is not set"),
    });
    Ok(Source::Metadata(Metadata { url, otherwise }))
}

fn from_file(path: &Path) -> Result<Source, Error> {
    let name = path.display().to_string();
    let refuse = |reason: String| Error::Setting {
        name: name.clone(),
        reason,
    };
    let content = read_file(WHAT, path)?;
    // What the reader says might quote a key.
    let file: File = serde_json::from_slice(&content)
        .map_err(|_| refuse("it is no JSON of Google credentials".to_owned()))?;
    let needed = |what: &str, text: String| match text.is_empty() {
        true => Err(refuse(format!("it has no {what}"))),
        false => Ok(text),
    };
    let token_url = |url: Option<&str>| endpoint(&name, url.unwrap_or(TOKEN_URL));
    Ok(match file.kind.as_str() {
        "service_account" => {
            let pem = Zeroizing::new(needed("private_key", file.private_key)?);
            let key = AssertionKey::from_pem(pem.as_bytes());
            Source::ServiceAccount(ServiceAccount {
                email: needed("client_email", file.client_email)?,
                key: key
                    .map_err(|error| refuse(format!("its private_key is of no use: {error}")))?,
                key_id: file.private_key_id,
                token_url: token_url(file.token_uri.as_deref())?,
            })
        }
        "authorized_user" => Source::User(User {
            client_id: needed("client_id", file.client_id)?,
            client_secret: Zeroizing::new(needed("client_secret", file.client_secret)?),
            refresh_token: Zeroizing::new(needed("refresh_token", file.refresh_token)?),
            token_url: token_url(file.token_uri.as_deref())?,
        }),
        "external_account" => Source::External(external(&name, file)?),
        "" => return Err(refuse("it has no type".to_owned())),
        kind => {
            return Err(refuse(format!(
                "credentials of type {} are not supported; wanted service_account, authorized_user or external_account",
                Excerpt::of(kind)
            )));
        }
    })
}

fn external(name: &str, file: File) -> Result<External, Error> {
    let refuse = |reason: &str| Error::Setting {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let source = file.credential_source;
    let subject = match (source.file, source.url) {
        (Some(path), None) => Subject::File(path),
        (None, Some(url)) => Subject::Url(endpoint(name, &url)?, source.headers),
        (Some(_), Some(_)) => {
            return Err(refuse("its credential_source has both a file and a url"));
        }
        (None, None) => {
            return Err(refuse(
                "its credential_source is neither a file nor a url; others, such as AWS and executables, are not supported",
            ));
        }
    };
    let field = match (
        source.format.kind.as_str(),
        source.format.subject_token_field_name,
    ) {
        ("json", Some(field)) => Some(field),
        ("" | "text", _) => None,
        ("json", None) => return Err(refuse("it names no subject_token_field_name")),
        _ => return Err(refuse("its credential_source has an unknown format")),
    };
    let seconds = file.service_account_impersonation.token_lifetime_seconds;
    let impersonation = match &file.service_account_impersonation_url {
        Some(url) => Some((endpoint(name, url)?, seconds.unwrap_or(LIFETIME))),
        None => None,
    };
    if file.audience.is_empty() || file.subject_token_type.is_empty() {
        return Err(refuse("it has no audience, or no subject_token_type"));
    }
    Ok(External {
        audience: file.audience,
        subject_type: file.subject_token_type,
        subject,
        field,
        token_url: endpoint(name, &file.token_url)?,
        impersonation,
    })
}

/// Nobody says who asks.
pub(super) fn nobody(otherwise: &str) -> Error {
    Error::NoCredentials {
        service: SERVICE,
        tried: format!(
            "{otherwise}, and no metadata server answers at {METADATA_HOST}; outside of Google Cloud set {FILE_VARIABLE}"
        ),
    }
}
