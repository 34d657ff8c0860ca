//! What came of one image: an answer to each rule, or why there is none.

use std::sync::Arc;

use serde::Serialize;
use tekseal_core::policy::{Check, Judged, Quantifier, Rules};

use crate::verify::{AttestationReport, Examined, Found, SignatureReport};
use crate::{Failure, exit};

/// What is asked of each image.
pub(super) struct Asked {
    pub(super) rules: Arc<Rules>,
}

/// What came of one image.
pub(super) struct Outcome {
    /// The image, by digest where that is known.
    pub(super) name: String,
    /// As it was given.
    pub(super) given: String,
    /// The index that stands for it, where it is not the image itself.
    pub(super) index: Option<String>,
    /// For which platform the index lists it, by the index's own word.
    pub(super) platform: Option<String>,
    pub(super) verdict: Verdict,
}

/// The answers, or why there are none.
pub(super) enum Verdict {
    /// An answer to each rule.
    Judged(Vec<Answer>),
    /// Not enough could be read to say yes or no.
    Unjudged(Failure),
}

/// The answer to one rule.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// Which rule.
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) found: String,
    pub(super) wanted: String,
    /// Where in the statement.
    #[serde(rename = "where", skip_serializing_if = "String::is_empty")]
    pub(super) path: String,
    /// The tag or the referrer that holds the statement.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) place: String,
    /// Digest of its layer there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) layer: String,
    /// How many signatures or statements it was asked of.
    pub(super) statements: usize,
    /// How many of them do not satisfy it.
    pub(super) failing: usize,
}

impl Answer {
    /// A signature or an attestation that is not there, or nothing that it could be of.
    fn no(name: &'static str, found: String, wanted: &str) -> Self {
        Self {
            name,
            passed: false,
            found,
            wanted: wanted.to_owned(),
            path: String::new(),
            place: String::new(),
            layer: String::new(),
            statements: 0,
            failing: 0,
        }
    }

    /// The first of those that are there, and how many there are.
    fn yes(name: &'static str, signer: String, wanted: &str, found: &Found, count: usize) -> Self {
        Self {
            passed: true,
            place: found.place(),
            layer: found.layer.clone(),
            statements: count,
            ..Self::no(name, format!("by {signer}"), wanted)
        }
    }

    fn of(check: Check, attestations: &[AttestationReport]) -> Self {
        let held = check.statement.and_then(|at| attestations.get(at));
        let held = held.map(AttestationReport::found);
        Self {
            name: check.name,
            passed: check.passed,
            found: check.found,
            wanted: check.wanted,
            path: check.path,
            place: held.map(Found::place).unwrap_or_default(),
            layer: held.map(|held| held.layer.clone()).unwrap_or_default(),
            statements: check.statements,
            failing: check.failing,
        }
    }
}

impl Asked {
    /// The answers for an image, of which this was found.
    pub(super) fn conclude(&self, examined: Examined) -> Verdict {
        let Examined {
            signatures,
            attestations,
            missed,
        } = examined;
        let mut answers = Vec::new();
        if let Some(signatures) = signatures {
            match of_signatures(signatures) {
                Ok(answer) => answers.push(answer),
                Err(failure) => return Verdict::Unjudged(failure),
            }
        }
        let Some(attestations) = attestations else {
            return Verdict::Judged(answers);
        };
        let attestations = match attestations {
            Ok(attestations) => {
                answers.extend(of_attestations(&attestations));
                attestations
            }
            Err(failure) if failure.code() == exit::NO => {
                answers.push(Answer::no("attestation", failure.message(), ATTESTED));
                Vec::new()
            }
            Err(failure) => return Verdict::Unjudged(failure),
        };
        let judged: Vec<Judged> = attestations
            .iter()
            .filter_map(|attestation| attestation.judged.clone())
            .collect();
        let checks = self.rules.conclude(&judged).into_iter();
        answers.extend(checks.map(|check| Answer::of(check, &attestations)));
        match missed {
            Some(missed) => self.without(missed, answers),
            None => Verdict::Judged(answers),
        }
    }

    /// The same where attestations may be there that were not looked at. They could add what is not there, and one of them could be that which does not
    /// satisfy a rule that all must satisfy; only what is found wrong already stays so.
    fn without(&self, missed: Failure, mut answers: Vec<Answer>) -> Verdict {
        let asks_all = self.rules.asks_for_provenance() && self.rules.quantifier == Quantifier::All;
        let passes = answers.iter().all(|answer| answer.passed);
        if passes && !asks_all {
            return Verdict::Judged(answers);
        }
        let is_certain = |answer: &Answer| {
            !answer.passed && (answer.name == "signature" || asks_all && answer.failing > 0)
        };
        if missed.code() != exit::NO && !answers.iter().any(is_certain) {
            return Verdict::Unjudged(missed.context("not all attestations could be read"));
        }
        answers.push(Answer::no(
            "completeness",
            missed.message(),
            "all attestations read",
        ));
        Verdict::Judged(answers)
    }
}

impl Verdict {
    /// There is no such image.
    pub(super) fn absent(failure: &Failure) -> Self {
        let answer = Answer::no("image", failure.message(), "an image that is there");
        Self::Judged(vec![answer])
    }
}

const SIGNED: &str = "a valid signature";
const ATTESTED: &str = "a valid attestation";

fn of_signatures(signatures: Result<Vec<SignatureReport>, Failure>) -> Result<Answer, Failure> {
    match signatures {
        Ok(signatures) => Ok(match signatures.first() {
            Some(first) => {
                let count = signatures.len();
                Answer::yes("signature", first.signer(), SIGNED, first.found(), count)
            }
            None => Answer::no("signature", "nothing".to_owned(), SIGNED),
        }),
        Err(failure) if failure.code() == exit::NO => {
            Ok(Answer::no("signature", failure.message(), SIGNED))
        }
        Err(failure) => Err(failure),
    }
}

fn of_attestations(attestations: &[AttestationReport]) -> Option<Answer> {
    let first = attestations.first()?;
    let count = attestations.len();
    Some(Answer::yes(
        "attestation",
        first.signer(),
        ATTESTED,
        first.found(),
        count,
    ))
}
