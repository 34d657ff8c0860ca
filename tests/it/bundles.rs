//! Sigstore bundles that ours wrote, with the real cosign 2 and 3: alone, beside tags, among the bundles of others, on a registry that lists
//! what refers to an image and on one that does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tekseal_harness::{
    Answer, Cosign, Layout, Output, Proxy, Registry, Request, Run, cosign, digest, fixtures,
    request,
};

use crate::workshop::{PASSWORD, Workshop};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

fn cosigns() -> impl Iterator<Item = Cosign> {
    ["2.6.5", "3.1.3"].into_iter().filter_map(cosign)
}

/// cosign 2 wants a trusted root for every bundle, whatever is in it.
fn extra(cosign: &Cosign, layout: &str) -> Vec<String> {
    if layout == "tags" || cosign.version().starts_with("v3") {
        return Vec::new();
    }
    let root = fixtures().join("cosign-samples/keys/trusted_root.json");
    vec![format!("--trusted-root={}", root.display())]
}

/// Both commands of both versions.
fn accepted(public: &Path, image: &str, layout: &str) {
    for cosign in cosigns() {
        let extra = extra(&cosign, layout);
        let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
        cosign.verify(public, image, &extra).ok();
        cosign
            .verify_attestation(public, "slsaprovenance", image, &extra)
            .ok();
    }
}

fn attest(shop: &Workshop, key: &Path, layout: &str) -> Output {
    let run = shop.attest_command(&shop.run(), key);
    run.args(["--layout", layout]).ok()
}

/// The index of what refers to the image, where clients keep it.
fn index(shop: &Workshop) -> Option<Value> {
    let tag = shop.digest.replace(':', "-");
    let manifest = shop.registry.manifest("team/app", &tag)?;
    assert_eq!(manifest.media_type, INDEX);
    Some(manifest.json())
}

fn entries(shop: &Workshop) -> Vec<Value> {
    let index = index(shop).map(|index| index["manifests"].clone());
    serde_json::from_value(index.unwrap_or(json!([]))).expect("a list")
}

fn kinds(shop: &Workshop) -> Vec<Value> {
    let kind = |entry: &Value| entry["annotations"]["dev.sigstore.bundle.predicateType"].clone();
    let mut kinds: Vec<_> = entries(shop).iter().map(kind).collect();
    kinds.sort_by_key(Value::to_string);
    kinds
}

#[test]
fn every_layout_is_accepted_by_both_versions_of_cosign_and_by_ours() {
    for layout in ["tags", "bundle", "both"] {
        let shop = Workshop::new();
        let (key, public) = shop.plain_key();
        let said = attest(&shop, &key, layout);
        let (tags, bundles) = (layout != "bundle", layout != "tags");
        assert_eq!(shop.layers("sig").len(), usize::from(tags), "{layout}");
        assert_eq!(shop.layers("att").len(), usize::from(tags), "{layout}");
        assert_eq!(
            entries(&shop).len(),
            if bundles { 2 } else { 0 },
            "{layout}"
        );
        assert_eq!(said.stderr.contains(" tag=sha256-"), tags, "{said:?}");
        assert_eq!(
            said.stderr.contains(" referrer=sha256:"),
            bundles,
            "{said:?}"
        );
        accepted(&public, &shop.image, layout);
        let json = shop.verify(&public).args(["-o", "json"]).ok().stdout;
        let reports: Value = serde_json::from_str(&json).expect("JSON");
        let places = |what: &str, place: &str| {
            let list = reports[0][what].as_array().expect("a list").clone();
            list.iter().filter(|one| one.get(place).is_some()).count()
        };
        for what in ["signatures", "attestations"] {
            let found = (places(what, "tag"), places(what, "referrer"));
            assert_eq!(found, (usize::from(tags), usize::from(bundles)), "{json}");
        }
        let drawn = Run::tool("tekseal-tree").arg(&shop.image).ok().stdout;
        assert_eq!(
            drawn.contains("referrers (fallback tag)"),
            bundles,
            "{drawn}"
        );
        assert_eq!(drawn.contains(SIGN), bundles, "{drawn}");
    }
}

