//! Reads runs, settings and secrets from the Kubernetes API, and writes annotations, Events and Leases back.
//!
//! ```text
//!  kubeconfig or Pod ─▶ Cluster ─┬─ runs      documents as the API server has them; patches of annotations and finalizers
//!                                ├─ named     which runs a reference names
//!                                ├─ children  documents of a PipelineRun's TaskRuns, within bounds
//!                                ├─ seen      a watch of runs that keeps of each only what a decision needs
//!                                ├─ settings  ConfigMaps and TektonConfig as a map of texts
//!                                ├─ secrets   keys; created, read, replaced
//!                                ├─ accounts  what a ServiceAccount may show to registries
//!                                ├─ events    what people see with `kubectl describe`
//!                                ├─ pods      which Pod a program is in
//!                                └─ lease     one leader
//! ```
//!
//! Nothing is decided here, and no run is understood: documents go to `tekseal-core` as they are. Every call has a deadline, and every
//! error says what was being done to what, and who must act.

mod accounts;
mod answers;
mod children;
mod client;
mod connection;
mod error;
mod events;
mod exec;
mod items;
mod kubeconfig;
mod lease;
mod lenient;
mod named;
mod pods;
mod runs;
pub mod secrets;
mod seen;
mod settings;
mod tls;
pub mod vouching;
mod way;
mod yaml;

pub use accounts::{AccountSecret, AccountSecrets};
pub use children::{Children, MOST_CHILDREN_BYTES};
pub use client::Cluster;
pub use error::{Cause, Error, Operation};
pub use events::{Events, Severity, Told};
pub use lease::{Holder, Lease, Turn};
pub use named::{Named, TaskRef};
pub use runs::{Change, RunRef, RunRefError};
pub use secrets::{SecretData, SecretRef, SecretRefError};
pub use seen::{Scope, Seen, Sight, watch, watch_run};
pub use settings::{ConfigSource, ConfigSourceError, StateMap, watch_settings};
