//! With the real SPIRE: a process without any secret signs as who its agent says that it is, with a certificate of the real Fulcio, and cosign accepts it.

use tekseal_harness::{Layout, Run, Spire, cosign};

use super::artifacts::{Artifact, Log, Recipe, Signer, Signery, Timestamp, VERSIONS, Who};
use super::ours::nothing_is_stored;
use crate::workshop::Workshop;

/// Attests the run that built the image, with a certificate for who the agent says.
fn attesting(signery: &Signery, shop: &Workshop, spire: &Spire) -> Run {
    let sigstore = signery.sigstore();
    Run::tool("tekseal-attest")
        .arg("--run")
        .arg(shop.run())
        .args(["--format", "slsa/v2alpha4", "--tlog", "v1", "--rekor-url"])
        .arg(sigstore.rekor.url())
        .args(["--fulcio-url", &sigstore.fulcio.url(), "--trusted-root"])
        .arg(signery.trusted_root())
        .env("SPIFFE_ENDPOINT_SOCKET", spire.address())
}

#[test]
#[ignore = "needs SPIRE, Rekor v1, Fulcio and their database: ./test --sigstore"]
fn both_versions_of_cosign_accept_what_a_workload_signs() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let issuer = &signery.sigstore().issuer;
    let Some(spire) = Spire::start(&issuer.workloads()) else {
        return;
    };
    issuer.vouch_for(spire.keys());
    let shop = Workshop::new();
    let said = attesting(&signery, &shop, &spire)
        .args(["--oidc-provider", "spiffe"])
        .fails_with(2);
    let wanted = "has no identity for this process: PermissionDenied: no identity issued";
    assert!(
        said.stderr.contains(wanted) && said.stderr.contains("registration entry"),
        "{said:?}"
    );
    nothing_is_stored(&shop);

    let id = spire.name("signer");
    assert_eq!(id, Who::Workload.name());
    for (layout, provider) in [("tags", "spiffe"), ("bundle", "")] {
        let shop = Workshop::new();
        // It may be that the agent does not know the entry yet; then it is asked again.
        let said = attesting(&signery, &shop, &spire)
            .args(["--layout", layout])
            .env("TEKSEAL_OIDC_PROVIDER", provider)
            .ok();
        let told = format!(
            "signs with a certificate identity={id} issuer={}",
            issuer.workloads()
        );
        assert!(said.stderr.contains(&told), "{said:?}");
        assert!(!said.stderr.contains("eyJ"), "{said:?}");
        Run::tool("tekseal-verify")
            .args(["--certificate-identity", &id])
            .args(["--certificate-oidc-issuer", &issuer.workloads()])
            .arg("--trusted-root")
            .arg(signery.trusted_root())
            .arg(&shop.image)
            .ok();
        for version in VERSIONS {
            let Some(cosign) = cosign(version) else {
                continue;
            };
            let recipe = Recipe {
                version,
                signer: Signer::Certificate(Who::Workload),
                layout: match layout {
                    "tags" => Layout::Tags,
                    _ => Layout::Bundles,
                },
                log: Log::RekorV1,
                timestamp: Timestamp::None,
            };
            for artifact in [Artifact::Signature, Artifact::Attestation] {
                let said = signery.verify_with_cosign(&cosign, artifact, recipe, &shop.image);
                assert_eq!(said.code(), Some(0), "{recipe}, {artifact:?}\n{said:?}");
            }
        }
    }
}

#[test]
#[ignore = "needs SPIRE, Rekor v1, Fulcio and their database: ./test --sigstore"]
fn a_spire_that_names_no_issuer_or_another_is_of_no_use_to_fulcio() {
    let Some(signery) = Signery::full() else {
        return;
    };
    for (issuer, wanted) in [
        ("", "set jwt_issuer in the configuration of SPIRE's server"),
        ("http://127.0.0.1:1", "gives no certificate"),
    ] {
        let Some(spire) = Spire::start(issuer) else {
            return;
        };
        spire.name("signer");
        let shop = Workshop::new();
        let said = attesting(&signery, &shop, &spire)
            .args(["--oidc-provider", "spiffe"])
            .fails_with(2);
        assert!(said.stderr.contains(wanted), "{said:?}");
        nothing_is_stored(&shop);
    }
}
