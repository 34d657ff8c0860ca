//! `tekseal-log search`: which entries a log's index has for a digest, an image, a key or an address.

use std::path::Path;

use anyhow::anyhow;
use serde_json::json;
use tekseal_core::{Digest, ImageRef, cosign};
use tekseal_remote::log::Query;
use tekseal_remote::store;
use tekseal_signing::PublicKey;

use super::log_args::LogArgs;
use super::print;
use super::sha::Sha;
use crate::output::{Output, OutputArgs};
use crate::registry_args::{Access, RegistryArgs, given};
use crate::verify;
use crate::{Failure, files, log};

/// Which entries to look for: those that have one of these.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Digest, sha256:… or its digits: of an image (finds attestations), of a signed payload, of an envelope
    #[arg(long, env = "TEKSEAL_SHA", value_name = "DIGEST")]
    sha: Option<String>,
    /// Image, by tag or digest: finds its attestations by its digest, and its signatures by their payloads, which the registry has
    #[arg(long, env = "IMAGE", value_name = "IMAGE")]
    image: Option<String>,
    /// File with the public key of the signer, PEM
    #[arg(
        long,
        env = "TEKSEAL_PUBLIC_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    key: Option<String>,
    /// E-mail address of the signer, as the certificate has it
    #[arg(long, env = "TEKSEAL_EMAIL", value_name = "ADDRESS")]
    email: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    /// How long to look, in all: seconds, or 90s, 5m, 1h, up to a day
    #[arg(long, env = "TEKSEAL_TIMEOUT", value_name = "DURATION", default_value = "300", value_parser = verify::seconds)]
    timeout: u64,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

const MOST_KEY_BYTES: u64 = 64 << 10;
/// For so many signatures of one image an index is asked.
const MOST_PAYLOADS: usize = 64;

/// Exit 1 where the index knows of none.
pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let sha = given(&args.sha).next().map(Sha::parse).transpose()?;
    let first = Query {
        hash: sha.map(|sha| sha.in_index()).transpose()?,
        email: given(&args.email).next().map(str::to_owned),
        public_key: given(&args.key).next().map(public_key).transpose()?,
    };
    let mut queries = Vec::new();
    // Rekor looks for a key among signatures alone; attestations (dsse) are indexed by the hash of its text.
    let among_attestations = first.public_key.as_ref().map(|pem| Query {
        hash: Some(Digest::of(pem.as_bytes()).to_string()),
        ..Query::default()
    });
    if first != Query::default() {
        queries.push(first);
    }
    queries.extend(among_attestations);
    let rekor = args.log.open()?;
    let image = given(&args.image).next().map(verify::parse_image);
    let image = image.transpose()?;
    if queries.is_empty() && image.is_none() {
        return Err(Failure::misuse(anyhow!("nothing to look for is given"))
            .hint("give --sha, --image, --key or --email"));
    }
    let found = verify::within(args.timeout, async {
        if let Some(image) = image {
            let digests = digests_of(image, &args.registry).await?;
            queries.extend(digests.into_iter().map(|hash| Query {
                hash: Some(hash),
                ..Query::default()
            }));
        }
        Ok(rekor.search(&queries).await?)
    });
    let found: Vec<String> = found.await?.iter().map(ToString::to_string).collect();
    if found.is_empty() {
        return Err(none_found(args));
    }
    print::to_stdout(&match args.output.form() {
        Output::Text => found.join("\n") + "\n",
        Output::Json => format!("{}\n", json!({ "UUIDs": found })),
    })
}

fn none_found(args: &Args) -> Failure {
    let failure = Failure::no(anyhow!("no matching entries found"));
    if given(&args.image).next().is_some() {
        return failure.hint("its signatures and attestations may have been made without this log: tekseal-tree draws what there is");
    }
    if given(&args.sha).next().is_some() {
        return failure.hint("the digest of an image finds attestations only; the entry of an image signature has the digest of its payload: --image IMAGE looks for both");
    }
    failure
}

/// The text of a public key. Nothing else leaves this machine, least of all a private key that was named by mistake.
fn public_key(path: &str) -> Result<String, Failure> {
    let bytes = files::read(Path::new(path), MOST_KEY_BYTES, "public key")?;
    let key = PublicKey::from_pem(&bytes)
        .map_err(|e| Failure::misuse(e).context(format!("reading the public key {path}")))?;
    Ok(key.to_pem())
}

/// The digest of an image, and those of the payloads of its signatures, as its registry has them.
async fn digests_of(image: ImageRef, registry: &RegistryArgs) -> Result<Vec<String>, Failure> {
    let registry = registry.open(Access::Pull)?;
    let image = verify::resolve(&registry, image).await?;
    let tree = store::tree(&registry, &image).await?;
    let mut digests = vec![image.digest.to_string()];
    let signatures = tree
        .tags
        .iter()
        .filter(|attached| attached.kind == cosign::Tag::Signatures);
    for attached in signatures {
        let layers = attached.layers.as_deref().map_err(|e| {
            Failure::outside(anyhow!("{e}")).context(format!("reading the tag {}", attached.tag))
        })?;
        let payloads = layers.iter().map(|layer| layer.digest.clone());
        digests.extend(payloads.filter(|digest| digest.parse::<Digest>().is_ok()));
    }
    if digests.len() > MOST_PAYLOADS {
        log::warn(
            "the image has more signatures than are looked for",
            &[("looked for", &MOST_PAYLOADS), ("there", &digests.len())],
        );
        digests.truncate(MOST_PAYLOADS);
    }
    Ok(digests)
}
