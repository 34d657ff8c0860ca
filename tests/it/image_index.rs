//! `tekseal-image-index` as a process, with the real docker-registry: images by digest in; index, results, exit code and stderr out.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tekseal_harness::{Bearer, Output, Proxy, Registry, Run, buildah, digest};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A registry, a folder for results, and images.
struct Shop {
    registry: Registry,
    folder: tempfile::TempDir,
}

impl Shop {
    fn open() -> Self {
        Self::with(Registry::start())
    }

    fn with(registry: Registry) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("results")).expect("the folder is ours");
        Self { registry, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Pushes an image with this configuration and one layer, and gives its digest.
    fn push(&self, repository: &str, config: &Value, layer: &[u8]) -> String {
        push(
            &self.registry,
            repository,
            OCI_MANIFEST,
            OCI_CONFIG,
            config,
            layer,
        )
    }

    /// Pushes an image for this platform, whose reference it gives.
    fn image(&self, repository: &str, platform: &str) -> String {
        let digest = self.push(repository, &config(platform), platform.as_bytes());
        self.registry.reference(repository, &digest)
    }

    /// The tool, for an index `team/app:1` in this registry.
    fn tool(&self, images: &[&str]) -> Run {
        self.tool_at(self.registry.address(), images)
    }

    fn tool_at(&self, address: &str, images: &[&str]) -> Run {
        Run::tool("tekseal-image-index")
            .env("TEKSEAL_RETRY_FOR", "2")
            .env("IMAGE", format!("{address}/team/app:1"))
            .arg("--results")
            .arg(self.path("results"))
            .arg("--images")
            .args(images)
            .arg(";")
    }

    fn results(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.path("results")).expect("the folder is there");
        let results = entries.map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            let text = fs::read_to_string(&path).expect("text");
            (name.into_owned(), text)
        });
        results.collect()
    }

    fn index(&self) -> Value {
        let found = self.registry.manifest("team/app", "1");
        found.expect("the index is there").json()
    }

    /// Neither results nor an index.
    #[track_caller]
    fn has_nothing(&self) {
        assert_eq!(self.results(), BTreeMap::new());
        assert!(self.registry.manifest("team/app", "1").is_none());
    }
}

fn config(platform: &str) -> Value {
    let (os, architecture) = platform.split_once('/').expect("os/architecture");
    json!({"architecture": architecture, "os": os, "config": {}, "rootfs": {"type": "layers", "diff_ids": []}})
}

fn push(
    registry: &Registry,
    repository: &str,
    media_type: &str,
    config_type: &str,
    config: &Value,
    layer: &[u8],
) -> String {
    let config = config.to_string();
    let layer_type = match media_type {
        DOCKER_MANIFEST => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        _ => "application/vnd.oci.image.layer.v1.tar",
    };
    let layer_digest = registry.push_blob(repository, layer);
    let config_digest = registry.push_blob(repository, config.as_bytes());
    let bytes = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": config_type, "digest": config_digest, "size": config.len()},
        "layers": [{"mediaType": layer_type, "digest": layer_digest, "size": layer.len()}],
    })
    .to_string();
    let digest = digest(bytes.as_bytes());
    registry.put_manifest(repository, &digest, media_type, bytes.as_bytes())
}

/// The error line has all of these, and a hint or none.
#[track_caller]
fn explains(output: &Output, wanted: &[&str]) {
    let line = output
        .stderr
        .lines()
        .find(|line| line.contains(": error: "));
    for text in wanted {
        let found = line.is_some_and(|line| line.contains(text));
        assert!(found, "expected {text:?} in the error\n{output:?}");
    }
}

fn digest_of(reference: &str) -> &str {
    reference.split_once('@').expect("it has a digest").1
}

