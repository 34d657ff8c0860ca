//! Statements that Tekton Chains and cosign wrote, read back: nothing is lost, and the views say what the JSON says.
//!
//! `TEKSEAL_GOLDEN` may name a larger folder of golden cases, of the layout of `tests/fixtures/golden`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;
use tekseal_core::config::Config;
use tekseal_core::format::{self, Format};
use tekseal_core::provenance::{PROVENANCE_V1, PROVENANCE_V02};
use tekseal_core::run::{CompletedRun, MissingChildren};
use tekseal_core::{Envelope, Payload, Provenance, Statement, dsse, hints, redact};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The files of `folder/*/inner`.
fn files(folder: &Path, inner: &str) -> Vec<PathBuf> {
    let list = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    };
    list(folder)
        .iter()
        .flat_map(|case| list(&case.join(inner)))
        .collect()
}

/// The payloads that Chains made, by file.
fn payloads_of_chains() -> Vec<(String, Vec<u8>)> {
    let more = env::var_os("TEKSEAL_GOLDEN").map(PathBuf::from);
    [fixtures().join("golden")]
        .into_iter()
        .chain(more)
        .flat_map(|folder| files(&folder, "expected"))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            path.extension().is_some_and(|e| e == "json")
                && name != "meta.json"
                && name != "oci-images.json"
        })
        .map(|path| {
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (path.display().to_string(), bytes)
        })
        .collect()
}

/// The payloads in the envelopes and bundles that cosign made, by file.
fn payloads_of_cosign() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in files(&fixtures().join("cosign-samples"), "blobs") {
        let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let envelope = Envelope::parse(&bytes).or_else(|error| {
            let bundle: Value = serde_json::from_slice(&bytes).map_err(dsse::Error::Json)?;
            match bundle.get("dsseEnvelope") {
                Some(envelope) => Envelope::parse(envelope.to_string().as_bytes()),
                None => Err(error),
            }
        });
        let Ok(envelope) = envelope else { continue };
        assert_eq!(envelope.payload_type, dsse::IN_TOTO_PAYLOAD_TYPE);
        let payload = envelope.unverified_payload().expect("cosign wrote base64");
        found.push((path.display().to_string(), payload));
    }
    found
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a part of JSON is JSON")
}

/// The text at `pointer`; `null` is absent.
fn text(value: &Value, pointer: &str) -> Option<String> {
    Some(value.pointer(pointer)?.as_str()?.to_owned())
}

