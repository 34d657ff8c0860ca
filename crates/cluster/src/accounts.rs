//! What a ServiceAccount may show to registries: its Secrets, then its imagePullSecrets.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tekseal_core::docker_config::KubernetesSecret;

use crate::client::Cluster;
use crate::error::{Error, Operation};
use crate::secrets::{SecretData, SecretRef};

/// The Secrets of a ServiceAccount in the order in which they are to be tried, and those that could not be read.
pub struct AccountSecrets {
    /// What was read.
    pub found: Vec<AccountSecret>,
    /// What is named and could not be read.
    pub missing: Vec<Error>,
}

/// One Secret of a ServiceAccount.
pub struct AccountSecret {
    /// Its name.
    pub name: String,
    /// Its content.
    pub data: SecretData,
}

impl Cluster {
    /// Names of the Secrets that a ServiceAccount names under `secrets` and, if `with_pull_secrets`, under `imagePullSecrets`, each once.
    ///
    /// # Errors
    /// If the ServiceAccount cannot be read.
    pub async fn account_secret_names(
        &self,
        namespace: &str,
        account: &str,
        with_pull_secrets: bool,
    ) -> Result<Vec<String>, Error> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("ServiceAccount {namespace}/{account}");
        let found = self.call(Operation::Read, &what, api.get(account)).await?;
        let named = found.secrets.unwrap_or_default().into_iter();
        let mut names: Vec<String> = named.filter_map(|one| one.name).collect();
        if with_pull_secrets {
            let pull = found.image_pull_secrets.unwrap_or_default();
            names.extend(pull.into_iter().map(|one| one.name));
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
        Ok(names)
    }

    /// Reads the Secrets that a ServiceAccount names under `secrets` and, if `with_pull_secrets`, under `imagePullSecrets`. Secrets of
    /// other types than registries' and logins' are left out.
    ///
    /// # Errors
    /// If the ServiceAccount cannot be read. A Secret that cannot is only told.
    pub async fn account_secrets(
        &self,
        namespace: &str,
        account: &str,
        with_pull_secrets: bool,
    ) -> Result<AccountSecrets, Error> {
        let names = self
            .account_secret_names(namespace, account, with_pull_secrets)
            .await?;
        let mut secrets = AccountSecrets {
            found: Vec::new(),
            missing: Vec::new(),
        };
        for name in names {
            let Ok(reference) = SecretRef::new(namespace, &name) else {
                continue;
            };
            match self.secret(&reference).await {
                Ok(data) if KubernetesSecret::may_hold(&data.kind) => {
                    secrets.found.push(AccountSecret { name, data });
                }
                Ok(_) => {}
                Err(error) => secrets.missing.push(error),
            }
        }
        Ok(secrets)
    }
}
