//! Puts signed artifacts where cosign and Chains put them and finds them there again.
//!
//! `registry` speaks the OCI distribution protocol with as few round trips as it allows; `auth` answers its challenges;
//! `store` knows cosign's layout and appends to it without losing what others wrote.
//! No Kubernetes and no private key: credentials come in as data.

pub mod auth;
pub mod registry;
pub mod store;
pub mod tls;

pub use registry::{Options, Registry};
