//! Finds what `tests/policies/build` builds.

use std::path::{Path, PathBuf};

use crate::peers::{cache_folder, present};
use crate::run::Run;

/// The path of a program; `None`, with the reason printed, where it is missing.
///
/// # Panics
///
/// When it is missing and `CI` is `true`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/build");
    let said = Run::new(script)
        .args(["--path", name])
        .env("TEKSEAL_CACHE", cache_folder())
        .ok();
    let path = PathBuf::from(said.stdout.trim_end());
    let reason = format!(
        "{name} is not at {}: run tests/peers --policies",
        path.display()
    );
    present(path.is_file().then_some(path), &reason)
}
