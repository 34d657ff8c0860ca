//! Finds the keys: those that the controller's configuration names, and those that are named on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tekseal_cluster::{Cluster, ConfigSource, SecretRef};
use tekseal_core::Blame;
use tekseal_core::config::{Choice as _, Config, KmsSigner, Namespaces, SignerKind};
use tekseal_custody::Described;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{KeyRef, PublicKey, key_ref};

use super::inventory::{Inventory, Place, Role};
use super::secret;
use crate::cluster_args::ClusterArgs;
use crate::explain::shown;
use crate::key_args::{self, PasswordArgs};
use crate::source_args::config_of_map;
use crate::{Failure, exit, kms};

/// How keys are reached.
pub(super) struct Gather<'a> {
    pub(super) cluster: &'a ClusterArgs,
    pub(super) ca: &'a [PathBuf],
    /// The references of the command line.
    pub(super) named: Vec<&'a str>,
}

/// What the configuration says that signs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// The Secret that the controller has mounted.
    Mounted,
    /// The key of this reference.
    Reference(String),
    /// Keys that live for one signature.
    Certificates(String),
}

impl Gather<'_> {
    /// Adds the keys of a controller: those that its configuration names, and those in the Secret that it has mounted.
    ///
    /// # Errors
    /// Where the cluster cannot be reached at all; what it refuses is a warning.
    pub(super) fn controller(
        &self,
        inventory: &mut Inventory,
        namespace: &str,
        source: &ConfigSource,
        mounted: &str,
    ) -> Result<(), Failure> {
        let config = crate::block_on(async {
            let cluster = self.cluster.connect().await?;
            configuration(&cluster, source, inventory).await
        })?;
        let Some(config) = config else {
            return Ok(());
        };
        let mounted = format!("k8s://{namespace}/{mounted}");
        let kms = &config.signers().kms;
        for (source, signs) in signers(&config) {
            match source {
                Source::Mounted => self.configured(inventory, &mounted, &signs, kms),
                Source::Reference(reference) => {
                    self.configured(inventory, &reference, &signs, kms);
                }
                Source::Certificates(address) => inventory.notes.push(format!(
                    "{} with certificates of {}, which name who signs: there is no key to keep",
                    signs.join(", "),
                    shown(&address)
                )),
            }
        }
        Ok(())
    }

    /// Adds the key that a configuration names. What cannot be read is a warning: the list would be silently short.
    fn configured(
        &self,
        inventory: &mut Inventory,
        reference: &str,
        signs: &[String],
        kms: &KmsSigner,
    ) {
        let said = |failure: Failure| failure.message();
        let found = match KeyRef::parse(reference) {
            Ok(KeyRef::Path(_) | KeyRef::Env(_)) => {
                Err("not looked at: it is in the controller's Pod".to_owned())
            }
            Ok(KeyRef::Secret { namespace, name }) => {
                self.secret(inventory, &namespace, &name).map_err(said)
            }
            // Whoever may write that configuration would choose what is run here, and what that loads.
            Ok(KeyRef::Kms(KmsRef::Plugin(_))) if !self.named.contains(&reference) => Err(
                "not looked at: no program is started here because a configuration says so; name the key as REF too"
                    .to_owned(),
            ),
            Ok(KeyRef::Kms(key)) => {
                let asked = crate::block_on(kms::of_controller(&key, kms, self.ca));
                match asked {
                    Ok(found) => Ok(Some(described(inventory, reference, found))),
                    Err(failure) => Err(format!("not looked at: {}", failure.message())),
                }
            }
            Ok(KeyRef::Gitlab(_)) => self.held(inventory, reference).map(Some).map_err(said),
            Ok(KeyRef::Url(_)) | Err(_) => Err("it is no reference of a key that signs".to_owned()),
        };
        let signing = match found {
            Ok(signing) => signing,
            Err(why) => {
                inventory.warnings.push(format!(
                    "{} with {}: {why}",
                    signs.join(", "),
                    shown(reference)
                ));
                return;
            }
        };
        let of_key = |key: &PublicKey| inventory.keys.iter().position(|listed| listed.key == *key);
        if let Some(at) = signing.as_ref().and_then(of_key) {
            inventory.keys[at].signs.extend_from_slice(signs);
        }
    }

    /// Adds a key of the command line.
    ///
    /// # Errors
    /// If it cannot be read: who names a key wants to know of it.
    pub(super) fn reference(
        &self,
        inventory: &mut Inventory,
        reference: &str,
        password: &PasswordArgs,
    ) -> Result<(), Failure> {
        match KeyRef::parse(reference).map_err(Failure::misuse)? {
            KeyRef::Secret { namespace, name } => {
                self.secret(inventory, &namespace, &name)?;
            }
            KeyRef::Kms(key) => {
                let found = crate::block_on(kms::describe(&key, self.ca))?;
                described(inventory, reference, found);
            }
            KeyRef::Gitlab(_) => {
                self.held(inventory, reference)?;
            }
            KeyRef::Url(_) => {
                let key = key_args::public_key(reference, self.cluster, self.ca)?;
                inventory.add(key, place(reference, Role::Public));
            }
            KeyRef::Path(_) | KeyRef::Env(_) => {
                let (key, half) = key_args::either(reference, self.cluster, self.ca, password)?;
                let role = match half {
                    key_args::Half::Private => Role::Signs,
                    key_args::Half::Public => Role::Public,
                };
                inventory.add(key, place(reference, role));
            }
        }
        Ok(())
    }

    /// The keys in a Secret; gives the one that signs.
    fn secret(
        &self,
        inventory: &mut Inventory,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PublicKey>, Failure> {
        let reference = SecretRef::new(namespace, name).map_err(Failure::misuse)?;
        let found = crate::block_on(async {
            let cluster = self.cluster.connect().await?;
            Ok(cluster.secret(&reference).await?)
        })?;
        let name = format!("Secret {namespace}/{name}");
        Ok(secret::add(inventory, &found, &name))
    }

    /// A key that a variable of GitLab holds.
    fn held(&self, inventory: &mut Inventory, reference: &str) -> Result<PublicKey, Failure> {
        let key = key_args::public_key(reference, self.cluster, self.ca)?;
        inventory.add(key.clone(), place(reference, Role::Signs));
        Ok(key)
    }
}

