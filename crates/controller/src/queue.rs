//! Which run is next: newest first, each at most once at a time, no namespace in the way of the others, tried again later where that may
//! help.
//!
//! ```text
//!            note ┌────────────── again ───────────────┐
//!   sight ───────▶│ Ready ──take──▶ InWork ──settle──▶ │ gone (done) · Later (back-off, blocked) · Ready (seen again meanwhile)
//!                 └────────────────────────────────────┘
//! ```
//!
//! Only runs with something to do are held, by name: ten thousand that are done with cost nothing.
//!
//! # Shares
//! There are twice as many slots as one namespace may have, and a namespace takes another one only while it has fewer than are free. So one
//! alone gets as many as `--concurrency` says, and whatever hangs there leaves as many to the others; a second one that hangs leaves half of
//! those, and so on. Whoever has none goes before those who have some. So many namespaces may hang that nothing is left: therefore the last
//! slots are not for those whose last attempt took long.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tekseal_cluster::RunRef;
use tokio::time::Instant;

/// First wait after a failure that may pass; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// First wait of a run that nothing can be signed of before somebody changes something else; it doubles.
const FIRST_BLOCKED: Duration = Duration::from_secs(5);
/// Longest wait between two looks at such a run. Most changes are noticed, and end it at once.
const LONGEST_BLOCKED: Duration = Duration::from_secs(60);

/// An attempt that took longer was slow: the last slots are not for its namespace,
const SLOW: Duration = Duration::from_secs(10);
/// for so long, or until one is not slow.
const SLOW_FOR: Duration = Duration::from_secs(1800);
/// The most namespaces that are known as slow.
const MOST_SLOW: usize = 1024;
/// Of so many slots one is not for slow namespaces.
const LAST: usize = 8;

/// Runs with something to do.
#[derive(Debug)]
pub(crate) struct Queue {
    entries: HashMap<String, Entry>,
    /// By namespace; only those with something ready or in work.
    lanes: HashMap<String, Lane>,
    /// The first run that is ready in each namespace, and the namespace.
    heads: BTreeSet<(Key, String)>,
    later: BTreeSet<(Instant, String)>,
    /// Runs that wait and are blocked, by the reason.
    blocked: HashMap<String, HashSet<String>>,
    slots: usize,
    in_work: usize,
    /// Namespaces whose last attempt took long, and when it ended.
    slow: HashMap<String, Instant>,
}

/// Completion in seconds, newest first, and uid.
type Key = (Reverse<i64>, String);

/// The runs of one namespace.
#[derive(Debug, Default)]
struct Lane {
    ready: BTreeSet<Key>,
    in_work: usize,
}

/// What is known of a run with something to do.
#[derive(Debug)]
struct Entry {
    run: RunRef,
    /// Nothing while it goes on: then it is held only if it still does when its time comes.
    completed: Option<i64>,
    /// Whether it is to be signed, as far as is known: there are other things to do too.
    is_unsigned: bool,
    state: State,
    history: History,
}

impl Entry {
    fn key(&self, uid: &str) -> Key {
        // What goes on is before any backlog: it may be deleted at any moment.
        (Reverse(self.completed.unwrap_or(i64::MAX)), uid.to_owned())
    }
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
    /// How often in a row it was found to be blocked.
    pub(crate) blocked: u32,
    /// Until when it is held back, once it was seen to be deleted.
    pub(crate) held_until: Option<Instant>,
    /// Why the mark on it is not true any more, as long as it was not taken back.
    pub(crate) lost: Option<String>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            first: Instant::now(),
            looks: 0,
            attempts: 0,
            since: None,
            told: None,
            blocked: 0,
            held_until: None,
            lost: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    InWork {
        /// When it was taken.
        since: Instant,
        /// There was an event, perhaps that of our own change.
        seen_again: bool,
        /// Something changed that the next attempt must not wait to find out.
        hurried: bool,
    },
    Later {
        at: Instant,
        is_blocked: bool,
    },
}

