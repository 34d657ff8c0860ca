//! `slsa/v1` and `in-toto`: in-toto Statement v0.1 with SLSA provenance v0.2, in the bytes of Tekton Chains.
//!
//! Specification: <https://slsa.dev/spec/v0.2/provenance>. Chains sends the predicate through a protobuf Struct, so all keys in it are in
//! the order of their bytes: the fields below are declared in that order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Error;
use crate::gojson;
use crate::hints::{Artifacts, Material, append_material};
use crate::run::{CompletedRun, StepState, Value};
use crate::statement::{DigestSet, STATEMENT_V01, Subject};

/// SLSA provenance v0.2.
pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v0.2";

const BUILD_TYPE: &str = "tekton.dev/v1/TaskRun";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const CHAINS_PREFIX: &str = "chains.tekton.dev/";

#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    statement_type: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subject: &'a [Subject],
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
    predicate: Predicate<'a>,
}

#[derive(Serialize)]
struct Predicate<'a> {
    #[serde(rename = "buildConfig")]
    build_config: BuildConfig<'a>,
    #[serde(rename = "buildType")]
    build_type: &'a str,
    builder: Builder<'a>,
    invocation: Invocation<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    materials: Vec<ProvenanceMaterial>,
    metadata: Metadata,
}

#[derive(Serialize)]
struct BuildConfig<'a> {
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    annotations: Option<()>,
    arguments: Option<&'a [String]>,
    #[serde(rename = "entryPoint")]
    entry_point: String,
    environment: StepEnvironment<'a>,
}

#[derive(Serialize)]
struct StepEnvironment<'a> {
    container: &'a str,
    image: String,
}

#[derive(Serialize)]
struct Builder<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Invocation<'a> {
    #[serde(rename = "configSource")]
    config_source: ConfigSource<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment<'a>>,
    parameters: BTreeMap<&'a str, &'a Value>,
}

#[derive(Default, Serialize)]
struct ConfigSource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a DigestSet>,
    #[serde(rename = "entryPoint", skip_serializing_if = "str::is_empty")]
    entry_point: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uri: &'a str,
}

#[derive(Serialize)]
struct Environment<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct ProvenanceMaterial {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: DigestSet,
    #[serde(skip_serializing_if = "String::is_empty")]
    uri: String,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(rename = "buildFinishedOn", skip_serializing_if = "Option::is_none")]
    finished: Option<String>,
    #[serde(rename = "buildStartedOn", skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    completeness: Completeness,
    reproducible: bool,
}

/// Chains claims no completeness, and neither do we.
#[derive(Default, Serialize)]
struct Completeness {
    environment: bool,
    materials: bool,
    parameters: bool,
}

/// The bytes of the Statement of `run`.
pub(super) fn statement(
    run: &CompletedRun,
    artifacts: &Artifacts,
    builder_id: &str,
) -> Result<Vec<u8>, Error> {
    let statement = Statement {
        statement_type: STATEMENT_V01,
        subject: &artifacts.subjects,
        predicate_type: PREDICATE_TYPE,
        predicate: Predicate {
            build_config: BuildConfig {
                steps: run.steps().iter().map(|state| step(run, state)).collect(),
            },
            build_type: BUILD_TYPE,
            builder: Builder { id: builder_id },
            invocation: invocation(run),
            materials: materials(run, artifacts)?,
            metadata: Metadata {
                finished: run.completed().map(rfc3339),
                started: run.started().map(rfc3339),
                completeness: Completeness::default(),
                reproducible: run.is_declared_reproducible(),
            },
        },
    };
    Ok(gojson::to_vec_protojson(&statement))
}

fn step<'a>(run: &'a CompletedRun, state: &'a StepState) -> Step<'a> {
    let spec = run.step_spec(&state.name);
    let entry_point = spec.map_or_else(String::new, |spec| {
        if spec.script.is_empty() {
            spec.command.join(" ")
        } else {
            spec.script.clone()
        }
    });
    Step {
        annotations: None,
        arguments: spec.and_then(|spec| spec.args.as_deref()),
        entry_point,
        environment: StepEnvironment {
            container: &state.name,
            image: format!(
                "oci://{}",
                state.image_id.replacen("docker-pullable://", "", 1)
            ),
        },
    }
}

fn invocation(run: &CompletedRun) -> Invocation<'_> {
    let mut parameters: BTreeMap<&str, &Value> = run.param_defaults().collect();
    parameters.extend(run.params().iter().map(|p| (p.name.as_str(), &p.value)));
    let config_source = run
        .ref_source()
        .map_or_else(ConfigSource::default, |source| ConfigSource {
            digest: Some(&source.digest).filter(|d| !d.is_empty()),
            entry_point: &source.entry_point,
            uri: &source.uri,
        });
    Invocation {
        config_source,
        environment: environment(run),
        parameters,
    }
}

fn environment(run: &CompletedRun) -> Option<Environment<'_>> {
    let annotations: BTreeMap<_, _> = run
        .annotations()
        .iter()
        .filter(|(key, _)| *key != LAST_APPLIED && !key.starts_with(CHAINS_PREFIX))
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let labels: BTreeMap<_, _> = run
        .labels()
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    if annotations.is_empty() && labels.is_empty() {
        return None;
    }
    Some(Environment {
        annotations,
        labels,
    })
}

fn materials(run: &CompletedRun, artifacts: &Artifacts) -> Result<Vec<ProvenanceMaterial>, Error> {
    let mut list = Vec::new();
    for state in run.steps().iter().chain(run.sidecars()) {
        append_material(&mut list, image_material(state)?);
    }
    for input in &artifacts.inputs {
        append_material(&mut list, input.clone());
    }
    Ok(list
        .into_iter()
        .map(|m| ProvenanceMaterial {
            digest: m.digest,
            uri: m.uri,
        })
        .collect())
}

/// `REPO@ALG:HEX` as the node reported it becomes `oci://REPO`.
fn image_material(state: &StepState) -> Result<Material, Error> {
    let wrong = || Error::ImageId {
        step: state.name.clone(),
        image_id: state.image_id.clone(),
    };
    let (name, digest) = split_in_two(&state.image_id, '@').ok_or_else(wrong)?;
    let (algorithm, hex) = split_in_two(digest, ':').ok_or_else(wrong)?;
    Ok(Material {
        uri: format!(
            "oci://{}",
            name.strip_prefix("docker-pullable://").unwrap_or(name)
        ),
        digest: BTreeMap::from([(algorithm.to_owned(), hex.to_owned())]),
    })
}

fn split_in_two(text: &str, at: char) -> Option<(&str, &str)> {
    text.split_once(at).filter(|(_, rest)| !rest.contains(at))
}

/// RFC 3339 in UTC with as many fraction digits as there are, as Go's `time.RFC3339Nano`.
fn rfc3339(time: Timestamp) -> String {
    time.to_string()
}
