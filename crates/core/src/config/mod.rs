//! Configuration: the data of Tekton Chains' `chains-config` map, every key of it, as typed data.
//!
//! ```text
//!  map of texts ── keys (one table: name, how it is read, where it goes) ──▶ Config { artifacts, storages, signers, … , warnings }
//!                    └ values: Chains' rules for each type of value   └──▶ Error  { every problem of the map }
//! ```
//!
//! Names, defaults and allowed values are Chains' (<https://tekton.dev/docs/chains/config/>, and its `pkg/config/config.go`), so a map that
//! Chains takes means the same here, and one that it refuses is refused. Beyond Chains are `signers.cosign.key`, the keys `tekseal.*`, and
//! comma lists of formats. Where Chains stops at the first problem, all are told; where it is silent, there are warnings.
//! What a setting then does is the work of a signer, a storage or a controller.

mod keys;
mod rules;
mod settings;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use crate::duration;
use crate::format::{self, Format};
use crate::patterns::{self, NamePatterns};
use crate::run::CompletedRun;

pub use rules::{AbsentRule, ChildrenRule, KeyRule, Namespaces, Rules, UnsuccessfulRule};
pub use settings::{
    Artifact, BuildType, DocdbStorage, Encoding, GrafeasStorage, KmsOidc, KmsSigner, KmsSpire,
    LogApi, OciStorage, PubsubProvider, PubsubStorage, Secret, SignerKind, Signers, Storage,
    Storages, TagIdentity, Transparency, Upload, X509Signer,
};
pub use values::Choice;

/// Builder id of the Chains controller: what an explicit configuration stands for unless it says otherwise.
pub const CHAINS_BUILDER_ID: &str = "https://tekton.dev/chains/v2";
/// Builder id of a step that attests inside a pipeline and was given no configuration.
pub const STEP_BUILDER_ID: &str = "urn:tekseal:step:v1";
/// Builder id of a record that was made outside any cluster.
pub const LOCAL_BUILDER_ID: &str = "urn:tekseal:local:v1";

/// A whole configuration. Holds secrets: no `Debug`, no `Clone`.
pub struct Config {
    is_explicit: bool,
    taskrun: Artifact,
    pipelinerun: Artifact,
    oci: Artifact,
    storages: Storages,
    transparency: Transparency,
    signers: Signers,
    builder_id: Option<String>,
    build_type: BuildType,
    managed_by: BTreeSet<String>,
    redact_params: NamePatterns,
    tag_identity: TagIdentity,
    rules: Rules,
    keys_of_others: Vec<&'static str>,
    warnings: Vec<Warning>,
}

/// All that is wrong with a configuration, in the order in which Chains would come upon it.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has bad values: {}", joined(problems))]
pub struct Error {
    /// One for each key with a bad value; never empty.
    pub problems: Vec<Problem>,
    /// What else is odd, so that all of it can be mended at once.
    pub warnings: Vec<Warning>,
}

/// One bad value.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Problem {
    /// The key.
    pub key: &'static str,
    /// What is wrong with its value.
    pub reason: Reason,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The value, or a piece of it, is not one of a closed set.
    #[error("value {value:?} is not known, wanted {}", allowed.join(", "))]
    NotOneOf {
        /// The value, or the piece of it.
        value: String,
        /// What may stand there.
        allowed: Vec<&'static str>,
    },
    /// A format is not known.
    #[error(transparent)]
    Format(format::Error),
    /// The value is no list of name patterns.
    #[error(transparent)]
    Patterns(patterns::Error),
    /// The value is no duration.
    #[error(transparent)]
    Duration(duration::Error),
    /// A line of the value is no rule for keys.
    #[error("line {0:?} is no rule, wanted `NAMESPACE: KEY` or `LABEL=VALUE: KEY`")]
    KeyRule(String),
    /// An empty piece in a list of registries.
    #[error("there is an empty piece in the list, wanted registries separated by commas")]
    Registries,
}

/// What is odd about a configuration that is taken nevertheless. Values that may be secret are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Neither Chains nor tekseal knows the key, so it was ignored.
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// Chains passes over the value in silence, and so the default stays.
    IgnoredValue {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would have been taken.
        wanted: &'static str,
    },
}

