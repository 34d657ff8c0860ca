//! The programs that take part: their keys, their configuration, and how they are started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tekseal_harness::{Chains, Daemon, Run};

use super::arena::{Arena, Build};
use super::log::Version;

const PASSWORD: &str = "benchmark";
/// Where both programs expect their configuration; the name is fixed in Chains' own YAML.
const SYSTEM: &str = Chains::NAMESPACE;

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
            Program::Chains | Program::ChainsTuned => self.chains().is_some(),
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
        let told = arena
            .log()
            .map(|log| (log, log.url(), log.trusted_root().to_string()));
        if let Some((_, url, _)) = &told {
            data.extend([("transparency.enabled", "true"), ("transparency.url", url)]);
        }
        match program {
            Program::Tekseal => {
                // It is on loopback, where ours goes only if told so.
                data.insert("tekseal.registries", arena.registry());
                if let Some((log, _, root)) = &told
                    && log.version() == Version::V2
                {
                    // Its entries have no room under tags, and it does not tell its key.
                    data.extend([
                        ("tekseal.tlog", "v2"),
                        ("storage.oci.encoding-format", "sigstore-bundle"),
                        ("tekseal.trusted-root", root),
                    ]);
                }
            }
            Program::Chains | Program::ChainsTuned => {
                let chains = self.chains().expect("it was looked for before");
                chains.create_settings(api);
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
        let api = &arena.api;
        let daemon = match program {
            Program::Tekseal => Daemon::start(
                &self.own.join("tekseal-controller"),
                [
                    "--kubeconfig",
                    &text(&api.kubeconfig()),
                    "--signing-secrets",
                    &text(&keys(arena)),
                ],
                &api.make_folder("program"),
            ),
            Program::Chains | Program::ChainsTuned => {
                let chains = self.chains().expect("it was looked for before");
                chains.start(api, &[], program.flags())
            }
        };
        Player { daemon }
    }

    /// Panics unless image and run of these builds are really signed, which the mark on a run alone does not prove, and logged where there is a
    /// log.
    pub(super) fn verify(&self, program: Program, arena: &Arena, builds: &[&Build]) {
        for build in builds {
            let verify = || {
                Run::new(self.own.join("tekseal-verify"))
                    .arg("--key")
                    .arg(arena.api.folder().join("bench.pub"))
            };
            let image = arena.image(build);
            match (arena.log(), program) {
                (None, _) => {
                    verify().arg(image).ok();
                }
                (Some(log), Program::Tekseal) => {
                    let root = arena.api.folder().join("trusted_root.json");
                    log.write_trusted_root(&root);
                    let verify = verify().args(["--offline", "--trusted-root"]).arg(root);
                    verify.arg(image).ok();
                }
                // It stores no entry beside what it signs, so the log itself is asked.
                (Some(log), Program::Chains | Program::ChainsTuned) => {
                    verify().arg(image).ok();
                    log.find(build.digest());
                    log.find(&arena.signed_payload(build));
                }
            }
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

    fn chains(&self) -> Option<Chains> {
        Chains::in_folder(self.chains.as_deref()?)
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

/// The folder in place of the mounted Secret.
fn keys(arena: &Arena) -> PathBuf {
    Chains::keys(&arena.api)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