fn check_statement(name: &str, payload: &[u8]) -> Statement {
    let statement = Statement::parse(payload).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert_eq!(
        String::from_utf8_lossy(&statement.to_bytes()),
        String::from_utf8_lossy(payload),
        "{name}"
    );
    let value: Value = serde_json::from_slice(payload).expect("it was parsed");
    assert_eq!(value["_type"], statement.statement_type(), "{name}");
    assert_eq!(value["predicateType"], statement.predicate_type(), "{name}");
    assert_eq!(
        value["predicate"],
        json(statement.predicate().map_or("null", RawValue::get)),
        "{name}"
    );
    let subjects = value["subject"].as_array().cloned().unwrap_or_default();
    assert_eq!(subjects.len(), statement.subjects().len(), "{name}");
    for (wanted, subject) in subjects.iter().zip(statement.subjects()) {
        assert_eq!(
            wanted["name"].as_str().unwrap_or_default(),
            subject.name,
            "{name}"
        );
        let digest = serde_json::to_value(&subject.digest).expect("texts");
        assert_eq!(wanted["digest"], digest, "{name}");
        let annotations = wanted["annotations"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        assert_eq!(annotations, subject.annotations, "{name}");
    }
    statement
}

fn check_provenance(name: &str, statement: &Statement) {
    let view = Provenance::of(statement).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let predicate = json(statement.predicate().map_or("null", RawValue::get));
    let (builder, build_type, list, started, finished) = match statement.predicate_type() {
        PROVENANCE_V02 => (
            "/builder/id",
            "/buildType",
            "/materials",
            "/metadata/buildStartedOn",
            "/metadata/buildFinishedOn",
        ),
        PROVENANCE_V1 => (
            "/runDetails/builder/id",
            "/buildDefinition/buildType",
            "/buildDefinition/resolvedDependencies",
            "/runDetails/metadata/startedOn",
            "/runDetails/metadata/finishedOn",
        ),
        _ => {
            assert!(view.is_none(), "{name}");
            return;
        }
    };
    let view = view.unwrap_or_else(|| panic!("{name} is provenance"));
    assert!(view.builder_id.is_some(), "{name}");
    assert_eq!(view.builder_id, text(&predicate, builder), "{name}");
    assert_eq!(view.build_type, text(&predicate, build_type), "{name}");
    assert_eq!(view.started_on, text(&predicate, started), "{name}");
    assert_eq!(view.finished_on, text(&predicate, finished), "{name}");
    let wanted = predicate
        .pointer(list)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    assert_eq!(wanted.len(), view.dependencies.len(), "{name}");
    for (wanted, dependency) in wanted.iter().zip(&view.dependencies) {
        assert_eq!(
            wanted["uri"].as_str().unwrap_or_default(),
            dependency.uri,
            "{name}"
        );
        let digest = wanted["digest"].as_object().map_or(0, |d| d.len());
        assert_eq!(digest, dependency.digest.len(), "{name}");
    }
    let run_spec = view.run_spec.map(|raw| json(raw.get()));
    assert_eq!(
        run_spec.as_ref(),
        predicate
            .pointer("/buildDefinition/externalParameters/runSpec")
            .filter(|v| !v.is_null()),
        "{name}"
    );
}

#[test]
fn payloads_of_chains_are_read_without_loss() {
    let payloads = payloads_of_chains();
    assert!(payloads.len() >= 15, "only {} payloads", payloads.len());
    for (name, payload) in payloads {
        check_provenance(&name, &check_statement(&name, &payload));
    }
}

#[test]
fn payloads_of_cosign_are_read_without_loss() {
    let payloads = payloads_of_cosign();
    assert!(payloads.len() >= 30, "only {} payloads", payloads.len());
    for (name, payload) in payloads {
        check_provenance(&name, &check_statement(&name, &payload));
    }
}

/// What is signed of a PipelineRun with this parameter and with `spec` for the spec of a custom task, its parameters hidden.
fn hidden_payload(param: &str, spec: &str) -> Result<Payload, format::Error> {
    let run = format!(
        r#"{{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{{}},
            "spec":{{"params":[{{"name":"p","value":"{param}"}}],
                "pipelineSpec":{{"tasks":[{{"name":"t","taskSpec":{{"apiVersion":"x/v1","kind":"X","spec":{spec}}}}}]}}}},
            "status":{{"conditions":[{{"type":"Succeeded","status":"True"}}]}}}}"#
    );
    let map = [("tekseal.redact-params".to_owned(), "*".to_owned())].into();
    let config = Config::from_map(&map).expect("the pattern is well formed");
    let mut run = CompletedRun::from_json(run.as_bytes(), &[], MissingChildren::Refuse)
        .expect("the run is well formed");
    let clear = run.clone();
    redact::redact(&mut run, config.redact_params()).expect("there are few values");
    Format::SlsaV2alpha4.payload(&run, &hints::observe(&clear), config.settings(&run))
}

#[test]
fn what_is_nested_too_deep_to_be_verified_is_not_signed() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(hidden_payload("p", &nested(90)).is_ok());
    assert!(hidden_payload("p", &nested(130)).is_err());
    for depth in 90..130 {
        if let Ok(payload) = hidden_payload("p", &nested(depth)) {
            assert!(Statement::parse(payload.bytes()).is_ok(), "{depth}");
        }
    }
}

#[test]
fn a_value_hidden_inside_json_leaves_it_json() {
    for (param, spec) in [
        ("123456", r#"{"n":1234567,"s":"of 123456"}"#),
        (r#"ab\",\"cd"#, r#"["ab","cd"]"#),
    ] {
        let payload = hidden_payload(param, spec).unwrap_or_else(|e| panic!("{spec}: {e}"));
        let text = String::from_utf8_lossy(payload.bytes());
        assert!(!text.contains("123456"), "{text}");
        assert!(Statement::parse(payload.bytes()).is_ok(), "{text}");
    }
}

#[test]
fn a_cut_or_doubled_payload_is_refused() {
    for (name, payload) in payloads_of_chains() {
        for end in (0..payload.len()).step_by(97) {
            assert!(
                Statement::parse(&payload[..end]).is_err(),
                "{name} to {end}"
            );
        }
        assert!(
            Statement::parse(&payload.repeat(2)).is_err(),
            "{name} twice"
        );
    }
}
