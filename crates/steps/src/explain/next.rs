//! What becomes of a run in a cluster: the decision of a controller, in words.

use tekseal_core::config::{ChildrenRule, Config, UnsuccessfulRule};
use tekseal_core::marks;
use tekseal_core::run::{Absence, AbsentChild};

use super::Explanation;
use super::cluster::{Controller, Facts};

/// Tekton's own name in `spec.managedBy`.
const TEKTON: &str = "tekton.dev/pipeline";

/// What happens next, in a sentence or two. `absent` are the children that a PipelineRun lacks.
pub(super) fn of(
    facts: &Facts,
    config: &Config,
    explanation: &Explanation,
    absent: &[AbsentChild],
) -> String {
    let mut fate = fate(facts, config, explanation, absent);
    if facts.seen.deleted().is_some() {
        fate = deleted(facts, fate);
    }
    if !fate.is_work {
        return fate.text;
    }
    // Whoever is not there uses no configuration.
    let told = match facts.configuration().fate() {
        Some(proviso) => format!("{}; {proviso}", fate.text),
        None => fate.text.clone(),
    };
    match facts.controller() {
        Controller::There(_) => told,
        Controller::Absent(why) => format!(
            "{}; but nothing of ours watches it: {why} (Tekton Chains may)",
            fate.text
        ),
        Controller::Unknown => {
            format!("{told}; whether a controller is there is not known")
        }
    }
}

struct Fate {
    text: String,
    /// Whether somebody must do something for it.
    is_work: bool,
}

/// What a deletion changes: a run that goes on is not signed any more, and one that has ended is held back for a while.
fn deleted(facts: &Facts, fate: Fate) -> Fate {
    if facts.seen.succeeded().is_none() {
        return Fate {
            text: "it is being deleted before it has ended, and is not signed".to_owned(),
            is_work: false,
        };
    }
    let held = facts.seen.finalizers();
    let held = match held.iter().any(|name| marks::is_finalizer(name)) && fate.is_work {
        true => ", and held back for its signature, ten minutes at most",
        false => "",
    };
    Fate {
        text: format!("it is being deleted{held}; {}", fate.text),
        ..fate
    }
}

fn fate(facts: &Facts, config: &Config, explanation: &Explanation, absent: &[AbsentChild]) -> Fate {
    let work = |text: String| Fate {
        text,
        is_work: true,
    };
    let rest = |text: String| Fate {
        text,
        is_work: false,
    };
    let seen = &facts.seen;
    if let Some(manager) = seen.managed_by()
        && manager != TEKTON
        && !config.managed_by().contains(manager)
    {
        return rest(format!(
            "it is left alone: {manager} manages it, which filter.managed-by does not name"
        ));
    }
    if seen.succeeded().is_none() {
        return work("it will be signed after it has ended".to_owned());
    }
    if let Some(mark @ ("true" | "failed" | "nothing")) = seen.annotation(marks::SIGNED) {
        return marked(facts, explanation, mark);
    }
    if seen.succeeded() == Some(false) && config.rules().unsuccessful_runs == UnsuccessfulRule::Skip
    {
        return work("it did not succeed and is skipped, as the configuration says".to_owned());
    }
    if let Some(waits) = children(config, absent) {
        return work(waits);
    }
    if let Some(waits) = seen.annotation(marks::REASON).and_then(waits) {
        return work(format!("it is not signed before this is over: {waits}"));
    }
    match seen.annotation(marks::RETRIES) {
        Some(retries) => work(format!("it is tried again: {}", attempts(retries))),
        None => work("it will be signed".to_owned()),
    }
}

/// What a controller waits for that is no failure of the run, as it wrote on it.
fn waits(reason: &str) -> Option<&str> {
    reason.strip_prefix("not signed yet: ")
}

/// How many attempts failed. As in Chains it is counted from 0, and not beyond 3.
pub(crate) fn attempts(retries: &str) -> String {
    match retries.parse::<u32>() {
        Ok(0) => "an attempt failed".to_owned(),
        Ok(most @ 3..) => format!("at least {} attempts failed", most.saturating_add(1)),
        Ok(retries) => format!("{} attempts failed", retries + 1),
        Err(_) => "attempts failed".to_owned(),
    }
}

/// What a mark leads to: to nothing, if it is believed.
fn marked(facts: &Facts, explanation: &Explanation, mark: &str) -> Fate {
    let record = explanation.record.as_ref();
    if record.is_some_and(super::record::RecordSaid::is_forged) {
        return Fate {
            text: "a controller with that key does not believe the mark and signs it anew"
                .to_owned(),
            is_work: true,
        };
    }
    let done = match mark {
        "true" => "nothing, it is signed".to_owned(),
        "nothing" => "nothing, there was nothing to sign".to_owned(),
        _ => format!(
            "nothing, it was given up: tekseal-resign {} starts over",
            facts.run.reference()
        ),
    };
    let text = match record {
        Some(record) if record.is_of_other_key() => format!(
            "{done}; whether a controller believes the mark is not known, since its record is signed by another key than the one that was given"
        ),
        Some(_) => done,
        None => format!(
            "{done}; there is no record of ours, so Tekton Chains marked it, or anybody: a controller signs it anew if it ended after that controller first started"
        ),
    };
    Fate {
        text,
        is_work: false,
    }
}

fn children(config: &Config, absent: &[AbsentChild]) -> Option<String> {
    let names = |reason: Absence| -> Vec<&str> {
        let with_reason = absent.iter().filter(|child| child.reason == reason);
        with_reason.map(|child| child.name.as_str()).collect()
    };
    let waiting = names(Absence::NotCompleted);
    if !waiting.is_empty() {
        return Some(format!("it waits for children: {}", waiting.join(", ")));
    }
    let mut gone = names(Absence::NotFound);
    gone.extend(names(Absence::NotATaskRun));
    if gone.is_empty() {
        return None;
    }
    let gone = gone.join(", ");
    Some(match config.rules().missing_children {
        ChildrenRule::Fail => format!(
            "it fails, because children are missing or no TaskRuns ({gone}): tekseal.missing-children: attest would sign without them"
        ),
        ChildrenRule::Attest => format!("it will be signed without its children {gone}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_as_far_as_the_run_tells_them() {
        for (retries, told) in [
            ("0", "an attempt failed"),
            ("1", "2 attempts failed"),
            ("3", "at least 4 attempts failed"),
            ("4294967295", "at least 4294967295 attempts failed"),
            ("x", "attempts failed"),
        ] {
            assert_eq!(attempts(retries), told);
        }
    }
}
