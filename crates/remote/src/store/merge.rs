//! Decides what of the new is already there, and what the next manifest is.
//!
//! An existing layer makes an item superfluous if it has the same digest and signature, or if the caller says that both
//! are the same (same signer over the same payload, with a randomised signature), and if it also carries every proof that the
//! item carries: a log entry or time stamp that comes later is worth a second layer.

use std::sync::Arc;

use tekseal_core::{Digest, Evidence, Repository, Signed, cosign};

use crate::Registry;
use crate::registry::{self, Blame};

use super::MOST_WITH_NAMES;
use super::concurrent::concurrently;
use super::error::Error;
use super::item::Item;
use super::manifest::{self, Encoded, ImageManifest, Layer};

/// Envelopes of one payload differ by their signatures and key ids only.
const SIZE_SLACK: u64 = 128;
/// How much is read to find out; a layer too many is better than a registry that keeps us reading.
const MOST_BYTES: u64 = 16 << 20;
/// How many candidates are read side by side.
const WIDTH: usize = 10;
/// What they may have together. One that is larger is read alone: what is held does not grow with the number of layers.
const BATCH: u64 = 1 << 20;

/// Whether an existing layer (first) makes a new one (second) superfluous.
pub(super) type Same<'a> = dyn Fn(&Signed, &Signed) -> bool + Sync + 'a;

/// The items to append, and what was learnt about layers that may be the same.
pub(super) struct Merger<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    new: Arc<[Item]>,
    layers: Vec<Layer>,
    /// For each item whether it says a name.
    names: Vec<bool>,
    same: &'a Same<'a>,
    /// What the contents of candidates have told. The contents are not kept: a registry decides how many there are.
    verdicts: Vec<Verdict>,
}

/// Whether a layer that was there stands for an item.
struct Verdict {
    layer: Layer,
    at: usize,
    is_same: bool,
}

/// Layers of one content that only tells when it is read.
struct Candidate {
    digest: Digest,
    size: u64,
    layers: Vec<Layer>,
}

/// What a tag must hold when all is done.
pub(super) struct Merged {
    /// For each item the layer that stands for it: its own, or one that was there; none where there is no room for a name.
    pub(super) layers: Vec<Option<Layer>>,
    /// The items that have to be written.
    pub(super) missing: Vec<usize>,
    /// What to write; nothing if nothing is missing.
    pub(super) next: Option<Encoded>,
}

impl Merged {
    /// Whether every item is in `manifest`.
    pub(super) fn is_in(&self, manifest: &ImageManifest) -> bool {
        self.layers
            .iter()
            .flatten()
            .all(|layer| manifest.holds(layer.identity()))
    }
}

