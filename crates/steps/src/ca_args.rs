//! Certificate authorities of whoever has keys, for programs that have no registry: a service, a server with a public key, GitLab.

use std::path::PathBuf;

use crate::registry_args::given;

/// Flags of programs that reach no registry, but whoever has keys.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CaArgs {
    /// Certificate authorities beside the system's, for keys that are elsewhere: a PEM file or a folder of them; may be repeated
    #[arg(
        long = "ca",
        env = "TEKSEAL_CA",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    ca: Vec<String>,
}

impl CaArgs {
    /// Files and folders with them.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        given(&self.ca).map(PathBuf::from).collect()
    }
}
