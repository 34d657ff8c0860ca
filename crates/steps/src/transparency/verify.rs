//! `tekseal-log verify`: whether a trusted log has an entry, and of what it is.

use std::path::Path;
use std::str::FromStr as _;

use anyhow::anyhow;
use tekseal_core::digest::hex;
use tekseal_signing::log::{self, Hashed, Logged};
use tekseal_signing::{HashAlgorithm, Trust};

use super::found::Found;
use super::log_args::LogArgs;
use super::sha::Sha;
use super::{EntryArgs, print};
use crate::cluster_args::ClusterArgs;
use crate::output::OutputArgs;
use crate::registry_args::given;
use crate::trusted_root::read_trusted_root;
use crate::{Failure, files, key_args};

/// Which entry, who must have it, and of what it must be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    entry: EntryArgs,
    /// File that must have been signed: a payload, or an envelope as it was sent to the log
    #[arg(long, env = "TEKSEAL_FILE", value_name = "FILE")]
    file: Option<String>,
    /// Digest of what must have been signed, sha256:…, sha384:…, sha512:…, or its digits
    #[arg(long, env = "TEKSEAL_SHA", value_name = "DIGEST")]
    sha: Option<String>,
    /// Public key that must have signed: a file or any other reference of a key, such as k8s://NAMESPACE/SECRET
    #[arg(
        long,
        env = "TEKSEAL_PUBLIC_KEY",
        value_name = "REF",
        hide_env_values = true
    )]
    key: Option<String>,
    /// File with the keys of the logs that are trusted, Sigstore's trusted_root.json
    #[arg(long, env = "TEKSEAL_TRUSTED_ROOT", value_name = "FILE")]
    trusted_root: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// The largest file that is looked at; of larger ones there is a digest.
const MOST_FILE_BYTES: u64 = 256 << 20;

/// Exit 1 where the entry is not what it should be, or no trusted log vouches for it; nothing is printed then.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let asked = args.entry.asked()?;
    let Some(root) = given(&args.trusted_root).next() else {
        return Err(Failure::misuse(anyhow!("--trusted-root is not given"))
            .hint("a log that is asked for its own key vouches for itself: the trusted root has the keys that you trust"));
    };
    let trust = read_trusted_root(root)?;
    let sha = given(&args.sha).next().map(Sha::parse).transpose()?;
    let file = given(&args.file).next();
    let file = file
        .map(|path| files::read(Path::new(path), MOST_FILE_BYTES, "file"))
        .transpose()?;
    let key = given(&args.key).next();
    let key = key.map(|reference| key_args::public_key(reference, &args.cluster, &args.log.ca()));
    let key = key.transpose()?;
    let log = args.log.open()?;
    let mut found = crate::block_on(Found::ask(&log, &asked))?;
    let logged = vouched(&mut found, &trust)?;
    if let Some(key) = key
        && !found.summary.is_by(&key)
    {
        return Err(Failure::no(anyhow!(
            "the entry {} is by another key or certificate than {}",
            found.uuid,
            key.spki_digest()
        )));
    }
    if let Some(content) = file {
        let path = given(&args.file).next().unwrap_or_default();
        is_of(&found, |hashed| is_hash_of(hashed, &content), path)?;
    }
    if let Some(sha) = sha {
        is_of(&found, |hashed| sha.is(hashed), &sha.to_string())?;
    }
    print::to_stdout(&print::verified(&found, &logged, args.output.form())?)
}

/// What a log of the trusted root vouches for.
fn vouched(found: &mut Found, trust: &Trust) -> Result<Logged, Failure> {
    let what = format!(
        "the entry {} of the log {} is not verified",
        found.uuid, found.log
    );
    let refused = |e: anyhow::Error| Failure::no(e).context(what.clone());
    if found.entry.log_id.is_empty()
        && let Some(proof) = &found.entry.inclusion
    {
        let signer = log::signer_of_checkpoint(trust, &proof.checkpoint);
        found.entry.log_id = signer.map_err(|e| refused(e.into()))?.unwrap_or_default();
    }
    let logged = log::verify_entry(trust, &found.entry).map_err(|e| refused(e.into()))?;
    let logged = logged.ok_or_else(|| {
        refused(anyhow!("it is of a log that the trusted root does not have"))
            .hint("the root of one Sigstore does not trust the log of another: give the root that belongs to --rekor-url")
    })?;
    if !logged.has_proof {
        return Err(refused(anyhow!("the log gave no proof of inclusion")));
    }
    if !logged.has_promise && found.entry.integrated_time.is_some() {
        return Err(refused(anyhow!(
            "the log did not sign its index and its time: there is no signed entry timestamp"
        )));
    }
    Ok(logged)
}

/// Whether one of the hashes in the entry is the wanted one.
fn is_of(found: &Found, is_wanted: impl Fn(&Hashed) -> bool, what: &str) -> Result<(), Failure> {
    let summary = &found.summary;
    if summary.hashes.iter().any(is_wanted) {
        return Ok(());
    }
    let has: Vec<_> = summary.hashes.iter().map(print::hash).collect();
    let failure = Failure::no(anyhow!(
        "the entry {} is not of {what}: it has {}",
        found.uuid,
        match has.is_empty() {
            true => format!(
                "the kind {} {}, which is not read",
                summary.kind, summary.version
            ),
            false => has.join(", "),
        }
    ));
    Err(failure.hint(
        "an entry has the digest of what was signed, which is never that of the image itself",
    ))
}

fn is_hash_of(hashed: &Hashed, content: &[u8]) -> bool {
    HashAlgorithm::from_str(&hashed.algorithm)
        .is_ok_and(|algorithm| hex(&algorithm.digest(content)) == hashed.value)
}
