//! Where identity tokens come from: files, variables, and what the place itself offers.
//!
//! Names and places are those of cosign's providers (<https://github.com/sigstore/cosign/tree/main/pkg/providers>). Where several offer a token, cosign draws
//! lots; here the order is that of [`Provider::ALL`], and the first that is here decides: with the token of another one the signature would be somebody
//! else's. A token is fetched each time one is needed, for Kubernetes writes a new one into the file before the old one ends.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tekseal_core::config::X509Signer;
use tekseal_remote::rest::{self, Method, Request, Url};
use zeroize::Zeroizing;

use super::{AUDIENCE, Error, IdentityToken, LARGEST};
use crate::spiffe::{self, Agent};
use crate::{Context, secret_file};

/// Where cosign's provider `filesystem` looks.
pub const DEFAULT_FILE: &str = "/var/run/sigstore/cosign/oidc-token";

/// The variable of the provider `envvar`.
const VARIABLE: &str = "SIGSTORE_ID_TOKEN";
const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// Host and port of Google's metadata server, in place of the usual one.
const GOOGLE_HOST: &str = "GCE_METADATA_HOST";
const GOOGLE_DEFAULT_HOST: &str = "metadata.google.internal";
/// What machines of Google say that they are.
const PRODUCT_NAME: &str = "/sys/class/dmi/id/product_name";

/// Where to get a token from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, such as a projected ServiceAccount token.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// One of the providers.
    Provider(Provider),
    /// The first provider that is here.
    Ambient,
}

/// What a place may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The variable `SIGSTORE_ID_TOKEN`.
    EnvVar,
    /// The file [`DEFAULT_FILE`].
    FileSystem,
    /// A job of GitHub Actions with the permission `id-token: write`.
    GitHubActions,
    /// The agent of SPIRE.
    Spiffe,
    /// The agent of Buildkite.
    Buildkite,
    /// The metadata server of Google's machines and of GKE.
    GoogleWorkloadIdentity,
    /// A token for another service account of Google.
    GoogleImpersonate,
}

impl Source {
    /// As Chains understands its configuration: the file, where no other provider is named, else the provider, else the first that is here.
    ///
    /// # Errors
    /// For a provider of an unknown name.
    pub fn of_config(config: &X509Signer) -> Result<Self, Error> {
        let file = &config.identity_token_file;
        match config.fulcio_provider.as_str() {
            "" | "filesystem" | "filesystem-custom-path" if !file.is_empty() => {
                Ok(Self::File(PathBuf::from(file)))
            }
            "" => Ok(Self::Ambient),
            name => Provider::of_name(name).map(Self::Provider),
        }
    }
}

impl Provider {
    /// All, in the order in which they are looked for.
    pub const ALL: [Self; 7] = [
        Self::EnvVar,
        Self::FileSystem,
        Self::GitHubActions,
        Self::Spiffe,
        Self::Buildkite,
        Self::GoogleImpersonate,
        Self::GoogleWorkloadIdentity,
    ];

    /// cosign's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnvVar => "envvar",
            Self::FileSystem => "filesystem",
            Self::GitHubActions => "github-actions",
            Self::Spiffe => "spiffe",
            Self::Buildkite => "buildkite-agent",
            Self::GoogleWorkloadIdentity => "google-workload-identity",
            Self::GoogleImpersonate => "google-impersonate",
        }
    }

    /// All names, for people.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The provider of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn of_name(name: &str) -> Result<Self, Error> {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|one| one.name() == name);
        found.ok_or_else(|| Error::Provider(name.chars().take(80).collect()))
    }

    /// Where it is looked for.
    fn place(self) -> &'static str {
        match self {
            Self::EnvVar => "the variable SIGSTORE_ID_TOKEN",
            Self::FileSystem => DEFAULT_FILE,
            Self::GitHubActions => "GitHub Actions",
            Self::Spiffe => "SPIFFE_ENDPOINT_SOCKET or /tmp/spire-agent/public/api.sock",
            Self::Buildkite => "Buildkite",
            Self::GoogleWorkloadIdentity => "Google's metadata server",
            Self::GoogleImpersonate => "GOOGLE_SERVICE_ACCOUNT_NAME",
        }
    }

    /// Whether the place offers it. Nothing is asked.
    fn is_here(self, context: &Context) -> bool {
        let is_set = |name| context.variable(name).is_some();
        match self {
            Self::EnvVar => is_set(VARIABLE),
            Self::FileSystem => PathBuf::from(DEFAULT_FILE).exists(),
            Self::GitHubActions => is_set(GITHUB_URL) && is_set(GITHUB_TOKEN),
            Self::Spiffe => {
                is_set(spiffe::SOCKET_VARIABLE) || Path::new(spiffe::DEFAULT_SOCKET).exists()
            }
            Self::Buildkite => is_set("BUILDKITE_AGENT_ACCESS_TOKEN"),
            Self::GoogleImpersonate => is_set("GOOGLE_SERVICE_ACCOUNT_NAME"),
            Self::GoogleWorkloadIdentity => {
                let product = std::fs::read_to_string(PRODUCT_NAME).unwrap_or_default();
                is_set(GOOGLE_HOST) || matches!(product.trim(), "Google" | "Google Compute Engine")
            }
        }
    }

    async fn fetch(self, context: &Context) -> Result<Zeroizing<String>, Error> {
        match self {
            Self::EnvVar => of_variable(context, VARIABLE),
            Self::FileSystem => read_file(PathBuf::from(DEFAULT_FILE)),
            Self::GitHubActions => of_github(context).await,
            Self::GoogleWorkloadIdentity => of_google(context).await,
            Self::Spiffe => of_spiffe(context).await,
            Self::Buildkite => Err(Error::Unsupported {
                name: self.name(),
                instead: "put what `buildkite-agent oidc request-token --audience sigstore` prints into the variable SIGSTORE_ID_TOKEN",
            }),
            Self::GoogleImpersonate => Err(Error::Unsupported {
                name: self.name(),
                instead: "put what `gcloud auth print-identity-token --impersonate-service-account=NAME --include-email --audiences=sigstore` prints into the variable SIGSTORE_ID_TOKEN",
            }),
        }
    }
}

