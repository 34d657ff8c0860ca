//! Puts signed artifacts where cosign and Chains put them and finds them there again.
//!
//! ```text
//!  store ─▶ registry ─▶ exchange ─┬▶ auth ─▶ token, challenge   (401: who are we?)
//!             (one call each)     ├▶ retry                      (5xx: when again?)
//!                                 ├▶ body                       (what is sent, also what does not fit into memory)
//!                                 ├▶ http ─▶ guard, tls         (one request: may it go there?)
//!  log, timestamp ─▶ service ──────┘                               (transparency logs, timestamp authorities)
//! ```
//!
//! `rest` is the way to services that sign for somebody or say who somebody is; their protocols are elsewhere.
//!
//! `registry` speaks the OCI distribution protocol with as few round trips as it allows; `auth` answers its challenges;
//! `store` knows cosign's layout and appends to it without losing what others wrote; `oci_layout` reads the same from a folder. `log` and
//! `timestamp` speak to the services that witness signatures; what they answer is verified elsewhere.
//! No Kubernetes and no private key: credentials come in as data.

mod auth;
mod body;
mod challenge;
pub mod copy;
mod detail;
mod error;
mod exchange;
pub mod guard;
mod http;
pub mod log;
pub mod mirror;
pub mod oci_layout;
mod options;
mod referrers;
pub mod registry;
pub mod rest;
mod retry;
pub mod service;
pub mod store;
pub mod timestamp;
pub mod tls;
mod token;
mod upload;

pub use body::FileBlob;
pub use guard::Guard;
pub use log::{LogVersion, Rekor};
pub use mirror::Mirror;
pub use oci_layout::OciLayout;
pub use registry::{Options, Registry};
pub use rest::Rest;
pub use timestamp::TimestampAuthority;
