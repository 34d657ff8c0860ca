//! What is taken from an image, once it is verified.

use std::fs;

use serde_json::json;
use tekseal_harness::Run;

use super::render;
use crate::policy_check::{BUILDER, REPOSITORY, V02, attest, attested, v02};
use crate::workshop::Workshop;

fn from(shop: &Workshop, kind: &str, more: &[&str]) -> Run {
    let (_, public) = shop.plain_key();
    render(&[kind, "--from", &shop.image])
        .arg("--key")
        .arg(public)
        .args(more)
}

#[test]
fn what_is_not_given_is_taken_from_a_good_image_and_told() {
    let shop = Workshop::new();
    let (private, _) = shop.plain_key();
    shop.attest(&private);
    let said = from(&shop, "kyverno", &[]).ok();
    let address = shop.registry.address();
    for part in [
        format!("- \"{address}/team/app:*\"\n"),
        format!("- \"{address}/team/app@*\"\n"),
        "type: https://slsa.dev/provenance/v0.2\n".to_owned(),
        "key: \"{{ builder.id == 'urn:tekseal:step:v1' }}\"\n".to_owned(),
        "key: \"{{ buildType == 'tekton.dev/v1/TaskRun' }}\"\n".to_owned(),
        " --provenance v0.2 --builder-id ".to_owned(),
    ] {
        assert!(said.stdout.contains(&part), "{part}\n{}", said.stdout);
    }
    for told in [
        "taken from the image provenance=v0.2",
        "taken from the image builder-id=",
        "taken from the image build-type=tekton.dev/v1/TaskRun",
        "taken from the image layout=tags",
        "taken from the image images=",
        "names no source repository",
    ] {
        assert!(said.stderr.contains(told), "{told}\n{}", said.stderr);
    }
    assert!(!said.stdout.contains("--from"), "{}", said.stdout);
    // What is given stays.
    let said = from(
        &shop,
        "kyverno",
        &[
            "--builder-id",
            "urn:other",
            "--images",
            "registry.example/*",
        ],
    )
    .ok();
    assert!(
        said.stdout.contains("{{ builder.id == 'urn:other' }}"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains(address), "{}", said.stdout);
    // What of it the image itself does not satisfy is told.
    for told in [
        "warning: the image itself does not satisfy the policy rule=builder found=",
        " wanted=urn:other",
        "warning: the policy does not apply to the image itself: --images names others",
    ] {
        assert!(said.stderr.contains(told), "{told}\n{}", said.stderr);
    }
    // Into a file, whole or not at all.
    let path = shop.path("policy.rego");
    let out = path.display().to_string();
    let said = from(&shop, "rego-cosign", &["--out", &out]).ok();
    assert!(said.stdout.is_empty(), "{}", said.stdout);
    let module = fs::read_to_string(&path).expect("it is written");
    assert!(
        module.starts_with("# tekseal-policy render rego-cosign --provenance v0.2"),
        "{module}"
    );
}

#[test]
fn of_a_pipeline_with_several_sources_the_one_that_is_given_counts() {
    let mut predicate = v02(BUILDER);
    let pipeline =
        json!({"uri": "git+https://git.example.com/acme/pipelines.git", "digest": {"sha1": "c"}});
    if let Some(materials) = predicate["materials"].as_array_mut() {
        materials.insert(0, pipeline);
    }
    let shop = attested(&[(V02, predicate)]);
    let said = from(&shop, "kyverno", &[]).fails_with(1);
    for told in [
        "several sources: https://git.example.com/acme/app, https://git.example.com/acme/pipelines",
        "hint: say which counts: --source-repository",
    ] {
        assert!(said.stderr.contains(told), "{told}\n{}", said.stderr);
    }
    let said = from(&shop, "kyverno", &["--source-repository", REPOSITORY]).ok();
    assert!(
        said.stdout
            .contains(&format!("--source-repository {REPOSITORY}\n")),
        "{said:?}"
    );
    assert!(!said.stderr.contains("the image itself"), "{said:?}");
    let other = "https://git.example.com/acme/other";
    let said = from(&shop, "rego-opa", &["--source-repository", other]).ok();
    assert!(
        said.stderr.contains("rule=source-repository")
            && said.stderr.contains(&format!("wanted={other}")),
        "{said:?}"
    );
}

#[test]
fn an_image_that_is_only_attested_is_refused_with_what_helps_here() {
    let shop = Workshop::new();
    attest(&shop, &shop.image, V02, &v02(BUILDER));
    let said = from(&shop, "kyverno", &[]).fails_with(1);
    assert!(
        said.stderr.contains("every policy demands a signature") && !said.stderr.contains("--only"),
        "{said:?}"
    );
    let shop = attested(&[]);
    let said = from(&shop, "kyverno", &[]).fails_with(1);
    assert!(
        said.stderr.contains("--provenance none") && !said.stderr.contains("--only"),
        "{said:?}"
    );
}

#[test]
fn an_image_that_is_not_good_shows_nothing() {
    let shop = Workshop::new();
    let said = from(&shop, "kyverno", &[]).fails_with(1);
    assert!(
        said.stdout.is_empty() && said.stderr.contains("no signature found"),
        "{said:?}"
    );
    let (private, _) = shop.key_pair("other");
    shop.attest(&private);
    let said = from(&shop, "kyverno", &[]).fails_with(1);
    assert!(
        said.stdout.is_empty() && said.stderr.contains("no valid signature"),
        "{said:?}"
    );
}

#[test]
fn an_image_without_what_the_policy_looks_for_is_refused() {
    let shop = Workshop::new();
    let (private, _) = shop.plain_key();
    shop.attest(&private);
    let said = from(&shop, "kyverno", &["--provenance", "v1"]).fails_with(1);
    assert!(said.stderr.contains("no such provenance"), "{said:?}");
    let said = from(&shop, "kyverno", &["--layout", "bundle"]).fails_with(1);
    assert!(said.stderr.contains("not both there as bundle"), "{said:?}");
    let said = from(&shop, "kyverno", &["--provenance", "none"]).ok();
    assert!(!said.stdout.contains("attestations"), "{}", said.stdout);
}
