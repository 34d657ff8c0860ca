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

    /// Whether this image, by digest, may run; `trust_root` is a TrustRoot that the policy may name.
    ///
    /// # Panics
    ///
    /// When the policy is none, or does not concern the image; when something was not reached; when it cannot be understood.
    #[must_use]
    #[track_caller]
    pub fn judge(&self, policy: &Path, trust_root: Option<&Path>, image: &str) -> Verdict {
        let mut run = confined(Run::new(&self.program))
            .arg("--policy")
            .arg(policy)
            .args(["--image", image, "--log-level", "error"]);
        if let Some(root) = trust_root {
            run = run.arg("--trustroot").arg(root);
        }
        verdict(&run.run())
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
