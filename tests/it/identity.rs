//! `--tag-identity`: a second signature of an image, under the name with a tag that its run gives it, as containers/image wants it by default.
//! In one process and in three, in each layout, beside cosign's own, and with what the folder between the steps may be made to say.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Cosign, Layout, Output, Run, cosign};

use crate::workshop::{PASSWORD, Workshop, plain_key, run_document};

const LAYERS_OF_SIGNATURES: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

fn cosigns() -> impl Iterator<Item = Cosign> {
    ["2.6.5", "3.1.3"].into_iter().filter_map(cosign)
}

/// The names under which the image is signed, in the order of the layers.
fn names(shop: &Workshop) -> Vec<String> {
    let layers = shop.layers("sig").into_iter();
    let name = |layer: Value| {
        assert_eq!(layer["mediaType"], LAYERS_OF_SIGNATURES);
        let digest = layer["digest"].as_str().expect("a digest").to_owned();
        let payload = shop.registry.blob("team/app", &digest).expect("stored");
        let payload: Value = serde_json::from_slice(&payload).expect("JSON");
        let critical = &payload["critical"];
        assert_eq!(critical["image"]["docker-manifest-digest"], shop.digest);
        let name = critical["identity"]["docker-reference"].as_str();
        name.expect("a text").to_owned()
    };
    layers.map(name).collect()
}

/// The repository, and the name that the run of the workshop gives the image.
fn both(shop: &Workshop) -> [String; 2] {
    let repository = format!("{}/team/app", shop.registry.address());
    let named = format!("{repository}:1");
    [repository, named]
}

fn attest(shop: &Workshop, key: &Path, flags: &[&str]) -> Run {
    shop.attest_command(&shop.run(), key).args(flags)
}

/// Payloads of the run in a folder, by `tekseal-provenance` with these flags.
fn payloads(shop: &Workshop, run: &Path, flags: &[&str]) -> (PathBuf, Output) {
    let folder = shop.path("payloads");
    let run = Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(run)
        .args(flags)
        .arg("--out")
        .arg(&folder);
    (folder, run.ok())
}

fn sign(folder: &Path, key: &Path) -> Run {
    let run = Run::tool("tekseal-sign").arg("--key").arg(key);
    run.env("COSIGN_PASSWORD", PASSWORD).arg(folder)
}

fn index(folder: &Path, name: &str) -> Vec<Value> {
    let bytes = fs::read(folder.join(name)).expect("it was made");
    serde_json::from_slice(&bytes).expect("a list")
}

#[test]
fn both_signatures_are_layers_of_one_tag_and_a_second_run_adds_nothing() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    attest(&shop, &key, &[]).ok();
    let [repository, named] = both(&shop);
    assert_eq!(names(&shop), both(&shop)[..1], "off by default");
    for times in 0..2 {
        let said = attest(&shop, &key, &["--tag-identity"]).ok();
        assert_eq!(said.stderr.contains("\nstored image="), times == 0);
        // One line for what is under each tag, and one for what is added there.
        assert_eq!(said.stderr.matches("stored image=").count(), 3 - times);
        assert_eq!(names(&shop), [repository.clone(), named.clone()]);
        assert_eq!(shop.layers("att").len(), 1);
    }
    let said = shop.verify(&public).ok().stdout;
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 3 && !lines[0].contains(" name="), "{said}");
    let wanted = format!("image={} name={named} key=", shop.image);
    assert!(lines[1].contains(&wanted), "{said}");
    for cosign in cosigns() {
        let said = cosign.verify(&public, &shop.image, &[]).ok();
        let found: Value = serde_json::from_str(&said.stdout).expect("JSON");
        let found = found.as_array().expect("a list").iter();
        let found: Vec<_> = found
            .map(|one| one["critical"]["identity"]["docker-reference"].clone())
            .collect();
        assert_eq!(found, [repository.as_str(), named.as_str()]);
        let provenance = cosign.verify_attestation(&public, "slsaprovenance", &shop.image, &[]);
        provenance.ok();
    }
}

