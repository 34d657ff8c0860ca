//! `tekseal-sign`: signs the payloads of a folder, each with one key, opened once.

use std::path::PathBuf;

use tekseal_core::{Layout, Payload, Signed, cosign};
use tekseal_signing::Signer;

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::files::{self, Mode};
use crate::handover::{self, Kind, PayloadEntry, SignedEntry};
use crate::key_args::SigningKeyArgs;
use crate::log;

/// Sign the payloads of a folder that tekseal-provenance wrote.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with payloads.json and the payload files
    #[arg(env = "TEKSEAL_DIR", value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    key: SigningKeyArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Signs every payload, then writes the files, then `signed.json`. All payloads are read and checked before the key is opened. In which layout
/// they are stored is decided later: they are signed for each.
pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = &args.folder;
    let entries: Vec<PayloadEntry> =
        handover::read_index(folder, handover::PAYLOADS, "tekseal-provenance")?;
    let payloads = entries
        .iter()
        .map(|entry| entry.load(folder))
        .collect::<Result<Vec<_>, _>>()?;
    handover::invalidate(folder, &[handover::SIGNED, handover::STORED])?;
    let signer = args.key.open(&args.cluster, &[])?;
    let keyid = signer.public_key().fingerprint();
    let public_key = signer.public_key().to_pem();
    let mut index = Vec::with_capacity(entries.len());
    let signed = crate::block_on(sign_all(&signer, &entries, &payloads))?;
    for (entry, signed) in entries.into_iter().zip(signed) {
        log::info(
            "signs",
            &[
                ("payload", &entry.file),
                ("format", &entry.format),
                ("digest", &entry.digest),
            ],
        );
        index.push(write(args, entry, &signed, &keyid, &public_key)?);
    }
    handover::write_index(folder, handover::SIGNED, &index)?;
    log::info("signed", &[("payloads", &index.len()), ("key", &keyid)]);
    Ok(())
}

/// Signs each payload. Nothing was written yet, so that a key that stops signing half way leaves nothing half done.
async fn sign_all(
    signer: &Signer,
    entries: &[PayloadEntry],
    payloads: &[Payload],
) -> Result<Vec<Vec<Signed>>, Failure> {
    let mut all = Vec::with_capacity(payloads.len());
    for (entry, payload) in entries.iter().zip(payloads) {
        let signed = signer.sign_for(payload, Layout::Both).await;
        all.push(signed.map_err(|e| Failure::from(e).context(format!("signing {}", entry.file)))?);
    }
    Ok(all)
}

/// Writes what was signed beside the payload: the signature or the envelope, and the bundle.
fn write(
    args: &Args,
    entry: PayloadEntry,
    signed: &[Signed],
    keyid: &str,
    public_key: &str,
) -> Result<SignedEntry, Failure> {
    let mut index = SignedEntry {
        signature: None,
        envelope: None,
        bundle: None,
        keyid: keyid.to_owned(),
        public_key: public_key.to_owned(),
        payload: entry,
    };
    let file = &index.payload.file;
    for signed in signed {
        let (member, suffix, bytes) = match index.payload.kind {
            _ if signed.is_bundle() => (&mut index.bundle, handover::BUNDLE, signed.layer()),
            Kind::Provenance => (&mut index.envelope, handover::ENVELOPE, signed.layer()),
            Kind::SimpleSigning => (
                &mut index.signature,
                handover::SIGNATURE,
                signed.annotations()[cosign::SIGNATURE_ANNOTATION].as_bytes(),
            ),
        };
        let name = format!("{file}{suffix}");
        files::write(&files::inside(&args.folder, &name)?, bytes, Mode::Public)?;
        *member = Some(name);
    }
    Ok(index)
}
