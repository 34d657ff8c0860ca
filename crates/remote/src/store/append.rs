//! Appends to a tag that others append to as well, so that nobody's layer is lost.
//!
//! A tag is a register that anybody may overwrite: registries have no compare-and-swap. Every writer reads the manifest
//! under the tag (a *look*), adds its layers and writes the whole. Whoever writes over a manifest that it has not looked at
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
//!    its write takes), so that we see it; one that looked later has our layers.
//! 3. *Contention.* If the tag has another digest, it is read. With all our layers in it, another and longer look back
//!    must find them too; without, they are merged in and written again, always after a fresh look, with waits that grow
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
//!
//! A caller that works on many images may let rule 2's wait go by elsewhere ([`append_early`]): the tag is looked back at once, and again
//! when the write has settled, by the caller. In between the items are there, but may yet be taken away.
//!
//! Cost without contention: {GET tag, POST layer, POST configuration}, {PUT layer, PUT configuration}, PUT manifest and
//! one HEAD: three latencies, the settling time and one latency.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tekseal_core::{Digest, DigestRef, Signed, cosign};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep};

use crate::Registry;
use crate::body::Content;
use crate::registry::{self, Cause, MANIFEST_LIMIT, Manifest, Reference, Upload};

use super::concurrent::concurrently;
use super::error::Error;
use super::item::{Item, SignedFile};
use super::manifest::{Encoded, ImageManifest};
use super::merge::{Merged, Merger, Same};
use super::pace::{Pace, jitter};
use super::{Outcome, Stored, place};

/// For how long [`append`] contends with other writers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many blobs are uploaded side by side.
const WIDTH: usize = 32;

/// Puts all of `new` under one tag beside `image`, in one write, and confirms that they stayed there.
///
/// `image` names the repository to write to and the digest that the tag is made of; its repository may be another one than
/// the image's own. `tag` is the one of signatures or of attestations. `same(existing, new)` decides whether a layer that
/// is there makes a new one superfluous though its signature differs; it gets unverified content.
///
/// Several calls may run side by side, on the same tag too: see the module for how nothing gets lost.
///
/// # Errors
/// [`Error::Manifest`] if something else is under the tag or it is full; it is left untouched then. [`Error::Lost`] after a minute
/// of contention. [`Error::Registry`] and [`Error::Unconfirmed`] for what the registry does.
pub async fn append(
    registry: &Registry,
    image: &DigestRef,
    tag: cosign::Tag,
    new: &[Signed],
    same: &(dyn Fn(&Signed, &Signed) -> bool + Sync),
) -> Result<Stored, Error> {
    append_within(registry, image, tag, new, same, PATIENCE).await
}

/// [`append`] without its wait at the end: where nobody was seen in the way, the items are seen under the tag right after the write, and for
/// how long the caller must wait before it looks whether the tag still has [`Stored::manifest_digest`]; if it does not, it must append them
/// again. Nothing is left to do without a time.
///
/// # Errors
/// As [`append`].
pub async fn append_early(
    registry: &Registry,
    image: &DigestRef,
    tag: cosign::Tag,
    new: &[Signed],
    same: &(dyn Fn(&Signed, &Signed) -> bool + Sync),
) -> Result<(Stored, Option<Duration>), Error> {
    let mut writer = Writer::new(registry, image, tag, held(new), same)?;
    writer.settles_later = true;
    writer.run().await
}

/// [`append`] of one attestation that is not in memory. Only an equal one that is there makes it superfluous.
///
/// # Errors
/// As [`append`].
pub async fn append_file(
    registry: &Registry,
    image: &DigestRef,
    new: SignedFile,
) -> Result<Stored, Error> {
    let (tag, new) = (cosign::Tag::Attestations, [Item::File(new)].into());
    let same = |_: &Signed, _: &Signed| false;
    let writer = Writer::new(registry, image, tag, new, &same)?;
    let (stored, _) = writer.run().await?;
    Ok(stored)
}

/// [`append`] with another time to contend with other writers.
///
/// # Errors
/// As [`append`].
pub async fn append_within(
    registry: &Registry,
    image: &DigestRef,
    tag: cosign::Tag,
    new: &[Signed],
    same: &(dyn Fn(&Signed, &Signed) -> bool + Sync),
    patience: Duration,
) -> Result<Stored, Error> {
    let mut writer = Writer::new(registry, image, tag, held(new), same)?;
    writer.patience = patience;
    let (stored, _) = writer.run().await?;
    Ok(stored)
}

fn held(new: &[Signed]) -> Arc<[Item]> {
    new.iter().cloned().map(Item::Held).collect()
}

/// How often blobs are uploaded again that a registry denies having. After that it is somebody else's layer that is gone.
const MOST_LOST: u32 = 6;

