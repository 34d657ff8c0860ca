//! What is asked of every image, as the command line says it.

use std::sync::Arc;

use anyhow::anyhow;
use tekseal_core::cosign;
use tekseal_signing::{HashAlgorithm, IdentityRule, KeyAlgorithm, PublicKey, Verifier};

use super::demands::{Demands, NONE_IS_VALID};
use super::report::Checked;
use super::trust_args::{TrustArgs, Trusted};
use crate::not_empty::NotEmpty;
use crate::registry_args::{RegistryArgs, given};
use crate::{Failure, log};

/// What is asked of every image.
#[derive(Debug, clap::Args)]
pub struct DemandArgs {
    /// Predicate type that must be attested, may be repeated: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex, or a URI
    #[arg(
        long = "type",
        env = "TEKSEAL_TYPE",
        value_name = "TYPE",
        value_delimiter = ',',
        value_parser = NotEmpty
    )]
    types: Vec<String>,
    #[command(flatten)]
    how: HowArgs,
}

/// How signatures and attestations of every image are verified, whatever is attested.
#[derive(Debug, clap::Args)]
pub struct HowArgs {
    /// Check only one of the two
    #[arg(long, env = "TEKSEAL_ONLY", value_enum, value_name = "WHAT")]
    only: Option<Only>,
    /// Annotation that the signature must carry; may be repeated
    #[arg(
        short = 'a',
        long = "annotations",
        env = "TEKSEAL_ANNOTATION",
        value_name = "KEY=VALUE",
        value_parser = NotEmpty
    )]
    annotations: Vec<String>,
    /// Hash that the signature was made with: sha256, sha384 or sha512 (cosign signs with sha384 where the key is P-384)
    #[arg(
        long,
        env = "TEKSEAL_SIGNATURE_DIGEST_ALGORITHM",
        value_name = "HASH",
        default_value = "sha256"
    )]
    signature_digest_algorithm: String,
    /// Accept signatures that no transparency log of the trusted root has an entry of; without a trusted root none is asked for, and this silences the notice that says so
    #[arg(long, env = "TEKSEAL_INSECURE_IGNORE_TLOG", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    insecure_ignore_tlog: bool,
}

/// What to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// The image signature.
    Signature,
    /// The attestations.
    Attestation,
}

impl DemandArgs {
    /// What is asked where nobody says anything else.
    pub(crate) fn usual(only: Option<Only>) -> Self {
        Self {
            types: Vec::new(),
            how: HowArgs {
                only,
                annotations: Vec::new(),
                signature_digest_algorithm: "sha256".to_owned(),
                insecure_ignore_tlog: false,
            },
        }
    }

    /// What is asked of images with this key, which alone vouches for them.
    pub(crate) fn of_key(&self, key: PublicKey) -> Result<Demands, Failure> {
        let (identity, trusted) = (None, None);
        self.how.of(self.types()?, Some(key), identity, trusted)
    }

    /// What is asked of images with this key, or of those whom `trust` names. A mirror of trusted roots is reached as `network` says.
    pub(crate) fn of_trust(
        &self,
        key: Option<PublicKey>,
        trust: &TrustArgs,
        network: &RegistryArgs,
    ) -> Result<Demands, Failure> {
        self.how.of_trust(self.types()?, key, trust, network)
    }

    fn types(&self) -> Result<Vec<String>, Failure> {
        if self.how.only == Some(Only::Signature) && !self.types.is_empty() {
            return Err(Failure::misuse(anyhow!(
                "--type asks for an attestation and --only signature forbids it"
            )));
        }
        predicate_types(&self.types)
    }

    /// The tags beside an image under which something must lie.
    pub(crate) fn tags(&self) -> &'static [cosign::Tag] {
        self.how.tags()
    }

    /// Says that no log was asked, unless it was said that none is to be.
    pub(crate) fn tell_of_log(&self) {
        self.how.tell_of_log();
    }
}

/// The predicate types that these names of `--type` stand for.
///
/// # Errors
/// Exit 2 for what is neither a name of cosign's nor a URI.
pub(crate) fn predicate_types(names: &[String]) -> Result<Vec<String>, Failure> {
    let types = given(names).map(|name| {
        cosign::predicate_type(name).map(str::to_owned).ok_or_else(|| {
            Failure::misuse(anyhow!("--type {name:?} is neither a predicate type that cosign names nor a URI"))
                .hint("names: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex")
        })
    });
    types.collect()
}

