//! Images, each in its role: what our signer, our generator of provenance and our uploader leave beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tekseal_harness::{Image, Layout, Registry, Run, Sigstore, cosign};

use crate::sigstore::artifacts::{self, Artifact, Log, Recipe, Signery, Timestamp};
use crate::workshop::{plain_key, run_document};

/// The builder that policies want.
pub(super) const BUILDER: &str = "https://tekton.dev/chains/v2";
/// Another.
const FOREIGN_BUILDER: &str = "https://builder.example.org/v1";
/// The repository that policies want, as a run tells it.
pub(super) const SOURCE: &str = "https://git.example.com/team/app";
/// Another.
const FOREIGN_SOURCE: &str = "https://git.example.com/fork/app";
/// The version of cosign that signs with a certificate.
const CERTIFYING: &str = "2.6.5";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What Chains and we call SLSA v0.2 and v1.
const V02: &str = "in-toto";
const V1: &str = "slsa/v2alpha4";

/// What is beside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Unsigned,
    /// A signature, and no attestation.
    Signed,
    /// A second signature, under the name with the tag.
    SignedTagIdentity,
    /// A signature by another key.
    OtherKey,
    /// The signature of [`Role::Signed`], copied to another image of its repository.
    Tampered,
    /// A signature and provenance v0.2; so are all of them unless they say otherwise.
    AttV02,
    AttV1,
    /// The provenance names a foreign builder.
    AttV02Evil,
    AttV1Evil,
    /// The provenance, of both versions, is of another repository's source.
    AttForeignSource,
    /// The signature is by our key, the provenance, of both versions, by another.
    AttOtherKey,
    /// Two of v0.2, one with a foreign builder.
    AttV02Mixed,
    BothTypes,
    /// No signature.
    AttOnlyV02,
    /// A signature of its own, and the attestation of [`Role::AttV1`], copied to another image of its repository.
    AttReplayed,
    /// Signature and provenance v1 as bundles that refer to the image.
    BundleV1,
    BundleV02,
    BundleV1Evil,
    BundleOtherKey,
    BundleSigOnly,
    /// No signature.
    BundleAttOnly,
    /// Provenance v0.2 written by hand: a good one, and the others differ from it as they say.
    Written,
    /// The builder is a variable of Kyverno, and the build type is the builder.
    BuilderIsVariable,
    /// The materials are no list.
    MaterialsObject,
    /// A material is no object.
    MaterialsMixed,
    /// Under tags and as bundles.
    EveryLayoutV1,
    /// With the entries of a log.
    TlogV02,
    TlogV1,
    /// Signature and provenance v1 under tags, by cosign with a certificate.
    Keyless,
}

impl Role {
    /// What needs no log.
    const QUICK: [Self; 26] = [
        Self::Unsigned,
        Self::Signed,
        Self::SignedTagIdentity,
        Self::OtherKey,
        Self::Tampered,
        Self::AttV02,
        Self::AttV1,
        Self::AttV02Evil,
        Self::AttV1Evil,
        Self::AttForeignSource,
        Self::AttOtherKey,
        Self::AttV02Mixed,
        Self::BothTypes,
        Self::AttOnlyV02,
        Self::AttReplayed,
        Self::BundleV1,
        Self::BundleV02,
        Self::BundleV1Evil,
        Self::BundleOtherKey,
        Self::BundleSigOnly,
        Self::BundleAttOnly,
        Self::Written,
        Self::BuilderIsVariable,
        Self::MaterialsObject,
        Self::MaterialsMixed,
        Self::EveryLayoutV1,
    ];

