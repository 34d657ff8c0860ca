//! Whether the evidence of a layer that is under a tag already stands for that of a new one of the same signer.
//!
//! Whoever may write to the repository writes what is there: an entry that names the right body and is signed by nobody looks the same as a good one,
//! and would keep the good one out. So it is judged as any answer.

use tekseal_core::evidence::LogEntry;
use tekseal_core::{Evidence, Signed};
use tekseal_signing::witness::Age;
use tekseal_signing::{Trust, Unwitnessed, VerifyingKey, timestamp};

use super::Witnesses;

/// Whether `existing`, a layer by `key`, has as many good entries of logs, and good times, as `new` has. Without `witnesses` there is nothing to
/// judge them by, and it has none.
pub(crate) fn stands_for(
    witnesses: Option<&Witnesses>,
    existing: &Signed,
    new: &Signed,
    key: &VerifyingKey,
) -> bool {
    let Ok(wanted) = Evidence::of_annotations(new.annotations()) else {
        return false;
    };
    if new.is_bundle() || !wanted.is_witnessed() {
        return true;
    }
    witnesses.is_some_and(|witnesses| witnesses.vouch_as(existing, &wanted, key))
}

impl Witnesses {
    fn vouch_as(&self, existing: &Signed, wanted: &Evidence, key: &VerifyingKey) -> bool {
        let Ok(stored) = Unwitnessed::read(existing, key) else {
            return false;
        };
        let Ok(evidence) = Evidence::of_annotations(existing.annotations()) else {
            return false;
        };
        let entries = evidence.entries.iter();
        let entries = entries.filter(|entry| self.is_good(&stored, entry));
        if entries.count() < wanted.entries.len() {
            return false;
        }
        let no_trust = Trust::default();
        let trust = self.0.trust.as_deref().unwrap_or(&no_trust);
        let now = (self.0.clock)();
        let times = evidence.timestamps.iter().filter(|response| {
            let verified = timestamp::verify(trust, response, stored.stamped());
            verified.is_ok_and(|stamp| stamp.is_some_and(|one| one.authority_was_in_use_at(now)))
        });
        times.count() >= wanted.timestamps.len()
    }

    /// Whether one of the logs that are told vouches for the entry, and may now.
    fn is_good(&self, stored: &Unwitnessed<'_>, entry: &LogEntry) -> bool {
        self.0.logs.iter().any(|log| {
            let Some(trust) = log.known_trust(self.0.trust.as_ref()) else {
                return false;
            };
            let url = log.rekor.url();
            let bench = log.bench(trust, &url, self.0.clock);
            let judged = stored.judge(trust, entry);
            judged.is_ok_and(|logged| bench.hold(&logged, Age::Any).is_ok())
        })
    }
}

#[cfg(test)]
mod tests;
