//! `tekseal-attest`: see `tekseal_steps::attest`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-attest", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::attest::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-attest", || tekseal_steps::attest::run(&cli.args))
}
