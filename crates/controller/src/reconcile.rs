//! One run: read it whole, decide again, prepare, sign, store, write on it what was done.
//!
//! ```text
//!   key ─▶ GET run ─▶ decide ─▶ (children) ─▶ prepare ─▶ images there? ─▶ sign ─▶ (log) ─▶ store ─▶ one PATCH
//!    │        │          │          │            │             │                    │        │         │
//!  Blocked   Gone      Done      Children       Last      Last · Passing         Passing  Passing    Passing
//! ```
//!
//! # Guarantees
//! Nothing says signed before every signature was seen in every place that it belongs to. Whatever is done twice, after a crash or an old
//! event, gives the same bytes, which are stored once. A failure is on the run, in an Event and in the log, with its reason.

mod attesting;
mod waiting;
mod witnessing;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tekseal_attest::LookBack;
use tekseal_cluster::vouching::Vouches;
use tekseal_cluster::{Change, Children, Cluster, Error, Events, RunRef, Seen, Severity};
use tekseal_controller::health::Health;
use tekseal_controller::metrics::{FailureClass, Metrics};
use tekseal_core::config::SignerKind;
use tekseal_core::marks::{self, Outcome, Record};
use tekseal_core::run::{self, RunKind};
use tekseal_core::{Blame, Digest};
use tekseal_signing::Signer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock::Clock;
use crate::decide::{Decision, Ground};
use crate::kept::Kept;
use crate::keys::{self, Keys, Source};
use crate::live::{self, Live};
use crate::looking::Looking;
use crate::memory::Memory;
use crate::note;
use crate::prepare::{self, Prepared};
use crate::queue::{Settled, Task};
use crate::registries::Registries;
use crate::room::{Room, Taken};
use crate::storing::Turns;
use crate::trouble::{Stage, Trouble, chain, clean};
use crate::written::Written;

/// How long an attempt may take up to its last change of the run, beside [`EACH_IMAGE`]. What is under way then is dropped, as a crash would
/// drop it: nothing was written on the run, and what was stored is found there the next time. Registries get a minute for a tag that many
/// write to, and 10 s for everything else.
const ATTEMPT: Duration = Duration::from_secs(120);
/// How much longer for each image that the run names: there may be thousands.
const EACH_IMAGE: Duration = Duration::from_millis(250);
/// For how long the labels of a namespace are believed.
pub(crate) const LABELS: Duration = Duration::from_secs(5);
/// The most namespaces whose labels are kept.
pub(crate) const MOST_LABELS: usize = 1024;
/// When a run that cannot be read now, or is needed by another one, is looked at again.
const SOON: Duration = Duration::from_secs(5);
/// A blocked run is read anew at each so manieth look: an event may have been lost.
const LOOKS_PER_READ: u32 = 5;
/// How often a change is tried again when others change the run at the same time.
const CONFLICTS: u32 = 5;

/// What all tasks share.
pub(crate) struct Context {
    pub(crate) cluster: Cluster,
    pub(crate) ground: Ground,
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    pub(crate) keys: Keys,
    pub(crate) registries: Registries,
    pub(crate) events: Events,
    pub(crate) settings: watch::Receiver<live::State>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Arc<Health>,
    /// What was marked a moment ago.
    pub(crate) written: Written,
    /// Room for what is made of runs.
    pub(crate) room: Room,
    /// Looks back at what was stored.
    pub(crate) looking: Looking,
    /// Who stores beside which image.
    pub(crate) turns: Turns,
    /// Labels of namespaces.
    pub(crate) labels: Kept<String, BTreeMap<String, String>>,
    /// Configuration or key changed: what waits for that may be looked at again.
    pub(crate) mended: Notify,
}

impl Context {
    /// The document of a run; few are read at once.
    async fn run(&self, run: &RunRef) -> Result<String, Error> {
        let _reader = self.room.read().await;
        self.cluster.run(run).await
    }

