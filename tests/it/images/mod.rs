//! Images and releases: what is in an image, what a release consists of, and that the same commit gives the same twice.

mod build;
pub(crate) mod foundry;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tekseal_harness::{Run, cosign, program};

use crate::workshop::{PASSWORD, plain_key};
use foundry::{Foundry, VERSION, manifests, programs, root, static_programs, table};

const BUILDER_IMAGE: &str = "registry.example.com/others/buildah@sha256:1d1a4de6c7c00389f96e6d7522c667e979e17fc040d0eb50f40993d7f913c227";
const GIT_IMAGE: &str = "registry.example.com/others/git@sha256:2d1a4de6c7c00389f96e6d7522c667e979e17fc040d0eb50f40993d7f913c227";
const TYPES: [&str; 2] = ["slsaprovenance1", "spdxjson"];

#[test]
fn the_containerfile_has_a_stage_for_each_program_and_all_are_alike() {
    let text = fs::read_to_string(root().join("images/Containerfile")).expect("it is there");
    let (_, stages) = text.split_once("\n\n").expect("a comment, and stages");
    let wanted: Vec<_> = programs()
        .iter()
        .map(|name| {
            format!(
                "FROM scratch AS {name}\nCOPY etc/ /etc/\nCOPY bin/tekseal-{name} /usr/bin/\nUSER 65532:65532\nENTRYPOINT [\"/usr/bin/tekseal-{name}\"]"
            )
        })
        .collect();
    assert_eq!(stages.trim_end(), wanted.join("\n\n"));
}

#[test]
fn a_release_without_a_pinned_builder_is_refused_and_leaves_nothing() {
    let Some(foundry) = Foundry::new() else {
        return;
    };
    for builder in [
        &[] as &[&str],
        &["--builder-image", "registry.example.com/others/buildah:1"],
    ] {
        let out = foundry
            .release("out", foundry.folder.path())
            .args(builder)
            .fails_with(2)
            .says("digest");
        assert_eq!(out.stdout, "");
        assert!(!foundry.path("out").exists());
    }
}

#[test]
fn a_release_whose_manifests_name_an_image_by_tag_is_refused() {
    let (Some(foundry), Some(programs)) = (Foundry::new(), static_programs()) else {
        return;
    };
    let manifests = manifests(&foundry.path("manifests"));
    // No image with git is given, so the default of a parameter stays a tag.
    let refused = foundry
        .release("out", &programs)
        .args(["--builder-image", BUILDER_IMAGE, "--manifests"])
        .arg(manifests)
        .fails_with(2)
        .says("some/git:1")
        .says("--git-image");
    assert_eq!(refused.stdout, "");
    assert!(!foundry.path("out/release.yaml").exists());
    assert!(foundry.is_untouched());
}

#[test]
fn a_release_of_programs_that_are_not_static_is_refused() {
    let Some(foundry) = Foundry::new() else {
        return;
    };
    // This test itself is loaded by the C library's loader, unless all is built for musl.
    let own = std::env::current_exe().expect("it runs");
    let bin = foundry.path("bin");
    fs::create_dir(&bin).expect("the folder is ours");
    for name in programs() {
        let link = bin.join(format!("tekseal-{name}"));
        std::os::unix::fs::symlink(&own, link).expect("the folder is ours");
    }
    let refused = foundry
        .release("out", &bin)
        .args(["--builder-image", BUILDER_IMAGE, "--git-image", GIT_IMAGE])
        .fails_with(2)
        .says("tekseal-attest is not linked statically")
        .says("./build");
    assert_eq!(refused.stdout, "");
    assert!(foundry.is_untouched());
}

