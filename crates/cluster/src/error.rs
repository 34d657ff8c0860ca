//! What can go wrong with an API server: what was being done to what, why, and who must act.

use std::fmt;

use tekseal_core::Blame;

use crate::children::MOST_CHILDREN_BYTES;

/// An operation on the API server that failed; the source says why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing says where the API server is.
    #[error("there is no way to the cluster{}", in_file(file))]
    NoWay {
        /// The kubeconfig that was named, if one was.
        file: Option<String>,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The children of a PipelineRun are too large together.
    #[error(
        "the TaskRuns of {run} have {} KiB together, more than {} KiB: keep large data out of their params, results and embedded specs, or make several pipelines of it",
        bytes.div_ceil(1024), MOST_CHILDREN_BYTES / 1024
    )]
    LargeChildren {
        /// The PipelineRun.
        run: String,
        /// How large those are that were looked at.
        bytes: usize,
    },
    /// Too many children of a PipelineRun would have to be read one by one.
    #[error("{run} names {found} children that its label does not find, more than {most}")]
    UnlistedChildren {
        /// The PipelineRun.
        run: String,
        /// How many.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A request failed.
    #[error("cannot {operation} {what}")]
    Request {
        /// What was wanted.
        operation: Operation,
        /// Of what: kind, namespace and name.
        what: String,
        /// Why.
        source: Box<Cause>,
    },
}

/// What was wanted of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading one object.
    Read,
    /// Listing objects.
    List,
    /// Watching objects.
    Watch,
    /// Making an object.
    Create,
    /// Changing an object.
    Change,
    /// Deleting an object.
    Delete,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The API server said no.
    #[error("the API server answered {status} {reason}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its reason, such as `NotFound`.
        reason: String,
        /// What it said, cut to 500 characters.
        message: String,
    },
    /// No answer in time.
    #[error("no answer within {0} seconds")]
    TimeOut(u64),
    /// Its certificate is not to be trusted.
    #[error("the certificate of the API server is not trusted")]
    Certificate(#[source] rustls::Error),
    /// No connection, or a broken one.
    #[error("no complete answer from the API server")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing was asked, since nothing can be there: it is not found.
    #[error("no object can have that name")]
    Name,
    /// It is more than is read.
    #[error("{0}")]
    Limit(String),
    /// The answer is not what was asked for.
    #[error("the answer is not understood: {0}")]
    Answer(String),
}

impl Error {
    pub(crate) fn of(operation: Operation, what: impl fmt::Display, cause: Cause) -> Self {
        Self::Request {
            operation,
            what: what.to_string(),
            source: Box::new(cause),
        }
    }

    /// A document of `run` that is not understood.
    #[must_use]
    pub fn answer(run: &crate::RunRef, error: &serde_json::Error) -> Self {
        Self::of(Operation::Read, run, Cause::Answer(error.to_string()))
    }

    /// Who must act: `Artifact` where the object is not there, `Setting` where the API server refuses, else `Outside`.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoWay { .. } => Blame::Setting,
            Self::LargeChildren { .. } | Self::UnlistedChildren { .. } => Blame::Artifact,
            Self::Request { source, .. } => match **source {
                Cause::Refused { status: 404, .. } | Cause::Name => Blame::Artifact,
                Cause::Refused { status, .. } if is_refusal(status) => Blame::Setting,
                Cause::Certificate(_) | Cause::Limit(_) => Blame::Setting,
                Cause::Refused { .. } | Cause::TimeOut(_) | Cause::Transport(_) => Blame::Outside,
                Cause::Answer(_) => Blame::Outside,
            },
        }
    }

    /// The HTTP status the API server refused with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Request { source, .. } => match **source {
                Cause::Refused { status, .. } => Some(status),
                _ => None,
            },
            Self::NoWay { .. } | Self::LargeChildren { .. } | Self::UnlistedChildren { .. } => None,
        }
    }

    /// Whether the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        let is_no_name = |error: &Self| match error {
            Self::Request { source, .. } => matches!(**source, Cause::Name),
            Self::NoWay { .. } | Self::LargeChildren { .. } | Self::UnlistedChildren { .. } => {
                false
            }
        };
        self.status() == Some(404) || is_no_name(self)
    }

    /// Whether somebody else was faster: the object is another, or of another version, than was assumed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// What people can do about it: one sentence, the next action.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoWay { .. } => Some(
                "give a kubeconfig with --kubeconfig or KUBECONFIG, or run in a Pod with a ServiceAccount token"
                    .to_owned(),
            ),
            Self::Request { source, .. } if matches!(**source, Cause::Certificate(_)) => Some(
                "the kubeconfig must have the authority of the server as certificate-authority-data, and the server must be the right one"
                    .to_owned(),
            ),
            Self::Request { .. } => match self.status() {
                Some(401) => Some("the token or certificate is not accepted: renew it".to_owned()),
                Some(403) => Some(
                    "give the user or ServiceAccount a Role that allows this; deploy/ has least-rights ones"
                        .to_owned(),
                ),
                _ => None,
            },
            // They end in a run's annotation, so they say it themselves.
            Self::LargeChildren { .. } | Self::UnlistedChildren { .. } => None,
        }
    }
}

/// Refusals that will be the same next time, unless somebody changes something.
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 409 | 410 | 429)
}

fn in_file(file: &Option<String>) -> String {
    file.as_ref()
        .map_or_else(String::new, |file| format!(" in {file}"))
}

impl From<kube::Error> for Cause {
    fn from(error: kube::Error) -> Self {
        let source: Box<dyn std::error::Error + Send + Sync> = match error {
            kube::Error::Api(status) => {
                return Self::Refused {
                    status: status.code,
                    reason: status.reason.clone(),
                    message: status.message.chars().take(500).collect(),
                };
            }
            kube::Error::SerdeError(error) => return Self::Answer(error.to_string()),
            kube::Error::FromUtf8(error) => return Self::Answer(error.to_string()),
            kube::Error::Service(error) => error,
            kube::Error::HyperError(error) => error.into(),
            kube::Error::ReadEvents(error) => error.into(),
            kube::Error::HttpError(error) => error.into(),
            kube::Error::BuildRequest(error) => error.into(),
            // All others are of kube's own ways to a cluster. Whoever prints a `kube::Error` has a printer of YAML in each program.
            _ => "kube gave up".into(),
        };
        match certificate_error(&*source) {
            Some(error) => Self::Certificate(error),
            None => Self::Transport(source),
        }
    }
}

/// What is wrong with the certificate, if that is behind the error. An `io::Error` does not give what it wraps as its source.
fn certificate_error(error: &(dyn std::error::Error + 'static)) -> Option<rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let found = wrapped
            .and_then(|wrapped| wrapped.downcast_ref::<rustls::Error>())
            .or_else(|| error.downcast_ref::<rustls::Error>());
        if let Some(found @ rustls::Error::InvalidCertificate(_)) = found {
            return Some(found.clone());
        }
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
        })
    }
}