impl Source {
    /// A token that may be good, fetched now.
    ///
    /// # Errors
    /// If there is none, or none that Fulcio could accept.
    pub(crate) async fn token(&self, context: &Context, now: i64) -> Result<IdentityToken, Error> {
        let text = match self {
            Self::File(path) => read_file(path.clone())?,
            Self::Variable(name) => of_variable(context, name)?,
            Self::Provider(provider) => provider.fetch(context).await?,
            Self::Ambient => {
                let mut all = Provider::ALL.into_iter();
                let found = all.find(|one| one.is_here(context));
                let places = || Provider::ALL.map(|one| one.place().to_owned()).to_vec();
                let found = found.ok_or_else(|| Error::Nowhere(places()))?;
                found.fetch(context).await?
            }
        };
        IdentityToken::parse(&text, now)
    }
}

fn of_variable(context: &Context, name: &str) -> Result<Zeroizing<String>, Error> {
    let value = context.variable(name).map(Zeroizing::new);
    value.ok_or_else(|| Error::Variable(name.to_owned()))
}

/// Specification: <https://docs.github.com/en/actions/reference/security/oidc>.
async fn of_github(context: &Context) -> Result<Zeroizing<String>, Error> {
    #[derive(Deserialize)]
    struct Given {
        value: String,
    }
    let name = Provider::GitHubActions.name();
    let missing = |reason: &str| Error::NotHere {
        name,
        reason: reason.to_owned(),
    };
    let (Some(url), Some(token)) = (
        context.variable(GITHUB_URL),
        context.variable(GITHUB_TOKEN).map(Zeroizing::new),
    ) else {
        return Err(missing(
            "ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set, which the permission id-token: write sets",
        ));
    };
    let url = Url::parse(&url);
    let mut url = url.map_err(|_| missing("ACTIONS_ID_TOKEN_REQUEST_URL is no URL"))?;
    url.query_pairs_mut().append_pair("audience", AUDIENCE);
    context.tell_if_plain("the token of GitHub Actions", &url);
    let bearer = Zeroizing::new(format!("bearer {}", *token));
    let request = Request::new(Method::GET, url, LARGEST as u64 + 1024)
        .secret_header(rest::header::AUTHORIZATION, bearer.as_bytes())
        .map_err(|_| missing("ACTIONS_ID_TOKEN_REQUEST_TOKEN has a line break"))?
        .hiding(&token);
    let body = ask(context, name, &request).await?;
    let given: Given = serde_json::from_slice(&body).map_err(|_| Error::Answer {
        name,
        found: "something that is no JSON with a value",
    })?;
    Ok(Zeroizing::new(given.value))
}

/// From the agent of this machine. Fulcio wants to know who vouches, which an agent says only where it is told to.
async fn of_spiffe(context: &Context) -> Result<Zeroizing<String>, Error> {
    let address = context.variable(spiffe::SOCKET_VARIABLE);
    let address = address.as_deref().unwrap_or(spiffe::DEFAULT_SOCKET);
    let agent = Agent::at(spiffe::SOCKET_VARIABLE, address)?;
    let svid = agent.svid(AUDIENCE, &context.settings.options).await?;
    if !svid.has_issuer {
        return Err(Error::NotHere {
            name: Provider::Spiffe.name(),
            reason: "its token names no issuer, which Fulcio needs: set jwt_issuer in the configuration of SPIRE's server".to_owned(),
        });
    }
    Ok(svid.text)
}

/// Specification: <https://cloud.google.com/compute/docs/instances/verifying-instance-identity>.
async fn of_google(context: &Context) -> Result<Zeroizing<String>, Error> {
    let name = Provider::GoogleWorkloadIdentity.name();
    let host = context.variable(GOOGLE_HOST);
    let host = host.as_deref().map_or(GOOGLE_DEFAULT_HOST, |host| host);
    let url = format!(
        "http://{host}/computeMetadata/v1/instance/service-accounts/default/identity?audience={AUDIENCE}&format=full"
    );
    let url = Url::parse(&url).map_err(|_| Error::NotHere {
        name,
        reason: format!("{GOOGLE_HOST} is no host"),
    })?;
    let flavor = rest::header::HeaderName::from_static("metadata-flavor");
    let request = Request::new(Method::GET, url, LARGEST as u64 + 1024);
    let body = ask(context, name, &request.header(flavor, "Google")).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Error::Answer {
        name,
        found: "something that is no text",
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

async fn ask(
    context: &Context,
    name: &'static str,
    request: &Request,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let answer = context.rest.send(request).await;
    let answer = answer.map_err(|source| Error::Request {
        name,
        source: Box::new(source),
    })?;
    if answer.is_success() {
        return Ok(answer.body);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let told = answer.told(&text);
    Err(Error::Refused {
        name,
        status: answer.status,
        detail: match told.is_empty() {
            true => told,
            false => format!(": {told}"),
        },
    })
}

/// The text of a file, of at most one byte more than the largest token, which then is told to be too large.
fn read_file(path: PathBuf) -> Result<Zeroizing<String>, Error> {
    let text = secret_file::read(&path, LARGEST).and_then(|bytes| {
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))?;
        Ok(Zeroizing::new(text.to_owned()))
    });
    text.map_err(|source| Error::File { path, source })
}