#[test]
fn keys_that_do_not_open_or_do_not_fit_are_told_before_anything_is_pushed() {
    let (Some(foundry), Some(bin)) = (Foundry::new(), static_programs()) else {
        return;
    };
    let prefix = foundry.path("locked");
    Run::tool("tekseal-keygen")
        .arg("--output-key-prefix")
        .arg(&prefix)
        .env("COSIGN_PASSWORD", PASSWORD)
        .ok();
    let locked = (prefix.with_extension("key"), prefix.with_extension("pub"));
    let foreign = (plain_key().0, locked.1.clone());
    for (keys, password, why) in [
        (&locked, "a guess", "password"),
        (&foreign, PASSWORD, "signs with another one"),
    ] {
        let refused = foundry
            .release_with("out", &bin, keys)
            .args(["--builder-image", BUILDER_IMAGE, "--git-image", GIT_IMAGE])
            .env("COSIGN_PASSWORD", password)
            .fails_with(2)
            .says(why);
        assert_eq!(refused.stdout, "");
        assert!(!foundry.path("out/release.yaml").exists());
        assert!(foundry.is_untouched(), "{why}");
    }
}

/// `./release` looks for the commit in the bytes of each program, and this is the place that says it to people.
#[test]
fn each_program_has_the_commit_in_it_that_it_tells() {
    let Some(bin) = static_programs() else {
        return;
    };
    let said = Run::tool("tekseal-sign")
        .args(["--key", "nowhere", "nothing"])
        .fails_with(2);
    let first = said.stderr.lines().next().expect("it says what it is");
    let (_, commit) = first.split_once(" commit=").expect("and of which commit");
    assert_ne!(commit, "unknown");
    for name in programs() {
        let bytes = fs::read(bin.join(format!("tekseal-{name}"))).expect("it is there");
        let mut windows = bytes.windows(commit.len());
        assert!(
            windows.any(|window| window == commit.as_bytes()),
            "{name} was not built of {commit}: run ./build"
        );
    }
}

#[test]
fn a_release_is_complete_and_signed_and_the_same_commit_gives_the_same_digests() {
    let (Some(foundry), Some(bin)) = (Foundry::new(), static_programs()) else {
        return;
    };
    let manifests = manifests(&foundry.path("manifests"));
    let release = |out| {
        let run = foundry.release(out, &bin).args([
            "--builder-image",
            BUILDER_IMAGE,
            "--git-image",
            GIT_IMAGE,
        ]);
        run.arg("--manifests").arg(&manifests).ok()
    };
    let first = release("one");
    let table = table(&first);
    let names: Vec<_> = table.iter().map(|(name, _)| name.clone()).collect();
    let bundles = ["tasks", "step-actions", "pipelines", "release"];
    assert_eq!(
        names,
        programs()
            .into_iter()
            .chain(bundles.map(str::to_owned))
            .collect::<Vec<_>>()
    );

    for (name, image) in &table {
        let types = if bundles.contains(&name.as_str()) {
            &TYPES[..1]
        } else {
            &TYPES
        };
        foundry.verify(types, image).ok();
        assert!(
            image.starts_with(&format!("{}/{name}@sha256:", foundry.prefix())),
            "{image}"
        );
    }
    for name in programs() {
        has_only_what_is_promised(&foundry, &name, &bin);
    }
    let (_, image) = table
        .iter()
        .find(|(name, _)| name == "sign")
        .expect("it is released");
    cosign_agrees(image);
    tells_what_is_in_it(&foundry, image);
    is_pinned(&foundry, &table);
    the_checks_of_the_documentation_hold(&foundry);

    // Long enough for a clock to show: nothing may depend on it.
    assert_eq!(release("two").stdout, first.stdout);
    for file in [
        "release.yaml",
        "controller.yaml",
        "images.txt",
        "sbom/sign.spdx.json",
    ] {
        let read =
            |out: &str| fs::read_to_string(foundry.path(out).join(file)).expect("it is written");
        assert_eq!(read("one"), read("two"), "{file}");
    }
}

