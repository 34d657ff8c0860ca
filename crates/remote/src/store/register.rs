//! A tag that several write, so that nobody's part of it is lost.
//!
//! A tag is a register that anybody may overwrite: registries have no compare-and-swap. Every writer reads the manifest
//! under the tag (a *look*), adds its part and writes the whole. Whoever writes over a manifest that it has not looked at
//! takes away what others added in between; cosign does, and loses signatures. Three rules prevent it.
//!
//! ```text
//!   writer A    look ───────────── write ──── settle ──── look back: mine ──▶ confirmed
//!                │◀── window ≤ T ──▶│◀── longer than any window ──▶│
//!   writer B       look ─────────────── write                     ┊
//!                   │  B did not see A's write: it takes it away …┊
//!                   └───── but not later than here ──────▶│       ┊ … so A sees it, looks, merges, writes again
//!
//!   writer C         look ─── slow uploads ───┬─ window > T ─▶ look again: changed ─▶ merge with what is there now
//! ```
//!
//! 1. *Window.* Nobody writes on an old look. If more than T = max(30 ms, 4 × the shortest round trip seen) has passed
//!    between the start of the last look and the write, the tag is asked for again (HEAD), and if it has changed, read and
//!    merged again. The same holds for that second look, as often as it takes.
//! 2. *Settle.* A write counts only when, S = 1.5 × (T + the time the write itself took) later, the tag still has
//!    that digest. A writer that looked before our write was in effect has written by then (rule 1: T, plus the time
//!    its write takes), so that we see it; one that looked later has our part.
//! 3. *Contention.* If the tag has another digest, it is read. With all of our part in it, another and longer look back
//!    must find it too; without, it is merged in and written again, always after a fresh look, with waits that grow
//!    and differ from writer to writer. Whoever overwrote us has looked and written; in every round at least one writer
//!    is done, so all of them get there.
//!
//! An answer of 5xx, or none, to a write says nothing about the tag. Such a write is not simply sent again, for others may
//! have looked in between: the tag is read first.
//!
//! *What remains:* a write that is under way for longer than S of another writer beyond its own window (held up between
//! the client and the registry's storage) and takes effect after the other's look back. Nobody can see that from outside. S
//! follows the registry's speed as this writer measures it; a writer many times slower than the others is the dangerous one.
//! Writers that do not follow the rules (cosign) are seen when they overwrite within S, and not afterwards.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tekseal_core::{Digest, Repository};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep};

use crate::Registry;
use crate::registry::{self, Cause, MANIFEST_LIMIT, Manifest, Reference};

use super::error::Error;
use super::manifest;
use super::pace::{Pace, jitter};

/// For how long a writer contends with others.
const PATIENCE: Duration = Duration::from_secs(60);
/// A manifest of up to so many bytes, some eighty attestations, needs no leave.
pub(super) const SMALL: u64 = 32 << 10;

/// What lies under a tag; none at all is the default.
pub(super) trait Document: Default {
    /// Reads what a registry handed out.
    fn parse(found: &Manifest) -> Result<Self, manifest::Error>;
}

/// What somebody wants to be under a tag.
pub(super) trait Change {
    /// What lies there.
    type Document: Document;

    /// What to write over `look`, or nothing if everything is there. What that names is in the repository then.
    fn next(
        &mut self,
        register: &mut Register<'_>,
        look: &Look<Self::Document>,
    ) -> impl Future<Output = Result<Option<Next>, Error>> + Send;

    /// Whether everything is in `document`.
    fn is_in(&self, document: &Self::Document) -> bool;

    /// What [`next`](Self::next) gave is being written.
    fn is_written(&mut self);

    /// Whether a write failed for the lack of something that [`next`](Self::next) will put there again.
    fn is_lost(&mut self, error: &registry::Error) -> bool;
}

/// What is written.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
    pub(super) digest: Digest,
}

/// What was under the tag at one time.
pub(super) struct Look<D> {
    pub(super) document: D,
    pub(super) digest: Option<Digest>,
    /// When the question was sent: the answer may be as old as that.
    since: Instant,
}

/// One writer of one tag.
pub(super) struct Register<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    tag: String,
    place: String,
    pace: Pace,
    started: Instant,
    patience: Duration,
    settles_later: bool,
    contention: Contention,
    room: Room<'a>,
}

