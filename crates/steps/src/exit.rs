//! Exit codes, and how a failure is told to people: the only place that turns an error into a status and into text.
//!
//! | exit | meaning | what a Task author does |
//! |---|---|---|
//! | 0 | done; for `verify`: verified | go on |
//! | 1 | the tool did its work and the answer is no: not signed, wrong key, build failed, run not completed | look at the artifact |
//! | 2 | misuse: bad flag, bad config, unreadable key, malformed input, wrong credentials | change the YAML |
//! | 3 | the outside failed: registry or API server down, time-out, full disk | `retries:` helps |
//! | 130, 143 | ended by SIGINT, SIGTERM | |

use std::fmt::Display;
use std::process::ExitCode;

use tekseal_attest::witness::WitnessFailure;
use tekseal_core::one_line::causes;
use tekseal_remote::registry::{self, Blame};
use tekseal_remote::{service, store};

/// The tool did its work and the answer is no.
pub const NO: u8 = 1;
/// Somebody must change something: flags, configuration, keys, credentials.
pub const MISUSE: u8 = 2;
/// The outside failed; trying again later may help.
pub const OUTSIDE: u8 = 3;
/// Ended by SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: u8 = 143;

/// A failure with its exit code and hints. The error chain is printed on one line, each hint on a line of its own.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
    hints: Vec<String>,
}

impl Failure {
    /// Exit 1: the answer is no.
    pub fn no(error: impl Into<anyhow::Error>) -> Self {
        Self::with_code(NO, error)
    }

    /// Exit 2: somebody must change something.
    pub fn misuse(error: impl Into<anyhow::Error>) -> Self {
        Self::with_code(MISUSE, error)
    }

    /// Exit 3: the outside failed.
    pub fn outside(error: impl Into<anyhow::Error>) -> Self {
        Self::with_code(OUTSIDE, error)
    }

    /// A file that could not be written: exit 2 when the path is wrong, else 3, since another try with more room may work.
    /// The text is the system's alone, without the name of a temporary file.
    pub fn of_writing(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{AlreadyExists, IsADirectory, NotADirectory, NotFound};
        let kind = error.kind();
        let code = if matches!(
            kind,
            NotFound | NotADirectory | IsADirectory | AlreadyExists
        ) {
            MISUSE
        } else {
            OUTSIDE
        };
        Self::with_code(code, std::io::Error::from(kind))
    }

    /// A failure with this exit code.
    pub fn with_code(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// A failure of talking to a registry or a cluster: who must act decides the code.
    pub fn blamed(blame: Blame, error: impl Into<anyhow::Error>) -> Self {
        let code = match blame {
            Blame::Artifact => NO,
            Blame::Setting => MISUSE,
            Blame::Outside => OUTSIDE,
        };
        Self::with_code(code, error)
    }

    /// Says what was being done when it failed.
    #[must_use]
    pub fn context(mut self, what: impl Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(what);
        self
    }

    /// Adds the next action.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with each hint said otherwise: flags have other names in another program.
    #[must_use]
    pub(crate) fn hinting(mut self, reworded: impl Fn(String) -> String) -> Self {
        self.hints = self.hints.into_iter().map(reworded).collect();
        self
    }

    /// Adds the next action, where one is known.
    #[must_use]
    pub(crate) fn hints(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    /// The same text, code and hints once more, without what caused it.
    #[must_use]
    pub(crate) fn again(&self) -> Self {
        Self {
            code: self.code,
            error: anyhow::anyhow!(self.message()),
            hints: self.hints.clone(),
        }
    }

    /// Another text with the same code and hints, where this one is told elsewhere.
    #[must_use]
    pub(crate) fn told_elsewhere(&self, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code: self.code,
            error: error.into(),
            hints: self.hints.clone(),
        }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The error chain on one line.
    #[must_use]
    pub fn message(&self) -> String {
        one_line(&format!("{:#}", self.error))
    }

    /// Prints the error chain and the hints to stderr and gives the exit code.
    #[must_use]
    pub fn report(&self, tool: &str) -> ExitCode {
        eprintln!("{tool}: error: {}", self.message());
        for hint in &self.hints {
            eprintln!("{tool}: hint: {}", one_line(hint));
        }
        ExitCode::from(self.code)
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

impl From<store::walk::Error> for Failure {
    fn from(error: store::walk::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

impl From<Box<WitnessFailure>> for Failure {
    fn from(failure: Box<WitnessFailure>) -> Self {
        let (blame, hint) = (failure.blame(), failure.hint());
        Self::blamed(blame, *failure).hints(hint)
    }
}

impl From<tekseal_cluster::Error> for Failure {
    fn from(error: tekseal_cluster::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

/// The longest line of error text, in characters: much of it may come from outside.
const MOST_TEXT: usize = 4096;

/// An error and what caused it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    causes(error, MOST_TEXT)
}

/// Control characters could forge log lines or move a terminal's cursor; much of an error's text comes from outside.
fn one_line(text: &str) -> String {
    tekseal_core::one_line::one_line(text, MOST_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_from_outside_cannot_forge_a_line() {
        let failure = Failure::no(anyhow::anyhow!("bad\ntekseal-verify: verified\u{1b}[2J"))
            .context("reading x");
        assert_eq!(
            failure.message(),
            "reading x: bad tekseal-verify: verified [2J"
        );
    }
}
