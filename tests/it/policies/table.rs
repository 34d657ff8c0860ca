//! Which policy accepts and refuses which role: kind and flags → role → verdict.

use std::fs;

use tekseal_harness::{Services, Verdict};

use super::rendered::{Kind, Peers, Rendered};
use super::roles::Role::{self, *};
use super::roles::{BUILDER, Gallery, SOURCE};
use crate::sigstore::artifacts::IDENTITY;

/// A policy, and what must come of it.
struct Row {
    kind: Kind,
    /// Beside the key and the images.
    flags: &'static [&'static str],
    accepts: &'static [Role],
    /// With a part of the reason.
    refuses: &'static [(Role, &'static str)],
}

const SIGNATURE: &[&str] = &["--provenance", "none"];
const V02: &[&str] = &["--provenance", "v0.2", "--builder-id", BUILDER];
const V1: &[&str] = &["--provenance", "v1", "--builder-id", BUILDER];
const V02_OF_SOURCE: &[&str] = &[
    "--provenance",
    "v0.2",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
];
const V1_OF_SOURCE: &[&str] = &[
    "--provenance",
    "v1",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
];
const BUNDLE_V1: &[&str] = &[
    "--provenance",
    "v1",
    "--builder-id",
    BUILDER,
    "--layout",
    "bundle",
];
/// A policy that looks at one statement of several.
const BUNDLE_ANY_V1: &[&str] = &[
    "--provenance",
    "v1",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
    "--layout",
    "bundle",
    "--match",
    "any",
];
/// policy-controller is content with one statement of several.
const ANY_V02: &[&str] = &[
    "--provenance",
    "v0.2",
    "--builder-id",
    BUILDER,
    "--match",
    "any",
];
const ANY_V1: &[&str] = &[
    "--provenance",
    "v1",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
    "--match",
    "any",
];

// How the peers say it.
const NO_SIGNATURE: &str = "no signatures found";
const WRONG_KEY: &str = "invalid signature when validating ASN.1 encoded signature";
const OTHER_IMAGE: &str = "invalid or missing digest in claim";
// Their spelling.
const OTHER_TYPE: &str = "attestions not found for predicate type";
const NOT_SATISFIED: &str = "attestation checks failed";
const NO_ATTESTATION: &str = "no matching attestations";
/// Of several demands policy-controller tells one that failed, not always the same.
const NOT_BY_KEY: &str = "key validation failed for authority";
const NOT_LOGGED: &str = "signature not found in transparency log";
const NO_SIMPLE_SIGNATURE: &str = "A signature was required, but no signature exists";

const KYVERNO: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: SIGNATURE,
        accepts: &[Signed, AttV02, AttV1, EveryLayoutV1],
        refuses: &[
            (Unsigned, NO_SIGNATURE),
            (OtherKey, WRONG_KEY),
            (Tampered, OTHER_IMAGE),
            (BundleV1, NO_SIGNATURE),
        ],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V02,
        accepts: &[AttV02, BothTypes],
        refuses: &[
            (AttV1, OTHER_TYPE),
            (AttV02Evil, NOT_SATISFIED),
            (AttV02Mixed, NOT_SATISFIED),
            (AttOtherKey, NO_ATTESTATION),
            (AttOnlyV02, NO_SIGNATURE),
            (Signed, NO_ATTESTATION),
            (Unsigned, NO_SIGNATURE),
        ],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V1,
        accepts: &[AttV1, BothTypes, EveryLayoutV1],
        refuses: &[
            (AttV02, OTHER_TYPE),
            (AttV1Evil, NOT_SATISFIED),
            (AttOtherKey, NO_ATTESTATION),
            (AttReplayed, NO_ATTESTATION),
            (Signed, NO_ATTESTATION),
            (Unsigned, NO_SIGNATURE),
        ],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V02_OF_SOURCE,
        accepts: &[AttV02],
        refuses: &[
            (AttForeignSource, NOT_SATISFIED),
            (AttV02Evil, NOT_SATISFIED),
        ],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V1_OF_SOURCE,
        accepts: &[AttV1],
        refuses: &[
            (AttForeignSource, NOT_SATISFIED),
            (AttV1Evil, NOT_SATISFIED),
        ],
    },
    Row {
        kind: Kind::Kyverno,
        flags: BUNDLE_V1,
        accepts: &[BundleV1, EveryLayoutV1],
        refuses: &[
            (BundleOtherKey, ""),
            (BundleV1Evil, NOT_SATISFIED),
            (BundleSigOnly, ""),
            (BundleV02, "no matching signatures found"),
            (Unsigned, ""),
        ],
    },
];

