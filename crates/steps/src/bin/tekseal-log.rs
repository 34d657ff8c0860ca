//! `tekseal-log`: see `tekseal_steps::transparency`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-log", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::transparency::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run("tekseal-log", || {
        tekseal_steps::transparency::run(&cli.args)
    })
}
