//! The controller as a process beside a real API server and a real registry.

mod faults;
mod lifecycle;
mod recording;
mod rules;
mod stand;
