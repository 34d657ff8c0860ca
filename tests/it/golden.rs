//! The bytes of Tekton Chains, case by case, in process: the quickest test that fails when a byte moves.
//! The whole check with the programs is `tests/tools/golden-check`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tekseal_core::config::CHAINS_BUILDER_ID;
use tekseal_core::format::Format;
use tekseal_core::run::CompletedRun;
use tekseal_core::{DigestRef, Payload, hints};

const CASES: &[&str] = &[
    "tr-image-simple",
    "tr-images-list",
    "tr-git-default",
    "tr-steps-script",
    "tr-params-kinds",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn statements_and_simple_signing_payloads_are_those_of_chains() {
    for case in CASES {
        let folder = fixtures().join(case);
        let run = CompletedRun::from_json(&read(&folder.join("input.json")))
            .expect("the case is completed");
        let artifacts = hints::observe(&run);
        for format in [Format::SlsaV1, Format::InToto] {
            let payload = format
                .payload(&run, &artifacts, CHAINS_BUILDER_ID)
                .expect("the case has a payload");
            let wanted = read(&folder.join("expected/in-toto.json"));
            assert_eq!(
                String::from_utf8_lossy(payload.bytes()),
                String::from_utf8_lossy(&wanted),
                "{case}"
            );
        }
        let images: Value =
            serde_json::from_slice(&read(&folder.join("expected/oci-images.json"))).expect("JSON");
        let wanted: Vec<_> = images
            .as_array()
            .into_iter()
            .flatten()
            .map(|i| i["simplesigning"].as_str())
            .collect();
        let mine: Vec<_> = artifacts
            .images
            .iter()
            .map(|i| String::from_utf8(Payload::simple_signing(i).bytes().to_vec()).ok())
            .collect();
        assert_eq!(
            mine.iter().map(Option::as_deref).collect::<Vec<_>>(),
            wanted,
            "{case}"
        );
    }
}

#[test]
fn a_run_that_goes_on_is_refused() {
    assert!(CompletedRun::from_json(&read(&fixtures().join("tr-running/input.json"))).is_err());
}

#[test]
fn image_names_are_read_as_go_containerregistry_reads_them() {
    let table: Value =
        serde_json::from_slice(&read(&fixtures().join("tables/image-names.json"))).expect("JSON");
    let rows = table.as_array().expect("the table is a list");
    assert!(rows.len() > 40, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let text = row["in"].as_str().expect("each row has an input");
        let mine = DigestRef::parse(text).map(|image| image.to_string()).ok();
        if mine.as_deref() != row["name"].as_str() {
            wrong.push(format!("{text}: {mine:?}, wanted {:?}", row["name"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
