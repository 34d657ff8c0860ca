//! Reads what is trusted: Sigstore's `trusted_root.json`.

use std::borrow::Cow;
use std::path::Path;

use tekseal_core::{TrustedRoot, trusted_root};
use tekseal_signing::Trust;

use crate::{Failure, files};

/// What is given in the place of a file for the root that is part of this program.
const PUBLIC_GOOD: &str = "public-good";

/// No trusted root comes near this size.
const MOST_BYTES: u64 = 4 << 20;

/// What the file at `path` says is trusted, or with `public-good` the root of Sigstore's public instance that is part of this program.
///
/// # Errors
/// Exit 2 if it cannot be read, or cannot be used.
pub(crate) fn read_trusted_root(path: &str) -> Result<Trust, Failure> {
    let bytes = bytes_of(path, MOST_BYTES)
        .map_err(|f| f.context(format!("reading the trusted root {path}")))?;
    parse_trusted_root(&bytes, path)
}

/// Whether this stands for the root of Sigstore's public instance.
pub(crate) fn is_public_good(path: &str) -> bool {
    path == PUBLIC_GOOD
}

/// The document at `path`, of at most so many bytes, or with `public-good` that of Sigstore's public instance.
///
/// # Errors
/// Exit 2 if it cannot be read.
pub(crate) fn bytes_of(path: &str, most: u64) -> Result<Cow<'static, [u8]>, Failure> {
    match is_public_good(path) {
        true => Ok(Cow::Borrowed(trusted_root::PUBLIC_GOOD)),
        false => files::read(Path::new(path), most, "trusted root").map(Cow::Owned),
    }
}

/// What these bytes say is trusted; `name` is for people.
///
/// # Errors
/// Exit 2 if they cannot be used.
pub(crate) fn parse_trusted_root(bytes: &[u8], name: &str) -> Result<Trust, Failure> {
    let read = || {
        let root = TrustedRoot::parse(bytes).map_err(|e| {
            Failure::misuse(e).hint(
                "wanted is Sigstore's trusted_root.json, as `cosign trusted-root create` writes it",
            )
        })?;
        Trust::new(&root).map_err(Failure::misuse)
    };
    read().map_err(|f| f.context(format!("reading the trusted root {name}")))
}
