//! The explanation for people.

use std::fmt::Write as _;

use tekseal_core::is_invisible;

use super::cluster::{Event, OnCluster};
use super::configuration::Explained;
use super::record::RecordSaid;
use super::{Entry, Explanation, Signing, payloads};

/// How many parameters are named that are no hints.
const SHOWN_WITHOUT_HINT: usize = 8;

/// The explanation as text, a line each, most important first.
pub(super) fn draw(explanation: &Explanation) -> String {
    let mut text = String::new();
    let mut line = |indent: usize, content: String| {
        // Much of it comes from a tenant: nothing may move the cursor or begin a line.
        let content: String = content
            .chars()
            .map(|c| if is_invisible(c) { ' ' } else { c })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:indent$}{content}", "");
    };
    line(
        0,
        format!(
            "{} {}: {}",
            explanation.kind,
            full_name(explanation),
            explanation.state
        ),
    );
    line(2, explanation.decision.clone());
    let unusable = explanation
        .on_cluster
        .as_ref()
        .filter(|cluster| cluster.explained != Explained::InForce);
    if let Some(cluster) = unusable {
        configuration(&mut line, cluster);
    }
    for mark in &explanation.marks {
        let said = format!("{}: {:?}", mark.annotation, mark.value);
        line(
            2,
            format!("the run says {said}, which proves nothing by itself"),
        );
    }
    if let Some(record) = &explanation.record {
        line(2, record_line(record));
    }
    if let Some(reason) = &explanation.reason {
        let what = match explanation.is_marked_signed() {
            // It is no reason against the signatures, but says what has none.
            true => "left out when it was signed",
            false => "reason on the run",
        };
        line(2, format!("{what}: {reason}"));
    }
    if let Some(cluster) = &explanation.on_cluster {
        line(2, format!("next: {}", cluster.next));
    }
    list(&mut line, "results", &explanation.results);
    parameters(&mut line, &explanation.parameters);
    if !explanation.redacted.is_empty() {
        let names = explanation.redacted.join(", ");
        line(2, format!("shown by their digest only: {names}"));
    }
    for step in &explanation.steps {
        list(
            &mut line,
            &format!("results of step {}", step.name),
            &step.results,
        );
    }
    for child in &explanation.children {
        list(
            &mut line,
            &format!("hints of child {}", child.name),
            &child.results,
        );
    }
    if !explanation.items.is_empty() {
        line(0, "what is to be signed".to_owned());
    }
    let by_default = unusable.is_some_and(|cluster| cluster.explained == Explained::Defaults);
    for item in &explanation.items {
        signing(&mut line, item, by_default);
    }
    if !explanation.left_out.is_empty() {
        line(0, "what is not".to_owned());
    }
    for left_out in &explanation.left_out {
        line(2, format!("{}: {}", left_out.what, left_out.reason));
    }
    if let Some(cluster) = &explanation.on_cluster {
        on_cluster(&mut line, cluster);
    }
    if !explanation.warnings.is_empty() {
        line(0, "warnings".to_owned());
    }
    for warning in &explanation.warnings {
        line(2, warning.clone());
    }
    text
}

