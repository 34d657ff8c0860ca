//! `tekseal-keys`: which keys sign where, the public half of any key, and sets of keys for verifiers.

mod list;
mod public;
mod set;

use crate::Failure;

/// List what signs where, print public keys, and keep sets of them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List what signs where, and warn of what verifiers do not trust
    List(Box<list::Args>),
    /// Print the public key of a reference
    Public(public::Args),
    /// Make or continue a key set for verifiers
    Set(set::Args),
}

/// Does what was asked for.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::List(args) => list::run(args),
        What::Public(args) => public::run(args),
        What::Set(args) => set::run(args),
    }
}

/// Writes data for programs and people.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}
