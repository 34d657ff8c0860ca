//! The controller with `storage.oci.encoding-format: sigstore-bundle`: marks come after what refers to the image is listed, cosign takes it,
//! and what another writer of the index takes away is noticed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{Moment, cosign, fixtures};

use super::stand::{OCI, PATIENCE, REASON, SIGNED, Stand, annotation, layers};

const BUNDLES: (&str, &str) = ("storage.oci.encoding-format", "sigstore-bundle");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How long the registry takes for a write, so that it counts as settled only half as much again later.
const SLOW: Duration = Duration::from_millis(1200);

fn tag(stand: &Stand) -> String {
    stand.digest.replace(':', "-")
}

/// The digests of what refers to the image.
fn listed(stand: &Stand) -> Vec<Value> {
    let index = stand.registry.manifest("team/app", &tag(stand));
    let entries = index.map_or(json!([]), |index| index.json()["manifests"].clone());
    let entries = entries.as_array().expect("a list");
    entries.iter().map(|e| e["digest"].clone()).collect()
}

fn accepted(stand: &Stand) {
    stand.verify(&stand.image()).ok();
    let (image, public) = (stand.image(), stand.public_key());
    let root = fixtures().join("cosign-samples/keys/trusted_root.json");
    let root = format!("--trusted-root={}", root.display());
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        let extra = if version == "2.6.5" {
            vec![&*root]
        } else {
            vec![]
        };
        cosign.verify(&public, &image, &extra).ok();
        let kind = "slsaprovenance";
        cosign
            .verify_attestation(&public, kind, &image, &extra)
            .ok();
    }
}

#[test]
fn runs_are_signed_into_bundles_and_an_image_once() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[OCI, &[BUNDLES]].concat());
    let _controller = stand.start();
    let first = stand.completed("first", stand.image_results());
    let first = stand.wait_marked(&first);
    assert_eq!(annotation(&first, SIGNED), Some("true"));
    assert_eq!(listed(&stand).len(), 2, "a signature and provenance");
    for suffix in ["sig", "att"] {
        assert_eq!(
            layers(&stand.registry, "team/app", &stand.digest, suffix),
            0
        );
    }
    accepted(&stand);
    // Of runs that differ in nothing but their names, and ended in the same second, the provenance is the same.
    sleep(Duration::from_millis(1100));
    let second = stand.completed("second", stand.image_results());
    stand.wait_marked(&second);
    assert_eq!(listed(&stand).len(), 3, "the image is signed already");
    accepted(&stand);
}

#[test]
fn both_layouts_at_once_leave_annotations_as_they_are() {
    let Some(stand) = Stand::new() else { return };
    let both = ("storage.oci.encoding-format", "dsse,sigstore-bundle");
    let storage = ("artifacts.taskrun.storage", "tekton,oci");
    stand.configure(&[OCI, &[both, storage]].concat());
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(listed(&stand).len(), 2);
    for suffix in ["sig", "att"] {
        assert_eq!(
            layers(&stand.registry, "team/app", &stand.digest, suffix),
            1
        );
    }
    accepted(&stand);
    let uid = run["metadata"]["uid"].as_str().expect("it has one");
    let signature = annotation(&run, &format!("chains.tekton.dev/signature-taskrun-{uid}"));
    let envelope = {
        use base64::Engine as _;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(signature.expect("it is there"));
        serde_json::from_slice::<Value>(&bytes.expect("base64")).expect("JSON")
    };
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    assert!(
        envelope["mediaType"].is_null(),
        "an envelope, and no bundle"
    );
}

#[test]
fn with_annotations_alone_for_runs_only_the_bundle_of_the_image_is_stored() {
    let Some(stand) = Stand::new() else { return };
    let storage = ("artifacts.taskrun.storage", "tekton");
    stand.configure(&[OCI, &[BUNDLES, storage]].concat());
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    stand.wait_marked(&run);
    assert_eq!(listed(&stand).len(), 1);
    let only = stand.verify(&stand.image()).args(["--only", "signature"]);
    only.ok();
}

#[test]
fn an_entry_that_another_writer_takes_away_after_the_mark_is_listed_again() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, results) = stand.behind_proxy();
    let registries = format!("{},{}", stand.registry.address(), proxy.address());
    let registries = ("tekseal.registries", &*registries);
    stand.configure(&[OCI, &[BUNDLES, registries]].concat());
    let held = proxy
        .on("PUT", "/manifests/sha256-")
        .hold(Moment::BeforeForwarding);
    let _controller = stand.start();
    let run = stand.completed("build", results);
    held.wait_until_held();
    assert_eq!(annotation(&stand.wait(&run, |_| true), SIGNED), None);
    sleep(SLOW);
    held.release();
    stand.wait_marked(&run);
    let ours = listed(&stand);
    assert_eq!(ours.len(), 2, "the run says signed");
    let empty = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []});
    let empty = empty.to_string().into_bytes();
    stand
        .registry
        .put_manifest("team/app", &tag(&stand), INDEX, &empty);
    let deadline = Instant::now() + PATIENCE;
    while listed(&stand) != ours {
        assert!(Instant::now() < deadline, "ours are lost");
        sleep(Duration::from_millis(20));
    }
    let run = stand.wait(&run, |_| true);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
}

#[test]
fn what_is_no_index_fails_with_its_name_and_is_left() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[OCI, &[BUNDLES]].concat());
    let image = stand.registry.manifest("team/app", &stand.digest);
    let image = image.expect("it is there");
    let (kind, bytes) = (&image.media_type, &image.bytes);
    stand
        .registry
        .put_manifest("team/app", &tag(&stand), kind, bytes);
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("failed"));
    let reason = annotation(&run, REASON).expect("it says why");
    assert!(reason.contains(&tag(&stand)), "{reason}");
    let left = stand.registry.manifest("team/app", &tag(&stand));
    assert_eq!(left.expect("it is there").bytes, image.bytes);
}
