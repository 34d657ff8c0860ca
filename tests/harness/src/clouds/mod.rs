//! Key management services of clouds: servers that speak their protocols, written from the providers' documentation.
//!
//! They check who asks, sign the digests that they are given with real keys of their own, and do to a client what tests need. What they prove is the shape
//! of requests and what is done with answers; not that the providers agree.

mod azure;
mod form;
mod google;
mod key;
mod server;

pub use azure::AzureVault;
pub use google::GoogleKms;
pub use key::{KeyKind, TestKey};
