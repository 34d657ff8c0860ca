//! `tekseal-buildah-push` as a process, with the real buildah and the real docker-registry: arguments in; exit code, stderr, results, record
//! and the content of the registry out. Nothing is pulled from outside: every image begins from scratch, or from one made here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_harness::{Moment, Output, Proxy, Registry, Run, buildah};

const TOOL: &str = env!("CARGO_BIN_EXE_tekseal-buildah-push");
const CONTAINERFILE: &str = "FROM scratch\nCOPY page.html /\n";

/// A source, a results folder, and a storage of buildah's that goes with this value.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    /// `None`, with the reason printed, where there is no buildah. In CI that is a failure.
    fn open(containerfile: &str) -> Option<Self> {
        buildah()?;
        let shop = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        for name in ["source", "results", "tmp", "storage"] {
            fs::create_dir(shop.path(name)).expect("a folder");
        }
        fs::write(shop.path("source/Containerfile"), containerfile).expect("a file");
        fs::write(shop.path("source/page.html"), "<h1>page</h1>\n").expect("a file");
        let storage = shop.path("storage");
        let config = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/root\"\nrunroot = \"{0}/run\"\n",
            storage.display()
        );
        fs::write(shop.path("storage.conf"), config).expect("a file");
        Some(shop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tool, for this image, with a storage of its own.
    fn tool(&self, image: &str) -> Run {
        Run::new(TOOL)
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            .env("TMPDIR", self.path("tmp"))
            .env("IMAGE", image)
            .env("STORAGE_DRIVER", "vfs")
            .env("TLSVERIFY", "false")
            .env("TEKSEAL_RESULTS", self.path("results"))
            .arg("--source")
            .arg(self.path("source"))
    }

    fn results(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.path("results")).expect("the results folder is there");
        entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                (name, fs::read_to_string(path).expect("text"))
            })
            .collect()
    }

    /// A PATH with a buildah that runs `script` before it becomes the real one.
    fn path_with_buildah(&self, script: &str) -> String {
        let real = buildah().expect("looked for when the shop was opened");
        let folder = self.path("bin");
        fs::create_dir(&folder).expect("a folder");
        let tool = folder.join("buildah");
        let script = format!("#!/bin/sh\n{script}exec {} \"$@\"\n", real.display());
        fs::write(&tool, script).expect("a file");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("executable");
        let path = std::env::var("PATH").expect("a PATH");
        format!("{}:{path}", folder.display())
    }

    /// Neither results nor temporary files.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.results(), BTreeMap::new());
        let left: Vec<_> = fs::read_dir(self.path("tmp"))
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name.to_string_lossy().starts_with("tekseal-"))
            .collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new());
    }
}

/// The error line has all of these, and there is a hint.
#[track_caller]
fn explains(output: &Output, wanted: &[&str]) {
    let line = output
        .stderr
        .lines()
        .find(|line| line.starts_with("tekseal-buildah-push: error: "));
    for text in wanted {
        assert!(
            line.is_some_and(|line| line.contains(text)),
            "expected {text:?} in the error\n{output:?}"
        );
    }
    assert!(
        output.stderr.contains("tekseal-buildah-push: hint: "),
        "expected a hint\n{output:?}"
    );
}

fn config(registry: &Registry, repository: &str, digest: &str) -> Value {
    let manifest = registry
        .manifest(repository, digest)
        .expect("pushed")
        .json();
    let blob = registry
        .blob(
            repository,
            manifest["config"]["digest"].as_str().expect("a digest"),
        )
        .expect("pushed");
    serde_json::from_slice(&blob).expect("a configuration is JSON")
}

