//! The trusted root of a TUF mirror: asks the mirror, or only what it said before, and remembers it.
//!
//! Nothing in the cache is believed: each time everything is verified anew, from the root that was given. What a cache is for is that a mirror shows
//! nothing older than it showed before, and that no network is needed. Its files are written whole or not at all, each as soon as it is verified: a
//! mirror that keeps back what comes next must not make us forget what it has shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_core::Digest;
use tekseal_remote::Mirror;
use tekseal_signing::tuf::{
    self, Cached, MOST_METADATA_BYTES, MOST_ROOT_BYTES, MOST_ROTATIONS, MOST_TIMESTAMP_BYTES, Root,
};

use crate::files::{self, Mode};
use crate::registry_args::{RegistryArgs, given};
use crate::{Failure, log};

/// The target that is asked for.
const TARGET: &str = "trusted_root.json";
/// The largest target that is read, as with files.
const MOST_TARGET_BYTES: u64 = 4 << 20;
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(300);

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

/// A mirror, and what is known of it.
struct Repository<'a> {
    mirror: Option<Mirror>,
    folder: PathBuf,
    url: &'a str,
}

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
        let repository = Repository {
            mirror: (reach == Reach::Mirror).then_some(mirror),
            folder,
            url,
        };
        let now = Timestamp::now().as_second();
        let update = async {
            let update = tokio::time::timeout(LONGEST, repository.update(first, now));
            update.await.unwrap_or_else(|_| {
                let seconds = LONGEST.as_secs();
                Err(Failure::outside(anyhow!(
                    "not done after {seconds} seconds"
                )))
            })
        };
        let root = crate::block_on(update);
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

