//! With services of Sigstore: what cosign makes with transparency logs, timestamps and certificates, and whether it accepts that itself; and what
//! ours writes there.

mod algorithms;
pub(crate) mod artifacts;
mod basic;
mod full;
mod keyless;
mod keyless_full;
mod lying;
mod ours;
mod ours_full;
mod workloads;
