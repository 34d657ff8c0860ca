//! What the proxy does to requests that a test has singled out: faults, answers of the test, gates.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::{Seen, lock};
use crate::http::Answer;

const HELD_WITHIN: Duration = Duration::from_secs(30);

type Matches = Box<dyn Fn(&Seen) -> bool + Send>;
type Edit = Arc<dyn Fn(&mut Answer) + Send + Sync>;

/// When a gate stops a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The registry has not seen it yet.
    BeforeForwarding,
    /// The registry has done it, the client does not know.
    BeforeAnswering,
}

#[derive(Clone)]
pub(super) enum Action {
    Pass,
    Answer(Answer),
    Refuse,
    LoseAnswer,
    Cut(usize),
    Stall(usize, Arc<Latch>),
    Edit(Edit),
    Hold(Moment, Arc<Latch>),
}

/// A rule that has its matcher and waits for its action. Dropped without one it does nothing.
#[must_use = "a rule needs an action"]
pub struct Rule<'a> {
    rules: &'a Rules,
    matches: Matches,
    which: Which,
}

#[derive(Clone, Copy)]
enum Which {
    All,
    First(usize),
    Nth(usize),
}

impl Rule<'_> {
    /// Only the `n`-th request that matches, from 1.
    pub fn nth(mut self, n: usize) -> Self {
        self.which = Which::Nth(n);
        self
    }

    /// Only the first `n` requests that match.
    pub fn first(mut self, n: usize) -> Self {
        self.which = Which::First(n);
        self
    }

    /// Answers in place of the registry, which never sees the request.
    pub fn answer(self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.act(Action::Answer(Answer::new(status, headers, body)));
    }

    /// Closes the connection; the registry never sees the request.
    pub fn refuse(self) {
        self.act(Action::Refuse);
    }

    /// Lets the registry do it, then closes the connection without an answer.
    pub fn lose_answer(self) {
        self.act(Action::LoseAnswer);
    }

    /// Sends the head and the first `bytes` bytes of the body of the registry's answer, then closes the connection.
    pub fn cut(self, bytes: usize) {
        self.act(Action::Cut(bytes));
    }

    /// Sends the head and the first `bytes` bytes of the body of the registry's answer, then nothing until the gate is released, which closes
    /// the connection.
    #[must_use = "the gate opens when it is dropped"]
    pub fn stall(self, bytes: usize) -> Gate {
        let latch = Arc::new(Latch::default());
        self.act(Action::Stall(bytes, Arc::clone(&latch)));
        Gate(latch)
    }

    /// Changes the registry's answer.
    pub fn edit(self, edit: impl Fn(&mut Answer) + Send + Sync + 'static) {
        self.act(Action::Edit(Arc::new(edit)));
    }

    /// Stops the requests until the gate is released. A gate that is never released is a registry that hangs.
    #[must_use = "the gate opens when it is dropped"]
    pub fn hold(self, moment: Moment) -> Gate {
        let latch = Arc::new(Latch::default());
        self.act(Action::Hold(moment, Arc::clone(&latch)));
        Gate(latch)
    }

    fn act(self, action: Action) {
        lock(&self.rules.0).push(Entry {
            matches: self.matches,
            which: self.which,
            matched: 0,
            action,
        });
    }
}

/// Holds requests back. It opens for good when released or dropped.
pub struct Gate(Arc<Latch>);

impl Gate {
    /// Waits until a request stands at the gate.
    ///
    /// # Panics
    ///
    /// When none comes within half a minute.
    pub fn wait_until_held(&self) {
        self.wait_until_holding(1);
    }

    /// Waits until `n` requests stand at the gate.
    ///
    /// # Panics
    ///
    /// When they do not come within half a minute.
    pub fn wait_until_holding(&self, n: usize) {
        let state = lock(&self.0.state);
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, HELD_WITHIN, |state| state.held < n);
        let (state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(
            state.held >= n,
            "{} of {n} requests came to the gate within {HELD_WITHIN:?}",
            state.held
        );
    }

    /// How many requests stand at the gate.
    #[must_use]
    pub fn held(&self) -> usize {
        lock(&self.0.state).held
    }

    /// Lets all go on, now and from now on.
    pub fn release(&self) {
        self.0.release();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[derive(Default)]
pub(super) struct Latch {
    state: Mutex<LatchState>,
    changed: Condvar,
}

#[derive(Default)]
struct LatchState {
    held: usize,
    open: bool,
}

impl Latch {
    /// Whether it holds nobody any more.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.state).open
    }

    /// Returns when the gate is open.
    pub(super) fn hold(&self) {
        let mut state = lock(&self.state);
        if state.open {
            return;
        }
        state.held += 1;
        self.changed.notify_all();
        let waited = self.changed.wait_while(state, |state| !state.open);
        waited
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .held -= 1;
    }

    fn release(&self) {
        lock(&self.state).open = true;
        self.changed.notify_all();
    }
}

struct Entry {
    matches: Matches,
    which: Which,
    matched: usize,
    action: Action,
}

#[derive(Default)]
pub(super) struct Rules(Mutex<Vec<Entry>>);

impl Rules {
    pub(super) fn when(&self, matches: impl Fn(&Seen) -> bool + Send + 'static) -> Rule<'_> {
        Rule {
            rules: self,
            matches: Box::new(matches),
            which: Which::All,
        }
    }

    /// What to do with this request. Counts it for every rule it matches, up to the one that applies.
    pub(super) fn action(&self, seen: &Seen) -> Action {
        for entry in lock(&self.0).iter_mut() {
            if !(entry.matches)(seen) {
                continue;
            }
            entry.matched += 1;
            let applies = match entry.which {
                Which::All => true,
                Which::First(n) => entry.matched <= n,
                Which::Nth(n) => entry.matched == n,
            };
            if applies {
                return entry.action.clone();
            }
        }
        Action::Pass
    }

    pub(super) fn release_all(&self) {
        for entry in lock(&self.0).iter() {
            if let Action::Hold(_, latch) | Action::Stall(_, latch) = &entry.action {
                latch.release();
            }
        }
    }
}
