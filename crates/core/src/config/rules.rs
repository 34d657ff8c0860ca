//! Rules for a controller that are not in Chains: what it does where Chains is silent or has no choice. Keys `tekseal.*`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Reason;
use super::values::{Choice, Objection};
use crate::duration;

/// What a controller does with runs beyond what Chains' keys say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// With a PipelineRun whose children are not all to be had.
    pub missing_children: ChildrenRule,
    /// With runs that failed or were cancelled.
    pub unsuccessful_runs: UnsuccessfulRule,
    /// With images that the registry does not have.
    pub absent_images: AbsentRule,
    /// Registries and repositories that may be written to; empty for all that are not forbidden in themselves.
    pub registries: Vec<String>,
    /// Whether imagePullSecrets are shown to registries too, after a ServiceAccount's own Secrets.
    pub pull_secrets: bool,
    /// For how long a run is tried again after failures that may pass.
    pub retry_for: Duration,
    /// Keys of namespaces; the first that fits is taken.
    pub keys: Vec<KeyRule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            missing_children: ChildrenRule::Fail,
            unsuccessful_runs: UnsuccessfulRule::Sign,
            absent_images: AbsentRule::Refuse,
            registries: Vec::new(),
            pull_secrets: false,
            retry_for: Duration::from_secs(6 * 60 * 60),
            keys: Vec::new(),
        }
    }
}

/// What becomes of a PipelineRun with children that are gone, or that are no TaskRuns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildrenRule {
    /// It fails, with the reason.
    Fail,
    /// What is there is attested, and the gap is told.
    Attest,
}

impl Choice for ChildrenRule {
    const ALL: &[Self] = &[Self::Attest, Self::Fail];

    fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Attest => "attest",
        }
    }
}

/// What becomes of runs that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsuccessfulRule {
    /// They are signed like others, as Chains does.
    Sign,
    /// Nothing is signed of them.
    Skip,
}

impl Choice for UnsuccessfulRule {
    const ALL: &[Self] = &[Self::Sign, Self::Skip];

    fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Skip => "skip",
        }
    }
}

/// What becomes of images that are not in their registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentRule {
    /// They are not signed, and the run fails.
    Refuse,
    /// They are signed unseen, as Chains does: a run can so get a signature over anything it names.
    InsecureSign,
}

impl Choice for AbsentRule {
    const ALL: &[Self] = &[Self::InsecureSign, Self::Refuse];

    fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::InsecureSign => "insecure-sign",
        }
    }
}

/// A key for the runs of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// Which namespaces.
    pub namespaces: Namespaces,
    /// Reference of the key, such as `k8s://namespace/secret`.
    pub key: String,
}

/// Some namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// The one with this name.
    Named(String),
    /// Those with all of these labels.
    Labelled(BTreeMap<String, String>),
}

impl Namespaces {
    /// Whether a namespace with this name and these labels is among them.
    #[must_use]
    pub fn has(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Named(named) => named == name,
            Self::Labelled(wanted) => wanted
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value)),
        }
    }
}

/// One rule a line: `NAMESPACE: KEY`, or `LABEL=VALUE[,LABEL=VALUE…]: KEY`. Empty lines, and lines that begin with `#`, are skipped.
pub(super) fn keys(target: &mut Vec<KeyRule>, value: &str) -> Result<(), Objection> {
    let lines = value.lines().map(str::trim);
    let rules = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    *target = rules.map(key_rule).collect::<Result<_, _>>()?;
    Ok(())
}

fn key_rule(line: &str) -> Result<KeyRule, Objection> {
    let refused = || Objection::Refused(Reason::KeyRule(line.chars().take(100).collect()));
    // A key reference has a colon of its own, but no blank.
    let (who, key) = line.split_once(": ").ok_or_else(refused)?;
    let (who, key) = (who.trim(), key.trim());
    if who.is_empty() || key.is_empty() || key.contains(char::is_whitespace) {
        return Err(refused());
    }
    if !who.contains('=') {
        return Ok(KeyRule {
            namespaces: Namespaces::Named(who.to_owned()),
            key: key.to_owned(),
        });
    }
    let labels = who.split(',').map(|piece| {
        let (label, value) = piece.split_once('=')?;
        let label = label.trim();
        (!label.is_empty()).then(|| (label.to_owned(), value.trim().to_owned()))
    });
    let labels: Option<_> = labels.collect();
    Ok(KeyRule {
        namespaces: Namespaces::Labelled(labels.ok_or_else(refused)?),
        key: key.to_owned(),
    })
}

/// A comma list of registries; empty pieces are refused, so that a stray comma does not mean something.
pub(super) fn registries(target: &mut Vec<String>, value: &str) -> Result<(), Objection> {
    if value.trim().is_empty() {
        target.clear();
        return Ok(());
    }
    let pieces: Vec<String> = value.split(',').map(|p| p.trim().to_owned()).collect();
    if pieces.iter().any(String::is_empty) {
        return Err(Objection::Refused(Reason::Registries));
    }
    *target = pieces;
    Ok(())
}

/// A duration as Go writes it, not negative.
pub(super) fn span(target: &mut Duration, value: &str) -> Result<(), Objection> {
    let refused = |error| Objection::Refused(Reason::Duration(error));
    *target = duration::span(value).map_err(refused)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, super::super::Error> {
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        Config::from_map(&pairs.iter().map(owned).collect())
    }

    #[test]
    fn the_first_rule_that_fits_a_namespace_has_its_key() {
        let text =
            "# teams\nteam-a: k8s://team-a/signing\n\nteam=blue,tier=1: k8s://blue/signing\n";
        let config = config(&[("tekseal.keys", text)]).expect("they are rules");
        let key_of = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            let mut rules = config.rules().keys.iter();
            rules
                .find(|rule| rule.namespaces.has(name, &labels))
                .map(|rule| rule.key.as_str())
        };
        assert_eq!(key_of("team-a", &[]), Some("k8s://team-a/signing"));
        let blue = [("team", "blue"), ("tier", "1"), ("x", "y")];
        assert_eq!(key_of("other", &blue), Some("k8s://blue/signing"));
        assert_eq!(key_of("other", &blue[..1]), None);
    }

    #[test]
    fn what_is_no_rule_is_refused_by_its_key() {
        for (key, value) in [
            ("tekseal.keys", "team-a k8s://a/b"),
            ("tekseal.keys", "=x: k8s://a/b"),
            ("tekseal.retry-for", "-1h"),
            ("tekseal.retry-for", "5"),
            ("tekseal.registries", "quay.io,"),
            ("tekseal.missing-children", "ignore"),
        ] {
            let error = config(&[(key, value)]).err().expect(value);
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