impl<'a> Merger<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        repository: &'a Repository,
        new: Arc<[Item]>,
        same: &'a Same<'a>,
    ) -> Self {
        let layers = new.iter().map(Layer::of_item).collect();
        let names = new.iter().map(Item::says_name).collect();
        Self {
            registry,
            repository,
            new,
            layers,
            names,
            same,
            verdicts: Vec::new(),
        }
    }

    /// Whether item `at`'s own layer stands for it in `merged`.
    pub(super) fn is_own(&self, merged: &Merged, at: usize) -> bool {
        let layer = merged.layers[at].as_ref();
        layer.is_some_and(|layer| layer.identity() == self.layers[at].identity())
    }

    /// What is missing in `existing`, and the manifest that has it all.
    pub(super) async fn merge(
        &mut self,
        existing: &ImageManifest,
        place: &str,
    ) -> Result<Merged, Error> {
        self.read_candidates(existing).await?;
        let mut whole = existing.clone();
        let mut merged = Merged {
            layers: Vec::new(),
            missing: Vec::new(),
            next: None,
        };
        for at in 0..self.new.len() {
            let own = self.layers[at].identity();
            let mut layers = whole.layers().iter();
            let found = layers.clone().find(|layer| layer.identity() == own);
            let found = found
                .or_else(|| layers.find(|layer| self.is_same(layer, at)))
                .cloned();
            let has_room = !self.names[at] || whole.layers().len() < MOST_WITH_NAMES;
            if found.is_none() && has_room {
                merged.missing.push(at);
                whole.push(self.layers[at].clone());
            }
            merged
                .layers
                .push(found.or_else(|| has_room.then(|| self.layers[at].clone())));
        }
        if !merged.missing.is_empty() {
            let failed = |source: manifest::Error| Error::Manifest {
                place: place.to_owned(),
                source,
            };
            merged.next = Some(whole.encode().map_err(failed)?);
        }
        Ok(merged)
    }

    fn is_same(&self, existing: &Layer, at: usize) -> bool {
        let own = &self.layers[at];
        if existing.signature().is_none() || !has_proofs_of(existing, own) {
            return false;
        }
        if existing.digest() == own.digest()
            && existing.signature() == own.signature()
            && has_no_other_evidence(existing, own)
        {
            return true;
        }
        // What is too large for memory is compared by its digest alone.
        let Some(new) = self.new[at].held() else {
            return false;
        };
        if existing.digest() == own.digest() {
            return self.judge(existing, new.layer(), at);
        }
        if !self.is_candidate(existing, at) {
            return false;
        }
        match self.own_content(existing) {
            Some(content) => self.judge(existing, content, at),
            None => self.verdicts.iter().any(|verdict| {
                verdict.at == at
                    && verdict.is_same
                    && verdict.layer.identity() == existing.identity()
            }),
        }
    }

    /// Whether only the content of `existing` can tell that it stands for item `at`, and may be asked: not beside what is not in memory.
    fn is_candidate(&self, existing: &Layer, at: usize) -> bool {
        self.new[at].held().is_some() && is_candidate(existing, &self.layers[at])
    }

    /// Whether the layer with this content stands for item `at`, which is in memory.
    fn judge(&self, existing: &Layer, content: &[u8], at: usize) -> bool {
        let Some(new) = self.new[at].held() else {
            return false;
        };
        let existing = Signed::fetched(
            existing.media_type().to_owned(),
            content.to_vec(),
            existing.annotations().clone(),
        );
        (self.same)(&existing, new)
    }

    /// The content of a layer that is one of ours, and in memory.
    fn own_content(&self, layer: &Layer) -> Option<&[u8]> {
        let mut own = self.layers.iter().zip(self.new.iter());
        own.find_map(|(own, new)| new.held().filter(|_| own.digest() == layer.digest()))
            .map(Signed::layer)
    }

    /// Reads the layers about which only their content can tell, and judges them. One that is gone or broken stands for nothing.
    async fn read_candidates(&mut self, existing: &ImageManifest) -> Result<(), registry::Error> {
        self.verdicts
            .retain(|verdict| existing.holds(verdict.layer.identity()));
        let mut wanted = self.wanted(existing);
        while !wanted.is_empty() {
            let mut bytes = 0;
            let fits = wanted.iter().take(WIDTH).take_while(|candidate| {
                bytes += candidate.size;
                bytes <= BATCH
            });
            let count = fits.count().max(1);
            let batch: Vec<_> = wanted.drain(..count).collect();
            let reads = batch.iter().map(|candidate| {
                self.registry
                    .get_blob(self.repository, &candidate.digest, candidate.size)
            });
            let contents = concurrently(WIDTH, reads).await;
            for (candidate, content) in batch.into_iter().zip(contents) {
                let content = match content {
                    Ok(content) => Some(content),
                    Err(error) if error.blame() == Blame::Artifact => None,
                    Err(error) => return Err(error),
                };
                self.learn(candidate, content.as_deref());
            }
        }
        Ok(())
    }

    /// What has to be read, each content once.
    fn wanted(&self, existing: &ImageManifest) -> Vec<Candidate> {
        let mut wanted: Vec<Candidate> = Vec::new();
        let mut left = MOST_BYTES;
        for layer in existing.layers() {
            let Ok(digest) = layer.digest().parse::<Digest>() else {
                continue;
            };
            let is_asked = (0..self.new.len()).any(|at| self.is_candidate(layer, at));
            let is_known = || {
                let mut verdicts = self.verdicts.iter();
                verdicts.any(|verdict| verdict.layer.identity() == layer.identity())
            };
            if !is_asked || self.own_content(layer).is_some() || is_known() {
                continue;
            }
            let listed = wanted.iter_mut().find(|other| other.digest == digest);
            if let Some(other) = listed {
                other.layers.push(layer.clone());
            } else if layer.size() <= left {
                left -= layer.size();
                wanted.push(Candidate {
                    digest,
                    size: layer.size(),
                    layers: vec![layer.clone()],
                });
            }
        }
        wanted
    }

    fn learn(&mut self, candidate: Candidate, content: Option<&[u8]>) {
        for layer in candidate.layers {
            for at in 0..self.new.len() {
                let is_same = self.is_candidate(&layer, at)
                    && content.is_some_and(|content| self.judge(&layer, content, at));
                self.verdicts.push(Verdict {
                    layer: layer.clone(),
                    at,
                    is_same,
                });
            }
        }
    }
}

