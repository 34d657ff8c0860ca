//! With services of Sigstore: what cosign makes with transparency logs, timestamps and certificates, and whether it accepts that itself.

pub(crate) mod artifacts;
mod basic;
mod full;
