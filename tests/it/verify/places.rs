//! Where signatures lie: under cosign's tags, in bundles that name the image, in both. A good one is one wherever it is, and the output says where.

use serde_json::Value;
use tekseal_harness::{Layout, Output, Proxy, Registry, Run, cosign, digest};

use super::specimen::{INDEX, SIGN, Specimen, list, tag};
use super::{IMAGE, by_key, file, hints, refused, replayed, verify};

/// What was found, as `what key place`: the key `a` or `b`, and the tag or the referrer that has it.
fn found(output: &Output) -> Vec<String> {
    let report = &output.json()[0];
    let items = |what: &str| report[what].as_array().cloned().unwrap_or_default();
    let tell = |what: &str, item: &Value| {
        let place = match (&item["tag"], &item["referrer"]) {
            (Value::String(tag), Value::Null) => format!("tag {tag}"),
            (Value::Null, Value::String(digest)) => format!("referrer {digest}"),
            other => panic!("it is in one place: {other:?}"),
        };
        format!("{what} {place}")
    };
    let signatures = items("signatures");
    let signatures = signatures.iter().map(|item| tell("signature", item));
    let attestations = items("attestations");
    let attestations = attestations.iter().map(|item| {
        let kind = item["predicateType"].as_str().unwrap_or_default();
        tell(kind, item)
    });
    signatures.chain(attestations).collect()
}

fn json(key: &str, only: &str) -> Run {
    let key = file(&format!("{key}.pub"));
    verify(&["--output", "json", "--key", &key, "--only", only])
}

const SLSA02: &str = "https://slsa.dev/provenance/v0.2";
const SLSA1: &str = "https://slsa.dev/provenance/v1";

#[test]
fn every_place_where_cosign_puts_signatures_is_looked_at_and_named() {
    let registry = Registry::start();
    let under = |suffix: &str| format!("tag {}", tag(suffix));
    let (sig, att) = (under(".sig"), under(".att"));
    let referrer = |hex: &str| format!("referrer sha256:{hex}");
    let cases = [
        (
            "sign-v2-notlog",
            "signature",
            vec![format!("signature {sig}")],
        ),
        (
            "sign-v2-dockermediatypes",
            "signature",
            vec![format!("signature {sig}")],
        ),
        (
            "sign-v3-legacy-notlog",
            "signature",
            vec![format!("signature {sig}")],
        ),
        (
            "attest-v2-notlog",
            "attestation",
            vec![format!("{SLSA02} {att}"), format!("{SLSA1} {att}")],
        ),
        (
            "sign-v3-bundle-rekor1",
            "signature",
            vec![format!(
                "signature {}",
                referrer("f5ab8118e0ee2b9b6634da7c66b1c01fecd2ec8b260b2c36d2ce74fc19f3f4fc")
            )],
        ),
        (
            "sign-v2-oci11",
            "signature",
            vec![format!(
                "signature {}",
                referrer("04fd641a23b126f2303f223824434e3a1491bd24d0504b0812b1ec77a0ab91ae")
            )],
        ),
        (
            "mixed-legacy-and-foreign-bundle",
            "signature",
            vec![format!("signature {sig}")],
        ),
    ];
    for (case, only, wanted) in cases {
        let image = replayed(&registry, case);
        assert_eq!(found(&json("a", only).arg(image).ok()), wanted, "{case}");
    }
    let image = replayed(&registry, "attest-v3-bundle-notlog");
    let mut kinds = found(&json("a", "attestation").arg(image).ok());
    kinds.sort();
    assert!(
        matches!(&kinds[..], [a, b] if a.starts_with(SLSA02) && b.starts_with(SLSA1) && kinds.iter().all(|k| k.contains(" referrer sha256:"))),
        "{kinds:?}"
    );
}

