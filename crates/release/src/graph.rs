//! What programs are made of, asked of those who know: cargo, rustc and the C library.

use std::process::Command;

use anyhow::anyhow;
use guppy::MetadataCommand;
use guppy::graph::cargo::{CargoOptions, CargoResolverVersion, CargoSet};
use guppy::graph::feature::StandardFeatures;
use guppy::graph::{BuildTargetId, PackageGraph, PackageMetadata};
use guppy::platform::PlatformSpec;
use tekseal_steps::Failure;

use crate::args::root;

/// The packages whose programs are released: `./build` builds them at once, so they share the features of their dependencies.
const PACKAGES: [&str; 2] = ["tekseal-steps", "tekseal-controller"];
/// Cargo's graph of this source, and the toolchain.
pub(crate) struct Graph {
    pub(crate) packages: PackageGraph,
    platform: PlatformSpec,
    pub(crate) toolchain: Vec<Linked>,
}

/// What every program is linked with and no crate.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) license: &'static str,
}

impl Graph {
    /// Asks cargo, rustc and, where it is linked in, the C library.
    ///
    /// # Errors
    /// Exit 2 if one of them is missing, or if the lock file is not up to date.
    pub(crate) fn read() -> Result<Self, Failure> {
        let rustc = said("rustc", &["-vV"])?;
        let field = |name: &str| {
            let line = rustc.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
                .ok_or_else(|| Failure::misuse(anyhow!("rustc -vV says no {name}")))
        };
        let host = field("host:")?;
        let mut toolchain = vec![Linked {
            name: "rust-std",
            version: field("release:")?,
            license: "MIT OR Apache-2.0",
        }];
        if host.ends_with("-gnu") {
            let libc = said("getconf", &["GNU_LIBC_VERSION"])?;
            let version = libc
                .trim()
                .rsplit(' ')
                .next()
                .unwrap_or_default()
                .to_owned();
            toolchain.push(Linked {
                name: "glibc",
                version,
                license: "LGPL-2.1-or-later",
            });
        }
        let mut command = MetadataCommand::new();
        command
            .manifest_path(root().join("Cargo.toml"))
            .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host]);
        let packages = command.build_graph().map_err(|e| {
            Failure::misuse(e).context("asking cargo for the graph of dependencies")
        })?;
        let platform = PlatformSpec::build_target()
            .map_err(|e| Failure::misuse(e).context("reading the target"))?;
        Ok(Self {
            packages,
            platform,
            toolchain,
        })
    }

    /// The package that has this program.
    pub(crate) fn package_of(&self, program: &str) -> Result<PackageMetadata<'_>, Failure> {
        PACKAGES
            .iter()
            .filter_map(|name| self.packages.workspace().member_by_name(name).ok())
            .find(|package| {
                package
                    .build_target(&BuildTargetId::Binary(program))
                    .is_some()
            })
            .ok_or_else(|| Failure::misuse(anyhow!("no package has a program {program}")))
    }

    /// What cargo builds for the target when it builds this package together with the other.
    pub(crate) fn closure(&self, package: &str) -> Result<CargoSet<'_>, guppy::Error> {
        let features = |names: &[&str]| {
            let set = self.packages.resolve_workspace_names(names)?;
            Ok(set.to_feature_set(StandardFeatures::Default))
        };
        let mut options = CargoOptions::new();
        options
            .set_resolver(CargoResolverVersion::V3)
            .set_target_platform(self.platform.clone())
            .set_host_platform(self.platform.clone());
        CargoSet::new(features(&[package])?, features(&PACKAGES)?, &options)
    }
}

fn said(program: &str, args: &[&str]) -> Result<String, Failure> {
    let doing = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
        .map_err(|e| Failure::misuse(e).context(doing()))?;
    if !output.status.success() {
        return Err(Failure::misuse(anyhow!(
            "{}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
        .context(doing()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_ours_has_no_sbom() {
        let graph = Graph::read().expect("cargo and rustc are there");
        for other in ["tekseal-bench", "tekseal-nothing"] {
            assert!(graph.package_of(other).is_err(), "{other}");
        }
    }
}
