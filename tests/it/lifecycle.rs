//! What Tekton Chains' own controller signed and where it put it (`fixtures/golden/lifecycle`), beside what our plan says of the same
//! run: payloads, images, tags, names of annotations, and the key. In process: nothing is signed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_core::PayloadKind;
use tekseal_core::config::{Config, SignerKind};
use tekseal_core::hints;
use tekseal_core::plan::{Item, Overrides, Place, Plan};
use tekseal_core::run::{ChildDocument, CompletedRun, MissingChildren};
use tekseal_signing::PublicKey;

const REGISTRY: &str = "127.0.0.1:5000";
const DIGEST: &str = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";

/// Scenarios in which Chains does not end with everything signed, why, and what our plan says instead: the decision whether to sign (again),
/// and whatever fails later, is not the plan's.
const OTHERWISE: &[(&str, &str, &[&str])] = &[
    (
        "already-signed",
        "the run is marked as signed",
        &["in-toto", "simplesigning"],
    ),
    (
        "bad-imageid",
        "a step has no image by digest; Chains gives up on the image too",
        &[
            "in-toto: step \"build\" of TaskRun lc-bad has no image digest",
            "simplesigning",
        ],
    ),
    (
        "bundle-unknown-image",
        "the registry has no such image",
        &["in-toto", "simplesigning"],
    ),
    ("no-key", "there is no key", &["in-toto", "simplesigning"]),
    (
        "pipelinerun-child-unsigned",
        "a child is not marked as signed yet",
        &["in-toto"],
    ),
    (
        "pipelinerun-customrun",
        "Chains waits for a child that never comes",
        &["PipelineRun builds/lp5 lacks children: CustomRun"],
    ),
    (
        "registry-down-tekton-ok",
        "the registry is down",
        &["in-toto", "simplesigning"],
    ),
    (
        "retries-3",
        "there is no key, and this was the last attempt",
        &["in-toto", "simplesigning"],
    ),
    (
        "running",
        "the run goes on",
        &["TaskRun builds/lc-run is not completed: its condition Succeeded is Unknown"],
    ),
    (
        "subject-not-an-image",
        "one subject cannot be stored in a registry; Chains gives up on the image too",
        &["in-toto", "simplesigning"],
    ),
    (
        "transparency-down",
        "the transparency log is down",
        &["in-toto", "simplesigning"],
    ),
];

/// Something signed at its place: place, payload without its predicate, and the key where the format names one.
type Fact = (String, String, Option<String>);

