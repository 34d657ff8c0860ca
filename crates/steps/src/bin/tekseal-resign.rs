//! `tekseal-resign`: see `tekseal_steps::resign`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-resign", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::resign::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-resign", || tekseal_steps::resign::run(&cli.args))
}
