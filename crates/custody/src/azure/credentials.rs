//! Who asks Azure: found where Azure's own clients look inside a cluster, in the order of `DefaultAzureCredential`
//! (<https://learn.microsoft.com/azure/developer/go/sdk/authentication/credential-chains>).
//!
//! A client secret, else workload identity (a token of Kubernetes, exchanged), else a managed identity: that of App Service and Container Apps, or that of
//! the machine, which its metadata server gives.

use std::path::PathBuf;
use std::time::Duration;

use tekseal_remote::Rest;
use tekseal_remote::rest::header::HeaderName;
use tekseal_remote::rest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::service::SERVICE;
use crate::bearer::{
    self, Granted, TOKEN_LIMIT, ask_for_token, endpoint, failed, granted, no_token, post_form,
    read_token,
};
use crate::{Context, Error};

/// Who asks, and for what.
pub(super) struct Credentials {
    rest: Rest,
    /// What tokens are for, such as `https://vault.azure.net`.
    resource: &'static str,
    source: Source,
}

/// Where tokens come from.
enum Source {
    /// Microsoft Entra ID, where an application says who it is.
    Application {
        token_url: Url,
        client_id: String,
        proof: Proof,
    },
    /// The server of a platform, which wants a header.
    Platform { url: Url, header: Zeroizing<String> },
    /// The metadata server.
    Machine {
        url: Url,
        /// Whether somebody said that there is one.
        is_told: bool,
    },
}

/// How an application says who it is.
enum Proof {
    Secret(Zeroizing<String>),
    /// A file with an identity token, which changes.
    Token(PathBuf),
}

/// The clouds of Azure: the end of a vault's name, what its tokens are for, and who issues them.
const CLOUDS: [(&str, &str, &str); 6] = [
    (".vault.azure.net", "https://vault.azure.net", PUBLIC),
    (
        ".managedhsm.azure.net",
        "https://managedhsm.azure.net",
        PUBLIC,
    ),
    (
        ".vault.usgovcloudapi.net",
        "https://vault.usgovcloudapi.net",
        GOVERNMENT,
    ),
    (
        ".managedhsm.usgovcloudapi.net",
        "https://managedhsm.usgovcloudapi.net",
        GOVERNMENT,
    ),
    (".vault.azure.cn", "https://vault.azure.cn", CHINA),
    (".managedhsm.azure.cn", "https://managedhsm.azure.cn", CHINA),
];
const PUBLIC: &str = "https://login.microsoftonline.com/";
const GOVERNMENT: &str = "https://login.microsoftonline.us/";
const CHINA: &str = "https://login.chinacloudapi.cn/";

const TENANT: &str = "AZURE_TENANT_ID";
const CLIENT: &str = "AZURE_CLIENT_ID";
const SECRET: &str = "AZURE_CLIENT_SECRET";
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const PLATFORM_URL: &str = "IDENTITY_ENDPOINT";
const PLATFORM_HEADER: &str = "IDENTITY_HEADER";
const MACHINE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
const MACHINE_HOST: &str = "http://169.254.169.254/";
const MACHINE_PATH: &str = "metadata/identity/oauth2/token";
const MACHINE_VERSION: &str = "2018-02-01";
const PLATFORM_VERSION: &str = "2019-08-01";
/// How long a metadata server is waited for, where nobody said that there is one.
const MACHINE_PATIENCE: Duration = Duration::from_secs(10);
const MACHINE_TRIES: u32 = 3;
const METADATA: HeaderName = HeaderName::from_static("metadata");
const IDENTITY: HeaderName = HeaderName::from_static("x-identity-header");
/// For people.
const ENTRA: &str = "Microsoft Entra ID";
/// For people.
const MANAGED: &str = "the managed identity's server";
/// For people.
const WHAT: &str = "the identity token for Azure";

impl Credentials {
    /// Finds them for the vault at `base`. Nobody is asked yet.
    pub(super) fn find(context: &Context, base: &Url) -> Result<Self, Error> {
        let (resource, authority) = cloud(base)?;
        Ok(Self {
            rest: context.rest.clone(),
            resource,
            source: find(context, resource, authority)?,
        })
    }
}

/// What tokens for this vault are for, and who issues them. One for Key Vault is sent nowhere else: whoever got it there could use it.
fn cloud(base: &Url) -> Result<(&'static str, &'static str), Error> {
    let host = base.host_str().unwrap_or_default();
    let known = CLOUDS
        .iter()
        .find(|(end, ..)| host.len() > end.len() && host.ends_with(end));
    match known {
        Some((_, resource, authority)) => Ok((resource, authority)),
        None if bearer::is_loopback(base) => Ok((CLOUDS[0].1, PUBLIC)),
        None => Err(Error::Setting {
            name: format!("the host {host}"),
            reason: "it is no vault of Azure's; wanted NAME.vault.azure.net or NAME.managedhsm.azure.net, or their like in other clouds"
                .to_owned(),
        }),
    }
}

