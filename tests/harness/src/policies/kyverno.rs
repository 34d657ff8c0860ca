//! The Kyverno CLI, which judges a Pod by a ClusterPolicy or an ImageValidatingPolicy as the admission controller does.
//!
//! Its exit status is 0 where it loaded no rule, so that its counts are what decides.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Verdict, confined, peers};
use crate::run::{Output, Run};

/// The CLI.
pub struct Kyverno {
    program: PathBuf,
    env: Vec<(String, String)>,
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
            env: Vec::new(),
        })
    }

    /// Sets a variable of its environment: `SIGSTORE_ROOT_FILE`, for whom Sigstore's libraries believe where a policy says nothing.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.env
            .push((name.to_owned(), value.as_ref().display().to_string()));
        self
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
        let run = confined(Run::new(&self.program))
            .arg("apply")
            .arg(policy)
            .arg("--resource")
            .arg(&resource)
            .args(["--registry", "--remove-color"]);
        let env = self.env.iter();
        env.fold(run, |run, (name, value)| run.env(name, value))
            .run()
    }
}

/// The line at the end of what it says.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    pass: usize,
    fail: usize,
    error: usize,
}

impl Counts {
    fn of(stdout: &str) -> Option<Self> {
        let line = stdout.lines().rfind(|line| line.starts_with("pass: "))?;
        let count = |name: &str| {
            line.split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix(": "))?
                .trim()
                .parse()
                .ok()
        };
        Some(Self {
            pass: count("pass")?,
            fail: count("fail")?,
            error: count("error")?,
        })
    }
}

#[track_caller]
fn verdict(said: &Output) -> Verdict {
    let counts = Counts::of(&said.stdout)
        .unwrap_or_else(|| panic!("Kyverno has counted nothing: is the policy one?\n{said:?}"));
    assert!(
        counts.pass + counts.fail + counts.error > 0,
        "Kyverno loaded no rule, or none that concerns the image, so nothing was judged\n{said:?}"
    );
    if counts.fail + counts.error > 0 {
        return Verdict::refused(said.stdout.clone());
    }
    assert!(
        said.code() == Some(0),
        "Kyverno counts no failure and fails\n{said:?}"
    );
    Verdict::Accepted
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
    fn one_failure_is_a_refusal_whatever_passed() {
        let passed = said(
            "Applying 1\npass: 2, fail: 0, warn: 0, error: 0, skip: 0 \n",
            0,
        );
        assert_eq!(verdict(&passed), Verdict::Accepted);
        for counts in [
            "pass: 1, fail: 1, warn: 0, error: 0",
            "pass: 1, fail: 0, warn: 0, error: 1",
        ] {
            let text = format!("no signatures found\n\n{counts}, skip: 0\n");
            assert_eq!(verdict(&said(&text, 1)), Verdict::Refused(text));
        }
    }

    #[test]
    #[should_panic(expected = "loaded no rule")]
    fn a_policy_without_a_rule_is_no_verdict() {
        let _ = verdict(&said("pass: 0, fail: 0, warn: 0, error: 0, skip: 0\n", 0));
    }

    #[test]
    #[should_panic(expected = "counted nothing")]
    fn a_policy_that_is_none_is_no_verdict() {
        let _ = verdict(&said("", 1));
    }

    #[test]
    #[should_panic(expected = "counts no failure and fails")]
    fn a_failure_without_a_count_is_no_verdict() {
        let _ = verdict(&said("pass: 1, fail: 0, warn: 0, error: 0, skip: 0\n", 1));
    }

    #[test]
    #[should_panic(expected = "connection refused")]
    fn a_registry_that_is_down_is_no_verdict() {
        let text = "failed to verify image: dial tcp 127.0.0.1:1: connect: connection refused\npass: 0, fail: 2, warn: 0, error: 0, skip: 0\n";
        let _ = verdict(&said(text, 1));
    }
}
