//! The rules as they are written, and the refusal of those that could never hold.

use std::ops::Deref;
use std::time::Duration;

use super::source;
use crate::cosign;
use crate::excerpt::Excerpt;
use crate::invisible::is_invisible;
use crate::provenance::Version;

/// The most values that one rule may have.
pub const MOST_VALUES: usize = 100;
/// The longest value of a rule, in bytes.
pub const MOST_TEXT: usize = 2048;

/// How many of the statements must satisfy the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantifier {
    /// One of them, all rules: as sigstore's policy-controller.
    Any,
    /// Each of them: as Kyverno and cosign.
    #[default]
    All,
}

/// Rules as they are written; nothing of them is checked. What is empty, absent or false is no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Which provenance the rules on provenance read; nothing is whichever of the two is there.
    pub provenance: Option<Version>,
    /// The builder must be one of these.
    pub builder_ids: Vec<String>,
    /// The build type must be one of these.
    pub build_types: Vec<String>,
    /// A repository that must be among the materials (v0.2) or resolved dependencies (v1), with or without `git+` before and `.git` behind.
    pub source_repository: Option<String>,
    /// A commit, or a full ref (`refs/heads/main`), that each of the materials from that repository must name.
    pub source_ref: Option<String>,
    /// Predicate types that must be attested, each of them: URIs.
    pub predicate_types: Vec<String>,
    /// Provenance must show that all tasks of the run succeeded.
    pub require_success: bool,
    /// The build must have ended within this time.
    pub max_age: Option<Duration>,
    /// How many of the provenance statements must satisfy the rules.
    pub quantifier: Quantifier,
}

/// Rules that may hold. The fields are those of [`Draft`], to be read and not to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Draft);

impl Deref for Rules {
    type Target = Draft;

    fn deref(&self) -> &Draft {
        &self.0
    }
}

/// Why a draft is no rules.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A rule with an empty value.
    #[error("{rule} is empty: what says nothing satisfies no rule")]
    Empty {
        /// Which rule.
        rule: &'static str,
    },
    /// A value with blanks, control characters, or what is not seen.
    #[error("{rule} {text} has a blank, or a character that is not seen")]
    Unseen {
        /// Which rule.
        rule: &'static str,
        /// The value.
        text: Excerpt,
    },
    /// A value that looks like a pattern.
    #[error("{rule} {text} has a wildcard, and values are compared as a whole")]
    Wildcard {
        /// Which rule.
        rule: &'static str,
        /// The value.
        text: Excerpt,
    },
    /// A value that nobody writes by hand.
    #[error("{rule} {text} has more than {MOST_TEXT} bytes")]
    Long {
        /// Which rule.
        rule: &'static str,
        /// The value.
        text: Excerpt,
    },
    /// More values than a rule may have.
    #[error("{rule} has {count} values, more than {MOST_VALUES}")]
    Many {
        /// Which rule.
        rule: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A ref of no repository.
    #[error(
        "a source ref is given without a source repository: anybody's repository has such a ref"
    )]
    RefWithoutRepository,
    /// A ref within the repository.
    #[error("the source repository {0} names a ref, which is a rule of its own")]
    RefInRepository(Excerpt),
    /// A repository without a scheme, as no provenance names one.
    #[error(
        "the source repository {0} has no scheme, and addresses are compared as a whole: it is none that provenance names"
    )]
    NoScheme(Excerpt),
    /// Neither a commit nor a full ref.
    #[error(
        "the source ref {0} is neither a commit of 40 or 64 lower-case digits nor a full ref such as refs/heads/main"
    )]
    RefForm(Excerpt),
    /// A predicate type that is no URI.
    #[error("the predicate type {0} is not a URI")]
    NotAUri(Excerpt),
    /// The predicate type of image signatures.
    #[error(
        "the predicate type {} is that of image signatures, which are no attestations",
        cosign::SIGN_PREDICATE
    )]
    SignatureType,
    /// Nothing is that young.
    #[error("the age is zero, and no build is that young")]
    NoAge,
    /// Build types that the provenance which is asked for never has.
    #[error(
        "provenance {provenance} is asked for, and no provenance of it has the build type {build_type}"
    )]
    BuildType {
        /// Which provenance.
        provenance: &'static str,
        /// The first of the build types.
        build_type: Excerpt,
    },
    /// Build types that never show how a run ended.
    #[error(
        "the run must have succeeded, and provenance with build type {0} does not say how a run ended"
    )]
    NeverTold(Excerpt),
}

