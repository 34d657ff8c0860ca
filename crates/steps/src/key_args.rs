//! Keys and passwords from the command line, the environment, a terminal, a Secret of a cluster, a URL, GitLab, or a service that holds keys.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_cluster::{SecretData, secrets};
use tekseal_core::config::KmsSigner;
use tekseal_signing::{
    KeyRef, PublicKey, Signer, Zeroizing, cosign_key, key_ref, public_key, signer,
};

use crate::Failure;
use crate::cluster_args::{self, ClusterArgs};
use crate::files;
use crate::gitlab::{self, Gitlab};
use crate::key_url;
use crate::kms;
use crate::log;
use crate::registry_args::given;

/// Key files are a few kilobytes at most.
pub(crate) const MAX_KEY: u64 = 64 * 1024;

/// The private key to sign with.
#[derive(Debug, clap::Args)]
pub struct SigningKeyArgs {
    /// Private key: a file (cosign.key; PKCS#8, SEC1 or PKCS#1 PEM), env://NAME, k8s://NAMESPACE/SECRET with cosign.key and cosign.password, gitlab://PROJECT, or a service that signs: awskms://, gcpkms://, azurekms://, hashivault://, openbao://, or a scheme of a plugin
    #[arg(long, env = "TEKSEAL_KEY", value_name = "REF", hide_env_values = true)]
    key: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Where a password comes from.
#[derive(Debug, clap::Args)]
pub struct PasswordArgs {
    /// File with the password of an encrypted key, to the last byte (a newline at its end counts); else COSIGN_PASSWORD, else a prompt on a terminal
    #[arg(long, env = "TEKSEAL_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<String>,
}

impl SigningKeyArgs {
    /// Opens the key of a reference, of the flag or of a configuration. The password is only asked for if the key is encrypted; that of a key in a Secret
    /// lies beside it. Where it is elsewhere, these authorities are trusted beside the system's, and a service is entered as `kms` says.
    pub(crate) fn open(
        &self,
        reference: &str,
        cluster: &ClusterArgs,
        ca: &[PathBuf],
        kms: Option<&KmsSigner>,
    ) -> Result<Signer, Failure> {
        let key = KeyRef::parse(reference).map_err(Failure::misuse)?;
        if let KeyRef::Kms(key) = &key {
            return crate::block_on(kms::open(key, ca, kms));
        }
        let KeyText {
            pem, mut password, ..
        } = read_key(&key, cluster, ca, Half::Private)?;
        let get = || match password.take() {
            Some(password) => Ok(password),
            None => self.password.get("Password for private key: "),
        };
        Signer::from_pem(&pem, get)
            .map_err(|failure: Failure| failure.context(format!("opening the private key {key}")))
    }

    /// The reference of the key; nothing where none is given.
    pub(crate) fn reference(&self) -> Option<&str> {
        given(&self.key).next()
    }
}

impl From<signer::Error> for Failure {
    fn from(error: signer::Error) -> Self {
        let is_password = matches!(error, signer::Error::File(cosign_key::Error::Password));
        let failure = Self::misuse(error);
        if is_password {
            return failure.hint("the password counts to the last byte: one that was written by `echo` ends with a newline");
        }
        failure
    }
}

impl From<signer::SignError> for Failure {
    fn from(error: signer::SignError) -> Self {
        Self::blamed(error.blame(), error)
    }
}

impl PasswordArgs {
    /// The password: from the file, from `COSIGN_PASSWORD` (even if empty), or from the terminal.
    pub fn get(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if let Some(path) = self.file() {
            let password = Zeroizing::new(read_file(Path::new(path), "password file")?);
            if password.ends_with(b"\n") {
                log::warn(
                    "the password file ends with a newline, which counts as part of the password",
                    &[("file", &path)],
                );
            }
            return Ok(password);
        }
        if let Some(password) = std::env::var_os("COSIGN_PASSWORD") {
            return Ok(Zeroizing::new(password.into_encoded_bytes()));
        }
        // The prompt is on the terminal itself, so stdin may be a run document.
        if File::open("/dev/tty").is_err() {
            return Err(
                Failure::misuse(anyhow!("a password is needed and none was given"))
                    .hint("set COSIGN_PASSWORD (it may be empty), or give --password-file"),
            );
        }
        rpassword::prompt_password(prompt)
            .map(|text| Zeroizing::new(text.into_bytes()))
            .map_err(|e| Failure::misuse(e).context("reading the password from the terminal"))
    }