    /// What is done for it, one after the other.
    fn deeds(self) -> Vec<Deed> {
        let good = Deed {
            what: What::Both,
            format: V1,
            builder: BUILDER,
            source: SOURCE,
            signer: Signer::Ours,
            layout: "tags",
            is_logged: false,
        };
        let v02 = Deed {
            format: V02,
            ..good
        };
        let bundle = Deed {
            layout: "bundle",
            ..good
        };
        let signature = Deed {
            what: What::Signature,
            ..good
        };
        let other = Signer::Other;
        let evil = FOREIGN_BUILDER;
        match self {
            Self::Unsigned | Self::Tampered | Self::Keyless => vec![],
            Self::Signed | Self::AttReplayed => vec![signature],
            Self::SignedTagIdentity => vec![Deed {
                what: What::SignatureWithTag,
                ..good
            }],
            Self::OtherKey => vec![Deed {
                signer: other,
                ..signature
            }],
            Self::AttV02 => vec![v02],
            Self::AttV1 => vec![good],
            Self::AttV02Evil => vec![Deed {
                builder: evil,
                ..v02
            }],
            Self::AttV1Evil => vec![Deed {
                builder: evil,
                ..good
            }],
            Self::AttForeignSource => [v02, good]
                .map(|deed| Deed {
                    source: FOREIGN_SOURCE,
                    ..deed
                })
                .into(),
            Self::AttOtherKey => {
                let attestation = |deed| Deed {
                    what: What::Attestation,
                    signer: other,
                    ..deed
                };
                vec![signature, attestation(v02), attestation(good)]
            }
            Self::AttV02Mixed => vec![
                v02,
                Deed {
                    builder: evil,
                    ..v02
                },
            ],
            Self::BothTypes => vec![v02, good],
            Self::AttOnlyV02 => vec![Deed {
                what: What::Attestation,
                ..v02
            }],
            Self::BundleV1 => vec![bundle],
            Self::BundleV02 => vec![Deed {
                format: V02,
                ..bundle
            }],
            Self::BundleV1Evil => vec![Deed {
                builder: evil,
                ..bundle
            }],
            Self::BundleOtherKey => vec![Deed {
                signer: other,
                ..bundle
            }],
            Self::BundleSigOnly => vec![Deed {
                what: What::Signature,
                ..bundle
            }],
            Self::BundleAttOnly => vec![Deed {
                what: What::Attestation,
                ..bundle
            }],
            Self::Written
            | Self::BuilderIsVariable
            | Self::MaterialsObject
            | Self::MaterialsMixed => vec![
                signature,
                Deed {
                    what: What::Written(self),
                    ..good
                },
            ],
            Self::EveryLayoutV1 => vec![Deed {
                layout: "both",
                ..good
            }],
            Self::TlogV02 => vec![Deed {
                is_logged: true,
                ..v02
            }],
            Self::TlogV1 => vec![Deed {
                is_logged: true,
                ..good
            }],
        }
    }

    /// Whose tag is copied to this image, and which.
    fn copies(self) -> Option<(Self, &'static str)> {
        match self {
            Self::Tampered => Some((Self::Signed, "sig")),
            Self::AttReplayed => Some((Self::AttV1, "att")),
            _ => None,
        }
    }

    /// Where it lies: what is copied from another image is there too.
    fn repository(self) -> String {
        let named = self.copies().map_or(self, |(from, _)| from);
        format!("policies/{}", format!("{named:?}").to_lowercase())
    }
}

#[derive(Clone, Copy)]
enum What {
    Signature,
    SignatureWithTag,
    Attestation,
    Both,
    /// The provenance of this role, as it was written.
    Written(Role),
}

/// Provenance v0.2 of a role that has it written by hand.
fn written(role: Role) -> Value {
    let material = json!({"uri": format!("git+{SOURCE}.git"), "digest": {"sha1": COMMIT}});
    let mut predicate = json!({
        "builder": {"id": BUILDER},
        "buildType": "tekton.dev/v1/PipelineRun",
        "materials": [material],
    });
    match role {
        Role::BuilderIsVariable => {
            predicate["builder"]["id"] = json!("{{ buildType }}");
            predicate["buildType"] = json!(BUILDER);
        }
        Role::MaterialsObject => predicate["materials"] = json!({"0": material}),
        Role::MaterialsMixed => predicate["materials"] = json!(["text", material]),
        _ => {}
    }
    predicate
}

#[derive(Clone, Copy)]
enum Signer {
    Ours,
    Other,
}

/// One run of our programs.
#[derive(Clone, Copy)]
struct Deed {
    what: What,
    format: &'static str,
    builder: &'static str,
    source: &'static str,
    signer: Signer,
    layout: &'static str,
    is_logged: bool,
}

/// The images, made once for all tests of a process.
pub(super) struct Gallery {
    registry: &'static Registry,
    images: BTreeMap<Role, Image>,
}