/// Adds a key that a service or a plugin holds.
fn described(inventory: &mut Inventory, reference: &str, found: Described) -> PublicKey {
    let created = found.created.unwrap_or_else(|error| {
        inventory.notes.push(format!(
            "the age of {} is not known: {}",
            shown(reference),
            exit::chain(&error)
        ));
        None
    });
    let place = Place {
        created,
        ..place(reference, Role::Signs)
    };
    inventory.add(found.public.clone(), place);
    found.public
}

fn place(reference: &str, role: Role) -> Place {
    Place {
        source: key_ref::shown(reference),
        role,
        created: None,
    }
}

/// The controller's configuration, or a warning.
async fn configuration(
    cluster: &Cluster,
    source: &ConfigSource,
    inventory: &mut Inventory,
) -> Result<Option<Config>, Failure> {
    let map = match cluster.settings(source).await {
        Ok(Some(map)) => map,
        Ok(None) => {
            inventory.notes.push(format!(
                "{source} is not there: what Chains does without one is listed"
            ));
            BTreeMap::new()
        }
        // Nothing was looked at then.
        Err(error) if error.blame() == Blame::Outside => return Err(error.into()),
        Err(error) => {
            inventory.warnings.push(format!(
                "the configuration cannot be read: {}",
                exit::chain(&error)
            ));
            return Ok(None);
        }
    };
    Ok(match config_of_map(&map) {
        Ok(config) => Some(config),
        Err(error) => {
            inventory.warnings.push(format!(
                "the configuration {source} cannot be used, and the controller goes on with the one before, which is not known here: {}",
                exit::chain(&error)
            ));
            None
        }
    })
}

