//! Decides whether and when to try again: exponential waits with jitter inside a budget of time.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::error::Cause;
use crate::options::Notice;

/// How long one operation may still be tried.
#[derive(Debug)]
pub(crate) struct Patience {
    deadline: Instant,
    next: Duration,
    notice: Notice,
}

/// How often one request may still be sent, where attempts are counted and not their time.
#[derive(Debug)]
pub struct Tries {
    left: u32,
    next: Duration,
    notice: Notice,
}

const FIRST_WAIT: Duration = Duration::from_millis(100);
const FIRST_WAIT_OF_TRIES: Duration = Duration::from_millis(500);
const WORTH_A_NOTICE: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Patience {
    pub(crate) fn new(budget: Duration, notice: Notice) -> Self {
        Self {
            deadline: Instant::now() + budget,
            next: FIRST_WAIT,
            notice,
        }
    }

    /// Has so much more time.
    pub(crate) fn extend(&mut self, by: Duration) {
        self.deadline += by;
    }

    /// Waits if `cause` may pass by itself and there is time left; hands `cause` back otherwise.
    pub(crate) async fn wait(&mut self, cause: Cause) -> Result<(), Cause> {
        if !cause.may_pass() {
            return Err(cause);
        }
        self.wait_for(cause).await
    }

    /// Waits as long as there is time left, whatever the cause is.
    pub(crate) async fn wait_for(&mut self, cause: Cause) -> Result<(), Cause> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(cause);
        }
        let asked = cause.retry_after().unwrap_or_default();
        let wait = jittered(self.next).max(asked).min(left);
        if wait >= WORTH_A_NOTICE {
            (self.notice)(&cause, wait);
        }
        tokio::time::sleep(wait).await;
        self.next = (self.next * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

impl Tries {
    /// `most` attempts in all; `notice` is called before each wait of a second or more.
    #[must_use]
    pub fn new(most: u32, notice: Notice) -> Self {
        Self {
            left: most.saturating_sub(1),
            next: FIRST_WAIT_OF_TRIES,
            notice,
        }
    }

    /// Waits after `error` if there may be another attempt, and as long as the server `asked` for if that is not too long; says
    /// whether there may be one.
    pub async fn wait(
        &mut self,
        error: &(dyn std::error::Error + Sync),
        asked: Option<Duration>,
    ) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        let wait = jittered(self.next).max(asked.unwrap_or_default());
        let wait = wait.min(LONGEST_WAIT);
        if wait >= WORTH_A_NOTICE {
            (self.notice)(error, wait);
        }
        tokio::time::sleep(wait).await;
        self.next = (self.next * 2).min(LONGEST_WAIT);
        true
    }
}

/// Half to all of `wait`, so that many runs that were refused together do not come back together.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1024;
    wait / 2 + wait * u32::try_from(random).unwrap_or_default() / 2048
}

/// `Retry-After` as a number of seconds, or as a date, which is compared with the server's own `Date`
/// (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = seconds_of(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::from_secs(seconds_of(text)?.saturating_sub(now)))
}

/// Seconds since year 0 of `Sun, 06 Nov 1994 08:49:37 GMT`; only differences of two mean anything.
fn seconds_of(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut fields = date.split_once(", ")?.1.split([' ', ':']);
    let mut field = || fields.next();
    let day: u64 = field()?.parse().ok()?;
    let name = field()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64;
    let year: u64 = field()?.parse().ok()?;
    let [hour, minute, second] =
        [field()?, field()?, field()?].map(|text| text.parse::<u64>().ok());
    if field() != Some("GMT") || year > 9999 || day > 31 {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one of a year.
    let (year, month) = if month < 2 {
        (year.checked_sub(1)?, month + 10)
    } else {
        (year, month - 2)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    Some(((days * 24 + hour?.min(23)) * 60 + minute?.min(59)) * 60 + second?.min(60))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(retry_after: &'static str, date: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        headers.insert(DATE, HeaderValue::from_static(date));
        headers
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_after_the_servers_own() {
        let cases = [
            ("7", "", Some(7)),
            (
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 08:49:07 GMT",
                Some(30),
            ),
            (
                "Tue, 01 Mar 2016 00:00:01 GMT",
                "Sun, 28 Feb 2016 23:59:59 GMT",
                Some(86_402),
            ),
            (
                "Wed, 01 Mar 2017 00:00:01 GMT",
                "Tue, 28 Feb 2017 23:59:59 GMT",
                Some(2),
            ),
            (
                "Thu, 01 Jan 2026 00:00:00 GMT",
                "Wed, 31 Dec 2025 23:59:00 GMT",
                Some(60),
            ),
            (
                "Sun, 06 Nov 1994 08:49:07 GMT",
                "Sun, 06 Nov 1994 08:49:37 GMT",
                Some(0),
            ),
            ("Sun, 06 Nov 1994 08:49:37 GMT", "", None),
            (
                "Sun, 99 Foo 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 08:49:07 GMT",
                None,
            ),
            ("soon", "Sun, 06 Nov 1994 08:49:07 GMT", None),
        ];
        for (asked, date, seconds) in cases {
            assert_eq!(
                retry_after(&headers(asked, date)),
                seconds.map(Duration::from_secs),
                "{asked}"
            );
        }
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(1));
            assert!(
                wait >= Duration::from_millis(500) && wait <= Duration::from_secs(1),
                "{wait:?}"
            );
        }
    }
}