impl Gallery {
    /// Those that need no log.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Gallery> = OnceLock::new();
        SHARED.get_or_init(|| Self::make(&Role::QUICK, None))
    }

    /// Those with the entries of a log, and the log; `None`, with the reason printed, where the log is missing.
    pub(super) fn logged() -> Option<(&'static Self, &'static Sigstore)> {
        static SHARED: OnceLock<Gallery> = OnceLock::new();
        let signery = Signery::full()?;
        cosign(CERTIFYING)?;
        let sigstore = signery.sigstore();
        let gallery = SHARED.get_or_init(|| {
            let roles = [Role::TlogV02, Role::TlogV1, Role::Keyless];
            let gallery = Self::make(&roles, Some(sigstore));
            let recipe = Recipe {
                version: CERTIFYING,
                signer: artifacts::Signer::Certificate,
                layout: Layout::Tags,
                log: Log::RekorV1,
                timestamp: Timestamp::None,
            };
            for artifact in [Artifact::Signature, Artifact::Attestation] {
                signery
                    .make(artifact, recipe, gallery.image(Role::Keyless))
                    .expect("this version was found before");
            }
            gallery
        });
        Some((gallery, sigstore))
    }

    fn make(roles: &[Role], log: Option<&Sigstore>) -> Self {
        let registry = Registry::shared();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = Keys::make(folder.path());
        let mut images = BTreeMap::new();
        for role in roles {
            let image = registry.push_image(&role.repository(), &tag(*role));
            for deed in role.deeds() {
                let name = format!("{}/{}:{}", registry.address(), image.repository, tag(*role));
                keys.attest(deed, &name, &image.digest, log, folder.path());
            }
            if let Some((from, suffix)) = role.copies() {
                let from: &Image = &images[&from];
                copy(registry, from, &image, suffix);
            }
            images.insert(*role, image);
        }
        Self { registry, images }
    }

    /// The image, by digest.
    pub(super) fn image(&self, role: Role) -> &str {
        &self.images[&role].reference
    }

    /// The image, by tag.
    pub(super) fn by_tag(&self, role: Role) -> String {
        let image = &self.images[&role];
        let address = self.registry.address();
        format!("{address}/{}:{}", image.repository, tag(role))
    }

    /// All of them, as our programs take patterns.
    pub(super) fn pattern(&self) -> String {
        format!("{}/policies/*", self.registry.address())
    }
}

/// The public key that policies trust.
pub(super) fn public_key() -> PathBuf {
    plain_key().1
}

fn tag(role: Role) -> String {
    format!("{role:?}").to_lowercase()
}

/// Has `to` show what was signed of `from`.
fn copy(registry: &Registry, from: &Image, to: &Image, suffix: &str) {
    let beside = |image: &Image| format!("{}.{suffix}", image.digest.replace(':', "-"));
    let found = registry.manifest(&from.repository, &beside(from));
    let found = found.expect("it was stored");
    registry.put_manifest(&to.repository, &beside(to), &found.media_type, &found.bytes);
}

struct Keys {
    ours: PathBuf,
    other: PathBuf,
}

impl Keys {
    fn make(folder: &Path) -> Self {
        let other = folder.join("other.pem");
        Run::new("openssl")
            .args(["genpkey", "-algorithm", "EC", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-out"])
            .arg(&other)
            .ok();
        Self {
            ours: plain_key().0,
            other,
        }
    }

    fn attest(&self, deed: Deed, name: &str, digest: &str, log: Option<&Sigstore>, folder: &Path) {
        let document = run_document(json!([
            {"name": "IMAGE_URL", "value": name},
            {"name": "IMAGE_DIGEST", "value": digest},
            {"name": "CHAINS-GIT_URL", "value": format!("{}.git", deed.source)},
            {"name": "CHAINS-GIT_COMMIT", "value": COMMIT},
        ]));
        let config = match deed.what {
            What::Signature => json!({"artifacts.taskrun.signer": "none"}),
            What::SignatureWithTag => {
                json!({"artifacts.taskrun.signer": "none", "tekseal.tag-identity": "true"})
            }
            What::Attestation => {
                json!({"artifacts.oci.signer": "none", "artifacts.taskrun.format": deed.format})
            }
            What::Both | What::Written(_) => json!({"artifacts.taskrun.format": deed.format}),
        };
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).expect("the folder is ours");
            path
        };
        let key = match deed.signer {
            Signer::Ours => &self.ours,
            Signer::Other => &self.other,
        };
        let run = Run::tool("tekseal-attest").arg("--key").arg(key);
        let run = run.args(["--layout", deed.layout]);
        let mut run = match deed.what {
            // By its URI a type has any members.
            What::Written(role) => run
                .arg("--predicate")
                .arg(write("predicate.json", written(role).to_string()))
                .args(["--type", "https://slsa.dev/provenance/v0.2"])
                .arg(format!(
                    "{}@{digest}",
                    name.rsplit_once(':').expect("it has a tag").0
                )),
            _ => run
                .arg("--run")
                .arg(write("run.json", document.to_string()))
                .arg("--config")
                .arg(write("config.json", config.to_string()))
                .args(["--builder-id", deed.builder]),
        };
        run = run.env("TEKSEAL_RETRY_FOR", "2");
        if deed.is_logged {
            let log = log.expect("only with a log");
            run = run
                .args(["--tlog", "v1", "--rekor-url"])
                .arg(log.rekor.url());
        }
        run.ok();
    }
}
