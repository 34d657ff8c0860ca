//! The TaskRuns that one task of a Pipeline made, as the status of the PipelineRun has them.
//!
//! `status.childReferences` is written by Tekton's controller alone, unless somebody was given the right to write the status of runs.
//! The label `tekton.dev/pipelineTask` on a TaskRun says the same, but whoever may change runs may change that.

use std::collections::HashSet;
use std::fmt;

use super::Run;

/// A task of a PipelineRun that has no TaskRuns, or none that could be meant.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("task {task} of PipelineRun {run} {lack}{}", there_are(tasks))]
pub struct NoTaskRuns {
    /// Namespace and name of the PipelineRun.
    pub run: String,
    /// The task that was asked for.
    pub task: String,
    /// Why it has none.
    pub lack: Lack,
    /// The tasks that there are.
    pub tasks: Vec<String>,
}

/// Why a task has no TaskRuns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The Pipeline has no such task.
    Unknown,
    /// It has not begun.
    NotYet,
    /// Tekton skipped it, for this reason.
    Skipped(String),
    /// The PipelineRun has ended without it.
    NeverRan,
    /// It is run by something else.
    OtherKind {
        /// The kind of that.
        kind: String,
        /// Its name.
        name: String,
    },
}

impl Run<'_> {
    /// Names of the TaskRuns that this task of the Pipeline made, each once, in the order of the status: several where it has a `matrix`,
    /// which are made all at once; a retry is the same TaskRun.
    ///
    /// # Errors
    /// Why there are none.
    pub fn task_runs_of(&self, task: &str) -> Result<Vec<&str>, NoTaskRuns> {
        let lacks = |lack: Lack| NoTaskRuns {
            run: self.full_name(),
            task: task.to_owned(),
            lack,
            tasks: self.task_names(),
        };
        let mut known = HashSet::new();
        let mut names = Vec::new();
        for child in self.status_objects("childReferences") {
            if child.text("pipelineTaskName") != task {
                continue;
            }
            let (kind, name) = (child.text("kind"), child.text("name"));
            if !matches!(kind, "" | "TaskRun") {
                return Err(lacks(Lack::OtherKind {
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                }));
            }
            if known.insert(name) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            return Ok(names);
        }
        let mut skipped = self.status_objects("skippedTasks");
        if let Some(skipped) = skipped.find(|skipped| skipped.text("name") == task) {
            return Err(lacks(Lack::Skipped(skipped.text("reason").to_owned())));
        }
        let mut tasks = self.pipeline_tasks().map(|task| task.name()).peekable();
        // Which tasks there are is not known before the Pipeline was found.
        if tasks.peek().is_some() && tasks.all(|name| name != task) {
            return Err(lacks(Lack::Unknown));
        }
        Err(lacks(match self.succeeded_status() {
            "True" | "False" => Lack::NeverRan,
            _ => Lack::NotYet,
        }))
    }

    /// The tasks of the Pipeline, as far as they are known, and those of children that belong to none of these.
    fn task_names(&self) -> Vec<String> {
        let children = self.status_objects("childReferences");
        let mut known = HashSet::new();
        self.pipeline_tasks()
            .map(|task| task.name())
            .chain(children.map(|child| child.text("pipelineTaskName")))
            .filter(|name| !name.is_empty() && known.insert(*name))
            .map(str::to_owned)
            .collect()
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("does not exist"),
            Self::NotYet => f.write_str("has no TaskRun yet"),
            Self::Skipped(reason) if reason.is_empty() => f.write_str("was skipped"),
            Self::Skipped(reason) => write!(f, "was skipped: {reason}"),
            Self::NeverRan => f.write_str("never ran, and the PipelineRun has ended"),
            Self::OtherKind { kind, name } => {
                write!(f, "is run by the {kind} {name}, which is no TaskRun")
            }
        }
    }
}

