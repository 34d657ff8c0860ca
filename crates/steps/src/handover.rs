//! The folder that the steps hand over to one another: payload, signature and envelope files, and three small indexes.
//!
//! ```text
//!   provenance ──▶ payloads.json + payload files
//!   sign       ──▶ signed.json   + one .sig (base64 signature) or .dsse.json (envelope), and one .sigstore.json (bundle) beside each payload
//!   upload     ──▶ stored.json
//! ```
//!
//! Payload, envelope and bundle files hold the exact bytes that are signed or stored. Each index is written last and atomically, and an
//! earlier one is removed first: where it is missing, the step before did not finish.
//! What is read back is treated as hostile: another step may have written it.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;

use anyhow::anyhow;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tekseal_core::{
    Digest, DigestRef, ImageRef, Payload, PayloadKind, Statement, Subject, TaggedImage,
};
use tekseal_signing::{HashAlgorithm, PublicKey, VerifyingKey};

use crate::Failure;
use crate::files::{self, Mode};

/// Index of the payloads.
pub const PAYLOADS: &str = "payloads.json";
/// Index of what was signed.
pub const SIGNED: &str = "signed.json";
/// Index of what was stored.
pub const STORED: &str = "stored.json";

/// What the name of a file with a base64 signature ends with, after that of its payload.
pub const SIGNATURE: &str = ".sig";
/// What the name of a file with an envelope ends with.
pub const ENVELOPE: &str = ".dsse.json";
/// What the name of a file with a Sigstore bundle ends with.
pub const BUNDLE: &str = ".sigstore.json";

const MAX_INDEX: u64 = 4 * 1024 * 1024;
/// The largest payload or envelope file that is read: what readers of cosign's layers accept.
const MAX_FILE: u64 = 128 * 1024 * 1024;

/// What a payload is, in the words of the indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An in-toto Statement with provenance.
    Provenance,
    /// A simple-signing document.
    SimpleSigning,
}

/// One payload of `payloads.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayloadEntry {
    /// Name of the payload file.
    pub file: String,
    /// What the payload is.
    pub kind: Kind,
    /// The configured name of the format that made it; `simplesigning` for that kind.
    pub format: String,
    /// Digest of the payload file.
    pub digest: Digest,
    /// The image that a simple-signing payload is about, `repository@sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The name with a tag, `repository:tag`, that a simple-signing payload says of its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The predicate type of a Statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// The subjects of a Statement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
}

/// One signed payload of `signed.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedEntry {
    /// The payload.
    #[serde(flatten)]
    pub payload: PayloadEntry,
    /// Name of the file with the base64 signature of a simple-signing payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Name of the file with the DSSE envelope of a Statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// Name of the file with the Sigstore bundle: of a Statement around the same envelope, of a simple-signing payload around the Statement that
    /// says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Fingerprint of the key.
    pub keyid: String,
    /// The public key, PEM.
    pub public_key: String,
    /// The hash that the signatures are over, where it is not SHA-256: a key that is held elsewhere may have another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_algorithm: Option<String>,
    /// The certificate of the key, PEM, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The certificates above it, PEM, one after the other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chain: String,
}

/// What became of one signed payload, of `stored.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredEntry {
    /// Name of the payload file.
    pub file: String,
    /// What the payload is.
    pub kind: Kind,
    /// Where it was put.
    pub place: Place,
    /// The image it hangs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The tag that holds it; of a referrer the tag of the index that lists it, where the registry does not list it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Digest of the manifest that was confirmed to hold it, or to be it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Whether this run added it; `false` when the same signer had put it there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<bool>,
    /// Why it was put nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The entries of transparency logs that are stored with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logged: Vec<LoggedEntry>,
    /// The times of timestamp authorities that are stored with it, RFC 3339.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timestamps: Vec<String>,
}

/// The entry of a transparency log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEntry {
    /// Address of the log.
    pub log: String,
    /// Position in the log.
    pub log_index: u64,
    /// When the log took it in, RFC 3339; logs of the second version do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// Where something was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Under a tag beside the image.
    Tag,
    /// In a manifest that names the image as its subject.
    Referrer,
    /// Nowhere, for a reason.
    Nothing,
}

