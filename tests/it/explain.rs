//! `tekseal-explain` as a process: what it says of runs that would be signed, of those that would not, and of the nearly right ones.

use serde_json::{Value, json};
use tekseal_harness::{Output, Run};

use crate::workshop::{Pipeline, run_document};

const DIGEST: &str = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";
const TAG: &str = "sha256-732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";

/// Explains a document with these further arguments; the document comes by stdin.
fn explain(document: &Value, args: &[&str]) -> Output {
    Run::tool("tekseal-explain")
        .arg("-")
        .args(args)
        .stdin(document.to_string())
        .ok()
}

fn explain_json(document: &Value, args: &[&str]) -> Value {
    let said = explain(document, &[args, &["--output", "json"]].concat());
    serde_json::from_str(&said.stdout).expect("JSON")
}

/// Explains a document under a configuration.
fn configured(document: &Value, config: Value) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).expect("the folder is ours");
    let path = path.display().to_string();
    explain(document, &["--config", &path])
}

fn pipeline(pipeline: &Pipeline, args: &[&str]) -> Output {
    Run::tool("tekseal-explain")
        .arg(pipeline.path("pipelinerun.json"))
        .args(args)
        .ok()
}

/// A run that built one image.
fn good() -> Value {
    run_document(json!([
        {"name": "IMAGE_URL", "value": "registry.example.com/team/app:1"},
        {"name": "IMAGE_DIGEST", "value": DIGEST},
    ]))
}

fn has(text: &str, wanted: &[&str]) {
    for one in wanted {
        assert!(text.contains(one), "{one:?} is missing in:\n{text}");
    }
}

#[test]
fn a_good_run_is_told_line_by_line() {
    let said = explain(&good(), &["--format", "slsa/v2alpha4"]);
    let wanted = format!(
        "TaskRun team/build-1: completed, succeeded\n  \
           2 payloads would be signed\n\
         results\n  \
           IMAGE_URL     used\n  \
           IMAGE_DIGEST  used\n\
         parameters\n  \
           no hints: IMAGE\n\
         what is to be signed\n  \
           provenance of the TaskRun as slsa/v2alpha4 (https://slsa.dev/provenance/v1)\n    \
             subject registry.example.com/team/app@{DIGEST}\n    \
             key x509, x509.pem or cosign.key of signing-secrets\n    \
             place annotation chains.tekton.dev/payload-taskrun-6b1f5d0e-0000-4000-8000-000000000001 of the run\n  \
           signature of image registry.example.com/team/app@{DIGEST} as simplesigning\n    \
             subject registry.example.com/team/app@{DIGEST}\n    \
             key x509, x509.pem or cosign.key of signing-secrets\n    \
             place registry registry.example.com/team/app:{TAG}.sig\n\
         warnings\n  \
           places are the configuration's, as Tekton Chains takes it; tekseal-upload and tekseal-attest store beside the image all the same\n"
    );
    assert_eq!(said.stdout, wanted);
}

#[test]
fn dozens_of_parameters_without_hint_are_counted() {
    let mut many = good();
    let params = (0..70).map(|at| json!({"name": format!("P{at}"), "value": "x"}));
    many["spec"]["params"] = params.collect();
    let said = explain(&many, &[]).stdout;
    has(
        &said,
        &["\n  no hints: P0, P1, P2, P3, P4, P5, P6, P7 and 62 more, all with --output json\n"],
    );
    let said = explain_json(&many, &[]);
    assert_eq!(said["parameters"].as_array().map(Vec::len), Some(70));
    many["spec"]["params"]
        .as_array_mut()
        .expect("a list")
        .truncate(8);
    has(&explain(&many, &[]).stdout, &["P6, P7\n"]);
}

