//! The clients that Google and Microsoft make, beside the servers of the harness that stand for their services: what those servers take for right is what
//! these clients send, and these clients understand what those servers say.

use std::path::{Path, PathBuf};

use tekseal_harness::{AzureVault, GoogleKms, KeyKind, Run, peer_folder};

/// The interpreter that has them, with one of the scripts beside `tests/custody/build-cloud-clients`.
fn client(script: &str) -> Run {
    let python = peer_folder().join("cloud-clients/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run tests/custody/build-cloud-clients",
        python.display()
    );
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/custody");
    Run::new(python).arg(folder.join(script))
}

#[test]
#[ignore = "needs tests/custody/build-cloud-clients"]
fn googles_own_client_signs_with_what_stands_for_cloud_kms() {
    let kms = GoogleKms::start();
    let ring = "projects/p/locations/l/keyRings/r";
    let algorithms = [
        "EC_SIGN_P256_SHA256",
        "EC_SIGN_P384_SHA384",
        "EC_SIGN_ED25519",
        "RSA_SIGN_PKCS1_2048_SHA256",
    ];
    for algorithm in algorithms {
        let key = format!("{ring}/cryptoKeys/{algorithm}");
        kms.add_key(&key, algorithm);
        for state in ["ENABLED", "ENABLED", "DISABLED", "ENABLED"] {
            kms.add_version(&key, state);
        }
    }
    let said = client("google-client.py")
        .args([kms.address(), ring])
        .arg(kms.external_file(false, true))
        .arg(kms.external_file(true, false))
        .ok()
        .stdout;
    let signed = algorithms.map(|name| format!("signed {name} with the newest of 3 versions\n"));
    let signed = signed.concat();
    let rest = "made PENDING_GENERATION ENABLED\nrefused BadRequest\nrefused BadRequest\nrefused NotFound\n";
    assert_eq!(said, format!("{signed}{signed}{rest}"));
}

#[test]
#[ignore = "needs tests/custody/build-cloud-clients"]
fn microsofts_own_client_signs_with_what_stands_for_a_vault() {
    let vault = AzureVault::start();
    for (name, kind) in [
        ("p256", KeyKind::P256),
        ("p384", KeyKind::P384),
        ("p521", KeyKind::P521),
        ("rsa", KeyKind::Rsa(2048)),
    ] {
        vault.add_version(name, kind);
        vault.add_version(name, kind);
    }
    vault.add_version_in_hsm("hsm", KeyKind::P256);
    for variables in [vault.machine(), vault.platform()] {
        let mut run = client("azure-client.py")
            .arg(vault.address())
            .arg(vault.ca());
        for (name, value) in variables {
            run = match name {
                "AZURE_CLIENT_ID" => run.arg(value),
                name => run.env(name, value),
            };
        }
        let said = run.ok().stdout;
        let wanted = "signed p256 EC ES256\nsigned p384 EC ES384\nsigned p521 EC ES512\nsigned rsa RSA RS256\n\
            signed hsm EC-HSM ES256\nrotated p256\nmade P-384\nrefused KeyNotFound\n";
        assert_eq!(said, wanted);
    }
}
