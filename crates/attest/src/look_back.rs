//! The second look at what was stored, when its writes have settled: what another writer took away is stored again, or told to be lost.

use std::error::Error;

use tekseal_core::{Digest, DigestRef};
use tekseal_remote::Registry;
use tekseal_remote::registry::{self, Reference};
use tokio::time::{Instant, sleep_until};

use crate::{Place, Settle, Store, StoreFailure, Stored};

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
    /// A look at what was stored, when its writes have settled.
    pub(crate) fn at(at: Instant, store: Store, stored: &[Stored]) -> Self {
        Self {
            registry: store.registry.clone(),
            written: written(stored),
            store: Some(store),
            at,
        }
    }

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
            let is_added = |one: &Stored| {
                matches!(
                    one.place,
                    Place::Tag { added: true, .. } | Place::Referrer { added: true, .. }
                )
            };
            return Ok(match stored.iter().any(is_added) {
                true => Looked::StoredAgain,
                false => Looked::AsWritten,
            });
        }
        Ok(Looked::AsWritten)
    }
}

/// The tags that were written, each once: indexes too.
fn written(stored: &[Stored]) -> Vec<(DigestRef, String, Digest)> {
    let mut written = Vec::new();
    for one in stored {
        match &one.place {
            Place::Tag {
                image,
                tag,
                digest,
                added: true,
            }
            | Place::Referrer {
                image,
                added: true,
                index: Some((tag, digest)),
                ..
            } => written.push((image.clone(), tag.clone(), digest.clone())),
            Place::Tag { .. } | Place::Referrer { .. } | Place::Nothing(_) => {}
        }
    }
    written.sort();
    written.dedup();
    written
}
