//! The keys: where they are, opened once, read again when they change.
//!
//! ```text
//!   tekseal.keys (namespace) ─┐
//!   signers.cosign.key ───────┼─▶ Source ─▶ cache ─▶ Signer      derived only when the content is another
//!   mounted signing-secrets ──┘
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tekseal_attest::settings;
use tekseal_cluster::{Cluster, SecretData, SecretRef};
use tekseal_core::Digest;
use tekseal_core::config::Config;
use tekseal_signing::{Signer, Zeroizing, signer};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a mounted key is used without a look at its files.
const LOOK_AT_FILES: Duration = Duration::from_secs(1);
/// How long the key of a Secret is used without a look at the Secret.
const LOOK_AT_SECRET: Duration = Duration::from_secs(10);
/// The largest key file.
const MOST_BYTES: u64 = 64 * 1024;

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// In the folder that a Secret is mounted at.
    Mounted,
    /// In a Secret that is read through the API.
    Secret(SecretRef),
}

/// Why there is no key.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing of the kind is there.
    #[error("there is no key at {0}: wanted x509.pem, or cosign.key and cosign.password")]
    Absent(String),
    /// The reference is of a kind that is not known.
    #[error("{0}")]
    Kind(String),
    /// It cannot be opened.
    #[error("cannot open the key at {place}")]
    Open {
        /// Where it is.
        place: String,
        /// Why.
        source: Arc<signer::Error>,
    },
    /// Its file cannot be read.
    #[error("cannot read the key at {place}")]
    File {
        /// Where it is.
        place: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Its Secret cannot be read.
    #[error("cannot read the key at {place}")]
    Cluster {
        /// Where it is.
        place: String,
        /// Why.
        source: Arc<tekseal_cluster::Error>,
    },
}

/// All keys in use.
pub(crate) struct Keys {
    cluster: Cluster,
    folder: PathBuf,
    /// Each with a lock of its own: a Secret that is slow to read, or a key that is being derived, holds up only those who want that one.
    opened: std::sync::Mutex<HashMap<Source, Slot>>,
    /// Held while a key is derived, which takes tens of MiB for a moment: one at a time.
    deriving: Mutex<()>,
}

type Slot = Arc<Mutex<Option<Opened>>>;

/// A key as it was when somebody last looked.
struct Opened {
    content: Digest,
    looked: Instant,
    signer: Result<Arc<Signer>, Error>,
}

/// What is needed to open a key.
struct Material {
    key: Zeroizing<Vec<u8>>,
    password: Option<Zeroizing<Vec<u8>>>,
}

impl Keys {
    /// Keys of this cluster, and those mounted at `folder`.
    pub(crate) fn new(cluster: &Cluster, folder: &Path) -> Self {
        Self {
            cluster: cluster.clone(),
            folder: folder.to_owned(),
            opened: std::sync::Mutex::default(),
            deriving: Mutex::default(),
        }
    }

    /// The key at `source`. Only a change of its content makes it be opened anew, once for all who want it.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened. While a Secret cannot be read for reasons that may pass, what was read before holds.
    pub(crate) async fn get(&self, source: &Source) -> Result<Arc<Signer>, Error> {
        let slot = self.slot(source);
        let mut slot = slot.lock().await;
        let valid = match source {
            Source::Mounted => LOOK_AT_FILES,
            Source::Secret(_) => LOOK_AT_SECRET,
        };
        if let Some(known) = slot.as_ref()
            && known.looked.elapsed() < valid
        {
            return known.signer.clone();
        }
        let material = match self.read(source).await {
            Ok(material) => material,
            Err(error) => {
                let holds = matches!(&error, Error::Cluster { source, .. } if source.blame() == tekseal_core::Blame::Outside);
                if let Some(known) = slot.as_mut()
                    && holds
                {
                    known.looked = Instant::now();
                    return known.signer.clone();
                }
                *slot = Some(Opened {
                    content: Digest::of(b""),
                    looked: Instant::now(),
                    signer: Err(error.clone()),
                });
                return Err(error);
            }
        };
        let content = material.digest();
        if let Some(known) = slot.as_mut()
            && known.content == content
        {
            known.looked = Instant::now();
            return known.signer.clone();
        }
        let place = self.place(source);
        let deriving = self.deriving.lock().await;
        // Deriving takes a fifth of a second: others go on meanwhile.
        let signer = tokio::task::spawn_blocking(move || material.open(&place))
            .await
            .expect("opening a key does not panic");
        drop(deriving);
        if let Ok(signer) = &signer {
            tracing::info!(place = %self.place(source), key = %signer.public_key().fingerprint(), "opened key");
        }
        *slot = Some(Opened {
            content,
            looked: Instant::now(),
            signer: signer.clone(),
        });
        signer
    }

