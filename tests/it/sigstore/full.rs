//! Beside a whole Sigstore, which `./test --sigstore` sets up: certificates in place of keys, and the log that Tekton Chains knows.

use tekseal_harness::{Layout, Registry, cosign};

use super::artifacts::{
    Artifact, Log, Recipe, Signer, Signery, Timestamp, VERSIONS, made_and_verified,
};

/// All that [`super::basic`] cannot do.
fn with_sigstore(version: &'static str, layout: Layout, artifact: Artifact) {
    let Some(signery) = Signery::full() else {
        return;
    };
    let mut recipes = Recipe::all(version, layout, artifact);
    recipes.retain(Recipe::needs_sigstore);
    made_and_verified(&signery, artifact, &recipes);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_2_signs_under_tags() {
    with_sigstore("2.6.5", Layout::Tags, Artifact::Signature);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_2_attests_under_tags() {
    with_sigstore("2.6.5", Layout::Tags, Artifact::Attestation);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_2_signs_in_bundles() {
    with_sigstore("2.6.5", Layout::Bundles, Artifact::Signature);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_2_attests_in_bundles() {
    with_sigstore("2.6.5", Layout::Bundles, Artifact::Attestation);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_3_signs_under_tags() {
    with_sigstore("3.1.3", Layout::Tags, Artifact::Signature);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_3_attests_under_tags() {
    with_sigstore("3.1.3", Layout::Tags, Artifact::Attestation);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_3_signs_in_bundles() {
    with_sigstore("3.1.3", Layout::Bundles, Artifact::Signature);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn cosign_3_attests_in_bundles() {
    with_sigstore("3.1.3", Layout::Bundles, Artifact::Attestation);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn the_log_is_searched_for_what_attests_an_image() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let registry = Registry::start();
    let search = |digest: &str| {
        let run = signery.sigstore().rekor.cli("search");
        run.args(["--format", "json", "--sha", digest]).run()
    };
    for version in VERSIONS {
        let image = registry.push_image("team/app", version);
        search(&image.digest)
            .fails_with(1)
            .says("no matching entries found");
        let recipe = Recipe {
            version,
            signer: Signer::Key,
            layout: Layout::Tags,
            log: Log::RekorV1,
            timestamp: Timestamp::None,
        };
        if signery
            .attest_with_cosign(recipe, &image.reference)
            .is_none()
        {
            return;
        }
        let found = search(&image.digest).ok();
        let entries = found.json()["UUIDs"].as_array().map(Vec::len);
        assert_eq!(entries, Some(1), "{found:?}");
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn a_certificate_is_good_for_who_showed_the_token_and_nobody_else() {
    let (Some(signery), Some(cosign)) = (Signery::full(), cosign(VERSIONS[1])) else {
        return;
    };
    let registry = Registry::start();
    let image = registry.push_image("team/app", "1").reference;
    let sigstore = signery.sigstore();
    let services = signery.services().signing_config();
    let root = signery.trusted_root();
    cosign
        .run("sign")
        .arg("--yes")
        .arg("--identity-token")
        .arg(sigstore.issuer.email_token("tester@example.com"))
        .arg("--signing-config")
        .arg(signery.write("config.json", &services))
        .arg("--trusted-root")
        .arg(&root)
        .arg(&image)
        .ok();
    let (people, cluster) = (sigstore.issuer.people(), sigstore.issuer.cluster());
    let verify = |identity: &str, issuer: &str| {
        let run = cosign.run("verify").arg("--trusted-root").arg(&root);
        run.args(["--certificate-identity", identity])
            .args(["--certificate-oidc-issuer", issuer])
            .arg(&image)
            .run()
    };
    verify("tester@example.com", &people).ok();
    for (identity, issuer) in [
        ("other@example.com", &people),
        ("tester@example.com", &cluster),
    ] {
        verify(identity, issuer)
            .fails_with(1)
            .says("no matching CertificateIdentity found");
    }
}
