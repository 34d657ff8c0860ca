//! What a controller must remember beyond its own life: when it first started, and which keys have signed Records.
//!
//! It is kept in a ConfigMap of the controller's own namespace, which tenants cannot write. Its age is counted by the API server's clock.
//! Keys are added before the first Record that they sign, so that after a rotation, or a crash, old Records are believed.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use tekseal_cluster::{Cluster, Error};
use tekseal_signing::PublicKey;

/// Name of the ConfigMap.
pub(crate) const NAME: &str = "tekseal-controller";
/// Prefix of keys of its data; the fingerprint follows, as far as a key of a ConfigMap can hold it.
const KEY: &str = "key-";

/// What is remembered.
pub(crate) struct Memory {
    cluster: Cluster,
    namespace: String,
    /// When a controller of ours first started in this cluster.
    pub(crate) first_start: Timestamp,
    believed: RwLock<Arc<[PublicKey]>>,
}

impl Memory {
    /// Reads what is remembered, or begins to remember now.
    ///
    /// # Errors
    /// If the ConfigMap can be neither read nor made.
    pub(crate) async fn open(cluster: &Cluster, namespace: &str) -> Result<Self, Error> {
        let found = match cluster.config_map(namespace, NAME).await? {
            Some(found) => found,
            None => {
                let made = cluster.create_config_map(namespace, NAME, BTreeMap::new());
                match made.await {
                    Ok(made) => {
                        tracing::info!(namespace, name = NAME, "first start in this cluster");
                        made
                    }
                    // Another replica was faster.
                    Err(error) if error.is_conflict() => {
                        cluster.config_map(namespace, NAME).await?.ok_or(error)?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let pems = found.data.iter().filter(|(key, _)| key.starts_with(KEY));
        let keys = pems.filter_map(|(name, pem)| {
            let key = PublicKey::from_pem(pem.as_bytes());
            if key.is_err() {
                tracing::warn!(
                    name,
                    "a remembered public key cannot be read and is not believed"
                );
            }
            key.ok()
        });
        Ok(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            first_start: found.created,
            believed: RwLock::new(keys.collect()),
        })
    }

    /// The keys whose Records are believed.
    pub(crate) fn believed(&self) -> Arc<[PublicKey]> {
        let guard = self.believed.read();
        Arc::clone(&guard.unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// From now on, Records of `key` are believed, also after a restart.
    ///
    /// # Errors
    /// If that cannot be written down: then no Record must be signed with it.
    pub(crate) async fn believe(&self, key: &PublicKey) -> Result<(), Error> {
        if self.believed().contains(key) {
            return Ok(());
        }
        let fingerprint = key.fingerprint();
        let name: String = fingerprint
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let pem = key.to_pem();
        self.cluster
            .set_in_config_map(&self.namespace, NAME, &format!("{KEY}{name}"), &pem)
            .await?;
        let mut believed = self
            .believed
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *believed = believed.iter().cloned().chain([key.clone()]).collect();
        tracing::info!(key = %fingerprint, "records of this key are believed from now on");
        Ok(())
    }
}