impl Rules {
    /// The rules of `draft`; a value that stands there twice counts once.
    ///
    /// # Errors
    /// For rules that contradict each other or that nothing could satisfy, by name.
    pub fn new(mut draft: Draft) -> Result<Self, Error> {
        let lists = [
            ("the builder id", &mut draft.builder_ids),
            ("the build type", &mut draft.build_types),
            ("the predicate type", &mut draft.predicate_types),
        ];
        for (rule, values) in lists {
            if values.len() > MOST_VALUES {
                let count = values.len();
                return Err(Error::Many { rule, count });
            }
            for value in values.iter() {
                check_text(rule, value)?;
            }
            values.sort();
            values.dedup();
        }
        draft.check_types()?;
        draft.check_source()?;
        draft.check_build_types()?;
        if draft.max_age.is_some_and(|age| age.is_zero()) {
            return Err(Error::NoAge);
        }
        Ok(Self(draft))
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.predicate_types.is_empty() && !self.asks_for_provenance()
    }

    /// Whether some provenance must be there.
    #[must_use]
    pub fn asks_for_provenance(&self) -> bool {
        self.provenance.is_some() || !self.on_provenance().is_empty()
    }

    /// Every way in which provenance may name the source repository, for peers that can only compare texts; none where there is no such rule.
    #[must_use]
    pub fn source_uris(&self) -> Vec<String> {
        let repository = self.source_repository.as_deref();
        repository.map_or_else(Vec::new, source::forms)
    }
}

impl Draft {
    fn check_types(&self) -> Result<(), Error> {
        for uri in &self.predicate_types {
            if !uri.contains("://") && !uri.starts_with("urn:") {
                return Err(Error::NotAUri(Excerpt::of(uri)));
            }
            if uri == cosign::SIGN_PREDICATE {
                return Err(Error::SignatureType);
            }
        }
        Ok(())
    }

    fn check_source(&self) -> Result<(), Error> {
        if let Some(repository) = &self.source_repository {
            check_text("the source repository", repository)?;
            if source::bare(repository).is_empty() {
                let rule = "the source repository";
                return Err(Error::Empty { rule });
            }
            if !source::is_address(repository) {
                return Err(Error::NoScheme(Excerpt::of(repository)));
            }
            if source::ref_place(repository).is_some() {
                return Err(Error::RefInRepository(Excerpt::of(repository)));
            }
        }
        let Some(reference) = &self.source_ref else {
            return Ok(());
        };
        check_text("the source ref", reference)?;
        if self.source_repository.is_none() {
            return Err(Error::RefWithoutRepository);
        }
        if !source::is_ref(reference) && !source::is_commit(reference) {
            return Err(Error::RefForm(Excerpt::of(reference)));
        }
        Ok(())
    }

    /// A list is contradictory if none of it could be: a single one that could makes it a choice.
    fn check_build_types(&self) -> Result<(), Error> {
        let Some(first) = self.build_types.first() else {
            return Ok(());
        };
        let known = || self.build_types.iter().map(|name| Known::of(name));
        if let Some(wanted) = self.provenance
            && known().all(|known| known.is_some_and(|known| known.version != wanted))
        {
            return Err(Error::BuildType {
                provenance: wanted.name(),
                build_type: Excerpt::of(first),
            });
        }
        if self.require_success && known().all(|known| known.is_some_and(|k| !k.tells_success)) {
            return Err(Error::NeverTold(Excerpt::of(first)));
        }
        Ok(())
    }
}

/// A build type of Chains.
struct Known {
    version: Version,
    /// Provenance of it can show that the run succeeded.
    tells_success: bool,
}

impl Known {
    fn of(build_type: &str) -> Option<Self> {
        let (version, tells_success) = match build_type {
            "tekton.dev/v1/PipelineRun" | "tekton.dev/v1beta1/PipelineRun" => (Version::V02, true),
            "tekton.dev/v1/TaskRun" | "tekton.dev/v1beta1/TaskRun" => (Version::V02, false),
            "https://tekton.dev/chains/v2/slsa" => (Version::V1, false),
            super::succeeded::TELLING_BUILD_TYPE => (Version::V1, true),
            _ => return None,
        };
        Some(Self {
            version,
            tells_success,
        })
    }
}

fn check_text(rule: &'static str, value: &str) -> Result<(), Error> {
    let text = || Excerpt::of(value);
    if value.is_empty() {
        return Err(Error::Empty { rule });
    }
    if value.len() > MOST_TEXT {
        return Err(Error::Long { rule, text: text() });
    }
    if value.chars().any(|c| is_invisible(c) || c.is_whitespace()) {
        return Err(Error::Unseen { rule, text: text() });
    }
    if value.contains('*') {
        return Err(Error::Wildcard { rule, text: text() });
    }
    Ok(())
}
