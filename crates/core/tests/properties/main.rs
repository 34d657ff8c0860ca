//! What holds for every run, whatever is in it: reading and formatting never panic, the order of keys means nothing, nothing is listed
//! twice, and payloads are canonical.
//!
//! The cases are the same in every run of the tests; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` give others and more.

mod any;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tekseal_core::config::BuildType;
use tekseal_core::format::{self, Format, Settings};
use tekseal_core::hints::{self, DeepInspection, Finding, Hints, Observed};
use tekseal_core::run::{self, ChildDocument, CompletedRun, MissingChildren};

use crate::any::{any_json, any_key, any_mutation, any_run, task_run};

/// A run and its children.
#[derive(Clone, Debug)]
struct Documents {
    run: Value,
    children: Vec<Value>,
}

/// What became of a run: for each format the payload, or why there is none; and what became of its hints.
#[derive(Debug, PartialEq)]
struct Outcome {
    payloads: Vec<Result<String, format::Error>>,
    findings: Vec<String>,
}

fn config(cases: u32) -> ProptestConfig {
    let of_environment = ProptestConfig::default();
    ProptestConfig {
        cases: match std::env::var_os("PROPTEST_CASES") {
            Some(_) => of_environment.cases,
            None => cases,
        },
        rng_seed: match of_environment.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed => fixed,
        },
        failure_persistence: None,
        ..of_environment
    }
}

/// The runs of the golden cases.
static GOLDEN: LazyLock<Vec<Documents>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/golden");
    let mut cases: Vec<PathBuf> = json_files(&folder, false);
    cases.sort();
    let found: Vec<_> = cases
        .iter()
        .filter(|case| case.join("input.json").is_file())
        .map(|case| Documents {
            run: read(&case.join("input.json")),
            children: json_files(&case.join("children"), true)
                .iter()
                .map(|file| read(file))
                .collect(),
        })
        .collect();
    assert!(found.len() > 5, "no golden cases in {}", folder.display());
    found
});

/// What is in a folder, sorted: files that are JSON, or everything.
fn json_files(folder: &Path, is_json: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| !is_json || path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

// Documents as text.

impl Documents {
    /// The texts, with the members of objects in the order that `key` gives them.
    fn texts(&self, key: &dyn Fn(&str) -> u64) -> (String, Vec<String>) {
        let text = |value: &Value| {
            let mut text = String::new();
            write(&mut text, value, key);
            text
        };
        (text(&self.run), self.children.iter().map(text).collect())
    }

    fn sorted(&self) -> (String, Vec<String>) {
        self.texts(&|_| 0)
    }
}

/// Writes a value with the members of each object by `key`, equal ones by name. What Go keeps as the text that it is stays as it is: raw
/// fields, and values of parameters that are no strings, lists or maps of strings.
fn write(text: &mut String, value: &Value, key: &dyn Fn(&str) -> u64) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| (key(name), *name));
            text.push('{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                let is_kept = match name.as_str() {
                    "fieldsV1" => true,
                    "value" | "default" => !is_map_of_strings(value),
                    _ => false,
                };
                match is_kept {
                    true => text.push_str(&value.to_string()),
                    false => write(text, value, key),
                }
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(text, value, key);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string())
        }
    }
}

fn is_map_of_strings(value: &Value) -> bool {
    value.as_object().is_some_and(|map| {
        map.values()
            .all(|value| value.is_string() || value.is_null())
    })
}

// What is done with them.

/// Reads the run, and makes and checks everything that is made of it.
fn outcome((run, children): &(String, Vec<String>)) -> Result<Outcome, run::Error> {
    let children: Vec<_> = children
        .iter()
        .map(|child| ChildDocument {
            name: "child",
            bytes: child.as_bytes(),
        })
        .collect();
    let run = CompletedRun::from_json(run.as_bytes(), &children, MissingChildren::Allow)?;
    let observed = hints::observe(&run);
    check_images(&observed);
    let mut payloads = Vec::new();
    for (format, build_type, deep) in every_way() {
        let settings = Settings {
            builder_id: "https://builder.example.com",
            build_type,
            deep,
        };
        let payload = format.payload(&run, &observed, settings);
        payloads.push(payload.map(|payload| {
            check_subjects(&payload);
            check_canonical(payload.bytes());
            String::from_utf8(payload.bytes().to_vec()).expect("JSON is UTF-8")
        }));
    }
    let findings = all_hints(&observed)
        .flat_map(|hints| &hints.findings)
        .map(|finding: &Finding<'_>| format!("{finding:?}"))
        .collect();
    Ok(Outcome { payloads, findings })
}

fn every_way() -> impl Iterator<Item = (Format, BuildType, DeepInspection)> {
    Format::ALL.into_iter().flat_map(|format| {
        [
            (format, BuildType::Slsa, DeepInspection::Off),
            (format, BuildType::Slsa, DeepInspection::On),
            (format, BuildType::SlsaTekton, DeepInspection::On),
        ]
    })
}

fn all_hints<'o>(observed: &'o Observed<'_>) -> impl Iterator<Item = &'o Hints<'o>> {
    [&observed.own]
        .into_iter()
        .chain(&observed.children)
        .flat_map(|task| {
            [&task.results]
                .into_iter()
                .chain(task.steps.iter().map(|(_, hints)| hints))
        })
}

