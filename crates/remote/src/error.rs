//! What can go wrong with a registry: the operation that failed, why, who must act, and what they can do.

use std::time::Duration;

use reqwest::Url;
pub use tekseal_core::Blame;
use tekseal_core::{Digest, Repository};

pub use crate::detail::Detail;
use crate::guard::Refused;
use crate::tls;

/// An operation on a registry that failed; the source says why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An entry of the insecure registries is no `host` or `host:port`.
    #[error("insecure registry {text:?} is not a host name with an optional port")]
    InsecureRegistry {
        /// The entry.
        text: String,
    },
    /// Asking for a manifest's digest.
    #[error("cannot ask for manifest {reference} in repository {repository}")]
    HeadManifest {
        /// Where.
        repository: Repository,
        /// Tag or digest.
        reference: String,
        /// Why.
        source: Box<Cause>,
    },
    /// Reading a manifest.
    #[error("cannot read manifest {reference} in repository {repository}")]
    GetManifest {
        /// Where.
        repository: Repository,
        /// Tag or digest.
        reference: String,
        /// Why.
        source: Box<Cause>,
    },
    /// Writing a manifest.
    #[error("cannot write manifest {reference} to repository {repository}")]
    PutManifest {
        /// Where.
        repository: Repository,
        /// Tag or digest.
        reference: String,
        /// Why.
        source: Box<Cause>,
    },
    /// Starting an upload.
    #[error("cannot start an upload to repository {repository}")]
    StartUpload {
        /// Where.
        repository: Repository,
        /// Why.
        source: Box<Cause>,
    },
    /// Sending a blob.
    #[error("cannot write blob {digest} to repository {repository}")]
    PutBlob {
        /// Where.
        repository: Repository,
        /// The blob.
        digest: Digest,
        /// Why.
        source: Box<Cause>,
    },
    /// Asking whether a blob is there.
    #[error("cannot ask for blob {digest} in repository {repository}")]
    HeadBlob {
        /// Where.
        repository: Repository,
        /// The blob.
        digest: Digest,
        /// Why.
        source: Box<Cause>,
    },
    /// Reading a blob.
    #[error("cannot read blob {digest} in repository {repository}")]
    GetBlob {
        /// Where.
        repository: Repository,
        /// The blob.
        digest: Digest,
        /// Why.
        source: Box<Cause>,
    },
    /// Listing what refers to an image.
    #[error("cannot list what refers to {digest} in repository {repository}")]
    Referrers {
        /// Where.
        repository: Repository,
        /// The image.
        digest: Digest,
        /// Why.
        source: Box<Cause>,
    },
}

