//! The command lines: each tool parses its arguments, calls the libraries, writes its results last, and exits.
//!
//! A tool is one module with `Args` and `run`; its program in `src/bin` and its subcommand of `tekseal` are thin callers of both.

pub mod attest;
pub mod buildah_push;
pub mod ca_args;
mod child;
pub mod cluster_args;
pub mod desk;
mod documents;
pub mod exit;
pub mod explain;
pub mod files;
pub mod git_clone;
mod gitlab;
pub mod handover;
pub mod image_index;
mod image_results;
pub mod install;
pub mod key_args;
mod key_sets;
mod key_url;
pub mod keygen;
pub mod keyless_args;
pub mod keys;
mod kms;
pub mod layout_args;
mod lists;
pub mod log;
mod not_empty;
pub mod output;
mod parameters;
pub mod policy;
mod pretty;
pub mod provenance;
pub mod recursive;
pub mod registry_args;
pub mod resign;
pub mod results;
pub mod sign;
pub mod source_args;
mod spool;
mod target;
pub mod transparency;
pub mod tree;
mod trusted_root;
pub mod tuf;
pub mod upload;
pub mod verify;
pub mod wait;
pub mod witness_args;

use std::env;
use std::future::Future;
use std::process::ExitCode;

use clap::{ArgMatches, Command, Parser};

pub use exit::Failure;

/// Reads the command line. An empty variable of the environment means the same as an absent one, whatever type its flag has: Tekton
/// substitutes every parameter, also those that nobody gave.
#[must_use]
pub fn parse<C: Parser>() -> C {
    if let Err(failure) = lists::check(env::args_os()) {
        let _ = failure.report(C::command().get_name());
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing has been opened that would stay"
        )]
        std::process::exit(exit::MISUSE.into());
    }
    let matches = match matches_of_installing(C::command()) {
        Some(matches) => matches,
        None => without_empty_variables(C::command()).get_matches(),
    };
    C::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// The command line if it has `--install`: then nothing else is done, and what the environment has for other flags does not matter, not
/// even where it is malformed.
fn matches_of_installing(command: Command) -> Option<ArgMatches> {
    if !install::may_be_asked(env::args_os()) {
        return None;
    }
    let matches = without_variables(command).try_get_matches().ok()?;
    install::is_asked(&matches).then_some(matches)
}

fn without_variables(command: Command) -> Command {
    command
        .mut_args(|arg| arg.env(None::<&str>))
        .mut_subcommands(without_variables)
}

fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let variable = arg.get_env().and_then(env::var_os);
            match variable.is_some_and(|value| value.is_empty()) {
                true => arg.env(None::<&str>),
                false => arg,
            }
        })
        .mut_subcommands(without_empty_variables)
}

/// Runs a tool: first line, the work, the error chain and the exit code.
pub fn run(tool: &str, work: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    log::started(tool);
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(tool),
    }
}

/// Runs a tool that does nothing but wait for the outside.
pub fn run_async(tool: &str, work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    run(tool, || block_on(work))
}

/// Waits for the outside, on a runtime of one thread that ends with the work. A tool that meets no registry and no cluster starts none.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::outside(e).context("starting the runtime"))?;
    runtime.block_on(work)
}