const IMAGE_VALIDATING: &[Row] = &[
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: SIGNATURE,
        accepts: &[Signed, AttV1],
        refuses: &[
            (Unsigned, "is not signed"),
            (OtherKey, "is not signed"),
            (Tampered, "is not signed"),
        ],
    },
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_ANY_V1,
        accepts: &[BundleV1, EveryLayoutV1],
        refuses: &[
            (BundleOtherKey, "is not signed"),
            (BundleV1Evil, "built by another builder"),
            (BundleSigOnly, "has no attestation"),
            (Unsigned, "is not signed"),
        ],
    },
];

const POLICY_CONTROLLER: &[Row] = &[
    Row {
        kind: Kind::PolicyController,
        flags: SIGNATURE,
        accepts: &[Signed, AttV02, AttV1],
        refuses: &[
            (Unsigned, NOT_BY_KEY),
            (OtherKey, "no matching "),
            (Tampered, "no matching "),
            (BundleV1, NOT_BY_KEY),
        ],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V02,
        // Any statement will do.
        accepts: &[AttV02, BothTypes, AttV02Mixed],
        refuses: &[
            (AttV1, "no matching attestations with type"),
            (AttV02Evil, "policy is not compliant"),
            (AttOtherKey, "no matching "),
            (AttOnlyV02, NOT_BY_KEY),
            (Signed, "no matching "),
            (Unsigned, NOT_BY_KEY),
        ],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[AttV1, BothTypes],
        refuses: &[
            (AttV02, "no matching attestations with type"),
            (AttV1Evil, "policy is not compliant"),
            (AttForeignSource, "policy is not compliant"),
            (AttOtherKey, "no matching "),
            (AttReplayed, "no matching "),
            (Signed, "no matching "),
            (Unsigned, NOT_BY_KEY),
        ],
    },
];

const SIMPLE: &[(Role, &str)] = &[
    (Unsigned, NO_SIMPLE_SIGNATURE),
    (OtherKey, WRONG_KEY),
    (Tampered, "does not match"),
    (AttOnlyV02, NO_SIMPLE_SIGNATURE),
    (BundleV1, NO_SIMPLE_SIGNATURE),
];

const CONTAINERS: &[Row] = &[
    Row {
        kind: Kind::ContainersPolicy,
        flags: SIGNATURE,
        accepts: &[Signed, AttV02, AttV1, EveryLayoutV1],
        refuses: SIMPLE,
    },
    Row {
        kind: Kind::Openshift,
        flags: SIGNATURE,
        accepts: &[Signed, AttV02, AttV1, EveryLayoutV1],
        refuses: SIMPLE,
    },
];