#[test]
fn a_bundle_says_what_it_is_in_its_manifest_and_in_the_index() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    attest(&shop, &key, "bundle");
    let wanted = [
        "https://sigstore.dev/cosign/sign/v1",
        "https://slsa.dev/provenance/v0.2",
    ];
    assert_eq!(kinds(&shop), wanted.map(Value::from));
    for entry in entries(&shop) {
        let digest = entry["digest"].as_str().expect("a digest");
        let manifest = shop.registry.manifest("team/app", digest);
        let manifest = manifest.expect("it is listed").json();
        for (name, place) in [
            ("the index", &entry["artifactType"]),
            ("the manifest", &manifest["artifactType"]),
            ("the configuration", &manifest["config"]["artifactType"]),
            ("the layer", &manifest["layers"][0]["mediaType"]),
        ] {
            assert_eq!(*place, BUNDLE, "{name}");
        }
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.oci.empty.v1+json"
        );
        assert_eq!(manifest["subject"]["digest"], shop.digest);
        assert_eq!(manifest["annotations"], entry["annotations"]);
        let blob = manifest["layers"][0]["digest"].as_str().expect("a digest");
        let bundle = shop.registry.blob("team/app", blob).expect("it is there");
        let bundle: Value = serde_json::from_slice(&bundle).expect("JSON");
        let pem = fs::read_to_string(&public).expect("a key");
        let base64: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
        let hint = {
            use base64::Engine as _;
            let codec = base64::engine::general_purpose::STANDARD;
            let hex = self::digest(&codec.decode(base64).expect("PEM"));
            let hex = &hex["sha256:".len()..];
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            codec.encode((0..64).step_by(2).map(byte).collect::<Vec<_>>())
        };
        assert_eq!(bundle["verificationMaterial"]["publicKey"]["hint"], hint);
    }
}

/// Chains signs another document than it says, so that its bundles of image signatures verify nowhere; an attestation beside them hides that from
/// cosign, which takes any bundle for a signature. Here the signature is alone.
#[test]
fn the_bundle_of_an_image_signature_verifies_alone() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let config = shop.file("config.json", r#"{"artifacts.taskrun.signer":"none"}"#);
    let run = shop.attest_command(&shop.run(), &key);
    run.args(["--layout", "bundle", "--config"])
        .arg(config)
        .ok();
    assert_eq!(kinds(&shop), [SIGN]);
    let (_, other) = shop.key_pair("other");
    for cosign in cosigns() {
        let extra = extra(&cosign, "bundle");
        let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
        cosign.verify(&public, &shop.image, &extra).ok();
        let none = cosign.verify_attestation(&public, "slsaprovenance", &shop.image, &extra);
        assert_ne!(none.code(), Some(0));
        let refused = cosign.verify(&other, &shop.image, &extra);
        assert_ne!(refused.code(), Some(0), "another key");
    }
    shop.verify(&public).args(["--only", "signature"]).ok();
    shop.verify(&public).fails_with(1);
}

#[test]
fn the_configuration_chooses_the_layout_and_the_flag_goes_before_it() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let config = |value: &str| {
        let text =
            json!({"storage.oci.encoding-format": value, "artifacts.taskrun.format": "slsa/v1"});
        shop.file("config.json", text.to_string())
    };
    let command = |value: &str| {
        let run = shop.attest_command(&shop.run(), &key);
        run.arg("--config").arg(config(value))
    };
    command("sigstore-bundle")
        .env("TEKSEAL_LAYOUT", "tags")
        .ok();
    assert_eq!((shop.layers("att").len(), entries(&shop).len()), (1, 0));
    command("sigstore-bundle").env("TEKSEAL_LAYOUT", "").ok();
    assert_eq!((shop.layers("att").len(), entries(&shop).len()), (1, 2));
    command("dsse,sigstore-bundle").ok();
    assert_eq!((shop.layers("att").len(), entries(&shop).len()), (1, 2));
    accepted(&public, &shop.image, "both");
    let bad = command("dsse").args(["--layout", "bundles"]).fails_with(2);
    assert!(bad.stderr.contains("tags, bundle, both"), "{bad:?}");
}

fn hand_over(shop: &Workshop, key: &Path) -> PathBuf {
    let folder = shop.path("payloads");
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run())
        .arg("--out")
        .arg(&folder)
        .ok();
    Run::tool("tekseal-sign")
        .arg("--key")
        .arg(key)
        .arg(&folder)
        .env("COSIGN_PASSWORD", PASSWORD)
        .ok();
    folder
}

