//! `tekseal.tag-identity`: images are signed under their names with tags too, by runs, marks and looks back that know two payloads of an image.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::cosign;

use super::settling::{self, marked, overwrite};
use super::stand::{OCI, PATIENCE, REASON, RECORD, SIGNED, Stand, annotation, layers, results_at};

const NAMES: (&str, &str) = ("tekseal.tag-identity", "true");

/// Results that name the image with a tag.
fn tagged(stand: &Stand) -> Value {
    stand.results_of("team/app:1", &stand.digest)
}

/// The names under which the image is signed.
fn names(stand: &Stand) -> Vec<String> {
    let tag = format!("{}.sig", stand.digest.replace(':', "-"));
    let payload = |layer: Value| -> Value {
        let layer = layer.as_str().expect("a digest").to_owned();
        let payload = stand.registry.blob("team/app", &layer).expect("stored");
        serde_json::from_slice(&payload).expect("JSON")
    };
    let payloads = settling::layers(stand, &tag).into_iter().map(payload);
    let name = |payload: Value| payload["critical"]["identity"]["docker-reference"].clone();
    payloads
        .map(|payload| name(payload).as_str().expect("a name").to_owned())
        .collect()
}

fn both(stand: &Stand) -> [String; 2] {
    let repository = format!("{}/team/app", stand.registry.address());
    let named = format!("{repository}:1");
    [repository, named]
}

#[test]
fn an_image_is_signed_under_its_name_too_and_once() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[OCI, &[NAMES]].concat());
    let controller = stand.start();
    for name in ["first", "second"] {
        let run = stand.completed(name, tagged(&stand));
        let run = stand.wait_marked(&run);
        assert_eq!(annotation(&run, SIGNED), Some("true"));
        assert_eq!(annotation(&run, REASON), None);
        assert!(annotation(&run, RECORD).is_some());
        assert_eq!(names(&stand), both(&stand), "{name}");
    }
    drop(controller);
    let before = stand.marked();
    let _again = stand.start();
    let last = stand.completed("third", tagged(&stand));
    stand.wait_marked(&last);
    for run in before {
        let path = tekseal_harness::object_path(&run);
        let now = stand.api.get(&path).expect("it is there");
        assert_eq!(
            now["metadata"]["annotations"],
            run["metadata"]["annotations"]
        );
    }
    assert_eq!(names(&stand), both(&stand));
    stand.nothing_is_called_forged();
    let said = stand.verify(&stand.image()).ok().stdout;
    assert_eq!(said.matches("verified signature").count(), 2, "{said}");
    for version in ["2.6.5", "3.1.3"] {
        if let Some(cosign) = cosign(version) {
            cosign.verify(&stand.public_key(), &stand.image(), &[]).ok();
        }
    }
}

#[test]
fn an_image_without_a_tag_is_signed_as_ever_and_the_run_says_what_it_lacks() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(&[OCI, &[NAMES]].concat());
    let _controller = stand.start();
    let run = stand.completed("untagged", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    let reason = annotation(&run, REASON).unwrap_or_default();
    assert!(reason.contains("the results give it no tag"), "{reason}");
    assert_eq!(names(&stand), both(&stand)[..1]);
}

#[test]
fn a_name_is_in_no_bundle_and_in_no_annotation() {
    let Some(stand) = Stand::new() else { return };
    let both_layouts = ("storage.oci.encoding-format", "dsse,sigstore-bundle");
    let everywhere = ("artifacts.oci.storage", "oci,tekton");
    stand.configure(&[OCI, &[NAMES, both_layouts, everywhere]].concat());
    let _controller = stand.start();
    let run = stand.completed("build", tagged(&stand));
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    assert_eq!(names(&stand), both(&stand));
    let annotations = run["metadata"]["annotations"].as_object().expect("a map");
    let payloads = annotations.keys().filter(|key| key.contains("/payload-"));
    assert_eq!(payloads.count(), 1, "{annotations:?}");
    let list = stand
        .registry
        .manifest("team/app", &stand.digest.replace(':', "-"));
    let list = list.expect("an index of referrers").json();
    assert_eq!(
        list["manifests"].as_array().map(Vec::len),
        Some(2),
        "{list}"
    );
}

#[test]
fn both_signatures_are_stored_again_where_another_writer_took_them_away() {
    let Some(stand) = Stand::new() else { return };
    let (proxy, _) = stand.behind_proxy();
    let listed = format!("{},{}", stand.registry.address(), proxy.address());
    stand.configure(&[OCI, &[NAMES, ("tekseal.registries", &listed)]].concat());
    let results = results_at(proxy.address(), "team/app:1", &stand.digest);
    let fresh = marked(&stand, &proxy, results);
    assert_eq!(annotation(&fresh.run, SIGNED), Some("true"));
    assert_eq!(layers(&stand.registry, "team/app", &stand.digest, "sig"), 2);
    // One of ours is overwritten, the other is left.
    let [theirs, ours] = overwrite(&stand, &fresh.tag);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = settling::layers(&stand, &fresh.tag);
        if there.len() == 3 && there.contains(&theirs) && there.contains(&ours) {
            break;
        }
        assert!(Instant::now() < deadline, "ours is lost: {there:?}");
        sleep(Duration::from_millis(20));
    }
    let run = stand.wait(&fresh.run, |_| true);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    assert_ne!(theirs, json!(null));
}
