//! The answers as people and programs read them. Text is printed image by image; JSON is one document, printed when all are judged.
//!
//! | status | |
//! |---|---|
//! | `pass`, `FAIL` | an answer to a rule, in the last line of an image to all of them, and in the last of all to all images |
//! | `????` | the image could not be judged; in the last of all: some could not, and the others pass |
//!
//! Of several images, and of an index that stands for what it lists, each is named before its rules too.

use std::io::Write as _;

use serde::Serialize;

use super::line::line;
use super::outcome::{Answer, Outcome, Verdict};
use super::tally::Tally;
use crate::Failure;
use crate::log::quoted;
use crate::output::Output;

/// Prints the outcomes.
pub(super) enum Printer {
    /// With the name of each image before its rules, or without.
    Text {
        is_headed: bool,
    },
    Json(Vec<ImageReport>),
}

#[derive(Serialize)]
pub(super) struct ImageReport {
    image: String,
    /// The name as it was given.
    given: String,
    /// The index that stands for it, where it is not the image itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    /// For which platform the index lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// Nothing where it could not be judged.
    passed: Option<bool>,
    checks: Vec<Answer>,
    /// Why it could not be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct AllReport<'a> {
    images: &'a [ImageReport],
    passed: usize,
    failed: usize,
    unjudged: usize,
}

impl Printer {
    /// For one image, or, headed, for several.
    pub(super) fn new(output: Output, is_headed: bool) -> Self {
        match output {
            Output::Text => Self::Text { is_headed },
            Output::Json => Self::Json(Vec::new()),
        }
    }

    pub(super) fn take(&mut self, outcome: Outcome) -> Result<(), Failure> {
        match self {
            Self::Text { is_headed } => {
                if *is_headed && matches!(outcome.verdict, Verdict::Judged(_)) {
                    write(head(&outcome).as_bytes())?;
                }
                write(text(&outcome).as_bytes())
            }
            Self::Json(reports) => {
                reports.push(report(outcome));
                Ok(())
            }
        }
    }

    pub(super) fn end(self, tally: &Tally) -> Result<(), Failure> {
        match self {
            Self::Text { is_headed: false } => Ok(()),
            Self::Text { is_headed: true } => write(total(tally).as_bytes()),
            Self::Json(images) => {
                let all = AllReport {
                    images: &images,
                    passed: tally.passed,
                    failed: tally.failed,
                    unjudged: tally.unjudged,
                };
                let mut bytes = serde_json::to_vec(&all).map_err(Failure::outside)?;
                bytes.push(b'\n');
                write(&bytes)
            }
        }
    }
}

/// What stands in the place of `pass` and `FAIL` where neither is said.
const UNJUDGED: &str = "????";

pub(super) fn status(passed: bool) -> &'static str {
    if passed { "pass" } else { "FAIL" }
}

/// `FAIL  1 of 3 images passes`
fn total(tally: &Tally) -> String {
    let (passed, all) = (tally.passed, tally.all());
    let status = match (tally.failed, tally.unjudged) {
        (0, 0) => status(true),
        (0, _) => UNJUDGED,
        _ => status(false),
    };
    let verb = if passed == 1 { "passes" } else { "pass" };
    let unjudged = match tally.unjudged {
        0 => String::new(),
        count => format!(", {count} not judged"),
    };
    format!("{status}  {passed} of {all} images {verb}{unjudged}\n")
}

fn text(outcome: &Outcome) -> String {
    let name = quoted(&outcome.name);
    match &outcome.verdict {
        Verdict::Unjudged(failure) => {
            format!("{UNJUDGED}  {name}  not judged: {}\n", failure.message())
        }
        Verdict::Judged(answers) => {
            let mut text: String = answers.iter().map(line).collect();
            let passed = answers.iter().filter(|answer| answer.passed).count();
            let all = answers.len();
            let status = status(passed == all);
            text.push_str(&format!("{status}  {name}  {passed} of {all} checks\n"));
            text
        }
    }
}

/// `image NAME platform=linux/amd64`
fn head(outcome: &Outcome) -> String {
    let platform = outcome.platform.as_deref();
    let platform = platform.map_or_else(String::new, |text| format!(" platform={}", quoted(text)));
    format!("image {}{platform}\n", quoted(&outcome.name))
}

fn report(outcome: Outcome) -> ImageReport {
    let Outcome {
        name: image,
        given,
        index,
        platform,
        verdict,
    } = outcome;
    match verdict {
        Verdict::Judged(checks) => ImageReport {
            image,
            given,
            index,
            platform,
            passed: Some(checks.iter().all(|answer| answer.passed)),
            checks,
            error: None,
        },
        Verdict::Unjudged(failure) => ImageReport {
            image,
            given,
            index,
            platform,
            passed: None,
            checks: Vec::new(),
            error: Some(failure.message()),
        },
    }
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}
