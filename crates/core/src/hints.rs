//! Type hints: which results and parameters of a run name the artifacts that it read and made.
//!
//! This module is the only reading of `*IMAGE_URL`/`*IMAGE_DIGEST`, `IMAGES`, `*ARTIFACT_URI`/`*ARTIFACT_DIGEST`, `*ARTIFACT_INPUTS`,
//! `*ARTIFACT_OUTPUTS` and `CHAINS-GIT_URL`/`CHAINS-GIT_COMMIT`, with the rules of Tekton Chains
//! (<https://tekton.dev/docs/chains/slsa-provenance/#type-hinting>). Where Chains takes pairs in the random order of a hash map, ours is
//! the order in which the first result of each pair stands in the run.
//! A hint that is there but unusable is never silent: it comes out as a [`Note`].

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::reference::{self, DigestRef};
use crate::run::{CompletedRun, Param, Value};
use crate::statement::{DigestSet, Subject};

/// Result with the image's name; may have a prefix that pairs it with its digest.
pub const IMAGE_URL: &str = "IMAGE_URL";
/// Result with the image's digest.
pub const IMAGE_DIGEST: &str = "IMAGE_DIGEST";
/// Result with a list of images by digest.
pub const IMAGES: &str = "IMAGES";
/// Object result with an artifact that was made.
pub const ARTIFACT_OUTPUTS: &str = "ARTIFACT_OUTPUTS";
/// Object result with an artifact that was read.
pub const ARTIFACT_INPUTS: &str = "ARTIFACT_INPUTS";
/// Parameter or result with the URL of the source repository.
pub const GIT_URL: &str = "CHAINS-GIT_URL";
/// Parameter or result with the commit that was built.
pub const GIT_COMMIT: &str = "CHAINS-GIT_COMMIT";
const ARTIFACT_URI: &str = "ARTIFACT_URI";
const ARTIFACT_DIGEST: &str = "ARTIFACT_DIGEST";

/// What a run read and made, as its hints say.
#[derive(Clone, Debug, Default)]
pub struct Artifacts {
    /// Images to sign, in order, each once.
    pub images: Vec<DigestRef>,
    /// Subjects of provenance v0.2 (and v1 as `slsa/v2alpha3` makes it).
    pub subjects: Vec<Subject>,
    /// Source and other inputs, in Chains' order: git first.
    pub inputs: Vec<Material>,
    /// Hints that are there but say nothing usable.
    pub notes: Vec<Note>,
}

/// Something that was read: a URI and its digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// Where it came from.
    pub uri: String,
    /// Digests of it.
    pub digest: DigestSet,
}

/// A hint that was not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Name of the result.
    pub result: String,
    /// Why it was not used.
    pub reason: String,
}

/// Why a digest in an `ARTIFACT_*` hint is not usable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// Not `algorithm:hex`.
    #[error("digest {0:?} is not of the form algorithm:hex")]
    Form(String),
    /// Not sha1, sha256, sha384 or sha512.
    #[error("digest {0:?} has an unsupported algorithm, wanted sha1, sha256, sha384 or sha512")]
    Algorithm(String),
    /// Wrong number of digits, or a character that is no lower-case hexadecimal digit.
    #[error("digest {0:?} is not {1} lower-case hexadecimal digits")]
    Digits(String, usize),
}

/// Reads the hints of `run`.
#[must_use]
pub fn observe(run: &CompletedRun) -> Artifacts {
    let mut notes = Vec::new();
    let images = images(run.results(), &mut notes);
    let subjects = subjects(run.results(), &images, &mut notes);
    let mut inputs = Vec::new();
    if let Some(git) = git_input(run) {
        append_material(&mut inputs, git);
    }
    for material in artifact_inputs(run.results(), &mut notes) {
        append_material(&mut inputs, material);
    }
    Artifacts {
        images,
        subjects,
        inputs,
        notes,
    }
}

