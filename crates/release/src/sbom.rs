//! What an image consists of, as an SPDX document.
//!
//! ```text
//!  DOCUMENT ─ DESCRIBES ─▶ image ─ CONTAINS ─▶ program ─ STATIC_LINK ─▶ crate of ours ─ DEPENDS_ON ─▶ crate ─▶ …
//!                            │                    ├─ STATIC_LINK ─▶ rust-std
//!                            │                    └─ STATIC_LINK ─▶ glibc, where the target has it
//!                            └─ CONTAINS ─▶ webpki-root-certs: the certificate authorities
//! ```
//!
//! Specification: <https://spdx.github.io/spdx-spec/v2.3/>. The crates are those that Cargo gives to the linker for the program's package:
//! the features that `./build` builds with, for this target, without what only tests, build scripts and macros use. The linker drops
//! what a program never calls, so there may be less in it, not more. Nothing is random and no clock is read: the same image has the
//! same document.

use std::collections::BTreeMap;

use anyhow::anyhow;
use guppy::graph::{DependencyDirection, PackageMetadata};
use serde_spdx::spdx::v_2_3::{
    Spdx, SpdxBuilder, SpdxCreationInfo, SpdxItemPackages, SpdxItemPackagesBuilder,
    SpdxItemPackagesItemChecksums, SpdxItemPackagesItemExternalRefs, SpdxItemRelationships,
};
use tekseal_core::Digest;
use tekseal_steps::Failure;

use crate::args::Plan;
use crate::context::Context;
use crate::graph::Graph;
use crate::images::Released;

const AUTHORITIES: &str = "webpki-root-certs";

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const PROGRAM: &str = "SPDXRef-Program";
const UNKNOWN: &str = "NOASSERTION";

/// The SBOM of an image, as JSON.
///
/// # Errors
/// Exit 2 if the source has no such program.
pub(crate) fn of(
    plan: &Plan,
    graph: &Graph,
    image: &Released,
    context: &Context,
) -> Result<Vec<u8>, Failure> {
    let program = context
        .images()
        .iter()
        .find(|one| one.name == image.name)
        .map(crate::context::Image::program);
    let program =
        program.ok_or_else(|| Failure::misuse(anyhow!("there is no image {}", image.name)))?;
    let digest = Digest::of(&context.program(&image.name)?);
    let document = document(plan, graph, image, (&program, &digest))?;
    serde_json::to_vec_pretty(&document).map_err(|e| Failure::outside(e).context("writing an SBOM"))
}

fn document(
    plan: &Plan,
    graph: &Graph,
    image: &Released,
    (program, digest): (&str, &Digest),
) -> Result<Spdx, Failure> {
    let mut parts = Parts::default();
    parts.package(IMAGE, &image.repository, &plan.version, |package| {
        let (path, name) = image
            .repository
            .rsplit_once('/')
            .unwrap_or(("", &image.repository));
        let url = format!(
            "pkg:oci/{name}@{}?repository_url={}",
            encoded(image.digest.as_str()),
            encoded(&format!("{path}/{name}"))
        );
        package
            .primary_package_purpose("CONTAINER")
            .license_declared(env!("CARGO_PKG_LICENSE"))
            .checksums(vec![checksum(&image.digest)])
            .external_refs(vec![package_url(url)]);
    });
    parts.relate(DOCUMENT, "DESCRIBES", IMAGE);
    parts.package(PROGRAM, program, &plan.version, |package| {
        package
            .primary_package_purpose("APPLICATION")
            .license_declared(env!("CARGO_PKG_LICENSE"))
            .checksums(vec![checksum(digest)]);
    });
    parts.relate(IMAGE, "CONTAINS", PROGRAM);
    for linked in &graph.toolchain {
        let id = id(linked.name, &linked.version);
        parts.package(&id, linked.name, &linked.version, |package| {
            let url = format!("pkg:generic/{}@{}", linked.name, encoded(&linked.version));
            package
                .license_declared(linked.license)
                .external_refs(vec![package_url(url)]);
        });
        parts.relate(PROGRAM, "STATIC_LINK", &id);
    }
    crates(graph, program, &mut parts)
        .map_err(|e| e.context(format!("what {program} is made of")))?;
    let authorities = graph
        .packages
        .packages()
        .find(|package| package.name() == AUTHORITIES);
    let authorities =
        authorities.ok_or_else(|| Failure::misuse(anyhow!("{AUTHORITIES} is not in the graph")))?;
    parts.krate(&authorities);
    parts.relate(IMAGE, "CONTAINS", &id_of(&authorities));
    Ok(parts.into_document(plan, program, image))
}

