//! `tekseal-explain`: see `tekseal_steps::explain`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-explain", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::explain::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-explain", || tekseal_steps::explain::run(&cli.args))
}
