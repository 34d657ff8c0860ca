//! `tekseal-verify`: checks the signature and the attestations of images against a key, and prints only what it verified.
//!
//! Flags have cosign's names where they have cosign's meaning. Every image is asked for by digest; a tag is resolved once, first.

use std::collections::BTreeMap;

use anyhow::anyhow;
use serde::Serialize;
use serde_json::value::RawValue;
use tekseal_core::{DigestRef, ImageRef, Signed, SimpleSigning, Statement, cosign};
use tekseal_remote::Registry;
use tekseal_remote::registry::{Blame, Reference};
use tekseal_remote::store::{self, Layers};
use tekseal_signing::{HashAlgorithm, Rejection, Types, Verified, Verifier};

use crate::Failure;
use crate::key_args;
use crate::log::{self, quoted};
use crate::registry_args::{Access, RegistryArgs};

/// Verify the signature and the attestations of images.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Images, best by digest: REPOSITORY@sha256:…
    #[arg(env = "IMAGE", value_name = "IMAGE", required = true, num_args = 1..)]
    images: Vec<String>,
    /// Public key: a file or env://NAME
    #[arg(long, env = "TEKSEAL_PUBLIC_KEY", value_name = "REF")]
    key: String,
    /// Check only one of the two
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Option<Only>,
    /// Predicate type that must be attested: a name as cosign has it (slsaprovenance, slsaprovenance1, spdxjson, …) or a URI
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Annotation that the signature must carry
    #[arg(short = 'a', long = "annotations", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// How to print what was verified
    #[arg(
        long,
        short = 'o',
        value_enum,
        default_value = "text",
        value_name = "FORM"
    )]
    output: Output,
    /// Hash that the signature was made with
    #[arg(long, value_name = "HASH", default_value = "sha256")]
    signature_digest_algorithm: String,
    /// Do not speak of the transparency log, which is not checked with a key
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    insecure_ignore_tlog: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// What to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// The image signature.
    Signature,
    /// The attestations.
    Attestation,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A line for each thing that was verified.
    Text,
    /// One JSON list, an object for each image.
    Json,
}

/// What was verified of one image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    image: String,
    signatures: Vec<SignatureReport>,
    attestations: Vec<AttestationReport>,
    checked: Checked,
}

#[derive(Serialize)]
struct SignatureReport {
    key: String,
    layer: String,
    payload: SimpleSigning,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttestationReport {
    key: String,
    layer: String,
    predicate_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    builder_id: Option<String>,
    statement: Option<Box<RawValue>>,
}

/// What the verdict rests on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    signature: bool,
    subject: bool,
    transparency_log: bool,
}

/// What is asked of every image.
struct Demands {
    verifier: Verifier,
    only: Option<Only>,
    types: Vec<String>,
    annotations: BTreeMap<String, String>,
}

/// Verifies every image; prints nothing unless all of them pass.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let demands = args.demands()?;
    let images = args
        .images
        .iter()
        .map(|text| parse_image(text))
        .collect::<Result<Vec<_>, _>>()?;
    let registry = args.registry.open(Access::Pull)?;
    let mut reports = Vec::with_capacity(images.len());
    for image in images {
        let image = resolve(&registry, image).await?;
        reports.push(
            demands
                .check(&registry, &image)
                .await
                .map_err(|f| f.context(format!("image {image}")))?,
        );
    }
    if !args.insecure_ignore_tlog {
        log::info(
            "the transparency log was not checked: with a key, the key alone vouches",
            &[],
        );
    }
    print(&reports, args.output)
}

impl Args {
    fn demands(&self) -> Result<Demands, Failure> {
        let hash = self
            .signature_digest_algorithm
            .parse::<HashAlgorithm>()
            .map_err(|e| Failure::misuse(e).context("--signature-digest-algorithm"))?;
        let key = key_args::public_key(&self.key)?;
        let types = self.types.iter().map(|name| {
            cosign::predicate_type(name).map(str::to_owned).ok_or_else(|| {
                Failure::misuse(anyhow!("--type {name:?} is neither a predicate type that cosign names nor a URI"))
                    .hint("names: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex")
            })
        });
        let annotations = self.annotations.iter().map(|pair| {
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
            verifier: Verifier::new(vec![key], hash).map_err(Failure::misuse)?,
            only: self.only,
            types: types.collect::<Result<_, _>>()?,
            annotations: annotations.collect::<Result<_, Failure>>()?,
        })
    }
}

