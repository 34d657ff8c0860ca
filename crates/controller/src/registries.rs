//! Registry clients, one for each ServiceAccount: connections and tokens are kept, credentials are read again now and then.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_cluster::Cluster;
use tekseal_core::config::Config;
use tekseal_core::docker_config::{Credentials, KubernetesSecret};
use tekseal_remote::Registry;
use tekseal_remote::guard::Guard;
use tekseal_remote::registry::{Access, Options};

use crate::kept::Kept;
use crate::trouble::{Trouble, chain};

/// How long the credentials of a ServiceAccount are used without a look at its Secrets.
const VALID: Duration = Duration::from_secs(60);
/// The most clients that are kept.
const MOST: usize = 256;
/// For how long one operation is tried again inside one attempt: the queue tries again later anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// Registry clients of all ServiceAccounts in use.
pub(crate) struct Registries {
    cluster: Cluster,
    ca: Vec<PathBuf>,
    insecure: Vec<String>,
    clients: Kept<Who, Registry>,
}

/// Whose credentials, under which rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Who {
    namespace: String,
    account: String,
    generation: u64,
}

impl Registries {
    /// Registries with these authorities beside the system's, and without TLS checks for those listed as insecure.
    pub(crate) fn new(cluster: &Cluster, ca: Vec<PathBuf>, insecure: Vec<String>) -> Self {
        Self {
            cluster: cluster.clone(),
            ca,
            insecure,
            clients: Kept::new(VALID, MOST),
        }
    }

    /// The client for a run of `namespace` under `account`. `generation` counts changes of the configuration.
    ///
    /// # Errors
    /// If the ServiceAccount cannot be read, or the configuration does not make a client.
    pub(crate) async fn get(
        &self,
        namespace: &str,
        account: &str,
        config: &Config,
        generation: u64,
    ) -> Result<Registry, Trouble> {
        let who = Who {
            namespace: namespace.to_owned(),
            account: account.to_owned(),
            generation,
        };
        let make = async {
            let credentials = self.credentials(&who, config.rules().pull_secrets).await?;
            self.open(credentials, config)
                .await
                .map_err(Trouble::Blocked)
        };
        self.clients.get(&who, make).await
    }

    /// What was refused is read anew next time.
    pub(crate) fn forget(&self, namespace: &str, account: &str) {
        self.clients
            .forget(|who| who.namespace == namespace && who.account == account);
    }

    async fn open(&self, credentials: Credentials, config: &Config) -> Result<Registry, String> {
        let oci = &config.storages().oci;
        let mut insecure = self.insecure.clone();
        if oci.insecure
            && let Ok(Some(repository)) = crate::prepare::repository(config)
        {
            insecure.push(repository.registry().to_owned());
        }
        let guard = Guard::new(&config.rules().registries, &self.api_server().await)
            .map_err(|error| format!("tekseal.registries: {}", chain(&error)))?;
        Registry::new(Options {
            credentials,
            access: Access::PullPush,
            ca: self.ca.clone(),
            insecure_registries: insecure,
            retry_for: PATIENCE,
            guard: Some(guard),
            ..Options::default()
        })
        .map_err(|error| chain(&error))
    }

    /// Names and addresses of the API server, which no result of a run may make us talk to.
    async fn api_server(&self) -> Vec<String> {
        let (host, port) = self.cluster.address();
        let addresses = self.cluster.addresses().await;
        let of_address = addresses
            .into_iter()
            .map(|address| std::net::SocketAddr::new(address, port).to_string());
        [format!("{host}:{port}")]
            .into_iter()
            .chain(of_address)
            .collect()
    }

    /// What the ServiceAccount may show. One that is gone shows nothing; a Secret that cannot be read is told and passed over.
    async fn credentials(&self, who: &Who, pull_secrets: bool) -> Result<Credentials, Trouble> {
        let read = self
            .cluster
            .account_secrets(&who.namespace, &who.account, pull_secrets);
        let secrets = match read.await {
            Ok(secrets) => secrets,
            Err(error) if error.is_not_found() => {
                tracing::warn!(
                    namespace = who.namespace,
                    account = who.account,
                    "there is no such ServiceAccount: registries are asked without credentials"
                );
                return Ok(Credentials::default());
            }
            Err(error) => return Err(Trouble::of_cluster(&error)),
        };
        for error in &secrets.missing {
            tracing::warn!(
                namespace = who.namespace,
                account = who.account,
                error = chain(error),
                "a Secret of the ServiceAccount is passed over"
            );
        }
        let mut credentials = Credentials::default();
        for secret in &secrets.found {
            let name = format!("{}/{}", who.namespace, secret.name);
            let added = credentials.add_secret(&KubernetesSecret {
                name: &name,
                kind: &secret.data.kind,
                annotations: &secret.data.annotations,
                data: &|key| secret.data.get(key),
            });
            if let Err(error) = added {
                tracing::warn!(
                    error = chain(&error),
                    "a Secret of the ServiceAccount is passed over"
                );
            }
        }
        Ok(credentials)
    }
}
