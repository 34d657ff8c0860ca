//! The configuration as it is now: followed while it changes, and the last good one kept while it is bad.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tekseal_attest::Witnesses;
use tekseal_attest::settings::{self, RootMirror, RootText, Told};
use tekseal_cluster::{Cluster, ConfigSource, watch_settings};
use tekseal_core::config::{Config, Upload, Warning};
use tekseal_custody::token::Source;
use tekseal_custody::{Fulcio, Keyless, VaultSettings};
use tekseal_remote::rest::Options;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::roots::Roots;
use crate::trouble::chain;

/// A good configuration.
pub(crate) struct Live {
    /// What it says.
    pub(crate) config: Config,
    /// Counts the changes.
    pub(crate) generation: u64,
    /// Who is told of what is signed.
    pub(crate) told: Told,
    /// How services that hold keys are reached.
    pub(crate) custody: tekseal_custody::Context,
    /// Where certificates come from, if something is signed with them.
    pub(crate) keyless: Option<Keyless>,
}

impl Live {
    /// Who is told of what is signed of a run.
    pub(crate) fn witnesses(&self, asks_for_log: bool) -> Option<&Witnesses> {
        let is_logged = match self.config.transparency().upload {
            Upload::Off => false,
            Upload::Always => true,
            Upload::Manual => asks_for_log,
        };
        match is_logged {
            true => self.told.logged.as_ref(),
            false => self.told.unlogged.as_ref(),
        }
    }
}

/// What is known of the configuration.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The last good one, if there was one.
    pub(crate) live: Option<Arc<Live>>,
    /// What is wrong with the one that is there now.
    pub(crate) problem: Option<String>,
}

