//! The Kyverno CLI, which judges a Pod by a ClusterPolicy or an ImageValidatingPolicy as the admission controller does.
//!
//! Its exit status is 0 where it loaded no rule, and what it prints for people leaves out why a registry was not reached: so its report is what
//! decides.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Verdict, confined, peers};
use crate::run::{Output, Run};

/// The CLI.
pub struct Kyverno {
    program: PathBuf,
}

impl Kyverno {
    /// `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it is missing and `CI` is `true`.
    #[must_use]
    pub fn find() -> Option<Self> {
        Some(Self {
            program: peers::find("kyverno")?,
        })
    }

    /// Whether a Pod with this image may be created.
    ///
    /// # Panics
    ///
    /// When no rule was loaded, or none that concerns the image; when something was not reached; when it cannot be understood.
    #[must_use]
    #[track_caller]
    pub fn judge(&self, policy: &Path, image: &str) -> Verdict {
        verdict(&self.apply(policy, image))
    }

    /// The same, as it says it.
    #[must_use]
    pub fn apply(&self, policy: &Path, image: &str) -> Output {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "judged", "namespace": "default"},
            "spec": {"containers": [{"name": "app", "image": image}]},
        });
        let resource = folder.path().join("pod.yaml");
        std::fs::write(&resource, pod.to_string()).expect("the folder is ours");
        confined(Run::new(&self.program))
            .arg("apply")
            .arg(policy)
            .arg("--resource")
            .arg(&resource)
            .args(["--registry", "--policy-report", "--output-format", "json"])
            .run()
    }
}

/// What became of a rule.
#[derive(Debug, serde::Deserialize)]
struct Outcome {
    result: String,
    #[serde(default)]
    message: String,
}

/// The outcomes of the report; none where no rule was about the image, and then there is no report.
fn outcomes(said: &Output) -> Vec<Outcome> {
    let mut lines = said.stdout.lines();
    let Some(line) = lines.rfind(|line| line.starts_with("{\"kind\":\"ClusterReport\"")) else {
        return Vec::new();
    };
    let mut report: Value = serde_json::from_str(line)
        .unwrap_or_else(|e| panic!("the report is not JSON: {e}\n{said:?}"));
    let results = report["results"].take();
    serde_json::from_value(results)
        .unwrap_or_else(|e| panic!("the report has no outcomes: {e}\n{said:?}"))
}

#[track_caller]
fn verdict(said: &Output) -> Verdict {
    let outcomes = outcomes(said);
    let judged = outcomes.iter().filter(|outcome| outcome.result != "skip");
    assert!(
        judged.count() > 0,
        "Kyverno loaded no rule, or none that concerns the image, so nothing was judged\n{said:?}"
    );
    if outcomes.iter().all(|outcome| outcome.result == "pass") {
        assert!(said.code() == Some(0), "all passed and it fails\n{said:?}");
        return Verdict::Accepted;
    }
    let others = outcomes.iter().filter(|outcome| outcome.result != "pass");
    let reasons: Vec<_> = others.map(|outcome| outcome.message.as_str()).collect();
    Verdict::refused(reasons.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(results: &[(&str, &str)], code: i32) -> Output {
        let results: Vec<_> = results
            .iter()
            .map(|(result, message)| json!({"result": result, "message": message}))
            .collect();
        let report = format!(
            "Warning: deprecated\n{{\"kind\":\"ClusterReport\",\"results\":{}}}\n",
            json!(results)
        );
        printed(&report, code)
    }

    fn printed(text: &str, code: i32) -> Output {
        Run::new("sh")
            .args(["-c", "cat; exit $1", "sh", &code.to_string()])
            .stdin(text)
            .run()
    }

    #[test]
    fn one_failure_is_a_refusal_whatever_passed() {
        let passed = said(&[("pass", "verified"), ("pass", "")], 0);
        assert_eq!(verdict(&passed), Verdict::Accepted);
        for result in ["fail", "error"] {
            let refused = said(&[("pass", "verified"), (result, "no signatures found")], 1);
            assert_eq!(
                verdict(&refused),
                Verdict::Refused("no signatures found".to_owned())
            );
        }
    }

    #[test]
    #[should_panic(expected = "loaded no rule")]
    fn a_policy_without_a_rule_is_no_verdict() {
        let _ = verdict(&printed("", 0));
    }

    #[test]
    #[should_panic(expected = "loaded no rule")]
    fn rules_that_were_skipped_are_no_verdict() {
        let _ = verdict(&said(&[("skip", "")], 0));
    }

    #[test]
    #[should_panic(expected = "loaded no rule")]
    fn a_policy_that_is_skipped_is_no_verdict() {
        let _ = verdict(&printed(
            "Policies Skipped:\n1. tekseal: Invalid value\n",
            1,
        ));
    }

    #[test]
    #[should_panic(expected = "all passed and it fails")]
    fn a_failure_without_a_reason_is_no_verdict() {
        let _ = verdict(&said(&[("pass", "")], 1));
    }

    #[test]
    #[should_panic(expected = "connection refused")]
    fn a_registry_that_is_down_is_no_verdict() {
        let down = "failed to verify image: dial tcp 127.0.0.1:1: connect: connection refused";
        let _ = verdict(&said(&[("fail", "unverified image"), ("error", down)], 1));
    }
}
