//! What is asked of an image, and the verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use tekseal_core::{Digest, DigestRef, Signed, bundle, cosign};
use tekseal_remote::Registry;
use tekseal_remote::registry::Blame;
use tekseal_remote::store::{Fetched, Layers, Source};
use tekseal_signing::{
    HashAlgorithm, IdentityRule, KeyAlgorithm, PublicKey, Types, UnverifiedBundle, Verifier,
};

use super::judged::{Judged, Tried};
use super::report::{AttestationReport, Checked, Report, SignatureReport};
use super::trust_args::{TrustArgs, Trusted};
use crate::registry_args::{RegistryArgs, given};
use crate::{Failure, exit, log};

/// What is asked of every image.
#[derive(Debug, clap::Args)]
pub struct DemandArgs {
    /// Check only one of the two
    #[arg(long, env = "TEKSEAL_ONLY", value_enum, value_name = "WHAT")]
    only: Option<Only>,
    /// Predicate type that must be attested, may be repeated: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex, or a URI
    #[arg(
        long = "type",
        env = "TEKSEAL_TYPE",
        value_name = "TYPE",
        value_delimiter = ','
    )]
    types: Vec<String>,
    /// Annotation that the signature must carry; may be repeated
    #[arg(
        short = 'a',
        long = "annotations",
        env = "TEKSEAL_ANNOTATION",
        value_name = "KEY=VALUE"
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

/// What is asked of every image.
#[derive(Clone)]
pub(crate) struct Demands {
    verifier: Arc<Verifier>,
    /// Where what is asked for lies in cosign's layout.
    tags: &'static [cosign::Tag],
    types: Vec<String>,
    annotations: BTreeMap<String, String>,
    /// What people can do when there are signatures and none is good.
    why_none_is_valid: &'static str,
    checked: Checked,
}

impl DemandArgs {
    /// What is asked of images with this key, or of those whom `trust` names. A mirror of trusted roots is reached as `network` says.
    pub(crate) fn of_trust(
        &self,
        key: Option<PublicKey>,
        trust: &TrustArgs,
        network: &RegistryArgs,
    ) -> Result<Demands, Failure> {
        let identity = trust.identity()?;
        let hash = self
            .signature_digest_algorithm
            .parse::<HashAlgorithm>()
            .map_err(|e| Failure::misuse(e).context("--signature-digest-algorithm"))?;
        let types = given(&self.types).map(|name| {
            cosign::predicate_type(name).map(str::to_owned).ok_or_else(|| {
                Failure::misuse(anyhow!("--type {name:?} is neither a predicate type that cosign names nor a URI"))
                    .hint("names: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex")
            })
        });
        let annotations = given(&self.annotations).map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Failure::misuse(anyhow!("annotation {pair:?} is not of the form KEY=VALUE"))
            })?;
            Ok((key.to_owned(), value.to_owned()))
        });
        if self.only == Some(Only::Signature) && !self.types.is_empty() {
            return Err(Failure::misuse(anyhow!(
                "--type asks for an attestation and --only signature forbids it"
            )));
        }
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
        let trusted = trust.trusted(self.insecure_ignore_tlog, network)?;
        let (verifier, checked) = verifier(key, identity, hash, trusted)?;
        Ok(Demands {
            why_none_is_valid,
            verifier: Arc::new(verifier),
            tags: self.tags(),
            types: types.collect::<Result<_, _>>()?,
            annotations: annotations.collect::<Result<_, Failure>>()?,
            checked,
        })
    }

    /// The tags beside an image under which something must lie.
    pub(crate) fn tags(&self) -> &'static [cosign::Tag] {
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

impl Demands {
    /// The same of the images of a PipelineRun: image signatures come from TaskRuns, so none is asked for unless something was asked of it.
    pub(crate) fn of_pipeline_runs(mut self) -> Self {
        if self.tags.len() > 1 && self.annotations.is_empty() {
            self.tags = &[cosign::Tag::Attestations];
        }
        self
    }

    /// What is asked of what has no attestations: the signature, if that is asked for.
    pub(super) fn of_signatures(&self) -> Option<Self> {
        let asks_for_it = self.tags.contains(&cosign::Tag::Signatures);
        asks_for_it.then(|| Self {
            tags: &[cosign::Tag::Signatures],
            types: Vec::new(),
            ..self.clone()
        })
    }

