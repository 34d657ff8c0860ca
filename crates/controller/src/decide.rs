//! What is to be done with a run, from what is seen of it: pure, and the same for the watch and for the fresh document.
//!
//! Marks on a run can be written by whoever may change it. A mark counts if a Record signed by one of our keys says the same of this run,
//! or if the run was completed before this controller first started: then somebody else, such as Tekton Chains, was in charge.

use jiff::Timestamp;
use tekseal_cluster::Seen;
use tekseal_core::config::Config;
use tekseal_core::marks;
use tekseal_signing::verify_record;

use crate::memory::Believed;

/// What does not change while the controller runs, but for keys that are added.
pub(crate) struct Ground {
    /// When a controller of ours first started in this cluster, by the API server's clock.
    pub(crate) first_start: Timestamp,
    /// Runs that were completed before are no concern of ours.
    pub(crate) ignore_before: Option<Timestamp>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It goes on.
    Running,
    /// It is not ours to sign, for this reason.
    Ignored(&'static str),
    /// Somebody is done with it, and may be believed.
    Done,
    /// It is to be signed. With a mark that cannot be believed: why.
    Sign {
        /// Why the mark on it is not believed.
        forged: Option<String>,
    },
}

/// Tekton's own name in `spec.managedBy`.
const TEKTON: &str = "tekton.dev/pipeline";

impl Ground {
    /// What is to be done with `run`. Without a configuration, before the first good one, it is not known whose runs are ours: those of
    /// other managers stay in question. What is done is known all the same.
    pub(crate) fn decide(
        &self,
        run: &Seen,
        config: Option<&Config>,
        believed: &Believed,
    ) -> Decision {
        if let Some(config) = config
            && let Some(manager) = other_manager(run)
            && !config.managed_by().contains(manager)
        {
            return Decision::Ignored("it is managed by somebody else (filter.managed-by)");
        }
        if run.succeeded().is_none() {
            return Decision::Running;
        }
        // A run that never started has no completion time. One that is said to have ended before it was made was made by somebody who wants
        // its mark believed: only the time of its making is the API server's own word.
        let completed = run.completed().max(run.created());
        if let (Some(before), Some(completed)) = (self.ignore_before, completed)
            && completed < before
        {
            return Decision::Ignored("it was completed before --ignore-completed-before");
        }
        let Some(mark) = run.annotation(marks::SIGNED) else {
            return Decision::Sign { forged: None };
        };
        if !matches!(mark, "true" | "failed" | "nothing") {
            return Decision::Sign { forged: None };
        }
        let why = match run.annotation(marks::RECORD) {
            None => "there is no record of it".to_owned(),
            Some(record) => match verify_record(record, run.uid(), believed.of(run.namespace())) {
                Ok(record) if record.outcome.mark() == mark => return Decision::Done,
                Ok(record) => format!("the record says {:?}", record.outcome.mark()),
                Err(error) => error.to_string(),
            },
        };
        if completed.is_some_and(|completed| completed < self.first_start) {
            return Decision::Done;
        }
        Decision::Sign {
            forged: Some(format!(
                "{}: {mark:?} is not believed: {why}",
                marks::SIGNED
            )),
        }
    }
}

/// Who manages the run, where it is not Tekton.
fn other_manager(run: &Seen) -> Option<&str> {
    run.managed_by().filter(|&manager| manager != TEKTON)
}

/// Whether a run that is to be signed may be told that it waits for a configuration. What is on one with a mark says why it has it, and
/// one of another manager may not be ours at all.
pub(crate) fn may_be_told(run: &Seen) -> bool {
    run.annotation(marks::SIGNED).is_none() && other_manager(run).is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use tekseal_core::marks::{Outcome, Record};
    use tekseal_harness::at_once;
    use tekseal_signing::{PublicKey, Signer, random};

    use super::*;
    use tekseal_cluster::vouching::Vouches;

    fn ground() -> Ground {
        Ground {
            first_start: "2026-06-01T00:00:00Z".parse().expect("a time"),
            ignore_before: Some("2020-01-01T00:00:00Z".parse().expect("a time")),
        }
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let map: BTreeMap<_, _> = pairs.iter().map(owned).collect();
        Config::from_map(&map).expect("a good map")
    }

    fn believed(key: &PublicKey, vouches: &Vouches) -> Believed {
        let mut believed = Believed::default();
        believed.add(key.clone(), vouches);
        believed
    }

    fn run(completed: &str, annotations: &[(&str, &str)]) -> Seen {
        run_of("2026-01-01T00:00:00Z", completed, annotations)
    }

    fn run_of(created: &str, completed: &str, annotations: &[(&str, &str)]) -> Seen {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        let document = json!({
            "metadata": { "name": "a", "namespace": "b", "uid": "u", "creationTimestamp": created, "annotations": annotations },
            "status": { "completionTime": completed, "conditions": [{ "type": "Succeeded", "status": "True" }] },
        });
        serde_json::from_value(document).expect("it is a run")
    }

    fn signer() -> Signer {
        Signer::generate(&mut random::system).expect("a key")
    }

    fn record(signer: &Signer, uid: &str, outcome: Outcome) -> String {
        let at = "2026-07-01T00:00:00Z".to_owned();
        let record = Record::new(uid, outcome, &[], at, "test".to_owned());
        at_once(signer.sign_record(&record)).expect("it signs")
    }

    const LATER: &str = "2026-07-01T00:00:00Z";
    const EARLIER: &str = "2026-05-01T00:00:00Z";

    #[test]
    fn only_a_mark_with_our_record_is_believed_on_a_run_of_our_time() {
        let (ours, theirs) = (signer(), signer());
        let keys = believed(ours.public_key(), &Vouches::ForAll);
        let decide = |run: &Seen| ground().decide(run, Some(&config(&[])), &keys);
        let good = record(&ours, "u", Outcome::Signed);
        let with = |mark, record: &str| {
            decide(&run(
                LATER,
                &[(marks::SIGNED, mark), (marks::RECORD, record)],
            ))
        };
        assert_eq!(with("true", &good), Decision::Done);
        for (mark, record) in [
            ("failed", good.clone()),
            ("true", record(&theirs, "u", Outcome::Signed)),
            ("true", record(&ours, "other", Outcome::Signed)),
            ("true", "rubbish".to_owned()),
        ] {
            let decision = with(mark, &record);
            assert!(
                matches!(decision, Decision::Sign { forged: Some(_) }),
                "{decision:?}"
            );
        }
        let bare = decide(&run(LATER, &[(marks::SIGNED, "true")]));
        assert!(matches!(bare, Decision::Sign { forged: Some(_) }));
    }

    #[test]
    fn what_is_done_is_known_without_a_configuration() {
        let signer = signer();
        let keys = believed(signer.public_key(), &Vouches::ForAll);
        let good = record(&signer, "u", Outcome::Failed);
        let decide = |run: &Seen| (ground().decide(run, None, &keys), may_be_told(run));
        let done = run(LATER, &[(marks::SIGNED, "failed"), (marks::RECORD, &good)]);
        assert_eq!(decide(&done).0, Decision::Done);
        let forged = decide(&run(LATER, &[(marks::SIGNED, "true")]));
        assert!(
            matches!(forged, (Decision::Sign { forged: Some(_) }, false)),
            "{forged:?}"
        );
        let unmarked = decide(&run(LATER, &[]));
        assert_eq!(unmarked, (Decision::Sign { forged: None }, true));
    }

    #[test]
    fn a_namespaces_own_key_is_believed_there_only() {
        let signer = signer();
        let record = record(&signer, "u", Outcome::Signed);
        let run = run(LATER, &[(marks::SIGNED, "true"), (marks::RECORD, &record)]);
        let decide = |namespace: &str| {
            let keys = believed(signer.public_key(), &Vouches::For(namespace.to_owned()));
            ground().decide(&run, Some(&config(&[])), &keys)
        };
        assert_eq!(decide("b"), Decision::Done);
        assert!(matches!(
            decide("other"),
            Decision::Sign { forged: Some(_) }
        ));
    }

    #[test]
    fn a_run_cannot_have_ended_before_it_was_made() {
        let decide = |run: &Seen| ground().decide(run, Some(&config(&[])), &Believed::default());
        let marked = [(marks::SIGNED, "true")];
        assert!(matches!(
            decide(&run_of(LATER, EARLIER, &marked)),
            Decision::Sign { forged: Some(_) }
        ));
        assert_eq!(
            decide(&run_of(LATER, "2019-01-01T00:00:00Z", &[])),
            Decision::Sign { forged: None }
        );
    }

    #[test]
    fn marks_from_before_our_time_are_left_alone_and_unmarked_runs_are_signed() {
        let decide = |run: &Seen| ground().decide(run, Some(&config(&[])), &Believed::default());
        assert_eq!(
            decide(&run(EARLIER, &[(marks::SIGNED, "true")])),
            Decision::Done
        );
        assert_eq!(
            decide(&run(EARLIER, &[(marks::SIGNED, "failed")])),
            Decision::Done
        );
        assert_eq!(decide(&run(EARLIER, &[])), Decision::Sign { forged: None });
        assert_eq!(
            decide(&run(EARLIER, &[(marks::SIGNED, "maybe")])),
            Decision::Sign { forged: None }
        );
        let old = "2019-01-01T00:00:00Z";
        assert!(matches!(
            decide(&run_of(old, old, &[])),
            Decision::Ignored(_)
        ));
    }

    #[test]
    fn runs_of_other_managers_are_ours_only_where_the_filter_names_them() {
        let mut document = json!({
            "metadata": { "name": "a", "namespace": "b", "uid": "u" },
            "spec": { "managedBy": "kueue.example/mk" },
            "status": { "completionTime": LATER, "conditions": [{ "type": "Succeeded", "status": "False" }] },
        });
        let seen: Seen = serde_json::from_value(document.clone()).expect("it is a run");
        assert!(matches!(
            ground().decide(&seen, Some(&config(&[])), &Believed::default()),
            Decision::Ignored(_)
        ));
        assert_eq!(
            ground().decide(&seen, None, &Believed::default()),
            Decision::Sign { forged: None },
            "nobody knows yet"
        );
        assert!(!may_be_told(&seen));
        let filter = config(&[("filter.managed-by", "kueue.example/mk")]);
        assert_eq!(
            ground().decide(&seen, Some(&filter), &Believed::default()),
            Decision::Sign { forged: None }
        );
        document["spec"]["managedBy"] = json!(TEKTON);
        document["status"]["conditions"][0]["status"] = json!("Unknown");
        let seen: Seen = serde_json::from_value(document).expect("it is a run");
        assert_eq!(
            ground().decide(&seen, Some(&config(&[])), &Believed::default()),
            Decision::Running
        );
    }
}
