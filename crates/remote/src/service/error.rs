//! What can go wrong with a log or a timestamp authority: the operation that failed, why, and who must act.

use std::time::Duration;

use tekseal_core::Blame;

use super::Kind;
use crate::error::Cause;

/// An operation on a service that failed; the source says why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given is not the URL of a service.
    #[error("the URL {url} of the {kind} cannot be used: {reason}")]
    Url {
        /// What it should be of.
        kind: Kind,
        /// Its beginning, quoted; not what may hold a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Adding an entry.
    #[error("cannot add an entry to the transparency log {url}")]
    Add {
        /// The log.
        url: String,
        /// Why.
        source: Box<Failed>,
    },
    /// The log says that it has the entry already, and then cannot give it.
    #[error("the transparency log {url} says that it has this entry as {uuid}, and cannot give it")]
    Existing {
        /// The log.
        url: String,
        /// The entry.
        uuid: String,
        /// Why.
        source: Box<Failed>,
    },
    /// The log has the entry already. Only a log of the second version, which does not give what it has, is content with that.
    #[error("the transparency log {url} has this entry already{}", at(.index))]
    AlreadyLogged {
        /// The log.
        url: String,
        /// Its position, where the log tells it. Not verified.
        index: Option<u64>,
    },
    /// Reading something.
    #[error("cannot read {what} from the transparency log {url}")]
    Read {
        /// What was to be read.
        what: String,
        /// The log.
        url: String,
        /// Why.
        source: Box<Failed>,
    },
    /// A question that logs of this version do not answer.
    #[error("the transparency log {url} has API version {version}, which has no {what}")]
    Unanswerable {
        /// What was asked for.
        what: &'static str,
        /// The log.
        url: String,
        /// The version of its API.
        version: u8,
    },
    /// A part of the log that every log has is not at its URL.
    #[error("there is no {what} at {url}")]
    NotThere {
        /// What was looked for.
        what: &'static str,
        /// Where the log should be.
        url: String,
    },
    /// Getting a timestamp.
    #[error("cannot get a timestamp from {url}")]
    Timestamp {
        /// The authority.
        url: String,
        /// Why.
        source: Box<Failed>,
    },
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The request failed, or was refused.
    #[error(transparent)]
    Request(#[from] Cause),
    /// The service sends to somewhere else.
    #[error("refusing to follow {url} to {target}: a service is asked at its own origin alone")]
    Elsewhere {
        /// What answered.
        url: String,
        /// Where it sends to.
        target: String,
    },
    /// It was asked in clear, and wants TLS.
    #[error("{url} wants TLS: its address begins with https://, and not with http://")]
    WantsTls {
        /// What answered.
        url: String,
    },
    /// The answer is something else than what was asked for.
    #[error("{url} did not answer with {wanted}")]
    Answer {
        /// What answered.
        url: String,
        /// What it should have been.
        wanted: String,
    },
}

/// What a service says of a call that it does not have: another try changes nothing.
const NOT_IMPLEMENTED: u16 = 501;

fn at(index: &Option<u64>) -> String {
    index.map_or_else(String::new, |index| format!(" at index {index}"))
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Url { .. } | Self::Unanswerable { .. } | Self::NotThere { .. } => Blame::Setting,
            Self::AlreadyLogged { .. } => Blame::Artifact,
            // There is nothing that could be absent but the service itself.
            Self::Add { source, .. } | Self::Timestamp { source, .. } => match source.blame() {
                Blame::Artifact => Blame::Setting,
                blame => blame,
            },
            Self::Existing { source, .. } => match source.blame() {
                Blame::Artifact => Blame::Outside,
                blame => blame,
            },
            Self::Read { source, .. } => source.blame(),
        }
    }

    /// What people can do about it: one sentence, the next action.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let missing = |source: &Failed| {
            (source.status() == Some(404))
                .then(|| "check the URL: no such service is there".to_owned())
        };
        match self {
            Self::Url { .. } => Some("write it like https://service.example".to_owned()),
            Self::Unanswerable { .. } => Some(
                "logs of the second version are read by index alone, from static files".to_owned(),
            ),
            Self::NotThere { .. } => {
                Some("check the URL of the log, and the version of its API".to_owned())
            }
            Self::AlreadyLogged { .. } => None,
            Self::Add { source, .. } | Self::Timestamp { source, .. } => {
                missing(source).or_else(|| source.hint())
            }
            Self::Existing { source, .. } | Self::Read { source, .. } => source.hint(),
        }
    }

    /// The HTTP status with which the service refused, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Url { .. } | Self::AlreadyLogged { .. } | Self::Unanswerable { .. } => None,
            Self::NotThere { .. } => Some(404),
            Self::Add { source, .. }
            | Self::Existing { source, .. }
            | Self::Read { source, .. }
            | Self::Timestamp { source, .. } => source.status(),
        }
    }
}

impl Failed {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Elsewhere { .. } | Self::WantsTls { .. } => Blame::Setting,
            Self::Answer { .. } => Blame::Outside,
            Self::Request(cause) => match cause.status() {
                Some(404) => Blame::Artifact,
                Some(408 | 429 | 499) => Blame::Outside,
                Some(400..=499 | NOT_IMPLEMENTED) => Blame::Setting,
                Some(_) => Blame::Outside,
                None => match cause.blame() {
                    // Too much: not what a service answers.
                    Blame::Artifact => Blame::Outside,
                    blame => blame,
                },
            },
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Elsewhere { .. } => "give the URL at which the service itself is",
            Self::Request(Cause::Certificate { .. }) => {
                "give the certificate authority of the service as a CA file (--registry-ca, or --ca where there is none), or add it to SSL_CERT_DIR"
            }
            Self::Request(Cause::Handshake {
                source: rustls::Error::InvalidMessage(_),
                ..
            }) => "if the service speaks plain http, write its URL with http://",
            Self::Request(cause) => return cause.hint(),
            Self::WantsTls { .. } | Self::Answer { .. } => return None,
        };
        Some(hint.to_owned())
    }

    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Request(cause) => cause.status(),
            Self::Elsewhere { .. } | Self::WantsTls { .. } | Self::Answer { .. } => None,
        }
    }

    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Request(cause) => cause.may_pass() && cause.status() != Some(NOT_IMPLEMENTED),
            Self::Elsewhere { .. } | Self::WantsTls { .. } | Self::Answer { .. } => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Request(cause) => cause.retry_after(),
            Self::Elsewhere { .. } | Self::WantsTls { .. } | Self::Answer { .. } => None,
        }
    }
}
