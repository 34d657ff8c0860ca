//! Keys and passwords from the command line, the environment, a terminal or a Secret of a cluster.

use std::fs::File;
use std::path::Path;

use anyhow::anyhow;
use tekseal_cluster::{SecretData, secrets};
use tekseal_signing::{KeyRef, PublicKey, Signer, Zeroizing, cosign_key, signer};

use crate::Failure;
use crate::cluster_args::{self, ClusterArgs};
use crate::files;
use crate::kms;
use crate::log;
use crate::registry_args::given;

/// Key files are a few kilobytes at most.
pub(crate) const MAX_KEY: u64 = 64 * 1024;

/// The private key to sign with.
#[derive(Debug, clap::Args)]
pub struct SigningKeyArgs {
    /// Private key: a file (cosign.key; PKCS#8, SEC1 or PKCS#1 PEM), env://NAME, or k8s://NAMESPACE/SECRET with cosign.key and cosign.password
    #[arg(long, env = "TEKSEAL_KEY", value_name = "REF")]
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
    /// Opens the key. The password is only asked for if the key is encrypted; that of a key in a Secret lies beside it.
    pub fn open(&self, cluster: &ClusterArgs) -> Result<Signer, Failure> {
        let reference = self
            .reference()
            .ok_or_else(|| Failure::misuse(anyhow!("--key is not given")))?;
        if let KeyRef::Kms(key) = KeyRef::parse(reference).map_err(Failure::misuse)? {
            return crate::block_on(kms::open(&key));
        }
        let KeyText {
            pem, mut password, ..
        } = read_key(reference, cluster, Half::Private)?;
        let get = || match password.take() {
            Some(password) => Ok(password),
            None => self.password.get("Password for private key: "),
        };
        Signer::from_pem(&pem, get).map_err(|failure: Failure| {
            failure.context(format!("opening the private key {reference}"))
        })
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

/// Which half of a pair is wanted: in a Secret they lie side by side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Private,
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

/// Reads a public key from a file, `env://NAME` or `k8s://NAMESPACE/SECRET`.
pub fn public_key(reference: &str, cluster: &ClusterArgs) -> Result<PublicKey, Failure> {
    if let KeyRef::Kms(key) = KeyRef::parse(reference).map_err(Failure::misuse)? {
        return crate::block_on(kms::public_key(&key));
    }
    let key = read_key(reference, cluster, Half::Public)?;
    PublicKey::from_pem(&key.pem)
        .map_err(|e| Failure::misuse(e).context(format!("reading the public key {reference}")))
}

/// Reads a public key and, where it is in a Secret, those of earlier pairs that rotation kept there: what was signed before is good too.
pub fn public_keys(reference: &str, cluster: &ClusterArgs) -> Result<Vec<PublicKey>, Failure> {
    if let KeyRef::Kms(_) = KeyRef::parse(reference).map_err(Failure::misuse)? {
        return Ok(vec![public_key(reference, cluster)?]);
    }
    let key = read_key(reference, cluster, Half::Public)?;
    std::iter::once(&key.pem)
        .chain(&key.former)
        .map(|pem| PublicKey::from_pem(pem))
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::misuse(e).context(format!("reading the public key {reference}")))
}

fn read_key(reference: &str, cluster: &ClusterArgs, half: Half) -> Result<KeyText, Failure> {
    let bytes = match KeyRef::parse(reference).map_err(Failure::misuse)? {
        KeyRef::Path(path) => read_file(&path, "key")?,
        KeyRef::Env(name) => std::env::var_os(&name)
            .map(std::ffi::OsString::into_encoded_bytes)
            .ok_or_else(|| {
                Failure::misuse(anyhow!("the environment variable {name} is not set"))
                    .context("reading the key")
            })?,
        KeyRef::Secret { namespace, name } => {
            let secret = crate::block_on(async {
                let cluster = cluster.connect().await?;
                cluster_args::read_secret(&cluster, &namespace, &name).await
            });
            return of_secret(
                secret.map_err(|f| f.context(format!("reading the key {reference}")))?,
                half,
                reference,
            );
        }
        KeyRef::Url(_) | KeyRef::Gitlab(_) | KeyRef::Kms(_) => {
            return Err(Failure::misuse(anyhow!(
                "the key {reference} cannot be read as a text"
            )));
        }
    };
    Ok(KeyText {
        pem: Zeroizing::new(bytes),
        password: None,
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
