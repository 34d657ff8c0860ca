//! The keys: where they are, opened once, read again when they change.
//!
//! ```text
//!   tekseal.keys (namespace) ─┐
//!   signers.cosign.key ───────┼─▶ Source ─▶ cache ─▶ Signer      derived only when the content is another
//!   signers.kms.kmsref ───────┤
//!   mounted signing-secrets ──┤
//!   signers.x509.fulcio ──────┘                      a certificate for some minutes
//! ```
//!
//! A key that a service holds has its public half asked for once, and again after some minutes: then a new version of it is used without a restart.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use tekseal_attest::settings;
use tekseal_cluster::{Cluster, SecretData, SecretRef};
use tekseal_core::config::{Config, SignerKind};
use tekseal_core::run::RunKind;
use tekseal_core::{Blame, Digest};
use tekseal_custody::keyless;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::signer::SignError;
use tekseal_signing::{KeyRef, Signer, Zeroizing, random, signer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::live::Live;
use crate::trouble::{chain, with_hint};

/// How long a mounted key is used without a look at its files.
const LOOK_AT_FILES: Duration = Duration::from_secs(1);
/// How long the key of a Secret is used without a look at the Secret.
const LOOK_AT_SECRET: Duration = Duration::from_secs(10);
/// How long the version of a key that a service holds is used without asking for a newer one.
const LOOK_AT_SERVICE: Duration = Duration::from_secs(300);
/// How long a service that could not be reached, or refused, is left alone, where it does not say itself when to come back.
const REST_OF_SERVICE: Duration = Duration::from_secs(10);
/// The longest that it is left alone, whatever it says.
const MOST_REST: Duration = Duration::from_secs(300);
/// How long it is told that a key gave no signature, unless it is opened anew.
const TOLD_REFUSED: Duration = Duration::from_secs(60);
/// The largest key file.
const MOST_BYTES: u64 = 64 * 1024;

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// In the folder that a Secret is mounted at.
    Mounted,
    /// In a Secret that is read through the API.
    Secret(SecretRef),
    /// With a service, or a plugin.
    Service(KmsRef),
    /// Keys of the moment, with certificates of Fulcio.
    Certificates,
}

/// The signers that a configuration gives something to; that of Chains' defaults where it signs nothing.
pub(crate) fn kinds(config: &Config) -> Vec<SignerKind> {
    let kinds = kinds_of(config, |_| true);
    match kinds.is_empty() {
        true => vec![SignerKind::X509],
        false => kinds,
    }
}

/// Those of them that runs of one kind, and their images, want; all where that is none: what was done with the run is signed too. Images are signed with the
/// TaskRuns that made them.
pub(crate) fn kinds_for(config: &Config, run: RunKind) -> Vec<SignerKind> {
    let others: &[&str] = match run {
        RunKind::TaskRun => &["pipelinerun"],
        RunKind::PipelineRun => &["taskrun", "oci"],
    };
    let kinds = kinds_of(config, |name| !others.contains(&name));
    match kinds.is_empty() {
        true => self::kinds(config),
        false => kinds,
    }
}