#[test]
fn images_of_one_repository_become_an_index_that_the_results_name() {
    let shop = Shop::open();
    let amd = shop.image("team/app", "linux/amd64");
    let arm = shop.image("team/app", "linux/arm64");
    let proxy = Proxy::start(shop.registry.back_door());
    let by_proxy = |image: &str| image.replace(shop.registry.address(), proxy.address());
    let said = shop
        .tool_at(proxy.address(), &[&by_proxy(&amd), "", &by_proxy(&arm)])
        .ok();
    assert_eq!(said.stdout, "");
    let found = shop.registry.manifest("team/app", "1").expect("the index");
    assert_eq!(found.media_type, OCI_INDEX);
    let size = |image: &str| {
        let manifest = shop.registry.manifest("team/app", digest_of(image));
        manifest.expect("pushed").bytes.len()
    };
    let entry = |image: &str, architecture: &str| {
        json!({"mediaType": OCI_MANIFEST, "digest": digest_of(image), "size": size(image),
            "platform": {"architecture": architecture, "os": "linux"}})
    };
    let wanted = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry(&amd, "amd64"), entry(&arm, "arm64")]});
    assert_eq!(found.json(), wanted);
    let name = format!("{}/team/app", proxy.address());
    let wanted = [
        ("IMAGE_DIGEST", found.digest.clone()),
        ("IMAGE_REF", format!("{name}@{}", found.digest)),
        ("IMAGE_URL", format!("{name}:1")),
        (
            "IMAGES",
            format!(
                "{name}@{},{},{}",
                found.digest,
                by_proxy(&amd),
                by_proxy(&arm)
            ),
        ),
    ];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(shop.results(), wanted.into());
    // Each image is a manifest and a configuration; then by digest and by tag, and both looked at again.
    assert_eq!(proxy.count(), 2 * 2 + 2 + 2, "{:?}", proxy.seen());

    let tree = Run::tool("tekseal-tree")
        .arg(format!("{}/team/app:1", shop.registry.address()))
        .ok();
    let line = format!("@{} (index of linux/amd64, linux/arm64)", found.digest);
    assert!(tree.stdout.contains(&line), "{}", tree.stdout);

    let again = shop.tool(&[&format!("{amd}\n,{arm},{amd}")]).ok();
    assert!(
        again.stderr.contains(&found.digest),
        "the same bytes: {again:?}"
    );
    let turned = shop.tool(&[&arm, &amd]).ok();
    assert!(!turned.stderr.contains(&found.digest), "{turned:?}");
}

