//! What is signed leaves traces before it is stored: entries in transparency logs, and timestamps.
//!
//! ```text
//!   [Item] ─┬─▶ earlier: is a bundle of the same signature there, with all of it? ─▶ that one
//!           └─▶ size ─▶ log, authority ─▶ answer, judged (signing) ─▶ [Item] with evidence · [Trace]
//! ```
//!
//! Everything is asked side by side, and nothing is handed on unless all of it was answered and every answer holds: then nothing is stored either.
//! What a log has taken in stays there; asked again, it says so, which is as good. One signature is one entry, also where it is stored in both
//! layouts: then the log is shown the envelope of the layer, for whose readers the entry must be of its exact bytes.

mod again;
mod earlier;
mod error;
mod log;
mod stands;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tekseal_core::evidence::LogEntry;
use tekseal_core::{Digest, Layout};
use tekseal_remote::{LogVersion, Registry, Rekor, TimestampAuthority};
use tekseal_signing::log::Logged;
use tekseal_signing::timestamp::Timestamp;
use tekseal_signing::witness::{EnvelopeEntry, Unwitnessed};
use tekseal_signing::{Trust, VerifyingKey, certificate, random};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;

use crate::Item;

pub use again::Error as AgainError;
pub use error::{Cause, NoRoom, NoTrust, WitnessFailure};
use log::Log;
pub(crate) use stands::stands_for;

/// The most bytes that a log is sent at once. Rekor has no bound of its own, but proxies in front of it have; it keeps hashes, and no attestation of
/// more than some hundred kilobytes.
pub const LARGEST_PROPOSAL: usize = 16 << 20;

/// How much may be made of signatures at a time, by all calls, in KiB.
const ROOM_KIB: u32 = 16 << 10;
/// What each request takes of it at the least.
const LEAST_KIB: u32 = 64;
/// How often what is signed is held while it is asked about: in the message, in the envelope, and in what is sent, in base64.
const COPIES: usize = 5;

/// How many requests are under way at a time. A log of the second version answers all that it gets within a second at once.
const WIDTH: usize = 8;

/// What time it is, seconds since 1970.
pub type Clock = fn() -> i64;

/// Logs and authorities that are told of every signature, and what they are believed by. Clones share everything: one is enough for any number of
/// calls side by side.
#[derive(Clone)]
pub struct Witnesses(Arc<All>);

struct All {
    logs: Vec<Log>,
    authorities: Vec<TimestampAuthority>,
    trust: Option<Arc<Trust>>,
    clock: Clock,
    /// Of what is made of signatures to be sent, in KiB: several copies of a large Statement, for each log and authority.
    room: Semaphore,
}

/// What witnesses an item has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Which of the items, by position.
    pub item: usize,
    /// The entries of logs, verified.
    pub entries: Vec<Entry>,
    /// The times of authorities, verified.
    pub timestamps: Vec<Timestamp>,
}

/// The entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the log is.
    pub url: String,
    /// What it vouches for.
    pub logged: Logged,
    /// Whether the log had it before.
    pub existed: bool,
}

/// One question, and the items for which its answer is.
enum Question {
    Log { log: usize, items: Vec<usize> },
    Stamp { authority: usize, item: usize },
}

/// An answer that holds.
enum Answer {
    Logged {
        entry: LogEntry,
        /// What it vouches for beside each item.
        of: Vec<(usize, Entry)>,
    },
    Stamped {
        item: usize,
        response: Vec<u8>,
        timestamp: Timestamp,
    },
}

