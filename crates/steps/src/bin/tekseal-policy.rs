//! `tekseal-policy`: see `tekseal_steps::policy`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-policy", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::policy::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-policy", || tekseal_steps::policy::run(&cli.args))
}
