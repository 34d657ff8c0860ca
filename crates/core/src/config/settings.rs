//! What the keys set: the parts of a configuration as typed data, with Chains' defaults.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::values::Choice;
use crate::format::Format;
use crate::layout::Layout;

/// A value that is never told: no `Debug`, no `Clone`, wiped when dropped. The map it came from is the caller's to wipe.
#[derive(Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub(super) fn new(value: &str) -> Self {
        Self(Zeroizing::new(value.to_owned()))
    }

    /// Whether it is unset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, for whoever sends it where it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What is made of one type of artifact, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Formats in which it is attested, no two of them aliases. Empty for images, which have simple signing only.
    pub formats: Vec<Format>,
    /// Where the results are stored. Empty where the key was set to the empty text: nowhere.
    pub storages: BTreeSet<Storage>,
    /// Who signs.
    pub signer: SignerKind,
    /// Whether the results of a PipelineRun's tasks are looked at too; always `false` for the other types.
    pub deep_inspection: bool,
}

impl Artifact {
    pub(super) fn new(formats: &[Format], storage: Storage) -> Self {
        Self {
            formats: formats.to_vec(),
            storages: BTreeSet::from([storage]),
            signer: SignerKind::X509,
            deep_inspection: false,
        }
    }

    /// Whether anything is made of this type of artifact at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.signer != SignerKind::None && !self.storages.is_empty()
    }
}

/// Whether images get a second signature, under each name with a tag that the results of their run give them. Not in Chains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagIdentity {
    /// Under their repository alone, as by cosign and Chains.
    #[default]
    Off,
    /// Under `repository:tag` too.
    On,
}

/// A place to store signed artifacts, in the order in which Chains sorts their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Storage {
    /// in-toto's Archivista.
    Archivista,
    /// A document database.
    Docdb,
    /// A Google Cloud Storage bucket.
    Gcs,
    /// Grafeas.
    Grafeas,
    /// Kafka. Chains takes the value and has no storage for it.
    Kafka,
    /// The registry of the image.
    Oci,
    /// Annotations of the run.
    Tekton,
}

impl Storage {
    /// Those that a PipelineRun may have: all but Kafka.
    pub(super) const OF_PIPELINERUNS: &[Self] = &[
        Self::Archivista,
        Self::Docdb,
        Self::Gcs,
        Self::Grafeas,
        Self::Oci,
        Self::Tekton,
    ];
}

impl Choice for Storage {
    const ALL: &[Self] = &[
        Self::Archivista,
        Self::Docdb,
        Self::Gcs,
        Self::Grafeas,
        Self::Kafka,
        Self::Oci,
        Self::Tekton,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Archivista => "archivista",
            Self::Docdb => "docdb",
            Self::Gcs => "gcs",
            Self::Grafeas => "grafeas",
            Self::Kafka => "kafka",
            Self::Oci => "oci",
            Self::Tekton => "tekton",
        }
    }
}

/// Who signs a type of artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerKind {
    /// A key in a file, or a certificate of Fulcio.
    X509,
    /// A key in a key management service.
    Kms,
    /// Nobody: the type of artifact is off.
    None,
}

impl Choice for SignerKind {
    const ALL: &[Self] = &[Self::Kms, Self::None, Self::X509];

    fn name(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Kms => "kms",
            Self::None => "none",
        }
    }
}

/// The build type of provenance v1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildType {
    /// What SLSA asks for.
    #[default]
    Slsa,
    /// With Tekton's own: labels, annotations, whole TaskRuns.
    SlsaTekton,
}

impl Choice for BuildType {
    const ALL: &[Self] = &[Self::Slsa, Self::SlsaTekton];

    fn name(self) -> &'static str {
        match self {
            Self::Slsa => "https://tekton.dev/chains/v2/slsa",
            Self::SlsaTekton => "https://tekton.dev/chains/v2/slsa-tekton",
        }
    }
}

/// Settings of the storages. An empty text is an unset one. Holds a secret: no `Debug`, no `Clone`.
#[derive(Default)]
pub struct Storages {
    /// `oci`
    pub oci: OciStorage,
    /// `gcs`: the bucket.
    pub gcs_bucket: String,
    /// `docdb`
    pub docdb: DocdbStorage,
    /// `grafeas`
    pub grafeas: GrafeasStorage,
    /// `kafka`
    pub pubsub: PubsubStorage,
    /// `archivista`: its URL.
    pub archivista_url: String,
}

/// Settings of the storage `oci`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OciStorage {
    /// Repository for what is signed, instead of the image's own.
    pub repository: String,
    /// Whether `repository` may be reached without TLS.
    pub insecure: bool,
    /// How it is stored: Chains has one encoding, here a comma list of both is both.
    pub layout: Layout,
}

/// How the storage `oci` encodes what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Layers under cosign's `.sig` and `.att` tags.
    Dsse,
    /// Sigstore bundles as referrers.
    SigstoreBundle,
}

impl Encoding {
    /// The layout that it alone stands for.
    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Dsse => Layout::Tags,
            Self::SigstoreBundle => Layout::Bundle,
        }
    }
}

impl Choice for Encoding {
    const ALL: &[Self] = &[Self::Dsse, Self::SigstoreBundle];

    fn name(self) -> &'static str {
        match self {
            Self::Dsse => "dsse",
            Self::SigstoreBundle => "sigstore-bundle",
        }
    }
}