/// How badly others are in the way.
#[derive(Default)]
struct Contention {
    /// Whether anybody was: then nothing is believed at first sight.
    seen: bool,
    /// How often the tag was written.
    writes: u32,
    /// How often we waited for others.
    rounds: u32,
    /// When the first of the writes without a clear answer was.
    unclear_since: Option<Instant>,
}

/// Leave to have a large manifest in work, taken when the first is met and kept to the end: nobody waits for a second.
#[derive(Default)]
struct Room<'a>(Option<SemaphorePermit<'a>>);

impl<'a> Register<'a> {
    pub(super) fn new(registry: &'a Registry, repository: &'a Repository, tag: String) -> Self {
        Self {
            registry,
            repository,
            place: format!("{repository}:{tag}"),
            tag,
            pace: Pace::default(),
            started: Instant::now(),
            patience: PATIENCE,
            settles_later: false,
            contention: Contention::default(),
            room: Room::default(),
        }
    }

    /// The same with another time to contend with other writers.
    pub(super) fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same, with the last wait left to the caller.
    pub(super) fn settling_later(mut self) -> Self {
        self.settles_later = true;
        self
    }

    /// The tag.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// How the tag is called in messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Takes note of how long one request took.
    pub(super) fn saw(&mut self, trip: Duration) {
        self.pace.saw(trip);
    }

    /// Takes note of a time in which nobody was in the way.
    pub(super) fn extend(&mut self, time: Duration) {
        self.patience += time;
    }

    /// Makes the change, and sees to it that it stays: the digest of what was confirmed to hold it, and how long the last write needs to settle
    /// where that is left to the caller. `look` is the first one.
    pub(super) async fn make<C: Change>(
        &mut self,
        mut look: Look<C::Document>,
        change: &mut C,
    ) -> Result<(Digest, Option<Duration>), Error> {
        loop {
            let next = change.next(self, &look).await?;
            let mut left = None;
            let confirmed = match (next, look.digest.clone()) {
                (Some(next), _) => {
                    if let Some(newer) = self.look_again(&look).await? {
                        look = newer;
                        continue;
                    }
                    let digest = next.digest.clone();
                    match self.write(next, change).await? {
                        Some(settle) => {
                            left = Some(settle);
                            self.confirm(change, digest, settle).await?
                        }
                        None => None,
                    }
                }
                (None, Some(digest)) if self.contention.writes > 0 => {
                    let settle = self.pace.settle(Duration::ZERO);
                    self.confirm(change, digest, settle).await?
                }
                (None, digest) => digest,
            };
            if let Some(digest) = confirmed {
                // Among others it has settled already.
                let left = left.filter(|_| self.settles_later && !self.contention.seen);
                return Ok((digest, left));
            }
            self.give_way().await?;
            look = self.look().await?;
        }
    }

    /// Reads the tag.
    pub(super) async fn look<D: Document>(&mut self) -> Result<Look<D>, Error> {
        let mut since = Instant::now();
        let (registry, tag) = (self.registry, Reference::Tag(&self.tag));
        let read = |limit| timed(registry.get_manifest_within(self.repository, tag, limit));
        let (mut found, mut trip) = match self.room.0 {
            Some(_) => read(MANIFEST_LIMIT).await,
            None => read(SMALL).await,
        };
        if self.room.0.is_none() && found.as_ref().is_err_and(is_large) {
            self.room.0 = Some(registry.large().await);
            since = Instant::now();
            (found, trip) = read(MANIFEST_LIMIT).await;
        }
        self.pace.saw(trip);
        let parse = |found: &Manifest| {
            D::parse(found).map_err(|source| Error::Manifest {
                place: self.place.clone(),
                source,
            })
        };
        Ok(match found? {
            Some(found) => Look {
                document: parse(&found)?,
                digest: Some(found.digest),
                since,
            },
            None => Look {
                document: D::default(),
                digest: None,
                since,
            },
        })
    }

    /// Gives back the leave to have a large manifest in work.
    pub(super) fn leave(&mut self) {
        self.room = Room::default();
    }