#[test]
fn the_results_name_the_image_that_the_registry_has() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let image = format!("{}/team/app:V1", registry.address());
    let output = shop
        .tool(&format!(" {image}\n"))
        .args([
            "--additional-tags",
            "latest",
            "V1",
            "",
            ";",
            "--label",
            "a=b c\n\"d\"",
            "--commit-sha",
            "0123",
            "--source-url",
            "https://s.example",
        ])
        .args(["--artifact-outputs", "--image-expires-after", "7d"])
        .run()
        .ok();
    assert_eq!(output.stdout, "");
    let pushed = registry.manifest("team/app", "V1").expect("pushed");
    let results = shop.results();
    let repository = format!("{}/team/app", registry.address());
    assert_eq!(results["IMAGE_URL"], image);
    assert_eq!(results["IMAGE_DIGEST"], pushed.digest);
    assert_eq!(
        results["IMAGE_REF"],
        format!("{repository}@{}", pushed.digest)
    );
    assert_eq!(results["IMAGES"], "");
    let outputs: Value = serde_json::from_str(&results["IMAGE_ARTIFACT_OUTPUTS"]).expect("JSON");
    assert_eq!(
        outputs,
        serde_json::json!({"uri": repository, "digest": pushed.digest, "isBuildArtifact": "true"})
    );
    assert_eq!(registry.tags("team/app"), ["V1", "latest"]);
    assert_eq!(
        registry
            .manifest("team/app", "latest")
            .expect("tagged")
            .digest,
        pushed.digest
    );
    assert_eq!(
        pushed.media_type,
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(
        pushed.json()["annotations"]["org.opencontainers.image.revision"],
        "0123"
    );
    let labels = &config(&registry, "team/app", "V1")["config"]["Labels"];
    assert_eq!(labels["a"], "b c\n\"d\"");
    assert_eq!(
        labels["org.opencontainers.image.source"],
        "https://s.example"
    );
    assert_eq!(labels["quay.expires-after"], "7d");
    let _ = output.says("pushed image=").says("wrote results");
}

#[test]
fn with_source_date_epoch_the_same_source_has_the_same_digest() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    for repository in ["one", "two"] {
        let image = format!("{}/{repository}:1", registry.address());
        let tool = shop.tool(&image).env("SOURCE_DATE_EPOCH", "1700000000");
        let _ = tool.run().ok();
    }
    let digest = |repository| registry.manifest(repository, "1").expect("pushed").digest;
    assert_eq!(digest("one"), digest("two"));
}

#[test]
fn dockers_format_is_made_where_it_is_asked_for() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let image = format!("{}/app:1", registry.address());
    let _ = shop.tool(&image).env("FORMAT", "docker").run().ok();
    let single = registry.manifest("app", "1").expect("pushed");
    let docker = "application/vnd.docker.distribution.manifest";
    assert_eq!(single.media_type, format!("{docker}.v2+json"));
    let tool = shop.tool(&image).env("FORMAT", "docker");
    let _ = tool.env("PLATFORMS", r#"["linux/amd64"]"#).run().ok();
    let list = registry.manifest("app", "1").expect("pushed");
    assert_eq!(list.media_type, format!("{docker}.list.v2+json"));
}

#[test]
fn several_platforms_make_an_index_whose_images_are_all_named() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let image = format!("{}/team/multi:1", registry.address());
    let _ = shop
        .tool(&image)
        .args([
            "--platforms",
            "linux/amd64",
            "linux/arm64",
            ";",
            "--additional-tag",
            "2",
            "--record",
        ])
        .arg(shop.path("run.json"))
        .run()
        .ok();
    let index = registry.manifest("team/multi", "1").expect("pushed");
    assert_eq!(index.media_type, "application/vnd.oci.image.index.v1+json");
    assert_eq!(
        registry.manifest("team/multi", "2").expect("tagged").digest,
        index.digest
    );
    let mut digests = vec![index.digest.clone()];
    for child in index.json()["manifests"].as_array().expect("a list") {
        let digest = child["digest"].as_str().expect("a digest").to_owned();
        assert!(
            registry.manifest("team/multi", &digest).is_some(),
            "{digest} is not there"
        );
        digests.push(digest);
    }
    assert_eq!(digests.len(), 3);
    let wanted: Vec<_> = digests
        .iter()
        .map(|digest| registry.reference("team/multi", digest))
        .collect();
    let results = shop.results();
    assert_eq!(results["IMAGES"], wanted.join(","));
    assert_eq!(results["IMAGE_DIGEST"], index.digest);
    let architecture = &config(&registry, "team/multi", &digests[2])["architecture"];
    assert_eq!(architecture, "arm64");
    let run: Value =
        serde_json::from_slice(&fs::read(shop.path("run.json")).expect("recorded")).expect("JSON");
    let images = run["status"]["results"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|result| result["name"] == "IMAGES");
    assert_eq!(images.expect("recorded")["value"], wanted.join(","));
}

