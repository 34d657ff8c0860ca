//! What was written on runs a moment ago, so that its echo on the watch is known without checking its signature.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// The most that is kept: an echo takes milliseconds, and one that is not known any more is checked like any other Record.
const MOST: usize = 128;

/// The ends of work that were written last.
#[derive(Debug, Default)]
pub(crate) struct Written(Mutex<VecDeque<End>>);

#[derive(Debug, PartialEq, Eq)]
struct End {
    uid: String,
    mark: String,
    record: String,
}

impl Written {
    /// This mark and this Record, signed by one of our keys, are on the run with `uid`.
    pub(crate) fn add(&self, uid: &str, mark: &str, record: &str) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() == MOST {
            ends.pop_front();
        }
        ends.push_back(End {
            uid: uid.to_owned(),
            mark: mark.to_owned(),
            record: record.to_owned(),
        });
    }

    /// Whether exactly this was written.
    pub(crate) fn has(&self, uid: &str, mark: &str, record: &str) -> bool {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest_first = ends.iter().rev();
        newest_first.any(|end| end.uid == uid && end.mark == mark && end.record == record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_is_known_and_only_for_a_while() {
        let written = Written::default();
        written.add("u", "true", "record");
        assert!(written.has("u", "true", "record"));
        for (uid, mark, record) in [
            ("v", "true", "record"),
            ("u", "failed", "record"),
            ("u", "true", "other"),
        ] {
            assert!(!written.has(uid, mark, record));
        }
        (0..MOST).for_each(|i| written.add(&i.to_string(), "true", "record"));
        assert!(!written.has("u", "true", "record"));
        assert!(written.has("0", "true", "record"));
    }
}
