//! Stores what was signed of a run beside its images, image by image.
//!
//! Registries fail when equal blobs arrive side by side, and two writers of one tag wait for each other anyway, so tasks of this process take
//! turns at an image. Nothing rests on that: what keeps a tag with several writers whole is how it is written (ARCHITECTURE). Therefore the
//! turn is held for one image only, while that one is stored, and waited for a few seconds only. A run that names the images of others beside
//! one in a registry that hangs is in nobody's way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tekseal_attest::{Item, LookBack, Place, StoreFailure, Witnesses};
use tekseal_core::config::SignerKind;
use tekseal_core::{DigestRef, Repository, Signed, Subject};
use tekseal_remote::Registry;
use tekseal_signing::VerifyingKey;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::prepare::Prepared;

/// How long others are let go first.
pub(crate) const COURTESY: Duration = Duration::from_secs(5);
/// How many images of one run are stored beside at once; each has two tags.
const WIDTH: usize = 4;

/// Images that somebody stores something beside.
#[derive(Debug)]
pub(crate) struct Turns {
    images: std::sync::Mutex<HashMap<DigestRef, Arc<Mutex<()>>>>,
    courtesy: Duration,
}

impl Turns {
    /// Turns that are waited for so long: [`COURTESY`].
    pub(crate) fn new(courtesy: Duration) -> Self {
        Self {
            images: std::sync::Mutex::default(),
            courtesy,
        }
    }

    /// Waits until nobody else of this process stores beside this image, but not for long.
    pub(crate) async fn wait(&self, image: &DigestRef) -> Option<OwnedMutexGuard<()>> {
        let turn = {
            let mut all = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(all.entry(image.clone()).or_default())
        };
        timeout(self.courtesy, turn.lock_owned()).await.ok()
    }
}

/// Where everything was put, and what is left to do.
#[derive(Default)]
pub(crate) struct Stored {
    /// The places of each piece, by its position.
    pub(crate) places: HashMap<usize, Vec<String>>,
    /// What was seen there, and is to be looked at again when it has settled.
    pub(crate) look_backs: Vec<LookBack>,
    /// Why something was put nowhere.
    pub(crate) left_out: BTreeSet<String>,
}

/// What is stored, and for whom.
pub(crate) struct Storing<'a> {
    pub(crate) turns: &'a Turns,
    pub(crate) registry: &'a Registry,
    pub(crate) prepared: &'a Prepared,
    /// The forms of each piece.
    pub(crate) signed: &'a [Vec<Signed>],
    /// The repository for all tags, instead of the images' own.
    pub(crate) repository: Option<Repository>,
    /// The key of each signer.
    pub(crate) key: &'a (dyn Fn(SignerKind) -> &'a VerifyingKey + Sync),
    /// Of whom it has evidence.
    pub(crate) witnesses: Option<&'a Witnesses>,
}