#[test]
fn the_record_names_the_base_image_that_was_really_used() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let base = format!("{}/base/page:1", registry.address());
    let _ = shop.tool(&base).run().ok();
    fs::write(
        shop.path("source/Containerfile"),
        "ARG BASE\nFROM ${BASE} AS one\nFROM one\nCOPY page.html /two\n",
    )
    .expect("a file");
    let image = format!("{}/team/app:1", registry.address());
    let fresh = Shop::open("").expect("buildah is there");
    let _ = shop
        .tool(&image)
        .env("CONTAINERS_STORAGE_CONF", fresh.path("storage.conf"))
        .env("BUILD_ARGS", format!("BASE={base}\n"))
        .args([
            "--source-url",
            "https://git.example/app",
            "--commit-sha",
            &"0a".repeat(20),
            "--record",
        ])
        .arg(shop.path("run.json"))
        .run()
        .ok();
    let run: Value =
        serde_json::from_slice(&fs::read(shop.path("run.json")).expect("recorded")).expect("JSON");
    assert_eq!(
        run["metadata"]["annotations"]["tekseal.dev/local-record"],
        "true"
    );
    assert_eq!(run["status"]["conditions"][0]["status"], "True");
    assert_eq!(run["status"]["steps"], Value::Null);
    let param = |name: &str| {
        let params = run["spec"]["params"].as_array().expect("a list");
        params
            .iter()
            .find(|param| param["name"] == name)
            .map(|param| param["value"].clone())
    };
    assert_eq!(param("IMAGE"), Some(image.clone().into()));
    // The default is ./Dockerfile.
    assert_eq!(param("DOCKERFILE"), Some("Containerfile".into()));
    assert_eq!(
        param("BUILD_ARGS"),
        Some(serde_json::json!([format!("BASE={base}")]))
    );
    let result = |name: &str| {
        let results = run["status"]["results"].as_array().expect("a list");
        results
            .iter()
            .find(|result| result["name"] == name)
            .map(|result| result["value"].clone())
    };
    let digest = registry.manifest("base/page", "1").expect("pushed").digest;
    let input = serde_json::json!({"uri": format!("oci://{}/base/page", registry.address()), "digest": digest});
    assert_eq!(result("BASE-1_ARTIFACT_INPUTS"), Some(input));
    assert_eq!(result("BASE-2_ARTIFACT_INPUTS"), None);
    assert_eq!(result("IMAGE_URL"), Some(image.into()));
    assert_eq!(result("CHAINS-GIT_COMMIT"), Some("0a".repeat(20).into()));
}

#[test]
fn a_hermetic_build_pulls_first_and_downloads_nothing() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let base = format!("{}/base/page:1", registry.address());
    let _ = shop.tool(&base).run().ok();
    let fresh =
        Shop::open(&format!("FROM {base}\nCOPY page.html /two\n")).expect("buildah is there");
    let image = format!("{}/team/app:1", registry.address());
    let output = fresh
        .tool(&image)
        .env("HERMETIC", "true")
        .run()
        .ok()
        .says("pulled image=");
    let (pulled, built) = (
        output.stderr.find("pulled image="),
        output.stderr.find("built image-id="),
    );
    assert!(pulled < built, "{output:?}");
    let download =
        Shop::open("FROM scratch\nADD https://x.example/f /f\n").expect("buildah is there");
    let output = download.tool(&image).env("HERMETIC", "true").fails_with(2);
    explains(&output, &["HERMETIC", "https://x.example/f"]);
    download.is_clean();
}

