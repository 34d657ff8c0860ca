//! Proves tekseal from outside: its shape, its bytes, its programs as processes beside the real peers.

mod architecture;
mod bad_input;
mod bundle_files;
mod bundles;
mod chain;
mod children;
mod cluster;
mod configuration;
mod controller;
mod deploy;
mod explain;
mod git_clone;
mod golden;
mod image_index;
mod images;
mod interop;
mod lifecycle;
mod node;
mod on_cluster;
mod predicate;
mod results;
mod signers;
mod sigstore;
mod tasks;
mod verify;
mod workshop;
