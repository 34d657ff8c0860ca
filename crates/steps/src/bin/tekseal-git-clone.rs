//! `tekseal-git-clone`: see `tekseal_steps::git_clone`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-git-clone", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::git_clone::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run_async(
        "tekseal-git-clone",
        tekseal_steps::git_clone::run(&cli.args),
    )
}
