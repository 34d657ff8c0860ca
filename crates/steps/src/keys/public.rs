//! `tekseal-keys public`: the public key of any reference, as `cosign public-key` prints it.

use serde_json::json;
use tekseal_signing::PublicKey;

use super::print;
use crate::Failure;
use crate::ca_args::CaArgs;
use crate::cluster_args::ClusterArgs;
use crate::key_args::{self, PasswordArgs};
use crate::output::{Output, OutputArgs};

/// Print the public key of a reference.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Key: a file (public or private), env://NAME, k8s://NAMESPACE/SECRET, gitlab://PROJECT, https://…, or one of a service, such as hashivault://NAME
    #[arg(env = "TEKSEAL_KEY", value_name = "REF", hide_env_values = true)]
    key: String,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    ca: CaArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (key, _) = key_args::either(&args.key, &args.cluster, &args.ca.all(), &args.password)?;
    match args.output.form() {
        Output::Text => print(&key.to_pem()),
        Output::Json => print(&format!("{:#}\n", described(&key))),
    }
}

fn described(key: &PublicKey) -> serde_json::Value {
    json!({
        "id": key.fingerprint(),
        "sha256": key.spki_digest().hex(),
        "algorithm": key.algorithm().to_string(),
        "pem": key.to_pem(),
    })
}