/// One layer with four files and the folders above them, all of root and writable by nobody else.
fn has_only_what_is_promised(foundry: &Foundry, name: &str, bin: &Path) {
    let manifest = foundry.manifest(name, VERSION);
    let layers = manifest["layers"].as_array().expect("a list");
    assert_eq!(layers.len(), 1, "{name}");
    let listed = Run::new("tar")
        .args([
            "--list",
            "--gzip",
            "--verbose",
            "--numeric-owner",
            "--utc",
            "--full-time",
        ])
        .stdin(foundry.blob(name, &layers[0]))
        .ok();
    let mut times = BTreeSet::new();
    let files: Vec<_> = listed
        .stdout
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            times.insert(format!("{} {}", words[3], words[4]));
            [words[0], words[1], words[5]].join(" ")
        })
        .collect();
    let program = format!("tekseal-{name}");
    assert_eq!(
        files,
        [
            "drwxr-xr-x 0/0 etc/",
            "-rw-r--r-- 0/0 etc/group",
            "-rw-r--r-- 0/0 etc/passwd",
            "drwxr-xr-x 0/0 etc/ssl/",
            "drwxr-xr-x 0/0 etc/ssl/certs/",
            "-rw-r--r-- 0/0 etc/ssl/certs/ca-certificates.crt",
            "drwxr-xr-x 0/0 usr/",
            "drwxr-xr-x 0/0 usr/bin/",
            &format!("-rwxr-xr-x 0/0 usr/bin/{program}"),
        ],
        "{name}"
    );
    assert_eq!(times.len(), 1, "{times:?}");
    let extracted = Run::new("tar")
        .args([
            "--extract",
            "--gzip",
            "--to-stdout",
            "etc/passwd",
            "etc/group",
        ])
        .stdin(foundry.blob(name, &layers[0]))
        .ok();
    assert!(
        extracted.stdout.contains("tekseal:x:65532:65532:"),
        "{}",
        extracted.stdout
    );
    let size = fs::metadata(bin.join(&program)).expect("it is there").len();
    let has_client = fs::read(bin.join(&program)).expect("it is there");
    let has_client = has_client
        .windows(23)
        .any(|window| window == b"KUBERNETES_SERVICE_HOST");
    let most = if has_client { 8_000_000 } else { 4_500_000 };
    assert!(size < most, "{program} has {size} bytes");

    let config: Value =
        serde_json::from_slice(&foundry.blob(name, &manifest["config"])).expect("JSON");
    let config = &config["config"];
    assert_eq!(config["User"], "65532:65532", "{config}");
    assert_eq!(
        config["Entrypoint"],
        json!([format!("/usr/bin/{program}")]),
        "{config}"
    );
    assert_eq!(config.get("Cmd"), None, "{config}");
    for marks in [&config["Labels"], &manifest["annotations"]] {
        let mark = |name: &str| {
            marks[format!("org.opencontainers.image.{name}")]
                .as_str()
                .unwrap_or_default()
        };
        assert_eq!(
            [
                mark("title"),
                mark("version"),
                mark("licenses"),
                mark("source")
            ],
            [
                &program,
                VERSION,
                "Apache-2.0",
                "https://git.example.com/tekseal"
            ],
            "{marks}"
        );
        // What --manifests names is of no commit.
        let commit = mark("revision").strip_suffix("-dirty");
        assert_eq!(commit.map(str::len), Some(40), "{marks}");
        // No version of buildah, and no base image: buildah says so with empty texts.
        let said = marks.as_object().expect("an object");
        assert_eq!(
            said.values().filter(|mark| *mark != "").count(),
            5,
            "{marks}"
        );
    }
}

/// Both versions of cosign accept signature, provenance and SBOM.
fn cosign_agrees(image: &str) {
    let (_, public) = crate::workshop::plain_key();
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        cosign.verify(&public, image, &[]).ok();
        for kind in TYPES {
            cosign.verify_attestation(&public, kind, image, &[]).ok();
        }
    }
}

