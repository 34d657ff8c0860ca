//! `slsa/v1` and `in-toto`: SLSA provenance v0.2, in the bytes of Tekton Chains.
//!
//! Specification: <https://slsa.dev/spec/v0.2/provenance>. Chains sends the predicate through a protobuf Struct, so all keys in it are in
//! the order of their bytes.

use std::collections::{BTreeMap, HashMap};

use super::{
    Error, Settings, check_size, kind_of_run, materials, order, write_digest, write_value,
};
use crate::artifact::{Artifact, ArtifactList};
use crate::gojson::{Elements, Members, Writer};
use crate::hints::Observed;
use crate::run::{CompletedRun, Param, PipelineTask, Run, RunKind, StepSpec, StepState};
use crate::statement::DigestSet;
use crate::typed::Encoding;

/// SLSA provenance v0.2.
pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v0.2";

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const CHAINS_PREFIX: &str = "chains.tekton.dev/";

/// Writes the predicate.
pub(super) fn predicate(
    writer: &mut Writer,
    completed: &CompletedRun<'_>,
    observed: &Observed<'_>,
    settings: Settings<'_>,
) -> Result<(), Error> {
    let run = completed.run();
    let made_of = match run.kind() {
        RunKind::TaskRun => Materials {
            list: task_materials(run, observed)?,
            ..Materials::default()
        },
        RunKind::PipelineRun => pipeline_materials(completed, observed, settings)?,
    };
    let materials = &made_of.list;
    let mut tasks = Ok(());
    writer.sorted(|predicate| {
        predicate.sorted("buildConfig", |config| match run.kind() {
            RunKind::TaskRun => config.list("steps", |list| {
                let mut specs: HashMap<&str, StepSpec<'_, '_>> = HashMap::new();
                for spec in run.step_specs() {
                    specs.entry(spec.name()).or_insert(spec);
                }
                for state in run.steps() {
                    step(list.next(), specs.get(state.name()), &state);
                }
            }),
            RunKind::PipelineRun if run.resolved_spec().is_none() => config.key("tasks").null(),
            RunKind::PipelineRun => {
                config.list("tasks", |list| {
                    tasks = pipeline_tasks(list, completed, &made_of)
                });
            }
        });
        predicate.text("buildType", kind_of_run(run.kind()));
        predicate.sorted("builder", |builder| builder.text("id", settings.builder_id));
        let source = made_of.digest_at(made_of.own_source);
        invocation(predicate.key("invocation"), run, source);
        if !materials.is_empty() {
            predicate.list("materials", |list| {
                for material in materials {
                    list.next().sorted(|m| write_material(m, material));
                }
            });
        }
        predicate.sorted("metadata", |metadata| write_metadata(metadata, run));
    });
    tasks
}

/// Step and sidecar images, then what the hints name.
fn task_materials(run: &Run<'_>, observed: &Observed<'_>) -> Result<Vec<Artifact>, Error> {
    let mut list = ArtifactList::default();
    list.extend(materials::step_images(run)?);
    list.extend(materials::sidecar_images(run)?);
    list.extend(materials::task_inputs(&observed.own));
    Ok(list.into_vec())
}

/// What a run is made from, and which of it are the sources of the run and of its completed children.
///
/// In Chains a source that became a material of its own shares its digests with it: those of equal materials are added to both. So
/// `configSource` has them too.
#[derive(Default)]
struct Materials {
    list: Vec<Artifact>,
    own_source: Option<usize>,
    sources_of_children: Vec<Option<usize>>,
}

impl Materials {
    fn digest_at(&self, position: Option<usize>) -> Option<&DigestSet> {
        position.map(|at| &self.list[at].digest)
    }
}