#[test]
fn the_index_has_the_bytes_that_buildah_writes() {
    let Some(buildah) = buildah() else {
        return;
    };
    for (format, name, manifest, config_type) in [
        ("oci", "oci", OCI_MANIFEST, OCI_CONFIG),
        ("docker", "v2s2", DOCKER_MANIFEST, DOCKER_CONFIG),
    ] {
        let shop = Shop::open();
        let platforms = [
            config("linux/amd64"),
            json!({"architecture": "arm", "os": "linux", "variant": "v6", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}),
            json!({"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.1", "os.features": ["win32k"], "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}),
        ];
        let images = platforms.map(|config| {
            let digest = push(
                &shop.registry,
                "team/app",
                manifest,
                config_type,
                &config,
                b"layer",
            );
            shop.registry.reference("team/app", &digest)
        });
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/root\"\nrunroot = \"{0}/run\"\n",
            shop.folder.path().display()
        );
        fs::write(shop.path("storage.conf"), storage).expect("the folder is ours");
        let call = |args: &[&str]| {
            Run::new(&buildah)
                .env("CONTAINERS_STORAGE_CONF", shop.path("storage.conf"))
                .args(args)
                .ok()
        };
        call(&["manifest", "create", "list"]);
        for image in &images {
            let image = format!("docker://{image}");
            call(&["manifest", "add", "--tls-verify=false", "list", &image]);
        }
        let target = format!("docker://{}/team/app:buildah", shop.registry.address());
        call(&[
            "manifest",
            "push",
            "--all",
            "--format",
            name,
            "--tls-verify=false",
            "list",
            &target,
        ]);

        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        shop.tool(&images).args(["--format", format]).ok();
        let ours = shop.registry.manifest("team/app", "1").expect("ours");
        let theirs = shop
            .registry
            .manifest("team/app", "buildah")
            .expect("buildah's");
        assert_eq!(
            String::from_utf8_lossy(&ours.bytes),
            String::from_utf8_lossy(&theirs.bytes)
        );
        assert_eq!(ours.media_type, theirs.media_type);
    }
}

#[test]
fn images_of_other_repositories_are_mounted_and_those_of_other_registries_are_sent() {
    let shop = Shop::open();
    let other = Registry::start();
    let proxy = Proxy::start(shop.registry.back_door());
    let at = |repository: &str, platform: &str| {
        let image = shop.image(repository, platform);
        image.replace(shop.registry.address(), proxy.address())
    };
    let near = at("team/app-amd64", "linux/amd64");
    let far = push(
        &other,
        "far/app",
        OCI_MANIFEST,
        OCI_CONFIG,
        &config("linux/arm64"),
        b"far",
    );
    let far = other.reference("far/app", &far);
    let said = shop.tool_at(proxy.address(), &[&near, &far]).ok();
    assert!(said.stderr.contains("mounted=2 sent=0"), "{said:?}");
    assert!(said.stderr.contains("mounted=0 sent=2"), "{said:?}");
    let near_blobs = proxy.count_of("GET", "/v2/team/app-amd64/blobs/");
    assert_eq!(near_blobs, 1, "its configuration, and nothing to copy");
    for image in [&near, &far] {
        let manifest = shop.registry.manifest("team/app", digest_of(image));
        let manifest = manifest.expect("it is in the repository of the index");
        assert_eq!(manifest.digest, digest_of(image));
        let layer = &manifest.json()["layers"][0]["digest"];
        let layer = layer.as_str().expect("it has a layer");
        assert!(shop.registry.blob("team/app", layer).is_some());
    }
    let name = format!("{}/team/app", proxy.address());
    let digest = &shop.results()["IMAGE_DIGEST"];
    let wanted = [digest.as_str(), digest_of(&near), digest_of(&far)];
    let wanted = wanted.map(|digest| format!("{name}@{digest}"));
    assert_eq!(shop.results()["IMAGES"], wanted.join(","));

    // What is there is not copied again.
    let again = shop.tool_at(proxy.address(), &[&near, &far]).ok();
    assert!(!again.stderr.contains("copied image"), "{again:?}");
}

#[test]
fn a_registry_that_does_not_mount_gets_the_bytes() {
    let shop = Shop::open();
    let proxy = Proxy::start(shop.registry.back_door());
    let image = shop.image("team/other", "linux/amd64");
    let image = image.replace(shop.registry.address(), proxy.address());
    proxy
        .when(|seen| {
            seen.is("POST", "/v2/team/app/blobs/uploads/") && seen.query.contains("mount=")
        })
        .answer(
            403,
            &[("Content-Type", "application/json")],
            br#"{"errors":[{"code":"DENIED","message":"no mounts"}]}"#,
        );
    let said = shop.tool_at(proxy.address(), &[&image]).ok();
    assert!(said.stderr.contains("mounted=0 sent=2"), "{said:?}");
    assert!(shop.registry.manifest("team/app", "1").is_some());
}

#[test]
fn a_registry_with_tokens_mounts_with_those_of_both_repositories() {
    let shop = Shop::open();
    let bearer = Bearer::new("robot", "secret");
    let proxy = Proxy::start_with_bearer(shop.registry.back_door(), bearer);
    let image = shop.image("team/other", "linux/amd64");
    let image = image.replace(shop.registry.address(), proxy.address());
    let login = json!({"auths": {proxy.address(): {"username": "robot", "password": "secret"}}});
    let file = shop.path("config.json");
    fs::write(&file, login.to_string()).expect("the folder is ours");
    shop.tool_at(proxy.address(), &[&image])
        .arg("--auth-file")
        .arg(&file)
        .ok();
    assert!(shop.registry.manifest("team/app", "1").is_some());
    let denied = shop.tool_at(proxy.address(), &[&image]).fails_with(2);
    explains(&denied, &["reading", "credentials"]);
}

#[test]
fn a_large_layer_is_copied_in_little_memory() {
    let shop = Shop::open();
    let other = Registry::start();
    let layer: Vec<u8> = (0..96_u32 << 20).map(|at| (at >> 9) as u8).collect();
    let image = push(
        &other,
        "far/app",
        OCI_MANIFEST,
        OCI_CONFIG,
        &config("linux/amd64"),
        &layer,
    );
    let image = other.reference("far/app", &image);
    let tool = tekseal_harness::program("tekseal-image-index");
    // 48 MiB of data: half of the layer.
    Run::new("sh")
        .args(["-c", "ulimit -d 49152 && exec \"$@\"", "sh"])
        .arg(&tool)
        .env("IMAGE", format!("{}/team/app:1", shop.registry.address()))
        .env("IMAGES", image)
        .env("TEKSEAL_RESULTS", shop.path("results"))
        .ok();
    let found = shop.registry.blob("team/app", &digest(&layer));
    assert!(found.is_some_and(|found| found == layer));
}

#[test]
fn indexes_are_flattened_and_keep_what_is_no_image() {
    let shop = Shop::open();
    let amd = shop.image("team/app", "linux/amd64");
    let arm = shop.image("team/app", "linux/arm64");
    let attestation = shop.push(
        "team/app",
        &json!({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}),
        b"an attestation",
    );
    let size = |digest: &str| {
        let manifest = shop.registry.manifest("team/app", digest);
        manifest.expect("pushed").bytes.len()
    };
    let entry = |digest: &str, platform: Value, annotations: Value| json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size(digest), "platform": platform, "annotations": annotations});
    let about = json!({"vnd.docker.reference.digest": digest_of(&arm), "vnd.docker.reference.type": "attestation-manifest"});
    let inner = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        // The index knows the variant, which the configuration does not have.
        entry(digest_of(&arm), json!({"architecture": "arm64", "os": "linux", "variant": "v8"}), json!({"kept": "yes"})),
        entry(&attestation, json!({"architecture": "unknown", "os": "unknown"}), about.clone()),
    ]})
    .to_string();
    let inner_digest = digest(inner.as_bytes());
    shop.registry
        .put_manifest("team/app", &inner_digest, OCI_INDEX, inner.as_bytes());
    let inner = shop.registry.reference("team/app", &inner_digest);

    // As the results of a build with an index name it: the index, then its image.
    shop.tool(&[&format!("{inner},{arm}"), &amd]).ok();
    let index = shop.index();
    let entries = index["manifests"].as_array().expect("a list");
    let digests: Vec<_> = entries
        .iter()
        .map(|entry| entry["digest"].as_str())
        .collect();
    let wanted = [digest_of(&arm), &attestation, digest_of(&amd)].map(Some);
    assert_eq!(digests, wanted);
    assert_eq!(entries[0]["platform"]["variant"], "v8");
    assert_eq!(entries[0]["annotations"], json!({"kept": "yes"}));
    assert_eq!(entries[1]["annotations"], about);
    let images = &shop.results()["IMAGES"];
    assert!(!images.contains(&attestation), "it is no image: {images}");
    assert_eq!(images.matches('@').count(), 3);
}

