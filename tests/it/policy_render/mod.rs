//! `tekseal-policy render` as a process: the ready policies of `deploy/policies`, what is refused, and what is taken from an image.
//!
//! Whether the peers read the policies as they are meant is shown by `./test --policies`.

mod from_image;
mod ready;
mod refused;

use std::path::PathBuf;

use tekseal_harness::Run;

/// The folder of the ready policies.
fn policies() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/policies")
}

/// `tekseal-policy render` with these arguments, beside the ready policies.
fn render(args: &[&str]) -> Run {
    Run::tool("tekseal-policy")
        .folder(policies())
        .env("TEKSEAL_RETRY_FOR", "1")
        .arg("render")
        .args(args)
}