fn check_images(observed: &Observed<'_>) {
    for hints in all_hints(observed) {
        let mut images = hints.images.clone();
        images.sort();
        images.dedup();
        assert_eq!(
            images.len(),
            hints.images.len(),
            "an image stands twice in {:?}",
            hints.images
        );
    }
}

/// No two Subjects have the same name and a digest in common.
fn check_subjects(payload: &tekseal_core::Payload) {
    for (at, one) in payload.subjects().iter().enumerate() {
        for other in &payload.subjects()[..at] {
            let in_common = one
                .digest
                .iter()
                .any(|(algorithm, hex)| other.digest.get(algorithm) == Some(hex));
            assert!(
                one.name != other.name || !in_common,
                "{one:?} equals {other:?}"
            );
        }
    }
}

/// Compact JSON, in whose predicate all keys are sorted.
fn check_canonical(bytes: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Statement<'a> {
        #[serde(borrow)]
        predicate: &'a RawValue,
    }
    let statement: Statement<'_> = serde_json::from_slice(bytes)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)));
    let predicate = statement.predicate.get();
    let mut deserializer = serde_json::Deserializer::from_str(predicate);
    Sorted
        .deserialize(&mut deserializer)
        .unwrap_or_else(|e| panic!("{e}: {predicate}"));
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b' ' | b'\n' | b'\t' | b'\r' => assert!(in_string, "a blank outside of a string"),
            _ => {}
        }
    }
}

/// Reads any JSON, and fails where keys are not sorted.
struct Sorted;

impl<'de> DeserializeSeed<'de> for Sorted {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Sorted {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with sorted keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut last: Option<String> = None;
        while let Some(key) = map.next_key::<String>()? {
            if last.is_some_and(|last| last >= key) {
                return Err(A::Error::custom(format_args!("{key} is not in its place")));
            }
            last = Some(key);
            map.next_value_seed(Sorted)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Sorted)?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A refused field is named.
fn check_refusal(error: &run::Error) {
    match error {
        run::Error::Field(error) => assert!(!error.path.is_empty(), "no path: {error:?}"),
        run::Error::Child { source, .. } => check_refusal(source),
        run::Error::Json(_)
        | run::Error::Kind { .. }
        | run::Error::NotCompleted { .. }
        | run::Error::ChildrenAbsent { .. }
        | run::Error::ChildTwice(_)
        | run::Error::Repetition(_) => {}
    }
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn any_results_are_read_and_nothing_is_listed_twice(documents in any_run()) {
        outcome(&documents.sorted()).expect("only results and params are odd, and those may be anything");
    }

    #[test]
    fn the_order_of_keys_means_nothing(documents in any_run(), seed: u64) {
        check_order(&documents, seed)?;
    }

    #[test]
    fn the_order_of_keys_means_nothing_in_golden_runs(case: Index, seed: u64) {
        check_order(case.get(&GOLDEN), seed)?;
    }

    #[test]
    fn what_is_no_run_is_refused(value in any_json()) {
        // Whatever it is, it is not called completed.
        prop_assert!(outcome(&(value.to_string(), Vec::new())).is_err());
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn a_changed_golden_run_is_refused_with_a_place_or_formatted(documents in any_mutation()) {
        if let Err(error) = outcome(&documents.sorted()) {
            check_refusal(&error);
        }
    }

    #[test]
    fn a_run_of_anything_is_refused_with_a_place_or_formatted(spec in any_json(), inside in any_json(), key in any_key()) {
        let mut run = task_run("run", &[], &[], &[]);
        run["spec"] = spec;
        run["status"][key] = inside;
        if let Err(error) = outcome(&(run.to_string(), Vec::new())) {
            check_refusal(&error);
        }
    }
}

fn check_order(documents: &Documents, seed: u64) -> Result<(), TestCaseError> {
    let shuffled = |name: &str| {
        name.bytes().fold(seed | 1, |hash, byte| {
            (hash ^ u64::from(byte))
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(31)
        })
    };
    let one = outcome(&documents.sorted());
    let other = outcome(&documents.texts(&shuffled));
    match (one, other) {
        (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
        // Of several faults the first counts, and which that is depends on the order.
        (Err(_), Err(_)) => {}
        (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
    }
    Ok(())
}