#[test]
fn a_single_image_gets_no_index_where_none_is_wanted() {
    let shop = Shop::open();
    let image = shop.image("team/built", "linux/amd64");
    let tagged = image.replacen('@', ":built@", 1);
    shop.tool(&[&tagged, &tagged])
        .args(["--always-build-index", "false"])
        .ok();
    assert!(shop.registry.manifest("team/app", "1").is_none());
    let results = shop.results();
    assert_eq!(
        results["IMAGE_URL"],
        tagged.split_once('@').expect("a digest").0
    );
    assert_eq!(results["IMAGE_DIGEST"], digest_of(&image));
    assert_eq!(
        (results["IMAGE_REF"].as_str(), results["IMAGES"].as_str()),
        (image.as_str(), "")
    );

    let second = shop.image("team/built", "linux/arm64");
    shop.tool(&[&image, &second])
        .env("ALWAYS_BUILD_INDEX", "false")
        .ok();
    assert!(
        shop.registry.manifest("team/app", "1").is_some(),
        "two images"
    );

    let shop = Shop::open();
    let absent = format!("team/built@sha256:{}", "0".repeat(64));
    let absent = format!("{}/{absent}", shop.registry.address());
    let refused = shop
        .tool(&[&absent])
        .args(["--always-build-index=false"])
        .fails_with(1);
    explains(&refused, &[&absent, "does not exist"]);
    shop.has_nothing();
}

