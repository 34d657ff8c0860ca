//! `tekseal-upload`: stores the signed payloads of a folder beside their images.

use std::path::PathBuf;

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_attest::{Item, Place, StoreFailure, Stored};
use tekseal_core::{Envelope, Signed, cosign};
use tekseal_signing::{PublicKey, same_signer};

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::handover::{self, Kind, SignedEntry, StoredEntry};
use crate::key_args;
use crate::log;
use crate::registry_args::{Access, RegistryArgs, given};
use crate::results::{Results, ResultsArgs};

/// How long a list of references may be as a result: with the other one it fits.
const MOST_REFERENCES: usize = 1400;

/// Store the signed payloads of a folder that tekseal-sign wrote.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with signed.json and the files that it names
    #[arg(env = "TEKSEAL_DIR", value_name = "DIR")]
    folder: PathBuf,
    /// Public key that must have signed the folder: a file, env://NAME or k8s://NAMESPACE/SECRET; without it any key of signed.json will do
    #[arg(long, env = "TEKSEAL_PUBLIC_KEY", value_name = "REF")]
    key: Option<String>,
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
    let key = PublicKey::from_pem(first.public_key.as_bytes())
        .map_err(|e| Failure::misuse(e).context(format!("public key in {}", handover::SIGNED)))?;
    if let Some(reference) = given(&args.key).next()
        && key_args::public_key(reference, &args.cluster)? != key
    {
        return Err(Failure::no(anyhow!(
            "the folder is signed by {}, not by --key",
            key.fingerprint()
        )));
    }
    let items = entries
        .iter()
        .map(|entry| load(args, entry, &key))
        .collect::<Result<Vec<_>, _>>()?;
    let results = args.results.open()?;
    handover::invalidate(folder, &[handover::STORED])?;
    let registry = args.registry.open(Access::PullPush)?;
    let stored = crate::block_on(async {
        tekseal_attest::store(&registry, items, key)
            .await
            .map_err(|f| store_failed(*f))
    })?;
    report(&stored);
    let index: Vec<_> = stored
        .iter()
        .map(|s| entry_of(s, &entries[s.item]))
        .collect();
    handover::write_index(folder, handover::STORED, &index)?;
    something_stored(&stored)?;
    write_results(&stored, results)
}

/// Reads one signed payload back and checks that it is what `tekseal-sign` made: a changed file is never stored.
fn load(args: &Args, entry: &SignedEntry, key: &PublicKey) -> Result<Item, Failure> {
    let changed = || {
        Failure::no(anyhow!(
            "{} is not signed by the key of {}",
            entry.payload.file,
            handover::SIGNED
        ))
        .hint("a file was changed after signing: run tekseal-sign again")
    };
    if entry.public_key.as_bytes() != key.to_pem().as_bytes() {
        return Err(Failure::misuse(anyhow!(
            "{} names more than one key",
            handover::SIGNED
        )));
    }
    let payload = entry.payload.load(&args.folder)?;
    let bytes = entry.signature_bytes(&args.folder)?;
    let signed = match entry.payload.kind {
        Kind::Provenance => {
            // Exactly the envelope that tekseal-sign writes: nothing is carried along that nobody signed.
            let envelope = Envelope::parse(&bytes).map_err(|_| changed())?;
            let payload_inside = envelope.unverified_payload().map_err(|_| changed())?;
            if payload_inside != payload.bytes()
                || envelope.signatures.len() != 1
                || envelope.to_bytes() != bytes
            {
                return Err(changed());
            }
            Signed::attestation_of_bytes(
                bytes,
                entry.payload.predicate_type.as_deref().unwrap_or_default(),
            )
        }
        Kind::SimpleSigning => Signed::image_signature(
            payload.bytes().to_vec(),
            &STANDARD.decode(&bytes).map_err(|_| changed())?,
        ),
    };
    if !same_signer(&signed, &signed, key) {
        return Err(changed());
    }
    Ok(Item::new(signed, &payload))
}

fn entry_of(stored: &Stored, entry: &SignedEntry) -> StoredEntry {
    let mut line = StoredEntry {
        file: entry.payload.file.clone(),
        kind: entry.payload.kind,
        place: handover::Place::Nothing,
        image: None,
        tag: None,
        digest: None,
        added: None,
        reason: None,
    };
    match &stored.place {
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
        Place::Nothing(reason) => line.reason = Some(reason.clone()),
    }
    line
}

/// One line for each place.
pub(crate) fn report(stored: &[Stored]) {
    for one in stored {
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
            Place::Nothing(reason) => log::warn("not stored", &[("reason", reason)]),
        }
    }
}

/// Exit 1 when not a single thing was stored: a step that publishes nothing has not done its work.
pub(crate) fn something_stored(stored: &[Stored]) -> Result<(), Failure> {
    if stored.iter().any(|s| matches!(s.place, Place::Tag { .. })) {
        return Ok(());
    }
    Err(Failure::no(anyhow!("nothing was stored: no payload speaks of an image"))
        .hint("the build must write the results IMAGE_URL and IMAGE_DIGEST (or IMAGES); tekseal-provenance names the hints that it could not use"))
}

/// Writes the results SIGNATURES and ATTESTATIONS: the manifests that were seen to hold them, a comma list of REPOSITORY@DIGEST.
pub(crate) fn write_results(stored: &[Stored], mut results: Results) -> Result<(), Failure> {
    for (name, tag) in [
        ("SIGNATURES", cosign::Tag::Signatures),
        ("ATTESTATIONS", cosign::Tag::Attestations),
    ] {
        let list = references(stored, tag).join(",");
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

/// What was stored under tags of this kind, each manifest once.
fn references(stored: &[Stored], kind: cosign::Tag) -> Vec<String> {
    let mut references = Vec::new();
    for one in stored {
        let Place::Tag {
            image, tag, digest, ..
        } = &one.place
        else {
            continue;
        };
        let reference = image.repository.at(digest.clone()).to_string();
        if *tag == kind.of(&image.digest) && !references.contains(&reference) {
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
