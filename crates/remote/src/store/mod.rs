//! Knows cosign's layout in a registry: appends signatures and attestations, reads them back, lists what hangs on an image.
//!
//! ```text
//!            ┌ append ─▶ merge ─▶ manifest        layers under a tag: what is there + what is new = what is written
//!            │      └─┬▶ blobs                    uploads
//!            │        ├▶ register ─▶ pace         a tag with several writers: when to look again, how long to wait
//!  [Signed] ─┤      ┌─┴▶ index                    what a registry without the list of referrers has under a tag
//!            ├ refer ─▶ referrer                  a bundle, in a manifest that names the image as its subject
//!            │                   ┌──────────────▶ Stored { tag, manifest_digest, outcomes } · Referred { manifests, index }
//!            └ fetch ◀─ manifest ┴ tree ────────▶ Tree
//!   index ── walk ─────────────────────────────▶ Walked { itself, listed }
//! ```
//!
//! Nothing that comes from here is verified; that is the work of `tekseal-signing`.

use tekseal_core::{Digest, cosign};

mod append;
mod blobs;
mod concurrent;
mod error;
pub mod fetch;
mod index;
mod item;
pub mod manifest;
mod merge;
mod pace;
mod refer;
mod referrer;
mod register;
mod source;
pub mod tree;
pub mod walk;

pub use append::{append, append_early, append_file, append_within};
pub use error::Error;
pub use fetch::{Fetched, LayerError, Layers, Place, attestations, signatures};
pub use item::SignedFile;
pub use refer::{Referred, refer, refer_early, refer_file, refer_within};
pub use source::{Source, Unread};
pub use tree::{Tree, referrers, tree};
pub use walk::{Kind, Member, Walked, walk};

/// What a registry was seen to hold in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The tag beside the image.
    pub tag: String,
    /// Digest of the manifest under that tag that was confirmed to hold every item.
    pub manifest_digest: Digest,
    /// For each item what became of it, in the order of the items.
    pub outcomes: Vec<Outcome>,
}

/// What became of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was written by this call.
    Added,
    /// An equal one, or one of the same signer over the same payload, was there before; nothing was written for it.
    AlreadyThere,
    /// It is not there: it says a name, and what room is left under the tag is for signatures without.
    NoRoom,
}

/// How many layers there may be under a tag before a signature that says a name is added. Whoever writes the results of a run chooses the names, of
/// the images of others too, and readers take [`manifest::MOST_LAYERS`] and no more: names must not keep out what says none.
pub const MOST_WITH_NAMES: usize = 500;

/// How a tag beside `image` is called in messages.
fn place(image: &tekseal_core::DigestRef, tag: cosign::Tag) -> String {
    format!("{}:{}", image.repository, tag.of(&image.digest))
}
