//! `tekseal-keygen`: see `tekseal_steps::keygen`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-keygen", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::keygen::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-keygen", || tekseal_steps::keygen::run(&cli.args))
}
