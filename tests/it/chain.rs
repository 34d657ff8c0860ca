//! The steps one after the other: what each leaves in the folder and in the registry, and what it refuses to go on with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::Run;

use crate::workshop::{PASSWORD, Workshop, run_document};

fn index(folder: &Path, name: &str) -> Vec<Value> {
    let bytes = fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_slice(&bytes).expect("an index is a JSON list")
}

fn provenance(shop: &Workshop) -> PathBuf {
    let out = shop.path("payloads");
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run())
        .arg("--out")
        .arg(&out)
        .ok();
    out
}

fn sign(folder: &Path, key: &Path) -> Run {
    Run::tool("tekseal-sign")
        .arg("--key")
        .arg(key)
        .arg(folder)
        .env("COSIGN_PASSWORD", PASSWORD)
}

#[test]
fn each_step_leaves_its_index_and_the_last_one_says_where_things_are() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    let folder = provenance(&shop);
    let payloads = index(&folder, "payloads.json");
    let kinds: Vec<_> = payloads
        .iter()
        .map(|p| p["kind"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(kinds, ["provenance", "simplesigning"]);

    let said = sign(&folder, &key).ok();
    assert!(!said.stderr.contains(PASSWORD) && said.stdout.is_empty());
    assert_eq!(index(&folder, "signed.json").len(), 2);

    Run::tool("tekseal-upload").arg(&folder).ok();
    let stored = index(&folder, "stored.json");
    for (entry, suffix) in stored.iter().zip(["att", "sig"]) {
        assert_eq!(entry["place"], "tag");
        assert_eq!(entry["image"], shop.image.as_str());
        let tag = entry["tag"].as_str().expect("a tag");
        assert!(tag.ends_with(suffix), "{tag}");
        let manifest = shop
            .registry
            .manifest("team/app", tag)
            .expect("stored.json says so");
        assert_eq!(
            entry["digest"],
            tekseal_harness::digest(&manifest.bytes).as_str()
        );
    }
    shop.verify(&public).args(["--type", "slsaprovenance"]).ok();
}

#[test]
fn the_same_run_gives_the_same_bytes_in_one_process_and_in_three() {
    let (three, one) = (Workshop::new(), Workshop::new());
    let (key, _) = three.plain_key();
    let folder = provenance(&three);
    sign(&folder, &key).ok();
    Run::tool("tekseal-upload").arg(&folder).ok();
    let digests = |shop: &Workshop| -> Vec<Value> {
        shop.layers("sig")
            .iter()
            .chain(&shop.layers("att"))
            .map(|l| l["mediaType"].clone())
            .collect()
    };
    one.attest(&key);
    assert_eq!(digests(&three), digests(&one));

    // In one registry, the second way finds that everything is there.
    let before = (three.layers("sig"), three.layers("att"));
    three.attest(&key);
    assert_eq!(before, (three.layers("sig"), three.layers("att")));
}

#[test]
fn what_a_controller_wrote_on_a_run_is_not_in_its_provenance() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = |annotations: Value| {
        let mut run = run_document(json!([]));
        run["metadata"]["annotations"] = annotations;
        let out = folder.path().join("payloads");
        let _ = fs::remove_dir_all(&out);
        Run::tool("tekseal-provenance")
            .args(["--run", "-", "--format", "slsa/v1", "--out"])
            .arg(&out)
            .stdin(run.to_string())
            .ok();
        let file = index(&out, "payloads.json")[0]["file"].clone();
        fs::read_to_string(out.join(file.as_str().expect("a name"))).expect("it was made")
    };
    let bare = made(json!({"mine": "a"}));
    assert!(bare.contains(r#""mine":"a""#), "{bare}");
    let marked = json!({"mine": "a", "chains.tekton.dev/signed": "true", "chains.tekton.dev/retries": "0",
        "tekseal.dev/record": "r", "tekseal.dev/reason": "why"});
    assert_eq!(made(marked), bare);
}

#[test]
fn the_layout_is_that_of_cosign() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    shop.attest(&key);
    let (sig, att) = (shop.layers("sig"), shop.layers("att"));
    assert_eq!(
        sig[0]["mediaType"],
        "application/vnd.dev.cosign.simplesigning.v1+json"
    );
    assert_eq!(att[0]["mediaType"], "application/vnd.dsse.envelope.v1+json");
    assert_eq!(
        att[0]["annotations"],
        json!({"dev.cosignproject.cosign/signature": "", "predicateType": "https://slsa.dev/provenance/v0.2"})
    );
    let payload = shop
        .registry
        .blob("team/app", sig[0]["digest"].as_str().expect("a digest"))
        .expect("it is stored");
    let repository = shop.image.split('@').next().unwrap_or_default();
    assert_eq!(
        String::from_utf8_lossy(&payload),
        format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"{repository}\"}},\"image\":{{\"docker-manifest-digest\":\"{}\"}},\
             \"type\":\"cosign container image signature\"}},\"optional\":null}}",
            shop.digest
        )
    );
}

