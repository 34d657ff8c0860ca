//! `tekseal-keys list`: what signs where.
//!
//! ```text
//!   configuration of the controller ─▶ references ─┐
//!   references of the command line ────────────────┼─▶ Inventory ◀─ runs (Records), images: what each signed last
//!   Secret that the controller has mounted ────────┤      ▲
//!   ConfigMap in which it remembers recorders ─────┘      │
//!   documents of verifiers (--trust) ─────────────────────┘ who trusts it, and warnings
//! ```
//!
//! Nothing is changed, and no private key leaves the Secret that is read. What could not be read is told, and counts as a warning: a list that is
//! silently short would say that all is well.

mod gather;
mod inventory;
mod last_use;
mod memory;
mod secret;
mod text;
mod trust;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_cluster::ConfigSource;

use self::gather::Gather;
use self::inventory::Inventory;
use self::trust::Trusting;
use super::print;
use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::key_args::PasswordArgs;
use crate::output::{Output, OutputArgs};
use crate::registry_args::{Access, RegistryArgs, given};

/// Namespace of the controller where nothing else is asked for.
const SYSTEM_NAMESPACE: &str = "tekton-chains";

/// List what signs where, and warn of what verifiers do not trust. Exit 0 whatever it says; with --strict 1 where there is a warning.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Keys to list beside the controller's, by their references; a private key in a file or a variable is opened
    #[arg(env = "TEKSEAL_KEY", value_name = "REF", hide_env_values = true)]
    keys: Vec<String>,
    /// Image by digest whose signatures and attestations tell what a key signed; may be repeated
    #[arg(
        long = "image",
        env = "TEKSEAL_IMAGE",
        value_name = "IMAGE",
        value_delimiter = ','
    )]
    images: Vec<String>,
    /// What verifiers trust: a key set, a public key or another reference of a key, or the policy of an admission controller with public keys in it; may be repeated
    #[arg(
        long,
        env = "TEKSEAL_TRUST",
        value_name = "DOCUMENT",
        hide_env_values = true
    )]
    trust: Vec<String>,
    /// Exit 1 where there is a warning
    #[arg(long, env = "TEKSEAL_STRICT", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    strict: bool,
    /// Namespace of the controller, whose keys are listed [default: tekton-chains, unless a REF or an --image is given]
    #[arg(long, env = "TEKSEAL_SYSTEM_NAMESPACE", value_name = "NAMESPACE")]
    system_namespace: Option<String>,
    /// Where the controller's configuration is: configmap/NAMESPACE/NAME or tektonconfig/NAME [default: the ConfigMap chains-config of the system namespace]
    #[arg(long, env = "TEKSEAL_CONFIG_FROM", value_name = "SOURCE")]
    config_from: Option<String>,
    /// Name of the Secret that the controller has mounted
    #[arg(
        long,
        env = "TEKSEAL_SIGNING_SECRET",
        value_name = "NAME",
        default_value = "signing-secrets"
    )]
    signing_secret: String,
    /// Do not look through the records on runs for what a key signed last
    #[arg(long, env = "TEKSEAL_SKIP_RUNS", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    skip_runs: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Gathers, judges and prints.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let now = Timestamp::now();
    let ca = args.registry.ca();
    let trusting = given(&args.trust)
        .map(|document| Trusting::read(document, &args.cluster, &ca))
        .collect::<Result<Vec<_>, _>>()?;
    let mut inventory = Inventory::default();
    let gather = Gather {
        cluster: &args.cluster,
        ca: &ca,
        named: given(&args.keys).collect(),
    };
    let system = args.system_namespace();
    if let Some(namespace) = system {
        let source = args.config_source(namespace)?;
        gather.controller(&mut inventory, namespace, &source, &args.signing_secret)?;
    }
    for reference in given(&args.keys) {
        gather.reference(&mut inventory, reference, &args.password)?;
    }
    for one in &trusting {
        inventory.trust(one);
    }
    if let Some(namespace) = system {
        crate::block_on(memory::add(&mut inventory, &args.cluster, namespace))?;
        if !args.skip_runs {
            crate::block_on(last_use::of_runs(&mut inventory, &args.cluster))?;
        }
        memory::leave_out_old(&mut inventory);
    }
    let images: Vec<&str> = given(&args.images).collect();
    if !images.is_empty() {
        let registry = args.registry.open(Access::Pull)?;
        crate::block_on(last_use::of_images(&mut inventory, &registry, &images))?;
    }
    inventory.judge(&trusting, now);
    let warnings = inventory.warnings();
    match args.output.form() {
        Output::Text => print(&text::draw(&inventory, now))?,
        Output::Json => print(&format!("{:#}\n", inventory.to_json()))?,
    }
    if args.strict && warnings > 0 {
        let what = match warnings {
            1 => "there is a warning".to_owned(),
            count => format!("there are {count} warnings"),
        };
        return Err(Failure::no(anyhow!(what)).hint("each stands with its key, or at the end"));
    }
    Ok(())
}

impl Args {
    /// The namespace of the controller, if its keys are asked for.
    fn system_namespace(&self) -> Option<&str> {
        let is_narrowed = given(&self.keys)
            .chain(given(&self.images))
            .next()
            .is_some();
        let named = given(&self.system_namespace).next();
        named.or((!is_narrowed).then_some(SYSTEM_NAMESPACE))
    }

    fn config_source(&self, namespace: &str) -> Result<ConfigSource, Failure> {
        match given(&self.config_from).next() {
            Some(text) => text
                .parse()
                .map_err(|e: tekseal_cluster::ConfigSourceError| {
                    Failure::misuse(e).context("--config-from")
                }),
            None => Ok(ConfigSource::of_chains(namespace)),
        }
    }
}
