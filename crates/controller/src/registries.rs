//! Registry clients, one for each ServiceAccount: tokens are kept, credentials are read again now and then. Connections and the authorities that
//! are trusted are shared by all of one configuration: there may be hundreds of ServiceAccounts.

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
/// A client with more bytes of credentials is not kept: whoever may write a tenant's Secrets could fill the memory with them.
const MOST_KEPT_BYTES: usize = 32 * 1024;
/// How many configurations are known at once: runs in work may still be under the one before.
const MOST_CONFIGURATIONS: usize = 4;
/// For how long one operation is tried again inside one attempt: the queue tries again later anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// Registry clients of all ServiceAccounts in use.
pub(crate) struct Registries {
    cluster: Cluster,
    ca: Vec<PathBuf>,
    insecure: Vec<String>,
    /// Without credentials, for each generation of the configuration.
    shared: Kept<u64, Registry>,
    /// Each with the bytes of its credentials.
    clients: Kept<Who, (Registry, usize)>,
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
            shared: Kept::new(VALID, MOST_CONFIGURATIONS),
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
            let shared = self.shared.get(&generation, self.open(config)).await;
            let shared = shared.map_err(Trouble::Blocked)?;
            let (credentials, bytes) = self.credentials(&who, config.rules().pull_secrets).await?;
            Ok((shared.with_credentials(credentials), bytes))
        };
        let (registry, bytes) = self.clients.get(&who, make).await?;
        if bytes > MOST_KEPT_BYTES {
            self.clients.forget(|known| *known == who);
        }
        Ok(registry)
    }

    /// What was refused is read anew next time.
    pub(crate) fn forget(&self, namespace: &str, account: &str) {
        self.clients
            .forget(|who| who.namespace == namespace && who.account == account);
    }

    async fn open(&self, config: &Config) -> Result<Registry, String> {
        let oci = &config.storages().oci;
        let mut insecure = self.insecure.clone();
        if oci.insecure
            && let Ok(Some(repository)) = config.repository()
        {
            insecure.push(repository.registry().to_owned());
        }
        let guard = Guard::new(&config.rules().registries, &self.api_server().await)
            .map_err(|error| format!("tekseal.registries: {}", chain(&error)))?;
        Registry::new(Options {
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

    /// What the ServiceAccount may show, and how many bytes that is. One that is gone shows nothing; a Secret that cannot be read is told and passed over.
    async fn credentials(
        &self,
        who: &Who,
        pull_secrets: bool,
    ) -> Result<(Credentials, usize), Trouble> {
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
                return Ok((Credentials::default(), 0));
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
        let mut bytes = 0;
        for secret in &secrets.found {
            let values = secret.data.data.values();
            bytes += values.map(|value| value.len()).sum::<usize>();
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
        Ok((credentials, bytes))
    }
}