impl Demands {
    fn types(&self) -> Types<'_> {
        if self.types.is_empty() {
            Types::Any
        } else {
            Types::OneOf(&self.types)
        }
    }

    async fn check(&self, registry: &Registry, image: &DigestRef) -> Result<Report, Failure> {
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
        let layers = Layers::open(registry, image, cosign::Tag::Signatures)
            .await
            .map_err(fetch_failed)?;
        let judged = judge(layers, |signed, layer| {
            let verified =
                self.verifier
                    .image_signature(signed, &image.digest, &self.annotations)?;
            Ok(signature_report(layer, &verified))
        })
        .await;
        if judged.good.is_empty() {
            return Err(judged.none_good("signature").hint(
                "the image is unsigned, was signed with another key, or was changed; tekseal-tree shows what hangs on it",
            ));
        }
        Ok(judged.good)
    }

    async fn attestations(
        &self,
        registry: &Registry,
        image: &DigestRef,
    ) -> Result<Vec<AttestationReport>, Failure> {
        let layers = Layers::open(registry, image, cosign::Tag::Attestations)
            .await
            .map_err(fetch_failed)?;
        let judged = judge(layers, |signed, layer| {
            let verified = self
                .verifier
                .attestation(signed, &image.digest, self.types())?;
            Ok(attestation_report(layer, &verified))
        })
        .await;
        if judged.good.is_empty() {
            return Err(judged
                .none_good("attestation")
                .hint("the image has no such provenance by this key; --only signature checks the image signature alone"));
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
    let mut judged = Judged {
        good: Vec::new(),
        reasons: Vec::new(),
        is_outside: false,
    };
    while let Some(layer) = layers.next().await {
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
                chain(error)
            }
        };
        judged
            .reasons
            .push(format!("layer {}: {reason}", layer.digest));
    }
    judged
}

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
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
        predicate_type: statement.predicate_type.clone(),
        builder_id: builder_id(statement),
        // The statement was parsed from these bytes, so they are JSON; null would only say that they are not UTF-8.
        statement: String::from_utf8(verified.payload().to_vec())
            .ok()
            .and_then(|t| RawValue::from_string(t).ok()),
    }
}

/// The builder id of provenance v0.2 or v1.
fn builder_id(statement: &Statement) -> Option<String> {
    let predicate: serde_json::Value =
        serde_json::from_str(statement.predicate.as_ref()?.get()).ok()?;
    let builder = predicate
        .pointer("/builder/id")
        .or_else(|| predicate.pointer("/runDetails/builder/id"))?;
    builder.as_str().map(str::to_owned)
}

fn print(reports: &[Report], output: Output) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut text = Vec::new();
    let written = match output {
        Output::Json => serde_json::to_writer(&mut text, reports)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(text)),
        Output::Text => reports
            .iter()
            .try_for_each(|report| print_text(&mut text, report)),
    };
    written
        .and_then(|()| std::io::stdout().lock().write_all(&text))
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

fn print_text(out: &mut Vec<u8>, report: &Report) -> std::io::Result<()> {
    use std::io::Write as _;
    for one in &report.signatures {
        writeln!(
            out,
            "verified signature image={} key={}",
            report.image, one.key
        )?;
    }
    for one in &report.attestations {
        let builder = one.builder_id.as_deref().unwrap_or("none");
        writeln!(
            out,
            "verified attestation image={} type={} builder={builder:?} key={}",
            report.image,
            quoted(&one.predicate_type),
            one.key
        )?;
    }
    Ok(())
}

/// Reads an image reference from the command line.
pub(crate) fn parse_image(text: &str) -> Result<ImageRef, Failure> {
    ImageRef::parse(text.trim()).map_err(|e| {
        Failure::misuse(e)
            .context(format!("image {text:?}"))
            .hint("write it as registry/repository@sha256:… or registry/repository:tag")
    })
}

/// The image by digest; a tag is resolved at the registry.
pub(crate) async fn resolve(registry: &Registry, image: ImageRef) -> Result<DigestRef, Failure> {
    if image.digest.is_some() {
        return image.digest_ref().map_err(Failure::misuse);
    }
    let tag = image.tag.as_deref().unwrap_or("latest");
    let head = registry
        .head_manifest(&image.repository, Reference::Tag(tag))
        .await
        .map_err(|e| {
            let hint = e.hint();
            let failure = Failure::blamed(e.blame(), e).context(format!("resolving {image}"));
            match hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        })?;
    let Some(head) = head else {
        return Err(Failure::no(anyhow!(
            "image {}:{tag} does not exist",
            image.repository
        )));
    };
    let resolved = image.repository.at(head.digest);
    log::info(
        "resolved",
        &[("image", &image), ("digest", &resolved.digest)],
    );
    Ok(resolved)
}

pub(crate) fn fetch_failed(error: store::Error) -> Failure {
    let hint = error.hint();
    let failure = Failure::blamed(error.blame(), error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
