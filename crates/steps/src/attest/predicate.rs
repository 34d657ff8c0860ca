//! `tekseal-attest --predicate`: a file that another tool made (an SBOM, a report) becomes an attestation of images, as by `cosign attest`.
//!
//! The predicate is read once, into the form in which it is signed; a large one lies in a temporary file from then on, as does its envelope,
//! and neither is ever in memory as a whole.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_attest::large::{self, LargeStatement};
use tekseal_attest::{Stored, Witnesses};
use tekseal_core::gojson::stream;
use tekseal_core::predicate::{self, PredicateType, STATEMENT_END};
use tekseal_core::{Digest, DigestRef, ImageRef, Layout, Payload, PayloadKind, Subject};
use tekseal_remote::registry::Reference;
use tekseal_remote::store::SignedFile;
use tekseal_remote::{FileBlob, Registry};
use tekseal_signing::Signer;
use tekseal_signing::verifier::LARGEST_LAYER;

use super::{Args, Attested};
use crate::recursive::{self, Recursive};
use crate::registry_args::Access;
use crate::spool::{self, Spool, Spooled, StoredBytes};
use crate::witness_args::LogWish;
use crate::{Failure, files, log, upload, verify};

/// What a predicate has no use for: a run, and what it is formatted with. The name of their group alone would be told as all of them, whichever was
/// given.
const OF_RUNS: [&str; 10] = [
    "run",
    "children",
    "allow_missing_children",
    "formats",
    "config",
    "builder_id",
    "build_type",
    "deep_inspection",
    "redact_params",
    "tag_identity",
];

/// What to attest, of which images.
#[derive(Debug, clap::Args)]
pub(super) struct PredicateArgs {
    /// Images that the predicate is about: by digest, or by tag, which is resolved once
    #[arg(value_name = "IMAGE", requires = "predicate")]
    images: Vec<String>,
    /// Predicate to attest instead of a run's: a file, or - for stdin
    #[arg(
        long,
        env = "TEKSEAL_PREDICATE",
        value_name = "FILE",
        requires = "predicate_type",
        conflicts_with_all = OF_RUNS
    )]
    predicate: Option<PathBuf>,
    /// Folder in which the predicate lies, as a relative path: one that leads out of it, by a link too, is refused, and so is what is no plain file
    #[arg(
        long,
        env = "TEKSEAL_PREDICATE_SOURCE",
        value_name = "DIR",
        requires = "predicate"
    )]
    source: Option<PathBuf>,
    /// Type of the predicate: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex, or a URI
    #[arg(
        long = "type",
        env = "TEKSEAL_PREDICATE_TYPE",
        value_name = "TYPE",
        requires = "predicate"
    )]
    predicate_type: Option<String>,
    /// Time that a predicate of the type custom says it was made at, in seconds since 1970; now unless given
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    source_date_epoch: Option<i64>,
}

/// Wraps, signs and stores.
pub(super) fn run(args: &Args) -> Result<Attested, Failure> {
    let given = &args.predicate;
    let (Some(file), Some(name)) = (&given.predicate, &given.predicate_type) else {
        return Err(Failure::misuse(anyhow!(
            "neither --run nor --predicate with --type is given"
        )));
    };
    let kind = PredicateType::parse(name).ok_or_else(|| {
        Failure::misuse(anyhow!(
            "--type {name:?} is neither a predicate type that cosign names nor a URI"
        ))
        .hint("names: slsaprovenance (v0.2), slsaprovenance1, custom, link, spdx, spdxjson, cyclonedx, vuln, openvex")
    })?;
    let layout = args.layout.layout(None)?;
    let witnesses = args
        .witness
        .witnesses(layout, None, LogWish::Unknown, &args.registry)?;
    let now = now(given.source_date_epoch)?;
    let images = given
        .images
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| verify::parse_image(text))
        .collect::<Result<Vec<_>, _>>()?;
    if images.is_empty() {
        return Err(Failure::misuse(anyhow!("no image is given"))
            .hint("name the images that the predicate is about: registry/repository@sha256:…"));
    }
    let registry = args.registry.open(Access::PullPush)?;
    let around = args.witness.around(None, &args.registry)?;
    let opened = args.signer.open(&args.cluster, around)?;
    opened.check_time(witnesses.as_ref(), args.time)?;
    let spooled = read(file, given.source.as_deref(), name, &kind, &now)?;
    if let Spooled::InFile(predicate) = &spooled
        && (witnesses.is_some() || opened.is_keyless())
    {
        return Err(too_large_to_log(predicate.length()));
    }
    crate::block_on(async {
        let found = find(&registry, args.recursive.recursive, images).await?;
        let signer = opened.signer().await?;
        attest(
            &registry, signer, name, &kind, found, spooled, layout, witnesses,
        )
        .await
    })
}

