//! The chain itself: format, sign, store one completed run, in order.
//!
//! ```text
//!   CompletedRun ─ payloads ─▶ [Payload] ─ sign ─▶ [Signed] ─ store ─▶ [Stored]
//!                       large: a reader ─ sign_statement ─▶ SignedFile ─ store_file ─▶ Stored
//! ```
//!
//! Knows no files and no Kubernetes: the step tools put files between the stages, a controller runs them in one process.
//! Nothing is stored before everything is signed, and nothing is called stored before the registry was seen to hold it.

pub mod large;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use tekseal_core::cosign::Tag;
use tekseal_core::{Digest, DigestRef, Payload, PayloadKind, Repository, Signed, Subject};
use tekseal_remote::Registry;
use tekseal_remote::registry::{self, Reference};
use tekseal_remote::store;
use tekseal_signing::signer::FaultySignature;
use tekseal_signing::{PublicKey, Signer, same_signer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How many tags are written side by side. More only makes a registry queue.
const WIDTH: usize = 8;

/// Where one signed payload was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which of the signed payloads, by position.
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
    /// Nowhere: there is nothing that it could hang on.
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

/// Signs every payload with one key.
///
/// # Errors
/// The first that fails; nothing is kept then.
pub fn sign(signer: &Signer, payloads: &[Payload]) -> Result<Vec<Signed>, FaultySignature> {
    payloads
        .iter()
        .map(|payload| signer.sign_payload(payload))
        .collect()
}

/// One thing to store: what hangs on the image, and what the payload was.
#[derive(Clone, Debug)]
pub struct Item {
    /// The layer.
    pub signed: Signed,
    /// What was signed.
    pub kind: PayloadKind,
    /// What it speaks of: it is stored beside each subject that is an image.
    pub subjects: Vec<Subject>,
    /// The repository for all of it, instead of the images' own.
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

/// Stores every item beside every image that it speaks of. All that belongs under one tag is written at once; different tags are
/// written side by side. An item that speaks of no image is put nowhere, with the reason.
///
/// # Errors
/// When a tag could not be written and confirmed. The others were still tried, so that a second run has less to do.
pub async fn store(
    registry: &Registry,
    items: Vec<Item>,
    key: PublicKey,
) -> Result<Vec<Stored>, Box<StoreFailure>> {
    let store = Store::new(registry, items, key);
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
    key: PublicKey,
) -> Result<(Vec<Stored>, Option<LookBack>), Box<StoreFailure>> {
    let store = Store::new(registry, items, key);
    let (stored, settles) = store.all(Settle::Later).await?;
    let look_back = settles.map(|at| LookBack {
        registry: registry.clone(),
        written: written(&stored),
        store: Some(store),
        at,
    });
    Ok((stored, look_back))
}

/// What is left to do after [`store_early`].
#[must_use = "what was stored may be lost without it"]
pub struct LookBack {
    registry: Registry,
    /// What is stored again where it is gone, as long as it is kept.
    store: Option<Store>,
    written: Vec<(DigestRef, String, Digest)>,
    at: Instant,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Everything is as it was written.
    AsWritten,
    /// Another writer took something away, and it is stored again.
    StoredAgain,
}

/// What was stored and cannot be confirmed any more.
#[derive(Debug)]
pub enum Lost {
    /// It could not be stored again.
    NotStored(Box<StoreFailure>),
    /// Something else, or nothing, is under the image's tag, and what was there was not kept.
    Gone(String),
    /// The image's tag cannot be looked at, and what was there was not kept.
    Unseen(String, registry::Error),
}

impl Lost {
    /// The image and its tag.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::NotStored(failure) => &failure.place,
            Self::Gone(place) | Self::Unseen(place, _) => place,
        }
    }

    /// What the registry says, where it is not just gone.
    #[must_use]
    pub fn why(&self) -> Option<&dyn Error> {
        match self {
            Self::NotStored(failure) => Some(&failure.error),
            Self::Gone(_) => None,
            Self::Unseen(_, error) => Some(error),
        }
    }
}

