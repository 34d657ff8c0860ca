//! What ours signs with certificates of the real Fulcio: both versions of cosign accept it by identity and issuer, with promises of the log of
//! certificates, and so does ours.

use serde_json::json;
use tekseal_harness::{Layout, Proxy, Run, cosign, service_account_claims, unsigned_token};

use super::artifacts::{
    Artifact, IDENTITY, Log, Recipe, SERVICE_ACCOUNT, Signer, Signery, Timestamp, VERSIONS, Who,
};
use super::ours::{Case, nothing_is_stored, shared_authority, shared_log};
use crate::workshop::{Workshop, run_document};

/// Each way in which something that was signed with a certificate can be verified after that has ended.
const WAYS: [(&str, Log, Timestamp); 8] = [
    ("tags", Log::RekorV1, Timestamp::None),
    ("tags", Log::RekorV1, Timestamp::Authority),
    ("tags", Log::None, Timestamp::Authority),
    ("bundle", Log::RekorV1, Timestamp::None),
    ("bundle", Log::RekorV1, Timestamp::Authority),
    ("bundle", Log::RekorV2, Timestamp::Authority),
    ("bundle", Log::None, Timestamp::Authority),
    ("both", Log::RekorV1, Timestamp::Authority),
];

fn token(signery: &Signery, shop: &Workshop) -> std::path::PathBuf {
    let (namespace, name) = SERVICE_ACCOUNT;
    let issuer = &signery.sigstore().issuer;
    shop.file("token", issuer.service_account_token(namespace, name))
}

/// With a certificate of the Fulcio at this address.
fn keyless(run: Run, signery: &Signery, shop: &Workshop, fulcio: &str) -> Run {
    run.args(["--fulcio-url", fulcio])
        .arg("--identity-token")
        .arg(token(signery, shop))
        .arg("--trusted-root")
        .arg(signery.trusted_root())
}

fn witnessed(run: Run, signery: &Signery, case: Case) -> Run {
    let run = match case.log {
        Log::None => run,
        Log::RekorV1 => run
            .args(["--tlog", "v1", "--rekor-url"])
            .arg(signery.sigstore().rekor.url()),
        Log::RekorV2 => run
            .args(["--tlog", "v2", "--rekor-url"])
            .arg(shared_log().url()),
    };
    match case.timestamp {
        Timestamp::None => run,
        Timestamp::Authority => run.arg("--timestamp-url").arg(shared_authority().url()),
    }
}

/// Ours, by identity and issuer, demanding what is there.
fn verifying(signery: &Signery, identity: &str, issuer: &str, case: Case) -> Run {
    let mut run = Run::tool("tekseal-verify")
        .args(["--certificate-identity", identity])
        .args(["--certificate-oidc-issuer", issuer])
        .arg("--trusted-root")
        .arg(signery.trusted_root());
    if case.log == Log::None {
        run = run.arg("--insecure-ignore-tlog");
    }
    if case.timestamp == Timestamp::Authority {
        run = run.arg("--use-signed-timestamps");
    }
    run
}

