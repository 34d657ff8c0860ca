//! What came of trying everything that may be a signature, or an attestation: any success is one, and each failure has its reason.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use tekseal_remote::store::Fetched;
use tekseal_signing::Rejection;

use super::demands::Kind;
use crate::Failure;

/// How many reasons are told before the rest is only counted.
const MOST_REASONS: usize = 5;

/// What came of trying all candidates of one kind.
pub(super) struct Judged<T> {
    pub(super) good: Vec<T>,
    reasons: Vec<String>,
    /// How many of them are good, but for their type.
    of_other_types: usize,
    /// Something could not be read for now, so «no» would be said without having looked.
    is_outside: bool,
    /// The tag itself could not be read.
    unread: Option<Failure>,
}

impl<T> Default for Judged<T> {
    fn default() -> Self {
        Self {
            good: Vec::new(),
            reasons: Vec::new(),
            of_other_types: 0,
            is_outside: false,
            unread: None,
        }
    }
}

impl<T> Judged<T> {
    /// Notes what came of one candidate.
    pub(super) fn note(&mut self, layer: &str, verdict: Result<T, Rejection>) {
        match verdict {
            Ok(report) => self.good.push(report),
            Err(rejection) => {
                let is_of_type = matches!(rejection, Rejection::PredicateType { .. });
                self.of_other_types += usize::from(is_of_type);
                let reason = format!("{:#}", anyhow::Error::from(rejection));
                self.refuse(format!("layer {layer}: {reason}"), false);
            }
        }
    }

    /// Notes why something could not be tried, and whether that may pass.
    pub(super) fn refuse(&mut self, reason: String, is_outside: bool) {
        self.reasons.push(reason);
        self.is_outside |= is_outside;
    }

    /// Notes that the tag could not be read.
    pub(super) fn unread(&mut self, failure: Failure) {
        self.unread = Some(failure);
    }

    /// Whether there was nothing to try.
    pub(super) fn is_empty(&self) -> bool {
        self.reasons.is_empty() && self.good.is_empty() && self.unread.is_none()
    }

    /// Whether all that is there would be good if it were of the type that is asked for.
    pub(super) fn are_of_other_types(&self) -> bool {
        self.of_other_types > 0 && self.of_other_types == self.reasons.len()
    }

    /// Why none is good.
    pub(super) fn none_good(self, what: &str) -> Failure {
        if let Some(failure) = self.unread {
            return failure;
        }
        if self.reasons.is_empty() {
            return Failure::no(anyhow!("no {what} found"));
        }
        let told = self.reasons.iter().take(MOST_REASONS).map(String::as_str);
        let mut text = told.collect::<Vec<_>>().join("; ");
        if self.reasons.len() > MOST_REASONS {
            text.push_str(&format!("; and {} more", self.reasons.len() - MOST_REASONS));
        }
        if self.is_outside {
            return Failure::outside(anyhow!(
                "no valid {what}, but not everything could be read: {text}"
            ));
        }
        Failure::no(anyhow!("no valid {what}: {text}"))
    }
}

/// Which candidates were tried, and as what: two that are equal in all have one verdict, and a manifest may list the same one a thousand times.
/// The same bytes under both tags have two.
#[derive(Default)]
pub(super) struct Tried(HashSet<(Kind, String, BTreeMap<String, String>)>);

impl Tried {
    /// Whether it was not tried yet.
    pub(super) fn is_new(&mut self, kind: Kind, fetched: &Fetched) -> bool {
        let annotations = fetched.signed.as_ref().map(|s| s.annotations().clone());
        self.0.insert((
            kind,
            fetched.digest.clone(),
            annotations.unwrap_or_default(),
        ))
    }
}
