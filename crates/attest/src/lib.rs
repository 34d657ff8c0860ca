//! The chain itself: format, sign, store one completed run, in order.
//!
//! ```text
//!   CompletedRun ─ payloads ─▶ [Payload] ─ sign ─▶ [Signed] ─ store ─▶ [Stored]
//! ```
//!
//! Knows no files and no Kubernetes: the step tools put files between the stages, a controller runs them in one process.
//! Nothing is stored before everything is signed, and nothing is called stored before the registry was seen to hold it.

use std::collections::HashMap;
use std::sync::Arc;

use tekseal_core::cosign::Tag;
use tekseal_core::{Digest, DigestRef, Payload, PayloadKind, Repository, Signed, Subject};
use tekseal_remote::Registry;
use tekseal_remote::store;
use tekseal_signing::signer::FaultySignature;
use tekseal_signing::{PublicKey, Signer, same_signer};
use tokio::task::JoinSet;

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
    let mut stored = Vec::new();
    let mut waiting = places(&items, &mut stored);
    waiting.reverse();
    let items = Arc::new(items);
    let key = Arc::new(key);
    let mut running: JoinSet<(Slot, Result<store::Stored, store::Error>)> = JoinSet::new();
    let mut failure = None;
    loop {
        while running.len() < WIDTH
            && let Some(slot) = waiting.pop()
        {
            let (registry, items, key) = (registry.clone(), Arc::clone(&items), Arc::clone(&key));
            running.spawn(async move {
                let new: Vec<Signed> = slot
                    .items
                    .iter()
                    .map(|&i| items[i].signed.clone())
                    .collect();
                let same = |existing: &Signed, new: &Signed| same_signer(existing, new, &key);
                let result = store::append(&registry, &slot.image, slot.tag, &new, &same).await;
                (slot, result)
            });
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let (slot, result) =
            done.expect("no task is aborted, and one that panics must not look stored");
        match result {
            Ok(confirmed) => stored.extend(slot.stored(&confirmed)),
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
        None => Ok(stored),
        Some((place, error)) => Err(Box::new(StoreFailure {
            stored,
            place,
            error,
        })),
    }
}

/// One tag and the items that go under it.
struct Slot {
    image: DigestRef,
    tag: Tag,
    items: Vec<usize>,
}

impl Slot {
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