fn list(folder: &Path, name: &str) -> Vec<Value> {
    let bytes = fs::read(folder.join(name)).expect("it is written");
    serde_json::from_slice(&bytes).expect("a list")
}

#[test]
fn what_was_signed_once_is_stored_in_any_layout() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let folder = hand_over(&shop, &key);
    let results = shop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    let upload = |layout: &str| {
        Run::tool("tekseal-upload")
            .args(["--layout", layout, "--results"])
            .arg(&results)
            .arg(&folder)
    };
    upload("bundle").ok();
    assert!(shop.layers("sig").is_empty());
    let stored = list(&folder, "stored.json");
    assert_eq!(stored.len(), 2);
    let digests: Vec<Value> = entries(&shop).iter().map(|e| e["digest"].clone()).collect();
    for entry in &stored {
        assert_eq!(entry["place"], "referrer");
        assert_eq!(entry["image"], shop.image);
        assert_eq!(entry["tag"], shop.digest.replace(':', "-"));
        assert!(digests.contains(&entry["digest"]), "{entry}");
    }
    let result = |name: &str| fs::read_to_string(results.join(name)).expect("it is written");
    for (name, kind) in [
        ("SIGNATURES", SIGN),
        ("ATTESTATIONS", "https://slsa.dev/provenance/v0.2"),
    ] {
        let told = result(name);
        let (_, digest) = told.split_once('@').expect("one reference");
        let manifest = shop
            .registry
            .manifest("team/app", digest)
            .expect("it is there");
        let said = &manifest.json()["annotations"]["dev.sigstore.bundle.predicateType"];
        assert_eq!(*said, kind, "{name} is {told}");
    }
    accepted(&public, &shop.image, "bundle");
    upload("both").ok();
    let stored = list(&folder, "stored.json");
    let places = |place: &str| {
        stored
            .iter()
            .filter(|entry| entry["place"] == place)
            .count()
    };
    assert_eq!((places("tag"), places("referrer")), (2, 2));
    assert_eq!(result("SIGNATURES").split(',').count(), 2);
    accepted(&public, &shop.image, "both");

    // One process and three make the same.
    let before = index(&shop);
    attest(&shop, &key, "both");
    assert_eq!(index(&shop), before);
}

#[test]
fn a_bundle_that_was_changed_is_not_stored_nor_one_that_an_older_program_did_not_make() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let (other, _) = shop.key_pair("other");
    let folder = hand_over(&shop, &key);
    let upload = |layout: &str| {
        let run = Run::tool("tekseal-upload").args(["--layout", layout]);
        run.arg(&folder)
    };
    for entry in list(&folder, "signed.json") {
        let name = entry["bundle"].as_str().expect("the index has it");
        assert_eq!(
            name,
            format!("{}.sigstore.json", entry["file"].as_str().expect("a name"))
        );
        let path = folder.join(name);
        let good = fs::read_to_string(&path).expect("it is there");
        let bundle: Value = serde_json::from_str(&good).expect("JSON");
        let envelope = &bundle["dsseEnvelope"];
        let text = |of: &Value| of.as_str().expect("a text").to_owned();
        let (payload, sig) = (
            text(&envelope["payload"]),
            text(&envelope["signatures"][0]["sig"]),
        );
        let hint = text(&bundle["verificationMaterial"]["publicKey"]["hint"]);
        for bad in [
            good.replace(&payload, &payload.replace("fQ==", "fX0=")) + " ",
            good.replace(&payload, "e30="),
            good.replace(&sig, &format!("MEUC{}", &sig[4..]))
                .replace("MEUCI", "MEUCA"),
            good.replace(&hint, &"A".repeat(hint.len())),
            good.replace(r#","dsseEnvelope""#, r#","more":{},"dsseEnvelope""#),
            "{}".to_owned(),
        ] {
            assert_ne!(bad, good);
            fs::write(&path, bad).expect("the folder is ours");
            let refused = upload("bundle").fails_with(1);
            assert!(
                refused.stderr.contains("was changed after signing"),
                "{refused:?}"
            );
        }
        fs::write(&path, &good).expect("the folder is ours");
    }
    assert!(entries(&shop).is_empty());

    let second = Workshop::new();
    let foreign = hand_over(&second, &other);
    for entry in list(&foreign, "signed.json") {
        let name = entry["bundle"].as_str().expect("the index has it");
        let path = folder.join(name);
        if path.exists() {
            let good = fs::read(&path).expect("it is there");
            fs::copy(foreign.join(name), &path).expect("the folder is ours");
            upload("both").fails_with(1);
            fs::write(&path, good).expect("the folder is ours");
        }
    }
    upload("both").ok();

    let index = fs::read_to_string(folder.join("signed.json")).expect("it is there");
    let mut index: Vec<Value> = serde_json::from_str(&index).expect("a list");
    for entry in &mut index {
        entry.as_object_mut().expect("an entry").remove("bundle");
    }
    let text = Value::from(index).to_string();
    fs::write(folder.join("signed.json"), text).expect("the folder is ours");
    let old = upload("bundle").fails_with(2);
    assert!(
        old.stderr
            .contains("hint: tekseal-sign signed for tags alone"),
        "{old:?}"
    );
    upload("tags").ok();
}

