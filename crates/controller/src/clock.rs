//! The API server's clock, asked at the start and counted on from there by one that nobody sets: our own may be wrong.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tekseal_cluster::{Cluster, Error};
use tokio::time::Instant;

/// For how long a deleted run is held back for its signature.
const DELETED: Duration = Duration::from_secs(600);
/// For how long at the least, however long ago it was deleted: a start takes a few attempts until key and registries answer.
const AT_LEAST: Duration = Duration::from_secs(60);

/// What time it is for the API server.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Nothing where it does not say.
    time: Option<Timestamp>,
    /// When it said so.
    at: Instant,
}

impl Clock {
    /// Asks the API server.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) async fn read(cluster: &Cluster) -> Result<Self, Error> {
        Ok(Self {
            time: cluster.time().await?,
            at: Instant::now(),
        })
    }

    /// What time it is `now`.
    pub(crate) fn time(&self, now: Instant) -> Option<Timestamp> {
        let since = SignedDuration::try_from(now.saturating_duration_since(self.at)).ok()?;
        self.time?.checked_add(since).ok()
    }

    /// Until when a run is held back that was deleted at this time. It was deleted before we looked, so a clock that was set since then
    /// makes it neither longer than from now on, nor shorter than [`AT_LEAST`].
    pub(crate) fn held_until(&self, deleted: Timestamp, now: Instant) -> Instant {
        let since = self.time(now).map(|time| time.duration_since(deleted));
        let since = since.and_then(|since| Duration::try_from(since).ok());
        let left = DELETED.saturating_sub(since.unwrap_or_default());
        now + left.max(AT_LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_run_is_held_back_from_its_deletion_on_whoever_restarts() {
        let at = Instant::now();
        let time: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
        let clock = Clock {
            time: Some(time),
            at,
        };
        let held = |deleted: &str, now: u64| {
            let now = at + Duration::from_secs(now);
            let until = clock.held_until(deleted.parse().expect("a time"), now);
            (until - now).as_secs()
        };
        assert_eq!(held("2026-01-01T00:10:00Z", 0), 600);
        assert_eq!(held("2026-01-01T00:08:00Z", 0), 480);
        assert_eq!(held("2026-01-01T00:08:00Z", 60), 420);
        assert_eq!(held("2025-12-31T00:00:00Z", 0), 60, "long ago");
        assert_eq!(held("2026-01-01T01:00:00Z", 0), 600, "not yet");
        let silent = Clock { time: None, at };
        let until = silent.held_until(time, at);
        assert_eq!(until - at, DELETED);
    }
}