/// Follows the configuration for ever, and the trusted root that its mirror has. `ca` are files with certificate authorities of logs and mirrors, beside
/// the system's.
pub(crate) async fn follow(
    cluster: Cluster,
    source: ConfigSource,
    ca: Vec<PathBuf>,
    sender: watch::Sender<State>,
) {
    let mut changes = watch_settings(&cluster, &source);
    let mut roots = Roots::new(ca.clone());
    let mut map = BTreeMap::new();
    let mut generation = 0;
    loop {
        let change = tokio::select! {
            change = changes.next() => match change {
                Some(change) => Some(change),
                None => return,
            },
            () = due(roots.next()) => None,
        };
        let is_change = change.is_some();
        let before = roots.last().map(str::to_owned);
        let read = match change {
            Some(Ok(Some(new))) => {
                map = new;
                read(&map, &ca, &mut roots).await
            }
            None => read(&map, &ca, &mut roots).await,
            Some(Ok(None)) => {
                roots.forget();
                Err(format!("{source} is not there"))
            }
            Some(Err(error)) => {
                // What was read before holds; only without anything before is it worth a word in `readyz`.
                tracing::warn!(error = chain(&error), "cannot follow the configuration");
                if sender.borrow().live.is_some() {
                    continue;
                }
                Err(chain(&error))
            }
        };
        // A configuration that is bad already before its mirror is looked at leaves it due.
        roots.put_off();
        if !is_change && before.is_some() && before.as_deref() == roots.last() {
            continue;
        }
        match read {
            Ok((config, told, keyless)) => {
                generation += 1;
                tracing::info!(source = %source, generation, "read the configuration");
                sender.send_replace(State {
                    live: Some(Arc::new(Live {
                        custody: custody(&config, &ca),
                        config,
                        generation,
                        told,
                        keyless,
                    })),
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

/// Waits until then, or for ever.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// How often one request to a service that holds keys is sent: the queue tries again later anyway.
const TRIES: u32 = 3;
/// For how long it is waited for: less than an attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How services that hold keys are reached: `signers.kms.auth.*`, and what is not set there where their own tools look.
pub(crate) fn custody(config: &Config, ca: &[PathBuf]) -> tekseal_custody::Context {
    let kms = &config.signers().kms;
    let context = tekseal_custody::Context::new(tekseal_custody::Settings {
        options: Options {
            ca: ca.to_vec(),
            timeout: TIMEOUT,
            tries: TRIES,
            ..Options::default()
        },
        vault: VaultSettings::of_config(kms),
        plugin_timeout: Some(TIMEOUT),
        plugin_notice: Some(|program, text| tracing::info!(program, text, "the plugin says")),
        plain_notice: Some(|what, host| {
            tracing::warn!(
                what,
                host,
                "plain http: anybody on the way may read what is sent"
            );
        }),
    });
    if let Some(warning) = context.warning() {
        tracing::warn!("{warning}");
    }
    context
}

/// A configuration that this version can carry out, with the trusted root that its mirror has, if it names one.
///
/// # Errors
/// All that is wrong with it, in words.
async fn read(
    map: &BTreeMap<String, String>,
    ca: &[PathBuf],
    roots: &mut Roots,
) -> Result<(Config, Told, Option<Keyless>), String> {
    let config = Config::from_map(map).map_err(|error| {
        error.warnings.iter().for_each(tell);
        chain(&error)
    })?;
    config.warnings().iter().for_each(tell);
    let clock = || Timestamp::now().as_second();
    let of_mirror = match RootMirror::of(&config)? {
        Some(mirror) => Some(roots.of(&mirror).await?),
        None => {
            roots.forget();
            None
        }
    };
    let root = of_mirror.as_deref().map(RootText::of_mirror);
    let root = root.unwrap_or_else(|| RootText::of(&config));
    let told = settings::carry_out(&config, root, ca, clock)?;
    let keyless = match settings::uses_certificates(&config) {
        true => Some(keyless(&config, root, ca, clock)?),
        false => None,
    };
    let oci = &config.storages().oci;
    if oci.layout.has_bundles() && !oci.repository.is_empty() {
        tracing::warn!(
            "storage.oci.repository is for tags; bundles are in the repository of the image, as with Tekton Chains"
        );
    }
    Ok((config, told, keyless))
}

/// Certificates of Fulcio, as `signers.x509` says.
///
/// # Errors
/// If that is no Fulcio, or no provider, in words.
fn keyless(
    config: &Config,
    root: RootText<'_>,
    ca: &[PathBuf],
    clock: fn() -> i64,
) -> Result<Keyless, String> {
    let x509 = &config.signers().x509;
    let context = custody(config, ca);
    let trust = settings::trust(root)?;
    let fulcio = Fulcio::new(&x509.fulcio_address, &context, trust)
        .map_err(|error| format!("signers.x509.fulcio.address: {}", chain(&error)))?;
    let source = Source::of_config(x509)
        .map_err(|error| format!("signers.x509.fulcio.provider: {}", chain(&error)))?;
    Ok(Keyless::new(source, fulcio, context, clock))
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let mut roots = Roots::new(Vec::new());
        let read = runtime
            .expect("a runtime")
            .block_on(read(&map, &[], &mut roots));
        read.err().unwrap_or_default()
    }

    #[test]
    fn what_is_not_built_yet_is_refused_by_its_key() {
        for (key, value) in [
            ("artifacts.taskrun.storage", "gcs"),
            ("artifacts.oci.signer", "kms"),
            ("storage.oci.repository", "UPPER/case"),
        ] {
            let said = problems(&[(key, value)]);
            assert!(said.contains(key), "{key}: {said:?}");
        }
        let said = problems(&[("signers.cosign.key", "env://KEY")]);
        assert!(said.contains("env://KEY"), "{said}");
        let said = problems(&[
            ("tekseal.unknown", "x"),
            ("artifacts.taskrun.format", "slsa/v1"),
        ]);
        assert!(said.contains("tekseal.unknown"), "{said}");
    }

    #[test]
    fn keys_of_services_are_taken_and_malformed_ones_named() {
        let kms = ("artifacts.oci.signer", "kms");
        for (reference, wanted) in [
            ("hashivault://k", ""),
            ("awskms:///alias/a", ""),
            ("hashivault://a/b", "hashivault://KEY"),
            ("/a/file", "no key of a service"),
            ("k8s://a/b", "no key of a service"),
        ] {
            let said = problems(&[kms, ("signers.kms.kmsref", reference)]);
            assert_eq!(said.is_empty(), wanted.is_empty(), "{said}");
            assert!(said.contains(wanted), "{reference}: {said}");
            assert_eq!(
                problems(&[("signers.kms.kmsref", reference)]),
                "",
                "nobody asks it"
            );
        }
        assert_eq!(problems(&[("signers.cosign.key", "hashivault://k")]), "");
        assert_eq!(problems(&[kms, ("signers.cosign.key", "k8s://a/b")]), "");
    }

    #[test]
    fn certificates_want_somebody_who_says_when_they_signed() {
        let fulcio = ("signers.x509.fulcio.enabled", "true");
        let said = problems(&[fulcio]);
        assert!(said.contains("transparency.enabled"), "{said}");
        let manual = problems(&[fulcio, ("transparency.enabled", "manual")]);
        assert_eq!(manual, said);
        let logged = ("transparency.enabled", "true");
        assert_eq!(problems(&[fulcio, logged]), "");
        for (key, value) in [
            ("signers.x509.fulcio.address", "nowhere"),
            ("signers.x509.fulcio.provider", "carrier-pigeon"),
        ] {
            let said = problems(&[fulcio, logged, (key, value)]);
            assert!(said.starts_with(key), "{key}: {said}");
        }
        let other = ("signers.cosign.key", "k8s://a/b");
        assert_eq!(problems(&[fulcio, other]), "", "a key goes before them");
    }

    #[test]
    fn logs_that_cannot_be_believed_or_kept_are_refused_by_the_key_to_change() {
        let on = ("transparency.enabled", "true");
        let v2 = ("tekseal.tlog", "v2");
        let root = include_str!("../../../tests/fixtures/cosign-samples/keys/trusted_root.json");
        let root = ("tekseal.trusted-root", root);
        let bundles = ("storage.oci.encoding-format", "sigstore-bundle");
        let storage = ["taskrun", "pipelinerun"].map(|name| format!("artifacts.{name}.storage"));
        let storage = [(&*storage[0], "oci"), (&*storage[1], "oci")];
        assert_eq!(problems(&[on]), "", "a log v1 tells its key itself");
        assert_eq!(problems(&[v2]), "", "nobody is told anything");
        let whole = [&[on, v2, root, bundles], &storage[..]].concat();
        assert_eq!(problems(&whole), "");
        let authority = ("tekseal.timestamp.urls", "http://a.example");
        let two = (
            "tekseal.timestamp.urls",
            "http://a.example,http://b.example",
        );
        for (pairs, key) in [
            (vec![on, v2], "tekseal.trusted-root"),
            (vec![authority], "tekseal.trusted-root"),
            (vec![on, v2, root], "artifacts.taskrun.storage"),
            (
                vec![on, v2, root, bundles, storage[0]],
                "artifacts.pipelinerun.storage",
            ),
            (vec![root, two], "artifacts.taskrun.storage"),
            (
                vec![on, ("tekseal.trusted-root", "{}")],
                "tekseal.trusted-root",
            ),
            (
                vec![on, ("transparency.url", "nowhere")],
                "transparency.url",
            ),
            (
                vec![root, ("tekseal.timestamp.urls", "nowhere")],
                "tekseal.timestamp.urls",
            ),
        ] {
            let said = problems(&pairs);
            assert!(said.starts_with(key), "{key}: {said:?}");
        }
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
