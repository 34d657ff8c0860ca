//! What `tekton.dev/v1beta1` has elsewhere than v1.
//!
//! Held by Tekton's own conversion: `tests/chains older`.

use super::{Object, Value};

/// What v1beta1 calls otherwise: struct, old name, place in v1. (Tekton, `pkg/apis/pipeline/v1beta1/*_conversion.go`.)
pub(super) const OLD_NAMES: &[(&str, &str, &str)] = &[
    ("tekton.TaskRunStatus", "taskResults", "results"),
    ("tekton.PipelineRunStatus", "pipelineResults", "results"),
    ("tekton.TaskRunSpec", "stepOverrides", "stepSpecs"),
    ("tekton.TaskRunSpec", "sidecarOverrides", "sidecarSpecs"),
    ("tekton.TaskRunStepSpec", "resources", "computeResources"),
    ("tekton.TaskRunSidecarSpec", "resources", "computeResources"),
    ("tekton.Step", "resources", "computeResources"),
    ("tekton.StepTemplate", "resources", "computeResources"),
    ("tekton.Sidecar", "resources", "computeResources"),
    (
        "tekton.PipelineTaskRunSpec",
        "taskServiceAccountName",
        "serviceAccountName",
    ),
    (
        "tekton.PipelineTaskRunSpec",
        "taskPodTemplate",
        "podTemplate",
    ),
    ("tekton.PipelineTaskRunSpec", "stepOverrides", "stepSpecs"),
    (
        "tekton.PipelineTaskRunSpec",
        "sidecarOverrides",
        "sidecarSpecs",
    ),
    (
        "tekton.PipelineRunSpec",
        "serviceAccountName",
        "taskRunTemplate.serviceAccountName",
    ),
    (
        "tekton.PipelineRunSpec",
        "podTemplate",
        "taskRunTemplate.podTemplate",
    ),
    ("tekton.PipelineRunSpec", "timeout", "timeouts.pipeline"),
];

/// v1beta1 has no termination reason for a step. Tekton's conversion takes that of its container.
pub(super) fn give_termination_reason(step: &mut Object<'_>) {
    let Some(Value::Text(reason)) = step
        .object("terminated")
        .and_then(|terminated| terminated.get("reason"))
        .cloned()
    else {
        return;
    };
    if let Some(at) = step.table.position("terminationReason") {
        step.push(at, Value::Text(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::Schema;
    use super::*;

    #[test]
    fn no_old_name_is_a_new_one_too() {
        let schema = Schema::get();
        for (table, old, place) in OLD_NAMES {
            let table = schema.named(table).expect("in the tables");
            assert!(table.position(old).is_none(), "{}.{old}", table.name);
            let outer = place.split('.').next().unwrap_or_default();
            assert!(table.position(outer).is_some(), "{}.{place}", table.name);
        }
    }
}