impl Config {
    /// The configuration of a step that was given none: Chains' defaults but for the builder id.
    #[must_use]
    pub fn of_a_step() -> Self {
        Self {
            is_explicit: false,
            taskrun: Artifact::new(&[Format::InToto], Storage::Tekton),
            pipelinerun: Artifact::new(&[Format::InToto], Storage::Tekton),
            oci: Artifact::new(&[], Storage::Oci),
            storages: Storages::default(),
            transparency: Transparency::default(),
            signers: Signers::default(),
            builder_id: None,
            build_type: BuildType::default(),
            managed_by: BTreeSet::new(),
            redact_params: NamePatterns::default(),
            tag_identity: TagIdentity::default(),
            rules: Rules::default(),
            keys_of_others: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads the data of a `chains-config` map, key to value.
    ///
    /// # Errors
    /// All bad values at once. Keys that are not known, and values that Chains ignores, are `warnings`.
    pub fn from_map(map: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut config = Self {
            is_explicit: true,
            ..Self::of_a_step()
        };
        let mut problems = Vec::new();
        for key in keys::KEYS {
            let Some(value) = map.get(key.name) else {
                continue;
            };
            if !key.shapes_payloads {
                config.keys_of_others.push(key.name);
            }
            match (key.put)(&mut config, value) {
                Ok(()) => {}
                Err(values::Objection::Refused(reason)) => problems.push(Problem {
                    key: key.name,
                    reason,
                }),
                Err(values::Objection::Ignored(wanted)) => {
                    config.warnings.push(Warning::IgnoredValue {
                        key: key.name,
                        value: value.clone(),
                        wanted,
                    });
                }
            }
        }
        // Tekton's ConfigMaps explain themselves under the key `_example`.
        let unknown = map
            .keys()
            .filter(|name| *name != "_example" && keys::KEYS.iter().all(|key| key.name != *name));
        config
            .warnings
            .extend(unknown.map(|key| Warning::UnknownKey {
                key: key.clone(),
                nearest: keys::nearest(key),
            }));
        if !problems.is_empty() {
            return Err(Error {
                problems,
                warnings: config.warnings,
            });
        }
        Ok(config)
    }

    /// What is made of TaskRuns.
    #[must_use]
    pub fn taskrun(&self) -> &Artifact {
        &self.taskrun
    }

    /// What is made of PipelineRuns.
    #[must_use]
    pub fn pipelinerun(&self) -> &Artifact {
        &self.pipelinerun
    }

    /// What is made of the images that runs name.
    #[must_use]
    pub fn oci(&self) -> &Artifact {
        &self.oci
    }

    /// The types of artifact that something is made of, each with its name in the keys.
    pub fn enabled(&self) -> impl Iterator<Item = (&'static str, &Artifact)> {
        let artifacts = [
            ("taskrun", &self.taskrun),
            ("pipelinerun", &self.pipelinerun),
            ("oci", &self.oci),
        ];
        let enabled = artifacts.into_iter();
        enabled.filter(|(_, artifact)| artifact.is_enabled())
    }

    /// Settings of the storages.
    #[must_use]
    pub fn storages(&self) -> &Storages {
        &self.storages
    }

    /// What goes into a transparency log.
    #[must_use]
    pub fn transparency(&self) -> &Transparency {
        &self.transparency
    }

    /// Settings of the signers.
    #[must_use]
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

    /// The build type of provenance v1.
    #[must_use]
    pub fn build_type(&self) -> BuildType {
        self.build_type
    }

    /// Whose runs are attested beside Tekton's own: values of a run's `spec.managedBy`. Empty where the key is absent.
    #[must_use]
    pub fn managed_by(&self) -> &BTreeSet<String> {
        &self.managed_by
    }

    /// Parameters whose values must not stand in provenance.
    #[must_use]
    pub fn redact_params(&self) -> &NamePatterns {
        &self.redact_params
    }

    /// Whether images are signed under their names with tags too.
    #[must_use]
    pub fn tag_identity(&self) -> TagIdentity {
        self.tag_identity
    }

    /// What a controller does beyond what Chains' keys say.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Known keys of the map that have no say in the bytes of payloads.
    #[must_use]
    pub fn keys_of_others(&self) -> &[&'static str] {
        &self.keys_of_others
    }

    /// A key that is not known and begins as ours do: Chains has none of these, so it is a slip, and may be one that should hide something.
    #[must_use]
    pub fn unknown_key_of_ours(&self) -> Option<&str> {
        self.warnings.iter().find_map(|warning| match warning {
            Warning::UnknownKey { key, .. } => {
                Some(key.as_str()).filter(|key| key.starts_with("tekseal."))
            }
            Warning::IgnoredValue { .. } => None,
        })
    }

    /// What is odd about the map.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The builder id for `run`: what the configuration says, even if it is empty; else an id of its own for a local record, whose maker
    /// was no Tekton; else Chains' default when a configuration was given at all; else that of a step.
    #[must_use]
    pub fn builder_id(&self, run: &CompletedRun<'_>) -> &str {
        if let Some(id) = &self.builder_id {
            return id;
        }
        if run.is_local_record() {
            return LOCAL_BUILDER_ID;
        }
        if self.is_explicit {
            CHAINS_BUILDER_ID
        } else {
            STEP_BUILDER_ID
        }
    }
}

/// One format by its exact name, as Chains reads it, or a comma list of several, blanks around each ignored; aliases of one another count once.
///
/// # Errors
/// `Unknown` for a name that is no format's, also for an empty one.
pub fn formats(text: &str) -> Result<Vec<Format>, format::Error> {
    if !text.contains(',') {
        return Ok(vec![Format::parse(text)?]);
    }
    let mut list: Vec<Format> = Vec::new();
    for name in text.split(',') {
        let format = Format::parse(name.trim())?;
        if !list.iter().any(|f| f.is_alias_of(format)) {
            list.push(format);
        }
    }
    Ok(list)
}

fn joined(problems: &[Problem]) -> String {
    let texts: Vec<_> = problems.iter().map(Problem::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        Config::from_map(&map(pairs)).unwrap_or_else(|e| panic!("{pairs:?}: {e}"))
    }

    fn refused(pairs: &[(&str, &str)]) -> Error {
        Config::from_map(&map(pairs))
            .err()
            .unwrap_or_else(|| panic!("{pairs:?} was taken"))
    }

    fn run(annotations: &str) -> String {
        format!(
            r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{{"annotations":{annotations}}},
                "status":{{"conditions":[{{"type":"Succeeded","status":"True"}}]}}}}"#
        )
    }

