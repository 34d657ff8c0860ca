//! What is written on runs, and what of it is believed.

use serde_json::{Value, json};
use tekseal_harness::{cosign, object_path};

use super::stand::{OCI, REASON, RECORD, SIGNED, Stand, annotation};

#[test]
fn a_completed_run_is_signed_and_cosign_verifies_it() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    assert_eq!(annotation(&run, REASON), None);
    stand.verify(&stand.image()).ok();
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        cosign.verify(&stand.public_key(), &stand.image(), &[]).ok();
        cosign
            .verify_attestation(&stand.public_key(), "slsaprovenance", &stand.image(), &[])
            .ok();
    }
}

#[test]
fn a_mark_without_our_record_is_reported_and_the_run_is_signed() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let controller = stand.start();
    // The first start must lie before the completion of what is forged.
    let first = stand.completed("first", json!([]));
    let first = stand.wait_marked(&first);
    drop(controller);

    let forged = stand.created("forged");
    let path = object_path(&forged);
    stand.api.patch(
        &path,
        &json!({"metadata": {"annotations": {SIGNED: "true"}}}),
    );
    let copied = stand.created("copied");
    let record = annotation(&first, RECORD).expect("it was recorded");
    let marks = json!({SIGNED: annotation(&first, SIGNED), RECORD: record});
    let copied_path = object_path(&copied);
    stand
        .api
        .patch(&copied_path, &json!({"metadata": {"annotations": marks}}));
    for run in [&forged, &copied] {
        let run = stand.api.get(&object_path(run)).expect("it is there");
        stand.complete(run, stand.image_results());
    }

    let _controller = stand.start();
    for run in [&forged, &copied] {
        let believed = |run: &Value| annotation(run, RECORD).is_some_and(|r| r != record);
        let run = stand.wait(run, believed);
        assert_eq!(annotation(&run, SIGNED), Some("true"));
        stand.wait_event(&run, "ForgedMark");
    }
    stand.verify(&stand.image()).ok();
}

#[test]
fn nothing_to_sign_is_not_called_signed() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let run = stand.completed(
        "no-hints",
        json!([{"name": "IMAGE_URI", "type": "string", "value": "x"}]),
    );
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("nothing"));
    let reason = annotation(&run, REASON).expect("it says why");
    let slip = "; result IMAGE_URI: is no hint: it is nearly IMAGE_URL; tekseal-explain says more";
    assert!(
        reason.contains("no subject") && reason.ends_with(slip),
        "{reason}"
    );
}

#[test]
fn a_run_that_goes_on_is_held_and_let_go_when_it_is_signed() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let run = stand.created("held");
    let held = |run: &Value| run["metadata"]["finalizers"] == json!(["chains.tekton.dev/taskrun"]);
    let run = stand.wait(&run, held);
    stand.api.delete(&object_path(&run));
    // It goes on and was deleted: nobody waits for its end.
    stand.wait_gone(&run);

    let run = stand.created("signed");
    let run = stand.wait(&run, held);
    let run = stand.complete(run, stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(run["metadata"]["finalizers"], Value::Null);
}

#[test]
fn starting_over_signs_again() {
    let Some(stand) = Stand::new() else { return };
    stand.configure(OCI);
    let _controller = stand.start();
    let absent = "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    let run = stand.completed("absent", stand.results_of("team/app", absent));
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("failed"));
    let reason = annotation(&run, REASON).expect("it says why");
    assert!(reason.contains("is not in its registry"), "{reason}");
    stand.wait_event(&run, "SigningFailed");

    stand.configure(&[OCI, &[("tekseal.absent-images", "insecure-sign")]].concat());
    let none = json!({SIGNED: null, RECORD: null, REASON: null});
    stand.api.patch(
        &object_path(&run),
        &json!({"metadata": {"annotations": none}}),
    );
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
}
