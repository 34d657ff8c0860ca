//! What was done, written as the completed TaskRun that a cluster would have kept, for use outside any cluster.
//!
//! It is marked as a local record by an annotation, so that nobody mistakes it for a run that Tekton vouches for, and says only what is
//! known: no step is listed, since the image that ran the step is not known here.
//!
//! Specification: <https://tekton.dev/docs/pipelines/pipeline-api/#tekton.dev/v1.TaskRun>.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tekseal_core::hints::{ARTIFACT_INPUTS, GIT_COMMIT, GIT_URL};
use tekseal_core::run::LOCAL_RECORD_ANNOTATION;

use super::args::{self, Args};
use super::build::Base;
use crate::Failure;
use crate::files::{self, Mode};
use crate::parameters::given;

const DOCKERFILE: &str = "DOCKERFILE";

/// Parameters of the Task, with their defaults and where their values are. `ADDITIONAL_SECRET` is none of them: the Task's has the name of
/// a Secret, the tool's a path.
const PARAMS: &[(&str, Kind)] = &[
    ("IMAGE", Kind::Required(|a| given(&a.image))),
    (
        DOCKERFILE,
        Kind::Text("./Dockerfile", |a| given(&a.dockerfile)),
    ),
    ("CONTEXT", Kind::Text(".", |a| given(&a.context))),
    (
        "STORAGE_DRIVER",
        Kind::Text("overlay", |a| given(&a.storage_driver)),
    ),
    ("FORMAT", Kind::Text("oci", |a| given(&a.format))),
    (
        "BUILDAH_FORMAT",
        Kind::Text("", |a| given(&a.buildah_format)),
    ),
    ("TLSVERIFY", Kind::Text("true", |a| given(&a.tlsverify))),
    ("TLS_VERIFY", Kind::Text("", |a| given(&a.tls_verify))),
    (
        "BUILD_ARGS",
        Kind::List(|a| args::list(&a.build_args, &a.build_arg)),
    ),
    (
        "BUILD_ARGS_FILE",
        Kind::Text("", |a| given(&a.build_args_file)),
    ),
    ("TARGET_STAGE", Kind::Text("", |a| given(&a.target_stage))),
    (
        "ENV_VARS",
        Kind::List(|a| args::list(&a.env_vars, &a.env_var)),
    ),
    ("LABELS", Kind::List(|a| args::list(&a.labels, &a.label))),
    (
        "ANNOTATIONS",
        Kind::List(|a| args::list(&a.annotations, &a.annotation)),
    ),
    (
        "BUILD_EXTRA_ARGS",
        Kind::Text("", |a| given(&a.build_extra_args)),
    ),
    (
        "PUSH_EXTRA_ARGS",
        Kind::Text("", |a| given(&a.push_extra_args)),
    ),
    (
        "ADDITIONAL_TAGS",
        Kind::List(|a| args::list(&a.additional_tags, &a.additional_tag)),
    ),
    ("SKIP_PUSH", Kind::Text("false", |a| given(&a.skip_push))),
    ("SQUASH", Kind::Text("false", |a| given(&a.squash))),
    ("NO_CACHE", Kind::Text("false", |a| given(&a.no_cache))),
    ("HERMETIC", Kind::Text("false", |a| given(&a.hermetic))),
    (
        "SKIP_UNUSED_STAGES",
        Kind::Text("true", |a| given(&a.skip_unused_stages)),
    ),
    (
        "PLATFORM",
        Kind::Text("", |a| {
            a.platform
                .first()
                .filter(|_| a.platform.len() == 1)
                .map(String::as_str)
        }),
    ),
    // Several PLATFORM make an index, as PLATFORMS do.
    (
        "PLATFORMS",
        Kind::List(|a| {
            args::list(
                &a.platforms,
                if a.platform.len() > 1 {
                    &a.platform
                } else {
                    &[]
                },
            )
        }),
    ),
    ("SBOM_TOOL", Kind::Text("", |a| given(&a.sbom_tool))),
    ("SOURCE_URL", Kind::Text("", |a| given(&a.source_url))),
    ("COMMIT_SHA", Kind::Text("", |a| given(&a.commit_sha))),
    (
        "SOURCE_DATE_EPOCH",
        Kind::Text("", |a| given(&a.source_date_epoch)),
    ),
    (
        "IMAGE_EXPIRES_AFTER",
        Kind::Text("", |a| given(&a.image_expires_after)),
    ),
    ("PUSH_RETRIES", Kind::Text("5", |a| given(&a.push_retries))),
    ("VERBOSE", Kind::Text("false", |a| given(&a.verbose))),
    ("LOG_LEVEL", Kind::Text("", |a| given(&a.log_level))),
];

