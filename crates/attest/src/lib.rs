//! The chain itself: format, sign, store one completed run, in order.
//!
//! ```text
//!   CompletedRun ─ payloads ─▶ [Payload] ─ sign ─▶ [Item] ─ Witnesses::witness ─▶ [Item] ─ store ─▶ [Stored]
//!                       large: a reader ─ LargeStatement ─▶ SignedFile ─ store_file ─▶ Stored
//! ```
//!
//! Knows no files and no Kubernetes: the step tools put files between the stages, a controller runs them in one process.
//! Nothing is stored before everything is signed, and nothing is called stored before the registry was seen to hold it.

pub mod large;
mod look_back;
pub mod settings;
pub mod tuf;
pub mod witness;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tekseal_core::cosign::Tag;
use tekseal_core::{Digest, DigestRef, Layout, Payload, PayloadKind, Repository, Signed, Subject};
use tekseal_remote::Registry;
use tekseal_remote::store;
use tekseal_signing::signer::SignError;
use tekseal_signing::{Signer, VerifyingKey, same_signer};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use look_back::{LookBack, Looked, Lost};
pub use witness::Witnesses;
use witness::stands_for;

/// How many tags are written side by side. More only makes a registry queue.
const WIDTH: usize = 8;

/// Where one signed payload was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which of the items, by position.
    pub item: usize,
    /// Where it is.
    pub place: Place,
}

/// A place, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under a tag beside an image.
    Tag {
        /// The image it hangs on.
        image: DigestRef,
        /// The tag.
        tag: String,
        /// Digest of the manifest that was confirmed to hold it.
        digest: Digest,
        /// Whether this call added it; otherwise the same signer had put it there before.
        added: bool,
    },
    /// In a manifest of its own that names an image as its subject.
    Referrer {
        /// The image it refers to.
        image: DigestRef,
        /// Digest of its manifest.
        digest: Digest,
        /// Whether this call added it; otherwise it was there before.
        added: bool,
        /// Tag of the index, and the digest of what was confirmed to list it, where the registry does not list it by itself.
        index: Option<(String, Digest)>,
    },
    /// Nowhere, and why: there is nothing that it could hang on, or no room for a name.
    Nothing(String),
}

/// What was stored before something failed, and what failed.
#[derive(Debug)]
pub struct StoreFailure {
    /// What is stored and stays so.
    pub stored: Vec<Stored>,
    /// The image and tag that failed first.
    pub place: String,
    /// Why.
    pub error: store::Error,
}

/// Signs every payload with one key, for a layout. What was signed stands in the order of the payloads, those of one payload after each other;
/// nothing of one that has no form in the layout, as a name has none in a bundle.
///
/// # Errors
/// The first that fails; nothing is kept then.
pub async fn sign(
    signer: &Signer,
    payloads: &[Payload],
    layout: Layout,
) -> Result<Vec<Item>, SignError> {
    let mut items = Vec::with_capacity(payloads.len());
    for payload in payloads {
        let signed = signer.sign_for(payload, layout).await?.into_iter();
        items.extend(signed.map(|signed| Item::new(signed, payload)));
    }
    Ok(items)
}

/// One thing to store: what hangs on the image, and what the payload was.
#[derive(Clone, Debug)]
pub struct Item {
    /// The layer, which goes under a tag, or the bundle, which refers to the image.
    pub signed: Signed,
    /// What was signed.
    pub kind: PayloadKind,
    /// What it speaks of: it is stored beside each subject that is an image.
    pub subjects: Vec<Subject>,
    /// The repository for all layers, instead of the images' own. Bundles are in the repository of what they refer to.
    pub repository: Option<Repository>,
}

impl Item {
    /// `signed` with what `payload` says of it.
    #[must_use]
    pub fn new(signed: Signed, payload: &Payload) -> Self {
        Self {
            signed,
            kind: payload.kind().clone(),
            subjects: payload.subjects().to_vec(),
            repository: None,
        }
    }

    /// The same, to be stored in `repository`: only the tags there say which image it hangs on.
    #[must_use]
    pub fn in_repository(self, repository: Option<Repository>) -> Self {
        Self { repository, ..self }
    }
}

