//! What a controller must remember beyond its own life: when it first started, and which keys have signed Records.
//!
//! It is kept in a ConfigMap of the controller's own namespace, which tenants cannot write. Its age is counted by the API server's clock.
//! Keys are added before the first Record that they sign, so that after a rotation, or a crash, old Records are believed. Other replicas add
//! to it too: whoever meets a Record of an unknown key reads it again before calling anything forged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tekseal_cluster::vouching::{MEMORY, Vouches};
use tekseal_cluster::{Cluster, Error, StateMap};
use tekseal_signing::PublicKey;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::trouble::chain;

/// The most keys of one namespace: a ConfigMap holds 1 MiB, and whoever writes a namespace's Secret may change its key all day.
const MOST_OF_NAMESPACE: usize = 16;
/// The most keys of all namespaces together.
const MOST_OF_ALL: usize = 2000;
/// The most keys of processes. Each start of a controller that signs with certificates alone makes one: the oldest makes room.
const MOST_OF_PROCESSES: usize = 1000;
/// How often doubts are looked into at the most: anybody who may write on a run can raise them.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Why a key cannot be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBelieved {
    /// It cannot be written down.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// There are too many already.
    #[error(
        "{0} public keys signed records already, which is the most: remove old ones from the ConfigMap {MEMORY}, or give the platform a key"
    )]
    TooMany(usize),
}

/// The keys whose Records are believed.
#[derive(Debug, Default)]
pub(crate) struct Believed {
    of_platform: Vec<PublicKey>,
    of_namespaces: HashMap<String, Vec<PublicKey>>,
    /// The names of the data of processes' keys, the oldest first.
    of_processes: Vec<String>,
}

impl Believed {
    /// Those that vouch for runs of `namespace`.
    pub(crate) fn of(&self, namespace: &str) -> impl Iterator<Item = &PublicKey> {
        let own = self.of_namespaces.get(namespace);
        self.of_platform.iter().chain(own.into_iter().flatten())
    }

