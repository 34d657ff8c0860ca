//! What the real cosign wrote: the repositories of `tests/fixtures/cosign-samples`, for tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::digest::Digest;

/// One layer of a manifest, with its bytes.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Folder of the repository.
    pub(crate) case: String,
    pub(crate) media_type: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) content: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cosign-samples")
}

/// A file of the samples.
pub(crate) fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).expect("the samples are beside the sources")
}

/// All layers with a signature, an attestation or a bundle, in a fixed order.
pub(crate) fn layers() -> Vec<Layer> {
    let mut layers = Vec::new();
    for case in sorted(&folder()) {
        for manifest in sorted(&case.join("manifests")) {
            let bytes = fs::read(&manifest).expect("it was listed");
            let manifest: Manifest = serde_json::from_slice(&bytes).expect("a manifest or index");
            for layer in manifest.layers {
                if !layer.media_type.contains("vnd.dev.") && !layer.media_type.contains("dsse") {
                    continue;
                }
                let blob = case.join("blobs").join(layer.digest.hex());
                layers.push(Layer {
                    case: name(&case),
                    media_type: layer.media_type,
                    annotations: layer.annotations,
                    content: fs::read(blob).expect("blobs are complete"),
                });
            }
        }
    }
    assert!(layers.len() > 50, "only {} layers", layers.len());
    layers
}

/// All bundles: folder and bytes.
pub(crate) fn bundles() -> Vec<(String, Vec<u8>)> {
    let bundles = layers()
        .into_iter()
        .filter(|layer| crate::bundle::is_media_type(&layer.media_type));
    bundles.map(|layer| (layer.case, layer.content)).collect()
}

/// The first bundle of this folder.
pub(crate) fn bundle(case: &str) -> Vec<u8> {
    let mut bundles = bundles().into_iter();
    let bundle = bundles.find(|(found, _)| found == case);
    bundle.expect("the folder has a bundle").1
}

/// The first value of this annotation in this folder.
pub(crate) fn annotation(case: &str, name: &str) -> String {
    let mut layers = layers().into_iter().filter(|layer| layer.case == case);
    let value = layers.find_map(|mut layer| layer.annotations.remove(name));
    value.expect("a layer of the folder has the annotation")
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What is in a folder; nothing, where there is none.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    let name = path.file_name().expect("a folder of a listing");
    name.to_string_lossy().into_owned()
}

/// The document with the value at a JSON pointer replaced, added, or (`None`) removed.
pub(crate) fn changed(document: &[u8], pointer: &str, value: Option<&str>) -> Vec<u8> {
    let mut document: serde_json::Value = serde_json::from_slice(document).expect("JSON");
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = document.pointer_mut(parent).expect("its parent is there");
    let value = value.map(|value| serde_json::from_str(value).expect("JSON"));
    match (parent, value) {
        (serde_json::Value::Object(members), Some(value)) => {
            members.insert(name.to_owned(), value);
        }
        (serde_json::Value::Object(members), None) => {
            members.remove(name).expect("it is there");
        }
        (parent, Some(value)) => {
            let at: usize = name.parse().expect("an item of a list");
            parent[at] = value;
        }
        (parent, None) => panic!("{parent} has no members to remove"),
    }
    document.to_string().into_bytes()
}

/// The value at a JSON pointer.
pub(crate) fn value(document: &[u8], pointer: &str) -> serde_json::Value {
    let document: serde_json::Value = serde_json::from_slice(document).expect("JSON");
    document.pointer(pointer).expect("it is there").clone()
}

/// The document with some of its bytes changed, removed or doubled.
pub(crate) fn damaged(mut document: Vec<u8>, damages: &[(usize, u8, u8)]) -> Vec<u8> {
    for &(at, how, byte) in damages {
        if document.is_empty() {
            break;
        }
        let at = at % document.len();
        match how % 4 {
            0 => document[at] = byte,
            1 => drop(document.remove(at)),
            2 => document.insert(at, byte),
            _ => {
                let end = document.len().min(at + usize::from(byte));
                let piece = document[at..end].to_vec();
                document.splice(at..at, piece);
            }
        }
    }
    document
}

/// The document with its `at`-th value replaced by the `by`-th of some that belong nowhere.
pub(crate) fn replaced(document: &[u8], at: usize, by: usize) -> Vec<u8> {
    let mut document: serde_json::Value = serde_json::from_slice(document).expect("JSON");
    let value = ODD_VALUES[by % ODD_VALUES.len()];
    let value = serde_json::from_str(value).expect("JSON");
    let mut left = at % count(&document);
    replace(&mut document, &mut left, value);
    document.to_string().into_bytes()
}

const ODD_VALUES: [&str; 14] = [
    "null",
    "true",
    "0",
    "-1",
    "18446744073709551615",
    "1e300",
    r#""""#,
    r#""9223372036854775807""#,
    r#""AA==""#,
    r#""é\u0000""#,
    "[]",
    "[[null]]",
    "{}",
    r#"{"rawBytes":{}}"#,
];

/// How many values there are, with all inside.
fn count(value: &serde_json::Value) -> usize {
    let inside: usize = match value {
        serde_json::Value::Array(items) => items.iter().map(count).sum(),
        serde_json::Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    };
    inside + 1
}

/// Replaces the value before which `left` others stand; gives the new one back where it is not in here.
fn replace(
    place: &mut serde_json::Value,
    left: &mut usize,
    value: serde_json::Value,
) -> Option<serde_json::Value> {
    if *left == 0 {
        *place = value;
        return None;
    }
    *left -= 1;
    let inside: Vec<_> = match place {
        serde_json::Value::Array(items) => items.iter_mut().collect(),
        serde_json::Value::Object(members) => members.values_mut().collect(),
        _ => Vec::new(),
    };
    inside
        .into_iter()
        .try_fold(value, |value, place| replace(place, left, value))
}
