//! `tekseal-upload`: stores the signed payloads of a folder beside their images.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tekseal_attest::witness::Trace;
use tekseal_attest::{Item, Place, StoreFailure, Stored, Witnesses};
use tekseal_core::bundle::{Bundle, Content};
use tekseal_core::plan::NO_NAME_IN_BUNDLE;
use tekseal_core::{Envelope, Layout, Payload, PayloadKind, Signed, certificates};
use tekseal_signing::{Certificate, VerifyingKey, pem, same_signer};

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::handover::{self, LoggedEntry, SignedEntry, StoredEntry};
use crate::key_args;
use crate::keyless_args::TimeArgs;
use crate::layout_args::LayoutArgs;
use crate::log;
use crate::registry_args::{Access, RegistryArgs, given};
use crate::results::{Results, ResultsArgs};
use crate::witness_args::{self, LogWish, WitnessArgs, moment};

/// How long a list of references may be as a result: with the other one it fits.
const MOST_REFERENCES: usize = 1400;

/// Store the signed payloads of a folder that tekseal-sign wrote.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with signed.json and the files that it names
    #[arg(env = "TEKSEAL_DIR", value_name = "DIR")]
    folder: PathBuf,
    /// Public key that must have signed the folder: a file or any other reference of a key, such as k8s://NAMESPACE/SECRET; without it any key of signed.json will do
    #[arg(
        long,
        env = "TEKSEAL_PUBLIC_KEY",
        value_name = "REF",
        hide_env_values = true
    )]
    key: Option<String>,
    #[command(flatten)]
    layout: LayoutArgs,
    /// Data of Tekton Chains' chains-config map, of which storage.oci.encoding-format says how to store, and transparency.enabled and transparency.url whether and where to log: a JSON file or a mounted folder
    #[arg(long, env = "TEKSEAL_CONFIG", value_name = "PATH")]
    config: Option<String>,
    #[command(flatten)]
    witness: WitnessArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// Checks every signature against the public key beside it, stores, and writes `stored.json` when all is confirmed.
pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = &args.folder;
    let entries: Vec<SignedEntry> = handover::read_index(folder, handover::SIGNED, "tekseal-sign")?;
    let Some(first) = entries.first() else {
        return Err(Failure::no(anyhow!(
            "{} lists nothing to store",
            handover::SIGNED
        )));
    };
    let author = Author::of(first)?;
    let key = author.key.clone();
    if let Some(reference) = given(&args.key).next()
        && key_args::public_key(reference, &args.cluster, &args.registry.ca())? != *key.key()
    {
        return Err(Failure::no(anyhow!(
            "the folder is signed by {}, not by --key",
            key.key().fingerprint()
        )));
    }
    let config = given(&args.config).next().map(Path::new);
    let layout = args.layout.layout(config)?;
    let witnesses = args
        .witness
        .witnesses(layout, config, LogWish::Unknown, &args.registry)?;
    author.check_time(witnesses.as_ref(), args.time)?;
    let (mut items, mut of_item) = (Vec::new(), Vec::new());
    let mut without_form = Vec::new();
    for entry in &entries {
        let forms = load(args, entry, &author, layout)?;
        if forms.is_empty() {
            without_form.push(entry);
        }
        for item in forms {
            items.push(item);
            of_item.push(entry);
        }
    }
    let results = args.results.open()?;
    handover::invalidate(folder, &[handover::STORED])?;
    let registry = args.registry.open(Access::PullPush)?;
    let kinds: Vec<PayloadKind> = items.iter().map(|item| item.kind.clone()).collect();
    let (stored, traces) = crate::block_on(async {
        let (items, traces) = match &witnesses {
            Some(witnesses) => witnesses.witness(&registry, items, &key).await?,
            None => (items, Vec::new()),
        };
        witness_args::report(&traces, |item| &kinds[item]);
        let stored = tekseal_attest::store(&registry, items, key, witnesses.as_ref())
            .await
            .map_err(|f| store_failed(*f))?;
        Ok((stored, traces))
    })?;
    report(&stored);
    let mut index: Vec<_> = stored
        .iter()
        .map(|s| {
            let trace = traces.iter().find(|trace| trace.item == s.item);
            entry_of(&s.place, of_item[s.item], trace)
        })
        .collect();
    for entry in without_form {
        warn_of_name(entry.payload.name.as_deref().unwrap_or_default());
        let nowhere = Place::Nothing(NO_NAME_IN_BUNDLE.to_owned());
        index.push(entry_of(&nowhere, entry, None));
    }
    handover::write_index(folder, handover::STORED, &index)?;
    something_stored(&stored)?;
    write_results(&stored, |item| &kinds[item], results)
}

