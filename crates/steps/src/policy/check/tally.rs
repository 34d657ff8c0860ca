//! How many images passed, what to end with, and what follows in a pipeline is told: the results VERIFIED, IMAGE_REF and TEST_OUTPUT, as of
//! `tekseal-verify`.

use anyhow::anyhow;
use jiff::Timestamp;

use super::outcome::{Outcome, Verdict};
use crate::Failure;
use crate::results::Results;
use crate::verify;

/// Where to look when an image does not pass.
const WHAT_FAILED: &str = "each line with FAIL, or each of `checks` that has not passed, says what was found and what is wanted";
/// Where to look when an image could not be judged.
const WHAT_HINDERED: &str = "why stands on its line with ????, or as `error`: it may be good or not, and can be checked again";

/// How many images passed. Each manifest that an index stands for is one.
#[derive(Default)]
pub(super) struct Tally {
    /// How many images that were asked for are done.
    pub(super) done: usize,
    /// The first of them.
    pub(super) first: Option<String>,
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// Which was the first that failed.
    pub(super) first_failed: Option<String>,
    pub(super) unjudged: usize,
    /// Which was the first that could not be judged, and why.
    pub(super) first_unjudged: Option<(String, Failure)>,
}

impl Tally {
    /// Begins with the outcomes of an image that was asked for.
    pub(super) fn begin(&mut self, image: String) {
        self.done += 1;
        self.first.get_or_insert(image);
    }

    pub(super) fn count(&mut self, outcome: &Outcome) {
        match &outcome.verdict {
            Verdict::Judged(answers) if answers.iter().all(|answer| answer.passed) => {
                self.passed += 1;
            }
            Verdict::Judged(_) => {
                self.failed += 1;
                self.first_failed
                    .get_or_insert_with(|| outcome.name.clone());
            }
            Verdict::Unjudged(failure) => {
                self.unjudged += 1;
                self.first_unjudged
                    .get_or_insert_with(|| (outcome.name.clone(), failure.again()));
            }
        }
    }

    pub(super) fn all(&self) -> usize {
        self.passed + self.failed + self.unjudged
    }

    /// Sets the results; none where some image could not be judged and none is known not to pass: nothing is known then.
    pub(super) fn tell(&self, results: &mut Results, now: Timestamp) {
        if self.failed == 0 && self.unjudged > 0 {
            return;
        }
        let passes = self.failed == 0;
        results.set("VERIFIED", if passes { "true" } else { "false" });
        let image = self.first.clone().filter(|_| passes);
        results.set("IMAGE_REF", image.unwrap_or_default());
        let note = match (&self.first_failed, self.all()) {
            (Some(name), 1) => format!("does not pass: {name}"),
            (Some(name), all) => format!(
                "{} of {all} images do not pass, the first is {name}",
                self.failed
            ),
            (None, 1) => format!("passes: {}", self.first.as_deref().unwrap_or_default()),
            (None, all) => format!("{all} images pass"),
        };
        let summary = verify::summary(&note, self.passed, self.failed, now);
        results.set("TEST_OUTPUT", summary);
    }

    /// «No» is an answer, whatever else could not be judged. What was found, or why nothing was, is printed already.
    pub(super) fn into_failure(self) -> Option<Failure> {
        let all = self.all();
        if let Some(name) = self.first_failed {
            let error = match all {
                1 => anyhow!("image {name} does not pass"),
                _ => anyhow!(
                    "{} of {all} images do not pass, the first is {name}",
                    self.failed
                ),
            };
            return Some(Failure::no(error).hint(WHAT_FAILED));
        }
        let (name, failure) = self.first_unjudged?;
        let error = match all {
            1 => anyhow!("image {name} could not be judged"),
            _ => anyhow!(
                "{} of {all} images could not be judged, the first is {name}",
                self.unjudged
            ),
        };
        Some(failure.told_elsewhere(error).hint(WHAT_HINDERED))
    }
}
