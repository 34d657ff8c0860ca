//! `tekseal-verify --recursive`: each manifest must pass by itself, and all are looked at.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tekseal_harness::{Layout, Proxy, Registry, Run, buildah};

use super::{PASSWORD, Shop, cosigns, fixtures, plain_key, verified, verify};

const PLATFORMS: [&str; 5] = [
    "",
    "linux/amd64",
    "linux/arm64",
    "unknown/unknown",
    "linux/arm64",
];

fn told(digests: &[&str], platforms: &[&str]) -> Vec<(String, String)> {
    let pairs = digests.iter().zip(platforms);
    pairs
        .map(|(digest, platform)| ((*digest).to_owned(), (*platform).to_owned()))
        .collect()
}

#[test]
fn what_cosign_signed_recursively_is_verified_in_both_layouts() {
    for (cosign, layout) in cosigns()
        .map(|cosign| (cosign, Layout::Tags))
        .chain(super::cosign("3.1.3").map(|cosign| (cosign, Layout::Bundles)))
    {
        let shop = Shop::open();
        let (key, public) = shop.workshop.key_pair("theirs");
        let image = shop.image(&shop.index);
        let json = |recursive: &str| {
            let flags = ["-o", "json", "--only", "signature", "--recursive"];
            verify(&public, &flags).arg(recursive).arg(&image)
        };
        let sign = || cosign.sign_command(&key, PASSWORD, layout);
        sign().arg(&image).ok();
        json("none").ok();
        let said = json("all").fails_with(1);
        assert!(said.stderr.contains("\npassed image="), "{said:?}");
        assert_eq!(said.stderr.matches("not verified").count(), 3, "{said:?}");
        assert!(said.stderr.contains("(linux/amd64): no signature found"));

        sign().arg("--recursive").arg(&image).ok();
        assert_eq!(
            verified(&json("all").ok()),
            told(&shop.all(), &PLATFORMS),
            "{layout:?}"
        );
        assert_eq!(
            verified(&json("children").ok()),
            told(&shop.children(), &PLATFORMS[1..])
        );
        assert_eq!(
            verified(&json("none").ok()),
            told(&[&shop.index], &PLATFORMS)
        );
    }
}

#[test]
fn what_cosign_recorded_is_verified_without_cosign() {
    let registry = Registry::start();
    let samples = fixtures().join("cosign-samples");
    let public = samples.join("keys/a.pub");
    let index = "sha256:a3b1331cd720d405e7618b37b67d61eb1f2bf7d2873711d267f8588779a46e40";
    for case in ["sign-v2-recursive", "sign-v3-bundle-recursive"] {
        registry.replay(&samples.join(case), case);
        let image = registry.reference(case, index);
        let flags = ["--only", "signature", "--recursive", "all"];
        let said = verify(&public, &flags).arg(&image).ok().stdout;
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(
            said.lines()
                .all(|line| line.starts_with("verified signature image="))
        );
        for platform in [" platform=linux/amd64 ", " platform=linux/arm64 "] {
            assert_eq!(said.matches(platform).count(), 1, "{said}");
        }
        let other = verify(&samples.join("keys/b.pub"), &flags);
        let said = other.arg(&image).fails_with(1);
        assert_eq!(said.stdout, "");
        assert!(!said.stderr.contains("\npassed image="), "{said:?}");
    }
}