/// The images that the predicate is about, each once: all are there.
async fn find(
    registry: &Registry,
    recursive: Recursive,
    images: Vec<ImageRef>,
) -> Result<Vec<DigestRef>, Failure> {
    let mut found: Vec<DigestRef> = Vec::new();
    for image in images {
        let selected = match recursive {
            Recursive::Itself => vec![resolve(registry, image).await?],
            recursive => {
                let image = verify::resolve(registry, image).await?;
                recursive.images(registry, &image).await?
            }
        };
        for image in selected {
            if !found.contains(&image) {
                found.push(image);
            }
        }
        recursive::check_count(found.len())?;
    }
    Ok(found)
}

/// A log v1 is sent the whole envelope, and what does not fit into memory is never sent as a whole. A certificate is of no use without a time.
fn too_large_to_log(bytes: u64) -> Failure {
    Failure::misuse(anyhow!(
        "a predicate of {bytes} bytes is too large for a transparency log or a timestamp: at most 8 MiB are told to one"
    ))
    .hint("attest it with a key and without --tlog, --timestamp-url and --signing-config, or attest a smaller document that has its digest")
}

/// Signs and stores what was read, of each image.
#[expect(
    clippy::too_many_arguments,
    reason = "each is one thing that flags or files have said"
)]
async fn attest(
    registry: &Registry,
    signer: Arc<Signer>,
    name: &str,
    kind: &PredicateType,
    found: Vec<DigestRef>,
    predicate: Spooled,
    layout: Layout,
    witnesses: Option<Witnesses>,
) -> Result<Attested, Failure> {
    let predicate = match predicate {
        Spooled::Held(predicate) => {
            let payloads = found
                .iter()
                .map(|image| payload(name, kind, image, &predicate));
            let payloads: Vec<Payload> = payloads.collect();
            let witnesses = witnesses.as_ref();
            return super::sign_and_store(registry, signer, &payloads, layout, witnesses).await;
        }
        Spooled::InFile(predicate) => predicate,
    };
    let mut all = Attested::default();
    for image in &found {
        let signed = sign_large(&signer, kind, image, &predicate, layout)
            .await
            .map_err(|f| f.context(format!("attesting {image}")))?;
        for signed in signed {
            let stored = large::store_file(registry, image, signed)
                .await
                .map_err(|f| upload::store_failed(*f))?;
            upload::report(std::slice::from_ref(&stored));
            all.stored.push(Stored {
                item: all.kinds.len(),
                ..stored
            });
            all.kinds.push(PayloadKind::Statement {
                format: name.to_owned(),
                predicate_type: kind.uri().to_owned(),
            });
        }
    }
    Ok(all)
}

/// The predicate in the form in which it is signed.
fn read(
    file: &Path,
    source: Option<&Path>,
    name: &str,
    kind: &PredicateType,
    now: &str,
) -> Result<Spooled, Failure> {
    let failed = |e: io::Error| {
        Failure::misuse(e).context(format!("reading the predicate {}", file.display()))
    };
    let mut reader: Box<dyn Read> = match source {
        Some(folder) => Box::new(files::open_beneath(folder, file, "predicate")?),
        None if file == Path::new("-") => Box::new(io::stdin().lock()),
        None => Box::new(File::open(file).map_err(failed)?),
    };
    let mut spool = Spool::default();
    let left_out = kind
        .write(&mut *reader, &mut spool, now)
        .map_err(|e| refused(e, file, name, kind))?;
    for member in left_out {
        log::warn(
            "a member is left out, as by cosign, whose type does not have it; the type's URI would keep it",
            &[("member", &member), ("uri", &kind.uri())],
        );
    }
    spool.finish().map_err(|e| no_room(&e))
}

fn refused(error: predicate::Error, file: &Path, name: &str, kind: &PredicateType) -> Failure {
    use predicate::Error::{Ambiguous, Shape, Size, Stream};
    let hint = match &error {
        Stream(stream::Error::Write(error)) => return no_room(error),
        Stream(stream::Error::Read(_)) => {
            return Failure::misuse(error)
                .context(format!("reading the predicate {}", file.display()));
        }
        Size | Shape(_) => format!(
            "the type {name} has members of its own; to attest any JSON object as it is, give its URI: --type {}",
            kind.uri()
        ),
        Ambiguous(_) | Stream(stream::Error::DuplicateKey(_)) => {
            "readers would not agree on what is attested; mend the tool that wrote it".to_owned()
        }
        Stream(_) if name == "spdxjson" => {
            "a document of SPDX in the tag-value form has the type spdx".to_owned()
        }
        Stream(_) => "check that the right file and --type were given".to_owned(),
    };
    Failure::misuse(error)
        .context(format!("{} is no predicate of type {name}", file.display()))
        .hint(hint)
}