#[test]
fn three_steps_leave_what_one_process_leaves() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let (folder, _) = payloads(&shop, &shop.run(), &["--tag-identity=true"]);
    let [_, named] = both(&shop);
    let listed = index(&folder, "payloads.json");
    let said: Vec<_> = listed.iter().map(|one| one["name"].as_str()).collect();
    assert_eq!(said, [None, None, Some(named.as_str())]);
    sign(&folder, &key).ok();
    let signed = index(&folder, "signed.json");
    assert!(signed[1]["bundle"].is_string() && signed[2]["bundle"].is_null());
    Run::tool("tekseal-upload").arg(&folder).ok();
    let stored = index(&folder, "stored.json");
    assert_eq!(stored[1]["digest"], stored[2]["digest"], "one manifest");
    let three = (shop.layers("sig"), shop.layers("att"));
    assert_eq!(names(&shop), both(&shop));
    attest(&shop, &key, &["--tag-identity"]).ok();
    assert_eq!(three, (shop.layers("sig"), shop.layers("att")));
    shop.verify(&public).ok();
}

#[test]
fn the_payload_is_the_one_of_cosign_with_such_a_name() {
    for cosign in cosigns() {
        let shop = Workshop::new();
        let (key, public) = shop.key_pair("ours");
        let [repository, named] = both(&shop);
        let theirs = cosign.sign_command(&key, PASSWORD, Layout::Tags);
        let theirs = theirs.args(["--sign-container-identity", &named]);
        theirs.arg(&shop.image).ok();
        assert_eq!(names(&shop), both(&shop)[1..]);
        attest(&shop, &key, &["--tag-identity"]).ok();
        assert_eq!(
            names(&shop),
            [named, repository],
            "that cosign's is there makes ours superfluous"
        );
        shop.verify(&public).ok();
    }
}

#[test]
fn a_bundle_says_no_name_and_that_is_told() {
    let reason = "the Statement that a bundle of an image signature is over says no name";
    let (key, public) = plain_key();
    for (layout, signatures) in [("bundle", 0), ("both", 2)] {
        let shop = Workshop::new();
        let said = attest(&shop, &key, &["--tag-identity", "--layout", layout]).ok();
        let [_, named] = both(&shop);
        let told = format!("signature of a name is not stored name={named} reason=\"{reason}\"");
        assert_eq!(said.stderr.contains(&told), layout == "bundle", "{said:?}");
        assert_eq!(shop.layers("sig").len(), signatures);
        shop.verify(&public).ok();

        let three = Workshop::new();
        let (folder, _) = payloads(&three, &three.run(), &["--tag-identity"]);
        sign(&folder, &key).ok();
        let upload = || {
            Run::tool("tekseal-upload")
                .arg(&folder)
                .args(["--layout", layout])
        };
        for _ in 0..2 {
            upload().ok();
            assert_eq!(three.layers("sig").len(), signatures);
            let stored = index(&folder, "stored.json");
            let nowhere = stored.iter().filter(|one| one["place"] == "nothing");
            let nowhere: Vec<_> = nowhere.map(|one| one["reason"].clone()).collect();
            let wanted = vec![json!(reason); usize::from(layout == "bundle")];
            assert_eq!(nowhere, wanted);
        }
        let referring = |shop: &Workshop| {
            let tag = shop.digest.replace(':', "-");
            let list = shop.registry.manifest("team/app", &tag).expect("an index");
            list.json()["manifests"].as_array().map(Vec::len)
        };
        assert_eq!((referring(&shop), referring(&three)), (Some(2), Some(2)));
    }
}

#[test]
fn an_image_without_a_tag_gets_no_second_signature_and_that_is_told() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let address = shop.registry.address();
    for results in [
        json!([{"name": "IMAGE_URL", "value": format!("{address}/team/app")}, {"name": "IMAGE_DIGEST", "value": shop.digest}]),
        json!([{"name": "IMAGES", "value": shop.image}]),
    ] {
        let run = shop.file("untagged.json", run_document(results).to_string());
        let said = shop.attest_command(&run, &key).arg("--tag-identity").ok();
        let told = format!(
            "not to be signed what=\"signature of image {} under a name with a tag\" reason=\"the results give it no tag",
            shop.image
        );
        assert!(said.stderr.contains(&told), "{}", said.stderr);
        assert_eq!(names(&shop).len(), 1);
    }
}