#[test]
fn a_good_run_as_json_names_keys_and_digests() {
    let said = explain_json(&good(), &[]);
    assert_eq!(said["wouldSign"], true);
    assert_eq!(said["decision"], "2 payloads would be signed");
    assert_eq!(
        said["results"][0],
        json!({"name": "IMAGE_URL", "hint": "IMAGE_URL", "outcome": "used"})
    );
    let (provenance, image) = (&said["items"][0], &said["items"][1]);
    assert_eq!(
        provenance["predicateType"],
        "https://slsa.dev/provenance/v0.2"
    );
    assert_eq!(
        provenance["shortKey"],
        "taskrun-6b1f5d0e-0000-4000-8000-000000000001"
    );
    assert_eq!(image["shortKey"], "732112270d7e");
    assert_eq!(
        image["fullKey"],
        format!("registry.example.com/team/app@{DIGEST}")
    );

    // What is explained is what is made.
    let folder = tempfile::tempdir().expect("a temporary folder");
    Run::tool("tekseal-provenance")
        .args(["--run", "-", "--out"])
        .arg(folder.path())
        .stdin(good().to_string())
        .ok();
    let index = std::fs::read(folder.path().join("payloads.json")).expect("it was made");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    assert_eq!(index[0]["digest"], provenance["digest"]);
    assert_eq!(index[1]["digest"], image["digest"]);
}

#[test]
fn an_empty_variable_is_an_absent_one() {
    let said = Run::tool("tekseal-explain")
        .arg("-")
        .stdin(good().to_string())
        .env("TEKSEAL_OUTPUT", "")
        .env("TEKSEAL_CONFIG", "")
        .env("TEKSEAL_ALLOW_MISSING_CHILDREN", "")
        .ok();
    has(&said.stdout, &["2 payloads would be signed"]);
}

#[test]
fn a_run_that_goes_on_is_not_signed_and_its_hints_are_told_all_the_same() {
    let mut running = good();
    running["status"]["conditions"][0]["status"] = json!("Unknown");
    running["metadata"]["annotations"] = json!({"chains.tekton.dev/signed": "true"});
    let said = explain(&running, &[]);
    has(
        &said.stdout,
        &[
            "TaskRun team/build-1: not completed\n  not signed: TaskRun team/build-1 is not completed: its condition Succeeded is Unknown",
            "the run says chains.tekton.dev/signed: \"true\", which proves nothing by itself",
            "IMAGE_URL     used",
        ],
    );
    let said = explain_json(&running, &[]);
    assert_eq!(
        (&said["wouldSign"], &said["items"]),
        (&json!(false), &json!([]))
    );
    // A flag that means nothing is refused, however far the run is.
    Run::tool("tekseal-explain")
        .args(["-", "--format", "slsa/v9"])
        .stdin(running.to_string())
        .fails_with(2);
}

#[test]
fn what_is_no_run_is_misuse_and_prints_nothing() {
    for document in ["", "{}", "[]", r#"{"apiVersion":"v1","kind":"Pod"}"#] {
        let refused = Run::tool("tekseal-explain")
            .arg("-")
            .stdin(document)
            .fails_with(2);
        assert_eq!(refused.stdout, "");
        has(&refused.stderr, &["tekseal-explain: error: ", ": hint: "]);
    }
}

#[test]
fn nearly_right_hints_are_named_with_the_right_one() {
    let nearly = run_document(json!([
        {"name": "IMAGE_URI", "value": "registry.example.com/team/app"},
        {"name": "image-digest", "value": DIGEST},
        {"name": "CHAINS_GIT_COMMIT", "value": "abc"},
        {"name": "notes", "value": "x"},
    ]));
    let said = explain(&nearly, &[]);
    has(
        &said.stdout,
        &[
            "1 payload would be signed, but of no image",
            "IMAGE_URI          ignored: is no hint: it is nearly IMAGE_URL",
            "image-digest       ignored: is no hint: it is nearly IMAGE_DIGEST",
            "CHAINS_GIT_COMMIT  ignored: is no hint: it is nearly CHAINS-GIT_COMMIT",
            "notes              no hint",
            "no image is named: a build must write the results IMAGE_URL and IMAGE_DIGEST, or IMAGES",
        ],
    );
}

