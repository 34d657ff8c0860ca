//! One statement against the rules on provenance.

use std::fmt::Write as _;

use super::draft::Rules;
use super::source::{Named, is_commit};
use super::succeeded;
use crate::descriptor::ResourceDescriptor;
use crate::provenance::{self, PROVENANCE_V1, PROVENANCE_V02, Provenance, Version};
use crate::statement::Statement;
use crate::time::Time;

/// How far a build may end in the future, in seconds: clocks differ by so much.
const MOST_SKEW: i64 = 300;
/// How many characters are shown of a text that was found.
const MOST_SHOWN: usize = 256;
/// How many repositories are shown where none is the right one.
const MOST_SOURCES: usize = 3;

/// A rule on provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Who built.
    Builder,
    /// What kind of build it was.
    BuildType,
    /// From which repository.
    SourceRepository,
    /// From which commit or branch of it.
    SourceRef,
    /// Whether the run succeeded.
    Succeeded,
    /// How long ago it ended.
    Age,
}

/// What the rules say of one statement: small, whatever its size.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What is attested, in ASCII and cut.
    pub(super) predicate_type: String,
    /// Which provenance it is; nothing where that is none, or none that is asked for.
    pub(super) version: Option<Version>,
    /// Which of the predicate types that must be attested it has.
    pub(super) wanted_type: Option<usize>,
    /// One for each rule on provenance, in their order.
    pub(super) findings: Vec<Finding>,
}

/// What one rule says of one statement.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) passed: bool,
    /// What was found, in ASCII.
    pub(super) found: String,
    /// Where in the statement.
    pub(super) path: String,
}

impl Rules {
    /// The rules on provenance that there are, in the order of their answers.
    #[must_use]
    pub fn on_provenance(&self) -> Vec<Rule> {
        let asked = [
            (Rule::Builder, !self.builder_ids.is_empty()),
            (Rule::BuildType, !self.build_types.is_empty()),
            (Rule::SourceRepository, self.source_repository.is_some()),
            (Rule::SourceRef, self.source_ref.is_some()),
            (Rule::Succeeded, self.require_success),
            (Rule::Age, self.max_age.is_some()),
        ];
        let is_asked = |(rule, is_asked): (Rule, bool)| is_asked.then_some(rule);
        asked.into_iter().filter_map(is_asked).collect()
    }

    /// What the rules say of `statement` at `now`, in seconds since 1970. It is the caller who knows that it is verified, and of the image.
    #[must_use]
    pub fn judge(&self, statement: &Statement, now: i64) -> Judged {
        let predicate_type = statement.predicate_type();
        let version = match predicate_type {
            PROVENANCE_V02 => Some(Version::V02),
            PROVENANCE_V1 => Some(Version::V1),
            _ => None,
        };
        let version = version.filter(|v| self.provenance.is_none_or(|wanted| wanted == *v));
        let findings = match version {
            Some(version) => self.findings(statement, version, now),
            None => Vec::new(),
        };
        Judged {
            predicate_type: shown(predicate_type),
            version,
            wanted_type: self
                .predicate_types
                .iter()
                .position(|t| t == predicate_type),
            findings,
        }
    }

    fn findings(&self, statement: &Statement, version: Version, now: i64) -> Vec<Finding> {
        let rules = self.on_provenance();
        if rules.is_empty() {
            return Vec::new();
        }
        match Provenance::of(statement) {
            Ok(Some(provenance)) => {
                let asked = Asked {
                    rules: self,
                    statement,
                    provenance: &provenance,
                    now,
                };
                rules.into_iter().map(|rule| asked.about(rule)).collect()
            }
            // Its type says that it is provenance, so there is always one or an error.
            Ok(None) => Vec::new(),
            Err(error) => {
                let path = match &error {
                    provenance::Error::NoPredicate => "predicate".to_owned(),
                    provenance::Error::Shape { place, .. } => shown(place),
                };
                let finding = Finding {
                    passed: false,
                    found: format!(
                        "no provenance {}: {}",
                        version.name(),
                        shown(&error.to_string())
                    ),
                    path,
                };
                vec![finding; rules.len()]
            }
        }
    }
}

/// Provenance that is asked about the rules.
struct Asked<'a> {
    rules: &'a Rules,
    statement: &'a Statement,
    provenance: &'a Provenance,
    now: i64,
}

