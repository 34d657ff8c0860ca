//! Which policy accepts and refuses which role: kind and flags → role → verdict.

use tekseal_harness::Verdict;

use super::gallery::Gallery;
use super::rendered::{Kind, Peers, Rendered};
use super::roles::Role::{self, *};
use super::roles::{BUILDER, SOURCE};

/// A policy, and what must come of it.
pub(super) struct Row {
    pub(super) kind: Kind,
    /// Beside the key and the images.
    pub(super) flags: &'static [&'static str],
    pub(super) accepts: &'static [Role],
    /// With a part of the reason.
    pub(super) refuses: &'static [(Role, &'static str)],
}

/// No further flags.
pub(super) const NOTHING: &[&str] = &[];
pub(super) const SIGNATURE: &[&str] = &["--provenance", "none"];
const BY_TAG: &[&str] = &["--provenance", "none", "--signed-identity", "default"];
pub(super) const V02: &[&str] = &["--provenance", "v0.2", "--builder-id", BUILDER];
pub(super) const V1: &[&str] = &["--provenance", "v1", "--builder-id", BUILDER];
pub(super) const V02_OF_SOURCE: &[&str] = &[
    "--provenance",
    "v0.2",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
];
pub(super) const V1_OF_SOURCE: &[&str] = &[
    "--provenance",
    "v1",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
];
pub(super) const BUNDLE_SIGNATURE: &[&str] = &["--provenance", "none", "--layout", "bundle"];
pub(super) const BUNDLE_V1: &[&str] = &[
    "--provenance",
    "v1",
    "--builder-id",
    BUILDER,
    "--layout",
    "bundle",
];
/// A policy that looks at one statement of several.
pub(super) const BUNDLE_ANY_V1: &[&str] = &[
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
pub(super) const BUNDLE_ANY_V02: &[&str] = &[
    "--provenance",
    "v0.2",
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
pub(super) const ANY_V02: &[&str] = &[
    "--provenance",
    "v0.2",
    "--builder-id",
    BUILDER,
    "--match",
    "any",
];
pub(super) const ANY_V1: &[&str] = &[
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
pub(super) const NO_SIGNATURE: &str = "no signatures found";
const WRONG_KEY: &str = "invalid signature when validating ASN.1 encoded signature";
pub(super) const OTHER_IMAGE: &str = "invalid or missing digest in claim";
// Their spelling.
pub(super) const OTHER_TYPE: &str = "attestions not found for predicate type";
pub(super) const NOT_SATISFIED: &str = "attestation checks failed";
const NO_ATTESTATION: &str = "no matching attestations";
/// Of several demands policy-controller tells one that failed, not always the same.
const NOT_BY_KEY: &str = "key validation failed for authority";
pub(super) const NO_BUNDLE: &str =
    "sigstore bundle verification failed: no matching signatures found";
pub(super) const NO_SIMPLE_SIGNATURE: &str = "A signature was required, but no signature exists";

const KYVERNO: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: SIGNATURE,
        accepts: &[Signed, SignedTagIdentity, AttV02, AttV1, EveryLayoutV1],
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
            (BundleOtherKey, NO_BUNDLE),
            (BundleV1Evil, NOT_SATISFIED),
            (BundleSigOnly, NO_BUNDLE),
            (BundleV02, NO_BUNDLE),
            (BundleAttOnly, NO_BUNDLE),
            (Unsigned, NO_BUNDLE),
        ],
    },
    Row {
        kind: Kind::Kyverno,
        flags: BUNDLE_SIGNATURE,
        accepts: &[BundleSigOnly, BundleV1, EveryLayoutV1],
        refuses: &[
            (BundleOtherKey, NO_BUNDLE),
            (BundleAttOnly, NO_BUNDLE),
            (Unsigned, NO_BUNDLE),
        ],
    },
];

const IMAGE_VALIDATING: &[Row] = &[
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_SIGNATURE,
        accepts: &[BundleSigOnly, BundleV1],
        refuses: &[
            (Unsigned, "is not signed"),
            (BundleOtherKey, "is not signed"),
            (BundleAttOnly, "is not signed"),
            (Signed, "is not signed"),
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
            (BundleAttOnly, "is not signed"),
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
        accepts: &[Signed, SignedTagIdentity, AttV02, AttV1, EveryLayoutV1],
        refuses: SIMPLE,
    },
    Row {
        kind: Kind::Openshift,
        flags: SIGNATURE,
        accepts: &[Signed, SignedTagIdentity, AttV02, AttV1, EveryLayoutV1],
        refuses: SIMPLE,
    },
];

