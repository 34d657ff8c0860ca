//! The answers to the rules, over all statements of an image.

use std::collections::BTreeSet;

use super::draft::{Quantifier, Rules};
use super::judge::{Judged, Rule, nothing, shown, span};
use crate::provenance::Version;

/// How many predicate types are shown where the right one is missing.
const MOST_TYPES: usize = 3;

/// The answer to one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which rule: `provenance`, `builder`, `build-type`, `source-repository`, `source-ref`, `succeeded`, `age` or `type`.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, in ASCII with escapes, and cut: for people.
    pub found: String,
    /// What the rule asks for, in the same form.
    pub wanted: String,
    /// Where that is in the statement: names of members with dots between them, and indexes of lists; empty where there is no statement.
    pub path: String,
    /// Which statement `found` is of: its index among those that were judged.
    pub statement: Option<usize>,
    /// How many statements the rule was applied to.
    pub statements: usize,
    /// How many of them do not satisfy it.
    pub failing: usize,
}

impl Rules {
    /// The answer to each rule: first those on provenance, then the predicate types. `judged` are all verified statements of one image.
    #[must_use]
    pub fn conclude(&self, judged: &[Judged]) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.asks_for_provenance() {
            let provenance = judged.iter().enumerate();
            let provenance: Vec<_> = provenance
                .filter(|(_, one)| one.version.is_some())
                .collect();
            checks.push(self.provenance_is_there(&provenance, judged));
            let chosen = match self.quantifier {
                Quantifier::All => None,
                Quantifier::Any => best(&provenance),
            };
            let rules = self.on_provenance().into_iter().enumerate();
            checks.extend(rules.map(|(at, rule)| self.answer(at, rule, &provenance, chosen)));
        }
        let types = 0..self.predicate_types.len();
        checks.extend(types.map(|at| self.type_is_there(at, judged)));
        checks
    }

    fn provenance_is_there(&self, provenance: &[(usize, &Judged)], judged: &[Judged]) -> Check {
        let count = |version| {
            let of_version = provenance
                .iter()
                .filter(|(_, one)| one.version == Some(version));
            of_version.count()
        };
        let told: Vec<String> = [Version::V02, Version::V1]
            .into_iter()
            .map(|version| (count(version), version))
            .filter(|(count, _)| *count > 0)
            .map(|(count, version)| format!("{count} of {}", version.name()))
            .collect();
        let wanted = match self.provenance {
            Some(version) => format!("SLSA provenance {}", version.name()),
            None => "SLSA provenance v0.2 or v1".to_owned(),
        };
        let first = provenance.first().map(|(at, _)| *at);
        Check {
            name: "provenance",
            passed: first.is_some(),
            found: match told.is_empty() {
                true => other_types(judged),
                false => told.join(", "),
            },
            wanted,
            path: first.map_or_else(String::new, |_| "predicateType".to_owned()),
            statement: first,
            statements: provenance.len(),
            failing: 0,
        }
    }

    /// The answer to a rule: that of the statement `chosen`, else of the first that does not satisfy it, else of the first.
    fn answer(
        &self,
        rule_at: usize,
        rule: Rule,
        provenance: &[(usize, &Judged)],
        chosen: Option<usize>,
    ) -> Check {
        let finding = |one: &&(usize, &Judged)| one.1.findings.get(rule_at).cloned();
        let is_failing = |one: &&(usize, &Judged)| finding(one).is_none_or(|found| !found.passed);
        let told = match chosen {
            Some(chosen) => provenance.get(chosen),
            None => provenance.iter().find(is_failing).or(provenance.first()),
        };
        let found = told.as_ref().and_then(finding);
        Check {
            name: rule.name(),
            passed: found.as_ref().is_some_and(|found| found.passed),
            wanted: self.wanted(rule),
            path: found.as_ref().map_or_else(String::new, |f| f.path.clone()),
            found: found.map_or_else(|| "no provenance".to_owned(), |found| found.found),
            statement: told.map(|(at, _)| *at),
            statements: provenance.len(),
            failing: provenance.iter().filter(is_failing).count(),
        }
    }

    fn wanted(&self, rule: Rule) -> String {
        let list = |values: &[String]| {
            let shown: Vec<_> = values.iter().map(|value| shown(value)).collect();
            shown.join(" or ")
        };
        let text = |value: &Option<String>| shown(value.as_deref().unwrap_or_default());
        match rule {
            Rule::Builder => list(&self.builder_ids),
            Rule::BuildType => list(&self.build_types),
            Rule::SourceRepository => text(&self.source_repository),
            Rule::SourceRef => text(&self.source_ref),
            Rule::Succeeded => "all tasks Succeeded".to_owned(),
            Rule::Age => {
                let most = self.max_age.unwrap_or_default().as_secs();
                format!("at most {}", span(most))
            }
        }
    }

    fn type_is_there(&self, type_at: usize, judged: &[Judged]) -> Check {
        let with_type = judged.iter().enumerate();
        let mut with_type = with_type
            .filter(|(_, one)| one.wanted_type == Some(type_at))
            .map(|(at, _)| at);
        let first = with_type.next();
        let wanted = shown(&self.predicate_types[type_at]);
        Check {
            name: "type",
            passed: first.is_some(),
            found: first.map_or_else(|| other_types(judged), |_| wanted.clone()),
            wanted,
            path: first.map_or_else(String::new, |_| "predicateType".to_owned()),
            statement: first,
            statements: usize::from(first.is_some()) + with_type.count(),
            failing: 0,
        }
    }
}

impl Rule {
    /// How the answer calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::BuildType => "build-type",
            Self::SourceRepository => "source-repository",
            Self::SourceRef => "source-ref",
            Self::Succeeded => "succeeded",
            Self::Age => "age",
        }
    }
}

/// What is attested where the right type is missing.
fn other_types(judged: &[Judged]) -> String {
    let types = judged.iter().map(|one| one.predicate_type.as_str());
    let types: BTreeSet<&str> = types.collect();
    if types.is_empty() {
        return nothing();
    }
    let told: Vec<_> = types.iter().copied().take(MOST_TYPES).collect();
    let more = match types.len() - told.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("only {}{more}", told.join(" and "))
}

/// Which statement satisfies all rules, else the first of those that satisfy the most.
fn best(provenance: &[(usize, &Judged)]) -> Option<usize> {
    let satisfied = |one: &Judged| one.findings.iter().filter(|found| found.passed).count();
    let counts = provenance.iter().map(|(_, one)| satisfied(one));
    let mut best = None;
    for (at, count) in counts.enumerate() {
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((at, count));
        }
    }
    best.map(|(at, _)| at)
}