/// The crates in the program, and what links them.
fn crates(graph: &Graph, program: &str, parts: &mut Parts) -> Result<(), Failure> {
    let package = graph.package_of(program)?;
    let closure = graph.closure(package.name()).map_err(Failure::misuse)?;
    for list in closure
        .target_features()
        .packages_with_features(DependencyDirection::Forward)
    {
        parts.krate(list.package());
    }
    for link in closure.target_links() {
        parts.relate(&id_of(&link.from()), "DEPENDS_ON", &id_of(&link.to()));
    }
    parts.relate(PROGRAM, "STATIC_LINK", &id_of(&package));
    Ok(())
}

/// Packages and relationships in the order of their names, each once.
#[derive(Default)]
struct Parts {
    packages: BTreeMap<String, SpdxItemPackages>,
    relationships: BTreeMap<(String, String, &'static str), SpdxItemRelationships>,
}

impl Parts {
    fn package(
        &mut self,
        id: &str,
        name: &str,
        version: &str,
        describe: impl FnOnce(&mut SpdxItemPackagesBuilder),
    ) {
        let mut package = SpdxItemPackagesBuilder::default();
        package
            .spdxid(id)
            .name(name)
            .version_info(version)
            .download_location(UNKNOWN)
            .files_analyzed(false)
            .license_concluded(UNKNOWN)
            .copyright_text(UNKNOWN);
        describe(&mut package);
        let package = package.build().expect("all that is required was set above");
        self.packages.insert(id.to_owned(), package);
    }

    fn krate(&mut self, package: &PackageMetadata<'_>) {
        let version = package.version().to_string();
        self.package(&id_of(package), package.name(), &version, |made| {
            // A slash is how licences were separated before there were expressions.
            let license = package.license().map_or_else(
                || UNKNOWN.to_owned(),
                |license| license.replace('/', " OR "),
            );
            made.primary_package_purpose("LIBRARY")
                .license_declared(license);
            if !package.in_workspace() {
                let url = format!("pkg:cargo/{}@{}", package.name(), encoded(&version));
                made.external_refs(vec![package_url(url)]);
            }
        });
    }

    fn relate(&mut self, from: &str, kind: &'static str, to: &str) {
        let relationship = SpdxItemRelationships {
            comment: None,
            spdx_element_id: from.to_owned(),
            relationship_type: kind.to_owned(),
            related_spdx_element: to.to_owned(),
        };
        self.relationships
            .insert((from.to_owned(), to.to_owned(), kind), relationship);
    }

    fn into_document(self, plan: &Plan, program: &str, image: &Released) -> Spdx {
        SpdxBuilder::default()
            .spdxid(DOCUMENT)
            .spdx_version("SPDX-2.3")
            .data_license("CC0-1.0")
            .name(format!("{program}-{}", plan.version))
            // The digest is as good as the random number that is usual here, and always the same.
            .document_namespace(format!(
                "https://spdx.org/spdxdocs/{program}-{}-{}",
                plan.version,
                image.digest.hex()
            ))
            .creation_info(SpdxCreationInfo {
                comment: None,
                created: plan.commit.rfc3339(),
                creators: vec![format!(
                    "Tool: {}-{}",
                    env!("CARGO_PKG_NAME"),
                    env!("CARGO_PKG_VERSION")
                )],
                license_list_version: None,
            })
            .packages(self.packages.into_values().collect::<Vec<_>>())
            .relationships(self.relationships.into_values().collect::<Vec<_>>())
            .build()
            .expect("all that is required was set above")
    }
}

fn id_of(package: &PackageMetadata<'_>) -> String {
    id(package.name(), &package.version().to_string())
}

/// An identifier may have letters, digits, dots and hyphens.
fn id(name: &str, version: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let text: String = format!("{name}-{version}").chars().map(plain).collect();
    format!("SPDXRef-Package-{text}")
}

fn checksum(digest: &Digest) -> SpdxItemPackagesItemChecksums {
    SpdxItemPackagesItemChecksums {
        algorithm: "SHA256".to_owned(),
        checksum_value: digest.hex().to_owned(),
    }
}

/// <https://github.com/package-url/purl-spec>
fn package_url(url: String) -> SpdxItemPackagesItemExternalRefs {
    SpdxItemPackagesItemExternalRefs {
        comment: None,
        reference_category: "PACKAGE-MANAGER".to_owned(),
        reference_type: "purl".to_owned(),
        reference_locator: url,
    }
}

/// As a part of a package URL: what is no letter, digit or one of `.-_~` is written in hexadecimal.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::args::tests::plan;

