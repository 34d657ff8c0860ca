//! `slsa/v2alpha3` and `slsa/v2alpha4`: SLSA provenance v1, in the bytes of Tekton Chains.
//!
//! Specification: <https://slsa.dev/spec/v1.0/provenance>. As in `slsa_v1`, all keys of the predicate are in the order of their bytes.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Error, Settings, check_size, materials, write_digest, write_value};
use crate::artifact::Artifact;
use crate::config::{BuildType, Choice as _};
use crate::gojson::{Escape, Members, Writer};
use crate::hints::{self, Observed};
use crate::run::{CompletedRun, Param, RefSource, Run, RunKind};
use crate::statement::DigestSet;
use crate::typed::Encoding;

/// SLSA provenance v1.
pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// Name of the dependency that is a TaskRun's definition.
const TASK: &str = "task";
/// Name of the dependency that is a PipelineRun's definition.
const PIPELINE: &str = "pipeline";
/// Name of the dependencies that are a PipelineRun's children.
const PIPELINE_TASK: &str = "pipelineTask";
/// What the names of dependencies begin with that are StepActions.
const STEP_ACTION: &str = "stepAction/";
/// Name of the dependencies that hints name.
const INPUT: &str = "inputs/result";

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Alpha3,
    Alpha4,
}

/// A resolved dependency: in-toto's ResourceDescriptor, as far as it is used here.
#[derive(Clone, Debug, Default)]
struct Dependency<'r, 'a> {
    name: String,
    uri: String,
    digest: DigestSet,
    /// The TaskRun that is the content. It is encoded only when it is written, so that there is one of them in memory and not all.
    content: Option<&'r Run<'a>>,
}

/// Writes the predicate.
pub(super) fn predicate(
    writer: &mut Writer,
    completed: &CompletedRun<'_>,
    observed: &Observed<'_>,
    settings: Settings<'_>,
    version: Version,
) -> Result<(), Error> {
    let run = completed.run();
    let dependencies = match run.kind() {
        RunKind::TaskRun => task_dependencies(run, observed, version)?,
        RunKind::PipelineRun => pipeline_dependencies(completed, observed, settings, version)?,
    };
    let mut size = Ok(());
    writer.sorted(|predicate| {
        predicate.sorted("buildDefinition", |definition| {
            definition.text("buildType", settings.build_type.name());
            definition.sorted("externalParameters", |members| {
                external_parameters(members, run);
            });
            definition.sorted("internalParameters", |members| {
                internal_parameters(members, run, settings.build_type);
            });
            if !dependencies.is_empty() {
                definition.list("resolvedDependencies", |list| {
                    for dependency in &dependencies {
                        list.next().sorted(|members| dependency.write(members));
                    }
                });
            }
        });
        predicate.sorted("runDetails", |details| {
            details.sorted("builder", |builder| {
                builder.text_unless_empty("id", settings.builder_id);
            });
            let byproducts = byproducts(completed, settings, version);
            if !byproducts.is_empty() {
                details.list("byproducts", |list| {
                    for byproduct in &byproducts {
                        let writer = list.next();
                        byproduct.write(writer);
                        size = check_size(writer, completed);
                        if size.is_err() {
                            return;
                        }
                    }
                });
            }
            details.sorted("metadata", |metadata| {
                if let Some(finished) = run.completed() {
                    metadata
                        .key("finishedOn")
                        .text_or_fail(finished.to_protojson());
                }
                metadata.text_unless_empty("invocationId", run.uid());
                if let Some(started) = run.started() {
                    metadata
                        .key("startedOn")
                        .text_or_fail(started.to_protojson());
                }
            });
        });
    });
    size
}

/// What the run was asked for: its whole specification, and for a remote definition where that came from. Of several digests Chains
/// takes a random one; ours is the first by algorithm.
fn external_parameters(members: &mut Members<'_>, run: &Run<'_>) {
    let is_remote = !matches!(run.resolver(), "" | "Cluster");
    if let Some(source) = run.ref_source().filter(|_| is_remote) {
        members.sorted("buildConfigSource", |config| {
            config.text("path", source.entry_point());
            let first = source.digest().next();
            let reference = first.map(|(algorithm, hex)| format!("{algorithm}:{hex}"));
            config.text("ref", &reference.unwrap_or_default());
            config.text("repository", source.uri());
        });
    }
    run.write_spec(members.key("runSpec"));
}

