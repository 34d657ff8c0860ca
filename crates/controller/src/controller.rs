//! When to attest: the watch of runs, the queue, and the tasks in work.
//!
//! ```text
//!   watch TaskRuns ────┐                     ┌─▶ task (reconcile) ─┐
//!   watch PipelineRuns ┴─▶ decide ─▶ queue ──┼─▶ task              ├─▶ settle ─▶ queue; owner of a marked child: hurry
//!   configuration, time ─────────────▲       └─▶ task              │
//!                                    └─────────────────────────────┘
//! ```
//!
//! The watch is never held up by the work: what is seen is decided at once and only names are kept, so new runs are seen while a backlog
//! drains, and go first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use tekseal_cluster::{Cluster, Error, RunRef, Scope, Seen, Sight};
use tekseal_controller::leader::Leadership;
use tekseal_controller::logging;
use tekseal_core::marks;
use tekseal_core::run::RunKind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument as _;

use crate::decide::Decision;
use crate::queue::{self, Queue, Settled, Task};
use crate::reconcile::{self, Context, Done};
use crate::trouble::chain;

/// A run that goes on for so long gets our finalizer. Sooner it would only get in the way of whoever writes its first status.
const HOLD_AFTER: Duration = Duration::from_secs(1);
/// How long the loop sleeps at the most.
const PULSE: Duration = Duration::from_secs(5);
/// How long the tasks in work may take when the program is to end. The Deployment allows a minute for everything.
const LAST_TASKS: Duration = Duration::from_secs(40);
/// How long looks back may take then.
const LAST_LOOKS: Duration = Duration::from_secs(5);
/// How often the size of the queue is told.
const TELL: Duration = Duration::from_secs(1);

/// The controller at work.
pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue,
    running: JoinSet<(Task, Done)>,
    /// Looks back at what was stored, when it has settled: they take no slots.
    looking: JoinSet<(Task, Result<(), String>)>,
    /// PipelineRuns to look at again when a child of theirs is done, by uid: the children are told apart by their owner.
    owners: HashMap<String, String>,
    leadership: watch::Receiver<Leadership>,
    /// When the size of the queue was told last.
    told: Option<Instant>,
}

type Sights = BoxStream<'static, (RunKind, Result<Sight, Error>)>;

impl Controller {
    /// A controller with this many tasks of one namespace at once.
    pub(crate) fn new(
        context: Arc<Context>,
        leadership: watch::Receiver<Leadership>,
        concurrency: usize,
    ) -> Self {
        Self {
            context,
            queue: Queue::new(concurrency),
            running: JoinSet::new(),
            looking: JoinSet::new(),
            owners: HashMap::new(),
            leadership,
            told: None,
        }
    }

