//! What the programs tell to later tasks: the result files, for a Task and for a StepAction.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_harness::Run;

use crate::workshop::{PASSWORD, Workshop};

/// An empty folder for results.
fn folder(shop: &Workshop, name: &str) -> PathBuf {
    let folder = shop.path(name);
    fs::create_dir(&folder).expect("the folder is ours");
    folder
}

/// Names and contents, in order.
fn results(folder: &Path) -> Vec<(String, String)> {
    let mut results: Vec<(String, String)> = fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").display().to_string();
            (name, fs::read_to_string(&path).expect("it is text"))
        })
        .collect();
    results.sort();
    results
}

/// What was told of a verification: VERIFIED, IMAGE_REF, and TEST_OUTPUT without its time.
fn verdict(folder: &Path) -> (String, String, Value) {
    let results = results(folder);
    let names: Vec<&str> = results.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, ["IMAGE_REF", "TEST_OUTPUT", "VERIFIED"]);
    let mut output: Value = serde_json::from_str(&results[1].1).expect("JSON");
    let members = output.as_object_mut().expect("an object");
    let time = members.remove("timestamp").expect("it is there");
    let time = time.as_str().expect("a text");
    assert!(time.len() == 10 && time.parse::<u64>().is_ok(), "{time}");
    (results[2].1.clone(), results[0].1.clone(), output)
}

#[test]
fn verify_tells_yes_and_no_and_nothing_where_nothing_is_known() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    let told = folder(&shop, "results");
    let verify = || shop.verify(&public).arg("--results").arg(&told);
    verify().fails_with(1).says("no signature found");
    let (verified, image, output) = verdict(&told);
    assert_eq!((&verified[..], &image[..]), ("false", ""));
    assert_eq!(output["result"], "FAILURE");
    assert_eq!(output["successes"], 0);
    assert_eq!(output["failures"], 1);
    let note = output["note"].as_str().expect("a text");
    assert!(note.contains("no signature found"), "{note}");

    shop.attest(&key);
    verify().ok();
    let (verified, image, output) = verdict(&told);
    assert_eq!((&verified[..], &image), ("true", &shop.image));
    let wanted = serde_json::json!({
        "result": "SUCCESS", "note": format!("verified: {}", shop.image), "namespace": "",
        "successes": 1, "failures": 0, "warnings": 0,
    });
    assert_eq!(output, wanted);

    // Of several images each is told, and one no is a no.
    let absent = shop.image.replace("/team/app@", "/team/absent@");
    let unsigned = format!(
        "{}@{}",
        shop.image
            .split('@')
            .next()
            .expect("a name")
            .replace("/team/app", "/team/other"),
        shop.registry.push_image("team/other", "1").digest
    );
    let said = verify().args([&unsigned, &absent]).fails_with(1);
    assert_eq!(said.stdout, "", "nothing is printed unless all pass");
    let said = said.says(&format!("warning: not verified reason=\"image {absent}"));
    assert!(
        said.stderr.contains(&format!("error: image {unsigned}")),
        "{said:?}"
    );
    let (verified, image, output) = verdict(&told);
    assert_eq!((&verified[..], &image[..]), ("false", ""));
    assert_eq!(output["successes"], 1);
    assert_eq!(output["failures"], 2);

    // A registry that does not answer says neither.
    let nothing = folder(&shop, "nothing");
    let nowhere = shop.image.replace(shop.registry.address(), "127.0.0.1:1");
    let verify = || {
        let tool = Run::tool("tekseal-verify").arg("--key").arg(&public);
        tool.env("TEKSEAL_RETRY_FOR", "0")
            .env("TEKSEAL_RESULTS", &nothing)
    };
    verify().arg(&nowhere).fails_with(3);
    assert!(results(&nothing).is_empty());
    // But a no that is known stays one.
    verify()
        .args([&unsigned, &nowhere])
        .fails_with(1)
        .says("not checked");
    assert_eq!(verdict(&nothing).0, "false");
}

#[test]
fn a_stepaction_finds_its_results_beside_the_one_it_names() {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    shop.attest(&key);
    let told = folder(&shop, "results");
    let verify = || shop.verify(&public).env("TEKSEAL_RESULTS", "");
    let beside = told.join("VERIFIED");
    verify().env("TEKSEAL_RESULTS_BESIDE", &beside).ok();
    assert_eq!(verdict(&told).0, "true");
    verify().env("TEKSEAL_RESULTS_BESIDE", "").ok();
    verify()
        .arg("--results-beside")
        .arg(&beside)
        .arg("--results")
        .arg(&told)
        .fails_with(2)
        .says("--results and --results-beside are both given");
    verify()
        .args(["--results-beside", "$(step.results.VERIFIED.path)"])
        .fails_with(2)
        .says("is not the path of a file");
}

#[test]
fn keygen_gives_the_public_key_and_nothing_of_the_private_one() {
    let shop = Workshop::new();
    let told = folder(&shop, "results");
    let prefix = shop.path("pair");
    let keygen = || {
        Run::tool("tekseal-keygen")
            .arg("--output-key-prefix")
            .arg(&prefix)
            .arg("--results")
            .arg(&told)
            .env("COSIGN_PASSWORD", PASSWORD)
    };
    keygen().ok();
    let public = fs::read_to_string(prefix.with_extension("pub")).expect("it was written");
    let wanted = public.trim_end().to_owned();
    assert_eq!(results(&told), [("PUBLIC_KEY".to_owned(), wanted.clone())]);
    // As a parameter of a later task it is a key.
    shop.attest_command(&shop.run(), &prefix.with_extension("key"))
        .ok();
    shop.verify(Path::new("env://PUBLIC_KEY"))
        .env("PUBLIC_KEY", &wanted)
        .ok();
    // Nothing was made, so nothing is told.
    fs::remove_file(told.join("PUBLIC_KEY")).expect("it is there");
    keygen().fails_with(2).says("exists and is not overwritten");
    assert!(results(&told).is_empty());
}

#[test]
fn what_was_stored_is_told_by_digest() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let told = folder(&shop, "results");
    let attest = || {
        let tool = shop.attest_command(&shop.run(), &key);
        tool.arg("--results").arg(&told)
    };
    attest().ok();
    let repository = format!("{}/team/app", shop.registry.address());
    let under = |suffix: &str| {
        let tag = format!("{}.{suffix}", shop.digest.replace(':', "-"));
        let manifest = shop.registry.manifest("team/app", &tag);
        format!("{repository}@{}", manifest.expect("it is there").digest)
    };
    let wanted = [
        ("ATTESTATIONS".to_owned(), under("att")),
        ("SIGNATURES".to_owned(), under("sig")),
    ];
    assert_eq!(results(&told), wanted);
    // The same again adds nothing, and tells the same.
    attest().ok();
    assert_eq!(results(&told), wanted);
}