#[test]
fn what_was_signed_for_one_layout_is_stored_in_no_other() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let folder = hand_over(&shop, &key);
    let upload = |layout: &str| {
        let upload = Run::tool("tekseal-upload").arg(&folder);
        upload.args(["--layout", layout])
    };
    let sign = |layout: &str| {
        let sign = Run::tool("tekseal-sign").arg(&folder).arg("--key");
        sign.arg(&key)
            .args(["--layout", layout])
            .env("COSIGN_PASSWORD", PASSWORD)
    };
    for (layout, other, hint) in [
        ("bundle", "tags", "for bundles alone"),
        ("tags", "bundle", "for tags alone"),
    ] {
        sign(layout).ok();
        for entry in list(&folder, "signed.json") {
            let is_there = |member: &str| !entry[member].is_null();
            assert_eq!(is_there("bundle"), layout == "bundle", "{entry:#}");
            let has_layer = is_there("signature") || is_there("envelope");
            assert_eq!(has_layer, layout == "tags", "{entry:#}");
        }
        let said = upload(other).fails_with(2);
        assert!(said.stderr.contains(hint), "{said:?}");
        upload("both").fails_with(2);
        assert_eq!(entries(&shop).is_empty(), layout == "bundle");
        upload(layout).ok();
    }
    let said = sign("tag").fails_with(2);
    assert!(said.stderr.contains("tags, bundle, both"), "{said:?}");
}

#[test]
fn running_again_adds_nothing() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    attest(&shop, &key, "both");
    let before = (
        index(&shop),
        shop.layers("sig"),
        shop.registry.tags("team/app"),
    );
    let said = attest(&shop, &key, "both").stderr;
    assert_eq!(said.matches("\nalready stored image=").count(), 4, "{said}");
    assert!(!said.contains("\nstored image="), "{said}");
    let after = (
        index(&shop),
        shop.layers("sig"),
        shop.registry.tags("team/app"),
    );
    assert_eq!(after, before);
}

#[test]
fn bundles_of_cosign_and_entries_that_nobody_knows_are_kept() {
    let Some(cosign) = cosign("3.1.3") else {
        return;
    };
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let (theirs, their_public) = cosign.generate_key_pair(&shop.path(""), PASSWORD);
    cosign
        .sign(&theirs, PASSWORD, &shop.image, Layout::Bundles)
        .ok();
    let before = entries(&shop);
    assert_eq!(before.len(), 1);
    // Somebody else's artifact, in an index with members of their own.
    let note = shop.registry.push_blob("team/app", b"a note");
    let config = shop.registry.push_blob("team/app", b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": config},
        "layers": [{"mediaType": "text/plain", "size": 6, "digest": note}],
        "subject": {"mediaType": "x", "size": 1, "digest": shop.digest},
    });
    let bytes = manifest.to_string().into_bytes();
    let foreign = digest(&bytes);
    shop.registry
        .put_manifest("team/app", &foreign, MANIFEST, &bytes);
    let entry = format!(
        r#"{{ "digest":"{foreign}", "mediaType": "{MANIFEST}","size":{}, "future": [1.50] }}"#,
        bytes.len()
    );
    let tag = shop.digest.replace(':', "-");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","annotations":{{"kept": "yes"}},"manifests":[{entry},{}]}}"#,
        before[0]
    );
    shop.registry
        .put_manifest("team/app", &tag, INDEX, text.as_bytes());
    attest(&shop, &key, "bundle");
    let after = shop
        .registry
        .manifest("team/app", &tag)
        .expect("it is there");
    let after = String::from_utf8(after.bytes).expect("JSON");
    let kept = text.strip_suffix("]}").expect("it ends so");
    assert!(after.starts_with(&format!("{kept},{{")), "{after}");
    assert_eq!(entries(&shop).len(), 4);
    for public in [&public, &their_public] {
        cosign.verify(public, &shop.image, &[]).ok();
        shop.verify(public).args(["--only", "signature"]).ok();
    }
    // cosign in turn keeps ours, in an order of its own.
    cosign
        .sign(&theirs, PASSWORD, &shop.image, Layout::Bundles)
        .ok();
    assert_eq!(entries(&shop).len(), 5);
    accepted(&public, &shop.image, "bundle");
    let said = attest(&shop, &key, "bundle").stderr;
    assert!(!said.contains("\nstored image="), "{said}");
}

