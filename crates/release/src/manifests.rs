//! The manifests of a release: what kustomize makes of `tasks`, `pipelines` and `deploy`, with every image by digest.
//!
//! Two files, because they are applied by different people to different places. `release.yaml` has what users of Tasks need and no
//! namespace, so that `kubectl apply --namespace` says where it goes. `controller.yaml` has the controller in a namespace of its own,
//! with rights on the whole cluster, beside which Tekton Chains must not run: nobody shall get it who asked for Tasks.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::anyhow;
use serde_json::{Value, json};
use tekseal_steps::{Failure, files};

use crate::args::Plan;
use crate::pins::{self, Pins};

const KUBECTL: &str = "kubectl";
const KUSTOMIZATION: &str = "kustomization.yaml";
/// Folders of [`Manifests::tasks`] and of [`Manifests::controller`].
const TASKS: [&str; 2] = ["tasks", "pipelines"];
const CONTROLLER: [&str; 1] = ["deploy/base"];

/// Both files.
#[derive(Debug)]
pub(crate) struct Manifests {
    /// `release.yaml`
    pub(crate) tasks: String,
    /// What is in it.
    pub(crate) documents: Vec<Value>,
    /// `controller.yaml`
    pub(crate) controller: String,
}

impl Manifests {
    /// Renders both with these images.
    ///
    /// # Errors
    /// Exit 2 if a manifest is wrong, or names an image that is not pinned.
    pub(crate) fn render(plan: &Plan, pins: &Pins, scratch: &Path) -> Result<Self, Failure> {
        let (tasks, documents) = render(&plan.manifests, &TASKS, pins, &scratch.join("tasks"))?;
        let (controller, _) = render(
            &plan.manifests,
            &CONTROLLER,
            pins,
            &scratch.join("controller"),
        )?;
        Ok(Self {
            tasks,
            documents,
            controller,
        })
    }
}

/// Renders folders of `source` through an overlay in `overlay`, twice: kustomize's own output tells what is to be pinned where.
fn render(
    source: &Path,
    folders: &[&str],
    pins: &Pins,
    overlay: &Path,
) -> Result<(String, Vec<Value>), Failure> {
    files::make_folder(overlay)?;
    let resources = folders
        .iter()
        .map(|folder| from_to(overlay, &source.join(folder)))
        .collect::<Result<Vec<_>, _>>()?;
    let draft = documents(&through(overlay, &json!({"resources": resources}))?)?;
    let patches: Vec<_> = draft
        .iter()
        .filter_map(|document| patch(document, &pins.patch(document)))
        .collect();
    let text = through(
        overlay,
        &json!({"resources": resources, "patches": patches}),
    )?;
    let documents = documents(&text)?;
    for document in &documents {
        let unpinned = pins::unpinned(document);
        if let Some(first) = unpinned.first() {
            let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Err(Failure::misuse(anyhow!(
                "{} {} names an image without digest: {first}",
                said(&document["kind"]),
                said(&document["metadata"]["name"])
            ))
            .hint("images of ours need a stage in images/Containerfile; those of others a digest, by --builder-image, --git-image or in the manifest"));
        }
    }
    Ok((text, documents))
}

/// A kustomization is YAML, hence JSON will do.
fn through(overlay: &Path, kustomization: &Value) -> Result<String, Failure> {
    let path = overlay.join(KUSTOMIZATION);
    fs::write(&path, kustomization.to_string())
        .map_err(|e| Failure::of_writing(&e).context(format!("writing {}", path.display())))?;
    kustomize(&[overlay])
}

fn patch(document: &Value, operations: &[Value]) -> Option<Value> {
    if operations.is_empty() {
        return None;
    }
    let (group, version) = document["apiVersion"]
        .as_str()
        .map(|version| version.split_once('/').unwrap_or(("", version)))?;
    let mut target = json!({
        "group": group,
        "version": version,
        "kind": document["kind"],
        // These are regular expressions; names of Kubernetes have no letter in them that means anything but a dot.
        "name": document["metadata"]["name"],
    });
    if let Some(namespace) = document["metadata"].get("namespace") {
        target["namespace"] = namespace.clone();
    }
    Some(json!({"target": target, "patch": Value::from(operations).to_string()}))
}

fn kustomize(args: &[&Path]) -> Result<String, Failure> {
    let doing = || "rendering manifests with kubectl kustomize".to_owned();
    let output = Command::new(KUBECTL)
        .arg("kustomize")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            let is_absent = e.kind() == ErrorKind::NotFound;
            let failure = Failure::misuse(e).context(doing());
            if is_absent {
                return failure.hint("kubectl is needed, 1.27 or later; no cluster is");
            }
            failure
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::misuse(anyhow!("{}", said.trim())).context(doing()));
    }
    String::from_utf8(output.stdout).map_err(|e| Failure::misuse(e).context(doing()))
}

/// The documents of a text of YAML.
fn documents(text: &str) -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple(text).map_err(|e| {
        Failure::misuse(anyhow!("{e}")).context("reading what kubectl kustomize wrote")
    })
}

/// The way from a folder to another; kustomize takes no absolute paths.
fn from_to(from: &Path, to: &Path) -> Result<String, Failure> {
    let real = |path: &Path| {
        path.canonicalize().map_err(|e| {
            Failure::misuse(e)
                .context(format!("looking for {}", path.display()))
                .hint("--manifests names a folder with tasks/, pipelines/ and deploy/base/")
        })
    };
    let (from, to) = (real(from)?, real(to)?);
    let up = from.components().count().saturating_sub(1);
    let down = to.strip_prefix("/").unwrap_or(&to);
    let path: PathBuf = std::iter::repeat_n("..", up)
        .collect::<PathBuf>()
        .join(down);
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::misuse(anyhow!("{} is not UTF-8", path.display())))
}