/// Who signed the folder, as its index says.
struct Author {
    key: VerifyingKey,
    certificate: Option<Certificate>,
    /// The certificates above it, PEM.
    chain: String,
}

impl Author {
    /// The one of this entry.
    fn of(entry: &SignedEntry) -> Result<Self, Failure> {
        let context = |what: &str| format!("{what} in {}", handover::SIGNED);
        let key = entry.verifying()?;
        let certificate = entry.certificate.as_deref();
        let certificate = certificate.map(|pem| Certificate::from_pem(pem.as_bytes()));
        let certificate = certificate
            .transpose()
            .map_err(|e| Failure::misuse(e).context(context("certificate")))?;
        if certificate
            .as_ref()
            .is_some_and(|one| one.public_key() != key.key())
        {
            return Err(
                Failure::no(anyhow!("{} is of another key", context("the certificate")))
                    .hint("a file was changed after signing: run tekseal-sign again"),
            );
        }
        let chain = match &*entry.chain {
            "" => Vec::new(),
            pem => certificates::of_pem(pem)
                .map_err(|e| Failure::misuse(e).context(context("certificates")))?,
        };
        // As it is written, whatever else stands there.
        let chain = chain.iter().map(|der| pem::write("CERTIFICATE", der));
        Ok(Self {
            key,
            certificate,
            chain: chain.collect(),
        })
    }

    /// Whether this entry says that it is by the same.
    fn has_signed(&self, entry: &SignedEntry) -> bool {
        entry.verifying().is_ok_and(|key| key == self.key)
            && entry.certificate == self.certificate.as_ref().map(Certificate::pem)
            && entry.chain == self.chain
    }

    fn with_certificate(&self, layer: Signed) -> Signed {
        match &self.certificate {
            Some(certificate) => layer.with_certificate(&certificate.pem(), &self.chain),
            None => layer,
        }
    }

    /// That a certificate, if there is one, has not ended, and that somebody says when it signed.
    fn check_time(&self, witnesses: Option<&Witnesses>, time: TimeArgs) -> Result<(), Failure> {
        let Some(certificate) = &self.certificate else {
            return Ok(());
        };
        let now = Timestamp::now().as_second();
        if now > certificate.not_after() {
            return Err(Failure::no(anyhow!(
                "the certificate with which the folder was signed ended at {}, and it is {}: what is logged or timestamped now proves nothing",
                moment(certificate.not_after()),
                moment(now),
            ))
            .hint("run tekseal-sign again, and store at once; tekseal-attest does both in one process"));
        }
        log::info(
            "signed with a certificate",
            &[
                ("identity", &certificate.identities().join(", ")),
                ("issuer", &certificate.oidc_issuer().unwrap_or_default()),
                ("until", &moment(certificate.not_after())),
            ],
        );
        time.check(witnesses)
    }
}

