//! `tekseal-keygen`: a key pair in cosign's format, in two files or in a Secret of a cluster; or a key that a service holds.

mod held;
mod secret;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer, Zeroizing, random, signer};

use crate::Failure;
use crate::ca_args::CaArgs;
use crate::cluster_args::ClusterArgs;
use crate::files::{self, Mode};
use crate::key_args::{MAX_KEY, PasswordArgs};
use crate::log;
use crate::registry_args::given;
use crate::results::ResultsArgs;

/// Make a key pair, or import one: PREFIX.key (encrypted, mode 0600) and PREFIX.pub, or a Secret and PREFIX.pub, or with --kms a key of a service and PREFIX.pub.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Secret for the pair, k8s://NAMESPACE/SECRET: cosign.key, cosign.password and cosign.pub, as cosign writes them; without it files
    #[arg(env = "TEKSEAL_SECRET", value_name = "SECRET")]
    secret: Option<String>,
    /// Make the key where it stays, with a service or a plugin, in the place of a pair: awskms://, gcpkms://, azurekms://, hashivault://, openbao://, or a scheme of a plugin; of a Secret that is named too nothing is made
    #[arg(long, env = "TEKSEAL_KMS", value_name = "REF", hide_env_values = true)]
    kms: Option<String>,
    /// Replace the pair in the Secret by a new one and keep its public key there, as cosign.pub.1; with --kms make a new version of the key, and keep the public key of the earlier one in a file
    #[arg(long)]
    rotate: bool,
    /// Kind of the key: p256 (the default), p384, p521 or ed25519, and with --kms what the service makes, rsa-2048, rsa-3072 or rsa-4096 too; other RSA keys are made by openssl and imported
    #[arg(long, env = "TEKSEAL_ALGORITHM", value_name = "ALGORITHM")]
    algorithm: Option<String>,
    /// Take this private key instead of a new one: an unencrypted PKCS#8, SEC1 or PKCS#1 PEM file of any kind, RSA-2048, RSA-3072 and RSA-4096 too
    #[arg(long, env = "TEKSEAL_IMPORT", value_name = "FILE")]
    import: Option<String>,
    /// Prefix of the files
    #[arg(
        long,
        env = "TEKSEAL_KEY_PREFIX",
        value_name = "PREFIX",
        default_value = "cosign"
    )]
    output_key_prefix: PathBuf,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    ca: CaArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
}

/// Makes the pair where it is wanted, and gives its public key as the result PUBLIC_KEY.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut results = args.results.open()?;
    let public = make(args)?;
    // No newline at the end: it would end up in the parameters of the next task.
    results.set("PUBLIC_KEY", public.to_pem().trim_end());
    results
        .commit()
        .map_err(|e| Failure::from(e).hint("the key pair was made all the same"))
}

fn make(args: &Args) -> Result<PublicKey, Failure> {
    if let Some(reference) = given(&args.kms).next() {
        return held::run(args, reference);
    }
    match given(&args.secret).next() {
        Some(reference) => secret::run(args, reference),
        None if args.rotate => Err(Failure::misuse(anyhow!("--rotate needs a Secret, or --kms"))
            .hint("files are not rotated: make a new pair and keep the old public key, old signatures need it")),
        None => to_files(args),
    }
}

/// Makes the pair. Neither file is ever overwritten; if the second cannot be written, the first is taken back.
fn to_files(args: &Args) -> Result<PublicKey, Failure> {
    let key_path = with_suffix(&args.output_key_prefix, ".key");
    let public_path = with_suffix(&args.output_key_prefix, ".pub");
    for path in [&key_path, &public_path] {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    let Pair { signer, pem, .. } = Pair::make(args)?;
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
    Ok(signer.public_key().clone())
}

/// A new or imported key, with the password that it is encrypted with.
struct Pair {
    signer: Signer,
    pem: String,
    password: Zeroizing<Vec<u8>>,
}

impl Pair {
    fn make(args: &Args) -> Result<Self, Failure> {
        let signer = match (given(&args.import).next(), given(&args.algorithm).next()) {
            (Some(_), Some(_)) => {
                return Err(Failure::misuse(anyhow!(
                    "--import and --algorithm exclude one another: an imported key is of some kind already"
                )));
            }
            (Some(file), None) => import(Path::new(file))?,
            (None, algorithm) => generate(algorithm)?,
        };
        let password = args.password.get_new()?;
        let pem = signer
            .to_encrypted_pem(&password, &mut random::system)
            .map_err(|e| Failure::outside(e).context("encrypting the key"))?;
        Ok(Self {
            signer,
            pem,
            password,
        })
    }
}

/// The kind of key that is asked for.
fn kind(algorithm: Option<&str>) -> Result<KeyAlgorithm, Failure> {
    let algorithm = algorithm.map_or(Ok(KeyAlgorithm::P256), str::parse);
    algorithm.map_err(|e| Failure::misuse(e).context("--algorithm"))
}

/// A new key of this kind.
fn generate(algorithm: Option<&str>) -> Result<Signer, Failure> {
    let algorithm = kind(algorithm)?;
    Signer::generate_of(algorithm, &mut random::system).map_err(|error| match (error, algorithm) {
        (error @ signer::Error::NotMade(_), KeyAlgorithm::Rsa(bits)) => Failure::misuse(error)
            .hint(format!(
                "make one with: openssl genrsa -out KEY.pem {bits}, and give --import KEY.pem"
            )),
        (error, _) => Failure::outside(error).context("making a key"),
    })
}

/// The key in a file, if cosign would import it.
fn import(path: &Path) -> Result<Signer, Failure> {
    let pem = Zeroizing::new(files::read(path, MAX_KEY, "key")?);
    let never = || {
        Err(Failure::misuse(anyhow!("it is encrypted already"))
            .hint("a cosign.key is used as it is: there is nothing to import"))
    };
    let signer = Signer::from_pem(&pem, never).and_then(|signer| {
        signer.check_usual()?;
        Ok(signer)
    });
    signer.map_err(|failure: Failure| {
        failure.context(format!("importing the private key {}", path.display()))
    })
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