impl Witnesses {
    /// These logs, each with the kind of entry that an envelope is in a log of the first version, and these authorities, believed by what is in
    /// `trust` and is in use at the time of `clock`. One that is named twice is asked once.
    ///
    /// # Errors
    /// Without `trust` only logs of Rekor v1 can be asked: they tell their own key.
    pub fn new(
        logs: Vec<(Rekor, EnvelopeEntry)>,
        authorities: Vec<TimestampAuthority>,
        trust: Option<Arc<Trust>>,
        clock: Clock,
    ) -> Result<Self, NoTrust> {
        let is_v2 = |(rekor, _): &(Rekor, _)| rekor.version() == LogVersion::V2;
        if trust.is_none() && logs.iter().any(is_v2) {
            return Err(NoTrust::Log);
        }
        if trust.is_none() && !authorities.is_empty() {
            return Err(NoTrust::Timestamps);
        }
        let is_named = |rekor: &Rekor, one: &Log| {
            one.rekor.version() == rekor.version() && one.rekor.url() == rekor.url()
        };
        let mut once: Vec<Log> = Vec::with_capacity(logs.len());
        for (rekor, envelopes) in logs {
            if !once.iter().any(|one| is_named(&rekor, one)) {
                once.push(Log::new(rekor, envelopes));
            }
        }
        let mut urls = BTreeSet::new();
        let authorities = authorities.into_iter();
        let authorities = authorities.filter(|authority| urls.insert(authority.url()));
        Ok(Self(Arc::new(All {
            logs: once,
            authorities: authorities.collect(),
            trust,
            clock,
            room: Semaphore::new(ROOM_KIB as usize),
        })))
    }

    /// Has every item that speaks of an image witnessed, all of them signed by `key`, and gives them with the evidence in the form in which it is stored. Where a bundle of
    /// the same signature refers to an image already, and has all that it would get here, nobody is asked and that bundle is taken.
    ///
    /// # Errors
    /// The first thing that went wrong. Nothing is stored yet, and what is logged by then is found again by the next call.
    pub async fn witness(
        &self,
        registry: &Registry,
        items: Vec<Item>,
        key: &VerifyingKey,
    ) -> Result<(Vec<Item>, Vec<Trace>), Box<WitnessFailure>> {
        // What is stored nowhere is shown to nobody.
        let is_shown = |item: &Item| item.subjects.iter().any(|one| one.image().is_some());
        self.show(Some(registry), items, key, is_shown).await
    }

    /// [`witness`](Self::witness) of every item, whatever it speaks of: for what is kept in other places than registries too. Without `registry`
    /// nothing is looked for.
    ///
    /// # Errors
    /// As [`witness`](Self::witness).
    pub async fn witness_all(
        &self,
        registry: Option<&Registry>,
        items: Vec<Item>,
        key: &VerifyingKey,
    ) -> Result<(Vec<Item>, Vec<Trace>), Box<WitnessFailure>> {
        self.show(registry, items, key, |_| true).await
    }

    /// Whether there is room in this layout for what they answer.
    ///
    /// # Errors
    /// For entries that a layer under a tag cannot show, and for more than it has annotations for.
    pub fn fit(&self, layout: Layout) -> Result<(), NoRoom> {
        let logs = self.0.logs.iter().map(|log| log.rekor.version());
        let logs: Vec<LogVersion> = logs.collect();
        fit(&logs, self.0.authorities.len(), layout)
    }

    /// Whether somebody says when something was signed, by whose word a certificate is good after it has ended: an authority, or a log of the first
    /// version. One of the second does not.
    #[must_use]
    pub fn tell_time(&self) -> bool {
        let mut logs = self.0.logs.iter();
        !self.0.authorities.is_empty() || logs.any(|log| log.rekor.version() == LogVersion::V1)
    }

    async fn show(
        &self,
        registry: Option<&Registry>,
        mut items: Vec<Item>,
        key: &VerifyingKey,
        is_shown: impl Fn(&Item) -> bool,
    ) -> Result<(Vec<Item>, Vec<Trace>), Box<WitnessFailure>> {
        let mut traces = match registry {
            Some(registry) => self.earlier(registry, &mut items, key).await?,
            None => Vec::new(),
        };
        let is_new =
            |at: &usize| traces.iter().all(|trace| trace.item != *at) && is_shown(&items[*at]);
        let new: Vec<usize> = (0..items.len()).filter(is_new).collect();
        let questions = self.questions(&items, &new, key)?;
        let shared = Arc::new((items, key.clone()));
        let answers = self.ask(questions, &shared).await?;
        let mut items = match Arc::try_unwrap(shared) {
            Ok((items, _)) => items,
            Err(shared) => shared.0.clone(),
        };
        let mut collected: BTreeMap<usize, Collected> = BTreeMap::new();
        for answer in answers {
            match answer {
                Answer::Logged { entry, of } => {
                    for (item, vouched) in of {
                        let collected = collected.entry(item).or_default();
                        collected.entries.push(entry.clone());
                        collected.vouched.push(vouched);
                    }
                }
                Answer::Stamped {
                    item,
                    response,
                    timestamp,
                } => {
                    let collected = collected.entry(item).or_default();
                    collected.responses.push(response);
                    collected.timestamps.push(timestamp);
                }
            }
        }
        for (at, collected) in collected {
            let signed = items[at]
                .signed
                .with_evidence(&collected.entries, &collected.responses)
                .map_err(|source| WitnessFailure::of(&items[at], Cause::Evidence(source)))?;
            items[at].signed = signed;
            traces.push(Trace {
                item: at,
                entries: collected.vouched,
                timestamps: collected.timestamps,
            });
        }
        traces.sort_by_key(|trace| trace.item);
        Ok((items, traces))
    }