/// Why an operation failed. URLs are without user information and query.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The repository, tag or registry cannot be part of a URL.
    #[error("{0:?} cannot be asked for in a registry")]
    Name(String),
    /// A place that must not be connected to; nothing was sent there.
    #[error("refusing to connect to {place}")]
    Guarded {
        /// The repository or URL.
        place: String,
        /// Why.
        source: Refused,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS for {url}")]
    Trust {
        /// What was wanted.
        url: String,
        /// What is missing or wrong.
        source: tls::Error,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The server's certificate is not trusted.
    #[error("the certificate of {url} is not trusted")]
    Certificate {
        /// What was wanted.
        url: String,
        /// What is wrong with the certificate.
        source: rustls::Error,
    },
    /// The TLS handshake failed for another reason than the server's certificate.
    #[error("no TLS connection to {url}")]
    Handshake {
        /// What was wanted.
        url: String,
        /// What went wrong.
        source: rustls::Error,
    },
    /// No connection, a broken connection, a cut answer or none in time.
    #[error("no complete answer from {url}")]
    Transport {
        /// What was wanted.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The registry wants credentials and there are none for it.
    #[error("{} asks for credentials and none was found for {repository}{detail}", repository.registry())]
    NoCredentials {
        /// For what credentials were looked up.
        repository: Repository,
        /// What the registry said.
        detail: Detail,
        /// What the credential files say about it.
        notes: Vec<String>,
    },
    /// The registry does not accept the credentials.
    #[error("{registry} does not accept {}{detail}", tried.join(", nor "))]
    Unauthorized {
        /// The registry.
        registry: String,
        /// Which credentials were tried: key and file of each.
        tried: Vec<String>,
        /// What the registry said.
        detail: Detail,
    },
    /// The registry knows us and says no.
    #[error("{url} is denied to {who}{detail}")]
    Denied {
        /// What was wanted.
        url: String,
        /// Which credentials were used.
        who: String,
        /// What the registry said.
        detail: Detail,
    },
    /// It is not there.
    #[error("{url} not found{detail}")]
    Absent {
        /// What was wanted.
        url: String,
        /// What the registry said.
        detail: Detail,
    },
    /// Any other refusal.
    #[error("{url} answered {status}{detail}")]
    Status {
        /// What was wanted.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        detail: Detail,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The token server failed.
    #[error("no token for {registry}")]
    Token {
        /// The registry.
        registry: String,
        /// Why.
        source: Box<Cause>,
    },
    /// The token server gave something else than a token.
    #[error("{url} did not answer with a token")]
    NoToken {
        /// The token server.
        url: String,
    },
    /// A token server to which credentials must not be sent.
    #[error(
        "refusing to ask {realm} for a token: it is neither https nor the plain-http registry itself"
    )]
    Realm {
        /// The token server.
        realm: String,
    },
    /// More content than was asked for or than makes sense.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was read.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// More or fewer bytes than were announced.
    #[error("{url} has {found} bytes, wanted {wanted}")]
    Size {
        /// What was read.
        url: String,
        /// How many it has to have.
        wanted: u64,
        /// How many it has, or how many had come when it was clear that they are wrong.
        found: u64,
    },
    /// What was to be sent could not be read.
    #[error("what was to be sent cannot be read")]
    Content {
        /// Why.
        source: Box<Cause>,
    },
    /// Other bytes than were asked for.
    #[error("{url} has digest {found}, wanted {wanted}")]
    Digest {
        /// What was read or written.
        url: String,
        /// What it has to be.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// An answer without the place it must name.
    #[error("{url} answered without a usable Location")]
    Location {
        /// What answered.
        url: String,
    },
    /// Sent to a place where the connection would be less protected than before.
    #[error("refusing to follow {url} to {target}: only https is allowed after https")]
    Downgrade {
        /// What answered.
        url: String,
        /// Where it pointed.
        target: String,
    },
    /// Sent around in circles.
    #[error("{url} redirects too often")]
    Redirects {
        /// What was wanted first.
        url: String,
    },
    /// A list of referrers that is none.
    #[error("{url} is not a list of referrers")]
    Index {
        /// What was read.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::InsecureRegistry { .. } => Blame::Setting,
            // Nothing is read here: a repository that is not there must be made.
            Self::PutManifest { source, .. }
            | Self::StartUpload { source, .. }
            | Self::PutBlob { source, .. } => match (&**source, source.blame()) {
                (Cause::Content { .. }, blame) => blame,
                (_, Blame::Artifact) => Blame::Setting,
                (_, blame) => blame,
            },
            Self::HeadManifest { source, .. }
            | Self::GetManifest { source, .. }
            | Self::HeadBlob { source, .. }
            | Self::GetBlob { source, .. }
            | Self::Referrers { source, .. } => source.blame(),
        }
    }

    /// What people can do about it: one sentence, the next action.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InsecureRegistry { .. } => {
                Some("write it like registry.example:5000, without scheme and path".to_owned())
            }
            Self::PutManifest { source, .. }
            | Self::StartUpload { source, .. }
            | Self::PutBlob { source, .. }
                if matches!(**source, Cause::Absent { .. }) =>
            {
                Some(
                    "this registry may want the repository to be created before the first push"
                        .to_owned(),
                )
            }
            error => error.cause().and_then(Cause::hint),
        }
    }

    /// The HTTP status the registry refused with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.cause().and_then(Cause::status)
    }

    /// Whether the registry gave this error code, such as `MANIFEST_BLOB_UNKNOWN`.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.cause()
            .and_then(Cause::detail)
            .is_some_and(|detail| detail.has_code(code))
    }

    /// Why the operation failed; nothing for errors of the settings.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::InsecureRegistry { .. } => None,
            Self::HeadManifest { source, .. }
            | Self::GetManifest { source, .. }
            | Self::PutManifest { source, .. }
            | Self::StartUpload { source, .. }
            | Self::PutBlob { source, .. }
            | Self::HeadBlob { source, .. }
            | Self::GetBlob { source, .. }
            | Self::Referrers { source, .. } => Some(source),
        }
    }
}

