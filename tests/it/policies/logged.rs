//! Policies that demand the entry of a log, by its key, by a trusted root, or by a mirror of trusted roots.

use std::fs;

use tekseal_harness::Services;

use super::gallery::Gallery;
use super::keyless::{Mirrored, NOT_IN_BUNDLE};
use super::rendered::Kind;
use super::roles::Role::*;
use super::table::{
    ANY_V1, BUNDLE_ANY_V1, BUNDLE_SIGNATURE, OTHER_TYPE, Row, SIGNATURE, V1, V02, hold,
};

pub(super) const NOT_LOGGED: &str = "signature not found in transparency log";

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

/// With a mirror whose trusted root has the log.
const LOGGED_BY_MIRROR: &[Row] = &[
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_SIGNATURE,
        accepts: &[BundleLogged],
        refuses: &[(BundleV1, NOT_IN_BUNDLE), (TlogV1, "is not signed")],
    },
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_ANY_V1,
        accepts: &[BundleLogged],
        refuses: &[(BundleV1, NOT_IN_BUNDLE), (TlogV1, "is not signed")],
    },
];

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn entries_of_a_log_are_demanded() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let rekor = &sigstore.rekor;
    let (url, key) = (rekor.url(), rekor.public_key().display().to_string());
    let more = ["--rekor-url", url.as_str(), "--rekor-key", key.as_str()];
    hold(LOGGED, &more, |role| logged.or_shared(role));
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_trusted_root_says_whose_entries_count() {
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
    hold(LOGGED_BY_ROOT, &more, |role| logged.or_shared(role));
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn a_mirror_says_whose_entries_count() {
    let Some((logged, sigstore)) = Gallery::logged() else {
        return;
    };
    let mirror = Mirrored::of(sigstore);
    hold(LOGGED_BY_MIRROR, &mirror.flags(), |role| {
        logged.or_shared(role)
    });
}
