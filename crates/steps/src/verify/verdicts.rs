//! What came of verifying several images, and how it is told to what follows in a pipeline: the results VERIFIED, IMAGE_REF and TEST_OUTPUT.
//!
//! IMAGE_REF is the first image as it was verified, by digest, and empty unless all passed: what is deployed is best this, so that it can be
//! nothing else.
//!
//! TEST_OUTPUT is the summary that tasks of Konflux and Conforma give, which their tools gather: the members and values of
//! <https://github.com/konflux-ci/konflux-test> (`make_result_json`) and <https://github.com/conforma/cli> (`TestReport`), with Conforma's
//! seconds since 1970 as the time, which both read.

use jiff::Timestamp;
use serde::Serialize;

use super::Report;
use crate::results::Results;
use crate::{Failure, exit, log};

/// How long the note may be, in bytes before it is escaped: so TEST_OUTPUT stays below 1 KiB.
const MOST_NOTE: usize = 400;

/// The verdicts on all images.
#[derive(Default)]
pub(super) struct Verdicts {
    /// The first image by digest, once that is known.
    first: Option<String>,
    /// What was verified.
    pub(super) reports: Vec<Report>,
    /// Why others are not: the answer is no.
    pub(super) refusals: Vec<Failure>,
}

/// The names of the members are those of the JSON, in the order in which Konflux writes them.
#[derive(Serialize)]
struct TestOutput<'a> {
    result: &'static str,
    timestamp: String,
    note: &'a str,
    /// Of a policy; there is none.
    namespace: &'static str,
    successes: usize,
    failures: usize,
    warnings: usize,
}

impl Verdicts {
    /// Takes the verdicts on one image, or on all manifests that it stands for.
    ///
    /// # Errors
    /// The first that is no answer, unless the answer is no already.
    pub(super) fn take(
        &mut self,
        image: &str,
        judged: Vec<Result<Report, Failure>>,
    ) -> Result<(), Failure> {
        self.first.get_or_insert_with(|| image.to_owned());
        let mut unchecked = Vec::new();
        for verdict in judged {
            match verdict {
                Ok(report) => self.reports.push(report),
                Err(failure) if failure.code() == exit::NO => self.refusals.push(failure),
                Err(failure) => unchecked.push(failure),
            }
        }
        let mut unchecked = unchecked.into_iter().peekable();
        let first = unchecked.next_if(|_| self.refusals.is_empty());
        for failure in unchecked {
            log::warn("not checked", &[("reason", &failure.message())]);
        }
        first.map_or(Ok(()), Err)
    }

    /// Takes the reason why an image could not even be looked at.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn take_failure(&mut self, failure: Failure) -> Result<(), Failure> {
        if failure.code() == exit::NO {
            self.refusals.push(failure);
            return Ok(());
        }
        if self.refusals.is_empty() {
            return Err(failure);
        }
        log::warn("not checked", &[("reason", &failure.message())]);
        Ok(())
    }

    /// Sets the results. An error of the outside has none: what is not known is neither verified nor not.
    pub(super) fn tell(&self, results: &mut Results, now: Timestamp) {
        let is_verified = self.refusals.is_empty();
        results.set("VERIFIED", if is_verified { "true" } else { "false" });
        let image = self.first.as_ref().filter(|_| is_verified);
        let image = image.cloned().unwrap_or_default();
        results.set("IMAGE_REF", image);
        results.set("TEST_OUTPUT", self.test_output(now));
    }

    /// The first refusal, with the others told before, and which passed; nothing where all images are verified.
    pub(super) fn refusal(self) -> Option<Failure> {
        let mut refusals = self.refusals.into_iter();
        let first = refusals.next();
        for passed in self.reports.iter().filter(|_| first.is_some()) {
            let platform = passed.platform.as_deref().unwrap_or_default();
            let pairs: [(&str, &dyn std::fmt::Display); 2] =
                [("image", &passed.image), ("platform", &platform)];
            let known = if platform.is_empty() { 1 } else { 2 };
            log::info("passed", &pairs[..known]);
        }
        for other in refusals {
            log::warn("not verified", &[("reason", &other.message())]);
        }
        first
    }

    fn test_output(&self, now: Timestamp) -> String {
        let note = self.note();
        summary(&note, self.reports.len(), self.refusals.len(), now)
    }

    fn note(&self) -> String {
        match &self.refusals[..] {
            [] => match &self.reports[..] {
                [one] => format!("verified: {}", one.image),
                all => format!("verified: {} images", all.len()),
            },
            [one] => one.message(),
            [first, others @ ..] => format!("{} (and {} more)", first.message(), others.len()),
        }
    }
}

/// The result TEST_OUTPUT: of so many images that passed and so many that did not.
pub(crate) fn summary(note: &str, successes: usize, failures: usize, now: Timestamp) -> String {
    let output = TestOutput {
        result: match failures {
            0 => "SUCCESS",
            _ => "FAILURE",
        },
        timestamp: now.as_second().to_string(),
        note: &note[..note.floor_char_boundary(MOST_NOTE)],
        namespace: "",
        successes,
        failures,
        warnings: 0,
    };
    serde_json::to_string(&output).expect("texts and numbers can be written")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn output(refusals: &[&str]) -> String {
        let verdicts = Verdicts {
            first: None,
            reports: Vec::new(),
            refusals: refusals
                .iter()
                .map(|text| Failure::no(anyhow!("{text}")))
                .collect(),
        };
        verdicts.test_output(Timestamp::from_second(1_772_359_500).expect("a time"))
    }

    #[test]
    fn the_summary_has_the_shape_that_konflux_reads() {
        assert_eq!(
            output(&["no signature found", "no attestation found"]),
            r#"{"result":"FAILURE","timestamp":"1772359500","note":"no signature found (and 1 more)","namespace":"","successes":0,"failures":2,"warnings":0}"#
        );
    }

    #[test]
    fn whatever_is_to_be_told_the_summary_is_short_and_one_line() {
        for text in ["\"", "\\", "ü", "\u{1b}\n\u{202e}"] {
            let said = output(&[&text.repeat(1000)]);
            assert!(said.len() <= 1024, "{}", said.len());
            assert!(!said.contains(['\u{1b}', '\n', '\u{202e}']), "{said}");
        }
    }
}