#[test]
fn a_file_that_was_changed_after_its_step_is_never_published() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let folder = provenance(&shop);
    let payload = folder.join(
        index(&folder, "payloads.json")[0]["file"]
            .as_str()
            .expect("a name"),
    );
    let good = fs::read(&payload).expect("it is there");

    fs::write(&payload, b"{}").expect("ours");
    let refused = sign(&folder, &key).fails_with(2);
    assert!(
        refused.stderr.contains("digest differs"),
        "{}",
        refused.stderr
    );
    fs::write(&payload, &good).expect("ours");

    sign(&folder, &key).ok();
    let mut signed = index(&folder, "signed.json");
    let envelope = folder.join(signed[0]["envelope"].as_str().expect("a name"));
    let text = fs::read_to_string(&envelope)
        .expect("it is there")
        .replacen("\"sig\":\"ME", "\"sig\":\"MF", 1);
    fs::write(&envelope, text).expect("ours");
    let refused = Run::tool("tekseal-upload").arg(&folder).fails_with(1);
    assert!(
        refused.stderr.contains("not signed by the key"),
        "{}",
        refused.stderr
    );

    signed[0]["file"] = json!("../../etc/passwd");
    fs::write(
        folder.join("signed.json"),
        serde_json::to_vec(&signed).expect("JSON"),
    )
    .expect("ours");
    let refused = Run::tool("tekseal-upload").arg(&folder).fails_with(2);
    assert!(
        refused.stderr.contains("leads out of the folder"),
        "{}",
        refused.stderr
    );
    assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
    assert!(!folder.join("stored.json").exists());
}

#[test]
fn what_is_published_follows_from_what_was_signed_and_not_from_the_index() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let (_, other) = shop.key_pair("other");
    let folder = provenance(&shop);
    sign(&folder, &key).ok();
    let good = fs::read(folder.join("signed.json")).expect("it is there");

    let upload = || Run::tool("tekseal-upload").arg(&folder);
    let refused = upload().arg("--key").arg(&other).fails_with(1);
    assert!(
        refused.stderr.contains("not by --key"),
        "{}",
        refused.stderr
    );

    for (field, value) in [
        (
            "subjects",
            json!([{"name": format!("{}/team/other", shop.registry.address()), "digest": {"sha256": "0".repeat(64)}}]),
        ),
        ("predicateType", json!("https://example.com/another")),
    ] {
        let mut signed = index(&folder, "signed.json");
        signed[0][field] = value;
        fs::write(
            folder.join("signed.json"),
            serde_json::to_vec(&signed).expect("JSON"),
        )
        .expect("ours");
        let refused = upload().fails_with(2);
        assert!(
            refused.stderr.contains("than the index says"),
            "{}",
            refused.stderr
        );
        fs::write(folder.join("signed.json"), &good).expect("ours");
    }

    let signed = index(&folder, "signed.json");
    let envelope = folder.join(signed[0]["envelope"].as_str().expect("a name"));
    let text = fs::read_to_string(&envelope).expect("it is there");
    fs::write(
        &envelope,
        text.replacen('{', "{\"Payload\":\"ZXZpbA==\",", 1),
    )
    .expect("ours");
    upload().fails_with(1);
    fs::write(&envelope, text).expect("ours");
    assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
    upload().arg("--key").arg(&public).ok();
}

#[test]
fn a_signature_that_cosign_3_wrote_as_a_bundle_is_one() {
    let Some(cosign) = tekseal_harness::cosign("3.1.3") else {
        return;
    };
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    cosign
        .sign(
            &key,
            PASSWORD,
            &shop.image,
            tekseal_harness::Layout::Bundles,
        )
        .ok();
    let said = shop.verify(&public).args(["--only", "signature"]).ok();
    assert!(
        said.stdout.starts_with("verified signature image="),
        "{said:?}"
    );
    let refused = shop.verify(&public).fails_with(1);
    assert!(
        refused.stderr.contains("no attestation found"),
        "{refused:?}"
    );
}

#[test]
fn an_attestation_that_stands_under_the_tag_of_signatures_too_is_still_one() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    shop.attest(&key);
    let tag = |suffix: &str| format!("{}.{suffix}", shop.digest.replace(':', "-"));
    let read = |suffix: &str| shop.registry.manifest("team/app", &tag(suffix));
    let mut signatures = read("sig").expect("it was signed").json();
    let attestation = read("att").expect("it was attested").json()["layers"][0].clone();
    let layers = signatures["layers"].as_array_mut().expect("a list");
    layers.insert(0, attestation);
    let bytes = signatures.to_string();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    shop.registry
        .put_manifest("team/app", &tag("sig"), kind, bytes.as_bytes());
    shop.verify(&public).ok();
}

#[test]
fn an_image_without_attestations_has_a_hint_that_names_the_storage() {
    let shop = Workshop::new();
    let (_, public) = shop.key_pair("ours");
    let refused = shop.verify(&public).fails_with(1);
    let hint =
        "artifacts.taskrun.storage and artifacts.pipelinerun.storage are tekton unless set to oci";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
}

