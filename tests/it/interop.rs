//! Both directions with the real cosign 2 and 3: what ours writes, they accept; what they write, ours accepts.

use std::path::Path;

use tekseal_harness::{Cosign, Layout, Run, cosign};

use crate::workshop::{PASSWORD, Pipeline, Workshop};

const VERSIONS: [&str; 2] = ["2.6.5", "3.1.3"];

/// Runs `test` with each cosign that is there; under CI a missing one fails.
fn with_each(test: impl Fn(&Cosign)) {
    for version in VERSIONS {
        if let Some(cosign) = cosign(version) {
            test(&cosign);
        }
    }
}

#[test]
fn cosign_accepts_the_signature_and_the_attestation_that_ours_wrote() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    shop.attest(&key);
    with_each(|cosign| {
        cosign.verify(&public, &shop.image, &[]).ok();
        cosign
            .verify_attestation(&public, "slsaprovenance", &shop.image, &[])
            .ok();
    });
}

#[test]
fn a_pipelinerun_leaves_both_versions_of_provenance_beside_its_image_and_cosign_accepts_both() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    let pipeline = Pipeline::of(shop.registry.address(), &shop.digest);
    // The workshop has its image in another repository than the examples.
    for name in ["pipelinerun.json", "children/build.json"] {
        let text = pipeline.json(name).to_string();
        pipeline.write(name, &text.replace("/demo/app:1.0", "/team/app:1"));
    }
    let attest = || {
        shop.attest_command(&pipeline.path("pipelinerun.json"), &key)
            .arg("--children")
            .arg(pipeline.path("children"))
            .arg("--config")
            .arg(pipeline.path("chains-config.json"))
            .ok()
    };
    let types = [
        ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
        ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ];
    for stored in ["\nstored image=", "\nalready stored image="] {
        let said = attest().stderr;
        assert_eq!(
            said.matches(stored).count(),
            1,
            "a line for the one tag: {said}"
        );
        let layers = shop.layers("att");
        let written = layers
            .iter()
            .map(|layer| layer["annotations"]["predicateType"].as_str());
        assert!(
            written.eq(types.map(|(_, uri)| Some(uri))),
            "two layers under one tag: {layers:?}"
        );
        assert!(
            shop.layers("sig").is_empty(),
            "a PipelineRun signs no image"
        );
    }
    for (name, uri) in types {
        let said = verify(&public, &shop.image)
            .args(["--only", "attestation", "--type", name])
            .ok();
        let wanted = format!("type={uri} builder=https://tekton.dev/chains/v2 ");
        assert!(said.stdout.contains(&wanted), "{}", said.stdout);
        with_each(|cosign| {
            let said = cosign
                .verify_attestation(&public, name, &shop.image, &[])
                .ok();
            assert_eq!(said.stdout.lines().count(), 1, "{}", said.stdout);
        });
    }
}

#[test]
fn cosign_and_ours_refuse_another_key_a_tampered_image_and_an_unsigned_one() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    let (_, other) = shop.key_pair("other");
    shop.attest(&key);

    let tampered = shop.registry.push_image("team/app", "tampered").digest;
    for suffix in ["sig", "att"] {
        let good = shop
            .registry
            .manifest(
                "team/app",
                &format!("{}.{suffix}", shop.digest.replace(':', "-")),
            )
            .expect("just stored");
        let tag = format!("{}.{suffix}", tampered.replace(':', "-"));
        shop.registry
            .put_manifest("team/app", &tag, &good.media_type, &good.bytes);
    }
    let tampered = shop.registry.reference("team/app", &tampered);
    let unsigned = shop.registry.push_image("team/unsigned", "1").digest;
    let unsigned = shop.registry.reference("team/unsigned", &unsigned);

    for (image, key) in [
        (&shop.image, &other),
        (&tampered, &public),
        (&unsigned, &public),
    ] {
        for only in ["signature", "attestation"] {
            let refused = verify(key, image).args(["--only", only]).fails_with(1);
            assert_eq!(refused.stdout, "", "nothing unverified is printed");
        }
        with_each(|cosign| {
            assert_ne!(cosign.verify(key, image, &[]).code(), Some(0), "{image}");
            assert_ne!(
                cosign
                    .verify_attestation(key, "slsaprovenance", image, &[])
                    .code(),
                Some(0),
                "{image}"
            );
        });
    }
}

#[test]
fn ours_accepts_what_cosign_wrote_under_its_tags() {
    with_each(|cosign| {
        let shop = Workshop::new();
        let (key, public) = cosign.generate_key_pair(&shop.path(""), PASSWORD);
        cosign.sign(&key, PASSWORD, &shop.image, Layout::Tags).ok();
        let predicate =
            tekseal_harness::fixtures().join("cosign-samples/inputs/predicate-slsa02.json");
        cosign
            .attest(
                &key,
                PASSWORD,
                "slsaprovenance",
                &predicate,
                &shop.image,
                Layout::Tags,
            )
            .ok();
        let said = verify(&public, &shop.image)
            .args(["--type", "slsaprovenance"])
            .ok();
        assert!(
            said.stdout.contains("verified signature")
                && said.stdout.contains("verified attestation"),
            "{}",
            said.stdout
        );
    });
}

#[test]
fn keys_made_by_either_side_open_on_the_other() {
    with_each(|cosign| {
        let shop = Workshop::new();
        let (theirs, their_public) = cosign.generate_key_pair(&shop.path(""), PASSWORD);
        shop.attest(&theirs);
        verify(&their_public, &shop.image).ok();
        cosign.verify(&their_public, &shop.image, &[]).ok();

        let (ours, our_public) = shop.key_pair("ours");
        cosign.sign(&ours, PASSWORD, &shop.image, Layout::Tags).ok();
        verify(&our_public, &shop.image)
            .args(["--only", "signature"])
            .ok();
    });
}

#[test]
fn a_signature_that_cosign_made_with_the_same_key_is_not_added_again() {
    with_each(|cosign| {
        let shop = Workshop::new();
        let (key, _) = shop.key_pair("ours");
        cosign.sign(&key, PASSWORD, &shop.image, Layout::Tags).ok();
        shop.attest(&key);
        assert_eq!(
            shop.layers("sig").len(),
            1,
            "the payload is the same and so is the signer"
        );
        cosign.sign(&key, PASSWORD, &shop.image, Layout::Tags).ok();
        assert_eq!(
            shop.layers("sig").len(),
            1,
            "cosign too takes ours for its own"
        );
    });
}

fn verify(key: &Path, image: &str) -> Run {
    Run::tool("tekseal-verify").arg("--key").arg(key).arg(image)
}