/// The SBOM that is attested is the one in the folder, and says what is in the program and what is not.
fn tells_what_is_in_it(foundry: &Foundry, image: &str) {
    let said = foundry
        .verify(&TYPES, image)
        .args(["--output", "json"])
        .ok()
        .json();
    let attested = |kind: &str| {
        let all = said[0]["attestations"].as_array().expect("a list");
        let one = all.iter().find(|one| one["predicateType"] == kind);
        one.unwrap_or_else(|| panic!("no {kind} in {said}"))["statement"]["predicate"].clone()
    };
    let sbom = attested("https://spdx.dev/Document");
    let written = fs::read(foundry.path("one/sbom/sign.spdx.json")).expect("it is written");
    assert_eq!(
        sbom,
        serde_json::from_slice::<Value>(&written).expect("JSON")
    );
    let names: BTreeSet<_> = sbom["packages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    for present in [
        "tekseal-sign",
        "tekseal-signing",
        "p256",
        "rust-std",
        "webpki-root-certs",
        "kube-client",
    ] {
        assert!(names.contains(present), "{present} is not in {names:?}");
    }
    // Of tests, of macros, of build scripts, of other programs, of the release itself.
    for absent in [
        "proptest",
        "tekseal-harness",
        "serde_derive",
        "cc",
        "tracing-subscriber",
        "guppy",
        "tekseal-release",
    ] {
        assert!(!names.contains(absent), "{absent} is in {names:?}");
    }
    let provenance = attested("https://slsa.dev/provenance/v1");
    assert_eq!(
        provenance["runDetails"]["builder"]["id"],
        "urn:tekseal:local:v1"
    );
    let inputs = provenance["buildDefinition"]["resolvedDependencies"].to_string();
    assert!(
        inputs.contains("git+https://git.example.com/tekseal.git"),
        "{inputs}"
    );
}