    /// What is to be asked about the items at these positions. Whatever is too large, or nothing for a log, is told before anything is sent.
    fn questions(
        &self,
        items: &[Item],
        at: &[usize],
        key: &VerifyingKey,
    ) -> Result<Vec<Question>, Box<WitnessFailure>> {
        // Those with one signature stand together, in the order of the items.
        let mut groups: Vec<(Digest, Vec<usize>)> = Vec::new();
        for &at in at {
            let item = &items[at];
            let unwitnessed = read(item, key)?;
            check_not_over(&unwitnessed, item, (self.0.clock)())?;
            let signature = Digest::of(unwitnessed.signature());
            match groups.iter_mut().find(|(known, _)| *known == signature) {
                Some((_, group)) => group.push(at),
                None => groups.push((signature, vec![at])),
            }
        }
        let mut questions = Vec::new();
        for (log, asked) in self.0.logs.iter().enumerate() {
            for (_, group) in &groups {
                let takes = |at: &&usize| asked.takes(&items[**at]);
                let group: Vec<usize> = group.iter().filter(takes).copied().collect();
                let Some(&first) = group.first() else {
                    continue;
                };
                asked.proposal(&items[first], key)?;
                questions.push(Question::Log { log, items: group });
            }
        }
        for authority in 0..self.0.authorities.len() {
            let stamp = |&item: &usize| Question::Stamp { authority, item };
            questions.extend(at.iter().map(stamp));
        }
        Ok(questions)
    }

