//! Reads registry credentials from what docker, podman and Tekton leave behind, and picks those for one repository.
//!
//! Known are `config.json` (also under the names `.dockerconfigjson` and `auth.json`), its forerunner `.dockercfg`, and
//! the [Secrets](KubernetesSecret) of Kubernetes that hold them. Formats:
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md> and
//! <https://docs.docker.com/reference/cli/docker/login/>. Files are opened elsewhere: only bytes come in. Credential
//! helpers are programs and are not run; [`Credentials::notes`] says when one would have been needed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::reference::Repository;

mod kubernetes_secret;

pub use kubernetes_secret::{KubernetesSecret, SecretError};

/// Credentials of any number of files and Secrets, earlier ones before later ones.
#[derive(Default)]
pub struct Credentials {
    sources: Vec<Source>,
}

/// What a registry may be told about us. Only the registry client reads it, so it can be neither printed nor copied.
#[derive(Default)]
pub struct Secret {
    username: String,
    password: Zeroizing<String>,
    identity_token: Zeroizing<String>,
    registry_token: Zeroizing<String>,
}

/// One entry that fits a repository.
#[derive(Clone, Copy)]
pub struct Match<'a> {
    file: &'a str,
    entry: &'a Entry,
}

/// Why a credential file is not understood. The content of the file is in none of them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No JSON, or JSON of another shape.
    #[error("credential file {file} is malformed at line {line}, column {column}")]
    Json {
        /// Name of the file.
        file: String,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// `auth` is not base64 of `username:password`.
    #[error(
        "credential file {file} has an \"auth\" for {key:?} that is not the base64 of username:password"
    )]
    Auth {
        /// Name of the file.
        file: String,
        /// The key of the entry.
        key: String,
    },
}

struct Source {
    /// For messages.
    file: String,
    origin: Origin,
    entries: Vec<Entry>,
    helpers: Vec<Scope>,
    store: Option<String>,
}

/// Where credentials come from, in the order in which equally specific ones are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    File,
    /// A Secret in one of docker's formats.
    DockerSecret,
    /// A Secret with one user and password for registries named by annotations.
    BasicSecret,
}

struct Entry {
    scope: Scope,
    secret: Secret,
}

/// A key of a credential file: as it was written, and as `host` or `host/path`.
struct Scope {
    key: String,
    place: String,
}

impl Credentials {
    /// Adds the content of one more file. What earlier files say about a registry goes before what this one says.
    pub fn add(&mut self, file: &str, bytes: &[u8]) -> Result<(), Error> {
        let source =
            Source::parse(file, Origin::File, Form::Any, bytes).map_err(|fault| match fault {
                Fault::Json { line, column } => Error::Json {
                    file: file.to_owned(),
                    line,
                    column,
                },
                Fault::Auth { key } => Error::Auth {
                    file: file.to_owned(),
                    key,
                },
            })?;
        self.sources.push(source);
        Ok(())
    }

    /// The entries for `repository`, longest path first. They are all of one file, the first that knows the repository
    /// or its registry: a wrong password in a file that was named on purpose is not papered over by another file.
    /// Secrets that were added in a row count as one file: an account lists them side by side, and none before another.
    #[must_use]
    pub fn for_repository(&self, repository: &Repository) -> Vec<Match<'_>> {
        let name = place_of(repository);
        let side_by_side =
            |one: &Source, next: &Source| one.origin.is_secret() && next.origin.is_secret();
        for group in self.sources.chunk_by(side_by_side) {
            let mut found: Vec<_> = group
                .iter()
                .flat_map(|source| source.matches(&name))
                .collect();
            if !found.is_empty() {
                // What is equally specific stays in the order in which it was added.
                found.sort_by_key(|(origin, found)| {
                    let place = &found.entry.scope.place;
                    (std::cmp::Reverse(place.len()), *origin)
                });
                return found.into_iter().map(|(_, found)| found).collect();
            }
        }
        Vec::new()
    }

    /// What people should know when no entry was found for `repository`: that a file leaves it to a credential helper.
    #[must_use]
    pub fn notes(&self, repository: &Repository) -> Vec<String> {
        let name = place_of(repository);
        let mut notes = Vec::new();
        for Source {
            file,
            helpers,
            store,
            ..
        } in &self.sources
        {
            if let Some(helper) = helpers.iter().find(|helper| helper.covers(&name)) {
                notes.push(format!(
                    "{file} names a credential helper for {:?}; helpers are not run, put an \"auths\" entry there instead",
                    helper.key
                ));
            } else if store.is_some() {
                notes.push(format!(
                    "{file} keeps its passwords in a credential store (\"credsStore\"); stores are not asked, put an \"auths\" entry there instead"
                ));
            }
        }
        notes
    }
}

