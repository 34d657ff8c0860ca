//! What is asked of an image, and the verdict.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use serde_json::value::RawValue;
use tekseal_core::{DigestRef, Provenance, Signed, SimpleSigning, Statement, cosign};
use tekseal_remote::Registry;
use tekseal_remote::registry::Blame;
use tekseal_remote::store::{self, Layers};
use tekseal_signing::{
    HashAlgorithm, KeyAlgorithm, PublicKey, Rejection, Types, Verified, Verifier,
};

use super::{AttestationReport, Checked, Report, SignatureReport};
use crate::registry_args::given;
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
    /// As cosign has it; here it only silences the notice that the transparency log was not checked
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
pub(crate) struct Demands {
    verifier: Verifier,
    only: Option<Only>,
    types: Vec<String>,
    annotations: BTreeMap<String, String>,
    /// A P-384 key over SHA-256, which is not what cosign makes.
    is_p384: bool,
}

impl DemandArgs {
    /// What is asked of images with this key.
    pub(crate) fn with(&self, key: PublicKey) -> Result<Demands, Failure> {
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
        Ok(Demands {
            is_p384: key.algorithm() == KeyAlgorithm::P384 && hash == HashAlgorithm::Sha256,
            verifier: Verifier::new(vec![key], hash).map_err(Failure::misuse)?,
            only: self.only,
            types: types.collect::<Result<_, _>>()?,
            annotations: annotations.collect::<Result<_, Failure>>()?,
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

impl Demands {
    /// The same of the images of a PipelineRun: image signatures come from TaskRuns, so none is asked for unless something was asked of it.
    pub(crate) fn of_pipeline_runs(mut self) -> Self {
        if self.only.is_none() && self.annotations.is_empty() {
            self.only = Some(Only::Attestation);
        }
        self
    }

    fn types(&self) -> Types<'_> {
        if self.types.is_empty() {
            Types::Any
        } else {
            Types::OneOf(&self.types)
        }
    }

    /// What people can do when there are signatures and none is good.
    fn why_none_is_valid(&self) -> &'static str {
        if self.is_p384 {
            return "cosign signs with SHA-384 where the key is P-384: try --signature-digest-algorithm sha384";
        }
        "signed with another key (before a rotation: that under cosign.pub.1 in its Secret), changed afterwards, or lacking what was asked for; tekseal-tree shows what hangs on the image"
    }

    /// Checks one image.
    pub(crate) async fn check(
        &self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Report, Failure> {
        let signatures = async {
            match self.only {
                Some(Only::Attestation) => Ok(Vec::new()),
                _ => self.signatures(registry, image).await,
            }
        };
        let attestations = async {
            match self.only {
                Some(Only::Signature) => Ok(Vec::new()),
                _ => self.attestations(registry, image).await,
            }
        };
        let (signatures, attestations) = tokio::join!(signatures, attestations);
        Ok(Report {
            image: image.to_string(),
            signatures: signatures?,
            attestations: attestations?,
            checked: Checked {
                signature: true,
                subject: true,
                transparency_log: false,
            },
        })
    }

    async fn signatures(
        &self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Vec<SignatureReport>, Failure> {
        let layers = Layers::open(registry, image, cosign::Tag::Signatures).await?;
        let judged = judge(layers, |signed, layer| {
            let verified =
                self.verifier
                    .image_signature(signed, &image.digest, &self.annotations)?;
            Ok(signature_report(layer, &verified))
        })
        .await;
        if judged.good.is_empty() {
            let failure = judged.none_good("signature");
            if judged.reasons.is_empty() {
                return Err(unsigned(registry, image, failure).await);
            }
            return Err(failure.hint(self.why_none_is_valid()));
        }
        Ok(judged.good)
    }

    async fn attestations(
        &self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Vec<AttestationReport>, Failure> {
        let layers = Layers::open(registry, image, cosign::Tag::Attestations).await?;
        let judged = judge(layers, |signed, layer| {
            let verified = self
                .verifier
                .attestation(signed, &image.digest, self.types())?;
            Ok(attestation_report(layer, &verified))
        })
        .await;
        if judged.good.is_empty() {
            let failure = judged.none_good("attestation");
            if judged.reasons.is_empty() {
                let failure = failure.hint("--only signature checks the image signature alone");
                return Err(unsigned(registry, image, failure).await);
            }
            return Err(failure.hint(self.why_none_is_valid()));
        }
        if let Some(missing) = self
            .types
            .iter()
            .find(|t| judged.good.iter().all(|r| r.predicate_type != **t))
        {
            return Err(judged.none_good(&format!("attestation of type {missing}")));
        }
        Ok(judged.good)
    }
}

/// Nothing lies under the tag. cosign 3 writes bundles by default, which is worth telling apart from an image that nobody signed.
async fn unsigned(registry: &Registry, image: &DigestRef, failure: Failure) -> Failure {
    let bundles = store::tree(registry, image).await.map_or(0, |tree| {
        let is_bundle = |kind: &Option<String>| {
            kind.as_deref()
                .is_some_and(|k| k.starts_with("application/vnd.dev.sigstore.bundle"))
        };
        tree.referrers
            .iter()
            .filter(|referrer| is_bundle(&referrer.artifact_type))
            .count()
    });
    if bundles == 0 {
        return failure.hint(
            "nobody signed this image, or what was signed is elsewhere: in another repository, or in annotations of the run, which nothing verifies: \
             artifacts.taskrun.storage and artifacts.pipelinerun.storage are tekton unless set to oci",
        );
    }
    failure.hint(format!(
        "{bundles} Sigstore bundle(s) hang on the image, as cosign 3 writes them by default; they are not read yet: \
         sign with --new-bundle-format=false --use-signing-config=false --tlog-upload=false"
    ))
}

/// What came of trying every layer.
struct Judged<T> {
    good: Vec<T>,
    reasons: Vec<String>,
    /// Some layer could not be read for now, so «no» would be said without having looked.
    is_outside: bool,
}

/// Tries every layer: any success is a success, and all of them are told.
async fn judge<T>(
    mut layers: Layers<'_>,
    check: impl Fn(&Signed, &str) -> Result<T, Rejection>,
) -> Judged<T> {
    // Two equal layers have one verdict; a manifest may list the same one a thousand times.
    let mut seen = HashSet::new();
    let mut judged = Judged {
        good: Vec::new(),
        reasons: Vec::new(),
        is_outside: false,
    };
    while let Some(layer) = layers.next().await {
        let signature = layer
            .signed
            .as_ref()
            .ok()
            .and_then(|s| s.annotations().get(cosign::SIGNATURE_ANNOTATION));
        if !seen.insert((layer.digest.clone(), signature.cloned())) {
            continue;
        }
        let reason = match &layer.signed {
            Ok(signed) => match check(signed, &layer.digest) {
                Ok(report) => {
                    judged.good.push(report);
                    continue;
                }
                Err(rejection) => format!("{:#}", anyhow::Error::from(rejection)),
            },
            Err(error) => {
                judged.is_outside |= error.blame() == Blame::Outside;
                exit::chain(error)
            }
        };
        judged
            .reasons
            .push(format!("layer {}: {reason}", layer.digest));
    }
    judged
}

/// How many reasons are told before the rest is only counted.
const MAX_REASONS: usize = 5;

impl<T> Judged<T> {
    fn none_good(&self, what: &str) -> Failure {
        if self.reasons.is_empty() {
            return Failure::no(anyhow!("no {what} found"));
        }
        let mut text = self
            .reasons
            .iter()
            .take(MAX_REASONS)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ");
        if self.reasons.len() > MAX_REASONS {
            text.push_str(&format!("; and {} more", self.reasons.len() - MAX_REASONS));
        }
        if self.is_outside {
            return Failure::outside(anyhow!(
                "no valid {what}, but not everything could be read: {text}"
            ));
        }
        Failure::no(anyhow!("no valid {what}: {text}"))
    }
}

fn signature_report(layer: &str, verified: &Verified<SimpleSigning>) -> SignatureReport {
    SignatureReport {
        key: verified.key_fingerprint(),
        layer: layer.to_owned(),
        payload: verified.value().clone(),
    }
}

fn attestation_report(layer: &str, verified: &Verified<Statement>) -> AttestationReport {
    let statement = verified.value();
    AttestationReport {
        key: verified.key_fingerprint(),
        layer: layer.to_owned(),
        predicate_type: statement.predicate_type().to_owned(),
        builder_id: builder_id(statement),
        // The statement was parsed from these bytes, so they are JSON; null would only say that they are not UTF-8.
        statement: String::from_utf8(verified.payload().to_vec())
            .ok()
            .and_then(|t| RawValue::from_string(t).ok()),
    }
}

/// The builder id, where the predicate is provenance.
fn builder_id(statement: &Statement) -> Option<String> {
    // A predicate that is no provenance, whatever its type says, names no builder; that does not make the attestation less verified.
    Provenance::of(statement).ok().flatten()?.builder_id
}
