//! Finds what `tests/peers --cluster` installs and builds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::digest;
use crate::peers::{peer_folder, present};
use crate::run::on_path;

const ADVICE: &str = "run tests/peers --cluster";

/// What an API server needs.
pub(super) struct Peers {
    pub(super) etcd: PathBuf,
    pub(super) api_server: PathBuf,
    /// The folder with the definitions of Tekton's types.
    pub(super) crds: PathBuf,
}

impl Peers {
    /// `None`, with the reason printed, where one is missing.
    ///
    /// # Panics
    ///
    /// When one is missing and `CI` is `true`.
    pub(super) fn find() -> Option<Self> {
        installed("setpriv")?;
        Some(Self {
            etcd: installed("etcd")?,
            api_server: built("kubernetes", "kube-apiserver")?,
            crds: built("tekton", "config/300-crds")?,
        })
    }
}

/// The path of kubectl, or `None`, with the reason printed, where it is not there.
///
/// # Panics
///
/// When it is not there and `CI` is `true`.
#[must_use]
pub fn kubectl() -> Option<PathBuf> {
    // What a developer has goes first.
    on_path("kubectl").or_else(|| built("kubernetes", "kubectl"))
}

fn installed(name: &str) -> Option<PathBuf> {
    present(on_path(name), &format!("{name} is not installed: {ADVICE}"))
}

fn built(module: &str, name: &str) -> Option<PathBuf> {
    let hash = hash(module);
    let found = fs::read_dir(peer_folder())
        .into_iter()
        .flatten()
        .flatten()
        .find(|entry| {
            let folder = entry.file_name();
            let folder = folder.to_string_lossy();
            folder.starts_with(&format!("{module}-")) && folder.ends_with(&format!("-{hash}"))
        })
        .map(|entry| entry.path().join(name))
        .filter(|path| path.exists());
    present(
        found,
        &format!(
            "{name} is not in {}/{module}-*-{hash}: {ADVICE}",
            peer_folder().display()
        ),
    )
}

/// What `tests/cluster/build` puts into a folder's name: the hash of all files of the module, in the order of their names.
fn hash(module: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../cluster/mod")
        .join(module);
    let read = || -> std::io::Result<Vec<u8>> {
        let mut files = fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        let contents = files.iter().map(fs::read);
        Ok(contents.collect::<std::io::Result<Vec<_>>>()?.concat())
    };
    let bytes = read().unwrap_or_else(|e| panic!("{} cannot be read: {e}", folder.display()));
    digest(&bytes)["sha256:".len()..][..12].to_owned()
}
