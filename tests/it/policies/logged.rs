//! Policies that demand the entry of a log, by its key or by a trusted root, and those that believe certificates.

use std::fs;

use tekseal_harness::Services;

use super::rendered::{Kind, Rendered};
use super::roles::Gallery;
use super::roles::Role::{self, *};
use super::table::{
    ANY_V1, NO_SIGNATURE, OTHER_TYPE, Row, SIGNATURE, V1, V1_OF_SOURCE, V02, by_digest, hold,
    hold_rendered,
};
use crate::sigstore::artifacts::IDENTITY;

const NOT_BY_CERTIFICATE: &str = "keyless validation failed for authority";
const NOT_LOGGED: &str = "signature not found in transparency log";

/// With `--rekor-url` and `--rekor-key`; refused are images without an entry.
const LOGGED: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: SIGNATURE,
        accepts: &[TlogV02, TlogV1],
        refuses: &[(AttV02, NOT_LOGGED)],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V02,
        accepts: &[TlogV02],
        refuses: &[(AttV02, NOT_LOGGED), (TlogV1, OTHER_TYPE)],
    },
    Row {
        kind: Kind::ContainersPolicy,
        flags: SIGNATURE,
        accepts: &[TlogV02, TlogV1],
        refuses: &[(Signed, "missing dev.sigstore.cosign/bundle annotation")],
    },
    Row {
        kind: Kind::Openshift,
        flags: SIGNATURE,
        accepts: &[TlogV02, TlogV1],
        refuses: &[(Signed, "missing dev.sigstore.cosign/bundle annotation")],
    },
];

/// With a trusted root that has the log.
const LOGGED_BY_ROOT: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V1,
        accepts: &[TlogV1],
        refuses: &[(AttV1, NOT_LOGGED)],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[TlogV1],
        refuses: &[
            (AttV1, "key validation failed for authority"),
            (TlogV02, "no matching attestations with type"),
        ],
    },
];

/// Signed by whom a certificate names; refused is what a key signed.
const KEYLESS: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: SIGNATURE,
        accepts: &[Keyless],
        refuses: &[(TlogV1, "empty key"), (Unsigned, NO_SIGNATURE)],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V1_OF_SOURCE,
        accepts: &[Keyless],
        refuses: &[(TlogV1, "empty key"), (Unsigned, NO_SIGNATURE)],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[Keyless],
        refuses: &[(TlogV1, NOT_BY_CERTIFICATE), (Unsigned, NOT_BY_CERTIFICATE)],
    },
];

/// An image of either gallery.
fn of_either(logged: &Gallery, role: Role) -> String {
    match role {
        TlogV02 | TlogV1 | Keyless => logged.image(role).to_owned(),
        _ => by_digest(role),
    }
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn entries_of_a_log_are_demanded() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let rekor = &sigstore.rekor;
    let (url, key) = (rekor.url(), rekor.public_key().display().to_string());
    let more = ["--rekor-url", url.as_str(), "--rekor-key", key.as_str()];
    hold(LOGGED, &more, |role| of_either(logged, role));
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_trusted_root_says_whose_entries_and_certificates_count() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let services = Services::none()
        .with_rekor_v1(&sigstore.rekor)
        .with_fulcio(&sigstore.fulcio);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("trusted_root.json");
    fs::write(&root, services.trusted_root().to_string()).expect("the folder is ours");
    let root = root.to_str().expect("temporary folders are UTF-8");
    let more = ["--trusted-root", root];
    let images = |role| of_either(logged, role);
    hold(LOGGED_BY_ROOT, &more, images);

    let issuer = sigstore.issuer.cluster();
    let signer = [
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        issuer.as_str(),
        "--trusted-root",
        root,
    ];
    let pattern = Gallery::shared().pattern();
    let render = |row: &Row| Rendered::by(row.kind, &signer, row.flags, &pattern);
    hold_rendered(KEYLESS, render, images);
}
