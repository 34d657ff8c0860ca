//! Why a SPIFFE agent gives no token.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_core::Blame;

use crate::token;

/// Why there is no JWT-SVID. No text holds one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What says where the socket is cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Address {
        /// The variable, or the key of the configuration.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A folder without a socket, or with several.
    #[error("the folder {} of the SPIFFE agent has {count} sockets, and must have one", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// There is no way to the agent.
    #[error("cannot connect to the SPIFFE agent at {}", path.display())]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not answer.
    #[error("the SPIFFE agent at {} did not answer within {} s", path.display(), after.as_secs_f32())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// It answers something else.
    #[error("the SPIFFE agent at {} answered with {found} instead of a token", path.display())]
    Answer {
        /// Its socket.
        path: PathBuf,
        /// What came.
        found: String,
    },
    /// It knows no identity of this process.
    #[error("the SPIFFE agent at {} has no identity for this process: PermissionDenied{detail}", path.display())]
    NoIdentity {
        /// Its socket.
        path: PathBuf,
        /// What it says, after a colon.
        detail: String,
    },
    /// It says no.
    #[error("the SPIFFE agent at {} refused a token: {name}{detail}", path.display())]
    Refused {
        /// Its socket.
        path: PathBuf,
        /// The code of gRPC.
        code: u32,
        /// Its name.
        name: &'static str,
        /// What it says, after a colon.
        detail: String,
    },
    /// What it gives is no token for us.
    #[error("the SPIFFE agent at {} gave a token that cannot be used", path.display())]
    Token {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: Box<token::Error>,
    },
    /// It gives a token of somebody else than it says.
    #[error("the SPIFFE agent at {} gave a token of {subject:?} for the identity {id:?}, which must be one SPIFFE ID", path.display())]
    Subject {
        /// Its socket.
        path: PathBuf,
        /// Whose it is.
        subject: String,
        /// Whose it should be.
        id: String,
    },
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        use std::io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
        match self {
            Self::Address { .. } | Self::Folder { .. } | Self::NoIdentity { .. } => Blame::Setting,
            Self::Connect { source, .. } => match source.kind() {
                NotFound | PermissionDenied | InvalidInput => Blame::Setting,
                _ => Blame::Outside,
            },
            Self::Refused { code, .. } => match code {
                // InvalidArgument, Unauthenticated, Unimplemented: asking again changes nothing.
                3 | 12 | 16 => Blame::Setting,
                _ => Blame::Outside,
            },
            Self::Silent { .. }
            | Self::Answer { .. }
            | Self::Token { .. }
            | Self::Subject { .. } => Blame::Outside,
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Address { .. } => {
                "it is the socket of the agent, as unix:///run/spire/agent.sock"
            }
            Self::Connect { .. } if self.blame() == Blame::Setting => {
                "in a Pod the driver csi.spiffe.io mounts the socket of the agent (docs/keyless.md); SPIFFE_ENDPOINT_SOCKET says where it is"
            }
            Self::NoIdentity { .. } => {
                "make a registration entry whose selectors this process meets, or wait until the agent knows it, which takes seconds (spire-server entry show)"
            }
            Self::Refused { code: 12, .. } => {
                "the socket may be another one of SPIRE than that for workloads"
            }
            Self::Folder { .. }
            | Self::Connect { .. }
            | Self::Silent { .. }
            | Self::Answer { .. }
            | Self::Refused { .. }
            | Self::Token { .. }
            | Self::Subject { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether it may be otherwise soon: how long it takes at the least.
    pub(super) fn passes_after(&self) -> Option<Duration> {
        match self {
            // SPIRE's server looks for new entries every five seconds, and so does its agent.
            Self::NoIdentity { .. } => Some(Duration::from_secs(4)),
            // ResourceExhausted, Unavailable.
            Self::Refused { code: 8 | 14, .. } => Some(Duration::ZERO),
            Self::Connect { .. } => (self.blame() == Blame::Outside).then_some(Duration::ZERO),
            Self::Address { .. }
            | Self::Folder { .. }
            | Self::Silent { .. }
            | Self::Answer { .. }
            | Self::Refused { .. }
            | Self::Token { .. }
            | Self::Subject { .. } => None,
        }
    }
}

/// The name of a code of gRPC.
pub(super) fn name_of(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let at = usize::try_from(code).unwrap_or(usize::MAX);
    NAMES
        .get(at)
        .copied()
        .unwrap_or("a code that gRPC does not have")
}
