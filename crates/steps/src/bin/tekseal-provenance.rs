//! `tekseal-provenance`: see `tekseal_steps::provenance`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-provenance", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::provenance::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-provenance", || {
        tekseal_steps::provenance::run(&cli.args)
    })
}
