//! The answers as people and programs read them. Text is printed image by image; JSON is one document, printed when all are judged.
//!
//! | status | |
//! |---|---|
//! | `pass`, `FAIL` | an answer to a rule, and in the last line of an image to all of them |
//! | `????` | the image could not be judged |

use std::io::Write as _;

use serde::Serialize;

use super::Tally;
use super::outcome::{Answer, Outcome, Verdict};
use crate::Failure;
use crate::log::quoted;
use crate::verify::Output;

/// Prints the outcomes.
pub(super) enum Printer {
    Text,
    Json(Vec<ImageReport>),
}

#[derive(Serialize)]
pub(super) struct ImageReport {
    image: String,
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
    pub(super) fn new(output: Output) -> Self {
        match output {
            Output::Text => Self::Text,
            Output::Json => Self::Json(Vec::new()),
        }
    }

    pub(super) fn take(&mut self, outcome: Outcome) -> Result<(), Failure> {
        match self {
            Self::Text => write(text(&outcome).as_bytes()),
            Self::Json(reports) => {
                reports.push(report(outcome));
                Ok(())
            }
        }
    }

    pub(super) fn end(self, tally: &Tally) -> Result<(), Failure> {
        let all = tally.all();
        match self {
            Self::Text if all == 1 => Ok(()),
            Self::Text => {
                let passed = tally.passed;
                let unjudged = match tally.unjudged {
                    0 => String::new(),
                    count => format!(", {count} not judged"),
                };
                let status = status(passed == all);
                write(format!("{status}  {passed} of {all} images{unjudged}\n").as_bytes())
            }
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

fn status(passed: bool) -> &'static str {
    if passed { "pass" } else { "FAIL" }
}

fn text(outcome: &Outcome) -> String {
    let name = quoted(&outcome.name);
    match &outcome.verdict {
        Verdict::Unjudged(failure) => {
            format!("????  {name}  not judged: {}\n", failure.message())
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

fn line(answer: &Answer) -> String {
    let Answer {
        name,
        found,
        wanted,
        ..
    } = answer;
    let mut line = format!(
        "{}  {name:17}  found {}  wanted {}",
        status(answer.passed),
        quoted(found),
        quoted(wanted)
    );
    let places = [
        answer.path.as_str(),
        answer.place.as_str(),
        answer.layer.as_str(),
    ];
    let places: Vec<_> = places.into_iter().filter(|text| !text.is_empty()).collect();
    if !places.is_empty() {
        let places = quoted(&places.join(" in "));
        line.push_str(&format!("  where {}", places.trim_matches('"')));
    }
    if answer.statements > 1 {
        line.push_str(&match answer.failing {
            0 => format!("  in all of {}", answer.statements),
            failing => format!("  failing {failing} of {}", answer.statements),
        });
    }
    line.push('\n');
    line
}

fn report(outcome: Outcome) -> ImageReport {
    let image = outcome.name;
    match outcome.verdict {
        Verdict::Judged(checks) => ImageReport {
            image,
            passed: Some(checks.iter().all(|answer| answer.passed)),
            checks,
            error: None,
        },
        Verdict::Unjudged(failure) => ImageReport {
            image,
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