    fn read(map: &StateMap) -> Self {
        let mut believed = Self::default();
        for (name, pem) in &map.data {
            let Some(vouches) = Vouches::of_name(name) else {
                continue;
            };
            if vouches == Vouches::OfProcess {
                believed.of_processes.push(name.clone());
            }
            match PublicKey::from_pem(pem.as_bytes()) {
                Ok(key) => believed.add(key, &vouches),
                Err(_) => tracing::warn!(
                    name,
                    "a remembered public key cannot be read and is not believed"
                ),
            }
        }
        believed
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, key: PublicKey, vouches: &Vouches) {
        let keys = match vouches {
            Vouches::ForAll | Vouches::OfProcess => &mut self.of_platform,
            Vouches::For(namespace) => self.of_namespaces.entry(namespace.clone()).or_default(),
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    fn has(&self, key: &PublicKey, vouches: &Vouches) -> bool {
        match vouches {
            Vouches::ForAll | Vouches::OfProcess => self.of_platform.contains(key),
            Vouches::For(namespace) => self.of(namespace).any(|known| known == key),
        }
    }

    /// The change of the ConfigMap that adds a key under this name, and takes away the oldest of processes where there is no room for another.
    fn with(
        &self,
        name: String,
        key: &PublicKey,
        vouches: &Vouches,
    ) -> BTreeMap<String, Option<String>> {
        let mut changes = BTreeMap::from([(name, Some(key.to_pem()))]);
        if *vouches == Vouches::OfProcess {
            let too_many = (self.of_processes.len() + 1).saturating_sub(MOST_OF_PROCESSES);
            let oldest = self.of_processes.iter().take(too_many);
            changes.extend(oldest.map(|name| (name.clone(), None)));
        }
        changes
    }

    /// How many keys there are in the way of another one.
    fn too_many(&self, vouches: &Vouches) -> Option<usize> {
        let Vouches::For(namespace) = vouches else {
            return None;
        };
        let own = self.of_namespaces.get(namespace).map_or(0, Vec::len);
        let all: usize = self.of_namespaces.values().map(Vec::len).sum();
        if own >= MOST_OF_NAMESPACE {
            return Some(own);
        }
        (all >= MOST_OF_ALL).then_some(all)
    }
}

/// What is remembered.
pub(crate) struct Memory {
    cluster: Cluster,
    namespace: String,
    /// When a controller of ours first started in this cluster.
    pub(crate) first_start: Timestamp,
    believed: RwLock<Arc<Believed>>,
    doubts: Notify,
}

impl Memory {
    /// Reads what is remembered, or begins to remember now.
    ///
    /// # Errors
    /// If the ConfigMap can be neither read nor made.
    pub(crate) async fn open(cluster: &Cluster, namespace: &str) -> Result<Self, Error> {
        let found = match cluster.config_map(namespace, MEMORY).await? {
            Some(found) => found,
            None => {
                let made = cluster.create_config_map(namespace, MEMORY, BTreeMap::new());
                match made.await {
                    Ok(made) => {
                        tracing::info!(namespace, name = MEMORY, "first start in this cluster");
                        made
                    }
                    // Another replica was faster.
                    Err(error) if error.is_conflict() => {
                        cluster.config_map(namespace, MEMORY).await?.ok_or(error)?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            first_start: found.created,
            believed: RwLock::new(Arc::new(Believed::read(&found))),
            doubts: Notify::new(),
        })
    }

    /// The keys whose Records are believed.
    pub(crate) fn believed(&self) -> Arc<Believed> {
        Arc::clone(&self.believed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads again which keys are believed: another replica may have added one.
    ///
    /// # Errors
    /// If the ConfigMap cannot be read: then what was known holds.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        // Without the ConfigMap nothing more is known; it is made again at the next start, which then is the first one.
        if let Some(found) = self.cluster.config_map(&self.namespace, MEMORY).await? {
            self.set(Believed::read(&found));
        }
        Ok(())
    }

    /// Somebody saw a mark that is not believed: `follow` looks whether another replica knows better.
    pub(crate) fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// Looks into doubts for ever.
    pub(crate) async fn follow(&self) {
        loop {
            self.doubts.notified().await;
            if let Err(error) = self.refresh().await {
                tracing::warn!(error = chain(&error), "the believed keys cannot be read");
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// From now on, Records of `key` are believed, also after a restart.
    ///
    /// # Errors
    /// If that cannot be written down: then no Record must be signed with it.
    pub(crate) async fn believe(
        &self,
        key: &PublicKey,
        vouches: &Vouches,
    ) -> Result<(), NotBelieved> {
        let believed = self.believed();
        if believed.has(key, vouches) {
            return Ok(());
        }
        if let Some(count) = believed.too_many(vouches) {
            return Err(NotBelieved::TooMany(count));
        }
        let fingerprint = key.fingerprint();
        let name = vouches.name(&fingerprint, Timestamp::now());
        let map = self
            .cluster
            .change_config_map(&self.namespace, MEMORY, &believed.with(name, key, vouches))
            .await?;
        self.set(Believed::read(&map));
        tracing::info!(key = %fingerprint, ?vouches, "records of this key are believed from now on");
        Ok(())
    }

    fn set(&self, believed: Believed) {
        *self
            .believed
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(believed);
    }
}

#[cfg(test)]
mod tests {
    use tekseal_signing::{Signer, random};

    use super::*;

    fn key() -> PublicKey {
        let signer = Signer::generate(&mut random::system).expect("a key");
        signer.public_key().clone()
    }

    #[test]
    fn a_key_of_a_namespace_vouches_there_only() {
        let (platform, own, of_process) = (key(), key(), key());
        let data = [
            ("key-SHA256_a", platform.to_pem()),
            ("namespace-key-ci.SHA256_b", own.to_pem()),
            ("process-key-20261201T012800Z.SHA256_c", of_process.to_pem()),
            ("namespace-key-odd", key().to_pem()),
            ("key-broken", "no key".to_owned()),
            ("note", "of an administrator".to_owned()),
        ];
        let data = data.map(|(name, pem)| (name.to_owned(), pem));
        let believed = Believed::read(&StateMap {
            data: data.into(),
            created: Timestamp::UNIX_EPOCH,
        });
        let of = |namespace| believed.of(namespace).cloned().collect::<Vec<_>>();
        let for_all = [platform.clone(), of_process.clone()];
        assert_eq!(
            of("ci"),
            [&for_all[..], std::slice::from_ref(&own)].concat()
        );
        assert_eq!(of("c"), for_all);
        assert!(believed.has(&platform, &Vouches::For("ci".to_owned())));
        assert!(!believed.has(&own, &Vouches::ForAll));
        assert!(!believed.has(&own, &Vouches::For("other".to_owned())));
    }

    #[test]
    fn the_oldest_keys_of_processes_make_room() {
        let new = key();
        let name = |second: usize| format!("process-key-20261201T{second:06}Z.SHA256_x");
        let mut believed = Believed::default();
        let change = |believed: &Believed, vouches| believed.with(name(999_999), &new, vouches);
        let added = BTreeMap::from([(name(999_999), Some(new.to_pem()))]);
        believed.of_processes = (1..MOST_OF_PROCESSES).map(name).collect();
        assert_eq!(change(&believed, &Vouches::OfProcess), added);
        believed.of_processes.insert(0, name(0));
        let mut without = added.clone();
        without.insert(name(0), None);
        assert_eq!(change(&believed, &Vouches::OfProcess), without);
        assert_eq!(change(&believed, &Vouches::ForAll), added);
    }

    #[test]
    fn keys_of_namespaces_are_limited_and_the_platforms_are_not() {
        let mut believed = Believed::default();
        let of = |namespace: &str| Vouches::For(namespace.to_owned());
        let keys: Vec<_> = (0..MOST_OF_NAMESPACE).map(|_| key()).collect();
        for key in &keys {
            assert_eq!(believed.too_many(&of("ci")), None);
            believed.add(key.clone(), &of("ci"));
            believed.add(key.clone(), &of("ci"));
        }
        assert_eq!(believed.too_many(&of("ci")), Some(MOST_OF_NAMESPACE));
        assert_eq!(believed.too_many(&of("other")), None);
        assert_eq!(believed.too_many(&Vouches::ForAll), None);
        for i in 0..MOST_OF_ALL / MOST_OF_NAMESPACE {
            let vouches = of(&format!("ns-{i}"));
            keys.iter()
                .for_each(|key| believed.add(key.clone(), &vouches));
        }
        let all = MOST_OF_ALL / MOST_OF_NAMESPACE * MOST_OF_NAMESPACE + MOST_OF_NAMESPACE;
        assert_eq!(believed.too_many(&of("other")), Some(all));
    }
}
