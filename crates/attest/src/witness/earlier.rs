//! Looks whether a bundle is stored already, with everything that the witnesses would add: the same signature is not logged twice, and not stored
//! twice because a log proves an entry anew each time it is asked.

use std::collections::BTreeSet;

use tekseal_core::{Bundle, DigestRef, Signed, Subject};
use tekseal_remote::Registry;
use tekseal_remote::store::{Layers, Source};
use tekseal_signing::witness::Age;
use tekseal_signing::{Trust, Unwitnessed, VerifyingKey, timestamp};

use super::{Cause, Entry, Trace, WitnessFailure, Witnesses};
use crate::Item;

/// How much larger than a bundle of ours without evidence one with it may be.
const ROOM_FOR_EVIDENCE: u64 = 256 << 10;

/// How much is read of the manifests of all bundles of an image: many images are looked at side by side, and a thousand bundles of ours have half of it.
const MOST_MANIFESTS: u64 = 2 << 20;

impl Witnesses {
    /// Puts what is there in the place of each bundle that it makes superfluous, and says what it has.
    pub(super) async fn earlier(
        &self,
        registry: &Registry,
        items: &mut [Item],
        key: &VerifyingKey,
    ) -> Result<Vec<Trace>, Box<WitnessFailure>> {
        let mut traces: Vec<Trace> = Vec::new();
        let bundles: Vec<usize> = (0..items.len())
            .filter(|&at| items[at].signed.is_bundle())
            .collect();
        let mut images: Vec<DigestRef> = bundles
            .iter()
            .flat_map(|&at| items[at].subjects.iter().filter_map(Subject::image))
            .collect();
        images.sort();
        images.dedup();
        for image in &images {
            let of_image = |at: &usize| {
                let mut subjects = items[*at].subjects.iter().filter_map(Subject::image);
                subjects.any(|subject| subject == *image)
            };
            let wanted: Vec<usize> = bundles.iter().copied().filter(of_image).collect();
            let failed = |source| WitnessFailure::of(&items[wanted[0]], Cause::Earlier(source));
            let source = Source::of(registry, image);
            let layers = Layers::referring_within(source, &image.digest, MOST_MANIFESTS).await;
            let mut layers = layers.map_err(failed)?;
            // Whoever may write to the repository decides what is there.
            let ours = wanted.iter().map(|&at| items[at].signed.layer().len());
            layers.leave_out_larger(ours.max().unwrap_or(0) as u64 + ROOM_FOR_EVIDENCE);
            while let Some(fetched) = layers.next().await {
                // What cannot be read makes nothing superfluous.
                let Ok(found) = fetched.signed else {
                    continue;
                };
                for &at in &wanted {
                    if traces.iter().any(|trace| trace.item == at) {
                        continue;
                    }
                    let found_here = self.has_all(&found, &items[at], at, key).await;
                    if let Some(trace) = found_here {
                        items[at].signed = Signed::bundle_of_bytes(
                            found.layer().to_vec(),
                            predicate_type(&items[at]),
                        );
                        traces.push(trace);
                    }
                }
            }
        }
        Ok(traces)
    }

    /// What `found` has, if it is of the same signature as the item and has as much as these witnesses give, all of it good.
    async fn has_all(
        &self,
        found: &Signed,
        item: &Item,
        at: usize,
        key: &VerifyingKey,
    ) -> Option<Trace> {
        if !found.is_bundle() {
            return None;
        }
        let stored = Unwitnessed::read(found, key).ok()?;
        if stored.signature() != Unwitnessed::read(&item.signed, key).ok()?.signature() {
            return None;
        }
        let evidence = Bundle::parse(found.layer()).ok()?.evidence;
        let mut trace = Trace {
            item: at,
            entries: Vec::new(),
            timestamps: Vec::new(),
        };
        for log in &self.0.logs {
            let trust = log.trust(self.0.trust.as_ref()).await.ok()?;
            let url = log.rekor.url();
            let bench = log.bench(&trust, &url, self.0.clock);
            let mut entries = evidence.entries.iter();
            let logged = entries.find_map(|entry| {
                let logged = stored.judge_as(log.format, &bench, Age::Any, entry).ok()?;
                // Two entries of one log are not those of two.
                let of_others = |known: &Entry| known.logged.log_id != logged.log_id;
                trace.entries.iter().all(of_others).then_some(logged)
            })?;
            trace.entries.push(Entry {
                url,
                logged,
                existed: true,
            });
        }
        let no_trust = Trust::default();
        let trust = self.0.trust.as_deref().unwrap_or(&no_trust);
        let now = (self.0.clock)();
        for response in &evidence.timestamps {
            let verified = timestamp::verify(trust, response, stored.stamped()).ok()?;
            let in_use = verified.filter(|stamp| stamp.authority_was_in_use_at(now));
            trace.timestamps.extend(in_use);
        }
        // Two times of one authority are not those of two, unless there is but one that could answer.
        let wanted = self.0.authorities.len();
        let named: BTreeSet<_> = trace.timestamps.iter().map(|one| &one.authority).collect();
        let has_times = trace.timestamps.len() >= wanted
            && named.len() >= wanted.min(trust.timestamp_authorities_at(now));
        // To the last byte what this would store: an entry that nobody judged, or anything else that somebody put in, is not taken over.
        let ours = item
            .signed
            .with_evidence(&evidence.entries, &evidence.timestamps);
        let is_whole = evidence.entries.len() == trace.entries.len()
            && evidence.timestamps.len() == trace.timestamps.len()
            && has_times
            && ours.is_ok_and(|ours| ours.layer() == found.layer());
        is_whole.then_some(trace)
    }
}

fn predicate_type(item: &Item) -> &str {
    let annotations = item.signed.annotations();
    let known = annotations.get(tekseal_core::bundle::PREDICATE_TYPE_ANNOTATION);
    known.map_or("", String::as_str)
}

#[cfg(test)]
mod tests;
