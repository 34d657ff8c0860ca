//! `tekseal-sign`: see `tekseal_steps::sign`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-sign", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::sign::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-sign", || tekseal_steps::sign::run(&cli.args))
}
