//! Images that somebody prepared: signatures of others, provenance that looks like another, lists without end.

use serde_json::{Value, json};
use tekseal_harness::{Proxy, Run};

use super::{
    BUILDER, BUILT, EVIL, V1, V02, attest, attested, check, failed, failing, judged, line, passes,
    sign, tag, v02,
};
use crate::verify::measured;
use crate::workshop::{Workshop, run_document};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The flags of a rule on the builder, of attestations alone.
const ATTESTATION: [&str; 4] = ["--builder-id", BUILDER, "--only", "attestation"];

#[test]
fn what_another_key_signed_is_nothing() {
    let shop = Workshop::new();
    let (other, _) = shop.key_pair("other");
    shop.attest(&other);
    let said = judged(&shop, &BUILT).fails_with(1);
    assert_eq!(
        failed(&said),
        ["signature", "attestation", "provenance", "builder"]
    );
    assert!(
        line(&said, "signature").contains("no valid signature"),
        "{said:?}"
    );
    // Beside good ones it neither helps nor hurts.
    sign(&shop);
    attest(&shop, &shop.image, V02, &v02(BUILDER));
    passes(&shop, &BUILT);
}

#[test]
fn signatures_of_another_image_are_none_of_this_one() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let victim = shop.registry.push_image("team/app", "2");
    for suffix in ["sig", "att"] {
        let good = shop
            .registry
            .manifest("team/app", &tag(&shop.digest, suffix));
        let bytes = good.expect("it was signed").bytes;
        shop.registry
            .put_manifest("team/app", &tag(&victim.digest, suffix), MANIFEST, &bytes);
    }
    let said = check(&shop, &BUILT).arg(&victim.reference).fails_with(1);
    assert_eq!(
        failed(&said),
        ["signature", "attestation", "provenance", "builder"]
    );
}

#[test]
fn a_statement_about_several_images_counts_for_each_of_them_and_no_other() {
    let shop = Workshop::new();
    let (key, _) = shop.plain_key();
    let second = shop.registry.push_image("team/app", "2");
    let third = shop.registry.push_image("team/app", "3");
    let both = format!("{},{}", shop.image, second.reference);
    let run = run_document(json!([{"name": "IMAGES", "value": both}]));
    let run = shop.file("both.json", run.to_string());
    shop.attest_command(&run, &key)
        .args(["--builder-id", BUILDER])
        .ok();
    let said = check(&shop, &BUILT)
        .args([&shop.image, &second.reference, &third.reference])
        .fails_with(1);
    assert!(
        said.stdout
            .contains(&format!("pass  {}  4 of 4", shop.image)),
        "{said:?}"
    );
    assert!(
        said.stdout
            .contains(&format!("pass  {}  4 of 4", second.reference)),
        "{said:?}"
    );
    assert!(
        said.stdout
            .contains(&format!("FAIL  {}  0 of 4", third.reference)),
        "{said:?}"
    );
    assert!(
        said.stdout.ends_with("FAIL  2 of 3 images pass\n"),
        "{said:?}"
    );
}

#[test]
fn predicates_without_a_builder_or_of_another_shape_satisfy_nothing() {
    let shapes = [
        json!({}),
        json!({"builder": {"id": ""}}),
        json!({"builder": {"id": [BUILDER]}}),
        json!({"Builder": {"id": BUILDER}, "builder": {"ID": BUILDER}}),
        json!({"runDetails": {"builder": {"id": BUILDER}}}),
        json!({"builder": {"id": format!("{BUILDER}/")}}),
        json!({"builder": {"id": format!("{BUILDER}\u{0}")}}),
        json!({"builder": {"id": "https://t\u{435}kton.dev/chains/v2"}}),
    ];
    for predicate in shapes {
        let shop = Workshop::new();
        attest(&shop, &shop.image, V02, &predicate);
        let said = judged(&shop, &ATTESTATION).fails_with(1);
        assert_eq!(failed(&said), ["builder"], "{predicate}");
        let is_visible = |c: char| c == '\n' || (' '..='~').contains(&c);
        assert!(said.stdout.chars().all(is_visible), "{said:?}");
    }
    // Under another type it is no provenance at all.
    let shop = Workshop::new();
    let other = "https://example.com/provenance";
    attest(&shop, &shop.image, other, &v02(BUILDER));
    assert_eq!(failing(&shop, &ATTESTATION), ["provenance", "builder"]);
}