#[test]
fn one_that_fails_fails_all_and_the_others_are_told() {
    let shop = Shop::open();
    let public = plain_key().1;
    shop.attest(&["--recursive", "all"]).ok();
    let tag = format!("{}.sig", shop.arm.replace(':', "-"));
    let stored = shop.workshop.registry.manifest("team/app", &tag);
    let stored = stored.expect("just signed").digest;
    shop.workshop.registry.delete_manifest("team/app", &stored);
    let results = shop.workshop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    for output in ["text", "json"] {
        let flags = ["--only", "signature", "--recursive", "all", "-o", output];
        let said = verify(&public, &flags)
            .arg("--results")
            .arg(&results)
            .arg(shop.image(&shop.index))
            .fails_with(1);
        assert_eq!(said.stdout, "", "nothing is printed unless all pass");
        let wanted = format!(
            "error: image {} (linux/arm64): no signature found",
            shop.image(&shop.arm)
        );
        assert!(said.stderr.contains(&wanted), "{said:?}");
        assert_eq!(said.stderr.matches("\npassed image=").count(), 4);
        let passed = format!(
            "\npassed image={} platform=linux/amd64",
            shop.image(&shop.amd)
        );
        assert!(said.stderr.contains(&passed), "{said:?}");
    }
    let result = |name: &str| fs::read_to_string(results.join(name)).expect("it is written");
    assert_eq!(
        (result("VERIFIED").as_str(), result("IMAGE_REF").as_str()),
        ("false", "")
    );
    let summary: Value = serde_json::from_str(&result("TEST_OUTPUT")).expect("JSON");
    assert_eq!(
        (&summary["successes"], &summary["failures"]),
        (&4.into(), &1.into())
    );

    // The index alone is good, and so is each of the others.
    for digest in shop.all().into_iter().filter(|d| *d != shop.arm) {
        verify(&public, &["--only", "signature"])
            .arg(shop.image(digest))
            .ok();
    }
}

#[test]
fn what_is_to_be_deployed_is_the_index_also_where_only_its_children_were_checked() {
    let shop = Shop::open();
    shop.attest(&["--recursive", "children"]).ok();
    let results = shop.workshop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    let image = shop.image(&shop.index);
    let flags = [
        "--only",
        "signature",
        "--recursive",
        "children",
        "-o",
        "json",
    ];
    let said = verify(&plain_key().1, &flags)
        .arg("--results")
        .arg(&results)
        .arg(&image)
        .ok();
    let reports = said.json();
    let reports = reports.as_array().expect("a list");
    assert!(
        reports
            .iter()
            .all(|report| report["index"] == image.as_str())
    );
    let result = |name: &str| fs::read_to_string(results.join(name)).expect("it is written");
    assert_eq!(
        (result("VERIFIED"), result("IMAGE_REF")),
        ("true".to_owned(), image)
    );
    let flags = ["--only", "signature", "--recursive", "all"];
    verify(&plain_key().1, &flags)
        .arg(shop.image(&shop.index))
        .fails_with(1);
}

#[test]
fn attestations_are_asked_of_images_and_not_of_what_buildkit_says_of_them() {
    let shop = Shop::open();
    let public = plain_key().1;
    let image = shop.image(&shop.index);
    shop.attest(&["--recursive", "all"]).ok();
    shop.predicate(&["--recursive", "all"]).arg(&image).ok();
    let flags = ["-o", "json", "--recursive", "all", "--type", super::CUSTOM];
    let said = verify(&public, &flags).arg(&image).ok();
    assert_eq!(verified(&said), told(&shop.all(), &PLATFORMS));
    for report in said.json().as_array().expect("a list") {
        let is_proof = report["platform"] == "unknown/unknown";
        let count = report["attestations"].as_array().expect("a list").len();
        assert_eq!(count == 0, is_proof, "{report}");
    }
    let only = [&flags[..], &["--only", "attestation"]].concat();
    let said = verify(&public, &only).arg(&image).ok();
    assert_eq!(verified(&said).len(), 4);
    assert!(
        said.stderr.contains("not checked: nothing is attested"),
        "{said:?}"
    );

    // A label makes no attestations of an image: the content does.
    let registry = &shop.workshop.registry;
    let disguised = registry.push_image("team/app", "disguised");
    let part = super::Part {
        digest: disguised.digest,
        size: disguised.size,
        media_type: super::MANIFEST,
    };
    let mut entry = part.entry("unknown/unknown");
    entry["annotations"] = serde_json::json!({"vnd.docker.reference.type": "attestation-manifest"});
    let index = super::put_index(registry, &[entry]);
    let flags = ["--recursive", "children", "--only", "attestation"];
    let said = verify(&public, &flags)
        .arg(shop.image(&index.digest))
        .fails_with(1);
    assert!(said.stderr.contains("no attestation found"), "{said:?}");
    let proof = shop.proof.clone();
    let proof = registry.manifest("team/app", &proof).expect("it is there");
    let part = super::Part {
        digest: proof.digest,
        size: proof.bytes.len(),
        media_type: super::MANIFEST,
    };
    let index = super::put_index(registry, &[part.entry("linux/amd64")]);
    let said = verify(&public, &flags)
        .arg(shop.image(&index.digest))
        .fails_with(1);
    assert!(
        said.stderr
            .contains("nothing but the attestations of BuildKit"),
        "{said:?}"
    );
}