/// What signs by a configuration, and what.
fn signers(config: &Config) -> BTreeMap<Source, Vec<String>> {
    let mut signers: BTreeMap<Source, Vec<String>> = BTreeMap::new();
    let own = config.signers();
    let artifacts = [
        ("TaskRuns", config.taskrun()),
        ("PipelineRuns", config.pipelinerun()),
        ("images", config.oci()),
    ];
    for (what, artifact) in artifacts {
        if !artifact.is_enabled() {
            continue;
        }
        let (source, key) = match artifact.signer {
            SignerKind::None => continue,
            _ if !own.cosign_key.is_empty() => (
                Source::Reference(own.cosign_key.clone()),
                "signers.cosign.key",
            ),
            SignerKind::Kms => (
                Source::Reference(own.kms.key_ref.clone()),
                "signers.kms.kmsref",
            ),
            SignerKind::X509 if own.x509.fulcio_enabled => (
                Source::Certificates(own.x509.fulcio_address.clone()),
                "signers.x509.fulcio.enabled",
            ),
            SignerKind::X509 => (Source::Mounted, artifact.signer.name()),
        };
        let what = format!("signs {what} ({key})");
        signers.entry(source).or_default().push(what);
    }
    for rule in &config.rules().keys {
        let who = match &rule.namespaces {
            Namespaces::Named(name) => format!("namespace {name}"),
            Namespaces::Labelled(labels) => {
                let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("namespaces with {}", labels.join(","))
            }
        };
        let what = format!("signs runs of {who} (tekseal.keys)");
        let source = Source::Reference(rule.key.clone());
        signers.entry(source).or_default().push(what);
    }
    signers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_starts_no_program_here() {
        let cluster = ClusterArgs::default();
        let reference = "nowhere-to-be-found://k";
        for (named, wanted) in [
            (vec![], "no program is started here"),
            (vec!["hashivault://k"], "no program is started here"),
            (vec![reference], "sigstore-kms-nowhere-to-be-found"),
        ] {
            let gather = Gather {
                cluster: &cluster,
                ca: &[],
                named,
            };
            let mut inventory = Inventory::default();
            let (signs, kms) = (["signs images".to_owned()], KmsSigner::default());
            gather.configured(&mut inventory, reference, &signs, &kms);
            let said = inventory.warnings.join("\n");
            assert!(said.contains(wanted), "{said}");
        }
    }

    fn of(pairs: &[(&str, &str)]) -> Vec<(Source, Vec<String>)> {
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let config = Config::from_map(&pairs.iter().map(owned).collect()).expect("a good map");
        signers(&config).into_iter().collect()
    }

    #[test]
    fn the_configuration_says_what_signs_what() {
        let texts = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(&[]),
            [(
                Source::Mounted,
                texts(&[
                    "signs TaskRuns (x509)",
                    "signs PipelineRuns (x509)",
                    "signs images (x509)"
                ])
            )]
        );
        let found = of(&[
            ("artifacts.taskrun.signer", "kms"),
            ("artifacts.oci.signer", "none"),
            ("signers.kms.kmsref", "hashivault://k"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.fulcio.address", "https://fulcio.example"),
            (
                "tekseal.keys",
                "team-a: k8s://team-a/k\ntier=1: hashivault://k",
            ),
        ]);
        assert_eq!(
            found,
            [
                (
                    Source::Reference("hashivault://k".to_owned()),
                    texts(&[
                        "signs TaskRuns (signers.kms.kmsref)",
                        "signs runs of namespaces with tier=1 (tekseal.keys)"
                    ])
                ),
                (
                    Source::Reference("k8s://team-a/k".to_owned()),
                    texts(&["signs runs of namespace team-a (tekseal.keys)"])
                ),
                (
                    Source::Certificates("https://fulcio.example".to_owned()),
                    texts(&["signs PipelineRuns (signers.x509.fulcio.enabled)"])
                ),
            ]
        );
    }
}
