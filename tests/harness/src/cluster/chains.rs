//! The controller of Tekton Chains, as it was released.

use std::fs;
use std::path::{Path, PathBuf};

use super::ApiServer;
use crate::http::Request;
use crate::process::Daemon;

/// It reads its key from a fixed folder, so it gets an `/etc` of its own, in a mount namespace: the machine's stays as it is.
const WITH_OWN_ETC: &str = r#"etc=$1; shift
for file in hosts nsswitch.conf passwd resolv.conf; do [ ! -e /etc/$file ] || cp -L /etc/$file "$etc"; done
mount --bind "$etc" /etc && exec env -i "$@""#;
/// A file of the release that tells a version, one of leadership, one of logs, one of metrics.
const SETTINGS: [&str; 4] = [
    "config-info.yaml",
    "config-leader-election.yaml",
    "config-logging.yaml",
    "config-observability.yaml",
];

/// Chains' controller with the settings of its release.
#[derive(Clone, Debug)]
pub struct Chains {
    folder: PathBuf,
}

impl Chains {
    /// The namespace in its own YAML.
    pub const NAMESPACE: &str = "tekton-chains";

    /// The one in a folder with `chains-controller`, and `config` with the YAML of its release; nothing where the program is not there.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Option<Self> {
        let folder = folder.to_owned();
        folder
            .join("chains-controller")
            .is_file()
            .then_some(Self { folder })
    }

    /// Creates the settings that it wants beside its configuration, in its namespace.
    ///
    /// # Panics
    ///
    /// When a file is missing, or the API server refuses it.
    pub fn create_settings(&self, api: &ApiServer) {
        for name in SETTINGS {
            let file = self.folder.join("config").join(name);
            let yaml = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let path = format!("/api/v1/namespaces/{}/configmaps", Self::NAMESPACE);
            let request = Request::new("POST", &path).body("application/yaml", &yaml);
            let answer = api.send(&request).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(answer.status, 201, "{name}: {}", answer.text());
        }
    }

    /// The folder in place of the Secret that is mounted where it runs.
    #[must_use]
    pub fn keys(api: &ApiServer) -> PathBuf {
        etc(api);
        api.make_folder("etc/signing-secrets")
    }

    /// Starts it with the key in [`Self::keys`], and with variables (`NAME=value`) and flags beside those that it cannot do without.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, api: &ApiServer, variables: &[&str], flags: &[&str]) -> Daemon {
        let folder = api.make_folder("chains");
        let mut args = vec!["--mount".to_owned()];
        if !nix::unistd::geteuid().is_root() {
            args.insert(0, "--map-root-user".to_owned());
        }
        args.extend(["sh", "-c", WITH_OWN_ETC, "sh"].map(str::to_owned));
        args.push(etc(api).display().to_string());
        args.extend([
            format!("HOME={}", folder.display()),
            format!("SYSTEM_NAMESPACE={}", Self::NAMESPACE),
            "METRICS_DOMAIN=tekton.dev/chains".to_owned(),
            "CONFIG_OBSERVABILITY_NAME=tekton-chains-config-observability".to_owned(),
            "CONFIG_LEADERELECTION_NAME=tekton-chains-config-leader-election".to_owned(),
            "KUBERNETES_MIN_VERSION=v1.28.0".to_owned(),
            "POD_NAME=chains".to_owned(),
        ]);
        args.extend(variables.iter().map(|&variable| variable.to_owned()));
        let program = self.folder.join("chains-controller");
        args.push(program.display().to_string());
        args.push(format!("-kubeconfig={}", api.kubeconfig().display()));
        args.extend(flags.iter().map(|&flag| flag.to_owned()));
        Daemon::start(Path::new("unshare"), args, &folder)
    }
}

/// The folder that stands in place of `/etc`.
fn etc(api: &ApiServer) -> PathBuf {
    api.make_folder("etc")
}