const REGO: &[Row] = &[
    Row {
        kind: Kind::RegoCosign,
        flags: V02_OF_SOURCE,
        accepts: &[AttV02, BothTypes],
        refuses: &[
            (AttV1, "none of the attestations matched the predicate type"),
            (AttV02Evil, "1 validation errors occurred"),
            (AttV02Mixed, "1 validation errors occurred"),
            (AttForeignSource, "1 validation errors occurred"),
            (AttOtherKey, NO_ATTESTATION),
        ],
    },
    Row {
        kind: Kind::RegoCosign,
        flags: V1_OF_SOURCE,
        accepts: &[AttV1, BothTypes],
        refuses: &[
            (AttV02, "none of the attestations matched"),
            (AttV1Evil, "1 validation errors occurred"),
            (AttForeignSource, "1 validation errors occurred"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V02_OF_SOURCE,
        accepts: &[AttV02, BothTypes],
        refuses: &[
            (AttV1, "the predicate type is"),
            (AttV02Evil, "is false"),
            (AttV02Mixed, "is false"),
            (AttForeignSource, "is false"),
            (AttOtherKey, "no matching signatures"),
            (Unsigned, "no signature found"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V1_OF_SOURCE,
        accepts: &[AttV1, BothTypes, BundleV1],
        refuses: &[
            (AttV02, "the predicate type is"),
            (AttV1Evil, "is false"),
            (AttForeignSource, "is false"),
            (AttReplayed, "no matching subject digest found"),
            (BundleV1Evil, "is false"),
        ],
    },
];

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
        refuses: &[(AttV1, ""), (TlogV02, "no matching attestations with type")],
    },
];

/// Signed by whom a certificate names; refused is what a key signed.
const KEYLESS: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: SIGNATURE,
        accepts: &[Keyless],
        refuses: &[(TlogV1, ""), (Unsigned, NO_SIGNATURE)],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V1_OF_SOURCE,
        accepts: &[Keyless],
        refuses: &[(TlogV1, ""), (Unsigned, NO_SIGNATURE)],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[Keyless],
        refuses: &[(TlogV1, ""), (Unsigned, "")],
    },
];

/// Every verdict of these rows, with our key and more flags; all that is wrong is told at once.
#[track_caller]
fn hold(rows: &[Row], more: &[&str], images: impl Fn(Role) -> String) {
    let render = |row: &Row| {
        let flags = [row.flags, more].concat();
        Rendered::make(row.kind, &flags, &Gallery::shared().pattern())
    };
    hold_rendered(rows, render, images);
}

#[track_caller]
fn hold_rendered(rows: &[Row], render: impl Fn(&Row) -> Rendered, images: impl Fn(Role) -> String) {
    let Some(peers) = Peers::find() else {
        return;
    };
    let mut wrong = Vec::new();
    for row in rows {
        assert!(!row.accepts.is_empty() && !row.refuses.is_empty());
        let title = format!("{} {}", row.kind.name(), row.flags.join(" "));
        let policy = render(row);
        for role in row.accepts {
            if let Verdict::Refused(reason) = policy.judge(&peers, &images(*role)) {
                wrong.push(format!("{title}: {role:?} is refused: {reason}"));
            }
        }
        for (role, part) in row.refuses {
            match policy.judge(&peers, &images(*role)) {
                Verdict::Accepted => wrong.push(format!("{title}: {role:?} is accepted")),
                Verdict::Refused(reason) if reason.contains(part) => {
                    println!("{title}: {role:?}: {reason}");
                }
                Verdict::Refused(reason) => {
                    wrong.push(format!("{title}: {role:?}: not {part:?} but {reason}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn by_digest(role: Role) -> String {
    Gallery::shared().image(role).to_owned()
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn kyverno_with_a_cluster_policy() {
    hold(KYVERNO, &[], by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn kyverno_with_an_image_validating_policy() {
    hold(IMAGE_VALIDATING, &[], by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn the_policy_controller_of_sigstore() {
    hold(POLICY_CONTROLLER, &[], by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn nodes_with_policy_json() {
    hold(CONTAINERS, &[], by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn rego_for_cosign_and_for_opa() {
    hold(REGO, &[], by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn images_by_tag() {
    let by_tag = |role| Gallery::shared().by_tag(role);
    for (kind, flags) in [
        (Kind::Kyverno, SIGNATURE),
        (Kind::Kyverno, V1),
        (Kind::ContainersPolicy, SIGNATURE),
        (Kind::Openshift, SIGNATURE),
    ] {
        let row = Row {
            kind,
            flags,
            accepts: &[AttV1],
            refuses: &[(Unsigned, ""), (Tampered, "")],
        };
        hold(&[row], &[], by_tag);
    }
}

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