    fn types(&self) -> Types<'_> {
        if self.types.is_empty() {
            Types::Any
        } else {
            Types::OneOf(&self.types)
        }
    }

    /// Checks one image: everything under cosign's tags and everything that names it as its subject is tried.
    ///
    /// # Errors
    /// «No», with a reason for each candidate, or what kept us from looking.
    pub(crate) async fn check(
        &self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Report, Failure> {
        let source = Source::of(registry, image);
        self.check_in(source, &image.digest, &image.to_string())
            .await
    }

    /// The same wherever the image lies, which the report calls `name`.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) async fn check_in(
        &self,
        source: Source<'_>,
        image: &Digest,
        name: &str,
    ) -> Result<Report, Failure> {
        let found = RefCell::default();
        let (signatures, attestations, referring) = tokio::join!(
            self.try_tag(source, image, cosign::Tag::Signatures, &found),
            self.try_tag(source, image, cosign::Tag::Attestations, &found),
            Layers::referring_in(source, image),
        );
        if let Err(failure) = signatures {
            found.borrow_mut().signatures.unread(failure);
        }
        if let Err(failure) = attestations {
            found.borrow_mut().attestations.unread(failure);
        }
        match referring {
            Ok(layers) => self.try_all(layers, Kind::Either, image, &found).await,
            Err(error) => {
                let reason = format!("the referrers: {}", exit::chain(&error));
                let mut found = found.borrow_mut();
                found.refuse(Kind::Either, reason, error.blame());
                found.hint(error.hint());
            }
        }
        self.report(name, found.into_inner())
    }

    /// Checks one image by bundles alone; no registry is asked.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(super) fn check_bundles(
        &self,
        bundles: &[Fetched],
        image: &DigestRef,
    ) -> Result<Report, Failure> {
        let mut found = Found::default();
        for fetched in bundles {
            self.try_fetched(fetched, Kind::Either, &image.digest, &mut found);
        }
        self.report(&image.to_string(), found)
    }

    /// Tries the layers of one of cosign's tags, if what it holds is asked for.
    async fn try_tag(
        &self,
        source: Source<'_>,
        image: &Digest,
        tag: cosign::Tag,
        found: &RefCell<Found>,
    ) -> Result<(), Failure> {
        if self.tags.contains(&tag) {
            let layers = Layers::open_in(source, image, tag).await?;
            let kind = match tag {
                cosign::Tag::Signatures => Kind::Signature,
                _ => Kind::Attestation,
            };
            self.try_all(layers, kind, image, found).await;
        }
        Ok(())
    }

    async fn try_all(
        &self,
        mut layers: Layers<'_>,
        kind: Kind,
        image: &Digest,
        found: &RefCell<Found>,
    ) {
        while let Some(fetched) = layers.next().await {
            self.try_fetched(&fetched, kind, image, &mut found.borrow_mut());
        }
    }

    fn try_fetched(&self, fetched: &Fetched, kind: Kind, image: &Digest, found: &mut Found) {
        if !found.tried.is_new(kind, fetched) {
            return;
        }
        match &fetched.signed {
            Ok(signed) => self.try_one(fetched, signed, kind, image, found),
            Err(error) => {
                let reason = format!("layer {}: {}", fetched.digest, exit::chain(error));
                found.refuse(kind, reason, error.blame());
            }
        }
    }

    fn try_one(
        &self,
        fetched: &Fetched,
        signed: &Signed,
        kind: Kind,
        image: &Digest,
        found: &mut Found,
    ) {
        let (verifier, digest, layer) = (&self.verifier, image, &fetched.digest);
        if !bundle::is_media_type(signed.media_type()) {
            if kind == Kind::Attestation {
                let verdict = verifier.attestation(signed, digest, self.types());
                let verdict = verdict.map(|v| AttestationReport::of(fetched, &v));
                found.attestations.note(layer, verdict);
            } else {
                let verdict = verifier.image_signature(signed, digest, &self.annotations);
                let verdict = verdict.map(|v| SignatureReport::of_layer(fetched, &v));
                found.signatures.note(layer, verdict);
            }
            return;
        }
        let bundle = match UnverifiedBundle::read(signed) {
            Ok(bundle) => bundle,
            Err(rejection) => {
                let reason = format!("layer {layer}: {:#}", anyhow::Error::from(rejection));
                return found.refuse(kind, reason, Blame::Artifact);
            }
        };
        let is_signature = bundle.says_signature() && !self.asks_for_sign();
        let tag = if is_signature {
            cosign::Tag::Signatures
        } else {
            cosign::Tag::Attestations
        };
        if !self.tags.contains(&tag) {
            found.has_others = true;
        } else if is_signature {
            let verdict = verifier.signature_bundle(bundle, digest, &self.annotations);
            let verdict = verdict.map(|v| SignatureReport::of_bundle(fetched, &v));
            found.signatures.note(layer, verdict);
        } else {
            let verdict = verifier.attestation_bundle(bundle, digest, self.types());
            let verdict = verdict.map(|v| AttestationReport::of(fetched, &v));
            found.attestations.note(layer, verdict);
        }
    }

    /// Whether `--type` names the predicate of an image signature, as cosign 3 makes it.
    fn asks_for_sign(&self) -> bool {
        self.types.iter().any(|t| t == cosign::SIGN_PREDICATE)
    }

    /// The verdict on all that was tried.
    fn report(&self, image: &str, found: Found) -> Result<Report, Failure> {
        let Found {
            signatures,
            attestations,
            has_others,
            ..
        } = found;
        let has_attestations = has_others || !attestations.is_empty();
        let wants_signatures = self.tags.contains(&cosign::Tag::Signatures);
        if wants_signatures && signatures.good.is_empty() {
            let hint = if !signatures.is_empty() {
                self.why_none_is_valid
            } else if has_attestations {
                "there are attestations, and an attestation is no signature of the image: --only attestation checks them alone"
            } else {
                UNSIGNED
            };
            return Err(signatures.none_good("signature").hint(hint));
        }
        let wants_attestations = self.tags.contains(&cosign::Tag::Attestations);
        if wants_attestations && attestations.good.is_empty() {
            let hint = if attestations.are_of_other_types() {
                OTHER_TYPES
            } else if !attestations.is_empty() {
                self.why_none_is_valid
            } else if wants_signatures {
                "--only signature checks the image signature alone"
            } else {
                UNSIGNED
            };
            return Err(attestations.none_good("attestation").hint(hint));
        }
        let is_missing = |t: &&String| attestations.good.iter().all(|r| r.predicate_type != **t);
        if let Some(missing) = self.types.iter().find(is_missing)
            && wants_attestations
        {
            let what = format!("attestation of type {missing}");
            return Err(attestations.none_good(&what));
        }
        Ok(Report {
            image: image.to_owned(),
            index: None,
            platform: None,
            signatures: signatures.good,
            attestations: attestations.good,
            checked: self.checked,
        })
    }
}

