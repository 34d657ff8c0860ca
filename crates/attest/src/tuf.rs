//! The trusted root of a TUF mirror: asks the mirror, or only what it said before, and has it remembered.
//!
//! Specification: <https://theupdateframework.github.io/specification/latest/>, section 5.3.
//!
//! Nothing in the cache is believed: each time everything is verified anew, from the root that was given. What a cache is for is that a mirror shows
//! nothing older than it showed before, and that no network is needed. What is verified is remembered at once: a mirror that keeps back what comes next
//! must not make us forget what it has shown.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tekseal_remote::{Mirror, mirror};
use tekseal_signing::tuf::{
    self, Cached, MOST_METADATA_BYTES, MOST_ROOT_BYTES, MOST_ROTATIONS, MOST_TIMESTAMP_BYTES, Root,
};

/// The target that is asked for.
const TARGET: &str = "trusted_root.json";
/// The largest target that is read, as with files.
const MOST_TARGET_BYTES: u64 = 4 << 20;
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(300);

/// What remembers what a mirror said, each document under its name.
pub trait Cache {
    /// Why it does not.
    type Error;

    /// The document of at most so many bytes; `None` if there is none.
    ///
    /// # Errors
    /// If there is one, and it cannot be read.
    fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Remembers it.
    ///
    /// # Errors
    /// If it cannot be written.
    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Hears that a root in the cache was not used, and why.
    fn passed_over(&self, name: &str, why: &tuf::Error);
}

/// A cache that ends with its process.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

/// Why there is no trusted root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mirror does not answer, or with something else.
    #[error(transparent)]
    Mirror(#[from] mirror::Error),
    /// What it has, or had, is refused.
    #[error(transparent)]
    Refused(#[from] tuf::Error),
    /// It lacks something.
    #[error("the mirror has no {0}")]
    Absent(String),
    /// It was not to be asked, and this is not remembered.
    #[error("{0} is not remembered")]
    NotCached(String),
    /// There is no end of roots.
    #[error("more than {MOST_ROTATIONS} roots follow each other")]
    Rotations,
    /// It drips.
    #[error("not done after {} seconds", LONGEST.as_secs())]
    Slow,
}

/// The same, or why the cache does not work.
#[derive(Debug)]
pub enum Failed<E> {
    /// There is no trusted root.
    Root(Error),
    /// The cache does not work.
    Cache(E),
}

/// A mirror, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'a, C> {
    /// Where it is; without it only the cache is read.
    pub mirror: Option<&'a Mirror>,
    /// What it said before.
    pub cache: &'a C,
}

impl<C: Cache> Repository<'_, C> {
    /// The content of the trusted root, from the first root on, at this time in seconds of Unix.
    ///
    /// # Errors
    /// If the mirror has none that can be believed, or the cache cannot be used.
    pub async fn trusted_root(&self, first: Root, now: i64) -> Result<Vec<u8>, Failed<C::Error>> {
        let update = tokio::time::timeout(LONGEST, self.update(first, now));
        update.await.unwrap_or(Err(Failed::Root(Error::Slow)))
    }

    async fn update(&self, first: Root, now: i64) -> Result<Vec<u8>, Failed<C::Error>> {
        let root = self.last_root(first).await?;
        let current = root.current(now)?;
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
        let timestamp = timestamp.ok_or_else(|| Error::NotCached("timestamp.json".to_owned()))?;
        let timestamp = current.timestamp(&timestamp, &known)?;
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
        let target = targets.find(TARGET)?;
        let cached = self.cached(TARGET, MOST_TARGET_BYTES)?;
        let path = target.path(&root)?;
        let most = target.length().min(MOST_TARGET_BYTES);
        let take = |bytes: &[u8]| target.check(bytes);
        let (content, ()) = self.current(TARGET, cached, &path, most, take).await?;
        Ok(content)
    }

    /// The last of the roots that follow from the first.
    async fn last_root(&self, first: Root) -> Result<Root, Failed<C::Error>> {
        let mut root = first;
        for _ in 0..MOST_ROTATIONS {
            let file = format!("{}.root.json", root.next_version());
            if let Some(bytes) = self.cached(&file, MOST_ROOT_BYTES)? {
                match root.next(&bytes) {
                    Ok(next) => {
                        root = next;
                        continue;
                    }
                    Err(e) if self.mirror.is_none() => return Err(e.into()),
                    Err(e) => self.cache.passed_over(&file, &e),
                }
            }
            let Some(mirror) = &self.mirror else {
                return Ok(root);
            };
            let Some(bytes) = mirror.get(&file, MOST_ROOT_BYTES).await? else {
                return Ok(root);
            };
            root = root.next(&bytes)?;
            self.keep(&file, &bytes)?;
        }
        Err(Error::Rotations.into())
    }

    /// What is cached under `name` if `take` takes it, else what the mirror has at `path`, which is remembered then.
    async fn current<T>(
        &self,
        name: &str,
        cached: Option<Vec<u8>>,
        path: &str,
        most: u64,
        take: impl Fn(&[u8]) -> Result<T, tuf::Error>,
    ) -> Result<(Vec<u8>, T), Failed<C::Error>> {
        let taken = cached.map(|bytes| {
            let taken = take(&bytes);
            (bytes, taken)
        });
        match taken {
            Some((bytes, Ok(taken))) => return Ok((bytes, taken)),
            Some((_, Err(e))) if self.mirror.is_none() => return Err(e.into()),
            _ => {}
        }
        if self.mirror.is_none() {
            return Err(Error::NotCached(name.to_owned()).into());
        }
        let bytes = self.need(path, most).await?;
        let taken = take(&bytes)?;
        self.keep(name, &bytes)?;
        Ok((bytes, taken))
    }

    /// A file that the mirror must have.
    async fn need(&self, path: &str, most: u64) -> Result<Vec<u8>, Failed<C::Error>> {
        let found = match &self.mirror {
            Some(mirror) => mirror.get(path, most).await?,
            None => None,
        };
        found.ok_or_else(|| Error::Absent(path.to_owned()).into())
    }

    fn cached(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Failed<C::Error>> {
        self.cache.read(name, most).map_err(Failed::Cache)
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Failed<C::Error>> {
        self.cache.keep(name, bytes).map_err(Failed::Cache)
    }
}

impl Cache for Memory {
    type Error = Infallible;

    fn read(&self, name: &str, _most: u64) -> Result<Option<Vec<u8>>, Infallible> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.get(name).cloned())
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Infallible> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    /// It followed from the same first root when it was kept, so the mirror is asked again and nothing else is wrong.
    fn passed_over(&self, _name: &str, _why: &tuf::Error) {}
}

impl From<Failed<Infallible>> for Error {
    fn from(failed: Failed<Infallible>) -> Self {
        match failed {
            Failed::Root(error) => error,
            Failed::Cache(never) => match never {},
        }
    }
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Root(error)
    }
}

impl<E> From<tuf::Error> for Failed<E> {
    fn from(error: tuf::Error) -> Self {
        Self::Root(error.into())
    }
}

impl<E> From<mirror::Error> for Failed<E> {
    fn from(error: mirror::Error) -> Self {
        Self::Root(error.into())
    }
}
