//! The trusted root of a TUF mirror, for the programs: what was said before is remembered in a folder. See `tekseal_attest::tuf`.
//!
//! The folder's files are written whole or not at all.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_attest::tuf::{Cache, Error, Failed, Repository};
use tekseal_core::Digest;
use tekseal_remote::Mirror;
use tekseal_signing::tuf::{self, MOST_ROOT_BYTES, Root};

use crate::files::{self, Mode};
use crate::registry_args::{RegistryArgs, given};
use crate::{Failure, log};

/// Where trusted roots are distributed.
#[derive(Debug, clap::Args)]
pub struct TufArgs {
    /// TUF repository that has trusted_root.json, in the place of --trusted-root: the URL of a folder with timestamp.json
    #[arg(long, env = "TEKSEAL_TUF_MIRROR", value_name = "URL")]
    tuf_mirror: Option<String>,
    /// Root of that repository (root.json) that is trusted; later ones are followed
    #[arg(long, env = "TEKSEAL_TUF_ROOT", value_name = "FILE")]
    tuf_root: Option<String>,
    /// Folder that remembers what mirrors said [default: tekseal/tuf in XDG_CACHE_HOME or ~/.cache]
    #[arg(long, env = "TEKSEAL_TUF_CACHE", value_name = "DIR")]
    tuf_cache: Option<String>,
}

/// Whether a mirror may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is asked.
    Mirror,
    /// Only the cache is read.
    CacheOnly,
}

/// A folder with what a mirror said.
struct Folder(PathBuf);

/// A root that is believed because somebody gave it, and its bytes.
///
/// # Errors
/// Exit 2 if it cannot be read, or is not signed by its own keys.
pub(crate) fn first_root(path: &str) -> Result<(Vec<u8>, Root), Failure> {
    let bytes = files::read(
        Path::new(path),
        MOST_ROOT_BYTES,
        "root of the TUF repository",
    )?;
    let root = Root::first(&bytes)
        .map_err(|e| Failure::misuse(e).context(format!("reading the TUF root {path}")))?;
    Ok((bytes, root))
}

impl TufArgs {
    /// The URL of the mirror, if there is one.
    pub(crate) fn mirror(&self) -> Option<&str> {
        given(&self.tuf_mirror).next()
    }

    /// The bytes of the current trusted root; nothing where no mirror is given.
    pub(crate) fn trusted_root(
        &self,
        reach: Reach,
        network: &RegistryArgs,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (url, root) = match (self.mirror(), given(&self.tuf_root).next()) {
            (Some(url), Some(root)) => (url, root),
            (Some(_), None) => {
                return Err(Failure::misuse(anyhow!("--tuf-mirror needs --tuf-root"))
                    .hint("a mirror is believed because of the root.json that was got elsewhere: give that"));
            }
            (None, Some(_)) => {
                return Err(Failure::misuse(anyhow!("--tuf-root needs --tuf-mirror")));
            }
            (None, None) => return Ok(None),
        };
        let (_, first) = first_root(root)?;
        // Mirrors that are named differently remember apart.
        let digest = Digest::of(url.trim_end_matches('/').as_bytes());
        let folder = self.cache()?.join(digest.hex());
        let mirror = Mirror::new(url, network.options())?;
        let folder = Folder(folder);
        let repository = Repository {
            mirror: (reach == Reach::Mirror).then_some(&mirror),
            cache: &folder,
        };
        let now = Timestamp::now().as_second();
        let root = async {
            let got = repository.trusted_root(first, now).await;
            got.map_err(|failed| folder.failure(failed, reach, url))
        };
        let root = crate::block_on(root);
        root.map(Some)
            .map_err(|f| f.context(format!("getting the trusted root of {url}")))
    }

    fn cache(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = given(&self.tuf_cache).next() {
            return Ok(PathBuf::from(folder));
        }
        let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache")));
        let cache = cache.map(|cache| cache.join("tekseal").join("tuf"));
        cache.ok_or_else(|| {
            Failure::misuse(anyhow!("neither XDG_CACHE_HOME nor HOME is set"))
                .hint("say by --tuf-cache where to remember what the mirror said")
        })
    }
}

impl Cache for Folder {
    type Error = Failure;

    fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.0.join(name);
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => files::read_plain(&path, most, "cached document").map(Some),
        }
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(name);
        if std::fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        files::make_folder(&self.0)?;
        files::write(&path, bytes, Mode::Public)
    }

    fn passed_over(&self, name: &str, why: &tuf::Error) {
        log::warn(
            "root in the cache not used",
            &[("file", &name), ("reason", &crate::exit::chain(why))],
        );
    }
}

impl Folder {
    /// Who must act, and how.
    fn failure(&self, failed: Failed<Failure>, reach: Reach, url: &str) -> Failure {
        let error = match failed {
            Failed::Cache(failure) => return failure,
            Failed::Root(error) => error,
        };
        let folder = self.0.display();
        match error {
            Error::Mirror(error) => error.into(),
            Error::Refused(error) => self.refused(error, reach),
            Error::NotCached(name) => Failure::misuse(anyhow!(
                "--offline is given, and the cache {folder} has no {name}"
            ))
            .hint(format!(
                "run once without --offline, so that {url} is asked"
            )),
            error @ Error::Rotations => {
                Failure::outside(error).hint("give a newer root.json by --tuf-root")
            }
            error @ (Error::Absent(_) | Error::Slow) => Failure::outside(error),
        }
    }

    /// What is wrong with what the mirror says, or said.
    fn refused(&self, error: tuf::Error, reach: Reach) -> Failure {
        let is_old = matches!(error, tuf::Error::Expired { .. });
        let is_missing = matches!(
            error,
            tuf::Error::Unnamed {
                by: tuf::Role::Targets,
                ..
            }
        );
        let failure = match (reach, is_old) {
            (Reach::Mirror, true) => Failure::outside(error)
                .hint("the mirror is not kept up, or somebody keeps it from us"),
            (Reach::Mirror, false) => Failure::outside(error),
            (Reach::CacheOnly, true) => Failure::misuse(error).hint(format!(
                "what the cache {} has is too old: run once without --offline, or give a file by --trusted-root",
                self.0.display()
            )),
            (Reach::CacheOnly, false) => Failure::misuse(error).hint(format!(
                "the cache {} is damaged, or of another repository: run once without --offline",
                self.0.display()
            )),
        };
        match is_missing {
            true => failure
                .hint("it must be a target of targets.json itself: delegations are not followed"),
            false => failure,
        }
    }
}

impl From<tekseal_remote::mirror::Error> for Failure {
    fn from(error: tekseal_remote::mirror::Error) -> Self {
        Self::blamed(error.blame(), error)
    }
}