#[derive(Clone, Copy)]
enum Kind {
    Required(fn(&Args) -> Option<&str>),
    Text(&'static str, fn(&Args) -> Option<&str>),
    List(fn(&Args) -> Vec<String>),
}

/// What a record tells beside the parameters.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// When the tool started.
    pub(super) started: Timestamp,
    /// When the last effect was done.
    pub(super) completed: Timestamp,
    /// Results as they are written for Tekton.
    pub(super) results: &'a [(String, String)],
    /// Base images.
    pub(super) bases: &'a [Base],
    /// Repository and commit of the source.
    pub(super) source: Option<&'a (String, String)>,
    /// The Containerfile that was used, relative to the source.
    pub(super) containerfile: &'a str,
}

/// Writes the record, whole or not at all.
///
/// # Errors
/// Exit 3 if it cannot be written.
pub(super) fn write(path: &Path, args: &Args, told: &Told<'_>) -> Result<(), Failure> {
    let document = document(args, told, &uuid()?);
    let mut bytes = serde_json::to_vec_pretty(&document)
        .map_err(|e| Failure::outside(e).context("writing the record"))?;
    bytes.push(b'\n');
    files::write(path, &bytes, Mode::Public)
}

/// A random UUID, made by the kernel.
pub(super) fn uuid() -> Result<String, Failure> {
    let path = "/proc/sys/kernel/random/uuid";
    let text = fs::read_to_string(path)
        .map_err(|e| Failure::outside(e).context(format!("reading {path}")))?;
    Ok(text.trim().to_owned())
}

fn document(args: &Args, told: &Told<'_>, uuid: &str) -> Value {
    let completed = time(told.completed);
    let (short, _) = uuid.split_once('-').unwrap_or((uuid, ""));
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {
            "name": format!("buildah-push-{short}"),
            "uid": uuid,
            "annotations": {LOCAL_RECORD_ANNOTATION: "true"},
        },
        "spec": {"params": given_params(args, told.containerfile)},
        "status": {
            "startTime": time(told.started),
            "completionTime": completed,
            "conditions": [{
                "type": "Succeeded",
                "status": "True",
                "reason": "Succeeded",
                "message": "recorded by tekseal-buildah-push outside a cluster",
                "lastTransitionTime": completed,
            }],
            "results": results(told),
            "taskSpec": {"params": declared_params()},
        },
    })
}

/// RFC 3339 in whole seconds of UTC, as Kubernetes writes times.
fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

fn results(told: &Told<'_>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for (name, value) in told.results.iter().filter(|(_, value)| !value.is_empty()) {
        // An object result is JSON in its file and an object in the run.
        match serde_json::from_str::<Value>(value) {
            Ok(value @ Value::Object(_)) => {
                all.push(json!({"name": name, "type": "object", "value": value}))
            }
            _ => all.push(json!({"name": name, "type": "string", "value": value})),
        }
    }
    if let Some((url, commit)) = told.source {
        all.push(json!({"name": GIT_URL, "type": "string", "value": url}));
        all.push(json!({"name": GIT_COMMIT, "type": "string", "value": commit}));
    }
    for (at, base) in told.bases.iter().enumerate() {
        let value = json!({"uri": format!("oci://{}", base.repository), "digest": base.digest});
        all.push(json!({"name": format!("BASE-{}_{ARTIFACT_INPUTS}", at + 1), "type": "object", "value": value}));
    }
    all
}

fn declared_params() -> Vec<Value> {
    let declare = |(name, kind): &(&str, Kind)| match kind {
        Kind::Required(_) => json!({"name": name, "type": "string"}),
        Kind::Text(default, _) => json!({"name": name, "type": "string", "default": default}),
        Kind::List(_) => json!({"name": name, "type": "array", "default": []}),
    };
    PARAMS.iter().map(declare).collect()
}

/// The parameters that were given, by flag or environment; and the Containerfile in any case, as it may have been found by another name.
fn given_params(args: &Args, containerfile: &str) -> Vec<Value> {
    let give = |(name, kind): &(&str, Kind)| {
        let value = match kind {
            _ if *name == DOCKERFILE => json!(containerfile),
            Kind::Required(text) | Kind::Text(_, text) => {
                json!(text(args).filter(|text| !text.is_empty())?)
            }
            Kind::List(list) => json!(Some(list(args)).filter(|list| !list.is_empty())?),
        };
        Some(json!({"name": name, "value": value}))
    };
    PARAMS.iter().filter_map(give).collect()
}