#[test]
fn what_is_no_index_of_referrers_is_named_and_left_alone() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let tag = shop.digest.replace(':', "-");
    let image = shop
        .registry
        .manifest("team/app", &shop.digest)
        .expect("it is there");
    shop.registry
        .put_manifest("team/app", &tag, &image.media_type, &image.bytes);
    let run = shop.attest_command(&shop.run(), &key);
    let refused = run.args(["--layout", "both"]).fails_with(1);
    assert!(
        refused.stderr.contains(&format!("/team/app:{tag}"))
            && refused
                .stderr
                .contains("is not the media type of an image index")
            && refused.stderr.contains("hint: look who wrote"),
        "{refused:?}"
    );
    let left = shop
        .registry
        .manifest("team/app", &tag)
        .expect("it is there");
    assert_eq!(left.bytes, image.bytes);
}

#[test]
fn bundles_need_an_image_to_refer_to() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let absent = shop.run();
    let text = fs::read_to_string(&absent).expect("it is there");
    let other = format!("sha256:{}", "a1".repeat(32));
    fs::write(&absent, text.replace(&shop.digest, &other)).expect("the folder is ours");
    let attest = |layout: &str| {
        let run = shop.attest_command(&absent, &key);
        run.args(["--layout", layout])
    };
    let refused = attest("bundle").fails_with(1);
    assert!(
        refused.stderr.contains("does not exist")
            && refused.stderr.contains("hint: push the image"),
        "{refused:?}"
    );
    attest("tags").ok();
}

#[test]
fn a_predicate_of_any_size_becomes_a_bundle() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let attest = |kind: &str, file: &Path, layout: &str| {
        Run::tool("tekseal-attest")
            .arg("--key")
            .arg(&key)
            .args(["--layout", layout, "--type", kind, "--predicate"])
            .arg(file)
            .arg(&shop.image)
            .timeout(std::time::Duration::from_secs(120))
    };
    attest_with_signature(&shop, &key);
    let small = fixtures().join("predicates/cyclonedx.json");
    attest("cyclonedx", &small, "bundle").ok();
    let large = shop.file("large.spdx", vec![b'x'; 9 << 20]);
    attest(
        "https://example.com/large",
        &shop.file(
            "large.json",
            format!(r#"{{"a":"{}"}}"#, "y".repeat(9 << 20)),
        ),
        "both",
    )
    .ok();
    attest("spdx", &large, "bundle").ok();
    assert_eq!(
        entries(&shop).len(),
        5,
        "signature, provenance and three more"
    );
    assert_eq!(shop.layers("att").len(), 1);
    for (name, kind) in [
        ("cyclonedx", "cyclonedx"),
        ("https://example.com/large", "https://example.com/large"),
    ] {
        for cosign in cosigns() {
            let extra = extra(&cosign, "bundle");
            let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
            cosign
                .verify_attestation(&public, kind, &shop.image, &extra)
                .ok();
        }
        shop.verify(&public).args(["--type", name]).ok();
    }
    shop.verify(&public).args(["--type", "spdx"]).ok();
    let again = attest("spdx", &large, "bundle").ok().stderr;
    assert!(again.contains("\nalready stored image="), "{again}");
}