/// One call of [`append`].
struct Writer<'a> {
    registry: &'a Registry,
    image: &'a DigestRef,
    new: Arc<[Item]>,
    tag: String,
    place: String,
    merger: Merger<'a>,
    pace: Pace,
    started: Instant,
    patience: Duration,
    /// Whether the last wait is left to the caller.
    settles_later: bool,
    uploads: Uploads,
    contention: Contention,
    /// Which items were ever part of a write.
    written: Vec<bool>,
    room: Room<'a>,
}

/// Leave to have a large manifest in work, taken when the first is met and kept to the end: nobody waits for a second.
#[derive(Default)]
struct Room<'a>(Option<SemaphorePermit<'a>>);

/// A manifest of up to so many bytes, some eighty attestations, needs no leave.
const SMALL: u64 = 32 << 10;

/// Uploads that were started before it was known what has to be uploaded, and blobs that are there.
#[derive(Default)]
struct Uploads {
    started: Vec<Result<Upload, registry::Error>>,
    done: Vec<Digest>,
    /// How often the registry denied having a blob: then nothing is believed to be there any more.
    lost: u32,
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

/// What was under the tag at one time.
struct Look {
    manifest: ImageManifest,
    digest: Option<Digest>,
    /// When the question was sent: the answer may be as old as that.
    since: Instant,
}

impl<'a> Writer<'a> {
    fn new(
        registry: &'a Registry,
        image: &'a DigestRef,
        tag: cosign::Tag,
        new: Arc<[Item]>,
        same: &'a Same<'a>,
    ) -> Result<Self, Error> {
        let place = place(image, tag);
        match tag {
            cosign::Tag::Signatures | cosign::Tag::Attestations => {}
            cosign::Tag::Sbom | cosign::Tag::Referrers => return Err(Error::Tag { place }),
        }
        if new.is_empty() {
            return Err(Error::Empty { place });
        }
        Ok(Self {
            registry,
            image,
            tag: tag.of(&image.digest),
            place,
            merger: Merger::new(registry, &image.repository, Arc::clone(&new), same),
            pace: Pace::default(),
            started: Instant::now(),
            patience: PATIENCE,
            settles_later: false,
            uploads: Uploads::default(),
            contention: Contention::default(),
            written: vec![false; new.len()],
            new,
            room: Room::default(),
        })
    }

    /// What is stored, and how long its last write needs to settle where that is left to the caller.
    async fn run(mut self) -> Result<(Stored, Option<Duration>), Error> {
        let mut look = self.first_look().await?;
        loop {
            let merged = self.merger.merge(&look.manifest, &self.place).await?;
            let mut left = None;
            let confirmed = match (&merged.next, look.digest.clone()) {
                (Some(next), _) => {
                    self.upload(&merged, next, &look).await?;
                    if let Some(newer) = self.look_again(&look).await? {
                        look = newer;
                        continue;
                    }
                    match self.write(&merged, next).await? {
                        Some(settle) => {
                            left = Some(settle);
                            self.confirm(&merged, next.digest.clone(), settle).await?
                        }
                        None => None,
                    }
                }
                (None, Some(digest)) if self.contention.writes > 0 => {
                    let settle = self.pace.settle(Duration::ZERO);
                    self.confirm(&merged, digest, settle).await?
                }
                (None, digest) => digest,
            };
            if let Some(digest) = confirmed {
                // Among others it has settled already.
                let left = left.filter(|_| self.settles_later && !self.contention.seen);
                return Ok((self.stored(&merged, digest), left));
            }
            self.give_way().await?;
            look = self.look().await?;
        }
    }

    /// Reads the tag and starts the uploads that will probably be needed, all at once.
    async fn first_look(&mut self) -> Result<Look, Error> {
        let mut blobs: Vec<Digest> = self.new.iter().map(Item::digest).collect();
        blobs.sort();
        blobs.dedup();
        let (registry, repository) = (self.registry, &self.image.repository);
        let starts = (0..=blobs.len()).map(|_| timed(registry.start_upload(repository)));
        let starts = concurrently(WIDTH, starts);
        let (look, started) = tokio::join!(
            self.room
                .look(self.registry, self.image, &self.tag, &self.place),
            starts
        );
        for (started, trip) in started {
            self.pace.saw(trip);
            self.uploads.started.push(started);
        }
        let (look, trip) = look?;
        self.pace.saw(trip);
        Ok(look)
    }

    async fn look(&mut self) -> Result<Look, Error> {
        let look = self
            .room
            .look(self.registry, self.image, &self.tag, &self.place);
        let (look, trip) = look.await?;
        self.pace.saw(trip);
        Ok(look)
    }

    /// Rule 1: a newer look if the tag is not what it was; nothing if it may be written now.
    async fn look_again(&mut self, look: &Look) -> Result<Option<Look>, Error> {
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
            .head_manifest(&self.image.repository, Reference::Tag(&self.tag));
        let (head, trip) = timed(head).await;
        let digest = head?.map(|head| head.digest);
        self.pace.saw(trip);
        Ok(digest)
    }