    fn slot(&self, source: &Source) -> Slot {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(opened.entry(source.clone()).or_default())
    }

    fn place(&self, source: &Source) -> String {
        match source {
            Source::Mounted => self.folder.display().to_string(),
            Source::Secret(secret) => secret.to_string(),
        }
    }

    async fn read(&self, source: &Source) -> Result<Material, Error> {
        let place = self.place(source);
        match source {
            Source::Mounted => self.read_files().map_err(|error| Error::File {
                place: place.clone(),
                source: Arc::new(error),
            })?,
            Source::Secret(secret) => {
                let data = self.cluster.secret(secret).await;
                let data = data.map_err(|error| Error::Cluster {
                    place: place.clone(),
                    source: Arc::new(error),
                })?;
                Material::of_secret(&data)
            }
        }
        .ok_or(Error::Absent(place))
    }

    fn read_files(&self) -> io::Result<Option<Material>> {
        // As in Chains, the plain key goes before cosign's.
        if let Some(key) = read_file(&self.folder.join("x509.pem"))? {
            return Ok(Some(Material {
                key,
                password: None,
            }));
        }
        let Some(key) = read_file(&self.folder.join("cosign.key"))? else {
            return Ok(None);
        };
        let password = read_file(&self.folder.join("cosign.password"))?;
        Ok(Some(Material { key, password }))
    }
}

fn read_file(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

impl Material {
    fn of_secret(data: &SecretData) -> Option<Self> {
        let owned = |key: &str| data.get(key).map(|bytes| Zeroizing::new(bytes.to_vec()));
        if let Some(key) = owned("x509.pem") {
            return Some(Self {
                key,
                password: None,
            });
        }
        Some(Self {
            key: owned("cosign.key")?,
            password: owned("cosign.password"),
        })
    }

    /// Tells a change of key or password; kept in memory only.
    fn digest(&self) -> Digest {
        let password = self.password.as_ref().map_or(&[][..], |p| p.as_slice());
        let both = Zeroizing::new([self.key.as_slice(), b"\0", password].concat());
        Digest::of(&both)
    }

    fn open(self, place: &str) -> Result<Arc<Signer>, Error> {
        let password = self.password.unwrap_or_default();
        Signer::from_pem(&self.key, || Ok::<_, signer::Error>(password))
            .map(Arc::new)
            .map_err(|error| Error::Open {
                place: place.to_owned(),
                source: Arc::new(error),
            })
    }
}

impl Source {
    /// The platform's key: the one that the configuration names, else the mounted one.
    ///
    /// # Errors
    /// If it is of a kind that is not known.
    pub(crate) fn of_platform(config: &Config) -> Result<Self, Error> {
        match config.signers().cosign_key.as_str() {
            "" => Ok(Self::Mounted),
            key => Self::parse(key),
        }
    }

    /// A key as the configuration names it.
    ///
    /// # Errors
    /// If it is of a kind that is not known.
    pub(crate) fn parse(reference: &str) -> Result<Self, Error> {
        reference
            .parse()
            .map(Self::Secret)
            .map_err(|_| Error::Kind(settings::no_key(reference)))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mounted => f.write_str("the mounted key"),
            Self::Secret(secret) => write!(f, "{secret}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tekseal_signing::KeyAlgorithm;

    use super::*;

    #[test]
    fn a_plain_key_of_any_kind_is_opened() {
        for (pem, algorithm) in [
            (
                &include_bytes!("../../signing/src/testdata/p256.pkcs8.pem")[..],
                KeyAlgorithm::P256,
            ),
            (
                include_bytes!("../../signing/src/testdata/p384.pkcs8.pem"),
                KeyAlgorithm::P384,
            ),
            (
                include_bytes!("../../signing/src/testdata/p521-private.pem"),
                KeyAlgorithm::P521,
            ),
            (
                include_bytes!("../../signing/src/testdata/rsa.plain.pem"),
                KeyAlgorithm::Rsa(2048),
            ),
            (
                include_bytes!("../../signing/src/testdata/ed.plain.pem"),
                KeyAlgorithm::Ed25519,
            ),
        ] {
            let pair = ("x509.pem".to_owned(), Zeroizing::new(pem.to_vec()));
            let secret = SecretData::opaque(BTreeMap::from([pair]));
            let material = Material::of_secret(&secret).expect("it has a key");
            let signer = material.open("k8s://ci/keys");
            let signer = signer.unwrap_or_else(|e| panic!("{algorithm}: {e}"));
            assert_eq!(signer.public_key().algorithm(), algorithm);
        }
    }
}