impl Repository<'_> {
    /// The content of the target, after section 5.3 of the specification.
    async fn update(&self, first: Root, now: i64) -> Result<Vec<u8>, Failure> {
        let root = self.last_root(first).await?;
        let current = root.current(now).map_err(|e| self.refused(e))?;
        let cached_timestamp = self.cached("timestamp.json", MOST_TIMESTAMP_BYTES)?;
        let cached_snapshot = self.cached("snapshot.json", MOST_METADATA_BYTES)?;
        let cached_targets = self.cached("targets.json", MOST_METADATA_BYTES)?;
        let known = current.known(Cached {
            timestamp: cached_timestamp.as_deref(),
            snapshot: cached_snapshot.as_deref(),
            targets: cached_targets.as_deref(),
        });
        let timestamp = match &self.mirror {
            Some(_) => Some(self.need("timestamp.json", MOST_TIMESTAMP_BYTES).await?),
            None => cached_timestamp,
        };
        let timestamp = timestamp.ok_or_else(|| self.not_cached("timestamp.json"))?;
        let timestamp = current
            .timestamp(&timestamp, &known)
            .map_err(|e| self.refused(e))?;
        if self.mirror.is_some() {
            self.keep("timestamp.json", timestamp.bytes())?;
        }
        let (file, most) = timestamp.snapshot_file(&root);
        let take = |bytes: &[u8]| current.snapshot(&timestamp, bytes, &known);
        let snapshot = self.current("snapshot.json", cached_snapshot, &file, most, take);
        let snapshot = snapshot.await?.1;
        let (file, most) = snapshot.targets_file(&root);
        let take = |bytes: &[u8]| current.targets(&snapshot, bytes);
        let targets = self.current("targets.json", cached_targets, &file, most, take);
        let targets = targets.await?.1;
        let target = targets.find(TARGET).map_err(|e| {
            self.refused(e)
                .hint("it must be a target of targets.json itself: delegations are not followed")
        })?;
        let cached = self.cached(TARGET, MOST_TARGET_BYTES)?;
        let path = target.path(&root).map_err(|e| self.refused(e))?;
        let most = target.length().min(MOST_TARGET_BYTES);
        let take = |bytes: &[u8]| target.check(bytes);
        let (content, ()) = self.current(TARGET, cached, &path, most, take).await?;
        Ok(content)
    }

    /// The last of the roots that follow from the first.
    async fn last_root(&self, first: Root) -> Result<Root, Failure> {
        let mut root = first;
        for _ in 0..MOST_ROTATIONS {
            let file = format!("{}.root.json", root.next_version());
            if let Some(bytes) = self.cached(&file, MOST_ROOT_BYTES)? {
                match root.next(&bytes) {
                    Ok(next) => {
                        root = next;
                        continue;
                    }
                    Err(e) if self.mirror.is_none() => return Err(self.refused(e)),
                    Err(e) => log::warn(
                        "root in the cache not used",
                        &[("file", &file), ("reason", &crate::exit::chain(&e))],
                    ),
                }
            }
            let Some(mirror) = &self.mirror else {
                return Ok(root);
            };
            let Some(bytes) = mirror.get(&file, MOST_ROOT_BYTES).await? else {
                return Ok(root);
            };
            root = root.next(&bytes).map_err(|e| self.refused(e))?;
            self.keep(&file, &bytes)?;
        }
        Err(Failure::outside(anyhow!(
            "more than {MOST_ROTATIONS} roots follow each other"
        ))
        .hint("give a newer root.json by --tuf-root"))
    }

    /// What is cached under `name` if `take` takes it, else what the mirror has at `path`, which is remembered then.
    async fn current<T>(
        &self,
        name: &str,
        cached: Option<Vec<u8>>,
        path: &str,
        most: u64,
        take: impl Fn(&[u8]) -> Result<T, tuf::Error>,
    ) -> Result<(Vec<u8>, T), Failure> {
        let taken = cached.map(|bytes| {
            let taken = take(&bytes);
            (bytes, taken)
        });
        match taken {
            Some((bytes, Ok(taken))) => return Ok((bytes, taken)),
            Some((_, Err(e))) if self.mirror.is_none() => return Err(self.refused(e)),
            _ => {}
        }
        if self.mirror.is_none() {
            return Err(self.not_cached(name));
        }
        let bytes = self.need(path, most).await?;
        let taken = take(&bytes).map_err(|e| self.refused(e))?;
        self.keep(name, &bytes)?;
        Ok((bytes, taken))
    }

    /// A file that the mirror must have.
    async fn need(&self, path: &str, most: u64) -> Result<Vec<u8>, Failure> {
        let found = match &self.mirror {
            Some(mirror) => mirror.get(path, most).await?,
            None => None,
        };
        found.ok_or_else(|| Failure::outside(anyhow!("the mirror has no {path}")))
    }

    fn cached(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.folder.join(name);
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => files::read_plain(&path, limit, "cached document").map(Some),
        }
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        if std::fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        files::make_folder(&self.folder)?;
        files::write(&path, bytes, Mode::Public)
    }

    /// What is wrong with what the mirror says, or said.
    fn refused(&self, error: tuf::Error) -> Failure {
        let is_old = matches!(error, tuf::Error::Expired { .. });
        match (&self.mirror, is_old) {
            (Some(_), true) => Failure::outside(error)
                .hint("the mirror is not kept up, or somebody keeps it from us"),
            (Some(_), false) => Failure::outside(error),
            (None, true) => Failure::misuse(error).hint(format!(
                "what the cache {} has is too old: run once without --offline, or give a file by --trusted-root",
                self.folder.display()
            )),
            (None, false) => Failure::misuse(error).hint(format!(
                "the cache {} is damaged, or of another repository: run once without --offline",
                self.folder.display()
            )),
        }
    }

    fn not_cached(&self, name: &str) -> Failure {
        Failure::misuse(anyhow!(
            "--offline is given, and the cache {} has no {name}",
            self.folder.display()
        ))
        .hint(format!(
            "run once without --offline, so that {} is asked",
            self.url
        ))
    }
}

impl From<tekseal_remote::mirror::Error> for Failure {
    fn from(error: tekseal_remote::mirror::Error) -> Self {
        Self::blamed(error.blame(), error)
    }
}
