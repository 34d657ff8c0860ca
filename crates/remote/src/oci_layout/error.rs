//! What can be wrong with an OCI layout.

use std::io;

use tekseal_core::{Blame, Digest, digest, excerpt::Excerpt, strict_json};

/// Why an OCI layout, or something in it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("in the OCI layout {layout}: {fault}")]
pub struct Error {
    /// The folder as it was given.
    pub layout: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a layout. Files are named as below its folder.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The folder itself, or a file that must be there, cannot be opened.
    #[error("cannot open {0}: {1}")]
    Open(String, io::Error),
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, io::Error),
    /// No link is followed.
    #[error("{0} is, or lies behind, a link")]
    Link(String),
    /// Something else than a file.
    #[error("{0} is not a plain file")]
    NoFile(String),
    /// More bytes than are read.
    #[error("{file} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The file.
        file: String,
        /// How many it has.
        size: u64,
        /// How many it may have.
        limit: u64,
    },
    /// Not the JSON that belongs there.
    #[error("{0} is malformed: {1}")]
    Json(String, serde_json::Error),
    /// JSON that some readers understand otherwise.
    #[error("{0} is ambiguous: {1}")]
    Ambiguous(String, strict_json::Error),
    /// Another version of the specification.
    #[error("version {} of layouts is not supported, only 1.0.0", Excerpt::of(.0))]
    Version(String),
    /// More entries than are read.
    #[error("index.json has {0} entries, more than 10000")]
    Entries(usize),
    /// An entry without a digest that can be checked.
    #[error("entry {position} of index.json has no digest that is supported: {source}")]
    Entry {
        /// Counted from 0.
        position: usize,
        /// What is wrong with it.
        source: digest::Error,
    },
    /// More manifests than there can be reasons for.
    #[error("more than 16 manifests are named {0}")]
    Tags(String),
    /// No image of this name.
    #[error("no image is named {}", Excerpt::of(.0))]
    NoTag(String),
    /// No image at all.
    #[error("there is no image")]
    NoImage,
    /// Nobody said which image.
    #[error("there are {count} images: {listed}")]
    Several {
        /// How many.
        count: usize,
        /// The first of them.
        listed: String,
    },
    /// A blob that is named is not there.
    #[error("there is no blob {0}")]
    Absent(Digest),
    /// Other content than its name says.
    #[error("blob {wanted} has digest {found}")]
    Digest {
        /// Its name.
        wanted: Digest,
        /// What it is.
        found: Digest,
    },
    /// More or fewer bytes than its descriptor says.
    #[error("blob {digest} has {found} bytes, wanted {wanted}")]
    Size {
        /// The blob.
        digest: Digest,
        /// How many it has to have.
        wanted: u64,
        /// How many it has.
        found: u64,
    },
    /// More files than are looked through.
    #[error("there are more than {0} blobs")]
    Blobs(usize),
    /// More documents than are looked through.
    #[error("the documents among the blobs have more than {0} bytes")]
    Documents(u64),
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self.fault {
            Fault::Open(..)
            | Fault::Read(..)
            | Fault::NoTag(_)
            | Fault::NoImage
            | Fault::Several { .. }
            | Fault::Version(_)
            | Fault::Json(..) => Blame::Setting,
            Fault::Ambiguous(..)
            | Fault::Link(_)
            | Fault::NoFile(_)
            | Fault::TooLarge { .. }
            | Fault::Entries(_)
            | Fault::Entry { .. }
            | Fault::Tags(_)
            | Fault::Absent(_)
            | Fault::Digest { .. }
            | Fault::Size { .. }
            | Fault::Blobs(_)
            | Fault::Documents(_) => Blame::Artifact,
        }
    }

    /// What people can do about it: one sentence, the next action.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self.fault {
            Fault::Several { .. } => "say which one: oci:PATH:TAG, or oci:PATH@sha256:…",
            Fault::Open(..) | Fault::Json(..) => {
                "wanted is a folder with oci-layout, index.json and blobs/sha256, as `cosign save --dir` or `skopeo copy … oci:PATH` writes it"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
