//! Pods: what labels say of the one that a program is in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::client::Cluster;
use crate::error::{Error, Operation};

impl Cluster {
    /// Labels of a Pod.
    ///
    /// # Errors
    /// If it is not there or must not be read.
    pub async fn pod_labels(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, String>, Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("Pod {namespace}/{name}");
        let found = self
            .call(Operation::Read, &what, api.get_metadata(name))
            .await?;
        Ok(found.metadata.labels.unwrap_or_default())
    }
}