fn record_line(record: &RecordSaid) -> String {
    let verdict = match (&record.reason, record.verdict) {
        (Some(reason), verdict) => format!("{verdict}: {reason}"),
        (None, "not verified") => "not verified: --key does".to_owned(),
        (None, verdict) => verdict.to_owned(),
    };
    let Some(outcome) = record.outcome else {
        return format!("record on the run: {verdict}");
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let signed_with = match record.signed_with.as_slice() {
        [] => String::new(),
        keys => format!(" signed with {}", keys.join(" and ")),
    };
    format!(
        "record on the run: {outcome:?} at {} by {}, {}{signed_with}, key {} ({verdict})",
        text(&record.at),
        text(&record.by),
        payloads(record.payloads),
        text(&record.key)
    )
}

fn on_cluster(line: &mut impl FnMut(usize, String), cluster: &OnCluster) {
    line(0, "in the cluster".to_owned());
    if cluster.explained == Explained::InForce {
        configuration(line, cluster);
    }
    line(2, format!("controller: {}", cluster.controller));
    line(2, format!("ServiceAccount {}", cluster.service_account));
    let without = match cluster.registry_secrets.as_deref() {
        None => Some(
            "not known which Secrets it has, nor whether registries are asked with credentials (see «not read»)",
        ),
        Some([]) => Some("no Secret for registries: they are asked without credentials"),
        Some(_) => None,
    };
    if let Some(without) = without {
        line(4, without.to_owned());
    }
    for secret in cluster.registry_secrets.iter().flatten() {
        let shown = match secret.repositories.as_deref() {
            None => "could not be read, so it is not known for which registries (see «not read»)"
                .to_owned(),
            Some([]) => "has nothing for these images".to_owned(),
            Some(repositories) => format!("for {}", repositories.join(", ")),
        };
        line(4, format!("Secret {}: {shown}", secret.name));
    }
    if cluster.events.is_none() {
        line(
            2,
            "Events: not known, because they could not be listed (see «not read»)".to_owned(),
        );
    }
    for event in cluster.events.iter().flatten() {
        line(2, event_line(event));
    }
    for unread in &cluster.unread {
        line(2, format!("not read: {unread}"));
    }
}

fn configuration(line: &mut impl FnMut(usize, String), cluster: &OnCluster) {
    line(2, format!("configuration: {}", cluster.configuration));
    for event in &cluster.configuration_events {
        line(4, event_line(event));
    }
}

fn event_line(event: &Event) -> String {
    let count = match event.count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    format!(
        "Event {} {}{count} by {}: {}",
        event.at.as_deref().unwrap_or("at an unknown time"),
        event.reason,
        event.by,
        event.note
    )
}

/// A local record has no namespace.
fn full_name(explanation: &Explanation) -> String {
    match explanation.namespace.as_str() {
        "" => explanation.name.clone(),
        namespace => format!("{namespace}/{}", explanation.name),
    }
}

/// A build may have dozens of parameters, and only those of git are hints.
fn parameters(line: &mut impl FnMut(usize, String), entries: &[Entry]) {
    let (hints, others): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| entry.hint.is_some());
    list(line, "parameters", hints.iter().copied());
    if others.is_empty() {
        return;
    }
    if hints.is_empty() {
        line(0, "parameters".to_owned());
    }
    let names: Vec<_> = others.iter().map(|entry| entry.name.as_str()).collect();
    let told = match names.len().checked_sub(SHOWN_WITHOUT_HINT) {
        Some(further @ 1..) => format!(
            "{} and {further} more, all with --output json",
            names[..SHOWN_WITHOUT_HINT].join(", ")
        ),
        Some(0) | None => names.join(", "),
    };
    line(2, format!("no hints: {told}"));
}

fn list<'e>(
    line: &mut impl FnMut(usize, String),
    title: &str,
    entries: impl IntoIterator<Item = &'e Entry>,
) {
    let entries: Vec<&Entry> = entries.into_iter().collect();
    if entries.is_empty() {
        return;
    }
    line(0, title.to_owned());
    let width = entries.iter().map(|e| e.name.chars().count()).max();
    let width = width.unwrap_or_default().min(40);
    for entry in entries {
        let hint = entry
            .hint
            .filter(|hint| *hint != entry.name && entry.outcome == "used");
        let hint = hint.map_or_else(String::new, |hint| format!(" as {hint}"));
        let reason = entry.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        line(
            2,
            format!("{:width$}  {}{hint}{reason}", entry.name, entry.outcome),
        );
    }
}

/// `by_default`: the configuration is not known, or not in force, so that keys and places are those of Chains' defaults.
fn signing(line: &mut impl FnMut(usize, String), item: &Signing, by_default: bool) {
    let whose = match by_default {
        true => "by Chains' defaults ",
        false => "",
    };
    let predicate = item.predicate_type.as_ref();
    let predicate = predicate.map_or_else(String::new, |p| format!(" ({p})"));
    line(2, format!("{} as {}{predicate}", item.what, item.format));
    if let Some(problem) = &item.problem {
        line(4, format!("cannot be made: {problem}"));
        return;
    }
    for subject in &item.subjects {
        line(4, format!("subject {subject}"));
    }
    line(4, format!("{whose}key {}", item.key));
    for place in &item.places {
        line(4, format!("{whose}place {place}"));
    }
}
