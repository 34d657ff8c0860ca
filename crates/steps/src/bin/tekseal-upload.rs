//! `tekseal-upload`: see `tekseal_steps::upload`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-upload", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::upload::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-upload", || tekseal_steps::upload::run(&cli.args))
}
