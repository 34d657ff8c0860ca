//! The order of a Pipeline's tasks: after which others each comes, as provenance v0.2 states it.

use std::collections::HashSet;

use crate::run::PipelineTask;
use crate::typed::{Object, Value};

/// The tasks that `task` names in `runAfter`, then those whose results it refers to, in the order in which Tekton looks for them. Where
/// a parameter is a map, Tekton's order is random; ours is that of its keys.
pub(super) fn after<'r>(task: &PipelineTask<'r, '_>) -> Vec<&'r str> {
    let names: Vec<&str> = task
        .object
        .list("runAfter")
        .iter()
        .map(Value::text)
        .collect();
    let mut found = After {
        known: names.iter().copied().collect(),
        names,
    };
    found.params(task.object);
    if let Some(matrix) = task.object.object("matrix") {
        found.params(matrix);
        for include in matrix.objects("include") {
            found.params(include);
        }
    }
    for when in task.object.objects("when") {
        found.text(when.text("input"));
        found.text(when.text("cel"));
        found.texts(when.list("values"));
    }
    if let Some(spec) = task.object.object("taskSpec") {
        for container in spec.objects("steps").chain(spec.objects("sidecars")) {
            found.container(container);
        }
    }
    found.names
}

struct After<'r> {
    names: Vec<&'r str>,
    /// The same, to find them.
    known: HashSet<&'r str>,
}

impl<'r> After<'r> {
    fn params(&mut self, owner: &'r Object<'_>) {
        for param in owner.objects("params") {
            for text in param
                .param("value")
                .into_iter()
                .flat_map(|value| value.texts())
            {
                self.text(text);
            }
        }
    }

    fn container(&mut self, container: &'r Object<'_>) {
        for name in ["name", "image", "imagePullPolicy", "script", "workingDir"] {
            self.text(container.text(name));
        }
        self.texts(container.list("command"));
        self.texts(container.list("args"));
        for variable in container.objects("env") {
            self.text(variable.text("value"));
            let Some(source) = variable.object("valueFrom") else {
                continue;
            };
            for name in ["secretKeyRef", "configMapKeyRef"] {
                if let Some(reference) = source.object(name) {
                    self.text(reference.text("key"));
                    self.text(reference.text("name"));
                }
            }
        }
    }

    fn texts(&mut self, list: &'r [Value<'_>]) {
        for value in list {
            self.text(value.text());
        }
    }

    /// Every `$(tasks.NAME.results.…)` and `$(finally.NAME.results.…)` in a text.
    fn text(&mut self, text: &'r str) {
        let mut rest = text;
        while let Some(at) = rest.find("$(") {
            rest = &rest[at + 2..];
            let Some(name) = expression(rest).and_then(task_of_result) else {
                continue;
            };
            if self.known.insert(name) {
                self.names.push(name);
            }
        }
    }
}

/// The expression that ends with the next `)`, if nothing else stands before that.
fn expression(text: &str) -> Option<&str> {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let length = text.bytes().take_while(|b| is_name(b)).count();
    let (name, rest) = text.split_at(length);
    if name.is_empty() {
        return None;
    }
    if rest.starts_with(')') {
        return Some(name);
    }
    // Only digits are looked through, so that a text of brackets that never close takes no longer than another.
    let index = rest.strip_prefix('[')?;
    let digits = index.bytes().take_while(u8::is_ascii_digit).count();
    let length = if index.starts_with('*') { 1 } else { digits };
    let rest = index[length..].strip_prefix(']').filter(|_| length > 0)?;
    rest.starts_with(')')
        .then_some(&text[..text.len() - rest.len()])
}

/// The task in `tasks.NAME.results.RESULT` or `tasks.NAME.results.RESULT.KEY`.
fn task_of_result(expression: &str) -> Option<&str> {
    let mut parts = expression.split('.');
    let (scope, name, results) = (parts.next()?, parts.next()?, parts.next()?);
    let is_result = matches!(scope, "tasks" | "finally") && results == "results";
    (is_result && (1..=2).contains(&parts.count())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_to_results_count() {
        let found = |text: &str| expression(text).and_then(task_of_result).map(str::to_owned);
        assert_eq!(found("tasks.a.results.b)").as_deref(), Some("a"));
        assert_eq!(found("tasks.a.results.b.key)").as_deref(), Some("a"));
        assert_eq!(found("finally.a.results.b[*])").as_deref(), Some("a"));
        assert_eq!(found("tasks.a.results.b[12]) x").as_deref(), Some("a"));
        for other in [
            "tasks.a.results.b",
            "tasks.a.results.b[x])",
            "tasks.a.results.b.c.d)",
            "tasks.a.status)",
            "steps.a.results.b)",
            "tasks.a.results.b[1]",
            ")",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