#[test]
fn a_hermetic_build_has_no_network_whatever_the_isolation_and_the_containerfile_say() {
    let registry = Registry::start();
    // No reading of the Containerfile tells that this is a download.
    let text = format!(
        "FROM scratch\nARG U=http://{}/v2/\nADD ${{U}} /f\n",
        registry.address()
    );
    let Some(shop) = Shop::open(&text) else {
        return;
    };
    let tool = |isolation: &str| {
        shop.tool("r.invalid/app:1")
            .env("SKIP_PUSH", "true")
            .env("BUILDAH_ISOLATION", isolation)
    };
    let _ = tool("oci").run().ok();
    for isolation in ["chroot", "oci", "rootless"] {
        for name in shop.results().keys() {
            fs::remove_file(shop.path("results").join(name)).expect("a file");
        }
        let output = tool(isolation).env("HERMETIC", "true").fails_with(1);
        explains(&output, &["building", registry.address()]);
        shop.is_clean();
    }
}

#[test]
fn a_registry_on_loopback_needs_no_tlsverify() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let base = format!("{}/base:1", registry.address());
    let _ = shop.tool(&base).env("TLSVERIFY", "").run().ok();
    let fresh =
        Shop::open(&format!("FROM {base}\nCOPY page.html /two\n")).expect("buildah is there");
    let image = format!("{}/app:1", registry.address());
    let _ = fresh.tool(&image).env("TLSVERIFY", "").run().ok();
    assert!(registry.manifest("app", "1").is_some());
    let output = shop.tool(&image).env("TLSVERIFY", "true").fails_with(2);
    explains(&output, &["pushing", "HTTP response to HTTPS client"]);
    for flag in ["--tlsverify false", "--insecure-registry HOST"] {
        assert!(output.stderr.contains(flag), "{output:?}");
    }
}

#[test]
fn what_leads_out_of_the_source_is_refused_and_not_shown() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    fs::create_dir(shop.path("outside")).expect("a folder");
    fs::write(shop.path("outside/token"), "s3cret\n").expect("a file");
    symlink(shop.path("outside"), shop.path("source/link")).expect("a link");
    for (parameter, value) in [
        ("BUILD_ARGS_FILE", "link/token"),
        ("DOCKERFILE", "link/token"),
        ("CONTEXT", "link"),
    ] {
        let output = shop
            .tool("r.invalid/app:1")
            .env(parameter, value)
            .fails_with(2);
        explains(&output, &[parameter, "outside of the source"]);
        assert!(!output.stderr.contains("s3cret"), "{output:?}");
        assert!(!output.stderr.contains("buildah: "), "{output:?}");
    }
    shop.is_clean();
}

#[test]
fn what_is_for_signing_is_not_in_the_environment_of_a_build() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let log = shop.path("environment");
    let script = format!("env >> {}\n", log.display());
    let _ = shop
        .tool("r.invalid/app:1")
        .env("PATH", shop.path_with_buildah(&script))
        .env("COSIGN_PASSWORD", "s3cret")
        .env("TEKSEAL_DOCKERCONFIG", "")
        .env("NO_PROXY", "kept.example")
        .args(["--skip-push"])
        .run()
        .ok();
    let seen = fs::read_to_string(log).expect("buildah was called");
    for (text, wanted) in [
        ("COSIGN_", false),
        ("TEKSEAL_", false),
        ("s3cret", false),
        ("CONTAINERS_STORAGE_CONF=", true),
        ("NO_PROXY=kept.example", true),
        ("TMPDIR=", true),
    ] {
        assert_eq!(seen.contains(text), wanted, "{text} in {seen}");
    }
    let output = shop
        .tool("r.invalid/app:1")
        .env("COSIGN_PASSWORD", "s3cret")
        .args(["--build-arg", "COSIGN_PASSWORD"])
        .fails_with(2);
    explains(&output, &["--build-arg", "number 1"]);
}