/// As OpenShift and containers/image demand without more: what cosign and Tekton Chains sign is refused.
const DEFAULT_IDENTITY: &[Row] = &[
    Row {
        kind: Kind::ContainersPolicy,
        flags: BY_TAG,
        accepts: &[SignedTagIdentity],
        refuses: &[(Signed, "is not accepted"), (Unsigned, NO_SIMPLE_SIGNATURE)],
    },
    Row {
        kind: Kind::Openshift,
        flags: BY_TAG,
        accepts: &[SignedTagIdentity],
        refuses: &[(Signed, "is not accepted"), (Unsigned, NO_SIMPLE_SIGNATURE)],
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

/// Every verdict of these rows, with our key and more flags; all that is wrong is told at once.
#[track_caller]
pub(super) fn hold<S: AsRef<str>>(rows: &[Row], more: &[S], images: impl Fn(Role) -> String) {
    let render = |row: &Row| {
        let more = more.iter().map(AsRef::as_ref);
        let flags: Vec<_> = row.flags.iter().copied().chain(more).collect();
        Rendered::make(row.kind, &flags, &Gallery::shared().pattern())
    };
    hold_rendered(rows, render, images);
}

/// The same with other flags for who must have signed.
#[track_caller]
pub(super) fn hold_by(rows: &[Row], signer: &[String], images: impl Fn(Role) -> String) {
    let pattern = Gallery::shared().pattern();
    let render = |row: &Row| Rendered::by(row.kind, signer, row.flags, &pattern);
    hold_rendered(rows, render, images);
}

#[track_caller]
pub(super) fn hold_rendered(
    rows: &[Row],
    render: impl Fn(&Row) -> Rendered,
    images: impl Fn(Role) -> String,
) {
    if let Some(peers) = Peers::find() {
        hold_with(&peers, rows, render, images);
    }
}

#[track_caller]
pub(super) fn hold_with(
    peers: &Peers,
    rows: &[Row],
    render: impl Fn(&Row) -> Rendered,
    images: impl Fn(Role) -> String,
) {
    let mut wrong = Vec::new();
    for row in rows {
        assert!(
            !row.refuses.is_empty(),
            "a policy is known by what it refuses"
        );
        let title = format!("{} {}", row.kind.name(), row.flags.join(" "));
        let policy = render(row);
        for role in row.accepts {
            if let Verdict::Refused(reason) = policy.judge(peers, &images(*role)) {
                wrong.push(format!("{title}: {role:?} is refused: {reason}"));
            }
        }
        for (role, part) in row.refuses {
            match policy.judge(peers, &images(*role)) {
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

pub(super) fn by_digest(role: Role) -> String {
    Gallery::shared().image(role).to_owned()
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn kyverno_with_a_cluster_policy() {
    hold(KYVERNO, NOTHING, by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn kyverno_with_an_image_validating_policy() {
    hold(IMAGE_VALIDATING, NOTHING, by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn the_policy_controller_of_sigstore() {
    hold(POLICY_CONTROLLER, NOTHING, by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn nodes_with_policy_json() {
    hold(CONTAINERS, NOTHING, by_digest);
    hold(DEFAULT_IDENTITY, NOTHING, by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn nodes_without_registries_d_find_no_signature() {
    let Some(peers) = Peers::find() else {
        return;
    };
    let gallery = Gallery::shared();
    let policy = Rendered::make(Kind::ContainersPolicy, SIGNATURE, &gallery.pattern());
    let image = gallery.image(Signed);
    assert_eq!(policy.judge(&peers, image), Verdict::Accepted);
    let empty = tempfile::tempdir().expect("a temporary folder");
    let verdict = peers.policy_json.judge(&policy.file(), empty.path(), image);
    assert_eq!(verdict, Verdict::Refused(NO_SIMPLE_SIGNATURE.to_owned()));
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn rego_for_cosign_and_for_opa() {
    hold(REGO, NOTHING, by_digest);
}

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn images_by_tag() {
    let by_tag = |role| Gallery::shared().by_tag(role);
    hold(DEFAULT_IDENTITY, NOTHING, by_tag);
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
            refuses: &[(Unsigned, "no signature"), (Tampered, "digest")],
        };
        hold(&[row], NOTHING, by_tag);
    }
}