fn find(context: &Context, resource: &str, authority: &str) -> Result<Source, Error> {
    let client = context.variable(CLIENT);
    let secret = context.variable(SECRET).map(Zeroizing::new);
    let file = context.variable(TOKEN_FILE);
    if secret.is_none() && context.variable(CERTIFICATE).is_some() {
        return Err(Error::Setting {
            name: CERTIFICATE.to_owned(),
            reason: format!(
                "certificates are not supported, and nobody else is asked in their place; set {SECRET}, or {TOKEN_FILE} without it"
            ),
        });
    }
    let proof = match (secret, file) {
        (Some(secret), _) => Some((Proof::Secret(secret), SECRET)),
        (None, Some(file)) => Some((Proof::Token(file.into()), TOKEN_FILE)),
        (None, None) => None,
    };
    if let Some((proof, variable)) = proof {
        let missing = |name: &str| Error::Setting {
            name: variable.to_owned(),
            reason: format!("{name} must be set too"),
        };
        let tenant = context.variable(TENANT).ok_or_else(|| missing(TENANT))?;
        let client_id = client.ok_or_else(|| missing(CLIENT))?;
        return Ok(Source::Application {
            token_url: token_url(context, authority, &tenant)?,
            client_id,
            proof,
        });
    }
    let mut query = vec![("resource", resource.to_owned())];
    if let Some(client) = client {
        query.push(("client_id", client));
    }
    let at = |name: &str, text: &str, path: &str, version: &str| {
        // What platforms and machines give is plain http.
        let url = Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let mut url = url.ok_or_else(|| Error::Setting {
            name: name.to_owned(),
            reason: "it is no URL of a server".to_owned(),
        })?;
        if !path.is_empty() {
            let before = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{before}/{path}"));
        }
        url.set_query(None);
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .extend_pairs(&query);
        Ok(url)
    };
    let (platform, header) = (
        context.variable(PLATFORM_URL),
        context.variable(PLATFORM_HEADER),
    );
    if let (Some(platform), Some(header)) = (platform, header) {
        return Ok(Source::Platform {
            url: at(PLATFORM_URL, &platform, "", PLATFORM_VERSION)?,
            header: Zeroizing::new(header),
        });
    }
    let told = context.variable(MACHINE);
    let host = told.as_deref().unwrap_or(MACHINE_HOST);
    Ok(Source::Machine {
        url: at(MACHINE, host, MACHINE_PATH, MACHINE_VERSION)?,
        is_told: told.is_some(),
    })
}

/// <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>
fn token_url(context: &Context, authority: &str, tenant: &str) -> Result<Url, Error> {
    let is_tenant = tenant
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    if !is_tenant || matches!(tenant, "." | "..") {
        return Err(Error::Setting {
            name: TENANT.to_owned(),
            reason: "it is no id and no domain of a tenant".to_owned(),
        });
    }
    let mut url = match context.variable(AUTHORITY) {
        Some(text) => endpoint(AUTHORITY, &text)?,
        None => Url::parse(authority).expect("it is one"),
    };
    url.set_path(&format!("{tenant}/oauth2/v2.0/token"));
    url.set_query(None);
    Ok(url)
}

impl bearer::Credentials for Credentials {
    const SERVICE: &'static str = SERVICE;

    async fn grant(&self) -> Result<Granted, Error> {
        match &self.source {
            Source::Application {
                token_url,
                client_id,
                proof,
            } => self.of_application(token_url, client_id, proof).await,
            Source::Platform { url, header } => {
                let action = "give a token of the managed identity";
                let request = Request::new(Method::GET, url.clone(), TOKEN_LIMIT)
                    .secret_header(IDENTITY, header.as_bytes())
                    .map_err(|_| Error::Setting {
                        name: PLATFORM_HEADER.to_owned(),
                        reason: "no header can have its value".to_owned(),
                    })?;
                ask_for_token(&self.rest, MANAGED, action, &request).await
            }
            Source::Machine { url, is_told } => self.of_machine(url, *is_told).await,
        }
    }
}

impl Credentials {
    async fn of_application(
        &self,
        token_url: &Url,
        client_id: &str,
        proof: &Proof,
    ) -> Result<Granted, Error> {
        let scope = format!("{}/.default", self.resource);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("scope", scope.as_str()),
        ];
        let token;
        let secret = match proof {
            Proof::Secret(secret) => {
                form.push(("client_secret", secret.as_str()));
                secret
            }
            Proof::Token(path) => {
                token = read_token(WHAT, path)?;
                form.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                form.push(("client_assertion", token.as_str()));
                &token
            }
        };
        let request = post_form(token_url, &form).hiding(secret);
        let action = format!("give the application {client_id} a token");
        ask_for_token(&self.rest, ENTRA, &action, &request).await
    }

    /// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
    async fn of_machine(&self, url: &Url, is_told: bool) -> Result<Granted, Error> {
        let action = "give a token of the managed identity of this machine";
        let request = Request::new(Method::GET, url.clone(), TOKEN_LIMIT)
            .header(METADATA, "true")
            .tries(MACHINE_TRIES);
        let sent = self.rest.send(&request);
        let answer = match is_told {
            true => sent.await.map_err(|source| failed(action, source))?,
            false => match tokio::time::timeout(MACHINE_PATIENCE, sent).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => return Err(nobody()),
            },
        };
        match answer.is_success() {
            true => granted(MANAGED, action, &answer),
            false => Err(no_token(MANAGED, action, &answer)),
        }
    }
}

/// Nobody says who asks.
fn nobody() -> Error {
    Error::NoCredentials {
        service: SERVICE,
        tried: format!(
            "neither {SECRET} nor {TOKEN_FILE} nor {PLATFORM_URL} is set, and no metadata server answers; with workload identity the pod needs the label azure.workload.identity/use"
        ),
    }
}
