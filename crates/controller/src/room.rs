//! Room in memory for payloads that are made, signed and stored: a few large runs at once, or many ordinary ones.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::prepare::MOST_PAYLOAD;

/// What room is counted in, in bytes. Runs below it take none: hundreds of them fit.
const UNIT: usize = 64 * 1024;
/// All there is. Whoever wants more takes all of it, and is alone then.
const UNITS: usize = 1024 * 1024 / UNIT;
const _: () = assert!(UNITS * UNIT <= MOST_PAYLOAD);

/// How many documents are read at once: one is held twice while it arrives, and it is not known before how large it is.
const READERS: usize = 4;

/// Room for what is made of documents.
#[derive(Debug)]
pub(crate) struct Room {
    units: Semaphore,
    readers: Semaphore,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            units: Semaphore::new(UNITS),
            readers: Semaphore::new(READERS),
        }
    }
}

impl Room {
    /// Waits for room to read a document in.
    pub(crate) async fn read(&self) -> SemaphorePermit<'_> {
        let permit = self.readers.acquire().await;
        permit.expect("it is never closed")
    }

    /// Waits for room for what is made of documents of so many bytes. Whoever has it must not wait for what others need who wait for it.
    pub(crate) async fn take(&self, bytes: usize) -> SemaphorePermit<'_> {
        let units = (bytes / UNIT).min(UNITS);
        let units = u32::try_from(units).expect("there are few units");
        let permit = self.units.acquire_many(units).await;
        permit.expect("it is never closed")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn large_runs_wait_for_each_other_and_ordinary_ones_for_nobody() {
        let room = Room::default();
        let moment = Duration::from_millis(10);
        let first = room.take(UNITS / 2 * UNIT + UNIT).await;
        let second = timeout(moment, room.take(UNITS / 2 * UNIT)).await;
        assert!(second.is_err(), "there is no room for both");
        let ordinary = room.take(UNIT - 1).await;
        drop(first);
        let all = room.take(MOST_PAYLOAD).await;
        let another = timeout(moment, room.take(UNIT)).await;
        assert!(another.is_err(), "the largest takes all");
        drop((ordinary, all));
        drop(room.take(UNIT).await);
    }
}
