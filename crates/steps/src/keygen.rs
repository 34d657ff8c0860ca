//! `tekseal-keygen`: a key pair in cosign's format, in two files.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_signing::{Signer, random};

use crate::Failure;
use crate::files::{self, Mode};
use crate::key_args::PasswordArgs;
use crate::log;

/// Make a key pair: PREFIX.key (encrypted, mode 0600) and PREFIX.pub.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prefix of the two files
    #[arg(
        long,
        env = "TEKSEAL_KEY_PREFIX",
        value_name = "PREFIX",
        default_value = "cosign"
    )]
    output_key_prefix: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Makes the pair. Neither file is ever overwritten; if the second cannot be written, the first is taken back.
pub fn run(args: &Args) -> Result<(), Failure> {
    let key_path = with_suffix(&args.output_key_prefix, ".key");
    let public_path = with_suffix(&args.output_key_prefix, ".pub");
    for path in [&key_path, &public_path] {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    let password = args.password.get_new()?;
    let signer = Signer::generate(&mut random::system)
        .map_err(|e| Failure::outside(e).context("making a key"))?;
    let pem = signer
        .to_encrypted_pem(&password, &mut random::system)
        .map_err(|e| Failure::outside(e).context("encrypting the key"))?;
    write_new(&key_path, pem.as_bytes(), Mode::Secret)?;
    if let Err(failure) = write_new(
        &public_path,
        signer.public_key().to_pem().as_bytes(),
        Mode::Public,
    ) {
        files::remove_if_there(&key_path)?;
        return Err(failure);
    }
    log::info(
        "made key pair",
        &[
            ("private", &key_path.display()),
            ("public", &public_path.display()),
            ("key", &signer.public_key().fingerprint()),
        ],
    );
    Ok(())
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Writes a file that must not exist yet, also if somebody makes it in the meantime.
fn write_new(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Failure> {
    let write = || {
        let file = files::temporary(files::folder_of(path), bytes, mode)?;
        file.persist_noclobber(path).map_err(|e| e.error)?;
        Ok::<_, std::io::Error>(())
    };
    write().map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::of_writing(&e).context(format!("writing {}", path.display())),
    })
}

fn exists(path: &Path) -> Failure {
    Failure::misuse(anyhow!("{} exists and is not overwritten", path.display()))
        .hint("choose another --output-key-prefix, or move the old pair away and keep its public key: old signatures need it")
}
