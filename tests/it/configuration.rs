//! The configuration of `tekseal-provenance` as a process: where it comes from, what overrides it, and what is said of bad ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Output, Run};

use crate::workshop::run_document;

const SECRET: &str = "hunter2-hunter2";

/// A folder with a run that built an image, and with whatever else a test puts there.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a temporary folder"));
        let mut run = run_document(json!([
            {"name": "IMAGE_URL", "value": "registry.example.com/team/app"},
            {"name": "IMAGE_DIGEST", "value": format!("sha256:{}", "a1".repeat(32))},
        ]));
        run["spec"]["params"] = json!([{"name": "registry-password", "value": SECRET}]);
        desk.file("run.json", &run.to_string());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).expect("the folder is ours");
        self.path(name)
    }

    fn provenance(&self) -> Run {
        Run::tool("tekseal-provenance")
            .arg("--run")
            .arg(self.path("run.json"))
            .arg("--out")
            .arg(self.path("out"))
    }

    fn configured(&self, config: &Value) -> Run {
        let config = self.file("config.json", &config.to_string());
        self.provenance().arg("--config").arg(config)
    }

    fn index(&self) -> Vec<Value> {
        let bytes = fs::read(self.path("out/payloads.json")).expect("it was written");
        serde_json::from_slice(&bytes).expect("a list")
    }

    /// The text of the first payload.
    fn payload(&self) -> String {
        let file = self.index()[0]["file"].as_str().expect("a name").to_owned();
        fs::read_to_string(self.path("out").join(file)).expect("it is there")
    }

    fn builder(&self) -> Value {
        let payload: Value = serde_json::from_str(&self.payload()).expect("JSON");
        let run_details = &payload["predicate"]["runDetails"]["builder"]["id"];
        match run_details {
            Value::Null => payload["predicate"]["builder"]["id"].clone(),
            id => id.clone(),
        }
    }
}

fn has(output: &Output, wanted: &[&str]) {
    for one in wanted {
        assert!(
            output.stderr.contains(one),
            "{one:?} is missing in:\n{}",
            output.stderr
        );
    }
}

#[test]
fn a_file_a_whole_configmap_and_a_mounted_folder_mean_the_same() {
    let desk = Desk::new();
    let data = json!({"artifacts.taskrun.format": "slsa/v2alpha4", "builder.id": "urn:b"});
    desk.configured(&data).ok();
    let wanted = desk.payload();
    assert!(wanted.contains("https://slsa.dev/provenance/v1"));

    let whole = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"}, "data": data});
    desk.configured(&whole).ok();
    assert_eq!(desk.payload(), wanted);

    // As a kubelet mounts it: the keys are links into `..data`, which is a link to a folder of this moment.
    let mounted = desk.path("mounted");
    let moment = mounted.join("..2026_03_01");
    fs::create_dir_all(&moment).expect("ours");
    symlink("..2026_03_01", mounted.join("..data")).expect("ours");
    for (key, value) in data.as_object().expect("a map") {
        fs::write(moment.join(key), value.as_str().expect("a text")).expect("ours");
        symlink(Path::new("..data").join(key), mounted.join(key)).expect("ours");
    }
    let said = desk.provenance().arg("--config").arg(&mounted).ok();
    assert_eq!(desk.payload(), wanted);
    assert!(
        !said.stderr.contains("warning: configuration"),
        "{}",
        said.stderr
    );

    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": null});
    desk.configured(&empty).ok();
    assert_eq!(desk.builder(), "https://tekton.dev/chains/v2");
}

#[test]
fn a_document_that_is_no_configuration_is_told() {
    let desk = Desk::new();
    let tekton = json!({"apiVersion": "operator.tekton.dev/v1alpha1", "kind": "TektonConfig", "spec": {"chain": {}}});
    has(
        &desk.configured(&tekton).fails_with(2),
        &[
            "it is a TektonConfig, wanted a ConfigMap or its data",
            "hint: the operator writes",
        ],
    );
    has(
        &desk.configured(&json!({"builder.id": 7})).fails_with(2),
        &["config.json", "hint: it must be one JSON object of strings"],
    );
}