#[test]
fn an_index_may_have_annotations_more_tags_or_no_tag() {
    let shop = Shop::open();
    let image = shop.image("team/app", "linux/amd64");
    let value = "a\n\"<&>\u{202e}=";
    shop.tool(&[&image])
        .args(["--annotations", "org.example.b=1", ";", "--annotation"])
        .arg(format!("org.example.a={value}"))
        .args(["--additional-tags", "run-1", "1", ";"])
        .ok();
    let index = shop.index();
    assert_eq!(
        index["annotations"],
        json!({"org.example.a": value, "org.example.b": "1"})
    );
    assert_eq!(shop.registry.tags("team/app"), ["1", "run-1"]);

    let shop = Shop::open();
    let image = shop.image("team/app", "linux/amd64");
    let name = format!("{}/team/app", shop.registry.address());
    shop.tool(&[&image]).env("IMAGE", &name).ok();
    let results = shop.results();
    assert_eq!(results["IMAGE_URL"], name);
    let found = shop.registry.manifest("team/app", &results["IMAGE_DIGEST"]);
    assert_eq!(found.expect("by digest").media_type, OCI_INDEX);
    assert_eq!(shop.registry.tags("team/app"), Vec::<String>::new());
}

#[test]
fn a_docker_list_has_dockers_media_types_and_only_docker_images() {
    let shop = Shop::open();
    let docker = push(
        &shop.registry,
        "team/app",
        DOCKER_MANIFEST,
        DOCKER_CONFIG,
        &config("linux/amd64"),
        b"x",
    );
    let docker = shop.registry.reference("team/app", &docker);
    let oci = shop.image("team/app", "linux/arm64");
    let refused = shop.tool(&[&docker]).fails_with(2);
    explains(&refused, &[&docker, "format docker"]);
    let refused = shop
        .tool(&[&docker, &oci])
        .env("BUILDAH_FORMAT", "docker")
        .fails_with(2);
    explains(&refused, &[&oci, "format oci"]);
    shop.has_nothing();
    let said = shop
        .tool(&[&docker])
        .args(["--format=docker", "--annotation", "a=1"])
        .ok();
    assert!(said.stderr.contains("dropped=1"), "{said:?}");
    let found = shop.registry.manifest("team/app", "1").expect("the list");
    assert_eq!(found.media_type, DOCKER_LIST);
    assert_eq!(found.json()["manifests"][0]["mediaType"], DOCKER_MANIFEST);
}

#[test]
fn what_does_not_fit_together_is_refused_before_anything_is_written() {
    let shop = Shop::open();
    let one = shop.image("team/app", "linux/amd64");
    let other = shop.push("team/app", &config("linux/amd64"), b"another build");
    let other = shop.registry.reference("team/app", &other);
    let twice = shop.tool(&[&one, &other]).fails_with(2);
    explains(&twice, &[&one, &other, "linux/amd64"]);
    shop.has_nothing();

    // 200 images are read, and then too many for results.
    let many: Vec<String> = (0..200)
        .map(|at| shop.image("team/app", &format!("linux/cpu{at}")))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = shop.tool(&many).fails_with(2);
    explains(&refused, &["results take", "3072"]);
    shop.has_nothing();
}