#[test]
fn annotations_that_dockers_format_cannot_have_are_warned_of() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let tool = || {
        shop.tool("r.invalid/app:1").args([
            "--skip-push",
            "--format",
            "docker",
            "--commit-sha",
            "0123",
        ])
    };
    let output = tool().run().ok();
    assert!(!output.stderr.contains("annotations"), "{output:?}");
    let _ = tool()
        .args(["--annotation", "a=b"])
        .run()
        .ok()
        .says("warning: docker manifests have no annotations");
}

#[test]
fn folders_that_are_not_there_are_misuse_before_the_build() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let record = shop
        .tool("r.invalid/app:1")
        .arg("--record")
        .arg(shop.path("absent/run.json"))
        .fails_with(2);
    explains(&record, &["--record", "absent"]);
    for results in ["absent", "source/page.html"] {
        let output = shop
            .tool("r.invalid/app:1")
            .env("TEKSEAL_RESULTS", shop.path(results))
            .fails_with(2);
        explains(&output, &["results folder", results]);
        assert!(!output.stderr.contains("buildah: "), "{output:?}");
    }
    assert!(!record.stderr.contains("buildah: "), "{record:?}");
    shop.is_clean();
}

#[test]
fn a_skipped_push_leaves_empty_results() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let _ = shop
        .tool("r.invalid/app:1")
        .env("SKIP_PUSH", "true")
        .run()
        .ok()
        .says("built image-id=");
    let empty = |name: &str| (name.to_owned(), String::new());
    assert_eq!(
        shop.results(),
        BTreeMap::from(["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES"].map(empty))
    );
}

#[test]
fn a_failing_build_is_told_with_exit_1() {
    let Some(shop) = Shop::open("FROM scratch\nCOPY absent /\n") else {
        return;
    };
    let output = shop.tool("r.invalid/app:1").fails_with(1);
    explains(&output, &["building", "Containerfile", "absent"]);
    shop.is_clean();
    let several = shop
        .tool("r.invalid/app:1")
        .args(["--platforms", "linux/amd64", "linux/arm64", ";"])
        .fails_with(1);
    explains(&several, &["absent"]);
    fs::write(shop.path("source/Containerfile"), "FRM scratch\n").expect("a file");
    explains(
        &shop.tool("r.invalid/app:1").fails_with(1),
        &["Containerfile"],
    );
    shop.is_clean();
}

#[test]
fn a_missing_containerfile_and_an_absent_buildah_are_misuse() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let output = shop
        .tool("r.invalid/app:1")
        .env("DOCKERFILE", "absent/Containerfile")
        .fails_with(2);
    explains(
        &output,
        &["no Containerfile", "source/absent/Containerfile"],
    );
    let output = shop
        .tool("r.invalid/app:1")
        .env("PATH", shop.path("tmp"))
        .fails_with(2);
    explains(&output, &["starting buildah"]);
    let output = shop.tool("r.invalid/App:1").fails_with(2);
    explains(&output, &["IMAGE", "App"]);
    let output = shop
        .tool("r.invalid/app:1")
        .args(["--build-extra-args", "--no-such-option"])
        .fails_with(2);
    explains(&output, &["unknown flag"]);
    shop.is_clean();
}

#[test]
fn a_registry_that_is_down_is_told_with_exit_3() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let output = shop
        .tool("127.0.0.1:1/app:1")
        .env("PUSH_RETRIES", "0")
        .fails_with(3);
    explains(
        &output,
        &["pushing 127.0.0.1:1/app:1", "connection refused"],
    );
    shop.is_clean();
}

