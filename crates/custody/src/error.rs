//! What can go wrong with a key that somebody else holds: which service, what it was asked, why, and who must act.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_core::Blame;
use tekseal_remote::rest::Failed;
use tekseal_signing::{KeyAlgorithm, RemoteError, public_key};

use crate::spiffe;

/// Why a key that somebody else holds cannot be used. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says who is asking.
    #[error("no credentials for {service}: {tried}")]
    NoCredentials {
        /// The service, for people.
        service: &'static str,
        /// Where they were looked for.
        tried: String,
    },
    /// A setting that cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Setting {
        /// The name of a variable, a flag or a key of the configuration.
        name: String,
        /// Why.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {what} {}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The agent of SPIFFE says not who we are.
    #[error("no identity token to log in to Vault with")]
    Spiffe {
        /// Why.
        source: spiffe::Error,
    },
    /// No complete answer came.
    #[error("cannot {action}")]
    Request {
        /// What was asked, such as `sign with awskms:///alias/a`.
        action: String,
        /// Why.
        source: Box<Failed>,
    },
    /// The service says no.
    #[error("{service} refused to {action}: status {status}{detail}")]
    Refused {
        /// The service, for people.
        service: &'static str,
        /// What was asked.
        action: String,
        /// The status of HTTP.
        status: u16,
        /// What it says, after a colon; empty if it says nothing fit to be shown.
        detail: String,
        /// Whether it may do it later: it throttles, is sealed, or is not well.
        may_pass: bool,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The service said something else than what its protocol has.
    #[error("{service} was asked to {action}, and answered with {found} instead of {wanted}")]
    Answer {
        /// The service, for people.
        service: &'static str,
        /// What was asked.
        action: String,
        /// What came.
        found: String,
        /// What should have come.
        wanted: &'static str,
    },
    /// The public key that came is none.
    #[error("{service} gave a public key for {reference} that cannot be used")]
    PublicKey {
        /// The service, for people.
        service: &'static str,
        /// The key.
        reference: String,
        /// Why.
        source: public_key::Error,
    },
    /// The key is of a kind that cannot sign here.
    #[error("the key {reference} is {found}, and {wanted}")]
    KeyKind {
        /// The key.
        reference: String,
        /// What it is.
        found: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// Keys of this algorithm cannot be made there.
    #[error("{service} makes no {algorithm} keys; it makes {makes}")]
    Algorithm {
        /// The service, for people.
        service: &'static str,
        /// What was asked for.
        algorithm: KeyAlgorithm,
        /// What it does make.
        makes: &'static str,
    },
    /// Something that the service does not do.
    #[error("{service} cannot {what}")]
    Unsupported {
        /// The service, for people.
        service: String,
        /// What it was asked, and what to do instead.
        what: &'static str,
    },
    /// A program that holds keys did not do what it was asked.
    #[error("the plugin {program} {what}")]
    Plugin {
        /// Its name.
        program: String,
        /// What it did.
        what: String,
        /// Who must act.
        blame: Blame,
    },
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoCredentials { .. }
            | Self::Setting { .. }
            | Self::File { .. }
            | Self::KeyKind { .. }
            | Self::PublicKey { .. }
            | Self::Algorithm { .. }
            | Self::Unsupported { .. } => Blame::Setting,
            Self::Request { source, .. } => blame_of_request(source),
            Self::Spiffe { source } => source.blame(),
            Self::Refused { may_pass, .. } => match may_pass {
                true => Blame::Outside,
                false => Blame::Setting,
            },
            Self::Answer { .. } => Blame::Outside,
            Self::Plugin { blame, .. } => *blame,
        }
    }

    /// When the service wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Request { source, .. } => source.hint(),
            Self::Spiffe { source } => source.hint(),
            _ => None,
        }
    }
}

/// Who must act where no complete answer came. There is nothing that could be absent but the service itself.
pub(crate) fn blame_of_request(failed: &Failed) -> Blame {
    match failed.blame() {
        Blame::Artifact => Blame::Setting,
        blame => blame,
    }
}

/// Who must act on a refusal with this status.
pub(crate) fn blame_of_status(status: u16) -> Blame {
    match status {
        408 | 429 | 500..=599 => Blame::Outside,
        _ => Blame::Setting,
    }
}

impl From<Error> for RemoteError {
    fn from(error: Error) -> Self {
        let (blame, after) = (error.blame(), error.retry_after());
        Self::new(blame, error).after(after)
    }
}
