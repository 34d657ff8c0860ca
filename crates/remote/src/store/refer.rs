//! Stores Sigstore bundles as manifests that name an image as their subject, and sees to it that they are listed.
//!
//! ```text
//!   HEAD image, GET referrers, GET index, HEAD {}, POST bundle ─▶ PUT bundle, PUT {} ─▶ PUT manifest, by digest
//!        │ the registry lists what refers to an image: done
//!        └ it does not: our entries into the index under sha256-<hex>, by the rules of `register` ─▶ confirmed
//! ```
//!
//! A manifest has the digest of its content, so nobody can take it away by overwriting; only the index is a tag that several write. Nothing is
//! published before all blobs of all bundles are there. What is there already, listed, is not written again.
//!
//! Cost: three latencies where the registry lists referrers; where it does not, those of [`append`](super::append) beside the third.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tekseal_core::{Digest, DigestRef, Signed, cosign};

use crate::Registry;
use crate::body::Content;
use crate::registry::{self, Head, Listing, MANIFEST_LIMIT, Reference};

use super::Outcome;
use super::blobs::{Blobs, WIDTH};
use super::concurrent::concurrently;
use super::error::Error;
use super::index::Index;
use super::item::{Item, SignedFile};
use super::manifest::{self, OCI_MANIFEST, null_is_default, object};
use super::referrer::{EMPTY, ReferrerManifest, Subject};
use super::register::{Change, Look, Next, Register, SMALL, is_large, timed};

/// What a registry was seen to hold in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referred {
    /// For each bundle its manifest and what became of it, in the order of the bundles.
    pub manifests: Vec<(Digest, Outcome)>,
    /// Tag of the index, and the digest of what was confirmed to list them all, where the registry does not list them by itself.
    pub index: Option<(String, Digest)>,
}

/// Makes all of `new`, which are bundles, refer to `image`, in the image's repository.
///
/// Several calls may run side by side, for the same image too. A bundle that is there is not stored again.
///
/// # Errors
/// [`Error::NoImage`] if there is no such image. [`Error::Manifest`] if something else is where the index belongs, or it is full; it is left
/// untouched then. [`Error::Lost`] after a minute of contention. [`Error::Registry`] and [`Error::Unconfirmed`] for what the registry does.
pub async fn refer(
    registry: &Registry,
    image: &DigestRef,
    new: &[Signed],
) -> Result<Referred, Error> {
    let (referred, _) = run(registry, image, register(registry, image), held(new)).await?;
    Ok(referred)
}

/// [`refer`] without the wait at the end: see [`append_early`](super::append_early).
///
/// # Errors
/// As [`refer`].
pub async fn refer_early(
    registry: &Registry,
    image: &DigestRef,
    new: &[Signed],
) -> Result<(Referred, Option<Duration>), Error> {
    let register = register(registry, image).settling_later();
    run(registry, image, register, held(new)).await
}

/// [`refer`] of one bundle that is not in memory.
///
/// # Errors
/// As [`refer`].
pub async fn refer_file(
    registry: &Registry,
    image: &DigestRef,
    new: SignedFile,
) -> Result<Referred, Error> {
    let new = [Item::File(new)].into();
    let (referred, _) = run(registry, image, register(registry, image), new).await?;
    Ok(referred)
}

/// [`refer`] with another time to contend with other writers of the index.
///
/// # Errors
/// As [`refer`].
pub async fn refer_within(
    registry: &Registry,
    image: &DigestRef,
    new: &[Signed],
    patience: Duration,
) -> Result<Referred, Error> {
    let register = register(registry, image).within(patience);
    let (referred, _) = run(registry, image, register, held(new)).await?;
    Ok(referred)
}

fn held(new: &[Signed]) -> Arc<[Item]> {
    new.iter().cloned().map(Item::Held).collect()
}

fn register<'a>(registry: &'a Registry, image: &'a DigestRef) -> Register<'a> {
    let tag = cosign::Tag::Referrers.of(&image.digest);
    Register::new(registry, &image.repository, tag)
}

