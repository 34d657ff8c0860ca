//! buildah as it can be used here: which storage driver works, how a network is taken away, what registries are told.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tempfile::TempDir;

use super::authfile;
use super::complaint::{self, Cause, Doing};
use super::settings::Settings;
use super::tls::Tls;
use crate::child::{self, Call, Ended, Environment, Program, Signals, Stdout};
use crate::registry_args::RegistryArgs;
use crate::{Failure, files, log};

const BUILDAH: Program<'_> = Program {
    name: "buildah",
    label: "buildah",
    hint: ABSENT,
};
/// What takes the network away from buildah; what it prints is buildah's, nearly always.
const UNSHARE: Program<'_> = Program {
    name: "unshare",
    label: "buildah",
    hint: ABSENT,
};
const ABSENT: &str = "run the step in an image that has buildah (parameter BUILDER_IMAGE), or install buildah 1.28 or newer";

/// Ways to start a program without network, the one that needs fewer rights on its files last. buildah's `--network none` is for RUN alone: buildah itself
/// would still download for ADD and pull images, and chroot isolation refuses it. So buildah as a whole is put where there is no network,
/// whatever the Containerfile says.
const WITHOUT_NETWORK: [&[&str]; 2] = [
    &["--net"],
    &[
        "--user",
        "--map-root-user",
        "--map-users=1,1,65536",
        "--map-groups=1,1,65536",
        "--keep-caps",
        // buildah mounts its storage, which only the owner of the mounts may do.
        "--mount",
        "--net",
    ],
];

/// buildah, ready to be called.
pub(super) struct Tool {
    pub(super) signals: Signals,
    /// Temporary files; they go when the tool ends, well or badly.
    pub(super) scratch: TempDir,
    driver: String,
    log_level: Option<String>,
    without_network: Option<&'static [&'static str]>,
    authfile: Option<PathBuf>,
    /// Variables that it must not have.
    leading_nowhere: Vec<&'static str>,
    cert_dir: Option<PathBuf>,
}

/// Which network a call of buildah has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Shared,
    Absent,
}

impl Tool {
    /// Finds out what works here. Nothing is built yet.
    ///
    /// # Errors
    /// Exit 2 if buildah is not there, or if a network cannot be taken away; 3 if its storage cannot be used.
    pub(super) async fn prepare(
        settings: &Settings,
        registry: &RegistryArgs,
    ) -> Result<Self, Failure> {
        let scratch = files::scratch("tekseal-")?;
        let authfile = authfile::for_buildah(settings, registry, scratch.path())?;
        let leading_nowhere = authfile::leading_nowhere();
        if authfile.is_none() {
            for name in &leading_nowhere {
                let place = std::env::var_os(name).unwrap_or_default();
                log::warn(
                    "no credentials file is there, going on without; where credentials are needed, bind the workspace dockerconfig, or put a config.json there",
                    &[("variable", name), ("place", &Path::new(&place).display())],
                );
            }
        }
        let mut tool = Self {
            signals: Signals::new()?,
            driver: settings.driver.clone(),
            log_level: settings.log_level.clone(),
            without_network: None,
            authfile,
            leading_nowhere,
            cert_dir: cert_dir(scratch.path(), registry)?,
            scratch,
        };
        if settings.hermetic {
            tool.without_network = Some(tool.find_way_without_network().await?);
        }
        let ended = tool
            .call(tool.network_of_build(), words(&["info"]), Stdout::Keep)
            .await?;
        if !ended.is_success() && !tool.take_vfs_instead(&ended) {
            return Err(Cause::of(&ended)
                .failure(
                    Doing::Asking,
                    &ended,
                    format!("opening buildah's storage with the driver {}", tool.driver),
                )
                .hint(
                    "mount a volume at /var/lib/containers, and check the parameter STORAGE_DRIVER (--storage-driver)",
                ));
        }
        Ok(tool)
    }

    /// Takes the driver vfs from now on, if `ended` failed because overlay cannot be used.
    pub(super) fn take_vfs_instead(&mut self, ended: &Ended) -> bool {
        if self.driver != "overlay" || !complaint::is_overlay_unusable(ended) {
            return false;
        }
        log::warn(
            "overlay cannot be used here, taking the slower driver vfs; a volume at /var/lib/containers helps",
            &[],
        );
        "vfs".clone_into(&mut self.driver);
        true
    }

    /// The network that a build has.
    pub(super) fn network_of_build(&self) -> Network {
        match self.without_network {
            Some(_) => Network::Absent,
            None => Network::Shared,
        }
    }

    /// Calls buildah with `args` after its global options.
    pub(super) async fn call(
        &mut self,
        network: Network,
        args: Vec<OsString>,
        stdout: Stdout,
    ) -> Result<Ended, Failure> {
        let mut all = words(&["--storage-driver", &self.driver]);
        if let Some(level) = &self.log_level {
            all.extend(words(&["--log-level", level]));
        }
        all.extend(args);
        match (network, self.without_network) {
            (Network::Absent, Some(way)) => {
                let mut outer = words(way);
                outer.extend(words(&["--", BUILDAH.name]));
                outer.extend(all);
                self.start(&UNSHARE, &outer, stdout).await
            }
            _ => self.start(&BUILDAH, &all, stdout).await,
        }
    }

    /// Starts any program as buildah is started.
    pub(super) async fn start(
        &mut self,
        program: &Program<'_>,
        args: &[OsString],
        stdout: Stdout,
    ) -> Result<Ended, Failure> {
        let call = Call {
            program,
            args,
            environment: Environment::OursWithout(&self.leading_nowhere),
            stdout,
            hide: None,
        };
        child::run(&mut self.signals, call).await
    }

