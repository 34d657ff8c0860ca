//! The configuration as it is now: followed while it changes, and the last good one kept while it is bad.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tekseal_cluster::{Cluster, ConfigSource, watch_settings};
use tekseal_core::config::{Choice as _, Config, SignerKind, Storage, Upload, Warning};
use tokio::sync::watch;

use crate::keys::Source;
use crate::prepare;
use crate::trouble::chain;

/// A good configuration.
pub(crate) struct Live {
    /// What it says.
    pub(crate) config: Config,
    /// Counts the changes.
    pub(crate) generation: u64,
}

/// What is known of the configuration.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The last good one, if there was one.
    pub(crate) live: Option<Arc<Live>>,
    /// What is wrong with the one that is there now.
    pub(crate) problem: Option<String>,
}

/// Follows the configuration for ever.
pub(crate) async fn follow(cluster: Cluster, source: ConfigSource, sender: watch::Sender<State>) {
    let mut changes = watch_settings(&cluster, &source);
    let mut generation = 0;
    while let Some(change) = changes.next().await {
        let read = match change {
            Ok(Some(map)) => read(&map),
            Ok(None) => Err(format!("{source} is not there")),
            Err(error) => {
                // What was read before holds; only without anything before is it worth a word in `readyz`.
                tracing::warn!(error = chain(&error), "cannot follow the configuration");
                if sender.borrow().live.is_some() {
                    continue;
                }
                Err(chain(&error))
            }
        };
        match read {
            Ok(config) => {
                generation += 1;
                tracing::info!(source = %source, generation, "read the configuration");
                sender.send_replace(State {
                    live: Some(Arc::new(Live { config, generation })),
                    problem: None,
                });
            }
            Err(problem) => {
                tracing::error!(source = %source, problem, "the configuration cannot be used; the last good one holds, if there was one");
                sender.send_modify(|state| state.problem = Some(problem));
            }
        }
    }
}

/// A configuration that this version can carry out.
///
/// # Errors
/// All that is wrong with it, in words.
fn read(map: &BTreeMap<String, String>) -> Result<Config, String> {
    let config = Config::from_map(map).map_err(|error| {
        error.warnings.iter().for_each(tell);
        chain(&error)
    })?;
    config.warnings().iter().for_each(tell);
    if let Some(key) = config.unknown_key_of_ours() {
        return Err(format!("key {key:?} is not known"));
    }
    let oci = &config.storages().oci;
    if oci.layout.has_bundles() && !oci.repository.is_empty() {
        tracing::warn!(
            "storage.oci.repository is for tags; bundles are in the repository of the image, as with Tekton Chains"
        );
    }
    let beyond = beyond(&config);
    match beyond.is_empty() {
        true => Ok(config),
        false => Err(beyond.join("; ")),
    }
}

/// What the configuration asks for that this version does not have: nothing is signed in another way than was asked for.
fn beyond(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let artifacts = [
        ("taskrun", config.taskrun()),
        ("pipelinerun", config.pipelinerun()),
        ("oci", config.oci()),
    ];
    for (name, artifact) in artifacts.into_iter().filter(|(_, a)| a.is_enabled()) {
        for &storage in &artifact.storages {
            if !matches!(storage, Storage::Oci | Storage::Tekton) {
                let storage = storage.name();
                found.push(format!(
                    "artifacts.{name}.storage: {storage} is not built yet, use oci or tekton"
                ));
            }
        }
        if artifact.signer == SignerKind::Kms {
            found.push(format!(
                "artifacts.{name}.signer: kms is not built yet, use x509"
            ));
        }
    }
    if config.transparency().upload != Upload::Off {
        found.push(
            "transparency.enabled: transparency logs are not built yet, set it to false".to_owned(),
        );
    }
    if config.signers().x509.fulcio_enabled {
        found.push(
            "signers.x509.fulcio.enabled: certificates of Fulcio are not built yet".to_owned(),
        );
    }
    if let Err(problem) = prepare::repository(config) {
        found.push(problem);
    }
    let keys = config.rules().keys.iter().map(|rule| rule.key.as_str());
    let platform = Some(config.signers().cosign_key.as_str()).filter(|key| !key.is_empty());
    for key in keys.chain(platform) {
        if let Err(error) = Source::parse(key) {
            found.push(error.to_string());
        }
    }
    found
}

fn tell(warning: &Warning) {
    match warning {
        Warning::UnknownKey { key, nearest } => {
            let meant = nearest.unwrap_or("nothing similar");
            tracing::warn!(
                key,
                meant,
                "a key of the configuration is not known and is ignored"
            );
        }
        Warning::IgnoredValue { key, value, wanted } => {
            tracing::warn!(
                key,
                value,
                wanted,
                "a value of the configuration is not understood, and the default holds"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(pairs: &[(&str, &str)]) -> String {
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let map = pairs.iter().map(owned).collect();
        read(&map).err().unwrap_or_default()
    }

    #[test]
    fn what_is_not_built_yet_is_refused_by_its_key() {
        for (key, value) in [
            ("artifacts.taskrun.storage", "gcs"),
            ("artifacts.oci.signer", "kms"),
            ("transparency.enabled", "true"),
            ("signers.x509.fulcio.enabled", "true"),
            ("storage.oci.repository", "UPPER/case"),
        ] {
            let said = problems(&[(key, value)]);
            assert!(said.contains(key), "{key}: {said:?}");
        }
        let said = problems(&[("signers.cosign.key", "awskms:///alias/x")]);
        assert!(said.contains("awskms"), "{said}");
        let said = problems(&[
            ("tekseal.unknown", "x"),
            ("artifacts.taskrun.format", "slsa/v1"),
        ]);
        assert!(said.contains("tekseal.unknown"), "{said}");
    }

    #[test]
    fn what_is_off_may_name_anything() {
        let off = [
            ("artifacts.taskrun.signer", "none"),
            ("artifacts.taskrun.storage", "gcs"),
        ];
        assert_eq!(problems(&off), "");
        assert_eq!(problems(&[]), "");
    }
}