    /// A run of this namespace is gone that was to be signed.
    pub(crate) fn lost(&self, namespace: &str) {
        let class = FailureClass::GoneUnsigned;
        self.metrics.run_failed(namespace, class);
        tracing::warn!("run is gone before it was signed and marked");
    }

    /// What is to be done with a run, as things are now.
    pub(crate) fn decide(&self, run: &Seen, live: Option<&Live>) -> Decision {
        if let Some(mark) = run.annotation(marks::SIGNED)
            && let Some(record) = run.annotation(marks::RECORD)
            && self.written.has(run.uid(), mark, record)
        {
            return Decision::Done;
        }
        let config = live.map(|live| &live.config);
        self.ground.decide(run, config, &self.memory.believed())
    }
}

/// Takes the mark off a run whose signatures were lost after it was marked, where nobody here will work on it again: then it is signed anew by whoever does.
/// It is bound to the uid, so whoever has the Lease does not matter.
pub(crate) async fn take_mark(context: &Context, task: &Task, reason: &str) {
    let text = format!("the mark is taken back: {reason}");
    let reason_on_run = (marks::REASON.to_owned(), Some(clean(&text)));
    let change = note::unmarked(Change {
        annotations: BTreeMap::from([reason_on_run]),
        ..Change::default()
    });
    tracing::error!(reason, run = %task.run.name, namespace = task.run.namespace, "the mark is taken back");
    let changed = context.cluster.change(&task.run, &task.uid, &change).await;
    if let Err(error) = changed {
        tracing::error!(error = chain(&error), "the mark could not be taken back");
    }
}

/// How the work on a run ended.
pub(crate) struct Done {
    /// What is to become of it in the queue.
    pub(crate) settled: Settled,
    /// Whether it carries a mark now that others may wait for.
    pub(crate) is_marked: bool,
    /// What was stored and has not settled yet.
    pub(crate) look_backs: Vec<LookBack>,
}

impl Done {
    fn of(settled: Settled) -> Self {
        Self {
            settled,
            is_marked: false,
            look_backs: Vec::new(),
        }
    }

    fn nothing() -> Self {
        Self::of(Settled::Done)
    }

    fn marked() -> Self {
        Self {
            is_marked: true,
            ..Self::nothing()
        }
    }
}

/// Works on one run.
pub(crate) async fn work(context: &Context, task: &Task) -> Done {
    let attempt = Attempt {
        context,
        task,
        run: &task.run,
    };
    attempt.work().await
}

struct Attempt<'a> {
    context: &'a Context,
    task: &'a Task,
    run: &'a RunRef,
}

/// A run as it was read for this attempt.
struct Fresh {
    document: String,
    seen: Seen,
}

/// What our finalizer still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Children of PipelineRuns.
    Children,
    /// Nothing.
    Nothing,
}

/// What is needed to sign.
struct Means {
    live: Arc<Live>,
    /// The key of each signer that the configuration names for anything: one of them, or both.
    signers: Vec<(SignerKind, Arc<Signer>)>,
    /// Who signs Records: the platform's key where there is one, so that a tenant's key vouches for no mark of others.
    recorder: Arc<Signer>,
}

impl Means {
    /// Who signs what the configuration gives this signer.
    fn signer(&self, kind: SignerKind) -> &Arc<Signer> {
        let found = self.signers.iter().find(|(known, _)| *known == kind);
        let (_, signer) = found.expect("nothing is prepared for a signer that nothing is given to");
        signer
    }

    /// The keys, for people.
    fn fingerprints(&self) -> String {
        let mut all: Vec<_> = self.signers.iter().map(|(_, s)| s.fingerprint()).collect();
        all.dedup();
        all.join(", ")
    }
}