    /// An unset parameter of a Task arrives as an empty text.
    fn file(&self) -> Option<&str> {
        self.password_file
            .as_deref()
            .filter(|path| !path.is_empty())
    }

    /// Like [`Self::get`] for a new key: a prompt asks twice.
    pub fn get_new(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let first = self.get("Enter password for private key: ")?;
        let is_prompted = self.file().is_none() && std::env::var_os("COSIGN_PASSWORD").is_none();
        if is_prompted && *self.get("Enter password for private key again: ")? != *first {
            return Err(Failure::misuse(anyhow!("the two passwords differ")));
        }
        Ok(first)
    }
}

/// A half of a pair: in a Secret they lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The private key.
    Private,
    /// The public key.
    Public,
}

/// The text of a key, and its password where that lies beside it.
struct KeyText {
    pem: Zeroizing<Vec<u8>>,
    password: Option<Zeroizing<Vec<u8>>>,
    /// Public keys of earlier pairs beside it.
    former: Vec<Zeroizing<Vec<u8>>>,
}

/// Reads a file with a key or a password.
fn read_file(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    files::read(path, MAX_KEY, what).map_err(|failure| match path.try_exists() {
        Ok(false) => failure.hint("tekseal-keygen makes a pair; in a Task, the Secret that its parameter names is not in the namespace, or has no key of this name"),
        _ => failure,
    })
}

/// Whether a reference leads to something outside this machine: a cluster, a URL, a service.
pub(crate) fn is_elsewhere(reference: &str) -> bool {
    !matches!(
        KeyRef::parse(reference),
        Ok(KeyRef::Path(_) | KeyRef::Env(_)) | Err(_)
    )
}

/// Reads a public key by a reference of any form. Where it is elsewhere, these authorities are trusted beside the system's.
///
/// # Errors
/// Exit 2 if it cannot be used or is not there, 3 where somebody does not answer.
pub fn public_key(
    reference: &str,
    cluster: &ClusterArgs,
    ca: &[PathBuf],
) -> Result<PublicKey, Failure> {
    let mut keys = public_keys(reference, cluster, ca)?;
    Ok(keys.swap_remove(0))
}

/// Reads a public key and, where it is in a Secret, those of earlier pairs that rotation kept there: what was signed before is good too. There is at
/// least one.
///
/// # Errors
/// As [`public_key`].
pub fn public_keys(
    reference: &str,
    cluster: &ClusterArgs,
    ca: &[PathBuf],
) -> Result<Vec<PublicKey>, Failure> {
    let key = KeyRef::parse(reference).map_err(Failure::misuse)?;
    if let KeyRef::Kms(key) = &key {
        return crate::block_on(kms::public_key(key, ca)).map(|key| vec![key]);
    }
    let text = read_key(&key, cluster, ca, Half::Public)?;
    std::iter::once(&text.pem)
        .chain(&text.former)
        .map(|pem| PublicKey::from_pem(pem))
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::misuse(e).context(reading(&key, Half::Public)))
}

/// The public key of a reference, which may also be of the private half in a file or a variable: that is opened then. Which it was is told too.
///
/// # Errors
/// As [`public_key`], and where the private half cannot be opened.
pub(crate) fn either(
    reference: &str,
    cluster: &ClusterArgs,
    ca: &[PathBuf],
    password: &PasswordArgs,
) -> Result<(PublicKey, Half), Failure> {
    let key = KeyRef::parse(reference).map_err(Failure::misuse)?;
    if !matches!(key, KeyRef::Path(_) | KeyRef::Env(_)) {
        return Ok((public_key(reference, cluster, ca)?, Half::Public));
    }
    let text = read_key(&key, cluster, ca, Half::Public)?;
    match PublicKey::from_pem(&text.pem) {
        Ok(key) => Ok((key, Half::Public)),
        Err(public_key::Error::PrivateKey(_)) => {
            let get = || password.get("Password for private key: ");
            let signer = Signer::from_pem(&text.pem, get).map_err(|failure: Failure| {
                failure.context(format!("opening the private key {key}"))
            })?;
            Ok((signer.public_key().clone(), Half::Private))
        }
        Err(error) => Err(Failure::misuse(error).context(reading(&key, Half::Public))),
    }
}

