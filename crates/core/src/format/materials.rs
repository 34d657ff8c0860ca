//! Materials: what a run was made from, and by which images.

use super::Error;
use crate::artifact::{Artifact, ArtifactList};
use crate::hints::{DeepInspection, Hints, Observed, TaskHints};
use crate::run::{RefSource, Run, StepState};

/// The images of a run's steps, equal ones merged.
pub(super) fn step_images(run: &Run<'_>) -> Result<Vec<Artifact>, Error> {
    images(run, run.steps())
}

/// The images of a run's sidecars, equal ones merged.
pub(super) fn sidecar_images(run: &Run<'_>) -> Result<Vec<Artifact>, Error> {
    images(run, run.sidecars())
}

/// Where a definition came from, as a material.
pub(super) fn of_source(source: &RefSource<'_>) -> Artifact {
    Artifact {
        uri: source.uri().to_owned(),
        digest: source
            .digest()
            .map(|(algorithm, hex)| (algorithm.to_owned(), hex.to_owned()))
            .collect(),
    }
}

/// What a TaskRun's parameters and results name as its inputs: git first.
pub(super) fn task_inputs(task: &TaskHints<'_>) -> Vec<Artifact> {
    let mut list = ArtifactList::default();
    list.extend(task.git.iter().chain(&task.results.inputs).cloned());
    list.into_vec()
}

/// What the results of a TaskRun's steps name as inputs: the repositories first, step by step.
pub(super) fn step_inputs(task: &TaskHints<'_>) -> Vec<Artifact> {
    let steps = || task.steps.iter().map(|(_, hints)| hints);
    let mut list = ArtifactList::default();
    list.extend(steps().filter_map(|hints: &Hints<'_>| hints.git.clone()));
    list.extend(steps().flat_map(|hints| hints.inputs.iter().cloned()));
    list.into_vec()
}

/// What a PipelineRun's parameters and results name as inputs, with deep inspection also its children's: git last.
pub(super) fn pipeline_inputs(observed: &Observed<'_>, deep: DeepInspection) -> Vec<Artifact> {
    let mut list = ArtifactList::default();
    list.extend(observed.own.results.inputs.iter().cloned());
    for child in observed.inspected(deep) {
        list.extend(task_inputs(child));
    }
    list.extend(observed.own.git.iter().cloned());
    list.into_vec()
}

fn images<'r, 'a: 'r>(
    run: &Run<'_>,
    states: impl Iterator<Item = StepState<'r, 'a>>,
) -> Result<Vec<Artifact>, Error> {
    let mut list = ArtifactList::default();
    for state in states {
        list.push(image(run, &state)?);
    }
    Ok(list.into_vec())
}

/// `REPO@ALG:HEX` as the node reported it becomes `oci://REPO`.
fn image(run: &Run<'_>, state: &StepState<'_, '_>) -> Result<Artifact, Error> {
    let wrong = || Error::ImageId {
        run: run.name().to_owned(),
        step: state.name().to_owned(),
        image_id: state.image_id().to_owned(),
    };
    let (name, digest) = split_in_two(state.image_id(), '@').ok_or_else(wrong)?;
    let (algorithm, hex) = split_in_two(digest, ':').ok_or_else(wrong)?;
    let name = name.strip_prefix("docker-pullable://").unwrap_or(name);
    let uri = format!("oci://{name}");
    Ok(Artifact::new(&uri, algorithm.to_owned(), hex.to_owned()))
}

fn split_in_two(text: &str, at: char) -> Option<(&str, &str)> {
    text.split_once(at).filter(|(_, rest)| !rest.contains(at))
}