#[test]
fn a_registry_that_refuses_is_not_asked_again() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    for (status, code, wanted) in [(403, 2, "403"), (404, 2, "404"), (500, 3, "500")] {
        let proxy = Proxy::start(registry.back_door());
        proxy.on("HEAD", "/blobs/").answer(status, &[], b"");
        proxy.on("POST", "/uploads/").answer(status, &[], b"");
        let run = shop.tool(&format!("{}/app:1", proxy.address()));
        let output = if code == 2 {
            run
        } else {
            run.env("PUSH_RETRIES", "0")
        }
        .fails_with(code);
        explains(&output, &["pushing", wanted]);
        assert!(!output.stderr.contains("trying again"), "{output:?}");
        shop.is_clean();
    }
}

#[test]
fn a_login_is_wanted_and_taken_from_the_dockerconfig_workspace() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::setup().with_basic_auth().start();
    let image = format!("{}/app:1", registry.address());
    let output = shop.tool(&image).fails_with(2);
    explains(&output, &["pushing", "unauthorized"]);
    assert!(!output.stderr.contains("trying again"), "{output:?}");
    shop.is_clean();
    let folder = registry.docker_config(registry.address());
    fs::rename(folder.join("config.json"), folder.join(".dockerconfigjson")).expect("renamed");
    let output = shop
        .tool(&image)
        .arg("--dockerconfig")
        .arg(&folder)
        .run()
        .ok();
    assert_eq!(
        shop.results()["IMAGE_DIGEST"],
        registry.manifest("app", "1").expect("pushed").digest
    );
    assert!(
        !output.stderr.contains(tekseal_harness::PASSWORD),
        "{output:?}"
    );
    let empty = shop.path("source");
    explains(
        &shop
            .tool(&image)
            .arg("--dockerconfig")
            .arg(empty)
            .fails_with(2),
        &[".dockerconfigjson"],
    );
}

#[test]
fn a_push_is_tried_again_after_failures_that_may_pass() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let proxy = Proxy::start(registry.back_door());
    proxy.on("PUT", "/manifests/").nth(1).answer(503, &[], b"");
    let invalid = br#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#;
    proxy.on("PUT", "/manifests/").nth(1).answer(
        400,
        &[("Content-Type", "application/json")],
        invalid,
    );
    let output = shop.tool(&format!("{}/app:1", proxy.address())).run().ok();
    assert_eq!(
        output.stderr.matches("push failed, trying again").count(),
        2,
        "{output:?}"
    );
    assert_eq!(
        shop.results()["IMAGE_DIGEST"],
        registry.manifest("app", "1").expect("pushed").digest
    );
}

#[test]
fn an_image_that_the_registry_loses_has_no_results() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let proxy = Proxy::start(registry.back_door());
    proxy.on("HEAD", "/manifests/sha256:").answer(404, &[], b"");
    let run = shop
        .tool(&format!("{}/app:1", proxy.address()))
        .arg("--record")
        .arg(shop.path("run.json"));
    explains(&run.fails_with(3), &["does not have", "sha256:"]);
    assert!(!shop.path("run.json").exists());
    shop.is_clean();
}

#[test]
fn results_that_do_not_fit_are_refused_before_the_build() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let image = format!("r.invalid/{}:1", "a".repeat(240));
    let platforms: Vec<_> = (0..10).map(|at| format!("linux/p{at}")).collect();
    let output = shop
        .tool(&image)
        .arg("--platforms")
        .args(platforms)
        .arg(";")
        .fails_with(2);
    explains(&output, &["results take", "3072"]);
    assert!(!output.stderr.contains("buildah: "), "{output:?}");
    shop.is_clean();
}

