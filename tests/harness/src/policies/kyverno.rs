//! The Kyverno CLI, which judges a Pod by a ClusterPolicy or an ImageValidatingPolicy as the admission controller does.
//!
//! Its exit status is 0 where it loaded no rule, and what it prints for people leaves out why a registry was not reached: so its report is what
//! decides. Of an ImageValidatingPolicy the report says that an image is not signed also where somebody was not reached: why stands in its log.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use tempfile::TempDir;

use super::{CONFINED, Verdict, confined, peers};
use crate::run::{Output, Run};

/// For hundreds of images in one call.
const PATIENCE: Duration = Duration::from_mins(10);
/// What it logs where it could not verify an image by an ImageValidatingPolicy, or the image is not good.
const NOT_VERIFIED: &str = "image verification failed";

/// The CLI, with an empty home folder of its own.
pub struct Kyverno {
    program: PathBuf,
    home: TempDir,
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
            home: tempfile::tempdir().expect("a temporary folder"),
        })
    }

    fn at_home(&self, run: Run) -> Run {
        let home = self.home.path();
        run.env("HOME", home).env("TUF_ROOT", home.join("tuf"))
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version, `v1.19.1`: that of the module that it was built from.
    ///
    /// # Panics
    ///
    /// When it is not in a folder as `tests/policies/build` names them.
    #[must_use]
    pub fn version(&self) -> &str {
        let folder = self.program.parent().and_then(Path::file_name);
        let name = folder.and_then(|name| name.to_str());
        name.and_then(|name| name.split('-').nth(1))
            .expect("tests/policies/build names folders PROGRAM-VERSION-HASH")
    }

    /// The arguments with which it judges the resources in one file by the policy in another, and reports what became of each rule.
    #[must_use]
    pub fn arguments(policy: &Path, resources: &Path) -> Vec<OsString> {
        let mut args = vec![OsString::from("apply"), policy.into()];
        args.push("--resource".into());
        args.push(resources.into());
        let rest = ["--registry", "--policy-report", "--output-format", "json"];
        args.extend(rest.map(OsString::from));
        args
    }

    /// The environment in which it reaches nothing but loopback.
    #[must_use]
    pub fn environment() -> [(&'static str, &'static str); 2] {
        CONFINED
    }

    /// A Pod for each image, as documents of one file of resources.
    #[must_use]
    pub fn pods<I: AsRef<str>>(images: &[I]) -> String {
        let pod = |(at, image): (usize, &I)| {
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": format!("judged-{at}"), "namespace": "default"},
                "spec": {"containers": [{"name": "app", "image": image.as_ref()}]},
            })
        };
        let pods: Vec<_> = images.iter().enumerate().map(pod).collect();
        let documents: Vec<_> = pods.iter().map(Value::to_string).collect();
        documents.join("\n---\n")
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

    /// Whether all of these images may run, each in a Pod of its own; one call judges them.
    ///
    /// # Panics
    ///
    /// As [`judge`](Self::judge), and when a Pod was not judged.
    #[must_use]
    #[track_caller]
    pub fn judge_all<I: AsRef<str>>(&self, policy: &Path, images: &[I]) -> Verdict {
        let said = self.apply_to(policy, images);
        let verdict = verdict(&said);
        let judged = pods_judged(&said);
        assert!(
            judged == images.len(),
            "Kyverno judged {judged} of {} Pods\n{said:?}",
            images.len()
        );
        verdict
    }

    /// What is reported of a Pod with this image that may be created all the same, because the policy only reports; nothing where all is well.
    ///
    /// # Panics
    ///
    /// As [`judge`](Self::judge), and when the Pod may not be created.
    #[must_use]
    #[track_caller]
    pub fn reported(&self, policy: &Path, image: &str) -> Option<String> {
        reported(&self.apply_with(policy, &[image], &["--audit-warn"]))
    }

    /// What [`judge`](Self::judge) hears, as it says it.
    #[must_use]
    pub fn apply(&self, policy: &Path, image: &str) -> Output {
        self.apply_to(policy, &[image])
    }

    fn apply_to<I: AsRef<str>>(&self, policy: &Path, images: &[I]) -> Output {
        self.apply_with(policy, images, &[])
    }

    fn apply_with<I: AsRef<str>>(&self, policy: &Path, images: &[I], more: &[&str]) -> Output {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let resources = folder.path().join("pods.yaml");
        std::fs::write(&resources, Self::pods(images)).expect("the folder is ours");
        self.at_home(confined(Run::new(&self.program)))
            .args(Self::arguments(policy, &resources))
            // Errors are logged, and nothing else.
            .args(["-v", "0"])
            .args(more)
            .timeout(PATIENCE)
            .run()
    }
}

/// What became of a rule.
#[derive(Debug, serde::Deserialize)]
struct Outcome {
    result: String,
    #[serde(default)]
    message: String,
    /// The one that was judged.
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Debug, serde::Deserialize)]
struct Resource {
    name: String,
}

impl Outcome {
    fn is_judged(&self) -> bool {
        self.result != "skip"
    }
}

