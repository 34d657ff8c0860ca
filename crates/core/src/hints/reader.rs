//! Reads the hints in one list of results, noting what became of each.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use super::git::GitSource;
use super::{
    ARTIFACT_DIGEST, ARTIFACT_INPUTS, ARTIFACT_OUTPUTS, ARTIFACT_URI, DigestError, Finding,
    GIT_COMMIT, GIT_URL, Hints, IMAGE_DIGEST, IMAGE_URL, IMAGES, Outcome, Output, nearly,
    parse_digest,
};
use crate::artifact::Artifact;
use crate::reference::{self, ImageRef, TaggedImage};
use crate::run::Param;
use crate::typed::ParamValue;

/// Key of an `ARTIFACT_OUTPUTS` object that declares it the thing that was built.
const IS_BUILD_ARTIFACT: &str = "isBuildArtifact";

impl<'r> Hints<'r> {
    /// Reads one list of results.
    #[must_use]
    pub fn of(results: &[Param<'r, '_>]) -> Self {
        let mut reader = Reader {
            results,
            outcomes: vec![None; results.len()],
            hints: Self::default(),
        };
        reader.images();
        reader.artifacts();
        reader.inputs();
        reader.git();
        reader.near_misses();
        let Reader {
            outcomes,
            mut hints,
            ..
        } = reader;
        let found = outcomes.into_iter().zip(results).enumerate();
        hints.findings = found
            .filter_map(|(at, (found, result))| {
                let (hint, outcome) = found?;
                Some(Finding {
                    at,
                    name: result.name,
                    hint,
                    outcome,
                })
            })
            .collect();
        hints
    }
}

/// Reads one list of results, noting what became of each.
struct Reader<'l, 'r, 'a> {
    results: &'l [Param<'r, 'a>],
    /// Which hint each result is, and what became of it.
    outcomes: Vec<Option<(&'static str, Outcome)>>,
    hints: Hints<'r>,
}

/// Two results with the same marker, by position.
struct Pair {
    name: usize,
    digest: usize,
}

