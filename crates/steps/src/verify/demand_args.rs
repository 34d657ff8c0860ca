//! What is asked of every image, as the command line says it.

use std::sync::Arc;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_core::cosign;
use tekseal_signing::{HashAlgorithm, Hashes, IdentityRule, KeyAlgorithm, Verifier};

use super::demands::{Demands, NONE_IS_VALID};
use super::report::Checked;
use super::trust_args::{TrustArgs, Trusted};
use super::verifying_keys::VerifyingKeys;
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
    /// Hash that the signature was made with: sha256, sha384 or sha512 (cosign signs with sha384 where the key is P-384); several with commas where keys differ, and one over any of them counts
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

    /// The same of signatures over any hash: which keys signed is asked, and not whether everybody would find that out.
    pub(crate) fn over_any_hash(mut self) -> Self {
        let all = HashAlgorithm::ALL.map(|hash| hash.to_string());
        self.how.signature_digest_algorithm = all.join(",");
        self
    }

    /// What is asked of images with these keys, which alone vouch for them.
    pub(crate) fn of_keys(&self, keys: VerifyingKeys) -> Result<Demands, Failure> {
        let (identity, trusted) = (None, None);
        self.how.of(self.types()?, Some(keys), identity, trusted)
    }

    /// What is asked of images with these keys, or of those whom `trust` names. A mirror of trusted roots is reached as `network` says.
    pub(crate) fn of_trust(
        &self,
        keys: Option<VerifyingKeys>,
        trust: &TrustArgs,
        network: &RegistryArgs,
    ) -> Result<Demands, Failure> {
        self.how.of_trust(self.types()?, keys, trust, network)
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
    /// What is asked of images with these keys, or of those whom `trust` names: signed, and attested with each of these predicate types.
    pub(crate) fn of_trust(
        &self,
        types: Vec<String>,
        keys: Option<VerifyingKeys>,
        trust: &TrustArgs,
        network: &RegistryArgs,
    ) -> Result<Demands, Failure> {
        let identity = trust.identity()?;
        let trusted = trust.trusted(self.insecure_ignore_tlog, network)?;
        self.of(types, keys, identity, trusted)
    }

    fn of(
        &self,
        types: Vec<String>,
        keys: Option<VerifyingKeys>,
        identity: Option<IdentityRule>,
        trusted: Option<Trusted>,
    ) -> Result<Demands, Failure> {
        let hashes = self.signature_digest_algorithm.split(',');
        let hashes = hashes.map(|name| {
            let hash = name.trim().parse::<HashAlgorithm>();
            hash.map_err(|e| Failure::misuse(e).context("--signature-digest-algorithm"))
        });
        let hashes = Hashes::of(hashes.collect::<Result<_, _>>()?);
        let hashes = hashes.expect("a text has at least one part");
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
        let has = |algorithm| keys.as_ref().is_some_and(|keys| keys.has(algorithm));
        let is_usual = hashes.has(HashAlgorithm::Sha256);
        let lacks = |hash, algorithm| is_usual && !hashes.has(hash) && has(algorithm);
        let why_none_is_valid = match &keys {
            _ if lacks(HashAlgorithm::Sha384, KeyAlgorithm::P384) => {
                "cosign signs with SHA-384 where the key is P-384: try --signature-digest-algorithm sha384"
            }
            _ if lacks(HashAlgorithm::Sha512, KeyAlgorithm::P521) => {
                "cosign signs with SHA-512 where the key is P-521: try --signature-digest-algorithm sha512"
            }
            _ if !is_usual && (has(KeyAlgorithm::P384) || has(KeyAlgorithm::P521)) => {
                "tekseal and Tekton Chains sign with SHA-256 where they have the key: try without --signature-digest-algorithm"
            }
            _ if has(KeyAlgorithm::Ed25519) => {
                "signed with another key, or by cosign sign: where the key is Ed25519 it makes Ed25519ph signatures, which its own verify does not accept either"
            }
            Some(VerifyingKeys::Set(_)) if trusted.is_none() => NONE_OF_SET_WITHOUT_PROOF,
            Some(VerifyingKeys::Set(_)) => NONE_OF_SET,
            _ => NONE_IS_VALID,
        };
        let (verifier, checked) = verifier(keys, identity, hashes, trusted)?;
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

/// What people can do when there are signatures and none is good by a key set.
const NONE_OF_SET: &str = "signed with a key that the set does not have or whose time is over, changed afterwards, or lacking what was asked for; tekseal-keys list shows which key that may be";
/// The same where nobody is trusted to say when something was signed.
const NONE_OF_SET_WITHOUT_PROOF: &str = "signed with a key that the set does not have or whose time is over, changed afterwards, or lacking what was asked for; with --trusted-root the entry of a log or a timestamp proves that a key signed while it was in use";

/// Who verifies, and what the verdict rests on.
fn verifier(
    keys: Option<VerifyingKeys>,
    identity: Option<IdentityRule>,
    hashes: Hashes,
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
    let verifier = match (keys, identity, trusted) {
        (None, None, _) => {
            return Err(Failure::misuse(anyhow!(
                    "neither a key nor an identity is given to verify with"
                ))
                .hint("give --key or --keys; or --certificate-identity, --certificate-oidc-issuer and --trusted-root for what was signed without one"));
        }
        (Some(keys), Some(_), _) => {
            return Err(Failure::misuse(anyhow!(
                "{} and --certificate-identity are both given",
                keys.flag()
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
            Verifier::of_identity(rule, hashes, trusted.trust, trusted.needs)
        }
        (Some(keys), None, trusted) => {
            let verifier = match keys {
                VerifyingKeys::One(key) => Verifier::new(vec![key], hashes),
                VerifyingKeys::Set(set) => {
                    Verifier::of_key_set(set, hashes, Timestamp::now().as_second())
                }
            };
            let verifier = verifier.map_err(Failure::misuse)?;
            match trusted {
                Some(trusted) => verifier.trusting(trusted.trust, trusted.needs),
                None => verifier,
            }
        }
    };
    Ok((verifier, checked))
}