    fn sbom(graph: &Graph, name: &str) -> Value {
        let image = Released {
            name: name.to_owned(),
            repository: format!("r.example:5000/tekseal/{name}"),
            digest: Digest::of(b"image"),
            packed: 1,
            unpacked: 2,
        };
        let program = format!("tekseal-{name}");
        let made = document(&plan(), graph, &image, (&program, &Digest::of(b"program")));
        serde_json::to_value(made.expect("a program of ours")).expect("JSON")
    }

    fn names(sbom: &Value) -> BTreeSet<&str> {
        let packages = sbom["packages"].as_array().expect("a list");
        packages
            .iter()
            .filter_map(|package| package["name"].as_str())
            .collect()
    }

    #[test]
    fn an_sbom_is_what_the_schema_of_spdx_says_and_refers_to_nothing_that_is_not_in_it() {
        let graph = Graph::read().expect("cargo and rustc are there");
        let packages = || graph.packages.packages();
        let types = packages()
            .find(|package| package.name() == "serde-spdx")
            .expect("a dependency");
        let schema = types
            .manifest_path()
            .with_file_name("schemas")
            .join("spdx_2_3.json");
        let schema =
            serde_json::from_slice(&fs::read(schema).expect("it is in the crate")).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for name in ["sign", "tree", "controller"] {
            let sbom = sbom(&graph, name);
            let wrong: Vec<_> = validator
                .iter_errors(&sbom)
                .map(|e| format!("{e} at {}", e.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{wrong:#?}");
            let known: BTreeSet<_> = sbom["packages"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|package| &package["SPDXID"])
                .map(Value::to_string)
                .collect();
            for relationship in sbom["relationships"].as_array().expect("a list") {
                for end in ["spdxElementId", "relatedSpdxElement"] {
                    let end = &relationship[end];
                    assert!(
                        end == DOCUMENT || known.contains(&end.to_string()),
                        "{relationship}"
                    );
                }
            }
        }
        let mut bad = sbom(&graph, "sign");
        bad["relationships"][0]["relationshipType"] = "USES".into();
        assert!(
            !validator.is_valid(&bad),
            "the schema must be one that refuses something"
        );
    }

    #[test]
    fn an_sbom_names_what_is_linked_and_not_what_builds_it() {
        let graph = Graph::read().expect("cargo and rustc are there");
        let sign = sbom(&graph, "sign");
        assert_eq!(sign, sbom(&graph, "sign"));
        let controller = sbom(&graph, "controller");
        let (sign, controller) = (names(&sign), names(&controller));
        for both in [
            "tekseal-core",
            "tekseal-signing",
            "p256",
            "ring",
            "kube-client",
            "rust-std",
            AUTHORITIES,
        ] {
            assert!(sign.contains(both) && controller.contains(both), "{both}");
        }
        // Tests, macros, build scripts, other targets, the release itself.
        for nobody in [
            "tekseal-harness",
            "proptest",
            "serde_derive",
            "syn",
            "cc",
            "windows-sys",
            "guppy",
            "jsonschema",
        ] {
            assert!(
                !sign.contains(nobody) && !controller.contains(nobody),
                "{nobody}"
            );
        }
        assert!(controller.contains("tracing-subscriber") && !sign.contains("tracing-subscriber"));
        assert!(sign.contains("rpassword") && !controller.contains("rpassword"));
    }

    #[test]
    fn identifiers_and_urls_have_only_the_letters_that_they_may_have() {
        assert_eq!(
            id("serde_json", "1.0.0+build"),
            "SPDXRef-Package-serde-json-1.0.0-build"
        );
        assert_eq!(encoded("sha256:0a"), "sha256%3A0a");
        assert_eq!(encoded("r:5000/a_b~c"), "r%3A5000%2Fa_b~c");
    }
}
