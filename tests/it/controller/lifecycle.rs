//! What Tekton Chains' own controller left behind in whole scenarios (`fixtures/golden/lifecycle`), and what ours does with the same runs.
//!
//! Left out of the comparison: counts of retries, and four annotations of layers. Chains writes an empty certificate and an empty chain
//! where there is none, which some readers take for one; ours, like cosign's own, has the predicate type instead. And ours shows the entry of a
//! log with image signatures too, where Chains shows that of attestations alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_harness::{Proxy, Run, Sigstore, fixtures, object_path};

use super::stand::{REASON, SIGNED, Stand, annotation};

/// The empty image, which the recorded registry had.
const CONFIG: &str = r#"{"architecture":"","created":"0001-01-01T00:00:00Z","os":"","rootfs":{"type":"layers","diff_ids":null},"config":{}}"#;
const TRANSPARENCY: &str = "chains.tekton.dev/transparency";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const DIGEST: &str = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";

/// Scenarios that need a transparency log whose answers hold.
const WITH_LOG: [&str; 2] = ["transparency", "transparency-manual-on"];

/// Scenarios that end otherwise, what the run carries then, and why.
const OTHERWISE: &[(&str, Option<&str>, &str, &str)] = &[
    (
        "no-key",
        None,
        "there is no key",
        "Chains gives up after five attempts; ours waits for a key, and loses no run",
    ),
    (
        "retries-3",
        None,
        "there is no key",
        "Chains gives up at the fifth attempt; ours waits for a key, and loses no run",
    ),
    (
        "no-subject-oci",
        Some("nothing"),
        "no subject",
        "Chains calls it signed though nothing was stored",
    ),
    (
        "subject-not-an-image",
        Some("true"),
        "is no image",
        "Chains fails for good and leaves the image unsigned; ours stores what can be stored and says what cannot",
    ),
    (
        "pipelinerun-customrun",
        Some("failed"),
        "CustomRun",
        "Chains waits for ever, in silence",
    ),
    (
        "bundle-unknown-image",
        Some("failed"),
        "does not exist",
        "Chains tries five times; ours says at once that there is nothing to refer to",
    ),
    (
        "transparency-down",
        None,
        "transparency log",
        "Chains stores all the same, and again with each attempt; ours stores nothing that it could not have logged",
    ),
    (
        "registry-down-tekton-ok",
        None,
        "tried again later",
        "Chains writes to one storage while the other is down; ours writes annotations with the mark, once all is stored",
    ),
];

