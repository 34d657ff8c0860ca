//! A key that a service or a plugin holds: made there, and rotated. Of its private half nothing is ever here.
//!
//! ```text
//!   make     PREFIX.pub is free ── create ──▶ PREFIX.pub
//!   rotate   public key of now ──▶ PREFIX-<digits of its digest>.pub ── new version ──▶ PREFIX.pub
//! ```
//!
//! A service may keep the earlier version or not, and verifiers cannot ask it: what was signed before needs its public key, so that is kept in a file
//! before anything changes.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{KeyRef, PublicKey};

use super::secret::check_replaceable;
use super::{Args, exists, kind, with_suffix, write_new};
use crate::files::{self, Mode};
use crate::registry_args::given;
use crate::{Failure, kms, log};

/// How many hexadecimal digits tell one earlier key from another in the name of its file.
const DIGITS: usize = 12;

/// Makes or rotates the key that the reference names, and writes its public key.
pub(super) fn run(args: &Args, reference: &str) -> Result<PublicKey, Failure> {
    let key = match KeyRef::parse(reference).map_err(Failure::misuse)? {
        KeyRef::Kms(key) => key,
        KeyRef::Path(_)
        | KeyRef::Env(_)
        | KeyRef::Secret { .. }
        | KeyRef::Url(_)
        | KeyRef::Gitlab(_) => {
            return Err(
                Failure::misuse(anyhow!("--kms names no service that holds keys")).hint(
                    "wanted is the key of a service, such as hashivault://NAME; a Secret is named without --kms",
                ),
            );
        }
    };
    if given(&args.import).next().is_some() {
        return Err(Failure::misuse(anyhow!(
            "--import is given, and with --kms no private key is ever here"
        )));
    }
    let public_path = with_suffix(&args.output_key_prefix, ".pub");
    match args.rotate {
        true => rotate(args, &key, &public_path),
        false => make(args, &key, &public_path),
    }
}

fn make(args: &Args, key: &KmsRef, public_path: &Path) -> Result<PublicKey, Failure> {
    let algorithm = kind(given(&args.algorithm).next())?;
    if public_path.symlink_metadata().is_ok() {
        return Err(exists(public_path));
    }
    check_folder(public_path)?;
    let public = crate::block_on(kms::create(key, algorithm, &args.ca.all()))?;
    write_new(public_path, public.to_pem().as_bytes(), Mode::Public)
        .map_err(|failure| there_all_the_same(failure, key))?;
    tell("made key", key, public_path, &public);
    Ok(public)
}

/// That a file can be made there: services do not forget a key that nobody has the public half of.
fn check_folder(path: &Path) -> Result<(), Failure> {
    let trial = files::temporary(files::folder_of(path), b"", Mode::Public);
    trial.map(drop).map_err(|e| {
        Failure::of_writing(&e)
            .context(format!("writing {}", path.display()))
            .hint("no key was made")
    })
}

fn rotate(args: &Args, key: &KmsRef, public_path: &Path) -> Result<PublicKey, Failure> {
    let former = crate::block_on(kms::public_key(key, &args.ca.all()))?;
    check_replaceable(public_path, &former)?;
    let is_replaced = public_path.symlink_metadata().is_ok();
    let kept = kept_path(&args.output_key_prefix, &former);
    keep(&kept, &former)?;
    let public = crate::block_on(kms::rotate(key, &args.ca.all()))?;
    if public == former {
        let error = anyhow!("the key {key} has the same public key as before");
        return Err(Failure::outside(error)
            .hint("nothing has changed; ask the service which versions the key has"));
    }
    files::write(public_path, public.to_pem().as_bytes(), Mode::Public)
        .map_err(|failure| there_all_the_same(failure, key))?;
    if is_replaced {
        log::info(
            "replaced the file of the earlier public key",
            &[("file", &public_path.display())],
        );
    }
    log::info(
        "kept public key of the earlier version",
        &[("file", &kept.display()), ("key", &former.fingerprint())],
    );
    tell("rotated key", key, public_path, &public);
    Ok(public)
}

/// Where the public key of an earlier version is kept: no two keys share a name.
fn kept_path(prefix: &Path, former: &PublicKey) -> PathBuf {
    let digest = former.spki_digest();
    with_suffix(prefix, &format!("-{}.pub", &digest.hex()[..DIGITS]))
}

/// Writes it, unless it is there already, of an earlier attempt.
fn keep(path: &Path, former: &PublicKey) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return check_replaceable(path, former);
    }
    write_new(path, former.to_pem().as_bytes(), Mode::Public)
        .map_err(|failure| failure.hint("nothing was rotated"))
}

fn there_all_the_same(failure: Failure, key: &KmsRef) -> Failure {
    failure.hint(format!(
        "the key {key} is there all the same: tekseal-keys public {key} prints its public key"
    ))
}

fn tell(what: &str, key: &KmsRef, public_path: &Path, public: &PublicKey) {
    log::info(
        what,
        &[
            ("kms", key),
            ("public", &public_path.display()),
            ("key", &public.fingerprint()),
        ],
    );
}

#[cfg(test)]
mod tests {
    use tekseal_signing::{Signer, random};

    use super::*;

    #[test]
    fn an_earlier_key_is_kept_once_and_no_other_file_is_taken_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = |_| {
            let signer = Signer::generate(&mut random::system).expect("a key");
            signer.public_key().clone()
        };
        let [first, second] = [1, 2].map(key);
        let prefix = folder.path().join("cosign");
        let path = kept_path(&prefix, &first);
        assert_ne!(path, kept_path(&prefix, &second));
        keep(&path, &first).expect("room for a file");
        keep(&path, &first).expect("it is there");
        let written = std::fs::read_to_string(&path).expect("it was written");
        assert_eq!(written, first.to_pem());
        std::fs::write(&path, second.to_pem()).expect("the folder is ours");
        assert!(keep(&path, &first).is_err());
    }
}
