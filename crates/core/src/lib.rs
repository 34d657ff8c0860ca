//! Turns a completed run into the exact bytes that will be signed, and reads such bytes back.
//!
//! ```text
//!  TaskRun JSON ─ run ─▶ CompletedRun ─ hints ─▶ Artifacts ─ format ─▶ Statement ─┐
//!                                           └──── simple ──▶ SimpleSigning ───────┤
//!                                                                     Payload ◀───┘
//! ```
//!
//! Nothing here reads a clock, a file, the network or randomness: the same input gives the same bytes.
//! Keys and signatures are in `tekseal-signing`, registries in `tekseal-remote`.

pub mod config;
pub mod cosign;
pub mod digest;
pub mod docker_config;
pub mod dsse;
pub mod format;
pub mod gojson;
pub mod hints;
pub mod payload;
pub mod reference;
pub mod run;
pub mod signed;
pub mod simple;
pub mod statement;

pub use digest::Digest;
pub use dsse::Envelope;
pub use payload::{Payload, PayloadKind};
pub use reference::{DigestRef, ImageRef, Repository};
pub use signed::Signed;
pub use simple::SimpleSigning;
pub use statement::{Statement, Subject};
