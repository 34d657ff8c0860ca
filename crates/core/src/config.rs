//! Configuration: the keys of Tekton Chains' `chains-config` map that shape what is formatted.
//!
//! Defaults are Chains'. A bad value is an error naming the allowed ones; all errors of a map are reported at once.
//! Keys that Chains has for its controller are accepted and left to the programs they concern.

use std::collections::BTreeMap;

use crate::format::{self, Format};
use crate::run::CompletedRun;

/// Builder id of the Chains controller: what an explicit configuration stands for unless it says otherwise.
pub const CHAINS_BUILDER_ID: &str = "https://tekton.dev/chains/v2";
/// Builder id of a step that attests inside a pipeline and was given no configuration.
pub const STEP_BUILDER_ID: &str = "urn:tekseal:step:v1";
/// Builder id of a record that was made outside any cluster.
pub const LOCAL_BUILDER_ID: &str = "urn:tekseal:local:v1";

const BUILDER_ID: &str = "builder.id";
const TASKRUN_FORMAT: &str = "artifacts.taskrun.format";

/// The other keys of Chains: what they set is the work of a signer, a storage or a controller.
const KEYS_OF_OTHERS: &[&str] = &[
    "artifacts.taskrun.storage",
    "artifacts.taskrun.signer",
    "artifacts.pipelinerun.format",
    "artifacts.pipelinerun.storage",
    "artifacts.pipelinerun.signer",
    "artifacts.pipelinerun.enable-deep-inspection",
    "artifacts.oci.format",
    "artifacts.oci.storage",
    "artifacts.oci.signer",
    "storage.pubsub.provider",
    "storage.pubsub.topic",
    "storage.pubsub.kafka.bootstrap.servers",
    "storage.gcs.bucket",
    "storage.oci.repository",
    "storage.oci.repository.insecure",
    "storage.oci.encoding-format",
    "storage.docdb.url",
    "storage.docdb.mongo-server-url",
    "storage.docdb.mongo-server-url-dir",
    "storage.docdb.mongo-server-url-path",
    "storage.archivista.url",
    "storage.grafeas.projectid",
    "storage.grafeas.noteid",
    "storage.grafeas.notehint",
    "transparency.enabled",
    "transparency.url",
    "signers.kms.kmsref",
    "signers.kms.auth.address",
    "signers.kms.auth.token",
    "signers.kms.auth.token-path",
    "signers.kms.auth.oidc.path",
    "signers.kms.auth.oidc.role",
    "signers.kms.auth.oidc.token-path",
    "signers.kms.auth.spire.sock",
    "signers.kms.auth.spire.audience",
    "signers.x509.fulcio.enabled",
    "signers.x509.fulcio.address",
    "signers.x509.fulcio.issuer",
    "signers.x509.fulcio.provider",
    "signers.x509.identity.token.file",
    "signers.x509.tuf.mirror.url",
    "builddefinition.buildtype",
    "filter.managed-by",
];

/// What a configuration says about formatting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    builder_id: Option<String>,
    is_explicit: bool,
    taskrun_formats: Vec<Format>,
    unknown_keys: Vec<String>,
    keys_of_others: Vec<String>,
}

/// All that is wrong with a configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the configuration has bad values: {}", problems.join("; "))]
pub struct Error {
    /// One text per problem, with key and value.
    pub problems: Vec<String>,
}

impl Config {
    /// The configuration of a step that was given none.
    #[must_use]
    pub fn of_a_step() -> Self {
        Self {
            builder_id: None,
            is_explicit: false,
            taskrun_formats: vec![Format::InToto],
            unknown_keys: Vec::new(),
            keys_of_others: Vec::new(),
        }
    }

    /// Reads the data of a `chains-config` map.
    pub fn from_map(map: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut config = Self {
            is_explicit: true,
            ..Self::of_a_step()
        };
        let mut problems = Vec::new();
        for (key, value) in map {
            match key.as_str() {
                BUILDER_ID => config.builder_id = Some(value.clone()),
                TASKRUN_FORMAT => match formats(value) {
                    Ok(list) => config.taskrun_formats = list,
                    Err(error) => problems.push(format!("{key}: {error}")),
                },
                known if KEYS_OF_OTHERS.contains(&known) => config.keys_of_others.push(key.clone()),
                _ => config.unknown_keys.push(key.clone()),
            }
        }
        if !problems.is_empty() {
            return Err(Error { problems });
        }
        Ok(config)
    }

    /// Formats in which a TaskRun is attested.
    #[must_use]
    pub fn taskrun_formats(&self) -> &[Format] {
        &self.taskrun_formats
    }

    /// Keys of Chains that have no say in formatting.
    #[must_use]
    pub fn keys_of_others(&self) -> &[String] {
        &self.keys_of_others
    }

    /// Keys that neither Chains nor tekseal knows.
    #[must_use]
    pub fn unknown_keys(&self) -> &[String] {
        &self.unknown_keys
    }

    /// The builder id for `run`: what the configuration says; else an id of its own for a local record, whose maker was no Tekton;
    /// else Chains' default when a configuration was given at all; else that of a step.
    #[must_use]
    pub fn builder_id(&self, run: &CompletedRun) -> &str {
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

/// A comma list of formats; aliases of one another count once.
pub fn formats(text: &str) -> Result<Vec<Format>, format::Error> {
    let mut list: Vec<Format> = Vec::new();
    for name in text.split(',') {
        let format = Format::parse(name.trim())?;
        if !list.iter().any(|f| f.is_alias_of(format)) {
            list.push(format);
        }
    }
    Ok(list)
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

    fn run(annotations: &str) -> CompletedRun {
        let text = format!(
            r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{{"annotations":{annotations}}},
                "status":{{"conditions":[{{"type":"Succeeded","status":"True"}}]}}}}"#
        );
        CompletedRun::from_json(text.as_bytes()).expect("the test's run is well formed")
    }

    #[test]
    fn builder_ids_are_honest() {
        let local = run(r#"{"tekseal.dev/local-record":"true"}"#);
        let tekton = run("{}");
        let chains = Config::from_map(&map(&[])).expect("empty is allowed");
        assert_eq!(Config::of_a_step().builder_id(&tekton), STEP_BUILDER_ID);
        assert_eq!(chains.builder_id(&tekton), CHAINS_BUILDER_ID);
        assert_eq!(chains.builder_id(&local), LOCAL_BUILDER_ID);
        let own =
            Config::from_map(&map(&[("builder.id", "urn:x")])).expect("a builder id is any text");
        assert_eq!(own.builder_id(&local), "urn:x");
    }

    #[test]
    fn bad_values_are_refused_and_unknown_keys_are_named() {
        let error = Config::from_map(&map(&[("artifacts.taskrun.format", "slsa/v9")]))
            .expect_err("no such format");
        assert!(
            error.to_string().contains("artifacts.taskrun.format")
                && error.to_string().contains("slsa/v1")
        );
        let config = Config::from_map(&map(&[
            ("bulder.id", "x"),
            ("storage.oci.repository", "r"),
            ("artifacts.taskrun.formt", "x"),
        ]))
        .expect("fine");
        assert_eq!(
            config.unknown_keys(),
            ["artifacts.taskrun.formt", "bulder.id"]
        );
        assert_eq!(config.keys_of_others(), ["storage.oci.repository"]);
    }

    #[test]
    fn aliases_are_one_format() {
        assert_eq!(formats("slsa/v1, in-toto"), Ok(vec![Format::SlsaV1]));
        assert!(formats("").is_err());
    }
}