/// How many Pods a rule was applied to.
fn pods_judged(said: &Output) -> usize {
    let outcomes = outcomes(said);
    let judged = outcomes.iter().filter(|outcome| outcome.is_judged());
    let names: BTreeSet<_> = judged
        .flat_map(|outcome| &outcome.resources)
        .map(|resource| resource.name.as_str())
        .collect();
    names.len()
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

/// With `--audit-warn` what fails is a warning where the policy only reports, and a failure where it enforces.
#[track_caller]
fn reported(said: &Output) -> Option<String> {
    let is_enforced = outcomes(said)
        .iter()
        .any(|outcome| outcome.result == "fail");
    assert!(!is_enforced, "the policy does not only report\n{said:?}");
    match verdict(said) {
        Verdict::Accepted => None,
        Verdict::Refused(reason) => Some(reason),
    }
}

#[track_caller]
fn verdict(said: &Output) -> Verdict {
    let outcomes = outcomes(said);
    let judged = outcomes.iter().filter(|outcome| outcome.is_judged());
    assert!(
        judged.count() > 0,
        "Kyverno loaded no rule, or none that concerns the image, so nothing was judged\n{said:?}"
    );
    if outcomes.iter().all(|outcome| outcome.result == "pass") {
        assert!(said.code() == Some(0), "all passed and it fails\n{said:?}");
        return Verdict::Accepted;
    }
    let others = outcomes.iter().filter(|outcome| outcome.result != "pass");
    let reasons = others.map(|outcome| outcome.message.clone());
    let reasons: Vec<_> = reasons.chain(logged(said)).collect();
    Verdict::refused(reasons.join("\n"))
}

/// Why images were not verified, from the log.
fn logged(said: &Output) -> impl Iterator<Item = String> {
    let lines = said.stderr.lines();
    let lines = lines.filter(|line| line.contains(NOT_VERIFIED));
    lines.map(|line| {
        let plain = without_colours(line);
        let reason = plain.split_once("error=").map(|(_, reason)| reason);
        reason.unwrap_or(&plain).to_owned()
    })
}

/// A line without `ESC [ … m`.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
    rest.fold(first, |whole, text| whole + text)
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
    fn what_is_only_reported_is_a_warning_and_no_failure() {
        assert_eq!(reported(&said(&[("pass", "verified")], 0)), None);
        let warned = said(&[("pass", ""), ("warn", "no signatures found")], 0);
        assert_eq!(reported(&warned), Some("no signatures found".to_owned()));
    }

    #[test]
    #[should_panic(expected = "does not only report")]
    fn a_failure_is_no_report() {
        let _ = reported(&said(&[("fail", "no signatures found")], 1));
    }

    #[test]
    fn a_pod_counts_once_and_not_where_its_rules_were_skipped() {
        let outcome =
            |result: &str, name: &str| json!({"result": result, "resources": [{"name": name}]});
        let results = [
            outcome("pass", "judged-0"),
            outcome("pass", "judged-0"),
            outcome("skip", "judged-1"),
            outcome("fail", "judged-2"),
        ];
        let report = json!({"kind": "ClusterReport", "results": results}).to_string();
        assert_eq!(pods_judged(&printed(&report, 1)), 2);
    }

    #[test]
    fn each_image_has_a_pod() {
        let pods = Kyverno::pods(&["a/b:1", "a/c:2"]);
        let pods: Vec<Value> = pods
            .split("\n---\n")
            .map(|pod| serde_json::from_str(pod).expect("a Pod is JSON"))
            .collect();
        let shown: Vec<_> = pods
            .iter()
            .map(|pod| {
                (
                    &pod["metadata"]["name"],
                    &pod["spec"]["containers"][0]["image"],
                )
            })
            .collect();
        let wanted = [
            (&json!("judged-0"), &json!("a/b:1")),
            (&json!("judged-1"), &json!("a/c:2")),
        ];
        assert_eq!(shown, wanted);
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

    fn not_signed(log: &str) -> Output {
        let results = json!([{"result": "fail", "message": "an image is not signed"}]);
        let report = json!({"kind": "ClusterReport", "results": results}).to_string();
        Run::new("sh")
            .args(["-c", "cat; printf '%b\\n' \"$1\" >&2; exit 1", "sh", log])
            .stdin(&report)
            .run()
    }

    #[test]
    fn why_an_image_is_not_signed_stands_in_the_log() {
        let log = "\\033[31mERR\\033[0m verifier.go:149 > \\033[1mimage verification failed\\033[0m \\033[36merror=\\033[0m\\033[31m\"no matching attestations\"\\033[0m";
        assert_eq!(
            verdict(&not_signed(log)),
            Verdict::Refused("an image is not signed\n\"no matching attestations\"".to_owned())
        );
    }

    #[test]
    #[should_panic(expected = "connection refused")]
    fn a_mirror_that_is_down_is_no_verdict() {
        let _ = verdict(&not_signed(
            "image verification failed error=dial tcp 127.0.0.1:9: connect: connection refused",
        ));
    }

    #[test]
    #[should_panic(expected = "connection refused")]
    fn a_registry_that_is_down_is_no_verdict() {
        let down = "failed to verify image: dial tcp 127.0.0.1:1: connect: connection refused";
        let _ = verdict(&said(&[("fail", "unverified image"), ("error", down)], 1));
    }
}
