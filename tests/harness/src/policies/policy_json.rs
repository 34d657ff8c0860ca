//! `policyjson-check`, our driver over containers/image: a policy.json and registries.d as podman, skopeo and CRI-O read them, and OpenShift's
//! machine-config operator writes them.

use std::path::{Path, PathBuf};

use super::{Verdict, confined, peers};
use crate::run::{Output, Run};

/// What the default of a policy says: no rule was about the image.
const DEFAULT: &str = "is rejected by policy";

/// The driver.
pub struct PolicyJson {
    program: PathBuf,
}

impl PolicyJson {
    /// `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it is missing and `CI` is `true`.
    #[must_use]
    pub fn find() -> Option<Self> {
        Some(Self {
            program: peers::find("policyjson-check")?,
        })
    }

    /// Whether this image may run, with the YAML files of the folder `registries` telling where signatures are.
    ///
    /// # Panics
    ///
    /// When the policy is none, or only its default concerns the image; when something was not reached.
    #[must_use]
    #[track_caller]
    pub fn judge(&self, policy: &Path, registries: &Path, image: &str) -> Verdict {
        let run = confined(Run::new(&self.program));
        verdict(&run.arg(policy).arg(registries).arg(image).run())
    }
}

#[track_caller]
fn verdict(said: &Output) -> Verdict {
    match said.code() {
        Some(0) => return Verdict::Accepted,
        Some(1) => {}
        _ => panic!("policyjson-check has not judged\n{said:?}"),
    }
    assert!(
        !said.stdout.contains(DEFAULT),
        "policy.json has no rule that concerns the image\n{said:?}"
    );
    Verdict::refused(said.stdout.trim_end())
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
    fn what_it_prints_is_the_reason() {
        assert_eq!(verdict(&said("accepted\n", 0)), Verdict::Accepted);
        let reason = "A signature was required, but no signature exists";
        assert_eq!(
            verdict(&said(&format!("{reason}\n"), 1)),
            Verdict::Refused(reason.to_owned())
        );
    }

    #[test]
    #[should_panic(expected = "no rule that concerns the image")]
    fn the_default_of_a_policy_is_no_verdict() {
        let _ = verdict(&said(
            "Running image docker://127.0.0.1:1/a:b is rejected by policy.\n",
            1,
        ));
    }

    #[test]
    #[should_panic(expected = "has not judged")]
    fn a_policy_that_is_none_is_no_verdict() {
        let _ = verdict(&said("policy.json: invalid policy\n", 2));
    }
}