/// Manifests and bundles name this release by digest, and nothing by tag.
fn is_pinned(foundry: &Foundry, table: &[(String, String)]) {
    let reference = |name: &str| {
        &table
            .iter()
            .find(|(one, _)| one == name)
            .expect("it is released")
            .1
    };
    let read =
        |name: &str| fs::read_to_string(foundry.path("one").join(name)).expect("it is written");
    let list: Vec<_> = table
        .iter()
        .map(|(_, reference)| reference.as_str())
        .collect();
    assert_eq!(read("images.txt").lines().collect::<Vec<_>>(), list);
    let (tasks, controller) = (read("release.yaml"), read("controller.yaml"));
    for image in [
        reference("attest"),
        reference("buildah-push"),
        BUILDER_IMAGE,
        GIT_IMAGE,
    ] {
        assert!(tasks.contains(image), "{image} is not in {tasks}");
    }
    assert!(
        tasks.contains(&format!("app.kubernetes.io/version: {VERSION}")),
        "{tasks}"
    );
    assert!(
        controller.contains(&format!("image: {}", reference("controller"))),
        "{controller}"
    );
    assert!(!tasks.contains("kind: Deployment") && controller.contains("kind: Deployment"));

    let release = foundry.manifest("release", VERSION);
    let files = release["layers"].as_array().expect("a list");
    for (layer, text) in files.iter().zip([&tasks, &controller]) {
        assert_eq!(&foundry.blob("release", layer), text.as_bytes());
    }

    let resources: Vec<Vec<Value>> = ["tasks", "step-actions", "pipelines"]
        .map(|name| bundle(foundry, name))
        .into();
    let name = |resource: &Value| {
        resource["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        resources[0].iter().map(name).collect::<Vec<_>>(),
        ["attest", "build"]
    );
    assert_eq!(
        resources[0][0]["spec"]["steps"][0]["image"],
        **reference("attest")
    );
    assert_eq!(resources[1][0]["spec"]["image"], **reference("attest"));
    let pipeline = &resources[2][0]["spec"]["tasks"];
    assert_eq!(
        pipeline[0]["taskRef"]["params"][0]["value"],
        **reference("tasks"),
        "{pipeline}"
    );
    assert_eq!(
        pipeline[1]["taskRef"],
        json!({"name": "of-others"}),
        "{pipeline}"
    );
}

/// What docs/release.md says to who checks a release: done as written, on what was released and on what was changed since.
fn the_checks_of_the_documentation_hold(foundry: &Foundry) {
    let folder = foundry.path("one");
    fs::copy(plain_key().1, folder.join("cosign.pub")).expect("the folder is ours");
    let text = fs::read_to_string(root().join("docs/release.md")).expect("it is there");
    let block = |holds: &str| {
        let mut blocks = text.split("```sh\n").skip(1);
        let found = blocks.find_map(|rest| rest.split("```").next().filter(|b| b.contains(holds)));
        let address = foundry.registry.address();
        found
            .unwrap_or_else(|| panic!("no block of docs/release.md has {holds}"))
            .replace("https://registry.example.com", &format!("http://{address}"))
            .replace("registry.example.com", address)
            .replace(":0.1.0", &format!(":{VERSION}"))
    };
    let tools = program("tekseal-verify");
    let tools = tools.parent().expect("a program is in a folder").display();
    let path = std::env::var("PATH").expect("there is a PATH");
    let check = |script: &str| {
        Run::new("bash")
            .args(["-c", script])
            .env("PATH", format!("{tools}:{path}"))
            .folder(&folder)
            .run()
    };
    let images = block("xargs");
    let files = block("manifest.json");
    check(&images).ok();
    check(&files).ok();

    for (name, script) in [("images.txt", &images), ("release.yaml", &files)] {
        let whole = fs::read_to_string(folder.join(name)).expect("it is written");
        // Another image, and a comment; what comes behind is good.
        let other = format!("{}/sign@sha256:{}", foundry.prefix(), "0".repeat(64));
        let first = if name == "images.txt" {
            other
        } else {
            "#".to_owned()
        };
        fs::write(folder.join(name), format!("{first}\n{whole}")).expect("it is ours");
        let output = check(script);
        assert_ne!(output.code(), Some(0), "{name}: {output:?}");
        fs::write(folder.join(name), whole).expect("it is ours");
    }
}

/// The resources of a bundle, read by the contract: a layer each, named in annotations, alone in a tar.
fn bundle(foundry: &Foundry, name: &str) -> Vec<Value> {
    let manifest = foundry.manifest(name, VERSION);
    let layers = manifest["layers"].as_array().expect("a list");
    let config: Value =
        serde_json::from_slice(&foundry.blob(name, &manifest["config"])).expect("JSON");
    layers
        .iter()
        .zip(config["rootfs"]["diff_ids"].as_array().expect("a list"))
        .map(|(layer, id)| {
            let blob = foundry.blob(name, layer);
            let tar = Run::new("gzip")
                .args(["--decompress", "--stdout"])
                .stdin(&blob)
                .ok()
                .stdout;
            assert_eq!(tekseal_harness::digest(tar.as_bytes()), *id);
            let text = Run::new("tar")
                .args(["--extract", "--to-stdout"])
                .stdin(&tar)
                .ok()
                .stdout;
            let files = Run::new("tar").arg("--list").stdin(&tar).ok().stdout;
            let resource: Value = serde_json::from_str(&text).expect("one resource");
            let annotation =
                |name: &str| layer["annotations"][format!("dev.tekton.image.{name}")].clone();
            assert_eq!(annotation("name"), resource["metadata"]["name"]);
            assert_eq!(annotation("apiVersion"), resource["apiVersion"]);
            let kind = resource["kind"].as_str().expect("a kind").to_lowercase();
            assert_eq!(annotation("kind"), kind);
            assert_eq!(files.trim_end(), resource["metadata"]["name"]);
            resource
        })
        .collect()
}