/// Reads one signed payload back, in the forms of the layout, and checks that it is what `tekseal-sign` made: a changed file is never stored. A
/// name has no form as a bundle.
fn load(
    args: &Args,
    entry: &SignedEntry,
    author: &Author,
    layout: Layout,
) -> Result<Vec<Item>, Failure> {
    let key = &author.key;
    if !author.has_signed(entry) {
        return Err(Failure::misuse(anyhow!(
            "{} names more than one key, or more than one certificate",
            handover::SIGNED
        )));
    }
    let payload = entry.payload.load(&args.folder)?;
    let mut forms = Vec::with_capacity(2);
    if layout.has_tags() {
        let bytes = entry.signature_bytes(&args.folder)?;
        forms.push(layer_of(&payload, bytes).map(|layer| author.with_certificate(layer)));
    }
    if layout.has_bundles()
        && let Some(statement) = payload.as_statement()
    {
        let bytes = entry.bundle_bytes(&args.folder)?;
        forms.push(bundle_of(&payload, &statement, bytes, author));
    }
    let mut items = Vec::with_capacity(forms.len());
    for form in forms {
        let signed = form.filter(|signed| same_signer(signed, signed, key));
        let Some(signed) = signed else {
            return Err(Failure::no(anyhow!(
                "{} is not signed by the key of {}",
                entry.payload.file,
                handover::SIGNED
            ))
            .hint("a file was changed after signing: run tekseal-sign again"));
        };
        items.push(Item::new(signed, &payload));
    }
    Ok(items)
}

/// The layer with a signature or an envelope from its file; nothing where that is not what `tekseal-sign` writes. Whose signature it is, is not
/// known yet.
fn layer_of(payload: &Payload, bytes: Vec<u8>) -> Option<Signed> {
    match payload.kind() {
        PayloadKind::Statement { predicate_type, .. } => {
            // Exactly the envelope that tekseal-sign writes: nothing is carried along that nobody signed.
            let envelope = Envelope::parse(&bytes).ok()?;
            let is_exact = envelope.unverified_payload().ok()? == payload.bytes()
                && envelope.signatures.len() == 1
                && envelope.to_bytes() == bytes;
            is_exact.then(|| Signed::attestation_of_bytes(bytes, predicate_type))
        }
        PayloadKind::SimpleSigning => {
            let signature = STANDARD.decode(&bytes).ok()?;
            Some(Signed::image_signature(
                payload.bytes().to_vec(),
                &signature,
            ))
        }
    }
}

/// The bundle of a payload that says the same as `statement` from its file; nothing where that is not what `tekseal-sign` writes.
fn bundle_of(
    payload: &Payload,
    statement: &[u8],
    bytes: Vec<u8>,
    author: &Author,
) -> Option<Signed> {
    let Content::Envelope(envelope) = Bundle::parse(&bytes).ok()?.content else {
        return None;
    };
    if envelope.unverified_payload().ok()? != statement {
        return None;
    }
    let predicate_type = payload.predicate_type();
    let exact = match &author.certificate {
        Some(certificate) => {
            Signed::bundle_of_certificate(&envelope, certificate.der(), predicate_type)
        }
        None => Signed::bundle_of_key(&envelope, author.key.key().spki_der(), predicate_type),
    };
    (exact.layer() == bytes).then_some(exact)
}

/// Tells that the signature of a name goes nowhere, in a layout of bundles alone.
pub(crate) fn warn_of_name(name: &str) {
    log::warn(
        "signature of a name is not stored",
        &[("name", &name), ("reason", &NO_NAME_IN_BUNDLE)],
    );
}