#[test]
fn results_that_cannot_be_written_are_told_with_exit_3() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    // A folder in which not even root can make a file.
    let output = shop
        .tool("r.invalid/app:1")
        .env("TEKSEAL_RESULTS", "/proc/self")
        .fails_with(3);
    explains(&output, &["/proc/self", "cannot be written"]);
    assert!(!output.stderr.contains(".tekseal-"), "{output:?}");
    assert!(!output.stderr.contains("buildah: "), "{output:?}");
    let registry = Registry::start();
    fs::create_dir(shop.path("results/IMAGE_DIGEST")).expect("a folder in the way");
    let run = shop
        .tool(&format!("{}/app:1", registry.address()))
        .arg("--record")
        .arg(shop.path("run.json"));
    explains(&run.fails_with(3), &["IMAGE_DIGEST"]);
    assert!(!shop.path("results/IMAGE_URL").exists());
    assert!(
        !shop.path("run.json").exists(),
        "the record speaks of results that are not there"
    );
}

#[test]
fn a_signal_ends_buildah_too_and_leaves_nothing() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let Some(shop) = Shop::open(CONTAINERFILE) else {
            return;
        };
        let registry = Registry::start();
        let proxy = Proxy::start(registry.back_door());
        let gate = proxy.when(|_| true).hold(Moment::BeforeForwarding);
        let running = shop.tool(&format!("{}/app:1", proxy.address())).start();
        gate.wait_until_held();
        running.signal(signal);
        let output = running.wait().fails_with(code);
        assert!(
            output.stderr.contains(&format!("ended by SIG{signal}")),
            "{output:?}"
        );
        assert!(!has_process_with(&shop.path("tmp")), "buildah goes on");
        shop.is_clean();
    }
}

/// Whether a running process was started with this path among its arguments.
fn has_process_with(path: &Path) -> bool {
    let wanted = path.to_str().expect("UTF-8").as_bytes();
    let processes = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| line.windows(wanted.len()).any(|part| part == wanted))
}

#[test]
fn where_overlay_cannot_be_used_vfs_is_taken() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    // A buildah whose kernel has no overlay; every other driver is the real one's.
    let text = "'overlay' is not supported over overlayfs, a mount_program is required: backing file system is unsupported for this graph driver";
    let script = format!(
        "if [ \"$2\" = overlay ]; then echo \"Error: kernel does not support overlay fs: {text}\" >&2; exit 125; fi\n"
    );
    let run = shop
        .tool("r.invalid/app:1")
        .env("PATH", shop.path_with_buildah(&script))
        .env("STORAGE_DRIVER", "")
        .args(["--skip-push"]);
    let _ = run.run().ok().says("taking the slower driver vfs");
}

/// A tool that looks for an image index in OCI's layout, and says what it was asked.
const SBOM_TOOL: &str = "#!/bin/sh\necho \"looking at $3\" >&2\n\
    [ -f \"$1/index.json\" ] && [ -f \"$1/oci-layout\" ] || exit 7\n\
    printf '{\"note\": \"%s\", \"key\": \"%s\"}' \"$3\" \"$COSIGN_PASSWORD\" > \"$2\"\n";