fn internal_parameters(members: &mut Members<'_>, run: &Run<'_>, build_type: BuildType) {
    if build_type == BuildType::SlsaTekton {
        run.write_metadata("annotations", members.key("annotations"));
        run.write_metadata("labels", members.key("labels"));
    }
    if let Some(flags) = run.feature_flags() {
        let writer = members.key("tekton-pipelines-feature-flags");
        flags.write(writer, Encoding::Struct);
    }
}

/// The Task's source stands first, even where an equal dependency follows.
fn task_dependencies<'r, 'a>(
    run: &'r Run<'a>,
    observed: &Observed<'_>,
    version: Version,
) -> Result<Vec<Dependency<'r, 'a>>, Error> {
    let mut list: Vec<Dependency<'_, '_>> = Vec::new();
    list.extend(materials::step_images(run)?.into_iter().map(unnamed));
    list.extend(materials::sidecar_images(run)?.into_iter().map(unnamed));
    if version == Version::Alpha4 {
        list.extend(materials::step_inputs(&observed.own).into_iter().map(input));
        list.extend(step_actions(run));
    }
    list.extend(materials::task_inputs(&observed.own).into_iter().map(input));
    let source = run
        .ref_source()
        .map(|source| Dependency::of_source(TASK, &source));
    Ok(source.into_iter().chain(each_once(list)).collect())
}

fn pipeline_dependencies<'r, 'a>(
    completed: &'r CompletedRun<'a>,
    observed: &Observed<'_>,
    settings: Settings<'_>,
    version: Version,
) -> Result<Vec<Dependency<'r, 'a>>, Error> {
    let mut list: Vec<Dependency<'_, '_>> = Vec::new();
    let source = completed.run().ref_source();
    list.extend(source.map(|source| Dependency::of_source(PIPELINE, &source)));
    for child in completed.executed() {
        list.extend(child_dependency(child, settings.build_type));
        if version == Version::Alpha4 {
            list.extend(step_actions(child));
        }
        list.extend(materials::step_images(child)?.into_iter().map(unnamed));
        list.extend(materials::sidecar_images(child)?.into_iter().map(unnamed));
    }
    if version == Version::Alpha4 {
        for child in observed.inspected(settings.deep) {
            list.extend(materials::step_inputs(child).into_iter().map(input));
        }
    }
    let inputs = materials::pipeline_inputs(observed, settings.deep);
    list.extend(inputs.into_iter().map(input));
    Ok(each_once(list))
}

/// A child as a dependency: where its Task came from, and with `slsa-tekton` the whole TaskRun.
fn child_dependency<'r, 'a>(
    child: &'r Run<'a>,
    build_type: BuildType,
) -> Option<Dependency<'r, 'a>> {
    let source = child.ref_source();
    let named = source.map(|source| Dependency::of_source(PIPELINE_TASK, &source));
    match build_type {
        BuildType::Slsa => named,
        BuildType::SlsaTekton => Some(Dependency {
            name: PIPELINE_TASK.to_owned(),
            content: Some(child),
            ..named.unwrap_or_default()
        }),
    }
}

/// A TaskRun as Go writes it.
fn encoded(run: &Run<'_>) -> Result<Vec<u8>, String> {
    let mut writer = Writer::new(Escape::Go);
    run.object().write(&mut writer, Encoding::Go);
    writer.finish()
}

fn step_actions<'r, 'a>(run: &'r Run<'a>) -> impl Iterator<Item = Dependency<'r, 'a>> {
    run.steps().filter_map(|step| {
        let name = format!("{STEP_ACTION}{}", step.name());
        step.ref_source()
            .map(|source| Dependency::of_source(&name, &source))
    })
}

fn unnamed<'r, 'a>(artifact: Artifact) -> Dependency<'r, 'a> {
    Dependency {
        uri: artifact.uri,
        digest: artifact.digest,
        ..Dependency::default()
    }
}

fn input<'r, 'a>(artifact: Artifact) -> Dependency<'r, 'a> {
    Dependency {
        name: INPUT.to_owned(),
        ..unnamed(artifact)
    }
}