fn kinds_of(config: &Config, is_wanted: impl Fn(&str) -> bool) -> Vec<SignerKind> {
    let mut kinds = Vec::with_capacity(2);
    for (_, artifact) in config.enabled().filter(|(name, _)| is_wanted(name)) {
        if !kinds.contains(&artifact.signer) {
            kinds.push(artifact.signer);
        }
    }
    kinds
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
    /// There is no certificate for it.
    #[error("cannot get a certificate to sign with")]
    Certificate {
        /// Why.
        source: Arc<keyless::Error>,
    },
    /// The service that holds it cannot be asked, or refuses.
    #[error("cannot use the key {place}")]
    Service {
        /// Its reference.
        place: String,
        /// Why.
        source: Arc<tekseal_custody::Error>,
    },
    /// The service that holds it has too much to do, and said when to come back.
    #[error("the key {place} is left alone for {seconds} s, as its service wants: {reason}")]
    Throttled {
        /// Its reference.
        place: String,
        /// For how long, from when it was said.
        seconds: u64,
        /// Why.
        reason: String,
    },
    /// The service that holds it gave no signature a moment ago.
    #[error("the key {place} can be read, and does not sign: {reason}")]
    Refused {
        /// Its reference.
        place: String,
        /// Why.
        reason: String,
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

impl Error {
    /// Why there is no key, and what people can do about it, on one line.
    pub(crate) fn story(&self) -> String {
        let hint = match self {
            Self::Certificate { source } => source.hint(),
            Self::Service { source, .. } => source.hint(),
            Self::Absent(_)
            | Self::Kind(_)
            | Self::Open { .. }
            | Self::File { .. }
            | Self::Throttled { .. }
            | Self::Refused { .. }
            | Self::Cluster { .. } => None,
        };
        with_hint(self, hint.as_deref())
    }
}

/// All keys in use.
pub(crate) struct Keys {
    cluster: Cluster,
    folder: PathBuf,
    /// Each with a lock of its own: a Secret that is slow to read, or a key that is being derived, holds up only those who want that one.
    opened: std::sync::Mutex<HashMap<Source, Slot>>,
    /// What signs Records where keys last no longer than their certificates: a key of this process, made when it is first needed.
    own: OnceLock<Arc<Signer>>,
    /// Held while a key is derived, which takes tens of MiB for a moment: one at a time.
    deriving: Mutex<()>,
}

type Slot = Arc<Mutex<Option<Opened>>>;

/// A key as it was when somebody last looked.
struct Opened {
    content: Digest,
    /// Of the configuration that said how to reach its service.
    generation: u64,
    looked: Instant,
    /// How long its service is left alone where there is no signer.
    rest: Duration,
    signer: Result<Arc<Signer>, Error>,
    /// When it last gave no signature, and why.
    refused: Option<(Instant, Error)>,
}

/// What is needed to open a key.
struct Material {
    key: Zeroizing<Vec<u8>>,
    password: Option<Zeroizing<Vec<u8>>>,
}

impl Opened {
    /// What somebody found just now, without content.
    fn of(signer: Result<Arc<Signer>, Error>, live: &Live) -> Self {
        Self {
            content: Digest::of(b""),
            generation: live.generation,
            looked: Instant::now(),
            rest: REST_OF_SERVICE,
            signer,
            refused: None,
        }
    }
}

impl Keys {
    /// Keys of this cluster, and those mounted at `folder`.
    pub(crate) fn new(cluster: &Cluster, folder: &Path) -> Self {
        Self {
            cluster: cluster.clone(),
            folder: folder.to_owned(),
            opened: std::sync::Mutex::default(),
            own: OnceLock::new(),
            deriving: Mutex::default(),
        }
    }

    /// The key at `source`. Only a change of its content makes it be opened anew, once for all who want it.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened. While a Secret cannot be read for reasons that may pass, what was read before holds.
    pub(crate) async fn get(&self, source: &Source, live: &Live) -> Result<Arc<Signer>, Error> {
        if let Source::Service(key) = source {
            return self.of_service(key, source, live).await;
        }
        if *source == Source::Certificates {
            return self.certified(live).await;
        }
        let slot = self.slot(source);
        let mut slot = slot.lock().await;
        let valid = match source {
            Source::Mounted => LOOK_AT_FILES,
            Source::Secret(_) => LOOK_AT_SECRET,
            Source::Service(_) | Source::Certificates => LOOK_AT_SERVICE,
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
                *slot = Some(Opened::of(Err(error.clone()), live));
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
            ..Opened::of(signer.clone(), live)
        });
        signer
    }

    /// Why the key at `source` was of no use a moment ago, though it may be there. Nothing is read for it, and nobody waited for.
    pub(crate) fn trouble(&self, source: &Source) -> Option<Error> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = opened.get(source)?.try_lock().ok()?;
        let known = slot.as_ref()?;
        match (&known.refused, &known.signer) {
            (Some((at, error)), _) if at.elapsed() < TOLD_REFUSED => Some(error.clone()),
            (_, Err(error)) if known.looked.elapsed() < TOLD_REFUSED => Some(error.clone()),
            _ => None,
        }
    }

    /// The fingerprint of the key at `source` as it was last opened, if it could be. Nothing is read for it, and nobody waited for.
    pub(crate) fn known(&self, source: &Source) -> Option<String> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = opened.get(source)?.try_lock().ok()?;
        let signer = slot.as_ref()?.signer.as_ref().ok()?;
        Some(signer.fingerprint().to_owned())
    }

    /// Who signs Records where everything else is signed with certificates: their keys are gone with them. Nothing but the memory of this controller, to
    /// which its public half is added, makes it believed.
    ///
    /// # Errors
    /// If no key can be made.
    pub(crate) fn own(&self) -> Result<Arc<Signer>, signer::Error> {
        if let Some(own) = self.own.get() {
            return Ok(Arc::clone(own));
        }
        let made = Arc::new(Signer::generate(&mut random::system)?);
        Ok(Arc::clone(self.own.get_or_init(|| made)))
    }

    async fn of_service(
        &self,
        key: &KmsRef,
        source: &Source,
        live: &Live,
    ) -> Result<Arc<Signer>, Error> {
        let slot = self.slot(source);
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_ref()
            && known.generation == live.generation
        {
            let valid = match &known.signer {
                Ok(_) => LOOK_AT_SERVICE,
                Err(_) => known.rest,
            };
            if known.looked.elapsed() < valid {
                return known.signer.clone();
            }
        }
        let mut rest = REST_OF_SERVICE;
        let opened = tekseal_custody::open(key, &live.custody).await;
        let signer = match opened {
            Ok(signer) => Ok(Arc::new(signer)),
            Err(error) => {
                // While it cannot be reached, the version that was read before holds: it will say itself what is wrong when it is to sign.
                if error.blame() == Blame::Outside
                    && let Some(known) = slot.as_mut()
                    && known.generation == live.generation
                    && known.signer.is_ok()
                {
                    known.looked = Instant::now();
                    return known.signer.clone();
                }
                rest = rest_of(error.retry_after());
                Err(Error::Service {
                    place: key.to_string(),
                    source: Arc::new(error),
                })
            }
        };
        if let Ok(signer) = &signer {
            tracing::info!(place = %key, key = signer.fingerprint(), "opened key");
        }
        *slot = Some(Opened {
            rest,
            ..Opened::of(signer.clone(), live)
        });
        signer
    }

    /// A key of the moment. Whoever refused it, or could not be reached, is left alone for a while by all runs that want one.
    async fn certified(&self, live: &Live) -> Result<Arc<Signer>, Error> {
        let slot = self.slot(&Source::Certificates);
        let mut slot = slot.lock().await;
        if let Some(known) = slot.as_ref()
            && known.generation == live.generation
            && known.signer.is_err()
            && known.looked.elapsed() < REST_OF_SERVICE
        {
            return known.signer.clone();
        }
        let signer = certified(live).await;
        let error = signer.as_ref().err();
        *slot = error.map(|error| Opened::of(Err(error.clone()), live));
        signer
    }

    /// Takes note of why nothing was signed: a key that signs as another than it was when it was opened is opened again, and a service that said when
    /// to come back is left alone by all runs until then.
    pub(crate) fn doubt(&self, error: &SignError) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            SignError::NotOfKey { reference, .. } => {
                opened.retain(|source, _| source.to_string() != *reference);
            }
            SignError::Remote { reference, source } => {
                let found = opened
                    .iter()
                    .find(|(source, _)| source.to_string() == *reference);
                // Whoever has it locked is asking the service, and will hear the same.
                if let Some((_, slot)) = found
                    && let Ok(mut slot) = slot.try_lock()
                    && let Some(known) = slot.as_mut()
                {
                    let (place, reason) = (reference.clone(), chain(source));
                    let Some(after) = source.retry_after() else {
                        let error = Error::Refused { place, reason };
                        known.refused = Some((Instant::now(), error));
                        return;
                    };
                    let rest = rest_of(Some(after));
                    known.looked = Instant::now();
                    known.rest = rest;
                    known.signer = Err(Error::Throttled {
                        place,
                        seconds: rest.as_secs(),
                        reason,
                    });
                }
            }
            SignError::Faulty(_)
            | SignError::WholeOnly(_)
            | SignError::Stays(_)
            | SignError::Random(_) => {}
        }
    }

    fn slot(&self, source: &Source) -> Slot {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(opened.entry(source.clone()).or_default())
    }

    fn place(&self, source: &Source) -> String {
        match source {
            Source::Mounted => self.folder.display().to_string(),
            other => other.to_string(),
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
            Source::Service(_) | Source::Certificates => None,
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

/// What keys with certificates are called.
pub(crate) const CERTIFICATES: &str = "certificates of Fulcio";

/// A key of the moment, whose certificate lasts for this run. Whom it names is told before anything is signed: that stands in public logs for ever.
async fn certified(live: &Live) -> Result<Arc<Signer>, Error> {
    let keyless = live.keyless.as_ref();
    let keyless = keyless.ok_or_else(|| Error::Absent(CERTIFICATES.to_owned()))?;
    let signer = keyless.signer().await;
    let signer = signer.map_err(|error| Error::Certificate {
        source: Arc::new(error),
    })?;
    if let Some(certificate) = signer.certificate() {
        tracing::info!(
            identity = certificate.identities().join(", "),
            issuer = certificate.oidc_issuer().unwrap_or_default(),
            fulcio = keyless.fulcio().url(),
            "signs with a certificate"
        );
    }
    Ok(signer)
}

/// How long a service is left alone that said when to come back, or did not.
fn rest_of(asked: Option<Duration>) -> Duration {
    let asked = asked.unwrap_or(REST_OF_SERVICE);
    asked.clamp(Duration::from_secs(1), MOST_REST)
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
    /// The platform's key for what the configuration gives this signer: the one that it names for all, else that of the signer.
    ///
    /// # Errors
    /// If it is of a kind that is not known.
    pub(crate) fn of_platform(config: &Config, signer: SignerKind) -> Result<Self, Error> {
        let signers = config.signers();
        match (signers.cosign_key.as_str(), signer) {
            ("", SignerKind::Kms) => Self::parse(&signers.kms.key_ref),
            ("", SignerKind::X509 | SignerKind::None) if signers.x509.fulcio_enabled => {
                Ok(Self::Certificates)
            }
            ("", SignerKind::X509 | SignerKind::None) => Ok(Self::Mounted),
            (key, _) => Self::parse(key),
        }
    }

    /// A key as the configuration names it.
    ///
    /// # Errors
    /// If it is of a kind that is not known.
    pub(crate) fn parse(reference: &str) -> Result<Self, Error> {
        if let Ok(KeyRef::Kms(key)) = KeyRef::parse(reference) {
            return Ok(Self::Service(key));
        }
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
            Self::Service(key) => write!(f, "{key}"),
            Self::Certificates => f.write_str(CERTIFICATES),
        }
    }
}

#[cfg(test)]
mod tests;