#[test]
fn a_configuration_switches_it_on_and_the_flag_goes_before_it() {
    let shop = Workshop::new();
    let count = |config: Value, flags: &[&str]| {
        let config = shop.file("config.json", config.to_string());
        let config = config.display().to_string();
        let flags = [&["--config", &config], flags].concat();
        let (folder, said) = payloads(&shop, &shop.run(), &flags);
        (index(&folder, "payloads.json").len(), said.stderr)
    };
    let on = || json!({"tekseal.tag-identity": "true"});
    assert_eq!(count(json!({}), &[]).0, 2, "off under Chains' own keys");
    assert_eq!(count(on(), &[]).0, 3);
    assert_eq!(count(on(), &["--tag-identity=false"]).0, 2);
    assert_eq!(
        count(json!({}), &["--tag-identity="]).0,
        2,
        "empty is absent"
    );
    assert_eq!(count(json!({}), &["--tag-identity=true"]).0, 3);
    let bundles =
        json!({"tekseal.tag-identity": "true", "storage.oci.encoding-format": "sigstore-bundle"});
    let (made, said) = count(bundles, &[]);
    assert!(made == 2 && said.contains("has no dsse"), "{said}");
    let refused = Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run())
        .args(["--tag-identity=maybe", "--out"])
        .arg(shop.path("none"));
    let refused = refused.fails_with(2).stderr;
    let wanted = "--tag-identity \"maybe\" is not understood, wanted true or false";
    assert!(refused.contains(wanted), "{refused}");
}

#[test]
fn it_is_explained_before_it_is_done() {
    let shop = Workshop::new();
    let explain = |flags: &[&str]| {
        let run = Run::tool("tekseal-explain").arg(shop.run());
        run.args(flags).ok().stdout
    };
    let [_, named] = both(&shop);
    let what = format!("signature of image {} under the name {named}", shop.image);
    assert!(!explain(&[]).contains("under the name"));
    let said = explain(&["--tag-identity"]);
    assert!(
        said.contains("3 payloads would be signed") && said.contains(&what),
        "{said}"
    );
    let said: Value =
        serde_json::from_str(&explain(&["--tag-identity", "-o", "json"])).expect("JSON");
    let item = &said["items"][2];
    let tag = shop.digest.replace(':', "-");
    let place = format!("registry {}/team/app:{tag}.sig", shop.registry.address());
    assert_eq!(
        (&item["what"], &item["places"]),
        (&json!(what), &json!([place]))
    );
    let (folder, _) = payloads(&shop, &shop.run(), &["--tag-identity"]);
    assert_eq!(index(&folder, "payloads.json")[2]["digest"], item["digest"]);
}

#[test]
fn a_name_that_was_changed_between_the_steps_is_refused() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let (folder, _) = payloads(&shop, &shop.run(), &["--tag-identity"]);
    let good = index(&folder, "payloads.json");
    let [repository, named] = both(&shop);
    let digest = |file: &Value| {
        let bytes = fs::read(folder.join(file.as_str().expect("a name"))).expect("it is there");
        tekseal_harness::digest(&bytes)
    };
    for bad in [
        json!(format!("{repository}:2")),
        json!("registry.example.com/other:1"),
        json!(repository),
        json!(format!("{repository}:-1")),
        json!(""),
        json!("a\nb:1"),
        Value::Null,
    ] {
        let mut entries = good.clone();
        entries[2]["name"] = bad.clone();
        write(&folder, "payloads.json", &entries);
        sign(&folder, &key).fails_with(2);
        assert!(!folder.join("signed.json").exists(), "{bad}");
    }
    // A payload that says another name than the index, with a digest that fits.
    let file = folder.join(good[2]["file"].as_str().expect("a name"));
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text.replace(&named, "registry.example.com/prod:1")).expect("ours");
    let mut entries = good.clone();
    entries[2]["digest"] = json!(digest(&good[2]["file"]));
    write(&folder, "payloads.json", &entries);
    let refused = sign(&folder, &key).fails_with(2).stderr;
    let wanted = "is not the simple-signing document of its image";
    assert!(refused.contains(wanted), "{refused}");

    // What was signed under one name is not stored under another.
    fs::write(&file, &text).expect("ours");
    write(&folder, "payloads.json", &good);
    sign(&folder, &key).ok();
    let mut signed = index(&folder, "signed.json");
    signed[2]["name"] = json!(format!("{repository}:2"));
    write(&folder, "signed.json", &signed);
    Run::tool("tekseal-upload").arg(&folder).fails_with(2);
    assert!(shop.layers("sig").is_empty());
}

fn write(folder: &Path, name: &str, entries: &[Value]) {
    let bytes = serde_json::to_vec(entries).expect("JSON");
    fs::write(folder.join(name), bytes).expect("ours");
}
