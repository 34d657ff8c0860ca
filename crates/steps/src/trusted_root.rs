//! Reads what is trusted: Sigstore's `trusted_root.json`.

use std::path::Path;

use tekseal_core::TrustedRoot;
use tekseal_signing::Trust;

use crate::{Failure, files};

/// No trusted root comes near this size.
const MOST_BYTES: u64 = 4 << 20;

/// What the file at `path` says is trusted.
///
/// # Errors
/// Exit 2 if it cannot be read, or cannot be used.
pub(crate) fn read_trusted_root(path: &str) -> Result<Trust, Failure> {
    read(path).map_err(|f| f.context(format!("reading the trusted root {path}")))
}

fn read(path: &str) -> Result<Trust, Failure> {
    let bytes = files::read(Path::new(path), MOST_BYTES, "trusted root")?;
    let root = TrustedRoot::parse(&bytes).map_err(|e| {
        Failure::misuse(e).hint(
            "wanted is Sigstore's trusted_root.json, as `cosign trusted-root create` writes it",
        )
    })?;
    Trust::new(&root).map_err(Failure::misuse)
}
