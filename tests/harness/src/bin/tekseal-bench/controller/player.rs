//! The programs that take part: their keys, their configuration, and how they are started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tekseal_harness::{Daemon, Request, Run};

use super::arena::Arena;

const PASSWORD: &str = "benchmark";
/// Where both programs expect their configuration; the name is fixed in Chains' own YAML.
const SYSTEM: &str = "tekton-chains";

/// Chains reads its key from a fixed folder, so it gets an `/etc` of its own, in a mount namespace: the machine's stays as it is.
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

/// A program with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Ours with its defaults and the encrypted key of cosign.
    Tekseal,
    /// Tekton Chains as it is documented: the encrypted key of cosign, and no flags.
    Chains,
    /// Tekton Chains with a key that needs no derivation, more threads, and a wider limit for its requests.
    ChainsTuned,
}

/// Where the programs are.
pub(super) struct Programs {
    /// Folder with the project's programs.
    pub(super) own: PathBuf,
    /// Folder with `chains-controller`, and `config` with the YAML of its release.
    pub(super) chains: Option<PathBuf>,
}

/// A program at work.
pub(super) struct Player {
    daemon: Daemon,
}

impl Program {
    pub(super) const ALL: [Self; 3] = [Self::Tekseal, Self::Chains, Self::ChainsTuned];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tekseal => "tekseal",
            Self::Chains => "chains",
            Self::ChainsTuned => "chains-tuned",
        }
    }

    /// Part of what it calls itself before the API server, and of nobody else's name there.
    pub(super) fn agent(self) -> &'static str {
        match self {
            Self::Tekseal => "tekseal-controller",
            Self::Chains | Self::ChainsTuned => "chains-controller",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Tekseal | Self::Chains => &[],
            Self::ChainsTuned => &[
                "-threads-per-controller=8",
                "-kube-api-qps=200",
                "-kube-api-burst=400",
            ],
        }
    }
}

impl Programs {
    /// Whether it can be started at all.
    pub(super) fn has(&self, program: Program) -> bool {
        match program {
            Program::Tekseal => self.own.join("tekseal-controller").is_file(),
            Program::Chains | Program::ChainsTuned => self
                .chains
                .as_ref()
                .is_some_and(|folder| folder.join("chains-controller").is_file()),
        }
    }

