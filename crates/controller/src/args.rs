//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use tekseal_cluster::{ConfigSource, Scope};
use tekseal_controller::logging::Format;

/// Signs completed TaskRuns and PipelineRuns, and their images, as the configuration of Tekton Chains says.
#[derive(Debug, clap::Parser)]
#[command(name = "tekseal-controller", version)]
pub(crate) struct Args {
    /// Kubeconfig; else KUBECONFIG, else the ServiceAccount of the Pod
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Namespace of the controller: its configuration, key, Lease and memory
    #[arg(
        long,
        env = "SYSTEM_NAMESPACE",
        default_value = "tekton-chains",
        value_name = "NAMESPACE"
    )]
    pub(crate) system_namespace: String,
    /// Where the configuration is: configmap/NAMESPACE/NAME or tektonconfig/NAME [default: the ConfigMap chains-config of the system namespace]
    #[arg(long, value_name = "SOURCE")]
    pub(crate) config_from: Option<ConfigSource>,
    /// Namespaces whose runs are signed, separated by commas; all where it is not given
    #[arg(long, value_name = "NAMESPACES")]
    pub(crate) namespace: Option<String>,
    /// Folder at which the Secret signing-secrets is mounted
    #[arg(long, default_value = "/etc/signing-secrets", value_name = "DIR")]
    pub(crate) signing_secrets: PathBuf,
    /// Leave runs alone that were completed before: a time (RFC 3339), or how long before the start (12h)
    #[arg(long, value_name = "TIME")]
    pub(crate) ignore_completed_before: Option<Before>,
    /// How many runs of one namespace are worked on at once; of all namespaces twice as many
    #[arg(long, default_value_t = 8, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// Certificate authorities of registries, logs and timestamp authorities beside the system's: a PEM file or a folder of them; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) registry_ca: Vec<PathBuf>,
    /// Registry (host[:port]) to which plain http and unverified TLS are allowed; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<String>,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, default_value = "[::]:9090", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Whether one of several replicas works at a time, by a Lease
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) leader_elect: bool,
    /// How lines of the log are written
    #[arg(long, value_enum, default_value_t = Format::Json, value_name = "FORMAT")]
    pub(crate) log_format: Format,
}

/// A moment before which runs are left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// This one.
    Time(Timestamp),
    /// So long before the start.
    Ago(SignedDuration),
}

impl Before {
    /// The moment, for a program that starts at `now`.
    pub(crate) fn moment(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Time(time) => *time,
            Self::Ago(ago) => now.checked_sub(*ago).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Before {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        let span = tekseal_core::duration::span(text);
        let ago = span
            .ok()
            .and_then(|span| SignedDuration::try_from(span).ok());
        ago.map(Self::Ago).ok_or_else(|| {
            "neither a time like 2026-01-31T12:00:00Z nor a duration like 12h".to_owned()
        })
    }
}

impl Args {
    /// Where the configuration is.
    pub(crate) fn config_source(&self) -> ConfigSource {
        self.config_from
            .clone()
            .unwrap_or_else(|| ConfigSource::of_chains(&self.system_namespace))
    }

    /// Which runs are watched.
    pub(crate) fn scope(&self) -> Scope {
        let names = self.namespace.as_deref().unwrap_or_default().split(',');
        let names: Vec<_> = names
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        match names.is_empty() {
            true => Scope::All,
            false => Scope::Namespaces(names.into_iter().map(str::to_owned).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().expect("a time");
        let moment = |text: &str| text.parse::<Before>().map(|b| b.moment(now).to_string());
        assert_eq!(moment("24h").as_deref(), Ok("2026-01-30T12:00:00Z"));
        assert_eq!(
            moment("2020-01-01T00:00:00Z").as_deref(),
            Ok("2020-01-01T00:00:00Z")
        );
        assert!(moment("yesterday").is_err() && moment("-1h").is_err());
    }
}