#[test]
fn images_that_are_absent_or_lie_are_refused() {
    let shop = Shop::open();
    let good = shop.image("team/app", "linux/amd64");
    let name = format!("{}/team/app", shop.registry.address());
    let absent = format!("{name}@sha256:{}", "0".repeat(64));
    let refused = shop.tool(&[&good, &absent]).fails_with(1);
    explains(&refused, &[&absent, "does not exist"]);

    let without = shop.push("team/app", &json!({"config": {}}), b"x");
    let artifact = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": shop.registry.push_blob("team/app", b"{}")}})
    .to_string();
    let artifact_digest = digest(artifact.as_bytes());
    shop.registry.put_manifest(
        "team/app",
        &artifact_digest,
        OCI_MANIFEST,
        artifact.as_bytes(),
    );
    let strange = shop.push(
        "team/app",
        &json!({"os": "linux\u{1b}[2J", "architecture": "amd64"}),
        b"x",
    );
    for (digest, wanted) in [
        (&without, "os and architecture"),
        (&artifact_digest, "no image"),
        (&strange, "strange word"),
    ] {
        let image = format!("{name}@{digest}");
        let refused = shop.tool(&[&image]).fails_with(1);
        explains(&refused, &[digest, wanted]);
        assert!(!refused.stderr.contains('\u{1b}'), "{refused:?}");
    }

    // docker-registry checks no sizes of configurations.
    let bytes = config("linux/amd64").to_string();
    let config_digest = shop.registry.push_blob("team/app", bytes.as_bytes());
    for (size, code, wanted) in [
        (bytes.len() + 1, 1, "bytes and not"),
        (bytes.len() - 1, 1, "larger than"),
        (5 << 20, 1, "more than"),
    ] {
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "config": {"mediaType": OCI_CONFIG, "size": size, "digest": config_digest}})
        .to_string();
        let digest = digest(manifest.as_bytes());
        shop.registry
            .put_manifest("team/app", &digest, OCI_MANIFEST, manifest.as_bytes());
        let refused = shop.tool(&[&format!("{name}@{digest}")]).fails_with(code);
        explains(&refused, &["configuration", wanted]);
    }
    shop.has_nothing();

    // A registry that hands out another manifest than was asked for.
    let proxy = Proxy::start(shop.registry.back_door());
    let good_digest = digest_of(&good).to_owned();
    proxy
        .on("GET", &format!("/manifests/{good_digest}"))
        .edit(|answer| answer.body.push(b'\n'));
    let lied = good.replace(shop.registry.address(), proxy.address());
    let refused = shop.tool_at(proxy.address(), &[&lied]).fails_with(3);
    explains(&refused, &["has digest", &good_digest]);
    shop.has_nothing();
}

#[test]
fn bad_parameters_are_misuse_and_nothing_is_asked() {
    let shop = Shop::open();
    let proxy = Proxy::start(shop.registry.back_door());
    let name = format!("{}/team/app", proxy.address());
    let image = format!("{name}@sha256:{}", "0".repeat(64));
    let refused = |run: Run, wanted: &[&str]| {
        let refused = run.fails_with(2);
        explains(&refused, wanted);
        assert!(refused.stderr.contains("hint: "), "{refused:?}");
    };
    refused(
        shop.tool_at(proxy.address(), &[]),
        &["IMAGES names no image"],
    );
    refused(
        shop.tool_at(proxy.address(), &["", "\n", ","]),
        &["IMAGES names no image"],
    );
    let tag = format!("{name}:1");
    refused(shop.tool_at(proxy.address(), &[&tag]), &[&tag, "no digest"]);
    let with_digest = shop
        .tool_at(proxy.address(), &[&image])
        .env("IMAGE", &image);
    refused(with_digest, &["IMAGE", "has a digest already"]);
    for (words, wanted) in [
        (["--format", "v2s2"], "FORMAT"),
        (["--annotation", "no-value"], "annotation"),
        (["--annotation", "=x"], "bad name"),
        (["--always-build-index", "perhaps"], "ALWAYS_BUILD_INDEX"),
        (["--additional-tag", "a b"], "ADDITIONAL_TAGS"),
    ] {
        let run = shop.tool_at(proxy.address(), &[&image]).args(words);
        refused(run, &[wanted]);
    }
    assert_eq!(proxy.count(), 0);
    shop.has_nothing();
}

#[test]
fn a_tag_that_another_writer_took_is_told() {
    let shop = Shop::open();
    let image = shop.image("team/app", "linux/amd64");
    let proxy = Proxy::start(shop.registry.back_door());
    let image = image.replace(shop.registry.address(), proxy.address());
    let other = format!("sha256:{}", "1".repeat(64));
    let seen = other.clone();
    proxy.on("HEAD", "/manifests/1").edit(move |answer| {
        for (name, value) in &mut answer.headers {
            if name.eq_ignore_ascii_case("docker-content-digest") {
                value.clone_from(&seen);
            }
        }
    });
    let refused = shop.tool_at(proxy.address(), &[&image]).fails_with(3);
    explains(&refused, &[&other, "just written"]);
    assert_eq!(shop.results(), BTreeMap::new());
}