/// Ours and both versions of cosign accept signature and attestation.
fn accepted(signery: &Signery, shop: &Workshop, case: Case) {
    let cluster = signery.sigstore().issuer.cluster();
    verifying(signery, IDENTITY, &cluster, case)
        .arg(&shop.image)
        .ok();
    for version in VERSIONS {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        let recipe = Recipe {
            version,
            signer: Signer::Certificate(Who::Builder),
            layout: match case.layout {
                "tags" => Layout::Tags,
                _ => Layout::Bundles,
            },
            log: case.log,
            timestamp: case.timestamp,
        };
        for artifact in [Artifact::Signature, Artifact::Attestation] {
            let said = signery.verify_with_cosign(&cosign, artifact, recipe, &shop.image);
            assert_eq!(said.code(), Some(0), "{recipe}, {artifact:?}\n{said:?}");
        }
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn both_versions_of_cosign_accept_what_ours_signs_with_a_certificate() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let fulcio = signery.sigstore().fulcio.url();
    for (layout, log, timestamp) in WAYS {
        let case = Case {
            layout,
            log,
            timestamp,
        };
        let shop = Workshop::new();
        let run = Run::tool("tekseal-attest").arg("--run").arg(shop.run());
        let run = run.args(["--layout", layout, "--format", "slsa/v2alpha4"]);
        let run = keyless(run, &signery, &shop, &fulcio);
        let said = witnessed(run, &signery, case).ok();
        assert!(!said.stderr.contains("(SCT)"), "{said:?}");
        accepted(&signery, &shop, case);
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn three_steps_leave_what_cosign_accepts() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let fulcio = signery.sigstore().fulcio.url();
    for (layout, log) in [("tags", Log::RekorV1), ("bundle", Log::RekorV2)] {
        let case = Case {
            layout,
            log,
            timestamp: Timestamp::Authority,
        };
        let shop = Workshop::new();
        let folder = shop.path("payloads");
        let run = Run::tool("tekseal-provenance").arg("--run").arg(shop.run());
        let run = run.args(["--format", "slsa/v2alpha4", "--out"]);
        run.arg(&folder).ok();
        let run = Run::tool("tekseal-sign").arg(&folder);
        let said = keyless(run, &signery, &shop, &fulcio).ok();
        assert!(said.stderr.contains("must be stored"), "{said:?}");
        let run = Run::tool("tekseal-upload").arg(&folder);
        let run = run.args(["--layout", layout, "--trusted-root"]);
        let run = run.arg(signery.trusted_root());
        witnessed(run, &signery, case).ok();
        accepted(&signery, &shop, case);
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn a_hundred_images_have_one_certificate() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let sigstore = signery.sigstore();
    let fulcio = Proxy::start(sigstore.fulcio.address());
    let shop = Workshop::new();
    let mut images = vec![shop.image.clone()];
    for number in 2..=100 {
        images.push(
            shop.registry
                .push_image("team/app", &number.to_string())
                .reference,
        );
    }
    let results = json!([{"name": "IMAGES", "value": images.join(",")}]);
    let run = shop.file("many.json", run_document(results).to_string());
    let run = Run::tool("tekseal-attest").arg("--run").arg(run);
    let url = format!("http://{}", fulcio.address());
    let case = Case {
        layout: "tags",
        log: Log::RekorV1,
        timestamp: Timestamp::None,
    };
    witnessed(keyless(run, &signery, &shop, &url), &signery, case).ok();
    assert_eq!(fulcio.count_of("POST", "/api/v2/signingCert"), 1);
    let run = verifying(&signery, IDENTITY, &sigstore.issuer.cluster(), case);
    run.args(&images).ok();
    let recipe = Recipe {
        version: VERSIONS[1],
        signer: Signer::Certificate(Who::Builder),
        layout: Layout::Tags,
        log: Log::RekorV1,
        timestamp: Timestamp::None,
    };
    let Some(cosign) = cosign(VERSIONS[1]) else {
        return;
    };
    for image in [&images[0], &images[99]] {
        let said = signery.verify_with_cosign(&cosign, Artifact::Signature, recipe, image);
        assert_eq!(said.code(), Some(0), "{said:?}");
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn an_address_of_a_person_is_certified_and_a_forged_token_is_not() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let sigstore = signery.sigstore();
    let case = Case {
        layout: "tags",
        log: Log::RekorV1,
        timestamp: Timestamp::None,
    };
    let shop = Workshop::new();
    let attest = |token: &str| {
        let run = Run::tool("tekseal-attest").arg("--run").arg(shop.run());
        let run = run.args(["--fulcio-url", &sigstore.fulcio.url()]);
        let run = run.arg("--identity-token").arg(shop.file("token", token));
        let run = run.arg("--trusted-root").arg(signery.trusted_root());
        witnessed(run, &signery, case)
    };
    let mut claims = service_account_claims(SERVICE_ACCOUNT.0, SERVICE_ACCOUNT.1);
    claims["iss"] = sigstore.issuer.cluster().into();
    let said = attest(&unsigned_token(&claims)).fails_with(2);
    assert!(said.stderr.contains("gives no certificate"), "{said:?}");
    nothing_is_stored(&shop);
    let person = "tester@example.com";
    attest(&sigstore.issuer.email_token(person)).ok();
    let people = sigstore.issuer.people();
    verifying(&signery, person, &people, case)
        .arg(&shop.image)
        .ok();
    let run = verifying(&signery, "other@example.com", &people, case);
    run.arg(&shop.image).fails_with(1);
}
