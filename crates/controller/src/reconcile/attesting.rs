//! What is signed of a prepared run, and where it is stored: up to what is to be written on the run.

use std::collections::BTreeSet;

use tekseal_core::config::AbsentRule;
use tekseal_core::marks::{self, Outcome};
use tekseal_core::{Blame, Digest};
use tekseal_remote::Registry;
use tekseal_remote::registry::Reference;

use super::{Attempt, End, Fresh, Means};
use crate::note::{self, InAnnotations};
use crate::prepare::Prepared;
use crate::storing::{Stored, Storing};
use crate::trouble::{Stage, Trouble};

impl Attempt<'_> {
    /// Signs and stores.
    pub(super) async fn attest(
        &self,
        fresh: &Fresh,
        means: &Means,
        prepared: Prepared,
    ) -> Result<End, Trouble> {
        let config = &means.live.config;
        let registry = match prepared.needs_registry() || !prepared.images.is_empty() {
            true => {
                let registry = self.registry(&prepared, means).await?;
                if config.rules().absent_images == AbsentRule::Refuse {
                    self.are_there(&registry, &prepared).await?;
                }
                Some(registry)
            }
            false => None,
        };
        let payloads: Vec<_> = prepared.pieces.iter().map(|piece| &piece.payload).collect();
        let mut signed = Vec::with_capacity(prepared.pieces.len());
        for piece in &prepared.pieces {
            let signer = means.signer(piece.signer);
            let forms = signer.sign_for(&piece.payload, piece.layout()).await;
            signed.push(forms.map_err(|error| {
                self.context.keys.doubt(&error);
                Trouble::of_signing(&error)
            })?);
        }
        for _ in &signed {
            self.context.metrics.signed(self.run.kind);
        }
        let mut transparency = None;
        if let Some(witnesses) = means.live.witnesses(prepared.asks_for_log) {
            transparency = self
                .witness(witnesses, registry.as_ref(), &prepared, &mut signed, means)
                .await?;
        }
        let mut stored = Stored::default();
        if let Some(registry) = &registry {
            stored = self.store(registry, &prepared, &signed, means).await?;
        }
        let Stored {
            places,
            look_backs,
            left_out,
        } = stored;
        let mut in_annotations = Vec::new();
        for (at, piece) in prepared.pieces.iter().enumerate() {
            if let Some(key) = &piece.annotation {
                let layer = signed[at].iter().find(|form| !form.is_bundle());
                in_annotations.push(InAnnotations {
                    key,
                    payload: piece.payload.bytes(),
                    signed: layer.expect("a piece with an annotation is signed for tags"),
                    elsewhere: places.get(&at).cloned().unwrap_or_default(),
                });
            }
        }
        let mut annotations = note::annotations(&fresh.document, &in_annotations)?;
        let kept = |at: usize| places.contains_key(&at) || prepared.pieces[at].annotation.is_some();
        let mut digests = Vec::with_capacity(payloads.len());
        let mut keys = BTreeSet::new();
        for at in (0..payloads.len()).filter(|&at| kept(at)) {
            digests.push(Digest::of(payloads[at].bytes()));
            let signer = means.signer(prepared.pieces[at].signer);
            // Keys of certificates live for a moment.
            if signer.certificate().is_none() {
                keys.insert(signer.fingerprint().to_owned());
            }
        }
        let outcome = match digests.is_empty() {
            true => Outcome::Nothing,
            false => Outcome::Signed,
        };
        let mut gaps = prepared.gaps.clone();
        gaps.extend(left_out);
        if outcome == Outcome::Nothing && gaps.is_empty() {
            gaps.push("the run names nothing that the configuration wants signed".to_owned());
        }
        let reason = (!gaps.is_empty()).then(|| gaps.join("; "));
        let record = self.record(means, outcome, &digests, keys).await?;
        if let Some(url) = transparency {
            annotations.insert(marks::TRANSPARENCY.to_owned(), url);
        }
        let change = note::of_end(&fresh.seen, outcome, record, reason.as_deref(), annotations);
        Ok(End {
            change,
            outcome,
            payloads: digests.len(),
            stored: places.len() + in_annotations.len(),
            reason,
            look_backs,
        })
    }

    async fn registry(&self, prepared: &Prepared, means: &Means) -> Result<Registry, Trouble> {
        let live = &means.live;
        self.context
            .registries
            .get(
                &self.run.namespace,
                &prepared.account,
                &live.config,
                live.generation,
            )
            .await
    }

    /// Every image must be where the run says it is: otherwise a run would get signatures over whatever it names.
    async fn are_there(&self, registry: &Registry, prepared: &Prepared) -> Result<(), Trouble> {
        for image in &prepared.images {
            let digest = Reference::Digest(&image.digest);
            match registry.head_manifest(&image.repository, digest).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let text = format!("image {image} is not in its registry");
                    return Err(Trouble::last_text(Stage::Storage, text));
                }
                Err(error) => {
                    self.credential_refused(&error, prepared);
                    return Err(Trouble::of_registry(error.blame(), &error));
                }
            }
        }
        Ok(())
    }

    fn credential_refused(&self, error: &tekseal_remote::registry::Error, prepared: &Prepared) {
        if error.blame() == Blame::Setting {
            let registries = &self.context.registries;
            registries.forget(&self.run.namespace, &prepared.account);
        }
    }

    /// Stores what goes into registries; gives the places of each piece.
    async fn store(
        &self,
        registry: &Registry,
        prepared: &Prepared,
        signed: &[Vec<tekseal_core::Signed>],
        means: &Means,
    ) -> Result<Stored, Trouble> {
        let repository = means
            .live
            .config
            .repository()
            .map_err(|problem| Trouble::last_text(Stage::Storage, problem))?;
        let storing = Storing {
            turns: &self.context.turns,
            registry,
            prepared,
            signed,
            repository,
            key: &|kind| means.signer(kind).verifying(),
            witnesses: means.live.witnesses(prepared.asks_for_log),
        };
        storing.store().await.map_err(|failure| {
            let registries = &self.context.registries;
            registries.forget(&self.run.namespace, &prepared.account);
            tracing::debug!(place = failure.place, "not stored");
            Trouble::of_registry(failure.error.blame(), &failure.error)
        })
    }
}
