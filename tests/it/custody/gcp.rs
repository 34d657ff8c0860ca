//! Google Cloud KMS, as its documentation has it: what is signed there is like what is signed here.

use std::path::Path;

use tekseal_harness::{GoogleKms, Run, cosign};

use crate::workshop::Workshop;

const RING: &str = "projects/p/locations/europe-west1/keyRings/r";

/// A command that finds the service and who asks it.
fn at(run: Run, kms: &GoogleKms) -> Run {
    let (name, url) = kms.endpoint();
    run.env(name, url)
        .env("GOOGLE_APPLICATION_CREDENTIALS", kms.account_file())
}

/// A key of this algorithm: its reference, and a file with its public half.
fn key(kms: &GoogleKms, shop: &Workshop, algorithm: &str) -> (String, std::path::PathBuf) {
    let resource = format!("{RING}/cryptoKeys/{algorithm}");
    kms.add_key(&resource, algorithm);
    let public = kms.add_version(&resource, "ENABLED");
    let file = shop.file(&format!("{algorithm}.pub"), public);
    (format!("gcpkms://{resource}"), file)
}

#[test]
fn cosign_verifies_what_was_signed_with_a_key_of_google() {
    let kms = GoogleKms::start();
    for (algorithm, digest) in [
        ("EC_SIGN_P256_SHA256", "sha256"),
        ("RSA_SIGN_PKCS1_3072_SHA256", "sha256"),
        ("EC_SIGN_ED25519", "sha256"),
        ("EC_SIGN_P384_SHA384", "sha384"),
    ] {
        let shop = Workshop::new();
        let (reference, public) = key(&kms, &shop, algorithm);
        kms.forget();
        let attest = shop.attest_command(&shop.run(), Path::new(&reference));
        at(attest, &kms).ok();
        assert_eq!(kms.count("GET", "/publicKey"), 1, "{algorithm}");
        assert_eq!(kms.count("POST", ":asymmetricSign"), 2, "{algorithm}");
        assert_eq!(kms.count("POST", "/token"), 1, "{algorithm}");
        for version in ["2.6.5", "3.1.3"] {
            let Some(cosign) = cosign(version) else {
                continue;
            };
            let flags = ["--signature-digest-algorithm", digest];
            let verify = cosign.verify(&public, &shop.image, &flags);
            verify.ok();
            if digest == "sha256" {
                cosign
                    .verify_attestation(&public, "slsaprovenance", &shop.image, &[])
                    .ok();
            }
        }
        let flags = ["--signature-digest-algorithm", digest];
        shop.verify(&public).args(flags).ok();
        at(shop.verify(Path::new(&reference)), &kms)
            .args(flags)
            .ok();
    }
}

#[test]
fn a_key_that_google_does_not_let_sign_publishes_nothing() {
    let kms = GoogleKms::start();
    let shop = Workshop::new();
    let (reference, _) = key(&kms, &shop, "EC_SIGN_P256_SHA256");
    let resource = format!("{RING}/cryptoKeys/EC_SIGN_P256_SHA256");
    let attest = || {
        at(
            shop.attest_command(&shop.run(), Path::new(&reference)),
            &kms,
        )
    };

    kms.set_state(&resource, 1, "DISABLED");
    let said = attest().fails_with(2).stderr;
    assert!(said.contains("without an enabled version"), "{said}");

    kms.set_state(&resource, 1, "ENABLED");
    kms.alter(":asymmetricSign", |answer| {
        answer["signature"] = "AAAA".into()
    });
    let said = attest().fails_with(3).stderr;
    assert!(said.contains("checksum does not fit"), "{said}");

    let nobody = shop
        .attest_command(&shop.run(), Path::new(&reference))
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/missing.json");
    let said = nobody.fails_with(2).stderr;
    assert!(said.contains("Google credentials /missing.json"), "{said}");
    assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
}
