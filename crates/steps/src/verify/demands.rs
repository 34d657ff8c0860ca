//! What is asked of an image, and the verdict.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tekseal_core::policy::Rules;
use tekseal_core::{Digest, DigestRef, Signed, Statement, bundle, cosign};
use tekseal_remote::Registry;
use tekseal_remote::registry::Blame;
use tekseal_remote::store::{Fetched, Layers, Source};
use tekseal_signing::{Types, UnverifiedBundle, Verified, Verifier};

use super::judged::{Judged, Tried, Why};
use super::report::{AttestationReport, Checked, Report, SignatureReport};
use crate::{Failure, exit};

/// What is asked of every image.
#[derive(Clone)]
pub(crate) struct Demands {
    pub(super) verifier: Arc<Verifier>,
    /// Where what is asked for lies in cosign's layout.
    pub(super) tags: &'static [cosign::Tag],
    pub(super) types: Vec<String>,
    pub(super) annotations: BTreeMap<String, String>,
    /// What people can do when there are signatures and none is good.
    pub(super) why_none_is_valid: &'static str,
    pub(super) checked: Checked,
    /// What is asked of each attestation beyond its type; its Statement is then not kept.
    pub(super) judging: Option<Arc<Judging>>,
}

/// Rules that are applied to each attestation once it is verified.
pub(crate) struct Judging {
    pub(crate) rules: Arc<Rules>,
    /// Seconds since 1970.
    pub(crate) now: i64,
}

/// What was verified of one image, each kind by itself.
pub(crate) struct Examined {
    /// Good image signatures, or why there is none; nothing where none is asked for.
    pub(crate) signatures: Option<Result<Vec<SignatureReport>, Failure>>,
    /// The same of attestations.
    pub(crate) attestations: Option<Result<Vec<AttestationReport>, Failure>>,
    /// Why the attestations may not be all that others find.
    pub(crate) missed: Option<Failure>,
}

impl Demands {
    /// The same, with rules that are applied to each attestation.
    pub(crate) fn judging(mut self, judging: Judging) -> Self {
        self.judging = Some(Arc::new(judging));
        self
    }

    /// The same of the images of a PipelineRun: image signatures come from TaskRuns, so none is asked for unless something was asked of it.
    pub(crate) fn of_pipeline_runs(mut self) -> Self {
        if self.tags.len() > 1 && self.annotations.is_empty() {
            self.tags = &[cosign::Tag::Attestations];
        }
        self
    }

    /// What is asked of what has no attestations: the signature, if that is asked for.
    pub(crate) fn of_signatures(&self) -> Option<Self> {
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
        let found = self.look(source, image).await;
        self.report(name, found)
    }

    /// The same for each kind by itself.
    pub(crate) async fn examine(&self, source: Source<'_>, image: &Digest) -> Examined {
        let found = self.look(source, image).await;
        let missed = found.attestations.missed();
        let (signatures, attestations) = self.verdicts(found);
        let wanted = |tag| self.tags.contains(&tag);
        Examined {
            signatures: wanted(cosign::Tag::Signatures).then_some(signatures),
            attestations: wanted(cosign::Tag::Attestations).then_some(attestations),
            missed,
        }
    }