    #[test]
    fn builder_ids_are_honest() {
        let (local, tekton) = (run(r#"{"tekseal.dev/local-record":"true"}"#), run("{}"));
        let local =
            CompletedRun::from_json(local.as_bytes(), &[], crate::run::MissingChildren::Refuse)
                .expect("well formed");
        let tekton =
            CompletedRun::from_json(tekton.as_bytes(), &[], crate::run::MissingChildren::Refuse)
                .expect("well formed");
        let chains = config(&[]);
        assert_eq!(Config::of_a_step().builder_id(&tekton), STEP_BUILDER_ID);
        assert_eq!(Config::of_a_step().builder_id(&local), LOCAL_BUILDER_ID);
        assert_eq!(chains.builder_id(&tekton), CHAINS_BUILDER_ID);
        assert_eq!(chains.builder_id(&local), LOCAL_BUILDER_ID);
        assert_eq!(
            config(&[("builder.id", "urn:x")]).builder_id(&local),
            "urn:x"
        );
        assert_eq!(config(&[("builder.id", "")]).builder_id(&local), "");
    }

    #[test]
    fn all_problems_are_told_at_once_in_the_order_of_chains() {
        let error = refused(&[
            ("tekseal.redact-params", "[a-z]"),
            ("builddefinition.buildtype", "https://example.com/bt"),
            ("artifacts.taskrun.format", "slsa/v9"),
            ("artifacts.oci.storage", "oci,s3"),
            ("signers.kms.auth.token", "hunter2"),
        ]);
        let keys: Vec<_> = error.problems.iter().map(|p| p.key).collect();
        assert_eq!(
            keys,
            [
                "artifacts.taskrun.format",
                "artifacts.oci.storage",
                "builddefinition.buildtype",
                "tekseal.redact-params"
            ]
        );
        let text = error.to_string();
        for part in [
            "slsa/v9",
            "slsa/v2alpha4",
            "artifacts.oci.storage: value \"s3\" is not known, wanted archivista, docdb, gcs, grafeas, kafka, oci, tekton",
            "https://tekton.dev/chains/v2/slsa-tekton",
            "[a-z]",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("hunter2"));
    }

    #[test]
    fn unknown_keys_are_warned_of_with_the_nearest_known_one() {
        for (unknown, nearest) in [
            ("artifacts.taskrun.Format", Some("artifacts.taskrun.format")),
            ("artifacts.taskrun.formt", Some("artifacts.taskrun.format")),
            ("bulder.id", Some("builder.id")),
            ("BUILDER.ID", Some("builder.id")),
            (
                "signers.x509.fulcio.adress",
                Some("signers.x509.fulcio.address"),
            ),
            ("transparency.uri", Some("transparency.url")),
            ("tekseal.redact_params", Some("tekseal.redact-params")),
            ("unknown.key", None),
            ("", None),
        ] {
            assert_eq!(
                config(&[(unknown, "hunter2")]).warnings(),
                [Warning::UnknownKey {
                    key: unknown.to_owned(),
                    nearest
                }]
            );
        }
        let long = "artifacts.taskrun.format".repeat(10_000);
        assert_eq!(keys::nearest(&long), None);
    }

    #[test]
    fn values_that_chains_ignores_leave_the_default_and_a_warning() {
        let deep = "artifacts.pipelinerun.enable-deep-inspection";
        for (key, value) in [
            (deep, "yes"),
            (deep, ""),
            (deep, "tRUE"),
            ("transparency.enabled", "True"),
            ("transparency.enabled", "1"),
        ] {
            let config = config(&[(key, value)]);
            assert!(!config.pipelinerun().deep_inspection);
            assert_eq!(config.transparency().upload, Upload::Off);
            assert!(
                matches!(config.warnings(), [Warning::IgnoredValue { key: k, value: v, .. }] if *k == key && v == value),
                "{key}={value}: {:?}",
                config.warnings()
            );
        }
        for value in ["", "false"] {
            assert!(
                config(&[("transparency.enabled", value)])
                    .warnings()
                    .is_empty()
            );
        }
    }

    #[test]
    fn an_artifact_without_storage_or_signer_is_off() {
        let off = config(&[
            ("artifacts.taskrun.storage", ""),
            ("artifacts.oci.signer", "none"),
        ]);
        assert!(!off.taskrun().is_enabled());
        assert!(!off.oci().is_enabled());
        assert!(off.pipelinerun().is_enabled());
        for value in ["tekton,", ",", " ", "tekton,,oci", "Tekton"] {
            refused(&[("artifacts.taskrun.storage", value)]);
        }
        let twice = config(&[("artifacts.taskrun.storage", "tekton, oci ,tekton")]);
        assert_eq!(
            twice.taskrun().storages,
            BTreeSet::from([Storage::Oci, Storage::Tekton])
        );
    }

    #[test]
    fn several_formats_are_a_list_in_which_aliases_count_once() {
        let of = |text: &str| {
            config(&[("artifacts.pipelinerun.format", text)])
                .pipelinerun()
                .formats
                .clone()
        };
        assert_eq!(of("slsa/v1, in-toto"), [Format::SlsaV1]);
        assert_eq!(
            of("slsa/v1,slsa/v2alpha4"),
            [Format::SlsaV1, Format::SlsaV2alpha4]
        );
        assert_eq!(of("in-toto"), [Format::InToto]);
        for text in [
            "",
            ",",
            "slsa/v1,",
            "slsa/v1,,in-toto",
            " slsa/v1",
            "SLSA/v1",
        ] {
            refused(&[("artifacts.taskrun.format", text)]);
            assert!(formats(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_keys_beyond_chains_are_read() {
        let config = config(&[
            ("signers.cosign.key", "k8s://ns/signing-secrets"),
            ("tekseal.redact-params", "*password*, api-token"),
            ("signers.kms.auth.token", "hunter2"),
        ]);
        assert!(config.warnings().is_empty());
        assert_eq!(config.signers().cosign_key, "k8s://ns/signing-secrets");
        assert_eq!(config.signers().kms.token.reveal(), "hunter2");
        assert!(config.redact_params().matches("DB_PASSWORD"));
        assert!(!config.redact_params().matches("api-tokens"));
        assert_eq!(config.tag_identity(), TagIdentity::Off);
        assert_eq!(
            config.keys_of_others(),
            ["signers.kms.auth.token", "signers.cosign.key"]
        );
    }

    #[test]
    fn names_with_tags_are_signed_where_it_says_so_in_so_many_words() {
        let of = |value| config(&[("tekseal.tag-identity", value)]);
        assert_eq!(of("true").tag_identity(), TagIdentity::On);
        assert_eq!(of("false").tag_identity(), TagIdentity::Off);
        for value in ["", "yes", "on"] {
            let config = of(value);
            assert_eq!(config.tag_identity(), TagIdentity::Off);
            assert!(matches!(config.warnings(), [Warning::IgnoredValue { .. }]));
        }
    }

    #[test]
    fn no_key_stands_twice_in_the_table() {
        let names: BTreeSet<_> = keys::KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), keys::KEYS.len());
        // `nearest` compares without regard to case and relies on it.
        assert!(names.iter().all(|name| name.to_lowercase() == **name));
    }
}
