//! What registries may answer, and what it must not do to the controller's memory. Tenants own registries, and what lies in them.

use serde_json::{Value, json};
use tekseal_harness::Registry;

use super::hostile::{LIMIT_MIB, peak_mib};
use super::stand::{OCI, Stand};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A good manifest of 3.5 MB, as it may lie under a tag of signatures.
fn fill_tag(registry: &Registry, repository: &str, tag: &str) {
    let blob = registry.push_blob(repository, b"{}");
    let layer = |at: usize| {
        json!({
            "mediaType": SIMPLE_SIGNING, "size": 2, "digest": blob,
            "annotations": {"dev.cosignproject.cosign/signature": format!("{at}{}", "s".repeat(3900))},
        })
    };
    let layers: Vec<Value> = (0..880).map(layer).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": blob},
    });
    registry.put_manifest(repository, tag, MANIFEST, manifest.to_string().as_bytes());
}

#[test]
fn large_manifests_beside_many_images_stay_within_the_memory_limit() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let registry = &stand.registry;
    let mut runs = Vec::new();
    for at in 0..4 {
        let mut images = Vec::new();
        for of_run in 0..4 {
            let repository = format!("team/app-{at}-{of_run}");
            let digest = registry.push_image(&repository, "1").digest;
            for suffix in ["sig", "att"] {
                let tag = format!("{}.{suffix}", digest.replace(':', "-"));
                fill_tag(registry, &repository, &tag);
            }
            images.push(registry.reference(&repository, &digest));
        }
        let results = json!([{"name": "IMAGES", "type": "string", "value": images.join(",")}]);
        runs.push(stand.completed(&format!("build-{at}"), results));
    }
    let controller = stand.start();
    super::hostile::are_signed(&stand, &runs);
    let peak = peak_mib(&controller);
    println!("{peak} MiB at the most");
    assert!(peak < LIMIT_MIB, "{peak} MiB");
}
