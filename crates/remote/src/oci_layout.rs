//! An image and what hangs on it, in a folder: the OCI image layout, as `cosign save`, skopeo, oras and buildah write it.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>. What is read is `oci-layout`, `index.json` and
//! `blobs/sha256/…`, nothing else: whoever made the folder may have put links, pipes and gigabytes into it, so no link is followed, only plain
//! files are read, sizes have the bounds that they have from registries, and each blob is checked against its digest and, where one is told, its size.
//!
//! cosign marks what `cosign save` writes by an annotation `kind`; where it saves bundles, it leaves their manifests in no index at all. So what
//! names an image as its subject is looked for among all blobs, as cosign does.

mod error;
mod files;

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use tekseal_core::strict_json::{self, Step};
use tekseal_core::{Digest, cosign};

pub use self::error::{Error, Fault};
use self::files::Files;
use crate::registry::{MANIFEST_LIMIT, Manifest};
use crate::store::manifest::null_is_default;

/// The values of the annotation `kind` of `cosign save`.
const KIND_IMAGE: &str = "dev.cosignproject.cosign/image";
const KIND_INDEX: &str = "dev.cosignproject.cosign/imageIndex";
const KIND_SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
const KIND_ATTESTATIONS: &str = "dev.cosignproject.cosign/atts";

/// The most entries that the index of a layout may have.
const MOST_ENTRIES: usize = 10_000;
/// The most manifests under one of cosign's tags; a layout may name the same tag of several repositories.
const MOST_OF_A_TAG: usize = 16;
/// Of how many entries it is looked at whether they name a subject.
const MOST_CANDIDATES: usize = 64;
/// How many images an error lists.
const MOST_LISTED: usize = 5;
/// The longest name that is taken for one.
const LONGEST_NAME: usize = 512;
/// `oci-layout` says one version.
const MOST_VERSION_BYTES: u64 = 4096;

/// An OCI image layout. Nothing of it is verified but that it is well formed.
#[derive(Debug)]
pub struct OciLayout {
    files: Files,
    entries: Vec<Entry>,
}

/// Which image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The only one that is not a signature or something else that hangs on it.
    Only,
    /// That of this name, a tag.
    Tag(String),
    /// That with this digest.
    Digest(Digest),
}

/// A manifest that a layout has under one of cosign's tags.
#[derive(Debug)]
pub(crate) struct Tagged {
    /// The name it has there, or would have in a registry.
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
}

/// A manifest that names an image as its subject.
#[derive(Debug)]
pub(crate) struct Referring {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) artifact_type: Option<String>,
}

/// An entry of `index.json`.
#[derive(Debug)]
struct Entry {
    media_type: String,
    digest: Digest,
    size: u64,
    name: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default, deserialize_with = "null_is_default")]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: Annotations,
}

/// The annotations that mean something here: how an image is called, which is a tag or a whole reference, and cosign's own.
#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.ref.name")]
    name: Option<String>,
    kind: Option<String>,
}

/// What a manifest says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    subject: Option<Subject>,
    artifact_type: Option<String>,
}

#[derive(Deserialize)]
struct Subject {
    digest: String,
}

