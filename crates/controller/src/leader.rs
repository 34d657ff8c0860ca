//! Which replica works: one at a time, by the Lease `tekseal-controller` in the controller's own namespace.
//!
//! ```text
//!   leader    ├─ renew ── 3 s ── renew ── 3 s ── renew ✗ ✗ ✗ ─┤ 10 s after the last renewal it stands down, by its own clock
//!   Lease      ───────────────────────────────────────────────────┤ 12 s
//!   standby   ├─ look ─ 2 s ─ look ─ … counts 12 s from the last change that it saw ─┤ leads
//! ```
//!
//! # Guarantees
//! Two replicas never hold at once what [`Leadership::holds`] tells, whatever their clocks say and however long the API server is silent:
//! the leader counts from before its renewal was sent, the others from after they saw it, and the leader stops [`MARGIN`] earlier. After a
//! leader is killed the next one leads within 16 s and a request, after a graceful stop within 2 s and a request.
//!
//! # Assumptions
//! The clocks of all replicas run at about the same speed. A process that was stopped in the middle of a request does not know that its
//! time is over before it looks again: what is done under a leadership must bear being done twice.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tekseal_cluster::{Cluster, Lease, Turn};
use tekseal_core::one_line::causes;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::metrics::{Condition, Metrics};

/// Name of the Lease.
pub const LEASE: &str = "tekseal-controller";

/// How long the Lease is held without a renewal.
const DURATION: Duration = Duration::from_secs(12);
/// So much earlier a leader stands down, so that what it has just begun has ended.
const MARGIN: Duration = Duration::from_secs(2);
/// How often a leader renews.
const RENEW: Duration = Duration::from_secs(3);
/// How often the others look: the less, the sooner they see that nothing changes any more.
const LOOK: Duration = Duration::from_secs(2);
/// When a failed attempt is made again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an attempt may take: several fit into what is left of a Lease, and a request of the cluster's own may take longer than that.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Whether this replica may work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another one may, or nobody.
    Standby,
    /// This one, until then. Renewals move the moment and are not told as changes.
    Until(Instant),
    /// This one, since nobody else is asked.
    Always,
}

/// A candidate. When it is dropped it stands no more, and its Lease ends by itself.
pub struct Election {
    leadership: watch::Receiver<Leadership>,
    standing: Standing,
}

enum Standing {
    Opposed {
        stop: oneshot::Sender<()>,
        task: Aborted,
    },
    /// The sender is kept: receivers would take its end for a change.
    Unopposed(#[expect(dead_code, reason = "kept, not used")] watch::Sender<Leadership>),
}

/// A task that ends with its owner.
struct Aborted(JoinHandle<()>);

impl Leadership {
    /// Whether this replica may work now. True to the moment, also when the election's task could not run in time.
    #[must_use]
    pub fn holds(self) -> bool {
        match self {
            Self::Standby => false,
            Self::Until(moment) => Instant::now() < moment,
            Self::Always => true,
        }
    }

    fn until(self) -> Option<Instant> {
        match self {
            Self::Until(moment) => Some(moment),
            Self::Standby | Self::Always => None,
        }
    }
}

impl Election {
    /// Stands for the Lease in `namespace`. To be called inside a runtime.
    #[must_use]
    pub fn begin(cluster: &Cluster, namespace: &str, identity: &str, metrics: &Metrics) -> Self {
        let (sender, leadership) = watch::channel(Leadership::Standby);
        let (stop, stopped) = oneshot::channel();
        let candidate = Candidate {
            lease: Lease::new(cluster, namespace, LEASE, identity, DURATION),
            identity: identity.to_owned(),
            sender,
            metrics: metrics.clone(),
            told: None,
        };
        candidate.metrics.leader(Condition::Bad);
        let task = Aborted(tokio::spawn(candidate.stand(stopped)));
        Self {
            leadership,
            standing: Standing::Opposed { stop, task },
        }
    }

    /// Leads without asking anybody: for a single replica that is never started twice (`--leader-elect=false`).
    #[must_use]
    pub fn unopposed(metrics: &Metrics) -> Self {
        let (sender, leadership) = watch::channel(Leadership::Always);
        metrics.leader(Condition::Good);
        Self {
            leadership,
            standing: Standing::Unopposed(sender),
        }
    }