/// What people can do when everything is attested but for the type that they asked for.
const OTHER_TYPES: &str = "something is attested, but with another type: the one of provenance v0.2 is --type slsaprovenance, that of v1 slsaprovenance1; tekseal-tree shows which there are";

/// What people can do when there are signatures and none is good, unless something is more likely.
const NONE_IS_VALID: &str = "signed with another key (before a rotation: that under cosign.pub.1 in its Secret), changed afterwards, or lacking what was asked for; tekseal-tree shows what hangs on the image";

/// What people can do when nothing hangs on an image.
const UNSIGNED: &str = "nobody signed this image, or what was signed is elsewhere: in another repository, or in annotations of the run, which nothing verifies: \
     artifacts.taskrun.storage and artifacts.pipelinerun.storage are tekton unless set to oci";

/// What a candidate may be, by where it was found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Signature,
    Attestation,
    Either,
}

/// What was found on an image.
#[derive(Default)]
struct Found {
    signatures: Judged<SignatureReport>,
    attestations: Judged<AttestationReport>,
    tried: Tried,
    /// A bundle was there of the kind that is not asked for.
    has_others: bool,
}

impl Found {
    /// Notes why something could not be tried, and who must act.
    fn refuse(&mut self, kind: Kind, reason: String, blame: Blame) {
        if kind != Kind::Attestation {
            self.signatures.refuse(reason.clone(), blame);
        }
        if kind != Kind::Signature {
            self.attestations.refuse(reason, blame);
        }
    }

    /// Notes what people can do about it.
    fn hint(&mut self, hint: Option<String>) {
        self.signatures.hint(hint.clone());
        self.attestations.hint(hint);
    }
}