/// What is left to be written on the run.
struct End {
    change: Change,
    outcome: Outcome,
    /// How many payloads are kept anywhere.
    payloads: usize,
    /// In how many storages, all together.
    stored: usize,
    reason: Option<String>,
    /// What was stored and has not settled yet.
    look_backs: Vec<LookBack>,
}

impl Attempt<'_> {
    async fn work(&self) -> Done {
        if let Some(done) = self.still_blocked().await {
            return done;
        }
        let fresh = match self.read().await {
            Ok(Some(fresh)) => fresh,
            Ok(None) if self.task.is_unsigned => return self.lost(),
            Ok(None) => return Done::nothing(),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the run cannot be read now");
                let (history, is_outside) = (&self.task.history, error.blame() == Blame::Outside);
                let told = history.told.clone();
                return match is_outside && history.blocked == 0 {
                    true => self.later(SOON, told),
                    // Somebody must change something, or must already.
                    false => self.while_blocked(told),
                };
            }
        };
        let state = self.context.settings.borrow().clone();
        if let Some(reason) = &self.task.history.lost
            && fresh.seen.annotation(marks::SIGNED).is_some()
        {
            return self.take_back(&fresh, state.live.as_ref(), reason).await;
        }
        let forged = match self.decide(&fresh.seen, state.live.as_deref()).await {
            Decision::Done => return self.release_if_deleted(&fresh.seen, true).await,
            Decision::Running if fresh.seen.deleted().is_none() => {
                return self.hold(&fresh.seen).await;
            }
            Decision::Running | Decision::Ignored(_) => {
                return self.release_if_deleted(&fresh.seen, false).await;
            }
            Decision::Sign { forged } => forged,
        };
        let Some(live) = state.live else {
            return self.without_configuration(&fresh, state.problem).await;
        };
        if let Some(forged) = &forged
            && self.task.history.told.is_none()
        {
            self.context.metrics.forged_mark();
            self.tell(Severity::Warning, "ForgedMark", forged).await;
        }
        let means = match self.means(&live).await {
            Ok(means) => means,
            Err(problem) => return self.blocked(&fresh, &problem).await,
        };
        match self.sign(&fresh, &means).await {
            Ok(look_backs) => Done {
                look_backs,
                ..Done::marked()
            },
            Err(trouble) => self.failed(&fresh, &means, trouble).await,
        }
    }

    /// A run that nothing could be signed of, for a reason that still holds, is not read each time: there may be ten thousand of them.
    async fn still_blocked(&self) -> Option<Done> {
        let history = &self.task.history;
        let told = history.told.as_ref()?;
        if history.looks.is_multiple_of(LOOKS_PER_READ) || self.had_its_time() {
            return None;
        }
        let state = self.context.settings.borrow().clone();
        let problem = match &state.live {
            Some(live) => self.means(live).await.err()?,
            None => state.problem?,
        };
        (problem == *told).then(|| self.while_blocked(Some(problem)))
    }

    /// The run as it is now; nothing if it is gone or another.
    async fn read(&self) -> Result<Option<Fresh>, Error> {
        let document = match self.context.run(self.run).await {
            Ok(document) => document,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let seen = seen(&document, self.run)?;
        Ok((seen.uid() == self.task.uid).then_some(Fresh { document, seen }))
    }

    /// What is to be done with the run. Before its mark is called forged, the keys that other replicas have used are read.
    async fn decide(&self, seen: &Seen, live: Option<&Live>) -> Decision {
        let decision = self.context.decide(seen, live);
        if !matches!(decision, Decision::Sign { forged: Some(_) }) {
            return decision;
        }
        match self.context.memory.refresh().await {
            Ok(()) => self.context.decide(seen, live),
            Err(error) => {
                // It is signed, which does no harm to a run that was signed before; but nobody is accused.
                tracing::warn!(error = chain(&error), "the believed keys cannot be read");
                Decision::Sign { forged: None }
            }
        }
    }

    /// The keys for this run's namespace.
    async fn means(&self, live: &Arc<Live>) -> Result<Means, String> {
        let means = timeout(ATTEMPT, self.read_means(live)).await;
        means.unwrap_or_else(|_| Err(format!("reading the key {}", took_longer(ATTEMPT))))
    }

    async fn read_means(&self, live: &Arc<Live>) -> Result<Means, String> {
        let own = self.rule(live).await?;
        let mut signers = Vec::new();
        // The first key of the platform that lasts signs Records.
        let mut recorder = None;
        let mut is_absent = true;
        let kinds = keys::kinds_for(&live.config, self.run.kind);
        for &kind in &kinds {
            let source = Source::of_platform(&live.config, kind);
            let source = source.map_err(|error| chain(&error))?;
            if own.is_some() && source == Source::Certificates {
                // It would sign nothing, and stand in public logs for ever.
                is_absent = false;
                continue;
            }
            match self.context.keys.get(&source, live).await {
                Ok(key) => {
                    if source != Source::Certificates {
                        recorder.get_or_insert_with(|| Arc::clone(&key));
                    }
                    signers.push((kind, key));
                }
                // A platform that has no key and wants none. A key that is there, but cannot be read now, is waited for.
                Err(keys::Error::Absent(_)) if own.is_some() && source == Source::Mounted => {
                    continue;
                }
                Err(error) => return Err(error.story()),
            }
            is_absent = false;
        }
        let mut vouches = Vouches::ForAll;
        if let Some(source) = own {
            let key = self.context.keys.get(&source, live).await;
            let key = key.map_err(|error| error.story())?;
            let of_rule = kinds.iter().map(|&kind| (kind, Arc::clone(&key)));
            signers = of_rule.collect();
            if is_absent {
                vouches = Vouches::For(self.run.namespace.clone());
                recorder = Some(key);
            }
        }
        let recorder = match recorder {
            Some(recorder) => recorder,
            None => {
                vouches = Vouches::OfProcess;
                self.context.keys.own().map_err(|error| chain(&error))?
            }
        };
        self.context
            .memory
            .believe(recorder.public_key(), &vouches)
            .await
            .map_err(|error| chain(&error))?;
        Ok(Means {
            live: Arc::clone(live),
            signers,
            recorder,
        })
    }

    /// The key that a rule gives this namespace.
    async fn rule(&self, live: &Live) -> Result<Option<Source>, String> {
        use tekseal_core::config::Namespaces;
        let rules = &live.config.rules().keys;
        if rules.is_empty() {
            return Ok(None);
        }
        let namespace = &self.run.namespace;
        let by_label = rules
            .iter()
            .any(|rule| matches!(rule.namespaces, Namespaces::Labelled(_)));
        let labels = match by_label {
            true => {
                let read = self.context.cluster.namespace_labels(namespace);
                let labels = self.context.labels.get(namespace, read).await;
                labels.map_err(|error| chain(&error))?
            }
            false => BTreeMap::new(),
        };
        let rule = rules
            .iter()
            .find(|rule| rule.namespaces.has(namespace, &labels));
        rule.map(|rule| Source::parse(&rule.key))
            .transpose()
            .map_err(|error| chain(&error))
    }

    /// Gives what was stored and has not settled yet.
    async fn sign(&self, fresh: &Fresh, means: &Means) -> Result<Vec<LookBack>, Trouble> {
        let (prepared, room) = self.prepare(fresh, means).await?;
        let images = u32::try_from(prepared.images.len()).unwrap_or(u32::MAX);
        let limit = ATTEMPT.saturating_add(EACH_IMAGE.saturating_mul(images));
        let attest = within(Instant::now(), limit, self.attest(fresh, means, prepared));
        let mut end = tokio::select! {
            biased;
            end = attest => end?,
            () = room.is_wanted() => return Err(Trouble::Passing {
                stage: Stage::Storage,
                reason: "took longer than others could wait who need the memory".to_owned(),
            }),
        };
        let look_backs = std::mem::take(&mut end.look_backs);
        // Not cut short any more: nobody could say whether the change was made.
        self.end(fresh, means, end).await?;
        Ok(look_backs)
    }

    /// What is to be signed, and the room for it. How long others have the room is not our failure: no time is counted while it is waited
    /// for, and children are read again afterwards, for others may need their room meanwhile.
    async fn prepare(
        &self,
        fresh: &Fresh,
        means: &Means,
    ) -> Result<(Prepared, Taken<'_>), Trouble> {
        let mut children = self.children_of(fresh, means).await?;
        let documents = children.documents.iter().map(|(_, text)| text.len());
        let bytes = fresh.document.len() + documents.sum::<usize>();
        let (room, namespace) = (&self.context.room, &self.run.namespace);
        let room = match room.try_take(namespace, bytes) {
            Some(taken) => taken,
            None => {
                drop(children);
                let taken = room.take(namespace, bytes).await;
                children = self.children_of(fresh, means).await?;
                taken
            }
        };
        let prepared = prepare::prepare(&fresh.document, &children.documents, &means.live.config)?;
        Ok((prepared, room))
    }

    async fn children_of(&self, fresh: &Fresh, means: &Means) -> Result<Children, Trouble> {
        match self.run.kind {
            RunKind::TaskRun => Ok(Children::default()),
            RunKind::PipelineRun => {
                let children = self.children(&fresh.document, means);
                within(Instant::now(), ATTEMPT, children).await
            }
        }
    }

    /// Writes on the run what was done.
    async fn end(&self, fresh: &Fresh, means: &Means, end: End) -> Result<(), Trouble> {
        self.write(&fresh.seen, end.change, Hold::Children).await?;
        self.count(end.stored, &fresh.seen);
        tracing::info!(
            mark = end.outcome.mark(),
            payloads = end.payloads,
            key = means.fingerprints(),
            reason = end.reason,
            "done with run"
        );
        if end.outcome == Outcome::Nothing
            && let Some(reason) = &end.reason
        {
            self.tell(Severity::Normal, "NothingSigned", reason).await;
        }
        Ok(())
    }

    /// As Chains counts: each payload once for each storage that holds it.
    fn count(&self, stored: usize, seen: &Seen) {
        let metrics = &self.context.metrics;
        for _ in 0..stored {
            metrics.stored(self.run.kind);
        }
        metrics.marked(self.run.kind);
        if let Some(completed) = seen.completed() {
            let took = Timestamp::now().duration_since(completed);
            metrics.completed_to_marked(Duration::try_from(took).unwrap_or_default());
        }
    }

    /// The documents of a PipelineRun's children, when all that are there are done with. Dropped before anything is waited for: others may
    /// need their room.
    async fn children(&self, document: &str, means: &Means) -> Result<Children, Trouble> {
        let names = run::child_task_runs(document.as_bytes());
        if names.is_empty() {
            return Ok(Children::default());
        }
        let read = self
            .context
            .cluster
            .children(&self.run.namespace, &self.run.name, &names);
        let children = read.await.map_err(|error| match error {
            Error::LargeChildren { .. } | Error::UnlistedChildren { .. } => {
                Trouble::last(Stage::Payload, &error)
            }
            Error::NoWay { .. } | Error::Request { .. } => Trouble::of_cluster(&error),
        })?;
        let mut waiting = HashSet::new();
        for (name, text) in &children.documents {
            let seen = seen(text, self.run).map_err(|error| Trouble::of_cluster(&error))?;
            match self.context.decide(&seen, Some(&means.live)) {
                Decision::Done | Decision::Ignored(_) => {}
                Decision::Running | Decision::Sign { .. } => {
                    waiting.insert(name);
                }
            }
        }
        if waiting.is_empty() {
            return Ok(children);
        }
        let waiting = names.iter().filter(|name| waiting.contains(name));
        Err(Trouble::Children(waiting.cloned().collect()))
    }

    async fn record(
        &self,
        means: &Means,
        outcome: Outcome,
        digests: &[Digest],
        keys: BTreeSet<String>,
    ) -> Result<String, Trouble> {
        let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let by = format!("tekseal-controller {}", env!("CARGO_PKG_VERSION"));
        let mut record = Record::new(&self.task.uid, outcome, digests, at, by);
        if !keys.iter().eq([means.recorder.fingerprint()]) {
            record.keys = keys.into_iter().collect();
        }
        means.recorder.sign_record(&record).await.map_err(|error| {
            self.context.keys.doubt(&error);
            Trouble::of_signing(&error)
        })
    }

    /// Writes the end of the work on the run. Our finalizer goes with the same change, but for children of PipelineRuns: they are held
    /// until they are deleted and their PipelineRun has been attested.
    async fn write(&self, seen: &Seen, change: Change, hold: Hold) -> Result<(), Trouble> {
        let mut seen = seen.clone();
        let is_kept = hold == Hold::Children && seen.pipeline_run().is_some();
        // Before it is written: the watch may be quicker than the answer.
        self.remember(&change);
        for _ in 0..CONFLICTS {
            let mut change = change.clone();
            if !is_kept && is_held(&seen) {
                change.finalizers = Some(without_ours(seen.finalizers()));
                change.resource_version = Some(seen.resource_version().to_owned());
            }
            let result = self
                .context
                .cluster
                .change(self.run, &self.task.uid, &change)
                .await;
            match result {
                Ok(()) => return Ok(()),
                Err(error) if error.is_not_found() => return Err(Trouble::Gone),
                Err(error) if error.is_conflict() => {
                    let fresh = self
                        .read()
                        .await
                        .map_err(|error| Trouble::of_cluster(&error))?;
                    seen = fresh.ok_or(Trouble::Gone)?.seen;
                }
                Err(error) => return Err(Trouble::of_cluster(&error)),
            }
        }
        Err(Trouble::Passing {
            stage: Stage::Storage,
            reason: "others change the run all the time".to_owned(),
        })
    }

    fn remember(&self, change: &Change) {
        let value = |key: &str| change.annotations.get(key)?.as_deref();
        if let (Some(mark), Some(record)) = (value(marks::SIGNED), value(marks::RECORD)) {
            self.context.written.add(&self.task.uid, mark, record);
        }
    }
}