    /// Tells whether this replica may work, and when that changes.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Gives the Lease back, so that the next one need not wait. To be called when the work has ended.
    pub async fn resign(self) {
        let Standing::Opposed { stop, mut task } = self.standing else {
            return;
        };
        // An election that has ended already has nothing to give back.
        let _ = stop.send(());
        let _ = (&mut task.0).await;
    }
}

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The name under which this process holds the Lease: the Pod's or machine's, and a suffix, since a container that is started again has
/// the same name and must not take the place of one that still works.
#[must_use]
pub fn identity() -> String {
    let from_env = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let from_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = from_env("POD_NAME")
        .or_else(|| from_env("HOSTNAME"))
        .or_else(from_kernel);
    let name = name.as_deref().map_or("unknown", str::trim);
    // The keys of a hash map's hasher are random.
    let suffix = RandomState::new().hash_one(std::process::id());
    format!("{name}-{:08x}", suffix as u32)
}

struct Candidate {
    lease: Lease,
    identity: String,
    sender: watch::Sender<Leadership>,
    metrics: Metrics,
    /// What was said last of the others or of an error: it is said once.
    told: Option<String>,
}

impl Candidate {
    async fn stand(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = self.round() => {}
            }
        }
        self.stand_down("it stops");
        // A request that is still on its way names an older version of the Lease and is refused.
        match timeout(ATTEMPT, self.lease.release()).await {
            Ok(Ok(())) => tracing::debug!("the Lease is given back"),
            Ok(Err(error)) => tracing::warn!(
                error = causes(&error, MOST),
                "the Lease was not given back and ends by itself"
            ),
            Err(_) => tracing::warn!("the Lease was not given back in time and ends by itself"),
        }
    }

    /// One attempt, and the wait for the next. Never longer than what is left of a leadership, which ends here.
    async fn round(&mut self) {
        let limit = self.limit(ATTEMPT);
        let wait = match timeout_at(limit, self.lease.attempt()).await {
            Ok(Ok(Turn::Ours(until))) => self.lead(until),
            Ok(Ok(Turn::Of(holder))) => {
                self.stand_down("another one holds the Lease");
                self.tell(format!("{holder} leads"));
                LOOK
            }
            Ok(Err(error)) if error.is_conflict() => AGAIN,
            Ok(Err(error)) => {
                self.tell(causes(&error, MOST));
                AGAIN
            }
            Err(_) => {
                self.tell("the API server did not answer in time".to_owned());
                AGAIN
            }
        };
        sleep_until(self.limit(wait)).await;
        let until = self.sender.borrow().until();
        if until.is_some_and(|until| until <= Instant::now()) {
            self.stand_down("the Lease could not be renewed in time");
        }
    }

    /// So much from now, but not beyond the end of a leadership.
    fn limit(&self, wait: Duration) -> Instant {
        let moment = Instant::now() + wait;
        let until = self.sender.borrow().until();
        until.map_or(moment, |until| moment.min(until))
    }

    fn lead(&mut self, until: Instant) -> Duration {
        let fresh = Leadership::Until(until - MARGIN);
        let is_new = self.sender.send_if_modified(|known| {
            let is_new = *known == Leadership::Standby;
            *known = fresh;
            is_new
        });
        if is_new {
            self.metrics.leader(Condition::Good);
            tracing::info!(identity = self.identity, "leads");
        }
        self.told = None;
        RENEW
    }

    fn stand_down(&mut self, reason: &str) {
        let has_led = self.sender.send_if_modified(|known| {
            let has_led = *known != Leadership::Standby;
            *known = Leadership::Standby;
            has_led
        });
        if has_led {
            self.metrics.leader(Condition::Bad);
            tracing::warn!(identity = self.identity, reason, "leads no more");
        }
    }

    fn tell(&mut self, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::info!(
                identity = self.identity,
                reason = what,
                "the Lease is not held"
            );
            self.told = Some(what);
        }
    }
}

/// The longest reason, in characters.
const MOST: usize = 800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_of_one_pod_have_two_names() {
        let (one, two) = (identity(), identity());
        assert_ne!(one, two);
        assert!(one.len() > 9, "{one}");
    }

    #[tokio::test]
    async fn who_is_unopposed_leads_and_nothing_changes() {
        let metrics = Metrics::new();
        let election = Election::unopposed(&metrics);
        let mut leadership = election.leadership();
        assert!(leadership.borrow().holds());
        assert!(metrics.render().contains("\ntekseal_leader 1\n"));
        let change = timeout(Duration::from_millis(50), leadership.changed()).await;
        assert!(change.is_err(), "nothing changes");
        election.resign().await;
    }

    #[tokio::test]
    async fn a_leadership_is_over_when_its_time_is() {
        let now = Instant::now();
        assert!(Leadership::Until(now + Duration::from_secs(60)).holds());
        assert!(!Leadership::Until(now).holds());
        assert!(!Leadership::Standby.holds());
    }

    // A leader that renews at the last moment of an attempt must still have time for the next one.
    const _: () = assert!(
        RENEW.as_millis() + ATTEMPT.as_millis() + AGAIN.as_millis() + ATTEMPT.as_millis()
            <= DURATION.as_millis() - MARGIN.as_millis()
    );
}