#[test]
fn a_near_miss_beside_the_hint_itself_is_no_matter() {
    let mut run = good();
    let results = run["status"]["results"].as_array_mut().expect("a list");
    results.push(json!({"name": "IMAGE_REF", "value": "x"}));
    let said = explain(&run, &[]).stdout;
    has(&said, &["IMAGE_REF     no hint\n"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = Run::tool("tekseal-provenance")
        .args(["--run", "-", "--out"])
        .arg(folder.path())
        .stdin(run.to_string())
        .ok();
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
}

#[test]
fn half_a_pair_and_bad_values_are_told_with_their_reason() {
    let half = run_document(json!([
        {"name": "IMAGE_URL", "value": "registry.example.com/team/app"},
        {"name": "two_IMAGE_URL", "value": "registry.example.com/team/two"},
        {"name": "two_IMAGE_DIGEST", "value": "sha256:short"},
        {"name": "x-ARTIFACT_OUTPUTS", "value": "text"},
        {"name": "IMAGES", "value": ""},
    ]));
    let said = explain(&half, &[]).stdout;
    has(
        &said,
        &[
            "IMAGE_URL           ignored: is alone: there is no result IMAGE_DIGEST with a value",
            "two_IMAGE_DIGEST    invalid: ",
            "x-ARTIFACT_OUTPUTS  invalid: is not an object with non-empty uri and digest",
            "IMAGES              empty",
        ],
    );
}

#[test]
fn a_pipelinerun_without_its_children_is_not_signed() {
    let shop = Pipeline::nowhere();
    let said = pipeline(&shop, &[]).stdout;
    has(
        &said,
        &[
            "not signed: PipelineRun team/app-7xk2p lacks children: TaskRun app-7xk2p-clone was not found; TaskRun app-7xk2p-build was not found",
            "give their documents with --children",
        ],
    );
    let said = pipeline(&shop, &["--allow-missing-children"]).stdout;
    has(
        &said,
        &[
            "1 payload would be signed",
            "left out: TaskRun app-7xk2p-clone was not found",
            "a PipelineRun's results give no image signatures; the TaskRun that built the image does",
        ],
    );
}

#[test]
fn children_count_with_deep_inspection_only() {
    let shop = Pipeline::nowhere();
    let children = shop.path("children").display().to_string();
    let config = shop.path("chains-config.json").display().to_string();
    let args = ["--children", &children, "--config", &config];
    let deep = pipeline(&shop, &args).stdout;
    has(
        &deep,
        &[
            "2 payloads would be signed",
            "hints of child app-7xk2p-clone\n  CHAINS-GIT_URL     used\n  CHAINS-GIT_COMMIT  used",
            "as slsa/v1 (https://slsa.dev/provenance/v0.2)",
            "as slsa/v2alpha4 (https://slsa.dev/provenance/v1)",
            ".att\n",
            "format slsa/v1 is SLSA provenance v0.2",
        ],
    );
    assert!(!deep.contains("places are"), "all is beside the image");

    shop.edit("pipelinerun.json", |run| {
        run["status"]["results"] = json!([])
    });
    let flat = pipeline(&shop, &[&args[..], &["--deep-inspection=false"]].concat()).stdout;
    has(
        &flat,
        &[
            "CHAINS-GIT_URL     ignored: deep inspection is off",
            "not in oci: the statement has no subject to store it beside",
            "children name images, but the PipelineRun has no such results of its own and deep inspection is off",
        ],
    );
}

#[test]
fn a_child_that_belongs_to_no_task_is_told() {
    let shop = Pipeline::nowhere();
    shop.edit("children/build.json", |child| {
        child["metadata"]["labels"] = json!({});
    });
    let children = shop.path("children").display().to_string();
    let said = pipeline(&shop, &["--children", &children]).stdout;
    has(&said, &["child app-7xk2p-build does not count"]);
}

#[test]
fn the_configuration_decides_what_is_left_out_where_it_goes_and_who_signs() {
    let said = configured(&good(), json!({"artifacts.oci.signer": "none"})).stdout;
    has(
        &said,
        &[
            "1 payload would be signed\n",
            &format!(
                "what is not\n  signature of image registry.example.com/team/app@{DIGEST}: artifacts.oci.signer is none"
            ),
        ],
    );
    let said = configured(
        &good(),
        json!({"artifacts.taskrun.storage": "", "artifacts.oci.storage": ""}),
    );
    has(
        &said.stdout,
        &[
            "nothing would be signed: artifacts.taskrun.storage is empty",
            "artifacts.oci.storage is empty",
        ],
    );
    let said = configured(
        &good(),
        json!({"signers.cosign.key": "k8s://ns/signing-secrets", "artifacts.taskrun.signer": "kms"}),
    );
    has(
        &said.stdout,
        &["key k8s://ns/signing-secrets (signers.cosign.key)"],
    );
    let kms = json!({"artifacts.taskrun.signer": "kms", "signers.kms.kmsref": "gcpkms://x/y"});
    has(&configured(&good(), kms).stdout, &["key kms gcpkms://x/y"]);
    let unset = json!({"artifacts.taskrun.signer": "kms"});
    has(
        &configured(&good(), unset).stdout,
        &["kms, but signers.kms.kmsref is not set"],
    );
    let said = configured(
        &good(),
        json!({"artifacts.taskrun.storage": "oci,gcs", "storage.oci.repository": "registry.example.com/sigs",
               "transparency.enabled": "true"}),
    );
    has(
        &said.stdout,
        &[
            "place gcs under taskrun-6b1f5d0e-0000-4000-8000-000000000001",
            &format!("place registry registry.example.com/sigs:{TAG}.att"),
            "places are the configuration's",
            "transparency.enabled asks for entries in https://rekor.sigstore.dev; of the steps, tekseal-upload and tekseal-attest make them if they are given this configuration, and --tlog goes before it",
        ],
    );
}

#[test]
fn credentials_are_suspected_by_name_and_never_shown() {
    let secret = format!("ghp_{}", "a1".repeat(18));
    let mut leaky = good();
    leaky["spec"]["params"] = json!([{"name": "git-token", "value": secret}]);
    for output in ["text", "json"] {
        let said = explain(&leaky, &["--output", output]);
        has(
            &said.stdout,
            &["parameter git-token of build-1 looks like a GitHub token"],
        );
        assert!(!said.stdout.contains(&secret) && !said.stderr.contains(&secret));
    }
    let said = explain(&leaky, &["--redact-params", "*token*"]);
    has(&said.stdout, &["shown by their digest only: git-token"]);
    has(&said.stderr, &["redacted param=git-token"]);
    assert!(
        !said.stdout.contains("looks like") && !said.stdout.contains(&secret),
        "what is redacted is no danger: {}",
        said.stdout
    );
    let said = explain_json(&leaky, &["--redact-params", "*token*"]);
    assert_eq!(said["redacted"], json!(["git-token"]));

    // The reason why a hint is not used quotes its value.
    let hint = json!({"name": "x-ARTIFACT_OUTPUTS", "value": {"uri": "u", "digest": secret}});
    leaky["status"]["results"] = json!([hint]);
    for output in ["text", "json"] {
        let flags = ["--redact-params", "*token*", "--output", output];
        let said = explain(&leaky, &flags);
        has(&said.stdout, &["is not of the form algorithm:hex"]);
        assert!(!said.stdout.contains(&secret), "{}", said.stdout);
    }
}

#[test]
fn a_key_or_password_in_place_of_a_reference_is_not_shown() {
    let said = configured(
        &good(),
        json!({"signers.cosign.key": "-----BEGIN PRIVATE KEY-----\nMIGH", "transparency.enabled": "true",
               "transparency.url": "https://me:hunter2@rekor.example.com"}),
    );
    has(
        &said.stdout,
        &["key (not shown: it looks like a private key)"],
    );
    for text in [&said.stdout, &said.stderr] {
        assert!(
            !text.contains("MIGH") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[test]
fn hostile_names_cannot_forge_lines() {
    let mut hostile = run_document(json!([
        {"name": "IMAGE_URL\n  2 payloads would be signed", "value": "x"},
        {"name": "a\u{1b}[2J\u{202e}b", "value": "y"},
    ]));
    hostile["metadata"]["name"] = json!("evil\r\nTaskRun team/good: completed");
    hostile["metadata"]["annotations"] = json!({"chains.tekton.dev/signed": "\u{1b}[1m\nyes"});
    let said = explain(&hostile, &[]);
    for text in [&said.stdout, &said.stderr] {
        assert!(
            !text.contains(['\r', '\u{1b}', '\u{202e}']),
            "{text:?} moves the cursor"
        );
    }
    let forged = |line: &str| {
        line.trim() == "2 payloads would be signed" || line.starts_with("TaskRun team/good")
    };
    assert!(!said.stdout.lines().any(forged), "{}", said.stdout);
    let said = explain_json(&hostile, &[]);
    assert_eq!(said["name"], "evil\r\nTaskRun team/good: completed");
}
