//! Calls the programs that are released: they build, sign, attest and verify themselves.
//!
//! A variable of the environment that is a flag of theirs would change what is done without a trace in the release, so only those are
//! passed on that say how registries and clusters are reached and what opens the key.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::anyhow;
use clap::FromArgMatches as _;
use tekseal_steps::cluster_args::ClusterArgs;
use tekseal_steps::registry_args::RegistryArgs;
use tekseal_steps::{Failure, attest, buildah_push, exit, log, sign, verify};

use crate::args::{Plan, root};
use crate::images::BuildFlags;

/// Variables that are flags and are passed on all the same.
const PASSED_ON: [&str; 8] = [
    "TEKSEAL_AUTH_FILE",
    "TEKSEAL_DOCKERCONFIG",
    "TEKSEAL_REGISTRY_CA",
    "TEKSEAL_CERT_DIR",
    "TEKSEAL_INSECURE_REGISTRY",
    "TEKSEAL_RETRY_FOR",
    "TEKSEAL_PASSWORD_FILE",
    "TEKSEAL_KUBECONFIG",
];

/// Provenance is made in SLSA v1, of what results say: the newest format that there is.
const FORMAT: &str = "slsa/v2alpha4";
const PROVENANCE: &str = "slsaprovenance1";
const SBOM: &str = "spdxjson";

/// What must be attested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Provenance,
    WithSbom,
}

/// The programs, and a folder for what they leave.
#[derive(Debug)]
pub(crate) struct Programs {
    bin: PathBuf,
    scratch: PathBuf,
    insecure: Vec<String>,
}