fn there_are(tasks: &[String]) -> String {
    const MOST: usize = 20;
    if tasks.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = tasks.iter().take(MOST).map(String::as_str).collect();
    let more = match tasks.len().saturating_sub(MOST) {
        0 => String::new(),
        left => format!(" and {left} more"),
    };
    format!("; there are the tasks {}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline_run(status: &str) -> String {
        format!(
            r#"{{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{{"name":"p","namespace":"n"}},"status":{{{status}}}}}"#
        )
    }

    /// The names, or what is said of their absence.
    #[track_caller]
    fn of(status: &str, task: &str) -> Result<Vec<String>, String> {
        let document = pipeline_run(status);
        let run = Run::from_json(document.as_bytes()).expect("a PipelineRun");
        run.task_runs_of(task)
            .map(|names| names.into_iter().map(str::to_owned).collect())
            .map_err(|error| error.to_string())
    }

    const SPEC: &str = r#""pipelineSpec":{"tasks":[{"name":"clone"},{"name":"build"}],"finally":[{"name":"tell"}]}"#;

    #[test]
    fn the_taskruns_of_a_task_are_those_that_the_status_names_for_it() {
        let status = r#""childReferences":[
            {"kind":"TaskRun","name":"p-build-0","pipelineTaskName":"build"},
            {"kind":"TaskRun","name":"p-clone","pipelineTaskName":"clone"},
            {"kind":"CustomRun","name":"p-ask","pipelineTaskName":"ask"},
            {"name":"p-build-1","pipelineTaskName":"build"},
            {"kind":"TaskRun","name":"p-build-0","pipelineTaskName":"build"},
            {"kind":"TaskRun","name":"p-nobody"}]"#;
        let names = of(status, "build").expect("there are some");
        assert_eq!(names, ["p-build-0", "p-build-1"]);
        assert_eq!(of(status, "clone").expect("there is one"), ["p-clone"]);
        assert_eq!(
            of(status, "ask"),
            Err("task ask of PipelineRun n/p is run by the CustomRun p-ask, which is no TaskRun; there are the tasks build, clone, ask".to_owned())
        );
    }

    #[test]
    fn a_task_without_taskruns_is_told_apart_from_one_that_does_not_exist() {
        let there = "; there are the tasks clone, build, tell";
        let running = r#""conditions":[{"type":"Succeeded","status":"Unknown"}]"#;
        let ended = r#""conditions":[{"type":"Succeeded","status":"False"}]"#;
        let skipped = r#""skippedTasks":[{"name":"build","reason":"When Expressions evaluated to false","whenExpressions":[]}]"#;
        for (status, task, said) in [
            (
                format!("{SPEC},{running}"),
                "buidl",
                format!("does not exist{there}"),
            ),
            (
                format!("{SPEC},{ended}"),
                "buidl",
                format!("does not exist{there}"),
            ),
            (
                format!("{SPEC},{running}"),
                "build",
                format!("has no TaskRun yet{there}"),
            ),
            (
                format!("{SPEC},{running}"),
                "tell",
                format!("has no TaskRun yet{there}"),
            ),
            (
                format!("{SPEC},{ended}"),
                "build",
                format!("never ran, and the PipelineRun has ended{there}"),
            ),
            (
                format!("{SPEC},{running},{skipped}"),
                "build",
                format!("was skipped: When Expressions evaluated to false{there}"),
            ),
            // The Pipeline is not found yet, or never was.
            (running.to_owned(), "build", "has no TaskRun yet".to_owned()),
            (String::new(), "build", "has no TaskRun yet".to_owned()),
            (
                ended.to_owned(),
                "build",
                "never ran, and the PipelineRun has ended".to_owned(),
            ),
        ] {
            let wanted = format!("task {task} of PipelineRun n/p {said}");
            assert_eq!(of(&status, task), Err(wanted), "{status}");
        }
    }

    #[test]
    fn many_tasks_are_counted_and_not_all_named() {
        let tasks: Vec<String> = (0..23).map(|at| format!(r#"{{"name":"t{at}"}}"#)).collect();
        let said = of(
            &format!(r#""pipelineSpec":{{"tasks":[{}]}}"#, tasks.join(",")),
            "x",
        )
        .expect_err("there is none");
        assert!(said.ends_with("t18, t19 and 3 more"), "{said}");
    }
}