    /// Makes its key and writes its configuration.
    pub(super) fn prepare(&self, program: Program, arena: &Arena) {
        self.make_key(program, &keys(arena));
        let api = &arena.api;
        api.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}));
        let mut data = BTreeMap::from([
            ("artifacts.taskrun.format", "slsa/v1"),
            ("artifacts.taskrun.storage", "oci"),
            ("artifacts.taskrun.signer", "x509"),
            ("artifacts.pipelinerun.format", "slsa/v1"),
            ("artifacts.pipelinerun.storage", "oci"),
            ("artifacts.pipelinerun.signer", "x509"),
            ("artifacts.oci.format", "simplesigning"),
            ("artifacts.oci.storage", "oci"),
            ("artifacts.oci.signer", "x509"),
            ("transparency.enabled", "false"),
        ]);
        match program {
            // It is on loopback, where ours goes only if told so.
            Program::Tekseal => {
                data.insert("tekseal.registries", arena.registry());
            }
            Program::Chains | Program::ChainsTuned => {
                let config = self.chains_folder().join("config");
                for file in SETTINGS {
                    create_yaml(arena, &config.join(file));
                }
            }
        }
        api.create(&json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "chains-config", "namespace": SYSTEM},
            "data": data,
        }));
    }

    /// Starts it.
    pub(super) fn start(&self, program: Program, arena: &Arena) -> Player {
        let kubeconfig = text(&arena.api.kubeconfig());
        let folder = arena.api.make_folder("program");
        let daemon = match program {
            Program::Tekseal => Daemon::start(
                &self.own.join("tekseal-controller"),
                [
                    "--kubeconfig",
                    &kubeconfig,
                    "--signing-secrets",
                    &text(&keys(arena)),
                ],
                &folder,
            ),
            Program::Chains | Program::ChainsTuned => {
                let mut args = vec!["--mount".to_owned()];
                if !nix::unistd::geteuid().is_root() {
                    args.insert(0, "--map-root-user".to_owned());
                }
                args.extend(["sh", "-c", WITH_OWN_ETC, "sh"].map(str::to_owned));
                args.push(text(&etc(arena)));
                args.extend([
                    format!("HOME={}", folder.display()),
                    format!("SYSTEM_NAMESPACE={SYSTEM}"),
                    "METRICS_DOMAIN=tekton.dev/chains".to_owned(),
                    "CONFIG_OBSERVABILITY_NAME=tekton-chains-config-observability".to_owned(),
                    "CONFIG_LEADERELECTION_NAME=tekton-chains-config-leader-election".to_owned(),
                    "KUBERNETES_MIN_VERSION=v1.28.0".to_owned(),
                    "POD_NAME=chains".to_owned(),
                    text(&self.chains_folder().join("chains-controller")),
                    format!("-kubeconfig={kubeconfig}"),
                ]);
                args.extend(program.flags().iter().map(|flag| (*flag).to_owned()));
                Daemon::start(Path::new("unshare"), args, &folder)
            }
        };
        Player { daemon }
    }

    /// Panics unless image and run of these builds are really signed, which the mark on a run alone does not prove.
    pub(super) fn verify(&self, arena: &Arena, images: &[String]) {
        for image in images {
            Run::new(self.own.join("tekseal-verify"))
                .arg("--key")
                .arg(arena.api.folder().join("bench.pub"))
                .arg(image)
                .ok();
        }
    }

    fn make_key(&self, program: Program, keys: &Path) {
        let folder = keys.parent().expect("it is in /etc").parent();
        let folder = folder.expect("it is in the folder of the arena");
        match program {
            Program::Tekseal | Program::Chains => {
                Run::new(self.own.join("tekseal-keygen"))
                    .args(["--output-key-prefix", "bench"])
                    .folder(folder)
                    .env("COSIGN_PASSWORD", PASSWORD)
                    .ok();
                fs::rename(folder.join("bench.key"), keys.join("cosign.key"))
                    .expect("the folder is ours");
                fs::copy(folder.join("bench.pub"), keys.join("cosign.pub"))
                    .expect("the folder is ours");
                fs::write(keys.join("cosign.password"), PASSWORD).expect("the folder is ours");
            }
            Program::ChainsTuned => {
                let key = keys.join("x509.pem");
                Run::new("openssl")
                    .args(["genpkey", "-algorithm", "EC"])
                    .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-out"])
                    .arg(&key)
                    .ok();
                Run::new("openssl")
                    .args(["pkey", "-pubout", "-out", "bench.pub", "-in"])
                    .arg(&key)
                    .folder(folder)
                    .ok();
            }
        }
    }

    fn chains_folder(&self) -> &Path {
        let folder = self.chains.as_deref();
        folder.expect("it was looked for before")
    }
}

impl Player {
    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.daemon.id()
    }

    /// The end of its log.
    pub(super) fn story(&self) -> String {
        self.daemon.story()
    }
}

/// The folder that stands in place of `/etc`.
fn etc(arena: &Arena) -> PathBuf {
    arena.api.make_folder("etc")
}

/// The folder in place of the mounted Secret.
fn keys(arena: &Arena) -> PathBuf {
    etc(arena);
    arena.api.make_folder("etc/signing-secrets")
}

/// Creates the one object of a file.
fn create_yaml(arena: &Arena, file: &Path) {
    let yaml = fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let path = format!("/api/v1/namespaces/{SYSTEM}/configmaps");
    let request = Request::new("POST", &path).body("application/yaml", &yaml);
    let answer = arena.api.send(&request);
    let answer = answer.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert!(
        answer.status == 201,
        "{}: {}",
        file.display(),
        answer.text()
    );
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
