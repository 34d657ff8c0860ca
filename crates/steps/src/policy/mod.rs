//! `tekseal-policy`: what an image must show before it may run. The rules are those of `tekseal_core::policy`; here they are read from the command
//! line, and applied.

pub mod check;
pub mod render;
mod rule_args;

use crate::Failure;

pub use rule_args::{RuleArgs, Version, Which};

/// Say what images must show, and check that they do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check images against rules on their signatures and provenance
    Check(Box<check::Args>),
    /// Render the policy of an admission controller
    Render(Box<render::Args>),
}

/// Does what was asked for.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Check(args) => check::run(args),
        What::Render(args) => render::run(args),
    }
}
