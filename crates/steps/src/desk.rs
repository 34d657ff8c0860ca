//! `tekseal`: the desk program, every tool as a subcommand, and shell completions.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    Failure, attest, buildah_push, explain, git_clone, image_index, keygen, keys, policy,
    provenance, resign, sign, transparency, tree, upload, verify, wait,
};

/// Build, prove, sign, publish and verify container images on Tekton.
#[derive(Debug, Parser)]
#[command(name = "tekseal", version)]
pub struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Fetch a revision of a git repository with git, and write the results that name it
    GitClone(Box<git_clone::Args>),
    /// Build and push an image with buildah, and write the type-hint results
    BuildahPush(Box<buildah_push::Args>),
    /// Compose an index of images for several platforms, and write the type-hint results
    ImageIndex(Box<image_index::Args>),
    /// Make the payloads to sign from a completed TaskRun or PipelineRun
    Provenance(provenance::Args),
    /// Sign the payloads of a folder
    Sign(sign::Args),
    /// Store the signed payloads of a folder beside their images
    Upload(upload::Args),
    /// Make, sign and store in one process, or attest a predicate that another tool made
    Attest(Box<attest::Args>),
    /// Verify the signature and the attestations of images
    Verify(Box<verify::Args>),
    /// Wait until runs or images are signed, and verify them
    Wait(Box<wait::Args>),
    /// Take the marks off runs, so that the controller signs them again
    Resign(resign::Args),
    /// Say what images must show, and check that they do
    Policy(policy::Args),
    /// Make a key pair
    Keygen(keygen::Args),
    /// List what signs where, print public keys, and keep sets of them
    Keys(Box<keys::Args>),
    /// Draw what hangs on an image
    Tree(tree::Args),
    /// Search a transparency log, show entries of it, and verify that it has them
    Log(Box<transparency::Args>),
    /// Explain what of a run would be signed, and why not
    Explain(explain::Args),
    /// Print the completions of a shell, for example: source <(tekseal completions bash)
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Runs the tool of the command line.
#[must_use]
pub fn main() -> ExitCode {
    match crate::parse::<Cli>().tool {
        Tool::BuildahPush(args) => {
            crate::run_async("tekseal-buildah-push", buildah_push::run(&args))
        }
        Tool::GitClone(args) => crate::run_async("tekseal-git-clone", git_clone::run(&args)),
        Tool::ImageIndex(args) => crate::run_async("tekseal-image-index", image_index::run(&args)),
        Tool::Provenance(args) => crate::run("tekseal-provenance", || provenance::run(&args)),
        Tool::Sign(args) => crate::run("tekseal-sign", || sign::run(&args)),
        Tool::Upload(args) => crate::run("tekseal-upload", || upload::run(&args)),
        Tool::Attest(args) => crate::run("tekseal-attest", || attest::run(&args)),
        Tool::Verify(args) => crate::run("tekseal-verify", || verify::run(&args)),
        Tool::Wait(args) => crate::run("tekseal-wait", || wait::run(&args)),
        Tool::Resign(args) => crate::run("tekseal-resign", || resign::run(&args)),
        Tool::Policy(args) => crate::run("tekseal-policy", || policy::run(&args)),
        Tool::Keygen(args) => crate::run("tekseal-keygen", || keygen::run(&args)),
        Tool::Keys(args) => crate::run("tekseal-keys", || keys::run(&args)),
        Tool::Tree(args) => crate::run_async("tekseal-tree", tree::run(&args)),
        Tool::Log(args) => crate::run("tekseal-log", || transparency::run(&args)),
        Tool::Explain(args) => crate::run("tekseal-explain", || explain::run(&args)),
        Tool::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tekseal", &mut script);
            match io::stdout().lock().write_all(&script) {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => Failure::outside(e)
                    .context("writing to stdout")
                    .report("tekseal"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags that several tools share must not have the name of one of their own.
    #[test]
    fn no_two_flags_of_a_tool_are_the_same() {
        Cli::command().debug_assert();
    }
}