impl OciLayout {
    /// Opens the layout in the folder `path`.
    ///
    /// # Errors
    /// If there is no folder, or no layout of version 1.0.0 in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let files = Files::open(path)?;
        let text = files.read("oci-layout", MOST_VERSION_BYTES)?;
        let version: Version = serde_json::from_slice(&text)
            .map_err(|source| files.fault(Fault::Json("oci-layout".to_owned(), source)))?;
        check(&files, "oci-layout", &text)?;
        if version.version != "1.0.0" {
            return Err(files.fault(Fault::Version(version.version)));
        }
        let text = files.read("index.json", MANIFEST_LIMIT)?;
        let index: Index = crate::store::manifest::object(&text)
            .map_err(|source| files.fault(Fault::Json("index.json".to_owned(), source)))?;
        check(&files, "index.json", &text)?;
        let count = index.manifests.len();
        if count > MOST_ENTRIES {
            return Err(files.fault(Fault::Entries(count)));
        }
        let entries = index.manifests.into_iter().enumerate();
        let entries = entries.map(|(position, entry)| {
            let digest = entry.digest.parse();
            Ok(Entry {
                digest: digest.map_err(|source| files.fault(Fault::Entry { position, source }))?,
                media_type: entry.media_type,
                size: entry.size,
                name: entry.annotations.name.filter(|n| n.len() <= LONGEST_NAME),
                kind: entry.annotations.kind,
            })
        });
        Ok(Self {
            entries: entries.collect::<Result<_, Error>>()?,
            files,
        })
    }

    /// How the layout is called in messages: the folder as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        self.files.name()
    }

    /// The digest of an image of the layout, whose manifest is there and has that digest.
    ///
    /// # Errors
    /// If there is none, or more than one that it might be.
    pub fn resolve(&self, wanted: &Wanted) -> Result<Digest, Error> {
        let digest = match wanted {
            Wanted::Digest(digest) => digest.clone(),
            Wanted::Tag(tag) => {
                let named = |entry: &&Entry| entry.name.as_deref() == Some(tag);
                self.one_of(self.entries.iter().filter(named).collect())?
                    .ok_or_else(|| self.files.fault(Fault::NoTag(tag.clone())))?
            }
            Wanted::Only => self
                .one_of(self.images()?)?
                .ok_or_else(|| self.files.fault(Fault::NoImage))?,
        };
        let Some(manifest) = self.manifest(&digest, MANIFEST_LIMIT)? else {
            return Err(self.files.fault(Fault::Absent(digest)));
        };
        let found = manifest.bytes.len() as u64;
        let mut entries = self.entries.iter();
        match entries.find(|entry| entry.digest == digest && entry.size != found) {
            None => Ok(digest),
            Some(entry) => Err(self.files.fault(Fault::Size {
                wanted: entry.size,
                digest,
                found,
            })),
        }
    }

    /// What may be the image: what cosign calls so, else whatever does not hang on something.
    fn images(&self) -> Result<Vec<&Entry>, Error> {
        let is_image =
            |entry: &&Entry| matches!(entry.kind.as_deref(), Some(KIND_IMAGE | KIND_INDEX));
        let images: Vec<_> = self.entries.iter().filter(is_image).collect();
        if !images.is_empty() {
            return Ok(images);
        }
        let mut known = HashSet::new();
        let others = self.entries.iter();
        let others = others.filter(|e| !e.hangs_on_something() && known.insert(&e.digest));
        let mut images: Vec<&Entry> = others.collect();
        // More are not read only to say that they are too many.
        if (2..=MOST_CANDIDATES).contains(&images.len()) {
            let mut alone = Vec::new();
            for entry in images {
                if self.about(entry)?.subject.is_none() {
                    alone.push(entry);
                }
            }
            images = alone;
        }
        Ok(images)
    }

    fn about(&self, entry: &Entry) -> Result<About, Error> {
        let nothing = About {
            subject: None,
            artifact_type: None,
        };
        let found = self.manifest(&entry.digest, MANIFEST_LIMIT)?;
        Ok(found
            .and_then(|found| About::read(&found.bytes))
            .unwrap_or(nothing))
    }

    /// The digest of these entries, which is one.
    fn one_of(&self, entries: Vec<&Entry>) -> Result<Option<Digest>, Error> {
        let Some(first) = entries.first() else {
            return Ok(None);
        };
        if entries.iter().all(|entry| entry.digest == first.digest) {
            return Ok(Some(first.digest.clone()));
        }
        let listed = entries.iter().take(MOST_LISTED).map(|entry| entry.text());
        Err(self.files.fault(Fault::Several {
            count: entries.len(),
            listed: listed.collect::<Vec<_>>().join(", "),
        }))
    }

    /// What lies under one of cosign's tags of the image.
    pub(crate) fn tagged(&self, image: &Digest, tag: cosign::Tag) -> Result<Vec<Tagged>, Error> {
        let tag_name = tag.of(image);
        let kind = match tag {
            cosign::Tag::Signatures => Some(KIND_SIGNATURES),
            cosign::Tag::Attestations => Some(KIND_ATTESTATIONS),
            cosign::Tag::Sbom | cosign::Tag::Referrers => None,
        };
        let is_it = |entry: &&Entry| {
            let is_named = entry.name.as_deref().is_some_and(|name| {
                name == tag_name || name.rsplit_once(':').is_some_and(|(_, t)| t == tag_name)
            });
            is_named || kind.is_some() && entry.kind.as_deref() == kind
        };
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(is_it) {
            if found.len() == MOST_OF_A_TAG {
                return Err(self.files.fault(Fault::Tags(tag_name)));
            }
            let Some(manifest) = self.manifest(&entry.digest, MANIFEST_LIMIT)? else {
                return Err(self.files.fault(Fault::Absent(entry.digest.clone())));
            };
            let found_bytes = manifest.bytes.len() as u64;
            if found_bytes != entry.size {
                return Err(self.files.fault(Fault::Size {
                    digest: entry.digest.clone(),
                    wanted: entry.size,
                    found: found_bytes,
                }));
            }
            found.push(Tagged {
                name: entry.name.clone().unwrap_or_else(|| tag_name.clone()),
                manifest,
            });
        }
        Ok(found)
    }

    /// The manifest with this digest, of at most `limit` bytes; `None` if it is not there.
    pub(crate) fn manifest(&self, digest: &Digest, limit: u64) -> Result<Option<Manifest>, Error> {
        let Some(bytes) = self.files.blob(digest, limit)? else {
            return Ok(None);
        };
        let entry = self.entries.iter().find(|entry| entry.digest == *digest);
        Ok(Some(Manifest {
            bytes,
            media_type: entry.map_or_else(String::new, |entry| entry.media_type.clone()),
            digest: digest.clone(),
        }))
    }

    /// The blob with this digest and size.
    pub(crate) fn blob(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        let bytes = self
            .files
            .blob(digest, size)?
            .ok_or_else(|| self.files.fault(Fault::Absent(digest.clone())))?;
        let found = bytes.len() as u64;
        if found != size {
            return Err(self.files.fault(Fault::Size {
                digest: digest.clone(),
                wanted: size,
                found,
            }));
        }
        Ok(bytes)
    }

    /// The manifests among the blobs that name the image as their subject, in the order of their digests. What they say is not checked.
    pub(crate) fn referring(&self, image: &Digest) -> Result<Vec<Referring>, Error> {
        let mut found = Vec::new();
        self.files.each_document(MANIFEST_LIMIT, |digest, bytes| {
            let Some(about) = About::read(bytes) else {
                return;
            };
            if about.subject.is_some_and(|s| s.digest == image.as_str()) {
                found.push(Referring {
                    digest,
                    size: bytes.len() as u64,
                    artifact_type: about.artifact_type,
                });
            }
        })?;
        Ok(found)
    }
}

