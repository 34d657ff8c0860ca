//! Secrets with keys: read, made, replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use zeroize::Zeroizing;

use crate::client::Cluster;
use crate::error::{Error, Operation};
use crate::runs::is_name;

/// Key of a Secret under which cosign and Chains look for the private key.
pub const PRIVATE_KEY: &str = "cosign.key";
/// Key of a Secret with the password of the private key, to the last byte.
pub const PASSWORD: &str = "cosign.password";
/// Key of a Secret under which cosign looks for the public key.
pub const PUBLIC_KEY: &str = "cosign.pub";

/// Beginning of the keys of a Secret with public keys of earlier pairs: `cosign.pub.1` is the newest. cosign and Chains read none of them.
const FORMER_PREFIX: &str = "cosign.pub.";
/// The most public keys of earlier pairs that are kept.
pub const MOST_FORMER: usize = 16;

/// Annotation in which `kubectl apply` keeps the whole object, for a Secret hence the private key.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Key of a Secret with the public key of an earlier pair; 1 is the newest.
#[must_use]
pub fn former_public_key(at: usize) -> String {
    format!("{FORMER_PREFIX}{at}")
}

/// Which Secret: `k8s://NAMESPACE/NAME`, as cosign writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A text that names no Secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no Secret in a cluster, wanted k8s://NAMESPACE/NAME")]
pub struct SecretRefError(String);

/// The content of a Secret: no `Debug`, no `Clone`, wiped when dropped.
pub struct SecretData {
    /// What was put in, by key.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// Its type, such as `Opaque`.
    pub kind: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its finalizers: while there are some, it is only marked when it is deleted.
    pub finalizers: Vec<String>,
    /// Whether the API server lets nobody change it.
    pub immutable: bool,
    /// Its uid and version, to see whether it was changed.
    pub version: (String, String),
    /// When it was made, by the API server's clock; nothing for one that is not there yet.
    pub created: Option<Timestamp>,
}

/// Whether a change is made, or only checked by the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is made.
    Real,
    /// It is checked: whether it is allowed, and what admission says.
    DryRun,
}

impl SecretData {
    /// What is to become an immutable Secret of type Opaque.
    #[must_use]
    pub fn opaque(data: BTreeMap<String, Zeroizing<Vec<u8>>>) -> Self {
        Self {
            data,
            kind: "Opaque".to_owned(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            finalizers: Vec::new(),
            immutable: true,
            version: Default::default(),
            created: None,
        }
    }

    /// Public keys of earlier pairs, newest first.
    pub fn former_public_keys(&self) -> impl Iterator<Item = &[u8]> {
        (1..=MOST_FORMER).map_while(|at| self.get(&former_public_key(at)))
    }

    /// What a Secret with these contents is made of that this one is replaced by: type, labels and annotations stay, but not the copy of
    /// the old contents that `kubectl apply` may have left in an annotation.
    #[must_use]
    pub fn with(&self, data: BTreeMap<String, Zeroizing<Vec<u8>>>) -> Self {
        let mut annotations = self.annotations.clone();
        annotations.remove(LAST_APPLIED);
        Self {
            kind: self.kind.clone(),
            labels: self.labels.clone(),
            annotations,
            ..Self::opaque(data)
        }
    }

    /// What is under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(|value| value.as_slice())
    }
}

impl Cluster {
    /// Reads a Secret.
    ///
    /// # Errors
    /// If it is not there or must not be read.
    pub async fn secret(&self, secret: &SecretRef) -> Result<SecretData, Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let found = self
            .call(Operation::Read, &secret.what(), api.get(&secret.name))
            .await?;
        let data = found.data.unwrap_or_default();
        let created = found.metadata.creation_timestamp.as_ref();
        let created = created.and_then(|time| Timestamp::from_second(time.0.as_second()).ok());
        Ok(SecretData {
            data: data
                .into_iter()
                .map(|(key, value)| (key, Zeroizing::new(value.0)))
                .collect(),
            kind: found.type_.unwrap_or_default(),
            annotations: found.metadata.annotations.unwrap_or_default(),
            labels: found.metadata.labels.unwrap_or_default(),
            finalizers: found.metadata.finalizers.unwrap_or_default(),
            immutable: found.immutable == Some(true),
            version: (
                found.metadata.uid.unwrap_or_default(),
                found.metadata.resource_version.unwrap_or_default(),
            ),
            created,
        })
    }

    /// Makes a Secret with these contents that must not exist yet.
    ///
    /// # Errors
    /// A conflict if it exists, also of a dry run: then everything else is in order.
    pub async fn create_secret(
        &self,
        secret: &SecretRef,
        content: &SecretData,
        effect: Effect,
    ) -> Result<(), Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let of = |map: &BTreeMap<String, String>| (!map.is_empty()).then(|| map.clone());
        let data = content.data.iter();
        let object = Secret {
            metadata: ObjectMeta {
                name: Some(secret.name.clone()),
                namespace: Some(secret.namespace.clone()),
                labels: of(&content.labels),
                annotations: of(&content.annotations),
                ..ObjectMeta::default()
            },
            data: Some(
                data.map(|(key, value)| (key.clone(), ByteString(value.to_vec())))
                    .collect(),
            ),
            immutable: content.immutable.then_some(true),
            type_: Some(content.kind.clone()),
            ..Secret::default()
        };
        let params = PostParams {
            dry_run: effect == Effect::DryRun,
            ..PostParams::default()
        };
        let request = api.create(&params, &object);
        self.call(Operation::Create, &secret.what(), request)
            .await
            .map(drop)
    }

    /// Deletes exactly the Secret that was read.
    ///
    /// # Errors
    /// A conflict if it was changed or made anew since.
    pub async fn delete_secret(
        &self,
        secret: &SecretRef,
        version: &(String, String),
        effect: Effect,
    ) -> Result<(), Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let params = DeleteParams {
            dry_run: effect == Effect::DryRun,
            preconditions: Some(Preconditions {
                uid: Some(version.0.clone()),
                resource_version: Some(version.1.clone()),
            }),
            ..DeleteParams::default()
        };
        let request = api.delete(&secret.name, &params);
        self.call(Operation::Delete, &secret.what(), request)
            .await
            .map(drop)
    }
}

impl SecretRef {
    /// A Secret by namespace and name.
    ///
    /// # Errors
    /// If one of them is no name.
    pub fn new(namespace: &str, name: &str) -> Result<Self, SecretRefError> {
        let secret = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        match is_name(namespace) && is_name(name) {
            true => Ok(secret),
            false => Err(SecretRefError(secret.to_string())),
        }
    }

    pub(crate) fn what(&self) -> String {
        format!("Secret {}/{}", self.namespace, self.name)
    }
}

impl FromStr for SecretRef {
    type Err = SecretRefError;

    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        let refused = || SecretRefError(text.to_owned());
        let rest = text.strip_prefix("k8s://").ok_or_else(refused)?;
        let (namespace, name) = rest.split_once('/').ok_or_else(refused)?;
        Self::new(namespace, name).map_err(|_| refused())
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k8s://{}/{}", self.namespace, self.name)
    }
}
