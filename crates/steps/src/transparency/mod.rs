//! `tekseal-log`: finds entries of transparency logs, shows them, and verifies that a trusted log has them.
//!
//! ```text
//!  search ─ hash, key, address, image ─▶ UUIDs
//!  get ──── index, UUID ─▶ Found ─▶ what the log says
//!  verify ─ index, UUID ─▶ Found ─ trusted root ─▶ what a trusted log vouches for ─ file, digest, key ─▶ and of what
//! ```
//!
//! That an answer is about what was asked is always checked. Whether it is true only `verify` knows.

mod found;
mod log_args;
mod print;
mod search;
mod sha;
mod verify;

use anyhow::anyhow;
use clap::Subcommand;
use tekseal_remote::log::EntryUuid;

use crate::Failure;
use crate::output::OutputArgs;
use crate::registry_args::given;

use self::found::{Asked, Found};
pub use self::log_args::LogArgs;

/// Search a transparency log (Rekor), show entries of it, and verify that it has them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the UUIDs of entries about a digest, an image, a key or an e-mail address, one a line or as {"UUIDs": […]}; exit 1 when there are none
    Search(Box<search::Args>),
    /// Show an entry as the log gives it; not verified
    Get(GetArgs),
    /// Verify that a log of the trusted root has an entry, and of what it is
    Verify(Box<verify::Args>),
}

/// Which entry.
#[derive(Debug, clap::Args)]
struct EntryArgs {
    /// Index of the entry, counted over all trees of the log
    #[arg(long, env = "TEKSEAL_LOG_INDEX", value_name = "INDEX")]
    index: Option<u64>,
    /// UUID of the entry, 64 or 80 hexadecimal digits; Rekor v1 alone has them
    #[arg(long, env = "TEKSEAL_LOG_UUID", value_name = "UUID")]
    uuid: Option<String>,
}

/// What `get` is asked.
#[derive(Debug, clap::Args)]
struct GetArgs {
    #[command(flatten)]
    entry: EntryArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the command.
///
/// Exit 1 where nothing is found, where the log gives another entry than the one that was asked for, and where it is not verified.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Search(args) => crate::block_on(search::run(args)),
        Command::Get(args) => {
            let (asked, log) = (args.entry.asked()?, args.log.open()?);
            let found = crate::block_on(Found::ask(&log, &asked))?;
            print::to_stdout(&print::found(&found, args.output.form())?)
        }
        Command::Verify(args) => verify::run(args),
    }
}

impl EntryArgs {
    fn asked(&self) -> Result<Asked, Failure> {
        match (self.index, given(&self.uuid).next()) {
            (Some(index), None) => Ok(Asked::Index(index)),
            (None, Some(uuid)) => {
                let uuid: EntryUuid = uuid.trim().parse().map_err(Failure::misuse)?;
                Ok(Asked::Uuid(uuid))
            }
            (None, None) => Err(Failure::misuse(anyhow!("no entry is named"))
                .hint("give --index or --uuid; tekseal-log search finds the UUIDs of an image, a key or an address")),
            (Some(_), Some(_)) => Err(Failure::misuse(anyhow!(
                "--index and --uuid are both given"
            ))),
        }
    }
}