/// Settings of the storage `docdb`. Holds a secret: no `Debug`, no `Clone`.
#[derive(Default)]
pub struct DocdbStorage {
    /// URL of a collection, as go-cloud's docstore has it.
    pub url: String,
    /// URL of the MongoDB server, in which a password may stand.
    pub mongo_server_url: Secret,
    /// Folder with a file `MONGO_SERVER_URL`.
    pub mongo_server_url_dir: String,
    /// File with the URL.
    pub mongo_server_url_path: String,
}

/// Settings of the storage `grafeas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrafeasStorage {
    /// Project.
    pub project_id: String,
    /// Note; Chains makes one up for each namespace where it is unset.
    pub note_id: String,
    /// Text of the note.
    pub note_hint: String,
}

impl Default for GrafeasStorage {
    fn default() -> Self {
        Self {
            project_id: String::new(),
            note_id: String::new(),
            note_hint: "This attestation note was generated by Tekton Chains".to_owned(),
        }
    }
}

/// Settings of the storage `kafka`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PubsubStorage {
    /// Who carries the messages.
    pub provider: Option<PubsubProvider>,
    /// Topic.
    pub topic: String,
    /// Servers, as one text that Chains never splits.
    pub kafka_bootstrap_servers: String,
}

/// Who carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PubsubProvider {
    /// Nobody outside the process.
    InMemory,
    /// Kafka.
    Kafka,
}

impl Choice for PubsubProvider {
    const ALL: &[Self] = &[Self::InMemory, Self::Kafka];

    fn name(self) -> &'static str {
        match self {
            Self::InMemory => "inmemory",
            Self::Kafka => "kafka",
        }
    }
}

/// Settings of the signers. An empty text is an unset one. Holds a secret: no `Debug`, no `Clone`.
#[derive(Default)]
pub struct Signers {
    /// `x509`
    pub x509: X509Signer,
    /// `kms`
    pub kms: KmsSigner,
    /// Not in Chains: the reference of one key, such as `k8s://namespace/secret`, that signs every type of artifact.
    pub cosign_key: String,
}

/// Settings of the signer `x509`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Signer {
    /// Whether certificates come from Fulcio.
    pub fulcio_enabled: bool,
    /// URL of Fulcio.
    pub fulcio_address: String,
    /// URL of the issuer of identity tokens.
    pub fulcio_issuer: String,
    /// Provider of identity tokens; all are tried where it is unset.
    pub fulcio_provider: String,
    /// File with an identity token.
    pub identity_token_file: String,
    /// URL of the TUF repository with the roots of trust.
    pub tuf_mirror_url: String,
}

impl Default for X509Signer {
    fn default() -> Self {
        Self {
            fulcio_enabled: false,
            fulcio_address: "https://fulcio.sigstore.dev".to_owned(),
            fulcio_issuer: "https://oauth2.sigstore.dev/auth".to_owned(),
            fulcio_provider: String::new(),
            identity_token_file: String::new(),
            // sigstore's own default; Chains' manual still names the bucket of before.
            tuf_mirror_url: "https://tuf-repo-cdn.sigstore.dev".to_owned(),
        }
    }
}

/// Settings of the signer `kms`. Holds a secret: no `Debug`, no `Clone`.
#[derive(Default)]
pub struct KmsSigner {
    /// Reference of the key: `gcpkms://…`, `awskms://…`, `azurekms://…`, `hashivault://…` or `openbao://…`.
    pub key_ref: String,
    /// Address of the service.
    pub address: String,
    /// Token for the service.
    pub token: Secret,
    /// File with the token.
    pub token_path: String,
    /// Login with OIDC.
    pub oidc: KmsOidc,
    /// Login with SPIRE.
    pub spire: KmsSpire,
}

/// How the signer `kms` logs in with OIDC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KmsOidc {
    /// Path of the service's login.
    pub path: String,
    /// Role.
    pub role: String,
    /// File with the identity token.
    pub token_path: String,
}

/// How the signer `kms` logs in with SPIRE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KmsSpire {
    /// Socket of the agent.
    pub socket: String,
    /// Audience of the token.
    pub audience: String,
}

/// Who is told of what is signed, and by what they are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transparency {
    /// When signatures are uploaded to the log.
    pub upload: Upload,
    /// URL of the log.
    pub url: String,
    /// The version of its API.
    pub version: LogApi,
    /// URLs of timestamp authorities, which are told of every signature.
    pub timestamp_urls: Vec<String>,
    /// The text of a Sigstore `trusted_root.json`, by which they are believed; empty where there is none.
    pub trusted_root: String,
    /// The text of a TUF `root.json`, by which the mirror `signers.x509.tuf.mirror.url` is believed where there is no trusted root.
    pub tuf_root: String,
}

impl Default for Transparency {
    fn default() -> Self {
        Self {
            upload: Upload::Off,
            url: "https://rekor.sigstore.dev".to_owned(),
            version: LogApi::V1,
            timestamp_urls: Vec::new(),
            trusted_root: String::new(),
            tuf_root: String::new(),
        }
    }
}

/// The version of a transparency log's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogApi {
    /// Rekor v1.
    V1,
    /// Rekor v2, whose entries go into bundles alone.
    V2,
}

impl Choice for LogApi {
    const ALL: &[Self] = &[Self::V1, Self::V2];

    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// When signatures are uploaded to a transparency log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// Never.
    Off,
    /// Always.
    Always,
    /// Where the run asks for it with the annotation `chains.tekton.dev/transparency-upload: "true"`.
    Manual,
}
