//! What a ServiceAccount may show to registries: its Secrets, then its imagePullSecrets.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use tekseal_core::docker_config::KubernetesSecret;

use crate::client::Cluster;
use crate::error::{Cause, Error, Operation};
use crate::runs::is_name;
use crate::secrets::{SecretData, SecretRef};

/// The most Secrets of one ServiceAccount that are read, and the most that those for registries may hold together: tenants write both, and
/// credentials stay in memory for as long as they are used.
const MOST_SECRETS: usize = 50;
const MOST_BYTES: usize = 256 * 1024;

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
    /// If the ServiceAccount cannot be read. What cannot be a name is not found: it may come from a run, and nothing is asked with it.
    pub async fn account_secret_names(
        &self,
        namespace: &str,
        account: &str,
        with_pull_secrets: bool,
    ) -> Result<Vec<String>, Error> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let what = what(namespace, account);
        if !is_name(account) {
            return Err(Error::of(Operation::Read, what, Cause::Name));
        }
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
    /// other types than registries' and logins' are left out, and so are those after the first 50, or beyond 256 KiB.
    ///
    /// # Errors
    /// If the ServiceAccount cannot be read. A Secret that cannot, or is left out as too much, is only told.
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
        let further = names.len().saturating_sub(MOST_SECRETS);
        if further > 0 {
            let text = format!("no more than {MOST_SECRETS} are read");
            let what = format!("{further} further Secrets of {}", what(namespace, account));
            secrets
                .missing
                .push(Error::of(Operation::Read, what, Cause::Limit(text)));
        }
        let mut size = 0;
        for name in names.into_iter().take(MOST_SECRETS) {
            let Ok(reference) = SecretRef::new(namespace, &name) else {
                continue;
            };
            match self.secret(&reference).await {
                Ok(data) if KubernetesSecret::may_hold(&data.kind) => {
                    let own = bytes_of(&data);
                    if size + own > MOST_BYTES {
                        secrets.missing.push(too_large(&reference));
                        continue;
                    }
                    size += own;
                    secrets.found.push(AccountSecret { name, data });
                }
                Ok(_) => {}
                Err(error) => secrets.missing.push(error),
            }
        }
        Ok(secrets)
    }
}

/// A ServiceAccount, as people write it. Its name may be anything.
fn what(namespace: &str, account: &str) -> String {
    let name: String = account.chars().take(253).collect();
    format!("ServiceAccount {namespace}/{name}")
}

fn too_large(secret: &SecretRef) -> Error {
    let text = format!(
        "the Secrets of one ServiceAccount for registries may hold {} KiB together",
        MOST_BYTES / 1024
    );
    let what = format!("Secret {}/{}", secret.namespace, secret.name);
    Error::of(Operation::Read, what, Cause::Limit(text))
}

fn bytes_of(secret: &SecretData) -> usize {
    let data = secret
        .data
        .iter()
        .map(|(key, value)| key.len() + value.len());
    let texts = secret.annotations.iter().chain(&secret.labels);
    data.sum::<usize>()
        + texts
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use serde_json::json;
    use tekseal_harness::Proxy;

    use super::*;

    fn cluster(address: &str) -> Cluster {
        let url = format!("http://{address}").parse().expect("it is a URL");
        Cluster::plain(url, "test").expect("nothing is sent yet")
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_one_is_not_asked_for() {
        // Whoever connects gets no answer.
        let deaf = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = deaf.local_addr().expect("it is bound").to_string();
        drop(deaf);
        let cluster = cluster(&address);
        for name in ["", "../secrets/a", "a/token", "a?watch=true", "%2e%2e", "A"] {
            let names = cluster.account_secret_names("ns", name, true).await;
            let error = names.expect_err("it is no name");
            assert!(error.is_not_found(), "{name}: {error}");
        }
        let error = cluster.account_secret_names("ns", "a", true).await;
        let error = error.expect_err("nobody listens");
        assert!(!error.is_not_found(), "{error}");
    }

    #[tokio::test]
    async fn no_more_secrets_are_read_than_are_needed() {
        let proxy = Proxy::start("127.0.0.1:9");
        let json_type = [("Content-Type", "application/json")];
        let names: Vec<_> = (0..60)
            .map(|i| json!({ "name": format!("s{i}") }))
            .collect();
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "a", "namespace": "ns" }, "imagePullSecrets": names,
        });
        proxy.on("GET", "/serviceaccounts/a").answer(
            200,
            &json_type,
            account.to_string().as_bytes(),
        );
        // 8 KiB of "x": 32 of them are all that is kept, with their names hardly less.
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": { "name": "s", "namespace": "ns" },
            "data": { ".dockerconfigjson": "eHh4".repeat(8 * 1024 / 3) },
        });
        proxy
            .on("GET", "/secrets/")
            .answer(200, &json_type, secret.to_string().as_bytes());
        let cluster = cluster(proxy.address());
        let read = cluster.account_secrets("ns", "a", true).await;
        let read = read.expect("the account is there");
        assert_eq!(read.found.len(), 31);
        let told: Vec<_> = read.missing.iter().map(ToString::to_string).collect();
        assert_eq!(
            told[0],
            "cannot read 10 further Secrets of ServiceAccount ns/a"
        );
        assert_eq!(told.len(), 1 + 19, "{told:#?}");
        let asked = proxy
            .seen()
            .iter()
            .filter(|seen| seen.is("GET", "/secrets/"))
            .count();
        assert_eq!(asked, 50);
    }
}