/// Keeps the first of those that are equal but for their names; definitions are always kept.
fn each_once<'r, 'a>(list: Vec<Dependency<'r, 'a>>) -> Vec<Dependency<'r, 'a>> {
    let mut known = HashSet::with_capacity(list.len());
    let is_kept: Vec<bool> = list
        .iter()
        .map(|dependency| {
            // A child is one object however often it is named, so it need not be encoded to be compared.
            let content = dependency.content.map(std::ptr::from_ref);
            let identity = (&dependency.uri, &dependency.digest, content);
            known.insert(identity) || dependency.is_definition()
        })
        .collect();
    drop(known);
    let mut is_kept = is_kept.into_iter();
    list.into_iter()
        .filter(|_| is_kept.next() == Some(true))
        .collect()
}

impl Dependency<'_, '_> {
    fn of_source(name: &str, source: &RefSource<'_>) -> Self {
        Self {
            name: name.to_owned(),
            ..unnamed(materials::of_source(source))
        }
    }

    fn is_definition(&self) -> bool {
        matches!(self.name.as_str(), TASK | PIPELINE) || self.name.starts_with(STEP_ACTION)
    }

    fn write(&self, members: &mut Members<'_>) {
        if let Some(run) = self.content {
            let writer = members.key("content");
            match encoded(run) {
                Ok(content) => base64(writer, &content),
                Err(why) => writer.fail(|| format!("TaskRun {}: {why}", run.name())),
            }
        }
        write_digest(members, &self.digest);
        members.text_unless_empty("name", &self.name);
        members.text_unless_empty("uri", &self.uri);
    }
}

fn base64(writer: &mut Writer, content: &[u8]) {
    let out = writer.raw();
    out.push(b'"');
    let start = out.len();
    let length =
        base64::encoded_len(content.len(), true).expect("what is in memory is shorter than memory");
    out.resize(start + length, 0);
    let written = STANDARD.encode_slice(content, &mut out[start..]);
    written.expect("room for all of it was made");
    out.push(b'"');
}

/// A result that is no Subject.
struct Byproduct<'r, 'a> {
    /// What kind of result it is.
    prefix: &'static str,
    /// The run that is part of its name.
    run: Option<&'r str>,
    result: Param<'r, 'a>,
}

impl Byproduct<'_, '_> {
    fn name(&self) -> String {
        let (prefix, result) = (self.prefix, self.result.name);
        match self.run {
            Some(run) => format!("{prefix}/{run}/{result}"),
            None => format!("{prefix}/{result}"),
        }
    }

    fn write(&self, writer: &mut Writer) {
        let mut content = Writer::new(Escape::Go);
        write_value(&mut content, self.result.value, self.result.name);
        match content.finish() {
            Ok(content) => writer.sorted(|members| {
                base64(members.key("content"), &content);
                members.text("mediaType", "application/json");
                members.text("name", &self.name());
            }),
            Err(why) => writer.fail(|| why),
        }
    }
}

fn byproducts<'r, 'a>(
    completed: &'r CompletedRun<'a>,
    settings: Settings<'_>,
    version: Version,
) -> Vec<Byproduct<'r, 'a>> {
    let run = completed.run();
    let prefix = match run.kind() {
        RunKind::TaskRun => "taskRunResults",
        RunKind::PipelineRun => "pipelineRunResults",
    };
    if version == Version::Alpha3 {
        return run
            .results()
            .map(|result| Byproduct {
                prefix,
                run: None,
                result,
            })
            .collect();
    }
    let mut list = Vec::new();
    of_results(&mut list, prefix, run.name(), run.results());
    of_steps(&mut list, run);
    if settings.deep == hints::DeepInspection::On {
        for child in completed.executed() {
            of_results(&mut list, "taskRunResults", child.name(), child.results());
            of_steps(&mut list, child);
        }
    }
    list
}

/// The results of a TaskRun's steps. They are named after the TaskRun, not after the step.
fn of_steps<'r, 'a>(list: &mut Vec<Byproduct<'r, 'a>>, run: &'r Run<'a>) {
    for step in run.steps() {
        of_results(list, "stepResults", run.name(), step.results());
    }
}

fn of_results<'r, 'a>(
    list: &mut Vec<Byproduct<'r, 'a>>,
    prefix: &'static str,
    run: &'r str,
    results: impl Iterator<Item = Param<'r, 'a>>,
) {
    let wanted = results.filter(hints::is_byproduct);
    list.extend(wanted.map(|result| Byproduct {
        prefix,
        run: Some(run),
        result,
    }));
}