/// A digest as `ARTIFACT_*` hints carry it: algorithm and hexadecimal digits, both trimmed, the algorithm in lower case.
pub fn parse_digest(text: &str) -> Result<(String, String), DigestError> {
    let mut parts = text.split(':');
    let (Some(algorithm), Some(digits), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(DigestError::Form(text.to_owned()));
    };
    let algorithm = algorithm.trim().to_lowercase();
    let digits = digits.trim();
    let length = match algorithm.as_str() {
        "sha1" => 40,
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(DigestError::Algorithm(text.to_owned())),
    };
    if digits.len() != length
        || !digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Err(DigestError::Digits(text.to_owned(), length));
    }
    Ok((algorithm, digits.to_owned()))
}

fn images(results: &[Param], notes: &mut Vec<Note>) -> Vec<DigestRef> {
    let mut found: Vec<DigestRef> = Vec::new();
    let mut known = HashSet::new();
    let mut add = |result: &str, text: &str, notes: &mut Vec<Note>| match DigestRef::parse(text) {
        Ok(image) if known.insert(image.clone()) => found.push(image),
        Ok(_) => {}
        Err(error) => notes.push(Note {
            result: result.to_owned(),
            reason: explain(&error),
        }),
    };
    for pair in pairs(results, IMAGE_URL, IMAGE_DIGEST, notes) {
        add(
            &pair.result,
            &format!("{}@{}", pair.name, pair.digest),
            notes,
        );
    }
    for result in results.iter().filter(|r| r.name == IMAGES) {
        for text in result
            .value
            .as_text()
            .split([',', '\n'])
            .map(str::trim)
            .filter(|t| !t.is_empty())
        {
            add(IMAGES, text, notes);
        }
    }
    for (result, map) in objects(results, ARTIFACT_OUTPUTS) {
        if map.get("isBuildArtifact").is_some_and(|v| v == "true")
            && let Some((uri, digest)) = uri_and_digest(map)
            && parse_digest(digest).is_ok()
        {
            add(&result.name, &format!("{uri}@{digest}"), notes);
        }
    }
    found
}

fn subjects(results: &[Param], images: &[DigestRef], notes: &mut Vec<Note>) -> Vec<Subject> {
    let mut found = Vec::new();
    for image in images {
        append_subject(&mut found, Subject::of_image(image));
    }
    for pair in pairs(results, ARTIFACT_URI, ARTIFACT_DIGEST, notes) {
        match parse_digest(&pair.digest) {
            Ok(_) => append_subject(&mut found, raw_subject(&pair.name, &pair.digest)),
            Err(error) => notes.push(Note {
                result: pair.result,
                reason: error.to_string(),
            }),
        }
    }
    for (result, map) in objects(results, ARTIFACT_OUTPUTS) {
        let Some((uri, digest)) = uri_and_digest(map) else {
            notes.push(missing_parts(result));
            continue;
        };
        match parse_digest(digest) {
            Ok(_) => append_subject(&mut found, raw_subject(uri, digest)),
            Err(error) => notes.push(Note {
                result: result.name.clone(),
                reason: error.to_string(),
            }),
        }
    }
    for result in results
        .iter()
        .filter(|r| r.name.ends_with(ARTIFACT_OUTPUTS) && r.value.as_object().is_none())
    {
        notes.push(Note {
            result: result.name.clone(),
            reason: "is not an object with uri and digest".to_owned(),
        });
    }
    found
}

fn artifact_inputs(results: &[Param], notes: &mut Vec<Note>) -> Vec<Material> {
    let mut found = Vec::new();
    for result in results.iter().filter(|r| r.name.ends_with(ARTIFACT_INPUTS)) {
        let Some((uri, digest)) = result.value.as_object().and_then(uri_and_digest) else {
            notes.push(missing_parts(result));
            continue;
        };
        match parse_digest(digest) {
            Ok((algorithm, hex)) => {
                found.push(Material {
                    uri: uri.to_owned(),
                    digest: BTreeMap::from([(algorithm, hex)]),
                });
            }
            Err(error) => notes.push(Note {
                result: result.name.clone(),
                reason: error.to_string(),
            }),
        }
    }
    found
}

