//! `tekseal-buildah-push`: see `tekseal_steps::buildah_push`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-buildah-push", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::buildah_push::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run_async(
        "tekseal-buildah-push",
        tekseal_steps::buildah_push::run(&cli.args),
    )
}