fn no_room(error: &io::Error) -> Failure {
    Failure::outside(anyhow!("{}", error.kind()))
        .context("keeping a large predicate in a temporary file")
        .hint("give TMPDIR a folder with room for about three times the predicate")
}

async fn resolve(registry: &Registry, image: tekseal_core::ImageRef) -> Result<DigestRef, Failure> {
    let is_by_digest = image.digest.is_some();
    let image = verify::resolve(registry, image).await?;
    if is_by_digest {
        let by_digest = Reference::Digest(&image.digest);
        let head = registry.head_manifest(&image.repository, by_digest).await?;
        if head.is_none() {
            return Err(Failure::no(anyhow!("image {image} does not exist"))
                .hint("an attestation hangs on an image that is there; push it first"));
        }
    }
    Ok(image)
}

fn payload(name: &str, kind: &PredicateType, image: &DigestRef, predicate: &[u8]) -> Payload {
    let bytes = [&kind.statement_start(image), predicate, STATEMENT_END].concat();
    Payload::statement(name, kind.uri(), bytes, vec![Subject::of_image(image)])
}

/// Signs the Statement about one image, into an envelope in a file, or a bundle in one, or both.
async fn sign_large(
    signer: &Signer,
    kind: &PredicateType,
    image: &DigestRef,
    predicate: &StoredBytes,
    layout: Layout,
) -> Result<Vec<SignedFile>, Failure> {
    let start = kind.statement_start(image);
    let length = start.len() as u64 + predicate.length() + STATEMENT_END.len() as u64;
    let open = || -> Box<dyn Read + '_> {
        Box::new(
            start
                .as_slice()
                .chain(predicate.reader())
                .chain(STATEMENT_END),
        )
    };
    let failed = |error| match error {
        large::Error::Io(error) => no_room(&error),
        large::Error::Sign(error) => Failure::from(error).context("signing"),
        error @ large::Error::Certified => Failure::misuse(error),
    };
    let statement = LargeStatement::sign(signer, length, &open)
        .await
        .map_err(failed)?;
    let mut signed = Vec::with_capacity(2);
    if layout.has_tags() {
        let blob = in_file(|out| statement.write_envelope(out).map_err(failed))?;
        signed.push((blob.size(), SignedFile::attestation(blob, kind.uri())));
    }
    if layout.has_bundles() {
        let blob = in_file(|out| statement.write_bundle(out).map_err(failed))?;
        signed.push((blob.size(), SignedFile::bundle(blob, kind.uri())));
    }
    let size = signed.iter().map(|(size, _)| *size).max();
    let size = size.unwrap_or_default();
    log::info(
        "signed",
        &[
            ("image", image),
            ("bytes", &size),
            ("key", &signer.fingerprint()),
        ],
    );
    if size > LARGEST_LAYER as u64 {
        log::warn(
            "readers take no attestation of more than 128 MiB: tekseal-verify never, cosign if COSIGN_MAX_ATTACHMENT_SIZE allows it",
            &[("bytes", &size)],
        );
    }
    Ok(signed.into_iter().map(|(_, file)| file).collect())
}

/// What `write` writes, in a file that has no name.
fn in_file(
    write: impl FnOnce(&mut dyn Write) -> Result<(Digest, u64), Failure>,
) -> Result<FileBlob, Failure> {
    let file = spool::nameless_file().map_err(|e| no_room(&e))?;
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    let (digest, size) = write(&mut out)?;
    drop(out);
    Ok(FileBlob::new(file, digest, size))
}

/// The time of a predicate that tells one.
fn now(epoch: Option<i64>) -> Result<String, Failure> {
    let time = match epoch {
        None => Timestamp::now(),
        Some(seconds) => Timestamp::from_second(seconds).map_err(|e| {
            Failure::misuse(e)
                .context(format!("SOURCE_DATE_EPOCH {seconds}"))
                .hint("it is a number of seconds since 1970, as `git log -1 --format=%ct` prints")
        })?,
    };
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[test]
    fn a_predicate_conflicts_with_all_flags_of_a_run() {
        let command = Args::augment_args(clap::Command::new("attest"));
        let groups = command.get_groups();
        let of_context = groups.filter(|group| group.get_id() == "ContextArgs");
        let flags: Vec<_> = of_context
            .flat_map(|group| group.get_args())
            .map(clap::Id::as_str)
            .collect();
        assert_eq!(flags, OF_RUNS[1..]);
    }

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(now(Some(0)).expect("a time"), "1970-01-01T00:00:00Z");
        let text = now(None).expect("a time");
        assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
        assert!(now(Some(i64::MAX)).is_err());
    }
}