/// The source repository: defaults, then parameters, then results; the later wins, URL and commit each on their own. The commit is not
/// checked, and a missing URL gives `git+.git`: that is what Chains does, and the bytes are the contract.
fn git_input(run: &CompletedRun) -> Option<Material> {
    let mut url = "";
    let mut commit = "";
    let named = run
        .params()
        .iter()
        .chain(run.results())
        .map(|p| (p.name.as_str(), &p.value));
    for (name, value) in run.param_defaults().chain(named) {
        match name {
            GIT_URL => url = value.as_text(),
            GIT_COMMIT => commit = value.as_text(),
            _ => {}
        }
    }
    if commit.is_empty() {
        return None;
    }
    let prefix = if url.starts_with("git+") { "" } else { "git+" };
    let suffix = if url.ends_with(".git") { "" } else { ".git" };
    Some(Material {
        uri: format!("{prefix}{url}{suffix}"),
        digest: BTreeMap::from([("sha1".to_owned(), commit.to_owned())]),
    })
}

struct Pair {
    result: String,
    name: String,
    digest: String,
}

/// Results `<marker>NAME` and `<marker>DIGEST` with the same marker. A marker seen again overrides; half a pair is noted.
fn pairs(
    results: &[Param],
    name_suffix: &str,
    digest_suffix: &str,
    notes: &mut Vec<Note>,
) -> Vec<Pair> {
    let mut markers: Vec<(&str, Option<&Param>, Option<&Param>)> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for result in results {
        let by_name = result.name.strip_suffix(name_suffix);
        let Some(marker) = by_name.or_else(|| result.name.strip_suffix(digest_suffix)) else {
            continue;
        };
        if result.value.as_text().trim().is_empty() {
            continue;
        }
        let at = *known.entry(marker).or_insert_with(|| {
            markers.push((marker, None, None));
            markers.len() - 1
        });
        let slot = if by_name.is_some() {
            &mut markers[at].1
        } else {
            &mut markers[at].2
        };
        *slot = Some(result);
    }
    let mut found = Vec::new();
    for (marker, name, digest) in markers {
        match (name, digest) {
            (Some(name), Some(digest)) => found.push(Pair {
                result: name.name.clone(),
                name: name.value.as_text().trim().to_owned(),
                digest: digest.value.as_text().trim().to_owned(),
            }),
            (Some(only), None) => notes.push(half(only, &format!("{marker}{digest_suffix}"))),
            (None, Some(only)) => notes.push(half(only, &format!("{marker}{name_suffix}"))),
            (None, None) => {}
        }
    }
    found
}

fn half(present: &Param, missing: &str) -> Note {
    Note {
        result: present.name.clone(),
        reason: format!("is alone: there is no result {missing} with a value"),
    }
}

fn missing_parts(result: &Param) -> Note {
    Note {
        result: result.name.clone(),
        reason: "is not an object with non-empty uri and digest".to_owned(),
    }
}

fn objects<'a>(
    results: &'a [Param],
    suffix: &'a str,
) -> impl Iterator<Item = (&'a Param, &'a BTreeMap<String, String>)> {
    results
        .iter()
        .filter(move |r| r.name.ends_with(suffix))
        .filter_map(|r| match &r.value {
            Value::Object(map) => Some((r, map)),
            Value::String(_) | Value::Array(_) => None,
        })
}

fn uri_and_digest(map: &BTreeMap<String, String>) -> Option<(&str, &str)> {
    let uri = map.get("uri").filter(|v| !v.is_empty())?;
    let digest = map.get("digest").filter(|v| !v.is_empty())?;
    Some((uri, digest))
}