/// Everything of an image goes the same way, or cosign 3 does not see it.
fn attest_with_signature(shop: &Workshop, key: &Path) {
    attest(shop, key, "bundle");
}

#[test]
fn six_signers_of_one_index_lose_no_bundle_of_ours() {
    let Some(cosign) = cosign("3.1.3") else {
        return;
    };
    for _ in 0..3 {
        let shop = Workshop::new();
        let names = ["a", "b", "c", "d"];
        let keys: Vec<_> = names.iter().map(|name| shop.key_pair(name)).collect();
        let run = shop.run();
        let (theirs, _) = cosign.generate_key_pair(&shop.path(""), PASSWORD);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    cosign
                        .sign(&theirs, PASSWORD, &shop.image, Layout::Bundles)
                        .ok()
                });
            }
            for (key, _) in &keys {
                scope.spawn(|| {
                    shop.attest_command(&run, key)
                        .args(["--layout", "bundle", "--retry-for", "60"])
                        .ok()
                });
            }
        });
        let ours = entries(&shop)
            .iter()
            .filter(|entry| entry.get("annotations").is_some())
            .count();
        assert_eq!(ours, 8, "{:#?}", entries(&shop));
        for (_, public) in &keys {
            shop.verify(public).ok();
            cosign.verify(public, &shop.image, &[]).ok();
        }
    }
}

/// A registry that lists what refers to an image: docker-registry with a list in front, made from what came by.
fn listing(registry: &Registry) -> Proxy {
    let proxy = Proxy::start(registry.back_door());
    let put: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&put);
    proxy
        .when(move |request| {
            if request.is("PUT", "/manifests/sha256:") {
                let mut put = seen.lock().expect("no holder panics");
                put.insert(request.path.clone());
            }
            false
        })
        .refuse();
    let back = registry.back_door().to_owned();
    proxy.on("GET", "/referrers/").edit(move |answer| {
        let put = put.lock().expect("no holder panics");
        let entries: Vec<Value> = put
            .iter()
            .filter_map(|path| {
                let read = Request::new("GET", path).header("Accept", MANIFEST);
                let manifest = request(&back, &read).ok()?;
                let json: Value = serde_json::from_slice(&manifest.body).ok()?;
                json["subject"].is_object().then(|| {
                    json!({
                        "mediaType": json["mediaType"], "size": manifest.body.len(),
                        "digest": digest(&manifest.body), "artifactType": json["artifactType"],
                        "annotations": json["annotations"],
                    })
                })
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        *answer = Answer::new(
            200,
            &[("Content-Type", INDEX)],
            index.to_string().as_bytes(),
        );
    });
    proxy
}

#[test]
fn a_registry_that_lists_referrers_gets_no_tag_and_both_versions_of_cosign_find_them() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let proxy = listing(&shop.registry);
    let image = shop.image.replace(shop.registry.address(), proxy.address());
    let run = shop.run_at(proxy.address());
    let attest = || {
        shop.attest_command(&run, &key)
            .args(["--layout", "bundle"])
            .ok()
    };
    let said = attest().stderr;
    assert_eq!(
        said.matches("listed=\"by the registry\"").count(),
        2,
        "{said}"
    );
    assert_eq!(shop.registry.tags("team/app"), ["1"], "no tag at all");
    accepted(&public, &image, "bundle");
    Run::tool("tekseal-verify")
        .arg("--key")
        .arg(&public)
        .arg(&image)
        .ok();
    let drawn = Run::tool("tekseal-tree").arg(&image).ok().stdout;
    assert!(drawn.contains("referrers (API)"), "{drawn}");
    let again = attest().stderr;
    assert_eq!(
        again.matches("\nalready stored image=").count(),
        2,
        "{again}"
    );
}

#[test]
fn a_first_bundle_takes_few_round_trips() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    for (proxy, most) in [
        (listing(&shop.registry), 4),
        (Proxy::start(shop.registry.back_door()), 7),
    ] {
        proxy.delay_each(std::time::Duration::from_millis(100));
        let run = shop.run_at(proxy.address());
        shop.attest_command(&run, &key)
            .args(["--layout", "bundle"])
            .ok();
        let trips = proxy.sequential_latencies();
        assert!(trips <= most, "{trips}: {:#?}", proxy.seen());
    }
}
