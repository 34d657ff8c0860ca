//! The bytes of Tekton Chains, case by case, in process: the quickest test that fails when a byte moves.
//! The whole check with the programs is `tests/tools/golden-check`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_core::config::Config;
use tekseal_core::format::Format;
use tekseal_core::hints;
use tekseal_core::run::{ChildDocument, CompletedRun, MissingChildren};
use tekseal_core::{DigestRef, Payload};

/// A case of the corpus: documents, configuration, and what Chains made of them.
struct Case {
    folder: PathBuf,
    run: Vec<u8>,
    children: Vec<(String, Vec<u8>)>,
    config: Config,
    meta: Value,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of a folder in the order of their names, none where it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    found.sort();
    found
}

impl Case {
    fn all() -> Vec<Self> {
        let cases: Vec<_> = files(&fixtures())
            .into_iter()
            .filter(|folder| folder.join("expected/meta.json").exists())
            .map(Self::load)
            .collect();
        assert!(cases.len() > 60, "only {} cases", cases.len());
        cases
    }

    fn load(folder: PathBuf) -> Self {
        let map: BTreeMap<String, String> =
            serde_json::from_slice(&read(&folder.join("config.json"))).expect("a map of texts");
        Self {
            run: read(&folder.join("input.json")),
            children: files(&folder.join("children"))
                .iter()
                .map(|file| (file.display().to_string(), read(file)))
                .collect(),
            config: Config::from_map(&map).expect("the configuration is valid"),
            meta: json(&folder.join("expected/meta.json")),
            folder,
        }
    }

    fn name(&self) -> String {
        self.folder
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }

    fn completed(&self) -> Result<CompletedRun<'_>, tekseal_core::run::Error> {
        let children: Vec<_> = self
            .children
            .iter()
            .map(|(name, bytes)| ChildDocument { name, bytes })
            .collect();
        CompletedRun::from_json(&self.run, &children, MissingChildren::Refuse)
    }

    /// Whether no provenance may be made of this run at all.
    fn is_unfit(&self) -> bool {
        let decision = self.meta["decision"].as_str().unwrap_or_default();
        ["running", "not complete", "not found"]
            .iter()
            .any(|why| decision.contains(why))
    }

    /// The payloads that are right in a format, and whether the order of their subjects is free.
    fn wanted(&self, format: Format) -> Option<(Vec<Value>, Vec<Vec<u8>>, bool)> {
        let name = if format.is_alias_of(Format::InToto) {
            "in-toto"
        } else {
            format.name()
        };
        let about = &self.meta["formats"][name];
        let file = about["file"].as_str()?;
        let stem = file.trim_end_matches(".json");
        let bytes: Vec<_> = files(&self.folder.join("expected"))
            .iter()
            .filter(|path| {
                let name = path
                    .file_name()
                    .map(|n| n.to_string_lossy())
                    .unwrap_or_default();
                name == file || name.starts_with(&format!("{stem}.alt"))
            })
            .map(|path| read(path))
            .collect();
        let values = bytes
            .iter()
            .map(|bytes| serde_json::from_slice(bytes).expect("a payload is JSON"))
            .collect();
        Some((values, bytes, about["subjectOrder"] == "any"))
    }
}

/// The payload with its subjects sorted by their text.
fn sorted(mut payload: Value) -> Value {
    if let Some(subjects) = payload["subject"].as_array_mut() {
        subjects.sort_by_key(ToString::to_string);
    }
    payload
}

#[test]
fn statements_are_those_of_chains() {
    let mut compared = 0;
    let mut refused = 0;
    for case in Case::all() {
        let completed = case.completed();
        let Ok(run) = &completed else {
            assert!(case.is_unfit(), "{}: {:?}", case.name(), completed.err());
            refused += 1;
            continue;
        };
        assert!(!case.is_unfit(), "{} must be refused", case.name());
        let observed = hints::observe(run);
        let settings = case.config.settings(run);
        for format in Format::ALL {
            let payload = format.payload(run, &observed, settings);
            let Some((values, bytes, is_free)) = case.wanted(format) else {
                assert!(payload.is_err(), "{} {}", case.name(), format.name());
                refused += 1;
                continue;
            };
            let payload =
                payload.unwrap_or_else(|e| panic!("{} {}: {e}", case.name(), format.name()));
            let mine = payload.bytes();
            let is_right = bytes.iter().any(|wanted| wanted == mine)
                || is_free && {
                    let mine = serde_json::from_slice(mine).expect("a payload is JSON");
                    let mine = sorted(mine);
                    values.into_iter().any(|wanted| sorted(wanted) == mine)
                };
            assert!(
                is_right,
                "{} {}: {}",
                case.name(),
                format.name(),
                String::from_utf8_lossy(mine)
            );
            compared += 1;
        }
    }
    assert!(
        compared > 200 && refused > 5,
        "{compared} compared, {refused} refused"
    );
}

#[test]
fn simple_signing_payloads_are_those_of_chains() {
    let mut compared = 0;
    for case in Case::all() {
        let Ok(run) = case.completed() else {
            continue;
        };
        let wanted = json(&case.folder.join("expected/oci-images.json"));
        let mut wanted: Vec<String> = wanted
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|image| image["simplesigning"].as_str().map(str::to_owned))
            .collect();
        let observed = hints::observe(&run);
        let mut mine: Vec<String> = observed
            .images(run.kind())
            .iter()
            .map(|image| {
                String::from_utf8_lossy(Payload::simple_signing(image).bytes()).into_owned()
            })
            .collect();
        if case.meta["imageOrder"] == "any" {
            wanted.sort();
            mine.sort();
        }
        assert_eq!(mine, wanted, "{}", case.name());
        compared += wanted.len();
    }
    assert!(compared > 30, "only {compared} images");
}

#[test]
fn image_names_are_read_as_go_containerregistry_reads_them() {
    let table = json(&fixtures().join("tables/image-names.json"));
    let rows = table.as_array().expect("the table is a list");
    assert!(rows.len() > 40, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let text = row["in"].as_str().expect("each row has an input");
        let mine = DigestRef::parse(text).map(|image| image.to_string()).ok();
        if mine.as_deref() != row["name"].as_str() {
            wrong.push(format!("{text}: {mine:?}, wanted {:?}", row["name"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn digests_of_hints_are_read_as_chains_reads_them() {
    let table = json(&fixtures().join("tables/digests.json"));
    let rows = table.as_array().expect("the table is a list");
    assert!(rows.len() > 25, "only {} rows", rows.len());
    for row in rows {
        let text = row["in"].as_str().expect("each row has an input");
        match hints::parse_digest(text) {
            Ok((algorithm, hex)) => {
                assert_eq!(row["algorithm"], algorithm, "{text}");
                assert_eq!(row["hex"], hex, "{text}");
            }
            Err(error) => assert!(row["error"].is_string(), "{text}: {error}"),
        }
    }
}