/// Stores every item beside every image that it speaks of. All that belongs under one tag is written at once, as are all bundles of one image;
/// different tags are written side by side. An item that speaks of no image is put nowhere, with the reason. `witnesses` are those of whom the items
/// have evidence: what is under a tag already stands for an item only if they vouch for it too.
///
/// # Errors
/// When a tag could not be written and confirmed. The others were still tried, so that a second run has less to do.
pub async fn store(
    registry: &Registry,
    items: Vec<Item>,
    key: VerifyingKey,
    witnesses: Option<&Witnesses>,
) -> Result<Vec<Stored>, Box<StoreFailure>> {
    let store = Store::new(registry, items, key, witnesses);
    let (stored, _) = store.all(Settle::Here).await?;
    Ok(stored)
}

/// [`store`] without waiting until the writes have settled, which is left to the look back: until then another writer of the same tag may
/// still take away what was seen to be there. For programs that go on living.
///
/// # Errors
/// As [`store`].
pub async fn store_early(
    registry: &Registry,
    items: Vec<Item>,
    key: VerifyingKey,
    witnesses: Option<&Witnesses>,
) -> Result<(Vec<Stored>, Option<LookBack>), Box<StoreFailure>> {
    let store = Store::new(registry, items, key, witnesses);
    let (stored, settles) = store.all(Settle::Later).await?;
    let look_back = settles.map(|at| LookBack::at(at, store, &stored));
    Ok((stored, look_back))
}

/// Who waits until a write has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    /// This call.
    Here,
    /// The caller, with a look back.
    Later,
}

/// What is to be stored, and where.
pub(crate) struct Store {
    pub(crate) registry: Registry,
    pub(crate) items: Arc<Vec<Item>>,
    by: Arc<By>,
}

/// Who signed what is stored, and who vouches for it.
struct By {
    key: VerifyingKey,
    witnesses: Option<Witnesses>,
}

/// What became of one slot: the place of each of its items, and when that has settled, where it has not yet.
type Written = Result<(Vec<Place>, Option<Instant>), store::Error>;

impl Store {
    fn new(
        registry: &Registry,
        items: Vec<Item>,
        key: VerifyingKey,
        witnesses: Option<&Witnesses>,
    ) -> Self {
        let witnesses = witnesses.cloned();
        Self {
            registry: registry.clone(),
            items: Arc::new(items),
            by: Arc::new(By { key, witnesses }),
        }
    }

    /// Everything, and when the last of its writes has settled, where one has not yet.
    pub(crate) async fn all(
        &self,
        settle: Settle,
    ) -> Result<(Vec<Stored>, Option<Instant>), Box<StoreFailure>> {
        let mut stored = Vec::new();
        let mut settles = None;
        let mut waiting = places(&self.items, &mut stored);
        waiting.reverse();
        let mut running: JoinSet<(Slot, Written)> = JoinSet::new();
        let mut failure = None;
        loop {
            while running.len() < WIDTH
                && let Some(slot) = waiting.pop()
            {
                let (registry, items) = (self.registry.clone(), Arc::clone(&self.items));
                let by = Arc::clone(&self.by);
                running.spawn(async move {
                    let written = slot.write(&registry, &items, &by, settle).await;
                    (slot, written)
                });
            }
            let Some(done) = running.join_next().await else {
                break;
            };
            let (slot, result) =
                done.expect("no task is aborted, and one that panics must not look stored");
            match result {
                Ok((places, at)) => {
                    settles = settles.max(at);
                    let places = slot.items.iter().zip(places);
                    stored.extend(places.map(|(&item, place)| Stored { item, place }));
                }
                Err(error) => {
                    failure.get_or_insert((
                        format!("{} {}", slot.image, slot.tag.of(&slot.image.digest)),
                        error,
                    ));
                }
            }
        }
        stored.sort_by_key(|s| s.item);
        match failure {
            None => Ok((stored, settles)),
            Some((place, error)) => Err(Box::new(StoreFailure {
                stored,
                place,
                error,
            })),
        }
    }
}

/// One tag and the items that go under it; that of referrers stands for those that refer to the image.
struct Slot {
    image: DigestRef,
    tag: Tag,
    items: Vec<usize>,
}

