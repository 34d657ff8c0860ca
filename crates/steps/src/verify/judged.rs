//! What came of trying everything that may be a signature, or an attestation: any success is one, and each failure has its reason.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use tekseal_remote::registry::Blame;
use tekseal_remote::store::Fetched;
use tekseal_remote::store::fetch::LayerError;
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
    /// The first thing that others may read and that was not: for now, or because there is too much of it.
    missed: Option<String>,
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
            missed: None,
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
                self.refuse(format!("layer {layer}: {reason}"), Why::Artifact);
            }
        }
    }

    /// Notes why something could not be tried.
    pub(super) fn refuse(&mut self, reason: String, why: Why) {
        if why != Why::Artifact && self.missed.is_none() {
            self.missed = Some(reason.clone());
        }
        self.is_outside |= why == Why::Outside;
        self.reasons.push(reason);
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

    /// What was not looked at though others may: what is good is then not known to be all that there is.
    pub(super) fn missed(&self) -> Option<Failure> {
        if let Some(failure) = &self.unread {
            return Some(failure.again());
        }
        let reason = anyhow!("{}", self.missed.as_ref()?);
        Some(match self.is_outside {
            true => Failure::outside(reason),
            false => Failure::no(reason),
        })
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

/// Why something could not be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody could use it as it is.
    Artifact,
    /// There is more than is looked at.
    Limit,
    /// It could not be read for now.
    Outside,
}

impl Why {
    pub(super) fn of(error: &LayerError) -> Self {
        match error.blame() {
            Blame::Outside => Self::Outside,
            _ if error.is_limit() => Self::Limit,
            _ => Self::Artifact,
        }
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
