//! Keys that a service or a plugin holds, for the programs: see `tekseal-custody`.

use std::path::PathBuf;

use anyhow::anyhow;
use tekseal_core::config::KmsSigner;
use tekseal_custody::{Context, Described, Settings, VaultSettings, spiffe};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer, Zeroizing};

use crate::registry_args::told_to_wait;
use crate::{Failure, key_url, log};

/// How the services are asked: these authorities are trusted beside the system's, and people are told when they are waited for. How to get in is what
/// the environment says, as for the services' own tools.
fn context(ca: &[PathBuf], vault: VaultSettings) -> Context {
    let context = Context::new(Settings {
        options: Options {
            ca: ca.to_vec(),
            notice: told_to_wait,
            ..Options::default()
        },
        vault,
        plugin_notice: Some(|program, text| {
            log::info("the plugin says", &[("program", &program), ("text", &text)]);
        }),
        plain_notice: Some(key_url::tell_plain_http),
        ..Settings::default()
    });
    if let Some(warning) = context.warning() {
        log::warn(warning, &[]);
    }
    context
}

/// How to log in to Vault as the Pod, which its own tools have no variable for: the role, the path of the login (`kubernetes` unless it says another)
/// and the file with the identity token (that of the ServiceAccount unless it says another). With an audience it is a token for it that the agent of SPIFFE
/// gives, and the path is `jwt` unless it says another. Without either only a token opens it.
fn of_environment() -> VaultSettings {
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

/// How a configuration has Vault entered, where the environment does not say: it may be the one of a controller, with files that only that has.
fn of_config(config: &KmsSigner) -> VaultSettings {
    let is_set = |names: &[&str]| {
        let mut values = names.iter().filter_map(std::env::var_os);
        values.any(|value| !value.is_empty())
    };
    let told = VaultSettings::of_config(config);
    let address = match is_set(&["VAULT_ADDR", "BAO_ADDR"]) {
        true => String::new(),
        false => told.address.clone(),
    };
    let ways = [
        "VAULT_TOKEN",
        "BAO_TOKEN",
        "TEKSEAL_VAULT_ROLE",
        "TEKSEAL_VAULT_SPIFFE_AUDIENCE",
    ];
    let way = match is_set(&ways) {
        true => of_environment(),
        false => told,
    };
    VaultSettings { address, ..way }
}

/// The key to sign with. What the environment does not say of Vault the configuration does, if there is one.
pub(crate) async fn open(
    key: &KmsRef,
    ca: &[PathBuf],
    config: Option<&KmsSigner>,
) -> Result<Signer, Failure> {
    let settings = config.map_or_else(of_environment, of_config);
    let signer = tekseal_custody::open(key, &context(ca, settings)).await;
    signer.map_err(|error| Failure::from(error).context(format!("opening the key {key}")))
}

/// Its public half.
pub(crate) async fn public_key(key: &KmsRef, ca: &[PathBuf]) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::public_key(key, &context(ca, of_environment())).await;
    public.map_err(|error| Failure::from(error).context(format!("asking for the public key {key}")))
}

/// Its public half, and its age.
pub(crate) async fn describe(key: &KmsRef, ca: &[PathBuf]) -> Result<Described, Failure> {
    let described = tekseal_custody::describe(key, &context(ca, of_environment())).await;
    described
        .map_err(|error| Failure::from(error).context(format!("asking for the public key {key}")))
}

/// The public half of a key that a controller signs with, and its age. Vault is where its configuration says, and is entered with the token that stands there; else as
/// the environment here says, but only if that has Vault at the same address: whoever may write the configuration would be sent what opens Vault from here.
///
/// # Errors
/// Why it was not looked at.
pub(crate) async fn of_controller(
    key: &KmsRef,
    signer: &KmsSigner,
    ca: &[PathBuf],
) -> Result<Described, Failure> {
    let token = signer.token.reveal();
    let settings = match key {
        KmsRef::Vault(_) if !token.is_empty() => VaultSettings {
            address: signer.address.clone(),
            token: Zeroizing::new(token.to_owned()),
            ..VaultSettings::default()
        },
        KmsRef::Vault(_) if !is_here(&signer.address) => {
            let (address, way) = (&signer.address, way_of_controller(signer));
            return Err(Failure::misuse(anyhow!(
                "the controller enters Vault at {address} {way}; what opens Vault from here goes only where VAULT_ADDR says: set that to the same"
            )));
        }
        _ => of_environment(),
    };
    let described = tekseal_custody::describe(key, &context(ca, settings)).await;
    described.map_err(|error| match error {
        tekseal_custody::Error::NoCredentials { .. } if matches!(key, KmsRef::Vault(_)) => {
            Failure::misuse(anyhow!(
                "the controller enters Vault {}, and nothing is set to enter it from here (VAULT_TOKEN, ~/.vault-token, TEKSEAL_VAULT_ROLE)",
                way_of_controller(signer)
            ))
        }
        other => other.into(),
    })
}

/// Whether the environment here has Vault at this address; where there is none it is the environment's.
fn is_here(address: &str) -> bool {
    let same = |name| {
        let here = std::env::var(name).unwrap_or_default();
        here.trim_end_matches('/') == address.trim_end_matches('/')
    };
    address.is_empty() || same("VAULT_ADDR") || same("BAO_ADDR")
}

/// How a controller without a token in its configuration enters Vault.
fn way_of_controller(signer: &KmsSigner) -> &'static str {
    let oidc = &signer.oidc;
    if !signer.spire.socket.is_empty() {
        "with a token of its SPIRE agent (signers.kms.auth.spire.sock)"
    } else if !signer.token_path.is_empty() {
        "with the token in a file of its Pod (signers.kms.auth.token-path)"
    } else if !oidc.path.is_empty() && !oidc.role.is_empty() {
        "with an identity token of its Pod (signers.kms.auth.oidc.role)"
    } else {
        "with what the environment of its Pod has"
    }
}

/// Makes a key there that must not exist yet.
pub(crate) async fn create(
    key: &KmsRef,
    algorithm: KeyAlgorithm,
    ca: &[PathBuf],
) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::create(key, algorithm, &context(ca, of_environment())).await;
    public.map_err(|error| Failure::from(error).context(format!("making the key {key}")))
}

/// Makes a new version of a key, which signs from then on.
pub(crate) async fn rotate(key: &KmsRef, ca: &[PathBuf]) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::rotate(key, &context(ca, of_environment())).await;
    public.map_err(|error| Failure::from(error).context(format!("rotating the key {key}")))
}

impl From<tekseal_custody::Error> for Failure {
    fn from(error: tekseal_custody::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}
