//! Why something signed was not witnessed.

use tekseal_core::signed::EvidenceError;
use tekseal_core::{Blame, Layout, PayloadKind, Subject};
use tekseal_remote::{log, store};
use tekseal_signing::witness::{AnswerError, Unloggable};
use tekseal_signing::{Rejection, certificate, public_key, random, timestamp};

use super::{AgainError, LARGEST_PROPOSAL};
use crate::Item;

/// Something that nobody can be asked without a trusted root.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoTrust {
    /// A log that does not tell its key.
    #[error("a log of Rekor v2 is believed by a trusted root alone, and none is given")]
    Log,
    /// Anybody could sign a time.
    #[error("a timestamp authority is believed by a trusted root alone, and none is given")]
    Timestamps,
}

/// Something that a layer under a tag has no room for.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoRoom {
    /// A layer shows the promise of a log, and logs of the second version make none.
    #[error("entries of Rekor v2 are for bundles, and the layout is {}", .0.name())]
    Proof(Layout),
    /// A layer has one annotation for each.
    #[error("{count} {of} are named, and a layer under a tag has room for the answer of one")]
    Several {
        /// How many.
        count: usize,
        /// Of what.
        of: &'static str,
    },
}

/// What could not be witnessed, and why. Nothing was stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot get a witness of the {what}")]
pub struct WitnessFailure {
    /// The item, for people.
    pub what: String,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why something was not witnessed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It is not signed by the key.
    #[error("it is not signed by the key")]
    Unsigned(#[source] Rejection),
    /// Its certificate is not valid now: no verifier would accept what a log or an authority says of it.
    #[error("the certificate of its key cannot be used any more")]
    Certificate(#[source] certificate::Error),
    /// Logs of this kind take no such signature.
    #[error(transparent)]
    Unloggable(#[from] Unloggable),
    /// More than a log is sent.
    #[error("what the log would be sent has {size} bytes, at most {LARGEST_PROPOSAL} are sent")]
    TooLarge {
        /// Its bytes.
        size: usize,
    },
    /// A log or an authority failed, or said no.
    #[error(transparent)]
    Remote(#[from] log::Error),
    /// A log of the second version has the entry, and it cannot be read there.
    #[error(
        "the transparency log {url} has this entry already, at index {index}, and it cannot be read there"
    )]
    Again {
        /// The log.
        url: String,
        /// The position that the log says it has.
        index: u64,
        /// Why not.
        source: AgainError,
    },
    /// The answer of a log is not the entry of this signature.
    #[error("what the transparency log {url} answered is not believed")]
    Answer {
        /// The log.
        url: String,
        /// Why not.
        source: AnswerError,
    },
    /// The key that a log tells.
    #[error("the transparency log {url} tells a key that cannot be used")]
    LogKey {
        /// The log.
        url: String,
        /// Why not.
        source: public_key::Error,
    },
    /// The answer of an authority is no timestamp of this.
    #[error("what the timestamp authority {url} answered is not believed")]
    Timestamp {
        /// The authority.
        url: String,
        /// Why not.
        source: timestamp::AnswerError,
    },
    /// Nothing to believe an authority by.
    #[error(transparent)]
    NoTrust(#[from] NoTrust),
    /// The system gave no random bytes.
    #[error(transparent)]
    Random(#[from] random::Error),
    /// The evidence does not fit in.
    #[error("the evidence cannot be stored with it")]
    Evidence(#[source] EvidenceError),
    /// What refers to the image already could not be looked at.
    #[error("cannot look whether it is there already")]
    Earlier(#[source] store::Error),
}

impl WitnessFailure {
    pub(super) fn of(item: &Item, cause: Cause) -> Box<Self> {
        let what = match &item.kind {
            PayloadKind::SimpleSigning => "image signature".to_owned(),
            PayloadKind::Statement { predicate_type, .. } => {
                format!("attestation of type {predicate_type}")
            }
        };
        let image = item.subjects.iter().find_map(Subject::image);
        let what = match image {
            Some(image) => format!("{what} of {image}"),
            None => what,
        };
        Box::new(Self { what, cause })
    }

    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match &self.cause {
            Cause::Unsigned(_) | Cause::Certificate(_) | Cause::TooLarge { .. } => Blame::Artifact,
            Cause::Unloggable(_) | Cause::NoTrust(_) | Cause::Evidence(_) => Blame::Setting,
            Cause::Remote(error) => error.blame(),
            Cause::Answer { source, .. } if source.is_of_trusted_root() => Blame::Setting,
            Cause::Again {
                source: AgainError::Remote(error),
                ..
            } if error.blame() != Blame::Outside => Blame::Artifact,
            Cause::Again {
                source: AgainError::Foreign,
                ..
            } => Blame::Setting,
            Cause::Timestamp { source, .. } if source.is_of_trusted_root() => Blame::Setting,
            Cause::Answer { .. }
            | Cause::Again { .. }
            | Cause::LogKey { .. }
            | Cause::Timestamp { .. }
            | Cause::Random(_) => Blame::Outside,
            Cause::Earlier(error) => error.blame(),
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let trusted = "the trusted root must have the log or the authority that is asked, and as one that is in use: `cosign trusted-root create` makes one";
        let clock = "the clock of this machine may be wrong, or that of the one that answered";
        match &self.cause {
            Cause::Again { .. } | Cause::Remote(log::Error::AlreadyLogged { .. }) => Some(
                "logs of the second version hand out an entry once; their static files (checkpoint, tile/…) must be at the same address, or the entry is as good as lost for whoever signs the same again with the same key"
                    .to_owned(),
            ),
            Cause::Remote(error) => error.hint(),
            Cause::Answer { source, .. } if source.is_of_trusted_root() => Some(trusted.to_owned()),
            Cause::Timestamp { source, .. } if source.is_of_trusted_root() => {
                Some(trusted.to_owned())
            }
            Cause::NoTrust(_) => Some(trusted.to_owned()),
            Cause::Answer {
                source: AnswerError::Time { .. },
                ..
            }
            | Cause::Timestamp {
                source: timestamp::AnswerError::Time { .. },
                ..
            } => Some(clock.to_owned()),
            Cause::Earlier(error) => error.hint(),
            Cause::TooLarge { .. } => {
                Some("sign it without a log, or with one of the second version, which is sent a digest".to_owned())
            }
            Cause::Certificate(_) => Some(
                "a certificate lives for minutes, and a log or a timestamp authority must see what it signed before it ends: sign again, and store at once"
                    .to_owned(),
            ),
            Cause::Unsigned(_)
            | Cause::Unloggable(_)
            | Cause::Answer { .. }
            | Cause::LogKey { .. }
            | Cause::Timestamp { .. }
            | Cause::Random(_)
            | Cause::Evidence(_) => None,
        }
    }
}
