//! The controller as a process beside a real API server and a real registry.

mod faults;
mod hostile;
mod lifecycle;
mod recording;
mod rules;
mod stand;

pub(crate) use self::stand::serve_tekton_configs;
