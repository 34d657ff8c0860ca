//! With which public keys is verified: one, or a set of them with their times.

use anyhow::anyhow;
use tekseal_signing::{KeyAlgorithm, KeySet, PublicKey};

use super::trust_args::TrustArgs;
use crate::cluster_args::ClusterArgs;
use crate::registry_args::{RegistryArgs, given};
use crate::{Failure, key_args, key_sets};

/// With which public keys images are verified.
#[derive(Debug, clap::Args)]
pub struct VerifyingKeyArgs {
    /// Public key: a file or any other reference of a key, such as k8s://NAMESPACE/SECRET, https://… or hashivault://…; else --keys, or --certificate-identity says who must have signed
    #[arg(
        long,
        env = "TEKSEAL_PUBLIC_KEY",
        value_name = "REF",
        hide_env_values = true
    )]
    key: Option<String>,
    /// Public keys, each with the time at which it is in use, any of which may have signed then: a key set of tekseal-keys, as a file, https://…, env://NAME, or k8s://NAMESPACE/CONFIGMAP with keys.json
    #[arg(long, env = "TEKSEAL_KEYS", value_name = "KEYSET")]
    keys: Option<String>,
}

/// What is verified with.
#[derive(Clone, Debug)]
pub(crate) enum VerifyingKeys {
    /// A key, whenever it signed.
    One(PublicKey),
    /// Keys, each in its time.
    Set(KeySet),
}

impl VerifyingKeyArgs {
    /// Whether any is given.
    pub(crate) fn are_given(&self) -> bool {
        given(&self.key).chain(given(&self.keys)).next().is_some()
    }

    /// Reads what is given. Where it is elsewhere, `network` has authorities that are trusted.
    ///
    /// # Errors
    /// Exit 2 where both are given, for what cannot be used, and for what is elsewhere where nothing may be connected to.
    pub(crate) fn read(
        &self,
        trust: &TrustArgs,
        cluster: &ClusterArgs,
        network: &RegistryArgs,
    ) -> Result<Option<VerifyingKeys>, Failure> {
        let ca = network.ca();
        match (given(&self.key).next(), given(&self.keys).next()) {
            (Some(_), Some(_)) => Err(Failure::misuse(anyhow!("--key and --keys are both given"))
                .hint("`tekseal-keys set --add` puts the key into the set")),
            (Some(reference), None) => {
                trust.may_be_asked_for(reference)?;
                let key = key_args::public_key(reference, cluster, &ca)?;
                Ok(Some(VerifyingKeys::One(key)))
            }
            (None, Some(reference)) => {
                trust.may_be_asked_for(reference)?;
                let keys = key_sets::read(reference, cluster, &ca)?;
                Ok(Some(VerifyingKeys::Set(keys)))
            }
            (None, None) => Ok(None),
        }
    }
}

impl VerifyingKeys {
    /// The flag that gives them.
    pub(crate) fn flag(&self) -> &'static str {
        match self {
            Self::One(_) => "--key",
            Self::Set(_) => "--keys",
        }
    }

    /// Whether one is of this kind.
    pub(crate) fn has(&self, algorithm: KeyAlgorithm) -> bool {
        match self {
            Self::One(key) => key.algorithm() == algorithm,
            Self::Set(set) => {
                let mut keys = set.keys().iter();
                keys.any(|entry| entry.key.algorithm() == algorithm)
            }
        }
    }
}
