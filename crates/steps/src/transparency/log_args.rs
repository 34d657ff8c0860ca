//! Which log, and how to talk to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use tekseal_remote::log::{LogVersion, Options, Rekor};

use crate::Failure;
use crate::registry_args::{given, told_to_wait};

/// Where Sigstore's public log of the first version is, which `rekor-cli` asks too.
const PUBLIC: &str = "https://rekor.sigstore.dev";

/// Flags for talking to a log.
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// URL of the log, where it is not the public one of Sigstore, https://rekor.sigstore.dev
    #[arg(long, env = "TEKSEAL_REKOR_URL", value_name = "URL")]
    rekor_url: Option<String>,
    /// Version of the log's API: v2 has no search and no UUIDs, and needs a URL
    #[arg(
        long,
        env = "TEKSEAL_LOG_VERSION",
        value_enum,
        default_value = "v1",
        value_name = "VERSION"
    )]
    log_version: Version,
    /// Certificate authorities of the log beside the system's: a PEM file or a folder of them; may be repeated
    #[arg(
        long,
        env = "TEKSEAL_REKOR_CA",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    rekor_ca: Vec<String>,
    /// For how many seconds each answer of the log is waited for
    #[arg(
        long,
        env = "TEKSEAL_LOG_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    log_timeout: u64,
}

/// The version of a log's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Version {
    /// Rekor v1
    V1,
    /// Rekor v2 (rekor-tiles)
    V2,
}

impl LogArgs {
    /// The log. Nothing is sent yet.
    pub(super) fn open(&self) -> Result<Rekor, Failure> {
        let version = match self.log_version {
            Version::V1 => LogVersion::V1,
            Version::V2 => LogVersion::V2,
        };
        let url = match (given(&self.rekor_url).next(), version) {
            (Some(url), _) => url,
            (None, LogVersion::V1) => PUBLIC,
            (None, LogVersion::V2) => {
                return Err(Failure::misuse(anyhow!(
                    "--log-version v2 needs --rekor-url"
                ))
                .hint("public logs of the second version move each half year: the trusted root has their URLs"));
            }
        };
        let options = Options {
            ca: self.ca(),
            timeout: Duration::from_secs(self.log_timeout),
            notice: told_to_wait,
            ..Options::default()
        };
        Ok(Rekor::new(url, version, &options)?)
    }

    /// Certificate authorities beside the system's.
    pub(super) fn ca(&self) -> Vec<PathBuf> {
        given(&self.rekor_ca).map(PathBuf::from).collect()
    }
}