/// A run to work on.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its uid.
    pub(crate) uid: String,
    /// Its name.
    pub(crate) run: RunRef,
    /// Whether it was to be signed when it was seen last.
    pub(crate) is_unsigned: bool,
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
    /// Nothing can be signed of it before somebody changes something else: it is looked at again with growing waits.
    Blocked {
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
    /// A queue that gives one namespace at the most so many slots.
    pub(crate) fn new(of_one_namespace: usize) -> Self {
        Self {
            entries: HashMap::new(),
            lanes: HashMap::new(),
            heads: BTreeSet::new(),
            later: BTreeSet::new(),
            blocked: HashMap::new(),
            slots: of_one_namespace.saturating_mul(2),
            in_work: 0,
            slow: HashMap::new(),
        }
    }

    /// A run has something to do.
    pub(crate) fn note(&mut self, uid: &str, run: &RunRef, completed: i64) {
        let Some(entry) = self.entries.get(uid) else {
            self.insert(uid, run, Some(completed), State::Ready);
            return;
        };
        let has_ended = entry.completed.is_none();
        match entry.state {
            State::InWork { .. } => self.seen_again(uid),
            State::Later { .. } if has_ended => self.hurry(uid),
            State::Ready | State::Later { .. } => {}
        }
        if has_ended {
            self.set_completed(uid, completed);
        }
    }

    /// A run goes on; it is to be looked at when it still does after a while.
    pub(crate) fn note_running(&mut self, uid: &str, run: &RunRef, at: Instant) {
        if self.entries.contains_key(uid) {
            return;
        }
        let state = State::Later {
            at,
            is_blocked: false,
        };
        self.insert(uid, run, None, state);
    }

    /// A run that waits is to be looked at now: what it waits for may have come.
    pub(crate) fn hurry(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        match entry.state {
            State::Ready => {}
            State::InWork { .. } => self.seen_again(uid),
            State::Later { .. } => self.enter(uid, State::Ready),
        }
    }

    /// What blocked runs wait for has changed: all of them are looked at now.
    pub(crate) fn hurry_blocked(&mut self) {
        let waiting: Vec<_> = self.blocked.values().flatten().cloned().collect();
        self.hurry_all(waiting);
        // What is in work may have read what was there before.
        for entry in self.entries.values_mut() {
            if let State::InWork { hurried, .. } = &mut entry.state {
                *hurried = true;
            }
        }
    }

    /// Somebody asked to start over: what was tried before does not count.
    pub(crate) fn start_over(&mut self, uid: &str) {
        // First, for what it was told says where it stands.
        self.hurry(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.history = History {
                held_until: entry.history.held_until,
                ..History::default()
            };
        }
    }

    /// A run that is held here was deleted, and may be held back until then. Whoever deleted it waits, so it does not sit out a wait of
    /// before.
    pub(crate) fn note_deleted(&mut self, uid: &str, until: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        if entry.history.held_until.is_some() {
            return;
        }
        entry.history.held_until = Some(until);
        match &mut entry.state {
            State::InWork { hurried, .. } => *hurried = true,
            State::Ready | State::Later { .. } => self.hurry(uid),
        }
    }

    /// What was tried with a run, where it waits.
    pub(crate) fn told(&self, uid: &str) -> Option<&str> {
        let entry = self.entries.get(uid)?;
        match entry.state {
            State::Later { .. } => entry.history.told.as_deref(),
            State::Ready | State::InWork { .. } => None,
        }
    }

    /// Whether a run that is held here is to be signed.
    pub(crate) fn note_unsigned(&mut self, uid: &str, is_unsigned: bool) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.is_unsigned = is_unsigned;
        }
    }

    /// The signatures of a run that was done with are lost, so that its mark is to be taken back. What was tried before counts.
    pub(crate) fn note_lost(&mut self, task: Task, reason: String, now: Timestamp) {
        let Task {
            uid, run, history, ..
        } = task;
        if !self.entries.contains_key(&uid) {
            self.insert(&uid, &run, Some(now.as_second()), State::Ready);
        }
        let entry = self.entries.get_mut(&uid).expect("it was just put there");
        entry.history.attempts = entry.history.attempts.max(history.attempts);
        entry.history.since = history.since.or(entry.history.since);
        entry.history.lost = Some(reason);
        self.hurry(&uid);
    }

    /// There is nothing to do with a run any more. Whether it waited to be signed.
    pub(crate) fn drop(&mut self, uid: &str) -> bool {
        let Some(entry) = self.entries.get(uid) else {
            return false;
        };
        // The task finds out by itself; and what is to be taken back looks done.
        if matches!(entry.state, State::InWork { .. }) || entry.history.lost.is_some() {
            return false;
        }
        let is_unsigned = entry.is_unsigned;
        self.leave(uid);
        self.entries.remove(uid);
        is_unsigned
    }

    /// The newest run that is ready and whose namespace may have another slot, to be worked on.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Task> {
        self.wake(now);
        let free = self.slots.saturating_sub(self.in_work);
        let in_work = |namespace: &String| self.lanes[namespace].in_work;
        let may_have = |namespace: &String| {
            let is_slow = |since: &Instant| now.duration_since(*since) < SLOW_FOR;
            let last = match self.slow.get(namespace).is_some_and(is_slow) {
                true => self.slots / LAST,
                false => 0,
            };
            in_work(namespace) < free.saturating_sub(last)
        };
        // Those that are passed over have slots, or are slow, so they are few.
        let has_none = |namespace: &String| in_work(namespace) == 0 && may_have(namespace);
        let mut heads = self.heads.iter();
        let head = heads.find(|(_, lane)| has_none(lane));
        let head = head.or_else(|| self.heads.iter().find(|(_, lane)| may_have(lane)))?;
        let uid = head.0.1.clone();
        self.enter(
            &uid,
            State::InWork {
                since: now,
                seen_again: false,
                hurried: false,
            },
        );
        let entry = self.entries.get_mut(&uid).expect("what is ready is held");
        entry.history.looks = entry.history.looks.wrapping_add(1);
        Some(Task {
            run: entry.run.clone(),
            is_unsigned: entry.is_unsigned,
            history: entry.history.clone(),
            uid,
        })
    }

    /// Work on a run has ended.
    pub(crate) fn settle(&mut self, uid: &str, settled: Settled, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        let State::InWork {
            since,
            seen_again,
            hurried,
        } = entry.state
        else {
            return;
        };
        let namespace = &entry.run.namespace;
        match now.duration_since(since) < SLOW {
            true => drop(self.slow.remove(namespace)),
            false => note_slow(&mut self.slow, namespace, now),
        }
        let history = &mut entry.history;
        let was_blocked = history.told.take_if(|_| history.blocked > 0);
        let is_blocked = matches!(settled, Settled::Blocked { .. });
        let looks = match is_blocked {
            true => history.blocked,
            false => 0,
        };
        history.blocked = looks + u32::from(is_blocked);
        let wait = match settled {
            Settled::Done => None,
            Settled::Again { told } => {
                let attempts = history.attempts;
                history.attempts = attempts.saturating_add(1);
                history.since.get_or_insert(now);
                history.told = told;
                history.lost = None;
                // An event is no reason to hurry: it may be that of the reason that we wrote on the run.
                Some((!hurried).then(|| wait_after(attempts)))
            }
            Settled::Blocked { told } => {
                history.told = told;
                Some((!hurried).then(|| wait_while_blocked(looks)))
            }
            Settled::After { wait, told } => {
                history.told = told;
                Some((!hurried && !seen_again).then_some(wait))
            }
        };
        let told = history.told.clone();
        let held_until = history.held_until;
        match wait {
            Some(wait) => self.enter(
                uid,
                State::Later {
                    at: not_past(held_until, now, wait.unwrap_or_default()),
                    is_blocked,
                },
            ),
            // An event from before our own change looks like this too: the next task reads the run anew.
            None if seen_again => self.enter(uid, State::Ready),
            None => {
                self.leave(uid);
                self.entries.remove(uid);
            }
        }
        // What was in this one's way is in nobody's any more.
        if let Some(reason) = was_blocked
            && (!is_blocked || told.as_ref() != Some(&reason))
            && let Some(others) = self.blocked.get(&reason)
        {
            let others = others.iter().cloned().collect();
            self.hurry_all(others);
        }
    }

    /// When the next waiting run is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Whether all slots are taken.
    pub(crate) fn is_full(&self) -> bool {
        self.in_work >= self.slots
    }

    /// How many runs are ready or wait, and how many are in work.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.entries.len() - self.in_work, self.in_work)
    }

    /// When the oldest run that is held was completed, in seconds since 1970.
    pub(crate) fn oldest(&self) -> Option<i64> {
        let ended = self.entries.values().filter_map(|entry| entry.completed);
        ended.min()
    }

    fn wake(&mut self, now: Instant) {
        while let Some((at, uid)) = self.later.first()
            && *at <= now
        {
            let uid = uid.clone();
            self.enter(&uid, State::Ready);
        }
    }

    fn insert(&mut self, uid: &str, run: &RunRef, completed: Option<i64>, state: State) {
        let entry = Entry {
            run: run.clone(),
            completed,
            is_unsigned: false,
            state,
            history: History::default(),
        };
        self.entries.insert(uid.to_owned(), entry);
        self.enter_lists(uid);
    }

    fn seen_again(&mut self, uid: &str) {
        let entry = self.entries.get_mut(uid);
        if let Some(State::InWork { seen_again, .. }) = entry.map(|entry| &mut entry.state) {
            *seen_again = true;
        }
    }

    fn hurry_all(&mut self, uids: Vec<String>) {
        for uid in uids {
            if let Some(entry) = self.entries.get_mut(&uid) {
                // What was mended may be mended by halves: it is looked at again soon.
                entry.history.blocked = entry.history.blocked.min(1);
            }
            self.hurry(&uid);
        }
    }

    fn set_completed(&mut self, uid: &str, completed: i64) {
        self.leave(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.completed = Some(completed);
        }
        self.enter_lists(uid);
    }

    /// Gives a run another state: the only way from one to the other.
    fn enter(&mut self, uid: &str, state: State) {
        self.leave(uid);
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.state = state;
        }
        self.enter_lists(uid);
    }

    /// Puts a run where its state belongs.
    fn enter_lists(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        match entry.state {
            State::Ready => {
                let key = entry.key(uid);
                self.in_lane(uid, |lane| {
                    lane.ready.insert(key);
                });
            }
            State::InWork { .. } => {
                self.in_work += 1;
                self.in_lane(uid, |lane| lane.in_work += 1);
            }
            State::Later { at, is_blocked } => {
                if is_blocked {
                    let reason = entry.history.told.clone().unwrap_or_default();
                    let others = self.blocked.entry(reason).or_default();
                    others.insert(uid.to_owned());
                }
                self.later.insert((at, uid.to_owned()));
            }
        }
    }

    /// Takes a run from where its state had put it.
    fn leave(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        match entry.state {
            State::Ready => {
                let key = entry.key(uid);
                self.in_lane(uid, |lane| {
                    lane.ready.remove(&key);
                });
            }
            State::InWork { .. } => {
                self.in_work -= 1;
                self.in_lane(uid, |lane| lane.in_work -= 1);
            }
            State::Later { at, is_blocked } => {
                self.later.remove(&(at, uid.to_owned()));
                let reason = entry.history.told.as_deref().unwrap_or_default();
                if is_blocked && let Some(others) = self.blocked.get_mut(reason) {
                    others.remove(uid);
                    if others.is_empty() {
                        self.blocked.remove(reason);
                    }
                }
            }
        }
    }

    /// Changes the lane of a run, and what is known of all lanes with it.
    fn in_lane(&mut self, uid: &str, change: impl FnOnce(&mut Lane)) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        let namespace = &entry.run.namespace;
        let lane = self.lanes.entry(namespace.clone()).or_default();
        let before = lane.ready.first().cloned();
        change(lane);
        if lane.ready.first() != before.as_ref() {
            let after = lane.ready.first().cloned();
            if let Some(before) = before {
                self.heads.remove(&(before, namespace.clone()));
            }
            if let Some(after) = after {
                self.heads.insert((after, namespace.clone()));
            }
        }
        if lane.ready.is_empty() && lane.in_work == 0 {
            self.lanes.remove(namespace);
        }
    }
}

