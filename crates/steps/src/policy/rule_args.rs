//! The rules as flags: what each subcommand of `tekseal-policy` takes.

use std::time::Duration;

use anyhow::anyhow;
use tekseal_core::policy::{Draft, Error, Quantifier, Rules};
use tekseal_core::provenance;

use crate::Failure;
use crate::not_empty::NotEmpty;
use crate::parameters;
use crate::registry_args::given;
use crate::verify;

/// What images must show. A statement that lacks a field never satisfies a rule on it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RuleArgs {
    /// Which SLSA provenance the rules read: v0.2 (Chains' formats in-toto and slsa/v1) or v1 (slsa/v2alpha3 and slsa/v2alpha4); else whichever is there; with render also none, which demands the signature alone
    #[arg(
        long,
        env = "TEKSEAL_POLICY_PROVENANCE",
        value_enum,
        value_name = "VERSION"
    )]
    pub(crate) provenance: Option<Version>,
    /// Who must have built, as provenance has it; may be repeated for one of several
    #[arg(
        long = "builder-id",
        env = "TEKSEAL_POLICY_BUILDER_ID",
        value_name = "ID",
        value_delimiter = ',',
        value_parser = NotEmpty
    )]
    pub(crate) builder_ids: Vec<String>,
    /// What kind of build it must have been, as provenance has it; may be repeated for one of several
    #[arg(
        long = "build-type",
        env = "TEKSEAL_POLICY_BUILD_TYPE",
        value_name = "URI",
        value_delimiter = ',',
        value_parser = NotEmpty
    )]
    pub(crate) build_types: Vec<String>,
    /// Repository that must be among the materials, with or without git+ before and .git behind
    #[arg(long, env = "TEKSEAL_POLICY_SOURCE_REPOSITORY", value_name = "URI", value_parser = NotEmpty)]
    pub(crate) source_repository: Option<String>,
    /// Commit, or full ref such as refs/heads/main, that the materials from that repository must name; Chains tells commits
    #[arg(long, env = "TEKSEAL_POLICY_SOURCE_REF", value_name = "REF", value_parser = NotEmpty)]
    pub(crate) source_ref: Option<String>,
    /// Predicate type that must be attested, may be repeated for each of several: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex, or a URI
    #[arg(
        long = "type",
        env = "TEKSEAL_POLICY_TYPE",
        value_name = "TYPE",
        value_delimiter = ',',
        value_parser = NotEmpty
    )]
    pub(crate) types: Vec<String>,
    /// Provenance must show that all tasks of the run succeeded: that of PipelineRuns in v0.2, and in v1 with build type slsa-tekton, does
    #[arg(long, env = "TEKSEAL_POLICY_SUCCEEDED", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    pub(crate) succeeded: bool,
    /// How long ago the build may have ended: 90m, 12h, 30d
    #[arg(long, env = "TEKSEAL_POLICY_MAX_AGE", value_name = "DURATION", value_parser = NotEmpty)]
    pub(crate) max_age: Option<String>,
    /// How many provenance statements must satisfy the rules, where several are verified: all as with Kyverno and cosign, or any as with policy-controller
    #[arg(
        long = "match",
        env = "TEKSEAL_POLICY_MATCH",
        value_enum,
        default_value = "all",
        value_name = "WHICH"
    )]
    pub(crate) quantifier: Which,
}

/// Which provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    /// SLSA provenance v0.2.
    #[value(name = "v0.2")]
    V02,
    /// SLSA provenance v1.
    #[value(name = "v1")]
    V1,
    /// No attestation at all, the signature alone: for render.
    #[value(name = "none")]
    None,
}

/// How many statements must satisfy the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// One of them, all rules.
    Any,
    /// Each of them.
    #[default]
    All,
}

impl Version {
    /// The version of provenance.
    ///
    /// # Errors
    /// Exit 2 for `none`: who can demand the signature alone has looked for it before.
    fn provenance(self) -> Result<provenance::Version, Failure> {
        match self {
            Self::V02 => Ok(provenance::Version::V02),
            Self::V1 => Ok(provenance::Version::V1),
            Self::None => Err(
                Failure::misuse(anyhow!("--provenance none is for render alone"))
                    .hint("--only signature checks image signatures alone"),
            ),
        }
    }
}

impl RuleArgs {
    /// The rules as they are given, for whoever adds to them; empty texts are none.
    ///
    /// # Errors
    /// Exit 2 for a predicate type or a duration that is none.
    pub(crate) fn draft(&self) -> Result<Draft, Failure> {
        let list = |values: &[String]| given(values).map(str::to_owned).collect();
        let text = |value: &Option<String>| given(value).map(str::to_owned).next();
        Ok(Draft {
            provenance: self.provenance.map(Version::provenance).transpose()?,
            builder_ids: list(&self.builder_ids),
            build_types: list(&self.build_types),
            source_repository: text(&self.source_repository),
            source_ref: text(&self.source_ref),
            predicate_types: verify::predicate_types(&self.types)?,
            require_success: self.succeeded,
            max_age: given(&self.max_age).next().map(age).transpose()?,
            quantifier: match self.quantifier {
                Which::Any => Quantifier::Any,
                Which::All => Quantifier::All,
            },
        })
    }

