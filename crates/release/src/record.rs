//! What was done for a bundle, as the completed TaskRun that a cluster would have kept: provenance is made of such documents.
//!
//! `tekseal-buildah-push` writes the same for images. Both are marked as local records, whose builder is `urn:tekseal:local:v1`.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tekseal_core::hints::{GIT_COMMIT, GIT_URL, IMAGE_DIGEST, IMAGE_URL};
use tekseal_core::run::LOCAL_RECORD_ANNOTATION;
use tekseal_steps::Failure;
use tekseal_steps::files::{self, Mode};

use crate::args::Plan;
use crate::images::Released;

/// Now, in whole seconds, as Kubernetes writes times.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Writes the record of a bundle that was pushed since `started`.
///
/// # Errors
/// Exit 3 if it cannot be written.
pub(crate) fn write(
    path: &Path,
    plan: &Plan,
    released: &Released,
    started: Timestamp,
) -> Result<(), Failure> {
    let random = "/proc/sys/kernel/random/uuid";
    let uid = fs::read_to_string(random)
        .map_err(|e| Failure::outside(e).context(format!("reading {random}")))?;
    let document = document(plan, released, (started, now()), uid.trim());
    files::write(path, document.to_string().as_bytes(), Mode::Public)
}

fn document(
    plan: &Plan,
    released: &Released,
    (started, completed): (Timestamp, Timestamp),
    uid: &str,
) -> Value {
    let mut params = vec![
        ("IMAGE", plan.tagged(&released.name)),
        ("BUILDER_IMAGE", plan.builder_image.clone()),
    ];
    params.extend(plan.git_image.clone().map(|image| ("GIT_IMAGE", image)));
    let declared: Vec<_> = params
        .iter()
        .map(|(name, _)| json!({"name": name, "type": "string"}))
        .collect();
    let given: Vec<_> = params
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut results = vec![
        (IMAGE_URL, plan.tagged(&released.name)),
        (IMAGE_DIGEST, released.digest.to_string()),
    ];
    if let Some(url) = &plan.source_url {
        results.extend([
            (GIT_URL, url.clone()),
            (GIT_COMMIT, plan.commit.revision.clone()),
        ]);
    }
    let results: Vec<_> = results
        .iter()
        .map(|(name, value)| json!({"name": name, "type": "string", "value": value}))
        .collect();
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {
            "name": format!("release-{}", released.name),
            "uid": uid,
            "annotations": {LOCAL_RECORD_ANNOTATION: "true"},
        },
        "spec": {"params": given},
        "status": {
            "startTime": started.to_string(),
            "completionTime": completed.to_string(),
            "conditions": [{
                "type": "Succeeded",
                "status": "True",
                "reason": "Succeeded",
                "message": "recorded by tekseal-release outside a cluster",
                "lastTransitionTime": completed.to_string(),
            }],
            "results": results,
            "taskSpec": {"params": declared},
        },
    })
}
