//! Where a controller's configuration is kept: a ConfigMap, or the `spec.chain` of a TektonConfig.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use futures_util::stream::{BoxStream, StreamExt as _};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::client::{Cluster, FIELD_MANAGER};
use crate::error::{Error, Operation};
use crate::runs::is_name;
use crate::seen::of_watch;

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// A ConfigMap: its `data`.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A TektonConfig of the operator: its `spec.chain`.
    TektonConfig {
        /// Its name.
        name: String,
    },
}

/// A text that names no configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no configuration, wanted configmap/NAMESPACE/NAME or tektonconfig/NAME")]
pub struct ConfigSourceError(String);

/// The part of a TektonConfig that is read.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct TektonConfig {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: TektonConfigSpec,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct TektonConfigSpec {
    #[serde(default)]
    chain: Option<Map<String, Value>>,
}

impl Resource for TektonConfig {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "TektonConfig".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "operator.tekton.dev".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "tektonconfigs".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Members of `spec.chain` that are the operator's own and not keys of the configuration.
const OF_THE_OPERATOR: [&str; 9] = [
    "disabled",
    "options",
    "targetNamespace",
    "config",
    "controllerEnvs",
    "generateSigningSecret",
    "performance",
    "configMaps",
    "networkPolicy",
];

/// Watches the configuration: the map whenever it changes, nothing while the object is not there.
#[must_use]
pub fn watch_settings(
    cluster: &Cluster,
    source: &ConfigSource,
) -> BoxStream<'static, Result<Option<BTreeMap<String, String>>, Error>> {
    let client = cluster.client.clone();
    let what = source.to_string();
    match source {
        ConfigSource::ConfigMap { namespace, name } => {
            let api: Api<ConfigMap> = Api::namespaced(client, namespace);
            watcher::watch_object(api, name)
                .default_backoff()
                .map(move |found| match found {
                    Ok(map) => Ok(map.map(|map| map.data.unwrap_or_default())),
                    Err(error) => Err(of_watch(what.clone(), error)),
                })
                .boxed()
        }
        ConfigSource::TektonConfig { name } => {
            let api: Api<TektonConfig> = Api::all(client);
            watcher::watch_object(api, name)
                .default_backoff()
                .map(move |found| match found {
                    Ok(found) => Ok(found.map(|found| texts(found.spec.chain.unwrap_or_default()))),
                    Err(error) => Err(of_watch(what.clone(), error)),
                })
                .boxed()
        }
    }
}

/// `spec.chain` as a ConfigMap has it: numbers and booleans as their text. Lists and objects are the operator's.
fn texts(chain: Map<String, Value>) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for (key, value) in chain {
        if OF_THE_OPERATOR.contains(&key.as_str()) {
            continue;
        }
        let text = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        map.insert(key, text);
    }
    map
}

impl Cluster {
    /// Reads the configuration once: its map, or nothing where the object is not there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn settings(
        &self,
        source: &ConfigSource,
    ) -> Result<Option<BTreeMap<String, String>>, Error> {
        match source {
            ConfigSource::ConfigMap { namespace, name } => {
                let found = self.config_map(namespace, name).await?;
                Ok(found.map(|found| found.data))
            }
            ConfigSource::TektonConfig { name } => {
                let api: Api<TektonConfig> = Api::all(self.client.clone());
                let what = source.to_string();
                let found = self.call(Operation::Read, &what, api.get_opt(name)).await?;
                Ok(found.map(|found| texts(found.spec.chain.unwrap_or_default())))
            }
        }
    }

    /// Reads a ConfigMap: its data and when it was made, by the API server's clock. `None` where there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<StateMap>, Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("ConfigMap {namespace}/{name}");
        let found = self.call(Operation::Read, &what, api.get_opt(name)).await?;
        Ok(found.map(StateMap::of))
    }

    /// Makes a ConfigMap that must not exist yet.
    ///
    /// # Errors
    /// A conflict if it exists.
    pub async fn create_config_map(
        &self,
        namespace: &str,
        name: &str,
        data: BTreeMap<String, String>,
    ) -> Result<StateMap, Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("ConfigMap {namespace}/{name}");
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let request = api.create(&params, &map);
        let made = self.call(Operation::Create, &what, request).await?;
        Ok(StateMap::of(made))
    }

    /// Changes data of a ConfigMap that is there: what has no value is taken away, the rest is left; gives what is in it then.
    ///
    /// # Errors
    /// If it is not there or must not be changed.
    pub async fn change_config_map(
        &self,
        namespace: &str,
        name: &str,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<StateMap, Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("ConfigMap {namespace}/{name}");
        let patch = Patch::Merge(json!({ "data": changes }));
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let request = api.patch(name, &params, &patch);
        let changed = self.call(Operation::Change, &what, request).await?;
        Ok(StateMap::of(changed))
    }

    /// Labels of a namespace.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn namespace_labels(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let what = format!("Namespace {name}");
        let found = self.call(Operation::Read, &what, api.get(name)).await?;
        Ok(found.metadata.labels.unwrap_or_default())
    }
}

/// A ConfigMap in which a controller keeps what it must remember.
#[derive(Clone, Debug)]
pub struct StateMap {
    /// Its data.
    pub data: BTreeMap<String, String>,
    /// When it was made, by the API server's clock.
    pub created: jiff::Timestamp,
}

impl StateMap {
    fn of(map: ConfigMap) -> Self {
        let created = map.metadata.creation_timestamp.as_ref();
        Self {
            created: created
                .and_then(|time| jiff::Timestamp::from_second(time.0.as_second()).ok())
                .unwrap_or(jiff::Timestamp::UNIX_EPOCH),
            data: map.data.unwrap_or_default(),
        }
    }
}

impl ConfigSource {
    /// Where Tekton Chains has its configuration: the ConfigMap `chains-config` of its namespace.
    #[must_use]
    pub fn of_chains(namespace: &str) -> Self {
        Self::ConfigMap {
            namespace: namespace.to_owned(),
            name: "chains-config".to_owned(),
        }
    }
}

impl FromStr for ConfigSource {
    type Err = ConfigSourceError;

    fn from_str(text: &str) -> Result<Self, ConfigSourceError> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["configmap", namespace, name] if is_name(namespace) && is_name(name) => {
                Ok(Self::ConfigMap {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            ["tektonconfig", name] if is_name(name) => Ok(Self::TektonConfig {
                name: name.to_owned(),
            }),
            _ => Err(ConfigSourceError(text.to_owned())),
        }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap { namespace, name } => write!(f, "ConfigMap {namespace}/{name}"),
            Self::TektonConfig { name } => write!(f, "TektonConfig {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_chain_is_a_map_of_texts_without_the_operators_own_members() {
        let chain = json!({"artifacts.taskrun.format": "slsa/v1", "artifacts.pipelinerun.enable-deep-inspection": true,
            "disabled": false, "options": {}, "transparency.enabled": "true", "x": null});
        let Value::Object(chain) = chain else {
            unreachable!("it was written as an object")
        };
        let map = texts(chain);
        let wanted = [
            ("artifacts.pipelinerun.enable-deep-inspection", "true"),
            ("artifacts.taskrun.format", "slsa/v1"),
            ("transparency.enabled", "true"),
        ];
        let wanted: BTreeMap<String, String> = wanted
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(map, wanted);
    }
}
