//! Waits between tries where AWS asks for fewer requests: it says so with status 400, which is an answer like any other to the client of HTTP.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use crate::Context;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);
const WORTH_A_NOTICE: Duration = Duration::from_secs(1);

/// As many tries as the options of the user allow.
pub(super) struct Backoff<'a> {
    context: &'a Context,
    left: u32,
    next: Duration,
}

impl<'a> Backoff<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            left: context.settings.options.tries.saturating_sub(1),
            next: FIRST,
        }
    }

    /// Waits after `error`, as long as AWS `asked` for if that is not too long; says whether there may be another try.
    pub(super) async fn wait(
        &mut self,
        error: &(dyn std::error::Error + Sync),
        asked: Option<Duration>,
    ) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        // Half to all of it: those that were refused together shall not come back together.
        let random = RandomState::new().build_hasher().finish() % 1024;
        let wait = self.next / 2 + self.next * u32::try_from(random).unwrap_or_default() / 2048;
        let wait = wait.max(asked.unwrap_or_default()).min(LONGEST);
        if wait >= WORTH_A_NOTICE {
            (self.context.settings.options.notice)(error, wait);
        }
        tokio::time::sleep(wait).await;
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}
