//! The node that `tests/cluster/run` has started beside the tests: kubelet, containerd, a registry, Tekton's controller and webhook.
//!
//! The tests are in its network namespace: they and the programs they start reach everything there, and nothing else.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::Client;
use crate::peers::cache_folder;
use crate::process::Folder;
use crate::registry::Registry;
use crate::run::{Run, on_path};

/// Names the file that tells where everything is.
const VARIABLE: &str = "TEKSEAL_CLUSTER";

/// A running node, used as its administrator through [`Client`].
pub struct Node {
    admin: Client,
    registry: Registry,
    told: Value,
    kubeconfigs: AtomicU32,
    /// Removed though nobody drops it: it is of the whole process.
    folder: Folder,
}

impl Deref for Node {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.admin
    }
}

impl Node {
    /// The node of these tests.
    ///
    /// # Panics
    ///
    /// When there is none: such tests are `#[ignore]`d and run by `./test --cluster` alone.
    #[must_use]
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Node> = OnceLock::new();
        HERE.get_or_init(Self::open)
    }

    fn open() -> Self {
        let file = std::env::var_os(VARIABLE).unwrap_or_else(|| {
            panic!("{VARIABLE} is not set: run ./test --cluster, or this under tests/cluster/run")
        });
        let text = fs::read(&file)
            .unwrap_or_else(|e| panic!("{} cannot be read: {e}", Path::new(&file).display()));
        let told: Value = serde_json::from_slice(&text).expect("tests/cluster/run writes JSON");
        let text = |name: &str| told[name].as_str().expect("tests/cluster/run tells it");
        Self {
            admin: Client::new(
                text("address"),
                Path::new(text("ca")),
                &Path::new(text("logs")).join("kube-apiserver"),
                text("token"),
            ),
            registry: Registry::at(text("registry")),
            kubeconfigs: AtomicU32::new(1),
            folder: Folder::make(),
            told,
        }
    }

    /// The registry, which pods and programs reach at the same address, with plain http and no login.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The address at which its Pods reach what runs beside the tests, if that listens there.
    ///
    /// # Panics
    ///
    /// When `tests/cluster/run` did not tell it.
    #[must_use]
    pub fn host(&self) -> &str {
        let address = self.told["address"].as_str();
        let host = address.and_then(|address| address.split(':').next());
        host.expect("tests/cluster/run tells it")
    }

    /// What tokens of its ServiceAccounts name as their issuer.
    ///
    /// # Panics
    ///
    /// When `tests/cluster/run` did not tell it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        let issuer = self.told["issuer"].as_str();
        issuer.expect("tests/cluster/run tells it")
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.told("kubeconfig")
    }

    /// A kubeconfig for whoever has this token.
    #[must_use]
    pub fn kubeconfig_for(&self, token: &str) -> PathBuf {
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("kubeconfig-{number}"));
        self.with_token(token).write_kubeconfig(&path);
        path
    }

    /// The folder with Tekton Chains' `chains-controller` and, in `config`, its YAML.
    #[must_use]
    pub fn chains(&self) -> PathBuf {
        self.told("chains")
    }

    /// The folder with a log for each part of the node.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.told("logs")
    }

    /// Pushes an image that has nothing but static programs, `(path in the image, file)`, and gives its reference with its digest.
    ///
    /// # Panics
    ///
    /// When a file cannot be read.
    #[must_use]
    pub fn image(&self, repository: &str, programs: &[(&str, &Path)]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/image");
        let files = programs
            .iter()
            .map(|(path, file)| format!("{path}={}", file.display()));
        let out = Run::new(script)
            .arg(format!("{}/{repository}", self.registry.address()))
            .args(files)
            .ok();
        out.stdout.trim().to_owned()
    }

    /// Pushes an image as those that are released: a static program `/usr/bin/NAME` that it starts with, as a user without rights. Gives its reference with
    /// its digest.
    #[must_use]
    pub fn program_image(&self, name: &str, program: &Path) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/image");
        let path = format!("/usr/bin/{name}");
        let repository = name.replacen('-', "/", 1);
        let out = Run::new(script)
            .arg(format!("{}/{repository}", self.registry.address()))
            .arg(format!("{path}={}", program.display()))
            .args(["--user", "65532:65532", "--entrypoint", &path])
            .ok();
        out.stdout.trim().to_owned()
    }

    /// Pushes an image of the small Debian with buildah and git that `tests/cluster/build` makes, and gives its reference with its digest.
    ///
    /// # Panics
    ///
    /// When it is not there.
    #[must_use]
    pub fn build_image(&self) -> String {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster");
        let found = Run::new(tests.join("build"))
            .args(["--folder", "build-rootfs"])
            .env("TEKSEAL_CACHE", cache_folder())
            .ok();
        let archive = Path::new(found.stdout.trim()).join("rootfs.tar");
        let out = Run::new(tests.join("image"))
            .arg(format!("{}/tests/build", self.registry.address()))
            .arg("--rootfs")
            .arg(archive)
            .ok();
        out.stdout.trim().to_owned()
    }

    /// Pushes an image that has busybox as `/bin/sh` and `/bin/NAME` for these names, and gives its reference with its digest.
    ///
    /// # Panics
    ///
    /// When busybox is not installed.
    #[must_use]
    pub fn shell_image(&self, names: &[&str]) -> String {
        let busybox = on_path("busybox").expect("tests/peers --node installs busybox");
        let paths: Vec<String> = ["sh"]
            .iter()
            .chain(names)
            .map(|name| format!("/bin/{name}"))
            .collect();
        let programs: Vec<(&str, &Path)> = paths
            .iter()
            .map(|path| (path.as_str(), busybox.as_path()))
            .collect();
        self.image("tests/shell", &programs)
    }

    fn told(&self, name: &str) -> PathBuf {
        let path = self.told[name].as_str();
        path.expect("tests/cluster/run tells it").into()
    }
}