    /// The options by which a command of buildah reaches a registry.
    pub(super) fn access(&self, tls: Tls) -> Vec<OsString> {
        let mut all = words(&[match tls {
            Tls::Verify => "--tls-verify=true",
            Tls::Insecure => "--tls-verify=false",
        }]);
        for (option, path) in [
            ("--authfile", &self.authfile),
            ("--cert-dir", &self.cert_dir),
        ] {
            if let Some(path) = path {
                all.extend([option.into(), path.into()]);
            }
        }
        all
    }

    async fn find_way_without_network(&mut self) -> Result<&'static [&'static str], Failure> {
        let mut reasons = Vec::new();
        for way in WITHOUT_NETWORK {
            let mut args = words(way);
            args.extend(words(&["--", BUILDAH.name, "--version"]));
            let ended = self.start(&UNSHARE, &args, Stdout::Keep).await?;
            if ended.is_success() {
                return Ok(way);
            }
            reasons.push(ended.tail.last().cloned().unwrap_or_else(|| ended.status()));
        }
        Err(Failure::misuse(anyhow!("HERMETIC is asked for, but the network cannot be taken away: {}", reasons.join("; ")))
            .hint("give the step the capability SYS_ADMIN, or user namespaces and a range for root in /etc/subuid and /etc/subgid, or leave out HERMETIC (--hermetic)"))
    }
}

/// Words as arguments.
pub(super) fn words(all: &[&str]) -> Vec<OsString> {
    all.iter().map(OsString::from).collect()
}

/// One folder with all certificates, since buildah takes no more: links to those of `--cert-dir` and `--registry-ca`.
fn cert_dir(scratch: &Path, registry: &RegistryArgs) -> Result<Option<PathBuf>, Failure> {
    match (registry.ca().as_slice(), registry.cert_dirs().as_slice()) {
        ([], []) => return Ok(None),
        ([], [one]) => return Ok(Some(one.clone())),
        _ => {}
    }
    let all = scratch.join("certs");
    let failed = |path: &Path, e: io::Error| {
        Failure::misuse(e).context(format!("reading certificates of {}", path.display()))
    };
    fs::create_dir(&all).map_err(|e| Failure::outside(e).context("making a temporary folder"))?;
    let link = |file: &Path, extension: &str, stem: &str| {
        let target = fs::canonicalize(file)?;
        symlink(target, all.join(format!("{stem}.{extension}")))
    };
    for (path_at, path) in registry.ca().iter().enumerate() {
        let files = if path.is_dir() {
            files_of(path).map_err(|e| failed(path, e))?
        } else {
            vec![path.clone()]
        };
        for (at, file) in files.iter().enumerate() {
            link(file, "crt", &format!("ca-{path_at}-{at}")).map_err(|e| failed(file, e))?;
        }
    }
    for (folder_at, folder) in registry.cert_dirs().iter().enumerate() {
        for file in files_of(folder).map_err(|e| failed(folder, e))? {
            let extension = file
                .extension()
                .and_then(|extension| extension.to_str())
                .unwrap_or_default()
                .to_owned();
            let stem = file
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .to_owned();
            if matches!(extension.as_str(), "crt" | "cert" | "key") {
                // A client's certificate and its key belong together by their name.
                link(&file, &extension, &format!("{folder_at}-{stem}"))
                    .map_err(|e| failed(&file, e))?;
            }
        }
    }
    // A ConfigMap that is not there leaves an empty folder. With one, buildah would pass over its own, in /etc/containers/certs.d.
    let is_empty = files_of(&all).map_err(|e| failed(&all, e))?.is_empty();
    Ok((!is_empty).then_some(all))
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_several_places_are_in_one_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        for name in ["dir", "scratch", "cas"] {
            fs::create_dir(place(name)).expect("a folder");
        }
        for name in [
            "one.pem",
            "dir/ca.crt",
            "dir/me.cert",
            "dir/me.key",
            "dir/notes.txt",
            "cas/two.pem",
        ] {
            fs::write(place(name), name).expect("a file");
        }
        let text = |name| place(name).display().to_string();
        let registry = RegistryArgs {
            ca: vec![text("one.pem"), text("cas")],
            cert_dir: vec![text("dir")],
            ..RegistryArgs::default()
        };
        let all = cert_dir(&place("scratch"), &registry)
            .expect("readable")
            .expect("there are some");
        let mut found: Vec<_> = files_of(&all)
            .expect("readable")
            .iter()
            .map(|file| {
                (
                    file.file_name().expect("a name").to_owned(),
                    fs::read_to_string(file).expect("text"),
                )
            })
            .collect();
        found.sort();
        let found: Vec<_> = found
            .iter()
            .map(|(name, text)| (name.to_str().expect("ASCII"), text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("0-ca.crt", "dir/ca.crt"),
                ("0-me.cert", "dir/me.cert"),
                ("0-me.key", "dir/me.key"),
                ("ca-0-0.crt", "one.pem"),
                ("ca-1-0.crt", "cas/two.pem"),
            ]
        );
        fs::create_dir_all(place("empty/scratch")).expect("a folder");
        fs::create_dir(place("empty/ca")).expect("a folder");
        let registry = RegistryArgs {
            ca: vec![text("empty/ca")],
            ..RegistryArgs::default()
        };
        assert_eq!(
            cert_dir(&place("empty/scratch"), &registry).expect("readable"),
            None
        );
        let registry = RegistryArgs {
            cert_dir: vec![text("dir")],
            ..RegistryArgs::default()
        };
        assert_eq!(
            cert_dir(&place("scratch"), &registry).expect("nothing to do"),
            Some(place("dir"))
        );
    }
}
