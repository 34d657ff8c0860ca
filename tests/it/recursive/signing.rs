//! What is signed and attested with `--recursive`, and that cosign takes each of it alone.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_harness::{Layout, Proxy, Run, cosign};

use super::{CUSTOM, PASSWORD, Shop, accepted, cosigns, extra, plain_key, verify};

#[test]
fn every_manifest_of_an_index_is_signed_in_each_layout_and_cosign_accepts_each_alone() {
    let public = plain_key().1;
    for layout in ["tags", "bundle", "both"] {
        let shop = Shop::open();
        shop.attest(&["--recursive", "all", "--layout", layout])
            .ok();
        let wanted: &[&str] = match layout {
            "bundle" => &[],
            _ => &shop.all(),
        };
        assert_eq!(shop.with("sig"), wanted);
        for cosign in cosigns() {
            for digest in shop.all() {
                accepted(&cosign, &public, &shop.image(digest), layout);
            }
        }
        verify(&public, &["--only", "signature", "--recursive", "all"])
            .arg(shop.image(&shop.index))
            .ok();
    }
}

#[test]
fn the_payloads_are_those_of_cosign_and_the_children_go_without_the_index() {
    let payloads = |shop: &Shop| -> BTreeSet<String> {
        let layers = shop.all().into_iter().flat_map(|d| shop.layers(d, "sig"));
        layers.map(|layer| layer["digest"].to_string()).collect()
    };
    for cosign in cosigns() {
        let (ours, theirs) = (Shop::open(), Shop::open());
        let (key, _) = theirs.workshop.key_pair("ours");
        // The same repository at the same address, one after the other: its name is in the payload.
        theirs.attest(&["--recursive", "all"]).ok();
        let by_ours = payloads(&theirs);
        assert_eq!(by_ours.len(), 5);
        let image = theirs.image(&theirs.index);
        let sign = cosign.sign_command(&key, PASSWORD, Layout::Tags);
        sign.arg("--recursive").arg(&image).ok();
        assert_eq!(payloads(&theirs), by_ours, "another signature of the same");
        for digest in theirs.all() {
            assert_eq!(theirs.layers(digest, "sig").len(), 2, "{digest}");
        }
        ours.attest(&["--recursive", "children"]).ok();
        assert_eq!(ours.with("sig"), ours.children());
        let index = ours.image(&ours.index);
        let said = cosign.verify(&plain_key().1, &index, &[]);
        assert_ne!(said.code(), Some(0), "the index has none: {said:?}");
    }
}

#[test]
fn a_name_is_that_of_every_image_of_the_index_and_of_no_attestation() {
    let public = plain_key().1;
    for recursive in ["children", "all"] {
        let shop = Shop::open();
        let flags = ["--tag-identity", "--recursive", recursive];
        for _ in 0..2 {
            shop.attest(&flags).ok();
            for digest in shop.all() {
                let wanted = match digest {
                    _ if digest == shop.proof => 1,
                    _ if digest == shop.index && recursive == "children" => 0,
                    _ => 2,
                };
                let layers = shop.layers(digest, "sig");
                assert_eq!(layers.len(), wanted, "{recursive} {digest}");
                let names = layers.iter().map(|layer| {
                    let layer = layer["digest"].as_str().expect("a digest");
                    let payload = shop.workshop.registry.blob("team/app", layer);
                    String::from_utf8(payload.expect("stored")).expect("JSON")
                });
                let tagged = names.filter(|text| text.contains("/team/app:1\""));
                assert_eq!(tagged.count(), wanted.saturating_sub(1));
            }
        }
        for cosign in cosigns() {
            for digest in shop.children() {
                accepted(&cosign, &public, &shop.image(digest), "tags");
            }
        }
    }
}

#[test]
fn provenance_stays_that_of_the_index_whose_run_it_is_of() {
    for recursive in ["children", "all"] {
        let shop = Shop::open();
        shop.attest(&["--recursive", recursive]).ok();
        assert_eq!(shop.with("att"), [&shop.index]);
        let said = verify(&plain_key().1, &["--recursive", "all"])
            .arg(shop.image(&shop.index))
            .fails_with(1);
        assert!(said.stderr.contains("no attestation found"), "{said:?}");
        assert_eq!(said.stdout, "");
    }
    let shop = Shop::open();
    shop.attest(&[]).ok();
    assert_eq!(shop.with("sig"), [&shop.index], "nothing without the flag");
}

#[test]
fn an_image_that_is_no_index_stands_for_itself_as_with_cosign() {
    for recursive in ["none", "children", "all"] {
        let shop = Shop::open();
        let address = shop.workshop.registry.address();
        let run = shop.run_of(address, &shop.amd);
        let attest = shop.workshop.attest_command(&run, &plain_key().0);
        attest.args(["--recursive", recursive]).ok();
        assert_eq!(shop.with("sig"), [&shop.amd], "{recursive}");
        let image = shop.image(&shop.amd);
        verify(&plain_key().1, &["--recursive", recursive])
            .arg(&image)
            .ok();
        for cosign in cosigns() {
            let name = format!("theirs-{}", cosign.major());
            let (key, _) = shop.workshop.key_pair(&name);
            let sign = cosign.sign_command(&key, PASSWORD, Layout::Tags);
            sign.arg("--recursive").arg(&image).ok();
            assert_eq!(shop.with("sig"), [&shop.amd]);
        }
    }
}