impl Programs {
    /// Nothing is called yet. buildah gets a storage of its own in `scratch`: what is built goes with the release.
    pub(crate) fn new(plan: &Plan, scratch: &Path) -> Result<Self, Failure> {
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"{0}/run\"\ngraphroot = \"{0}/storage\"\n",
            scratch.display()
        );
        let path = scratch.join("storage.conf");
        fs::write(&path, storage)
            .map_err(|e| Failure::of_writing(&e).context(format!("writing {}", path.display())))?;
        Ok(Self {
            bin: plan.bin.clone(),
            scratch: scratch.to_owned(),
            insecure: plan.insecure.clone(),
        })
    }

    /// A folder that goes when the release is done.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Clusters, reached as the programs reach them.
    pub(crate) fn cluster(&self) -> ClusterArgs {
        let flags = <ClusterArgs as clap::Args>::augment_args(clap::Command::new("cluster"));
        ClusterArgs::from_arg_matches(&flags.get_matches_from(["cluster"])).unwrap_or_default()
    }

    /// Registries, reached as the programs reach them.
    pub(crate) fn registry(&self) -> RegistryArgs {
        let flags = <RegistryArgs as clap::Args>::augment_args(clap::Command::new("registry"));
        let words = std::iter::once("registry".to_owned()).chain(self.insecure_flags());
        RegistryArgs::from_arg_matches(&flags.get_matches_from(words)).unwrap_or_default()
    }

    /// Builds the programs, unless they were built before.
    pub(crate) fn build(&self, plan: &Plan) -> Result<(), Failure> {
        if plan.is_built {
            return Ok(());
        }
        let mut command = Command::new(root().join("build"));
        // stdout is for the table alone.
        let stderr = io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(Failure::outside)?;
        command.stdin(Stdio::null()).stdout(stderr);
        call(command, "building the programs").map(drop)
    }

    /// Builds an image from the context and pushes it; gives the digest that the registry confirmed.
    pub(crate) fn build_image(
        &self,
        plan: &Plan,
        build: &BuildFlags<'_>,
    ) -> Result<String, Failure> {
        let flags = <buildah_push::Args as clap::Args>::augment_args(clap::Command::new("flags"));
        let mut command = self.command("tekseal-buildah-push", &flags);
        command
            .args(self.insecure_flags())
            .env("CONTAINERS_STORAGE_CONF", self.scratch.join("storage.conf"))
            .args(["--storage-driver", "vfs", "--image", build.image])
            .arg("--source")
            .arg(build.context)
            .args([
                "--dockerfile",
                "Containerfile",
                "--target-stage",
                build.stage,
            ])
            .args([
                "--source-date-epoch",
                &plan.commit.time.as_second().to_string(),
            ])
            // The label with buildah's version is the only trace of it in an image.
            .args(["--build-extra-args", "--identity-label=false"])
            .args(["--commit-sha", &plan.commit.revision])
            .arg("--results")
            .arg(build.results)
            .arg("--record")
            .arg(build.record);
        if let Some(url) = &plan.source_url {
            command.args(["--source-url", url]);
        }
        for (name, value) in &build.marks {
            let mark = format!("{name}={value}");
            command.args(["--label", &mark, "--annotation", &mark]);
        }
        call(command, &format!("building {}", build.image))?;
        let path = build.results.join(tekseal_core::hints::IMAGE_DIGEST);
        fs::read_to_string(&path)
            .map_err(|e| Failure::outside(e).context(format!("reading {}", path.display())))
    }

    /// Signs the payloads of a folder, which stay there.
    pub(crate) fn sign(&self, plan: &Plan, folder: &Path) -> Result<(), Failure> {
        let flags = <sign::Args as clap::Args>::augment_args(clap::Command::new("flags"));
        let mut command = self.command("tekseal-sign", &flags);
        command.args(["--key", &plan.key]).arg(folder);
        call(command, "trying the private key").map(drop)
    }

    /// Signs what the recorded run made, and attests how.
    pub(crate) fn attest_run(&self, plan: &Plan, record: &Path) -> Result<(), Failure> {
        let mut command = self.attest(plan);
        command.args(["--format", FORMAT, "--run"]).arg(record);
        call(command, &format!("attesting {}", record.display())).map(drop)
    }

    /// Attests of what an image consists.
    pub(crate) fn attest_sbom(&self, plan: &Plan, image: &str, sbom: &Path) -> Result<(), Failure> {
        let mut command = self.attest(plan);
        command
            .args(["--type", SBOM, "--predicate"])
            .arg(sbom)
            .arg(image);
        call(command, &format!("attesting the SBOM of {image}")).map(drop)
    }

    /// Verifies signature and attestations of every image.
    pub(crate) fn verify(
        &self,
        plan: &Plan,
        images: &[String],
        proof: Proof,
    ) -> Result<(), Failure> {
        let flags = <verify::Args as clap::Args>::augment_args(clap::Command::new("flags"));
        let mut command = self.command("tekseal-verify", &flags);
        command
            .args(self.insecure_flags())
            .args(["--key", &plan.public_key, "--type", PROVENANCE]);
        if proof == Proof::WithSbom {
            command.args(["--type", SBOM]);
        }
        command.args(images);
        let said = call(command, "verifying the release")?;
        let count = said
            .lines()
            .filter(|line| line.starts_with("verified signature "))
            .count();
        if count < images.len() {
            return Err(Failure::no(anyhow!(
                "{count} of {} images were verified",
                images.len()
            )));
        }
        log::info("verified", &[("images", &images.len())]);
        Ok(())
    }

    fn attest(&self, plan: &Plan) -> Command {
        let flags = <attest::Args as clap::Args>::augment_args(clap::Command::new("flags"));
        let mut command = self.command("tekseal-attest", &flags);
        command
            .args(self.insecure_flags())
            .args(["--key", &plan.key]);
        command
    }

    /// A program, without the variables that are flags of it.
    fn command(&self, program: &str, flags: &clap::Command) -> Command {
        let mut command = Command::new(self.bin.join(program));
        for variable in flags.get_arguments().filter_map(clap::Arg::get_env) {
            if !PASSED_ON.iter().any(|passed_on| variable == *passed_on) {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn insecure_flags(&self) -> impl Iterator<Item = String> {
        self.insecure
            .iter()
            .flat_map(|host| ["--insecure-registry".to_owned(), host.clone()])
    }
}

/// Runs a program and gives what it wrote to stdout; its stderr is ours.
fn call(mut command: Command, doing: &str) -> Result<String, Failure> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command
        .stderr(Stdio::inherit())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|e| {
            Failure::misuse(e)
                .context(format!("starting {name}"))
                .context(doing.to_owned())
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let code = output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok());
    let known = [
        exit::NO,
        exit::MISUSE,
        exit::OUTSIDE,
        exit::INTERRUPTED,
        exit::TERMINATED,
    ];
    let code = code
        .filter(|code| known.contains(code))
        .unwrap_or(exit::OUTSIDE);
    Err(
        Failure::with_code(code, anyhow!("{name} ended with {}", output.status))
            .context(doing.to_owned())
            .hint("its own lines above say why"),
    )
}
