//! `tekseal-verify`: see `tekseal_steps::verify`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-verify", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::verify::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-verify", || tekseal_steps::verify::run(&cli.args))
}
