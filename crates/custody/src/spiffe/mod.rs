//! Identity tokens of SPIFFE: an agent on this machine, such as SPIRE's, says who this process is, without any secret of its own.
//!
//! ```text
//!   Agent (a socket) ─ FetchJWTSVID(audience) ─ grpc ─▶ message ─▶ the first JWT-SVID, judged ─▶ Fulcio, or the login of Vault
//! ```
//!
//! Specifications: the Workload API (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md>), its endpoint
//! (<https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_Endpoint.md>) and JWT-SVID
//! (<https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md>). Of several identities the first is taken, the default one there, as cosign and Tekton
//! Chains do. Whether the agent's server signed a token is for whoever is shown it to say.

mod error;
mod grpc;
mod message;

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use tekseal_remote::rest::{Options, Tries};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

pub use self::error::Error;
use crate::token::{self, Audience, Moment};

/// Says where the socket is.
pub const SOCKET_VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";
/// Where SPIRE's agent has it unless it is told otherwise, and where cosign looks.
pub const DEFAULT_SOCKET: &str = "/tmp/spire-agent/public/api.sock";

const METHOD: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";
/// So that no page of a browser, and no proxy, can be made to ask.
const METADATA: [(&str, &str); 1] = [("workload.spiffe.io", "true")];
/// What an answer may have, in bytes: a token has some 800.
const MOST_ANSWER: usize = 256 * 1024;
/// How many entries of a folder are looked at.
const MOST_ENTRIES: usize = 1000;
/// The longest SPIFFE ID, in bytes, by its specification.
const LONGEST_ID: usize = 2048;

/// An agent of SPIFFE, asked each time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    path: PathBuf,
}

/// A token for one audience, which says who we are.
pub(crate) struct Svid {
    pub(crate) text: Zeroizing<String>,
    /// Whether it says who vouches, as OpenID Connect wants it and SPIFFE does not.
    pub(crate) has_issuer: bool,
}

/// The claims that are looked at.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: Moment,
    nbf: Option<Moment>,
    iss: Option<String>,
}

impl fmt::Debug for Svid {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Svid")
    }
}

impl Agent {
    /// The agent at an address: `unix:///run/agent.sock` as SPIFFE writes it, or a path as cosign does, which may be that of
    /// a folder with one socket. `name` is where it was set.
    pub(crate) fn at(name: &'static str, address: &str) -> Result<Self, Error> {
        let refuse = |reason| Err(Error::Address { name, reason });
        let path = match address.split_once(':') {
            Some(("unix", rest)) => {
                // A host and an escape are read in more ways than one.
                if rest.contains(['?', '#', '%']) {
                    return refuse("the address of a socket has no query, fragment or escape here");
                }
                match rest.strip_prefix("//") {
                    Some(rest) if rest.starts_with('/') => rest,
                    Some(_) => return refuse("after unix:// a path begins with another slash"),
                    None => rest,
                }
            }
            Some(("tcp", _)) => {
                return refuse(
                    "tcp is not supported: whoever is asked over a network cannot see which process asks",
                );
            }
            _ => address,
        };
        if !path.starts_with('/') {
            return refuse("it is no socket of this machine (unix:/// and an absolute path)");
        }
        Ok(Self { path: path.into() })
    }

    /// A token for this audience that is good now, fetched now. What may pass is waited for as the options say.
    pub(crate) async fn svid(&self, audience: &str, options: &Options) -> Result<Svid, Error> {
        let mut tries = Tries::new(options.tries, options.notice);
        loop {
            let outcome = timeout(options.timeout, self.ask(audience)).await;
            let error = match outcome {
                Ok(Ok(answer)) => {
                    let now = Timestamp::now().as_second();
                    return self.judge(&answer, audience, now);
                }
                Ok(Err(error)) => error,
                Err(_) => Error::Silent {
                    path: self.path.clone(),
                    after: options.timeout,
                },
            };
            let Some(wait) = error.passes_after() else {
                return Err(error);
            };
            if !tries.wait(&error, Some(wait)).await {
                return Err(error);
            }
        }
    }