#[test]
fn runs_end_as_with_chains_or_as_listed() {
    let root = fixtures().join("golden/lifecycle");
    let mut folders: Vec<_> = fs::read_dir(root)
        .expect("the corpus is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|folder| folder.join("scenario.json").exists())
        .collect();
    folders.sort();
    let mut compared = 0;
    for folder in &folders {
        let name = folder
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        if WITH_LOG.contains(&name.as_str()) {
            continue;
        }
        let Some(stand) = Stand::new() else { return };
        // A log that fails always.
        let log = Proxy::start(stand.registry.address());
        log.when(|_| true).answer(500, &[], b"");
        play(&stand, &format!("http://{}", log.address()), &name, folder);
        compared += 1;
    }
    assert_eq!(compared, 22, "the corpus has so many others");
}

#[test]
#[ignore = "needs Rekor v1 and its database: ./test --sigstore"]
fn runs_are_logged_as_with_chains() {
    let Some(sigstore) = Sigstore::shared() else {
        return;
    };
    for name in WITH_LOG {
        let Some(stand) = Stand::new() else { return };
        let folder = fixtures().join("golden/lifecycle").join(name);
        play(&stand, &sigstore.rekor.url(), name, &folder);
    }
}

fn play(stand: &Stand, log: &str, name: &str, folder: &Path) {
    let registry = stand.registry.address();
    let read = |file: &str| -> Value {
        let text = fs::read_to_string(folder.join(file)).expect("the corpus is complete");
        let text = text
            .replace("${REGISTRY}", registry)
            .replace("${DEADREGISTRY}", "127.0.0.1:1")
            .replace("${REKOR}", log)
            .replace("${DIGEST}", DIGEST);
        serde_json::from_str(&text).expect("the corpus is JSON")
    };
    let (scenario, expected) = (read("scenario.json"), read("expected.json"));
    if name != "bundle-unknown-image" {
        push_empty_image(stand);
    }
    let key = stand.keys().join("x509.pem");
    fs::remove_file(&key).expect("it is there");
    if scenario["keys"] == "x509" {
        fs::copy(folder.join("../keys/x509.pem"), &key).expect("it is there");
    }
    let mut config: BTreeMap<&str, &str> = members(&scenario["config"])
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
        .collect();
    let listed = format!("{registry},127.0.0.1:1");
    config.insert("tekseal.registries", &listed);
    // Chains signs images unseen; one scenario has one that is nowhere.
    config.insert("tekseal.absent-images", "insecure-sign");
    stand.configure(&config.into_iter().collect::<Vec<_>>());
    let mut uids = Vec::new();
    let children = scenario["children"].as_array().into_iter().flatten();
    for object in children.chain([&scenario["object"]]) {
        uids.push(create(stand, object));
    }
    let (run, old_uid) = uids.pop().expect("there is a run");
    if scenario.to_string().contains(SIGNED) {
        // Marks of others count on runs of before the controller's time, which is counted in whole seconds.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let controller = stand.start();
    let otherwise = OTHERWISE.iter().find(|(scenario, ..)| *scenario == name);
    if let Some((_, mark, reason, why)) = otherwise {
        let says = |run: &Value| {
            annotation(run, SIGNED) == *mark
                && annotation(run, REASON).is_some_and(|text| text.contains(reason))
        };
        let run = stand.wait(&run, says);
        // Chains ended in another way: should ours come to do the same, the list is to be corrected.
        assert!(
            compare(stand, &run, &old_uid, &expected).is_err(),
            "{name} ends as with Chains now, not as listed: {why}"
        );
        return;
    }
    let wanted = expected["annotations"][SIGNED].as_str();
    let run = match (wanted, name) {
        // Only the PipelineRun's reconciler was recorded, which waits for the child's; ours does both.
        (None, "pipelinerun-child-unsigned") => {
            let run = stand.wait_marked(&run);
            assert_eq!(annotation(&run, SIGNED), Some("true"), "{name}");
            return;
        }
        (None, _) => {
            let is_held = |run: &Value| run["metadata"]["finalizers"].is_array();
            stand.wait(&run, is_held)
        }
        (Some(_), "already-signed") => {
            // Another run that came later is done with: this one was looked at before.
            let later = stand.completed("later", json!([]));
            stand.wait_marked(&later);
            stand.wait(&run, |_| true)
        }
        (Some(_), _) => stand.wait_marked(&run),
    };
    if let Err(difference) = compare(stand, &run, &old_uid, &expected) {
        controller.signal("TERM");
        panic!("{name}: {difference}\n{:?}", controller.wait());
    }
}

/// Makes a run with its status; gives it as it is in the cluster, and the uid that the corpus has.
fn create(stand: &Stand, object: &Value) -> (Value, String) {
    let mut object = object.clone();
    let uid = object["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    object["metadata"]["namespace"] = json!(stand.builds);
    let made = stand.api.create(&object);
    let path = format!("{}/status", object_path(&made));
    let status = json!({"status": object["status"]});
    (stand.api.patch(&path, &status), uid)
}

fn push_empty_image(stand: &Stand) {
    let config = stand.registry.push_blob("acme/app", CONFIG.as_bytes());
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{config}"}},"layers":[]}}"#,
        CONFIG.len()
    );
    let digest = stand
        .registry
        .put_manifest("acme/app", "latest", kind, manifest.as_bytes());
    assert_eq!(digest, DIGEST);
}

/// Whether the run and the registry are as Chains left them.
fn compare(stand: &Stand, run: &Value, old_uid: &str, expected: &Value) -> Result<(), String> {
    let uid = run["metadata"]["uid"].as_str().unwrap_or_default();
    let found: BTreeMap<String, &Value> = members(&run["metadata"]["annotations"])
        .filter(|(key, _)| !key.starts_with("tekseal.dev/") && !key.ends_with("/retries"))
        .map(|(key, value)| (key.replace(uid, old_uid), value))
        .collect();
    let wanted: BTreeMap<String, &Value> = members(&expected["annotations"])
        .filter(|(key, _)| !key.ends_with("/retries"))
        .map(|(key, value)| (key.clone(), value))
        .collect();
    let keys = |map: &BTreeMap<String, &Value>| map.keys().cloned().collect::<BTreeSet<_>>();
    if keys(&found) != keys(&wanted) {
        return Err(format!(
            "annotations {:#?}, wanted {:#?}",
            keys(&found),
            keys(&wanted)
        ));
    }
    for (key, value) in &found {
        if key == TRANSPARENCY {
            is_entry(wanted[key], value)?;
            continue;
        }
        same(wanted[key], value).map_err(|e| format!("annotation {key}{e}"))?;
    }
    let registry = members(&expected["registry"]).filter(|(_, content)| !content.is_null());
    let mut wanted: BTreeMap<&str, &Value> = registry
        .map(|(tag, content)| (tag.as_str(), content))
        .collect();
    let mut tags = BTreeSet::new();
    for repository in ["acme/app", "acme/two", "store/sigs"] {
        for tag in stand.registry.tags(repository) {
            tags.insert(format!("{repository}:{tag}"));
        }
    }
    // Where nothing was pushed, the corpus has no image either.
    if !wanted.contains_key("acme/app:latest") {
        tags.remove("acme/app:latest");
    }
    let referrers = wanted.remove("acme/app referrers");
    if let Some(referrers) = referrers {
        // The recorded registry listed them by itself.
        tags.remove(&format!("acme/app:{}", DIGEST.replace(':', "-")));
        same_referrers(stand, referrers)?;
    }
    let names: BTreeSet<String> = wanted.keys().map(|&tag| tag.to_owned()).collect();
    if tags != names {
        return Err(format!("tags {tags:#?}, wanted {names:#?}"));
    }
    for (name, content) in wanted {
        let (repository, tag) = name.rsplit_once(':').expect("a tag has a colon");
        let manifest = stand
            .registry
            .manifest(repository, tag)
            .expect("it is there");
        let found = inlined(stand, repository, manifest.json());
        same(&content["manifest"], &found).map_err(|e| format!("{name}{e}"))?;
    }
    Ok(())
}

/// Whether the address is one of an entry of the same log: what other tests log counts too, so the index is another.
fn is_entry(wanted: &Value, found: &Value) -> Result<(), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (wanted, found) = (text(wanted), text(found));
    let before = |address: &str| address.split_once('=').map(|(before, _)| before.to_owned());
    if before(&wanted) != before(&found) {
        return Err(format!("the entry is at {found}, wanted {wanted}"));
    }
    let entry = Run::new("curl")
        .args(["--silent", "--show-error", "--fail", &found])
        .ok();
    match entry.stdout.contains("signedEntryTimestamp") {
        true => Ok(()),
        false => Err(format!("{found} is no entry: {}", entry.stdout)),
    }
}

/// Whether what refers to the image is as Chains left it, but for two things. There is no time on a manifest, so that the same bundle is there once.
/// And an image signature is the Statement of cosign 3, over the pre-authentication encoding: Chains' is over the bare simple-signing document,
/// and verifies nowhere.
fn same_referrers(stand: &Stand, wanted: &Value) -> Result<(), String> {
    let index = stand
        .registry
        .manifest("acme/app", &DIGEST.replace(':', "-"));
    let index = index.ok_or("nothing refers to the image")?.json();
    let kind = |manifest: &Value| {
        let kind = &manifest["annotations"]["dev.sigstore.bundle.predicateType"];
        kind.as_str().unwrap_or_default().to_owned()
    };
    let mut found = BTreeMap::new();
    for entry in index["manifests"].as_array().into_iter().flatten() {
        let digest = entry["digest"].as_str().unwrap_or_default();
        let manifest = stand.registry.manifest("acme/app", digest);
        let manifest = manifest.ok_or("a listed manifest is not there")?.json();
        found.insert(kind(&manifest), inlined(stand, "acme/app", manifest));
    }
    let wanted = wanted.as_array().map_or(&[][..], Vec::as_slice);
    if wanted.len() != found.len() {
        return Err(format!("referrers {:#?}", found.keys()));
    }
    for wanted in wanted {
        let mut wanted = wanted["manifest"].clone();
        let found = found.get_mut(&kind(&wanted));
        let found = found.ok_or_else(|| format!("no bundle is a {}", kind(&wanted)))?;
        if let Some(annotations) = wanted["annotations"].as_object_mut() {
            annotations.remove("org.opencontainers.image.created");
        }
        if kind(&wanted).contains("cosign/sign") {
            let envelope = |of: &mut Value| {
                let inside = &mut of["layers"][0]["blob"]["<json>"]["dsseEnvelope"];
                let inside = inside.as_object_mut();
                inside.and_then(|envelope| {
                    Some((envelope.remove("payload")?, envelope.remove("payloadType")?))
                })
            };
            envelope(&mut wanted);
            let own = envelope(found).ok_or("there is no envelope")?;
            if own.1 != "application/vnd.in-toto+json" {
                return Err(format!("an image signature is a {}", own.1));
            }
        }
        same(&wanted, found).map_err(|e| format!("a referrer{e}"))?;
    }
    Ok(())
}

/// A manifest with its blobs in it, as the corpus has it.
fn inlined(stand: &Stand, repository: &str, mut manifest: Value) -> Value {
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let bytes = stand
            .registry
            .blob(repository, digest)
            .expect("it is there");
        let json: Value = serde_json::from_slice(&bytes).expect("these blobs are JSON");
        json!({ "<json>": json })
    };
    manifest["config"]["blob"] = blob(&manifest["config"]);
    for layer in manifest["layers"].as_array_mut().into_iter().flatten() {
        layer["blob"] = blob(layer);
        let annotations = layer.get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.remove("predicateType");
        }
    }
    manifest
}

