//! Why there is no identity token, or none that Fulcio could accept.

use std::path::PathBuf;

use jiff::Timestamp;
use tekseal_core::Blame;
use tekseal_remote::rest::Failed;

use crate::{error, spiffe};

/// Why there is no identity token. No text holds a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or cannot be read.
    #[error("cannot read the identity token {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable is not set, or has nothing.
    #[error("the variable {0} has no identity token")]
    Variable(String),
    /// No place has one.
    #[error("no identity token was found: neither in {}", .0.join(", nor in "))]
    Nowhere(Vec<String>),
    /// A provider of cosign's that is not built.
    #[error("the provider {name} is not supported: {instead}")]
    Unsupported {
        /// Its name.
        name: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// No provider has this name.
    #[error("there is no provider {0:?} of identity tokens, only {names}", names = super::Provider::names())]
    Provider(String),
    /// The provider is not here.
    #[error("the provider {name} gives no identity token here: {reason}")]
    NotHere {
        /// Its name.
        name: &'static str,
        /// What is missing.
        reason: String,
    },
    /// No complete answer came.
    #[error("cannot ask {name} for an identity token")]
    Request {
        /// The provider.
        name: &'static str,
        /// Why.
        source: Box<Failed>,
    },
    /// The provider says no.
    #[error("{name} refused an identity token: status {status}{detail}")]
    Refused {
        /// The provider.
        name: &'static str,
        /// The status of HTTP.
        status: u16,
        /// What it says, after a colon.
        detail: String,
    },
    /// The provider answers something else.
    #[error("{name} answered with {found} instead of an identity token")]
    Answer {
        /// The provider.
        name: &'static str,
        /// What came.
        found: &'static str,
    },
    /// The agent of SPIFFE gives none.
    #[error(transparent)]
    Spiffe(#[from] spiffe::Error),
    /// What is there is no token.
    #[error("the identity token is malformed: {0}")]
    Malformed(&'static str),
    /// Anybody could have written it.
    #[error("the identity token is signed by nobody (alg none)")]
    Unsigned,
    /// It is signed in a way that no issuer may use.
    #[error(
        "the identity token is signed with the algorithm {0}, which no issuer of OpenID Connect signs with"
    )]
    Algorithm(String),
    /// It is for somebody else.
    #[error("the identity token is for the audience [{}], and must be for {wanted}", found.join(", "))]
    Audience {
        /// For whom it is.
        found: Vec<String>,
        /// For whom it must be.
        wanted: String,
    },
    /// It is over.
    #[error("the identity token ended at {}, and it is {}", moment(*end), moment(*now))]
    Expired {
        /// When it ended.
        end: i64,
        /// What time it is.
        now: i64,
    },
    /// It begins later.
    #[error("the identity token is valid from {}, and it is {}", moment(*start), moment(*now))]
    NotYetValid {
        /// When it begins.
        start: i64,
        /// What time it is.
        now: i64,
    },
    /// Nobody knows whose address it is.
    #[error(
        "the e-mail address of the identity token is not verified, and Fulcio certifies no such address"
    )]
    EmailNotVerified,
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Request { source, .. } => error::blame_of_request(source),
            Self::Refused { status, .. } => error::blame_of_status(*status),
            Self::Answer { .. } => Blame::Outside,
            Self::Spiffe(error) => error.blame(),
            Self::File { .. }
            | Self::Variable(_)
            | Self::Nowhere(_)
            | Self::Unsupported { .. }
            | Self::Provider(_)
            | Self::NotHere { .. }
            | Self::Malformed(_)
            | Self::Unsigned
            | Self::Algorithm(_)
            | Self::Audience { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::EmailNotVerified => Blame::Setting,
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::File { .. } | Self::Nowhere(_) => {
                "in a Pod mount a projected ServiceAccount token with the audience sigstore (docs/keyless.md); it is there before the Pod starts, so it is not waited for"
            }
            Self::Audience { .. } => {
                "a projected ServiceAccount token has audience: sigstore in its volume; the token that Kubernetes mounts by itself is for the API server"
            }
            Self::Expired { .. } => {
                "Kubernetes writes a new projected token in time; a token in a variable is as old as the process"
            }
            Self::NotYetValid { .. } => {
                "the clock of this machine may be wrong, or that of the issuer"
            }
            Self::Request { source, .. } => return source.hint(),
            Self::Spiffe(error) => return error.hint(),
            Self::Variable(_)
            | Self::Unsupported { .. }
            | Self::Provider(_)
            | Self::NotHere { .. }
            | Self::Refused { .. }
            | Self::Answer { .. }
            | Self::Malformed(_)
            | Self::Unsigned
            | Self::Algorithm(_)
            | Self::EmailNotVerified => return None,
        };
        Some(hint.to_owned())
    }
}

pub(crate) fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
