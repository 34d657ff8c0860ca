//! `tekseal-provenance` of PipelineRuns as a process: where the children come from, what happens without them, and what is printed for people.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tekseal_harness::Run;

use crate::workshop::{Pipeline, run_document};

fn provenance(shop: &Pipeline, out: &Path) -> Run {
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.path("pipelinerun.json"))
        .arg("--out")
        .arg(out)
}

/// The index that was written.
fn index(out: &Path) -> Vec<Value> {
    let bytes = fs::read(out.join("payloads.json")).expect("it was written");
    serde_json::from_slice(&bytes).expect("a list")
}

/// The payload of this format.
fn payload(out: &Path, format: &str) -> Value {
    let entries = index(out);
    let entry = entries.iter().find(|entry| entry["format"] == format);
    let file = entry.expect("it was made")["file"]
        .as_str()
        .expect("a name");
    serde_json::from_slice(&fs::read(out.join(file)).expect("it is there")).expect("JSON")
}

fn has(text: &str, wanted: &[&str]) {
    for one in wanted {
        assert!(text.contains(one), "{one:?} is missing in:\n{text}");
    }
}

#[test]
fn children_are_taken_from_folders_lists_and_files_with_the_same_outcome() {
    let shop = Pipeline::nowhere();
    let (clone, build) = (
        shop.path("children/clone.json"),
        shop.path("children/build.json"),
    );
    // As `kubectl get taskruns -o json` prints them, in another order and with a stranger.
    let mut stranger = run_document(json!([]));
    stranger["metadata"]["name"] = json!("stranger");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        stranger, shop.json("children/build.json"), shop.json("children/clone.json")]});
    let list = shop.write("list.json", &list.to_string());
    fs::write(shop.path("children/README.txt"), "not a document").expect("ours");
    let joined = format!("{}:{}", clone.display(), build.display());

    let make = |name: &str, args: &[&Path]| {
        let out = shop.path(name);
        let run = args.iter().fold(provenance(&shop, &out), |run, path| {
            run.arg("--children").arg(path)
        });
        run.arg("--deep-inspection").ok();
        fs::read(out.join("provenance-in-toto.json")).expect("it was made")
    };
    let wanted = make("1", &[&shop.path("children")]);
    assert_eq!(make("2", &[&list]), wanted);
    assert_eq!(make("3", &[&build, &clone]), wanted);
    assert_eq!(make("4", &[Path::new(&joined)]), wanted);
    assert_eq!(make("5", &[&list, &shop.path("children")]), wanted);
}

#[test]
fn deep_inspection_reads_what_the_children_read_and_made() {
    let shop = Pipeline::nowhere();
    shop.edit("pipelinerun.json", |run| {
        run["status"]["results"] = json!([]);
    });
    let out = shop.path("out");
    let make = |deep: &[&str]| {
        let run = provenance(&shop, &out)
            .arg("--children")
            .arg(shop.path("children"));
        run.args(["--format", "in-toto,slsa/v2alpha4"])
            .args(deep)
            .ok();
        (
            payload(&out, "in-toto"),
            payload(&out, "slsa/v2alpha4").to_string(),
        )
    };
    let commit = "3f1c9a7be2d04c58b6a1e0f7d98c2b4a5e6f7081";
    let (old, new) = make(&["--deep-inspection"]);
    assert_eq!(old["subject"][0]["name"], "registry.example.com/demo/app");
    assert!(old["predicate"]["materials"].to_string().contains(commit) && new.contains(commit));
    for off in [&[][..], &["--deep-inspection=false"]] {
        let (old, new) = make(off);
        assert_eq!(old["subject"], Value::Null);
        assert!(!old["predicate"]["materials"].to_string().contains(commit));
        assert!(!new.contains("\"subject\":[{"), "{new}");
    }
    let said = provenance(&shop, &out)
        .arg("--deep-inspection=maybe")
        .fails_with(2);
    has(
        &said.stderr,
        &["--deep-inspection \"maybe\"", "true or false"],
    );
}

#[test]
fn a_missing_child_is_refused_unless_that_is_allowed() {
    let shop = Pipeline::nowhere();
    let out = shop.path("out");
    let clone = shop.path("children/clone.json");
    let refused = provenance(&shop, &out)
        .arg("--children")
        .arg(&clone)
        .fails_with(1);
    has(
        &refused.stderr,
        &[
            "lacks children: TaskRun app-7xk2p-build was not found",
            "hint: give the documents of all child TaskRuns with --children",
            "--allow-missing-children",
        ],
    );
    assert!(!out.join("payloads.json").exists());

    let said = provenance(&shop, &out)
        .arg("--children")
        .arg(&clone)
        .arg("--allow-missing-children")
        .ok();
    has(
        &said.stderr,
        &["warning: child left out child=\"TaskRun app-7xk2p-build was not found\""],
    );
    assert_eq!(index(&out).len(), 1);

    let empty = shop.path("empty");
    fs::create_dir(&empty).expect("ours");
    let refused = provenance(&shop, &out)
        .arg("--children")
        .arg(&empty)
        .fails_with(1);
    has(
        &refused.stderr,
        &["the folder of children has no file *.json"],
    );
}

