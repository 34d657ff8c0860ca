//! `buildah-push`, `git-clone` and `image-index` in real pods.

use serde_json::{Value, json};

use super::{APP, Bench, GitServer, project};

fn params(bench: &Bench, image: &str, more: &Value) -> Value {
    let mut params = json!({"IMAGE": bench.image(image), "INSECURE_REGISTRY": bench.registry()});
    for (name, value) in more.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    params
}

/// The configuration of an image in the node's registry.
fn config(bench: &Bench, repository: &str, digest: &str) -> Value {
    let registry = bench.node.registry();
    let manifest = registry
        .manifest(repository, digest)
        .expect("it was pushed")
        .json();
    let digest = manifest["config"]["digest"].as_str().expect("a digest");
    let blob = registry.blob(repository, digest).expect("it was pushed");
    serde_json::from_slice(&blob).expect("a configuration is JSON")
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn the_example_is_built_and_pushed_with_overlay_and_with_vfs() {
    let bench = Bench::shared();
    let (claim, _) = bench.volume(Some(&project().join(APP)));
    for driver in ["overlay", "vfs"] {
        let image = format!("tasks/{driver}:1");
        let params = params(bench, &image, &json!({"STORAGE_DRIVER": driver}));
        let ended = bench
            .task(
                "buildah-push",
                &params,
                &json!([Bench::bound("source", &claim)]),
            )
            .ok();
        assert_eq!(ended.result("IMAGE_URL"), bench.image(&image));
        let digest = ended.result("IMAGE_DIGEST");
        let repository = format!("tasks/{driver}");
        let there = bench
            .node
            .registry()
            .manifest(&repository, "1")
            .expect("it was pushed");
        assert_eq!(there.digest, digest);
        assert_eq!(
            ended.result("IMAGE_REF"),
            format!("{}@{digest}", bench.image(&repository))
        );
        assert_eq!(ended.result("IMAGES"), "");
        let log = ended.log("build-and-push");
        assert!(!log.contains("taking the slower driver"), "{log}");
    }
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_base_image_is_pulled_and_a_command_is_run_in_it() {
    let bench = Bench::shared();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = bench.node.shell_image(&["id"]);
    let containerfile =
        format!("FROM {base}\nRUN id -u >/made-by\nUSER 1000\nRUN id -u >/tmp/made-by\n");
    std::fs::write(folder.path().join("Containerfile"), containerfile).expect("it is writable");
    let (claim, _) = bench.volume(Some(folder.path()));
    let ended = bench
        .task(
            "buildah-push",
            &params(bench, "tasks/run:1", &json!({})),
            &json!([Bench::bound("source", &claim)]),
        )
        .ok();
    let config = config(bench, "tasks/run", ended.result("IMAGE_DIGEST"));
    assert_eq!(config["config"]["User"], "1000");
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn elements_of_lists_arrive_as_they_were_given() {
    let bench = Bench::shared();
    let (claim, _) = bench.volume(Some(&project().join(APP)));
    let odd = "it's \"quoted\", $HOME, `id`, a\nline; --squash";
    let more = json!({
        "LABELS": [format!("odd={odd}"), "--label-of-dashes=1", "", "dollars=a$$b$(NOBODY)"],
        // buildah itself puts variables of the base image in place of `$NAME` here.
        "ENV_VARS": [format!("ODD={}", odd.replace('$', ""))],
        "BUILD_ARGS": ["VERSION=2.0 beta"],
        "ADDITIONAL_TAGS": ["latest"],
        "BUILD_EXTRA_ARGS": "--label 'two words=three more words'",
        "SOURCE_URL": "https://git.example.com/app.git",
        "COMMIT_SHA": "0123456789",
        "ARTIFACT_OUTPUTS": "true",
    });
    let ended = bench
        .task(
            "buildah-push",
            &params(bench, "tasks/odd:1", &more),
            &json!([Bench::bound("source", &claim)]),
        )
        .ok();
    let digest = ended.result("IMAGE_DIGEST");
    let config = config(bench, "tasks/odd", digest);
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["odd"], odd, "{labels:#}");
    assert_eq!(labels["--label-of-dashes"], "1");
    // What Kubernetes does with arguments, and README says.
    assert_eq!(labels["dollars"], "a$b$(NOBODY)");
    assert_eq!(labels["two words"], "three more words");
    assert_eq!(labels["org.opencontainers.image.version"], "2.0 beta");
    assert_eq!(labels["org.opencontainers.image.revision"], "0123456789");
    let env = config["config"]["Env"].as_array().expect("a list");
    let odd = format!("ODD={}", odd.replace('$', ""));
    assert!(env.contains(&json!(odd)), "{env:?}");
    let latest = bench
        .node
        .registry()
        .manifest("tasks/odd", "latest")
        .expect("it was pushed");
    assert_eq!(latest.digest, digest);
    let results = ended.run["status"]["results"].as_array().expect("a list");
    let object = results
        .iter()
        .find(|one| one["name"] == "IMAGE_ARTIFACT_OUTPUTS");
    assert_eq!(object.expect("it was asked for")["value"]["digest"], digest);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn an_index_is_built_in_one_task_run_or_made_of_images() {
    let bench = Bench::shared();
    let (claim, _) = bench.volume(Some(&project().join(APP)));
    let more = json!({"PLATFORMS": ["linux/amd64", "linux/arm64"]});
    let built = bench
        .task(
            "buildah-push",
            &params(bench, "tasks/index:1", &more),
            &json!([Bench::bound("source", &claim)]),
        )
        .ok();
    let images: Vec<&str> = built.result("IMAGES").split(',').collect();
    assert_eq!(images.len(), 3);
    assert_eq!(images[0], built.result("IMAGE_REF"));
    let made = bench
        .task(
            "image-index",
            &params(
                bench,
                "tasks/index:2",
                &json!({"IMAGES": images[1..], "ANNOTATIONS": ["a=b c"]}),
            ),
            &json!([]),
        )
        .ok();
    assert_eq!(made.result("IMAGE_URL"), bench.image("tasks/index:2"));
    let manifest = bench
        .node
        .registry()
        .manifest("tasks/index", "2")
        .expect("it was pushed");
    assert_eq!(manifest.digest, made.result("IMAGE_DIGEST"));
    let index = manifest.json();
    assert_eq!(index["annotations"]["a"], "b c");
    let platforms: Vec<&Value> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["platform"]["architecture"])
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    assert_eq!(made.result("IMAGES").split(',').count(), 3);
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_repository_is_fetched_without_rights() {
    let bench = Bench::shared();
    let server = GitServer::shared();
    let (claim, folder) = bench.volume(None);
    let ended = bench
        .task(
            "git-clone",
            &json!({"url": server.url}),
            &json!([Bench::bound("output", &claim)]),
        )
        .ok();
    for (name, wanted) in [
        ("url", &server.url),
        ("commit", &server.commit),
        ("CHAINS-GIT_URL", &server.url),
        ("CHAINS-GIT_COMMIT", &server.commit),
    ] {
        assert_eq!(ended.result(name), wanted, "{name}");
    }
    assert!(ended.result("committer-date").parse::<u64>().is_ok());
    assert!(folder.join("Containerfile").is_file());
}

#[test]
#[ignore = "needs a Kubernetes node: ./test --cluster"]
fn a_hermetic_build_reaches_nothing() {
    let bench = Bench::shared();
    let base = bench.node.shell_image(&["wget"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let containerfile = format!(
        "FROM {base}\nRUN if wget -q -O /dev/null http://{}/v2/; then exit 9; fi\n",
        bench.registry()
    );
    std::fs::write(folder.path().join("Containerfile"), containerfile).expect("it is writable");
    let (claim, _) = bench.volume(Some(folder.path()));
    let source = json!([Bench::bound("source", &claim)]);
    let open = params(bench, "tasks/hermetic:1", &json!({}));
    bench
        .task("buildah-push", &open, &source)
        .fails("build-and-push", 1, &["exit status 9"]);
    let hermetic = params(bench, "tasks/hermetic:1", &json!({"HERMETIC": "true"}));
    bench.task("buildah-push", &hermetic, &source).ok();
}