impl Cause {
    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::Absent { .. } | Self::TooLarge { .. } | Self::Size { .. } => Blame::Artifact,
            Self::Content { source } => source.blame(),
            Self::Name(_)
            | Self::Guarded { .. }
            | Self::Trust { .. }
            | Self::Client(_)
            | Self::Certificate { .. }
            | Self::Handshake { .. }
            | Self::NoCredentials { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::Realm { .. } => Blame::Setting,
            Self::Token { source, .. } => match source.blame() {
                // A token server that is not where the registry says is not a missing artifact.
                Blame::Artifact => Blame::Outside,
                blame => blame,
            },
            Self::Transport { .. }
            | Self::Status { .. }
            | Self::NoToken { .. }
            | Self::Digest { .. }
            | Self::Location { .. }
            | Self::Downgrade { .. }
            | Self::Redirects { .. }
            | Self::Index { .. } => Blame::Outside,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Certificate { .. } => {
                "give the certificate authority of the registry as a CA file (--registry-ca), or add it to SSL_CERT_DIR"
            }
            Self::Trust {
                source: tls::Error::NoAuthority,
                ..
            } => "install the system's CA certificates, set SSL_CERT_FILE, or give a CA file",
            Self::Handshake {
                source: rustls::Error::InvalidMessage(_),
                ..
            } => "if the registry speaks plain http, name it as an insecure registry",
            Self::Handshake { .. } => {
                "the registry may want a client certificate: give a folder with its *.cert and *.key"
            }
            Self::NoCredentials { notes, .. } if !notes.is_empty() => {
                return Some(notes.join("; "));
            }
            Self::NoCredentials { repository, .. } => {
                let registry = repository.registry();
                return Some(format!(
                    "add an \"auths\" entry for {registry} to a docker config.json that this step can read, and check the image name"
                ));
            }
            Self::Unauthorized { .. } => "renew the user name and password or token of that entry",
            Self::Denied { .. } => {
                "give that account permission on the repository, or add an entry for the repository's path"
            }
            Self::Guarded { source, .. } => source.hint(),
            Self::Token { source, .. } | Self::Content { source } => return source.hint(),
            Self::Name(_)
            | Self::Trust { .. }
            | Self::Client(_)
            | Self::Transport { .. }
            | Self::Absent { .. }
            | Self::Status { .. }
            | Self::NoToken { .. }
            | Self::Realm { .. }
            | Self::TooLarge { .. }
            | Self::Size { .. }
            | Self::Digest { .. }
            | Self::Location { .. }
            | Self::Downgrade { .. }
            | Self::Redirects { .. }
            | Self::Index { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// The HTTP status behind it, if a server refused.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Absent { .. } => Some(404),
            Self::Denied { .. } => Some(403),
            Self::NoCredentials { .. } | Self::Unauthorized { .. } => Some(401),
            _ => None,
        }
    }

    pub(crate) fn detail(&self) -> Option<&Detail> {
        match self {
            Self::Status { detail, .. }
            | Self::Absent { detail, .. }
            | Self::Denied { detail, .. }
            | Self::NoCredentials { detail, .. }
            | Self::Unauthorized { detail, .. } => Some(detail),
            _ => None,
        }
    }

    /// Whether trying again may help without anybody doing anything.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429 || *status == 408,
            Self::Token { source, .. } | Self::Content { source } => source.may_pass(),
            _ => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Token { source, .. } | Self::Content { source } => source.retry_after(),
            _ => None,
        }
    }
}

/// A URL for people: without user information, query and fragment, which may hold secrets.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only URLs without a host refuse this; they have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_have_no_user_and_no_query() {
        let url = Url::parse("https://u:p@r.example/v2/a?token=secret#f")
            .expect("the URL is well formed");
        assert_eq!(shown(&url), "https://r.example/v2/a");
    }
}
