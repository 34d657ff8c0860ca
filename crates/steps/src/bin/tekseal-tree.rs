//! `tekseal-tree`: see `tekseal_steps::tree`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-tree", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::tree::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run_async("tekseal-tree", tekseal_steps::tree::run(&cli.args))
}