    /// The socket, or the one in the folder: how it is called is the choice of whoever runs the agent.
    fn socket(&self) -> Result<PathBuf, Error> {
        if !self.path.is_dir() {
            return Ok(self.path.clone());
        }
        let failed = |source| Error::Connect {
            path: self.path.clone(),
            source,
        };
        let mut sockets = Vec::new();
        for entry in self.path.read_dir().map_err(failed)?.take(MOST_ENTRIES) {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_socket() {
                sockets.push(entry.path());
            }
        }
        match <[_; 1]>::try_from(sockets) {
            Ok([socket]) => Ok(socket),
            Err(sockets) => Err(Error::Folder {
                path: self.path.clone(),
                count: sockets.len(),
            }),
        }
    }

    async fn ask(&self, audience: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let path = || self.path.clone();
        let stream = UnixStream::connect(self.socket()?).await;
        let stream = stream.map_err(|source| Error::Connect {
            path: path(),
            source,
        })?;
        let request = message::request(audience);
        let answer = grpc::call(stream, METHOD, &METADATA, &request, MOST_ANSWER).await;
        answer.map_err(|failed| match failed {
            grpc::Failed::Protocol(found) => Error::Answer {
                path: path(),
                found,
            },
            grpc::Failed::Status { code, message } => {
                let detail = match message.is_empty() {
                    true => message,
                    false => format!(": {message}"),
                };
                let path = path();
                match code {
                    7 => Error::NoIdentity { path, detail },
                    _ => Error::Refused {
                        path,
                        code,
                        name: error::name_of(code),
                        detail,
                    },
                }
            }
        })
    }

    /// Takes the token out of an answer, if it can be good.
    fn judge(&self, answer: &[u8], audience: &str, now: i64) -> Result<Svid, Error> {
        let path = || self.path.clone();
        let found = |found: &str| Error::Answer {
            path: path(),
            found: found.to_owned(),
        };
        let first = message::first(answer).map_err(found)?;
        let first = first.ok_or_else(|| found("no identity"))?;
        let unusable = |error| Error::Token {
            path: path(),
            source: Box::new(error),
        };
        let claims: Claims = token::read(first.svid).map_err(unusable)?;
        token::check(&claims.aud, audience, &claims.exp, claims.nbf.as_ref(), now)
            .map_err(unusable)?;
        let is_id = first.spiffe_id.starts_with("spiffe://") && first.spiffe_id.len() <= LONGEST_ID;
        if !is_id || claims.sub != first.spiffe_id {
            return Err(Error::Subject {
                path: path(),
                subject: token::shown(&claims.sub),
                id: token::shown(first.spiffe_id),
            });
        }
        Ok(Svid {
            text: Zeroizing::new(first.svid.to_owned()),
            has_issuer: claims.iss.is_some_and(|issuer| !issuer.is_empty()),
        })
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent at {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_as_spiffe_or_as_cosign_does() {
        for good in ["unix:///run/a.sock", "unix:/run/a.sock", "/run/a.sock"] {
            let agent = Agent::at(SOCKET_VARIABLE, good).expect("good");
            assert_eq!(agent.path, PathBuf::from("/run/a.sock"), "{good}");
        }
        for (bad, wanted) in [
            ("tcp://127.0.0.1:8081", "tcp is not supported"),
            ("tcp:127.0.0.1", "tcp is not supported"),
            ("unix://run/a.sock", "another slash"),
            ("unix://", "another slash"),
            ("unix:a.sock", "no socket of this machine"),
            ("unix:", "no socket of this machine"),
            ("unix:///run/a.sock?x=y", "no query"),
            ("unix:///run/a%2Fsock", "no query, fragment or escape"),
            ("unix:///run/a.sock#x", "no query"),
            ("run/a.sock", "no socket of this machine"),
            ("npipe:pipe", "no socket of this machine"),
            ("https://example.com", "no socket of this machine"),
            ("", "no socket of this machine"),
        ] {
            let error = Agent::at(SOCKET_VARIABLE, bad).expect_err(bad);
            let said = error.to_string();
            assert!(
                said.starts_with("SPIFFE_ENDPOINT_SOCKET cannot be used: ")
                    && said.contains(wanted),
                "{bad}: {said}"
            );
        }
    }
}