/// Names of files and keys only, without what somebody wrote before an `@`.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.sources.iter().map(|source| {
                let keys: Vec<_> = source
                    .entries
                    .iter()
                    .map(|entry| entry.scope.key.rsplit('@').next())
                    .map(Option::unwrap_or_default)
                    .collect();
                (&source.file, keys)
            }))
            .finish()
    }
}

impl Match<'_> {
    /// The key as the file writes it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.entry.scope.key
    }

    /// The name of the file, or `secret namespace/name`.
    #[must_use]
    pub fn file(&self) -> &str {
        self.file
    }

    /// What to tell the registry.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.entry.secret
    }
}

/// The key and the file: `key "quay.io/org" in /creds/config.json`.
impl fmt::Display for Match<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?} in {}", self.key(), self.file)
    }
}

impl Secret {
    /// User name and password, if there are any.
    #[must_use]
    pub fn basic(&self) -> Option<(&str, &str)> {
        if self.username.is_empty() && self.password.is_empty() {
            return None;
        }
        Some((&self.username, &self.password))
    }

    /// A refresh token to be exchanged at the registry's token server.
    #[must_use]
    pub fn identity_token(&self) -> Option<&str> {
        Some(self.identity_token.as_str()).filter(|token| !token.is_empty())
    }

    /// A token that is shown to the registry as it is.
    #[must_use]
    pub fn registry_token(&self) -> Option<&str> {
        Some(self.registry_token.as_str()).filter(|token| !token.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.basic().is_none() && self.identity_token().is_none() && self.registry_token().is_none()
    }
}

/// Where credential files may be, most deliberate first, as far as the environment tells. All that exist are to be added
/// in this order; an explicitly named file goes before them.
///
/// `env` looks up an environment variable.
#[must_use]
pub fn candidates(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let env = |name| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let below = |folder: Option<PathBuf>, file: &str| folder.map(|folder| folder.join(file));
    let files = [
        env("REGISTRY_AUTH_FILE"),
        below(env("DOCKER_CONFIG"), "config.json"),
        below(env("DOCKER_CONFIG"), ".dockerconfigjson"),
        below(env("HOME"), ".docker/config.json"),
        below(env("XDG_RUNTIME_DIR"), "containers/auth.json"),
        Some(Path::new("/tekton/creds/.docker/config.json").to_owned()),
    ];
    let mut known = Vec::new();
    for file in files.into_iter().flatten() {
        if !known.contains(&file) {
            known.push(file);
        }
    }
    known
}

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<AuthJson>>>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct AuthJson {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(default, rename = "registrytoken")]
    registry_token: Option<String>,
}

/// A value of the old format; a file of the new one without any credentials looks like the old one with odd entries.
#[derive(Deserialize)]
#[serde(untagged)]
enum OldJson {
    Auth(AuthJson),
    Other(serde::de::IgnoredAny),
}

/// What a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The new format, or the old one with odd entries.
    Any,
    /// The old format, whose entries must all be understood; the new one is taken too.
    Old,
}

/// What is wrong with a text.
enum Fault {
    Json { line: usize, column: usize },
    Auth { key: String },
}

/// serde_json quotes what it did not expect, which may be a password: only the place is told.
impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Json {
            line: error.line(),
            column: error.column(),
        }
    }
}

impl Origin {
    fn is_secret(self) -> bool {
        self != Self::File
    }
}

impl Source {
    fn empty(file: &str, origin: Origin) -> Self {
        Self {
            file: file.to_owned(),
            origin,
            entries: Vec::new(),
            helpers: Vec::new(),
            store: None,
        }
    }