    /// Works until `stop` says so, then lets the tasks in work end.
    pub(crate) async fn run(
        mut self,
        cluster: &Cluster,
        scope: &Scope,
        stop: impl Future<Output = ()>,
    ) {
        let mut sights = sights(cluster, scope);
        let mut leadership = self.leadership.clone();
        let context = Arc::clone(&self.context);
        tokio::pin!(stop);
        loop {
            self.start_tasks();
            self.context.health.beat();
            self.tell_queue();
            // What is due matters only when it could be taken: a slot that gets free, and a turn that comes, wake the loop by themselves.
            let due = self.queue.next_due().filter(|_| self.can_take());
            let pulse = Instant::now() + PULSE;
            let wake = due.map_or(pulse, |due| due.min(pulse));
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    let (task, done) = done.expect("no task is aborted, and one that panics must not look done");
                    self.ended(task, done);
                }
                Some(looked) = self.looking.join_next(), if !self.looking.is_empty() => {
                    let (task, looked) =
                        looked.expect("no task is aborted, and one that panics must not look done");
                    if let Err(reason) = looked {
                        if !self.leadership.borrow().holds() {
                            // Whoever has it now believes the mark, and would not look.
                            let context = Arc::clone(&self.context);
                            let (task, reason) = (task.clone(), reason.clone());
                            tokio::spawn(async move {
                                reconcile::take_mark(&context, &task, &reason).await;
                            });
                        }
                        self.queue.note_lost(task, reason, Timestamp::now());
                    }
                }
                Some((kind, sight)) = sights.next() => self.saw(kind, sight),
                Ok(()) = leadership.changed() => {}
                () = context.mended.notified() => self.queue.hurry_blocked(),
                () = sleep_until(wake) => {}
            }
        }
        tracing::info!(
            in_work = self.running.len(),
            "stopping: what is in work is ended"
        );
        // What is not ended by then is dropped as a crash would drop it, before Kubernetes kills us with the Lease in our hands.
        let tasks = async {
            while let Some(done) = self.running.join_next().await {
                let (task, done) =
                    done.expect("no task is aborted, and one that panics must not look done");
                self.ended(task, done);
            }
        };
        if timeout(LAST_TASKS, tasks).await.is_err() {
            tracing::warn!("not all of what is in work could be ended");
        }
        let looks = async {
            while let Some(looked) = self.looking.join_next().await {
                let (task, looked) =
                    looked.expect("no task is aborted, and one that panics must not look done");
                if let Err(reason) = looked {
                    reconcile::take_mark(&self.context, &task, &reason).await;
                }
            }
        };
        if timeout(LAST_LOOKS, looks).await.is_err() {
            tracing::warn!("not all that was stored could be looked at again");
        }
    }

    /// Starts what is ready, if it is our turn. What was begun while it was goes on: it can be done twice without harm.
    fn start_tasks(&mut self) {
        while self.can_take()
            && let Some(task) = self.queue.take(Instant::now())
        {
            let context = Arc::clone(&self.context);
            let span = logging::of_run(&task.run, &task.uid);
            let work = async move {
                let done = reconcile::work(&context, &task).await;
                (task, done)
            };
            self.running.spawn(work.instrument(span));
        }
    }

    /// Whether it is our turn and a slot is free.
    fn can_take(&self) -> bool {
        self.leadership.borrow().holds() && !self.queue.is_full()
    }

    /// Tells the size of the queue and its oldest run now and then: that looks at every entry, and the loop goes round for every event.
    fn tell_queue(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let (waiting, in_work) = self.queue.sizes();
        let oldest = self.queue.oldest();
        let oldest = oldest.and_then(|seconds| Timestamp::from_second(seconds).ok());
        self.context.metrics.queue(waiting, in_work, oldest);
    }

    fn ended(&mut self, task: Task, done: Done) {
        let uid = task.uid.as_str();
        if done.is_marked
            && let Some(owner) = self.owners.get(uid)
        {
            self.queue.hurry(owner);
        }
        if matches!(done.settled, Settled::Done) {
            self.owners.remove(uid);
        }
        self.queue.settle(uid, done.settled, Instant::now());
        if !done.look_backs.is_empty() {
            let context = Arc::clone(&self.context);
            let span = logging::of_run(&task.run, uid);
            let backs = context.looking.keep(done.look_backs);
            let look = async move {
                let looked = context.looking.look(backs).await;
                (task, looked)
            };
            self.looking.spawn(look.instrument(span));
        }
    }

    fn saw(&mut self, kind: RunKind, sight: Result<Sight, Error>) {
        if sight.is_ok() {
            self.context.health.set_watch(kind, Ok(()));
        }
        match sight {
            Ok(Sight::There(seen)) => self.there(kind, &seen),
            Ok(Sight::Gone(seen)) => {
                if self.queue.drop(seen.uid()) {
                    self.gone(kind, &seen);
                }
                self.owners.remove(seen.uid());
                if let Some((_, owner)) = seen.pipeline_run() {
                    self.queue.hurry(owner);
                }
            }
            Ok(Sight::Listing | Sight::Listed) => {}
            Err(error) => {
                let error = chain(&error);
                tracing::error!(%kind, error, "the watch of runs is broken and is begun again");
                self.context.metrics.watch_error();
                self.context.health.set_watch(kind, Err(error));
            }
        }
    }

    /// A run that waited to be signed is gone; unless somebody else was faster than we saw.
    fn gone(&self, kind: RunKind, seen: &Seen) {
        let live = self.context.settings.borrow().live.clone();
        let decision = self.context.decide(seen, live.as_deref());
        let Some(run) = seen.reference(kind) else {
            return;
        };
        if matches!(decision, Decision::Sign { .. }) {
            let span = logging::of_run(&run, seen.uid());
            span.in_scope(|| self.context.lost(&run.namespace));
        }
    }

    fn there(&mut self, kind: RunKind, seen: &Seen) {
        let Some(run) = seen.reference(kind) else {
            return;
        };
        let uid = seen.uid();
        let live = self.context.settings.borrow().live.clone();
        let decision = self.context.decide(seen, live.as_deref());
        if matches!(decision, Decision::Sign { forged: Some(_) }) {
            self.context.memory.doubt();
        }
        let has_ours = reconcile::is_held(seen);
        let is_going = seen.deleted().is_some() && has_ours;
        let something_to_do = match decision {
            Decision::Sign { .. } => true,
            Decision::Running => is_going || (!has_ours && seen.deleted().is_none()),
            Decision::Ignored(_) | Decision::Done => is_going,
        };
        if let Some((_, owner)) = seen.pipeline_run()
            && decision != Decision::Running
        {
            match decision {
                Decision::Sign { .. } => {
                    self.owners.insert(uid.to_owned(), owner.to_owned());
                }
                _ => self.queue.hurry(owner),
            }
        }
        if !something_to_do {
            self.queue.drop(uid);
            return;
        }
        // Somebody took our words off the run: it starts over.
        if self.queue.told(uid).is_some() && seen.annotation(marks::REASON).is_none() {
            self.queue.start_over(uid);
        }
        self.note(uid, &run, seen);
        let is_unsigned = matches!(decision, Decision::Sign { .. });
        self.queue.note_unsigned(uid, is_unsigned);
        if let Some(deleted) = seen.deleted() {
            let until = self.context.clock.held_until(deleted, Instant::now());
            self.queue.note_deleted(uid, until);
        }
    }

    fn note(&mut self, uid: &str, run: &RunRef, seen: &Seen) {
        if seen.succeeded().is_none() && seen.deleted().is_none() {
            self.queue
                .note_running(uid, run, Instant::now() + HOLD_AFTER);
            return;
        }
        let place = queue::place(seen.completed(), seen.created(), Timestamp::now());
        self.queue.note(uid, run, place);
    }
}

fn sights(cluster: &Cluster, scope: &Scope) -> Sights {
    let of = |kind: RunKind| {
        tekseal_cluster::watch(cluster, kind, scope)
            .map(move |sight| (kind, sight))
            .boxed()
    };
    stream::select(of(RunKind::TaskRun), of(RunKind::PipelineRun)).boxed()
}
