//! One log: what it is asked, by what it is believed, and what its answer is worth.

use std::sync::Arc;

use tekseal_remote::log::{self, Added};
use tekseal_remote::{LogVersion, Rekor};
use tekseal_signing::witness::{Age, Bench, EnvelopeEntry, Format};
use tekseal_signing::{PublicKey, Trust, VerifyingKey};
use tokio::sync::OnceCell;

use super::{
    Answer, Cause, Clock, Entry, LARGEST_PROPOSAL, WitnessFailure, again, check_time, read,
};
use crate::Item;

/// A log that is told of every signature.
pub(super) struct Log {
    pub(super) rekor: Rekor,
    pub(super) format: Format,
    /// What it is believed by where there is no trusted root: the key that it told itself, once.
    told: OnceCell<Arc<Trust>>,
}

impl Log {
    pub(super) fn new(rekor: Rekor, envelopes: EnvelopeEntry) -> Self {
        Self {
            format: match rekor.version() {
                LogVersion::V1 => Format::V1(envelopes),
                LogVersion::V2 => Format::V2,
            },
            rekor,
            told: OnceCell::new(),
        }
    }

    /// Whether it is told of this form of a signature. A layer shows promises alone, which logs of the second version do not make.
    pub(super) fn takes(&self, item: &Item) -> bool {
        match self.format {
            Format::V1(_) => true,
            Format::V2 => item.signed.is_bundle(),
        }
    }

    /// What it is asked about an item, if it is not too large.
    pub(super) fn proposal(
        &self,
        item: &Item,
        key: &VerifyingKey,
    ) -> Result<Vec<u8>, Box<WitnessFailure>> {
        let proposal = read(item, key)?.proposal(self.format);
        let proposal =
            proposal.map_err(|source| WitnessFailure::of(item, Cause::Unloggable(source)))?;
        if proposal.len() > LARGEST_PROPOSAL {
            let size = proposal.len();
            return Err(WitnessFailure::of(item, Cause::TooLarge { size }));
        }
        Ok(proposal)
    }

    /// What the log is believed by: the trusted root, or the key that it tells when it is first needed.
    pub(super) async fn trust(&self, root: Option<&Arc<Trust>>) -> Result<Arc<Trust>, Cause> {
        if let Some(trust) = root {
            return Ok(Arc::clone(trust));
        }
        let told = self.told.get_or_try_init(|| async {
            let pem = self.rekor.public_key().await.map_err(Cause::Remote)?;
            let key = PublicKey::from_pem(&pem).map_err(|source| Cause::LogKey {
                url: self.rekor.url(),
                source,
            })?;
            Ok(Arc::new(Trust::of_log(key)))
        });
        told.await.cloned()
    }

    /// [`Self::trust`] without asking anybody; nothing where the log has not told its key yet.
    pub(super) fn known_trust<'a>(&'a self, root: Option<&'a Arc<Trust>>) -> Option<&'a Trust> {
        root.or_else(|| self.told.get()).map(Arc::as_ref)
    }

    /// By what an answer is judged that is here now.
    pub(super) fn bench<'a>(&self, trust: &'a Trust, url: &'a str, clock: Clock) -> Bench<'a> {
        Bench {
            trust,
            url,
            now: clock(),
        }
    }

    pub(super) async fn answer(
        &self,
        items: &[Item],
        of: Vec<usize>,
        key: &VerifyingKey,
        trust: &Trust,
        clock: Clock,
    ) -> Result<Answer, Box<WitnessFailure>> {
        let url = self.rekor.url();
        let first = &items[of[0]];
        let proposal = self.proposal(first, key)?;
        let added = self.rekor.add(&proposal).await;
        drop(proposal);
        let wrong = |item: &Item, source| {
            let url = url.clone();
            WitnessFailure::of(item, Cause::Answer { url, source })
        };
        // Read again now: what is waited for may take long, and what was read has megabytes.
        let (unwitnessed, judged, existed) = match added {
            Ok(Added { answer, existed }) => {
                let bench = self.bench(trust, &url, clock);
                let age = if existed { Age::Any } else { Age::New };
                let unwitnessed = read(first, key)?;
                let judged = unwitnessed.judge_entry(self.format, &bench, age, &answer);
                (unwitnessed, judged, existed)
            }
            Err(log::Error::AlreadyLogged {
                index: Some(index), ..
            }) => {
                let entry = again::read(&self.rekor, index, trust).await;
                let entry = entry.map_err(|source| {
                    let url = url.clone();
                    WitnessFailure::of(first, Cause::Again { url, index, source })
                })?;
                let bench = self.bench(trust, &url, clock);
                let unwitnessed = read(first, key)?;
                let judged = unwitnessed.judge_as(self.format, &bench, Age::Any, &entry);
                (unwitnessed, judged.map(|logged| (entry, logged)), true)
            }
            Err(source) => return Err(WitnessFailure::of(first, Cause::Remote(source))),
        };
        let (entry, logged) = judged.map_err(|source| wrong(first, source))?;
        if let Some(time) = logged.integrated_time {
            check_time(&unwitnessed, first, time)?;
        }
        drop(unwitnessed);
        let vouched = |logged| Entry {
            url: url.clone(),
            logged,
            existed,
        };
        let mut vouch = vec![(of[0], vouched(logged))];
        for &at in &of[1..] {
            let judged = read(&items[at], key)?.judge(trust, &entry);
            let logged = judged.map_err(|source| wrong(&items[at], source))?;
            vouch.push((at, vouched(logged)));
        }
        Ok(Answer::Logged { entry, of: vouch })
    }
}