#[test]
fn a_builder_that_forges_lines_stays_in_its_own() {
    let shop = attested(&[(V02, v02("x\"\npass  builder  found y\u{1b}[2J\u{202e}"))]);
    let said = judged(&shop, &BUILT).fails_with(1);
    assert_eq!(failed(&said), ["builder"]);
    assert_eq!(said.stdout.lines().count(), 5, "{said:?}");
    assert!(!said.stdout.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}

#[test]
fn a_repository_in_the_query_of_another_is_not_it() {
    let good = super::REPOSITORY;
    for uri in [
        format!("https://evil.example.com/x?git+{good}"),
        format!("https://evil.example.com/x#{good}"),
        format!("{good}@evil.example.com/x"),
        format!("{good}/../evil"),
    ] {
        let mut predicate = v02(BUILDER);
        predicate["materials"][0]["uri"] = json!(uri);
        let shop = attested(&[(V02, predicate)]);
        assert_eq!(
            failing(&shop, &["--source-repository", good]),
            ["source-repository"],
            "{uri}"
        );
    }
}

/// Under the tag of attestations: the layers that there are, again and again up to `count`, with annotations that tell them apart.
fn multiplied(shop: &Workshop, count: usize) {
    let name = tag(&shop.digest, "att");
    let manifest = shop.registry.manifest("team/app", &name).expect("attested");
    let mut manifest = manifest.json();
    let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
    let last = layers.len() - 1;
    // The first once, in the last place; the others before it.
    let mut many: Vec<Value> = (0..count - 1)
        .map(|at| layers[1 + at % last].clone())
        .collect();
    for (at, layer) in many.iter_mut().enumerate() {
        layer["annotations"]["at"] = json!(at.to_string());
    }
    many.push(layers[0].clone());
    manifest["layers"] = json!(many);
    let bytes = manifest.to_string();
    shop.registry
        .put_manifest("team/app", &name, MANIFEST, bytes.as_bytes());
}

#[test]
fn one_foreign_statement_among_a_thousand_is_found_in_little_memory() {
    let shop = attested(&[
        (V02, v02(EVIL)),
        (V02, v02(BUILDER)),
        (V1, super::v1(BUILDER)),
    ]);
    multiplied(&shop, 1000);
    let (said, peak) = measured(check(&shop, &BUILT).arg(&shop.image));
    let said = said.fails_with(1);
    assert_eq!(failed(&said), ["builder"]);
    assert!(
        line(&said, "builder").ends_with("failing 1 of 1000"),
        "{said:?}"
    );
    assert!(peak < 64.0, "{peak} MiB");
    let any = [&BUILT[..], &["--match", "any"]].concat();
    passes(&shop, &any);
    passes(&shop, &[&BUILT[..], &["--provenance", "v1"]].concat());

    // One more, and nobody looks at any of them.
    multiplied(&shop, 1001);
    let said = judged(&shop, &any).fails_with(1);
    assert!(
        line(&said, "attestation").contains("1001 layers, more than 1000"),
        "{said:?}"
    );
}

#[test]
fn what_was_not_looked_at_is_not_taken_for_good() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let proxy = Proxy::start(shop.registry.address());
    let image = shop.image.replace(shop.registry.address(), proxy.address());
    let referrers = format!("/manifests/{}", shop.digest.replace(':', "-"));
    let entry = |at: usize| json!({"mediaType": MANIFEST, "size": 900, "digest": tekseal_harness::digest(&at.to_be_bytes())});
    let many: Vec<Value> = (0..1001).map(entry).collect();
    let index = "application/vnd.oci.image.index.v1+json";
    let list = json!({"schemaVersion": 2, "mediaType": index, "manifests": many}).to_string();
    let ends = referrers.clone();
    proxy.when(move |seen| seen.path.ends_with(&ends)).answer(
        200,
        &[("Content-Type", index)],
        list.as_bytes(),
    );
    let said = check(&shop, &BUILT).arg(&image).fails_with(1);
    assert_eq!(failed(&said), ["completeness"]);
    assert!(
        line(&said, "completeness").contains("1001 manifests name the image"),
        "{said:?}"
    );
    // One that satisfies the rules is enough for any.
    check(&shop, &BUILT)
        .args(["--match", "any"])
        .arg(&image)
        .ok();

    // For now is not for ever: neither yes nor no.
    let proxy = Proxy::start(shop.registry.address());
    let image = shop.image.replace(shop.registry.address(), proxy.address());
    proxy
        .when(move |seen| seen.path.ends_with(&referrers))
        .answer(503, &[], b"");
    let said = check(&shop, &BUILT).arg(&image).fails_with(3);
    assert!(
        said.stdout.contains("????  ")
            && said.stdout.contains("not all attestations could be read"),
        "{said:?}"
    );
    // What is found wrong is wrong whatever else there is.
    let said = check(&shop, &["--builder-id", EVIL])
        .arg(&image)
        .fails_with(1);
    assert_eq!(failed(&said), ["builder", "completeness"]);
}

#[test]
fn an_image_that_is_not_there_does_not_pass() {
    let shop = Workshop::new();
    let tagged = format!("{}/team/app:gone", shop.registry.address());
    let said = check(&shop, &BUILT).arg(&tagged).fails_with(1);
    assert_eq!(failed(&said), ["image"]);
    let absent = shop
        .registry
        .reference("team/app", &format!("sha256:{}", "a".repeat(64)));
    let said = check(&shop, &BUILT).arg(&absent).fails_with(1);
    assert_eq!(failed(&said).len(), 4, "{said:?}");
}

#[test]
fn a_registry_that_is_slow_without_end_is_left_in_time() {
    let shop = attested(&[(V02, v02(BUILDER))]);
    let proxy = Proxy::start(shop.registry.address());
    let gate = proxy.on("GET", ".att").stall(10);
    let image = shop.image.replace(shop.registry.address(), proxy.address());
    let run: Run = check(&shop, &BUILT).args(["--timeout", "2"]).arg(&image);
    let said = run.fails_with(3);
    assert!(said.stdout.contains("not done after 2 seconds"), "{said:?}");
    drop(gate);
}
