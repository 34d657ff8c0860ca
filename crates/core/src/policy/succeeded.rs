//! Whether provenance shows that the run which it is of succeeded.
//!
//! | | where | |
//! |---|---|---|
//! | v0.2 of a PipelineRun | `buildConfig.tasks[].status` | `Succeeded`, `Failed`, `Running` |
//! | v0.2 of a TaskRun | | does not say |
//! | v1, build type `slsa-tekton`, of a PipelineRun | the TaskRuns in `resolvedDependencies[].content` | their condition `Succeeded` |
//! | v1, build type `slsa`, or of a TaskRun | | does not say |
//!
//! What does not say it does not show it. Chains signs failed runs too, so this is no formality.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::judge::{Finding, nothing, shown};
use crate::provenance::{Provenance, Version};
use crate::statement::Statement;
use crate::strict_json::{self, Step};

/// The build type of v1 whose provenance has the TaskRuns.
pub(super) const TELLING_BUILD_TYPE: &str = "https://tekton.dev/chains/v2/slsa-tekton";
/// How Chains names a TaskRun of a PipelineRun.
const PIPELINE_TASK: &str = "pipelineTask";
const SUCCEEDED: &str = "Succeeded";
const TASKS: &str = "predicate.buildConfig.tasks";
const DEPENDENCIES: &str = "predicate.buildDefinition.resolvedDependencies";

/// What is shown of how the run ended.
pub(super) fn of(statement: &Statement, provenance: &Provenance) -> Finding {
    match provenance.version {
        Version::V02 => of_tasks(statement),
        Version::V1 => of_contents(provenance),
    }
}

fn of_tasks(statement: &Statement) -> Finding {
    let predicate = statement.predicate().and_then(object::<Predicate<'_>>);
    let config = predicate.and_then(|predicate| predicate.build_config);
    let config = config.and_then(object::<BuildConfig<'_>>);
    let tasks = match config.and_then(|config| config.tasks) {
        Some(raw) => serde_json::from_str(raw.get()).unwrap_or_default(),
        None => Tasks::default(),
    };
    if let Some((at, status)) = tasks.first_bad {
        return failed(status, &format!("{TASKS}[{at}].status"));
    }
    match tasks.count {
        0 => failed("no task whose status is told".to_owned(), TASKS),
        count => passed(count, &format!("{TASKS}[*].status")),
    }
}

/// What is said of an object; nothing where something else stands, such as a list, whose items would be taken for members.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    let is_object = raw.get().starts_with('{');
    is_object
        .then(|| serde_json::from_str(raw.get()).ok())
        .flatten()
}

fn of_contents(provenance: &Provenance) -> Finding {
    let mut count = 0;
    let named = provenance.dependencies.iter().enumerate();
    let runs = named.filter(|(_, dependency)| dependency.name == PIPELINE_TASK);
    if provenance.build_type.as_deref() != Some(TELLING_BUILD_TYPE) {
        let found = "a build type that does not tell";
        return failed(found.to_owned(), "predicate.buildDefinition.buildType");
    }
    for (at, dependency) in runs {
        let path = format!("{DEPENDENCIES}[{at}].content");
        let content = STANDARD.decode(&dependency.content).ok();
        let text = content.and_then(|bytes| String::from_utf8(bytes).ok());
        match text.as_deref().and_then(condition) {
            Some(status) if status == "True" => count += 1,
            Some(status) => return failed(format!("Succeeded={}", shown(&status)), &path),
            None => return failed("no TaskRun that says how it ended".to_owned(), &path),
        }
    }
    match count {
        0 => failed("no task whose status is told".to_owned(), DEPENDENCIES),
        count => passed(count, &format!("{DEPENDENCIES}[*].content")),
    }
}

/// The status of the condition `Succeeded` of a TaskRun; nothing where it has none, or several.
fn condition(text: &str) -> Option<String> {
    strict_json::check(text, names_of_run).ok()?;
    let run: Run = serde_json::from_str(text).ok()?;
    let conditions = run.status.conditions.into_iter();
    let mut ends = conditions.filter(|condition| condition.kind == SUCCEEDED);
    let status = ends.next()?.status;
    ends.next().is_none().then_some(status)
}

/// The objects on the way to the condition, where neither a list nor a look-alike may stand.
fn names_of_run(place: &[Step]) -> &'static [&'static str] {
    match place {
        [] => &["status"],
        [Step::Member(status)] if status == "status" => &["conditions"],
        [
            Step::Member(status),
            Step::Member(conditions),
            Step::Item(_),
        ] if status == "status" && conditions == "conditions" => &["type", "status"],
        _ => &[],
    }
}

fn passed(count: usize, path: &str) -> Finding {
    Finding {
        passed: true,
        found: format!("{count} of {count} tasks"),
        path: path.to_owned(),
    }
}

fn failed(found: String, path: &str) -> Finding {
    Finding {
        passed: false,
        found,
        path: path.to_owned(),
    }
}

#[derive(Deserialize)]
struct Predicate<'a> {
    #[serde(borrow, default, rename = "buildConfig")]
    build_config: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BuildConfig<'a> {
    #[serde(borrow, default)]
    tasks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Run {
    status: RunStatus,
}

#[derive(Deserialize)]
struct RunStatus {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// How many tasks there are, and the first that did not succeed: a list may have millions, and none of them is kept.
#[derive(Default)]
struct Tasks {
    count: usize,
    first_bad: Option<(usize, String)>,
}

#[derive(Deserialize)]
struct Task {
    #[serde(default)]
    status: Option<String>,
}

impl<'de> Deserialize<'de> for Tasks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TasksVisitor)
    }
}

struct TasksVisitor;

impl<'de> Visitor<'de> for TasksVisitor {
    type Value = Tasks;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of tasks")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tasks, A::Error> {
        let mut tasks = Tasks::default();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            if tasks.first_bad.is_none() {
                let status = object::<Task>(raw).and_then(|task| task.status);
                let status = status.unwrap_or_default();
                if status != SUCCEEDED {
                    let told = match status.is_empty() {
                        true => nothing(),
                        false => shown(&status),
                    };
                    tasks.first_bad = Some((tasks.count, told));
                }
            }
            tasks.count += 1;
        }
        Ok(tasks)
    }
}