#[test]
fn a_step_says_when_the_one_before_it_did_not_finish() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let folder = provenance(&shop);
    let refused = Run::tool("tekseal-upload").arg(&folder).fails_with(2);
    assert!(
        refused
            .stderr
            .contains("tekseal-sign writes it as its last act"),
        "{}",
        refused.stderr
    );
    fs::remove_file(folder.join("payloads.json")).expect("ours");
    let refused = sign(&folder, &key).fails_with(2);
    assert!(
        refused.stderr.contains("tekseal-provenance writes it"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_earlier_index_is_taken_back_when_a_step_runs_again() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let folder = provenance(&shop);
    sign(&folder, &key).ok();
    provenance(&shop);
    assert!(
        !folder.join("signed.json").exists(),
        "it spoke of the payloads of the run before"
    );
    let names = fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(
        names, 3,
        "two payloads and their index, and nothing of the run before"
    );
}

#[test]
fn a_run_without_images_is_explained_and_stores_nothing() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let run = shop.file(
        "none.json",
        run_document(json!([{"name": "IMAGE_URL", "value": "x/y"}])).to_string(),
    );
    let refused = shop.attest_command(&run, &key).fails_with(1);
    assert!(
        refused
            .stderr
            .contains("hint not used run=build-1 result=IMAGE_URL"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("nothing was stored"),
        "{}",
        refused.stderr
    );
}

#[test]
fn key_files_are_private_and_never_overwritten() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    let mode = fs::metadata(&key).expect("just made").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let before = fs::read(&key).expect("just made");
    let again = || {
        Run::tool("tekseal-keygen")
            .arg("--output-key-prefix")
            .arg(shop.path("ours"))
            .env("COSIGN_PASSWORD", "x")
    };
    assert!(again().fails_with(2).stderr.contains("is not overwritten"));
    fs::remove_file(&public).expect("ours");
    again().fails_with(2);
    assert_eq!(fs::read(&key).expect("still there"), before);
    assert!(!public.exists(), "half a pair is not written either");
}

#[test]
fn verify_prints_json_of_what_it_verified() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    shop.attest(&key);
    let said = shop.verify(&public).args(["--output", "json"]).ok();
    let reports: Vec<Value> = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(reports[0]["image"], shop.image.as_str());
    assert_eq!(
        reports[0]["signatures"][0]["payload"]["critical"]["image"]["docker-manifest-digest"],
        shop.digest.as_str()
    );
    assert_eq!(
        reports[0]["attestations"][0]["statement"]["predicateType"],
        "https://slsa.dev/provenance/v0.2"
    );
    assert_eq!(reports[0]["checked"]["transparencyLog"], false);
}

#[test]
fn the_tree_shows_what_hangs_on_an_image() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let bare = Run::tool("tekseal-tree").arg(&shop.image).ok();
    assert!(bare.stdout.contains("nothing"), "{}", bare.stdout);
    shop.attest(&key);
    let said = Run::tool("tekseal-tree").arg(&shop.image).ok().stdout;
    for wanted in [
        ".sig",
        ".att",
        "https://slsa.dev/provenance/v0.2",
        "not verified",
    ] {
        assert!(said.contains(wanted), "{wanted} is missing in {said}");
    }
}

#[test]
fn the_last_line_announces_an_image_that_is_there_by_its_digest() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    shop.attest(&key);
    let (name, _) = shop.image.split_once('@').expect("it is by digest");
    let tagged = format!("{name}:1");
    let tree = |image: &str, text: &str| {
        let tool = Run::tool("tekseal-tree").arg(image);
        tool.env("TEKSEAL_ANNOUNCE", text)
    };
    for image in [&shop.image, &tagged] {
        let said = tree(image, "would deploy").ok().stdout;
        let wanted = format!("would deploy {}", shop.image);
        assert_eq!(said.lines().last(), Some(&*wanted), "{said}");
    }
    let said = tree(&shop.image, "").ok().stdout;
    assert!(!said.contains("would deploy"), "{said}");
    let said = tree(&shop.image, "would\ndeploy").args(["-o", "json"]).ok();
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(
        said["announcement"],
        format!("would deploy {}", shop.image).as_str()
    );
    // Signatures of an image that is gone announce nothing.
    shop.registry.delete_manifest("team/app", &shop.digest);
    Run::tool("tekseal-tree").arg(&shop.image).ok();
    let refused = tree(&shop.image, "would deploy").fails_with(1);
    assert!(!refused.stdout.contains("would deploy"), "{refused:?}");
}

#[test]
fn the_desk_program_has_every_tool_and_completions() {
    let help = Run::tool("tekseal").arg("--help").ok().stdout;
    for tool in [
        "buildah-push",
        "provenance",
        "sign",
        "upload",
        "attest",
        "verify",
        "keygen",
        "tree",
        "explain",
        "completions",
    ] {
        assert!(help.contains(tool), "{tool} is missing in {help}");
    }
    assert!(
        Run::tool("tekseal")
            .args(["completions", "bash"])
            .ok()
            .stdout
            .contains("tekseal")
    );
}
