//! Secrets with keys: read, made, replaced.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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
    /// Its uid and version, to see whether it was changed.
    pub version: (String, String),
}

impl SecretData {
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
        Ok(SecretData {
            data: data
                .into_iter()
                .map(|(key, value)| (key, Zeroizing::new(value.0)))
                .collect(),
            kind: found.type_.unwrap_or_default(),
            annotations: found.metadata.annotations.unwrap_or_default(),
            version: (
                found.metadata.uid.unwrap_or_default(),
                found.metadata.resource_version.unwrap_or_default(),
            ),
        })
    }

    /// Makes an immutable Secret of type Opaque that must not exist yet.
    ///
    /// # Errors
    /// A conflict if it exists.
    pub async fn create_secret(
        &self,
        secret: &SecretRef,
        data: BTreeMap<String, Zeroizing<Vec<u8>>>,
    ) -> Result<(), Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let object = Secret {
            metadata: ObjectMeta {
                name: Some(secret.name.clone()),
                namespace: Some(secret.namespace.clone()),
                ..ObjectMeta::default()
            },
            data: Some(
                data.into_iter()
                    .map(|(key, value)| (key, ByteString(value.to_vec())))
                    .collect(),
            ),
            immutable: Some(true),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        let params = PostParams::default();
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
    ) -> Result<(), Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &secret.namespace);
        let params = DeleteParams {
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