fn note_slow(slow: &mut HashMap<String, Instant>, namespace: &str, now: Instant) {
    if slow.len() >= MOST_SLOW {
        slow.retain(|_, since| now.duration_since(*since) < SLOW_FOR);
    }
    if slow.len() < MOST_SLOW {
        slow.insert(namespace.to_owned(), now);
    }
}

/// The end of a wait that begins now: when the time is over for which a deleted run is held back, it is looked at.
fn not_past(held_until: Option<Instant>, now: Instant, wait: Duration) -> Instant {
    let held_until = held_until.filter(|&until| until > now);
    held_until.map_or(now + wait, |until| until.min(now + wait))
}

/// Where a run stands in the queue. When it ended is the word of whoever may write its status: one that is to have ended before it was made
/// must not wait behind everybody, nor one of the year 9999 be before everybody for ever.
pub(crate) fn place(
    completed: Option<Timestamp>,
    created: Option<Timestamp>,
    now: Timestamp,
) -> i64 {
    let ended = completed.max(created).unwrap_or(Timestamp::UNIX_EPOCH);
    ended.min(now).as_second()
}

fn wait_while_blocked(looks: u32) -> Duration {
    FIRST_BLOCKED
        .saturating_mul(2u32.saturating_pow(looks.min(16)))
        .min(LONGEST_BLOCKED)
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

    fn of(namespace: &str, name: &str) -> RunRef {
        RunRef::new(RunKind::TaskRun, namespace, name).expect("it is a name")
    }

    fn queue(runs: &[(&str, i64)]) -> Queue {
        let mut queue = Queue::new(8);
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
            task.history.held_until,
            Some(now),
            "it is deleted all the same"
        );
        assert_eq!(wait_after(40), LONGEST_WAIT);
    }

    #[test]
    fn a_run_that_ends_soon_is_worked_on_once() {
        let mut queue = Queue::new(8);
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

    #[test]
    fn one_namespace_leaves_as_many_slots_to_the_others_and_the_second_half_of_those() {
        let mut queue = Queue::new(8);
        let now = Instant::now();
        for (namespace, completed) in [("c", 1), ("b", 2), ("a", 3)] {
            for at in 0..20 {
                let name = format!("{namespace}-{at}");
                queue.note(&name, &of(namespace, &name), completed);
            }
        }
        let mut take = || queue.take(now).map(|task| task.run.namespace);
        let taken: String = std::iter::from_fn(&mut take).collect();
        assert_eq!(
            taken, "abcaaaaaabbbcc",
            "one each, then as many as are left"
        );
        queue.note("d", &of("d", "d"), 0);
        assert_eq!(queue.take(now).expect("it has none yet").uid, "d");
        // Nobody gets more by ending: what is freed is shared out by the same rule.
        let ended = "a-0";
        queue.settle(ended, Settled::Done, now);
        assert_eq!(queue.take(now).map(|task| task.run.namespace), None);
        queue.note("e", &of("e", "e"), 0);
        assert_eq!(queue.take(now).expect("it has none yet").uid, "e");
    }

    #[test]
    fn taking_from_ten_thousand_takes_no_longer_than_from_few() {
        let mut queue = Queue::new(8);
        for at in 0..10_000 {
            let name = format!("run-{at}");
            queue.note(&name, &of(&format!("team-{}", at % 500), &name), at);
        }
        let begun = std::time::Instant::now();
        let now = Instant::now();
        let mut count = 0;
        while let Some(task) = queue.take(now) {
            queue.settle(&task.uid, Settled::Done, now);
            count += 1;
        }
        assert_eq!((count, queue.sizes()), (10_000, (0, 0)));
        assert!(queue.lanes.is_empty() && queue.heads.is_empty() && queue.later.is_empty());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    #[test]
    fn a_blocked_run_is_looked_at_less_and_less_until_something_changes() {
        let mut queue = queue(&[("a", 1)]);
        let mut now = Instant::now();
        let blocked = |queue: &mut Queue, now| {
            let task = queue.take(now).expect("it is due");
            let told = Some("no key".to_owned());
            queue.settle(&task.uid, Settled::Blocked { told }, now);
            queue.next_due().expect("it waits") - now
        };
        let waits: Vec<_> = (0..6)
            .map(|_| {
                let wait = blocked(&mut queue, now);
                now += wait;
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        assert_eq!(blocked(&mut queue, now), LONGEST_BLOCKED);
        queue.hurry_blocked();
        assert!(blocked(&mut queue, now) < LONGEST_BLOCKED);
        // A change that comes while it is looked at must not be slept through.
        queue.hurry_blocked();
        let task = queue.take(now).expect("it is hurried");
        queue.hurry_blocked();
        let told = Some("no key".to_owned());
        queue.settle(&task.uid, Settled::Blocked { told }, now);
        queue.take(now).expect("it is looked at once more");
        queue.settle("a", Settled::Done, now);
        assert!(queue.blocked.is_empty() && queue.entries.is_empty());
    }

    #[test]
    fn the_first_run_that_is_blocked_no_more_hurries_those_with_the_same_reason() {
        let mut queue = queue(&[("a", 3), ("b", 2), ("other", 1)]);
        let now = Instant::now();
        for reason in ["no key", "no key", "no label"] {
            let task = queue.take(now).expect("it is ready");
            let told = Some(reason.to_owned());
            queue.settle(&task.uid, Settled::Blocked { told }, now);
        }
        queue.hurry("a");
        assert_eq!(queue.take(now).expect("it is hurried").uid, "a");
        queue.settle("a", Settled::Done, now);
        assert_eq!(queue.take(now).expect("it had the same reason").uid, "b");
        assert!(queue.take(now).is_none(), "the other one still waits");
        queue.start_over("other");
        assert!(queue.blocked.is_empty());
    }

    #[test]
    fn a_deleted_run_does_not_sit_out_its_wait() {
        let mut queue = queue(&[("a", 1)]);
        let now = Instant::now();
        let again = || Settled::Again { told: None };
        for _ in 0..12 {
            let task = queue.take(now + LONGEST_WAIT * 20).expect("it is due");
            queue.settle(&task.uid, again(), now);
        }
        assert!(queue.take(now).is_none(), "it waits for minutes");
        queue.note_deleted("a", now);
        queue.take(now).expect("it is looked at now");
        queue.settle("a", again(), now);
        queue.note_deleted("a", now);
        assert!(queue.take(now).is_none(), "once");
        let mut queue = self::queue(&[("b", 1)]);
        queue.take(now).expect("it is ready");
        queue.note_deleted("b", now);
        queue.settle("b", again(), now);
        queue.take(now).expect("deleted while it was in work");
    }

    #[test]
    fn signatures_that_are_lost_again_and_again_are_waited_for_longer_and_longer() {
        let mut queue = queue(&[("a", 1)]);
        let mut now = Instant::now();
        let mut task = queue.take(now).expect("it is ready");
        for attempt in 0..4 {
            queue.settle("a", Settled::Done, now);
            assert_eq!(queue.sizes(), (0, 0));
            queue.note_lost(task, "gone".to_owned(), Timestamp::UNIX_EPOCH);
            assert!(!queue.drop("a"), "it looks done");
            task = queue.take(now).expect("its mark is to be taken back");
            assert_eq!(task.history.lost.as_deref(), Some("gone"));
            let told = Some("gone".to_owned());
            queue.settle("a", Settled::Again { told }, now);
            let due = queue.next_due().expect("it waits");
            assert_eq!(due - now, FIRST_WAIT * 2u32.pow(attempt));
            now = due;
            task = queue.take(now).expect("it is signed again");
            assert_eq!(task.history.lost, None);
        }
    }

    #[test]
    fn however_many_namespaces_hang_the_last_slots_are_not_theirs_again() {
        let mut queue = Queue::new(8);
        let mut now = Instant::now();
        let hanging: Vec<_> = (0..16).map(|at| format!("hanging-{at}")).collect();
        for namespace in &hanging {
            for at in 0..8 {
                let uid = format!("{namespace}-{at}");
                queue.note(&uid, &of(namespace, &uid), 9);
            }
        }
        let take_all = |queue: &mut Queue, now| -> Vec<Task> {
            std::iter::from_fn(|| queue.take(now)).collect()
        };
        let first = take_all(&mut queue, now);
        assert_eq!(first.len(), 16, "nobody knows yet");
        now += SLOW * 12;
        for task in first {
            queue.settle(&task.uid, Settled::Again { told: None }, now);
        }
        let second = take_all(&mut queue, now);
        assert_eq!(second.len(), 14);
        for uid in ["good-1", "good-2"] {
            queue.note(uid, &of("good", uid), 1);
        }
        let good = queue.take(now).expect("a slot is left for it");
        assert_eq!(good.run.namespace, "good");
        // Who answers in time again is not slow any more.
        queue.settle(&second[0].uid, Settled::Done, now);
        assert!(!queue.slow.contains_key(&second[0].run.namespace));
    }

    #[test]
    fn no_wait_goes_past_the_time_for_which_a_deleted_run_is_held_back() {
        let mut queue = queue(&[("a", 1)]);
        let now = Instant::now();
        let until = now + LONGEST_WAIT;
        queue.note_deleted("a", until);
        let again = || Settled::Again { told: None };
        let (mut at, mut taken) = (now, 0);
        while at < until {
            queue.take(at).expect("it is due");
            queue.settle("a", again(), at);
            at = queue.next_due().expect("it waits");
            taken += 1;
        }
        assert_eq!((at, taken), (until, 10));
        queue.take(at).expect("its time is over");
        queue.settle("a", again(), at);
        let next = queue.next_due().expect("it waits");
        assert!(next > until + Duration::from_secs(60), "not without end");
    }

    #[test]
    fn a_run_that_ends_while_it_is_in_work_stands_where_it_ended() {
        let mut queue = queue(&[("new", 9)]);
        let now = Instant::now();
        queue.note_running("a", &run("a"), now);
        assert_eq!(queue.take(now).expect("it goes on").uid, "a");
        assert_eq!(queue.oldest(), Some(9));
        queue.note("a", &run("a"), 7);
        assert_eq!(queue.oldest(), Some(7), "it has ended");
        queue.settle("a", Settled::Done, now);
        assert_eq!(queue.take(now).expect("it is newer").uid, "new");
        assert_eq!(queue.take(now).expect("it was seen again").uid, "a");
        // And so does one that ends while it waits for its turn.
        let mut queue = Queue::new(1);
        queue.note_running("b", &run("b"), now);
        queue.note("new", &run("new"), 9);
        queue.wake(now);
        queue.note("b", &run("b"), 7);
        assert_eq!(queue.take(now).expect("it is newer").uid, "new");
    }

    #[test]
    fn when_a_run_ended_is_believed_within_reason() {
        let time = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
        let now = time("2026-06-01T12:00:00Z").expect("a time");
        let created = time("2026-06-01T10:00:00Z");
        let place = |completed| super::place(completed, created, now);
        let early = place(time("1970-01-01T00:00:00Z"));
        assert_eq!(Some(early), created.map(Timestamp::as_second));
        assert_eq!(place(time("9999-01-01T00:00:00Z")), now.as_second());
        assert_eq!(place(None), early);
        let usual = time("2026-06-01T11:00:00Z");
        assert_eq!(Some(place(usual)), usual.map(Timestamp::as_second));
    }
}