#[test]
fn a_foreign_bundle_hides_no_good_signature_and_is_none_itself() {
    let registry = Registry::start();
    let image = replayed(&registry, "mixed-legacy-and-foreign-bundle");
    by_key(&[]).arg(&image).ok();
    let theirs = found(&json("b", "attestation").arg(&image).ok());
    assert!(
        matches!(&theirs[..], [one] if one.starts_with(&format!("{SLSA1} referrer "))),
        "{theirs:?}"
    );
    let by_other = verify(&["--only", "signature", "--key", &file("b.pub")]).arg(&image);
    let said = refused(by_other, 1, "no valid signature: layer sha256:a38df58c");
    assert!(hints(&said, "signed with another key"), "{said:?}");
    let by_a = verify(&["--only", "attestation", "--key", &file("a.pub")]).arg(&image);
    refused(by_a, 1, "no valid attestation: layer sha256:b391e019");
    if let Some(cosign) = cosign("3.1.3") {
        let key = super::samples().join("keys/a.pub");
        let said = cosign.verify(&key, &image, &[]);
        assert_ne!(
            said.code(),
            Some(0),
            "cosign looks at bundles alone: {said:?}"
        );
    }
}

#[test]
fn an_attestation_is_no_signature_and_a_signature_is_no_attestation() {
    let registry = Registry::start();
    let attested = replayed(&registry, "attest-v3-bundle-notlog");
    let said = refused(by_key(&[]).arg(&attested), 1, "no signature found");
    assert!(
        hints(
            &said,
            "an attestation is no signature of the image: --only attestation"
        ),
        "{said:?}"
    );
    let both = verify(&["--key", &file("a.pub")]).arg(&attested);
    let said = refused(both, 1, "no signature found");
    assert!(
        hints(&said, "an attestation is no signature of the image"),
        "{said:?}"
    );
    if let Some(cosign) = cosign("3.1.3") {
        let key = super::samples().join("keys/a.pub");
        cosign.verify(&key, &attested, &[]).ok();
    }

    let signed = replayed(&registry, "sign-v3-bundle-notlog");
    let only = |flags: &[&str]| {
        let key = file("a.pub");
        verify(&["--key", &key, "--only", "attestation"])
            .args(flags)
            .arg(&signed)
    };
    refused(only(&[]), 1, "no attestation found");
    refused(
        only(&["--type", "slsaprovenance1"]),
        1,
        "no attestation found",
    );
    // Whoever asks for the predicate of a signature by its name gets it.
    only(&["--type", SIGN]).ok();
    let both = verify(&["--key", &file("a.pub")]).arg(&signed);
    let said = refused(both, 1, "no attestation found");
    assert!(
        hints(&said, "--only signature checks the image signature alone"),
        "{said:?}"
    );
}

#[test]
fn annotations_are_found_in_payloads_and_in_subjects_of_bundles() {
    let registry = Registry::start();
    for case in ["sign-v2-annotations-two-keys", "sign-v3-bundle-notlog"] {
        let image = replayed(&registry, case);
        by_key(&["-a", "env=prod"]).arg(&image).ok();
        let wrong = by_key(&["-a", "env=dev"]).arg(&image);
        refused(
            wrong,
            1,
            "missing or incorrect annotation: \"env\" is \"prod\", wanted \"dev\"",
        );
        let more = by_key(&["-a", "env=prod", "-a", "x=y"]).arg(&image);
        refused(
            more,
            1,
            "missing or incorrect annotation: \"x\" is nothing, wanted \"y\"",
        );
    }
}

/// A registry that lists referrers itself, which docker-registry does not: a proxy answers for it. There is no fallback tag.
fn with_api(
    registry: &Registry,
    specimen: &Specimen,
    artifact_type: Option<&str>,
) -> (Proxy, String) {
    let repository = format!("api-{}", artifact_type.map_or(0, str::len));
    specimen.publish(registry, &repository);
    let fallback = registry
        .manifest(&repository, &tag(""))
        .expect("just published");
    registry.delete_manifest(&repository, &fallback.digest);
    let mut descriptor = specimen.descriptor();
    if let Some(kind) = artifact_type {
        descriptor["artifactType"] = kind.into();
    }
    let proxy = Proxy::start(registry.address());
    let answer = list(&[descriptor]);
    proxy
        .on("GET", "/referrers/")
        .answer(200, &[("Content-Type", INDEX)], &answer);
    let image = format!("{}/{repository}@{IMAGE}", proxy.address());
    (proxy, image)
}

