//! `tekseal-release`, which `./release` runs: everything that a release consists of, made, pushed, signed, attested and verified.
//!
//! ```text
//!  Args ─▶ Plan ─ ./build ─▶ programs ─ Context ─▶ buildah-push ─▶ Released { reference, digest } ─ attest ─▶ signature, provenance
//!           │ commit, time                (images/Containerfile)      │                                        Sbom ─▶ attestation
//!           │                                                         ▼
//!           │     tasks/ pipelines/ deploy/ ─ kustomize ─▶ Manifests, every image by digest ─▶ bundles ─ attest ─▶ signature, provenance
//!           ▼                                                         │
//!          out/release ◀── written last, when all of it was verified ◀┘
//! ```
//!
//! The programs that are released do the work: they build, sign, attest and verify themselves. They are static and of this commit, and they
//! have signed a trial payload before anything is pushed. The same commit, built by the same
//! toolchain and buildah, gives the same digests: times are the commit's, nothing random is in an image, a bundle or an SBOM.
//! Provenance alone differs from one release to the next, because it tells when it was built.

mod args;
mod artifact;
mod bundle;
mod commit;
mod context;
mod elf;
mod graph;
mod images;
mod manifests;
mod pins;
mod programs;
mod record;
mod sbom;
mod table;
mod trial;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tekseal_remote::registry::{Access, Registry};
use tekseal_steps::files::{self, Mode};
use tekseal_steps::{Failure, log};

use args::{Args, Plan};
use artifact::Artifact;
use context::Context;
use graph::Graph;
use images::Released;
use manifests::Manifests;
use pins::Pins;
use programs::{Programs, Proof};

#[derive(Parser)]
#[command(name = "tekseal-release")]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// What is found under its name in the folder of a release.
const TASKS_FILE: &str = "release.yaml";
const CONTROLLER_FILE: &str = "controller.yaml";
const IMAGES_FILE: &str = "images.txt";
const SBOM_FOLDER: &str = "sbom";

fn main() -> ExitCode {
    let cli: Cli = tekseal_steps::parse();
    tekseal_steps::run_async("tekseal-release", release(&cli.args))
}

/// Makes the release. Nothing is pushed before all that can be checked was checked, and no file is written before all was verified.
async fn release(args: &Args) -> Result<(), Failure> {
    let plan = Plan::new(args)?;
    let scratch = files::scratch("tekseal-release-")?;
    // What is wrong with manifests is told before minutes are spent on building.
    let rehearsed = Pins::rehearsed(&plan, &context::names()?);
    let rehearsed = Manifests::render(&plan, &rehearsed, scratch.path())?;
    bundle::all(&plan, &rehearsed)?;
    let programs = Programs::new(&plan, scratch.path())?;
    programs.build(&plan)?;
    let folder = scratch.path().join("context");
    let context = Context::lay_out(&plan.bin, &plan.commit, &folder)?;
    trial::of_keys(&plan, &programs)?;
    let graph = Graph::read()?;
    let registry = programs.registry().open(Access::PullPush)?;

    let mut released = Vec::new();
    let mut boms = Vec::new();
    for image in context.images() {
        let image = images::release(&plan, &programs, &registry, &context, image).await?;
        let bom = sbom::of(&plan, &graph, &image, &context)?;
        let file = scratch.path().join(format!("{}.spdx.json", image.name));
        files::write(&file, &bom, Mode::Public)?;
        programs.attest_sbom(&plan, &image.by_digest(), &file)?;
        boms.push((image.name.clone(), bom));
        released.push(image);
    }

    let pins = Pins::of(&plan, &released);
    let made = Manifests::render(&plan, &pins, scratch.path())?;
    let mut bundles = Vec::new();
    for artifact in bundle::all(&plan, &made)? {
        bundles.push(publish(&plan, &programs, &registry, artifact).await?);
    }
    let files = artifact::of_files(
        &plan,
        &[
            (TASKS_FILE, &made.tasks),
            (CONTROLLER_FILE, &made.controller),
        ],
    )?;
    bundles.push(publish(&plan, &programs, &registry, files).await?);

    let images: Vec<_> = released.iter().map(Released::by_digest).collect();
    programs.verify(&plan, &images, Proof::WithSbom)?;
    let others: Vec<_> = bundles.iter().map(Released::by_digest).collect();
    programs.verify(&plan, &others, Proof::Provenance)?;

    write_out(&plan.out, &made, &boms, &released, &bundles)?;
    log::info(
        "released",
        &[("version", &plan.version), ("folder", &plan.out.display())],
    );
    table::print(&released, &bundles)
}

/// Pushes, signs and attests what buildah has no part in.
async fn publish(
    plan: &Plan,
    programs: &Programs,
    registry: &Registry,
    artifact: Artifact,
) -> Result<Released, Failure> {
    let started = record::now();
    let released = artifact.push(plan, registry).await?;
    let record = programs
        .scratch()
        .join(format!("{}.run.json", released.name));
    record::write(&record, plan, &released, started)?;
    programs.attest_run(plan, &record)?;
    Ok(released)
}

fn write_out(
    out: &Path,
    made: &Manifests,
    boms: &[(String, Vec<u8>)],
    images: &[Released],
    bundles: &[Released],
) -> Result<(), Failure> {
    let sboms = out.join(SBOM_FOLDER);
    // An SBOM of an image that is no longer there would be of another release.
    if sboms.is_dir() {
        fs::remove_dir_all(&sboms).map_err(|e| {
            Failure::of_writing(&e).context(format!("removing {}", sboms.display()))
        })?;
    }
    files::make_folder(&sboms)?;
    for (name, bom) in boms {
        files::write(&sboms.join(format!("{name}.spdx.json")), bom, Mode::Public)?;
    }
    let list: String = images
        .iter()
        .chain(bundles)
        .map(|one| one.by_digest() + "\n")
        .collect();
    files::write(&out.join(IMAGES_FILE), list.as_bytes(), Mode::Public)?;
    files::write(
        &out.join(CONTROLLER_FILE),
        made.controller.as_bytes(),
        Mode::Public,
    )?;
    files::write(&out.join(TASKS_FILE), made.tasks.as_bytes(), Mode::Public)
}
