//! Appends layers to a tag that others append to as well, so that nobody's layer is lost: by the rules of [`register`](super::register).
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

use crate::Registry;
use crate::body::Content;
use crate::registry::{self, Manifest};

use super::blobs::Blobs;
use super::error::Error;
use super::item::{Item, SignedFile};
use super::manifest::{self, Encoded, ImageManifest};
use super::merge::{Merged, Merger, Same};
use super::register::{Change, Document, Look, Next, Register};
use super::{Outcome, Stored};

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
    let register = register(registry, image, tag)?;
    let (stored, _) = run(registry, image, register, held(new), same).await?;
    Ok(stored)
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
    let register = register(registry, image, tag)?.settling_later();
    run(registry, image, register, held(new), same).await
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
    let new = [Item::File(new)].into();
    let same = |_: &Signed, _: &Signed| false;
    let register = register(registry, image, cosign::Tag::Attestations)?;
    let (stored, _) = run(registry, image, register, new, &same).await?;
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
    let register = register(registry, image, tag)?.within(patience);
    let (stored, _) = run(registry, image, register, held(new), same).await?;
    Ok(stored)
}

fn held(new: &[Signed]) -> Arc<[Item]> {
    new.iter().cloned().map(Item::Held).collect()
}

fn register<'a>(
    registry: &'a Registry,
    image: &'a DigestRef,
    tag: cosign::Tag,
) -> Result<Register<'a>, Error> {
    let register = Register::new(registry, &image.repository, tag.of(&image.digest));
    match tag {
        cosign::Tag::Signatures | cosign::Tag::Attestations => Ok(register),
        cosign::Tag::Sbom | cosign::Tag::Referrers => Err(Error::Tag {
            place: register.place().to_owned(),
        }),
    }
}

/// What is stored, and how long its last write needs to settle where that is left to the caller.
async fn run<'a>(
    registry: &'a Registry,
    image: &'a DigestRef,
    mut register: Register<'a>,
    new: Arc<[Item]>,
    same: &'a Same<'a>,
) -> Result<(Stored, Option<Duration>), Error> {
    if new.is_empty() {
        return Err(Error::Empty {
            place: register.place().to_owned(),
        });
    }
    let mut appending = Appending {
        merger: Merger::new(registry, &image.repository, Arc::clone(&new), same),
        blobs: Blobs::new(registry, &image.repository),
        written: vec![false; new.len()],
        merged: None,
        new,
    };
    let look = appending.first_look(&mut register).await?;
    let (digest, left) = register.make(look, &mut appending).await?;
    let stored = Stored {
        tag: register.tag().to_owned(),
        manifest_digest: digest,
        outcomes: appending.outcomes(),
    };
    Ok((stored, left))
}

/// One call of [`append`].
struct Appending<'a> {
    new: Arc<[Item]>,
    merger: Merger<'a>,
    blobs: Blobs<'a>,
    /// Which items were ever part of a write.
    written: Vec<bool>,
    /// What the last look needs.
    merged: Option<Merged>,
}

impl Document for ImageManifest {
    fn parse(found: &Manifest) -> Result<Self, manifest::Error> {
        Self::parse(found)
    }
}

impl Change for Appending<'_> {
    type Document = ImageManifest;

    async fn next(
        &mut self,
        register: &mut Register<'_>,
        look: &Look<ImageManifest>,
    ) -> Result<Option<Next>, Error> {
        let mut merged = self.merger.merge(&look.document, register.place()).await?;
        let next = merged.next.take();
        if let Some(next) = &next {
            self.upload(&merged, next, look, register).await?;
        }
        self.merged = Some(merged);
        Ok(next.map(|next| Next {
            media_type: next.media_type,
            bytes: next.manifest,
            digest: next.digest,
        }))
    }

    fn is_in(&self, document: &ImageManifest) -> bool {
        let merged = self.merged.as_ref();
        merged.is_some_and(|merged| merged.is_in(document))
    }

    fn is_written(&mut self) {
        for &at in self.merged.iter().flat_map(|merged| &merged.missing) {
            self.written[at] = true;
        }
    }

    fn is_lost(&mut self, error: &registry::Error) -> bool {
        self.blobs.are_lost(error)
    }
}

impl Appending<'_> {
    /// Reads the tag and starts the uploads that will probably be needed, all at once.
    async fn first_look(
        &mut self,
        register: &mut Register<'_>,
    ) -> Result<Look<ImageManifest>, Error> {
        let mut blobs: Vec<Digest> = self.new.iter().map(Item::digest).collect();
        blobs.sort();
        blobs.dedup();
        let starts = self.blobs.start(blobs.len() + 1);
        let (look, started) = tokio::join!(register.look(), starts);
        self.blobs.keep(started, register);
        look
    }

    /// Uploads what the next manifest names and the repository does not have yet.
    async fn upload(
        &mut self,
        merged: &Merged,
        next: &Encoded,
        look: &Look<ImageManifest>,
        register: &mut Register<'_>,
    ) -> Result<(), Error> {
        let config = Content::Held(Bytes::copy_from_slice(&next.config));
        let mut blobs = HashMap::from([(next.config_digest.clone(), config)]);
        for &at in &merged.missing {
            let digest = self.new[at].digest();
            let is_named = || {
                let mut layers = look.document.layers().iter();
                layers.any(|layer| layer.digest() == digest.as_str())
            };
            if !self.blobs.are_believed() || !is_named() {
                blobs.insert(digest, self.new[at].content());
            }
        }
        self.blobs.upload(blobs, register).await
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let is_own = |at: usize| {
            let merged = self.merged.as_ref();
            merged.is_some_and(|merged| self.merger.is_own(merged, at))
        };
        let has_no_room = |at: usize| {
            let merged = self.merged.as_ref();
            merged.is_some_and(|merged| merged.layers[at].is_none())
        };
        let outcome = |at: usize| match self.written[at] && is_own(at) {
            _ if has_no_room(at) => Outcome::NoRoom,
            true => Outcome::Added,
            false => Outcome::AlreadyThere,
        };
        (0..self.new.len()).map(outcome).collect()
    }
}
