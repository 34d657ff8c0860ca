//! Keys that a service or a plugin holds, for the programs: see `tekseal-custody`.

use std::path::PathBuf;

use tekseal_custody::{Context, Settings, VaultSettings, spiffe};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

use crate::registry_args::told_to_wait;
use crate::{Failure, log};

/// How the services are asked: these authorities are trusted beside the system's, and people are told when they are waited for. How to get in is what
/// the environment says, as for the services' own tools.
fn context(ca: &[PathBuf]) -> Context {
    Context::new(Settings {
        options: Options {
            ca: ca.to_vec(),
            notice: told_to_wait,
            ..Options::default()
        },
        vault: vault(),
        plugin_notice: Some(|program, text| {
            log::info("the plugin says", &[("program", &program), ("text", &text)]);
        }),
        ..Settings::default()
    })
}

/// How to log in to Vault as the Pod, which its own tools have no variable for: the role, the path of the login (`kubernetes` unless it says another)
/// and the file with the identity token (that of the ServiceAccount unless it says another). With an audience it is a token for it that the agent of SPIFFE
/// gives, and the path is `jwt` unless it says another. Without either only a token opens it.
fn vault() -> VaultSettings {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let or = |value: String, otherwise: &str| match value.is_empty() {
        true => otherwise.to_owned(),
        false => value,
    };
    let login_role = variable("TEKSEAL_VAULT_ROLE");
    let login_path = variable("TEKSEAL_VAULT_LOGIN_PATH");
    let spire_audience = variable("TEKSEAL_VAULT_SPIFFE_AUDIENCE");
    if !spire_audience.is_empty() {
        return VaultSettings {
            login_path,
            login_role,
            spire_socket: or(variable(spiffe::SOCKET_VARIABLE), spiffe::DEFAULT_SOCKET),
            spire_audience,
            ..VaultSettings::default()
        };
    }
    if login_role.is_empty() {
        return VaultSettings::default();
    }
    VaultSettings {
        login_path: or(login_path, "kubernetes"),
        login_role,
        login_token_path: variable("TEKSEAL_VAULT_IDENTITY_TOKEN").into(),
        ..VaultSettings::default()
    }
}

/// The key to sign with.
pub(crate) async fn open(key: &KmsRef, ca: &[PathBuf]) -> Result<Signer, Failure> {
    let signer = tekseal_custody::open(key, &context(ca)).await;
    signer.map_err(|error| Failure::from(error).context(format!("opening the key {key}")))
}

/// Its public half.
pub(crate) async fn public_key(key: &KmsRef, ca: &[PathBuf]) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::public_key(key, &context(ca)).await;
    public.map_err(|error| Failure::from(error).context(format!("asking for the public key {key}")))
}

/// Makes a key there that must not exist yet.
pub(crate) async fn create(
    key: &KmsRef,
    algorithm: KeyAlgorithm,
    ca: &[PathBuf],
) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::create(key, algorithm, &context(ca)).await;
    public.map_err(|error| Failure::from(error).context(format!("making the key {key}")))
}

/// Makes a new version of a key, which signs from then on.
pub(crate) async fn rotate(key: &KmsRef, ca: &[PathBuf]) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::rotate(key, &context(ca)).await;
    public.map_err(|error| Failure::from(error).context(format!("rotating the key {key}")))
}

impl From<tekseal_custody::Error> for Failure {
    fn from(error: tekseal_custody::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}
