//! Which run is next: newest first, each at most once at a time, tried again later where that may help.
//!
//! ```text
//!            note ┌────────────── again ───────────────┐
//!   sight ───────▶│ Ready ──take──▶ InWork ──settle──▶ │ gone (done) · Later (back-off, blocked) · Ready (seen again meanwhile)
//!                 └────────────────────────────────────┘
//! ```
//!
//! Only runs with something to do are held, by name: ten thousand that are done with cost nothing.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tekseal_cluster::RunRef;
use tokio::time::Instant;

/// First wait after a failure that may pass; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Runs with something to do.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: HashMap<String, Entry>,
    /// Completion in seconds, newest first, and uid.
    ready: BTreeSet<(Reverse<i64>, String)>,
    later: BTreeSet<(Instant, String)>,
    in_work: usize,
}

/// What is known of a run with something to do.
#[derive(Debug)]
struct Entry {
    run: RunRef,
    completed: i64,
    state: State,
    history: History,
    /// It goes on, and is held only if it still does when its time comes.
    goes_on: bool,
}

/// What was tried before.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// When there first was something to do.
    pub(crate) first: Instant,
    /// How often it was taken.
    pub(crate) looks: u32,
    /// Failed attempts.
    pub(crate) attempts: u32,
    /// When the first of them failed.
    pub(crate) since: Option<Instant>,
    /// The reason that the run and an Event tell.
    pub(crate) told: Option<String>,
    /// When it was first seen to be deleted.
    pub(crate) deleted: Option<Instant>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            first: Instant::now(),
            looks: 0,
            attempts: 0,
            since: None,
            told: None,
            deleted: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    InWork { seen_again: bool },
    Later(Instant),
}

/// A run to work on.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its uid.
    pub(crate) uid: String,
    /// Its name.
    pub(crate) run: RunRef,
    /// What was tried before.
    pub(crate) history: History,
}

/// What is to become of a run after work.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// Nothing more, unless it was seen to change meanwhile.
    Done,
    /// It failed and is tried again, with growing waits.
    Again {
        /// What the run was told.
        told: Option<String>,
    },
    /// It waits for something else and is looked at again after this time.
    After {
        /// How long.
        wait: Duration,
        /// What the run was told.
        told: Option<String>,
    },
}

impl Queue {
    /// A run has something to do.
    pub(crate) fn note(&mut self, uid: &str, run: &RunRef, completed: i64) {
        match self.entries.get_mut(uid) {
            None => {
                let entry = Entry {
                    run: run.clone(),
                    completed,
                    state: State::Ready,
                    history: History::default(),
                    goes_on: false,
                };
                self.entries.insert(uid.to_owned(), entry);
                self.ready.insert((Reverse(completed), uid.to_owned()));
            }
            Some(entry) => match entry.state {
                State::Later(_) if entry.goes_on => {
                    // It has ended now.
                    entry.goes_on = false;
                    entry.completed = completed;
                    self.hurry(uid);
                }
                State::InWork { .. } => self.hurry(uid),
                State::Ready | State::Later(_) => {}
            },
        }
    }

    /// A run goes on; it is to be looked at when it still does after a while.
    pub(crate) fn note_running(&mut self, uid: &str, run: &RunRef, at: Instant) {
        if self.entries.contains_key(uid) {
            return;
        }
        let entry = Entry {
            run: run.clone(),
            // Before a backlog: it may be deleted at any moment.
            completed: i64::MAX,
            state: State::Later(at),
            history: History::default(),
            goes_on: true,
        };
        self.entries.insert(uid.to_owned(), entry);
        self.later.insert((at, uid.to_owned()));
    }

    /// A run that waits is to be looked at now: what it waits for may have come.
    pub(crate) fn hurry(&mut self, uid: &str) {
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        match entry.state {
            State::Ready => {}
            State::InWork { .. } => entry.state = State::InWork { seen_again: true },
            State::Later(at) => {
                self.later.remove(&(at, uid.to_owned()));
                entry.state = State::Ready;
                self.ready
                    .insert((Reverse(entry.completed), uid.to_owned()));
            }
        }
    }