    /// Rule 1: a newer look if the tag is not what it was; nothing if it may be written now.
    async fn look_again<D: Document>(&mut self, look: &Look<D>) -> Result<Option<Look<D>>, Error> {
        let mut since = look.since;
        // Among other writers a look is too old as soon as anything was uploaded.
        let mut is_fresh = !self.contention.seen;
        let mut late = 0;
        while !is_fresh || since.elapsed() > self.pace.window(late) {
            self.check_patience()?;
            since = Instant::now();
            let digest = self.head().await?;
            if digest != look.digest {
                self.contention.seen = true;
                return self.look().await.map(Some);
            }
            late += 1;
            is_fresh = true;
        }
        Ok(None)
    }

    async fn head(&mut self) -> Result<Option<Digest>, registry::Error> {
        let head = self
            .registry
            .head_manifest(self.repository, Reference::Tag(&self.tag));
        let (head, trip) = timed(head).await;
        let digest = head?.map(|head| head.digest);
        self.pace.saw(trip);
        Ok(digest)
    }

    /// Writes the tag once. How long to wait before looking back; nothing if nobody knows whether it was written.
    async fn write<C: Change>(
        &mut self,
        next: Next,
        change: &mut C,
    ) -> Result<Option<Duration>, Error> {
        self.check_patience()?;
        change.is_written();
        self.contention.writes += 1;
        let tag = Reference::Tag(&self.tag);
        let write =
            self.registry
                .put_manifest_once(self.repository, tag, next.media_type, next.bytes);
        let (written, trip) = timed(write).await;
        let Err(error) = written else {
            self.contention.unclear_since = None;
            return Ok(Some(self.pace.settle(trip)));
        };
        let since = *self
            .contention
            .unclear_since
            .get_or_insert_with(Instant::now);
        let is_unclear = change.is_lost(&error) || error.cause().is_some_and(Cause::may_pass);
        if !is_unclear || since.elapsed() >= self.registry.retry_for() {
            return Err(error.into());
        }
        self.contention.seen = true;
        if let Some(wait) = error.cause().and_then(Cause::retry_after) {
            sleep(wait.min(self.patience_left())).await;
        }
        Ok(None)
    }

    /// Rules 2 and 3: the digest under the tag when it holds everything and stays so; nothing if something is gone.
    async fn confirm<C: Change>(
        &mut self,
        change: &C,
        written: Digest,
        settle: Duration,
    ) -> Result<Option<Digest>, Error> {
        let place = self.place.clone();
        let unconfirmed = |error: Error| match error {
            Error::Registry(source) => Error::Unconfirmed {
                place: place.clone(),
                source,
            },
            other => other,
        };
        let (mut known, mut calm, mut wait) = (written, 0, settle);
        if self.settles_later && !self.contention.seen {
            wait = Duration::ZERO;
        }
        loop {
            sleep(wait).await;
            let digest = self
                .head()
                .await
                .map_err(|source| unconfirmed(source.into()))?;
            if digest.as_ref() != Some(&known) {
                self.contention.seen = true;
                let look = self.look().await.map_err(&unconfirmed)?;
                match look.digest {
                    Some(digest) if change.is_in(&look.document) => known = digest,
                    _ => return Ok(None),
                }
            }
            calm += 1;
            if calm == if self.contention.seen { 2 } else { 1 } {
                return Ok(Some(known));
            }
            wait = self.pause(settle)?;
        }
    }

    /// Lets others finish before the next try.
    async fn give_way(&mut self) -> Result<(), Error> {
        self.check_patience()?;
        let longest = self.pause(Duration::ZERO)?;
        sleep(jitter(longest)).await;
        Ok(())
    }

    fn pause(&mut self, least: Duration) -> Result<Duration, Error> {
        self.check_patience()?;
        self.contention.rounds += 1;
        Ok(Pace::pause(self.contention.rounds - 1, least))
    }

    fn patience_left(&self) -> Duration {
        self.patience.saturating_sub(self.started.elapsed())
    }

    fn check_patience(&self) -> Result<(), Error> {
        if !self.patience_left().is_zero() {
            return Ok(());
        }
        let after = self.started.elapsed();
        Err(Error::Lost {
            place: self.place.clone(),
            writes: self.contention.writes,
            after,
        })
    }
}

/// Whether something was not read because it is larger than was allowed for.
pub(super) fn is_large(error: &registry::Error) -> bool {
    let cause = error.cause();
    cause.is_some_and(|cause| matches!(cause, Cause::TooLarge { .. }))
}

pub(super) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}