async fn run<'a>(
    registry: &'a Registry,
    image: &'a DigestRef,
    mut register: Register<'a>,
    new: Arc<[Item]>,
) -> Result<(Referred, Option<Duration>), Error> {
    if new.is_empty() {
        return Err(Error::Empty {
            place: image.to_string(),
        });
    }
    if let Some(other) = new
        .iter()
        .find(|item| !tekseal_core::bundle::is_media_type(item.media_type()))
    {
        return Err(Error::NoBundle {
            image: image.to_string(),
            media_type: other.media_type().to_owned(),
        });
    }
    let mut referring = Referring {
        registry,
        image,
        blobs: Blobs::new(registry, &image.repository),
        manifests: Vec::new(),
        missing: vec![false; new.len()],
        unlisted: vec![false; new.len()],
        written: vec![false; new.len()],
        new,
    };
    let first = referring.first_look(&mut register).await?;
    referring.find_missing(&first).await?;
    let listing = referring.put(&mut register).await?;
    match (first, listing) {
        (First::Listed(_), _) => Ok((referring.referred(None), None)),
        (First::Index(_), Listing::ByRegistry) => Ok((referring.referred(None), None)),
        (First::Index(look), Listing::NotSaid) => {
            let (digest, left) = register.make(look, &mut referring).await?;
            let index = (register.tag().to_owned(), digest);
            Ok((referring.referred(Some(index)), left))
        }
    }
}

/// One call of [`refer`].
struct Referring<'a> {
    registry: &'a Registry,
    image: &'a DigestRef,
    new: Arc<[Item]>,
    blobs: Blobs<'a>,
    /// Those of the bundles, as soon as it is known what they refer to.
    manifests: Vec<ReferrerManifest>,
    /// Which of them are to be written.
    missing: Vec<bool>,
    /// Which of them are not in the index that was looked at last.
    unlisted: Vec<bool>,
    /// Which of them, or their entries, were written.
    written: Vec<bool>,
}

/// Who lists what refers to the image.
enum First {
    /// The registry: the digests that it lists.
    Listed(Vec<String>),
    /// Clients do, in an index.
    Index(Look<Index>),
}

impl Referring<'_> {
    /// Asks for everything that must be known, and starts the uploads that will probably be needed, all at once.
    async fn first_look(&mut self, register: &mut Register<'_>) -> Result<First, Error> {
        let (registry, image) = (self.registry, self.image);
        let (repository, digest) = (&image.repository, &image.digest);
        let empty = Digest::of(EMPTY);
        let starts = self.blobs.start(self.new.len());
        let (head, listed, index, has_empty, started) = tokio::join!(
            timed(registry.head_manifest(repository, Reference::Digest(digest))),
            timed(registry.referrers_within(repository, digest, SMALL)),
            register.look::<Index>(),
            timed(registry.blob_exists(repository, &empty)),
            starts,
        );
        self.blobs.keep(started, register);
        for trip in [head.1, listed.1, has_empty.1] {
            register.saw(trip);
        }
        let head = head.0?.ok_or_else(|| Error::NoImage {
            image: image.to_string(),
        })?;
        if has_empty.0? {
            self.blobs.is_there(empty);
        }
        if head.media_type.is_empty() {
            // Nobody has two leaves at once.
            register.leave();
        }
        let subject = subject(registry, image, head).await?;
        let new = self.new.iter();
        self.manifests = new
            .map(|item| ReferrerManifest::of(item, &subject))
            .collect();
        let listed = match listed.0 {
            Err(error) if is_large(&error) => {
                register.leave();
                let _room = registry.large().await;
                let all = registry.referrers_within(repository, digest, MANIFEST_LIMIT);
                self.own_in(all.await?.as_deref())?
            }
            listed => self.own_in(listed?.as_deref())?,
        };
        match listed {
            Some(listed) => {
                register.leave();
                Ok(First::Listed(listed))
            }
            None => index.map(First::Index),
        }
    }

    /// Those of our manifests that a registry lists.
    fn own_in(&self, list: Option<&[u8]>) -> Result<Option<Vec<String>>, Error> {
        let Some(list) = list else {
            return Ok(None);
        };
        let list: List<'_> = object(list).map_err(|source| Error::Manifest {
            place: format!("the referrers of {}", self.image),
            source: manifest::Error::Json(source),
        })?;
        let digests = list.manifests.iter().map(|entry| &*entry.digest);
        let is_own = |digest: &&str| {
            let mut own = self.manifests.iter();
            own.any(|own| own.digest.as_str() == *digest)
        };
        Ok(Some(digests.filter(is_own).map(str::to_owned).collect()))
    }

    /// Which manifests are to be written. An index may list what was deleted, so that is asked for.
    async fn find_missing(&mut self, first: &First) -> Result<(), Error> {
        let is_listed = |manifest: &ReferrerManifest| match first {
            First::Listed(digests) => digests.iter().any(|own| own == manifest.digest.as_str()),
            First::Index(look) => look.document.holds(&manifest.digest),
        };
        let (registry, repository) = (self.registry, &self.image.repository);
        let heads = self.manifests.iter().map(|manifest| {
            let is_listed = is_listed(manifest);
            let must_be_asked = is_listed && matches!(first, First::Index(_));
            async move {
                if !must_be_asked {
                    return Ok(!is_listed);
                }
                let digest = Reference::Digest(&manifest.digest);
                let head = registry.head_manifest(repository, digest).await?;
                Ok::<_, registry::Error>(head.is_none())
            }
        });
        let heads: Vec<_> = heads.collect();
        for (at, is_missing) in concurrently(WIDTH, heads).await.into_iter().enumerate() {
            self.missing[at] = is_missing?;
        }
        Ok(())
    }

    /// Writes what is missing: all blobs, then all manifests.
    async fn put(&mut self, register: &mut Register<'_>) -> Result<Listing, Error> {
        let (registry, repository) = (self.registry, &self.image.repository);
        let mut listing = Listing::NotSaid;
        'again: while self.missing.contains(&true) {
            let wanted = |at: &usize| self.missing[*at];
            let wanted: Vec<usize> = (0..self.new.len()).filter(wanted).collect();
            let mut blobs: HashMap<Digest, Content> = wanted
                .iter()
                .map(|&at| (self.new[at].digest(), self.new[at].content()))
                .collect();
            blobs.insert(Digest::of(EMPTY), Content::Held(Bytes::from_static(EMPTY)));
            self.blobs.upload(blobs, register).await?;
            let puts = wanted.iter().map(|&at| {
                let manifest = &self.manifests[at];
                let bytes = manifest.bytes.clone();
                registry.put_referrer(repository, &manifest.digest, OCI_MANIFEST, bytes)
            });
            let puts: Vec<_> = puts.collect();
            for (at, put) in wanted.into_iter().zip(concurrently(WIDTH, puts).await) {
                match put {
                    Ok(Listing::ByRegistry) => listing = Listing::ByRegistry,
                    Ok(Listing::NotSaid) => {}
                    Err(error) if self.blobs.are_lost(&error) => continue 'again,
                    Err(error) => return Err(error.into()),
                }
                self.missing[at] = false;
                self.written[at] = true;
            }
        }
        Ok(listing)
    }

    fn referred(self, index: Option<(String, Digest)>) -> Referred {
        let mut manifests: Vec<(Digest, Outcome)> = Vec::with_capacity(self.manifests.len());
        for (manifest, is_written) in self.manifests.into_iter().zip(self.written) {
            let is_again = manifests.iter().any(|(one, _)| *one == manifest.digest);
            let outcome = match is_written && !is_again {
                true => Outcome::Added,
                false => Outcome::AlreadyThere,
            };
            manifests.push((manifest.digest, outcome));
        }
        Referred { manifests, index }
    }
}

