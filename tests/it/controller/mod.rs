//! The controller as a process beside a real API server and a real registry.

mod bundles;
mod certificates;
mod clocks;
mod faults;
mod hostile;
mod lifecycle;
mod logs;
mod names;
mod outages;
mod recording;
mod registries;
mod replicas;
mod rules;
mod services;
mod settling;
mod stand;

pub(crate) use self::stand::serve_tekton_configs;
