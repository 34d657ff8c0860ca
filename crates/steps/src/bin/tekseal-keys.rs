//! `tekseal-keys`: see `tekseal_steps::keys`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-keys", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::keys::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-keys", || tekseal_steps::keys::run(&cli.args))
}