    /// Tries everything that hangs on an image.
    async fn look(&self, source: Source<'_>, image: &Digest) -> Found {
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
                let why = match error.blame() {
                    Blame::Outside => Why::Outside,
                    Blame::Artifact => Why::Limit,
                    Blame::Setting => Why::Setting,
                };
                let mut found = found.borrow_mut();
                found.refuse(Kind::Either, reason, why);
                found.hint(error.hint());
            }
        }
        found.into_inner()
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
                found.refuse(kind, reason, Why::of(error));
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
                let verdict = verdict.map(|v| self.attested(fetched, &v));
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
                return found.refuse(kind, reason, Why::Artifact);
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
            let verdict = verdict.map(|v| self.attested(fetched, &v));
            found.attestations.note(layer, verdict);
        }
    }

    /// What is kept of a verified attestation.
    fn attested(&self, fetched: &Fetched, verified: &Verified<Statement>) -> AttestationReport {
        match &self.judging {
            None => AttestationReport::of(fetched, verified),
            Some(judging) => {
                let judged = judging.rules.judge(verified.value(), judging.now);
                AttestationReport::of_judged(fetched, verified, judged)
            }
        }
    }

    /// Whether `--type` names the predicate of an image signature, as cosign 3 makes it.
    fn asks_for_sign(&self) -> bool {
        self.types.iter().any(|t| t == cosign::SIGN_PREDICATE)
    }

    /// The verdict on all that was tried.
    fn report(&self, image: &str, found: Found) -> Result<Report, Failure> {
        let (signatures, attestations) = self.verdicts(found);
        Ok(Report {
            image: image.to_owned(),
            index: None,
            platform: None,
            signatures: signatures?,
            attestations: attestations?,
            checked: self.checked,
        })
    }

    /// What is good of both kinds, or why nothing is of one that is asked for.
    fn verdicts(&self, found: Found) -> (Verdict<SignatureReport>, Verdict<AttestationReport>) {
        let Found {
            signatures,
            attestations,
            has_others,
            ..
        } = found;
        let has_attestations = has_others || !attestations.is_empty();
        (
            self.signed(signatures, has_attestations),
            self.all_attested(attestations),
        )
    }

    fn signed(
        &self,
        signatures: Judged<SignatureReport>,
        has_attestations: bool,
    ) -> Verdict<SignatureReport> {
        let is_wanted = self.tags.contains(&cosign::Tag::Signatures);
        if !is_wanted || !signatures.good.is_empty() {
            return Ok(signatures.good);
        }
        let hint = if !signatures.is_empty() {
            self.why_none_is_valid
        } else if has_attestations {
            "there are attestations, and an attestation is no signature of the image: --only attestation checks them alone"
        } else {
            UNSIGNED
        };
        Err(signatures.none_good("signature").hint(hint))
    }

    fn all_attested(&self, attestations: Judged<AttestationReport>) -> Verdict<AttestationReport> {
        if !self.tags.contains(&cosign::Tag::Attestations) {
            return Ok(attestations.good);
        }
        if attestations.good.is_empty() {
            let hint = if attestations.are_of_other_types() {
                OTHER_TYPES
            } else if !attestations.is_empty() {
                self.why_none_is_valid
            } else if self.tags.contains(&cosign::Tag::Signatures) {
                "--only signature checks the image signature alone"
            } else {
                UNSIGNED
            };
            return Err(attestations.none_good("attestation").hint(hint));
        }
        let is_missing = |t: &&String| attestations.good.iter().all(|r| r.predicate_type != **t);
        match self.types.iter().find(is_missing) {
            Some(missing) => {
                let what = format!("attestation of type {missing}");
                Err(attestations.none_good(&what))
            }
            None => Ok(attestations.good),
        }
    }
}

/// What is good of one kind, or why nothing is.
type Verdict<T> = Result<Vec<T>, Failure>;

/// What people can do when everything is attested but for the type that they asked for.
const OTHER_TYPES: &str = "something is attested, but with another type: the one of provenance v0.2 is --type slsaprovenance, that of v1 slsaprovenance1; tekseal-tree shows which there are";

/// What people can do when there are signatures and none is good, unless something is more likely.
pub(super) const NONE_IS_VALID: &str = "signed with another key (before a rotation: that under cosign.pub.1 in its Secret), changed afterwards, or lacking what was asked for; tekseal-tree shows what hangs on the image";

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
    /// Notes why something could not be tried.
    fn refuse(&mut self, kind: Kind, reason: String, why: Why) {
        if kind != Kind::Attestation {
            self.signatures.refuse(reason.clone(), why);
        }
        if kind != Kind::Signature {
            self.attestations.refuse(reason, why);
        }
    }

    /// Notes what people can do about it.
    fn hint(&mut self, hint: Option<String>) {
        self.signatures.hint(hint.clone());
        self.attestations.hint(hint);
    }
}