impl<'r, 'a> Reader<'_, 'r, 'a> {
    fn images(&mut self) {
        for pair in self.pairs(IMAGE_URL, IMAGE_DIGEST) {
            let text = format!("{}@{}", self.trimmed(pair.name), self.trimmed(pair.digest));
            let outcome = self.image(&text);
            self.note(pair.name, IMAGE_URL, outcome.clone());
            self.note(pair.digest, IMAGE_DIGEST, outcome);
        }
        for (at, result) in self.named(|name| name == IMAGES) {
            let texts = result.text().split([',', '\n']).map(str::trim);
            // What is wrong matters more than what is right. Nothing at all is how a build of a single image leaves it.
            let mut outcome = Outcome::Empty;
            for text in texts.filter(|text| !text.is_empty()) {
                let one = self.image(text);
                if !matches!(outcome, Outcome::Invalid(_)) {
                    outcome = one;
                }
            }
            self.note(at, IMAGES, outcome);
        }
        for (at, result) in self.named(|name| name.ends_with(ARTIFACT_OUTPUTS)) {
            let Ok(Some((uri, digest, true))) = output(&result) else {
                continue;
            };
            let image = self.image(&format!("{uri}@{digest}"));
            if let Outcome::Invalid(why) = image {
                let outcome = Outcome::Ignored(format!("gets no image signature: {why}"));
                self.note(at, ARTIFACT_OUTPUTS, outcome);
            }
        }
        keep_first(&mut self.hints.images);
        keep_first(&mut self.hints.tagged);
    }

    fn image(&mut self, text: &str) -> Outcome {
        let read = ImageRef::parse(text).and_then(|mut written| {
            let tag = written.tag.take();
            Ok((written.digest_ref()?, tag))
        });
        match read {
            Ok((image, tag)) => {
                // One that no registry takes is as good as none.
                let tagged = tag.map(|tag| TaggedImage::new(image.clone(), &tag));
                self.hints.tagged.extend(tagged.and_then(Result::ok));
                self.hints.images.push(image);
                Outcome::Used
            }
            Err(error) => Outcome::Invalid(explain(&error)),
        }
    }

    fn artifacts(&mut self) {
        for pair in self.pairs(ARTIFACT_URI, ARTIFACT_DIGEST) {
            let (uri, digest) = (self.trimmed(pair.name), self.trimmed(pair.digest));
            let outcome = match parse_digest(digest) {
                Ok(_) => {
                    self.hints.artifacts.push(Artifact::as_written(uri, digest));
                    Outcome::Used
                }
                Err(error) => Outcome::Invalid(error.to_string()),
            };
            self.note(pair.name, ARTIFACT_URI, outcome.clone());
            self.note(pair.digest, ARTIFACT_DIGEST, outcome);
        }
        for (at, result) in self.named(|name| name.ends_with(ARTIFACT_OUTPUTS)) {
            let outcome = match output(&result) {
                Ok(Some((uri, digest, is_build_artifact))) => {
                    self.hints.outputs.push(Output {
                        artifact: Artifact::as_written(uri, digest),
                        is_build_artifact,
                    });
                    Outcome::Used
                }
                Ok(None) => Outcome::Invalid(WANTED_OBJECT.to_owned()),
                Err(error) => Outcome::Invalid(error.to_string()),
            };
            self.note(at, ARTIFACT_OUTPUTS, outcome);
        }
    }

    fn inputs(&mut self) {
        for (at, result) in self.named(|name| name.ends_with(ARTIFACT_INPUTS)) {
            let found = result
                .value
                .and_then(ParamValue::as_object)
                .and_then(uri_and_digest);
            let outcome = match found.map(|(uri, digest)| (uri, parse_digest(digest))) {
                Some((uri, Ok((algorithm, hex)))) => {
                    self.hints.inputs.push(Artifact::new(uri, algorithm, hex));
                    Outcome::Used
                }
                Some((_, Err(error))) => Outcome::Invalid(error.to_string()),
                None => Outcome::Invalid(WANTED_OBJECT.to_owned()),
            };
            self.note(at, ARTIFACT_INPUTS, outcome);
        }
    }

    fn git(&mut self) {
        let mut source = GitSource::default();
        for (at, result) in self.named(|name| name == GIT_URL || name == GIT_COMMIT) {
            let hint = if result.name == GIT_URL {
                GIT_URL
            } else {
                GIT_COMMIT
            };
            let outcome = if result.text().is_empty() {
                Outcome::Invalid("its value is no text, or empty".to_owned())
            } else {
                Outcome::Used
            };
            self.note(at, hint, outcome);
            source.set(result.name, result.text());
        }
        self.hints.git = source.of_task();
    }

    /// Names that are a hint's but for case, a dash, or a letter or two.
    fn near_misses(&mut self) {
        for (at, result) in self.results.iter().enumerate() {
            if self.outcomes[at].is_some() {
                continue;
            }
            if let Some(hint) = nearly(result.name) {
                let why = format!("is no hint: it is nearly {hint}");
                self.note(at, hint, Outcome::Ignored(why));
            }
        }
    }

    fn named(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<(usize, Param<'r, 'a>)> {
        let all = self.results.iter().enumerate();
        all.filter(|(_, result)| is_wanted(result.name))
            .map(|(at, result)| (at, *result))
            .collect()
    }

    fn trimmed(&self, at: usize) -> &'r str {
        self.results[at].value.map_or("", |v| v.as_text().trim())
    }

    fn note(&mut self, at: usize, hint: &'static str, outcome: Outcome) {
        // A reason that stands already is not overwritten by a use: a build artifact may be a Subject and yet no image.
        let known = &mut self.outcomes[at];
        if outcome != Outcome::Used || known.is_none() {
            *known = Some((hint, outcome));
        }
    }

    /// Results `<marker>NAME` and `<marker>DIGEST` with the same marker. A marker seen again overrides.
    fn pairs(&mut self, name_suffix: &'static str, digest_suffix: &'static str) -> Vec<Pair> {
        let results = self.results;
        let mut markers: Vec<(&str, Option<usize>, Option<usize>)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (at, result) in results.iter().enumerate() {
            let by_name = result.name.strip_suffix(name_suffix);
            let by_digest = result.name.strip_suffix(digest_suffix);
            let Some(marker) = by_name.or(by_digest) else {
                continue;
            };
            let hint = if by_name.is_some() {
                name_suffix
            } else {
                digest_suffix
            };
            if self.trimmed(at).is_empty() {
                let why = "has no value, or one that is no text".to_owned();
                self.note(at, hint, Outcome::Ignored(why));
                continue;
            }
            let slot = *known.entry(marker).or_insert_with(|| {
                markers.push((marker, None, None));
                markers.len() - 1
            });
            let slot = match by_name {
                Some(_) => &mut markers[slot].1,
                None => &mut markers[slot].2,
            };
            if let Some(earlier) = slot.replace(at) {
                let why = format!("a later result {} counts", result.name);
                self.note(earlier, hint, Outcome::Ignored(why));
            }
        }
        let mut found = Vec::new();
        for (marker, name, digest) in markers {
            let (alone, hint, missing) = match (name, digest) {
                (Some(name), Some(digest)) => {
                    found.push(Pair { name, digest });
                    continue;
                }
                (Some(only), None) => (only, name_suffix, digest_suffix),
                (None, Some(only)) => (only, digest_suffix, name_suffix),
                (None, None) => continue,
            };
            let why = format!("is alone: there is no result {marker}{missing} with a value");
            self.note(alone, hint, Outcome::Ignored(why));
        }
        found
    }
}

/// Drops what stood before in the list, in time linear in it.
fn keep_first<T: Hash + Eq>(list: &mut Vec<T>) {
    let mut known = HashSet::with_capacity(list.len());
    let is_new: Vec<bool> = list.iter().map(|one| known.insert(one)).collect();
    let mut is_new = is_new.into_iter();
    list.retain(|_| is_new.next() == Some(true));
}

const WANTED_OBJECT: &str = "is not an object with non-empty uri and digest";

/// What an `ARTIFACT_OUTPUTS` result names: uri, digest, and whether it was built. `None` if it lacks a part.
fn output<'v>(result: &Param<'v, '_>) -> Result<Option<(&'v str, &'v str, bool)>, DigestError> {
    let Some(map) = result.value.and_then(ParamValue::as_object) else {
        return Ok(None);
    };
    let Some((uri, digest)) = uri_and_digest(map) else {
        return Ok(None);
    };
    parse_digest(digest)?;
    Ok(Some((uri, digest, is_build_artifact(map))))
}

pub(super) fn is_build_artifact(map: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> bool {
    map.get(IS_BUILD_ARTIFACT).is_some_and(|v| v == "true")
}

fn uri_and_digest<'v>(map: &'v BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> Option<(&'v str, &'v str)> {
    let part = |key| {
        map.get(key)
            .map(Cow::as_ref)
            .filter(|v: &&str| !v.is_empty())
    };
    Some((part("uri")?, part("digest")?))
}

fn explain(error: &reference::Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