impl Asked<'_> {
    fn about(&self, rule: Rule) -> Finding {
        match rule {
            Rule::Builder => self.one_of(
                self.provenance.builder_id.as_deref(),
                &self.rules.builder_ids,
                self.place("predicate.builder.id", "predicate.runDetails.builder.id"),
            ),
            Rule::BuildType => self.one_of(
                self.provenance.build_type.as_deref(),
                &self.rules.build_types,
                self.place("predicate.buildType", "predicate.buildDefinition.buildType"),
            ),
            Rule::SourceRepository => self.repository(),
            Rule::SourceRef => self.reference(),
            Rule::Succeeded => succeeded::of(self.statement, self.provenance),
            Rule::Age => self.age(),
        }
    }

    fn place(&self, v02: &'static str, v1: &'static str) -> &'static str {
        match self.provenance.version {
            Version::V02 => v02,
            Version::V1 => v1,
        }
    }

    fn one_of(&self, found: Option<&str>, wanted: &[String], path: &str) -> Finding {
        let found = found.filter(|text| !text.is_empty());
        Finding {
            passed: found.is_some_and(|found| wanted.iter().any(|wanted| wanted == found)),
            found: found.map_or_else(nothing, shown),
            path: path.to_owned(),
        }
    }

    fn materials(&self) -> &'static str {
        self.place(
            "predicate.materials",
            "predicate.buildDefinition.resolvedDependencies",
        )
    }

    /// The materials from the source repository, with their places.
    fn sources(&self) -> impl Iterator<Item = (usize, &ResourceDescriptor, Named<'_>)> {
        let wanted = self.rules.source_repository.as_deref().map(Named::of);
        let named = self.provenance.dependencies.iter().enumerate();
        named
            .map(|(at, dependency)| (at, dependency, Named::of(&dependency.uri)))
            .filter(move |(.., named)| {
                wanted.is_some_and(|wanted| wanted.repository == named.repository)
            })
    }

    fn repository(&self) -> Finding {
        let list = self.materials();
        if let Some((at, dependency, _)) = self.sources().next() {
            return Finding {
                passed: true,
                found: shown(&dependency.uri),
                path: format!("{list}[{at}].uri"),
            };
        }
        let uris = self.provenance.dependencies.iter().map(|d| d.uri.as_str());
        // What images the steps have is no answer to where the source came from, unless there is nothing else.
        let mut others = uris.filter(|uri| !uri.is_empty() && !uri.starts_with("oci://"));
        let told: Vec<String> = others.by_ref().take(MOST_SOURCES).map(shown).collect();
        let mut found = match told.is_empty() {
            true => "no repository".to_owned(),
            false => told.join(" and "),
        };
        let more = others.count();
        if more > 0 {
            let _ = write!(found, " and {more} more");
        }
        Finding {
            passed: false,
            found,
            path: format!("{list}[*].uri"),
        }
    }

    /// Each material from the repository must name the ref: a build that takes two commits of it may be of either.
    fn reference(&self) -> Finding {
        let wanted = self.rules.source_ref.as_deref().unwrap_or_default();
        let list = self.materials();
        let mut last = None;
        for (at, dependency, named) in self.sources() {
            let finding = match is_commit(wanted) {
                true => commit(dependency, wanted, &format!("{list}[{at}].digest")),
                false => Finding {
                    passed: named.reference == Some(wanted),
                    found: named.reference.map_or_else(nothing, shown),
                    path: format!("{list}[{at}].uri"),
                },
            };
            if !finding.passed {
                return finding;
            }
            last = Some(finding);
        }
        last.unwrap_or_else(|| Finding {
            passed: false,
            found: nothing(),
            path: format!("{list}[*]"),
        })
    }

    fn age(&self) -> Finding {
        let path = self.place(
            "predicate.metadata.buildFinishedOn",
            "predicate.runDetails.metadata.finishedOn",
        );
        let told = self.provenance.finished_on.as_deref().unwrap_or_default();
        let most = self.rules.max_age.unwrap_or_default().as_secs();
        let (passed, found) = match Time::parse(told) {
            _ if told.is_empty() => (false, nothing()),
            Err(_) => (false, format!("no time: {}", shown(told))),
            Ok(time) => {
                let age = self.now.saturating_sub(time.second_before());
                let is_young = u64::try_from(age).map_or(age >= -MOST_SKEW, |age| age <= most);
                let when = match age < -MOST_SKEW {
                    true => format!("{} in the future", span(age.unsigned_abs())),
                    false => format!("{} ago", span(age.max(0).unsigned_abs())),
                };
                (is_young, format!("{}, {when}", shown(told)))
            }
        };
        Finding {
            passed,
            found,
            path: path.to_owned(),
        }
    }
}

/// Whether the digests of a repository are those of a commit. Two digests of one length are two names for one commit, so both must be right.
fn commit(dependency: &ResourceDescriptor, wanted: &str, path: &str) -> Finding {
    let commits = || {
        let told = ["sha1", "gitCommit", "sha256"].into_iter();
        told.filter_map(|name| Some((name, dependency.digest.get(name)?)))
            .filter(|(_, hex)| hex.len() == wanted.len())
    };
    let wrong = commits().find(|(_, hex)| *hex != wanted);
    match wrong.or_else(|| commits().next()) {
        Some((name, hex)) => Finding {
            passed: hex == wanted,
            found: shown(hex),
            path: format!("{path}.{name}"),
        },
        None => Finding {
            passed: false,
            found: nothing(),
            path: path.to_owned(),
        },
    }
}

/// What is said where there is nothing.
pub(super) fn nothing() -> String {
    "nothing".to_owned()
}

/// A text from outside: its beginning, with everything escaped that is no visible ASCII, so that look-alikes can be told apart.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MOST_SHOWN {
            shown.push_str("...");
            break;
        }
        match c {
            '\\' => shown.push_str("\\\\"),
            ' '..='~' => shown.push(c),
            other => shown.extend(other.escape_unicode()),
        }
    }
    shown
}

/// Seconds in the largest unit that they fill.
pub(super) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
