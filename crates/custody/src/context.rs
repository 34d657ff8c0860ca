//! What all keepers of keys share: one client, the variables of the process, and what the user has set.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tekseal_core::config::KmsSigner;
use tekseal_remote::Rest;
use tekseal_remote::rest::{Options, Url};
use zeroize::Zeroizing;

use crate::bearer::is_loopback;
use crate::vault;

/// Gives the value of a variable of the environment.
pub type Variables = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What the user has set. What is not set is looked for where each service's own tools look.
#[derive(Default)]
pub struct Settings {
    /// How services are asked: authorities, time, tries.
    pub options: Options,
    /// For `hashivault://` and `openbao://`: `signers.kms.auth.*` of Chains' configuration.
    pub vault: VaultSettings,
    /// How long a plugin may take for one call; nothing for half a minute.
    pub plugin_timeout: Option<Duration>,
    /// Hears what a plugin that did as it was asked wrote to stderr, once: its name, and one line.
    pub plugin_notice: Option<fn(&str, &str)>,
    /// Hears that something secret goes over plain http to another machine, once for each: what, and to which host.
    pub plain_notice: Option<fn(&str, &str)>,
}

/// How to get into Vault. An empty text is an unset one.
#[derive(Default)]
pub struct VaultSettings {
    /// Its address, such as `https://vault.example:8200`.
    pub address: String,
    /// A token.
    pub token: Zeroizing<String>,
    /// A file with a token; it goes before `token`, and is read again when it changes.
    pub token_path: PathBuf,
    /// The path of the login, such as `kubernetes` or `jwt`.
    pub login_path: String,
    /// The role to log in as.
    pub login_role: String,
    /// A file with the identity token to log in with; by default that of the ServiceAccount.
    pub login_token_path: PathBuf,
    /// The socket of a SPIFFE agent that gives the identity token instead; the path is `jwt` then where it is not set, and the role may be Vault's own choice.
    pub spire_socket: String,
    /// The audience of that token.
    pub spire_audience: String,
}

impl VaultSettings {
    /// What the configuration of Tekton Chains says, `signers.kms.auth.*`.
    #[must_use]
    pub fn of_config(kms: &KmsSigner) -> Self {
        Self {
            address: kms.address.clone(),
            token: Zeroizing::new(kms.token.reveal().to_owned()),
            token_path: kms.token_path.clone().into(),
            login_path: kms.oidc.path.clone(),
            login_role: kms.oidc.role.clone(),
            login_token_path: kms.oidc.token_path.clone().into(),
            spire_socket: kms.spire.socket.clone(),
            spire_audience: kms.spire.audience.clone(),
        }
    }
}

/// What is needed to talk to any keeper of keys. Clones share connections.
#[derive(Clone)]
pub struct Context {
    pub(crate) rest: Rest,
    pub(crate) variables: Variables,
    pub(crate) settings: Arc<Settings>,
    /// What was said of plain http already.
    said: Arc<Mutex<Vec<(String, String)>>>,
}

impl fmt::Debug for Context {
    /// Without settings and variables, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// With the variables of this process.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_variables(settings, Arc::new(|name| std::env::var_os(name)))
    }

    /// With other variables, for tests.
    #[must_use]
    pub fn with_variables(settings: Settings, variables: Variables) -> Self {
        Self {
            rest: Rest::new(settings.options.clone()),
            variables,
            settings: Arc::new(settings),
            said: Arc::default(),
        }
    }

    /// Tells that `what` goes to `url` where everybody on the way may read it, if it does. It is what somebody has set, so it is done.
    pub(crate) fn tell_if_plain(&self, what: &str, url: &Url) {
        let Some(notice) = self.settings.plain_notice else {
            return;
        };
        if url.scheme() != "http" || is_loopback(url) {
            return;
        }
        let told = (
            what.to_owned(),
            url.host_str().unwrap_or_default().to_owned(),
        );
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&told) {
            notice(&told.0, &told.1);
            said.push(told);
        }
    }

    /// What people should know of how services are reached, if it is not as it should be.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        vault::warning(self)
    }

    /// The same, which trusts these authorities too.
    pub(crate) fn trusting(&self, path: PathBuf) -> Self {
        let mut options = self.settings.options.clone();
        options.ca.push(path);
        Self {
            rest: Rest::new(options),
            ..self.clone()
        }
    }

    /// The value of a variable, if it is set, is text, and is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let value = (self.variables)(name)?.into_string().ok()?;
        (!value.is_empty()).then_some(value)
    }
}