    /// Uploads what the next manifest names and the repository does not have yet.
    async fn upload(&mut self, merged: &Merged, next: &Encoded, look: &Look) -> Result<(), Error> {
        let began = Instant::now();
        let config = Content::Held(Bytes::copy_from_slice(&next.config));
        let mut blobs = HashMap::from([(next.config_digest.clone(), config)]);
        for &at in &merged.missing {
            let digest = self.new[at].digest();
            let is_named = || {
                let mut layers = look.manifest.layers().iter();
                layers.any(|layer| layer.digest() == digest.as_str())
            };
            if self.uploads.lost > 0 || !is_named() {
                blobs.insert(digest, self.new[at].content());
            }
        }
        blobs.retain(|digest, _| !self.uploads.done.contains(digest));
        let (registry, repository) = (self.registry, &self.image.repository);
        let is_streamed = blobs.values().any(Content::is_streamed);
        let transfers = blobs.iter().map(|(digest, content)| {
            let started = self.uploads.started.pop();
            async move {
                let upload = match started {
                    Some(started) => started?,
                    None => registry.start_upload(repository).await?,
                };
                let (finished, trip) =
                    timed(registry.send(repository, upload, digest, content.clone())).await;
                finished.map(|()| trip)
            }
        });
        let transfers: Vec<_> = transfers.collect();
        for transfer in concurrently(WIDTH, transfers).await {
            self.pace.saw(transfer?);
        }
        self.uploads.done.extend(blobs.into_keys());
        if is_streamed {
            // Nobody is in the way of an upload that takes minutes.
            self.patience += began.elapsed();
        }
        Ok(())
    }

    /// Writes the tag once. How long to wait before looking back; nothing if nobody knows whether it was written.
    async fn write(&mut self, merged: &Merged, next: &Encoded) -> Result<Option<Duration>, Error> {
        self.check_patience()?;
        for &at in &merged.missing {
            self.written[at] = true;
        }
        self.contention.writes += 1;
        let tag = Reference::Tag(&self.tag);
        let write = self.registry.put_manifest_once(
            &self.image.repository,
            tag,
            next.media_type,
            next.manifest.clone(),
        );
        let (written, trip) = timed(write).await;
        let Err(error) = written else {
            self.contention.unclear_since = None;
            return Ok(Some(self.pace.settle(trip)));
        };
        let since = *self
            .contention
            .unclear_since
            .get_or_insert_with(Instant::now);
        // docker-registry mixes up equal blobs that are uploaded side by side, as several signers of one image do: it accepts the
        // uploads and then denies having the blob, for a moment or until it is uploaded again.
        let is_lost = (error.has_code("MANIFEST_BLOB_UNKNOWN") || error.has_code("BLOB_UNKNOWN"))
            && self.uploads.lost < MOST_LOST;
        if is_lost {
            self.uploads.done.clear();
            self.uploads.lost += 1;
        }
        let is_unclear = is_lost || error.cause().is_some_and(Cause::may_pass);
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
    async fn confirm(
        &mut self,
        merged: &Merged,
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
                    Some(digest) if merged.is_in(&look.manifest) => known = digest,
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

    fn stored(&self, merged: &Merged, manifest_digest: Digest) -> Stored {
        let outcome = |at: usize| {
            if self.written[at] && self.merger.is_own(merged, at) {
                Outcome::Added
            } else {
                Outcome::AlreadyThere
            }
        };
        let outcomes = (0..self.new.len()).map(outcome).collect();
        Stored {
            tag: self.tag.clone(),
            manifest_digest,
            outcomes,
        }
    }
}

impl<'a> Room<'a> {
    /// Reads the tag.
    async fn look(
        &mut self,
        registry: &'a Registry,
        image: &DigestRef,
        tag: &str,
        place: &str,
    ) -> Result<(Look, Duration), Error> {
        let mut since = Instant::now();
        let tag = Reference::Tag(tag);
        let read = |limit| timed(registry.get_manifest_within(&image.repository, tag, limit));
        let (mut found, mut trip) = match self.0 {
            Some(_) => read(MANIFEST_LIMIT).await,
            None => read(SMALL).await,
        };
        let is_large = |error: &registry::Error| {
            let cause = error.cause();
            cause.is_some_and(|cause| matches!(cause, Cause::TooLarge { .. }))
        };
        if self.0.is_none() && found.as_ref().is_err_and(is_large) {
            self.0 = Some(registry.large().await);
            since = Instant::now();
            (found, trip) = read(MANIFEST_LIMIT).await;
        }
        let parse = |found: &Manifest| {
            ImageManifest::parse(found).map_err(|source| Error::Manifest {
                place: place.to_owned(),
                source,
            })
        };
        let look = match found? {
            Some(found) => Look {
                manifest: parse(&found)?,
                digest: Some(found.digest),
                since,
            },
            None => Look {
                manifest: ImageManifest::default(),
                digest: None,
                since,
            },
        };
        Ok((look, trip))
    }
}

async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = future.await;
    (output, start.elapsed())
}