impl Change for Referring<'_> {
    type Document = Index;

    async fn next(
        &mut self,
        register: &mut Register<'_>,
        look: &Look<Index>,
    ) -> Result<Option<Next>, Error> {
        self.put(register).await?;
        for (at, manifest) in self.manifests.iter().enumerate() {
            self.unlisted[at] = !look.document.holds(&manifest.digest);
        }
        let entries = self.manifests.iter().map(|own| (&own.digest, &own.entry));
        look.document
            .with(entries)
            .map_err(|source| Error::Manifest {
                place: register.place().to_owned(),
                source,
            })
    }

    fn is_in(&self, document: &Index) -> bool {
        let mut own = self.manifests.iter();
        own.all(|own| document.holds(&own.digest))
    }

    fn is_written(&mut self) {
        for (written, unlisted) in self.written.iter_mut().zip(&self.unlisted) {
            *written |= unlisted;
        }
    }

    fn is_lost(&mut self, error: &registry::Error) -> bool {
        // A registry that denies having our manifests gets them again; the entries of others are theirs to mend.
        let is_lost = self.blobs.are_lost(error);
        if is_lost {
            self.missing.fill(true);
        }
        is_lost
    }
}

/// What refers to the image names it so.
async fn subject(registry: &Registry, image: &DigestRef, head: Head) -> Result<Subject, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(default)]
        media_type: String,
    }
    let mut media_type = head.media_type;
    if media_type.is_empty() {
        let digest = Reference::Digest(&image.digest);
        let _room = registry.large().await;
        let found = registry.get_manifest(&image.repository, digest).await?;
        let kind = found.and_then(|found| object::<Kind>(&found.bytes).ok());
        media_type = kind.map(|kind| kind.media_type).unwrap_or_default();
    }
    if media_type.is_empty() {
        return Err(Error::NoMediaType {
            image: image.to_string(),
        });
    }
    Ok(Subject {
        media_type,
        size: head.size,
        digest: image.digest.to_string(),
    })
}

/// What a registry lists; nothing of it but the digests is of interest.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    manifests: Vec<Listed<'a>>,
}

#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow)]
    digest: Cow<'a, str>,
}