#[test]
fn a_child_that_goes_on_is_as_absent_as_one_that_is_no_taskrun() {
    let shop = Pipeline::nowhere();
    shop.edit("children/build.json", |child| {
        child["status"]["completionTime"] = Value::Null;
    });
    shop.edit("pipelinerun.json", |run| {
        run["status"]["childReferences"][0]["kind"] = json!("CustomRun");
        run["status"]["childReferences"][0]["name"] = json!("approval");
    });
    let refused = provenance(&shop, &shop.path("out"))
        .arg("--children")
        .arg(shop.path("children"))
        .fails_with(1);
    has(
        &refused.stderr,
        &[
            "CustomRun approval is no TaskRun, so its steps are unknown",
            "TaskRun app-7xk2p-build is not completed",
        ],
    );
}

#[test]
fn a_broken_child_is_named_with_its_file() {
    let shop = Pipeline::nowhere();
    let out = shop.path("out");
    let refused = |content: &str, wanted: &[&str]| {
        let bad = shop.write("children/bad.json", content);
        let said = provenance(&shop, &out)
            .arg("--children")
            .arg(shop.path("children"))
            .fails_with(2);
        has(&said.stderr, &[&bad.display().to_string()]);
        has(&said.stderr, wanted);
        assert!(!out.exists(), "nothing may be left behind");
    };
    refused("{\"apiVersion\"", &["the document is not a JSON object"]);
    refused(
        r#"{"apiVersion":"tekton.dev/v1","kind":"TaskRun","status":{"steps":7}}"#,
        &["steps"],
    );
    refused(
        r#"{"kind":"List","items":[{"apiVersion":"tekton.dev/v1","kind":"TaskRun"},{"kind":"TaskRun","apiVersion":"x/v9"}]}"#,
        &["items[1]", "x/v9"],
    );
    let gone = provenance(&shop, &out)
        .args(["--children", "/nonexistent"])
        .fails_with(2);
    has(&gone.stderr, &["/nonexistent", "No such file"]);
}

#[test]
fn two_formats_of_one_run_are_two_payloads_and_one_that_fails_stops_both() {
    let shop = Pipeline::nowhere();
    let out = shop.path("out");
    let make = || {
        provenance(&shop, &out)
            .arg("--children")
            .arg(shop.path("children"))
            .args(["--format", "slsa/v1, in-toto", "--format", "slsa/v2alpha4"])
    };
    make().ok();
    let formats: Vec<_> = index(&out).iter().map(|e| e["format"].clone()).collect();
    assert_eq!(formats, ["slsa/v1", "slsa/v2alpha4"], "aliases count once");

    // A child that ended before it began has a place in provenance v1 and none in v0.2.
    shop.edit("children/build.json", |child| {
        child["status"]["startTime"] = Value::Null;
    });
    let again = shop.path("again");
    let changed = |formats: &str| {
        let run = provenance(&shop, &again).args(["--format", formats]);
        run.arg("--children").arg(shop.path("children"))
    };
    let refused = changed("slsa/v2alpha4,slsa/v1").fails_with(1);
    has(
        &refused.stderr,
        &[
            "PipelineRun team/app-7xk2p has no provenance slsa/v1: ",
            "status.startTime",
        ],
    );
    assert!(!again.exists(), "nothing of the other format either");
    changed("slsa/v2alpha4").ok();
    make().fails_with(1);
    assert_eq!(
        index(&out).len(),
        2,
        "what an earlier run made stays as it was"
    );
}

#[test]
fn pretty_prints_for_people_and_leaves_the_files_as_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let document = run_document(json!([
        {"name": "IMAGE_URL", "value": "registry.example.com/team/app"},
        {"name": "IMAGE_DIGEST", "value": format!("sha256:{}", "a1".repeat(32))},
        {"name": "report", "value": "<all well>\u{202e}"},
    ]));
    let make = |name: &str, args: &[&str]| {
        let run = Run::tool("tekseal-provenance").args(["--run", "-", "--out"]);
        let run = run
            .arg(folder.path().join(name))
            .args(["--format", "slsa/v2alpha4"]);
        run.args(args).stdin(document.to_string()).ok().stdout
    };
    assert_eq!(make("plain", &[]), "");
    let said = make("pretty", &["--pretty"]);
    let payloads: Vec<Value> = serde_json::Deserializer::from_str(&said)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("one JSON document after the other");
    assert_eq!(payloads.len(), 2, "provenance and the image");
    let byproducts = &payloads[0]["predicate"]["runDetails"]["byproducts"];
    assert_eq!(
        byproducts[0]["content"], "<all well>\u{202e}",
        "{byproducts} is decoded"
    );
    assert!(said.contains("\n  \"predicateType\": \"https://slsa.dev/provenance/v1\""));
    assert!(!said.contains('\u{202e}'), "nothing turns the line");
    for file in ["provenance-slsa-v2alpha4.json", "payloads.json"] {
        let read = |name: &str| fs::read(folder.path().join(name).join(file)).expect("it was made");
        assert_eq!(read("plain"), read("pretty"), "{file}");
    }
}