#[test]
fn a_registry_that_lists_referrers_itself_is_asked_for_no_other_list() {
    let registry = Registry::start();
    let bundle = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    // Some registries say of what kind the configuration is.
    for kind in [None, Some("application/vnd.oci.empty.v1+json")] {
        let (proxy, image) = with_api(&registry, &bundle, kind);
        let said = json("a", "signature").arg(&image).ok();
        let wanted = format!("signature referrer {}", digest(&bundle.bytes()));
        assert_eq!(found(&said), [wanted], "{kind:?}");
        assert_eq!(proxy.count_of("GET", &format!("/referrers/{IMAGE}")), 1);
        let fallback = format!("/manifests/{}", tag(""));
        assert!(
            !proxy
                .seen()
                .iter()
                .any(|seen| seen.path.ends_with(&fallback))
        );
        if let Some(cosign) = cosign("3.1.3") {
            let key = super::samples().join("keys/a.pub");
            cosign.verify(&key, &image, &[]).ok();
        }
    }
}

#[test]
fn a_registry_that_lists_no_referrers_has_none_whatever_the_fallback_tag_says() {
    let registry = Registry::start();
    replayed(&registry, "sign-v3-bundle-rekor1");
    let proxy = Proxy::start(registry.address());
    proxy
        .on("GET", "/referrers/")
        .answer(200, &[("Content-Type", INDEX)], &list(&[]));
    let image = format!("{}/sign-v3-bundle-rekor1@{IMAGE}", proxy.address());
    refused(by_key(&[]).arg(&image), 1, "no signature found");
}

#[test]
fn a_referrers_api_that_fails_is_the_outside_s_fault_unless_a_good_signature_is_elsewhere() {
    let registry = Registry::start();
    let proxy = Proxy::start(registry.address());
    proxy.on("GET", "/referrers/").answer(500, &[], b"");
    let behind = |case: &str| {
        replayed(&registry, case);
        format!("{}/{case}@{IMAGE}", proxy.address())
    };
    by_key(&[]).arg(behind("sign-v2-notlog")).ok();
    let unsigned = by_key(&[]).arg(behind("unsigned"));
    refused(
        unsigned,
        3,
        "no valid signature, but not everything could be read: the referrers: ",
    );
}

#[test]
fn an_image_that_nobody_signed_says_so() {
    let registry = Registry::start();
    let image = replayed(&registry, "unsigned");
    let said = refused(by_key(&[]).arg(&image), 1, "no signature found");
    assert!(hints(&said, "nobody signed this image"), "{said:?}");
    let sbom = replayed(&registry, "sbom-v2");
    refused(by_key(&[]).arg(&sbom), 1, "no signature found");
}

#[test]
fn what_cosign_3_writes_in_either_layout_is_found_in_both() {
    let Some(cosign) = cosign("3.1.3") else {
        return;
    };
    let registry = Registry::start();
    let image = registry.push_image("team/app", "1").reference;
    let keys = super::samples().join("keys");
    let (key, password) = (keys.join("a.key"), "test");
    let predicate = super::samples().join("inputs/predicate-slsa1.json");
    let run = || {
        let key = file("a.pub");
        verify(&[
            "--output",
            "json",
            "--key",
            &key,
            "--type",
            "slsaprovenance1",
        ])
        .arg(&image)
    };
    let places = |wanted: &[(&str, &str)]| {
        let found = found(&run().ok());
        let is_as = |(found, (what, place)): (&String, &(&str, &str))| {
            found.starts_with(what) && found.contains(place)
        };
        let is_all = found.len() == wanted.len() && found.iter().zip(wanted).all(is_as);
        assert!(is_all, "{found:?}");
    };
    cosign.sign(&key, password, &image, Layout::Bundles).ok();
    refused(run(), 1, "no attestation found");
    let attest = |layout| {
        cosign
            .attest(
                &key,
                password,
                "slsaprovenance1",
                &predicate,
                &image,
                layout,
            )
            .ok()
    };
    attest(Layout::Bundles);
    places(&[("signature", "referrer"), (SLSA1, "referrer")]);
    cosign.sign(&key, password, &image, Layout::Tags).ok();
    attest(Layout::Tags);
    places(&[
        ("signature", ".sig"),
        ("signature", "referrer"),
        (SLSA1, ".att"),
        (SLSA1, "referrer"),
    ]);
}