    /// Somebody asked to start over: what was tried before does not count.
    pub(crate) fn start_over(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.history = History {
                deleted: entry.history.deleted,
                ..History::default()
            };
        }
        self.hurry(uid);
    }

    /// A run that is held here was deleted: the time for which it may be held back is counted from when that was first seen.
    pub(crate) fn note_deleted(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.history.deleted.get_or_insert(now);
        }
    }

    /// What was tried with a run, where it waits.
    pub(crate) fn told(&self, uid: &str) -> Option<&str> {
        let entry = self.entries.get(uid)?;
        match entry.state {
            State::Later(_) => entry.history.told.as_deref(),
            State::Ready | State::InWork { .. } => None,
        }
    }

    /// There is nothing to do with a run any more.
    pub(crate) fn drop(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        match entry.state {
            // The task finds out by itself.
            State::InWork { .. } => return,
            State::Ready => {
                self.ready
                    .remove(&(Reverse(entry.completed), uid.to_owned()));
            }
            State::Later(at) => {
                self.later.remove(&(at, uid.to_owned()));
            }
        }
        self.entries.remove(uid);
    }

    /// The newest run that is ready, to be worked on.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Task> {
        self.wake(now);
        let (_, uid) = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&uid).expect("what is ready is held");
        entry.state = State::InWork { seen_again: false };
        entry.history.looks = entry.history.looks.wrapping_add(1);
        self.in_work += 1;
        Some(Task {
            run: entry.run.clone(),
            history: entry.history.clone(),
            uid,
        })
    }

    /// Work on a run has ended.
    pub(crate) fn settle(&mut self, uid: &str, settled: Settled, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        self.in_work -= 1;
        let seen_again = entry.state == State::InWork { seen_again: true };
        let wait = match settled {
            Settled::Done => {
                if seen_again {
                    // An event from before our own change looks like this too: the next task reads the run anew.
                    entry.state = State::Ready;
                    self.ready
                        .insert((Reverse(entry.completed), uid.to_owned()));
                } else {
                    self.entries.remove(uid);
                }
                return;
            }
            Settled::Again { told } => {
                let attempts = entry.history.attempts;
                entry.history.attempts = attempts.saturating_add(1);
                entry.history.since.get_or_insert(now);
                entry.history.told = told;
                wait_after(attempts)
            }
            Settled::After { wait, told } => {
                entry.history.told = told;
                match seen_again {
                    true => Duration::ZERO,
                    false => wait,
                }
            }
        };
        let at = now + wait;
        entry.state = State::Later(at);
        self.later.insert((at, uid.to_owned()));
    }

    /// When the next waiting run is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// How many runs are ready or wait, and how many are in work.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.entries.len() - self.in_work, self.in_work)
    }

    /// When the oldest run that is held was completed, in seconds since 1970.
    pub(crate) fn oldest(&self) -> Option<i64> {
        let ended = self.entries.values().filter(|entry| !entry.goes_on);
        ended.map(|entry| entry.completed).min()
    }

    fn wake(&mut self, now: Instant) {
        while let Some((at, _)) = self.later.first()
            && *at <= now
        {
            let (_, uid) = self.later.pop_first().expect("it was just looked at");
            let entry = self.entries.get_mut(&uid).expect("what waits is held");
            entry.state = State::Ready;
            self.ready.insert((Reverse(entry.completed), uid));
        }
    }
}

fn wait_after(attempts: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(2u32.saturating_pow(attempts.min(16)))
        .min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use tekseal_core::run::RunKind;

    use super::*;

    fn run(name: &str) -> RunRef {
        RunRef::new(RunKind::TaskRun, "ci", name).expect("it is a name")
    }

    fn queue(runs: &[(&str, i64)]) -> Queue {
        let mut queue = Queue::default();
        for (uid, completed) in runs {
            queue.note(uid, &run(uid), *completed);
        }
        queue
    }

    #[test]
    fn the_newest_run_goes_first_and_each_only_once() {
        let mut queue = queue(&[("old", 1), ("new", 3), ("middle", 2), ("new", 3)]);
        let now = Instant::now();
        let order: Vec<_> = std::iter::from_fn(|| queue.take(now))
            .map(|t| t.uid)
            .collect();
        assert_eq!(order, ["new", "middle", "old"]);
        assert_eq!(queue.sizes(), (0, 3));
    }

    #[test]
    fn a_run_seen_again_while_in_work_is_looked_at_once_more() {
        let mut queue = queue(&[("a", 1)]);
        let now = Instant::now();
        queue.take(now).expect("it is ready");
        queue.note("a", &run("a"), 1);
        assert!(queue.take(now).is_none(), "it is in work");
        queue.settle("a", Settled::Done, now);
        queue.take(now).expect("it is ready again");
        queue.settle("a", Settled::Done, now);
        assert_eq!(queue.sizes(), (0, 0));
    }

    #[test]
    fn waits_grow_and_starting_over_forgets_them() {
        let mut queue = queue(&[("a", 1)]);
        let mut now = Instant::now();
        for attempt in 0..4 {
            let task = queue.take(now).expect("it is due");
            assert_eq!(task.history.attempts, attempt);
            let told = Some("down".to_owned());
            queue.settle("a", Settled::Again { told }, now);
            assert!(queue.take(now).is_none());
            assert_eq!(queue.told("a"), Some("down"));
            let due = queue.next_due().expect("it waits");
            assert_eq!(due - now, FIRST_WAIT * 2u32.pow(attempt));
            now = due;
        }
        queue.start_over("a");
        let task = queue.take(Instant::now()).expect("it is ready at once");
        assert_eq!((task.history.attempts, task.history.told), (0, None));
        queue.note_deleted("a", now);
        queue.note_deleted("a", now + FIRST_WAIT);
        queue.start_over("a");
        queue.settle("a", Settled::Again { told: None }, now);
        let task = queue.take(now + FIRST_WAIT).expect("it is due");
        assert_eq!(
            task.history.deleted,
            Some(now),
            "it is deleted all the same"
        );
        assert_eq!(wait_after(40), LONGEST_WAIT);
    }

    #[test]
    fn a_run_that_ends_soon_is_worked_on_once() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        queue.note_running("a", &run("a"), later);
        assert!(queue.take(now).is_none(), "it goes on");
        queue.note("a", &run("a"), 7);
        assert_eq!(queue.take(now).expect("it has ended").uid, "a");
        queue.note_running("b", &run("b"), later);
        assert_eq!(queue.take(later).expect("it still goes on").uid, "b");
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn what_there_is_nothing_to_do_with_is_dropped_but_not_from_under_its_task() {
        let mut queue = queue(&[("a", 1), ("b", 2)]);
        let now = Instant::now();
        queue.drop("a");
        assert_eq!(queue.take(now).expect("b is left").uid, "b");
        queue.drop("b");
        queue.settle("b", Settled::Done, now);
        assert_eq!(queue.sizes(), (0, 0));
        assert_eq!(queue.oldest(), None);
    }
}
