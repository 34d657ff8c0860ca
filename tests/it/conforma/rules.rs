//! The fields of Tekton's provenance that Conforma (Enterprise Contract) reads: its schemas, and its collections `slsa3` and `minimal`, as they are in
//! the sources of <https://github.com/conforma/policy>. Its programs are not run here: this is the table of what they read, one rule a field.

use serde_json::Value;

use self::Of::{Every, PipelineRuns, WholeRuns};
use self::Spoil::{With, Without};
use super::statement::Version::{V1, V02};
use super::statement::{self, Task, Version, get, text};

/// Which statements a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The schemas.
    Every,
    /// The collections, which read PipelineRuns alone.
    PipelineRuns,
    /// The same, of PipelineRuns that do what the rule is about: it is for their authors, and no format can make up for it.
    WholeRuns,
}

/// A field, and what it must be.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) version: Version,
    pub(super) of: Of,
    /// What is wrong.
    pub(super) check: fn(&Value) -> Result<(), String>,
    /// Ways to take the field away or to spoil it, each of which is refused.
    pub(super) spoils: &'static [Spoil],
}

/// What becomes of a place in a statement; `*` stands for each element of a list.
pub(super) enum Spoil {
    /// It is not there any more.
    Without(&'static str),
    /// It has this JSON.
    With(&'static str, &'static str),
}

const BUILDER: &str = "https://tekton.dev/chains/v2";
const OF_PIPELINERUNS: [&str; 3] = [
    "tekton.dev/v1/PipelineRun",
    "tekton.dev/v1beta1/PipelineRun",
    "https://tekton.dev/attestations/chains/pipelinerun@v2",
];
const BUILD_TYPES: [&str; 2] = [
    "https://tekton.dev/chains/v2/slsa",
    "https://tekton.dev/chains/v2/slsa-tekton",
];

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // The schema of v0.2.
    rule("statement type", V02, Every, |s| one_of(s, "/_type", &["https://in-toto.io/Statement/v0.1"]),
        &[Without("/_type"), With("/_type", r#""https://in-toto.io/Statement/v1""#)]),
    rule("subject", V02, Every, |s| subjects(s, &[]), SUBJECTS),
    rule("builder id", V02, Every, |s| uri(s, "/predicate/builder/id"),
        &[Without("/predicate/builder"), Without("/predicate/builder/id"), With("/predicate/builder/id", r#""""#), With("/predicate/builder/id", r#""chains""#)]),
    rule("build type", V02, Every, |s| text(s, "/predicate/buildType").map(drop), &[Without("/predicate/buildType")]),
    rule("times", V02, Every, |s| times(s, "/predicate/metadata", &["buildStartedOn", "buildFinishedOn"]),
        &[With("/predicate/metadata/buildFinishedOn", r#""2026-03-01T10:00:00+01:00""#), With("/predicate/metadata/buildStartedOn", "17")]),
    rule("entry point", V02, Every, |s| optional(s, "/predicate/invocation/configSource/entryPoint", |text| text.as_str().is_some_and(|text| !text.is_empty())),
        &[With("/predicate/invocation/configSource/entryPoint", r#""""#)]),
    rule("build configuration", V02, Every, |s| optional(s, "/predicate/buildConfig", Value::is_object),
        &[With("/predicate/buildConfig", "null"), With("/predicate/buildConfig", "[]")]),
    rule("materials", V02, Every, |s| optional(s, "/predicate/materials", Value::is_array),
        &[With("/predicate/materials", "null"), With("/predicate/materials", "{}")]),
    // The schema of v1.
    rule("statement type", V1, Every, |s| one_of(s, "/_type", &["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"]),
        &[Without("/_type")]),
    rule("subject", V1, Every, |s| subjects(s, &["gitCommit"]), SUBJECTS),
    rule("builder id", V1, Every, |s| text(s, "/predicate/runDetails/builder/id").map(drop),
        &[Without("/predicate/runDetails"), Without("/predicate/runDetails/builder"), Without("/predicate/runDetails/builder/id")]),
    rule("build type", V1, Every, |s| text(s, "/predicate/buildDefinition/buildType").map(drop), &[Without("/predicate/buildDefinition/buildType")]),
    rule("external parameters", V1, Every, |s| want(get(s, "/predicate/buildDefinition/externalParameters").is_object(), "there are no externalParameters"),
        &[Without("/predicate/buildDefinition/externalParameters")]),
    rule("invocation id", V1, Every, |s| text(s, "/predicate/runDetails/metadata/invocationId").map(drop),
        &[Without("/predicate/runDetails/metadata/invocationId"), With("/predicate/runDetails/metadata/invocationId", r#""""#)]),
    rule("times", V1, Every, |s| times(s, "/predicate/runDetails/metadata", &["startedOn", "finishedOn"]),
        &[With("/predicate/runDetails/metadata/finishedOn", r#""2026-03-01T10:00:00+01:00""#)]),
    // The collections, of v0.2.
    rule("is a PipelineRun", V02, PipelineRuns, |s| one_of(s, "/predicate/buildType", &OF_PIPELINERUNS), &[With("/predicate/buildType", r#""tekton.dev/v1/TaskRun""#)]),
    rule("end", V02, PipelineRuns, |s| text(s, "/predicate/metadata/buildFinishedOn").map(drop), &[Without("/predicate/metadata/buildFinishedOn")]),
    rule("builder", V02, PipelineRuns, |s| one_of(s, "/predicate/builder/id", &[BUILDER]), &[With("/predicate/builder/id", r#""urn:tekseal:step:v1""#)]),
    rule("tasks", V02, PipelineRuns, |s| has_tasks(&tasks(s, V02)),
        &[Without("/predicate/buildConfig/tasks"), With("/predicate/buildConfig/tasks", "[]"), With("/predicate/buildConfig/tasks/*/ref/kind", r#""CustomRun""#)]),
    rule("task names", V02, WholeRuns, |s| named(&tasks(s, V02)),
        &[With("/predicate/buildConfig/tasks/*/invocation/environment/labels", "{}")]),
    rule("tasks succeeded", V02, WholeRuns, |s| succeeded(&tasks(s, V02)),
        &[Without("/predicate/buildConfig/tasks/1/status"), With("/predicate/buildConfig/tasks/1/status", r#""Failed""#)]),
    rule("build task", V02, PipelineRuns, |s| built(&tasks(s, V02)), &[Without("/predicate/buildConfig/tasks/*/results")]),
    rule("image of a task", V02, PipelineRuns, |s| of_tasks(s, &tasks(s, V02)),
        &[With("/subject/0/name", r#""registry.example.com/other""#), Without("/predicate/buildConfig/tasks/1/results")]),
    rule("scripted build", V02, PipelineRuns, |s| scripted(&tasks(s, V02)),
        &[Without("/predicate/buildConfig/tasks/1/steps"), With("/predicate/buildConfig/tasks/1/steps", "[]")]),
    rule("step images", V02, PipelineRuns, |s| step_images(&tasks(s, V02)), &[Without("/predicate/buildConfig/tasks/1/steps/0/environment/image")]),
    rule("task parameters", V02, WholeRuns, |s| parameters(&tasks(s, V02)), &[Without("/predicate/buildConfig/tasks/1/invocation/parameters")]),
    rule("git source", V02, WholeRuns, |s| git_source(s, V02),
        &[Without("/predicate/buildConfig/tasks/0/results"), With("/predicate/materials", "[]")]),
    rule("source", V02, WholeRuns, |s| source(s, V02), &[With("/predicate/materials", "[]"), Without("/predicate/materials/*/digest")]),
    rule("pinned tasks", V02, WholeRuns, |s| pinned(&tasks(s, V02)), &[Without("/predicate/buildConfig/tasks/1/ref")]),
    // The collections, of v1.
    rule("is a PipelineRun", V1, PipelineRuns, is_pipelinerun,
        &[Without("/predicate/buildDefinition/externalParameters/runSpec/pipelineRef"), With("/predicate/buildDefinition/buildType", r#""https://example.com""#)]),
    rule("end", V1, PipelineRuns, finished, &[Without("/predicate/runDetails/metadata/finishedOn")]),
    rule("builder", V1, PipelineRuns, |s| one_of(s, "/predicate/runDetails/builder/id", &[BUILDER]), &[With("/predicate/runDetails/builder/id", r#""urn:tekseal:step:v1""#)]),
    rule("tasks", V1, PipelineRuns, |s| has_tasks(&tasks(s, V1)),
        &[Without("/predicate/buildDefinition/resolvedDependencies/*/content"), Without("/predicate/buildDefinition/resolvedDependencies/*/content/status/results")]),
    rule("task names", V1, WholeRuns, |s| named(&tasks(s, V1)), &[Without("/predicate/buildDefinition/resolvedDependencies/*/content/metadata/labels/tekton.dev~1task")]),
    rule("tasks succeeded", V1, WholeRuns, |s| succeeded(&tasks(s, V1)),
        &[Without("/predicate/buildDefinition/resolvedDependencies/*/content/status/conditions"), With("/predicate/buildDefinition/resolvedDependencies/*/content/status/conditions/*/status", r#""False""#)]),
    rule("build task", V1, PipelineRuns, |s| built(&tasks(s, V1)), &[With("/predicate/buildDefinition/resolvedDependencies/*/content/status/results", "[]")]),
    rule("image of a task", V1, PipelineRuns, |s| of_tasks(s, &tasks(s, V1)),
        &[With("/subject/0/name", r#""registry.example.com/other""#), With("/predicate/buildDefinition/resolvedDependencies/*/content/status/results", "[]")]),
    rule("scripted build", V1, PipelineRuns, |s| scripted(&tasks(s, V1)), &[Without("/predicate/buildDefinition/resolvedDependencies/*/content/steps")]),
    rule("step images", V1, PipelineRuns, |s| step_images(&tasks(s, V1)), &[Without("/predicate/buildDefinition/resolvedDependencies/*/content/status/steps/*/imageID")]),
    rule("task parameters", V1, WholeRuns, |s| parameters(&tasks(s, V1)), &[Without("/predicate/buildDefinition/resolvedDependencies/*/content/spec/params")]),
    rule("git source", V1, WholeRuns, |s| git_source(s, V1),
        &[With("/predicate/buildDefinition/resolvedDependencies/*/content/status/results", "[]"), Without("/predicate/buildDefinition/resolvedDependencies/*/digest")]),
    rule("source", V1, WholeRuns, |s| source(s, V1), &[Without("/predicate/buildDefinition/resolvedDependencies"), Without("/predicate/buildDefinition/resolvedDependencies/*/digest")]),
    rule("pinned tasks", V1, WholeRuns, |s| pinned(&tasks(s, V1)), &[Without("/predicate/buildDefinition/resolvedDependencies/*/content/spec/taskRef")]),
    rule("run parameters", V1, WholeRuns, |s| want(get(s, "/predicate/buildDefinition/externalParameters/runSpec/params").is_array(), "the runSpec has no params"),
        &[Without("/predicate/buildDefinition/externalParameters/runSpec/params")]),
    rule("shared volumes", V1, WholeRuns, |s| want(get(s, "/predicate/buildDefinition/externalParameters/runSpec/workspaces/0/persistentVolumeClaim").is_object(), "the runSpec shows no volume"),
        &[Without("/predicate/buildDefinition/externalParameters/runSpec/workspaces"), Without("/predicate/buildDefinition/externalParameters/runSpec/workspaces/*/persistentVolumeClaim")]),
];

const SUBJECTS: &[Spoil] = &[
    Without("/subject"),
    With("/subject", "[]"),
    With("/subject/0/name", r#""""#),
    Without("/subject/0/name"),
    Without("/subject/0/digest"),
    With("/subject/0/digest", "{}"),
    With("/subject/0/digest", r#"{"crc32":"00"}"#),
    With("/subject/0/digest/sha256", r#""ABCD""#),
];

const fn rule(
    name: &'static str,
    version: Version,
    of: Of,
    check: fn(&Value) -> Result<(), String>,
    spoils: &'static [Spoil],
) -> Rule {
    Rule {
        name,
        version,
        of,
        check,
        spoils,
    }
}

impl Rule {
    /// Whether it is asked of a statement of this version that is one `of` these.
    pub(super) fn is_for(&self, version: Version, of: Of) -> bool {
        let is_one = match of {
            Every => self.of == Every,
            PipelineRuns => self.of != WholeRuns,
            WholeRuns => true,
        };
        self.version == version && is_one
    }
}

impl Spoil {
    /// Changes the statement.
    ///
    /// # Panics
    ///
    /// If there is nothing to change: the negative case would then prove nothing.
    pub(super) fn apply(&self, value: &mut Value) {
        let (path, put) = match self {
            Without(path) => (path, None),
            With(path, json) => {
                let json = serde_json::from_str::<Value>(json).expect("the table has JSON");
                (path, Some(json))
            }
        };
        let changed = statement::change(value, path, put.as_ref());
        assert!(changed > 0, "{path} is not in the statement");
    }
}

fn tasks(statement: &Value, version: Version) -> Vec<Task<'_>> {
    Task::all(statement, version)
}

fn want(is_so: bool, otherwise: &str) -> Result<(), String> {
    match is_so {
        true => Ok(()),
        false => Err(otherwise.to_owned()),
    }
}

fn one_of(statement: &Value, path: &str, allowed: &[&str]) -> Result<(), String> {
    let found = text(statement, path)?;
    want(
        allowed.contains(&found),
        &format!("{path} is {found}, wanted {allowed:?}"),
    )
}

fn uri(statement: &Value, path: &str) -> Result<(), String> {
    let found = text(statement, path)?;
    let scheme = found.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    want(
        is_scheme && !scheme.is_empty(),
        &format!("{path} is {found}, which is no URI"),
    )
}

fn optional(statement: &Value, path: &str, is_good: fn(&Value) -> bool) -> Result<(), String> {
    match statement.pointer(path) {
        None => Ok(()),
        Some(found) => want(is_good(found), &format!("{path} is {found}")),
    }
}

fn times(statement: &Value, folder: &str, names: &[&str]) -> Result<(), String> {
    let times = names.iter().filter_map(|name| {
        let path = format!("{folder}/{name}");
        statement.pointer(&path).map(|time| (path, time))
    });
    for (path, time) in times {
        let is_utc = time.as_str().is_some_and(|time| time.ends_with('Z'));
        want(is_utc, &format!("{path} is {time}, not in UTC"))?;
    }
    Ok(())
}

fn subjects(statement: &Value, further: &[&str]) -> Result<(), String> {
    const FAMILIES: [&str; 6] = ["sha", "blake2", "ripemd160", "sm3", "gost", "md5"];
    let subjects = get(statement, "/subject").as_array();
    let subjects = subjects.map_or(&[][..], Vec::as_slice);
    want(!subjects.is_empty(), "there is no subject")?;
    for subject in subjects {
        text(subject, "/name")?;
        let digests = get(subject, "/digest").as_object();
        let digests = digests.filter(|digests| !digests.is_empty());
        for (algorithm, hex) in digests.ok_or("a subject has no digest")? {
            let is_known = FAMILIES.iter().any(|family| algorithm.starts_with(family))
                || further.contains(&algorithm.as_str());
            want(is_known, &format!("digest by {algorithm:?}"))?;
            let hex = hex.as_str().unwrap_or_default();
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            want(
                !hex.is_empty() && hex.bytes().all(is_hex),
                &format!("digest {hex:?}"),
            )?;
        }
    }
    Ok(())
}

fn is_pipelinerun(statement: &Value) -> Result<(), String> {
    one_of(
        statement,
        "/predicate/buildDefinition/buildType",
        &BUILD_TYPES,
    )?;
    want(
        statement::is_pipelinerun(statement, V1),
        "the runSpec has neither pipelineRef nor pipelineSpec",
    )
}

fn finished(statement: &Value) -> Result<(), String> {
    let metadata = get(statement, "/predicate/runDetails/metadata");
    text(metadata, "/buildFinishedOn")
        .or_else(|_| text(metadata, "/finishedOn"))
        .map(drop)
}

fn has_tasks(tasks: &[Task<'_>]) -> Result<(), String> {
    want(!tasks.is_empty(), "there are no tasks that count")
}

fn named(tasks: &[Task<'_>]) -> Result<(), String> {
    want(
        tasks.iter().all(|task| task.name.is_some()),
        "a task has no name",
    )
}

fn succeeded(tasks: &[Task<'_>]) -> Result<(), String> {
    want(
        tasks.iter().all(|task| task.succeeded),
        "a task did not succeed, or does not say so",
    )
}

fn built(tasks: &[Task<'_>]) -> Result<(), String> {
    want(
        tasks.iter().any(Task::is_build),
        "no task names an image in its results",
    )
}

fn of_tasks(statement: &Value, tasks: &[Task<'_>]) -> Result<(), String> {
    built(tasks)?;
    let made: Vec<_> = tasks.iter().flat_map(Task::images).collect();
    let subjects = get(statement, "/subject").as_array();
    for subject in subjects.into_iter().flatten() {
        let name = text(subject, "/name")?;
        let digests = get(subject, "/digest").as_object();
        let mut digests = digests.into_iter().flatten();
        let is_made = digests.any(|(algorithm, hex)| {
            let digest = format!("{algorithm}:{}", hex.as_str().unwrap_or_default());
            made.contains(&(name.to_owned(), digest))
        });
        want(is_made, &format!("no task made {name}"))?;
    }
    Ok(())
}

fn scripted(tasks: &[Task<'_>]) -> Result<(), String> {
    let mut builds = tasks.iter().filter(|task| task.is_build());
    want(
        builds.all(|task| task.has_steps),
        "the build task shows no steps",
    )
}

fn step_images(tasks: &[Task<'_>]) -> Result<(), String> {
    want(
        tasks.iter().all(|task| task.has_step_images),
        "a step has no image",
    )
}

fn parameters(tasks: &[Task<'_>]) -> Result<(), String> {
    want(
        tasks.iter().all(|task| task.has_parameters),
        "a task shows no parameters",
    )
}

fn pinned(tasks: &[Task<'_>]) -> Result<(), String> {
    want(
        tasks.iter().all(Task::is_pinned),
        "a task is of no bundle by digest and no commit",
    )
}

fn git_source(statement: &Value, version: Version) -> Result<(), String> {
    let tasks = tasks(statement, version);
    let found = tasks.iter().find_map(|task| {
        let (url, commit) = (task.result("url")?, task.result("commit")?);
        Some((url.as_str()?.to_owned(), commit.as_str()?.to_owned()))
    });
    let (url, commit) = found.ok_or("no task has the results url and commit")?;
    let uris = [format!("git+{url}"), format!("git+{url}.git")];
    let mut materials = statement::materials(statement, version);
    let is_there = materials.any(|material| {
        let uri = get(material, "/uri").as_str().unwrap_or_default();
        uris.iter().any(|one| one == uri) && get(material, "/digest/sha1") == commit.as_str()
    });
    want(is_there, &format!("{url} at {commit} is no material"))
}

fn source(statement: &Value, version: Version) -> Result<(), String> {
    let mut materials = statement::materials(statement, version);
    let is_there = materials.any(|material| {
        let uri = get(material, "/uri").as_str().unwrap_or_default();
        let is_source = ["git+", "hg+", "bzr+", "svn+"]
            .iter()
            .any(|scheme| uri.starts_with(scheme));
        let digest = get(material, "/digest");
        is_source && (digest["sha1"].is_string() || digest["gitCommit"].is_string())
    });
    want(is_there, "no source repository is a material")
}