fn entry_of(place: &Place, entry: &SignedEntry, trace: Option<&Trace>) -> StoredEntry {
    let logged = trace.iter().flat_map(|trace| &trace.entries);
    let timestamps = trace.iter().flat_map(|trace| &trace.timestamps);
    let mut line = StoredEntry {
        file: entry.payload.file.clone(),
        kind: entry.payload.kind,
        place: handover::Place::Nothing,
        image: None,
        tag: None,
        digest: None,
        added: None,
        reason: None,
        logged: logged
            .map(|entry| LoggedEntry {
                log: entry.url.clone(),
                log_index: entry.logged.log_index,
                time: entry.logged.integrated_time.map(moment),
            })
            .collect(),
        timestamps: timestamps.map(|stamp| moment(stamp.time)).collect(),
    };
    match place {
        Place::Tag {
            image,
            tag,
            digest,
            added,
        } => {
            line.place = handover::Place::Tag;
            line.image = Some(image.to_string());
            line.tag = Some(tag.clone());
            line.digest = Some(digest.clone());
            line.added = Some(*added);
        }
        Place::Referrer {
            image,
            digest,
            added,
            index,
        } => {
            line.place = handover::Place::Referrer;
            line.image = Some(image.to_string());
            line.tag = index.as_ref().map(|(tag, _)| tag.clone());
            line.digest = Some(digest.clone());
            line.added = Some(*added);
        }
        Place::Nothing(reason) => line.reason = Some(reason.clone()),
    }
    line
}

/// One line for each place: several signatures under one tag are in one.
pub(crate) fn report(stored: &[Stored]) {
    let mut told = HashSet::new();
    for one in stored {
        if let Place::Tag {
            image, tag, added, ..
        } = &one.place
            && !told.insert((image.to_string(), tag, *added))
        {
            continue;
        }
        match &one.place {
            Place::Tag {
                image,
                tag,
                digest,
                added,
            } => {
                let what = if *added { "stored" } else { "already stored" };
                log::info(what, &[("image", image), ("tag", tag), ("digest", digest)]);
            }
            Place::Referrer {
                image,
                digest,
                added,
                index,
            } => {
                let what = if *added { "stored" } else { "already stored" };
                let listed = match index {
                    Some((tag, _)) => tag.as_str(),
                    None => "by the registry",
                };
                log::info(
                    what,
                    &[("image", image), ("referrer", digest), ("listed", &listed)],
                );
            }
            Place::Nothing(reason) => log::warn("not stored", &[("reason", reason)]),
        }
    }
}

/// Exit 1 when not a single thing was stored: a step that publishes nothing has not done its work.
pub(crate) fn something_stored(stored: &[Stored]) -> Result<(), Failure> {
    if stored.iter().any(|s| s.place.manifest().is_some()) {
        return Ok(());
    }
    Err(Failure::no(anyhow!("nothing was stored: no payload speaks of an image"))
        .hint("the build must write the results IMAGE_URL and IMAGE_DIGEST (or IMAGES); tekseal-provenance names the hints that it could not use"))
}

/// Writes the results SIGNATURES and ATTESTATIONS: the manifests that were seen to hold them, a comma list of REPOSITORY@DIGEST. `kind` tells
/// what an item is.
pub(crate) fn write_results<'k>(
    stored: &[Stored],
    kind: impl Fn(usize) -> &'k PayloadKind,
    mut results: Results,
) -> Result<(), Failure> {
    for (name, are_signatures) in [("SIGNATURES", true), ("ATTESTATIONS", false)] {
        let of_kind = stored.iter().filter(|one| {
            let is_signature = matches!(kind(one.item), PayloadKind::SimpleSigning);
            is_signature == are_signatures
        });
        let list = references(of_kind).join(",");
        let fits = list.len() <= MOST_REFERENCES;
        if !fits {
            log::warn(
                "the list is too long for a result, which is left empty",
                &[("result", &name)],
            );
        }
        // Half a list would look like all of it.
        results.set(name, if fits { list } else { String::new() });
    }
    Ok(results.commit()?)
}

/// The manifests that hold what was stored, each once.
fn references<'s>(stored: impl Iterator<Item = &'s Stored>) -> Vec<String> {
    let mut references = Vec::new();
    for (image, digest) in stored.filter_map(|one| one.place.manifest()) {
        let reference = image.repository.at(digest.clone()).to_string();
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    references
}

/// What was stored stays; says so, and says what failed.
pub(crate) fn store_failed(failure: StoreFailure) -> Failure {
    report(&failure.stored);
    Failure::from(failure.error).context(format!("storing at {}", failure.place))
}
