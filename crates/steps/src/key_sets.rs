//! Key sets: public keys with the times at which each is in use, read from wherever a public key may be.

use std::path::PathBuf;

use anyhow::anyhow;
use tekseal_core::key_set;
use tekseal_signing::{KeyRef, KeySet, key_ref};

use crate::cluster_args::ClusterArgs;
use crate::{Failure, files, key_url};

/// A full set of the largest keys has less than half of it.
const MOST_BYTES: u64 = 1 << 20;
/// Under which key of a ConfigMap a set is.
const CONFIG_MAP_KEY: &str = "keys.json";

/// Reads a set by its reference: a file, `env://NAME`, a URL, or `k8s://NAMESPACE/CONFIGMAP`, for it is no secret.
///
/// # Errors
/// Exit 2 if it cannot be used or is not there, 3 where somebody does not answer.
pub(crate) fn read(
    reference: &str,
    cluster: &ClusterArgs,
    ca: &[PathBuf],
) -> Result<KeySet, Failure> {
    let place = key_ref::shown(reference);
    bytes(reference, cluster, ca)
        .and_then(|bytes| parse(&bytes))
        .map_err(|failure| failure.context(format!("reading the key set {place}")))
}

/// Reads a set.
///
/// # Errors
/// Exit 2 if it is none, or cannot be used.
pub(crate) fn parse(bytes: &[u8]) -> Result<KeySet, Failure> {
    let document = key_set::KeySet::parse(bytes).map_err(|error| {
        Failure::misuse(error).hint("wanted is a key set, as `tekseal-keys set` prints it; a single public key is given with --key")
    })?;
    KeySet::new(&document).map_err(Failure::misuse)
}

fn bytes(reference: &str, cluster: &ClusterArgs, ca: &[PathBuf]) -> Result<Vec<u8>, Failure> {
    match KeyRef::parse(reference).map_err(Failure::misuse)? {
        KeyRef::Path(path) => files::read(&path, MOST_BYTES, "key set"),
        KeyRef::Env(name) => std::env::var_os(&name)
            .map(std::ffi::OsString::into_encoded_bytes)
            .ok_or_else(|| {
                Failure::misuse(anyhow!("the environment variable {name} is not set"))
            }),
        KeyRef::Url(url) => crate::block_on(key_url::read(&url, MOST_BYTES, ca)),
        KeyRef::Secret { namespace, name } => {
            let found = of_config_map(cluster, &namespace, &name)?;
            found.ok_or_else(|| {
                Failure::misuse(anyhow!(
                    "the ConfigMap {namespace}/{name} has no {CONFIG_MAP_KEY}, or is not there"
                ))
                .hint(format!(
                    "kubectl --namespace {namespace} create configmap {name} --from-file {CONFIG_MAP_KEY}"
                ))
            })
        }
        KeyRef::Gitlab(_) | KeyRef::Kms(_) => Err(Failure::misuse(anyhow!(
            "a key set is a document, and no service has one"
        ))
        .hint("give it as a file, a URL or k8s://NAMESPACE/CONFIGMAP; --key takes the key of a service")),
    }
}

/// What a ConfigMap has in the place of a set; nothing where it is not there.
///
/// # Errors
/// If it may not be read, or the API server does not answer.
pub(crate) fn of_config_map(
    cluster: &ClusterArgs,
    namespace: &str,
    name: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    crate::block_on(async {
        let cluster = cluster.connect().await?;
        let found = cluster.config_map(namespace, name).await?;
        let found = found.and_then(|mut map| map.data.remove(CONFIG_MAP_KEY));
        Ok(found.map(String::into_bytes))
    })
}
