//! Looks back at what was stored, when it has settled: they take no slots, so that a mark need not wait for them, and are bounded by
//! themselves. A registry that was quick to take a signature may hang from then on.

use std::sync::Arc;
use std::time::Duration;

use tekseal_attest::{LookBack, Looked, Lost};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::trouble::chain;

/// How many runs are looked at at once.
const AT_ONCE: usize = 32;
/// How many bytes are kept for all of them, to be stored again. Of the rest only digests are: what is gone then is signed again.
const MOST_KEPT: usize = 2 * 1024 * 1024;
/// How long the looks for one run may take, beside [`EACH`].
const LIMIT: Duration = Duration::from_secs(30);
/// How much longer for each image.
const EACH: Duration = Duration::from_millis(250);

/// Room for looks back.
#[derive(Debug)]
pub(crate) struct Looking {
    at_once: Semaphore,
    kept: Arc<Semaphore>,
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            at_once: Semaphore::new(AT_ONCE),
            kept: Arc::new(Semaphore::new(MOST_KEPT)),
        }
    }
}

/// What is left to do for a run that was marked.
pub(crate) struct LookBacks {
    looks: Vec<LookBack>,
    _kept: Option<OwnedSemaphorePermit>,
}

impl Looking {
    /// Makes room for what is looked back at, or sees to it that it takes none.
    pub(crate) fn keep(&self, mut looks: Vec<LookBack>) -> LookBacks {
        let bytes: usize = looks.iter().map(LookBack::bytes).sum();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let kept = Arc::clone(&self.kept).try_acquire_many_owned(bytes).ok();
        if kept.is_none() {
            looks.iter_mut().for_each(LookBack::keep_digests);
        }
        LookBacks { looks, _kept: kept }
    }

    /// Looks whether what was stored for a run stayed, when it has settled, and stores it again where another writer took it away. Gives
    /// what cannot be confirmed and why: then the run's mark is not true any more.
    pub(crate) async fn look(&self, backs: LookBacks) -> Result<(), String> {
        for look in &backs.looks {
            look.settled().await;
        }
        let permit = self.at_once.acquire().await;
        let _permit = permit.expect("it is never closed");
        let images = u32::try_from(backs.looks.len()).unwrap_or(u32::MAX);
        let limit = LIMIT.saturating_add(EACH.saturating_mul(images));
        let all = async {
            for look in backs.looks {
                if look.look().await.map_err(|lost| told(&lost))? == Looked::StoredAgain {
                    tracing::warn!("another writer took away what was stored; it is stored again");
                }
            }
            Ok(())
        };
        timeout(limit, all).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(format!(
                "what was stored cannot be confirmed within {seconds} seconds"
            ))
        })
    }
}

fn told(lost: &Lost) -> String {
    let place = lost.place();
    match lost.why() {
        Some(error) => format!(
            "what was stored at {place} cannot be confirmed: {}",
            chain(error)
        ),
        None => format!("what was stored at {place} is not there any more"),
    }
}
