//! What is signed of a run is logged and timestamped before it is stored.

use tekseal_attest::witness::Entry;
use tekseal_attest::{Item, Witnesses};
use tekseal_core::Signed;
use tekseal_core::config::LogApi;
use tekseal_remote::Registry;

use super::{Attempt, Means};
use crate::prepare::Prepared;
use crate::trouble::Trouble;

impl Attempt<'_> {
    /// Adds the evidence to what was signed, all of it, and gives the address of the last entry as Chains writes it on the run; nothing where no log
    /// was told. What is kept nowhere is shown to nobody.
    ///
    /// # Errors
    /// The first that failed. Nothing is stored then.
    pub(super) async fn witness(
        &self,
        witnesses: &Witnesses,
        registry: Option<&Registry>,
        prepared: &Prepared,
        signed: &mut [Vec<Signed>],
        means: &Means,
    ) -> Result<Option<String>, Trouble> {
        let mut traces = Vec::new();
        for (kind, signer) in &means.signers {
            let mut items = Vec::new();
            let mut places = Vec::new();
            for (at, piece) in prepared.pieces.iter().enumerate() {
                let is_kept = piece.in_registry.is_some() || piece.annotation.is_some();
                if piece.signer != *kind || !is_kept {
                    continue;
                }
                for (form, signed) in signed[at].iter().enumerate() {
                    items.push(Item::new(signed.clone(), &piece.payload));
                    places.push((at, form));
                }
            }
            if items.is_empty() {
                continue;
            }
            let key = signer.verifying();
            let witnessed = witnesses.witness_all(registry, items, key).await;
            let (items, of_signer) = witnessed.map_err(|failure| Trouble::of_witness(&failure))?;
            for ((at, form), item) in places.into_iter().zip(items) {
                signed[at][form] = item.signed;
            }
            traces.extend(of_signer);
        }
        for entry in traces.iter().flat_map(|trace| &trace.entries) {
            tracing::info!(
                log = entry.url,
                index = entry.logged.log_index,
                existed = entry.existed,
                "logged"
            );
            if !entry.existed {
                self.context.metrics.uploaded(self.run.kind);
            }
        }
        let last = traces.iter().rev().find_map(|trace| trace.entries.last());
        let api = means.live.config.transparency().version;
        Ok(last.map(|entry| address(entry, api)))
    }
}

/// Where a log shows an entry. Logs of the second version have no address for one entry: theirs names log and index, and `tekseal-log get` finds it.
fn address(entry: &Entry, api: LogApi) -> String {
    let (url, index) = (entry.url.trim_end_matches('/'), entry.logged.log_index);
    match api {
        LogApi::V1 => format!("{url}/api/v1/log/entries?logIndex={index}"),
        LogApi::V2 => format!("{url}?logIndex={index}"),
    }
}
