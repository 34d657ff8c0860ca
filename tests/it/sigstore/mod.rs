//! With services of Sigstore: what cosign makes with transparency logs, timestamps and certificates, and whether it accepts that itself.

mod artifacts;
mod basic;
mod full;
