//! Room in memory for payloads that are made, signed and stored: a few large runs at once, or many ordinary ones.
//!
//! A registry may take minutes for what a large run names, and has the room for so long. So one namespace has half of it at the most, and
//! whoever has had it for a while gives it back when others wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use crate::prepare::MOST_PAYLOAD;

/// What room is counted in, in bytes. Runs below it take none: hundreds of them fit.
const UNIT: usize = 64 * 1024;
/// All there is.
const UNITS: usize = 1024 * 1024 / UNIT;
/// The most of it that one namespace has. Whoever wants more takes all of this: two such runs are there at once, not more.
const SHARE: usize = UNITS / 2;
const _: () = assert!(SHARE * UNIT <= MOST_PAYLOAD);
/// How long room may be kept while others wait for it.
const TERM: Duration = Duration::from_secs(30);

/// How many documents are read at once: one is held twice while it arrives, and it is not known before how large it is.
const READERS: usize = 2;

/// Room for what is made of documents.
#[derive(Debug)]
pub(crate) struct Room {
    units: Semaphore,
    /// Of each namespace that has some or waits for its own.
    shares: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// How many wait, not counting those that wait for others of their namespace.
    waiting: watch::Sender<usize>,
    readers: Semaphore,
    /// How long it may be kept while others wait: [`TERM`].
    term: Duration,
}

/// Room that somebody has.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    room: &'a Room,
    since: Instant,
    /// Nothing for what is small.
    _units: Option<(OwnedSemaphorePermit, SemaphorePermit<'a>)>,
    is_any: bool,
}

/// One that waits.
struct Waiter<'a>(&'a watch::Sender<usize>);

impl Default for Room {
    fn default() -> Self {
        Self {
            units: Semaphore::new(UNITS),
            shares: Mutex::default(),
            waiting: watch::Sender::new(0),
            readers: Semaphore::new(READERS),
            term: TERM,
        }
    }
}

impl Room {
    /// Waits for room to read a document in.
    pub(crate) async fn read(&self) -> SemaphorePermit<'_> {
        let permit = self.readers.acquire().await;
        permit.expect("it is never closed")
    }

    /// Room for what is made of documents of so many bytes, if there is some now.
    pub(crate) fn try_take(&self, namespace: &str, bytes: usize) -> Option<Taken<'_>> {
        let units = units(bytes);
        if units == 0 {
            return Some(self.taken(None));
        }
        let share = self.share(namespace).try_acquire_many_owned(units).ok()?;
        let units = self.units.try_acquire_many(units).ok()?;
        Some(self.taken(Some((share, units))))
    }

    /// Waits for room for what is made of documents of so many bytes. Whoever has it must not wait for what others need who wait for it.
    pub(crate) async fn take(&self, namespace: &str, bytes: usize) -> Taken<'_> {
        if let Some(taken) = self.try_take(namespace, bytes) {
            return taken;
        }
        let units = units(bytes);
        let share = self.share(namespace).acquire_many_owned(units).await;
        let share = share.expect("it is never closed");
        let _waiter = Waiter::new(&self.waiting);
        let units = self.units.acquire_many(units).await;
        self.taken(Some((share, units.expect("it is never closed"))))
    }

    fn taken<'a>(
        &'a self,
        units: Option<(OwnedSemaphorePermit, SemaphorePermit<'a>)>,
    ) -> Taken<'a> {
        Taken {
            room: self,
            since: Instant::now(),
            is_any: units.is_some(),
            _units: units,
        }
    }

    fn share(&self, namespace: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let share = shares.entry(namespace.to_owned());
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(SHARE))))
    }
}

impl Taken<'_> {
    /// Ends when it was kept for [`TERM`] and others wait.
    pub(crate) async fn is_wanted(&self) {
        if !self.is_any {
            return std::future::pending().await;
        }
        sleep_until(self.since + self.room.term).await;
        let mut waiting = self.room.waiting.subscribe();
        let waits = waiting.wait_for(|&waiting| waiting > 0).await;
        drop(waits.expect("the sender is in the room"));
    }
}

impl<'a> Waiter<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

fn units(bytes: usize) -> u32 {
    let units = (bytes / UNIT).min(SHARE);
    u32::try_from(units).expect("there are few units")
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn large_runs_wait_for_each_other_and_ordinary_ones_for_nobody() {
        let room = Room::default();
        let large = MOST_PAYLOAD;
        let first = room.take("a", large).await;
        let second = timeout(MOMENT, room.take("a", UNIT)).await;
        assert!(second.is_err(), "a namespace has one half");
        let other = room.take("b", large).await;
        let third = timeout(MOMENT, room.take("c", UNIT)).await;
        assert!(third.is_err(), "the other half is taken");
        assert!(room.try_take("c", UNIT).is_none());
        let ordinary = room.take("a", UNIT - 1).await;
        drop(first);
        drop(room.take("c", UNIT).await);
        drop(room.take("a", large).await);
        drop((ordinary, other));
        drop(room.take("d", UNIT).await);
        let shares = room.shares.lock().expect("nobody panicked");
        assert_eq!(shares.len(), 1, "others are forgotten");
    }

    #[tokio::test]
    async fn room_is_wanted_back_after_a_while_if_another_namespace_waits() {
        let room = Room {
            term: MOMENT * 5,
            ..Room::default()
        };
        let begun = Instant::now();
        let first = room.take("a", MOST_PAYLOAD).await;
        let other = room.take("b", MOST_PAYLOAD).await;
        let own = timeout(MOMENT * 10, room.take("a", UNIT));
        let (own, wanted) = tokio::join!(own, timeout(MOMENT * 10, first.is_wanted()));
        assert!(own.is_err() && wanted.is_err(), "its own wait is no reason");
        drop(other);
        let other = room.take("b", MOST_PAYLOAD).await;
        let give_back = async {
            other.is_wanted().await;
            drop(other);
        };
        let late = room.take("c", UNIT);
        tokio::join!(late, give_back);
        assert!(begun.elapsed() >= MOMENT * 15);
        let small = room.take("a", 1).await;
        let third = room.take("c", MOST_PAYLOAD).await;
        let waits = room.take("d", UNIT);
        let (small, waits) = tokio::join!(
            timeout(MOMENT * 10, small.is_wanted()),
            timeout(MOMENT * 10, waits)
        );
        assert!(small.is_err(), "there is nothing to give back");
        assert!(waits.is_err());
        drop((first, third));
    }
}