/// What ends before its time is over.
async fn within<T>(
    begun: Instant,
    limit: Duration,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let ended = timeout_at(begun + limit, work).await;
    ended.unwrap_or_else(|_| {
        Err(Trouble::Passing {
            stage: Stage::Storage,
            reason: took_longer(limit),
        })
    })
}

fn took_longer(limit: Duration) -> String {
    format!("took longer than {} seconds", limit.as_secs())
}

/// What a decision needs of a document.
fn seen(document: &str, run: &RunRef) -> Result<Seen, Error> {
    serde_json::from_str(document).map_err(|error| Error::answer(run, &error))
}

/// Whether a finalizer of Chains' or ours holds the run.
pub(crate) fn is_held(run: &Seen) -> bool {
    run.finalizers()
        .iter()
        .any(|name| marks::is_finalizer(name))
}

/// The finalizers that are not Chains' or ours.
fn without_ours(finalizers: &[String]) -> Vec<String> {
    let others = finalizers.iter().filter(|name| !marks::is_finalizer(name));
    others.cloned().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::pending;
    use std::io;

    use serde_json::json;
    use tekseal_core::config::Config;
    use tekseal_signing::random;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A deleted run that is held.
    fn document() -> String {
        json!({
            "metadata": {
                "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": [marks::finalizer(RunKind::TaskRun)],
            },
            "status": { "completionTime": "2026-01-01T00:00:00Z", "conditions": [{ "type": "Succeeded", "status": "True" }] },
        })
        .to_string()
    }

    /// Reads a request and answers it with the run as it was: changes of finalizers look done, and those of annotations do not.
    async fn answer(mut stream: TcpStream) -> io::Result<()> {
        let mut request = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&request).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                    break;
                }
            }
            if stream.read_buf(&mut request).await? == 0 {
                break;
            }
        }
        let body = document();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
        let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await
    }

    pub(crate) async fn context() -> Context {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        let name = format!("tekseal-{}-{}", std::process::id(), address.port());
        let file = std::env::temp_dir().join(name);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{ "name": "a", "cluster": { "server": format!("http://{address}") } }],
            "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
            "users": [{ "name": "a", "user": {} }],
        });
        std::fs::write(&file, config.to_string()).expect("the folder can be written");
        let cluster = Cluster::connect(Some(&file), "test").await;
        std::fs::remove_file(&file).expect("it was written");
        let cluster = cluster.expect("the file is good");
        let memory = Memory::open(&cluster, "system").await;
        let memory = memory.expect("whatever is asked for is there");
        Context {
            clock: Clock::read(&cluster).await.expect("it answers"),
            ground: Ground {
                first_start: memory.first_start,
                ignore_before: None,
            },
            memory,
            keys: Keys::new(&cluster, &std::env::temp_dir().join("none")),
            registries: Registries::new(&cluster, Vec::new(), Vec::new()),
            events: Events::new(&cluster, "test", None),
            settings: watch::channel(live::State::default()).1,
            metrics: Metrics::new(),
            health: Arc::new(Health::new()),
            written: Written::default(),
            room: Room::default(),
            looking: Looking::default(),
            turns: Turns::new(Duration::ZERO),
            labels: Kept::new(LABELS, MOST_LABELS),
            mended: Notify::new(),
            cluster,
        }
    }

    #[tokio::test]
    async fn a_deleted_run_whose_failure_cannot_be_written_is_let_go_in_the_end() {
        let context = context().await;
        let run = RunRef::new(RunKind::TaskRun, "b", "a").expect("it is a name");
        let key = Arc::new(Signer::generate(&mut random::system).expect("a key"));
        let config = Config::from_map(&BTreeMap::new()).expect("a good map");
        let means = Means {
            live: Arc::new(Live {
                generation: 1,
                told: Default::default(),
                keyless: None,
                custody: crate::live::custody(&config, &[]),
                config,
            }),
            signers: vec![(SignerKind::X509, Arc::clone(&key))],
            recorder: key,
        };
        let document = document();
        let seen = seen(&document, &run).expect("it is a run");
        let fresh = Fresh { document, seen };
        let now = Instant::now();
        for (held_until, is_let_go) in [(now + ATTEMPT, false), (now, true)] {
            let mut task = Task {
                uid: "u".to_owned(),
                run: run.clone(),
                is_unsigned: true,
                history: crate::queue::History::default(),
            };
            task.history.held_until = Some(held_until);
            let attempt = Attempt {
                context: &context,
                task: &task,
                run: &run,
            };
            let trouble = Trouble::last_text(Stage::Payload, "bad".to_owned());
            let done = attempt.failed(&fresh, &means, trouble).await;
            let settled = done.settled;
            assert_eq!(matches!(settled, Settled::Done), is_let_go, "{settled:?}");
        }
    }

    #[tokio::test]
    async fn an_attempt_that_takes_too_long_may_pass() {
        let limit = Duration::from_millis(20);
        let ended = within(Instant::now(), limit, pending::<Result<(), _>>()).await;
        assert!(
            matches!(&ended, Err(Trouble::Passing { reason, .. }) if reason.starts_with("took longer than")),
            "{ended:?}"
        );
        let ended = within(Instant::now(), limit, async { Ok(1) }).await;
        assert_eq!(ended, Ok(1));
    }
}
