//! The images, each made once for all tests of a process, in one registry.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::json;
use tekseal_harness::{Image, Registry, Run, Sigstore, cosign};

use super::certified;
use super::predicates::written;
use super::roles::{COMMIT, Deed, Role, Signer, What};
use crate::sigstore::artifacts::{Signery, VERSIONS};
use crate::workshop::{plain_key, run_document};

/// The images, made once for all tests of a process.
pub(super) struct Gallery {
    registry: &'static Registry,
    images: BTreeMap<Role, Image>,
}

impl Gallery {
    /// Those that need no log.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Gallery> = OnceLock::new();
        SHARED.get_or_init(|| Self::make(Role::QUICK, None))
    }

    /// Those with the entries of a log, and the log; `None`, with the reason printed, where the log is missing.
    pub(super) fn logged() -> Option<(&'static Self, &'static Sigstore)> {
        static SHARED: OnceLock<Gallery> = OnceLock::new();
        let signery = Signery::full()?;
        for version in VERSIONS {
            cosign(version)?;
        }
        let sigstore = signery.sigstore();
        let gallery = SHARED.get_or_init(|| {
            let with_certificates = certified::ALL.iter().map(|made| made.role);
            let roles: Vec<_> = Role::LOGGED
                .iter()
                .copied()
                .chain(with_certificates)
                .collect();
            let gallery = Self::make(&roles, Some(sigstore));
            for made in certified::ALL {
                made.make(&signery, gallery.image(made.role));
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
            let image = registry.push_image(&role.repository(), &role.tag());
            for deed in role.deeds() {
                let name = format!("{}/{}:{}", registry.address(), image.repository, role.tag());
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

    /// The image, by digest, of these or of those that need no log.
    pub(super) fn or_shared(&self, role: Role) -> String {
        match self.images.get(&role) {
            Some(image) => image.reference.clone(),
            None => Self::shared().image(role).to_owned(),
        }
    }

    /// The image, by tag.
    pub(super) fn by_tag(&self, role: Role) -> String {
        let image = &self.images[&role];
        let address = self.registry.address();
        format!("{address}/{}:{}", image.repository, role.tag())
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
                .arg(write("predicate.json", written(role).1.to_string()))
                .args(["--type", written(role).0])
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