    /// The rules.
    ///
    /// # Errors
    /// Exit 2 for rules that contradict each other or that nothing could satisfy.
    pub(crate) fn rules(&self) -> Result<Rules, Failure> {
        rules_of(self.draft()?)
    }
}

/// The rules of a draft.
///
/// # Errors
/// Exit 2 for rules that contradict each other or that nothing could satisfy.
pub(crate) fn rules_of(draft: Draft) -> Result<Rules, Failure> {
    let repository = draft.source_repository.clone().unwrap_or_default();
    Rules::new(draft).map_err(|error| {
        let hint = hint(&error, &repository);
        let failure = Failure::misuse(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// What to give in the place of rules that are none, where the error does not say so itself.
fn hint(error: &Error, repository: &str) -> Option<String> {
    let hint = match error {
        Error::NoScheme(_) => {
            return Some(format!(
                "as provenance names it: --source-repository https://{repository}, or git@HOST:PATH"
            ));
        }
        Error::Wildcard { .. } => "give each value in full, the flag once for each",
        Error::RefWithoutRepository => "give --source-repository too",
        Error::RefInRepository(_) => "give what stands behind the @ as --source-ref",
        Error::BuildType { .. } => {
            "leave out --provenance, or give the build types of that version"
        }
        Error::NeverTold(_) => "leave out --succeeded, or --build-type",
        Error::NoAge => "give --max-age 30d, or another time",
        Error::NotAUri(_)
        | Error::SignatureType
        | Error::RefForm(_)
        | Error::Empty { .. }
        | Error::Unseen { .. }
        | Error::Long { .. }
        | Error::Many { .. } => return None,
    };
    Some(hint.to_owned())
}

/// A duration as people write it, with days.
fn age(text: &str) -> Result<Duration, Failure> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    let seconds = days.and_then(|days: u64| days.checked_mul(86_400));
    let duration = match seconds {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => parameters::duration(text),
    };
    duration.ok_or_else(|| {
        Failure::misuse(anyhow!("--max-age {text:?} is no duration"))
            .hint("write it as 90m, 12h or 30d, or in seconds")
    })
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn an_age_is_in_days_or_in_smaller_units() {
        for (text, wanted) in [
            ("30d", 30 * 86_400),
            ("12h", 43_200),
            ("1h30m", 5400),
            ("90", 90),
        ] {
            assert_eq!(age(text).ok(), Some(Duration::from_secs(wanted)), "{text}");
        }
        for text in ["d", "-1d", "1.5.d", "-5m", "soon", "99999999999999999999d"] {
            assert!(age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_flag_is_refused_by_name_and_never_takes_a_rule_away() {
        let command = || {
            let command = <RuleArgs as clap::Args>::augment_args(Command::new("x"));
            command.mut_args(|arg| arg.env(None::<&str>))
        };
        for flag in [
            "--builder-id",
            "--build-type",
            "--source-repository",
            "--source-ref",
            "--type",
            "--max-age",
        ] {
            for args in [
                vec!["x".to_owned(), format!("{flag}=")],
                vec!["x".to_owned(), flag.to_owned(), String::new()],
            ] {
                let error = command()
                    .try_get_matches_from(&args)
                    .expect_err("it is empty");
                assert_eq!(error.exit_code(), i32::from(crate::exit::MISUSE));
                assert!(error.to_string().contains(flag), "{args:?}: {error}");
            }
        }
        let error = command().try_get_matches_from(["x", "--builder-id", "a,,b"]);
        assert!(error.is_err_and(|error| error.to_string().contains("--builder-id")));
        let found = command().try_get_matches_from(["x", "--builder-id", "a,b"]);
        let found = found.map(|found| {
            found
                .get_many::<String>("builder_ids")
                .map_or(0, Iterator::count)
        });
        assert_eq!(found.ok(), Some(2));
    }

    #[test]
    fn empty_values_of_the_environment_are_absent() {
        let args = RuleArgs {
            builder_ids: vec![String::new()],
            source_repository: Some(String::new()),
            max_age: Some(String::new()),
            types: vec![String::new()],
            ..RuleArgs::default()
        };
        assert_eq!(args.draft().ok(), Some(Draft::default()));
        assert!(args.rules().is_ok_and(|rules| rules.is_empty()));
    }
}