/// A Subject with the digest as the hint wrote it: Chains checks a cleaned form but keeps this one.
fn raw_subject(name: &str, digest: &str) -> Subject {
    let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
    Subject {
        name: name.to_owned(),
        digest: BTreeMap::from([(algorithm.to_owned(), hex.to_owned())]),
    }
}

fn explain(error: &reference::Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Appends a Subject, or merges its digests into an earlier one of the same name that shares a digest.
fn append_subject(list: &mut Vec<Subject>, new: Subject) {
    match list
        .iter_mut()
        .find(|s| s.name == new.name && shares(&s.digest, &new.digest))
    {
        Some(earlier) => earlier.digest.extend(new.digest),
        None => list.push(new),
    }
}

/// Appends a material, or merges its digests into an earlier one of the same URI that shares a digest.
pub(crate) fn append_material(list: &mut Vec<Material>, new: Material) {
    match list
        .iter_mut()
        .find(|m| m.uri == new.uri && shares(&m.digest, &new.digest))
    {
        Some(earlier) => earlier.digest.extend(new.digest),
        None => list.push(new),
    }
}

fn shares(a: &DigestSet, b: &DigestSet) -> bool {
    a.iter()
        .any(|(algorithm, hex)| b.get(algorithm) == Some(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "b29814cf5792e684cd75d6a7fce7a67a11887e312f87ca2ac2496d81f365ff72";

    fn run(results: &str) -> CompletedRun {
        let text = format!(
            r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{{"name":"r"}},"status":{{
            "conditions":[{{"type":"Succeeded","status":"True"}}],"results":{results}}}}}"#
        );
        CompletedRun::from_json(text.as_bytes()).expect("the test's run is well formed")
    }

    #[test]
    fn pairs_are_joined_by_prefix_and_half_a_pair_is_noted() {
        let artifacts = observe(&run(&format!(
            r#"[{{"name":"a-IMAGE_URL","value":"quay.io/o/a:1 \n"}},{{"name":"b-IMAGE_URL","value":"quay.io/o/b"}},
                {{"name":"a-IMAGE_DIGEST","value":"sha256:{HEX}"}}]"#
        )));
        let names: Vec<_> = artifacts.images.iter().map(ToString::to_string).collect();
        assert_eq!(names, [format!("quay.io/o/a@sha256:{HEX}")]);
        assert_eq!(artifacts.notes.len(), 1);
        assert_eq!(artifacts.notes[0].result, "b-IMAGE_URL");
        assert!(artifacts.notes[0].reason.contains("b-IMAGE_DIGEST"));
    }

    #[test]
    fn an_image_that_already_has_a_digest_is_noted_and_not_signed() {
        let artifacts = observe(&run(&format!(
            r#"[{{"name":"IMAGE_URL","value":"quay.io/o/a@sha256:{HEX}"}},{{"name":"IMAGE_DIGEST","value":"sha256:{HEX}"}}]"#
        )));
        assert!(artifacts.images.is_empty());
        assert!(
            artifacts.notes[0].reason.contains("more than one '@'"),
            "{:?}",
            artifacts.notes
        );
    }

    #[test]
    fn equal_artifacts_are_merged() {
        let artifacts = observe(&run(&format!(
            r#"[{{"name":"IMAGES","value":"quay.io/o/a@sha256:{HEX},quay.io/o/a:2@sha256:{HEX}"}},
                {{"name":"x-ARTIFACT_OUTPUTS","value":{{"uri":"quay.io/o/a","digest":"sha256:{HEX}"}}}},
                {{"name":"in-ARTIFACT_INPUTS","value":{{"uri":"pkg:x","digest":"SHA256: {HEX}"}}}}]"#
        )));
        assert_eq!(artifacts.images.len(), 1);
        assert_eq!(artifacts.subjects.len(), 1);
        assert_eq!(
            artifacts.inputs[0].digest.get("sha256").map(String::as_str),
            Some(HEX)
        );
    }
}
