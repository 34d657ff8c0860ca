//! A PKCS#11 token in files: SoftHSM, of the package softhsm2.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::peers::present;
use crate::run::{Run, on_path};

/// Where the package puts its module, by distribution.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
];

/// A token with the label `tekseal` and the PIN [`SoftHsm::PIN`]. It ends with this value.
pub struct SoftHsm {
    folder: TempDir,
    module: PathBuf,
}

impl SoftHsm {
    /// What opens the token.
    pub const PIN: &str = "7531-token";

    /// Makes one; `None`, with the reason printed, where SoftHSM is not installed.
    ///
    /// # Panics
    ///
    /// When it is missing and `CI` is `true`, or makes no token.
    #[must_use]
    pub fn start() -> Option<Self> {
        let module = MODULES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file());
        let module = present(
            module
                .zip(on_path("softhsm2-util"))
                .map(|(module, _)| module),
            "softhsm2 is not installed: run tests/peers --sigstore",
        )?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).expect("the folder is ours");
        let settings = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(folder.path().join("softhsm2.conf"), settings).expect("the folder is ours");
        let hsm = Self { folder, module };
        Run::new("softhsm2-util")
            .env("SOFTHSM2_CONF", hsm.settings())
            .args([
                "--init-token",
                "--free",
                "--label",
                "tekseal",
                "--so-pin",
                "0000-officer",
                "--pin",
                Self::PIN,
            ])
            .ok();
        Some(hsm)
    }

    /// The shared library to talk to it.
    #[must_use]
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// What the variable SOFTHSM2_CONF must name.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }
}