impl PayloadEntry {
    /// The entry of `payload` in the file of this name.
    #[must_use]
    pub fn of(payload: &Payload, file: String) -> Self {
        let digest = Digest::of(payload.bytes());
        match payload.kind() {
            PayloadKind::Statement {
                format,
                predicate_type,
            } => Self {
                file,
                kind: Kind::Provenance,
                format: format.clone(),
                digest,
                image: None,
                name: None,
                predicate_type: Some(predicate_type.clone()),
                subjects: payload.subjects().to_vec(),
            },
            PayloadKind::SimpleSigning => Self {
                file,
                kind: Kind::SimpleSigning,
                format: "simplesigning".to_owned(),
                digest,
                image: payload
                    .subjects()
                    .first()
                    .and_then(Subject::image)
                    .map(|i| i.to_string()),
                name: payload.name().map(str::to_owned),
                predicate_type: None,
                subjects: Vec::new(),
            },
        }
    }

    /// Reads the payload file and checks that it still is what the index says.
    pub fn load(&self, folder: &Path) -> Result<Payload, Failure> {
        let bytes = files::read_plain(&files::inside(folder, &self.file)?, MAX_FILE, "payload")?;
        if Digest::of(&bytes) != self.digest {
            return Err(Failure::misuse(anyhow!(
                "payload {} is not the one of the index: its digest differs",
                self.file
            ))
            .hint(
                "run the step that made it again; nothing may change the folder between the steps",
            ));
        }
        match self.kind {
            Kind::Provenance => {
                let Some(predicate_type) = &self.predicate_type else {
                    return Err(Failure::misuse(anyhow!(
                        "payload {} has no predicateType in the index",
                        self.file
                    )));
                };
                // Where it is stored follows from what is signed, not from what the index says of it.
                let statement = Statement::parse(&bytes).map_err(|e| {
                    Failure::misuse(e).context(format!("payload {} is no Statement", self.file))
                })?;
                let subjects: Vec<_> = statement.subjects().iter().map(Subject::from).collect();
                if subjects != self.subjects || statement.predicate_type() != predicate_type {
                    return Err(Failure::misuse(anyhow!(
                        "payload {} speaks of other subjects, or has another predicate type, than the index says",
                        self.file
                    )));
                }
                Ok(Payload::statement(
                    &self.format,
                    predicate_type,
                    bytes,
                    subjects,
                ))
            }
            Kind::SimpleSigning => {
                let image = self.image()?;
                let payload = match &self.name {
                    None => Payload::simple_signing(&image),
                    Some(name) => Payload::simple_signing_as(&self.tagged(image, name)?),
                };
                if payload.bytes() != bytes || payload.name() != self.name.as_deref() {
                    return Err(Failure::misuse(anyhow!(
                        "payload {} is not the simple-signing document of its image, or of its name",
                        self.file
                    )));
                }
                Ok(payload)
            }
        }
    }

    fn image(&self) -> Result<DigestRef, Failure> {
        let text = self.image.as_deref().unwrap_or_default();
        DigestRef::parse(text)
            .map_err(|e| Failure::misuse(e).context(format!("image of payload {}", self.file)))
    }

    /// The image under the tag of a name; whether the rest of the name is the image's is compared afterwards.
    fn tagged(&self, image: DigestRef, name: &str) -> Result<TaggedImage, Failure> {
        let tag = ImageRef::parse(name).map(|name| name.tag.unwrap_or_default());
        tag.and_then(|tag| TaggedImage::new(image, &tag))
            .map_err(|e| Failure::misuse(e).context(format!("name of payload {}", self.file)))
    }
}

impl SignedEntry {
    /// What its signatures are to be verified with.
    pub(crate) fn verifying(&self) -> Result<VerifyingKey, Failure> {
        let of_index = |failure: Failure| failure.context(format!("public key in {SIGNED}"));
        let key = PublicKey::from_pem(self.public_key.as_bytes());
        let key = key.map_err(|e| of_index(Failure::misuse(e)))?;
        let hash = self
            .digest_algorithm
            .as_deref()
            .map(HashAlgorithm::from_str);
        let hash = hash
            .transpose()
            .map_err(|e| of_index(Failure::misuse(e)))?
            .unwrap_or_default();
        Ok(VerifyingKey::new(key, hash))
    }

    /// Reads the signature or envelope file.
    pub fn signature_bytes(&self, folder: &Path) -> Result<Vec<u8>, Failure> {
        let name = match self.payload.kind {
            Kind::Provenance => self.envelope.as_deref(),
            Kind::SimpleSigning => self.signature.as_deref(),
        };
        let Some(name) = name else {
            return Err(Failure::misuse(anyhow!(
                "payload {} has no signature in {SIGNED}",
                self.payload.file
            ))
            .hint("tekseal-sign signed for bundles alone (--layout): store it as one, or sign for both"));
        };
        files::read_plain(&files::inside(folder, name)?, MAX_FILE, "signature")
    }