impl Slot {
    async fn write(&self, registry: &Registry, items: &[Item], by: &By, settle: Settle) -> Written {
        let new = self.items.iter().map(|&i| items[i].signed.clone());
        let new: Vec<Signed> = new.collect();
        let (places, left) = match self.tag {
            Tag::Referrers => self.refer(registry, &new, settle).await?,
            Tag::Signatures | Tag::Attestations | Tag::Sbom => {
                self.append(registry, &new, by, settle).await?
            }
        };
        Ok((places, left.map(|left| Instant::now() + left)))
    }

    async fn append(
        &self,
        registry: &Registry,
        new: &[Signed],
        by: &By,
        settle: Settle,
    ) -> Result<(Vec<Place>, Option<Duration>), store::Error> {
        let (key, witnesses) = (&by.key, by.witnesses.as_ref());
        let same = |existing: &Signed, new: &Signed| {
            same_signer(existing, new, key) && stands_for(witnesses, existing, new, key)
        };
        let (image, tag) = (&self.image, self.tag);
        let (stored, left) = match settle {
            Settle::Here => (store::append(registry, image, tag, new, &same).await?, None),
            Settle::Later => store::append_early(registry, image, tag, new, &same).await?,
        };
        Ok((Place::under_tag(image, stored), left))
    }

    async fn refer(
        &self,
        registry: &Registry,
        new: &[Signed],
        settle: Settle,
    ) -> Result<(Vec<Place>, Option<Duration>), store::Error> {
        let (referred, left) = match settle {
            Settle::Here => (store::refer(registry, &self.image, new).await?, None),
            Settle::Later => store::refer_early(registry, &self.image, new).await?,
        };
        Ok((Place::referring(&self.image, referred), left))
    }
}

impl Place {
    /// The image, and the manifest that was confirmed to hold it or to be it.
    #[must_use]
    pub fn manifest(&self) -> Option<(&DigestRef, &Digest)> {
        match self {
            Self::Tag { image, digest, .. } | Self::Referrer { image, digest, .. } => {
                Some((image, digest))
            }
            Self::Nothing(_) => None,
        }
    }

    /// The places of all items of one append.
    pub(crate) fn under_tag(image: &DigestRef, stored: store::Stored) -> Vec<Self> {
        let tag = |added| Self::Tag {
            image: image.clone(),
            tag: stored.tag.clone(),
            digest: stored.manifest_digest.clone(),
            added,
        };
        let place = |outcome: store::Outcome| match outcome {
            store::Outcome::Added => tag(true),
            store::Outcome::AlreadyThere => tag(false),
            store::Outcome::NoRoom => Self::Nothing(format!(
                "signature of a name: {}:{} has {} layers or more, and what room is left is for signatures without names",
                image.repository,
                stored.tag,
                store::MOST_WITH_NAMES
            )),
        };
        stored.outcomes.iter().copied().map(place).collect()
    }

    /// The places of all bundles that were made to refer to an image at once.
    pub(crate) fn referring(image: &DigestRef, referred: store::Referred) -> Vec<Self> {
        let place = |(digest, outcome)| Self::Referrer {
            image: image.clone(),
            digest,
            added: outcome == store::Outcome::Added,
            index: referred.index.clone(),
        };
        referred.manifests.into_iter().map(place).collect()
    }
}

fn places(items: &[Item], stored: &mut Vec<Stored>) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut known: HashMap<(DigestRef, Tag), usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let (tag, repository) = match item.kind {
            _ if item.signed.is_bundle() => (Tag::Referrers, None),
            PayloadKind::Statement { .. } => (Tag::Attestations, item.repository.as_ref()),
            PayloadKind::SimpleSigning => (Tag::Signatures, item.repository.as_ref()),
        };
        let of_subjects = item.subjects.iter().filter_map(Subject::image);
        let mut images: Vec<DigestRef> = match repository {
            Some(repository) => of_subjects.map(|i| repository.at(i.digest)).collect(),
            None => of_subjects.collect(),
        };
        images.sort();
        images.dedup();
        if images.is_empty() {
            let reason = "none of its subjects is an image with a sha256 digest".to_owned();
            stored.push(Stored {
                item: at,
                place: Place::Nothing(reason),
            });
        }
        for image in images {
            let slot = *known.entry((image.clone(), tag)).or_insert_with(|| {
                slots.push(Slot {
                    image,
                    tag,
                    items: Vec::new(),
                });
                slots.len() - 1
            });
            slots[slot].items.push(at);
        }
    }
    slots
}
