//! `tekseal-policy render`: the rules of a policy in the language of whoever enforces it, so that nobody edits keys into YAML by hand.
//!
//! ```text
//!  flags ─┐                                     ┌ kyverno, image_validating, policy_controller, openshift, containers ─▶ Node ─ yaml
//!         ├─▶ Policy { signer, images, Rules } ─┤
//!  image ─┘ from_image, verified first          └ rego ─▶ text
//! ```
//!
//! Each peer means something else by the same words, so what a peer cannot hold is refused by name ([`refusal`]). Values reach a policy only through
//! [`yaml`] and [`literals`], which know how to write them.

mod args;
mod command;
mod containers;
mod from_image;
mod image_validating;
mod kyverno;
mod literals;
mod material;
mod mirror;
mod openshift;
mod pattern;
mod policy;
mod policy_controller;
mod refusal;
mod rego;
#[cfg(test)]
mod samples;
mod yaml;

use std::io::Write as _;
use std::path::Path;

use self::policy::Policy;
use self::refusal::Refusal;
use crate::registry_args::given;
use crate::{Failure, files};

pub use args::Args;

/// Who enforces the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Kyverno: ClusterPolicy of kyverno.io.
    Kyverno,
    /// Kyverno: ImageValidatingPolicy of policies.kyverno.io.
    KyvernoImageValidating,
    /// Sigstore's policy-controller: ClusterImagePolicy of policy.sigstore.dev.
    PolicyController,
    /// Sigstore's policy-controller: the TrustRoot that its ClusterImagePolicy refers to.
    PolicyControllerTrustRoot,
    /// OpenShift: ClusterImagePolicy of config.openshift.io.
    Openshift,
    /// containers/image (podman, skopeo, CRI-O): policy.json.
    ContainersPolicy,
    /// containers/image: the file of registries.d that must go with policy.json.
    ContainersRegistries,
    /// Rego for cosign verify-attestation --policy.
    RegoCosign,
    /// Rego for OPA over the output of tekseal-verify --output json.
    RegoOpa,
}

impl Kind {
    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Kyverno => "kyverno",
            Self::KyvernoImageValidating => "kyverno-image-validating",
            Self::PolicyController => "policy-controller",
            Self::PolicyControllerTrustRoot => "policy-controller-trust-root",
            Self::Openshift => "openshift",
            Self::ContainersPolicy => "containers-policy",
            Self::ContainersRegistries => "containers-registries",
            Self::RegoCosign => "rego-cosign",
            Self::RegoOpa => "rego-opa",
        }
    }

    /// Whether the policy itself says to which images it applies.
    fn names_images(self) -> bool {
        !matches!(
            self,
            Self::RegoCosign | Self::RegoOpa | Self::PolicyControllerTrustRoot
        )
    }

    /// Whether the policy itself says who must have signed.
    fn names_signer(self) -> bool {
        !matches!(
            self,
            Self::RegoCosign | Self::ContainersRegistries | Self::PolicyControllerTrustRoot
        )
    }

    /// Whether it holds rules on attestations, or says that it has none.
    fn has_rules(self) -> bool {
        !matches!(
            self,
            Self::ContainersRegistries | Self::PolicyControllerTrustRoot
        )
    }

    /// Whether it is an object in a cluster, with a name.
    fn has_name(self) -> bool {
        match self {
            Self::Kyverno
            | Self::KyvernoImageValidating
            | Self::PolicyController
            | Self::PolicyControllerTrustRoot
            | Self::Openshift => true,
            Self::ContainersPolicy
            | Self::ContainersRegistries
            | Self::RegoCosign
            | Self::RegoOpa => false,
        }
    }
}

/// Renders the policy of the flags, to stdout or into a file.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let policy = args.policy()?;
    let text = document(args.kind, &policy)?;
    match given(args.out()).next() {
        Some(path) => files::write(Path::new(path), text.as_bytes(), files::Mode::Public),
        None => std::io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(|e| Failure::outside(e).context("writing to stdout")),
    }
}

/// The document. All but policy.json, where no comment may stand, begin with the command that makes it.
fn document(kind: Kind, policy: &Policy) -> Result<String, Refusal> {
    let body = match kind {
        Kind::Kyverno => kyverno::render(policy)?.document(),
        Kind::KyvernoImageValidating => image_validating::render(policy)?.document(),
        Kind::PolicyController => policy_controller::render(policy)?.document(),
        Kind::PolicyControllerTrustRoot => policy_controller::trust_root(policy)?.document(),
        Kind::Openshift => openshift::render(policy)?.document(),
        Kind::ContainersPolicy => return containers::policy_json(policy),
        Kind::ContainersRegistries => containers::registries(policy)?.document(),
        Kind::RegoCosign => rego::cosign(policy)?,
        Kind::RegoOpa => rego::opa(policy)?,
    };
    Ok(format!("# {}\n{body}", command::line(kind, policy)))
}
