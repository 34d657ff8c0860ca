//! `tekseal-wait`: see `tekseal_steps::wait`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-wait", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::wait::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-wait", || tekseal_steps::wait::run(&cli.args))
}
