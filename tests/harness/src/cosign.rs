//! The real cosign, both majors, told to use no transparency log and no network besides the registry.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::peers::{peer_folder, present};
use crate::run::{Output, Run};

/// Where cosign puts what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The tags `sha256-….sig` and `sha256-….att`.
    Tags,
    /// Sigstore bundles as referrers; cosign 3 only.
    Bundles,
}

/// One version of cosign with an empty home folder of its own.
pub struct Cosign {
    program: PathBuf,
    major: u8,
    home: TempDir,
    env: Vec<(String, String)>,
}

/// Finds a version (`2.6.5`, `3.1.3`) that `tests/peers --cosign` has built; `None`, with the reason printed, where it is missing.
///
/// # Panics
///
/// When it is missing and `CI` is `true`.
#[must_use]
pub fn cosign(version: &str) -> Option<Cosign> {
    let path = peer_folder().join(format!("cosign-{version}/cosign"));
    let reason = format!(
        "cosign {version} is not at {}: run tests/peers --cosign",
        path.display()
    );
    let program = present(path.is_file().then_some(path), &reason)?;
    let major = version
        .split('.')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("a version begins with a number");
    let home = tempfile::tempdir().expect("a temporary folder");
    Some(Cosign {
        program,
        major,
        home,
        env: Vec::new(),
    })
}

impl Cosign {
    /// Sets a variable of the environment of every command: `DOCKER_CONFIG`, `SSL_CERT_FILE`.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.env
            .push((name.to_owned(), value.as_ref().display().to_string()));
        self
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The first number of its version.
    #[must_use]
    pub fn major(&self) -> u8 {
        self.major
    }

    /// A command of one's own, with the environment set.
    #[must_use]
    pub fn run(&self, command: &str) -> Run {
        let home = self.home.path();
        let run = Run::new(&self.program)
            .arg(command)
            .env("HOME", home)
            .env("TUF_ROOT", home.join("tuf"))
            .env("DOCKER_CONFIG", home.join("docker"));
        self.env
            .iter()
            .fold(run, |run, (name, value)| run.env(name, value))
    }

    /// Makes `cosign.key` and `cosign.pub` in `folder`.
    pub fn generate_key_pair(&self, folder: &Path, password: &str) -> (PathBuf, PathBuf) {
        self.run("generate-key-pair")
            .env("COSIGN_PASSWORD", password)
            .folder(folder)
            .ok();
        (folder.join("cosign.key"), folder.join("cosign.pub"))
    }

    /// Encrypts a PEM private key into `PREFIX.key` and writes `PREFIX.pub`.
    pub fn import_key_pair(&self, pem: &Path, prefix: &Path, password: &str) -> (PathBuf, PathBuf) {
        let run = self
            .run("import-key-pair")
            .arg("--key")
            .arg(pem)
            .arg("--output-key-prefix")
            .arg(prefix);
        run.env("COSIGN_PASSWORD", password).ok();
        (prefix.with_extension("key"), prefix.with_extension("pub"))
    }

    /// Signs an image.
    #[must_use]
    pub fn sign(&self, key: &Path, password: &str, image: &str, layout: Layout) -> Output {
        self.sign_command(key, password, layout).arg(image).run()
    }

    /// The command that signs; add flags and the image.
    #[must_use]
    pub fn sign_command(&self, key: &Path, password: &str, layout: Layout) -> Run {
        self.writing("sign", key, password, layout)
    }

    /// Attests a predicate file of this type (`slsaprovenance`, `slsaprovenance1`, a URI) about an image.
    #[must_use]
    pub fn attest(
        &self,
        key: &Path,
        password: &str,
        predicate_type: &str,
        predicate: &Path,
        image: &str,
        layout: Layout,
    ) -> Output {
        let run = self.writing("attest", key, password, layout);
        run.args(["--type", predicate_type, "--predicate"])
            .arg(predicate)
            .arg(image)
            .run()
    }

    /// Verifies the signature of an image; `extra` flags such as `-a key=value` come before it.
    #[must_use]
    pub fn verify(&self, key: &Path, image: &str, extra: &[&str]) -> Output {
        self.reading("verify", key).args(extra).arg(image).run()
    }

    /// Verifies the attestations of this type of an image.
    #[must_use]
    pub fn verify_attestation(
        &self,
        key: &Path,
        predicate_type: &str,
        image: &str,
        extra: &[&str],
    ) -> Output {
        self.reading("verify-attestation", key)
            .args(["--type", predicate_type])
            .args(extra)
            .arg(image)
            .run()
    }

    /// What `cosign version` says of itself, `v2.6.5`.
    #[must_use]
    pub fn version(&self) -> String {
        let out = self.run("version").ok();
        let line = out
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("GitVersion:"));
        line.unwrap_or_default().trim().to_owned()
    }

    fn writing(&self, command: &str, key: &Path, password: &str, layout: Layout) -> Run {
        let mut run = self
            .run(command)
            .arg("--key")
            .arg(key)
            .arg("--yes")
            .arg("--tlog-upload=false")
            .env("COSIGN_PASSWORD", password);
        match (self.major, layout) {
            (2, Layout::Tags) => {}
            (2, Layout::Bundles) => {
                panic!("bundles with a key and without a log are a matter of cosign 3")
            }
            (_, Layout::Tags) => {
                run = run.args(["--use-signing-config=false", "--new-bundle-format=false"])
            }
            (_, Layout::Bundles) => run = run.arg("--use-signing-config=false"),
        }
        run
    }

    fn reading(&self, command: &str, key: &Path) -> Run {
        self.run(command)
            .arg("--key")
            .arg(AsRef::<OsStr>::as_ref(key))
            .arg("--insecure-ignore-tlog=true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixtures;
    use crate::registry::Registry;

    fn both_directions(version: &str) {
        let Some(cosign) = cosign(version) else {
            return;
        };
        assert_eq!(cosign.version(), format!("v{version}"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, public) = cosign.generate_key_pair(folder.path(), "secret");
        let registry = Registry::start();
        let image = registry.push_image("signed", "v1").reference;
        cosign.verify(&public, &image, &[]).fails_with(10);
        cosign.sign(&key, "secret", &image, Layout::Tags).ok();
        cosign.verify(&public, &image, &[]).ok();
        let predicate = fixtures().join("cosign-samples/inputs/predicate-slsa1.json");
        cosign
            .attest(
                &key,
                "secret",
                "slsaprovenance1",
                &predicate,
                &image,
                Layout::Tags,
            )
            .ok();
        cosign
            .verify_attestation(&public, "slsaprovenance1", &image, &[])
            .ok();
        let tags = registry.tags("signed");
        assert!(
            tags.len() == 3 && tags[0].ends_with(".att") && tags[1].ends_with(".sig"),
            "{tags:?}"
        );
    }

    #[test]
    fn cosign_2_signs_and_verifies_without_log_and_network() {
        both_directions("2.6.5");
    }

    #[test]
    fn cosign_3_signs_and_verifies_without_log_and_network() {
        both_directions("3.1.3");
    }
}
