//! Beside Rekor v2 and a timestamp authority, which need no database: cosign verifies what it made, and refuses what it should.

use tekseal_harness::{Layout, Registry, RekorV2, Services, TimestampAuthority, cosign};

use super::artifacts::{
    Artifact, Log, Recipe, Signer, Signery, Timestamp, VERSIONS, made_and_verified,
};

/// All that needs no more than these services.
fn with_a_key(version: &'static str, layout: Layout, artifact: Artifact) {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let mut recipes = Recipe::all(version, layout, artifact);
    recipes.retain(|recipe| !recipe.needs_sigstore());
    made_and_verified(&signery, artifact, &recipes);
}

#[test]
fn cosign_2_signs_under_tags() {
    with_a_key("2.6.5", Layout::Tags, Artifact::Signature);
}

#[test]
fn cosign_2_attests_under_tags() {
    with_a_key("2.6.5", Layout::Tags, Artifact::Attestation);
}

#[test]
fn cosign_2_signs_in_bundles() {
    with_a_key("2.6.5", Layout::Bundles, Artifact::Signature);
}

#[test]
fn cosign_2_attests_in_bundles() {
    with_a_key("2.6.5", Layout::Bundles, Artifact::Attestation);
}

#[test]
fn cosign_3_signs_under_tags() {
    with_a_key("3.1.3", Layout::Tags, Artifact::Signature);
}

#[test]
fn cosign_3_attests_under_tags() {
    with_a_key("3.1.3", Layout::Tags, Artifact::Attestation);
}

#[test]
fn cosign_3_signs_in_bundles() {
    with_a_key("3.1.3", Layout::Bundles, Artifact::Signature);
}

#[test]
fn cosign_3_attests_in_bundles() {
    with_a_key("3.1.3", Layout::Bundles, Artifact::Attestation);
}

#[test]
fn another_log_and_another_authority_are_not_believed() {
    let (Some(signery), Some(log), Some(authority), Some(cosign)) = (
        Signery::basic(),
        RekorV2::start(),
        TimestampAuthority::start(),
        cosign(VERSIONS[1]),
    ) else {
        return;
    };
    let registry = Registry::start();
    let verdict = |recipe: Recipe, image: &str, services: Services| {
        let root = signery.write("root.json", &services.trusted_root());
        let run = signery.reading(&cosign, Artifact::Signature, recipe);
        run.arg("--trusted-root").arg(root).arg(image).run()
    };
    let logged = Recipe {
        version: VERSIONS[1],
        signer: Signer::Key,
        layout: Layout::Bundles,
        log: Log::RekorV2,
        timestamp: Timestamp::Authority,
    };
    let under_tag = Recipe {
        layout: Layout::Tags,
        log: Log::None,
        ..logged
    };
    for recipe in [logged, under_tag] {
        let image = registry.push_image("team/app", &format!("{:?}", recipe.layout));
        let image = image.reference;
        let made = signery.sign_with_cosign(recipe, &image);
        made.expect("this cosign was found above");
        verdict(recipe, &image, signery.services()).ok();
        let said = verdict(
            recipe,
            &image,
            signery.services().with_timestamps(&authority),
        );
        assert_ne!(
            said.code(),
            Some(0),
            "another authority: {recipe}\n{said:?}"
        );
        if recipe.log == Log::RekorV2 {
            verdict(recipe, &image, signery.services().with_rekor_v2(&log))
                .fails_with(1)
                .says("not enough verified log entries");
        }
    }
}

#[test]
fn a_log_and_a_timestamp_that_are_wanted_must_be_there() {
    let (Some(signery), Some(cosign)) = (Signery::basic(), cosign(VERSIONS[1])) else {
        return;
    };
    let registry = Registry::start();
    let root = signery.trusted_root();
    for layout in [Layout::Tags, Layout::Bundles] {
        let bare = Recipe {
            version: VERSIONS[1],
            signer: Signer::Key,
            layout,
            log: Log::None,
            timestamp: Timestamp::None,
        };
        let image = registry.push_image("team/app", &format!("{layout:?}"));
        let made = signery.sign_with_cosign(bare, &image.reference);
        made.expect("this cosign was found above");
        let logged = Recipe {
            log: Log::RekorV2,
            ..bare
        };
        let stamped = Recipe {
            timestamp: Timestamp::Authority,
            ..bare
        };
        let artifact = Artifact::Signature;
        // Under a tag cosign takes the timestamp that is there, and asks for none.
        let is_lax = layout == Layout::Tags;
        for (wanted, is_good) in [(bare, true), (logged, false), (stamped, is_lax)] {
            let run = signery.reading(&cosign, artifact, wanted);
            let said = run.arg("--trusted-root").arg(&root).arg(&image.reference);
            let said = said.run();
            assert_eq!(said.code() == Some(0), is_good, "{wanted}\n{said:?}");
        }
    }
}
