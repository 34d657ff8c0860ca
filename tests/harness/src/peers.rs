//! Finds what the tests need from outside: fixtures, and programs that `tests/peers` installs.

use std::path::{Path, PathBuf};

use crate::run::{Run, on_path};

/// The folder `tests/fixtures`.
///
/// # Panics
///
/// When it is missing, because the tests run outside the source tree.
#[must_use]
pub fn fixtures() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    folder
        .canonicalize()
        .unwrap_or_else(|e| panic!("{} cannot be opened: {e}", folder.display()))
}

/// The folder in which `tests/peers` keeps the peers it builds: `peers` in `TEKSEAL_CACHE`, else in the user's cache.
///
/// # Panics
///
/// When neither variable nor a home folder is set.
#[must_use]
pub fn peer_folder() -> PathBuf {
    cache_folder().join("peers")
}

/// What `TEKSEAL_CACHE` is, or would be.
pub(crate) fn cache_folder() -> PathBuf {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("TEKSEAL_CACHE")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("tekseal")))
        .or_else(|| Some(from("HOME")?.join(".cache/tekseal")))
        .expect("one of TEKSEAL_CACHE, XDG_CACHE_HOME and HOME is set")
}

/// The path of buildah, or `None`, with the reason printed, where it is not installed.
///
/// # Panics
///
/// When it is not installed and `CI` is `true`.
#[must_use]
pub fn buildah() -> Option<PathBuf> {
    present(
        on_path("buildah"),
        "buildah is not installed: run tests/peers",
    )
}

/// Answers for a peer that may be absent on a developer's machine and must not be in CI.
pub(crate) fn present(found: Option<PathBuf>, otherwise: &str) -> Option<PathBuf> {
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "{otherwise}"
        );
        println!("skipped: {otherwise}");
    }
    found
}

/// Whether `./test` left this peer out, which it says at its end: building it would have taken longer than there was time.
pub(crate) fn is_left_out(peer: &str) -> bool {
    let is_left_out = std::env::var_os("TEKSEAL_LEFT_OUT").is_some_and(|left_out| left_out == peer);
    if is_left_out {
        println!("skipped: {peer} is left out");
    }
    is_left_out
}

/// The folder with this program, which a script of `tests/custody` builds; `None`, with the reason printed, where it is missing.
///
/// # Panics
///
/// When it is missing and `CI` is `true`.
pub(crate) fn keeper(script: &str, program: &str) -> Option<PathBuf> {
    let advice = "run tests/peers --sigstore";
    present(
        on_path("setpriv"),
        &format!("setpriv is not installed: {advice}"),
    )?;
    let custody = Path::new(env!("CARGO_MANIFEST_DIR")).join("../custody");
    let said = Run::new(custody.join(script))
        .arg("--path")
        .env("TEKSEAL_CACHE", cache_folder())
        .ok();
    let folder = PathBuf::from(said.stdout.trim_end());
    let reason = format!("{program} is not in {}: {advice}", folder.display());
    present(folder.join(program).is_file().then_some(folder), &reason)
}