#[test]
fn an_sbom_is_made_by_the_tool_that_was_named_and_attached_to_nothing() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let tool = shop.path("sbom tool");
    fs::write(&tool, SBOM_TOOL).expect("a file");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("executable");
    let registry = Registry::start();
    for platforms in ["", "linux/amd64\nlinux/arm64"] {
        let image = format!("{}/app:1", registry.address());
        let words = format!("'{}' {{image}} {{output}} '$(id) \"x\"'", tool.display());
        let run = shop
            .tool(&image)
            .env("PLATFORMS", platforms)
            .env("COSIGN_PASSWORD", "s3cret")
            .env("SBOM_TOOL", words)
            .arg("--sbom-output")
            .arg(shop.path("sbom.json"));
        let output = run.run().ok();
        let text = fs::read_to_string(shop.path("sbom.json")).expect("written");
        assert_eq!(text, r#"{"note": "$(id) "x"", "key": ""}"#);
        let _ = output.says("sbom: looking at $(id)").says("wrote the SBOM");
        assert_eq!(registry.tags("app"), ["1"]);
    }
    let left: Vec<_> = fs::read_dir(shop.path("tmp"))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().starts_with("tekseal-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_variable_that_leads_to_no_credentials_is_told_and_does_no_harm_where_none_are_needed() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let image = format!("{}/app:1", registry.address());
    let empty = shop.path("docker");
    fs::create_dir(&empty).expect("a folder");
    for (variable, place) in [
        ("DOCKER_CONFIG", empty.clone()),
        ("DOCKER_CONFIG", shop.path("absent")),
        ("REGISTRY_AUTH_FILE", shop.path("absent.json")),
    ] {
        let output = shop.tool(&image).env(variable, &place).run().ok();
        let _ = output
            .says(&format!("variable={variable} place={}", place.display()))
            .says("going on without");
    }
    // A mounted Secret has another name for the file.
    fs::write(empty.join(".dockerconfigjson"), r#"{"auths": {}}"#).expect("a file");
    let output = shop.tool(&image).env("DOCKER_CONFIG", &empty).run().ok();
    assert!(!output.stderr.contains("going on without"), "{output:?}");
    fs::write(empty.join("config.json"), "no JSON").expect("a file");
    let output = shop.tool(&image).env("DOCKER_CONFIG", &empty).run();
    let output = output.fails_with(2);
    explains(&output, &["config.json"]);
}

#[test]
fn an_sbom_goes_behind_no_link() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let image = format!("{}/app:1", registry.address());
    fs::create_dir(shop.path("elsewhere")).expect("a folder");
    symlink(shop.path("elsewhere"), shop.path("source/out")).expect("a link");
    let run = shop
        .tool(&image)
        .folder(shop.path("source"))
        .args(["--sbom-tool", "cp /etc/hostname {output} {image}"])
        .args(["--sbom-output", "out/sbom.json"]);
    explains(
        &run.run().fails_with(2),
        &["symbolic link", "out/sbom.json"],
    );
    let left = fs::read_dir(shop.path("elsewhere")).expect("a folder");
    assert_eq!(left.count(), 0);
    assert!(registry.manifest("app", "1").is_none());
}

#[test]
fn without_its_sbom_an_image_is_not_pushed() {
    let Some(shop) = Shop::open(CONTAINERFILE) else {
        return;
    };
    let registry = Registry::start();
    let image = format!("{}/app:1", registry.address());
    for (words, code, wanted) in [
        ("false {image} {output}", 1, "it ended with exit status: 1"),
        ("true {image} {output}", 1, "wrote nothing"),
        ("ln -s /etc/passwd {output} {image}", 1, "making an SBOM"),
        (
            "sh -c 'ln -s /etc/passwd {output}' {image}",
            1,
            "wrote nothing",
        ),
        ("no-such-tool {image} {output}", 2, "starting no-such-tool"),
        ("true {image}", 2, "{output}"),
    ] {
        if code == 1 {
            fs::write(shop.path("sbom.json"), "an older one").expect("a file");
        }
        let run = shop.tool(&image).args(["--sbom-tool", words]);
        let output = run.arg("--sbom-output").arg(shop.path("sbom.json"));
        explains(&output.run().fails_with(code), &[wanted]);
        assert!(registry.manifest("app", "1").is_none(), "{words}");
        assert!(!shop.path("sbom.json").exists(), "{words}");
        shop.is_clean();
    }
}

#[test]
fn the_example_application_builds_without_pulling() {
    let Some(shop) = Shop::open("") else { return };
    let registry = Registry::start();
    let image = format!("{}/example:1", registry.address());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/app");
    let output = Run::new(TOOL)
        .env("CONTAINERS_STORAGE_CONF", shop.path("storage.conf"))
        .env("TMPDIR", shop.path("tmp"))
        .args([
            "--image",
            &image,
            "--storage-driver",
            "vfs",
            "--tls-verify=false",
        ])
        .arg("--results")
        .arg(shop.path("results"))
        .arg("--source")
        .arg(example)
        .run()
        .ok();
    assert!(!output.stderr.contains("Trying to pull"), "{output:?}");
    let labels = &config(&registry, "example", "1")["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.title"], "tekseal example");
}
