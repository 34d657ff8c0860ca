//! What all keepers of keys share: one client, the variables of the process, and what the user has set.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tekseal_remote::Rest;
use tekseal_remote::rest::Options;
use zeroize::Zeroizing;

/// Gives the value of a variable of the environment.
pub type Variables = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What the user has set. What is not set is looked for where each service's own tools look.
#[derive(Default)]
pub struct Settings {
    /// How services are asked: authorities, time, tries.
    pub options: Options,
    /// For `hashivault://`: `signers.kms.auth.*` of Chains' configuration.
    pub vault: VaultSettings,
    /// How long a plugin may take for one call; nothing for half a minute.
    pub plugin_timeout: Option<Duration>,
    /// Hears what a plugin that did as it was asked wrote to stderr, once: its name, and one line.
    pub plugin_notice: Option<fn(&str, &str)>,
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

/// What is needed to talk to any keeper of keys. Clones share connections.
#[derive(Clone)]
pub struct Context {
    pub(crate) rest: Rest,
    pub(crate) variables: Variables,
    pub(crate) settings: Arc<Settings>,
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
        }
    }

    /// The value of a variable, if it is set, is text, and is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let value = (self.variables)(name)?.into_string().ok()?;
        (!value.is_empty()).then_some(value)
    }
}