    fn parse(file: &str, origin: Origin, form: Form, bytes: &[u8]) -> Result<Self, Fault> {
        let mut source = Self::empty(file, origin);
        // An empty file is what a secret without content becomes.
        if bytes.trim_ascii().is_empty() {
            return Ok(source);
        }
        let config: ConfigJson = serde_json::from_slice(bytes)?;
        let is_new = config.auths.is_some() || config.helpers.is_some() || config.store.is_some();
        let auths = match form {
            _ if is_new => config.auths.unwrap_or_default(),
            Form::Old => serde_json::from_slice(bytes)?,
            Form::Any => {
                let old: BTreeMap<String, OldJson> = serde_json::from_slice(bytes)?;
                old.into_iter()
                    .map(|(key, value)| (key, value.into_auth()))
                    .collect()
            }
        };
        for (key, auth) in auths {
            let Some(auth) = auth else { continue };
            let Ok(secret) = auth.into_secret() else {
                return Err(Fault::Auth { key });
            };
            // docker leaves empty entries behind for what is in its credential store.
            if !secret.is_empty() {
                source.entries.push(Entry {
                    scope: Scope::new(key),
                    secret,
                });
            }
        }
        // docker's own login goes before other spellings of its registry.
        source
            .entries
            .sort_by_key(|entry| entry.scope.key != HUB_KEY);
        source.helpers = config
            .helpers
            .unwrap_or_default()
            .into_keys()
            .map(Scope::new)
            .collect();
        source.store = config.store.filter(|store| !store.is_empty());
        Ok(source)
    }

    /// The entries that fit `name`, in no order of their paths.
    fn matches<'a>(&'a self, name: &str) -> impl Iterator<Item = (Origin, Match<'a>)> {
        self.entries
            .iter()
            .filter(|entry| entry.scope.covers(name))
            .map(|entry| {
                let found = Match {
                    file: &self.file,
                    entry,
                };
                (self.origin, found)
            })
    }
}

impl OldJson {
    fn into_auth(self) -> Option<AuthJson> {
        match self {
            Self::Auth(auth) => Some(auth),
            Self::Other(_) => None,
        }
    }
}

struct NotBase64;

impl AuthJson {
    /// `auth` goes before `username` and `password`, as docker has it.
    fn into_secret(self) -> Result<Secret, NotBase64> {
        let mut secret = Secret {
            username: self.username.unwrap_or_default(),
            password: Zeroizing::new(self.password.unwrap_or_default()),
            identity_token: Zeroizing::new(self.identity_token.unwrap_or_default()),
            registry_token: Zeroizing::new(self.registry_token.unwrap_or_default()),
        };
        let auth = Zeroizing::new(self.auth.unwrap_or_default());
        if auth.trim().is_empty() {
            return Ok(secret);
        }
        let decoded = Zeroizing::new(LENIENT.decode(auth.trim()).map_err(|_| NotBase64)?);
        let text = std::str::from_utf8(&decoded).map_err(|_| NotBase64)?;
        let (username, password) = text.split_once(':').ok_or(NotBase64)?;
        secret.username = username.to_owned();
        secret.password = Zeroizing::new(password.trim_end_matches('\0').to_owned());
        Ok(secret)
    }
}

impl Scope {
    fn new(key: String) -> Self {
        let bare = key
            .strip_prefix("https://")
            .or_else(|| key.strip_prefix("http://"))
            .unwrap_or(&key);
        let bare = bare.trim_end_matches('/');
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let host = hub(&host.to_ascii_lowercase()).to_owned();
        let place = match path {
            "" | "v1" | "v2" => host,
            path => format!("{host}/{path}"),
        };
        Self { key, place }
    }

    fn covers(&self, name: &str) -> bool {
        name.strip_prefix(&self.place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn place_of(repository: &Repository) -> String {
    format!(
        "{}/{}",
        hub(&repository.registry().to_ascii_lowercase()),
        repository.path()
    )
}

/// Docker Hub has many names.
fn hub(host: &str) -> &str {
    match host {
        "docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "index.docker.io",
        host => host,
    }
}

/// The name under which docker itself stores its login.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Padding is often lost when people make secrets by hand.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests;
