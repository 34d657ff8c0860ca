//! `tekseal-image-index`: see `tekseal_steps::image_index`.

use clap::Parser;

#[derive(Parser)]
#[command(name = "tekseal-image-index", version)]
struct Cli {
    #[command(flatten)]
    args: tekseal_steps::image_index::Args,
}

fn main() -> std::process::ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run_async(
        "tekseal-image-index",
        tekseal_steps::image_index::run(&cli.args),
    )
}
