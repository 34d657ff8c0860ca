//! `tekseal-tree`: draws what hangs on an image. Nothing that it shows is verified, and it says so.

use std::io::Write as _;

use serde::Serialize;
use tekseal_core::{Subject, cosign};
use tekseal_remote::store::{self, Tree};

use crate::Failure;
use crate::registry_args::{Access, RegistryArgs};
use crate::verify;

/// Draw what hangs on an image: signatures, attestations, SBOMs, referrers. Nothing of it is verified.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image, by tag or digest
    #[arg(env = "IMAGE", value_name = "IMAGE")]
    image: String,
    /// How to print
    #[arg(long, short = 'o', value_enum, default_value = "text", value_name = "FORM")]
    output: verify::Output,
    #[command(flatten)]
    registry: RegistryArgs,
}
