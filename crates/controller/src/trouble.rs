//! What keeps a run from being signed, and whether waiting helps.

use std::error::Error;

use tekseal_attest::witness::{Cause, WitnessFailure};
use tekseal_core::Blame;
use tekseal_core::one_line::{causes, one_line};
use tekseal_core::redact::Redacted;
use tekseal_signing::signer::SignError;

/// Where it failed, as Chains' counters name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Making the payloads.
    Payload,
    /// Signing.
    Signing,
    /// Having it logged and timestamped.
    Log,
    /// Storing.
    Storage,
}

/// What keeps a run from being signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may pass: another try later.
    Passing {
        /// Where it failed.
        stage: Stage,
        /// Why, for people.
        reason: String,
    },
    /// It will be the same next time.
    Last {
        /// Where it failed.
        stage: Stage,
        /// Why, for people.
        reason: String,
    },
    /// Nothing of the run is at fault: the controller cannot sign before somebody changes something.
    Blocked(String),
    /// Children of a PipelineRun that are not done yet.
    Children(Vec<String>),
    /// The run is gone, or another of its name is there.
    Gone,
}

impl Trouble {
    /// Trouble that stays.
    pub(crate) fn last(stage: Stage, error: &dyn Error) -> Self {
        Self::last_text(stage, chain(error))
    }

    /// Trouble that stays, in words.
    pub(crate) fn last_text(stage: Stage, reason: String) -> Self {
        Self::Last { stage, reason }
    }

    /// The same trouble, told without the values that were redacted.
    pub(crate) fn hide(self, redacted: &Redacted) -> Self {
        match self {
            Self::Passing { stage, reason } => Self::Passing {
                stage,
                reason: redacted.hide(&reason).into_owned(),
            },
            Self::Last { stage, reason } => Self::Last {
                stage,
                reason: redacted.hide(&reason).into_owned(),
            },
            Self::Blocked(_) | Self::Children(_) | Self::Gone => self,
        }
    }

    /// Trouble with the API server: whatever it is, the run is not at fault.
    pub(crate) fn of_cluster(error: &tekseal_cluster::Error) -> Self {
        Self::Passing {
            stage: Stage::Storage,
            reason: chain(error),
        }
    }

    /// Trouble with a transparency log or a timestamp authority. Their keys and their addresses can be mended without another run.
    pub(crate) fn of_witness(failure: &WitnessFailure) -> Self {
        let (stage, reason) = (Stage::Log, with_hint(failure, failure.hint().as_deref()));
        // What a log has already and does not hand out may yet be read in its files.
        let is_of_log = matches!(failure.cause, Cause::Again { .. } | Cause::Remote(_));
        match failure.blame() {
            Blame::Artifact if !is_of_log => Self::Last { stage, reason },
            Blame::Artifact | Blame::Setting | Blame::Outside => Self::Passing { stage, reason },
        }
    }

    /// Trouble with a key. Where whoever holds it gives no signature, no run is at fault, and none is given up for it.
    pub(crate) fn of_signing(error: &SignError) -> Self {
        let (stage, reason) = (Stage::Signing, chain(error));
        if matches!(error, SignError::Remote { .. }) {
            return Self::Blocked(reason);
        }
        match error.blame() {
            Blame::Artifact => Self::Last { stage, reason },
            Blame::Setting | Blame::Outside => Self::Passing { stage, reason },
        }
    }

    /// Trouble with a registry. Credentials and permissions can be mended without another run, so they are waited for; what the registry
    /// says about the artifact itself is final.
    pub(crate) fn of_registry(blame: Blame, error: &dyn Error) -> Self {
        let (stage, reason) = (Stage::Storage, chain(error));
        match blame {
            Blame::Artifact => Self::Last { stage, reason },
            Blame::Setting | Blame::Outside => Self::Passing { stage, reason },
        }
    }
}

/// The longest reason, in characters.
const MOST: usize = 800;

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    causes(error, MOST)
}

/// The same, and what people can do about it.
pub(crate) fn with_hint(error: &dyn Error, hint: Option<&str>) -> String {
    let reason = chain(error);
    match hint {
        Some(hint) => clean(&format!("{reason} ({hint})")),
        None => reason,
    }
}

/// A text for people: one line, not endless.
pub(crate) fn clean(text: &str) -> String {
    one_line(text, MOST)
}

#[cfg(test)]
mod tests {
    use tekseal_attest::witness::NoTrust;
    use tekseal_remote::log;
    use tekseal_signing::RemoteError;
    use tekseal_signing::witness::AnswerError;

    use super::*;

    #[test]
    fn no_run_is_given_up_while_whoever_holds_the_key_does_not_sign() {
        for blame in [Blame::Setting, Blame::Outside] {
            let error = SignError::Remote {
                reference: "hashivault://k".to_owned(),
                source: RemoteError::new(blame, "Vault is sealed"),
            };
            let trouble = Trouble::of_signing(&error);
            let told = "cannot sign with hashivault://k: Vault is sealed";
            assert!(
                matches!(&trouble, Trouble::Blocked(reason) if reason == told),
                "{trouble:?}"
            );
        }
    }

    /// What a log of the second version has already may be read in its files later, and its keys and addresses can be mended: nothing of that is the
    /// run's fault. What is too large stays too large.
    #[test]
    fn trouble_with_logs_passes_unless_it_is_of_what_is_logged() {
        let url = || "https://log.example".to_owned();
        let already = |index| log::Error::AlreadyLogged { url: url(), index };
        let unknown = AnswerError::UnknownLog {
            log_id: "ab".to_owned(),
        };
        let cases = [
            (Cause::Remote(already(None)), true),
            (Cause::Remote(already(Some(7))), true),
            (
                Cause::Answer {
                    url: url(),
                    source: unknown,
                },
                true,
            ),
            (Cause::NoTrust(NoTrust::Log), true),
            (Cause::TooLarge { size: 1 << 30 }, false),
        ];
        for (cause, passes) in cases {
            let failure = WitnessFailure {
                what: "image signature".to_owned(),
                cause,
            };
            let trouble = Trouble::of_witness(&failure);
            match &trouble {
                Trouble::Passing { stage, .. } if passes => assert_eq!(*stage, Stage::Log),
                Trouble::Last { stage, .. } if !passes => assert_eq!(*stage, Stage::Log),
                other => panic!("{failure:?}: {other:?}"),
            }
        }
    }
}
