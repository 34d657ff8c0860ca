//! `tekseal-policy check --recursive`: each manifest is held to the rules by itself, and told by itself.

use std::fs;

use serde_json::{Value, json};
use tekseal_harness::{Output, Run};

use super::{CUSTOM, Shop, plain_key};

const RULES: [&str; 2] = ["--type", CUSTOM];

/// A shop where all manifests are signed, and all images attested: not what is an attestation itself.
fn attested() -> Shop {
    let shop = Shop::open();
    shop.attest(&["--recursive", "all"]).ok();
    let index = shop.image(&shop.index);
    shop.predicate(&["--recursive", "all"]).arg(index).ok();
    shop
}

/// `tekseal-policy check` with our key and these flags, without an image yet.
fn check(flags: &[&str]) -> Run {
    Run::tool("tekseal-policy")
        .env("TEKSEAL_RETRY_FOR", "1")
        .args(["check", "--key"])
        .arg(plain_key().1)
        .args(flags)
}

/// Digests of the images that were judged, and how they ended, `4 of 4`.
fn ends(said: &Output) -> Vec<(String, String)> {
    let lines = said.stdout.lines().filter(|line| line.ends_with(" checks"));
    let parts = lines.map(|line| {
        let (_, rest) = line.split_once('@').expect("by digest");
        let (digest, end) = rest.split_once("  ").expect("then how it ended");
        (
            digest.to_owned(),
            end.trim_end_matches(" checks").to_owned(),
        )
    });
    parts.collect()
}

#[test]
fn an_index_stands_for_what_it_lists_and_each_must_pass() {
    let shop = attested();
    let results = shop.workshop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    let told = |which: &str| {
        let run = check(&RULES).args(["--recursive", which, "--results"]);
        run.arg(&results).arg(shop.image(&shop.index))
    };
    let whole = "3 of 3";
    let of = |digest: &str| match digest == shop.proof {
        true => (digest.to_owned(), "1 of 1".to_owned()),
        false => (digest.to_owned(), whole.to_owned()),
    };

    let said = told("all").ok();
    assert_eq!(ends(&said), shop.all().map(of));
    assert!(
        said.stdout.ends_with("\npass  5 of 5 images pass\n"),
        "{said:?}"
    );
    for (digest, platform) in [(&shop.amd, "linux/amd64"), (&shop.arm, "linux/arm64")] {
        let head = format!("image {} platform={platform}\n", shop.image(digest));
        assert!(said.stdout.contains(&head), "{said:?}");
    }
    assert!(
        said.stdout
            .starts_with(&format!("image {}\n", shop.image(&shop.index)))
    );

    let said = told("children").ok();
    assert_eq!(ends(&said), shop.children().map(of));
    let result = |name: &str| fs::read_to_string(results.join(name)).expect("it was written");
    assert_eq!(result("VERIFIED"), "true");
    assert_eq!(result("IMAGE_REF"), shop.image(&shop.index));
    let output: Value = serde_json::from_str(&result("TEST_OUTPUT")).expect("JSON");
    assert_eq!(
        (&output["result"], &output["successes"], &output["failures"]),
        (&json!("SUCCESS"), &json!(4), &json!(0))
    );

    let said = told("none").ok();
    assert_eq!(ends(&said), [of(&shop.index)]);
    assert!(!said.stdout.contains("image "), "{said:?}");

    let said = told("all").args(["--only", "attestation"]).ok();
    assert_eq!(ends(&said).len(), 4, "nothing is attested of attestations");
}

#[test]
fn one_that_does_not_pass_fails_the_call_and_the_others_are_told() {
    let shop = attested();
    let tag = format!("{}.att", shop.arm.replace(':', "-"));
    let registry = &shop.workshop.registry;
    let stored = registry.manifest("team/app", &tag).expect("just attested");
    registry.delete_manifest("team/app", &stored.digest);
    let results = shop.workshop.path("results");
    fs::create_dir(&results).expect("the folder is ours");
    let run = || {
        let run = check(&RULES).args(["--recursive", "all", "--results"]);
        run.arg(&results).arg(shop.image(&shop.index))
    };
    let said = run().fails_with(1);
    assert!(
        said.stdout.ends_with("\nFAIL  4 of 5 images pass\n"),
        "{said:?}"
    );
    let failed = format!("\nFAIL  {}  1 of 3 checks\n", shop.image(&shop.arm));
    assert!(said.stdout.contains(&failed), "{said:?}");
    for (name, wanted) in [("VERIFIED", "false"), ("IMAGE_REF", "")] {
        let found = fs::read_to_string(results.join(name)).expect("it was written");
        assert_eq!(found, wanted, "{name}");
    }
    let all = run().args(["--output", "json"]).fails_with(1).json();
    assert_eq!((&all["passed"], &all["failed"]), (&json!(4), &json!(1)));
    let arm = &all["images"][4];
    let index = shop.image(&shop.index);
    assert_eq!(
        (
            &arm["index"],
            &arm["platform"],
            &arm["given"],
            &arm["passed"]
        ),
        (
            &json!(index),
            &json!("linux/arm64"),
            &json!(index),
            &json!(false)
        )
    );
    assert_eq!(all["images"][0]["index"], Value::Null);
}

#[test]
fn what_is_listed_and_not_there_is_no_image_that_passes() {
    let shop = attested();
    let registry = &shop.workshop.registry;
    registry.delete_manifest("team/app", &shop.nested);
    let index = shop.image(&shop.index);
    let said = check(&RULES)
        .args(["--recursive", "children"])
        .args([&index, &shop.image(&shop.amd)])
        .fails_with(1);
    assert!(said.stdout.contains("FAIL  image "), "{said:?}");
    assert!(said.stdout.contains(&shop.nested), "{said:?}");
    assert!(
        said.stdout.ends_with("\nFAIL  1 of 2 images passes\n"),
        "{said:?}"
    );
}

#[test]
fn an_image_in_a_folder_stands_for_itself() {
    let run = check(&RULES).args(["--recursive", "all"]);
    let said = run.arg("oci:/nowhere").fails_with(2);
    said.says("--recursive is given for an image in a folder");
}