#[cfg(test)]
mod tests {
    use clap::Args as _;
    use tekseal_core::hints::{self, Outcome};
    use tekseal_core::run::{CompletedRun, MissingChildren, RunKind};
    use tekseal_core::{Digest, Repository};

    use super::super::args::tests::parse;
    use super::*;

    fn record(flags: &[&str], told: &Told<'_>) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.json");
        write(&path, &parse(flags).expect("known flags"), told).expect("a writable folder");
        fs::read_to_string(&path).expect("written")
    }

    fn completed(text: &str) -> CompletedRun<'_> {
        CompletedRun::from_json(text.as_bytes(), &[], MissingChildren::Refuse)
            .expect("a completed run")
    }

    #[test]
    fn the_record_is_a_completed_run_with_hints_and_inputs() {
        let digest = Digest::of(b"image");
        let results = [
            ("IMAGE_URL".to_owned(), "r.example/app:1".to_owned()),
            ("IMAGE_DIGEST".to_owned(), digest.to_string()),
            ("IMAGES".to_owned(), String::new()),
            (
                "IMAGE_ARTIFACT_OUTPUTS".to_owned(),
                format!(
                    r#"{{"uri":"r.example/app","digest":"{digest}","isBuildArtifact":"true"}}"#
                ),
            ),
        ];
        let repository = Repository::parse("r.example/base").expect("a repository");
        let base = Base {
            repository,
            digest: Digest::of(b"base"),
        };
        let source = ("https://git.example/a".to_owned(), "0123".repeat(10));
        let started = Timestamp::from_second(1_700_000_000).expect("a time");
        let told = Told {
            started,
            completed: Timestamp::from_millisecond(1_700_000_012_999).expect("a time"),
            results: &results,
            bases: &[base],
            source: Some(&source),
            containerfile: "app/Containerfile",
        };
        let text = record(
            &[
                "--image",
                "r.example/app:1",
                "--build-args",
                "A=1",
                "",
                ";",
                "--squash",
                "",
            ],
            &told,
        );
        let run = completed(&text);
        assert!(
            text.contains("\"startTime\": \"2023-11-14T22:13:20Z\""),
            "{text}"
        );
        assert!(
            text.contains("\"completionTime\": \"2023-11-14T22:13:32Z\""),
            "{text}"
        );
        assert!(!text.contains("\"steps\""), "{text}");
        assert!(run.is_local_record());
        let names: Vec<_> = run.run().params().map(|param| param.name).collect();
        assert_eq!(names, ["IMAGE", "DOCKERFILE", "BUILD_ARGS"]);
        assert!(text.contains("\"app/Containerfile\""), "{text}");
        let observed = hints::observe(&run);
        let findings = observed.own.results.findings.iter();
        let unused: Vec<_> = findings.filter(|f| f.outcome != Outcome::Used).collect();
        assert!(unused.is_empty(), "{unused:?}");
        let images = observed.images(RunKind::TaskRun);
        assert_eq!(
            images.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!("r.example/app@{digest}")]
        );
        let git = observed.own.git.iter();
        let inputs: Vec<_> = git
            .chain(&observed.own.results.inputs)
            .map(|input| input.uri.as_str())
            .collect();
        assert_eq!(
            inputs,
            ["git+https://git.example/a.git", "oci://r.example/base"]
        );
    }

    #[test]
    fn every_recorded_parameter_is_an_environment_variable_of_the_tool() {
        let command = Args::augment_args(clap::Command::new("tool"));
        let known: Vec<_> = command
            .get_arguments()
            .filter_map(|arg| arg.get_env()?.to_str())
            .collect();
        for (name, _) in PARAMS {
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn a_platform_given_twice_is_a_list_in_the_record() {
        let args = parse(&["--platform", "linux/amd64", "--platform", "linux/arm64"])
            .expect("known flags");
        assert_eq!(
            given_params(&args, "Dockerfile")[1..],
            [json!({"name": "PLATFORMS", "value": ["linux/amd64", "linux/arm64"]})]
        );
        let args = parse(&["--platform", "linux/amd64"]).expect("known flags");
        assert_eq!(
            given_params(&args, "Dockerfile")[1..],
            [json!({"name": "PLATFORM", "value": "linux/amd64"})]
        );
    }

    #[test]
    fn uuids_are_random() {
        let (one, two) = (uuid().expect("Linux"), uuid().expect("Linux"));
        assert_eq!(one.len(), 36);
        assert_ne!(one, two);
    }
}
