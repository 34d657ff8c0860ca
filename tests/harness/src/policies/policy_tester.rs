//! `policy-tester`, which judges an image by a ClusterImagePolicy as sigstore's policy-controller does.
//!
//! It ends with 1 also where the policy is none; only where it judged it prints a document.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Verdict, confined, peers};
use crate::run::{Output, Run};

/// What it says where no policy speaks of an image.
const NO_POLICY: &str = "is uncovered by policy";
/// The program.
pub struct PolicyTester {
    program: PathBuf,
}

impl PolicyTester {
    /// `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it is missing and `CI` is `true`.
    #[must_use]
    pub fn find() -> Option<Self> {
        Some(Self {
            program: peers::find("policy-tester")?,
        })
    }

    /// What is reported of an image that may run all the same, because the policy only reports; nothing where all is well.
    ///
    /// # Panics
    ///
    /// As [`judge`](Self::judge), and when the image may not run.
    #[must_use]
    #[track_caller]
    pub fn reported(&self, policy: &Path, image: &str) -> Option<String> {
        reported(&self.command(policy, image, "warn").run())
    }

    /// Whether this image, by digest, may run; `trust_root` is a TrustRoot that the policy may name.
    ///
    /// # Panics
    ///
    /// When the policy is none, or does not concern the image; when something was not reached; when it cannot be understood.
    #[must_use]
    #[track_caller]
    pub fn judge(&self, policy: &Path, trust_root: Option<&Path>, image: &str) -> Verdict {
        let mut run = self.command(policy, image, "error");
        if let Some(root) = trust_root {
            run = run.arg("--trustroot").arg(root);
        }
        verdict(&run.run())
    }

    fn command(&self, policy: &Path, image: &str, level: &str) -> Run {
        confined(Run::new(&self.program))
            .arg("--policy")
            .arg(policy)
            .args(["--image", image, "--log-level", level])
    }
}

/// Where a policy only reports, it logs what would be the reason to refuse, a JSON document a line.
#[track_caller]
fn reported(said: &Output) -> Option<String> {
    assert!(
        said.code() == Some(0),
        "the policy does not only report\n{said:?}"
    );
    let lines = said.stderr.lines();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told: Vec<_> = lines
        .filter_map(|line| line["msg"].as_str().map(str::to_owned))
        .collect();
    if told.is_empty() {
        return None;
    }
    match Verdict::refused(told.join("\n")) {
        Verdict::Accepted => None,
        Verdict::Refused(reason) => Some(reason),
    }
}

#[track_caller]
fn verdict(said: &Output) -> Verdict {
    if said.code() == Some(0) {
        return Verdict::Accepted;
    }
    let document: Value = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|_| panic!("policy-tester has not judged: is the policy one?\n{said:?}"));
    let errors = document["errors"].as_array().into_iter().flatten();
    let errors: Vec<_> = errors.filter_map(Value::as_str).collect();
    let reason = errors.join("\n");
    assert!(
        !reason.contains(NO_POLICY),
        "policy-tester has no rule that concerns the image\n{said:?}"
    );
    Verdict::refused(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stdout: &str, code: i32) -> Output {
        Run::new("sh")
            .args(["-c", "cat; exit $1", "sh", &code.to_string()])
            .stdin(stdout)
            .run()
    }

    #[test]
    fn errors_are_the_reason() {
        assert_eq!(verdict(&said("", 0)), Verdict::Accepted);
        let refused = said(r#"{"errors":["no matching signatures"]}"#, 1);
        assert_eq!(
            verdict(&refused),
            Verdict::Refused("no matching signatures".to_owned())
        );
    }

    fn logged(stderr: &str, code: i32) -> Output {
        Run::new("sh")
            .args(["-c", "cat >&2; exit $1", "sh", &code.to_string()])
            .stdin(stderr)
            .run()
    }

    #[test]
    fn what_is_only_reported_is_logged() {
        assert_eq!(reported(&logged("", 0)), None);
        let line = r#"{"level":"error","msg":"error validating signatures: no signatures found"}"#;
        let reason = "error validating signatures: no signatures found";
        assert_eq!(reported(&logged(line, 0)), Some(reason.to_owned()));
    }

    #[test]
    #[should_panic(expected = "does not only report")]
    fn a_refusal_is_no_report() {
        let _ = reported(&logged("", 1));
    }

    #[test]
    #[should_panic(expected = "has not judged")]
    fn a_policy_that_is_none_is_no_verdict() {
        let _ = verdict(&said("", 1));
    }

    #[test]
    #[should_panic(expected = "no rule that concerns the image")]
    fn a_policy_of_other_images_is_no_verdict() {
        let _ = verdict(&said(
            r#"{"errors":["127.0.0.1:1/a@sha256:b is uncovered by policy"]}"#,
            1,
        ));
    }
}