impl Storing<'_> {
    /// Stores what goes into registries.
    ///
    /// # Errors
    /// What failed first. The other images were still tried, so that the next attempt has less to do.
    pub(crate) async fn store(&self) -> Result<Stored, Box<StoreFailure>> {
        let mut waiting = self.images();
        let mut running = FuturesUnordered::new();
        let mut all = Stored::default();
        let mut failure = None;
        loop {
            while running.len() < WIDTH
                && let Some((image, parts)) = waiting.pop_first()
            {
                running.push(self.store_beside(image, parts));
            }
            match running.next().await {
                None => break,
                Some(Ok(stored)) => {
                    all.look_backs.extend(stored.look_backs);
                    all.left_out.extend(stored.left_out);
                    for (piece, places) in stored.places {
                        all.places.entry(piece).or_default().extend(places);
                    }
                }
                Some(Err(error)) => {
                    failure.get_or_insert(error);
                }
            }
        }
        all.places.values_mut().for_each(|places| places.sort());
        failure.map_or(Ok(all), Err)
    }

    /// The images that something is stored beside, and what.
    fn images(&self) -> BTreeMap<DigestRef, Vec<Part<'_>>> {
        let mut images: BTreeMap<DigestRef, Vec<Part<'_>>> = BTreeMap::new();
        for (at, piece) in self.prepared.pieces.iter().enumerate() {
            let forms = self.signed[at].iter().filter(|form| piece.stores(form));
            for form in forms {
                for subject in piece.payload.subjects() {
                    let Some(image) = subject.image() else {
                        continue;
                    };
                    let image = match &self.repository {
                        // A bundle is in the repository of the image.
                        Some(repository) if !form.is_bundle() => repository.at(image.digest),
                        Some(_) | None => image,
                    };
                    let parts = images.entry(image).or_default();
                    let is_same = |last: &Part<'_>| {
                        last.piece == at && last.form.is_bundle() == form.is_bundle()
                    };
                    if !parts.last().is_some_and(is_same) {
                        parts.push(Part {
                            piece: at,
                            form,
                            subject: subject.clone(),
                        });
                    }
                }
            }
        }
        images
    }

    async fn store_beside(
        &self,
        image: DigestRef,
        parts: Vec<Part<'_>>,
    ) -> Result<Stored, Box<StoreFailure>> {
        let _turn = self.turns.wait(&image).await;
        let mut all = Stored::default();
        let signer_of = |part: &Part<'_>| self.prepared.pieces[part.piece].signer;
        for kind in [SignerKind::X509, SignerKind::Kms] {
            let mut items = Vec::with_capacity(parts.len());
            let mut of_item = Vec::with_capacity(parts.len());
            for part in parts.iter().filter(|part| signer_of(part) == kind) {
                items.push(Item {
                    signed: part.form.clone(),
                    kind: self.prepared.pieces[part.piece].payload.kind().clone(),
                    subjects: vec![part.subject.clone()],
                    repository: self.repository.clone(),
                });
                of_item.push(part.piece);
            }
            if items.is_empty() {
                continue;
            }
            let (key, witnesses) = ((self.key)(kind).clone(), self.witnesses);
            let early = tekseal_attest::store_early(self.registry, items, key, witnesses);
            let (stored, look_back) = early.await?;
            all.look_backs.extend(look_back);
            for one in stored {
                if let Some(place) = self.tell(&one.place) {
                    let places = all.places.entry(of_item[one.item]).or_default();
                    places.push(place);
                } else if let Place::Nothing(reason) = one.place {
                    all.left_out.insert(reason);
                }
            }
        }
        Ok(all)
    }

    /// Tells where something was stored, and gives the place as it stands on a run.
    fn tell(&self, place: &Place) -> Option<String> {
        let credential = |image: &DigestRef| {
            let credential = self.registry.credential_used(image.repository.registry());
            credential.unwrap_or_else(|| "none".to_owned())
        };
        match place {
            Place::Tag {
                image,
                tag,
                digest,
                added,
            } => {
                tracing::info!(
                    image = %image,
                    tag,
                    manifest = %digest,
                    added,
                    credential = credential(image),
                    "stored"
                );
                Some(format!("{}:{tag}", image.repository))
            }
            Place::Referrer {
                image,
                digest,
                added,
                index,
            } => {
                tracing::info!(
                    image = %image,
                    referrer = %digest,
                    listed = index.as_ref().map_or("by the registry", |(tag, _)| tag),
                    added,
                    credential = credential(image),
                    "stored"
                );
                Some(format!("{}@{digest}", image.repository))
            }
            Place::Nothing(reason) => {
                tracing::warn!(reason, "not stored");
                None
            }
        }
    }
}

/// One form of a piece, and the subject that is the image it is stored beside.
struct Part<'a> {
    piece: usize,
    form: &'a Signed,
    subject: Subject,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> DigestRef {
        let digest = "1d1a4de6c7c00389f96e6d7522c667e979e17fc040d0eb50f40993d7f913c227";
        let text = format!("registry.example/{name}@sha256:{digest}");
        DigestRef::parse(&text).expect("it is one")
    }

    #[tokio::test]
    async fn turns_are_taken_at_one_image_and_not_waited_for_without_end() {
        let turns = Turns::new(Duration::from_millis(50));
        let first = turns.wait(&image("team/a")).await;
        assert!(first.is_some());
        let other = turns.wait(&image("team/b")).await;
        assert!(other.is_some(), "another image is another matter");
        assert!(turns.wait(&image("team/a")).await.is_none());
        drop(first);
        assert!(turns.wait(&image("team/a")).await.is_some());
    }
}