impl HowArgs {
    /// What is asked of images with this key, or of those whom `trust` names: signed, and attested with each of these predicate types.
    pub(crate) fn of_trust(
        &self,
        types: Vec<String>,
        key: Option<PublicKey>,
        trust: &TrustArgs,
        network: &RegistryArgs,
    ) -> Result<Demands, Failure> {
        let identity = trust.identity()?;
        let trusted = trust.trusted(self.insecure_ignore_tlog, network)?;
        self.of(types, key, identity, trusted)
    }

    fn of(
        &self,
        types: Vec<String>,
        key: Option<PublicKey>,
        identity: Option<IdentityRule>,
        trusted: Option<Trusted>,
    ) -> Result<Demands, Failure> {
        let hash = self
            .signature_digest_algorithm
            .parse::<HashAlgorithm>()
            .map_err(|e| Failure::misuse(e).context("--signature-digest-algorithm"))?;
        let annotations = given(&self.annotations).map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::misuse(anyhow!("annotation {pair:?} is not of the form KEY=VALUE"))
            })?;
            Ok((key.to_owned(), value.to_owned()))
        });
        if self.only == Some(Only::Attestation) && !self.annotations.is_empty() {
            return Err(Failure::misuse(anyhow!(
                "-a asks for an annotation of the signature and --only attestation forbids it"
            )));
        }
        let why_none_is_valid = match (key.as_ref().map(PublicKey::algorithm), hash) {
            (Some(KeyAlgorithm::P384), HashAlgorithm::Sha256) => {
                "cosign signs with SHA-384 where the key is P-384: try --signature-digest-algorithm sha384"
            }
            (Some(KeyAlgorithm::P521), HashAlgorithm::Sha256) => {
                "cosign signs with SHA-512 where the key is P-521: try --signature-digest-algorithm sha512"
            }
            _ => NONE_IS_VALID,
        };
        let (verifier, checked) = verifier(key, identity, hash, trusted)?;
        Ok(Demands {
            why_none_is_valid,
            verifier: Arc::new(verifier),
            tags: self.tags(),
            types,
            annotations: annotations.collect::<Result<_, Failure>>()?,
            checked,
            judging: None,
        })
    }

    /// What alone is verified, if not both are.
    pub(crate) fn only(&self) -> Option<Only> {
        self.only
    }

    /// The tags beside an image under which something must lie.
    fn tags(&self) -> &'static [cosign::Tag] {
        match self.only {
            None => &[cosign::Tag::Signatures, cosign::Tag::Attestations],
            Some(Only::Signature) => &[cosign::Tag::Signatures],
            Some(Only::Attestation) => &[cosign::Tag::Attestations],
        }
    }

    /// Says that no log was asked, unless it was said that none is to be.
    pub(crate) fn tell_of_log(&self) {
        if !self.insecure_ignore_tlog {
            log::info(
                "the transparency log was not checked: with a key, the key alone vouches",
                &[],
            );
        }
    }
}

/// Who verifies, and what the verdict rests on.
fn verifier(
    key: Option<PublicKey>,
    identity: Option<IdentityRule>,
    hash: HashAlgorithm,
    trusted: Option<Trusted>,
) -> Result<(Verifier, Checked), Failure> {
    let needs = trusted.as_ref().map(|t| t.needs).unwrap_or_default();
    let checked = Checked {
        signature: true,
        subject: true,
        transparency_log: needs.log,
        timestamp: needs.timestamp,
        certificate_log: needs.certificate_log && identity.is_some(),
    };
    let verifier = match (key, identity, trusted) {
        (None, None, _) => {
            return Err(Failure::misuse(anyhow!(
                    "neither a key nor an identity is given to verify with"
                ))
                .hint("give --key; or --certificate-identity, --certificate-oidc-issuer and --trusted-root for what was signed without one"));
        }
        (Some(_), Some(_), _) => {
            return Err(Failure::misuse(anyhow!(
                "--key and --certificate-identity are both given"
            ))
            .hint(
                "a signature is either of a key or of a certificate: verify twice to accept both",
            ));
        }
        (None, Some(_), None) => {
            return Err(
                Failure::misuse(anyhow!("--certificate-identity needs --trusted-root")).hint(
                    "it says which authorities may name who signed: Sigstore's trusted_root.json",
                ),
            );
        }
        (None, Some(rule), Some(trusted)) => {
            Verifier::of_identity(rule, hash, trusted.trust, trusted.needs)
        }
        (Some(key), None, trusted) => {
            let verifier = Verifier::new(vec![key], hash).map_err(Failure::misuse)?;
            match trusted {
                Some(trusted) => verifier.trusting(trusted.trust, trusted.needs),
                None => verifier,
            }
        }
    };
    Ok((verifier, checked))
}
