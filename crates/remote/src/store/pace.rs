//! How long is too long: the times of the protocol in `append`, all derived from what this registry was seen to need.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// Below this the clock measures scheduling and not the registry.
const SHORTEST_WINDOW: Duration = Duration::from_millis(30);
/// A writer that uploads blobs between its look and its write needs two round trips, and a slow one is no reason to ask again.
const WINDOW_TRIPS: u32 = 4;
/// Beyond this the registry is so slow that waiting longer helps nobody.
const LONGEST_SETTLE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Pace {
    shortest: Option<Duration>,
}

impl Pace {
    /// Takes note of how long one request took.
    pub(super) fn saw(&mut self, trip: Duration) {
        self.shortest = Some(self.shortest.map_or(trip, |shortest| shortest.min(trip)));
    }

    /// How old a look at the tag may be when the tag is written. Doubles with every third look in a row that was too `late`,
    /// so that a registry that has become slow does not make us look forever.
    pub(super) fn window(&self, late: u32) -> Duration {
        let trips = self.shortest.unwrap_or_default() * WINDOW_TRIPS;
        trips
            .max(SHORTEST_WINDOW)
            .saturating_mul(1 << (late / 3).min(16))
    }

    /// How long after a write that took `write` another writer, as fast as we are, may still overwrite it:
    /// its window and the time its own write takes, and half as much again because it may be slower than we are.
    pub(super) fn settle(&self, write: Duration) -> Duration {
        ((self.window(0) + write) * 3 / 2).min(LONGEST_SETTLE)
    }

    /// A wait among writers that are in each other's way, growing with every `round`: never shorter than `least`.
    pub(super) fn pause(round: u32, least: Duration) -> Duration {
        let longest = Duration::from_millis(50)
            .saturating_mul(1 << round.min(8))
            .min(LONGEST_PAUSE);
        least + jitter(longest)
    }
}

/// Any time up to `longest`. Writers that met once shall not meet again.
pub(super) fn jitter(longest: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1025;
    longest * u32::try_from(random).unwrap_or_default() / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn others_as_fast_as_we_are_have_written_when_we_look_back() {
        let mut pace = Pace::default();
        assert_eq!(pace.window(0), ms(30));
        pace.saw(ms(100));
        pace.saw(ms(50));
        pace.saw(ms(300));
        assert_eq!(pace.window(0), ms(200));
        assert_eq!(
            (pace.window(2), pace.window(3), pace.window(6)),
            (ms(200), ms(400), ms(800))
        );
        assert!(pace.settle(ms(60)) >= pace.window(0) + ms(60));
        assert_eq!(pace.settle(ms(60_000)), ms(2000));
    }

    #[test]
    fn pauses_differ_and_stay_within_their_bounds() {
        let pauses: Vec<Duration> = (0..50).map(|_| Pace::pause(3, ms(10))).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (ms(10)..=ms(410)).contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        assert!(Pace::pause(40, ms(10)) <= ms(1010));
    }
}
