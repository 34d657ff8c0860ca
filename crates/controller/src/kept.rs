//! What is read for one and used for many: made once for all who want the same, and kept for a while.
//!
//! Each key has a cell of its own, so that what is slow to read for one, or hangs, holds up only those who want the same. As long as a reader
//! waits here, so long its attempt takes, which has a deadline.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Values that are made for a key.
#[derive(Debug)]
pub(crate) struct Kept<K, V> {
    valid: Duration,
    most: usize,
    cells: Mutex<HashMap<K, Cell<V>>>,
}

#[derive(Debug)]
struct Cell<V> {
    since: Instant,
    value: Arc<OnceCell<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Kept<K, V> {
    /// Keeps the values of `most` keys, each for so long.
    pub(crate) fn new(valid: Duration, most: usize) -> Self {
        Self {
            valid,
            most,
            cells: Mutex::default(),
        }
    }

    /// The value of `key`, made by `make` unless it is there. A failure is not kept.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) async fn get<E>(
        &self,
        key: &K,
        make: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let cell = self.cell(key);
        cell.get_or_try_init(|| make).await.cloned()
    }

    /// Forgets what is kept for some keys.
    pub(crate) fn forget(&self, which: impl Fn(&K) -> bool) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|key, _| !which(key));
    }

    fn cell(&self, key: &K) -> Arc<OnceCell<V>> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(key)
            && cell.since.elapsed() < self.valid
        {
            return Arc::clone(&cell.value);
        }
        cells.remove(key);
        if cells.len() >= self.most {
            cells.retain(|_, cell| cell.since.elapsed() < self.valid);
        }
        if cells.len() >= self.most
            && let Some(oldest) = cells.iter().min_by_key(|(_, cell)| cell.since)
        {
            let oldest = oldest.0.clone();
            cells.remove(&oldest);
        }
        let value = Arc::<OnceCell<V>>::default();
        let cell = Cell {
            since: Instant::now(),
            value: Arc::clone(&value),
        };
        cells.insert(key.clone(), cell);
        value
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use super::*;

    const VALID: Duration = Duration::from_secs(60);

    async fn get(kept: &Kept<&'static str, u32>, key: &'static str, value: u32) -> u32 {
        let make = async { Ok::<_, Infallible>(value) };
        kept.get(&key, make).await.unwrap_or_default()
    }

    #[tokio::test]
    async fn what_hangs_for_one_holds_up_nobody_else() {
        let kept = Arc::new(Kept::new(VALID, 8));
        let slow = Arc::clone(&kept);
        let slow =
            tokio::spawn(async move { slow.get(&"slow", pending::<Result<u32, ()>>()).await });
        tokio::task::yield_now().await;
        assert_eq!(get(&kept, "good", 1).await, 1);
        slow.abort();
        assert!(slow.await.is_err());
        assert_eq!(get(&kept, "slow", 2).await, 2, "the next one tries anew");
    }

    #[tokio::test]
    async fn a_value_is_made_once_and_anew_when_it_is_old_or_forgotten_or_failed() {
        let kept = Kept::new(VALID, 8);
        let failed = kept.get(&"a", async { Err::<u32, _>("no") }).await;
        assert_eq!(failed, Err("no"));
        assert_eq!(get(&kept, "a", 1).await, 1);
        assert_eq!(get(&kept, "a", 2).await, 1);
        kept.forget(|key| *key == "a");
        assert_eq!(get(&kept, "a", 3).await, 3);
        let kept = Kept::new(Duration::ZERO, 8);
        assert_eq!(get(&kept, "a", 1).await, 1);
        assert_eq!(get(&kept, "a", 2).await, 2);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let kept = Kept::new(VALID, 2);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(get(&kept, key, value).await, value);
        }
        assert_eq!(kept.cells.lock().expect("nobody panicked").len(), 2);
        assert_eq!(get(&kept, "c", 9).await, 3);
    }
}
