//! What ours writes beside a whole Sigstore: entries of the log that Tekton Chains knows.

use serde_json::Value;
use tekseal_harness::digest;

use super::artifacts::{Log, Signery, Timestamp};
use super::ours::{Case, accepted, attesting, referrers, written_and_accepted};
use crate::workshop::Workshop;

const LAYOUTS: [&str; 3] = ["tags", "bundle", "both"];

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn entries_of_rekor_v1_are_accepted_in_every_layout() {
    let Some(signery) = Signery::full() else {
        return;
    };
    for layout in LAYOUTS {
        for timestamp in [Timestamp::None, Timestamp::Authority] {
            let case = Case {
                layout,
                log: Log::RekorV1,
                timestamp,
            };
            let (shop, said) = written_and_accepted(&signery, case);
            // The attestation is one entry, in whichever layouts it lies; the signature in a bundle is over another document, which is the same
            // wherever the image lies: the log has it already the second time.
            let wanted = if layout == "both" { 4 } else { 2 };
            let found = said.stderr.matches("logged of=").count();
            assert_eq!(found, wanted, "{said:?}");
            if layout == "bundle" {
                continue;
            }
            for suffix in ["sig", "att"] {
                let layer = &shop.layers(suffix)[0];
                let text = layer["annotations"]["dev.sigstore.cosign/bundle"].as_str();
                let entry: Value = serde_json::from_str(text.expect("logged")).expect("JSON");
                assert!(entry["Payload"]["logIndex"].is_u64(), "{entry}");
            }
        }
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn signing_again_adds_no_entry_and_no_layer() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let url = signery.sigstore().rekor.url();
    for layout in LAYOUTS {
        let shop = Workshop::new();
        let again = || {
            attesting(&shop, &signery, layout)
                .args(["--tlog", "v1", "--rekor-url", &url])
                .ok()
        };
        again();
        let stored = (shop.layers("sig"), shop.layers("att"), referrers(&shop));
        let said = again();
        let found = (shop.layers("sig"), shop.layers("att"), referrers(&shop));
        assert_eq!(stored, found, "{layout}");
        assert!(!said.stderr.contains("\nlogged of="), "{said:?}");
        assert!(said.stderr.contains("\nalready logged of="), "{said:?}");
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn an_intoto_entry_is_accepted_under_tags() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let shop = Workshop::new();
    attesting(&shop, &signery, "tags")
        .args([
            "--tlog",
            "v1",
            "--rekor-entry-type",
            "intoto",
            "--rekor-url",
        ])
        .arg(signery.sigstore().rekor.url())
        .ok();
    let case = Case {
        layout: "tags",
        log: Log::RekorV1,
        timestamp: Timestamp::None,
    };
    accepted(&signery, &shop, case);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn the_configuration_of_chains_is_followed_and_entries_are_found_by_search() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let rekor = &signery.sigstore().rekor;
    let shop = Workshop::new();
    let config = format!(
        r#"{{"transparency.enabled":"true","transparency.url":"{}"}}"#,
        rekor.url()
    );
    let config = shop.file("config.json", config);
    // Without a trusted root the log is believed by its own key, and that is said.
    let said = shop
        .attest_command(&shop.run(), &signery.key)
        .args(["--format", "slsa/v2alpha4", "--config"])
        .arg(config)
        .ok();
    assert!(
        said.stderr.contains("the key that it tells itself"),
        "{said:?}"
    );
    let case = Case {
        layout: "tags",
        log: Log::RekorV1,
        timestamp: Timestamp::None,
    };
    accepted(&signery, &shop, case);
    let layer = shop.layers("sig")[0]["digest"].clone();
    let blob = shop
        .registry
        .blob("team/app", layer.as_str().expect("a digest"));
    let payload = digest(&blob.expect("it is there"));
    for sha in [shop.digest.as_str(), payload.as_str()] {
        rekor.cli("search").args(["--sha", sha]).ok();
    }
}