#[test]
fn docker_s_list_of_manifests_is_an_index_like_any_other() {
    const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    const IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
    let shop = Shop::open();
    let registry = &shop.workshop.registry;
    let public = plain_key().1;
    let platforms = ["linux/amd64", "linux/arm64"];
    let images = platforms.map(|platform| {
        let config = json!({"os": "linux", "architecture": platform, "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE, "layers": [],
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(),
                "digest": registry.push_blob("team/app", config.as_bytes())},
        });
        super::put(registry, IMAGE, manifest.to_string().as_bytes())
    });
    let entries = [0, 1].map(|at| images[at].entry(platforms[at]));
    let list = json!({"schemaVersion": 2, "mediaType": LIST, "manifests": entries}).to_string();
    let list = super::put(registry, LIST, list.as_bytes());
    let run = shop.run_of(registry.address(), &list.digest);
    let attest = shop.workshop.attest_command(&run, &plain_key().0);
    attest.args(["--recursive", "all"]).ok();
    for part in [&list, &images[0], &images[1]] {
        for cosign in cosigns() {
            accepted(&cosign, &public, &shop.image(&part.digest), "tags");
        }
    }
    let flags = ["--only", "signature", "--recursive", "all"];
    let said = verify(&public, &flags)
        .arg(shop.image(&list.digest))
        .ok()
        .stdout;
    assert_eq!(said.lines().count(), 3, "{said}");
    assert_eq!(said.matches(" platform=linux/").count(), 2, "{said}");
}

#[test]
fn the_step_before_reads_the_index_so_that_the_one_with_the_key_talks_to_nobody() {
    let shop = Shop::open();
    let proxy = Proxy::start(shop.workshop.registry.address());
    let folder = shop.workshop.path("payloads");
    let run = shop.run_of(proxy.address(), &shop.index);
    let said = Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(run)
        .arg("--out")
        .arg(&folder)
        .env("TEKSEAL_RECURSIVE", "all")
        .ok();
    assert!(said.stderr.contains(" manifests=4"), "{said:?}");
    let requests = proxy.seen();
    let paths: BTreeSet<&str> = requests.iter().map(|seen| seen.path.as_str()).collect();
    assert_eq!((requests.len(), paths.len()), (5, 5), "{requests:?}");
    assert!(requests.iter().all(|seen| seen.method == "GET"));
    let text = fs::read_to_string(folder.join("payloads.json")).expect("it is there");
    let entries: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let images: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["image"].as_str())
        .map(|image| image.split_once('@').expect("by digest").1)
        .collect();
    assert_eq!(images, shop.all());

    proxy.forget();
    Run::tool("tekseal-sign")
        .arg("--key")
        .arg(plain_key().0)
        .arg(&folder)
        .ok();
    assert_eq!(proxy.count(), 0);
    Run::tool("tekseal-upload").arg(&folder).ok();
    assert_eq!(shop.with("sig"), shop.all());

    // Without the flag no registry is asked at all.
    proxy.forget();
    let run = shop.run_of(proxy.address(), &shop.index);
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(run)
        .arg("--out")
        .arg(&folder)
        .env("TEKSEAL_RECURSIVE", "")
        .ok();
    assert_eq!(proxy.count(), 0);
}

#[test]
fn a_predicate_is_attested_of_each_image_in_a_statement_of_its_own() {
    for (recursive, wanted) in [("none", 1), ("children", 3), ("all", 4)] {
        let shop = Shop::open();
        shop.predicate(&["--recursive", recursive])
            .arg(shop.image(&shop.index))
            .ok();
        let attested = shop.with("att");
        assert_eq!(attested.len(), wanted, "{recursive}");
        assert!(
            !attested.contains(&shop.proof.as_str()),
            "nothing is attested of attestations"
        );
        for digest in attested {
            let layers = shop.layers(digest, "att");
            let blob = layers[0]["digest"].as_str().expect("a digest");
            let envelope = shop.workshop.registry.blob("team/app", blob);
            let envelope: Value =
                serde_json::from_slice(&envelope.expect("it is there")).expect("JSON");
            let payload = envelope["payload"].as_str().expect("base64");
            let payload = STANDARD.decode(payload).expect("base64");
            let statement: Value = serde_json::from_slice(&payload).expect("JSON");
            let subjects = statement["subject"].as_array().expect("a list");
            let hex = digest.trim_start_matches("sha256:");
            assert_eq!(subjects.len(), 1);
            assert_eq!(subjects[0]["digest"]["sha256"], hex);
            for cosign in cosigns() {
                let image = shop.image(digest);
                let public = plain_key().1;
                cosign.verify_attestation(&public, CUSTOM, &image, &[]).ok();
            }
        }
        assert!(shop.with("sig").is_empty());
    }
}

#[test]
fn a_large_predicate_is_attested_of_each_image_too() {
    let shop = Shop::open();
    let text = format!(r#"{{"x":"{}"}}"#, "y".repeat(9 << 20));
    let file = shop.workshop.file("large.json", text);
    Run::tool("tekseal-attest")
        .arg("--predicate")
        .arg(file)
        .args(["--type", CUSTOM, "--recursive", "children", "--key"])
        .arg(plain_key().0)
        .arg(shop.image(&shop.index))
        .ok();
    assert_eq!(shop.with("att"), [&shop.amd, &shop.nested, &shop.arm]);
}

#[test]
fn what_is_signed_again_is_not_stored_again() {
    let shop = Shop::open();
    for (stored, already) in [(6, 0), (0, 6)] {
        let said = shop.attest(&["--recursive", "all"]).ok();
        let count = |what: &str| said.stderr.matches(&format!("\n{what} image=")).count();
        assert_eq!(
            (count("stored"), count("already stored")),
            (stored, already)
        );
    }
    // In bundles of its own, which cosign 2 reads only with a trusted root.
    shop.attest(&["--recursive", "all", "--layout", "both"])
        .ok();
    if let Some(cosign) = cosign("2.6.5") {
        assert_eq!(extra(&cosign, "both").len(), 1);
        accepted(&cosign, &plain_key().1, &shop.image(&shop.arm), "both");
    }
}
