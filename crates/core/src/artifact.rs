//! Artifacts and the rule by which equal ones become one.
//!
//! An artifact is a URI (or name) with digests. In lists of Subjects and of materials an artifact that equals an earlier one, in its
//! name and at least one digest, is merged into that one; artifacts without digests equal nothing.
//!
//! The rule is `artifactEqual` of Chains' `pkg/chains/formats/slsa/internal/artifact`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use crate::reference::DigestRef;
use crate::statement::{DigestSet, Subject};

/// Something that a run read or made: a name or URI, and its digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    /// Its name: for an image its repository.
    pub uri: String,
    /// Algorithm to digest.
    pub digest: DigestSet,
}

impl Artifact {
    /// An artifact with one digest.
    pub(crate) fn new(uri: &str, algorithm: String, hex: String) -> Self {
        Self {
            uri: uri.to_owned(),
            digest: BTreeMap::from([(algorithm, hex)]),
        }
    }

    /// An artifact with the digest as a hint wrote it: Chains checks a cleaned form but keeps this one.
    pub(crate) fn as_written(uri: &str, digest: &str) -> Self {
        let (algorithm, hex) = digest.split_once(':').unwrap_or((digest, ""));
        Self::new(uri, algorithm.to_owned(), hex.to_owned())
    }

    /// Whether `new` is the same thing: the same name and a digest in common. As in Chains, an empty digest is also in common with the
    /// lack of one.
    fn equals(&self, new: &Self) -> bool {
        self.uri == new.uri
            && self
                .digest
                .iter()
                .any(|(algorithm, hex)| new.digest.get(algorithm).map_or("", String::as_str) == hex)
    }

    /// An image by its repository.
    pub(crate) fn of_image(image: &DigestRef) -> Self {
        Self::new(
            &image.repository.to_string(),
            "sha256".to_owned(),
            image.digest.hex().to_owned(),
        )
    }
}

/// A list of artifacts in which equal ones are merged.
#[derive(Debug, Default)]
pub(crate) struct ArtifactList {
    list: Vec<Artifact>,
    /// No more than so many are taken.
    most: Option<usize>,
    /// The first artifact whose name and digest have this hash. Made when the list is long enough for that to pay.
    index: HashMap<u64, usize>,
    hasher: RandomState,
    /// The first artifact that has this name and an empty digest.
    blank: HashMap<String, usize>,
}

/// The most Subjects of one Statement. Readers take fewer (our own 1024); this keeps the memory for a list of images that fills a
/// document in proportion to it.
pub(crate) const MOST_SUBJECTS: usize = 4096;

/// Up to here looking through the list is quicker than an index.
const SHORT: usize = 16;

impl ArtifactList {
    /// A list that ends with one artifact more than a Statement may have.
    pub(crate) fn of_subjects() -> Self {
        Self {
            most: Some(MOST_SUBJECTS + 1),
            ..Self::default()
        }
    }

    /// Appends an artifact, or merges its digests into the first that it equals. The position of an appended one.
    pub(crate) fn push(&mut self, new: Artifact) -> Option<usize> {
        if let Some(at) = self.equal(&new) {
            self.remember(&new, at);
            self.list[at].digest.extend(new.digest);
            return None;
        }
        let at = self.list.len();
        self.remember(&new, at);
        self.list.push(new);
        if self.list.len() == SHORT {
            for at in 0..SHORT {
                let artifact = self.list[at].clone();
                self.insert(&artifact, at);
            }
        }
        Some(at)
    }

    /// Appends each.
    pub(crate) fn extend(&mut self, all: impl IntoIterator<Item = Artifact>) {
        for artifact in all {
            if self.most == Some(self.list.len()) {
                return;
            }
            self.push(artifact);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Artifact> {
        self.list
    }

    pub(crate) fn into_subjects(self) -> Vec<Subject> {
        self.list
            .into_iter()
            .map(|artifact| Subject::new(artifact.uri, artifact.digest))
            .collect()
    }

    fn equal(&self, new: &Artifact) -> Option<usize> {
        if self.list.len() >= SHORT {
            let known = |(algorithm, hex): (&String, &String)| {
                self.index.get(&self.hash(&new.uri, algorithm, hex))
            };
            let first = new.digest.iter().filter_map(known);
            let first = first.chain(self.blank.get(&new.uri)).min().copied();
            // A merge may have replaced the digest that the index remembers, or the hash may be another's too.
            if first.is_none_or(|at| self.list[at].equals(new)) {
                return first;
            }
        }
        self.list.iter().position(|known| known.equals(new))
    }

    fn remember(&mut self, new: &Artifact, at: usize) {
        if self.list.len() >= SHORT {
            self.insert(new, at);
        }
    }

    fn insert(&mut self, artifact: &Artifact, at: usize) {
        if artifact.digest.values().any(String::is_empty) {
            let first = self.blank.entry(artifact.uri.clone()).or_insert(at);
            *first = at.min(*first);
        }
        for (algorithm, hex) in &artifact.digest {
            let hash = self.hash(&artifact.uri, algorithm, hex);
            let first = self.index.entry(hash).or_insert(at);
            *first = at.min(*first);
        }
    }

    fn hash(&self, uri: &str, algorithm: &str, hex: &str) -> u64 {
        self.hasher.hash_one((uri, algorithm, hex))
    }
}