    /// Reads the bundle file.
    pub fn bundle_bytes(&self, folder: &Path) -> Result<Vec<u8>, Failure> {
        let Some(name) = &self.bundle else {
            return Err(Failure::misuse(anyhow!(
                "payload {} has no bundle in {SIGNED}",
                self.payload.file
            ))
            .hint("tekseal-sign signed for tags alone (--layout), or is older than bundles: store it under tags, or sign for both"));
        };
        files::read_plain(&files::inside(folder, name)?, MAX_FILE, "bundle")
    }
}

/// Reads an index.
pub fn read_index<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    made_by: &str,
) -> Result<Vec<T>, Failure> {
    let path = folder.join(name);
    if !path.exists() {
        return Err(Failure::misuse(anyhow!("{} is missing", path.display()))
            .hint(format!("{made_by} writes it as its last act: it did not run, did not finish, or used another folder")));
    }
    let bytes = files::read_plain(&path, MAX_INDEX, "index")?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Failure::misuse(e).context(format!("reading {}", path.display())))
}

/// Writes an index, atomically.
pub fn write_index<T: Serialize>(folder: &Path, name: &str, entries: &[T]) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec_pretty(entries)
        .map_err(|e| Failure::misuse(e).context("writing an index"))?;
    bytes.push(b'\n');
    files::write(&folder.join(name), &bytes, Mode::Public)
}

/// Takes back indexes that would be stale once new files are written.
pub fn invalidate(folder: &Path, names: &[&str]) -> Result<(), Failure> {
    names
        .iter()
        .try_for_each(|name| files::remove_if_there(&folder.join(name)))
}

/// Takes back the indexes of an earlier run in this folder and the files that they named, so that nothing stale lies beside what is new.
pub fn take_back(folder: &Path) -> Result<(), Failure> {
    let earlier: Vec<PayloadEntry> = read_index(folder, PAYLOADS, "").unwrap_or_default();
    invalidate(folder, &[STORED, SIGNED, PAYLOADS])?;
    for entry in earlier {
        let Ok(path) = files::inside(folder, &entry.file) else {
            continue;
        };
        files::remove_if_there(&path)?;
        for suffix in [SIGNATURE, ENVELOPE, BUNDLE] {
            files::remove_if_there(&files::inside(folder, &format!("{}{suffix}", entry.file))?)?;
        }
    }
    Ok(())
}

/// A whole object of Kubernetes, as `kubectl get -o json` prints it.
#[derive(Deserialize)]
struct Whole {
    kind: String,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

/// A map of strings from a file with one JSON object, or from a mounted ConfigMap folder (a file per key).
pub fn read_map(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    if !path.is_dir() {
        let bytes = files::read(path, MAX_INDEX, "configuration")?;
        return of_document(&bytes)
            .map_err(|f| f.context(format!("reading the configuration {}", path.display())));
    }
    let fail = |e: std::io::Error| {
        Failure::misuse(e).context(format!("reading the configuration {}", path.display()))
    };
    let mut map = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A mounted ConfigMap has folders and links that begin with two dots beside the keys.
        if name.starts_with("..") || !entry.path().is_file() {
            continue;
        }
        let value = files::read(&entry.path(), MAX_INDEX, "configuration")?;
        let value = String::from_utf8(value)
            .map_err(|e| Failure::misuse(e).context(format!("configuration key {name}")))?;
        map.insert(name, value);
    }
    Ok(map)
}

/// The data of a whole ConfigMap, or the data alone.
fn of_document(bytes: &[u8]) -> Result<BTreeMap<String, String>, Failure> {
    match serde_json::from_slice::<Whole>(bytes) {
        Ok(whole) if whole.kind == "ConfigMap" => Ok(whole.data.unwrap_or_default()),
        Ok(whole) => Err(Failure::misuse(anyhow!(
            "it is a {}, wanted a ConfigMap or its data",
            whole.kind
        ))
        .hint("the operator writes what a TektonConfig says into a ConfigMap: kubectl get configmap chains-config -n NAMESPACE -o json")),
        Err(_) => serde_json::from_slice(bytes).map_err(|e| {
            Failure::misuse(e).hint(
                "it must be one JSON object of strings, or a folder with a file per key, as a mounted ConfigMap is",
            )
        }),
    }
}
