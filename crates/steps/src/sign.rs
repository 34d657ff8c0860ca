//! `tekseal-sign`: signs the payloads of a folder, each with one key, opened once.
//!
//! With a certificate too, although nothing here tells a log or a timestamp authority of it: `tekseal-upload` does, and refuses what has a certificate
//! that has ended. So the steps are to follow each other at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekseal_core::{Layout, Payload, Signed, cosign};
use tekseal_signing::{Certificate, HashAlgorithm, Signer};

use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::files::{self, Mode};
use crate::handover::{self, Kind, PayloadEntry, SignedEntry};
use crate::keyless_args::{Around, SignerArgs};
use crate::layout_args::SignedLayoutArgs;
use crate::log;
use crate::registry_args::given;
use crate::trusted_root::read_trusted_root;
use crate::witness_args::{moment, read_signing_config};

/// Sign the payloads of a folder that tekseal-provenance wrote.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with payloads.json and the payload files
    #[arg(env = "TEKSEAL_DIR", value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    signer: SignerArgs,
    /// Signing configuration of Sigstore (signing_config.v0.2.json), whose Fulcio is used where no flag names one
    #[arg(long, env = "TEKSEAL_SIGNING_CONFIG", value_name = "FILE")]
    signing_config: Option<String>,
    /// Trusted root of Sigstore (trusted_root.json), by which a certificate is verified before anything is signed with it
    #[arg(long, env = "TEKSEAL_TRUSTED_ROOT", value_name = "FILE")]
    trusted_root: Option<String>,
    /// Data of Tekton Chains' chains-config map, of which signers.* say with what to sign where no flag does (signers.cosign.key, signers.kms.kmsref,
    /// signers.x509.fulcio.*), and how to enter Vault: a JSON file or a mounted folder
    #[arg(long, env = "TEKSEAL_CONFIG", value_name = "PATH")]
    config: Option<String>,
    /// Certificate authorities of Fulcio beside the system's: a PEM file or a folder of them; may be repeated
    #[arg(
        long = "registry-ca",
        env = "TEKSEAL_REGISTRY_CA",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    ca: Vec<String>,
    #[command(flatten)]
    layout: SignedLayoutArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Signs every payload, then writes the files, then `signed.json`. All payloads are read and checked before the key is opened. In which layout
/// they are stored is decided later: unless a flag names one they are signed for each.
pub fn run(args: &Args) -> Result<(), Failure> {
    let folder = &args.folder;
    let layout = args.layout.layout()?;
    let entries: Vec<PayloadEntry> =
        handover::read_index(folder, handover::PAYLOADS, "tekseal-provenance")?;
    let payloads = entries
        .iter()
        .map(|entry| entry.load(folder))
        .collect::<Result<Vec<_>, _>>()?;
    handover::invalidate(folder, &[handover::SIGNED, handover::STORED])?;
    let opened = args.signer.open(&args.cluster, args.around()?)?;
    let mut index = Vec::with_capacity(entries.len());
    let (signer, signed) = crate::block_on(async {
        let signer = opened.signer().await?;
        let signed = sign_all(&signer, &entries, &payloads, layout).await?;
        Ok::<_, Failure>((signer, signed))
    })?;
    for (entry, signed) in entries.into_iter().zip(signed) {
        log::info(
            "signs",
            &[
                ("payload", &entry.file),
                ("format", &entry.format),
                ("digest", &entry.digest),
            ],
        );
        index.push(write(args, entry, &signed, &signer)?);
    }
    handover::write_index(folder, handover::SIGNED, &index)?;
    let keyid = signer.fingerprint();
    log::info("signed", &[("payloads", &index.len()), ("key", &keyid)]);
    if let Some(certificate) = signer.certificate() {
        log::info(
            "must be stored, with a log or a timestamp authority, before the certificate ends",
            &[("ends", &moment(certificate.not_after()))],
        );
    }
    Ok(())
}

impl Args {
    fn around(&self) -> Result<Around<'_>, Failure> {
        let signing = given(&self.signing_config).next().map(read_signing_config);
        let trust = given(&self.trusted_root).next().map(read_trusted_root);
        Ok(Around {
            config: given(&self.config).next().map(Path::new),
            signing: signing.transpose()?,
            trust: trust.transpose()?.map(Arc::new),
            ca: given(&self.ca).map(PathBuf::from).collect(),
            ..Around::default()
        })
    }
}

/// Signs each payload. Nothing was written yet, so that a key that stops signing half way leaves nothing half done.
async fn sign_all(
    signer: &Signer,
    entries: &[PayloadEntry],
    payloads: &[Payload],
    layout: Layout,
) -> Result<Vec<Vec<Signed>>, Failure> {
    let mut all = Vec::with_capacity(payloads.len());
    for (entry, payload) in entries.iter().zip(payloads) {
        let signed = signer.sign_for(payload, layout).await;
        all.push(signed.map_err(|e| Failure::from(e).context(format!("signing {}", entry.file)))?);
    }
    Ok(all)
}

/// Writes what was signed beside the payload: the signature or the envelope, and the bundle, as far as the layout has them.
fn write(
    args: &Args,
    entry: PayloadEntry,
    signed: &[Signed],
    signer: &Signer,
) -> Result<SignedEntry, Failure> {
    let mut index = SignedEntry {
        signature: None,
        envelope: None,
        bundle: None,
        keyid: signer.fingerprint().to_owned(),
        public_key: signer.public_key().to_pem(),
        digest_algorithm: match signer.verifying().hash() {
            HashAlgorithm::Sha256 => None,
            hash @ (HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => Some(hash.to_string()),
        },
        certificate: signer.certificate().map(Certificate::pem),
        chain: signer.chain_pem().to_owned(),
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