/// What is being done when a key cannot be had.
fn reading(key: &KeyRef, half: Half) -> String {
    let what = match half {
        Half::Private => "private",
        Half::Public => "public",
    };
    format!(
        "reading the {what} key {}",
        key_ref::shown(&key.to_string())
    )
}

fn read_key(
    key: &KeyRef,
    cluster: &ClusterArgs,
    ca: &[PathBuf],
    half: Half,
) -> Result<KeyText, Failure> {
    let bytes =
        match key {
            KeyRef::Path(path) => read_file(path, "key")?,
            KeyRef::Env(name) => std::env::var_os(name)
                .map(std::ffi::OsString::into_encoded_bytes)
                .ok_or_else(|| {
                    Failure::misuse(anyhow!("the environment variable {name} is not set"))
                        .context("reading the key")
                })?,
            KeyRef::Secret { namespace, name } => {
                let secret = crate::block_on(async {
                    let cluster = cluster.connect().await?;
                    cluster_args::read_secret(&cluster, namespace, name).await
                });
                let secret = secret.map_err(|f| f.context(reading(key, half)))?;
                return of_secret(secret, half, &key.to_string());
            }
            KeyRef::Url(url) => match half {
                Half::Public => crate::block_on(key_url::read(url, MAX_KEY, ca))
                    .map_err(|f| f.context(reading(key, half)))?,
                Half::Private => {
                    return Err(Failure::misuse(anyhow!("a private key is not read from a URL"))
                    .context(reading(key, half))
                    .hint("what a server hands out is no secret; only public keys are read so"));
                }
            },
            KeyRef::Gitlab(place) => {
                return crate::block_on(of_gitlab(place, ca, half))
                    .map_err(|f| f.context(reading(key, half)));
            }
            KeyRef::Kms(_) => {
                return Err(Failure::misuse(anyhow!(
                    "the key {key} stays where it is, and has no text"
                )));
            }
        };
    Ok(KeyText {
        pem: Zeroizing::new(bytes),
        password: None,
        former: Vec::new(),
    })
}

/// The half of the pair in variables of GitLab.
async fn of_gitlab(place: &str, ca: &[PathBuf], half: Half) -> Result<KeyText, Failure> {
    let gitlab = Gitlab::open(place, ca).await?;
    let (pem, password) = match half {
        Half::Public => (gitlab.variable(gitlab::PUBLIC_KEY).await?, None),
        Half::Private => {
            let pem = gitlab.variable(gitlab::PRIVATE_KEY).await?;
            (pem, Some(gitlab.variable(gitlab::PASSWORD).await?))
        }
    };
    Ok(KeyText {
        pem,
        password,
        former: Vec::new(),
    })
}

/// The half of the pair in a Secret that cosign would take.
fn of_secret(mut secret: SecretData, half: Half, reference: &str) -> Result<KeyText, Failure> {
    let name = match half {
        Half::Private => secrets::PRIVATE_KEY,
        Half::Public => secrets::PUBLIC_KEY,
    };
    let pem = secret.data.remove(name).ok_or_else(|| {
        let error = anyhow!("the Secret {reference} has no {name}");
        Failure::misuse(error).hint("tekseal-keygen and cosign generate-key-pair write cosign.key, cosign.password and cosign.pub into one Secret")
    })?;
    let password = match half {
        Half::Private => secret.data.remove(secrets::PASSWORD),
        Half::Public => None,
    };
    let former = secret.former_public_keys();
    Ok(KeyText {
        former: former.map(|pem| Zeroizing::new(pem.to_vec())).collect(),
        pem,
        password,
    })
}