#[test]
fn flags_override_the_configuration() {
    let desk = Desk::new();
    let config = json!({"artifacts.taskrun.format": "slsa/v1", "builder.id": "urn:configured",
        "builddefinition.buildtype": "https://tekton.dev/chains/v2/slsa"});
    desk.configured(&config).ok();
    assert_eq!(desk.builder(), "urn:configured");
    let tekton = "https://tekton.dev/chains/v2/slsa-tekton";
    desk.configured(&config)
        .args(["--format", "slsa/v2alpha3", "--builder-id", "urn:flag"])
        .args(["--build-type", tekton])
        .ok();
    assert_eq!(desk.index()[0]["format"], "slsa/v2alpha3");
    assert_eq!(desk.builder(), "urn:flag");
    assert!(desk.payload().contains(tekton));
    has(
        &desk
            .provenance()
            .args(["--build-type", "https://example.com/mine"])
            .fails_with(2),
        &[
            "--build-type \"https://example.com/mine\" is not known",
            tekton,
        ],
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_what_was_meant() {
    let desk = Desk::new();
    let said = desk
        .configured(
            &json!({"artifacts.taskrun.format": "slsa/v7", "artifacts.oci.signer": "gpg",
            "builddefinition.buildtype": "mine", "tekseal.redact-params": "a\nb", "colour": "red"}),
        )
        .fails_with(2);
    has(
        &said,
        &[
            "configuration key is not known and was ignored key=colour",
            "config.json",
            "artifacts.taskrun.format: ",
            "artifacts.oci.signer: value \"gpg\" is not known, wanted kms, none, x509",
            "builddefinition.buildtype: ",
        ],
    );
    assert!(!desk.path("out").exists());

    // A misspelt key of our own may show what it should hide.
    let said = desk.configured(&json!({"tekseal.redact-param": "*password*"}));
    let wanted = "did-you-mean=tekseal.redact-params";
    has(
        &said.fails_with(2),
        &[wanted, "key tekseal.redact-param is not known"],
    );
    assert!(!desk.path("out").exists());

    let said = desk
        .configured(&json!({"artifacts.taskrun.fromat": "slsa/v1", "colour": "red", "transparency.enabled": "maybe",
            "artifacts.pipelinerun.enable-deep-inspection": "yes"}))
        .ok();
    has(
        &said,
        &[
            "key=artifacts.taskrun.fromat did-you-mean=artifacts.taskrun.format",
            "configuration key is not known and was ignored key=colour\n",
            "configuration value is not understood and the default holds key=artifacts.pipelinerun.enable-deep-inspection value=yes",
        ],
    );
}

#[test]
fn an_artifact_type_that_is_off_is_left_out_and_said() {
    let desk = Desk::new();
    let said = desk
        .configured(&json!({"artifacts.taskrun.signer": "none"}))
        .ok();
    has(
        &said,
        &[
            "not to be signed what=\"provenance of the TaskRun\" reason=\"artifacts.taskrun.signer is none\"",
        ],
    );
    let kinds: Vec<_> = desk.index().iter().map(|e| e["kind"].clone()).collect();
    assert_eq!(kinds, ["simplesigning"]);

    // A format by flag asks for provenance all the same.
    desk.configured(&json!({"artifacts.taskrun.signer": "none"}))
        .args(["--format", "in-toto"])
        .ok();
    assert_eq!(desk.index().len(), 2);

    let off = json!({"artifacts.taskrun.storage": "", "artifacts.oci.signer": "none"});
    desk.configured(&off).ok();
    assert_eq!(desk.index().len(), 0);
    let refused = Run::tool("tekseal-attest")
        .arg("--run")
        .arg(desk.path("run.json"))
        .arg("--config")
        .arg(desk.path("config.json"))
        .arg("--key")
        .arg(crate::workshop::plain_key().0)
        .fails_with(1);
    has(&refused, &["nothing is to be signed", "tekseal-explain"]);
}

#[test]
fn a_redacted_value_is_nowhere_and_a_shown_one_is_warned_of() {
    let desk = Desk::new();
    let said = desk.provenance().ok();
    has(
        &said,
        &["looks like a credential", "param=registry-password"],
    );
    assert!(!said.stderr.contains(SECRET) && desk.payload().contains(SECRET));

    let formats = "in-toto,slsa/v2alpha3,slsa/v2alpha4";
    let by_flag = desk
        .provenance()
        .args(["--redact-params", "*password*", "--format", formats]);
    let by_key = desk.configured(
        &json!({"tekseal.redact-params": "*password*", "artifacts.taskrun.format": formats}),
    );
    for run in [by_flag, by_key] {
        let said = run.ok();
        has(&said, &["redacted param=registry-password"]);
        assert!(
            !said.stderr.contains("looks like"),
            "it is no danger any more: {}",
            said.stderr
        );
        for entry in desk.index() {
            let file = entry["file"].as_str().expect("a name");
            let text = fs::read_to_string(desk.path("out").join(file)).expect("it is there");
            assert!(!text.contains(SECRET), "{text}");
            let is_image = entry["kind"] == "simplesigning";
            let digest = tekseal_harness::digest(SECRET.as_bytes());
            assert!(is_image || text.contains(&digest), "{text}");
        }
    }
    has(
        &desk
            .provenance()
            .args(["--redact-params", "a\nb"])
            .fails_with(2),
        &["--redact-params"],
    );
}