/// The Pipeline's source; of each completed child its images and its source; then what the hints name.
fn pipeline_materials(
    completed: &CompletedRun<'_>,
    observed: &Observed<'_>,
    settings: Settings<'_>,
) -> Result<Materials, Error> {
    let mut list = ArtifactList::default();
    let source = |run: &Run<'_>, list: &mut ArtifactList| {
        let source = run.ref_source().map(|source| materials::of_source(&source));
        source.and_then(|source| list.push(source))
    };
    let own_source = source(completed.run(), &mut list);
    let mut sources_of_children = Vec::new();
    for child in completed.executed() {
        list.extend(materials::step_images(child)?);
        list.extend(materials::sidecar_images(child)?);
        sources_of_children.push(source(child, &mut list));
    }
    list.extend(materials::pipeline_inputs(observed, settings.deep));
    Ok(Materials {
        list: list.into_vec(),
        own_source,
        sources_of_children,
    })
}

/// A step: what was run, where. Chains pairs the steps of a TaskRun with their specification by name, those of a PipelineRun's
/// children by position.
fn step(writer: &mut Writer, spec: Option<&StepSpec<'_, '_>>, state: &StepState<'_, '_>) {
    writer.sorted(|step| {
        step.key("annotations").null();
        match spec.and_then(StepSpec::arguments) {
            Some(arguments) => step.list("arguments", |list| {
                for argument in arguments {
                    list.next().text(argument);
                }
            }),
            None => step.key("arguments").null(),
        }
        step.text(
            "entryPoint",
            &spec.map(StepSpec::entry_point).unwrap_or_default(),
        );
        step.sorted("environment", |environment| {
            environment.text("container", state.name());
            let image = state.image_id();
            let image = image.strip_prefix("docker-pullable://").unwrap_or(image);
            environment.text("image", &format!("oci://{image}"));
        });
    });
}

/// The completed children of a PipelineRun, task by task.
fn pipeline_tasks(
    list: &mut Elements<'_>,
    completed: &CompletedRun<'_>,
    made_of: &Materials,
) -> Result<(), Error> {
    let mut sources = made_of.sources_of_children.iter().copied();
    let mut last = None;
    for task in completed.run().pipeline_tasks() {
        let mut has_children = false;
        let mut after = None;
        for child in completed.children_of(task.name()) {
            has_children = true;
            if child.completed().is_none() {
                continue;
            }
            let source = made_of.digest_at(sources.next().flatten());
            if !has_matching_steps(child) {
                continue;
            }
            let after = after.get_or_insert_with(|| {
                let mut after = order::after(&task);
                if after.is_empty() && task.is_finally {
                    after.extend(last);
                }
                after
            });
            let account = completed.run().task_service_account();
            let entry = TaskEntry {
                task: &task,
                child,
                source,
                after,
                account,
            };
            let writer = list.next();
            check_size(writer, completed)?;
            entry.write(writer)?;
        }
        if has_children && !task.is_finally {
            last = Some(task.name());
        }
    }
    Ok(())
}

/// Whether the steps that ran are those that were specified, as far as Chains looks.
fn has_matching_steps(child: &Run<'_>) -> bool {
    if child.resolved_spec().is_none() || child.step_specs().count() != child.steps().count() {
        return false;
    }
    child
        .step_specs()
        .zip(child.steps())
        .all(|(spec, state)| spec.name().is_empty() || !state.name().starts_with("unnamed-"))
}

/// What is said of one child.
struct TaskEntry<'e, 'r, 'a> {
    task: &'e PipelineTask<'r, 'a>,
    child: &'e Run<'a>,
    source: Option<&'e DigestSet>,
    after: &'e [&'r str],
    account: &'e str,
}

