//! What ours writes beside a whole Sigstore: entries of the log that Tekton Chains knows.

use serde_json::Value;
use tekseal_harness::digest as digest_of;

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
    let payload = digest_of(&blob.expect("it is there"));
    for sha in [shop.digest.as_str(), payload.as_str()] {
        rekor.cli("search").args(["--sha", sha]).ok();
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn evidence_that_somebody_damaged_does_not_stand_for_ours() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let url = signery.sigstore().rekor.url();
    type Damage = fn(&Workshop);
    let nothing: Damage = |shop| damage_layers(shop, |_| "{}".to_owned());
    // The right entry, and a promise that nobody made.
    let promise: Damage = |shop| {
        damage_layers(shop, |text| {
            let mut entry: Value = serde_json::from_str(text).expect("JSON");
            entry["SignedEntryTimestamp"] = "AAAA".into();
            entry.to_string()
        });
    };
    for (layout, damage) in [
        ("tags", nothing),
        ("tags", promise),
        ("bundle", damage_bundles),
    ] {
        let shop = Workshop::new();
        let again = || {
            attesting(&shop, &signery, layout)
                .args(["--tlog", "v1", "--rekor-url", &url])
                .ok()
        };
        again();
        damage(&shop);
        let verify = || {
            let root = signery.trusted_root();
            let verify = shop.verify(&signery.public).arg("--trusted-root");
            verify.arg(root)
        };
        verify().fails_with(1);
        again();
        verify().ok();
    }
}

/// Changes what layers show of their entries.
fn damage_layers(shop: &Workshop, change: impl Fn(&str) -> String) {
    for suffix in ["sig", "att"] {
        let tag = format!("{}.{suffix}", shop.digest.replace(':', "-"));
        let found = shop.registry.manifest("team/app", &tag).expect("stored");
        let mut manifest = found.json();
        let annotation = &mut manifest["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"];
        *annotation = change(annotation.as_str().expect("a text")).into();
        let bytes = manifest.to_string();
        shop.registry
            .put_manifest("team/app", &tag, &found.media_type, bytes.as_bytes());
    }
}

/// Puts a bundle with one more entry, which is at another place than it says, in the place of each.
fn damage_bundles(shop: &Workshop) {
    let registry = &shop.registry;
    let tag = shop.digest.replace(':', "-");
    let listed = registry.manifest("team/app", &tag).expect("stored");
    let mut index = listed.json();
    for entry in index["manifests"].as_array_mut().expect("a list") {
        let digest = entry["digest"].as_str().expect("a digest");
        let found = registry.manifest("team/app", digest).expect("listed");
        let mut manifest = found.json();
        let layer = manifest["layers"][0]["digest"].as_str();
        let bytes = registry.blob("team/app", layer.expect("a digest"));
        let bytes = bytes.expect("stored");
        let mut bundle: Value = serde_json::from_slice(&bytes).expect("JSON");
        let entries = &mut bundle["verificationMaterial"]["tlogEntries"];
        let mut other = entries[0].clone();
        other["logIndex"] = "7777777".into();
        entries.as_array_mut().expect("a list").push(other);
        let bytes = bundle.to_string();
        manifest["layers"][0]["digest"] = registry.push_blob("team/app", bytes.as_bytes()).into();
        manifest["layers"][0]["size"] = bytes.len().into();
        let bytes = manifest.to_string();
        let digest = digest_of(bytes.as_bytes());
        registry.put_manifest("team/app", &digest, &found.media_type, bytes.as_bytes());
        entry["digest"] = digest.into();
        entry["size"] = bytes.len().into();
    }
    let bytes = index.to_string();
    registry.put_manifest("team/app", &tag, &listed.media_type, bytes.as_bytes());
}