#[test]
fn no_manifest_is_asked_for_twice_and_children_are_checked_side_by_side() {
    let shop = Shop::open();
    shop.attest(&["--recursive", "all"]).ok();
    let proxy = Proxy::start(shop.workshop.registry.address());
    proxy.delay_each(Duration::from_millis(100));
    let flags = ["--only", "signature", "--recursive", "all"];
    verify(&plain_key().1, &flags)
        .arg(format!("{}/team/app@{}", proxy.address(), shop.index))
        .ok();
    let requests = proxy.seen();
    let paths: BTreeSet<&str> = requests.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!(requests.len(), paths.len(), "{requests:?}");
    // Each is read; of each its signatures, the list of referrers by two names, and the payload.
    assert_eq!(requests.len(), 5 + 5 * 4, "{requests:?}");
    // The index, what it lists, what that lists; then two times (four, and the last): tag and referrers side by side, then the payload.
    let latencies = proxy.sequential_latencies();
    assert!(latencies <= 3 + 2 * 3, "{latencies}");
}

#[test]
fn an_index_that_ours_or_buildah_composed_is_signed_and_verified_whole() {
    let shop = Shop::open();
    let registry = &shop.workshop.registry;
    let images = [&shop.amd, &shop.arm].map(|digest| shop.image(digest));
    let results = shop.workshop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    Run::tool("tekseal-image-index")
        .env("IMAGE", format!("{}/team/app:ours", registry.address()))
        .arg("--results")
        .arg(&results)
        .arg("--images")
        .args(&images)
        .arg(";")
        .ok();
    let mut tags = vec!["ours"];
    if let Some(buildah) = buildah() {
        let folder = shop.workshop.path("storage");
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/root\"\nrunroot = \"{0}/run\"\n",
            folder.display()
        );
        let storage = shop.workshop.file("storage.conf", storage);
        let call = |args: &[&str]| {
            Run::new(&buildah)
                .env("CONTAINERS_STORAGE_CONF", &storage)
                .args(args)
                .ok()
        };
        call(&["manifest", "create", "list"]);
        for image in &images {
            let image = format!("docker://{image}");
            call(&["manifest", "add", "--tls-verify=false", "list", &image]);
        }
        let target = format!("docker://{}/team/app:buildah", registry.address());
        call(&[
            "manifest",
            "push",
            "--all",
            "--format",
            "oci",
            "--tls-verify=false",
            "list",
            &target,
        ]);
        tags.push("buildah");
    }
    for tag in tags {
        let index = registry.manifest("team/app", tag).expect("just pushed");
        let run = shop.run_of(registry.address(), &index.digest);
        let attest = shop.workshop.attest_command(&run, &plain_key().0);
        attest.args(["--recursive", "all"]).ok();
        let flags = ["-o", "json", "--only", "signature", "--recursive", "all"];
        let said = verify(&plain_key().1, &flags)
            .arg(format!("{}/team/app:{tag}", registry.address()))
            .ok();
        let wanted = [index.digest.as_str(), &shop.amd, &shop.arm];
        assert_eq!(
            verified(&said),
            told(&wanted, &["", "linux/amd64", "linux/arm64"]),
            "{tag}"
        );
    }
}

#[test]
fn without_a_registry_nothing_can_be_followed() {
    let shop = Shop::open();
    let bundle = shop.workshop.file("x.sigstore.json", "{}");
    let said = verify(&plain_key().1, &["--recursive", "all", "--bundle"])
        .arg(bundle)
        .arg(shop.image(&shop.index))
        .fails_with(2);
    assert!(said.stderr.contains("--bundle and --recursive"), "{said:?}");
    verify(&plain_key().1, &["--recursive", "some"])
        .arg(shop.image(&shop.index))
        .fails_with(2);
}