/// Whether only the content can tell that `existing` is the same attestation as `own`.
fn is_candidate(existing: &Layer, own: &Layer) -> bool {
    let predicate_type = existing.proof(cosign::PREDICATE_TYPE_ANNOTATION);
    own.media_type() == cosign::DSSE_MEDIA_TYPE
        && existing.media_type() == own.media_type()
        && existing.signature().is_some()
        && existing.digest() != own.digest()
        && existing.size().abs_diff(own.size()) <= SIZE_SLACK
        && has_proofs_of(existing, own)
        && (predicate_type.is_none()
            || predicate_type == own.proof(cosign::PREDICATE_TYPE_ANNOTATION))
}

/// Whether `existing` has all that `own` has beside the signature itself: certificate, log entry, time stamp.
fn has_proofs_of(existing: &Layer, own: &Layer) -> bool {
    own.annotations()
        .keys()
        .filter(|key| {
            !matches!(
                key.as_str(),
                cosign::SIGNATURE_ANNOTATION | cosign::PREDICATE_TYPE_ANNOTATION
            )
        })
        .all(|key| own.proof(key).is_none() || existing.proof(key).is_some())
        && has_evidence_of(existing, own)
}

/// Whether `existing` has what logs and authorities said of `own` byte for byte, where they said anything. Of anything else somebody must say whether
/// it is good: a promise of nobody over the right entry is nothing.
fn has_no_other_evidence(existing: &Layer, own: &Layer) -> bool {
    let kinds = [cosign::BUNDLE_ANNOTATION, cosign::TIMESTAMP_ANNOTATION];
    let mut kinds = kinds.iter();
    kinds.all(|kind| own.proof(kind).is_none() || existing.proof(kind) == own.proof(kind))
}

/// Whether the evidence of `existing` can be read where `own` has some, and is the same if the signature is. Who says it is good, and for whom,
/// is for verifiers; something in its place that nobody can read stands for nothing.
fn has_evidence_of(existing: &Layer, own: &Layer) -> bool {
    let Ok(wanted) = Evidence::of_annotations(own.annotations()) else {
        return true;
    };
    if !wanted.is_witnessed() {
        return true;
    }
    let is_same_signature =
        existing.digest() == own.digest() && existing.signature() == own.signature();
    match Evidence::of_annotations(existing.annotations()) {
        Ok(found) if is_same_signature => found.covers(&wanted),
        Ok(found) => {
            found.entries.len() >= wanted.entries.len()
                && found.timestamps.len() >= wanted.timestamps.len()
        }
        Err(_) => false,
    }
}