struct Scenario {
    name: String,
    config: Config,
    run: Vec<u8>,
    children: Vec<(String, Vec<u8>)>,
    expected: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/lifecycle")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = text
        .replace("${REGISTRY}", REGISTRY)
        .replace("${DEADREGISTRY}", "127.0.0.1:1")
        .replace("${REKOR}", "http://127.0.0.1:3000")
        .replace("${DIGEST}", DIGEST);
    serde_json::from_str(&text).expect("the corpus is JSON")
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Scenario {
    fn all() -> Vec<Self> {
        let mut folders: Vec<_> = fs::read_dir(folder())
            .expect("the corpus is there")
            .map(|entry| entry.expect("it can be read").path())
            .filter(|folder| folder.join("scenario.json").exists())
            .collect();
        folders.sort();
        folders.iter().map(|folder| Self::load(folder)).collect()
    }

    fn load(folder: &Path) -> Self {
        let scenario = read(&folder.join("scenario.json"));
        let config: BTreeMap<String, String> = object(&scenario["config"])
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        Self {
            name: folder
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            config: Config::from_map(&config).expect("the configuration is valid"),
            run: scenario["object"].to_string().into_bytes(),
            children: list(&scenario["children"])
                .iter()
                .map(|child| {
                    (
                        child["metadata"]["name"].to_string(),
                        child.to_string().into_bytes(),
                    )
                })
                .collect(),
            expected: read(&folder.join("expected.json")),
        }
    }

    /// The plan, or why the run is refused.
    fn plan(&self) -> Result<Plan, String> {
        let children: Vec<_> = self
            .children
            .iter()
            .map(|(name, bytes)| ChildDocument { name, bytes })
            .collect();
        let run = CompletedRun::from_json(&self.run, &children, MissingChildren::Refuse)
            .map_err(|e| e.to_string())?;
        let observed = hints::observe(&run);
        let settings = self.config.settings(&run);
        let overrides = Overrides::default();
        Ok(Plan::of(&run, &observed, &self.config, settings, overrides))
    }

    /// What Chains left in annotations and in the registry.
    fn recorded(&self) -> BTreeSet<Fact> {
        let annotations = &self.expected["annotations"];
        let of_run = object(annotations).filter_map(|(key, value)| {
            let name = key.strip_prefix("chains.tekton.dev/payload-")?;
            let envelope = &annotations[format!("chains.tekton.dev/signature-{name}")];
            let keyid = keyid(&envelope["<base64 json>"]);
            let place = format!("annotation {key} of the run");
            Some((place, bare(&value["<base64 json>"]), keyid))
        });
        let registry = object(&self.expected["registry"]);
        of_run
            .chain(registry.flat_map(|(name, content)| in_registry(name, content)))
            .collect()
    }

    fn is_signed(&self) -> bool {
        self.expected["annotations"]["chains.tekton.dev/signed"] == "true"
    }
}

/// What hangs under a tag, or on an image as a referrer.
fn in_registry(name: &str, content: &Value) -> Vec<Fact> {
    if let Some(repository) = name.strip_suffix(" referrers") {
        let of_referrer = |one: &Value| {
            let image = one["manifest"]["subject"]["digest"]
                .as_str()
                .expect("a digest");
            let place = format!("registry, as a referrer of {REGISTRY}/{repository}@{image}");
            let envelope = &one["manifest"]["layers"][0]["blob"]["<json>"]["dsseEnvelope"];
            // A bundle names its key by a hint of another form, beside the envelope.
            (place, bare(&envelope["payload"]["<base64 json>"]), None)
        };
        return list(content).iter().map(of_referrer).collect();
    }
    let place = format!("registry {REGISTRY}/{name}");
    let is_attestation = name.ends_with(".att");
    if !is_attestation && !name.ends_with(".sig") {
        return Vec::new();
    }
    let of_layer = |layer: &Value| {
        let blob = &layer["blob"]["<json>"];
        match is_attestation {
            true => (
                place.clone(),
                bare(&blob["payload"]["<base64 json>"]),
                keyid(blob),
            ),
            false => (place.clone(), bare(blob), None),
        }
    };
    list(&content["manifest"]["layers"])
        .iter()
        .map(of_layer)
        .collect()
}

fn keyid(envelope: &Value) -> Option<String> {
    let keyid = envelope["signatures"][0]["keyid"].as_str()?;
    Some(keyid.to_owned())
}

/// A payload without its predicate: the corpus does not have it, and other tests do.
fn bare(payload: &Value) -> String {
    assert!(payload.is_object(), "{payload} is no payload");
    let mut payload = payload.clone();
    if let Some(members) = payload.as_object_mut() {
        members.remove("predicate");
    }
    payload.to_string()
}

/// What the plan would have in annotations and in the registry, signed by `key`.
fn planned(plan: &Plan, key: &str) -> BTreeSet<Fact> {
    plan.items
        .iter()
        .flat_map(|item| of_item(item, key))
        .collect()
}

fn of_item(item: &Item, key: &str) -> Vec<Fact> {
    assert_eq!(item.signer, SignerKind::X509, "the scenarios have one key");
    let Ok(payload) = &item.payload else {
        return Vec::new();
    };
    let document = serde_json::from_slice(payload.bytes()).expect("payloads are JSON");
    let is_statement = matches!(payload.kind(), PayloadKind::Statement { .. });
    let of_place = |place: &Place| {
        let names_key = match place {
            Place::Tag { .. } | Place::Annotations { .. } => is_statement,
            Place::Referrer(_) => false,
            Place::Elsewhere { .. } | Place::Nothing { .. } => return None,
        };
        let key = names_key.then(|| key.to_owned());
        Some((place.to_string(), bare(&document), key))
    };
    item.places.iter().filter_map(of_place).collect()
}

fn key() -> String {
    let pem = fs::read(folder().join("keys/x509.pub")).expect("the key is there");
    PublicKey::from_pem(&pem)
        .expect("it is a public key")
        .fingerprint()
}

#[test]
fn what_chains_signed_and_stored_is_what_the_plan_says() {
    let key = key();
    let mut compared = 0;
    for scenario in Scenario::all() {
        if OTHERWISE.iter().any(|(name, ..)| *name == scenario.name) {
            continue;
        }
        let name = &scenario.name;
        assert!(scenario.is_signed(), "{name} must be listed as otherwise");
        let plan = scenario.plan().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(planned(&plan, &key), scenario.recorded(), "{name}");
        compared += 1;
    }
    assert!(compared >= 13, "only {compared} scenarios");
}

#[test]
fn where_chains_fails_or_waits_the_plan_says_what_is_listed() {
    let key = key();
    let scenarios = Scenario::all();
    for (name, why, wanted) in OTHERWISE {
        let scenario = scenarios.iter().find(|scenario| scenario.name == *name);
        let scenario = scenario.unwrap_or_else(|| panic!("there is no scenario {name}"));
        let said = match scenario.plan() {
            Err(refusal) => vec![refusal],
            Ok(plan) => {
                // What Chains did before it stopped is part of the plan.
                let (recorded, planned) = (scenario.recorded(), planned(&plan, &key));
                assert!(
                    recorded.is_subset(&planned),
                    "{name}: {recorded:#?}\n{planned:#?}"
                );
                plan.items.iter().map(summary).collect()
            }
        };
        let is_right = said.len() == wanted.len()
            && said
                .iter()
                .zip(*wanted)
                .all(|(said, wanted)| said.starts_with(wanted));
        assert!(is_right, "{name} ({why}): {said:#?}, wanted {wanted:#?}");
    }
}

fn summary(item: &Item) -> String {
    match &item.payload {
        Ok(_) => item.format.to_owned(),
        Err(error) => format!("{}: {error}", item.format),
    }
}

#[test]
fn a_subject_that_is_no_image_stays_out_of_the_registry_and_hinders_nothing_else() {
    let scenarios = Scenario::all();
    let scenario = scenarios.iter().find(|s| s.name == "subject-not-an-image");
    let plan = scenario
        .expect("it is there")
        .plan()
        .expect("it is completed");
    let places: Vec<_> = plan
        .items
        .iter()
        .flat_map(|i| &i.places)
        .map(Place::to_string)
        .collect();
    let tag = DIGEST.replace(':', "-");
    assert_eq!(
        places,
        [
            format!("registry {REGISTRY}/acme/app:{tag}.att"),
            "not in oci: subject pkg:npm/x@1 is no image with a sha256 digest".to_owned(),
            format!("registry {REGISTRY}/acme/app:{tag}.sig"),
        ]
    );
}