impl LookBack {
    /// How many bytes are kept to be stored again.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let items = self.store.iter().flat_map(|store| store.items.iter());
        items.map(|item| item.signed.layer().len()).sum()
    }

    /// Keeps digests alone: what is gone then is lost.
    pub fn keep_digests(&mut self) {
        self.store = None;
    }

    /// Waits until the writes have settled.
    pub async fn settled(&self) {
        sleep_until(self.at).await;
    }

    /// Looks at the tags when the writes have settled, and stores again what is gone, with patience.
    ///
    /// # Errors
    /// When something cannot be looked at, or not be stored again: whoever called it stored must take that back.
    pub async fn look(self) -> Result<Looked, Lost> {
        self.settled().await;
        for (image, tag, digest) in &self.written {
            let head = self
                .registry
                .head_manifest(&image.repository, Reference::Tag(tag));
            let head = head.await;
            if matches!(&head, Ok(Some(found)) if found.digest == *digest) {
                continue;
            }
            let Some(store) = &self.store else {
                let place = format!("{image} {tag}");
                return Err(match head {
                    Ok(_) => Lost::Gone(place),
                    Err(error) => Lost::Unseen(place, error),
                });
            };
            // If it could not be looked at: this has more patience.
            let (stored, _) = store.all(Settle::Here).await.map_err(Lost::NotStored)?;
            let is_added = |one: &Stored| matches!(one.place, Place::Tag { added: true, .. });
            return Ok(match stored.iter().any(is_added) {
                true => Looked::StoredAgain,
                false => Looked::AsWritten,
            });
        }
        Ok(Looked::AsWritten)
    }
}

/// The tags that were written, each once.
fn written(stored: &[Stored]) -> Vec<(DigestRef, String, Digest)> {
    let mut written = Vec::new();
    for one in stored {
        if let Place::Tag {
            image,
            tag,
            digest,
            added: true,
        } = &one.place
        {
            written.push((image.clone(), tag.clone(), digest.clone()));
        }
    }
    written.sort();
    written.dedup();
    written
}

/// Who waits until a write has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settle {
    /// This call.
    Here,
    /// The caller, with a look back.
    Later,
}

/// What is to be stored, and where.
struct Store {
    registry: Registry,
    items: Arc<Vec<Item>>,
    key: Arc<PublicKey>,
}

/// What became of one tag: what is under it, and when that has settled, where it has not yet.
type Written = Result<(store::Stored, Option<Instant>), store::Error>;

impl Store {
    fn new(registry: &Registry, items: Vec<Item>, key: PublicKey) -> Self {
        Self {
            registry: registry.clone(),
            items: Arc::new(items),
            key: Arc::new(key),
        }
    }

    /// Everything, and when the last of its writes has settled, where one has not yet.
    async fn all(
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
                let key = Arc::clone(&self.key);
                running.spawn(async move {
                    let written = slot.write(&registry, &items, &key, settle).await;
                    (slot, written)
                });
            }
            let Some(done) = running.join_next().await else {
                break;
            };
            let (slot, result) =
                done.expect("no task is aborted, and one that panics must not look stored");
            match result {
                Ok((confirmed, at)) => {
                    settles = settles.max(at);
                    stored.extend(slot.stored(&confirmed));
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

/// One tag and the items that go under it.
struct Slot {
    image: DigestRef,
    tag: Tag,
    items: Vec<usize>,
}

impl Slot {
    async fn write(
        &self,
        registry: &Registry,
        items: &[Item],
        key: &PublicKey,
        settle: Settle,
    ) -> Written {
        let new = self.items.iter().map(|&i| items[i].signed.clone());
        let new: Vec<Signed> = new.collect();
        let same = |existing: &Signed, new: &Signed| same_signer(existing, new, key);
        match settle {
            Settle::Here => {
                let stored = store::append(registry, &self.image, self.tag, &new, &same).await?;
                Ok((stored, None))
            }
            Settle::Later => {
                let early = store::append_early(registry, &self.image, self.tag, &new, &same);
                let (stored, left) = early.await?;
                Ok((stored, left.map(|left| Instant::now() + left)))
            }
        }
    }

    fn stored(&self, confirmed: &store::Stored) -> impl Iterator<Item = Stored> {
        self.items
            .iter()
            .zip(&confirmed.outcomes)
            .map(|(&item, outcome)| Stored {
                item,
                place: Place::Tag {
                    image: self.image.clone(),
                    tag: confirmed.tag.clone(),
                    digest: confirmed.manifest_digest.clone(),
                    added: matches!(outcome, store::Outcome::Added),
                },
            })
    }
}

fn places(items: &[Item], stored: &mut Vec<Stored>) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut known: HashMap<(DigestRef, Tag), usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let tag = match item.kind {
            PayloadKind::Statement { .. } => Tag::Attestations,
            PayloadKind::SimpleSigning => Tag::Signatures,
        };
        let of_subjects = item.subjects.iter().filter_map(Subject::image);
        let mut images: Vec<DigestRef> = match &item.repository {
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
