//! Decides what of the new is already there, and what the next manifest is.
//!
//! An existing layer makes an item superfluous if it has the same digest and signature, or if the caller says that both
//! are the same (same signer over the same payload, with a randomised signature), and if it also carries every proof that the
//! item carries: a log entry or time stamp that comes later is worth a second layer.

use std::collections::HashMap;

use tekseal_core::{Digest, Repository, Signed, cosign};

use crate::Registry;
use crate::registry::{self, Blame};

use super::concurrent::concurrently;
use super::error::Error;
use super::manifest::{self, Encoded, ImageManifest, Layer};

/// Envelopes of one payload differ by their signatures and key ids only.
const SIZE_SLACK: u64 = 128;
/// How much is read to find out; a layer too many is better than an exhausted memory.
const MOST_BYTES: u64 = 64 << 20;
/// How many candidates are read side by side.
const WIDTH: usize = 10;

/// Whether an existing layer (first) makes a new one (second) superfluous.
pub(super) type Same<'a> = dyn Fn(&Signed, &Signed) -> bool + Sync + 'a;

/// The items to append, and what was learnt about layers that may be the same.
pub(super) struct Merger<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    new: &'a [Signed],
    layers: Vec<Layer>,
    same: &'a Same<'a>,
    /// Contents of candidates; `None` for those that cannot be read.
    read: HashMap<Digest, Option<Vec<u8>>>,
}

/// What a tag must hold when all is done.
pub(super) struct Merged {
    /// For each item the layer that stands for it: its own, or one that was there.
    pub(super) layers: Vec<Layer>,
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
            .all(|layer| manifest.holds(layer.identity()))
    }
}

impl<'a> Merger<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        repository: &'a Repository,
        new: &'a [Signed],
        same: &'a Same<'a>,
    ) -> Self {
        let layers = new.iter().map(Layer::of).collect();
        Self {
            registry,
            repository,
            new,
            layers,
            same,
            read: HashMap::new(),
        }
    }

    /// Whether item `at`'s own layer stands for it in `merged`.
    pub(super) fn is_own(&self, merged: &Merged, at: usize) -> bool {
        merged.layers[at].identity() == self.layers[at].identity()
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
            let layer = found.unwrap_or_else(|| {
                merged.missing.push(at);
                whole.push(self.layers[at].clone());
                self.layers[at].clone()
            });
            merged.layers.push(layer);
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
        let (new, own) = (&self.new[at], &self.layers[at]);
        if existing.signature().is_none() || !has_proofs_of(existing, own) {
            return false;
        }
        if existing.digest() == own.digest() && existing.signature() == own.signature() {
            return true;
        }
        let content = if existing.digest() == own.digest() {
            Some(new.layer())
        } else if is_candidate(existing, own) {
            let digest = existing.digest().parse::<Digest>().ok();
            digest.and_then(|digest| self.content(&digest))
        } else {
            None
        };
        content.is_some_and(|content| {
            let existing = Signed::fetched(
                existing.media_type().to_owned(),
                content.to_vec(),
                existing.annotations().clone(),
            );
            (self.same)(&existing, new)
        })
    }

    fn content(&self, digest: &Digest) -> Option<&[u8]> {
        let own = self
            .layers
            .iter()
            .position(|layer| layer.digest() == digest.as_str());
        match own {
            Some(at) => Some(self.new[at].layer()),
            None => self.read.get(digest)?.as_deref(),
        }
    }

    /// Reads the layers about which only their content can tell. One that is gone or broken is no candidate.
    async fn read_candidates(&mut self, existing: &ImageManifest) -> Result<(), registry::Error> {
        let mut wanted: Vec<(Digest, u64)> = Vec::new();
        let mut left = MOST_BYTES;
        for layer in existing.layers() {
            let asked = self.layers.iter().any(|own| is_candidate(layer, own));
            let Ok(digest) = layer.digest().parse::<Digest>() else {
                continue;
            };
            let known =
                self.read.contains_key(&digest) || wanted.iter().any(|(other, _)| *other == digest);
            if asked && !known && layer.size() <= left && self.content(&digest).is_none() {
                left -= layer.size();
                wanted.push((digest, layer.size()));
            }
        }
        let reads = wanted
            .iter()
            .map(|(digest, size)| self.registry.get_blob(self.repository, digest, *size));
        let contents = concurrently(WIDTH, reads).await;
        for ((digest, _), content) in wanted.into_iter().zip(contents) {
            let content = match content {
                Ok(content) => Some(content),
                Err(error) if error.blame() == Blame::Artifact => None,
                Err(error) => return Err(error),
            };
            self.read.insert(digest, content);
        }
        Ok(())
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
}
