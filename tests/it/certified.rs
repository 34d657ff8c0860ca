//! Who verifies by name and issuer what was signed with certificates of the real Fulcio and logged in the real Rekor: both versions of cosign, and ours.

use std::fs;
use std::path::PathBuf;

use tekseal_harness::{Run, Services, Sigstore, cosign};
use tempfile::TempDir;

/// The ways to name SLSA v0.2 of cosign and of ours.
const COSIGNS_TYPE: &str = "slsaprovenance";
const OUR_TYPE: &str = "slsaprovenance02";

/// Verifiers that believe the services of one Sigstore, and want one signer.
pub(crate) struct Certified<'a> {
    sigstore: &'a Sigstore,
    folder: TempDir,
    identity: String,
    issuer: String,
    /// Registries that speak plain http though they are not on loopback.
    insecure: Vec<String>,
}

impl<'a> Certified<'a> {
    /// Wants what was signed by this ServiceAccount of the cluster whose tokens have this issuer.
    pub(crate) fn by_account(
        sigstore: &'a Sigstore,
        issuer: &str,
        [namespace, name]: [&str; 2],
    ) -> Self {
        Self {
            sigstore,
            folder: tempfile::tempdir().expect("a temporary folder"),
            identity: format!(
                "https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{name}"
            ),
            issuer: issuer.to_owned(),
            insecure: Vec::new(),
        }
    }

    /// Reads from a registry that speaks plain http elsewhere than on loopback.
    pub(crate) fn with_insecure_registry(mut self, address: &str) -> Self {
        self.insecure.push(address.to_owned());
        self
    }

    /// The name that the certificate must have.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// What the configuration of a signer, and verifiers, believe.
    pub(crate) fn trusted_root(&self) -> String {
        let services = Services::none()
            .with_rekor_v1(&self.sigstore.rekor)
            .with_fulcio(&self.sigstore.fulcio);
        services.trusted_root().to_string()
    }

    fn root_file(&self) -> PathBuf {
        let path = self.folder.path().join("trusted_root.json");
        fs::write(&path, self.trusted_root()).expect("the folder is ours");
        path
    }

    /// Ours, of whoever has this name; the image is to be added.
    fn ours(&self, identity: &str) -> Run {
        let run = Run::tool("tekseal-verify")
            .args(["--certificate-identity", identity])
            .args(["--certificate-oidc-issuer", &self.issuer])
            .args(["--type", OUR_TYPE])
            .arg("--trusted-root")
            .arg(self.root_file());
        let insecure = |run: Run, address: &String| run.args(["--insecure-registry", address]);
        self.insecure.iter().fold(run, insecure)
    }

    /// All of them accept signature and provenance of the image, with the entry of the log and the promise of the log of certificates.
    #[track_caller]
    pub(crate) fn accept(&self, image: &str) {
        self.ours(&self.identity).arg(image).ok();
        for version in ["2.6.5", "3.1.3"] {
            let Some(cosign) = cosign(version) else {
                continue;
            };
            for command in ["verify", "verify-attestation"] {
                let mut run = cosign
                    .run(command)
                    .args(["--certificate-identity", &self.identity])
                    .args(["--certificate-oidc-issuer", &self.issuer]);
                if command == "verify-attestation" {
                    run = run.args(["--type", COSIGNS_TYPE]);
                }
                if !self.insecure.is_empty() {
                    run = run.arg("--allow-insecure-registry");
                }
                // `verify-attestation` of version 2 takes no trusted root under tags. Nobody asks a log that is elsewhere.
                run = match cosign.major() {
                    2 => run
                        .arg("--offline=true")
                        .env(
                            "SIGSTORE_REKOR_PUBLIC_KEY",
                            self.sigstore.rekor.public_key(),
                        )
                        .env("SIGSTORE_ROOT_FILE", self.sigstore.fulcio.root())
                        .env(
                            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
                            self.sigstore.fulcio.log_public_key(),
                        ),
                    _ => run
                        .arg("--offline=true")
                        .arg("--trusted-root")
                        .arg(self.root_file()),
                };
                run.arg(image).ok();
            }
        }
    }

    /// Ours refuses it where somebody else is wanted.
    #[track_caller]
    pub(crate) fn refuse_another(&self, image: &str) {
        let other = format!("{}-other", self.identity);
        self.ours(&other).arg(image).fails_with(1);
    }
}
