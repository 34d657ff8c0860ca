//! The explanation for people.

use std::fmt::Write as _;

use super::{Entry, Explanation, Signing};
use crate::exit::is_invisible;

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
            "{} {}/{}: {}",
            explanation.kind, explanation.namespace, explanation.name, explanation.state
        ),
    );
    line(2, explanation.decision.clone());
    for mark in &explanation.marks {
        let said = format!("{}: {:?}", mark.annotation, mark.value);
        line(
            2,
            format!("the run says {said}, which proves nothing by itself"),
        );
    }
    list(&mut line, "results", &explanation.results);
    list(&mut line, "parameters", &explanation.parameters);
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
    for item in &explanation.items {
        signing(&mut line, item);
    }
    if !explanation.left_out.is_empty() {
        line(0, "what is not".to_owned());
    }
    for left_out in &explanation.left_out {
        line(2, format!("{}: {}", left_out.what, left_out.reason));
    }
    if !explanation.warnings.is_empty() {
        line(0, "warnings".to_owned());
    }
    for warning in &explanation.warnings {
        line(2, warning.clone());
    }
    text
}

fn list(line: &mut impl FnMut(usize, String), title: &str, entries: &[Entry]) {
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

fn signing(line: &mut impl FnMut(usize, String), item: &Signing) {
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
    line(4, format!("key {}", item.key));
    for place in &item.places {
        line(4, format!("stored: {place}"));
    }
}
