//! Turns a completed run into the exact bytes that will be signed, and reads such bytes back.
//!
//! ```text
//!  documents ─ run (typed) ─▶ CompletedRun ─ hints ─▶ Observed ─┐
//!  chains-config ─ config ──▶ Config ───────────────────────────┤
//!                                                               ▼
//!                     plan ─▶ Plan { items: [ format ─▶ Statement · simple ─▶ SimpleSigning ] } ─▶ Payload
//!  signed bytes ─ statement, provenance ─▶ Statement, Provenance
//!  annotations, bundles, answers of logs ─ evidence, bundle ─▶ Evidence, LogEntry, Bundle · trusted_root, key_set ─▶ TrustedRoot, KeySet
//! ```
//!
//! Nothing here reads a clock, a file, the network or randomness: the same input gives the same bytes.
//! Keys and signatures are in `tekseal-signing`, registries in `tekseal-remote`.

mod artifact;
mod blame;
pub mod bundle;
pub mod certificates;
pub mod config;
pub mod cosign;
pub mod credential;
pub mod descriptor;
pub mod digest;
pub mod docker_config;
pub mod dsse;
pub mod duration;
pub mod evidence;
pub mod excerpt;
pub mod format;
pub mod gojson;
mod header;
pub mod hints;
mod invisible;
pub mod key_set;
mod layout;
pub mod marks;
pub mod one_line;
pub mod patterns;
pub mod payload;
pub mod percent;
pub mod plan;
pub mod policy;
pub mod predicate;
pub mod proposal;
pub mod protojson;
pub mod provenance;
pub mod quantity;
pub mod redact;
pub mod reference;
pub mod run;
pub mod signed;
pub mod signing_config;
pub mod simple;
pub mod statement;
pub mod strict_json;
pub mod time;
pub mod trusted_root;
mod typed;

#[cfg(test)]
mod go_tables;
#[cfg(test)]
mod samples;

pub use artifact::Artifact;
pub use blame::Blame;
pub use bundle::Bundle;
pub use descriptor::ResourceDescriptor;
pub use digest::Digest;
pub use dsse::Envelope;
pub use evidence::Evidence;
pub use invisible::is_invisible;
pub use key_set::KeySet;
pub use layout::Layout;
pub use payload::{Payload, PayloadKind};
pub use provenance::Provenance;
pub use reference::{DigestRef, ImageRef, Repository, TaggedImage};
pub use signed::Signed;
pub use signing_config::SigningConfig;
pub use simple::SimpleSigning;
pub use statement::{Statement, Subject};
pub use trusted_root::TrustedRoot;
pub use typed::ParamValue;