/// Whether `found` is what the corpus says, where that leaves things open.
fn same(wanted: &Value, found: &Value) -> Result<(), String> {
    let differ = || Err(format!(": {found}, wanted {wanted}"));
    match wanted {
        Value::String(text) if text.contains("<random>") || text == "<not shown>" => Ok(()),
        Value::String(text) if text == "<base64 random>" => match found.as_str() {
            Some(found) if STANDARD.decode(found).is_ok_and(|bytes| !bytes.is_empty()) => Ok(()),
            _ => differ(),
        },
        Value::Object(members) => {
            if let Some(inside) = members.get("<base64 json>") {
                let bytes = STANDARD.decode(found.as_str().unwrap_or_default());
                let json = bytes
                    .ok()
                    .and_then(|b| serde_json::from_slice::<Value>(&b).ok());
                let Some(json) = json else { return differ() };
                return same(inside, &json).map_err(|e| format!(" (decoded){e}"));
            }
            let Some(others) = found.as_object() else {
                return differ();
            };
            // The entry of another log, at another place.
            if members.contains_key(BUNDLE)
                && !is_logged(others.get(BUNDLE).unwrap_or(&Value::Null))
            {
                return differ();
            }
            let kept = |key: &&String| !key.starts_with("dev.sigstore.cosign/c") && *key != BUNDLE;
            let keys: BTreeSet<_> = members.keys().filter(kept).collect();
            if keys != others.keys().filter(kept).collect() {
                return differ();
            }
            for key in keys {
                same(&members[key], &others[key]).map_err(|e| format!(".{key}{e}"))?;
            }
            Ok(())
        }
        Value::Array(items) => {
            let others = found.as_array().map_or(&[][..], Vec::as_slice);
            if items.len() != others.len() {
                return differ();
            }
            for (at, (item, other)) in items.iter().zip(others).enumerate() {
                same(item, other).map_err(|e| format!("[{at}]{e}"))?;
            }
            Ok(())
        }
        _ if wanted == found => Ok(()),
        _ => differ(),
    }
}

/// Whether an annotation of a layer has the entry of a log.
fn is_logged(annotation: &Value) -> bool {
    let entry: Option<Value> = serde_json::from_str(annotation.as_str().unwrap_or_default()).ok();
    entry.is_some_and(|entry| {
        entry["SignedEntryTimestamp"].is_string() && entry["Payload"]["logIndex"].is_u64()
    })
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// An object of the corpus names a run by kind and name.
#[test]
fn the_corpus_names_runs_that_the_api_server_knows() {
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "a", "namespace": "b"}});
    assert_eq!(
        object_path(&run),
        "/apis/tekton.dev/v1/namespaces/b/pipelineruns/a"
    );
}