    /// All answers, in the order of the questions; each holds.
    async fn ask(
        &self,
        questions: Vec<Question>,
        shared: &Arc<(Vec<Item>, VerifyingKey)>,
    ) -> Result<Vec<Answer>, Box<WitnessFailure>> {
        let mut waiting = questions.into_iter().enumerate();
        let mut running = JoinSet::new();
        let mut answers = BTreeMap::new();
        let mut failure = None;
        loop {
            while running.len() < WIDTH
                && failure.is_none()
                && let Some((at, question)) = waiting.next()
            {
                let (all, shared) = (Arc::clone(&self.0), Arc::clone(shared));
                running.spawn(async move {
                    let (items, key) = &*shared;
                    let _room = all.room_for(&question, items).await;
                    (at, all.answer(question, items, key).await)
                });
            }
            // What is under way is heard to its end, also after a failure: a log of the second version that is hung up on drops the whole batch, with
            // what others have sent it.
            let Some(done) = running.join_next().await else {
                break;
            };
            let (at, answer) =
                done.expect("no task is aborted, and one that panics must not look witnessed");
            match answer {
                Ok(answer) => {
                    answers.insert(at, answer);
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            None => Ok(answers.into_values().collect()),
            Some(failure) => Err(failure),
        }
    }
}

/// Whether there is room in a layout for what logs of these versions, and so many timestamp authorities, answer.
///
/// # Errors
/// As [`Witnesses::fit`].
pub fn fit(logs: &[LogVersion], authorities: usize, layout: Layout) -> Result<(), NoRoom> {
    if logs.contains(&LogVersion::V2) && !layout.has_bundles() {
        return Err(NoRoom::Proof(layout));
    }
    for (count, of) in [
        (logs.len(), "transparency logs"),
        (authorities, "timestamp authorities"),
    ] {
        if count > 1 && layout.has_tags() {
            return Err(NoRoom::Several { count, of });
        }
    }
    Ok(())
}

/// What came of one item.
#[derive(Default)]
struct Collected {
    entries: Vec<LogEntry>,
    vouched: Vec<Entry>,
    responses: Vec<Vec<u8>>,
    timestamps: Vec<Timestamp>,
}

impl All {
    /// Leave to have a question in work.
    async fn room_for(&self, question: &Question, items: &[Item]) -> SemaphorePermit<'_> {
        let item = match question {
            Question::Log { items, .. } => items[0],
            Question::Stamp { item, .. } => *item,
        };
        let bytes = items[item].signed.layer().len().saturating_mul(COPIES);
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
        let permit = self.room.acquire_many(kib.clamp(LEAST_KIB, ROOM_KIB)).await;
        permit.expect("the semaphore is never closed")
    }

    async fn answer(
        &self,
        question: Question,
        items: &[Item],
        key: &VerifyingKey,
    ) -> Result<Answer, Box<WitnessFailure>> {
        match question {
            Question::Log { log, items: of } => {
                let log = &self.logs[log];
                let trust = log.trust(self.trust.as_ref());
                let trust = trust.await.map_err(|cause| failed(items, &of, cause))?;
                log.answer(items, of, key, &trust, self.clock).await
            }
            Question::Stamp { authority, item } => {
                let stamped = self.stamp(&self.authorities[authority], &items[item], key);
                let (response, timestamp) = stamped.await?;
                Ok(Answer::Stamped {
                    item,
                    response,
                    timestamp,
                })
            }
        }
    }

    async fn stamp(
        &self,
        authority: &TimestampAuthority,
        item: &Item,
        key: &VerifyingKey,
    ) -> Result<(Vec<u8>, Timestamp), Box<WitnessFailure>> {
        let failed = |cause| WitnessFailure::of(item, cause);
        let trust = self.trust.as_ref();
        let trust = trust.ok_or_else(|| failed(Cause::NoTrust(NoTrust::Timestamps)))?;
        let unwitnessed = read(item, key)?;
        let request = unwitnessed.timestamp_request(&mut random::system);
        let request = request.map_err(|source| failed(Cause::Random(source)))?;
        let response = authority.timestamp(request.der()).await;
        let response = response.map_err(|source| failed(Cause::Remote(source)))?;
        let timestamp = request
            .judge(trust, &response, unwitnessed.stamped(), (self.clock)())
            .map_err(|source| {
                failed(Cause::Timestamp {
                    url: authority.url(),
                    source,
                })
            })?;
        check_time(&unwitnessed, item, timestamp.time)?;
        Ok((response, timestamp))
    }
}

/// The signature of an item, which must be by `key`.
fn read<'a>(item: &'a Item, key: &'a VerifyingKey) -> Result<Unwitnessed<'a>, Box<WitnessFailure>> {
    Unwitnessed::read(&item.signed, key)
        .map_err(|source| WitnessFailure::of(item, Cause::Unsigned(source)))
}

/// That the certificate of an item, if it has one, has not ended. Whether it has begun is for those to say who see it next: the clock of the authority
/// that just issued it may be ahead of ours.
fn check_not_over(
    unwitnessed: &Unwitnessed<'_>,
    item: &Item,
    now: i64,
) -> Result<(), Box<WitnessFailure>> {
    match unwitnessed.verify_time(now) {
        Ok(()) | Err(certificate::Error::NotYetValid { .. }) => Ok(()),
        Err(source) => Err(WitnessFailure::of(item, Cause::Certificate(source))),
    }
}

/// That the certificate of an item, if it has one, is valid when this is seen.
fn check_time(
    unwitnessed: &Unwitnessed<'_>,
    item: &Item,
    observed: i64,
) -> Result<(), Box<WitnessFailure>> {
    unwitnessed
        .verify_time(observed)
        .map_err(|source| WitnessFailure::of(item, Cause::Certificate(source)))
}

/// The failure of a question about these items.
fn failed(items: &[Item], of: &[usize], cause: Cause) -> Box<WitnessFailure> {
    WitnessFailure::of(&items[of[0]], cause)
}

#[cfg(test)]
mod tests;