impl TaskEntry<'_, '_, '_> {
    fn write(&self, writer: &mut Writer) -> Result<(), Error> {
        let Self { task, child, .. } = self;
        let (Some(started), Some(finished)) = (child.started(), child.completed()) else {
            return Err(Error::NotStarted(child.name().to_owned()));
        };
        writer.sorted(|entry| {
            if !self.after.is_empty() {
                entry.list("after", |list| {
                    for name in self.after {
                        list.next().text(name);
                    }
                });
            }
            entry
                .key("finishedOn")
                .text_or_fail(finished.to_rfc3339_nano());
            invocation(entry.key("invocation"), child, self.source);
            entry.text_unless_empty("name", task.name());
            match task.object.object("taskRef") {
                Some(reference) => reference.write(entry.key("ref"), Encoding::Struct),
                None => entry.sorted("ref", |_| {}),
            }
            if child.results().next().is_some() {
                entry.list("results", |list| {
                    for result in child.results() {
                        list.next().sorted(|members| write_result(members, &result));
                    }
                });
            }
            entry.text_unless_empty("serviceAccountName", self.account);
            entry
                .key("startedOn")
                .text_or_fail(started.to_rfc3339_nano());
            entry.text_unless_empty("status", status(child));
            if child.steps().next().is_some() {
                entry.list("steps", |list| {
                    for (spec, state) in child.step_specs().zip(child.steps()) {
                        step(list.next(), Some(&spec), &state);
                    }
                });
            }
        });
        Ok(())
    }
}

fn write_result(members: &mut Members<'_>, result: &Param<'_, '_>) {
    members.text("name", result.name);
    members.text_unless_empty("type", result.declared_type);
    write_value(members.key("value"), result.value, result.name);
}

/// How a child ended, by its first condition.
fn status(child: &Run<'_>) -> &'static str {
    match child.first_condition() {
        Some("False") => "Failed",
        Some("True") => "Succeeded",
        Some("Unknown") => "Running",
        _ => "",
    }
}

/// What the run was asked for. `shared` is the digest of its definition where equal materials may have added to it.
fn invocation(writer: &mut Writer, run: &Run<'_>, shared: Option<&DigestSet>) {
    let parameters: BTreeMap<&str, Param<'_, '_>> = run
        .param_defaults()
        .chain(run.params())
        .map(|param| (param.name, param))
        .collect();
    writer.sorted(|invocation| {
        invocation.sorted("configSource", |members| {
            let Some(source) = run.ref_source() else {
                return;
            };
            let own = materials::of_source(&source).digest;
            write_digest(members, shared.unwrap_or(&own));
            members.text_unless_empty("entryPoint", source.entry_point());
            members.text_unless_empty("uri", source.uri());
        });
        environment(invocation, run);
        invocation.sorted("parameters", |members| {
            for (name, param) in &parameters {
                write_value(members.key(name), param.value, name);
            }
        });
    });
}

fn environment(invocation: &mut Members<'_>, run: &Run<'_>) {
    let is_shown =
        |(key, _): &(&str, &str)| *key != LAST_APPLIED && !key.starts_with(CHAINS_PREFIX);
    let annotations = || run.annotations().filter(is_shown);
    let has_annotations = annotations().next().is_some();
    let has_labels = run.labels().next().is_some();
    if !has_annotations && !has_labels {
        return;
    }
    invocation.sorted("environment", |environment| {
        if has_annotations {
            environment.sorted("annotations", |members| {
                for (key, value) in annotations() {
                    members.text(key, value);
                }
            });
        }
        if has_labels {
            environment.sorted("labels", |members| {
                for (key, value) in run.labels() {
                    members.text(key, value);
                }
            });
        }
    });
}

fn write_material(members: &mut Members<'_>, material: &Artifact) {
    write_digest(members, &material.digest);
    members.text_unless_empty("uri", &material.uri);
}

/// Chains claims no completeness, and neither do we.
fn write_metadata(metadata: &mut Members<'_>, run: &Run<'_>) {
    if let Some(finished) = run.completed() {
        metadata
            .key("buildFinishedOn")
            .text_or_fail(finished.to_rfc3339_nano());
    }
    if let Some(started) = run.started() {
        metadata
            .key("buildStartedOn")
            .text_or_fail(started.to_rfc3339_nano());
    }
    metadata.sorted("completeness", |completeness| {
        for name in ["environment", "materials", "parameters"] {
            completeness.key(name).bool(false);
        }
    });
    metadata
        .key("reproducible")
        .bool(run.is_declared_reproducible());
}