impl About {
    /// Nothing for what is no manifest, or one that some readers understand otherwise.
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        strict_json::check(text, known_names).ok()?;
        crate::store::manifest::object(bytes).ok()
    }
}

/// Refuses a file that some readers understand otherwise: Go takes `Digest` for `digest`, and the last of two.
fn check(files: &Files, file: &str, bytes: &[u8]) -> Result<(), Error> {
    let malformed = |source| files.fault(Fault::Json(file.to_owned(), source));
    let text =
        std::str::from_utf8(bytes).map_err(|source| malformed(serde::de::Error::custom(source)))?;
    strict_json::check(text, known_names)
        .map_err(|source| files.fault(Fault::Ambiguous(file.to_owned(), source)))
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    const DESCRIPTOR: &[&str] = &["mediaType", "digest", "size", "annotations", "artifactType"];
    match place {
        [] => &[
            "imageLayoutVersion",
            "schemaVersion",
            "mediaType",
            "artifactType",
            "manifests",
            "config",
            "layers",
            "subject",
            "annotations",
        ],
        [Step::Member(name)] if name == "subject" => DESCRIPTOR,
        [Step::Member(list), Step::Item(_)] if list == "manifests" => DESCRIPTOR,
        [Step::Member(list), Step::Item(_), Step::Member(name)]
            if list == "manifests" && name == "annotations" =>
        {
            &["org.opencontainers.image.ref.name", "kind"]
        }
        _ => &[],
    }
}

impl Entry {
    /// Whether it is something of cosign's that hangs on an image.
    fn hangs_on_something(&self) -> bool {
        let kind = self.kind.as_deref();
        if matches!(kind, Some(KIND_SIGNATURES | KIND_ATTESTATIONS)) {
            return true;
        }
        let name = self.name.as_deref().unwrap_or_default();
        let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
        let Some(rest) = tag.strip_prefix("sha256-") else {
            return false;
        };
        let hex = rest.split('.').next().unwrap_or_default();
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    fn text(&self) -> String {
        match &self.name {
            Some(name) => format!("{name:?} ({})", self.digest),
            None => self.digest.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
